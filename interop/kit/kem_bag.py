"""What ML-KEM certificates in GetCACert do to clients that know nothing of them: the same enrolment against CAs with
and without, and with the profile that hides them. A client that they disturb is expected to be; see the README's table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

from interop.kit.bench import Bench
from interop.kit.cases import CaseFailed, Peer, check
from interop.kit.certs import read_certificate

# Case, server, and what the server is.
_CASES = (
    ("enrol-kem", "ours-kem", "RSA CA that signs and decrypts, two ML-KEM RA certificates"),
    ("enrol-ra", "ours-ra", "RA signer and RA decryption certificate, no ML-KEM: the control"),
    ("enrol-kem-ra", "ours-kem-ra", "RA signer, RA decryption and two ML-KEM RA certificates"),
    ("classic", "ours-classic", "the keys of enrol-kem, profile with classic = true"),
    ("classic-ra", "ours-classic-ra", "the keys of enrol-kem-ra, profile with classic = true"),
)


@dataclass(frozen=True)
class Disturbed:
    """text: regular expression that the client's output or the conversation then matches. by_chance: only sometimes,
    because the client chooses among the certificates in an order that is accidental.
    """

    text: str
    by_chance: bool = False


def register(peer: Peer, enrol: Callable[[Bench], None], measured: Mapping[str, Disturbed] | None = None) -> None:
    """Add the five cases. `enrol` raises CaseFailed if the client does not get the answer it ought to get."""
    for name, server, what in _CASES:
        expected = (measured or {}).get(name)
        end = "" if expected is None else ("; measured: at times disturbed" if expected.by_chance else "; disturbed")
        peer.case(name, f"gets its answer from: {what}{end}", server)(_case(enrol, expected))


def _case(enrol: Callable[[Bench], None], expected: Disturbed | None) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        try:
            enrol(bench)
        except CaseFailed as error:
            said = "\n".join((*(result.text for result in bench.results), *bench.conversation(), str(error)))
            if expected is None or re.search(expected.text, said) is None:
                raise
            bench.note(f"disturbed, as measured before: {error}")
        else:
            check(expected is None or expected.by_chance, "the client is no longer disturbed: correct the table")
            bench.note("not disturbed")

    return run


def choose_by_hand(files: list[Path]) -> tuple[Path, Path]:
    """What a user does with the files of a client that leaves it to him: the certificate to encrypt to and the one that
    verifies answers, RSA ones of the RA if there are any, by keyUsage.
    """
    usable = [path for path in files if _has_rsa_key(path)]
    check(usable, "the client stored no certificate with an RSA key")
    return _best(usable, "key_encipherment"), _best(usable, "digital_signature")


def _has_rsa_key(path: Path) -> bool:
    try:
        return isinstance(read_certificate(path).public_key(), rsa.RSAPublicKey)
    except UnsupportedAlgorithm:
        return False


def _best(files: list[Path], usage: str) -> Path:
    def rank(path: Path) -> tuple[bool, bool]:
        extensions = read_certificate(path).extensions
        is_ca = extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        return bool(getattr(extensions.get_extension_for_class(x509.KeyUsage).value, usage)), not is_ca

    return max(files, key=rank)
