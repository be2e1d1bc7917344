"""RFC 5652 section 5.4: a signature that does not verify stays refused, and the usual slips are named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from pkix import oids, signature_slips
from pkix.algorithms import AlgorithmPolicy
from pkix.errors import IntegrityFailed
from pkix.signed_data import SignedData
from tests.pkix.forge import NULL, SignedDataForge, algorithm, attribute, digest_of, peer
from tests.pkix.tlv import tlv

REFUSED = "the signature does not verify with the signer certificate's key"
SHA256, SHA384, SHA512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()
SHA1 = hashes.SHA1()  # noqa: S303 - what a peer may use by mistake
CONTENT = b"the content"
# What the texts begin with.
TAG = "it is over the attributes with the tag [0] (A0); that of a SET OF (31) belongs there"
BARE = "it is over the attributes without the tag and length of their SET OF"
OVER_CONTENT = "it is over the content; where there are signed attributes, it is over them"
TWICE = "it is over the hash of the signed attributes, which was hashed once more"
OTHER = "it is by this key, but over other octets than the signed attributes that came"
HASH = "its hash is {}, and by the algorithms in SignerInfo it is {}"
DIGEST_INFO = "it has the hash without a DigestInfo around it (RFC 8017 section 9.2)"

KINDS = ("rsa:2048", "rsa-pss", "ec:P-256", "ec:P-384", "ec:P-521", "ed25519", "ml-dsa-44")
Change = Callable[[bytes], bytes]


def contents(der: bytes) -> bytes:
    return der[2 if der[1] < 0x80 else 2 + (der[1] & 0x7F) :]


OVER_OTHER_OCTETS: dict[str, tuple[Change, str]] = {
    "tag A0": (lambda der: b"\xa0" + der[1:], TAG),
    "content": (lambda der: CONTENT, OVER_CONTENT),
    "double hash": (lambda der: digest_of(SHA256, der), TWICE),
    "no tag": (contents, BARE),
    "other octets": (lambda der: b"anything", OTHER),
}
# What is not looked for, because each try costs a verification.
NOT_TOLD = {(kind, slip) for kind in KINDS[1:] for slip in ("other octets",)}
NOT_TOLD |= {(kind, "no tag") for kind in KINDS[1:5]} | {("rsa-pss", "double hash")}
NOT_TOLD |= {(kind, slip) for kind in ("ec:P-384", "ec:P-521") for slip in ("content", "double hash")}


def forge(kind: str) -> SignedDataForge:
    """A right SignedData of a peer with this kind of key, all with SHA-256."""
    made = SignedDataForge(peer("rsa:2048" if kind == "rsa-pss" else kind))
    long = attribute(oids.DES_CBC, tlv(0x04, bytes(200)))  # so that their length has more than one octet
    made.attributes = [*made.default_attributes(), long]
    if kind == "rsa-pss":
        made.rsa_padding = padding.PSS(padding.MGF1(SHA256), 32)
        made.scheme = pss_scheme(32)
    if kind == "ml-dsa-44":
        made.scheme = algorithm(oids.ML_DSA_44)
    return made


def pss_scheme(salt: int) -> bytes:
    digest = algorithm(oids.SHA256, NULL)
    mask = algorithm(oids.MGF1, digest)
    return algorithm(
        oids.RSASSA_PSS, tlv(0x30, tlv(0xA0, digest), tlv(0xA1, mask), tlv(0xA2, tlv(0x02, bytes((salt,)))))
    )


def refused(made: SignedDataForge) -> str:
    """What the text has behind its first words; "" if it ends with them."""
    found = SignedData.decode(made.encode())
    with pytest.raises(IntegrityFailed) as caught:
        found.verify(found.signer_certificate(), AlgorithmPolicy())
    assert caught.value.text.startswith(REFUSED)
    return caught.value.text.removeprefix(REFUSED).removeprefix(": ")


@pytest.mark.parametrize("kind", KINDS)
def test_the_messages_without_a_slip_verify(kind: str) -> None:
    found = SignedData.decode(forge(kind).encode())
    found.verify(found.signer_certificate(), AlgorithmPolicy())


@pytest.mark.parametrize("slip", OVER_OTHER_OCTETS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_over_other_octets(kind: str, slip: str) -> None:
    change, text = OVER_OTHER_OCTETS[slip]
    made = forge(kind)
    made.make_signature = lambda der: made._signature(change(der))
    said = refused(made)
    assert said.startswith(text) if (kind, slip) not in NOT_TOLD else said == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_by_another_key(kind: str) -> None:
    made, other = forge(kind), forge(kind)
    other.peer = peer("rsa:2048" if kind == "rsa-pss" else kind, "somebody else")
    made.make_signature = other._signature
    assert refused(made) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_no_octets_make_a_slip(kind: str) -> None:
    """Whatever stands there, also what no library can read."""
    for octets in (b"", b"\0", bytes(64), bytes(256), b"\xff" * 64, b"\xff" * 256, b"\xff" * 132):
        made = forge(kind)
        made.make_signature = lambda der, octets=octets: octets  # type: ignore[misc]
        said = refused(made)
        told = kind in ("rsa:2048", "rsa-pss") and len(octets) != 256
        assert said == (f"it has {len(octets)} octets, and one by this key has 256" if told else "")


def test_a_large_content_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature_slips, "_MAX_CONTENT", len(CONTENT) - 1)
    made = forge("rsa:2048")
    made.make_signature = lambda der: made._signature(CONTENT)
    assert refused(made) == OTHER


# RSA PKCS #1 v1.5: what is in the block


def rsa_key() -> rsa.RSAPrivateKey:
    key = peer().key
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def block(inside: bytes) -> bytes:
    """A signature whose block of type 1 has this inside (RFC 8017 section 9.2)."""
    numbers = rsa_key().private_numbers()
    padded = b"\x00\x01" + b"\xff" * (256 - 3 - len(inside)) + b"\x00" + inside
    return pow(int.from_bytes(padded, "big"), numbers.d, numbers.public_numbers.n).to_bytes(256, "big")


def digest_info(digest: bytes, value: bytes) -> bytes:
    return tlv(0x30, digest, tlv(0x04, value))


def sha256(der: bytes) -> bytes:
    return digest_of(SHA256, der)


IN_THE_BLOCK: dict[str, tuple[Change, str]] = {
    "no DigestInfo": (sha256, DIGEST_INFO),
    "no DigestInfo, SHA-1": (
        lambda der: digest_of(SHA1, der),
        f"{HASH.format('SHA-1', 'SHA-256')}; {DIGEST_INFO}",
    ),
    "no NULL": (
        lambda der: digest_info(algorithm(oids.SHA256), sha256(der)),
        "its DigestInfo has not NULL for parameters (RFC 8017 section 9.2)",
    ),
    "SHA-1": (
        lambda der: digest_info(algorithm(oids.SHA1, NULL), digest_of(SHA1, der)),
        HASH.format("SHA-1", "SHA-256"),
    ),
    "SHA-512 over the content": (
        lambda der: digest_info(algorithm(oids.SHA512, NULL), digest_of(SHA512, CONTENT)),
        f"{HASH.format('SHA-512', 'SHA-256')}; {OVER_CONTENT} (RFC 5652 section 5.4)",
    ),
    "no hash": (
        lambda der: b"anything",
        "the block that it holds has no DigestInfo with a known hash (RFC 8017 section 9.2)",
    ),
    "unknown hash": (
        lambda der: digest_info(algorithm(oids.DES_CBC, NULL), bytes(32)),
        "the block that it holds has no DigestInfo with a known hash (RFC 8017 section 9.2)",
    ),
}


@pytest.mark.parametrize("slip", IN_THE_BLOCK)
def test_rsa_what_is_in_the_block(slip: str) -> None:
    inside, text = IN_THE_BLOCK[slip]
    assert refused(SignedDataForge(peer(), make_signature=lambda der: block(inside(der)))) == text


def test_a_hash_that_the_machine_does_not_have_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some do without MD5, or without SHA-1."""

    def hash_of(digest: hashes.HashAlgorithm, data: bytes) -> bytes:
        raise UnsupportedAlgorithm(digest.name)

    monkeypatch.setattr(signature_slips, "hash_of", hash_of)
    md5 = digest_info(algorithm(oids.MD5, NULL), bytes(16))
    assert refused(SignedDataForge(peer(), make_signature=lambda der: block(md5))) == ""


def test_rsa_reversed_octets() -> None:
    """As Windows' CAPI has them."""
    made = forge("rsa:2048")
    made.make_signature = lambda der: made._signature(der)[::-1]
    assert refused(made) == "its octets stand in reverse; the most significant comes first (RFC 8017 section 4.1)"


def test_rsa_pss_under_another_name() -> None:
    made = forge("rsa-pss")
    made.scheme = algorithm(oids.RSA_ENCRYPTION, NULL)
    assert refused(made).startswith("it is one of RSASSA-PSS, and signatureAlgorithm says PKCS #1 v1.5;")


def test_pss_that_is_pkcs1() -> None:
    made = forge("rsa-pss")
    made.rsa_padding = padding.PKCS1v15()
    assert refused(made) == "it is one of PKCS #1 v1.5, and signatureAlgorithm says RSASSA-PSS"


def test_pss_with_another_salt() -> None:
    made = forge("rsa-pss")
    made.rsa_padding = padding.PSS(padding.MGF1(SHA256), 20)
    assert refused(made).startswith("RSASSA-PSS-params has another salt length or MGF1 hash than it was made with")


def test_the_hash_that_signature_algorithm_names_counts() -> None:
    made = forge("rsa:2048")
    made.scheme = algorithm(oids.SHA512_WITH_RSA, NULL)
    assert refused(made) == HASH.format("SHA-256", "SHA-512")


# ECDSA


@pytest.mark.parametrize(
    ("kind", "used", "told"),
    [("ec:P-384", SHA384, "SHA-384"), ("ec:P-521", SHA512, "SHA-512"), ("ec:P-256", SHA1, "SHA-1")],
)
def test_ecdsa_with_another_hash(kind: str, used: hashes.HashAlgorithm, told: str) -> None:
    made = forge(kind)
    made.signature_digest = used
    assert refused(made) == HASH.format(told, "SHA-256")


@pytest.mark.parametrize(("kind", "half"), [("ec:P-256", 32), ("ec:P-384", 48), ("ec:P-521", 66)])
def test_ecdsa_r_and_s_side_by_side(kind: str, half: int) -> None:
    """IEEE P1363, as Web Cryptography and .NET have it."""
    made = forge(kind)

    def side_by_side(der: bytes) -> bytes:
        return b"".join(number.to_bytes(half, "big") for number in decode_dss_signature(made._signature(der)))

    made.make_signature = side_by_side
    text = "it is r and s side by side; they stand in a SEQUENCE of two INTEGERs (RFC 3279 section 2.2.3)"
    assert refused(made) == text


# What it costs


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_signature_costs_few_operations(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers send them as they please."""
    tried = []
    for name in ("_verifies", "_recovered"):
        real = getattr(signature_slips, name)
        monkeypatch.setattr(signature_slips, name, lambda *given, real=real: tried.append(1) or real(*given))
    made, other = forge(kind), forge(kind)
    other.peer = peer("rsa:2048" if kind == "rsa-pss" else kind, "somebody else")
    made.make_signature = other._signature
    assert refused(made) == ""
    assert 1 <= len(tried) <= 4
