"""The signature on a certificate or a CRL (RFC 5280 sections 4.1.1 and 5.1.1), and who issued what."""

from __future__ import annotations

from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import TLV, AlgorithmIdentifier, BitString, decode, elements, encode, sequence, tag_of
from pkix.certificates import AnyCertificate, Certificate
from pkix.errors import Malformed, PkixError
from pkix.names import same_name
from pkix.pss import PublicKey
from pkix.requests import verify_proof

_BEFORE_THE_ALGORITHM = (0xA0, 0x02)  # version and serialNumber of a certificate, version of a CRL


@sequence
class _SignedObject:
    to_be_signed: TLV
    signature_algorithm: AlgorithmIdentifier
    signature: BitString


def has_issued(issuer: AnyCertificate, certificate: AnyCertificate) -> bool:
    """Whether one certificate is by the owner of the other: by name, in whatever spelling, and signature, of SHA-1 too.
    Neither validity nor extensions are looked at.
    """
    issuer, certificate = Certificate.of(issuer), Certificate.of(certificate)
    if not same_name(certificate.issuer, issuer.subject):
        return False
    try:
        verify_issued(issuer, certificate, AlgorithmPolicy(legacy=True))
    except PkixError:
        return False
    return True


def verify_issued(issuer: Certificate, certificate: Certificate, policy: AlgorithmPolicy) -> None:
    """Verify the signature on a certificate with the key of the one that it names as its issuer's.

    Raises Malformed, AlgorithmRefused, IntegrityFailed.
    """
    verify_signed_object(certificate.der, issuer.public_key, policy, "the certificate")


def verify_signed_object(der: bytes, key: PublicKey, policy: AlgorithmPolicy, what: str) -> None:
    """Verify the signature of a Certificate or CertificateList with its issuer's key, which `check_key` has let pass.

    der: the whole. what: whose it is, for the text. Raises Malformed, AlgorithmRefused, IntegrityFailed.
    """
    signed = decode(_SignedObject, der, what)
    if signed.signature.padding_bits():
        raise Malformed(f"{what}: the signature is not a whole number of octets")
    fields = [item for item in elements(signed.to_be_signed) if tag_of(item) not in _BEFORE_THE_ALGORITHM]
    if not fields or encode(fields[0]) != encode(signed.signature_algorithm):
        raise Malformed(f"{what}: its two signature algorithms differ (RFC 5280 section 4.1.1.2)")
    data, value = encode(signed.to_be_signed), signed.signature.as_bytes()
    verify_proof(key, signed.signature_algorithm, value, data, policy=policy, what=what.removeprefix("the "))
