"""RSA keys of the kind id-RSASSA-PSS, which only sign, and only so (RFC 4055 sections 1.2 and 3.1).

The AlgorithmIdentifier beside a key decides what the key is for. `cryptography` drops it and makes an RSA key of either
kind, so such a key is a type of its own here: nothing that asks for an RSA key takes it for one to encrypt to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from pkix import oids
from pkix.asn1 import AlgorithmIdentifier, Explicit, Oid, decode_parameters, number, sequence
from pkix.errors import AlgorithmRefused

_MOST_SALT = 1024  # octets; no key that is accepted anywhere has room for more
_TRAILER = 1


@sequence
class RsassaPssParams:
    """RFC 8017 appendix A.2.3; absent fields mean SHA-1, MGF1 with SHA-1, 20."""

    hash_algorithm: Annotated[AlgorithmIdentifier | None, Explicit(0)]
    mask_gen_algorithm: Annotated[AlgorithmIdentifier | None, Explicit(1)]
    salt_length: Annotated[int | None, Explicit(2)]
    trailer_field: Annotated[int | None, Explicit(3)]


@dataclass(frozen=True)
class PssParameters:
    """RSASSA-PSS-params with their defaults. digest, mask_digest: OIDs of hashes, known or not. salt_length: octets."""

    digest: Oid
    mask_digest: Oid
    salt_length: int

    @classmethod
    def of(cls, scheme: AlgorithmIdentifier) -> PssParameters:
        """Of an AlgorithmIdentifier with id-RSASSA-PSS. Raises Malformed, AlgorithmRefused for a mask other than MGF1,
        or a salt length or trailer field that nothing can have.
        """
        found = decode_parameters(RsassaPssParams, scheme, "RSASSA-PSS-params")
        digest = oids.SHA1 if found.hash_algorithm is None else found.hash_algorithm.algorithm
        mask_digest = oids.SHA1
        if found.mask_gen_algorithm is not None:
            if found.mask_gen_algorithm.algorithm != oids.MGF1:
                raise AlgorithmRefused("RSASSA-PSS with a mask generation function other than MGF1")
            mask_digest = decode_parameters(AlgorithmIdentifier, found.mask_gen_algorithm, "MGF1 parameters").algorithm
        salt_length = 20 if found.salt_length is None else found.salt_length
        if not 0 <= salt_length <= _MOST_SALT or found.trailer_field not in (None, _TRAILER):
            raise AlgorithmRefused("RSASSA-PSS with an unusable salt length or trailer field")
        return cls(digest, mask_digest, salt_length)


@dataclass(frozen=True)
class PssPublicKey:
    """rsa: the numbers. parameters: those beside the key, which bind its signatures; None if there are none."""

    rsa: rsa.RSAPublicKey
    parameters: PssParameters | None

    def check(self, made: PssParameters) -> None:
        """Refuse a signature's parameters that are not the key's: the same hashes, and a salt that is not shorter
        (RFC 4055 section 3.3). Raises AlgorithmRefused.
        """
        own = self.parameters
        if own is None:
            return
        if (made.digest, made.mask_digest) != (own.digest, own.mask_digest):
            raise AlgorithmRefused(
                f"an RSASSA-PSS signature with {_hashes(made)} by a key that is bound to {_hashes(own)} "
                "(RFC 4055 section 3.3)"
            )
        if made.salt_length < own.salt_length:
            raise AlgorithmRefused(
                f"an RSASSA-PSS signature with a salt of {number(made.salt_length)} octets by a key that asks for "
                f"{number(own.salt_length)} (RFC 4055 section 3.3)"
            )


PublicKey = PublicKeyTypes | PssPublicKey


def _hashes(parameters: PssParameters) -> str:
    digest, mask = oids.label(parameters.digest), oids.label(parameters.mask_digest)
    return digest if digest == mask else f"{digest} and MGF1 with {mask}"
