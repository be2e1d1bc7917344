"""The SCEP responder of one profile: octets in, octets out (RFC 8894 sections 3 and 4).

`pki_operation` reads a message, verifies its signature, opens its envelope, hands it to the engine (`ca.enrolment`) and
puts what becomes of it into SCEP's words. Everything that goes wrong on the way is an exception of `pkix.errors` or
`ca.errors`, and becomes a signed CertRep FAILURE in one place, `pki_operation`; only a message that shows no
transactionID raises, because there is no transaction to answer.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from cryptography.hazmat.primitives import hashes

from ca.authorisation import Authoriser
from ca.authorities import Authorities
from ca.authority import Authority, check_current
from ca.crl import Crls
from ca.dialogue import Challenged, Issued, Waiting
from ca.enrolment import Enrolments
from ca.errors import RequestRefused
from ca.events import LogEvent, Reply
from ca.kept_crls import KeptCrl
from ca.profiles import Profile
from ca.sealing import ServerKey
from ca.store import Store
from kem.backends import Backends
from kem.errors import KemError
from pkix import oids
from pkix.algorithms import AES128, AES128_GCM
from pkix.asn1 import encode
from pkix.certificates import Certificate
from pkix.enveloped_data import Opened, attempt, inspect
from pkix.errors import DecryptionFailed, Malformed, PkixError
from pkix.identities import Identity, RsaIdentity
from pkix.kem_recipients import KemIdentity
from pkix.names import name_text, same_name
from pkix.pkcs10 import CertificationRequest
from pkix.signed_data import encode_degenerate, encode_signed_data
from pkix.times import THIS_CA, outside
from scep.attributes import MessageType, PkiStatus
from scep.capabilities import encode_capabilities
from scep.enrolment import ScepDialogue, pkcs10
from scep.exchange import PENDING, Exchange, Outcome, RandomBytes, encode_answer, encode_failure
from scep.failures import TimeRefused, fail_info
from scep.messages import PKI_ENVELOPE, PkiMessage, read_envelope
from scep.opening import NOT_LOGGED, open_request
from scep.proof import DowngradeDetected, Prover
from scep.queries import Queries
from scep.response_keys import ResponseKeys
from scep.settings import KemPolicy, Pop, Settings, limits_of

MAX_ENVELOPE_OVERHEAD = 64 * 1024  # octets of recipients and attributes beside the encrypted content
MIN_NONCE, MAX_NONCE = 8, 64  # Apple's clients send 8 octets where section 3.2.1.5 says 16


class Responder:
    """Answers the four operations for one profile.

    authorities: the generations of the CA. kem, backends: how KEM keys are handled, and by which implementation.
    random(n): n octets from a cryptographic source. crls: those of the Store, which several profiles may share.
    """

    def __init__(
        self,
        *,
        profile: Profile,
        authorities: Authorities,
        authoriser: Authoriser,
        store: Store,
        server_key: ServerKey,
        settings: Settings,
        kem: KemPolicy,
        backends: Backends,
        random: RandomBytes,
        crls: Crls | None = None,
    ) -> None:
        self.profile = profile
        self.authorities = authorities
        self._authoriser = authoriser
        self._store = store
        sizes = (profile.min_rsa_bits, profile.max_rsa_bits)
        self._settings = replace(settings, algorithms=replace(settings.algorithms, certified_rsa_bits=sizes))
        self._kem = kem
        self._backends = backends
        self._random = random
        self._crls = crls or Crls(store)
        self._queries = Queries(authorities, store, self._crls, profile)
        self._addressees = [
            (identity, ra)
            for authority in authorities.all
            for ra in authority.ra_sets
            for identity in ra.identities(backends)
        ]
        self._identities: list[Identity] = [identity for identity, _authority in self._addressees]
        useless = _useless(authorities, backends)
        self._expected = replace(PKI_ENVELOPE, advice="fetch them with GetCACert", useless=useless)
        self._enrolments = Enrolments(
            profile=profile,
            authorities=authorities,
            authoriser=authoriser,
            store=store,
            server_key=server_key,
            limits=limits_of(settings, kem),
            random=random,
        )
        self._response_keys = ResponseKeys(kem, store, server_key)
        self._prover = Prover(kem.parameters, backends, random, self.get_ca_caps())

    @property
    def current(self) -> Authority:
        """The CA that issues."""
        return self.authorities.current

    # GetCACaps, GetCACert, GetNextCACert

    def get_ca_caps(self) -> bytes:
        """Body of GetCACaps (section 3.5.2), text/plain: only what is enabled and enforced."""
        algorithms, kem = self._settings.algorithms, self._kem
        return encode_capabilities(
            renewal=self._authoriser.renews,
            legacy=algorithms.legacy,
            aes_cbc=algorithms.aes_cbc,
            aes_gcm=algorithms.aes_gcm and not kem.classic,
            ml_dsa=algorithms.ml_dsa and not kem.classic,
            kem=tuple(name for name in self.certified_kems if name in self._held_kems),
            kem_pop=kem.pop is Pop.challenge and bool(self.certified_kems),
            response_key=kem.takes_response_keys,
        )

    @property
    def _reads_kem(self) -> bool:
        """Whether a request may come to an ML-KEM recipient, which is one of AuthEnvelopedData."""
        return self._settings.algorithms.aes_gcm and not self._kem.classic

    @property
    def certified_kems(self) -> tuple[str, ...]:
        """The parameter sets whose keys this profile certifies, such as "ML-KEM-768", whatever keys the RA has. A
        request for one comes in AuthEnvelopedData, to some key of the CA's that decrypts.
        """
        if not self._reads_kem or not self.current.identities(self._backends):
            return ()
        names = [parameter_set.name for parameter_set in self._backends.parameter_sets]
        return tuple(name for name in names if name.lower() in self.profile.key_types)

    @property
    def _held_kems(self) -> set[str]:
        """The parameter sets that the RA has a key for."""
        return {item.key.parameter_set.name for item in self.current.ra_kem}

    def get_ca_cert(self) -> tuple[bytes, str]:
        """Body and media type of GetCACert (section 4.2.1): the CA certificate alone if there is nothing else,
        or a degenerate SignedData with RA signer, RA decryption certificates, CA and chain.
        """
        certificates = self.current.certificates(kem=self._reads_kem)
        if len(certificates) == 1:
            return certificates[0], "application/x-x509-ca-cert"
        return encode_degenerate(certificates), "application/x-x509-ca-ra-cert"

    def get_next_ca_cert(self, *, now: datetime) -> bytes | None:
        """Body of GetNextCACert (section 4.7.1), application/x-x509-next-ca-cert; None when no rollover is prepared."""
        if self.authorities.following is None:
            return None
        signer = self.current.ca_signer
        return encode_signed_data(
            encode_degenerate(self.authorities.following.certificates(kem=self._reads_kem)),
            [],
            signer,
            hashes.SHA256(),
            certificates=[signer.certificate.der],
            now=now,
        )

    # PKIOperation

    def pki_operation(self, message: bytes, *, now: datetime, client: str | None = None) -> Reply:
        """Answer a pkiMessage, in DER or BER. now: aware UTC, whole seconds. client: the address it came from, for the
        operator who is shown a request that waits.

        Raises Malformed when it is no pkiMessage with a transactionID; everything else is answered.
        """
        exchange = Exchange(
            octets=message,
            message=PkiMessage.decode(message),
            now=now,
            authority=self.current,
            encapsulate=self._backends.encapsulate,
            cipher=AES128 if self._settings.algorithms.aes_cbc else AES128_GCM,
            response_keys=self._kem.takes_response_keys,
            client=client,
        )
        alarming = False
        exchange.details["transactionID"] = exchange.message.transaction_id
        try:
            outcome = self._handle(exchange)
            body = encode_answer(exchange, outcome, self._random)
            status = outcome.status
        except (PkixError, KemError) as error:
            body = encode_failure(exchange, error, self._random)
            if "cause" in exchange.details and not (exchange.has_no_secret_causes or self._settings.log_causes):
                exchange.details["cause"] = NOT_LOGGED
            if isinstance(error, DecryptionFailed) and error.cause:  # raised before anything is decrypted
                exchange.details["cause"] = error.cause
            exchange.details |= {"failInfo": fail_info(error).name, "text": exchange.located(error)}
            status, alarming = PkiStatus.FAILURE, isinstance(error, DowngradeDetected)
        return Reply(body, (LogEvent(exchange.name, status.name, exchange.details, alarming),))

    def _handle(self, exchange: Exchange) -> Outcome:
        message, policy = exchange.message, self._settings.algorithms
        assert message.signed.signer is not None
        exchange.digest = policy.digest(message.signed.signer.digest_algorithm.algorithm)
        exchange.signer = message.verify(policy)
        exchange.kind = message.message_type
        nonce = message.sender_nonce
        if nonce is None or not MIN_NONCE <= len(nonce) <= MAX_NONCE:
            raise Malformed("pkiMessage has no senderNonce of 16 octets (RFC 8894 section 3.2.1.5)")
        self._check_time(message, exchange.now)
        if exchange.kind in (MessageType.PKCSReq, MessageType.RenewalReq):
            exchange.request = self._open_request(exchange)
            return self._enrol(exchange)
        if exchange.kind is MessageType.CertPoll:
            self._look_at_envelope(exchange)
            return self._enrol(exchange)
        if exchange.kind is MessageType.GetCert:
            return self._queries.get_cert(exchange, self._open(exchange))
        if exchange.kind is MessageType.GetCRL:
            return self._queries.get_crl(exchange, self._open(exchange))
        raise RequestRefused("a CertRep is not a request")

    def _enrol(self, exchange: Exchange) -> Outcome:
        """What became of an enrolment, in SCEP's words (section 3.3.2)."""
        dialogue = ScepDialogue(
            exchange, self.profile.name, self.authorities, self._kem, self._prover, self._response_keys
        )
        outcome = self._enrolments.handle(dialogue.arrival(), dialogue)
        if isinstance(outcome, Issued):
            answer, request = encode_degenerate([outcome.certificate.der]), pkcs10(outcome.request)
            return Outcome(PkiStatus.SUCCESS, answer, request=request, kem=dialogue.to_kem_key)
        if isinstance(outcome, Challenged):
            exchange.details["waits for"] = "the answer to its challenge"
            return Outcome(PkiStatus.PENDING, body=outcome.answer)
        if isinstance(outcome, Waiting):
            exchange.details["waits for"] = outcome.on
        return PENDING

    def _check_time(self, message: PkiMessage, now: datetime) -> None:
        skew = self._settings.max_clock_skew
        signed_at = None if skew is None else message.signing_time
        if skew is not None and signed_at is not None and abs(now - signed_at) > skew:
            raise TimeRefused(f"signingTime is more than {skew} away from our clock, {now:%Y-%m-%d %H:%M:%S} UTC")

    def _envelope(self, exchange: Exchange) -> bytes | None:
        """The pkcsPKIEnvelope, if it is not too large to be looked at; None if eContent is missing or empty."""
        envelope = exchange.message.signed.content or None
        most = self._settings.max_request + MAX_ENVELOPE_OVERHEAD
        if envelope is not None and len(envelope) > most:
            raise Malformed(f"pkcsPKIEnvelope of {len(envelope)} octets; at most {most} are accepted")
        return envelope

    def _open(self, exchange: Exchange) -> Opened:
        """The pkcsPKIEnvelope, decrypted; what `scep.opening` makes of it is still to be seen."""
        envelope = self._envelope(exchange)
        if envelope is None:
            raise Malformed(
                f"the message has no pkcsPKIEnvelope: eContent is missing or empty ({PKI_ENVELOPE.section})"
            )
        settings = self._settings
        opened = read_envelope(
            lambda octets: attempt(
                octets,
                self._identities,
                settings.algorithms,
                self._random,
                max_content=settings.max_request,
                expected=replace(self._expected, useless=(*self._expected.useless, (exchange.verified_signer, _OWN))),
            ),
            envelope,
        )
        exchange.cipher, exchange.key_transport, exchange.opened = opened.cipher, opened.key_transport, opened.content
        exchange.authority = self._authority_of(opened.identity)
        self._check_addressed(exchange, opened.identity)
        return opened

    def _check_addressed(self, exchange: Exchange, identity: Identity) -> None:
        """Raise RequestRefused if the certificate that the client encrypted to, or the one that it will verify the
        answer with, is not valid: nobody should have used the first, and the client will not believe the second.
        """
        assert isinstance(identity, RsaIdentity | KemIdentity)
        used = (identity.certificate, exchange.authority.signer.certificate)
        for role, certificate in exchange.authority.by_role:
            if Certificate.of(certificate) in used:
                check_current(role, certificate, now=exchange.now)

    def _look_at_envelope(self, exchange: Exchange) -> None:
        """Take the answer's algorithms and the CA meant from a CertPoll, without decrypting: section 3.3.3 asks to
        go by recipientInfo and transactionID, not by the content.
        """
        envelope = self._envelope(exchange)
        if envelope is not None:
            policy = self._settings.algorithms
            seen = read_envelope(
                lambda octets: inspect(octets, self._identities, policy, expected=self._expected), envelope
            )
            exchange.cipher, exchange.key_transport = seen.cipher, seen.key_transport
            if seen.identity is not None:
                exchange.authority = self._authority_of(seen.identity)

    def _open_request(self, exchange: Exchange) -> CertificationRequest:
        opened = self._open(exchange)

        def statement_signer(request: CertificationRequest) -> Certificate | None:
            return self._statement_signer(exchange, request)

        request = open_request(opened, self._settings.algorithms, statement_signer, exchange.details)
        exchange.details["subject"] = request.subject_text
        return request

    def _authority_of(self, identity: Identity) -> Authority:
        return next(authority for known, authority in self._addressees if known is identity)

    def _statement_signer(self, exchange: Exchange, request: CertificationRequest) -> Certificate | None:
        """The certificate that a statement of possession (RFC 9883) names, which must be ours and valid."""
        statement = request.statement if request.is_kem else None
        if statement is None:
            return None
        why = "no valid certificate of this CA (RFC 9883 section 3)"
        for authority in self.authorities.known:
            if same_name(encode(statement.signer.issuer), authority.certificate.subject):
                found = self._store.certificate(authority.identifier, statement.signer.serial_number)
                if found is None or not found.released or found.revoked_at is not None:
                    continue
                if self._store.compromised(found.spki_hash):
                    continue
                if not found.good_at(exchange.now):
                    period = outside(found.not_before, found.not_after, exchange.now, THIS_CA)
                    why = f"a certificate that is not valid now (RFC 9883 section 3): {period}"
                    continue
                signer = Certificate.decode(found.der)
                if not same_name(signer.subject, request.subject_der):
                    raise RequestRefused("statementOfPossession names a certificate with another subject (RFC 9883)")
                exchange.stated_by = found.full_name
                return signer
        raise RequestRefused(f"statementOfPossession names {why}")

    def crl(self, authority: Authority, *, now: datetime) -> KeptCrl:
        """The CRL; see `ca.crl`. Raises CrlRefused."""
        return self._crls.get(authority, now=now)


_OWN = "a recipient is the certificate that signed the message; encrypt to one of ours, which GetCACert brings"


def _useless(authorities: Authorities, backends: Backends) -> tuple[tuple[Certificate, str], ...]:
    """Certificates of ours that open no envelope, and what to tell who encrypts to one."""
    found = [
        (
            Certificate.of(certificate),
            f"the certificate of our {role} opens none; {_opens(authority, backends)}",
        )
        for authority in authorities.all
        for role, certificate in authority.by_role
    ]
    gone = "a certificate of ours that is no longer in use; fetch GetCACert again"
    return (*found, *((authority.certificate, gone) for authority in authorities.retired))


def _opens(authority: Authority, backends: Backends) -> str:
    """What to encrypt to instead."""
    found = []
    for identity in authority.identities(backends):
        assert isinstance(identity, RsaIdentity | KemIdentity)
        if identity.certificate is not None:
            kind = "RSA, keyEncipherment" if isinstance(identity, RsaIdentity) else oids.label(identity.kem)
            serial = f"serial number {identity.certificate.serial_number:x}"
            found.append(f"{name_text(identity.certificate.subject_name)} ({kind}, {serial})")
    return f"address that of {' or '.join(found)}" if found else "fetch the others with GetCACert"
