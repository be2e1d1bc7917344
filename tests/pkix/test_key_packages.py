"""AsymmetricKeyPackage with one key (RFC 5958): pyasn1 and OpenSSL read ours, and what is wrong is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from pyasn1.codec.der.encoder import encode as pyasn1_encode
from pyasn1_alt_modules import rfc5958

from kem.errors import InvalidKey, KemError
from kem.keys import DecapsulationKey, PrivateKeyForm, encode_private_key, encode_public_key
from pkix import oids
from pkix.algorithms import AES256, AlgorithmPolicy
from pkix.content_info import content_of, encode_content_info
from pkix.enveloped_data import Expected, decrypt, encrypt
from pkix.errors import AlgorithmRefused, Malformed, PkixError
from pkix.key_packages import PrivateKey, decode_key_package, encode_key_package
from pkix.keys import spki_of
from pkix.recipients import RsaRecipient
from pkix.signed_data import SignedData, Signer, encode_signed_data
from tests.pkix import second_opinion
from tests.pkix.forge import algorithm, peer, sequence
from tests.pkix.openssl import OpenSsl
from tests.pkix.tlv import Node, integer, tlv
from tests.world import NOW, Random, kem_key, key

SIGNING = ("rsa:2048", "ec:P-256", "ec:P-521", "ed25519", "ml-dsa-65")


def pair(kind: str) -> tuple[PrivateKey, bytes]:
    """A private key and its SubjectPublicKeyInfo."""
    if kind.startswith("ml-kem"):
        private, public = kem_key(kind.upper())
        return private, encode_public_key(public)
    made = key(kind)
    return made, spki_of(made)


def package(kind: str = "ec:P-256") -> bytes:
    """Ours."""
    return encode_key_package(*pair(kind))


def octets(found: PrivateKey) -> bytes:
    """What makes two keys the same."""
    return encode_private_key(found) if isinstance(found, DecapsulationKey) else spki_of(found)


def changed(change: Callable[[Node], None], kind: str = "ec:P-256") -> bytes:
    """A package with one change made to its OneAsymmetricKey: version, algorithm, privateKey, publicKey."""
    tree = Node.parse(package(kind))
    change(tree[0])
    return tree.der()


@pytest.mark.parametrize("kind", [*SIGNING, "ml-kem-768", "ml-kem-1024"])
def test_what_we_write_we_read(kind: str) -> None:
    private, _spki = pair(kind)
    assert octets(decode_key_package(package(kind))) == octets(private)


@pytest.mark.parametrize("kind", [*SIGNING, "ml-kem-768"])
def test_rfc_5958_2_pyasn1_reads_ours_and_we_read_its(kind: str) -> None:
    found = second_opinion.exactly(package(kind), rfc5958.AsymmetricKeyPackage())
    (one,) = found
    _private, spki = pair(kind)
    assert int(one["version"]) == 1
    assert pyasn1_encode(one["privateKeyAlgorithm"]) == Node.parse(spki)[0].der()
    assert one["publicKey"].asOctets() == Node.parse(spki)[1].content[1:]
    assert not one["attributes"].isValue
    assert octets(decode_key_package(pyasn1_encode(found))) == octets(pair(kind)[0])


def test_rfc_9935_6_an_ml_kem_key_is_its_seed() -> None:
    private, _spki = pair("ml-kem-768")
    assert isinstance(private, DecapsulationKey) and private.seed is not None
    assert Node.parse(package("ml-kem-768"))[0][2].content == tlv(0x80, private.seed)
    found = decode_key_package(package("ml-kem-768"))
    assert isinstance(found, DecapsulationKey) and found.form is PrivateKeyForm.seed


def test_rfc_9935_6_an_ml_kem_key_without_a_seed_is_not_written_but_read() -> None:
    private, spki = pair("ml-kem-768")
    assert isinstance(private, DecapsulationKey)
    expanded = DecapsulationKey(private.parameter_set, expanded=private.expanded_key())
    with pytest.raises(InvalidKey, match="has no seed"):
        encode_key_package(expanded, spki)

    def change(one: Node) -> None:
        one[2].content = tlv(0x04, private.expanded_key())

    found = decode_key_package(changed(change, "ml-kem-768"))
    assert isinstance(found, DecapsulationKey) and found.form is PrivateKeyForm.expandedKey


@pytest.mark.parametrize("kind", ["rsa:2048", "ec:P-256", "ed25519"])
def test_openssl_reads_the_one_key(openssl: OpenSsl, kind: str) -> None:
    """OpenSSL reads a OneAsymmetricKey alone, and 3.0 only its version v1."""

    def to_v1(one: Node) -> None:
        one[0].content = b"\x00"
        del one[3]

    one = Node.parse(changed(to_v1, kind))[0].der()
    printed = openssl.run("pkey", "-inform", "DER", "-in", openssl.file(one), "-pubout", "-outform", "DER")
    assert printed == pair(kind)[1]


@pytest.mark.parametrize("kind", [*SIGNING, "ml-kem-768"])
def test_version_v1_without_a_public_key_is_read(kind: str) -> None:
    def change(one: Node) -> None:
        one[0].content = b"\x00"
        del one[3]

    assert octets(decode_key_package(changed(change, kind))) == octets(pair(kind)[0])


def test_attributes_are_passed_over() -> None:
    def change(one: Node) -> None:
        one.insert(3, Node(0xA0, children=[]))

    assert octets(decode_key_package(changed(change))) == octets(pair("ec:P-256")[0])


def test_in_signed_data_in_an_envelope_as_cmc_and_est_send_it(openssl: OpenSsl) -> None:
    """OpenSSL takes it out of both, and so do we."""
    signer = Signer(peer("ec:P-256").key, peer("ec:P-256").certificate, by_key=True)
    signed = encode_signed_data(
        package("ml-kem-768"),
        [],
        signer,
        hashes.SHA256(),
        certificates=[signer.certificate.der],
        now=NOW,
        content_type=oids.ASYMMETRIC_KEY_PACKAGE,
    )
    bare = content_of(signed, oids.SIGNED_DATA)
    message = encrypt(bare, [RsaRecipient(peer().certificate)], AES256, Random("k"), content_type=oids.SIGNED_DATA)
    opened = decrypt(message, [peer().identity()], AlgorithmPolicy(), expected=Expected(oids.SIGNED_DATA)).content
    assert openssl.decrypt(message, peer()) == opened == bare
    found = SignedData.decode(encode_content_info(oids.SIGNED_DATA, opened))
    found.verify(found.signer_certificate(), AlgorithmPolicy())
    assert found.content_type == oids.ASYMMETRIC_KEY_PACKAGE
    assert openssl.verify(encode_content_info(oids.SIGNED_DATA, bare)) == found.content
    assert octets(decode_key_package(found.content or b"")) == octets(pair("ml-kem-768")[0])


# Refused


@pytest.mark.parametrize("count", [0, 2, 3])
def test_other_than_one_key_is_refused(count: int) -> None:
    tree = Node.parse(package())
    tree.children = [tree[0]] * count
    with pytest.raises(Malformed, match="exactly one key"):
        decode_key_package(tree.der())


@pytest.mark.parametrize("tag", [0x31, 0xA0])
def test_another_tag_than_sequence_is_refused(tag: int) -> None:
    with pytest.raises(Malformed):
        decode_key_package(tlv(tag, Node.parse(package())[0].der()))


@pytest.mark.parametrize("kind", ["ec:P-256", "ml-kem-768"])
@pytest.mark.parametrize(
    ("version", "public"),
    [(0, True), (1, False), (2, True), (-1, False), (1 << 20_000, True)],
    ids=["v1 and publicKey", "v2 and none", "2", "-1", "2^20000"],
)
def test_rfc_5958_2_the_version_fits_the_public_key(kind: str, version: int, public: bool) -> None:
    def change(one: Node) -> None:
        one[0] = Node.parse(integer(version))
        if not public:
            del one[3]

    with pytest.raises(Malformed, match="does not fit it"):
        decode_key_package(changed(change, kind))


@pytest.mark.parametrize("kind", [*SIGNING, "ml-kem-768"])
def test_another_public_key_is_refused(kind: str) -> None:
    def flip(one: Node) -> None:
        found = bytearray(one[3].content)
        found[20] ^= 1
        one[3].content = bytes(found)

    def cut(one: Node) -> None:
        one[3].content = one[3].content[:-1]

    for change in (flip, cut):
        with pytest.raises((PkixError, KemError)):
            decode_key_package(changed(change, kind))


def test_the_public_key_of_somebody_else_is_refused() -> None:
    with pytest.raises(Malformed, match="not its public key"):
        decode_key_package(encode_key_package(key("ec:P-256"), spki_of(key("ec:P-256", "other"))))


def test_a_public_key_of_other_than_whole_octets_is_refused() -> None:
    """With a last bit of 0, which may as well be none."""
    candidates = (key("ed25519", str(number)) for number in range(40))
    even = next(found for found in candidates if spki_of(found)[-1] % 2 == 0)
    tree = Node.parse(encode_key_package(even, spki_of(even)))
    tree[0][3].content = b"\x01" + tree[0][3].content[1:]
    with pytest.raises(Malformed, match="not its public key"):
        decode_key_package(tree.der())


def test_a_key_of_an_unknown_kind_is_refused() -> None:
    def change(one: Node) -> None:
        one[1] = Node.parse(algorithm(oids.SHA256))

    with pytest.raises(PkixError):
        decode_key_package(changed(change))


def test_ml_kem_contents_of_the_wrong_length_are_refused() -> None:
    def change(one: Node) -> None:
        one[2].content = tlv(0x80, bytes(63))

    with pytest.raises(KemError):
        decode_key_package(changed(change, "ml-kem-768"))


@pytest.mark.parametrize("text", [b"", b"\x30", b"\x30\x00", b"<html>", b"\x04\x00", b"\xff" * 40])
def test_what_is_no_package_at_all(text: bytes) -> None:
    with pytest.raises(Malformed):
        decode_key_package(text)


@pytest.mark.parametrize("kind", ["ec:P-256", "ml-kem-768"])
def test_trailing_octets_and_ber_are_refused(kind: str) -> None:
    """It is DER (RFC 5958 section 2), and nothing between us and its maker would make BER of it."""
    with pytest.raises(Malformed):
        decode_key_package(package(kind) + b"\x00")
    with pytest.raises(Malformed):
        decode_key_package(sequence(Node.parse(package(kind))[0].der() + b"\x00"))
    with pytest.raises(Malformed):
        decode_key_package(b"\x30\x80" + Node.parse(package(kind))[0].der() + b"\x00\x00")


def test_a_signing_key_whose_private_key_is_damaged() -> None:
    def change(one: Node) -> None:
        one[2].content = one[2].content[:-1]

    with pytest.raises((Malformed, AlgorithmRefused)):
        decode_key_package(changed(change))
