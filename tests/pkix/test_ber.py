"""BER to DER, case by case (X.690 sections 8 and 10). The general property is in `test_ber_properties`."""

from __future__ import annotations

from typing import Any

import pytest

from kem.der_faults import Broken
from pkix import ber
from pkix.asn1 import Oid
from pkix.ber import MAX_DEPTH, MAX_VALUES, decode_ber, to_der
from pkix.content_info import ContentInfo
from pkix.enveloped_data import decrypt
from pkix.errors import Malformed
from pkix.pkcs10 import encode_certification_request
from pkix.signed_data import SignedData
from tests.pkix.envelopes import POLICY, made
from tests.pkix.forge import SignedDataForge, peer, sequence
from tests.pkix.openssl import OpenSsl
from tests.pkix.tlv import Node, tlv
from tests.world import name

EOC = b"\x00\x00"
# EncryptedContentInfo up to encryptedContent: id-data, AES-128-CBC with an IV
ENCRYPTED = bytes.fromhex("06092a864886f70d010701 301d 0609608648016503040102 0410") + bytes(16)


def indefinite(tag: int, *parts: bytes) -> bytes:
    """A constructed value with indefinite length."""
    return bytes((tag, 0x80)) + b"".join(parts) + EOC


def der_messages() -> list[bytes]:
    """One message of every kind that we emit."""
    request = encode_certification_request(peer().key, name("CN=device"), challenge_password="x" * 200)
    return [made(), SignedDataForge(peer()).encode(), peer().certificate.der, request]


@pytest.mark.parametrize("which", range(4), ids=["EnvelopedData", "SignedData", "certificate", "request"])
def test_der_stays_as_it_is(which: int) -> None:
    der = der_messages()[which]
    assert to_der(der) == der


@pytest.mark.parametrize(
    ("ber_octets", "der"),
    [
        (indefinite(0x30), "3000"),
        (indefinite(0x30, b"\x05\x00"), "30020500"),
        (indefinite(0x30, indefinite(0x31, indefinite(0xA0, b"\x02\x01\x07"))), "30073105a003020107"),
        (indefinite(0x30, tlv(0x31, indefinite(0xA3))), "30043102a300"),
        (tlv(0x30, indefinite(0x31, b"\x05\x00"), b"\x05\x00"), "3006310205000500"),
        (bytes.fromhex("308105") + b"\x04\x03abc", "30050403616263"),
        (bytes.fromhex("30 83000005") + b"\x04\x03abc", "30050403616263"),
        (bytes.fromhex("30 8800000000 00000007 0482 0003") + b"abc", "30050403616263"),
        (bytes.fromhex("048100"), "0400"),
    ],
    ids=[
        "empty",
        "one",
        "nested",
        "in definite",
        "before another",
        "long form",
        "3 octets",
        "8 octets",
        "empty string",
    ],
)
def test_8_1_3_lengths(ber_octets: bytes, der: str) -> None:
    assert to_der(ber_octets).hex() == der
    assert to_der(to_der(ber_octets)).hex() == der


def test_10_1_lengths_are_minimal_around_every_size() -> None:
    for size in (0, 1, 127, 128, 255, 256, 65_535, 65_536):
        assert to_der(indefinite(0x24, tlv(0x04, b"x" * size))) == tlv(0x04, b"x" * size)


@pytest.mark.parametrize(
    ("pieces", "contents"),
    [
        ((), b""),
        ((b"\x04\x00",), b""),
        ((tlv(0x04, b"abc"),), b"abc"),
        ((tlv(0x04, b"ab"), b"\x04\x00", tlv(0x04, b"c")), b"abc"),
        ((indefinite(0x24, tlv(0x04, b"ab"), tlv(0x24, tlv(0x04, b"c"))), tlv(0x04, b"d")), b"abcd"),
        ((tlv(0x24, indefinite(0x24, indefinite(0x24))),), b""),
        ((tlv(0x04, EOC),), EOC),
    ],
    ids=["no piece", "empty piece", "one", "three", "pieces within pieces", "nothing within nothing", "looks like EOC"],
)
@pytest.mark.parametrize("form", [tlv, indefinite], ids=["definite", "indefinite"])
def test_8_7_3_constructed_octet_string(form: object, pieces: tuple[bytes, ...], contents: bytes) -> None:
    assert callable(form)
    assert to_der(form(0x24, *pieces)) == tlv(0x04, contents)
    assert to_der(sequence(form(0x24, *pieces), b"\x05\x00")) == sequence(tlv(0x04, contents), b"\x05\x00")


@pytest.mark.parametrize(
    ("pieces", "contents"),
    [
        ((), b"\x00"),
        ((tlv(0x03, b"\x03\xf8"),), b"\x03\xf8"),
        ((tlv(0x03, b"\x00ab"), tlv(0x03, b"\x04\xf0")), b"\x04ab\xf0"),
        ((tlv(0x23, tlv(0x03, b"\x00a"), tlv(0x03, b"\x00b")), tlv(0x03, b"\x00c")), b"\x00abc"),
        ((tlv(0x03, b"\x00"), tlv(0x03, b"\x00")), b"\x00"),
    ],
    ids=["no piece", "one", "two", "pieces within pieces", "empty pieces"],
)
@pytest.mark.parametrize("form", [tlv, indefinite], ids=["definite", "indefinite"])
def test_8_6_4_constructed_bit_string(form: object, pieces: tuple[bytes, ...], contents: bytes) -> None:
    assert callable(form)
    assert to_der(form(0x23, *pieces)) == tlv(0x03, contents)


def test_8_6_4_a_piece_without_its_count_of_unused_bits() -> None:
    with pytest.raises(Malformed, match="unused bits"):
        to_der(tlv(0x23, tlv(0x03), tlv(0x03, b"\x00a")))


def test_8_6_4_2_only_the_last_piece_may_have_unused_bits() -> None:
    # Otherwise the bits do not join into octets, and what comes out is another value than what was sent.
    with pytest.raises(Malformed):
        to_der(tlv(0x23, tlv(0x03, b"\x04\xf0"), tlv(0x03, b"\x00\xaa")))


def test_8_6_4_1_pieces_of_a_bit_string_are_bit_strings() -> None:
    with pytest.raises(Malformed, match="a piece of a string is not a string"):
        to_der(tlv(0x23, tlv(0x04, b"\x00ab")))


@pytest.mark.parametrize("tag", [0x0C, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1C, 0x1E])
def test_8_23_6_constructed_character_strings_and_times(tag: int) -> None:
    assert to_der(indefinite(tag | 0x20, tlv(0x04, b"ab"), tlv(0x24, tlv(0x04, b"cd")))) == tlv(tag, b"abcd")


@pytest.mark.parametrize("piece", [b"\x05\x00", tlv(0x13, b"x"), tlv(0x03, b"\x00x"), tlv(0x30, tlv(0x04, b"x"))])
def test_8_7_3_a_piece_that_is_no_octet_string(piece: bytes) -> None:
    with pytest.raises(Malformed, match="a piece of a string is not a string"):
        to_der(tlv(0x24, tlv(0x04, b"x"), piece))


@pytest.mark.parametrize("form", [tlv, indefinite], ids=["definite", "indefinite"])
@pytest.mark.parametrize(
    "pieces",
    [(), (tlv(0x04, b"abcdef"),), (tlv(0x04, b"abc"), indefinite(0x24, tlv(0x04, b"de"), tlv(0x04, b"f")))],
    ids=["none", "one", "pieces within pieces"],
)
def test_rfc_5652_6_1_encrypted_content_in_pieces(form: object, pieces: tuple[bytes, ...]) -> None:
    assert callable(form)
    contents = b"abcdef" if pieces else b""
    assert to_der(form(0x30, ENCRYPTED, form(0xA0, *pieces))) == sequence(ENCRYPTED, tlv(0x80, contents))


def test_explicit_tag_around_an_octet_string_stays_where_it_is_no_encrypted_content() -> None:
    value = sequence(bytes.fromhex("06092a864886f70d010701"), tlv(0xA0, tlv(0x04, b"eContent")))
    assert to_der(value) == value


def test_constructed_0_with_anything_else_inside_stays_explicit() -> None:
    value = sequence(ENCRYPTED, tlv(0xA0, tlv(0x30, tlv(0x04, b"x"))))
    assert to_der(value) == value


def test_sets_keep_the_order_that_was_signed() -> None:
    assert to_der(indefinite(0x31, tlv(0x04, b"b"), tlv(0x04, b"a"))) == tlv(0x31, tlv(0x04, b"b"), tlv(0x04, b"a"))


@pytest.mark.parametrize("text", ["", "30", "3005", "30050201", "3080", "30800201", "3080020107", "308002010700"])
def test_truncated(text: str) -> None:
    with pytest.raises(Malformed):
        to_der(bytes.fromhex(text))


def test_truncated_anywhere() -> None:
    tree = SignedDataForge(peer()).encode()
    message = indefinite(0x30, *(child.der() for child in Node.parse(tree)))
    assert SignedData.decode(message).content == b"the content"
    for end in range(len(message)):
        with pytest.raises(Malformed):
            to_der(message[:end])


PLACES = {
    "octets behind": (tlv(0x30) + b"\x00", 2),
    "cut in a header": (tlv(0x30, b"\x02"), 2),
    "longer than the message": (b"\x30\x06\x02\x01\x05\x02\x05\x00", 5),
    "longer than what it stands in": (tlv(0x30, tlv(0x30, b"\x02\x01\x05\x02\x02\x00"), b"\x05\x00"), 7),
    "a tag that is not used": (tlv(0x30, b"\x02\x01\x05\x1f\x01\x00"), 5),
    "a length that does not fit": (tlv(0x30, b"\x02\x01\x05\x04\x84\x01"), 5),
    "a primitive value of indefinite length": (tlv(0x30, b"\x02\x01\x05\x04\x80"), 5),
    "end-of-contents octets": (tlv(0x30, b"\x02\x01\x05", EOC), 5),
}


@pytest.mark.parametrize(("octets", "offset"), PLACES.values(), ids=PLACES)
def test_it_is_known_where_the_octets_are_broken(octets: bytes, offset: int) -> None:
    with pytest.raises(Malformed) as caught:
        to_der(octets)
    assert caught.value.undecoded == Broken(octets, offset)


@pytest.mark.parametrize("trailing", [b"\x00", EOC, b"\x05\x00", b"\x30\x80"])
def test_trailing_octets(trailing: bytes) -> None:
    for message in (tlv(0x30), indefinite(0x30)):
        with pytest.raises(Malformed, match=f"{len(trailing)} octets follow the message"):
            to_der(message + trailing)


@pytest.mark.parametrize(
    "text",
    [
        "3084ffffffff",
        "0484ffffffff",
        "0488ffffffffffffffff",
        "3088ffffffffffffffff0500",
        "30847fffffff0500",
        "3089000000000000000000",
        "04ff" + "00" * 127,
        "30ff" + "ff" * 127,
        "2480" + "0484ffffffff" + "0000",
        "30060484ffffffff",
        "300a30843fffffff05000500",
    ],
)
def test_length_bombs(text: str) -> None:
    with pytest.raises(Malformed):
        to_der(bytes.fromhex(text))


@pytest.mark.parametrize("text", ["300302020101", "3003040361", "30043005040361626300", "a0020401610500"])
def test_8_1_3_a_value_longer_than_what_it_stands_in(text: str) -> None:
    with pytest.raises(Malformed):
        to_der(bytes.fromhex(text))


@pytest.mark.parametrize("text", ["0480610000", "02800000", "308002800000"])
def test_8_1_3_2_a_primitive_value_needs_a_definite_length(text: str) -> None:
    with pytest.raises(Malformed, match="a primitive value has an indefinite length"):
        to_der(bytes.fromhex(text))


@pytest.mark.parametrize("text", ["1f0100", "3f0100", "7f8100", "ff1f00", "30031f0100"])
def test_8_1_2_4_tags_of_several_octets_are_left_out(text: str) -> None:
    with pytest.raises(Malformed, match="a tag of more than one octet"):
        to_der(bytes.fromhex(text))


@pytest.mark.parametrize("text", ["0000", "00810100", "30020000", "3080040000000000", "300400020000"])
def test_8_1_5_end_of_contents_is_no_value(text: str) -> None:
    # Tag 0 is reserved for end-of-contents; DER readers that skip it and readers that see a value would disagree.
    with pytest.raises(Malformed):
        to_der(bytes.fromhex(text))


def nested(levels: int, form: object) -> bytes:
    """A NULL within `levels` sequences."""
    assert callable(form)
    value = b"\x05\x00"
    for _ in range(levels):
        value = form(0x30, value)
    return value


@pytest.mark.parametrize("form", [tlv, indefinite], ids=["definite", "indefinite"])
def test_limit_of_depth(form: object) -> None:
    assert to_der(nested(MAX_DEPTH, form)) == nested(MAX_DEPTH, tlv)
    with pytest.raises(Malformed, match="nest deeper than 32"):
        to_der(nested(MAX_DEPTH + 1, form))


@pytest.mark.parametrize("octets", [b"\x30\x80", b"\x24\x80", b"\xa0\x80"])
def test_limit_of_depth_for_a_message_of_openings(octets: bytes) -> None:
    with pytest.raises(Malformed, match="nest deeper than 32"):
        to_der(octets * 500_000)


def test_limit_of_values() -> None:
    members = [b"\x05\x00"] * (MAX_VALUES - 1)
    assert to_der(indefinite(0x30, *members)) == tlv(0x30, *members)
    with pytest.raises(Malformed, match="more than 20000 values"):
        to_der(indefinite(0x30, *members, b"\x05\x00"))


def test_limit_of_values_counts_pieces_of_strings() -> None:
    with pytest.raises(Malformed, match="more than 20000 values"):
        to_der(indefinite(0x24, *[b"\x04\x00"] * MAX_VALUES))


def test_work_grows_with_the_message_and_not_with_the_power_of_its_depth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Every second level of this looks like EncryptedContentInfo. A reader that reads its [0] a second time to see
    # whether it holds pieces doubles its work each time: 2^15 times within the limit of depth.
    value = b"\x05\x00"
    for _ in range(10):
        value = sequence(bytes.fromhex("06012a3000"), tlv(0xA0, value))
    values = len(list(Node.parse(value).walk()))
    calls = 0
    read = ber._Reader.value

    def counting(self: ber._Reader, at: int, depth: int) -> Any:
        nonlocal calls
        calls += 1
        return read(self, at, depth)

    monkeypatch.setattr(ber._Reader, "value", counting)
    assert to_der(value) == value
    assert calls <= 3 * values


def test_decode_ber_gives_the_reason_of_der_when_the_message_is_der() -> None:
    with pytest.raises(Malformed, match=r"^ContentInfo is not valid DER: "):
        decode_ber(ContentInfo, sequence(b"\x05\x00"), "ContentInfo")


def test_decode_ber_reads_der_and_ber_alike() -> None:
    der = sequence(bytes.fromhex("06012a"), tlv(0xA0, b"\x05\x00"))
    ber_form = indefinite(0x30, bytes.fromhex("06012a"), indefinite(0xA0, b"\x05\x00"))
    for message in (der, ber_form):
        found = decode_ber(ContentInfo, message, "ContentInfo")
        assert found.content_type == Oid("1.2")


def test_signed_data_streamed_by_openssl_normalises_to_its_own_der(openssl: OpenSsl) -> None:
    streamed = openssl.sign(bytes(5000), peer(), "-stream")
    der = to_der(streamed)
    assert streamed != der
    assert Node.parse(der).der() == der
    assert openssl.verify(der) == bytes(5000)
    assert SignedData.decode(der).attributes.keys() == SignedData.decode(streamed).attributes.keys()


def test_enveloped_data_streamed_by_openssl_normalises_to_its_own_der(openssl: OpenSsl) -> None:
    streamed = openssl.encrypt(bytes(50_000), peer(), "-aes128", "-stream")
    der = to_der(streamed)
    assert streamed.count(b"\x00\x00") > der.count(b"\x00\x00")
    assert Node.parse(der).der() == der
    assert openssl.decrypt(der, peer()) == bytes(50_000)
    assert decrypt(der, [peer().identity()], POLICY).content == bytes(50_000)
