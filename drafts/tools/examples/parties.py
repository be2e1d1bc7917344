"""Who takes part in the examples: keys by their labels, certificates, and both in PEM for a reader to use."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography import x509

from ca.authority import Authority, create_authority
from ca.memory_store import MemoryStore
from ca.sealing import KEY_LENGTH, ServerKey
from ca.store import Store
from drafts.tools.labelled import NOW, Labelled, kem_key, signing_key
from kem.keys import DecapsulationKey, EncapsulationKey, encode_public_key
from pkix.certificates import Certificate
from pkix.keys import dump_private_key
from pkix.signatures import SigningKey
from pkix.signed_data import Signer
from scep.client import KemKey, self_signed

EPHEMERAL = "CN=SCEP client"  # every ephemeral signer's subject: its certificate is not encrypted


def name(text: str) -> x509.Name:
    """A Name from RFC 4514 text."""
    return x509.Name.from_rfc4514_string(text)


@dataclass(frozen=True)
class Party:
    """One key. label, kind: of the key. what: whose it is. certificate: DER, if the key has one before the examples
    begin.
    """

    label: str
    kind: str
    what: str
    key_pem: bytes
    certificate: bytes | None = None

    def pem(self) -> str:
        """Key and certificate."""
        found = self.key_pem.decode("ascii")
        if self.certificate is not None:
            body = base64.b64encode(self.certificate).decode("ascii")
            lines = [body[start : start + 64] for start in range(0, len(body), 64)]
            found += "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])
        return found


@dataclass
class Cast:
    """Everybody so far, in the order in which they appeared."""

    parties: dict[str, Party] = field(default_factory=dict)

    def add(self, label: str, kind: str, what: str, key_pem: bytes, certificate: bytes | None = None) -> None:
        """Somebody new, or somebody who is known."""
        self.parties.setdefault(label, Party(label, kind, what, key_pem, certificate))

    def signing_key(self, key_type: str, label: str, what: str) -> SigningKey:
        """A key without a certificate of its own."""
        key = signing_key(key_type, label)
        self.add(label, key_type, what, dump_private_key(key))
        return key

    def self_signed(self, key_type: str, label: str, subject: str, what: str) -> Signer:
        """A key that signs under a self-signed certificate."""
        key = signing_key(key_type, label)
        certificate = Certificate.of(self_signed(key, name(subject), now=NOW, random=Labelled(f"certificate/{label}")))
        self.add(label, key_type, what, dump_private_key(key), certificate.der)
        return Signer(key, certificate)

    def kem_key(self, parameter_set: str, label: str, what: str) -> KemKey:
        """An ML-KEM key of a client's."""
        private, public = kem_key(parameter_set, label)
        self.add(label, parameter_set, what, dump_private_key(private))
        return KemKey(private, encode_public_key(public))


class ExampleServerKey(ServerKey):
    """Seals with random values of its own: how often the CA seals something is no business of the examples, whose
    values are counted.
    """

    def __init__(self) -> None:
        super().__init__(Labelled("server key")(KEY_LENGTH))
        self._sealing = Labelled("sealing")

    def seal(self, plaintext: bytes, purpose: bytes, random: Callable[[int], bytes]) -> bytes:
        """See ServerKey; `random` is left alone."""
        return super().seal(plaintext, purpose, self._sealing)


@dataclass
class ExampleCa:
    """A CA with its store, which lives through all examples that use it."""

    authority: Authority
    store: Store = field(default_factory=MemoryStore)
    server_key: ServerKey = field(default_factory=ExampleServerKey)


@functools.cache
def _root(key_type: str, label: str, subject: str) -> Authority:
    return create_authority(
        name(subject),
        key_type,
        ra_key_type=None,
        now=NOW,
        random=Labelled(f"certificate/{label}"),
        rsa_decryption=False,
        generate_key=lambda kind: signing_key(kind, label),
    )


def rsa_ca(cast: Cast) -> ExampleCa:
    """A CA of today: RSA, without an RA."""
    found = ExampleCa(_root("rsa:2048", "rsa-ca", "CN=RSA CA"))
    cast.add("rsa-ca", "rsa:2048", "CA", dump_private_key(found.authority.ca.key), found.authority.certificate.der)
    return found


def kem_ca(cast: Cast, parameter_set: str, label: str) -> ExampleCa:
    """The P-256 CA with an ML-KEM certificate for its RA."""
    root = _root("ec:P-256", "ca", "CN=CA")
    keys: list[tuple[DecapsulationKey, EncapsulationKey]] = [kem_key(parameter_set, label)]
    found = create_authority(
        name("CN=CA"),
        "",
        ra_key_type=None,
        now=NOW,
        random=Labelled(f"certificate/{label}"),
        ca=root.ca,
        ra_kem=keys,
        rsa_decryption=False,
    )
    cast.add("ca", "ec:P-256", "CA, which signs the answers", dump_private_key(root.ca.key), root.certificate.der)
    pair = found.ra_kem[0]
    what = "RA, to which requests are encrypted"
    cast.add(label, parameter_set, what, dump_private_key(pair.key), Certificate.of(pair.certificate).der)
    return ExampleCa(found)
