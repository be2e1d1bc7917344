"""Somebody with an ML-KEM key: as a recipient, as an identity, and as who asks for a certificate."""

from __future__ import annotations

from functools import partial

from kem.keys import encode_public_key
from pkix import oids
from pkix.certificates import key_identifier
from pkix.kem_recipients import KemIdentity, KemRecipient
from tests.pkix.forge import certificate
from tests.world import BACKENDS, kem_key

KEM_SPKI = encode_public_key(kem_key()[1])
KEM_CERTIFICATE = certificate(KEM_SPKI)


def kem_recipient() -> KemRecipient:
    """Named by the certificate."""
    _private, public = kem_key()
    return KemRecipient(oids.ML_KEM_768, partial(BACKENDS.encapsulate, public), KEM_CERTIFICATE.issuer_and_serial)


def kem_identity() -> KemIdentity:
    """Whom `kem_recipient` addresses."""
    private, _public = kem_key()
    decapsulate = partial(BACKENDS.decapsulate, private)
    return KemIdentity(oids.ML_KEM_768, decapsulate, KEM_CERTIFICATE, key_identifier(KEM_SPKI))
