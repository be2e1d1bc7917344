"""What every request for a certificate has, whatever carries it: a name, a key, extensions, a proof of some worth.

PKCS #10 (`pkix.pkcs10`) and CRMF (`pkix.crmf`) differ in their octets, not in what they may ask for: the rules for
names, keys and extensions are here and in the modules named here. Subject and extensions are read by
`cryptography.x509`, through `pkix.extensions`, whatever they stand in.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from kem.parameters import by_oid, is_ml_kem
from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import TLV, AlgorithmIdentifier, Oid
from pkix.errors import AlgorithmRefused, IntegrityFailed, Malformed
from pkix.extensions import read_extensions
from pkix.keys import key_type_of
from pkix.names import name_text, read_name
from pkix.pss import PublicKey
from pkix.public_keys import load_public_key
from pkix.signatures import verify
from pkix.subjects import check_subject


class Form(enum.Enum):
    """What the proof of possession in a request is worth.

    self_signed: made with the requested key, proves its possession. unsigned: proves nothing. statement: made with
    another certificate's key, whose holder states that the requested key is theirs too (RFC 9883).
    """

    self_signed = "self-signed"
    unsigned = "unsigned"
    statement = "statement of possession"


class Requested:
    """What is common to all forms of request.

    der: the request as received. subject_der: DER Name. spki: DER SubjectPublicKeyInfo, None if whoever issues makes
    the key. key_algorithm: the key's OID, also if only that is asked for.
    """

    what: ClassVar[str]  # begins the texts of errors
    where: ClassVar[str]  # its extensions stand
    der: bytes
    subject_der: bytes
    spki: bytes | None
    key_algorithm: Oid | None

    @property
    def is_kem(self) -> bool:
        """Whether the requested key is an ML-KEM key."""
        return self.key_algorithm is not None and is_ml_kem(self.key_algorithm)

    @cached_property
    def key_type(self) -> str:
        """The requested key's type as `pkix.keys` names it, such as "rsa:2048". Raises AlgorithmRefused."""
        if self.is_kem:
            assert self.key_algorithm is not None
            return by_oid(self.key_algorithm).name.lower()
        return key_type_of(self.public_key)

    @cached_property
    def hash(self) -> bytes:
        """SHA-256 (32 octets) of the request's DER."""
        return hashlib.sha256(self.der).digest()

    @cached_property
    def public_key(self) -> PublicKey:
        """The key to be certified. Raises AlgorithmRefused, Malformed; see `pkix.public_keys`."""
        if self.spki is None:
            raise Malformed(f"{self.what}: there is no public key in it")
        return load_public_key(self.spki, self.what)

    @cached_property
    def subject(self) -> x509.Name:
        """The subject as a Name. Raises Malformed for what no certificate may carry; see `pkix.subjects`."""
        check_subject(self.subject_der, self.what)
        return read_name(self.subject_der, self.what)

    @cached_property
    def subject_text(self) -> str:
        """The subject for people and the Store, as RFC 4514 has it. Raises Malformed."""
        return name_text(self.subject)

    @cached_property
    def extensions(self) -> x509.Extensions:
        """The requested extensions, of which one may be `pkix.extensions.Unreadable`. Raises Malformed."""
        return read_extensions(self._requested_extensions, f"{self.what}: {self.where}")

    @property
    def _requested_extensions(self) -> Sequence[TLV]:
        """Each as it came. Raises Malformed."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sha256={self.hash.hex()[:16]}…)"


def verify_proof(
    key: PublicKey,
    scheme: AlgorithmIdentifier,
    signature: bytes,
    data: bytes,
    *,
    policy: AlgorithmPolicy,
    what: str,
) -> None:
    """Check a request's signature over `data` with a key that `pkix.algorithms.check_key` has let pass.

    what: whose signature it is, for the text. Raises AlgorithmRefused, IntegrityFailed.
    """
    # As a request's signature algorithm these two name no hash, and nobody can know which was meant.
    if scheme.algorithm in (oids.RSA_ENCRYPTION, oids.EC_PUBLIC_KEY):
        raise AlgorithmRefused(f"the {what}'s signature algorithm does not name a hash")
    try:
        verify(key, scheme, hashes.SHA512(), signature, data, policy=policy)
    except IntegrityFailed:
        raise IntegrityFailed(f"the {what}'s signature does not verify") from None
