"""CA: transactions that wait and end, renewals, GetCert and GetCRL (RFC 8894 sections 2.5, 3.3, 4.3 to 4.6, 5.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from drafts.tools.labelled import NOW, value
from drafts.tools.testkit.ca_classic import (
    BAD_CERT_ID,
    BAD_REQUEST,
    ONE_TEXT,
    SUBJECT,
    csr,
    device,
    negative,
    pkcs_req,
    positive,
    scene,
)
from drafts.tools.testkit.ca_requests import SAN, after, dns
from drafts.tools.testkit.der import sequence
from drafts.tools.testkit.parties import (
    CLIENT_AUTH,
    YEAR,
    Party,
    certificate,
    issued,
    key,
    name,
    rsa_ca,
    self_signed,
)
from drafts.tools.testkit.requests import extension_request, request_info, signed, spki_hash
from drafts.tools.testkit.scene import Planned, Scene
from pkix.asn1 import encode
from pkix.certificates import Certificate
from pkix.keys import spki_of

POLL_NONCE = value("vectors/classic/nonce", 1, 16)
WAITING = "ca-poll-waiting"
RENEWAL = "ca-renewal-rsa"


def cases() -> Iterator[Planned]:
    """All of this module."""
    yield from _transactions()
    yield from _renewal()
    yield from _queries()


def _poll(**changes: Any) -> bytes:
    """CertPoll of the RSA client: IssuerAndSubject, enveloped (RFC 8894 section 3.3.3)."""
    data = sequence(rsa_ca().certificate.subject, device().certificate.subject)
    arguments: dict[str, Any] = {"kind": 20, "nonce": POLL_NONCE} | changes
    return pkcs_req(data, **arguments)


def _transactions() -> Iterator[Planned]:
    """Transactions that wait for an operator's approval, and that ended."""
    manual = scene("manual").plus(password="")
    content = csr(None, extension_request((SAN, dns("device.example"))))
    request = pkcs_req(content)
    yield positive(
        "ca-manual",
        "PKCSReq without challengePassword at a CA whose operator approves by hand",
        "ca-pending",
        request,
        "PENDING",
        scene=manual,
    )
    waiting = after(manual, request)
    yield positive(
        WAITING, "CertPoll for a request that waits for approval", "ca-poll", _poll(), "PENDING", scene=waiting
    )
    yield positive(
        "ca-request-again-waiting",
        "The same PKCSReq again, with a new nonce, while it waits",
        "ca-resync",
        pkcs_req(content, nonce=POLL_NONCE),
        "PENDING",
        scene=waiting,
    )
    yield positive(
        "ca-poll-without-envelope",
        "CertPoll whose content was left out; transactionID and signer say enough",
        "ca-poll",
        _poll(envelope=None),
        "PENDING",
        scene=waiting,
    )
    other = self_signed("rsa:2048", "other", SUBJECT)
    yield negative(
        "ca-poll-other-signer",
        "The CertPoll is signed by another key than the request.",
        BAD_REQUEST,
        "no request matches",
        "ca-poll-unknown",
        _poll(signer=other.signer),
        scene=waiting,
        twin=WAITING,
        description="CertPoll that matches no request",
    )
    yield negative(
        "ca-poll-other-transaction",
        "The CertPoll has another transactionID than the request.",
        BAD_REQUEST,
        "no request matches",
        "ca-poll-unknown",
        _poll(transaction_id="classic-2"),
        scene=waiting,
        twin=WAITING,
        description="CertPoll that matches no request",
    )
    yield negative(
        "ca-poll-nothing-waits",
        "There was no request before (RFC 8894 section 4.4).",
        BAD_REQUEST,
        "no request matches",
        "ca-poll-unknown",
        _poll(),
        scene=manual,
        twin=WAITING,
        description="CertPoll that matches no request",
    )
    different = csr(None, extension_request((SAN, dns("other.example"))))
    yield negative(
        "ca-other-request-waiting",
        "The PKCS #10 request is another one than that which waits under this transactionID and signer.",
        BAD_REQUEST,
        "another request is waiting",
        "ca-transaction-identity",
        pkcs_req(different, nonce=POLL_NONCE),
        scene=waiting,
        twin="ca-request-again-waiting",
        description="PKCSReq under a transactionID in use",
    )
    ended = after(scene(), pkcs_req())
    same = {"same-certificate": "yes", "key": spki_hash(csr())}
    yield positive(
        "ca-request-again-issued",
        "The same PKCSReq again after SUCCESS: the client lost the answer",
        "ca-resync",
        pkcs_req(nonce=POLL_NONCE),
        scene=ended,
        values=same,
    )
    yield positive(
        "ca-poll-issued",
        "CertPoll after SUCCESS: the client lost the answer",
        "ca-resync",
        _poll(),
        scene=ended,
        values=same,
    )
    yield positive(
        "ca-request-again-new-transaction",
        "The same PKCS #10 request by the same signer under a new transactionID: its one-time password still counts",
        "ca-resync",
        pkcs_req(transaction_id="classic-2"),
        scene=ended,
        values=same,
    )


def _renewal() -> Iterator[Planned]:
    """RenewalReq signed with an existing certificate (RFC 8894 sections 2.3, 2.5, 3.3.1)."""
    old = issued("rsa:2048", "device", SUBJECT, rsa_ca(), usages=frozenset({"digitalSignature", "keyEncipherment"}))
    content = _renewing(SUBJECT)

    def at(policy: str = "challenge-password renewal", certificate: Certificate | None = None, **more: Any) -> Scene:
        found = scene(policy, client=Party(old.key, certificate or old.certificate))
        return found.plus(("issued", (certificate or old.certificate).der), **more)

    def message(inside: bytes = content, signer: Party = old) -> bytes:
        return pkcs_req(inside, kind=17, signer=signer.signer, transaction_id="renewal-1")

    def refused(suffix: str, defect: str, because: str, sent: bytes, base: Scene) -> Planned:
        return negative(
            f"ca-renewal-{suffix}",
            defect,
            BAD_REQUEST,
            because,
            "ca-renewal",
            sent,
            scene=base,
            twin=RENEWAL,
            description="RenewalReq of an RSA client that should be refused",
        )

    yield positive(
        RENEWAL,
        "RenewalReq with a new key, signed with the certificate to renew",
        "ca-renewal",
        message(),
        scene=at(),
        values={"key": spki_hash(content), "subject": SUBJECT},
    )
    recorded = after(at(), message(), at="2026-11-18T12:00:00Z")
    yield refused(
        "recorded",
        "The octets have been sent before and have led to a certificate; the transaction is forgotten.",
        "has led to a certificate already",
        message(),
        recorded,
    )
    serial = f"{old.certificate.serial_number:x}"
    yield refused("revoked", "The certificate to renew is revoked.", "is revoked", message(), at(revoked=serial))
    period = (NOW - 2 * YEAR, NOW - YEAR)
    ended = issued("rsa:2048", "device", SUBJECT, rsa_ca(), eku=CLIENT_AUTH, lifetime=period)
    yield refused(
        "expired",
        "The certificate to renew expired a year ago.",
        "not valid now",
        message(signer=ended),
        at(certificate=ended.certificate),
    )
    own = self_signed("rsa:2048", "device", SUBJECT)
    yield refused(
        "self-signed",
        "The RenewalReq is signed with a self-signed certificate.",
        "issued by this CA",
        message(signer=own),
        at(),
    )
    forger = key("rsa:2048", "other")
    fake = certificate(SUBJECT, spki_of(forger), rsa_ca(), label="device", signer=forger)
    yield refused(
        "forged",
        "The signer's certificate has issuer and serial number of one of ours, but another key.",
        "issued by this CA",
        message(signer=Party(forger, fake)),
        at(),
    )
    yield refused(
        "other-subject",
        "The request asks for another subject than the certificate to renew has.",
        "subject differs",
        message(_renewing("CN=administrator,O=Example")),
        at(),
    )
    more_names = _renewing(SUBJECT, extension_request((SAN, dns("administrator.example"))))
    yield refused(
        "wider-names",
        "The request asks for a subjectAltName that the certificate to renew does not have.",
        "subjectAltName",
        message(more_names),
        at(),
    )
    yield refused(
        "disabled",
        "The policy does not allow renewals, and GetCACaps does not list Renewal.",
        "not enabled",
        message(),
        at("challenge-password"),
    )


def _renewing(subject: str, *attributes: bytes) -> bytes:
    """A PKCS #10 request for the client's next key."""
    private = key("ec:P-256", "device-renewed")
    return signed(request_info(name(subject).public_bytes(), spki_of(private), attributes), private)


def _queries() -> Iterator[Planned]:
    """GetCert and GetCRL (RFC 8894 sections 3.3.4, 4.5, 4.6)."""
    old = issued("ec:P-256", "issued", "CN=issued,O=Example", rsa_ca())
    base = scene("challenge-password").plus(("issued", old.certificate.der))

    def name_of(issuer: bytes, serial: int) -> bytes:
        return sequence(issuer, encode(serial))

    ours, serial = rsa_ca().certificate.subject, old.certificate.serial_number
    foreign = name("CN=Somebody else").public_bytes()
    yield positive(
        "ca-get-cert",
        "GetCert for a certificate of this CA",
        "ca-get-cert",
        pkcs_req(name_of(ours, serial), kind=21),
        scene=base,
        values={"subject": "CN=issued,O=Example"},
    )
    yield negative(
        "ca-get-cert-unknown-serial",
        "No certificate has this serial number.",
        BAD_CERT_ID,
        ONE_TEXT,
        "ca-get-cert",
        pkcs_req(name_of(ours, 4711), kind=21),
        scene=base,
        twin="ca-get-cert",
        description="GetCert for something that is not there",
    )
    yield negative(
        "ca-get-cert-other-issuer",
        "The issuer is another CA.",
        BAD_CERT_ID,
        ONE_TEXT,
        "ca-get-cert",
        pkcs_req(name_of(foreign, serial), kind=21),
        scene=base,
        twin="ca-get-cert",
        description="GetCert for something that is not there",
    )
    yield positive(
        "ca-get-crl",
        "GetCRL after a certificate was revoked; the answer has the CRL in the field crls",
        "ca-get-crl",
        pkcs_req(name_of(ours, serial), kind=22),
        scene=base.plus(revoked=f"{serial:x}"),
        values={"revoked": f"{serial:x}"},
    )
    yield negative(
        "ca-get-crl-other-issuer",
        "The issuer is another CA.",
        BAD_CERT_ID,
        ONE_TEXT,
        "ca-get-crl",
        pkcs_req(name_of(foreign, serial), kind=22),
        scene=base.plus(revoked=f"{serial:x}"),
        twin="ca-get-crl",
        description="GetCRL for another CA's certificate",
    )
    yield negative(
        "ca-get-crl-request",
        "messageData is a PKCS #10 request, not IssuerAndSerialNumber.",
        BAD_CERT_ID,
        ONE_TEXT,
        "ca-content-matches-type",
        pkcs_req(kind=22),
        scene=base.plus(revoked=f"{serial:x}"),
        twin="ca-get-crl",
        description="GetCRL with the content of a PKCSReq",
    )
