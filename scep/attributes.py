"""The signed attributes of a pkiMessage (RFC 8894 section 3.2.1), and the update's identifiers."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pkix.asn1 import Oid

_VERISIGN_ATTRIBUTES = "2.16.840.1.113733.1.9"

MESSAGE_TYPE = Oid(f"{_VERISIGN_ATTRIBUTES}.2")
PKI_STATUS = Oid(f"{_VERISIGN_ATTRIBUTES}.3")
FAIL_INFO = Oid(f"{_VERISIGN_ATTRIBUTES}.4")
SENDER_NONCE = Oid(f"{_VERISIGN_ATTRIBUTES}.5")
RECIPIENT_NONCE = Oid(f"{_VERISIGN_ATTRIBUTES}.6")
TRANSACTION_ID = Oid(f"{_VERISIGN_ATTRIBUTES}.7")
ID_SCEP = Oid("1.3.6.1.5.5.7.24")
FAIL_INFO_TEXT = Oid(f"{ID_SCEP.dotted_string}.1")

# The update's attributes, the last of them PKCS #10's. TBD: to be assigned by IANA under id-scep; until then they are
# in the documentation arc of RFC 5612.
KEM_POP_CHALLENGE = Oid("1.3.6.1.4.1.32473.8894.1")
KEM_POP_CONFIRM = Oid("1.3.6.1.4.1.32473.8894.2")
RESPONSE_KEY = Oid("1.3.6.1.4.1.32473.8894.3")
SIGNED_ATTRIBUTE_NAMES = {
    MESSAGE_TYPE: "messageType",
    PKI_STATUS: "pkiStatus",
    FAIL_INFO: "failInfo",
    SENDER_NONCE: "senderNonce",
    RECIPIENT_NONCE: "recipientNonce",
    TRANSACTION_ID: "transactionID",
    FAIL_INFO_TEXT: "failInfoText",
    KEM_POP_CHALLENGE: "kem-pop-challenge",
    KEM_POP_CONFIRM: "kem-pop-confirm",
}
REQUEST_ATTRIBUTES = {RESPONSE_KEY: "response-key"}
"""For texts; and those of a PKCS #10 request must not be there twice."""

NONCE_LENGTH = 16
MAX_TRANSACTION_ID = 255


class MessageType(enum.Enum):
    """RFC 8894 section 3.2.1.2."""

    CertRep = 3
    RenewalReq = 17
    PKCSReq = 19
    CertPoll = 20
    GetCert = 21
    GetCRL = 22


class PkiStatus(enum.Enum):
    """RFC 8894 section 3.2.1.3."""

    SUCCESS = 0
    FAILURE = 2
    PENDING = 3


class FailInfo(enum.Enum):
    """RFC 8894 section 3.2.1.4."""

    badAlg = 0  # noqa: N815 - the RFC's token
    badMessageCheck = 1  # noqa: N815
    badRequest = 2  # noqa: N815
    badTime = 3  # noqa: N815
    badCertId = 4  # noqa: N815


@dataclass(frozen=True)
class UndefinedFailInfo:
    """A failInfo that RFC 8894 does not define, which some servers send; whoever sends it says no all the same."""

    text: str

    @property
    def name(self) -> str:
        """For people, in place of a token."""
        return f"failInfo {self.text!r}, which RFC 8894 does not define"
