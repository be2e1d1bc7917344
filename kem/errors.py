"""What can be wrong with a key, a ciphertext or an algorithm, in the shape that the layers above convert.

Every error has `text`: one line for the peer's engineer (for BackendUnavailable: for the operator). It says what is
wrong and what would be right, and never holds a secret.
"""

from __future__ import annotations

from kem.der_faults import Undecoded


class KemError(Exception):
    """Base of the errors below. `text` is what is wrong (`fact`) and then, if that is said apart, what the peer is to
    do (`advice`). undecoded: the octets of which `text` says that they are no DER.
    """

    undecoded: Undecoded | None = None

    def __init__(self, fact: str, advice: str = "") -> None:
        self.fact = fact
        self.text = f"{fact}; {advice}" if advice else fact
        super().__init__(self.text)


class MalformedStructure(KemError):
    """The bytes are not the ASN.1 structure they should be."""

    def __init__(self, text: str, undecoded: Undecoded | None = None) -> None:
        super().__init__(text)
        self.undecoded = undecoded


class UnsupportedAlgorithm(KemError):
    """A KDF or MAC that is unknown or not allowed here, or parameters that its definition forbids."""


class UnsupportedParameterSet(UnsupportedAlgorithm):
    """Not ML-KEM, or a parameter set that no backend in use implements."""


class InvalidKey(KemError):
    """A key that fails the checks of FIPS 203 section 7 or RFC 9935 section 8."""


class InvalidCiphertext(KemError):
    """A ciphertext of the wrong length or for another key's parameter set.

    Nothing else can be seen to be wrong with one: decapsulating a right-sized forgery gives a secret that nobody else
    has (implicit rejection, FIPS 203 section 6.3), and shows later, as a wrong MAC.
    """


class MacMismatch(KemError):
    """The MAC is not that of the derived key. All causes share one text."""


class BackendUnavailable(KemError):
    """A backend's library is missing or unusable, or no backend in use can work with a private key of this form."""
