"""The SCEP client without its I/O: what to send, and what an answer means (RFC 8894 sections 2.2 to 2.7, 3, 4).

`CaCertificates` reads and authenticates GetCACert; an `Enrolment` or a `Query` makes one request at a time and takes
its answer. Nothing in an answer is believed before its signature, signer, transactionID and recipientNonce are
checked; what fails there is `ReplyRefused`, which is the server's fault, never the user's.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from ca.profiles import key_usage
from pkix.algorithms import AES128, AlgorithmPolicy, ContentCipher
from pkix.asn1 import TLV, any_of, encode, sequence
from pkix.certificates import Certificate, IssuerAndSerialNumber
from pkix.enveloped_data import Identity, PasswordIdentity, RsaIdentity, decrypt, encrypt
from pkix.errors import PkixError
from pkix.keys import certificate_hash
from pkix.pkcs10 import CertificationRequest
from pkix.recipients import RsaRecipient
from pkix.signatures import SigningKey
from pkix.signed_data import SignedData, Signer
from scep.attributes import NONCE_LENGTH, FailInfo, MessageType, PkiStatus
from scep.messages import Header, PkiMessage, encode_pki_message

RandomBytes = Callable[[int], bytes]

SELF_SIGNED_VALIDITY = timedelta(days=30)


class ReplyRefused(PkixError):
    """The server's answer is not one that this client may accept; `text` says why."""


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
class StillPending:
    """Ask again later, with CertPoll."""


@dataclass(frozen=True)
class Refused:
    """The CA said no. text: failInfoText, or None."""

    fail_info: FailInfo
    text: str | None


Outcome = Issued | Crl | StillPending | Refused


@dataclass(frozen=True)
class CaCertificates:
    """The authenticated certificates of a CA: `ca` issues, and every one in `all` is it or chains to it or above it."""

    ca: x509.Certificate
    all: tuple[x509.Certificate, ...]

    @classmethod
    def decode(cls, body: bytes, *, fingerprint: str | None, now: datetime) -> CaCertificates:
        """Read GetCACert's body, a certificate or a degenerate SignedData; the media type is not needed to tell.

        fingerprint: hex SHA-256 (or, for old instructions, SHA-1) of a certificate in the body to trust, colons and
        case do not matter; None trusts what came (section 2.2 allows it in a trusted environment). Certificates
        that do not chain to the trusted one, or are not valid at `now`, are left out. Raises ReplyRefused.
        """
        certificates = _certificates(body)
        trusted = _trusted(certificates, fingerprint)
        chained = _chained(certificates, trusted)
        valid = tuple(item for item in chained if item.not_valid_before_utc <= now <= item.not_valid_after_utc)
        if trusted not in valid:
            raise ReplyRefused("GetCACert: the trusted CA certificate is not valid now")
        issuing = [item for item in valid if _is_ca(item)] or [trusted]
        leaf_most = [item for item in issuing if not any(_issued(item, other) for other in issuing if other != item)]
        return cls(ca=(leaf_most or issuing)[0], all=valid)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the CA certificate, lower-case hex."""
        return hashlib.sha256(self.ca.public_bytes(Encoding.DER)).hexdigest()

    def recipient(self) -> Certificate:
        """The RSA certificate to encrypt requests to: an RA certificate for encipherment, else the CA's.

        Some servers set only digitalSignature (section 3.5.2), so keyUsage decides only where it can. Raises
        ReplyRefused if no certificate has an RSA key.
        """
        rsa_ones = [item for item in self.all if isinstance(item.public_key(), rsa.RSAPublicKey)]
        if not rsa_ones:
            raise ReplyRefused("GetCACert: no certificate has an RSA key to encrypt a request to")
        best = max(rsa_ones, key=lambda item: (_may_encipher(item), not _is_ca(item), item == self.ca))
        return Certificate.of(best)

    def views(self) -> list[Certificate]:
        """All of them as CMS sees them."""
        return [Certificate.of(item) for item in self.all]

    def issued(self, certificate: x509.Certificate) -> bool:
        """Whether one of these CAs signed a certificate."""
        return any(_issued(issuer, certificate) for issuer in self.all if _is_ca(issuer) or issuer == self.ca)


def _certificates(body: bytes) -> list[x509.Certificate]:
    try:
        return [x509.load_der_x509_certificate(body)]
    except ValueError:
        pass
    try:
        found = [x509.load_der_x509_certificate(der) for der in SignedData.decode(body).certificates]
    except (PkixError, ValueError) as error:
        raise ReplyRefused(f"GetCACert: neither a certificate nor certificates-only SignedData: {error}") from None
    if not found:
        raise ReplyRefused("GetCACert: the answer holds no certificate")
    return found


def _trusted(certificates: Sequence[x509.Certificate], fingerprint: str | None) -> x509.Certificate:
    if fingerprint is None:
        return next((item for item in certificates if _is_ca(item)), certificates[0])
    wanted = fingerprint.replace(":", "").replace(" ", "").lower()
    algorithm = {64: "sha256", 40: "sha1"}.get(len(wanted))
    if algorithm is None:
        raise ReplyRefused("a fingerprint has 64 hex digits (SHA-256) or 40 (SHA-1)")
    seen = []
    for item in certificates:
        digest = hashlib.new(algorithm, item.public_bytes(Encoding.DER), usedforsecurity=False).hexdigest()
        if hmac.compare_digest(digest, wanted):
            return item
        seen.append(f"{digest} ({item.subject.rfc4514_string()})")
    raise ReplyRefused(f"GetCACert: no certificate has the fingerprint {wanted}; received: {', '.join(seen)}")


def _chained(certificates: Sequence[x509.Certificate], trusted: x509.Certificate) -> list[x509.Certificate]:
    """`trusted`, what it signed, what that signed …, in the order received (section 2.2)."""
    reached = [trusted]
    grown = True
    while grown:
        new = [
            item
            for item in certificates
            if item not in reached and any(_is_ca(issuer) and _issued(issuer, item) for issuer in reached)
        ]
        reached += new
        grown = bool(new)
    return [item for item in certificates if item in reached]


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _may_encipher(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_encipherment
    except x509.ExtensionNotFound:
        return True


def self_signed(key: SigningKey, subject: x509.Name, *, now: datetime, random: RandomBytes) -> x509.Certificate:
    """The certificate a client without one signs its first request with (section 2.3): same subject and key as the
    request, digitalSignature, and keyEncipherment if the key is RSA.
    """
    usages = {"digitalSignature", "keyEncipherment"} if isinstance(key, rsa.RSAPrivateKey) else {"digitalSignature"}
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(random(16), "big") | 1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + SELF_SIGNED_VALIDITY)
        .add_extension(key_usage(usages), critical=True)
        .sign(key, certificate_hash(key))
    )


def new_transaction_id(random: RandomBytes) -> str:
    """32 hex digits: unique, and short enough for every server."""
    return random(16).hex()


@dataclass(frozen=True)
class ClientSettings:
    """cipher, digest: what to send. policy: what to accept in answers."""

    cipher: ContentCipher = AES128
    digest: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)
    policy: AlgorithmPolicy = field(default_factory=AlgorithmPolicy)


class _Conversation:
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

    def _message(self, kind: MessageType, message_data: bytes, now: datetime) -> bytes:
        self._sender_nonce = self._random(NONCE_LENGTH)
        envelope = encrypt(message_data, [RsaRecipient(self.ca.recipient())], self._settings.cipher, self._random)
        return encode_pki_message(
            Header(kind, self.transaction_id, self._sender_nonce),
            envelope,
            self._signer,
            self._settings.digest,
            certificates=[self._signer.certificate.der],
            now=now,
        )

    def _open(self, body: bytes) -> SignedData | StillPending | Refused:
        """Check a CertRep and return its messageData, or the status that has none."""
        message = PkiMessage.decode(body)
        known = self.ca.views()
        signer = message.verify(self._settings.policy, known)
        if signer not in known:
            raise ReplyRefused("the CertRep is signed by a certificate that GetCACert did not authenticate")
        if message.message_type is not MessageType.CertRep:
            raise ReplyRefused(f"the answer is a {message.message_type.name}, not a CertRep")
        if message.transaction_id != self.transaction_id:
            raise ReplyRefused("the CertRep belongs to another transactionID")
        nonce = message.recipient_nonce
        if self._sender_nonce is None or nonce is None or not hmac.compare_digest(nonce, self._sender_nonce):
            raise ReplyRefused("the CertRep's recipientNonce is not our senderNonce (RFC 8894 section 3.2.1.5)")
        self._sender_nonce = None
        status = message.pki_status
        if status is PkiStatus.SUCCESS:
            if not message.signed.content:
                raise ReplyRefused("a CertRep SUCCESS has no pkcsPKIEnvelope")
            opened = decrypt(message.signed.content, self._identities, self._settings.policy)
            return SignedData.decode(opened.content)
        if message.signed.content:
            raise ReplyRefused(f"a CertRep {status.name} carries a pkcsPKIEnvelope (RFC 8894 section 3.3.2)")
        if status is PkiStatus.FAILURE:
            return Refused(message.fail_info, message.fail_info_text)
        return StillPending()


class Enrolment(_Conversation):
    """PKCSReq or RenewalReq, then CertPoll while the CA says PENDING.

    request: the signed PKCS #10 request. signer: the self-signed certificate for a PKCSReq, the certificate to
    renew for a RenewalReq, with its key.
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

    def start(self, *, now: datetime) -> bytes:
        """The PKCSReq or RenewalReq."""
        return self._message(self._kind, self._request.der, now)

    def poll(self, *, now: datetime) -> bytes:
        """The CertPoll."""
        name = IssuerAndSubject(
            issuer=any_of(self.ca.ca.subject.public_bytes()), subject=any_of(self._request.subject_der)
        )
        return self._message(MessageType.CertPoll, encode(name), now)

    def receive(self, body: bytes) -> Issued | StillPending | Refused:
        """The answer to the last message. Raises ReplyRefused and the errors of `pkix.errors`."""
        answer = self._open(body)
        if not isinstance(answer, SignedData):
            return answer
        for der in answer.certificates:
            if Certificate.decode(der).spki == self._request.spki:
                self._check_issued(der)
                return Issued(der, tuple(other for other in answer.certificates if other != der))
        raise ReplyRefused("a CertRep SUCCESS has no certificate for the requested key")

    def _check_issued(self, der: bytes) -> None:
        if not self.ca.issued(x509.load_der_x509_certificate(der)):
            raise ReplyRefused("the certificate received is not signed by the CA")


class Query(_Conversation):
    """GetCert or GetCRL for the certificate that issuer and serial number name."""

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

    def start(self, *, now: datetime) -> bytes:
        """The request."""
        return self._message(self._kind, encode(self._name), now)

    def receive(self, body: bytes) -> Outcome:
        """The answer. Raises ReplyRefused and the errors of `pkix.errors`."""
        answer = self._open(body)
        if not isinstance(answer, SignedData):
            return answer
        if self._kind is MessageType.GetCRL:
            if not answer.crls:
                raise ReplyRefused("a CertRep SUCCESS to GetCRL has no CRL")
            return Crl(answer.crls[0])
        for der in answer.certificates:
            if Certificate.decode(der).is_named_by(self._name):
                return Issued(der, tuple(other for other in answer.certificates if other != der))
        raise ReplyRefused("a CertRep SUCCESS to GetCert does not have the certificate asked for")


def decode_next_ca(body: bytes, ca: CaCertificates, policy: AlgorithmPolicy) -> tuple[x509.Certificate, ...]:
    """The certificates of GetNextCACert, after verifying that the current CA signed them (section 4.7.1).

    Raises ReplyRefused and the errors of `pkix.errors`.
    """
    signed = SignedData.decode(body)
    known = ca.views()
    signer = signed.signer_certificate(known)
    if signer not in known:
        raise ReplyRefused("GetNextCACert is signed by a certificate that GetCACert did not authenticate")
    signed.verify(signer, policy)
    if signed.content is None:
        raise ReplyRefused("GetNextCACert carries no certificates")
    return tuple(x509.load_der_x509_certificate(der) for der in SignedData.decode(signed.content).certificates)
