"""The SCEP client without its I/O: what to send, and what an answer means (RFC 8894 sections 2.2 to 2.7, 3, 4).

`scep.ca_certificates` reads and authenticates GetCACert; an `Enrolment` or a `Query` makes one request at a time and
takes its answer. Nothing in an answer is believed before its signature, signer, transactionID and recipientNonce are
checked; what fails there is `AnswerRefused`, which is the server's fault, never the user's, and which says what the
answer says all the same. A KEM ciphertext is
decapsulated only after that, and only a MAC comes of it: the client is no decryption oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Generic, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from kem.backends import Backends
from kem.errors import KemError
from kem.exchange import compute_mac, respond
from kem.keys import DecapsulationKey
from pkix.algorithms import AES128, AlgorithmPolicy, ContentCipher
from pkix.asn1 import TLV, Oid, any_of, encode, sequence
from pkix.certificates import Certificate, IssuerAndSerialNumber, key_identifier, readable
from pkix.enveloped_data import decrypt, encrypt
from pkix.errors import AlgorithmRefused, LegacyRefused, PkixError
from pkix.identities import Identity, KekIdentity, PasswordIdentity, RsaIdentity
from pkix.kem_recipients import KemIdentity
from pkix.keys import certificate_hash, key_type_of
from pkix.pkcs10 import CertificationRequest
from pkix.recipients import Recipient
from pkix.revocations import is_crl
from pkix.signatures import SigningKey
from pkix.signed_data import SignedData, Signer
from pkix.times import EARLIEST, LATEST
from pkix.usages import key_usage, possible_usages
from scep.answers import AnswerRefused, Known, diagnosis, find_faults, said
from scep.attributes import (
    KEM_POP_CHALLENGE,
    KEM_POP_CONFIRM,
    NONCE_LENGTH,
    FailInfo,
    MessageType,
    PkiStatus,
    UndefinedFailInfo,
)
from scep.ca_certificates import CaCertificates, ReplyRefused
from scep.kem_pop import Binding, Challenge, comparison, encode_confirm, mac_input, response_key_of
from scep.messages import PKI_ENVELOPE, Header, PkiMessage, encode_pki_message, read_envelope

RandomBytes = Callable[[int], bytes]

SELF_SIGNED_VALIDITY = timedelta(days=30)
_BACKDATE = timedelta(days=1)


@sequence
class IssuerAndSubject:
    """RFC 8894 section 3.3.3."""

    issuer: TLV
    subject: TLV


@dataclass(frozen=True)
class Issued:
    """certificate: DER of the certificate for the requested key. others: what came along, DER each."""

    certificate: bytes
    others: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Crl:
    """crl: DER."""

    crl: bytes


@dataclass(frozen=True)
class Proof:
    """How a challenge was answered, for whoever wants to see it. Nothing in it is secret but the whole csrHash, which
    would let others test challenge passwords.

    context: DER ScepKemContext. mac_input: DER KemPopMacInput. mac: the proof. compared: `scep.kem_pop.comparison`.
    """

    challenge: Challenge
    context: bytes
    mac_input: bytes
    mac: bytes
    compared: Mapping[str, str]


@dataclass(frozen=True)
class StillPending:
    """Ask again with CertPoll: later, or, when the CA sent a challenge, at once, because the answer is ready."""

    challenged: bool = False


@dataclass(frozen=True)
class Refused:
    """The CA said no. text: failInfoText, or None."""

    fail_info: FailInfo | UndefinedFailInfo
    text: str | None


Outcome = Issued | Crl | StillPending | Refused
Answer = TypeVar("Answer")


def self_signed(key: SigningKey, subject: x509.Name, *, now: datetime, random: RandomBytes) -> x509.Certificate:
    """The certificate a client without one signs its first request with (section 2.3): same subject and key as the
    request, digitalSignature, and keyEncipherment if the key is RSA.
    """
    # Whatever the clock says: who judges the certificate is the CA, by its own.
    moment = min(max(now, EARLIEST + _BACKDATE), LATEST - SELF_SIGNED_VALIDITY)
    usages = {"digitalSignature", "keyEncipherment"} & possible_usages(key_type_of(key.public_key()))
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(random(16), "big") | 1)
        .not_valid_before(moment - _BACKDATE)
        .not_valid_after(moment + SELF_SIGNED_VALIDITY)
        .add_extension(key_usage(usages), critical=True)
        .sign(key, certificate_hash(key))
    )


def new_transaction_id(random: RandomBytes) -> str:
    """32 hex digits: unique, and short enough for every server."""
    return random(16).hex()


@dataclass(frozen=True)
class ClientSettings:
    """cipher, digest: what to send. policy: what to accept in answers. backends: implementations of ML-KEM, None to do
    without. require_kem: encrypt only to ML-KEM keys. diagnose: say what is in an answer that is not accepted.
    """

    cipher: ContentCipher = AES128
    digest: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)
    policy: AlgorithmPolicy = field(default_factory=AlgorithmPolicy)
    backends: Backends | None = None
    require_kem: bool = False
    diagnose: bool = False


@dataclass(frozen=True)
class KemKey:
    """An ML-KEM private key of the client's, with its certificate if it has one."""

    key: DecapsulationKey
    spki: bytes
    certificate: Certificate | None = None


class _Conversation(Generic[Answer]):
    """One transaction: requests out, answers in, in turn."""

    def __init__(
        self,
        *,
        ca: CaCertificates,
        signer: Signer,
        transaction_id: str,
        challenge_password: str | None,
        settings: ClientSettings,
        random: RandomBytes,
    ) -> None:
        self.ca = ca
        self.transaction_id = transaction_id
        self._signer = signer
        self._settings = settings
        self._random = random
        self._sender_nonce: bytes | None = None
        self._identities: list[Identity] = []
        if isinstance(signer.key, rsa.RSAPrivateKey):
            self._identities.append(RsaIdentity(signer.certificate, signer.key))
        if challenge_password:
            self._identities.append(PasswordIdentity(challenge_password.encode()))

    def resume(self, last: bytes) -> None:
        """Wait for the answer to a message that another process sent. last: its octets. Raises Malformed."""
        self._sender_nonce = PkiMessage.decode(last).sender_nonce

    def _message(
        self,
        kind: MessageType,
        message_data: bytes,
        now: datetime,
        *,
        certificates: Sequence[bytes] = (),
        attributes: tuple[tuple[Oid, bytes], ...] = (),
    ) -> bytes:
        settings = self._settings
        self._sender_nonce = self._random(NONCE_LENGTH)
        recipient = self._recipient()
        envelope = encrypt(message_data, [recipient], settings.cipher, self._random)
        return encode_pki_message(
            Header(kind, self.transaction_id, self._sender_nonce, more=attributes),
            envelope,
            self._signer,
            settings.digest,
            certificates=[self._signer.certificate.der, *certificates],
            now=now,
        )

    def _recipient(self) -> Recipient:
        """Whom to encrypt to. Under CBC that is nobody with an ML-KEM key: what is under such a key belongs in
        AuthEnvelopedData (`pkix.enveloped_data`). Raises AlgorithmRefused, ReplyRefused.
        """
        settings = self._settings
        if settings.cipher.authenticated:
            return self.ca.recipient(settings.backends, require_kem=settings.require_kem)
        if settings.require_kem:
            raise AlgorithmRefused(f"an ML-KEM recipient needs an AES-GCM cipher, not {settings.cipher.name}")
        return self.ca.recipient(None)

    def receive(self, body: bytes) -> Answer:
        """The answer to the last message. Raises Malformed for what is no pkiMessage, and AnswerRefused."""
        message = PkiMessage.decode(body, advise=False)
        policy, known = self._settings.policy, Known(self.ca, self.transaction_id, self._sender_nonce)
        faults = find_faults(message, known, self._identities, policy)
        if not faults:
            self._sender_nonce = None
            try:
                return self._take(message, body)
            except (PkixError, KemError) as error:
                faults = [error]
        shown: list[str] = []
        if self._settings.diagnose:
            shown = diagnosis(message, self._identities, self.ca, self._requested)
        raise AnswerRefused(body, said(message), faults, shown)

    @property
    def _requested(self) -> bytes | None:
        """DER SubjectPublicKeyInfo of the key that a certificate was requested for."""
        return None

    def _take(self, message: PkiMessage, body: bytes) -> Answer:
        """What a CertRep means against which `find_faults` has nothing to say. Raises PkixError, KemError."""
        raise NotImplementedError

    def _open(self, message: PkiMessage) -> SignedData | StillPending | Refused:
        """The messageData of a checked CertRep, or the status that has none."""
        if message.pki_status is PkiStatus.FAILURE:
            return Refused(message.fail_info, message.fail_info_text)
        if message.pki_status is PkiStatus.PENDING:
            return StillPending()
        assert message.signed.content is not None
        policy = self._settings.policy
        opened = read_envelope(
            lambda octets: decrypt(octets, self._identities, policy, expected=PKI_ENVELOPE),
            message.signed.content,
            advise=False,
        )
        return SignedData.decode(opened.content)

    def _check_signed(self, what: str, why_not: PkixError | None) -> None:
        """why_not: why no key of the CA has signed what was received. Raises ReplyRefused."""
        if why_not is not None:
            legacy = isinstance(why_not, LegacyRefused)
            raise ReplyRefused(f"the {what} received is not signed by the CA: {why_not.fact}", legacy=legacy)


class Enrolment(_Conversation[Issued | StillPending | Refused]):
    """PKCSReq or RenewalReq, then CertPoll while the CA says PENDING.

    request: the PKCS #10 request. signer: the self-signed certificate for a PKCSReq, the certificate to renew for a
    RenewalReq, with its key; an ephemeral one for a KEM key, which cannot sign. kem: the requested key, if it is a KEM
    key. renewed: the KEM key and certificate to renew. capabilities: the GetCACaps body that was acted on, which a
    confirmation of possession repeats, so that the CA notices a downgrade. sent: the octets of the request, if an
    earlier process sent it.
    """

    def __init__(
        self,
        *,
        request: CertificationRequest,
        renewal: bool,
        ca: CaCertificates,
        signer: Signer,
        transaction_id: str,
        settings: ClientSettings,
        random: RandomBytes,
        kem: KemKey | None = None,
        renewed: KemKey | None = None,
        capabilities: bytes | None = None,
        sent: bytes | None = None,
    ) -> None:
        super().__init__(
            ca=ca,
            signer=signer,
            transaction_id=transaction_id,
            challenge_password=request.challenge_password,
            settings=settings,
            random=random,
        )
        self._request = request
        self._kind = MessageType.RenewalReq if renewal else MessageType.PKCSReq
        self._kem_keys = [key for key in (kem, renewed) if key is not None]
        self._renewed = renewed
        self._capabilities = capabilities
        self._sent = sent or b""
        self._client_nonce = (PkiMessage.decode(sent).sender_nonce or b"") if sent else b""
        self._confirm: bytes | None = None
        self.proof: Proof | None = None
        if kem is not None:
            self._identities.append(self._kem_identity(kem))
        response_key = response_key_of(request)
        if response_key is not None:
            self._identities.append(KekIdentity(response_key.key, response_key.key_identifier))

    def _kem_identity(self, kem: KemKey) -> KemIdentity:
        assert self._settings.backends is not None
        return KemIdentity(
            kem=kem.key.parameter_set.oid,
            decapsulate=partial(self._settings.backends.decapsulate, kem.key),
            certificate=None,
            key_identifier=key_identifier(kem.spki),
        )

    @property
    def sent(self) -> bytes:
        """The octets of the request, which a process that resumes this enrolment needs."""
        return self._sent

    def start(self, *, now: datetime) -> bytes:
        """The PKCSReq or RenewalReq. Raises AlgorithmRefused for a cipher that does not suit the request or the CA."""
        if self._request.is_kem and not self._settings.cipher.authenticated:
            raise AlgorithmRefused(
                f"a request for a key that cannot sign needs an AES-GCM cipher, not {self._settings.cipher.name}"
            )
        old = self._renewed.certificate if self._renewed is not None else None
        self._confirm = None
        self._sent = self._message(
            self._kind, self._request.der, now, certificates=[old.der] if old is not None else []
        )
        assert self._sender_nonce is not None
        self._client_nonce = self._sender_nonce
        return self._sent

    def again(self) -> bytes:
        """The octets of the request once more, if the CA does not know it: wherever the first copy is, it is the same.

        Raises Malformed if there was none.
        """
        self._confirm = None
        self.resume(self._sent)
        return self._sent

    def poll(self, *, now: datetime) -> bytes:
        """The CertPoll; after a challenge, with the confirmation."""
        name = IssuerAndSubject(issuer=any_of(self.ca.ca.subject), subject=any_of(self._request.subject_der))
        confirm, self._confirm = self._confirm, None
        attributes = ((KEM_POP_CONFIRM, confirm),) if confirm is not None else ()
        return self._message(MessageType.CertPoll, encode(name), now, attributes=attributes)

    @property
    def _requested(self) -> bytes | None:
        return self._request.spki

    def _take(self, message: PkiMessage, body: bytes) -> Issued | StillPending | Refused:
        answer = self._open(message)
        if isinstance(answer, StillPending):
            return self._pending(message, body)
        if isinstance(answer, Refused):
            return answer
        for found in readable(answer.certificates):
            if found.spki == self._request.spki:
                self._check_issued(found.der)
                return Issued(found.der, tuple(other for other in answer.certificates if other != found.der))
        raise ReplyRefused("a CertRep SUCCESS has no certificate for the requested key")

    def _pending(self, message: PkiMessage, body: bytes) -> StillPending:
        """PENDING, of a checked CertRep: decapsulate if there is a challenge, and prepare its confirmation."""
        attribute = message.attribute(KEM_POP_CHALLENGE)
        if attribute is None:
            return StillPending()
        if not self._kem_keys or self._settings.backends is None or not self._sent:
            raise ReplyRefused("the CA sent a KEM challenge for a key that we do not have")
        challenge = Challenge.decode(attribute)
        signer = message.signed.signer_certificate(self.ca.all)
        digest = challenge.parameters.kdf.digest
        binding = Binding(
            client_nonce=self._client_nonce,
            ca_nonce=message.sender_nonce or b"",
            request_hash=digest(self._sent),
            csr=self._request.der,
            ca_signer=signer.der,
            parameters=challenge.parameters,
        )
        context = binding.context([item.octets for item in challenge.ciphertexts])
        derived_key = respond(
            [item.key for item in self._kem_keys],
            challenge.ciphertexts,
            transaction_id=self.transaction_id.encode("ascii"),
            context=context,
            parameters=challenge.parameters,
            decapsulate=self._settings.backends.decapsulate,
        )
        caps_hash = digest(self._capabilities) if self._capabilities is not None else None
        given = mac_input(digest(body), caps_hash)
        mac = compute_mac(derived_key, given, challenge.parameters)
        self._confirm = encode_confirm(mac, caps_hash)
        self.proof = Proof(challenge, context, given, mac, comparison(derived_key, context, given))
        return StillPending(challenged=True)

    def _check_issued(self, der: bytes) -> None:
        self._check_signed("certificate", self.ca.why_not_issued(Certificate.load(der)))
        old = self._renewed.certificate if self._renewed is not None else self._signer.certificate
        if old is not None and der == old.der:
            raise ReplyRefused("the certificate received is the one that was to be renewed")


class Query(_Conversation[Outcome]):
    """GetCert or GetCRL for the certificate that issuer and serial number name. issuers: CAs that may have signed what
    comes, besides those of GetCACert, where a CA that was followed by another is no more.
    """

    def __init__(
        self,
        kind: MessageType,
        name: IssuerAndSerialNumber,
        *,
        ca: CaCertificates,
        signer: Signer,
        transaction_id: str,
        settings: ClientSettings,
        random: RandomBytes,
        issuers: Sequence[Certificate] = (),
    ) -> None:
        super().__init__(
            ca=ca,
            signer=signer,
            transaction_id=transaction_id,
            challenge_password=None,
            settings=settings,
            random=random,
        )
        self._kind = kind
        self._name = name
        self._issuers = issuers

    def start(self, *, now: datetime) -> bytes:
        """The request."""
        return self._message(self._kind, encode(self._name), now)

    def _take(self, message: PkiMessage, body: bytes) -> Outcome:
        answer = self._open(message)
        if not isinstance(answer, SignedData):
            return answer
        if self._kind is MessageType.GetCRL:
            for crl in answer.crls:
                if is_crl(crl):
                    self._check_signed("CRL", self.ca.why_not_crl(crl, encode(self._name.issuer), self._issuers))
                    return Crl(crl)
            raise ReplyRefused("a CertRep SUCCESS to GetCRL has no CRL that can be read")
        for found in readable(answer.certificates):
            if found.is_named_by(self._name):
                certificate = Certificate.load(found.der)
                self._check_signed("certificate", self.ca.why_not_issued(certificate, self._issuers))
                return Issued(found.der, tuple(other for other in answer.certificates if other != found.der))
        raise ReplyRefused("a CertRep SUCCESS to GetCert does not have the certificate asked for")
