"""One request and its answer: what is known of how to answer, and the CertRep made from it (RFC 8894 section 3.3.2).

An answer uses the request's cipher and digest. Who can open it, in this order: the requested key, if it is a KEM key; a
response key that the request brought; the certificate that signed the request, by the request's key transport, if its
key is RSA (not id-RSASSA-PSS, which only signs); the challengePassword (section 3.1). The response key comes before the
signer, because whoever has recorded an envelope can sign it anew with an RSA key. A failure answers with whatever is
known when it happens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from ca.authority import Authority
from ca.errors import RequestRefused
from kem.exchange import Encapsulate
from kem.keys import decode_public_key
from pkix.algorithms import AES128, AES256_GCM, ContentCipher
from pkix.asn1 import AlgorithmIdentifier, Oid
from pkix.certificates import Certificate, key_identifier
from pkix.enveloped_data import encrypt
from pkix.errors import Malformed, located
from pkix.kem_recipients import KemRecipient
from pkix.pkcs10 import CertificationRequest
from pkix.pss import PssPublicKey
from pkix.recipients import KekRecipient, PasswordRecipient, Recipient, RsaRecipient
from scep.attributes import NONCE_LENGTH, MessageType, PkiStatus
from scep.failures import Refusal, fail_info
from scep.kem_pop import response_key_of
from scep.messages import Header, PkiMessage, encode_pki_message

RandomBytes = Callable[[int], bytes]


@dataclass
class Exchange:
    """What is known of one request so far.

    octets: the message as it came. client: the address it came from, None if it is not known. authority: the CA that
    it is addressed to, whose signer answers. encapsulate: ML-KEM's. stated_by: name (`IssuedCertificate.full_name`) of
    the certificate that signed a statement of possession. response_keys: whether a request may bring one. opened: what
    the envelope holds; whatever is read from then on is read from it. details: for the log; nothing secret.
    """

    octets: bytes
    message: PkiMessage
    now: datetime
    authority: Authority
    encapsulate: Encapsulate
    digest: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)
    cipher: ContentCipher = AES128
    key_transport: AlgorithmIdentifier | None = None
    signer: Certificate | None = None
    kind: MessageType | None = None
    request: CertificationRequest | None = None
    stated_by: str | None = None
    response_keys: bool = False
    client: str | None = None
    opened: bytes | None = field(default=None, repr=False)
    details: dict[str, str] = field(default_factory=dict)

    @property
    def has_no_secret_causes(self) -> bool:
        """Whether what was wrong inside of the envelope helps nobody: under AES-GCM, which only its sender can change,
        with a key from ML-KEM, where a wrong ciphertext gives a key like any other.
        """
        return self.cipher.authenticated and self.key_transport is None

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
    def message_hash(self) -> bytes:
        """32 octets that this message has in common with its copies, and with no other signer's message."""
        return hashlib.sha256(self.verified_signer.key_hash + self.message.signed_hash).digest()

    def located(self, error: Refusal) -> str:
        """See `pkix.errors.located`. An offset in what was decrypted is none of the message."""
        if self.opened is None:
            return located(error, self.octets)
        return located(error, self.opened, "enveloped content")

    @property
    def name(self) -> str:
        """The message's type, for the log."""
        return self.kind.name if self.kind else "message"


@dataclass(frozen=True)
class Outcome:
    """How a request ended if it did not fail.

    message_data: for SUCCESS, DER. request: whose answer it is, if it is an enrolment's. kem: whether the answer may be
    encrypted to the requested KEM key. attributes: further signed attributes. sender_nonce: the answer's, if it must be
    known beforehand. body: the whole CertRep, if it had to be made already.
    """

    status: PkiStatus
    message_data: bytes | None = None
    request: CertificationRequest | None = None
    kem: bool = True
    attributes: tuple[tuple[Oid, bytes], ...] = ()
    sender_nonce: bytes | None = None
    body: bytes | None = None


PENDING = Outcome(PkiStatus.PENDING)


def recipient(exchange: Exchange, request: CertificationRequest | None, *, kem: bool = True) -> Recipient:
    """Who can open the answer; see the module docstring. Asked before anything is issued, so that no certificate is
    lost. Raises RequestRefused if nobody can, Malformed for an unusable response key.
    """
    signer = exchange.verified_signer
    if request is not None and request.is_kem and kem:
        key = decode_public_key(request.spki)
        return KemRecipient(request.key_algorithm, lambda: exchange.encapsulate(key), key_identifier(request.spki))
    response_key = response_key_of(request) if request is not None else None
    if response_key is not None:
        return KekRecipient(response_key.key, response_key.key_identifier)
    if isinstance(signer.public_key, rsa.RSAPublicKey):
        return RsaRecipient(signer, exchange.key_transport)
    if request is not None and request.challenge_password:
        return PasswordRecipient(request.challenge_password.encode())
    which = " (RSASSA-PSS, RFC 4055 section 1.2)" if isinstance(signer.public_key, PssPublicKey) else ""
    nor = "" if not exchange.response_keys or request is None else "; a responseKey in the request is a way, too"
    raise RequestRefused(
        f"the answer cannot be encrypted: the signer's key{which} cannot decrypt and there is no challengePassword "
        f"(RFC 8894 section 3.1){nor}"
    )


def encode_answer(exchange: Exchange, outcome: Outcome, random: RandomBytes) -> bytes:
    """CertRep SUCCESS or PENDING. Raises RequestRefused."""
    if outcome.body is not None:
        return outcome.body
    envelope = None
    if outcome.message_data is not None:
        to = recipient(exchange, outcome.request, kem=outcome.kem)
        # A KEMRecipientInfo goes into AuthEnvelopedData, whatever the request came in (`pkix.enveloped_data`).
        cipher = AES256_GCM if isinstance(to, KemRecipient) and not exchange.cipher.authenticated else exchange.cipher
        envelope = encrypt(outcome.message_data, [to], cipher, random)
    header = _header(exchange, outcome.status, random)
    if outcome.sender_nonce is not None:
        header = replace(header, sender_nonce=outcome.sender_nonce)
    if outcome.attributes:
        header = replace(header, more=outcome.attributes)
    return _cert_rep(exchange, header, envelope)


def encode_failure(exchange: Exchange, error: Refusal, random: RandomBytes) -> bytes:
    """CertRep FAILURE with failInfo and failInfoText."""
    header = _header(exchange, PkiStatus.FAILURE, random)
    text = exchange.located(error)
    return _cert_rep(exchange, replace(header, fail_info=fail_info(error), fail_info_text=text), None)


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
