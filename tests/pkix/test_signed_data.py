"""SignedData that is right: what we make everybody reads, and we read what `openssl cms` makes (RFC 5652 section 5)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes
from pyasn1.codec.der.decoder import decode as pyasn1_decode
from pyasn1_alt_modules import rfc5280, rfc8017

from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import Oid, UTCTime, encode, parse
from pkix.signed_data import SignedData, encode_degenerate, encode_signed_data
from tests.pkix import second_opinion
from tests.pkix.forge import Peer, digest_of, peer, signed_data
from tests.pkix.openssl import OpenSsl
from tests.pkix.tlv import Node, to_ber
from tests.world import NOW

POLICY = AlgorithmPolicy()
DIGESTS = [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()]
SCHEMES = [
    ("rsa:2048", False),
    ("rsa:2048", True),
    ("ec:P-256", False),
    ("ec:P-384", False),
    ("ec:P-521", False),
    ("ed25519", False),
    ("ml-dsa-44", False),
    ("ml-dsa-65", False),
    ("ml-dsa-87", False),
]
HASHING = ("ed25519", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87")
"""Key types that hash by themselves; their digestAlgorithm is always SHA-512 (RFC 8419, RFC 9882)."""
CONTENT = bytes(range(256)) * 5
PRIVATE_ATTRIBUTE = Oid("2.16.840.1.113733.1.9.7")
every_scheme = pytest.mark.parametrize(("key_type", "pss"), SCHEMES, ids=lambda value: str(value))
every_digest = pytest.mark.parametrize("digest", DIGESTS, ids=lambda digest: digest.name)


def made(
    key_type: str = "rsa:2048",
    *,
    pss: bool = False,
    digest: hashes.HashAlgorithm | None = None,
    content: bytes | None = CONTENT,
    now: datetime = NOW,
) -> bytes:
    """A message of ours with one attribute of its own."""
    who = peer(key_type)
    return encode_signed_data(
        content,
        [(PRIVATE_ATTRIBUTE, encode(b"an attribute"))],
        who.signer(pss=pss),
        digest or hashes.SHA256(),
        certificates=[who.certificate.der],
        now=now,
    )


def read(message: bytes, who: Peer) -> SignedData:
    """Decode, find the signer's certificate and verify."""
    found = SignedData.decode(message)
    certificate = found.signer_certificate()
    assert certificate == who.certificate
    found.verify(certificate, POLICY)
    return found


@every_digest
@every_scheme
def test_5_what_is_signed_verifies(key_type: str, pss: bool, digest: hashes.HashAlgorithm) -> None:
    found = read(made(key_type, pss=pss, digest=digest), peer(key_type))
    assert found.content == CONTENT
    assert found.content_type == oids.DATA
    assert found.certificates == (peer(key_type).certificate.der,)
    assert found.crls == ()
    assert parse(found.attributes[PRIVATE_ATTRIBUTE], bytes, "attribute") == b"an attribute"


@every_digest
@every_scheme
def test_pyasn1_reads_our_signed_data_as_der(key_type: str, pss: bool, digest: hashes.HashAlgorithm) -> None:
    found = second_opinion.signed_data(made(key_type, pss=pss, digest=digest))
    used = hashes.SHA512() if key_type in HASHING else digest
    (signer,) = found["signerInfos"]
    assert found["version"] == signer["version"] == 1
    assert [item["algorithm"] for item in found["digestAlgorithms"]] == [signer["digestAlgorithm"]["algorithm"]]
    assert bytes(found["encapContentInfo"]["eContent"]) == CONTENT
    assert signer["sid"].getName() == "issuerAndSerialNumber"
    values = {str(item["attrType"]): bytes(item["attrValues"][0]) for item in signer["signedAttrs"]}
    assert values[oids.CONTENT_TYPE.dotted_string] == encode(oids.DATA)
    assert values[oids.MESSAGE_DIGEST.dotted_string] == encode(digest_of(used, CONTENT))
    assert values[oids.SIGNING_TIME.dotted_string] == encode(UTCTime(NOW))
    assert values[PRIVATE_ATTRIBUTE.dotted_string] == encode(b"an attribute")
    assert len(values) == len(signer["signedAttrs"])


@pytest.mark.parametrize("digest", DIGESTS, ids=lambda digest: digest.name)
def test_rfc_4056_3_pss_parameters_name_one_hash_and_its_length(digest: hashes.HashAlgorithm) -> None:
    (signer,) = second_opinion.signed_data(made(pss=True, digest=digest))["signerInfos"]
    scheme = signer["signatureAlgorithm"]
    assert str(scheme["algorithm"]) == oids.RSASSA_PSS.dotted_string
    params = second_opinion.exactly(bytes(scheme["parameters"]), rfc8017.RSASSA_PSS_params())
    assert params["hashAlgorithm"]["algorithm"] == signer["digestAlgorithm"]["algorithm"]
    mask, _rest = pyasn1_decode(bytes(params["maskGenAlgorithm"]["parameters"]), asn1Spec=rfc5280.AlgorithmIdentifier())
    assert mask["algorithm"] == signer["digestAlgorithm"]["algorithm"]
    assert params["saltLength"] == digest.digest_size


@every_digest
@pytest.mark.parametrize(("key_type", "pss"), [scheme for scheme in SCHEMES if scheme[0] not in HASHING])
def test_openssl_verifies_ours(openssl: OpenSsl, key_type: str, pss: bool, digest: hashes.HashAlgorithm) -> None:
    assert openssl.verify(made(key_type, pss=pss, digest=digest)) == CONTENT


def test_rfc_8419_openssl_verifies_our_ed25519_signature_over_the_attributes(openssl: OpenSsl) -> None:
    (signer,) = second_opinion.signed_data(made("ed25519"))["signerInfos"]
    assert "parameters" not in signer["signatureAlgorithm"] or not signer["signatureAlgorithm"]["parameters"].hasValue()
    data = second_opinion.signed_attributes(signer)
    openssl.verify_ed25519(peer("ed25519"), bytes(signer["signature"]), data)


@pytest.mark.parametrize("content", [None, b"", b"\x00", b"x" * 70_000], ids=["absent", "empty", "one", "70 kB"])
def test_5_2_content_of_any_length_and_absent_content(content: bytes | None) -> None:
    message = made(content=content)
    second_opinion.signed_data(message)
    assert read(message, peer()).content == content


def test_11_3_signing_time_is_written_in_whole_seconds() -> None:
    moment = datetime(2026, 11, 21, 12, 0, 0, 987_654, tzinfo=UTC)
    found = read(made(now=moment), peer()).attributes
    assert parse(found[oids.SIGNING_TIME], UTCTime, "signingTime").as_datetime().replace(tzinfo=UTC) == NOW


@pytest.mark.parametrize("year", [1950, 2049])
def test_11_3_signing_time_from_1950_to_2049_is_utc_time(year: int) -> None:
    read(made(now=NOW.replace(year=year)), peer())


def test_11_3_signing_time_from_2050_is_generalized_time() -> None:
    signer = SignedData.decode(made(now=NOW.replace(year=2050))).attributes
    assert signer[oids.SIGNING_TIME].tag_bytes == b"\x18"


def test_repr_of_a_signer_hides_the_key() -> None:
    assert repr(peer().signer()) == f"Signer(key=<redacted>, serial={peer().certificate.serial_number:x})"


@pytest.mark.parametrize(
    "options", [(), ("-stream",), ("-keyid",), ("-stream", "-keyid"), ("-nosmimecap",)], ids=" ".join
)
@pytest.mark.parametrize("key_type", ["rsa:2048", "ec:P-256"])
def test_we_verify_what_openssl_signs(openssl: OpenSsl, key_type: str, options: tuple[str, ...]) -> None:
    found = read(openssl.sign(CONTENT, peer(key_type), *options), peer(key_type))
    assert found.content == CONTENT
    assert found.signer is not None
    assert isinstance(found.signer.sid, bytes) == ("-keyid" in options)


@every_digest
@pytest.mark.parametrize("key_type", ["rsa:2048", "ec:P-256", "ec:P-384", "ec:P-521"])
def test_we_verify_openssl_with_every_digest(openssl: OpenSsl, key_type: str, digest: hashes.HashAlgorithm) -> None:
    message = openssl.sign(CONTENT, peer(key_type), "-md", digest.name)
    assert read(message, peer(key_type)).content == CONTENT


@pytest.mark.parametrize("salt", ["digest", "max", "0", "default"])
def test_we_verify_pss_by_openssl_with_every_salt_length(openssl: OpenSsl, salt: str) -> None:
    # Without -keyopt rsa_pss_saltlen, `openssl cms` takes the longest salt that fits: 206 octets here.
    length = () if salt == "default" else ("-keyopt", f"rsa_pss_saltlen:{salt}")
    message = openssl.sign(CONTENT, peer(), "-md", "sha384", "-keyopt", "rsa_padding_mode:pss", *length)
    assert read(message, peer()).content == CONTENT


def test_we_verify_pss_by_openssl_in_ber(openssl: OpenSsl) -> None:
    # `openssl cms` 3.0 cannot combine -stream and PSS ("illegal zero content"), so its DER is turned into BER here.
    options = ("-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:digest")
    tree = Node.parse(openssl.sign(CONTENT, peer(), *options))
    assert read(to_ber(tree, lambda low, high: low), peer()).content == CONTENT


def test_empty_content_by_openssl(openssl: OpenSsl) -> None:
    assert read(openssl.sign(b"", peer()), peer()).content == b""


def test_the_content_survives_ber_with_definite_outer_lengths() -> None:
    # Bouncy Castle's DL encoding and old Go clients keep definite lengths but send strings in pieces.
    tree = Node.parse(made())
    content = signed_data(tree)[2][1]
    content[0] = Node(0x24, children=[Node(0x04, CONTENT[:1000]), Node(0x04, CONTENT[1000:])])
    assert read(tree.der(), peer()).content == CONTENT


def test_ber_in_the_signer_info_alone() -> None:
    tree = Node.parse(made())
    tree[1][0][4][0][5] = Node(0x24, children=[Node(0x04, tree[1][0][4][0][5].content)])
    assert read(tree.der(), peer()).content == CONTENT


def test_5_1_degenerate_form_has_no_content_and_no_signer() -> None:
    ders = [peer(kind).certificate.der for kind in ("rsa:2048", "ed25519", "ec:P-256")]
    message = encode_degenerate(ders)
    found = SignedData.decode(message)
    assert found == SignedData(oids.DATA, None, tuple(ders), (), None)


def test_pyasn1_and_openssl_read_the_degenerate_form(openssl: OpenSsl) -> None:
    message = encode_degenerate([peer().certificate.der])
    found = second_opinion.signed_data(message)
    assert len(found["digestAlgorithms"]) == len(found["signerInfos"]) == 0
    assert not found["encapContentInfo"]["eContent"].hasValue()
    printed = openssl.run("pkcs7", "-inform", "DER", "-print_certs", "-noout", "-in", openssl.file(message))
    assert printed.count(b"subject=") == 1


def test_degenerate_form_with_nothing_in_it() -> None:
    assert SignedData.decode(encode_degenerate()) == SignedData(oids.DATA, None, (), (), None)


def test_openssl_degenerate_form_with_a_crl(openssl: OpenSsl) -> None:
    certificate = openssl.certificate_file(peer())
    plain = ("crl2pkcs7", "-nocrl", "-outform", "DER", "-certfile", certificate)
    found = SignedData.decode(openssl.run(*plain))
    assert found.certificates == (peer().certificate.der,)
    assert found.signer is None
