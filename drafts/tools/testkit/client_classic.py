"""Client: what RFC 8894 demands of a CertRep. The client sent a PKCSReq for its RSA key and takes the answer."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from typing import Any

from drafts.tools.labelled import NOW, value
from drafts.tools.testkit.ca_classic import NONCE, ONE_TEXT, SUBJECT, TRANSACTION, csr, device, pkcs8, pkcs_req
from drafts.tools.testkit.der import Node, flipped, node, octets, printable, scheme
from drafts.tools.testkit.messages import (
    MD5,
    SHA1,
    Attributes,
    Message,
    content_info,
    envelope,
    reply_attributes,
    signed_data,
    signer_info,
)
from drafts.tools.testkit.parties import CLIENT_AUTH, Party, certificate, issued, key, root, rsa_ca, self_signed
from drafts.tools.testkit.scene import Planned, Scene, Told
from pkix import oids
from pkix.algorithms import AES128, TRIPLE_DES
from pkix.asn1 import encode, wrap
from pkix.certificates import Certificate
from pkix.keys import spki_of
from pkix.recipients import RsaRecipient
from pkix.signed_data import encode_degenerate
from scep import attributes as scep

CA_NONCE = value("vectors/classic/ca-nonce", 0, 16)
TWIN = "client-success"
PENDING, FAILURE = "client-pending", "client-failure-badrequest"
TEXT = {scep.FAIL_INFO_TEXT: [wrap(0x0C, b"the CA says badRequest")]}


def client_scene(operation: str, ca_cert: bytes, ca: Party, *blocks: tuple[str, bytes], **headers: str) -> Scene:
    """A client that trusts `ca` by its fingerprint and got this GetCACert body."""
    return Scene("client").plus(
        ("ca-cert", ca_cert),
        *blocks,
        operation=operation,
        time=f"{NOW:%Y-%m-%dT%H:%M:%SZ}",
        fingerprint=hashlib.sha256(ca.certificate.der).hexdigest(),
        **headers,
    )


@functools.cache
def scene(policy: str = "", sent: bytes | None = None) -> Scene:
    """The RSA client, which has sent its PKCSReq."""
    return client_scene(
        "enrol",
        rsa_ca().certificate.der,
        rsa_ca(),
        ("client-certificate", device().certificate.der),
        ("client-key", pkcs8(device().key)),
        ("csr", csr()),
        ("sent", sent or pkcs_req()),
        policy=policy,
        transaction_id=TRANSACTION,
    )


@functools.cache
def leaf() -> Certificate:
    """The certificate that the client asked for."""
    return certificate(SUBJECT, spki_of(device().key), rsa_ca(), label="leaf", eku=CLIENT_AUTH)


def sealed(content: bytes | None = None, to: Certificate | None = None, **more: Any) -> bytes:
    """The pkcsPKIEnvelope of an answer, by default with the certificate. more: cipher, tree."""
    inside = encode_degenerate([leaf().der]) if content is None else content
    recipient = RsaRecipient(to or device().certificate)
    return envelope(inside, [recipient], "vectors/classic/reply", **({"cipher": AES128} | more))


def reply(status: int | str = 0, content: bytes | None = None, **changes: Any) -> bytes:
    """The CA's CertRep. changes: transaction_id, recipient_nonce, fail_info, text, replaced, without, sealing, and any
    field of Message.
    """
    attributes: Attributes = reply_attributes(
        changes.pop("transaction_id", TRANSACTION),
        changes.pop("nonce", CA_NONCE),
        changes.pop("recipient_nonce", NONCE),
        status,
        changes.pop("fail_info", None),
    )
    attributes |= changes.pop("replaced", {})
    attributes.pop(changes.pop("without", None), None)
    sealing = changes.pop("sealing", {})
    if "envelope" not in changes:
        changes["envelope"] = sealed(content, **sealing) if status == 0 else b""
    return Message(signer=changes.pop("signer", rsa_ca().signer), attributes=attributes, **changes).encode()


def rejected(name: str, defect: str, why: str, because: str, requirement: str, body: bytes, **more: Any) -> Planned:
    """An answer that the client must not believe. why: the word of the vocabulary. more: scene, twin, headers."""
    base: Scene = more.pop("scene", None) or scene()
    description = more.pop("description", "CertRep that the client must not believe")
    told = Told(f"client-{name}", description, requirement, f"rejected {why}", defect, more.pop("twin", TWIN), because)
    return base.plus(("reply", body), **more), told


def taken(name: str, description: str, requirement: str, body: bytes, expect: str = "accepted", **more: Any) -> Planned:
    """An answer that the client understands. more: scene, values, because, headers."""
    base: Scene = more.pop("scene", None) or scene()
    told = Told(
        f"client-{name}",
        description,
        requirement,
        expect,
        values=more.pop("values", {}),
        because=more.pop("because", ""),
    )
    return base.plus(("reply", body), **more), told


def cases() -> Iterator[Planned]:
    """All of this module."""
    values = {"certificate": hashlib.sha256(leaf().der).hexdigest()}
    yield taken("success", "CertRep SUCCESS with the certificate", "client-success", reply(), values=values)
    yield taken("pending", "CertRep PENDING", "client-status", reply(3), "pending")
    yield taken(
        "pending-no-content", "CertRep PENDING without eContent", "client-status", reply(3, envelope=None), "pending"
    )
    for number, word in enumerate(("badAlg", "badMessageCheck", "badRequest", "badTime", "badCertId")):
        text = {scep.FAIL_INFO_TEXT: [wrap(0x0C, f"the CA says {word}".encode())]}
        yield taken(
            f"failure-{word.lower()}",
            f"CertRep FAILURE {word} with failInfoText",
            "client-fail-info",
            reply(2, fail_info=number, replaced=text),
            f"refused {word}",
            because=f"the CA says {word}",
        )
    yield taken(
        "success-among-others",
        "CertRep SUCCESS with the CA's certificate before the client's",
        "client-success",
        reply(content=encode_degenerate([rsa_ca().certificate.der, leaf().der])),
        values=values,
    )
    yield taken(
        "success-no-certificates",
        "CertRep SUCCESS whose SignedData has no certificates, as NDES sends; the signer is known from GetCACert",
        "client-signer",
        reply(certificates=[]),
        values=values,
    )
    yield from _signature()
    yield from _correlation()
    yield from _status()
    yield from _envelopes()
    yield from _certificates()


def _signature() -> Iterator[Planned]:
    yield rejected(
        "signature-wrong",
        "One bit of the signature is changed.",
        "signature",
        "does not verify",
        "client-signature",
        reply(signature=flipped),
    )
    changed = sealed(encode_degenerate([leaf().der, rsa_ca().certificate.der]))

    def other_content(tree: Node) -> None:
        signed_data(tree)[2][1][0].content = changed

    yield rejected(
        "content-replaced",
        "The envelope was replaced after the message was signed.",
        "signature",
        "messageDigest does not fit",
        "client-signature",
        reply(tree=other_content),
    )

    def other_nonce(tree: Node) -> None:
        for item in signer_info(tree)[3]:
            if item[0].der() == encode(scep.SENDER_NONCE):
                item[1][0].content = bytes(16)

    yield rejected(
        "attribute-replaced",
        "The attribute senderNonce was replaced after the message was signed.",
        "signature",
        "does not verify",
        "client-signature",
        reply(tree=other_nonce),
    )
    stranger = self_signed("rsa:2048", "other", "CN=Testkit CA,O=Example")
    yield rejected(
        "signer-unknown",
        "The CertRep is signed by a self-signed certificate with the CA's name.",
        "signer",
        "did not authenticate",
        "client-signer",
        reply(signer=stranger.signer),
    )
    peer = issued("rsa:2048", "other", "CN=other device", rsa_ca(), eku=CLIENT_AUTH)
    yield rejected(
        "signer-device",
        "The CertRep is signed by another device, which this CA certified.",
        "signer",
        "did not authenticate",
        "client-signer",
        reply(signer=peer.signer),
    )
    yield rejected(
        "signer-oneself",
        "The CertRep is signed by the client itself.",
        "signer",
        "did not authenticate",
        "client-signer",
        reply(signer=device().signer),
    )
    forged = Party(key("rsa:2048", "other"), rsa_ca().certificate)
    yield rejected(
        "signer-other-key",
        "The CertRep names the CA's certificate, but is signed with another key.",
        "signature",
        "does not verify",
        "client-signature",
        reply(signer=forged.signer),
    )

    def unsigned(tree: Node) -> None:
        signed_data(tree)[-1] = Node(0x31, children=[])

    yield rejected(
        "not-signed", "There is no SignerInfo.", "malformed", "no SignerInfo", "client-signature", reply(tree=unsigned)
    )
    yield rejected(
        "content-type",
        "eContentType is id-signedData, not id-data (RFC 8894 section 3.2).",
        "malformed",
        "not data",
        "client-signature",
        reply(content_type=oids.SIGNED_DATA),
    )
    yield rejected(
        "digest-md5", "The digest is MD5.", "algorithm", "digest MD5", "client-algorithms", reply(digest=MD5)
    )
    yield rejected(
        "digest-sha1",
        "The digest is SHA-1, which the policy does not allow.",
        "algorithm",
        "digest SHA-1",
        "client-algorithms",
        reply(digest=SHA1),
    )
    yield rejected(
        "truncated",
        "The last octet is missing.",
        "malformed",
        "octets of a message of",
        "client-signature",
        reply()[:-1],
    )


def _correlation() -> Iterator[Planned]:
    def wrong(name: str, defect: str, because: str, why: str = "correlation", **changes: Any) -> Planned:
        return rejected(
            name, f"{defect} (RFC 8894 section 3.2.1)", why, because, "client-correlation", reply(**changes)
        )

    yield wrong(
        "other-transaction", "transactionID is another one.", "another transactionID", transaction_id="classic-2"
    )
    yield wrong(
        "no-transaction", "There is no transactionID.", "no transactionID", "malformed", without=scep.TRANSACTION_ID
    )
    yield wrong(
        "recipient-nonce-other",
        "recipientNonce is not the request's senderNonce.",
        "recipientNonce",
        recipient_nonce=CA_NONCE,
    )
    yield wrong(
        "recipient-nonce-short",
        "recipientNonce is the first half of the request's senderNonce.",
        "recipientNonce",
        recipient_nonce=NONCE[:8],
    )
    yield wrong(
        "recipient-nonce-missing", "There is no recipientNonce.", "recipientNonce", without=scep.RECIPIENT_NONCE
    )
    yield wrong(
        "recipient-nonce-two-values",
        "recipientNonce has two values, one of which is right.",
        "exactly one value",
        "malformed",
        replaced={scep.RECIPIENT_NONCE: [octets(NONCE), octets(CA_NONCE)]},
    )
    for name, defect, because, kind in (
        ("message-type-request", "messageType is 19, PKCSReq.", "not a CertRep", [printable("19")]),
        ("message-type-undefined", "messageType is 4, which is not defined.", "'4' is not defined", [printable("4")]),
    ):
        why = "message" if "request" in name else "malformed"
        yield wrong(name, defect, because, why, replaced={scep.MESSAGE_TYPE: kind})
    yield wrong(
        "message-type-missing", "There is no messageType.", "no messageType", "malformed", without=scep.MESSAGE_TYPE
    )


def _status() -> Iterator[Planned]:
    def wrong(name: str, defect: str, because: str, body: bytes, twin: str = TWIN, why: str = "malformed") -> Planned:
        return rejected(name, defect, why, because, "client-status", body, twin=twin)

    yield wrong(
        "status-missing",
        "There is no pkiStatus (RFC 8894 section 3.2.1.3).",
        "no pkiStatus",
        reply(without=scep.PKI_STATUS),
    )
    yield wrong(
        "status-undefined",
        "pkiStatus is 1, which is not defined (RFC 8894 section 3.2.1.3).",
        "not defined",
        reply(replaced={scep.PKI_STATUS: [printable("1")]}),
    )
    yield wrong(
        "fail-info-missing",
        "There is no failInfo beside pkiStatus FAILURE (RFC 8894 section 3.2.1.4).",
        "no failInfo",
        reply(2, replaced=TEXT),
        FAILURE,
    )
    yield taken(
        "fail-info-undefined",
        "CertRep FAILURE whose failInfo is 5, which RFC 8894 does not define: the CA said no all the same",
        "client-status",
        reply(2, fail_info=5, replaced=TEXT),
        "refused undefined",
        because="the CA says badRequest",
    )
    yield wrong(
        "success-no-envelope",
        "pkiStatus is SUCCESS, and there is no pkcsPKIEnvelope (RFC 8894 section 3.3.2.1).",
        "no pkcsPKIEnvelope",
        reply(envelope=None),
        why="message",
    )
    yield wrong(
        "pending-envelope",
        "pkiStatus is PENDING, and there is a pkcsPKIEnvelope (RFC 8894 section 3.3.2.3).",
        "carries a pkcsPKIEnvelope",
        reply(3, envelope=sealed()),
        PENDING,
        "message",
    )
    yield wrong(
        "failure-envelope",
        "pkiStatus is FAILURE, and there is a pkcsPKIEnvelope (RFC 8894 section 3.3.2.2).",
        "carries a pkcsPKIEnvelope",
        reply(2, fail_info=2, envelope=sealed(), replaced=TEXT),
        FAILURE,
        "message",
    )


def _envelopes() -> Iterator[Planned]:
    def wrong(name: str, defect: str, why: str, because: str, **sealing: Any) -> Planned:
        return rejected(f"envelope-{name}", defect, why, because, "client-envelope", reply(sealing=sealing))

    def cut(tree: Node) -> None:
        content_info(tree)[2].content = content_info(tree)[2].content[:-16]

    def encrypted_key(tree: Node) -> None:
        info = tree[1][0][1][0]
        info[3] = Node(0x04, flipped(info[3].content))

    def des(tree: Node) -> None:
        content_info(tree)[1] = node(scheme(oids.DES_CBC, octets(bytes(8))))

    other = self_signed("rsa:2048", "other", SUBJECT)
    yield wrong(
        "other-recipient",
        "The envelope is addressed to another certificate.",
        "decryption",
        "none of our certificates",
        to=other.certificate,
    )
    yield wrong("padding", "The last block of the ciphertext is missing.", "decryption", ONE_TEXT, tree=cut)
    yield wrong("encrypted-key", "One bit of encryptedKey is changed.", "decryption", ONE_TEXT, tree=encrypted_key)
    yield wrong("des", "The cipher is single DES.", "algorithm", "DES-CBC", tree=des)
    yield wrong("3des", "The cipher is 3DES, which the policy does not allow.", "algorithm", "3DES", cipher=TRIPLE_DES)
    bare = encode_degenerate([leaf().der])
    yield rejected(
        "not-encrypted",
        "The certificate comes without an envelope.",
        "malformed",
        "pkcsPKIEnvelope is signed-data",
        "client-envelope",
        reply(envelope=bare),
    )


def _certificates() -> Iterator[Planned]:
    def wrong(name: str, defect: str, because: str, content: bytes, why: str = "certificate") -> Planned:
        return rejected(f"certificate-{name}", defect, why, because, "client-certificate", reply(content=content))

    yield wrong(
        "text",
        "messageData is the certificate itself, not a certificates-only SignedData.",
        "not valid DER",
        leaf().der,
        "malformed",
    )
    yield wrong(
        "missing",
        "messageData has no certificate (RFC 8894 section 3.3.2.1).",
        "no certificate for",
        encode_degenerate(),
    )
    foreign = certificate(SUBJECT, spki_of(key("rsa:2048", "other")), rsa_ca(), label="foreign", eku=CLIENT_AUTH)
    yield wrong(
        "other-key", "The certificate is for another key.", "no certificate for", encode_degenerate([foreign.der])
    )
    other_ca = root("ec:P-256", "other-ca", "CN=Testkit CA,O=Example")
    stolen = certificate(SUBJECT, spki_of(device().key), other_ca, label="stolen", eku=CLIENT_AUTH)
    yield wrong(
        "other-ca",
        "The certificate is signed by another CA with the same name.",
        "not signed by the CA",
        encode_degenerate([stolen.der]),
    )
    yield wrong(
        "self-signed",
        "The certificate is the client's own self-signed one.",
        "not signed by the CA",
        encode_degenerate([device().certificate.der]),
    )
