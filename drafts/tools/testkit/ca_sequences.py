"""CA: the KEM challenge in longer sequences: what a failure leaves behind, strangers, other signers, approval."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from drafts.tools.labelled import value
from drafts.tools.testkit.ca_classic import BAD_ALG, BAD_CHECK, BAD_REQUEST, negative, pkcs8, positive
from drafts.tools.testkit.ca_kem import CHALLENGED, PASSWORD, SUBJECT, client, info, pkcs_req, scene, signer
from drafts.tools.testkit.ca_kem_others import old, renewal
from drafts.tools.testkit.ca_proof import POLL_NONCE, WRONG, block, challenged, played, poll, right, with_poll
from drafts.tools.testkit.der import NULL, Node, attribute, flipped, node
from drafts.tools.testkit.messages import signer_info
from drafts.tools.testkit.parties import RA, Party, issued, kem_ca, kem_issued, kem_party, self_signed
from drafts.tools.testkit.requests import password_attribute, request_info, spki_hash, unsigned
from drafts.tools.testkit.scene import Planned, Scene
from pkix.asn1 import Oid

LAST_NONCE = value("vectors/kem/nonce", 2, 16)


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _other_s(message: bytes) -> bytes:
    tree = Node.parse(message)
    r, s = decode_dss_signature(signer_info(tree)[5].content)
    signer_info(tree)[5].content = encode_dss_signature(r, P256_ORDER - s)
    return tree.der()


def _unsigned_attribute(message: bytes) -> bytes:
    tree = Node.parse(message)
    value = attribute(Oid("1.2.840.113549.1.9.52"), NULL)
    signer_info(tree).insert(6, Node(0xA1, children=[node(value)]))
    return tree.der()


def _second_certificate(message: bytes) -> bytes:
    tree = Node.parse(message)
    certificates = tree[1][0][3]
    certificates.insert(1, certificates[0])
    return tree.der()


def _indefinite(message: bytes) -> bytes:
    """BER: the outermost length is indefinite. The message is longer than 255 octets."""
    return b"\x30\x80" + message[4:] + b"\x00\x00"


# What of a message anybody can alter without invalidating its signature
ALTERED: tuple[tuple[str, str, Callable[[bytes], bytes]], ...] = (
    ("other-s", "n - s in place of s in its ECDSA signature", _other_s),
    ("unsigned-attribute", "an unsigned attribute", _unsigned_attribute),
    ("second-certificate", "its certificate twice", _second_certificate),
    ("ber", "an indefinite length", _indefinite),
)


def cases() -> Iterator[Planned]:
    """All of this module."""
    yield from _after_failures()
    yield from _strangers()
    yield from _polls()
    yield from _approval()
    yield from _ra_signer()
    yield from _signers()
    yield from _renewals()
    yield from _replays()
    yield from _without_challenge()
    yield from _more_states()


def _other_client() -> bytes:
    """PKCSReq of another client, with another key, that brings the same password."""
    other = self_signed("ec:P-256", "kem-other-signer", "CN=other device")
    content = unsigned(
        request_info(other.certificate.subject, kem_party("kem-stranger").spki, [password_attribute(PASSWORD)])
    )
    return pkcs_req(content, signer=other.signer, transaction_id="kem-2")


def _after_failures() -> Iterator[Planned]:
    proof = right()
    failed = with_poll(poll(proof.confirm(flipped(proof.mac))))
    yield positive(
        "ca-request-after-failure",
        "The same PKCSReq again after a wrong confirmation: a fresh challenge comes",
        "ca-states",
        pkcs_req(nonce=LAST_NONCE),
        CHALLENGED,
        scene=failed,
    )
    yield positive(
        "ca-password-after-failure",
        "PKCSReq of another client with the challengePassword of a transaction that failed",
        "ca-password-not-reserved",
        _other_client(),
        CHALLENGED,
        scene=failed,
    )
    yield positive(
        "ca-password-while-challenged",
        "PKCSReq of another client with the challengePassword of a transaction whose challenge waits",
        "ca-password-not-reserved",
        _other_client(),
        CHALLENGED,
        scene=challenged(),
    )
    yield negative(
        "ca-password-after-success",
        "A certificate has been issued with the challengePassword.",
        BAD_REQUEST,
        "has been used",
        "ca-password-not-reserved",
        _other_client(),
        scene=with_poll(poll(proof.confirm())),
        twin="ca-password-while-challenged",
        description="PKCSReq of another client with the challengePassword of a transaction",
    )
    downgraded = with_poll(poll(proof.but(caps=b"AES\n").confirm()))
    yield negative(
        "ca-confirm-after-downgrade",
        "The right confirmation comes after one that showed a downgrade.",
        BAD_REQUEST,
        "downgrade",
        "ca-challenge-once",
        poll(proof.confirm()),
        scene=downgraded,
        twin="ca-confirm",
        description="CertPoll with a confirmation that should be refused",
    )
    waiting = info(subject="CN=somebody else,O=Example")
    yield negative(
        "ca-other-type-challenged",
        "messageType is 17, RenewalReq, with the CSR of the PKCSReq that was challenged.",
        BAD_REQUEST,
        "another request is waiting",
        "ca-same-request",
        pkcs_req(kind=17, nonce=POLL_NONCE),
        scene=challenged(),
        twin="ca-request-challenged",
        description="RenewalReq under a transactionID in use",
    )
    yield negative(
        "ca-other-request-challenged",
        "The PKCS #10 request is another one than that which was challenged under this transactionID and signer.",
        BAD_REQUEST,
        "another request is waiting",
        "ca-transaction-identity",
        pkcs_req(unsigned(waiting), nonce=POLL_NONCE),
        scene=challenged(),
        twin="ca-request-challenged",
        description="PKCSReq under a transactionID in use",
    )
    yield positive(
        "ca-request-challenged",
        "The same PKCSReq again while its challenge waits: a fresh challenge comes",
        "ca-states",
        pkcs_req(nonce=POLL_NONCE),
        CHALLENGED,
        scene=challenged(),
    )


def _strangers() -> Iterator[Planned]:
    proof = right()
    other = self_signed("ec:P-256", "kem-other-signer", SUBJECT)
    after = with_poll(poll(proof.confirm(), signer=other.signer))
    yield positive(
        "ca-confirm-after-stranger",
        "The right confirmation, after somebody else sent the same one under the "
        "same transactionID, signed with another key",
        "ca-transaction-identity",
        poll(proof.confirm(), nonce=LAST_NONCE),
        scene=after,
    )


def _polls() -> Iterator[Planned]:
    """A challenge that answers a CertPoll: clientNonce is still that of the request."""
    base = played(scene(), [pkcs_req(), poll(None)], [client()])
    proof = right(base).but(request=block(base, "earlier", 0), client_nonce=value("vectors/kem/nonce", 0, 16))
    yield positive(
        "ca-confirm-of-poll",
        "The right confirmation of a challenge that answered a CertPoll",
        "ca-confirm-context",
        poll(proof.confirm(), nonce=LAST_NONCE),
        scene=base,
    )
    yield negative(
        "ca-confirm-of-poll-nonce",
        "The context has the senderNonce of the CertPoll, not of the request.",
        BAD_CHECK,
        WRONG,
        "ca-confirm-context",
        poll(proof.but(client_nonce=POLL_NONCE).confirm(), nonce=LAST_NONCE),
        scene=base,
        twin="ca-confirm-of-poll",
        description="CertPoll with a confirmation that should be refused",
    )
    yield negative(
        "ca-confirm-of-poll-hash",
        "The context has the hash of the CertPoll, not of the request.",
        BAD_CHECK,
        WRONG,
        "ca-confirm-context",
        poll(proof.but(request=poll(None)).confirm(), nonce=LAST_NONCE),
        scene=base,
        twin="ca-confirm-of-poll",
        description="CertPoll with a confirmation that should be refused",
    )


def _approval() -> Iterator[Planned]:
    content = unsigned(request_info(signer().certificate.subject, client().spki))
    base = played(scene("challenge-password manual"), [pkcs_req(content)], [client()])
    proof = right(base, csr=content)
    yield positive(
        "ca-confirm-manual",
        "The right confirmation where an operator approves by hand: PENDING without a challenge",
        "ca-states",
        poll(proof.confirm()),
        "PENDING",
        scene=base,
    )
    yield negative(
        "ca-confirm-manual-wrong",
        "One bit of the mac is changed.",
        BAD_CHECK,
        WRONG,
        "ca-confirm-mac",
        poll(proof.confirm(flipped(proof.mac))),
        scene=base,
        twin="ca-confirm-manual",
        description="CertPoll with a confirmation that should be refused",
    )


@functools.cache
def _with_ra() -> Scene:
    """The CA with an RA that signs its answers."""
    ra = issued("ec:P-256", "kem-ra-signer", "CN=Testkit RA signer", kem_ca(), eku=RA)
    base = scene().plus(("ra-signer-certificate", ra.certificate.der), ("ra-signer-key", pkcs8(ra.key)))
    return played(base, [pkcs_req()], [client()])


def _ra_signer() -> Iterator[Planned]:
    base = _with_ra()
    proof = right(base)
    yield positive(
        "ca-confirm-ra",
        "The right confirmation at a CA whose answers an RA signs: caSignerHash is of the RA's certificate",
        "ca-confirm-context",
        poll(proof.confirm()),
        scene=base,
    )
    yield negative(
        "ca-confirm-ra-hash",
        "caSignerHash is of the CA's certificate; an RA signed the PENDING.",
        BAD_CHECK,
        WRONG,
        "ca-confirm-context",
        poll(proof.but(ca_signer=kem_ca().certificate.der).confirm()),
        scene=base,
        twin="ca-confirm-ra",
        description="CertPoll with a confirmation that should be refused",
    )


def _signers() -> Iterator[Planned]:
    """Ephemeral signers with ML-DSA (RFC 9881, RFC 9882)."""
    party = self_signed("ml-dsa-65", "ml-dsa-signer", SUBJECT)
    base = scene().swapped("client-certificate", party.certificate.der).swapped("client-key", pkcs8(party.key))
    twin = "ca-kem-signer-ml-dsa"
    sha512: dict[str, Any] = {"digest": hashes.SHA512(), "signer": party.signer}
    yield positive(
        twin,
        "PKCSReq for an ML-KEM key with an ephemeral ML-DSA-65 signer",
        "ca-ml-dsa",
        pkcs_req(**sha512),
        CHALLENGED,
        scene=base,
    )

    def refused(name: str, defect: str, expect: str, because: str, at: Scene = base, **changes: Any) -> Planned:
        return negative(
            f"{twin}-{name}",
            defect,
            expect,
            because,
            "ca-ml-dsa",
            pkcs_req(**{**sha512, **changes}),
            scene=at,
            twin=twin,
            description="PKCSReq with an ML-DSA signer that should be refused",
        )

    yield refused(
        "signature",
        "One bit of the ML-DSA signature is changed.",
        BAD_CHECK,
        "does not verify",
        signature=lambda octets: flipped(octets, 0),
    )
    yield refused(
        "digest",
        "The digest is SHA-256, which is too short for ML-DSA-65 (RFC 9882 section 3.3).",
        BAD_ALG,
        "with ML-DSA-65",
        digest=hashes.SHA256(),
    )
    without = dict(base.headers)["policy"] + " no-ml-dsa"
    at = base.without("ca-caps").plus(policy=without)
    yield refused("disabled", "The CA does not list ML-DSA.", BAD_ALG, "ML-DSA is not enabled", at)


def _renewals() -> Iterator[Planned]:
    certificate = old().certificate
    second = kem_issued("kem-second", "CN=another device", kem_ca()).certificate
    assert certificate is not None
    assert second is not None
    base = scene().plus(("issued", certificate.der), ("issued", second.der))
    identity = issued("ec:P-256", "identity", SUBJECT, kem_ca())
    content = unsigned(request_info(signer().certificate.subject, client().spki))
    signed = _by_certificate(identity, content)
    yield positive(
        "ca-kem-renewal-by-signer",
        "RenewalReq for an ML-KEM key, signed with a signature certificate of this "
        "CA: a challenge to the new key alone",
        "ca-kem-renewal",
        signed,
        CHALLENGED,
        scene=scene().plus(("issued", identity.certificate.der)),
        values={"ciphertexts": "ML-KEM-768"},
    )
    yield positive(
        "ca-kem-renewal-among-issued",
        "RenewalReq of a client with an ML-KEM certificate alone, at a CA that issued others",
        "ca-kem-renewal",
        renewal(),
        CHALLENGED,
        scene=base,
    )
    signed_too = pkcs_req(content, kind=17, transaction_id="renewal-1", signer=identity.signer, more=[certificate.der])
    yield positive(
        "ca-kem-renewal-by-signer-with-kem",
        "RenewalReq signed with a signature certificate of this CA, and an ML-KEM certificate beside it: it is the "
        "renewal of that one, with a challenge to both keys",
        "ca-kem-renewal",
        signed_too,
        CHALLENGED,
        scene=base.plus(("issued", identity.certificate.der)),
        values={"ciphertexts": "ML-KEM-768 ML-KEM-768"},
    )
    implicit = scene("challenge-password renewal pop=implicit").plus(("issued", certificate.der))
    yield positive(
        "ca-kem-renewal-implicit",
        "RenewalReq of a client with an ML-KEM certificate alone, where else no challenge is sent: one is sent here",
        "ca-kem-renewal",
        renewal(),
        CHALLENGED,
        scene=implicit,
    )
    two = renewal(more=[certificate.der, second.der])
    yield negative(
        "ca-kem-renewal-two-certificates",
        "Two ML-KEM certificates are in the SignedData, so that it is not said which one is to be renewed.",
        BAD_REQUEST,
        "more than one ML-KEM certificate",
        "ca-kem-renewal",
        two,
        scene=base,
        twin="ca-kem-renewal-among-issued",
        description="RenewalReq of a client with an ML-KEM certificate alone that should be refused",
    )


def _replays() -> Iterator[Planned]:
    """Copies of messages that were answered before, by a proxy or by somebody who recorded them."""
    yield positive(
        "ca-kem-pkcsreq-replayed",
        "The octets of the PKCSReq once more while its challenge waits: the same answer, and no other challenge",
        "ca-replay",
        pkcs_req(),
        CHALLENGED,
        scene=challenged(),
        values={"same-answer": "latest"},
    )
    for suffix, what, change in ALTERED:
        yield positive(
            f"ca-replay-{suffix}",
            f"A copy of the PKCSReq with {what} while its challenge waits: the same answer, and no other challenge",
            "ca-copies",
            change(pkcs_req()),
            CHALLENGED,
            scene=challenged(),
            values={"same-answer": "latest"},
        )
    base = played(scene(), [pkcs_req()] * 2, [client()])
    yield positive(
        "ca-confirm-after-replay",
        "The right confirmation, after the octets of the request came a second time",
        "ca-replay",
        poll(right(base).confirm()),
        scene=base,
    )


def _more_states() -> Iterator[Planned]:
    proof = right()
    broken = with_poll(poll(proof.but(version=2).confirm()))
    yield positive(
        "ca-confirm-after-malformed",
        "The right confirmation, after one of version 2, which left the transaction as it was",
        "ca-states",
        poll(proof.confirm(), nonce=LAST_NONCE),
        scene=broken,
    )
    done = with_poll(poll(proof.confirm()))
    yield positive(
        "ca-kem-request-again-new-transaction",
        "The same PKCS #10 request by the same signer under a new transactionID after SUCCESS: the same certificate, "
        "and no challenge",
        "ca-resync",
        pkcs_req(nonce=LAST_NONCE, transaction_id="kem-9"),
        scene=done,
        values={"same-certificate": "yes"},
    )
    twice = challenged(times=2)
    yield positive(
        "ca-replay-older",
        "The octets of the first PKCSReq once more, after the second one was answered: the latest answer",
        "ca-replay",
        block(twice, "earlier", 0),
        CHALLENGED,
        scene=twice,
        values={"same-answer": "latest"},
    )


def _without_challenge() -> Iterator[Planned]:
    """A CA that sends no challenges: the certificate is enveloped to the key, and that is all."""
    base = scene("challenge-password pop=implicit")
    yield positive(
        "ca-implicit",
        "PKCSReq for an ML-KEM key where no challenge is sent, in AuthEnvelopedData: the certificate comes at once",
        "ca-no-challenge",
        pkcs_req(),
        scene=base,
        values={"recipient": "kem", "key": spki_hash(unsigned(info()))},
    )


def _by_certificate(identity: Party, content: bytes) -> bytes:
    return pkcs_req(content, kind=17, transaction_id="renewal-2", signer=identity.signer)
