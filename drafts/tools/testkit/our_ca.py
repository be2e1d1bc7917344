"""Cases of role `ca`: our responder, brought into the state that the case describes, answers the message."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from ca import methods
from ca.authorities import Authorities
from ca.authority import Authority
from ca.credentials import add_password
from ca.memory_store import MemoryStore
from ca.methods import AuthorisationPolicy
from ca.profiles import Profile
from ca.sealing import ServerKey
from ca.store import IssuedCertificate, State, Transaction, TransactionKey
from drafts.tools.labelled import Labelled, LabelledBackend
from drafts.tools.testkit.our_keys import kem_key, kem_pairs, now, pair, time
from drafts.vectors.runner import Case, Result
from kem.backends import Backends
from kem.exchange import POP_SHA256, POP_SHA512
from kem.keys import encode_public_key
from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.certificates import Certificate, key_identifier
from pkix.enveloped_data import decrypt
from pkix.errors import Malformed
from pkix.identities import Identity, KekIdentity, PasswordIdentity, RsaIdentity
from pkix.kem_recipients import KemIdentity
from pkix.names import name_text, parse_name
from pkix.signed_data import SignedData
from scep.attributes import KEM_POP_CHALLENGE, PkiStatus
from scep.kem_pop import Challenge
from scep.messages import PkiMessage
from scep.responder import Responder
from scep.settings import KemPolicy, Pop, ResponseKeyReuse, Settings

UNTIL = timedelta(days=3650)
ANYTHING = AlgorithmPolicy(legacy=True)


class CaUnderTest:
    """The CA of a case. Each answer is checked for what every answer must be."""

    def __init__(self, case: Case) -> None:
        self.case = case
        ca = pair(case, "ca")
        assert ca is not None
        self.authority = Authority(
            ca=ca,
            ra_signer=pair(case, "ra-signer"),
            ra_decryption=pair(case, "ra-rsa"),
            ra_kem=kem_pairs(case, "ra-kem"),
        )
        self.store, self.server_key = MemoryStore(), ServerKey(bytes(32))
        self.backends = Backends((LabelledBackend(f"{case.header('seed')}/m"),))
        self.words = dict(_word(item) for item in case.header("policy").split())
        self.responder = self._responder()
        self._remember_certificates()
        self._remember_passwords()

    def _responder(self) -> Responder:
        words, authorities = self.words, Authorities(self.authority)
        profile = Profile()
        if "certifies" in words:
            profile = Profile(key_types=tuple(words["certifies"].split(",")))
        policy = AuthorisationPolicy(
            challenge_password="challenge-password" in words, renewal="renewal" in words, manual="manual" in words
        )
        skew = words.get("max-clock-skew")
        return Responder(
            profile=profile,
            authorities=authorities,
            authoriser=methods.authoriser(policy, profile, authorities.all, self.store, self.server_key),
            store=self.store,
            server_key=self.server_key,
            settings=Settings(
                algorithms=AlgorithmPolicy("legacy" in words, "no-gcm" not in words, "no-ml-dsa" not in words),
                max_clock_skew=timedelta(seconds=int(skew)) if skew else None,
            ),
            kem=KemPolicy(
                pop=Pop(words.get("pop", "challenge")),
                parameters=POP_SHA512 if words.get("hash") == "SHA-512" else POP_SHA256,
                response_key=ResponseKeyReuse(words.get("response-key", "single-request")),
            ),
            backends=self.backends,
            random=Labelled(f"{self.case.header('seed')}/random"),
        )

    def _remember_certificates(self) -> None:
        moment = now(self.case)
        for index, der in enumerate(self.case.blocks.get("issued", ())):
            found = x509.load_der_x509_certificate(der)
            key = TransactionKey("scep", f"earlier-{index}", bytes(32), Profile().name)
            certificate = IssuedCertificate(
                authority=self.authority.identifier,
                serial=found.serial_number,
                der=der,
                subject=name_text(found.subject),
                spki_hash=Certificate.decode(der).key_hash,
                profile=self.responder.profile.name,
                not_before=found.not_valid_before_utc,
                not_after=found.not_valid_after_utc,
            )
            self.store.issue(None, _ended(key, certificate, moment), certificate)
        self._revoke("revoked")

    def _revoke(self, header: str) -> None:
        for serial in self.case.headers.get(header, ()):
            self.store.revoke(self.authority.identifier, int(serial, 16), reason="unspecified", now=now(self.case))

    def _remember_passwords(self) -> None:
        moment, subject = now(self.case), self.case.header("password-subject")
        expires = time(self.case.header("password-expires")) if "password-expires" in self.case.headers else None
        for text in self.case.headers.get("password", ()):
            add_password(
                self.store,
                self.server_key,
                text,
                now=moment - UNTIL,
                ttl=expires - (moment - UNTIL) if expires else 2 * UNTIL,
                subject=parse_name(subject) if subject else None,
                weak=True,
            )

    def play_earlier(self) -> list[bytes]:
        """The answers to the messages that came before, which are those of the case where it has them."""
        times = self.case.headers.get("earlier-time", [self.case.header("time")] * 99)
        given = self.case.blocks.get("earlier-answer", [])
        answers = []
        for index, message in enumerate(self.case.blocks.get("earlier", ())):
            answers.append(self.responder.pki_operation(message, now=time(times[index])).body)
            if index < len(given) and given[index] != answers[-1]:
                raise AssertionError(f"the answer to earlier message {index} is not the one recorded")
        self._revoke("revoked-later")
        return answers

    def answer(self, message: bytes) -> bytes:
        """The answer to a message at the time of the case."""
        return self.responder.pki_operation(message, now=now(self.case)).body

    # What an answer is

    def result(self, message: bytes, body: bytes, *, repeated: bool = False) -> Result:
        """An answer in the words of the format, after checking what every answer must be. repeated: it was given
        before, perhaps to another message.
        """
        reply = PkiMessage.decode(body)
        reply.verify(ANYTHING, [])
        if not repeated:
            self._check(PkiMessage.decode(message), reply)
        if reply.pki_status is PkiStatus.FAILURE:
            return Result(f"FAILURE {reply.fail_info.name}", reply.fail_info_text or "")
        if reply.pki_status is PkiStatus.PENDING:
            attribute = reply.attribute(KEM_POP_CHALLENGE)
            if attribute is None:
                return Result("PENDING")
            found = Challenge.decode(attribute)
            sets = " ".join(str(item.parameter_set) for item in found.ciphertexts)
            return Result("PENDING challenge", "", {"ciphertexts": sets, "hash": found.parameters.kdf.name})
        return self._opened(reply)

    def _check(self, request: PkiMessage, reply: PkiMessage) -> None:
        assert reply.transaction_id == request.transaction_id, "another transactionID"
        assert reply.sender_nonce is not None and len(reply.sender_nonce) == 16, "senderNonce"
        try:
            nonce = request.sender_nonce
        except Malformed:
            nonce = None
        assert reply.recipient_nonce == nonce, "recipientNonce is not the request's senderNonce"
        enveloped = bool(reply.signed.content)
        assert enveloped == (reply.pki_status is PkiStatus.SUCCESS), "pkcsPKIEnvelope"

    def _opened(self, reply: PkiMessage) -> Result:
        opened = decrypt(reply.signed.content or b"", self._client_identities(), ANYTHING)
        data = SignedData.decode(opened.content)
        assert reply.signed.signer is not None
        values = {
            "cipher": opened.cipher.name,
            "digest": oids.label(reply.signed.signer.digest_algorithm.algorithm),
            "recipient": type(opened.identity).__name__.removesuffix("Identity").lower(),
        }
        if data.crls:
            crl = x509.load_der_x509_crl(data.crls[0])
            values["revoked"] = " ".join(sorted(f"{item.serial_number:x}" for item in crl))
        if data.certificates:
            values |= _described(data.certificates[0])
        return Result("SUCCESS", "", values)

    def _client_identities(self) -> list[Identity]:
        found: list[Identity] = []
        client, kem = pair(self.case, "client"), kem_key(self.case, "client-kem-key")
        if client is not None and isinstance(client.key, rsa.RSAPrivateKey):
            found.append(RsaIdentity(Certificate.of(client.certificate), client.key))
        if kem is not None:
            decapsulate = partial(self.backends.decapsulate, kem)
            identifier = key_identifier(encode_public_key(self.backends.encapsulation_key(kem)))
            found.append(KemIdentity(kem.parameter_set.oid, decapsulate, None, identifier))
        if "response-key" in self.case.blocks:
            found.append(KekIdentity(self.case.block("response-key"), self.case.block("response-key-id")))
        found += [PasswordIdentity(text.encode()) for text in self.case.headers.get("password", ())]
        return found


def _word(item: str) -> tuple[str, str]:
    name, _, value = item.partition("=")
    return name, value


def _ended(key: TransactionKey, certificate: IssuedCertificate, moment: datetime) -> Transaction:
    return Transaction(
        key=key,
        state=State.ISSUED,
        request_hash=bytes(32),
        sealed_request=b"",
        subject=certificate.subject,
        authority=certificate.authority,
        created=moment,
        updated=moment,
        expires=moment,
        serial=certificate.serial,
    )


def _described(der: bytes) -> Mapping[str, str]:
    found = x509.load_der_x509_certificate(der)
    usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
    names = [("digitalSignature", usage.digital_signature), ("keyEncipherment", usage.key_encipherment)]
    return {
        "certificate": hashlib.sha256(der).hexdigest(),
        "key": Certificate.decode(der).key_hash.hex(),
        "subject": name_text(found.subject),
        "key-usage": " ".join(word for word, present in names if present),
    }


def run(case: Case) -> Result:
    """What our responder makes of the message."""
    ca = CaUnderTest(case)
    if "ca-caps" in case.blocks and ca.responder.get_ca_caps() != case.block("ca-caps"):
        raise AssertionError("our GetCACaps is not the one of the case")
    answers = ca.play_earlier()
    message = case.block("message")
    try:
        body = ca.answer(message)
    except Malformed as error:
        return Result("HTTP-400", error.text)
    result = ca.result(message, body, repeated=body in answers)
    if body in answers:
        which = "latest" if body == answers[-1] else "older"
        return Result(result.outcome, result.text, {**result.values, "same-answer": which})
    if answers and result.outcome == "SUCCESS":
        again = [ca.result(sent, found) for sent, found in zip(case.blocks["earlier"], answers, strict=True)]
        before = {item.values.get("certificate") for item in again}
        known = "yes" if result.values.get("certificate") in before else "no"
        return Result(result.outcome, result.text, {**result.values, "same-certificate": known})
    return result
