"""The client with its I/O: fetch the CA certificates, enrol, poll, and keep what a later poll needs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from pkix.algorithms import AES128, AES192, AES256, TRIPLE_DES, AlgorithmPolicy, ContentCipher
from pkix.certificates import Certificate, IssuerAndSerialNumber
from pkix.keys import message_digest
from pkix.pkcs10 import CertificationRequest, encode_certification_request
from pkix.signatures import SigningKey
from pkix.signed_data import Signer
from scep.attributes import MessageType
from scep.capabilities import Capabilities
from scep.client import (
    CaCertificates,
    ClientSettings,
    Enrolment,
    Issued,
    Outcome,
    Query,
    Refused,
    StillPending,
    decode_next_ca,
    new_transaction_id,
    self_signed,
)
from web import files
from web.errors import UsageError
from web.service import utc_now
from web.trace import describe_message
from web.transport import HttpTransport

CIPHERS = {"aes128": AES128, "aes192": AES192, "aes256": AES256, "3des": TRIPLE_DES}
DIGESTS: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
    "sha1": hashes.SHA1,
}


@dataclass(frozen=True)
class Options:
    """url: of the server. fingerprint: of the CA, hex. cipher, digest: names of CIPHERS and DIGESTS, None to choose.
    legacy: accept, and if need be use, SHA-1 and 3DES. prefer_get: PKIOperation by GET. pss: RSASSA-PSS.
    trace: called with lines about each message. save: folder for the messages' octets, or None.
    """

    url: str
    fingerprint: str | None = None
    cipher: str | None = None
    digest: str | None = None
    legacy: bool = False
    prefer_get: bool = False
    pss: bool = False
    trace: Callable[[str], None] | None = None
    save: Path | None = None


class ScepClient:
    """A session with one server: capabilities and CA certificates are fetched once."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._transport = HttpTransport(options.url, prefer_get=options.prefer_get)
        self.capabilities: Capabilities = self._transport.capabilities()
        self._show(f"GetCACaps: {', '.join(sorted(self.capabilities.keywords)) or '(nothing)'}")
        body = self._transport.get_ca_cert()
        self.ca = CaCertificates.decode(body, fingerprint=options.fingerprint, now=utc_now())
        self._show(f"GetCACert: {len(body)} octets, {len(self.ca.all)} certificate(s)")
        for certificate in self.ca.all:
            self._show(f"    {certificate.subject.rfc4514_string()}")
        self._saved = 0

    def enrol(
        self, key: SigningKey, request: CertificationRequest, *, renewing: tuple[SigningKey, x509.Certificate] | None
    ) -> Exchange:
        """A PKCSReq signed with a self-signed certificate, or a RenewalReq signed with the one to renew."""
        if renewing is None:
            certificate = self_signed(key, request.subject, now=utc_now(), random=os.urandom)
            signer = Signer(key, Certificate.of(certificate), pss=self.options.pss)
        else:
            signer = Signer(renewing[0], Certificate.of(renewing[1]), pss=self.options.pss)
        enrolment = Enrolment(
            request=request,
            # Without the capability, servers of the old drafts renew by PKCSReq, signed in the same way.
            renewal=renewing is not None and self.capabilities.has("Renewal"),
            ca=self.ca,
            signer=signer,
            transaction_id=new_transaction_id(os.urandom),
            settings=self._settings(signer.key),
            random=os.urandom,
        )
        return Exchange(self, enrolment, request, signer.certificate)

    def resume(self, pending: Pending, key: SigningKey) -> Exchange:
        """Poll for a request that an earlier run left pending."""
        subject, password = pending.certificate.subject, pending.challenge_password
        request = encode_certification_request(key, subject, challenge_password=password)
        decoded = CertificationRequest.decode(request)
        if decoded.spki != pending.requested_spki:
            raise UsageError("the key is not the one that the pending request is for")
        signer_key = files.read_key(pending.signer_key) if pending.signer_key else key
        signer = Signer(signer_key, Certificate.of(pending.certificate), pss=self.options.pss)
        enrolment = Enrolment(
            request=decoded,
            renewal=False,
            ca=self.ca,
            signer=signer,
            transaction_id=pending.transaction_id,
            settings=self._settings(signer.key),
            random=os.urandom,
        )
        return Exchange(self, enrolment, decoded, signer.certificate)

    def query(self, kind: MessageType, name: IssuerAndSerialNumber, signer: Signer) -> Outcome:
        """GetCert or GetCRL."""
        query = Query(
            kind,
            name,
            ca=self.ca,
            signer=signer,
            transaction_id=new_transaction_id(os.urandom),
            settings=self._settings(signer.key),
            random=os.urandom,
        )
        return query.receive(self.send(query.start(now=utc_now())))

    def next_ca(self) -> tuple[x509.Certificate, ...]:
        """GetNextCACert, verified."""
        return decode_next_ca(self._transport.get_next_ca_cert(), self.ca, self._policy())

    def send(self, message: bytes) -> bytes:
        """One PKIOperation, traced and saved."""
        self._record("client", message)
        reply = self._transport.pki_operation(message, self.capabilities)
        self._record("server", reply)
        return reply

    def _policy(self) -> AlgorithmPolicy:
        return AlgorithmPolicy(legacy=self.options.legacy)

    def _settings(self, key: SigningKey) -> ClientSettings:
        """SHA-256 and AES-128-CBC unless told otherwise or, under --legacy, the server cannot (section 3.5.2)."""
        options, policy = self.options, self._policy()
        cipher: ContentCipher = CIPHERS[options.cipher or "aes128"]
        digest = DIGESTS[options.digest]() if options.digest else message_digest(key)
        if options.legacy and not options.cipher and not self.capabilities.has("AES"):
            cipher = TRIPLE_DES
        if options.legacy and not options.digest and not self.capabilities.has("SHA-256"):
            digest = DIGESTS["sha1"]()
        return ClientSettings(cipher=cipher, digest=digest, policy=policy)

    def _record(self, who: str, message: bytes) -> None:
        self._show("")
        arrow = "client -> CA" if who == "client" else "CA -> client"
        for index, line in enumerate(describe_message(message, self.ca.views())):
            self._show(f"{arrow}  {line}" if index == 0 else f"    {line}")
        if self.options.save is not None:
            self._saved += 1
            files.write(self.options.save / f"{self._saved:02d}-{who}.der", message, secret=True)

    def _show(self, line: str) -> None:
        if self.options.trace is not None:
            self.options.trace(line)


@dataclass
class Exchange:
    """One enrolment on its way."""

    client: ScepClient
    enrolment: Enrolment
    request: CertificationRequest
    signer: Certificate

    def start(self) -> Issued | StillPending | Refused:
        """Send the request."""
        return self.enrolment.receive(self.client.send(self.enrolment.start(now=utc_now())))

    def poll(self) -> Issued | StillPending | Refused:
        """Send one CertPoll."""
        return self.enrolment.receive(self.client.send(self.enrolment.poll(now=utc_now())))

    def polls(self, interval: float, most: int) -> Iterator[Issued | StillPending | Refused]:
        """Up to `most` polls, `interval` seconds before each, until one is not StillPending."""
        for _ in range(most):
            time.sleep(interval)
            outcome = self.poll()
            yield outcome
            if not isinstance(outcome, StillPending):
                return

    def pending(self, signer_key: Path | None) -> Pending:
        """What a later `resume` needs."""
        decrypts = isinstance(self.signer.public_key, rsa.RSAPublicKey)
        return Pending(
            url=self.client.options.url,
            fingerprint=self.client.options.fingerprint,
            transaction_id=self.enrolment.transaction_id,
            requested_spki=self.request.spki,
            certificate=x509.load_der_x509_certificate(self.signer.der),
            signer_key=signer_key,
            challenge_password=None if decrypts else self.request.challenge_password,
        )


@dataclass(frozen=True)
class Pending:
    """A pending enrolment, as kept beside the certificate's file, with mode 0600, until it comes.

    certificate: the one that signed the request. signer_key: file of its key, None if it is the requested key.
    challenge_password: kept only if the signer's key cannot decrypt, because the answer comes encrypted under it.
    """

    url: str
    fingerprint: str | None
    transaction_id: str
    requested_spki: bytes
    certificate: x509.Certificate
    signer_key: Path | None
    challenge_password: str | None

    def dump(self) -> bytes:
        """JSON."""
        return json.dumps(
            {
                "url": self.url,
                "ca fingerprint": self.fingerprint,
                "transactionID": self.transaction_id,
                "requested key": self.requested_spki.hex(),
                "signer certificate": files.pem(self.certificate).decode(),
                "signer key file": None if self.signer_key is None else str(self.signer_key),
                "challengePassword": self.challenge_password,
            },
            indent=1,
        ).encode()

    @classmethod
    def load(cls, path: Path) -> Pending:
        """Raises UsageError."""
        try:
            found = json.loads(files.read(path))
            return cls(
                url=found["url"],
                fingerprint=found["ca fingerprint"],
                transaction_id=found["transactionID"],
                requested_spki=bytes.fromhex(found["requested key"]),
                certificate=x509.load_pem_x509_certificate(found["signer certificate"].encode()),
                signer_key=None if found["signer key file"] is None else Path(found["signer key file"]),
                challenge_password=found["challengePassword"],
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(f"{path} is not a pending enrolment of this program") from None
