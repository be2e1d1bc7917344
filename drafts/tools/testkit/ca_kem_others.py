"""CA: statements of possession (RFC 9883), renewal by an ML-KEM certificate, response keys."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from drafts.tools.labelled import NOW, value
from drafts.tools.testkit.ca_classic import BAD_ALG, BAD_CHECK, BAD_REQUEST, device, negative, pkcs8, positive
from drafts.tools.testkit.ca_kem import CHALLENGED, PASSWORD, SUBJECT, client, info, pkcs_req, scene, signer
from drafts.tools.testkit.ca_proof import block, played, poll
from drafts.tools.testkit.der import Node, attribute, flipped, octets, scheme, sequence
from drafts.tools.testkit.kem_messages import Proof
from drafts.tools.testkit.parties import (
    YEAR,
    KemParty,
    Party,
    issued,
    kem_ca,
    kem_issued,
    key,
    name,
    self_signed,
)
from drafts.tools.testkit.requests import password_attribute, request_info, respoiled, signed, spki_hash, unsigned
from drafts.tools.testkit.scene import Planned, Scene
from pkix import oids
from pkix.asn1 import any_of, encode
from pkix.keys import spki_of
from pkix.pkcs10 import PrivateKeyPossessionStatement
from scep.attributes import RESPONSE_KEY

OLD_SUBJECT = SUBJECT
RENEWAL = "ca-kem-renewal"
STATEMENT = "ca-statement"
RESPONSE = "ca-response-key"
KEY, KEY_ID = value("vectors/response-key", 0, 32), value("vectors/response-key", 1, 16)


def cases() -> Iterator[Planned]:
    """All of this module."""
    yield from _statements()
    yield from _renewals()
    yield from _renewal_confirmations()
    yield from _response_keys()


def statement(
    identity: Party,
    *,
    subject: str = SUBJECT,
    signing: Party | None = None,
    spki: bytes = b"",
    included: bool = False,
) -> bytes:
    """A request for the ML-KEM key with a statement of possession. included: with the certificate it names."""
    stated = PrivateKeyPossessionStatement(
        signer=identity.certificate.issuer_and_serial,
        certificate=any_of(identity.certificate.der) if included else None,
    )
    attributes = (password_attribute(PASSWORD), attribute(oids.STATEMENT_OF_POSSESSION, encode(stated)))
    return signed(info(*attributes, subject=subject, spki=spki or None), (signing or identity).key)


def _statements() -> Iterator[Planned]:
    identity = issued("ec:P-256", "identity", SUBJECT, kem_ca())
    serial = f"{identity.certificate.serial_number:x}"
    known = ("issued", identity.certificate.der)
    enough, also = "challenge-password renewal pop=statement", "challenge-password renewal"

    def refused(
        suffix: str, defect: str, because: str, content: bytes, expect: str = BAD_REQUEST, **more: Any
    ) -> Planned:
        base = more.pop("scene", None) or scene(enough).plus(known, **more)
        return negative(
            f"ca-statement-{suffix}",
            defect,
            expect,
            because,
            "ca-statement",
            pkcs_req(content),
            scene=base,
            twin=STATEMENT,
            description="PKCSReq with a statement of possession that should be refused",
        )

    good = statement(identity)
    yield positive(
        STATEMENT,
        "PKCSReq with a statement of possession (RFC 9883) where that is enough",
        "ca-statement",
        pkcs_req(good),
        scene=scene(enough).plus(known),
        values={"key": spki_hash(good)},
    )
    yield positive(
        "ca-statement-with-certificate",
        "PKCSReq with a statement of possession that includes the certificate",
        "ca-statement",
        pkcs_req(statement(identity, included=True)),
        scene=scene(enough).plus(known),
    )
    yield positive(
        "ca-statement-challenged",
        "PKCSReq with a statement of possession where a proof is asked for as well",
        "ca-kem-challenge",
        pkcs_req(good),
        CHALLENGED,
        scene=scene(also).plus(known),
    )
    yield positive(
        "ca-statement-absent",
        "PKCSReq without a statement where that would be enough: a challenge comes",
        "ca-kem-challenge",
        pkcs_req(),
        CHALLENGED,
        scene=scene(enough).plus(known),
    )
    yield refused(
        "unknown",
        "The CA never issued the certificate that the statement names.",
        "names no valid certificate",
        good,
        scene=scene(enough),
    )
    yield refused(
        "revoked",
        "The certificate that the statement names is revoked.",
        "names no valid certificate",
        good,
        revoked=serial,
    )
    ended = issued("ec:P-256", "identity", SUBJECT, kem_ca(), lifetime=(NOW - 2 * YEAR, NOW - YEAR))
    yield refused(
        "expired",
        "The certificate that the statement names expired a year ago.",
        "is not valid now",
        statement(ended),
        scene=scene(enough).plus(("issued", ended.certificate.der)),
    )
    yield refused(
        "other-subject",
        "The request's subject is not that of the certificate that the statement names.",
        "another subject",
        statement(identity, subject="CN=administrator"),
    )
    yield refused(
        "signature",
        "The request is signed with another key than the statement's.",
        "does not verify",
        statement(identity, signing=signer()),
        BAD_CHECK,
    )
    foreign = self_signed("ec:P-256", "identity", SUBJECT)
    yield refused(
        "self-signed",
        "The statement names a self-signed certificate of the client's.",
        "names no valid certificate",
        statement(foreign),
    )

    def unsigned_one(tree: Node) -> None:
        tree[2] = Node(0x03, b"\x00")

    yield refused(
        "empty-signature",
        "The request with a statement has an empty signature.",
        "does not verify",
        respoiled(good, unsigned_one),
        BAD_CHECK,
    )
    own = spki_of(identity.key)
    yield refused(
        "signing-key",
        "The requested key is a P-256 key, which could sign its own request.",
        "can sign its own request",
        statement(identity, spki=own),
    )


@functools.cache
def old() -> KemParty:
    """The ML-KEM certificate to renew."""
    return kem_issued("kem-old", SUBJECT, kem_ca())


def renewal(content: bytes | None = None, **changes: Any) -> bytes:
    """RenewalReq signed by an ephemeral key, the old certificate beside that one's."""
    certificate = old().certificate
    assert certificate is not None
    arguments: dict[str, Any] = {"kind": 17, "transaction_id": "renewal-1", "more": [certificate.der]} | changes
    return pkcs_req(unsigned_renewal() if content is None else content, **arguments)


def unsigned_renewal(subject: str = SUBJECT, spki: bytes | None = None) -> bytes:
    return unsigned(request_info(name(subject).public_bytes(), spki or client().spki))


def _renewals() -> Iterator[Planned]:
    certificate = old().certificate
    assert certificate is not None
    base = scene().plus(("issued", certificate.der))

    def refused(suffix: str, defect: str, because: str, message: bytes, at: Scene | None = None) -> Planned:
        return negative(
            f"ca-kem-renewal-{suffix}",
            defect,
            BAD_REQUEST,
            because,
            "ca-kem-renewal",
            message,
            scene=at or base,
            twin=RENEWAL,
            description="RenewalReq of a client with an ML-KEM certificate alone that should be refused",
        )

    yield positive(
        RENEWAL,
        "RenewalReq of a client with an ML-KEM certificate alone: a challenge to the new and the old key",
        "ca-kem-renewal",
        renewal(),
        CHALLENGED,
        scene=base,
        values={"ciphertexts": "ML-KEM-768 ML-KEM-768"},
    )
    signing = key("ec:P-256", "thief")
    given = [password_attribute(PASSWORD)]
    csr = signed(request_info(name(SUBJECT).public_bytes(), spki_of(signing), given), signing)
    yield refused(
        "other-kind",
        "The request is for a P-256 key: nothing would prove possession of the old key.",
        "another kind of key",
        renewal(csr),
    )
    yield refused(
        "revoked",
        "The certificate to renew is revoked.",
        "is revoked",
        renewal(),
        base.plus(revoked=f"{certificate.serial_number:x}"),
    )
    ended = kem_issued("kem-old", SUBJECT, kem_ca(), lifetime=(NOW - 2 * YEAR, NOW - YEAR)).certificate
    assert ended is not None
    yield refused(
        "expired",
        "The certificate to renew expired a year ago.",
        "not valid now",
        renewal(more=[ended.der]),
        scene().plus(("issued", ended.der)),
    )
    yield refused("unknown", "The CA never issued the certificate to renew.", "issued by this CA", renewal(), scene())
    yield refused(
        "missing", "The certificate to renew is not in the SignedData.", "issued by this CA", renewal(more=[])
    )
    yield refused(
        "other-subject",
        "The request asks for another subject than the certificate to renew has.",
        "subject differs",
        renewal(unsigned_renewal("CN=administrator")),
    )
    yield refused(
        "disabled",
        "The policy does not allow renewals.",
        "not enabled",
        renewal(),
        scene("challenge-password").plus(("issued", certificate.der)),
    )


def _renewal_confirmations() -> Iterator[Planned]:
    certificate = old().certificate
    assert certificate is not None
    base = played(scene().plus(("issued", certificate.der)), [renewal()], [client(), old()])
    proof = Proof.of(
        block(base, "earlier"),
        unsigned_renewal(),
        block(base, "earlier-answer"),
        [client().private, old().private],
        block(base, "ca-caps"),
    )

    def sent(confirm: bytes) -> bytes:
        return poll(confirm, transaction_id="renewal-1")

    yield positive(
        "ca-kem-renewal-confirm",
        "CertPoll whose confirmation proves possession of the new and the old key",
        "ca-kem-renewal-both",
        sent(proof.confirm()),
        scene=base,
        values={"key": spki_hash(unsigned_renewal())},
    )
    new, previous = proof.secrets
    for suffix, defect, secrets in (
        ("new-only", "The derived key is made of the new key's secret alone.", (new,)),
        ("old-only", "The derived key is made of the old key's secret alone.", (previous,)),
        ("swapped", "The derived key is made of the secrets in the wrong order.", (previous, new)),
    ):
        yield negative(
            f"ca-kem-renewal-confirm-{suffix}",
            defect,
            BAD_CHECK,
            "the proof of possession is wrong",
            "ca-kem-renewal-both",
            sent(proof.but(secrets=secrets).confirm()),
            scene=base,
            twin="ca-kem-renewal-confirm",
            description="CertPoll with a confirmation that should be refused",
        )
    yield negative(
        "ca-kem-renewal-confirm-revoked",
        "The old certificate was revoked after the challenge was sent.",
        BAD_REQUEST,
        "is revoked",
        "ca-kem-renewal-both",
        sent(proof.confirm()),
        scene=base.plus(**{"revoked-later": f"{certificate.serial_number:x}"}),
        twin="ca-kem-renewal-confirm",
        description="CertPoll with a confirmation that should be refused",
    )
    yield positive(
        "ca-kem-renewal-confirm-without-caps",
        "The same without capsHash",
        "ca-kem-renewal-both",
        sent(proof.but(caps=None).confirm()),
        scene=base,
    )


def response_key(identifier: bytes = KEY_ID, secret: bytes = KEY, wrap: bytes = scheme(oids.AES256_WRAP)) -> bytes:
    """The attribute responseKey."""
    return attribute(RESPONSE_KEY, sequence(octets(identifier), wrap, octets(secret)))


@functools.cache
def ec_client() -> Party:
    """A client whose key only signs."""
    return self_signed("ec:P-256", "ec-device", SUBJECT)


def _response_keys() -> Iterator[Planned]:
    party = ec_client()

    def at(policy: str = "challenge-password renewal") -> Scene:
        base = scene(policy).without("client-certificate", "client-key", "client-kem-key")
        return base.plus(
            ("client-certificate", party.certificate.der),
            ("client-key", pkcs8(party.key)),
            ("response-key", KEY),
            ("response-key-id", KEY_ID),
            password=[PASSWORD, "another secret"],
        )

    def csr(*attributes: bytes, private: Party = party) -> bytes:
        given = (password_attribute(PASSWORD), *(attributes or (response_key(),)))
        return signed(request_info(name(SUBJECT).public_bytes(), spki_of(private.key), given), private.key)

    def message(content: bytes, **more: Any) -> bytes:
        return pkcs_req(content, **({"signer": party.signer} | more))

    def refused(suffix: str, defect: str, expect: str, because: str, content: bytes, **more: Any) -> Planned:
        return negative(
            f"ca-response-key-{suffix}",
            defect,
            expect,
            because,
            "ca-response-key",
            message(content),
            twin=RESPONSE,
            description="PKCSReq with a response key that should be refused",
            **({"scene": at()} | more),
        )

    yield positive(
        RESPONSE,
        "PKCSReq of a P-256 client with a response key: the answer is under it (KEKRecipientInfo)",
        "ca-response-key",
        message(csr()),
        scene=at(),
        values={"recipient": "kek", "key": spki_hash(csr())},
    )
    rsa = device()
    both = csr(private=rsa)
    with_rsa = at().swapped("client-certificate", rsa.certificate.der).swapped("client-key", pkcs8(rsa.key))
    yield positive(
        "ca-response-key-rsa",
        "PKCSReq of an RSA client with a response key: the answer is under it, too, not to the signer's key",
        "ca-response-key",
        message(both, signer=rsa.signer),
        scene=with_rsa,
        values={"recipient": "kek", "key": spki_hash(both)},
    )
    yield refused(
        "short",
        "key has 16 octets, but wrap is aes256-wrap.",
        BAD_REQUEST,
        "does not fit wrap",
        csr(response_key(secret=KEY[:16])),
    )
    yield refused(
        "identifier",
        "keyIdentifier has 15 octets.",
        BAD_REQUEST,
        "does not have 16 octets",
        csr(response_key(identifier=KEY_ID[:15])),
    )
    yield refused(
        "wrap",
        "wrap is 3DES key wrap.",
        BAD_ALG,
        "not an AES key wrap",
        csr(response_key(wrap=scheme("1.2.840.113549.1.9.16.3.6"))),
    )
    yield refused(
        "wrap-parameters",
        "wrap has NULL parameters.",
        BAD_ALG,
        "not an AES key wrap",
        csr(response_key(wrap=scheme(oids.AES256_WRAP, b"\x05\x00"))),
    )
    yield refused(
        "twice",
        "The attribute responseKey appears twice.",
        BAD_REQUEST,
        "must appear once",
        csr(response_key(), response_key(secret=flipped(KEY))),
    )
    yield refused(
        "disabled",
        "The CA does not list ResponseKey.",
        BAD_REQUEST,
        "not enabled",
        csr(),
        scene=at("challenge-password renewal response-key=off"),
    )
    other = self_signed("ec:P-256", "ec-other", "CN=other device")
    stolen = signed(
        request_info(
            name("CN=other device").public_bytes(),
            spki_of(other.key),
            (password_attribute("another secret"), response_key()),
        ),
        other.key,
    )
    earlier = pkcs_req(stolen, signer=other.signer, transaction_id="kem-0")
    used = at().plus(("earlier", earlier), **{"earlier-time": "2026-11-21T11:59:00Z"})
    yield refused(
        "used",
        "Another request, of another client, brought the same response key before.",
        BAD_REQUEST,
        "has been used",
        csr(),
        scene=used,
    )
