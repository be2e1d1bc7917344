"""Section 3: what is sent in place of a pkiMessage is named, with what to send instead."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote

import pytest

from pkix import oids
from pkix.algorithms import AES128_GCM
from pkix.asn1 import encode, wrap
from pkix.errors import Malformed
from pkix.recognised import no_base64, recognise
from pkix.signed_data import encode_degenerate
from scep.answers import AnswerRefused
from scep.messages import PkiMessage
from tests.pkix.tlv import Node
from tests.scep import craft
from tests.scep.seen import Seen
from tests.world import World

WORLD = World()
DEVICE = WORLD.device()
MESSAGE = DEVICE.start()
CSR, CERTIFICATE = DEVICE.request.der, DEVICE.signer.certificate.der
ENVELOPE = PkiMessage.decode(MESSAGE).signed.content or b""
GCM_ENVELOPE = craft.envelope(WORLD.authority, CSR, AES128_GCM)
AS_IT_IS = "send the DER octets as they are"
WRAPPED = "SCEP has it in a pkiMessage, enveloped and signed (RFC 8894 section 3)"
PKI_MESSAGE_OF_CMP = wrap(0x30, wrap(0x30, b"\x02\x01\x02" + wrap(0xA4, b"\x30\x00") * 2) + wrap(0xA4, CSR))
PKI_DATA = wrap(0x30, wrap(0x30, wrap(0x30, b"\x02\x01\x01")) + b"\x30\x00" * 3)


def bare(content_info: bytes) -> bytes:
    """What stands in a ContentInfo."""
    return Node.parse(content_info)[1][0].der()


INSTEAD = {
    "base64": (base64.b64encode(MESSAGE), "base64 text", AS_IT_IS),
    "base64 with line ends": (base64.encodebytes(MESSAGE), "base64 text", AS_IT_IS),
    "base64url": (base64.urlsafe_b64encode(MESSAGE).rstrip(b"="), "base64 text", AS_IT_IS),
    "base64 with blanks": (base64.b64encode(MESSAGE).replace(b"A", b" "), "base64 text", AS_IT_IS),
    "words": (b"Operation not supported here", "text", AS_IT_IS),
    "base64 of a request": (base64.b64encode(CSR), "base64 text of a PKCS #10 request alone", AS_IT_IS),
    "PEM": (b"-----BEGIN CMS-----\n" + base64.encodebytes(MESSAGE) + b"-----END CMS-----\n", "PEM (CMS)", AS_IT_IS),
    "PEM request": (b"-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n", "PEM (CERTIFICATE REQUEST)", AS_IT_IS),
    "form": (b"message=MIIB%2B&operation=PKIOperation", "a form-encoded body", AS_IT_IS),
    "multipart with DER": (
        b'--x\r\nContent-Disposition: form-data; name="message"\r\n\r\n\x30\x82\x00\x00\xff\r\n--x--\r\n',
        "a multipart/form-data body",
        AS_IT_IS,
    ),
    "multipart": (
        b'--x\r\nContent-Disposition: form-data; name="m"\r\n\r\n',
        "a multipart/form-data body",
        AS_IT_IS,
    ),
    "HTML": (b"<!DOCTYPE html>\n<html>sign in", "an HTML page", AS_IT_IS),
    "JSON": (b'{"message": "MIIB"}', "JSON", AS_IT_IS),
    "XML": (b'<?xml version="1.0"?><a/>', "XML", AS_IT_IS),
    "text": (b"hello, world", "text", AS_IT_IS),
    "text that begins like DER": (b"0123, hello world", "text", AS_IT_IS),
    "line ends": (b"\r\n\r\n", "white space alone", AS_IT_IS),
    "nothing": (b"", "empty", AS_IT_IS),
    "gzip": (b"\x1f\x8b\x08\x00", "gzip-compressed data", AS_IT_IS),
    "byte order mark": (b"\xef\xbb\xbfMII", "text that begins with a byte order mark", AS_IT_IS),
    "UTF-16": ("hello".encode("utf-16"), "text that begins with a byte order mark", AS_IT_IS),
    "PEM behind a byte order mark": (
        b"\xef\xbb\xbf-----BEGIN CMS-----\r\nMIIB",
        "PEM (CMS) that begins with a byte order mark; ",
        AS_IT_IS,
    ),
    "PEM of a request, and where it belongs": (b"-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n", "PEM", WRAPPED),
    "base64 of a request, and where it belongs": (base64.b64encode(CSR), "base64 text of a PKCS #10 req", WRAPPED),
    "base64 of PEM": (
        base64.b64encode(b"-----BEGIN PKCS7-----\nMIIB\n-----END PKCS7-----\n"),
        "base64 text of PEM (PKCS7); ",
        AS_IT_IS,
    ),
    "hex": (MESSAGE.hex().encode(), "hex text; ", AS_IT_IS),
    "hex in lines": (MESSAGE.hex("\n", 32).upper().encode(), "hex text; ", AS_IT_IS),
    "percent-encoded": (quote(base64.b64encode(MESSAGE), safe="").encode(), "percent-encoded text; ", AS_IT_IS),
    "JSON string": (b'"' + base64.b64encode(MESSAGE) + b'"', "a JSON string; ", AS_IT_IS),
    "S/MIME": (
        b"MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime\r\n\r\nMIIB",
        "an S/MIME message; ",
        AS_IT_IS,
    ),
    "S/MIME without version": (b"Content-Type: application/pkcs7-mime\r\n\r\nMIIB", "an S/MIME message; ", AS_IT_IS),
    "no SEQUENCE": (
        wrap(0x04, MESSAGE),
        "something that begins with the octet 04, not with 30, that of a SEQ",
        AS_IT_IS,
    ),
    "a tag of several octets": (b"\xdf\x4d\xf8\xe3", "something that begins with the octet df, not with 30,", AS_IT_IS),
    "line end before it": (
        b"\r\n" + MESSAGE,
        f"a message of {len(MESSAGE)} octets behind a line end or blanks; ",
        "send nothing before it",
    ),
    "byte order mark before it": (
        b"\xef\xbb\xbf" + MESSAGE,
        f"a message of {len(MESSAGE)} octets behind a byte order mark; ",
        "send nothing before it",
    ),
    "SignedData": (
        bare(MESSAGE),
        "a SignedData without its ContentInfo; ",
        "put it into a ContentInfo (1.2.840.113549.1.7.2)",
    ),
    "EnvelopedData": (bare(ENVELOPE), "an EnvelopedData without its ContentInfo; ", WRAPPED),
    "AuthEnvelopedData": (bare(GCM_ENVELOPE), "an AuthEnvelopedData without its ContentInfo; ", WRAPPED),
    "certificates alone": (
        bare(encode_degenerate([CERTIFICATE])),
        "a SignedData without its ContentInfo; ",
        "put it into a ContentInfo (1.2.840.113549.1.7.2)",
    ),
    "PKCS #1 key": (
        wrap(0x30, b"\x02\x01\x00" + b"\x02\x01\x05" * 8),
        "a structure that begins with a number",
        WRAPPED,
    ),
    "PKCS #8 key": (
        wrap(0x30, b"\x02\x01\x00" + wrap(0x30, encode(oids.RSA_ENCRYPTION) + b"\x05\x00") + wrap(4, b"x")),
        "a structure that begins with a number, such as a private key",
        WRAPPED,
    ),
    "request": (CSR, "a PKCS #10 request alone", WRAPPED),
    "certificate": (CERTIFICATE, "a certificate alone", WRAPPED),
    "envelope": (ENVELOPE, "enveloped-data (1.2.840.113549.1.7.3) alone", WRAPPED),
    "data": (wrap(0x30, bytes.fromhex("06092a864886f70d010701") + wrap(0xA0, wrap(4, b"x"))), "a ContentInfo", WRAPPED),
    "PKCS #12": (wrap(0x30, b"\x02\x01\x03" + wrap(0x30, b"")), "a PKCS #12 file", WRAPPED),
    "CMP": (PKI_MESSAGE_OF_CMP, "a PKIMessage of CMP (RFC 9810)", WRAPPED),
    "CMC": (PKI_DATA, "a PKIData of CMC (RFC 10002)", WRAPPED),
    "newline behind": (MESSAGE + b"\n", f"a message of {len(MESSAGE)} octets with 1 more, a line end,", "send nothing"),
    "junk behind": (MESSAGE + b"\0\0", f"a message of {len(MESSAGE)} octets with 2 more behind it", "send nothing"),
}


@pytest.mark.parametrize("name", INSTEAD)
def test_what_is_sent_instead_is_named(name: str) -> None:
    octets, what, advice = INSTEAD[name]
    with pytest.raises(Malformed) as caught:
        PkiMessage.decode(octets)
    assert caught.value.text.startswith(f"this is {what}") and advice in caught.value.text


INSTEAD_OF_AN_ENVELOPE = {
    "request": (
        CSR,
        "a PKCS #10 request alone; it must be EnvelopedData or AuthEnvelopedData (RFC 8894 section 3.2.2)",
    ),
    "certificate": (CERTIFICATE, "a certificate alone; it must be EnvelopedData or AuthEnvelopedData (RFC"),
    "EnvelopedData": (
        bare(ENVELOPE),
        "an EnvelopedData without its ContentInfo; put it into a ContentInfo (1.2.840.113549.1.7.3)",
    ),
    "AuthEnvelopedData": (
        bare(GCM_ENVELOPE),
        "an AuthEnvelopedData without its ContentInfo; put it into a ContentInfo (1.2.840.113549.1.9.16.1.23)",
    ),
    "message": (
        MESSAGE,
        "signed-data (1.2.840.113549.1.7.2) alone; it must be EnvelopedData or AuthEnvelopedData (RFC",
    ),
    "SignedData": (
        bare(MESSAGE),
        "a SignedData without its ContentInfo; it must be EnvelopedData or AuthEnvelopedData",
    ),
    "PEM": (b"-----BEGIN PKCS7-----\nMIIB", f"PEM (PKCS7); {AS_IT_IS}"),
    "base64": (base64.b64encode(ENVELOPE), f"base64 text; {AS_IT_IS}"),
    "base64 of a request": (
        base64.b64encode(CSR),
        f"base64 text of a PKCS #10 request alone; {AS_IT_IS}; it must be Env",
    ),
    "hex": (ENVELOPE.hex().encode(), f"hex text; {AS_IT_IS}"),
    "random": (b"\xdf" * 100, "something that begins with the octet df, not with 30, that of a SEQUENCE"),
    "cut short": (
        ENVELOPE[:-7],
        f"the first {len(ENVELOPE) - 7} octets of a ContentInfo of {len(ENVELOPE)}; send all of it",
    ),
    "longer": (
        ENVELOPE + b"\n",
        f"a ContentInfo of {len(ENVELOPE)} octets with 1 more, a line end, behind it; send nothing",
    ),
    "behind a line end": (
        b"\n" + ENVELOPE,
        f"a ContentInfo of {len(ENVELOPE)} octets behind a line end or blanks; send",
    ),
}


@pytest.mark.parametrize("kind", [19, 20, 21, 22])
@pytest.mark.parametrize("name", INSTEAD_OF_AN_ENVELOPE)
def test_what_stands_in_place_of_an_envelope_is_named(name: str, kind: int) -> None:
    octets, text = INSTEAD_OF_AN_ENVELOPE[name]
    craft.failed(WORLD, craft.request(DEVICE, kind, message=octets), craft.BAD_REQUEST, f"pkcsPKIEnvelope is {text}")


@pytest.mark.parametrize("name", INSTEAD_OF_AN_ENVELOPE)
def test_the_client_is_told_what_an_answer_has_in_place_of_an_envelope(name: str) -> None:
    octets, text = INSTEAD_OF_AN_ENVELOPE[name]
    device = WORLD.device()
    sent = Seen(device.start())
    with pytest.raises(AnswerRefused) as caught:
        device.enrolment.receive(craft.reply(WORLD, craft.reply_header(sent), octets))
    told = caught.value.why.removesuffix(", not EnvelopedData or AuthEnvelopedData")
    assert told != caught.value.why and f"pkcsPKIEnvelope is {text}".startswith(told)


@pytest.mark.parametrize("name", INSTEAD)
def test_the_client_is_told_what_an_answer_is_and_not_what_to_send(name: str) -> None:
    octets, what, advice = INSTEAD[name]
    device = WORLD.device()
    device.start()
    with pytest.raises(Malformed) as caught:
        device.enrolment.receive(octets)
    assert caught.value.text.startswith(f"this is {what.removesuffix('; ')}")
    assert advice not in caught.value.text


@pytest.mark.parametrize("kind", [19, 17, 21, 22])
@pytest.mark.parametrize("content", [None, b""])
def test_a_missing_envelope_is_called_missing(kind: int, content: bytes | None) -> None:
    text = "the message has no pkcsPKIEnvelope: eContent is missing or empty (RFC 8894 section 3.2.2)"
    craft.failed(WORLD, craft.request(DEVICE, kind, message=content), craft.BAD_REQUEST, text)


@pytest.mark.parametrize("content", [None, b""])
def test_a_cert_poll_without_an_envelope_is_answered(content: bytes | None) -> None:
    """Nothing in it is needed."""
    craft.failed(WORLD, craft.request(DEVICE, 20, message=content), craft.BAD_REQUEST, "no request matches")


def test_a_detached_signed_data_is_called_so() -> None:
    made = craft.request(DEVICE)
    whole = Node.parse(made.encode())
    del whole[1][0][2][1]
    craft.failed(
        WORLD, whole.der(), craft.BAD_MESSAGE_CHECK, "SignedData has no eContent (it is detached); the content "
    )


def test_an_envelope_that_is_wrong_inside_keeps_its_own_text() -> None:
    """Which field it is, is worth more than what the whole looks like."""
    tree = Node.parse(ENVELOPE)
    tree[1][0][0] = Node(0x04, b"x")
    text = "EnvelopedData is not valid DER: a value has another type than it should have; version, at offset"
    craft.failed(WORLD, craft.request(DEVICE, message=tree.der()), craft.BAD_REQUEST, text)


@pytest.mark.parametrize("name", ["base64", "base64url", "text", "nothing", "form"])
def test_what_a_base64_decoder_may_be_given(name: str) -> None:
    assert no_base64(INSTEAD[name][0]) is None


@pytest.mark.parametrize("name", ["hex", "PEM", "JSON", "JSON string", "S/MIME", "percent-encoded"])
def test_what_no_base64_decoder_is_given(name: str) -> None:
    octets, what, _advice = INSTEAD[name]
    assert no_base64(octets) == what.removesuffix("; ")


@pytest.mark.parametrize("length", [4, 5, 100, 1000, len(MESSAGE) - 1])
def test_a_message_that_is_cut_short_says_how_much_is_missing(length: int) -> None:
    with pytest.raises(Malformed, match=f"the first {length} octets of a message of {len(MESSAGE)};.*Content-Length"):
        PkiMessage.decode(MESSAGE[:length])


@pytest.mark.parametrize("octets", [MESSAGE, WORLD.send(MESSAGE).body])
def test_a_pki_message_is_nothing_else(octets: bytes) -> None:
    assert recognise(octets) is None


FORBIDDEN = re.compile(r"Tag \{|needed|ParseError|InvalidValue|ASN\.1 parsing|Traceback|0x|ShortData|actual:|kind:")


def borders(node: Node, at: int = 0) -> list[int]:
    """The offsets where a value of DER begins, by a walk of the tests' own."""
    found, inside = [at], at + len(node.der()) - len(b"".join(child.der() for child in node.children or ()))
    for child in node.children or ():
        found += borders(child, inside)
        inside += len(child.der())
    return found


def test_no_mutation_is_answered_in_a_parser_s_words() -> None:
    """Cut at every border; and with another tag and another length there, one at a time."""
    places, seen = borders(Node.parse(MESSAGE)), 0
    for at in places:
        changed = [MESSAGE[:at]]
        changed += [MESSAGE[:at] + bytes((tag,)) + MESSAGE[at + 1 :] for tag in (0x02, 0x04, 0x30, 0xA1, 0x1F)]
        changed += [MESSAGE[: at + 1] + bytes((size,)) + MESSAGE[at + 2 :] for size in (0x00, 0x7F, 0x80, 0xFF)]
        for octets in changed:
            try:
                WORLD.send(octets)
            except Malformed as error:
                seen += 1
                assert not FORBIDDEN.search(error.text), (at, error.text)
                if len(octets) == at and at >= 4:
                    assert f"the first {at} octets of a message of {len(MESSAGE)};" in error.text
    assert seen > 300
