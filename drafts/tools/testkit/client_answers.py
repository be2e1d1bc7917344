"""Client: SUCCESS for keys that RSA key transport does not reach: enveloped to the ML-KEM key, under a response key, or
under the challengePassword; and the answers to GetCert and GetCRL.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from ca.authority import Authority, KeyPair
from ca.crl import create_crl
from drafts.tools.labelled import NOW, value
from drafts.tools.testkit.ca_classic import NONCE as CLASSIC_NONCE
from drafts.tools.testkit.ca_classic import ONE_TEXT, PASSWORD, SUBJECT, TRANSACTION, csr, device, pkcs8, pkcs_req
from drafts.tools.testkit.ca_kem import client, signer
from drafts.tools.testkit.ca_kem import pkcs_req as kem_req
from drafts.tools.testkit.ca_kem_others import KEY, KEY_ID, ec_client, response_key
from drafts.tools.testkit.ca_proof import POLL_NONCE
from drafts.tools.testkit.client_classic import client_scene, leaf, rejected, reply, taken
from drafts.tools.testkit.client_kem import CA_NONCE, challenge, pending, scene
from drafts.tools.testkit.der import NULL, Node, flipped, node, scheme, sequence
from drafts.tools.testkit.kem_messages import KemTo, kemri_bit, kemri_short, kemri_with
from drafts.tools.testkit.messages import (
    Message,
    authenticating,
    content_info,
    envelope,
    recipient_info,
    reply_attributes,
)
from drafts.tools.testkit.parties import (
    CLIENT_AUTH,
    ENCIPHERMENT,
    KemParty,
    certificate,
    issued,
    kem_ca,
    kem_party,
    root,
    rsa_ca,
)
from drafts.tools.testkit.requests import password_attribute
from drafts.tools.testkit.scene import Planned, Scene
from pkix import oids
from pkix.algorithms import AES128, AES256_GCM
from pkix.asn1 import Oid, encode
from pkix.certificates import Certificate, key_identifier
from pkix.keys import spki_of
from pkix.recipients import PBKDF2_ITERATIONS, KekRecipient, PasswordRecipient, Recipient
from pkix.signed_data import encode_degenerate

KEM_SUBJECT = "CN=kem device,O=Example"
TWIN = "client-kem-success"


def sha256(der: bytes) -> str:
    """Hexadecimal."""
    return hashlib.sha256(der).hexdigest()


def cases() -> Iterator[Planned]:
    """All of this module."""
    yield from _kem()
    yield from _kem_certificates()
    yield from _response_keys()
    yield from _passwords()
    yield from _queries()


@functools.cache
def polled() -> Scene:
    """The ML-KEM client, which has answered its challenge with a CertPoll."""
    names = sequence(kem_ca().certificate.subject, signer().certificate.subject)
    poll = kem_req(names, kind=20, nonce=POLL_NONCE)
    return scene().plus(("sent", poll), ("received", pending(challenge())))


@functools.cache
def kem_leaf() -> Certificate:
    """The certificate for the client's ML-KEM key."""
    return certificate(KEM_SUBJECT, client().spki, kem_ca(), label="kem-leaf", usages=ENCIPHERMENT)


def _sealed(content: bytes | None = None, to: KemParty | None = None, **more: Any) -> bytes:
    party = to or client()
    cipher, tree = more.pop("cipher", AES256_GCM), more.pop("tree", None)
    arguments: dict[str, Any] = {"rid": key_identifier(party.spki), "label": "vectors/kem/answer/m"} | more
    inside = encode_degenerate([kem_leaf().der]) if content is None else content
    return envelope(inside, [KemTo(party, **arguments)], "vectors/kem/answer", cipher, tree)


def _success(sealed: bytes, **changes: Any) -> bytes:
    attributes = reply_attributes("kem-1", CA_NONCE, changes.pop("recipient_nonce", POLL_NONCE), 0)
    return Message(signer=kem_ca().signer, attributes=attributes, envelope=sealed, **changes).encode()


def _kem() -> Iterator[Planned]:
    def wrong(name: str, defect: str, why: str, because: str, sealed: bytes, **changes: Any) -> Planned:
        return rejected(
            f"kem-{name}", defect, why, because, "client-kemri", _success(sealed, **changes), scene=polled(), twin=TWIN
        )

    def tag(tree: Node) -> None:
        tree[1][0][3].content = flipped(tree[1][0][3].content)

    def cut_tag(tree: Node) -> None:
        tree[1][0][3].content = tree[1][0][3].content[:8]
        content_info(tree)[1][1][1].content = b"\x08"

    def other_type(tree: Node) -> None:
        recipient_info(tree)[0] = node(encode(Oid("1.2.840.113549.1.9.16.13.1")))

    values = {"certificate": sha256(kem_leaf().der)}
    yield taken(
        "kem-success",
        "SUCCESS enveloped to the client's new ML-KEM key, in AuthEnvelopedData with AES-256-GCM",
        "client-kemri",
        _success(_sealed()),
        scene=polled(),
        values=values,
    )
    yield wrong(
        "cbc",
        "A KEMRecipientInfo in EnvelopedData with AES-128-CBC; it belongs in AuthEnvelopedData (RFC 9709).",
        "algorithm",
        "a KEMRecipientInfo in EnvelopedData with CBC",
        _sealed(cipher=AES128),
    )
    yield taken(
        "kem-success-ukm",
        "The same with a ukm, which is part of the KDF's input",
        "client-kemri",
        _success(_sealed(ukm=b"partyinfo")),
        scene=polled(),
        values=values,
    )
    covered = authenticating("vectors/kem/answer", encode_degenerate([kem_leaf().der]), AES256_GCM)
    yield taken(
        "kem-success-auth-attributes",
        "The same with authAttrs, which are authenticated data (RFC 5083 section 2.2)",
        "client-kemri",
        _success(_sealed(tree=covered)),
        scene=polled(),
        values=values,
    )
    yield wrong(
        "nonce-of-request",
        "recipientNonce is the senderNonce of the PKCSReq, not of the CertPoll that this answers.",
        "correlation",
        "recipientNonce",
        _sealed(),
        recipient_nonce=value("vectors/kem/nonce", 0, 16),
    )
    yield wrong(
        "other-recipient",
        "The envelope is addressed to another ML-KEM key.",
        "decryption",
        "none of our certificates",
        _sealed(to=kem_party("kem-stranger")),
    )
    stranger = _sealed(to=kem_party("kem-stranger"), rid=key_identifier(client().spki))
    yield wrong(
        "other-key",
        "rid names the client's key, but the ciphertext is for another one.",
        "decryption",
        ONE_TEXT,
        stranger,
    )
    yield wrong("ciphertext", "One bit of kemct is changed.", "decryption", ONE_TEXT, _sealed(tree=kemri_bit(3)))
    yield wrong(
        "ciphertext-length",
        "The last octet of kemct is missing.",
        "decryption",
        "ciphertext",
        _sealed(tree=kemri_short),
    )
    yield wrong(
        "encrypted-key", "One bit of encryptedKey is changed.", "decryption", ONE_TEXT, _sealed(tree=kemri_bit(7))
    )
    yield wrong("gcm-tag", "One bit of the tag is changed.", "decryption", ONE_TEXT, _sealed(tree=tag))
    yield wrong(
        "gcm-tag-length", "Tag and aes-ICVlen have 8 octets.", "algorithm", "a tag of 8 octets", _sealed(tree=cut_tag)
    )
    yield wrong(
        "kek-length",
        "kekLength is 16, but the wrap is aes256-wrap.",
        "malformed",
        "kekLength 16 does not fit",
        _sealed(tree=kemri_with(5, encode(16))),
    )
    yield wrong(
        "wrap",
        "The key wrap is 3DES.",
        "algorithm",
        "key wrap",
        _sealed(tree=kemri_with(6, scheme("1.2.840.113549.1.9.16.3.6", NULL))),
    )
    yield wrong(
        "kem-parameters",
        "id-alg-ml-kem-768 has NULL parameters.",
        "malformed",
        "must be absent",
        _sealed(tree=kemri_with(2, scheme(oids.ML_KEM_768, NULL))),
    )
    yield wrong(
        "version", "KEMRecipientInfo has version 1.", "malformed", "version 1", _sealed(tree=kemri_with(0, encode(1)))
    )
    yield wrong(
        "other-recipient-type",
        "The OtherRecipientInfo is of another type than id-ori-kem.",
        "decryption",
        "type that is not supported",
        _sealed(tree=other_type),
    )
    yield wrong(
        "ukm",
        "A ukm is there, but the key was derived without.",
        "decryption",
        ONE_TEXT,
        _sealed(ukm=b"partyinfo", derived_ukm=[None]),
    )


def _kem_certificates() -> Iterator[Planned]:
    def wrong(name: str, defect: str, because: str, der: bytes) -> Planned:
        sent = _success(_sealed(encode_degenerate([der])))
        return rejected(
            f"kem-certificate-{name}",
            defect,
            "certificate",
            because,
            "client-certificate",
            sent,
            scene=polled(),
            twin=TWIN,
        )

    other = certificate(KEM_SUBJECT, kem_party("kem-stranger").spki, kem_ca(), label="kem-foreign", usages=ENCIPHERMENT)
    yield wrong("other-key", "The certificate is for another ML-KEM key.", "no certificate for", other.der)
    ephemeral = certificate(KEM_SUBJECT, spki_of(signer().key), kem_ca(), label="kem-ephemeral", eku=CLIENT_AUTH)
    yield wrong(
        "signer-key",
        "The certificate is for the ephemeral key that signed the request.",
        "no certificate for",
        ephemeral.der,
    )
    foreign = root("ec:P-256", "stranger-ca", "CN=Testkit ML-KEM CA,O=Example")
    stolen = certificate(KEM_SUBJECT, client().spki, foreign, label="kem-stolen", usages=ENCIPHERMENT)
    yield wrong(
        "other-ca", "The certificate is signed by another CA with the same name.", "not signed by the CA", stolen.der
    )


def _ec_request(*attributes: bytes) -> bytes:
    return csr(ec_client().key, *attributes)


@functools.cache
def ec_scene(*attributes: bytes) -> Scene:
    """A P-256 client at the RSA CA."""
    content = _ec_request(*attributes)
    return client_scene(
        "enrol",
        rsa_ca().certificate.der,
        rsa_ca(),
        ("client-certificate", ec_client().certificate.der),
        ("client-key", pkcs8(ec_client().key)),
        ("csr", content),
        ("sent", pkcs_req(content, signer=ec_client().signer)),
        transaction_id=TRANSACTION,
    )


def _ec_success(recipient: Recipient, tree: Callable[[Node], None] | None = None) -> bytes:
    made = certificate(SUBJECT, spki_of(ec_client().key), rsa_ca(), label="ec-leaf", eku=CLIENT_AUTH)
    inside = encode_degenerate([made.der])
    return reply(envelope=envelope(inside, [recipient], "vectors/classic/ec-answer", AES128, tree))


def _response_keys() -> Iterator[Planned]:
    base = ec_scene(password_attribute(PASSWORD), response_key())

    def wrong(name: str, defect: str, why: str, because: str, body: bytes) -> Planned:
        return rejected(
            f"response-key-{name}",
            defect,
            why,
            because,
            "client-response-key",
            body,
            scene=base,
            twin="client-response-key",
        )

    def wrap_of_128(tree: Node) -> None:
        recipient_info(tree)[2] = node(scheme(oids.AES128_WRAP))

    def encrypted_key(tree: Node) -> None:
        recipient_info(tree)[3].content = flipped(recipient_info(tree)[3].content)

    yield taken(
        "response-key",
        "SUCCESS under the client's response key (KEKRecipientInfo)",
        "client-response-key",
        _ec_success(KekRecipient(KEY, KEY_ID)),
        scene=base,
    )
    yield wrong(
        "other-identifier",
        "keyIdentifier is another one.",
        "decryption",
        "none of our certificates",
        _ec_success(KekRecipient(KEY, flipped(KEY_ID))),
    )
    yield wrong(
        "other-key", "The key is another one.", "decryption", ONE_TEXT, _ec_success(KekRecipient(flipped(KEY), KEY_ID))
    )
    yield wrong(
        "wrap",
        "The wrap is aes128-wrap; the response key is one for aes256-wrap.",
        "algorithm",
        "does not fit the key",
        _ec_success(KekRecipient(KEY, KEY_ID), wrap_of_128),
    )
    yield wrong(
        "encrypted-key",
        "One bit of encryptedKey is changed.",
        "decryption",
        ONE_TEXT,
        _ec_success(KekRecipient(KEY, KEY_ID), encrypted_key),
    )


def _passwords() -> Iterator[Planned]:
    base = ec_scene(password_attribute(PASSWORD))
    yield taken(
        "password-recipient",
        "SUCCESS under the challengePassword (PasswordRecipientInfo, RFC 8894 section 3.1)",
        "client-password-recipient",
        _ec_success(PasswordRecipient(PASSWORD.encode())),
        scene=base,
    )
    many = encode(PBKDF2_ITERATIONS)

    def iterations(tree: Node) -> None:
        parameters = recipient_info(tree)[1][1]
        assert parameters[1].der() == many
        parameters[1] = node(encode(2**31))

    yield rejected(
        "password-recipient-iterations",
        "PBKDF2 asks for 2,147,483,648 iterations.",
        "algorithm",
        "a number of iterations",
        "client-password-recipient",
        _ec_success(PasswordRecipient(PASSWORD.encode()), iterations),
        scene=base,
        twin="client-password-recipient",
    )
    yield rejected(
        "password-recipient-other",
        "The password is another one.",
        "decryption",
        ONE_TEXT,
        "client-password-recipient",
        _ec_success(PasswordRecipient(b"another")),
        scene=base,
        twin="client-password-recipient",
    )


def _queries() -> Iterator[Planned]:
    """Answers to GetCert and GetCRL (RFC 8894 sections 3.3.4, 4.5, 4.6)."""
    wanted = issued("ec:P-256", "issued", "CN=issued,O=Example", rsa_ca()).certificate
    name = encode(wanted.issuer_and_serial)

    def asked(operation: str, kind: int) -> Scene:
        return client_scene(
            operation,
            rsa_ca().certificate.der,
            rsa_ca(),
            ("client-certificate", device().certificate.der),
            ("client-key", pkcs8(device().key)),
            ("name", name),
            ("sent", pkcs_req(name, kind=kind)),
            transaction_id=TRANSACTION,
        )

    cert, crl = asked("get-cert", 21), asked("get-crl", 22)
    pair = KeyPair(rsa_ca().key, rsa_ca().x509)
    made = create_crl(Authority(pair), [], 1, now=NOW)
    found = encode_degenerate(crls=[made])
    yield taken(
        "get-cert",
        "The answer to GetCert",
        "client-queries",
        reply(content=encode_degenerate([wanted.der])),
        scene=cert,
        values={"certificate": sha256(wanted.der)},
    )
    yield rejected(
        "get-cert-other",
        "The certificate is not the one that was asked for.",
        "certificate",
        "does not have the certificate",
        "client-queries",
        reply(content=encode_degenerate([leaf().der])),
        scene=cert,
        twin="client-get-cert",
    )
    yield rejected(
        "get-cert-nonce",
        "recipientNonce is not the request's senderNonce.",
        "correlation",
        "recipientNonce",
        "client-correlation",
        reply(content=encode_degenerate([wanted.der]), recipient_nonce=flipped(CLASSIC_NONCE)),
        scene=cert,
        twin="client-get-cert",
    )
    yield taken(
        "get-crl",
        "The answer to GetCRL, with the CRL in the field crls",
        "client-queries",
        reply(content=found),
        scene=crl,
        values={"crl": sha256(made)},
    )
    yield rejected(
        "get-crl-missing",
        "There is a certificate, but no CRL.",
        "message",
        "no CRL",
        "client-queries",
        reply(content=encode_degenerate([wanted.der])),
        scene=crl,
        twin="client-get-crl",
    )
    yield taken(
        "get-cert-refused",
        "GetCert was answered with FAILURE badCertId",
        "client-fail-info",
        reply(2, fail_info=4),
        "refused badCertId",
        scene=cert,
    )
