"""Which digests, signature schemes and signer keys verify, which are refused, and by what name.

RFC 8894 sections 2.9 and 7.5 for the policy; RFC 4056, 5754, 5758 and 8419 for the schemes in CMS.
"""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import Oid, encode
from pkix.errors import AlgorithmRefused, IntegrityFailed, Malformed
from pkix.signatures import MlDsaPrivateKey
from pkix.signed_data import SignedData
from tests.pkix.forge import (
    NULL,
    Peer,
    SignedDataForge,
    algorithm,
    bit_string,
    certificate,
    peer,
    rsa_spki,
    sequence,
    small_rsa_key,
    spki,
)
from tests.pkix.tlv import integer, tlv

POLICY = AlgorithmPolicy()
LEGACY = AlgorithmPolicy(legacy=True)


def check(message: bytes, policy: AlgorithmPolicy = POLICY) -> None:
    """Decode and verify with the certificate that the message names."""
    found = SignedData.decode(message)
    found.verify(found.signer_certificate(), policy)


def signed_by(public_key_info: bytes, who: Peer | None = None) -> SignedDataForge:
    """A message whose signer has a certificate with any key; it is signed by `who`."""
    return SignedDataForge(Peer((who or peer()).key, certificate(public_key_info)))


@pytest.mark.parametrize("digest", [hashes.SHA1(), hashes.MD5(), hashes.SHA224()], ids=lambda digest: digest.name)  # noqa: S303
def test_rfc_8894_2_9_weak_digests_are_refused_by_name(digest: hashes.HashAlgorithm) -> None:
    with pytest.raises(AlgorithmRefused, match=r"use SHA-256") as caught:
        check(SignedDataForge(peer(), digest=digest, signature_digest=hashes.SHA256()).encode())
    assert {"sha1": "SHA-1", "md5": "MD5", "sha224": "sha224"}[digest.name] in caught.value.text


def test_legacy_policy_accepts_sha_1() -> None:
    check(SignedDataForge(peer(), digest=hashes.SHA1()).encode(), LEGACY)  # noqa: S303


@pytest.mark.parametrize("digest", [hashes.MD5(), hashes.SHA224()], ids=lambda digest: digest.name)  # noqa: S303
def test_legacy_policy_refuses_md5_and_sha_224(digest: hashes.HashAlgorithm) -> None:
    with pytest.raises(AlgorithmRefused, match="not supported"):
        check(SignedDataForge(peer(), digest=digest, signature_digest=hashes.SHA256()).encode(), LEGACY)


def test_a_good_digest_does_not_excuse_a_sha_1_signature() -> None:
    forge = SignedDataForge(peer(), scheme=algorithm(oids.SHA1_WITH_RSA, NULL))
    forge.signature_digest = hashes.SHA1()  # noqa: S303
    with pytest.raises(AlgorithmRefused, match="SHA-1"):
        check(forge.encode())
    check(forge.encode(), LEGACY)


def test_md5_with_rsa_is_refused_even_under_legacy() -> None:
    with pytest.raises(AlgorithmRefused, match="MD5"):
        check(SignedDataForge(peer(), scheme=algorithm(oids.MD5_WITH_RSA, NULL)).encode(), LEGACY)


def test_ecdsa_with_sha_1_is_refused() -> None:
    forge = SignedDataForge(peer("ec:P-256"), scheme=algorithm(oids.ECDSA_WITH_SHA1))
    forge.signature_digest = hashes.SHA1()  # noqa: S303
    with pytest.raises(AlgorithmRefused, match="SHA-1"):
        check(forge.encode())
    check(forge.encode(), LEGACY)


def test_rsa_of_1024_bits_is_refused() -> None:
    weak = small_rsa_key()
    forge = signed_by(spki(weak.public_key()), Peer(weak, peer().certificate))
    with pytest.raises(AlgorithmRefused, match="signer certificate: RSA key of 1024 bits; 2048 to 8192"):
        check(forge.encode(), LEGACY)


@pytest.mark.parametrize("bits", [8193, 16384, 20_000, 100_000])
def test_rsa_that_costs_too_much_is_refused(bits: int) -> None:
    with pytest.raises(AlgorithmRefused):
        check(signed_by(rsa_spki((1 << bits) - 1, 65537)).encode())


@pytest.mark.parametrize("exponent", [-3, 0, 1, 2, 4, 65536, (1 << 65) + 1, (1 << 2047) + 1])
def test_rsa_exponents_that_prove_nothing_or_cost_too_much_are_refused(exponent: int) -> None:
    private = peer().key
    assert isinstance(private, rsa.RSAPrivateKey)
    with pytest.raises(AlgorithmRefused):
        check(signed_by(rsa_spki(private.public_key().public_numbers().n, exponent)).encode())


def test_rsa_exponent_1_would_verify_anything() -> None:
    # With e = 1 the padded digest is its own signature, so anybody could have made this one.
    private = peer().key
    assert isinstance(private, rsa.RSAPrivateKey)
    public = private.public_key().public_numbers()

    def signature(data: bytes) -> bytes:
        real = private.sign(data, SignedDataForge(peer()).rsa_padding, hashes.SHA256())
        return pow(int.from_bytes(real, "big"), public.e, public.n).to_bytes(256, "big")

    forge = signed_by(rsa_spki(public.n, 1))
    forge.make_signature = signature
    with pytest.raises(AlgorithmRefused):
        check(forge.encode())


@pytest.mark.parametrize("digest", [hashes.SHA256(), hashes.SHA512()], ids=lambda digest: digest.name)
def test_ecdsa_signature_algorithm_named_by_the_key_as_java_does(digest: hashes.HashAlgorithm) -> None:
    check(SignedDataForge(peer("ec:P-256"), digest=digest, scheme=algorithm(oids.EC_PUBLIC_KEY)).encode())


def test_ecdsa_signature_algorithm_with_null_parameters_is_tolerated() -> None:
    check(SignedDataForge(peer("ec:P-256"), scheme=algorithm(oids.ECDSA_WITH_SHA256, NULL)).encode())


@pytest.mark.parametrize("parameters", [b"", NULL], ids=["absent", "NULL"])
def test_rfc_5754_2_digest_parameters_absent_and_null(parameters: bytes) -> None:
    check(SignedDataForge(peer(), digest_algorithm=algorithm(oids.SHA256, parameters)).encode())


@pytest.mark.parametrize("parameters", [b"", NULL], ids=["absent", "NULL"])
@pytest.mark.parametrize("oid", [oids.RSA_ENCRYPTION, oids.SHA256_WITH_RSA], ids=oids.label)
def test_rsa_signature_algorithm_names_and_parameters(oid: Oid, parameters: bytes) -> None:
    check(SignedDataForge(peer(), scheme=algorithm(oid, parameters)).encode())


@pytest.mark.parametrize(
    ("kind", "scheme"),
    [
        ("rsa:2048", oids.ECDSA_WITH_SHA256),
        ("rsa:2048", oids.ED25519),
        ("rsa:2048", oids.SHA256),
        ("ec:P-256", oids.RSA_ENCRYPTION),
        ("ec:P-256", oids.ED25519),
        ("ed25519", oids.RSA_ENCRYPTION),
        ("ed25519", oids.ECDSA_WITH_SHA256),
    ],
)
def test_signature_algorithm_of_another_key(kind: str, scheme: Oid) -> None:
    with pytest.raises(AlgorithmRefused, match=r"signature algorithm .* with a"):
        check(SignedDataForge(peer(kind), scheme=algorithm(scheme)).encode())


@pytest.mark.parametrize(
    "public_key_info",
    [
        sequence(algorithm(Oid("1.2.840.10040.4.1")), bit_string(integer(5))),
        sequence(algorithm(Oid("2.16.840.1.101.3.4.4.1")), bit_string(bytes(800))),
        sequence(algorithm(oids.ED25519), bit_string(bytes(31))),
        sequence(algorithm(oids.EC_PUBLIC_KEY, encode(Oid("1.2.840.10045.3.1.7"))), bit_string(b"\x04" + bytes(64))),
        sequence(algorithm(oids.EC_PUBLIC_KEY, encode(Oid("1.3.132.0.33"))), bit_string(b"\x04" + bytes(56))),
        sequence(algorithm(oids.RSA_ENCRYPTION, NULL), bit_string(b"junk")),
        sequence(algorithm(Oid("1.3.101.110")), bit_string(bytes(31) + b"\x01")),
    ],
    ids=["DSA", "ML-KEM", "short Ed25519", "point not on the curve", "P-224", "RSA junk", "X25519"],
)
def test_signer_keys_that_cannot_be_used(public_key_info: bytes) -> None:
    with pytest.raises(AlgorithmRefused):
        check(signed_by(public_key_info).encode())


def test_secp256k1_is_refused_by_name() -> None:
    other = spki(ec.generate_private_key(ec.SECP256K1()).public_key())
    with pytest.raises(AlgorithmRefused, match="curve secp256k1; P-256, P-384 and P-521 are accepted"):
        check(signed_by(other, peer("ec:P-256")).encode())


def explicit(number: int, der: bytes) -> bytes:
    """[number] EXPLICIT."""
    return tlv(0xA0 | number, der)


def mgf1(digest: Oid = oids.SHA256) -> bytes:
    """RSASSA-PSS-params field [1]."""
    return explicit(1, algorithm(oids.MGF1, algorithm(digest)))


SHA256 = explicit(0, algorithm(oids.SHA256))


def pss(parameters: bytes, *, salt: int = 32, mask: hashes.HashAlgorithm | None = None) -> SignedDataForge:
    """A PSS signature with SHA-256, made with this salt and mask hash, under any parameters."""
    scheme = padding.PSS(padding.MGF1(mask or hashes.SHA256()), salt)
    return SignedDataForge(peer(), scheme=algorithm(oids.RSASSA_PSS, parameters), rsa_padding=scheme)


@pytest.mark.parametrize("salt", [0, 1, 20, 32, 128, 129, 222])
def test_rfc_8017_9_1_pss_with_every_salt_that_fits(salt: int) -> None:
    check(pss(sequence(SHA256, mgf1(), explicit(2, integer(salt))), salt=salt).encode())


def test_rfc_8017_a_2_3_pss_salt_of_20_when_absent() -> None:
    check(pss(sequence(SHA256, mgf1()), salt=20).encode())


def test_rfc_8017_a_2_3_pss_trailer_field_written_out() -> None:
    check(pss(sequence(SHA256, mgf1(), explicit(2, integer(32)), explicit(3, integer(1)))).encode())


def test_rfc_8017_a_2_3_pss_with_another_hash_in_the_mask() -> None:
    parameters = sequence(SHA256, mgf1(oids.SHA512), explicit(2, integer(32)))
    check(pss(parameters, mask=hashes.SHA512()).encode())


def test_rfc_8017_a_2_3_pss_defaults_are_sha_1_and_need_the_legacy_policy() -> None:
    forge = pss(sequence(), salt=20, mask=hashes.SHA1())  # noqa: S303
    forge.signature_digest = hashes.SHA1()  # noqa: S303
    with pytest.raises(AlgorithmRefused, match="SHA-1"):
        check(forge.encode())
    check(forge.encode(), LEGACY)


def test_pss_with_the_default_mask_needs_the_legacy_policy() -> None:
    forge = pss(sequence(SHA256, explicit(2, integer(32))), mask=hashes.SHA1())  # noqa: S303
    with pytest.raises(AlgorithmRefused, match="SHA-1"):
        check(forge.encode())
    check(forge.encode(), LEGACY)


@pytest.mark.parametrize("salt", [31, 33, 190])
def test_pss_with_another_salt_length_than_it_says(salt: int) -> None:
    with pytest.raises(IntegrityFailed):
        check(pss(sequence(SHA256, mgf1(), explicit(2, integer(salt)))).encode())


@pytest.mark.parametrize("salt", [223, 256, 1 << 31, 1 << 70, -1, -(1 << 70)])
def test_pss_with_a_salt_length_that_no_key_has(salt: int) -> None:
    with pytest.raises((AlgorithmRefused, IntegrityFailed)):
        check(pss(sequence(SHA256, mgf1(), explicit(2, integer(salt)))).encode())


@pytest.mark.parametrize("trailer", [0, 2, -1, 1 << 70])
def test_pss_with_another_trailer_is_refused(trailer: int) -> None:
    with pytest.raises(AlgorithmRefused, match="trailer"):
        check(pss(sequence(SHA256, mgf1(), explicit(2, integer(32)), explicit(3, integer(trailer)))).encode())


def test_pss_with_another_mask_function_is_refused() -> None:
    mask = explicit(1, algorithm(oids.SHA256, algorithm(oids.SHA256)))
    with pytest.raises(AlgorithmRefused, match="mask generation function"):
        check(pss(sequence(SHA256, mask)).encode())


def test_pss_with_md5_is_refused_even_under_legacy() -> None:
    with pytest.raises(AlgorithmRefused, match="MD5"):
        check(pss(sequence(explicit(0, algorithm(oids.MD5)), mgf1())).encode(), LEGACY)


@pytest.mark.parametrize(
    "parameters",
    [
        b"",
        NULL,
        integer(1),
        sequence(SHA256, explicit(1, algorithm(oids.MGF1))),
        sequence(SHA256, explicit(1, algorithm(oids.MGF1, NULL))),
        sequence(SHA256, mgf1(), explicit(2, tlv(0x04, b"32"))),
        sequence(mgf1(), SHA256),
        sequence(SHA256, SHA256),
        sequence(SHA256, mgf1(), explicit(4, integer(1))),
    ],
    ids=["absent", "NULL", "integer", "no MGF1 hash", "MGF1 NULL", "salt of text", "order", "twice", "unknown"],
)
def test_pss_parameters_of_wrong_structure(parameters: bytes) -> None:
    with pytest.raises(Malformed):
        check(pss(parameters).encode())


def test_pss_with_an_ec_key_is_refused() -> None:
    scheme = algorithm(oids.RSASSA_PSS, sequence(SHA256, mgf1()))
    with pytest.raises(AlgorithmRefused, match=r"RSASSA-PSS .* with an EC key"):
        check(SignedDataForge(peer("ec:P-256"), scheme=scheme).encode())


@pytest.mark.parametrize("kind", ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"])
def test_a_policy_without_ml_dsa_refuses_its_signers(kind: str) -> None:
    forge = ml_dsa(kind)
    check(forge.encode())
    with pytest.raises(AlgorithmRefused, match="signer certificate: ML-DSA is not enabled here"):
        check(forge.encode(), AlgorithmPolicy(ml_dsa=False))


ML_DSA = {"ml-dsa-44": oids.ML_DSA_44, "ml-dsa-65": oids.ML_DSA_65, "ml-dsa-87": oids.ML_DSA_87}


def ml_dsa(kind: str, parameters: bytes = b"", digest: hashes.HashAlgorithm | None = None) -> SignedDataForge:
    """A message signed with ML-DSA."""
    private = peer(kind).key
    assert isinstance(private, MlDsaPrivateKey)
    scheme = algorithm(ML_DSA[kind], parameters)
    return SignedDataForge(peer(kind), digest=digest or hashes.SHA512(), scheme=scheme, make_signature=private.sign)


@pytest.mark.parametrize(
    ("kind", "digest", "accepted"),
    [
        ("ml-dsa-44", hashes.SHA256(), True),
        ("ml-dsa-65", hashes.SHA256(), False),
        ("ml-dsa-65", hashes.SHA384(), True),
        ("ml-dsa-87", hashes.SHA384(), False),
    ],
)
def test_rfc_9882_3_3_digests_beside_ml_dsa(kind: str, digest: hashes.HashAlgorithm, accepted: bool) -> None:
    forge = ml_dsa(kind, digest=digest)
    if accepted:
        check(forge.encode())
        return
    with pytest.raises(AlgorithmRefused, match="use SHA-512"):
        check(forge.encode())


def test_rfc_9882_3_ml_dsa_has_no_parameters() -> None:
    with pytest.raises(AlgorithmRefused, match="signature algorithm"):
        check(ml_dsa("ml-dsa-65", NULL).encode())


def test_ml_dsa_of_another_parameter_set() -> None:
    forge = ml_dsa("ml-dsa-65")
    forge.scheme = algorithm(oids.ML_DSA_87)
    with pytest.raises(AlgorithmRefused, match="signature algorithm"):
        check(forge.encode())


def test_ml_dsa_signature_of_something_else() -> None:
    forge = ml_dsa("ml-dsa-44")
    forge.make_signature = lambda data: bytes(2420)
    with pytest.raises(IntegrityFailed):
        check(forge.encode())
