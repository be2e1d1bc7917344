"""The client with its I/O: fetch the CA certificates, enrol, poll, query."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from ca.credentials import new_password
from kem.backends import Backends
from kem.errors import KemError
from kem.keys import DecapsulationKey, encode_public_key
from pkix.algorithms import (
    AES128,
    AES256_GCM,
    TRIPLE_DES,
    AlgorithmPolicy,
    ContentCipher,
)
from pkix.asn1 import Oid
from pkix.certificates import Certificate, IssuerAndSerialNumber
from pkix.errors import PkixError
from pkix.keys import generate, key_type_of, message_digest
from pkix.names import name_text
from pkix.pkcs10 import (
    CertificationRequest,
    encode_certification_request,
    encode_statement_request,
    encode_unsigned_request,
)
from pkix.recognised import begins_as_der
from pkix.signatures import SigningKey, shortest_digest
from pkix.signed_data import Signer
from scep.attributes import REQUEST_ATTRIBUTES, RESPONSE_KEY, MessageType
from scep.ca_certificates import CaCertificates, ReplyRefused
from scep.capabilities import Capabilities
from scep.client import (
    ClientSettings,
    Enrolment,
    Issued,
    KemKey,
    Outcome,
    Proof,
    Query,
    new_transaction_id,
    self_signed,
)
from scep.kem_pop import encode_response_key
from scep.messages import PkiMessage
from scep.next_ca import decode_next_ca
from scep_kem import files
from scep_kem.client.answers import PKI_OPERATION, HttpAnswer, keyword_remarks, shown_keywords
from scep_kem.client.exchange import Exchange
from scep_kem.client.options import CIPHERS, DIGESTS, Options
from scep_kem.client.pending import Pending
from scep_kem.client.transport import HttpTransport, TransportError
from scep_kem.client.wanted import AnyKey, Renewing, Wanted, fits
from scep_kem.clock import utc_now
from scep_kem.errors import UsageError, cannot
from scep_kem.kem import backends, public_kem_key
from scep_kem.terminal import printable
from scep_kem.trace import describe_message, describe_proof
from scep_kem.trace_contents import describe_issued, describe_request

EPHEMERAL_PQ = "ml-dsa-65"
EPHEMERAL = "ec:P-256"
EPHEMERAL_RSA = "rsa:2048"
# The certificate of an ephemeral key is not encrypted, so it does not give away who enrols.
EPHEMERAL_SUBJECT = x509.Name.from_rfc4514_string("CN=SCEP client")

_SAVED = re.compile(r"([0-9]+)-[A-Za-z]+\.(der|txt)")


@dataclass
class ScepClient:
    """A session with one server: capabilities and CA certificates are fetched once (caps_body, ca_body: as received).

    kept: both bodies from an earlier run, so that nobody has to be asked for them. remarks: what is wrong with HTTP in
    answers that can be used.
    """

    options: Options
    kept: tuple[bytes, bytes] | None = None
    capabilities: Capabilities = field(init=False)
    caps_body: bytes = field(init=False)
    ca_body: bytes = field(init=False)
    ca: CaCertificates = field(init=False)

    def __post_init__(self) -> None:
        self._saved, self.remarks = _last_saved(self.options.save), list[str]()
        self._transport = HttpTransport(self.options.url, self.options.http, heard=self._heard)
        self._backends: Backends = backends(self.options.kem_backend)
        if self.kept is not None:
            self.caps_body, self.ca_body = self.kept
            self.capabilities = Capabilities.decode(self.caps_body)
            self._read_ca()
            return
        body, self.capabilities = self._transport.capabilities()
        # No answer counts as an empty one, so that a CA that did answer notices who suppressed it.
        self.caps_body = body or b""
        self._show_capabilities()
        with self.noting():
            self.ca_body = self._transport.get_ca_cert()
            self._read_ca()

    def _read_ca(self) -> None:
        self.ca = CaCertificates.decode(
            self.ca_body, fingerprint=self.options.fingerprint, now=utc_now(), policy=self._policy()
        )
        self._show(f"GetCACert: {len(self.ca_body)} octets, {len(self.ca.all)} certificate(s)")
        for certificate in self.ca.all:
            self._show(f"    {self.ca.role(certificate)}: {name_text(certificate.subject_name)}")
        for left_out in self.ca.left_out:
            self._show(f"    left out: {left_out}")
        if self.options.require_kem:
            self._check_kem()

    def _check_kem(self) -> None:
        """GetCACaps is not authenticated, the certificates are: an ML-KEM certificate among them outranks the list."""
        if not self.ca.kem_certificates(self._backends):
            raise ReplyRefused("ML-KEM is required, and GetCACert has no ML-KEM certificate that we can use")
        if not self.capabilities.has("KEM-PoP"):
            self._show("GetCACaps does not list KEM-PoP, but the CA has an ML-KEM certificate: going on with ML-KEM")

    def _show_capabilities(self) -> None:
        """As they came, in their order and case."""
        if self.no_capabilities:
            self._show(f"no capabilities: {self.no_capabilities}")
            return
        self._show(f"GetCACaps: {', '.join(shown_keywords(self.caps_body)) or '(nothing)'}")
        for text in keyword_remarks(self.caps_body):
            self._show(f"    ODD: {text}")

    @property
    def no_capabilities(self) -> str:
        """Why there are none, or empty if the server gave them."""
        return self._transport.no_capabilities

    @property
    def note(self) -> str:
        """What to say with whatever may follow from missing capabilities; else empty."""
        return f"before that, {self.no_capabilities}" if self.no_capabilities else ""

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """Errors that may follow from missing capabilities tell why they are missing."""
        try:
            yield
        except (TransportError, PkixError, KemError) as error:
            if self.note:
                error.add_note(self.note)
            raise

    def enrol(self, wanted: Wanted, renewing: Renewing | None = None) -> Exchange:
        """A PKCSReq signed with a self-signed certificate, or a RenewalReq signed with the one to renew; for a key
        that cannot sign, by an ephemeral key.
        """
        request = CertificationRequest.decode(self._request(wanted, renewing), single_valued=REQUEST_ATTRIBUTES)
        signer, ephemeral = self._signer(wanted, renewing)
        old = renewing.certificate if renewing is not None else None
        renewed = None
        if renewing is not None and isinstance(renewing.key, DecapsulationKey) and old is not None:
            renewed = KemKey(renewing.key, old.spki, old)
            if not self.capabilities.has("Renewal"):
                raise ReplyRefused("the CA does not list Renewal, without which an ML-KEM certificate has no renewal")
        enrolment = Enrolment(
            request=request,
            # Without the capability, servers of the old drafts renew by PKCSReq, signed in the same way.
            renewal=renewing is not None and self.capabilities.has("Renewal"),
            ca=self.ca,
            signer=signer,
            transaction_id=new_transaction_id(os.urandom),
            settings=self._settings(signer.key, kem=isinstance(wanted.key, DecapsulationKey)),
            random=os.urandom,
            kem=KemKey(wanted.key, request.spki) if isinstance(wanted.key, DecapsulationKey) else None,
            renewed=renewed,
            capabilities=self.caps_body,
        )
        signer_file = None
        if renewing is not None and ephemeral is None and renewing.key is not wanted.key:
            signer_file = renewing.key_file
        elif wanted.statement is not None:
            signer_file = wanted.statement_key_file
        files_of_old = (renewing.key_file, renewing.cert_file) if renewing is not None and renewed else None
        return Exchange(
            self,
            enrolment,
            request,
            signer.certificate,
            ephemeral,
            signer_file,
            files_of_old,
            self.caps_body,
            self.ca_body,
        )

    def _request(self, wanted: Wanted, renewing: Renewing | None) -> bytes:
        """The PKCS #10 request. Where the answer can be encrypted to nothing else, it brings a response key or, if the
        server does not know those, a renewal brings a fresh challenge password.
        """
        if wanted.request is not None:
            return wanted.request.der
        password, attributes = wanted.challenge_password, self._attributes(wanted, renewing)
        if isinstance(wanted.key, DecapsulationKey):
            return self._kem_request(wanted, wanted.key, attributes)
        signer = renewing.key if renewing is not None else wanted.key
        if password is None and renewing is not None and not attributes and not isinstance(signer, rsa.RSAPrivateKey):
            password = new_password(os.urandom)
        return encode_certification_request(
            wanted.key,
            wanted.subject,
            challenge_password=password,
            extensions=wanted.extensions,
            attributes=attributes,
        )

    def _kem_request(self, wanted: Wanted, key: DecapsulationKey, attributes: Sequence[tuple[Oid, bytes]]) -> bytes:
        spki, password = encode_public_key(public_kem_key(key)), wanted.challenge_password
        if wanted.statement is None:
            return encode_unsigned_request(
                spki,
                wanted.subject,
                challenge_password=password,
                extensions=wanted.extensions,
                attributes=attributes,
            )
        signing_key, certificate = wanted.statement
        return encode_statement_request(
            spki,
            wanted.subject,
            signing_key,
            certificate,
            challenge_password=password,
            extensions=wanted.extensions,
            attributes=attributes,
        )

    def _attributes(self, wanted: Wanted, renewing: Renewing | None) -> list[tuple[Oid, bytes]]:
        signer = renewing.key if renewing is not None else wanted.key
        decrypts = isinstance(wanted.key, DecapsulationKey) or isinstance(signer, rsa.RSAPrivateKey)
        if decrypts or not self.capabilities.has("ResponseKey"):
            return []
        return [(RESPONSE_KEY, encode_response_key(os.urandom(16), os.urandom(32)))]

    def _signer(self, wanted: Wanted, renewing: Renewing | None) -> tuple[Signer, SigningKey | None]:
        """Who signs the pkiMessage, and the key if it is ephemeral."""
        if renewing is not None and not isinstance(renewing.key, DecapsulationKey):
            return self._signed_by(renewing.key, renewing.certificate), None
        if wanted.statement is not None:
            key, certificate = wanted.statement
            return self._signed_by(key, certificate), None
        ephemeral = None
        if isinstance(wanted.key, DecapsulationKey):
            ephemeral = generate(EPHEMERAL_PQ if self.capabilities.has("ML-DSA") else EPHEMERAL)
            key, subject = ephemeral, EPHEMERAL_SUBJECT
        else:
            # An issuer has a name (RFC 5280 section 4.1.2.4), also of a request whose subject has none.
            key, subject = wanted.key, wanted.subject if len(wanted.subject) else EPHEMERAL_SUBJECT
        certificate = Certificate.of(self_signed(key, subject, now=utc_now(), random=os.urandom))
        return self._signed_by(key, certificate), ephemeral

    def _signed_by(self, key: SigningKey, certificate: Certificate) -> Signer:
        """Raises UsageError for --pss or --digest with a key that they do not suit."""
        digest, kind = self.options.digest, key_type_of(key.public_key())
        if self.options.pss and not isinstance(key, rsa.RSAPrivateKey):
            raise UsageError(f"--pss is for RSA keys, and the key that signs the message is of type {kind}")
        if digest is not None and DIGESTS[digest]().digest_size < shortest_digest(key):
            raise UsageError(
                f"--digest {digest} does not suit the key that signs the message, of type {kind}; sha512 does"
            )
        return Signer(key, certificate, pss=self.options.pss)

    def resume(self, pending: Pending, key: AnyKey) -> Exchange:
        """Go on with a request that an earlier run left. Raises UsageError if it is not for this key."""
        request, keys = pending.request, self.options.keys
        if not fits(key, request.spki):
            raise UsageError("the key is not the one that the pending request is for")
        kem = KemKey(key, request.spki) if isinstance(key, DecapsulationKey) else None
        renewed = None
        if pending.renewed is not None:
            old = files.read_certificate(pending.renewed[1])
            renewed = KemKey(keys.read_kem(pending.renewed[0]), old.spki, old)
        signer_key = pending.signer or (keys.read_signing(pending.signer_file) if pending.signer_file else key)
        if isinstance(signer_key, DecapsulationKey):
            raise UsageError("the key is not the one that the pending request is for")
        signer = self._signed_by(signer_key, pending.certificate)
        enrolment = Enrolment(
            request=request,
            renewal=PkiMessage.decode(pending.sent).message_type is MessageType.RenewalReq,
            ca=self.ca,
            signer=signer,
            transaction_id=pending.transaction_id,
            settings=self._settings(signer.key, kem=kem is not None),
            random=os.urandom,
            kem=kem,
            renewed=renewed,
            capabilities=pending.capabilities,
            sent=pending.sent,
        )
        return Exchange(
            self,
            enrolment,
            request,
            signer.certificate,
            pending.signer,
            pending.signer_file,
            pending.renewed,
            pending.capabilities,
            pending.ca_certificates,
            resumed=True,
            answered=pending.answered,
            begun=True,
            answers=pending.answers,
        )

    def query(
        self,
        kind: MessageType,
        name: IssuerAndSerialNumber,
        key: AnyKey,
        certificate: Certificate,
        issuer: Certificate | None = None,
    ) -> Outcome:
        """GetCert or GetCRL. issuer: a CA that is trusted besides those of GetCACert. key, certificate: of who asks.

        They sign it if the key is RSA. Another could not decrypt the answer, and the two ways around that, a
        challengePassword and a response key, are attributes of a PKCS #10 request; so an ephemeral RSA key signs.
        """
        if not isinstance(key, rsa.RSAPrivateKey):
            key = generate(EPHEMERAL_RSA)
            certificate = Certificate.of(self_signed(key, EPHEMERAL_SUBJECT, now=utc_now(), random=os.urandom))
        signer = self._signed_by(key, certificate)
        query = Query(
            kind,
            name,
            ca=self.ca,
            signer=signer,
            transaction_id=new_transaction_id(os.urandom),
            settings=self._settings(signer.key),
            random=os.urandom,
            issuers=() if issuer is None else (issuer,),
        )
        with self.noting():
            outcome = query.receive(self.send(query.start(now=utc_now())))
        if isinstance(outcome, Issued):
            self.tell_issued(outcome)
        return outcome

    def next_ca(self, fingerprint: str | None = None) -> tuple[Certificate, ...]:
        """GetNextCACert, verified. fingerprint: of the next CA, hex."""
        with self.noting():
            body = self._transport.get_next_ca_cert()
            return decode_next_ca(body, self.ca, self._policy(), fingerprint=fingerprint)

    def send(self, message: bytes) -> bytes:
        """One PKIOperation, traced and saved."""
        self._record("client", message)
        known = self.capabilities.keywords
        if self.ca.kem_certificates(self._backends):
            known |= {"postpkioperation"}  # who has such a certificate takes POST, whatever became of GetCACaps
        reply = self._transport.pki_operation(message, Capabilities(known))
        self._record("server", reply)
        return reply

    def tell_request(self, request: CertificationRequest) -> None:
        """Trace what a request asks for, and the hash by which the CA's operator knows it."""
        self._show_all(describe_request(request))

    def tell_issued(self, issued: Issued) -> None:
        """Trace what an opened answer holds."""
        self._show_all(describe_issued(issued, self.ca.all))

    def explain(self, proof: Proof | None) -> None:
        """Trace how a challenge is answered."""
        if proof is not None:
            self._show_all(["", *describe_proof(proof)])

    def _policy(self) -> AlgorithmPolicy:
        return AlgorithmPolicy(legacy=self.options.legacy)

    def _settings(self, key: SigningKey, *, kem: bool = False) -> ClientSettings:
        """SHA-256 and AES-128-CBC unless told otherwise, the server knows AES-GCM, or, under --legacy, knows no better
        (RFC 8894 section 3.5.2). Who has an ML-KEM certificate knows AES-GCM, whatever became of GetCACaps, and nobody
        else certifies an ML-KEM key. kem: whether the requested key is one. Raises UsageError for a cipher that is
        none for it.
        """
        options, policy = self.options, self._policy()
        gcm = self.capabilities.has("AES-GCM") or kem or bool(self.ca.kem_certificates(self._backends))
        cipher: ContentCipher = AES256_GCM if gcm else AES128
        digest = DIGESTS[options.digest]() if options.digest else message_digest(key)
        if options.cipher:
            cipher = CIPHERS[options.cipher]
            other = "an ML-KEM key" if kem else "--require-kem" if options.require_kem else ""
            if other and not cipher.authenticated:
                raise UsageError(f"--cipher {options.cipher} does not go with {other}, which takes AES-GCM: aes256-gcm")
        elif options.legacy and not gcm and not self.capabilities.has("AES"):
            cipher = TRIPLE_DES
        if options.legacy and not options.digest and not self.capabilities.has("SHA-256"):
            digest = DIGESTS["sha1"]()
        return ClientSettings(
            cipher=cipher,
            digest=digest,
            policy=policy,
            backends=self._backends,
            require_kem=options.require_kem,
            diagnose=options.diagnose,
        )

    def _record(self, who: str, message: bytes) -> None:
        self._show("")
        arrow = "client -> CA" if who == "client" else "CA -> client"
        for index, line in enumerate(describe_message(message, self.ca.all)):
            self._show(f"{arrow}  {line}" if index == 0 else f"    {line}")
        if who == "client":
            self._save(who, message)

    def _heard(self, answer: HttpAnswer) -> None:
        """Trace and keep what came over HTTP, also what is no answer."""
        self.remarks += answer.remarks()
        for line in answer.lines():
            self._show(line)
        self._save("server" if answer.operation == PKI_OPERATION else answer.operation, answer.body)

    def _save(self, what: str, octets: bytes) -> None:
        if self.options.save is None:
            return
        self._saved += 1
        name = f"{self._saved:02d}-{what}.{'der' if begins_as_der(octets) else 'txt'}"
        files.write(self.options.save / name, octets, secret=True)

    def _show_all(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._show(line)

    def _show(self, line: str) -> None:
        if self.options.trace is not None:
            self.options.trace(printable(line))


def _last_saved(folder: Path | None) -> int:
    """The number of the last message that an earlier run saved in the folder. Raises UsageError."""
    try:
        names = [] if folder is None else [path.name for path in folder.iterdir()]
    except OSError as error:
        raise cannot(f"read {folder}", error) from None
    return max((int(match[1]) for match in map(_SAVED.fullmatch, names) if match), default=0)
