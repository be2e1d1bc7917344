"""Section 3: one odd attribute is marked, and the rest of the message is shown."""

from __future__ import annotations

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
    "challenge": (attributes.KEM_POP_CHALLENGE, wrap(0x30, b""), "kemPop         ODD: kemPopChallenge is not"),
    "unknown": (UNKNOWN, wrap(0x04, b"x"), "attribute      ODD, unknown: 1.2.3.4, 040178"),
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_attribute_is_marked_and_everything_else_is_shown(what: str) -> None:
    oid, value, said = ODD[what]
    world = World()
    changed = craft.header(3, "transaction-1", craft.NONCE)
    changed |= {
        attributes.PKI_STATUS: [wrap(0x13, b"2")],
        attributes.FAIL_INFO: [wrap(0x13, b"2")],
        attributes.FAIL_INFO_TEXT: [wrap(0x0C, b"why")],
    }
    crafted = craft.Crafted(signer=world.authority.signer, content=b"", attributes=changed)
    if oid == oids.SIGNING_TIME:
        digest = wrap(0x04, craft.hash_of(crafted.digest, b""))
        crafted.cms = {
            oids.CONTENT_TYPE: [craft.encode(oids.DATA)],
            oids.MESSAGE_DIGEST: [digest],
            oids.SIGNING_TIME: [value],
        }
    else:
        changed[oid] = [value]
    lines = describe_message(crafted.encode(), [])
    assert any(said in line for line in lines), lines
    for shown in ("transactionID  transaction-1", "signed by      ", "no pkcsPKIEnvelope"):
        assert any(line.startswith(shown) for line in lines), lines
    assert any(line.endswith(": verified") for line in lines)
