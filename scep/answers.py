"""A CertRep that a client does not accept: what it says all the same, all that is wrong with it, and what is in it.

An answer that breaks a rule of ours still says something, and its user wants to know that first: "failed validating
challenge password" is of more use than that SHA-1 is forbidden. None of it is authenticated, and nothing follows from
it but a text.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kem.errors import KemError
from pkix.algorithms import DIAGNOSIS, AlgorithmPolicy
from pkix.certificates import Certificate
from pkix.enveloped_data import decrypt, inspect
from pkix.errors import AlgorithmRefused, LegacyRefused, Malformed, PkixError, located
from pkix.identities import Identity
from pkix.kem_recipients import KemIdentity
from pkix.names import name_text
from pkix.signed_data import SignedData
from scep.attributes import FAIL_INFO, MessageType, PkiStatus
from scep.ca_certificates import CaCertificates, ReplyRefused
from scep.messages import PKI_ENVELOPE, PkiMessage, read_envelope


class AnswerRefused(ReplyRefused):
    """An answer that this client does not accept. body: its octets. said: what it says (`said`). causes: all that is
    wrong with it, in the order of checking; why: the same in words. diagnosis: lines about what is in it, if that was
    asked for.
    """

    def __init__(
        self, body: bytes, said: str, causes: Sequence[PkixError | KemError], diagnosis: Sequence[str] = ()
    ) -> None:
        self.why = "; ".join(dict.fromkeys(_told(cause, body) for cause in causes))
        super().__init__(f"{said}, but we do not accept it: {self.why}" if said else self.why)
        self.causes = tuple(causes)
        self.diagnosis = tuple(diagnosis)
        self.legacy = all(map(_is_legacy, causes))

    @property
    def old_algorithms(self) -> bool:
        """Whether an algorithm is among the causes."""
        return any(isinstance(cause, AlgorithmRefused) for cause in self.causes)


@dataclass(frozen=True)
class Known:
    """What an answer is compared with: the CA's certificates, the transactionID, and the senderNonce of the message
    that it should answer, None if that had its answer.
    """

    ca: CaCertificates
    transaction_id: str
    nonce: bytes | None


def find_faults(
    message: PkiMessage, known: Known, identities: Sequence[Identity], policy: AlgorithmPolicy
) -> list[PkixError | KemError]:
    """All that is wrong with an answer before its envelope is opened: signature, signer, type, transactionID, nonce,
    and the algorithms of the envelope. Empty if nothing is.
    """
    checks: tuple[Callable[[], object], ...] = (
        lambda: message.verify(policy, known.ca.all),
        lambda: _check_signer(message, known.ca),
        lambda: _check_type(message),
        lambda: _check_correlation(message, known),
        lambda: _check_envelope(message, identities, policy),
    )
    found: list[PkixError | KemError] = []
    for check in checks:
        try:
            check()
        except PkixError as error:
            found.append(error)
    return found


def is_from_the_ca(message: PkiMessage, known: Known) -> bool:
    """Whether the CA has signed this answer, to this message, by whatever algorithm: anybody can make others."""
    try:
        message.verify(DIAGNOSIS, known.ca.all)
        _check_signer(message, known.ca)
        _check_type(message)
        _check_correlation(message, known)
    except PkixError:
        return False
    return True


def _check_signer(message: PkiMessage, ca: CaCertificates) -> None:
    signer = message.signed.signer_certificate(ca.all)
    left_out = ca.left_out_as(signer)
    if left_out is not None:
        raise ReplyRefused(f"the CertRep is signed by {left_out}")
    if signer not in ca.all:
        raise ReplyRefused("the CertRep is signed by a certificate that GetCACert did not authenticate")
    if signer not in ca.signers():
        raise ReplyRefused("the CertRep is signed by a certificate whose keyUsage lacks digitalSignature")


def _check_type(message: PkiMessage) -> None:
    if message.message_type is not MessageType.CertRep:
        raise ReplyRefused(f"the answer is a {message.message_type.name}, not a CertRep")


def _check_correlation(message: PkiMessage, known: Known) -> None:
    if message.transaction_id != known.transaction_id:
        raise ReplyRefused("the CertRep belongs to another transactionID")
    nonce = message.recipient_nonce
    if known.nonce is None or nonce is None or not hmac.compare_digest(nonce, known.nonce):
        raise ReplyRefused("the CertRep's recipientNonce is not our senderNonce (RFC 8894 section 3.2.1.5)")


def _check_envelope(message: PkiMessage, identities: Sequence[Identity], policy: AlgorithmPolicy) -> None:
    """What anybody can see of it: whether it ought to be there, and its algorithms."""
    status, envelope = message.pki_status, message.signed.content
    if status is not PkiStatus.SUCCESS:
        if envelope:
            raise ReplyRefused(f"a CertRep {status.name} carries a pkcsPKIEnvelope (RFC 8894 section 3.3.2)")
        return
    if not envelope:
        raise ReplyRefused("a CertRep SUCCESS has no pkcsPKIEnvelope")
    read_envelope(lambda octets: inspect(octets, identities, policy, expected=PKI_ENVELOPE), envelope, advise=False)


def _is_legacy(cause: PkixError | KemError) -> bool:
    return isinstance(cause, LegacyRefused) or (isinstance(cause, ReplyRefused) and cause.legacy)


def _told(cause: PkixError | KemError, body: bytes) -> str:
    """Without the advice, which is for who sent it."""
    return cause.fact + located(cause, body).removeprefix(cause.text)


def said(message: PkiMessage) -> str:
    """What an answer says: its status, and of a refusal failInfo and failInfoText, as far as they can be read."""
    try:
        status = message.pki_status
    except Malformed:
        return ""
    words = f"the answer says {status.name}"
    try:
        words += f", {message.fail_info.name}"
    except Malformed as error:
        words += f", {error.fact}" if message.attribute(FAIL_INFO) is not None else ""
    return f"{words}: {message.fail_info_text!r}" if message.fail_info_text else words


def diagnosis(message: PkiMessage, identities: Sequence[Identity], ca: CaCertificates, spki: bytes | None) -> list[str]:
    """Lines about what is in an answer, read with algorithms that nobody should use any more.

    spki: of the requested key, if a certificate was requested. An ML-KEM key opens nothing here: its ciphertext is
    decapsulated only under a signature that was accepted.
    """
    return [_signature(message, ca), *_content(message, identities, ca, spki)]


def _signature(message: PkiMessage, ca: CaCertificates) -> str:
    try:
        signer = message.verify(DIAGNOSIS, ca.all)
    except PkixError as error:
        return f"signature: {error.fact}"
    whose = "a certificate of GetCACert" if signer in ca.all else "a certificate that GetCACert did not authenticate"
    return f"signature: right, by {_name(signer)}, {whose}"


def _content(message: PkiMessage, identities: Sequence[Identity], ca: CaCertificates, spki: bytes | None) -> list[str]:
    envelope = message.signed.content
    if not envelope:
        return ["content: no pkcsPKIEnvelope"]
    usable = [item for item in identities if not isinstance(item, KemIdentity)]
    try:
        opened = read_envelope(
            lambda octets: decrypt(octets, usable, DIAGNOSIS, expected=PKI_ENVELOPE), envelope, advise=False
        )
        inside = SignedData.decode(opened.content)
    except PkixError as error:
        return [f"content: {error.fact}"]
    lines = [f"content: {opened.cipher.name}, {len(inside.certificates)} certificate(s), {len(inside.crls)} CRL(s)"]
    return lines + [_certificate(der, ca, spki) for der in inside.certificates]


def _certificate(der: bytes, ca: CaCertificates, spki: bytes | None) -> str:
    try:
        found = Certificate.load(der)
    except Malformed as error:
        return f"certificate: cannot be read: {error.fact}"
    times = f"from {found.not_before:%Y-%m-%d %H:%M} to {found.not_after:%Y-%m-%d %H:%M} UTC"
    whose = "" if spki is None else ", for the requested key" if found.spki == spki else ", for another key"
    why_not = ca.why_not_issued(found)
    signed = "signed by the CA" if why_not is None else f"not signed by the CA: {why_not.fact}"
    return f"certificate: {_name(found)}, serial {found.serial_number:x}, {times}{whose}, {signed}"


def _name(certificate: Certificate) -> str:
    try:
        return name_text(certificate.subject_name)
    except Malformed:
        return "a certificate whose name cannot be read"
