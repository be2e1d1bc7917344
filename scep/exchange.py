"""One request and its answer: what is known of how to answer, and the CertRep made from it (RFC 8894 section 3.3.2).

An answer uses the request's cipher, digest and key transport. It goes to the certificate that signed the request,
or, when that key cannot decrypt, under the challengePassword (section 3.1). A failure answers with whatever is known
when it happens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from ca.authority import Authority
from ca.errors import RequestRefused
from pkix.algorithms import AES128, ContentCipher
from pkix.asn1 import AlgorithmIdentifier
from pkix.certificates import Certificate
from pkix.enveloped_data import encrypt
from pkix.errors import Malformed, PkixError
from pkix.pkcs10 import CertificationRequest
from pkix.recipients import PasswordRecipient, Recipient, RsaRecipient
from scep.attributes import NONCE_LENGTH, MessageType, PkiStatus
from scep.failures import fail_info
from scep.messages import Header, PkiMessage, encode_pki_message

RandomBytes = Callable[[int], bytes]


@dataclass
class Exchange:
    """What is known of one request so far. authority: the CA that it is addressed to, whose signer answers.

    details: for the log; nothing secret.
    """

    message: PkiMessage
    now: datetime
    authority: Authority
    digest: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)
    cipher: ContentCipher = AES128
    key_transport: AlgorithmIdentifier | None = None
    signer: Certificate | None = None
    kind: MessageType | None = None
    request: CertificationRequest | None = None
    details: dict[str, str] = field(default_factory=dict)

    @property
    def verified_signer(self) -> Certificate:
        """The signer, once the signature is verified."""
        assert self.signer is not None
        return self.signer

    @property
    def verified_request(self) -> CertificationRequest:
        """The PKCS #10 request, once its signature is verified."""
        assert self.request is not None
        return self.request

    @property
    def name(self) -> str:
        """The message's type, for the log."""
        return self.kind.name if self.kind else "message"


@dataclass(frozen=True)
class Outcome:
    """How a request ended if it did not fail. message_data: for SUCCESS, DER. password: the challengePassword of the
    request, under which the answer may have to be encrypted.
    """

    status: PkiStatus
    message_data: bytes | None = None
    password: str | None = None


PENDING = Outcome(PkiStatus.PENDING)


def recipient(exchange: Exchange, password: str | None) -> Recipient:
    """Who can open the answer. Asked before anything is issued, so that no certificate is lost.

    Raises RequestRefused if nobody can.
    """
    signer = exchange.verified_signer
    if isinstance(signer.public_key, rsa.RSAPublicKey):
        return RsaRecipient(signer, exchange.key_transport)
    if password:
        return PasswordRecipient(password.encode())
    raise RequestRefused(
        "the answer cannot be encrypted: the signer's key cannot decrypt and there is no challengePassword "
        "(RFC 8894 section 3.1)"
    )


def encode_answer(exchange: Exchange, outcome: Outcome, random: RandomBytes) -> bytes:
    """CertRep SUCCESS or PENDING. Raises RequestRefused."""
    envelope = None
    if outcome.message_data is not None:
        to = recipient(exchange, outcome.password)
        envelope = encrypt(outcome.message_data, [to], exchange.cipher, random)
    return _cert_rep(exchange, _header(exchange, outcome.status, random), envelope)


def encode_failure(exchange: Exchange, error: PkixError, random: RandomBytes) -> bytes:
    """CertRep FAILURE with failInfo and failInfoText."""
    header = _header(exchange, PkiStatus.FAILURE, random)
    return _cert_rep(exchange, replace(header, fail_info=fail_info(error), fail_info_text=error.text), None)


def _header(exchange: Exchange, status: PkiStatus, random: RandomBytes) -> Header:
    try:
        nonce = exchange.message.sender_nonce
    except Malformed:
        nonce = None
    return Header(
        message_type=MessageType.CertRep,
        transaction_id=exchange.message.transaction_id,
        sender_nonce=random(NONCE_LENGTH),
        recipient_nonce=nonce,
        pki_status=status,
    )


def _cert_rep(exchange: Exchange, header: Header, envelope: bytes | None) -> bytes:
    """Without an envelope, eContent is there but empty: certmonger 0.79.17 verifies with OpenSSL's PKCS7_verify, which
    refuses a SignedData that has none. The digest of nothing is the same either way.
    """
    signer = exchange.authority.signer
    return encode_pki_message(
        header, envelope or b"", signer, exchange.digest, certificates=[signer.certificate.der], now=exchange.now
    )
