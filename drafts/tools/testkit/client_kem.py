"""Client: the KEM challenge. The client sent a PKCSReq for its ML-KEM key and takes the answer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes

from drafts.tools.labelled import NOW, LabelledBackend, value
from drafts.tools.testkit.ca_classic import NONCE as CLASSIC_NONCE
from drafts.tools.testkit.ca_classic import pkcs8
from drafts.tools.testkit.ca_kem import NONCE, TRANSACTION, client, info, pkcs_req, signer
from drafts.tools.testkit.ca_proof import POLL_NONCE
from drafts.tools.testkit.client_classic import CA_NONCE as CLASSIC_CA_NONCE
from drafts.tools.testkit.client_classic import client_scene, rejected, taken
from drafts.tools.testkit.client_classic import scene as classic_scene
from drafts.tools.testkit.der import Node, flipped, sequence
from drafts.tools.testkit.kem_messages import Proof
from drafts.tools.testkit.messages import Attributes, Message, reply_attributes
from drafts.tools.testkit.parties import (
    CLIENT_AUTH,
    ENCIPHERMENT,
    RA,
    KemParty,
    Party,
    issued,
    kem_ca,
    kem_party,
    ra_kem,
    rsa_ca,
)
from drafts.tools.testkit.requests import unsigned
from drafts.tools.testkit.scene import Planned, Scene
from kem.exchange import POP_SHA256, POP_SHA512, KemCiphertext, MacParameters
from kem.keys import encode_private_key
from pkix.asn1 import wrap
from pkix.signed_data import encode_degenerate
from scep import attributes as scep
from scep.kem_pop import Challenge

CAPS = (
    b"AES\nGetNextCACert\nPOSTPKIOperation\nSCEPStandard\nSHA-256\nSHA-384\nSHA-512\nRenewal\n"
    b"ML-KEM-768\nKEM-PoP\nAES-GCM\nResponseKey\nML-DSA\n"
)
CA_NONCE, OTHER_CA_NONCE = value("vectors/kem/ca-nonce", 0, 16), value("vectors/kem/ca-nonce", 1, 16)
EXPIRES = NOW + timedelta(minutes=10)
TWIN = "client-challenge"


def bag(*parties: KemParty) -> bytes:
    """GetCACert's body: the CA and its RA's ML-KEM certificates."""
    more = [item.certificate.der for item in parties or (ra_kem(),) if item.certificate]
    return encode_degenerate([kem_ca().certificate.der, *more])


@functools.cache
def scene(parameter_set: str = "ML-KEM-768", *, caps: bool = True) -> Scene:
    """The ML-KEM client, which has sent its PKCSReq."""
    kem = client(parameter_set)
    content = unsigned(info(spki=kem.spki))
    return client_scene(
        "enrol",
        bag(),
        kem_ca(),
        ("client-certificate", signer().certificate.der),
        ("client-key", pkcs8(signer().key)),
        ("client-kem-key", encode_private_key(kem.private)),
        ("csr", content),
        *([("ca-caps", CAPS)] if caps else []),
        ("sent", pkcs_req(content)),
        transaction_id=TRANSACTION,
    )


def ciphertexts(*keys: KemParty) -> tuple[KemCiphertext, ...]:
    """Encapsulations to keys, m from a label."""
    backend = LabelledBackend("vectors/kem/reply/m")
    made = [backend.encapsulate(item.public) for item in keys]
    return tuple(
        KemCiphertext(item.public.parameter_set, sent.ciphertext) for item, sent in zip(keys, made, strict=True)
    )


def challenge(*keys: KemParty, parameters: MacParameters = POP_SHA256) -> bytes:
    """DER KemPopChallenge, by default to the client's key."""
    return Challenge(ciphertexts(*(keys or (client(),))), parameters, EXPIRES).encode()


def spoiled(change: Callable[[Node], None], *keys: KemParty) -> bytes:
    """A challenge with something changed. The tree: version, kemCiphertexts, macParams, expires."""
    tree = Node.parse(challenge(*keys))
    change(tree)
    return tree.der()


def pending(attribute_value: bytes | Sequence[bytes] | None, **changes: Any) -> bytes:
    """CertRep PENDING with this challenge."""
    attributes: Attributes = reply_attributes(
        changes.pop("transaction_id", TRANSACTION),
        changes.pop("nonce", CA_NONCE),
        changes.pop("recipient_nonce", NONCE),
        changes.pop("status", 3),
        changes.pop("fail_info", None),
    )
    if attribute_value is not None:
        found = [attribute_value] if isinstance(attribute_value, bytes) else list(attribute_value)
        attributes[scep.KEM_POP_CHALLENGE] = found
    attributes |= changes.pop("replaced", {})
    attributes.pop(changes.pop("without", None), None)
    arguments: dict[str, Any] = {"signer": kem_ca().signer, "envelope": b""} | changes
    return Message(attributes=attributes, **arguments).encode()


def proof(body: bytes, *keys: KemParty, base: Scene | None = None, csr: bytes | None = None) -> Proof:
    """What the client has to compute from a PENDING."""
    blocks = dict((base or scene()).blocks)
    private = [item.private for item in keys or (client(),)]
    return Proof.of(blocks["sent"], csr or blocks["csr"], body, private, blocks.get("ca-caps"))


def answered(
    name: str, description: str, body: bytes, right: Proof, base: Scene, requirement: str = "client-challenge"
) -> Planned:
    values: dict[str, str | bytes] = {"context": right.context, "mac": right.mac}
    return taken(name, description, requirement, body, "challenged", scene=base, values=values)


def cases() -> Iterator[Planned]:
    """All of this module."""
    body = pending(challenge())
    yield answered(
        "challenge",
        "PENDING with a challenge: the client decapsulates and answers with this mac",
        body,
        proof(body),
        scene(),
    )
    quiet = scene(caps=False)
    yield answered(
        "challenge-without-caps",
        "The same for a client that never asked for GetCACaps: no capsHash",
        body,
        proof(body, base=quiet),
        quiet,
    )
    longer = pending(challenge(parameters=POP_SHA512))
    yield answered(
        "challenge-sha512", "The same with HKDF-SHA512, 64 octets and HMAC-SHA512", longer, proof(longer), scene()
    )
    for parameter_set in ("ML-KEM-512", "ML-KEM-1024"):
        kem, base = client(parameter_set), scene(parameter_set)
        sent = pending(challenge(kem))
        yield answered(
            f"challenge-{parameter_set[7:]}",
            f"The same for an {parameter_set} key",
            sent,
            proof(sent, kem, base=base),
            base,
        )
    yield from _more_challenges()
    yield taken(
        "kem-pending",
        "PENDING without a challenge to a client with an ML-KEM key: later",
        "client-status",
        pending(None),
        "pending",
        scene=scene(),
    )
    yield from _implicit_rejection()
    yield from _believed()


def _more_challenges() -> Iterator[Planned]:
    past = Challenge(ciphertexts(client()), POP_SHA256, NOW - timedelta(minutes=1)).encode()
    late = pending(past)
    yield answered(
        "challenge-expired",
        "A challenge that expired a minute ago by the client's clock, which may be wrong: only the CA can tell",
        late,
        proof(late),
        scene(),
        "client-expires",
    )
    ra = issued("ec:P-256", "kem-ra-signer", "CN=Testkit RA signer", kem_ca(), eku=RA)
    body = pending(challenge(), signer=ra.signer)
    at = scene().swapped("ca-cert", encode_degenerate([ra.certificate.der, *_rest()]))
    yield answered(
        "challenge-ra",
        "A challenge that the RA signed, with a certificate that has the extendedKeyUsage cmcRA: caSignerHash is of it",
        body,
        proof(body, base=at),
        at,
        "client-ra-authentication",
    )
    dilithium = issued("ml-dsa-65", "kem-ra-ml-dsa", "CN=Testkit RA signer", kem_ca(), eku=RA)
    sealed = pending(challenge(), signer=dilithium.signer, digest=hashes.SHA512())
    by_ml_dsa = scene().swapped("ca-cert", encode_degenerate([dilithium.certificate.der, *_rest()]))
    yield answered(
        "challenge-ml-dsa",
        "A challenge that an RA signed with ML-DSA-65 and SHA-512, although the request came with SHA-256",
        sealed,
        proof(sealed, base=by_ml_dsa),
        by_ml_dsa,
        "client-algorithms",
    )
    yield wrong(
        "ml-dsa-digest",
        "An RA signed the PENDING with ML-DSA-65 and SHA-256 (RFC 9882 section 3.3: too short).",
        "algorithm",
        "with ML-DSA-65",
        pending(challenge(), signer=dilithium.signer),
        "client-algorithms",
        scene=by_ml_dsa,
        twin="client-challenge-ml-dsa",
    )
    nothing = scene().swapped("ca-caps", b"")
    body = pending(challenge())
    yield answered(
        "challenge-empty-caps",
        "The client asked for GetCACaps and got an error or an empty body: capsHash is H of the empty string",
        body,
        proof(body, base=nothing),
        nothing,
    )
    names = sequence(kem_ca().certificate.subject, signer().certificate.subject)
    polling = scene().plus(
        ("sent", pkcs_req(names, kind=20, nonce=POLL_NONCE)), ("received", pending(None, nonce=OTHER_CA_NONCE))
    )
    again = pending(challenge(), recipient_nonce=POLL_NONCE)
    first = proof(again, base=scene())
    yield answered(
        "challenge-to-poll",
        "A challenge that answers a CertPoll: clientNonce and requestHash are still those of the request",
        again,
        first,
        polling,
    )
    yield wrong(
        "to-poll-nonce",
        "recipientNonce is the senderNonce of the request, but the last message was a CertPoll.",
        "correlation",
        "recipientNonce",
        pending(challenge()),
        "client-correlation",
        scene=polling,
        twin="client-challenge-to-poll",
    )


def _rest() -> list[bytes]:
    """What GetCACert has besides a certificate of the RA's signer."""
    kem = ra_kem().certificate
    assert kem is not None
    return [kem_ca().certificate.der, kem.der]


def _implicit_rejection() -> Iterator[Planned]:
    """FIPS 203 section 6.3: no error, but a MAC that the CA will not accept."""
    for name, at in (("first", 0), ("last", -1)):

        def change(tree: Node, at: int = at) -> None:
            tree[1][0][1].content = flipped(tree[1][0][1].content, at)

        body = pending(spoiled(change))
        yield answered(
            f"challenge-tampered-{name}",
            f"One bit of the ciphertext's {name} octet is changed and the CA "
            "signed it so: no error, a mac that differs from client-challenge's",
            body,
            proof(body),
            scene(),
            "client-implicit-rejection",
        )
    other = pending(challenge(kem_party("kem-stranger")))
    yield answered(
        "challenge-other-key",
        "The ciphertext was made for another key: no error, another mac",
        other,
        proof(other),
        scene(),
        "client-implicit-rejection",
    )


def wrong(name: str, defect: str, why: str, because: str, body: bytes, requirement: str, **more: Any) -> Planned:
    arguments: dict[str, Any] = {"scene": scene(), "twin": TWIN} | more
    return rejected(
        f"challenge-{name}",
        defect,
        why,
        because,
        requirement,
        body,
        description="PENDING with a challenge that the client must not answer",
        **arguments,
    )


def _believed() -> Iterator[Planned]:
    """What the client checks before it decapsulates."""
    good, need = challenge(), "client-before-decapsulation"
    yield wrong(
        "signature",
        "One bit of the signature is changed.",
        "signature",
        "does not verify",
        pending(good, signature=flipped),
        need,
    )
    peer = issued("ec:P-256", "peer", "CN=other device", kem_ca(), eku=CLIENT_AUTH)
    yield wrong(
        "signer-device",
        "The PENDING is signed by another device, which this CA certified.",
        "signer",
        "did not authenticate",
        pending(good, signer=peer.signer),
        need,
    )
    in_bag = scene().swapped("ca-cert", encode_degenerate([peer.certificate.der, *_rest()]))
    yield wrong(
        "signer-device-in-bag",
        "The PENDING is signed by another device, whose certificate (extendedKeyUsage "
        "clientAuth, not cmcRA) a man in the middle added to GetCACert.",
        "signer",
        "its extended key usage is clientAuth",
        pending(good, signer=peer.signer),
        need,
        scene=in_bag,
        twin="client-challenge-ra",
    )
    usage = issued("ec:P-256", "kem-ra-signer", "CN=Testkit RA signer", kem_ca(), eku=RA, usages=ENCIPHERMENT)
    yield wrong(
        "signer-usage",
        "The PENDING is signed by the RA, but keyUsage of its certificate is keyEncipherment alone.",
        "signer",
        "lacks digitalSignature",
        pending(good, signer=usage.signer),
        "client-signer",
        scene=scene().swapped("ca-cert", encode_degenerate([usage.certificate.der, *_rest()])),
        twin="client-challenge-ra",
    )
    forged = Party(signer().key, kem_ca().certificate)
    yield wrong(
        "signer-other-key",
        "The PENDING names the CA's certificate, but is signed with another key.",
        "signature",
        "does not verify",
        pending(good, signer=forged.signer),
        need,
    )
    yield wrong(
        "transaction",
        "transactionID is another one.",
        "correlation",
        "another transactionID",
        pending(good, transaction_id="kem-2"),
        need,
    )
    yield wrong(
        "recipient-nonce",
        "recipientNonce is not the request's senderNonce.",
        "correlation",
        "recipientNonce",
        pending(good, recipient_nonce=CA_NONCE),
        need,
    )
    yield wrong(
        "message-type",
        "messageType is 19, PKCSReq.",
        "message",
        "not a CertRep",
        pending(good, replaced={scep.MESSAGE_TYPE: [wrap(0x13, b"19")]}),
        need,
    )
    yield wrong(
        "envelope",
        "There is a pkcsPKIEnvelope (RFC 8894 section 3.3.2.3).",
        "message",
        "carries a pkcsPKIEnvelope",
        pending(good, envelope=dict(classic_scene().blocks)["sent"]),
        need,
    )
    yield wrong(
        "sender-nonce-short",
        "The CA's senderNonce has 8 octets; the context takes 16.",
        "challenge",
        "nonces of 16 octets",
        pending(good, nonce=CA_NONCE[:8]),
        need,
    )
    yield wrong(
        "sender-nonce-missing",
        "The CA sent no senderNonce.",
        "challenge",
        "nonces of 16 octets",
        pending(good, without=scep.SENDER_NONCE),
        need,
    )
    rsa = classic_scene()
    classic = dict(rsa.headers)["transaction-id"]
    body = pending(
        good, transaction_id=classic, recipient_nonce=CLASSIC_NONCE, nonce=CLASSIC_CA_NONCE, signer=rsa_ca().signer
    )
    yield wrong(
        "no-kem-key",
        "The client asked for a certificate for an RSA key and has no ML-KEM key.",
        "challenge",
        "a key that we do not have",
        body,
        need,
        scene=rsa,
        twin="client-pending",
    )
    fail = pending(good, status=2, fail_info=2)
    yield taken(
        "challenge-in-failure",
        "FAILURE badRequest with a challenge beside it, which means nothing there",
        "client-status",
        fail,
        "refused badRequest",
        scene=scene(),
    )
