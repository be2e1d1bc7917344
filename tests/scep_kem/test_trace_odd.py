"""Section 3: one odd attribute is marked, and the rest of the message is shown."""

from __future__ import annotations

from typing import Any

import pytest

from pkix import oids
from pkix.asn1 import Oid, wrap
from scep import attributes
from scep_kem.trace import describe_message
from tests.scep import craft
from tests.world import World

UNKNOWN = Oid("1.2.3.4")
ODD = {
    "signingTime with an offset": (oids.SIGNING_TIME, wrap(0x17, b"261121120000+0100"), "signingTime    ODD: "),
    "failInfo": (
        attributes.FAIL_INFO,
        wrap(0x13, b"9"),
        "failInfo ODD: failInfo '9', which RFC 8894 does not define: why",
    ),
    "pkiStatus": (attributes.PKI_STATUS, wrap(0x13, b"7"), "pkiStatus      ODD: pkiStatus '7' is not defined"),
    "messageType": (attributes.MESSAGE_TYPE, wrap(0x13, b"99"), "ODD: messageType '99' is not defined; "),
    "messageType text": (attributes.MESSAGE_TYPE, wrap(0x0C, b"3"), "ODD: messageType is not a PrintableString"),
    "PrintableString": (attributes.PKI_STATUS, wrap(0x13, b"@*"), "pkiStatus      ODD: "),
    "nonce": (attributes.SENDER_NONCE, wrap(0x0C, b"text"), "senderNonce    ODD: senderNonce is not"),
    "challenge": (attributes.KEM_POP_CHALLENGE, wrap(0x30, b""), "kemPopChallenge ODD: kemPopChallenge is not"),
    "unknown": (UNKNOWN, wrap(0x04, b"x"), "attribute      ODD, unknown: 1.2.3.4, 040178"),
    "transactionID text": (
        attributes.TRANSACTION_ID,
        wrap(0x0C, b"transaction-1"),
        "transactionID  ODD: transactionID is not a PrintableString but a UTF8String (RFC 8894 section 3.2.1)",
    ),
    "transactionID empty": (
        attributes.TRANSACTION_ID,
        wrap(0x13, b""),
        "transactionID  ODD: transactionID does not have 1",
    ),
    "nonce length": (
        attributes.SENDER_NONCE,
        wrap(0x04, bytes(8)),
        "senderNonce    ODD, 8 octets, not 16: 0000000000000000",
    ),
    "failInfoText": (attributes.FAIL_INFO_TEXT, wrap(0x02, b"\xff"), "failInfo badRequest: \ufffd"),
    "confirmation": (attributes.KEM_POP_CONFIRM, wrap(0x30, b""), "kemPopConfirm  ODD: kemPopConfirm is not"),
    "another arc": (
        Oid("1.2.840.113549.1.9.6"),
        wrap(0x04, b"x"),
        "ODD, unknown: 1.2.840.113549.1.9.6 (is recipientNonce, 2.16.840.1.113733.1.9.6, meant?), 040178",
    ),
}
SHOWN = {
    attributes.TRANSACTION_ID: "transactionID  transaction-1",
    attributes.PKI_STATUS: "pkiStatus      FAILURE, failInfo ",
    attributes.SENDER_NONCE: f"senderNonce    {craft.NONCE.hex()}",
    attributes.RECIPIENT_NONCE: f"recipientNonce {craft.NONCE.hex()}",
    oids.SIGNING_TIME: "signingTime    2026-11-21 12:00:00 UTC",
    None: "signed by      CN=CA,O=Example, ",
}


def failure(**more: Any) -> craft.Crafted:
    """A CertRep FAILURE. more: of Crafted."""
    world = World()
    found = craft.header(3, "transaction-1", craft.NONCE)
    found |= {
        attributes.PKI_STATUS: [wrap(0x13, b"2")],
        attributes.FAIL_INFO: [wrap(0x13, b"2")],
        attributes.FAIL_INFO_TEXT: [wrap(0x0C, b"why")],
        attributes.RECIPIENT_NONCE: [wrap(0x04, craft.NONCE)],
    }
    return craft.Crafted(signer=world.authority.signer, content=b"", attributes=found, **more)


def shown_but(lines: list[str], oid: Oid | None) -> None:
    """Everything that is right, which an attribute is not."""
    for kind, shown in SHOWN.items():
        assert kind == oid or any(line.startswith(shown) for line in lines), (shown, lines)
    assert "no pkcsPKIEnvelope" in lines
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("what", ODD)
def test_an_odd_attribute_is_marked_and_everything_else_is_shown(what: str) -> None:
    oid, value, said = ODD[what]
    crafted = failure()
    if oid == oids.SIGNING_TIME:
        digest = wrap(0x04, craft.hash_of(crafted.digest, b""))
        crafted.cms = {
            oids.CONTENT_TYPE: [craft.encode(oids.DATA)],
            oids.MESSAGE_DIGEST: [digest],
            oids.SIGNING_TIME: [value],
        }
    else:
        crafted.attributes[oid] = [value]
    lines = describe_message(crafted.encode(), [])
    assert any(said in line for line in lines), lines
    shown_but(lines, oid)
    assert any(line.endswith(": verified") for line in lines)


REPEATED = {
    attributes.MESSAGE_TYPE: "ODD: signed attribute messageType",
    attributes.TRANSACTION_ID: "transactionID  ODD: signed attribute transactionID",
    attributes.PKI_STATUS: "pkiStatus      ODD: signed attribute pkiStatus",
    attributes.FAIL_INFO: "pkiStatus      FAILURE, failInfo ODD: signed attribute failInfo",
    attributes.FAIL_INFO_TEXT: "pkiStatus      FAILURE, failInfo badRequest: ODD: signed attribute failInfoText",
    attributes.SENDER_NONCE: "senderNonce    ODD: signed attribute senderNonce",
    attributes.RECIPIENT_NONCE: "recipientNonce ODD: signed attribute recipientNonce",
    attributes.KEM_POP_CHALLENGE: "kemPopChallenge ODD: signed attribute kem-pop-challenge",
    attributes.KEM_POP_CONFIRM: "kemPopConfirm  ODD: signed attribute kem-pop-confirm",
    UNKNOWN: "attribute      ODD, unknown: 1.2.3.4, ODD: signed attribute 1.2.3.4",
}


@pytest.mark.parametrize("oid", REPEATED, ids=lambda oid: oid.dotted_string)
@pytest.mark.parametrize("values", [2, 0])
def test_11_3_an_attribute_without_one_value_is_marked_and_everything_else_is_shown(oid: Oid, values: int) -> None:
    crafted = failure()
    crafted.attributes[oid] = crafted.attributes.get(oid, [wrap(0x04, b"x")]) * values
    lines = describe_message(crafted.encode(), [])
    assert any(line.startswith(REPEATED[oid]) and "does not have exactly one value" in line for line in lines), lines
    shown_but(lines, oid)


@pytest.mark.parametrize("oid", [attributes.TRANSACTION_ID, attributes.PKI_STATUS, attributes.SENDER_NONCE,
                                 attributes.RECIPIENT_NONCE, attributes.MESSAGE_TYPE])  # fmt: skip
def test_11_3_what_is_missing_is_marked_and_everything_else_is_shown(oid: Oid) -> None:
    crafted = failure()
    del crafted.attributes[oid]
    lines = describe_message(crafted.encode(), [])
    name = attributes.SIGNED_ATTRIBUTE_NAMES[oid]
    missing = (f"pkiMessage has no {name} attribute", f"{name:<14} ODD: there is none")
    assert any(part in line for line in lines for part in missing), lines
    shown_but(lines, oid)


def test_11_3_what_stands_under_another_identifier_is_shown_there() -> None:
    """As senderNonce in recipientNonce's place, and transactionID with a slip in the arc."""
    crafted = failure()
    values = crafted.attributes
    values[attributes.MESSAGE_TYPE] = [wrap(0x13, b"19")]
    values[attributes.RECIPIENT_NONCE] = values.pop(attributes.SENDER_NONCE)
    values[Oid("2.16.840.1.11373.1.9.7")] = values.pop(attributes.TRANSACTION_ID)
    lines = describe_message(crafted.encode(), [])
    assert lines[0].startswith("PKCSReq, ")
    for line in (
        "transactionID  ODD: pkiMessage has no transactionID attribute",
        "senderNonce    ODD: there is none",
        f"recipientNonce ODD, only a CertRep has it: {craft.NONCE.hex()}",
        "attribute      ODD, unknown: 2.16.840.1.11373.1.9.7 (is transactionID, 2.16.840.1.113733.1.9.7, meant?), "
        "130d7472616e73616374696f6e2d31",
    ):
        assert line in lines, lines


def test_11_3_of_a_request_too_what_is_there_more_than_once_is_shown() -> None:
    crafted = failure()
    crafted.attributes[attributes.MESSAGE_TYPE] = [wrap(0x13, b"19")]
    for oid in (attributes.PKI_STATUS, attributes.FAIL_INFO, attributes.FAIL_INFO_TEXT, attributes.RECIPIENT_NONCE):
        crafted.attributes[oid] = crafted.attributes[oid] * 2
    lines = describe_message(crafted.encode(), [])
    for begin in (
        "pkiStatus      ODD, only a CertRep has it: ODD: signed attribute pkiStatus ",
        "failInfo       ODD, only a FAILURE has it: ODD: signed attribute failInfo ",
        "failInfoText   ODD, only a FAILURE has it: ODD: signed attribute failInfoText ",
        "recipientNonce ODD, only a CertRep has it: ODD: signed attribute recipientNonce ",
    ):
        assert any(line.startswith(begin) for line in lines), lines


@pytest.mark.parametrize("status", ["0", "3", "7"])
def test_11_3_what_only_a_failure_has_is_shown_of_others_too(status: str) -> None:
    crafted = failure()
    crafted.attributes[attributes.PKI_STATUS] = [wrap(0x13, status.encode())]
    lines = describe_message(crafted.encode(), [])
    assert "failInfo       ODD, only a FAILURE has it: badRequest" in lines
    assert "failInfoText   ODD, only a FAILURE has it: why" in lines


def test_11_3_attributes_that_are_none_do_not_hide_the_rest() -> None:
    lines = describe_message(failure(extra=[wrap(0x30, b"\x06\x01\x2a")]).encode(), [])
    assert lines[0].startswith("ODD: signedAttrs is not") and lines[1].startswith(
        "transactionID  ODD: signedAttrs is not"
    )
    assert any(line.startswith("attributes     ODD: signedAttrs is not") for line in lines)
    assert any(line.startswith("signed by      CN=CA,O=Example, ") for line in lines) and "no pkcsPKIEnvelope" in lines


@pytest.mark.parametrize("oid", ["1.2.3.4", "1.3.14.3.2.26", "2.16.840.1.101.3.4.2.7"])
def test_11_3_nor_does_an_unknown_digest(oid: str) -> None:
    digest = craft.encode(craft.algorithm(Oid(oid), b"\x05\x00"))
    lines = describe_message(failure(digest_algorithm=digest).encode(), [])
    shown_but(lines, None)


def test_11_3_each_certificate_is_shown_with_its_role_and_one_that_is_none_as_odd() -> None:
    world = World()
    signer = world.authority.signer.certificate
    device = world.device().signer.certificate
    ra = World("ec:P-256", ra_key_type="rsa:2048").authority.signer.certificate
    crafted = failure(certificates=[b"\x30\x03\x02\x01\x00", device.der, ra.der, signer.der])
    lines = [line for line in describe_message(crafted.encode(), [signer, ra]) if line.startswith("certificate ")]
    assert lines[0].startswith("certificate    ODD: certificate")
    assert [line.partition(": ")[2] for line in lines[1:]] == [
        "self-signed",
        "an RA, known from GetCACert",
        "a CA, signed this message, known from GetCACert",
    ]
    assert "CN=device,O=Example, rsa:2048: " in lines[1]
