"""Section 3: what is sent in place of a pkiMessage is named, with what to send instead."""

from __future__ import annotations

import base64
import re

import pytest

from pkix.asn1 import wrap
from pkix.errors import Malformed
from pkix.recognised import recognise
from scep.messages import PkiMessage
from tests.pkix.tlv import Node
from tests.world import World

WORLD = World()
DEVICE = WORLD.device()
MESSAGE = DEVICE.start()
CSR, CERTIFICATE = DEVICE.request.der, DEVICE.signer.certificate.der
ENVELOPE = PkiMessage.decode(MESSAGE).signed.content or b""
AS_IT_IS = "send the DER octets as they are"
WRAPPED = "SCEP has it in a pkiMessage, enveloped and signed (RFC 8894 section 3)"
PKI_MESSAGE_OF_CMP = wrap(0x30, wrap(0x30, b"\x02\x01\x02" + wrap(0xA4, b"\x30\x00") * 2) + wrap(0xA4, CSR))
PKI_DATA = wrap(0x30, wrap(0x30, wrap(0x30, b"\x02\x01\x01")) + b"\x30\x00" * 3)

INSTEAD = {
    "base64": (base64.b64encode(MESSAGE), "base64 text", AS_IT_IS),
    "base64 with line ends": (base64.encodebytes(MESSAGE), "base64 text", AS_IT_IS),
    "base64url": (base64.urlsafe_b64encode(MESSAGE).rstrip(b"="), "base64 text", AS_IT_IS),
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
