"""Cases of role `client`: our client, as it was when it had sent its last message, takes the answer."""

from __future__ import annotations

import hashlib

from drafts.tools.labelled import Labelled, LabelledBackend
from drafts.tools.testkit.our_keys import kem_key, now, pair
from drafts.vectors.runner import Case, Result
from kem.backends import Backends
from kem.errors import KemError
from kem.keys import encode_public_key
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import decode
from pkix.certificates import Certificate, IssuerAndSerialNumber
from pkix.errors import AlgorithmRefused, DecryptionFailed, IntegrityFailed, Malformed, PkixError
from pkix.kem_recipients import KemRecipient
from pkix.pkcs10 import CertificationRequest
from pkix.recipients import RsaRecipient
from pkix.signed_data import Signer
from scep.answers import AnswerRefused
from scep.attributes import KEM_POP_CHALLENGE, FailInfo, MessageType, PkiStatus
from scep.ca_certificates import CaCertificates, ReplyRefused
from scep.client import ClientSettings, Crl, Enrolment, Issued, KemKey, Query, Refused, StillPending
from scep.messages import PkiMessage
from scep.next_ca import decode_next_ca

# What our one class for refused answers means in the vocabulary of the format, by what its text says.
_REPLY_REFUSED = (
    ("the CertRep is signed by", "signer"),
    ("GetNextCACert is not signed by", "signer"),
    ("fingerprint", "trust"),
    ("GetCACert: no ML-KEM certificate", "recipient"),
    ("GetCACert: no certificate has a key", "recipient"),
    ("GetCACert", "trust"),
    ("GetNextCACert", "message"),
    ("transactionID", "correlation"),
    ("recipientNonce", "correlation"),
    ("KEM challenge", "challenge"),
    ("certificate received is not signed", "certificate"),
    ("has no certificate for", "certificate"),
    ("does not have the certificate", "certificate"),
    ("", "message"),
)
_BY_CLASS: tuple[tuple[type[Exception], str], ...] = (
    (AlgorithmRefused, "algorithm"),
    (IntegrityFailed, "signature"),
    (DecryptionFailed, "decryption"),
    (Malformed, "malformed"),
)


def token(error: PkixError | KemError, reply: bytes) -> str:
    """The word of the format's vocabulary for an error of ours."""
    if isinstance(error, AnswerRefused):
        return token(error.causes[0], reply)
    if isinstance(error, ReplyRefused):
        return next(word for text, word in _REPLY_REFUSED if text in error.text)
    if isinstance(error, KemError):
        return "challenge" if _carries_challenge(reply) else "decryption"
    if "kemPop" in error.text or "KEM proof of possession" in error.text:
        return "challenge"
    return next(word for kind, word in _BY_CLASS if isinstance(error, kind))


def _carries_challenge(reply: bytes) -> bool:
    message = PkiMessage.decode(reply)
    return message.pki_status is PkiStatus.PENDING and message.attribute(KEM_POP_CHALLENGE) is not None


def run(case: Case) -> Result:
    """What our client makes of the answer."""
    reply = case.blocks.get("reply", [b""])[0]
    try:
        return _OPERATIONS[case.header("operation")](case)
    except (PkixError, KemError) as error:
        text = error.why if isinstance(error, AnswerRefused) else error.text
        return Result(f"rejected {token(error, reply)}", text)


def _certificates(case: Case) -> CaCertificates:
    return CaCertificates.decode(case.block("ca-cert"), fingerprint=case.header("fingerprint"), now=now(case))


def _settings(case: Case) -> ClientSettings:
    words = case.header("policy").split()
    return ClientSettings(
        policy=AlgorithmPolicy(legacy="legacy" in words),
        backends=None if "no-ml-kem" in words else Backends((LabelledBackend("client"),)),
        require_kem="require-kem" in words,
    )


def _get_ca_cert(case: Case) -> Result:
    found = _certificates(case)
    kinds = sorted(hashlib.sha256(item.der).hexdigest()[:16] for item in found.all)
    return Result("accepted", "", {"ca": found.fingerprint, "certificates": " ".join(kinds)})


def _recipient(case: Case) -> Result:
    """Whom a request would be encrypted to."""
    settings = _settings(case)
    found = _certificates(case).recipient(settings.backends, require_kem=settings.require_kem)
    if isinstance(found, KemRecipient):
        assert not isinstance(found.rid, bytes)
        return Result("accepted", "", {"recipient": f"{found.rid.serial_number:x}"})
    assert isinstance(found, RsaRecipient)
    return Result("accepted", "", {"recipient": f"{found.certificate.serial_number:x}"})


def _next_ca(case: Case) -> Result:
    found = decode_next_ca(case.block("reply"), _certificates(case), AlgorithmPolicy())
    return Result("accepted", "", {"next-ca": hashlib.sha256(found[0].der).hexdigest()})


def _enrol(case: Case) -> Result:
    settings, client = _settings(case), pair(case, "client")
    assert client is not None
    backends = settings.backends
    kem, renewed = kem_key(case, "client-kem-key"), kem_key(case, "client-old-key")
    enrolment = Enrolment(
        request=CertificationRequest.decode(case.block("csr")),
        renewal=renewed is not None,
        ca=_certificates(case),
        signer=Signer(client.key, Certificate.of(client.certificate)),
        transaction_id=case.header("transaction-id"),
        settings=settings,
        random=Labelled(case.header("name")),
        kem=KemKey(kem, encode_public_key(backends.encapsulation_key(kem))) if kem and backends else None,
        renewed=_old(case, backends) if renewed and backends else None,
        capabilities=case.blocks["ca-caps"][0] if "ca-caps" in case.blocks else None,
        sent=case.blocks["sent"][0],
    )
    enrolment.resume(case.blocks["sent"][-1])
    answer = enrolment.receive(case.block("reply"))
    if isinstance(answer, StillPending) and answer.challenged:
        assert enrolment.proof is not None
        proof = enrolment.proof
        return Result("challenged", "", {"mac": proof.mac.hex(), "context": proof.context.hex()})
    return _result(answer)


def _old(case: Case, backends: Backends) -> KemKey:
    key, certificate = kem_key(case, "client-old-key"), Certificate.decode(case.block("client-old-certificate"))
    assert key is not None
    return KemKey(key, certificate.spki, certificate)


def _query(case: Case) -> Result:
    client = pair(case, "client")
    assert client is not None
    query = Query(
        MessageType.GetCRL if case.header("operation") == "get-crl" else MessageType.GetCert,
        decode(IssuerAndSerialNumber, case.block("name"), "IssuerAndSerialNumber"),
        ca=_certificates(case),
        signer=Signer(client.key, Certificate.of(client.certificate)),
        transaction_id=case.header("transaction-id"),
        settings=_settings(case),
        random=Labelled(case.header("name")),
    )
    query.resume(case.blocks["sent"][-1])
    return _result(query.receive(case.block("reply")))


def _result(answer: Issued | Crl | StillPending | Refused) -> Result:
    if isinstance(answer, Issued):
        return Result("accepted", "", {"certificate": hashlib.sha256(answer.certificate).hexdigest()})
    if isinstance(answer, Crl):
        return Result("accepted", "", {"crl": hashlib.sha256(answer.crl).hexdigest()})
    if isinstance(answer, Refused):
        known = answer.fail_info.name if isinstance(answer.fail_info, FailInfo) else "undefined"
        return Result(f"refused {known}", answer.text or "")
    return Result("pending")


_OPERATIONS = {
    "get-ca-cert": _get_ca_cert,
    "recipient": _recipient,
    "get-next-ca-cert": _next_ca,
    "enrol": _enrol,
    "get-cert": _query,
    "get-crl": _query,
}
