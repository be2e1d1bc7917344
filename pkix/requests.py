"""What every request for a certificate has, whatever carries it: a name, a key, extensions, a proof of some worth.

PKCS #10 (`pkix.pkcs10`) and CRMF (`pkix.crmf`) differ in their octets, not in what they may ask for: the rules for
names, keys and extensions are here and in the modules named here. Subject and extensions are read by
`cryptography.x509`, which offers that for PKCS #10 only, so other requests are turned into one (`as_pkcs10`).
"""

from __future__ import annotations

import enum
import hashlib
import warnings
from functools import cached_property
from typing import ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from kem.parameters import by_oid, is_ml_kem
from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import SEQUENCE_TAG, AlgorithmIdentifier, BitString, Oid, attribute, encode, reason, wrap
from pkix.errors import AlgorithmRefused, IntegrityFailed, Malformed
from pkix.keys import key_type_of
from pkix.names import name_text
from pkix.public_keys import load_public_key
from pkix.signatures import verify
from pkix.subjects import check_subject

_ATTRIBUTES_TAG = 0xA0
_NO_KEY = wrap(SEQUENCE_TAG, wrap(SEQUENCE_TAG, encode(oids.ED25519)) + encode(BitString(bytes(32), 0)))


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
    def public_key(self) -> PublicKeyTypes:
        """The key to be certified. Raises AlgorithmRefused, Malformed; see `pkix.public_keys`."""
        if self.spki is None:
            raise Malformed(f"{self.what}: there is no public key in it")
        return load_public_key(self.spki, self.what)

    @cached_property
    def subject(self) -> x509.Name:
        """The subject as a Name. Raises Malformed for what no certificate may carry; see `pkix.subjects`."""
        check_subject(self.subject_der, self.what)
        try:
            with _quiet():
                return self._x509.subject
        except (ValueError, TypeError) as error:
            raise Malformed(f"{self.what}: unusable subject: {reason(error)}") from None

    @cached_property
    def subject_text(self) -> str:
        """The subject for people and the Store, as RFC 4514 has it. Raises Malformed."""
        return name_text(self.subject)

    @cached_property
    def extensions(self) -> x509.Extensions:
        """The requested extensions. Raises Malformed."""
        if not self._asks_for_extensions:
            return x509.Extensions([])
        try:
            with _quiet():
                return self._x509.extensions
        except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
            raise Malformed(f"{self.what}: unusable {self.where}: {reason(error)}") from None

    @property
    def _asks_for_extensions(self) -> bool:
        raise NotImplementedError

    @property
    def _x509(self) -> x509.CertificateSigningRequest:
        """Subject and extensions as `cryptography` reads them. Raises Malformed."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sha256={self.hash.hex()[:16]}…)"


def verify_proof(
    key: PublicKeyTypes,
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


def as_pkcs10(subject: bytes, extensions: bytes | None, what: str) -> x509.CertificateSigningRequest:
    """A request for a key of nobody that has this subject and these extensions, to be read and never verified.

    subject: DER Name. extensions: DER SEQUENCE OF Extension, or None. Raises Malformed.
    """
    attributes = b"" if extensions is None else attribute(oids.EXTENSION_REQUEST, extensions)
    info = wrap(SEQUENCE_TAG, encode(0) + subject + _NO_KEY + wrap(_ATTRIBUTES_TAG, attributes))
    unsigned = wrap(SEQUENCE_TAG, encode(oids.UNSIGNED)) + encode(BitString(b"", 0))
    try:
        return x509.load_der_x509_csr(wrap(SEQUENCE_TAG, info + unsigned))
    except (ValueError, x509.InvalidVersion) as error:
        raise Malformed(f"{what}: {reason(error)}") from None


def _quiet() -> warnings.catch_warnings[None]:
    """Keep `cryptography.x509` from warning about names that are longer than it likes, or than it counts."""
    return warnings.catch_warnings(action="ignore", category=UserWarning)
