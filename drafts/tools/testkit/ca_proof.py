"""CA: the confirmation of a KEM challenge. State: a PKCSReq was answered with PENDING and a challenge.

The derived key of the CA's state follows from `earlier` (the request as sent), `earlier-answer` (PENDING as sent) and
`shared-secret`. All negative cases differ from `ca-confirm` in one input of the MAC, or in where and when it is sent.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from drafts.tools.labelled import value
from drafts.tools.testkit import ca_kem
from drafts.tools.testkit.ca_classic import BAD_CHECK, BAD_REQUEST, negative, positive
from drafts.tools.testkit.ca_kem import SUBJECT, client, info, pkcs_req, scene, signer
from drafts.tools.testkit.der import Node, attribute, flipped, octets, sequence
from drafts.tools.testkit.kem_messages import Proof
from drafts.tools.testkit.our_ca import CaUnderTest
from drafts.tools.testkit.parties import kem_ca, kem_party, self_signed, stranger_ca
from drafts.tools.testkit.requests import spki_hash, unsigned
from drafts.tools.testkit.scene import Planned, Scene, preview
from kem.exchange import POP_SHA512
from scep.attributes import KEM_POP_CONFIRM

TWIN = "ca-confirm"
WRONG = "the proof of possession is wrong"
POLL_NONCE = value("vectors/kem/nonce", 1, 16)
ASKED, CONFIRMED = "2026-11-21T11:59:00Z", "2026-11-21T12:00:00Z"
OTHER_CAPS = b"AES\nPOSTPKIOperation\nSCEPStandard\nSHA-256\n"


@functools.cache
def challenged(policy: str = "challenge-password renewal", times: int = 1) -> Scene:
    """The CA after answering the PKCSReq, `times` times, with a challenge."""
    return played(scene(policy), [pkcs_req(nonce=nonce(index)) for index in range(times)], [client()])


def nonce(index: int) -> bytes:
    """The senderNonce of the request when it is sent for the first, second … time."""
    return value("vectors/kem/nonce", 10 + index if index else 0, 16)


def played(base: Scene, messages: list[bytes], keys: list[Any], at: str = ASKED) -> Scene:
    """A scene in which these messages came before, with the CA's answers and the secrets of its challenges."""
    before = base.plus(*(("earlier", message) for message in messages), **{"earlier-time": [at] * len(messages)})
    answers = CaUnderTest(preview(before)).play_earlier()
    blocks: list[tuple[str, bytes]] = [("earlier-answer", answer) for answer in answers]
    label = f"{dict(base.headers)['seed']}/m"
    made = list(dict.fromkeys(zip(messages, answers, strict=True)))
    number = len(keys) * len(made)
    blocks += [("encapsulation-randomness", value(label, index, 32)) for index in range(number)]
    private = [item.private for item in keys]
    for message, answer in made:
        proof = Proof.of(message, unsigned(info()), answer, private, None)
        blocks += [("shared-secret", secret) for secret in proof.secrets]
    return before.plus(*blocks)


def block(base: Scene, name: str, index: int = -1) -> bytes:
    """One of the blocks of a name."""
    return [octets for item, octets in base.blocks if item == name][index]


def right(base: Scene | None = None, *, caps: bool = True, csr: bytes | None = None, index: int = -1) -> Proof:
    """The right confirmation of the last challenge."""
    base = base or challenged()
    request, pending = block(base, "earlier", index), block(base, "earlier-answer", index)
    body = block(base, "ca-caps") if caps else None
    return Proof.of(request, csr or unsigned(info()), pending, [client().private], body)


def poll(confirm: bytes | None, **changes: Any) -> bytes:
    """CertPoll with a kemPopConfirm."""
    names = sequence(kem_ca().certificate.subject, signer().certificate.subject)
    arguments: dict[str, Any] = {"kind": 20, "nonce": POLL_NONCE} | changes
    if confirm is not None:
        arguments["replaced"] = {KEM_POP_CONFIRM: [confirm]} | changes.get("replaced", {})
    return pkcs_req(names, **arguments)


def cases() -> Iterator[Planned]:
    """All of this module."""
    values = {
        "key": spki_hash(unsigned(info())),
        "subject": SUBJECT,
        "key-usage": "keyEncipherment",
        "recipient": "kem",
    }
    yield positive(
        TWIN,
        "CertPoll with the right confirmation: the certificate comes, enveloped to its key",
        "ca-confirm",
        poll(right().confirm()),
        scene=challenged(),
        values=values | {"cipher": "AES-256-GCM"},
    )
    yield positive(
        "ca-confirm-without-caps",
        "The same without capsHash, which is OPTIONAL",
        "ca-confirm",
        poll(right(caps=False).confirm()),
        scene=challenged(),
        values=values,
    )
    longer = challenged("challenge-password renewal hash=SHA-512")
    yield positive(
        "ca-confirm-sha512",
        "The same with HKDF-SHA512, 64 octets and HMAC-SHA512",
        "ca-confirm",
        poll(right(longer).confirm()),
        scene=longer,
        values=values,
    )
    yield from _macs()
    yield from _context()
    yield from _capabilities()
    yield from _structure()
    yield from _where()
    yield from _when()


def _wrong(
    name: str, defect: str, confirm: bytes, expect: str = BAD_CHECK, because: str = WRONG, **more: Any
) -> Planned:
    arguments: dict[str, Any] = {"scene": challenged(), "twin": TWIN, "requirement": "ca-confirm-mac"} | more
    message = arguments.pop("message", None) or poll(confirm)
    return negative(
        f"ca-confirm-{name}",
        defect,
        expect,
        because,
        arguments.pop("requirement"),
        message,
        description="CertPoll with a confirmation that should be refused",
        **arguments,
    )


def _macs() -> Iterator[Planned]:
    proof = right()
    for name, defect, mac in (
        ("mac-first-bit", "One bit of the first octet of mac is changed.", flipped(proof.mac, 0)),
        ("mac-last-bit", "One bit of the last octet of mac is changed.", flipped(proof.mac)),
        ("mac-short", "The last octet of mac is missing.", proof.mac[:-1]),
        ("mac-empty", "mac has no octets.", b""),
        ("mac-long", "An octet follows the mac.", proof.mac + b"\x00"),
        (
            "mac-sha512",
            "mac is HMAC-SHA512, which the challenge did not choose.",
            POP_SHA512.mac.compute(proof.derived_key, proof.mac_input),
        ),
    ):
        yield _wrong(name, defect, proof.confirm(mac))
    stranger = kem_party("kem-stranger")
    secrets = Proof.of(proof.request, proof.csr, proof.pending, [stranger.private], None).secrets
    yield _wrong(
        "other-key",
        "The sender has another ML-KEM key than the requested one; decapsulation gives another secret and no error.",
        proof.but(secrets=secrets).confirm(),
    )
    yield _wrong(
        "no-kdf",
        "mac was made with the shared secret itself, not with a key derived from it.",
        proof.confirm(proof.parameters.mac.compute(proof.secrets[0], proof.mac_input)),
    )
    yield _wrong(
        "static-string",
        "The KDF's staticString is 'CMP-KEM', RFC 9810's, not 'SCEP-KEM'.",
        proof.but(static_string="CMP-KEM").confirm(),
    )
    yield _wrong("mac-label", "The MAC input's label is another one.", proof.but(label="scep-kem-pop").confirm())
    yield _wrong(
        "mac-of-challenge",
        "certRepHash is the hash of the CertPoll's request, not of the PENDING CertRep.",
        proof.but(cert_rep=proof.request).confirm(),
    )


def _context() -> Iterator[Planned]:
    proof = right()
    other, other_ca = pkcs_req(nonce=POLL_NONCE), stranger_ca()
    changes: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("other-transaction", "The derived key is bound to another transactionID.", {"transaction_id": b"kem-2"}),
        ("context-version", "The context's version is 2.", {"context_version": 2}),
        ("client-nonce", "The context has another clientNonce.", {"client_nonce": POLL_NONCE}),
        ("ca-nonce", "The context has another caNonce.", {"ca_nonce": bytes(16)}),
        (
            "request-hash",
            "The context has the hash of another request (same PKCS #10, other nonce).",
            {"request": other},
        ),
        (
            "csr-hash",
            "The context has the hash of another PKCS #10 request.",
            {"csr": unsigned(info(subject="CN=other"))},
        ),
        (
            "ca-signer-hash",
            "The context has the hash of another CA's certificate.",
            {"ca_signer": other_ca.certificate.der},
        ),
        ("ciphertext-hash", "The context has the hash of another ciphertext.", {"ciphertexts": (bytes(1088),)}),
        (
            "ciphertexts-twice",
            "The context has the hash of the ciphertext twice.",
            {"ciphertexts": proof.ciphertexts * 2},
        ),
    )
    for name, defect, changed in changes:
        yield _wrong(name, defect, proof.but(**changed).confirm(), requirement="ca-confirm-context")


def _capabilities() -> Iterator[Planned]:
    proof = right()
    yield _wrong(
        "downgrade",
        "capsHash is of a GetCACaps body that the CA never served, and the MAC is right: a downgrade was detected.",
        proof.but(caps=OTHER_CAPS).confirm(),
        BAD_REQUEST,
        "a downgrade",
        requirement="ca-confirm-caps",
    )
    yield _wrong(
        "caps-suppressed",
        "capsHash is of the empty string, and the MAC is right: the client asked for GetCACaps and got nothing.",
        proof.but(caps=b"").confirm(),
        BAD_REQUEST,
        "a downgrade",
        requirement="ca-confirm-caps",
    )
    hashed = proof.parameters.kdf.digest(OTHER_CAPS)
    yield _wrong(
        "caps-replaced",
        "capsHash was replaced after the MAC was made.",
        proof.but(stated_caps=[hashed]).confirm(),
        requirement="ca-confirm-caps",
    )
    yield _wrong(
        "caps-removed",
        "capsHash was removed after the MAC was made.",
        proof.but(stated_caps=[None]).confirm(),
        requirement="ca-confirm-caps",
    )
    added = right(caps=False).but(stated_caps=[proof.caps_hash])
    yield _wrong(
        "caps-added",
        "capsHash was added after the MAC was made.",
        added.confirm(),
        requirement="ca-confirm-caps",
        twin="ca-confirm-without-caps",
    )


def _structure() -> Iterator[Planned]:
    proof = right()
    more: dict[str, Any] = {"requirement": "ca-confirm-structure"}
    yield _wrong(
        "version", "kemPopConfirm has version 2.", proof.but(version=2).confirm(), BAD_REQUEST, "version 2", **more
    )
    yield _wrong(
        "trailing",
        "An octet follows the kemPopConfirm inside of its SEQUENCE.",
        _with_tail(proof.confirm()),
        BAD_REQUEST,
        "kemPopConfirm is not valid DER",
        **more,
    )
    longer = proof.confirm().replace(b"\x04\x20" + proof.mac, b"\x04\x81\x20" + proof.mac)
    yield _wrong(
        "ber",
        "The length of mac is encoded in two octets, which BER allows and DER does not.",
        bytes((0x30, longer[1] + 1)) + longer[2:],
        BAD_REQUEST,
        "kemPopConfirm is not valid DER",
        **more,
    )
    yield _wrong(
        "not-a-sequence",
        "kemPopConfirm is the mac alone, an OCTET STRING.",
        octets(proof.mac),
        BAD_REQUEST,
        "kemPopConfirm is not valid DER",
        **more,
    )
    twice = attribute(KEM_POP_CONFIRM, proof.confirm())
    yield _wrong(
        "twice",
        "The attribute kemPopConfirm appears twice, the second time with a wrong mac.",
        b"",
        BAD_REQUEST,
        "exactly one value",
        message=poll(proof.confirm(flipped(proof.mac)), extra=[twice]),
        **more,
    )
    both = {KEM_POP_CONFIRM: [proof.confirm(), proof.confirm(flipped(proof.mac))]}
    yield _wrong(
        "two-values",
        "The attribute kemPopConfirm has two values, one of which is right.",
        b"",
        BAD_REQUEST,
        "exactly one value",
        message=poll(None, replaced=both),
        **more,
    )


def _with_tail(der: bytes) -> bytes:
    tree = Node.parse(der)
    tree.insert(len(tree), Node(0x05))
    return tree.der()


def _where() -> Iterator[Planned]:
    """Right confirmations that come from somebody else or in something else."""
    proof = right()
    unknown = "no request matches"
    more: dict[str, Any] = {"expect": BAD_REQUEST, "because": unknown, "requirement": "ca-transaction-identity"}
    other = self_signed("ec:P-256", "kem-other-signer", SUBJECT)
    yield _wrong(
        "other-signer",
        "The CertPoll is signed by another key than the request.",
        b"",
        message=poll(proof.confirm(), signer=other.signer),
        **more,
    )
    yield _wrong(
        "other-transaction-id",
        "The CertPoll has another transactionID.",
        b"",
        message=poll(proof.confirm(), transaction_id="kem-2"),
        **more,
    )
    yield _wrong(
        "nothing-waits", "No challenge was sent under this transactionID.", proof.confirm(), scene=scene(), **more
    )
    again = pkcs_req(replaced={KEM_POP_CONFIRM: [proof.confirm()]}, nonce=POLL_NONCE)
    yield positive(
        "ca-confirm-in-request",
        "The same PKCSReq again with a confirmation, which means something only in a CertPoll: a fresh challenge comes",
        "ca-confirm",
        again,
        ca_kem.CHALLENGED,
        scene=challenged(),
    )
    yield positive(
        "ca-poll-without-confirm",
        "CertPoll without a confirmation: a fresh challenge comes",
        "ca-kem-challenge",
        poll(None),
        ca_kem.CHALLENGED,
        scene=challenged(),
    )


def _when() -> Iterator[Planned]:
    """Confirmations that come too late or more than once."""
    proof = right()
    late = challenged().plus(**{"time": "2026-11-21T12:10:00Z"})
    edge = challenged().plus(**{"time": "2026-11-21T12:09:00Z"})
    yield positive(
        "ca-confirm-last-moment",
        "The right confirmation in the second in which the challenge expires",
        "ca-confirm-expiry",
        poll(proof.confirm()),
        scene=edge,
    )
    yield _wrong(
        "expired",
        "The challenge expired a minute ago.",
        proof.confirm(),
        BAD_REQUEST,
        "has expired",
        scene=late,
        requirement="ca-confirm-expiry",
        twin="ca-confirm-last-moment",
    )
    twice = challenged(times=2)
    yield positive(
        "ca-confirm-second-challenge",
        "The right confirmation of the second challenge; the request was sent twice",
        "ca-confirm",
        poll(right(twice).confirm()),
        scene=twice,
    )
    yield _wrong(
        "replayed-challenge",
        "The confirmation is that of the first challenge; a second one has replaced it.",
        right(twice, index=0).confirm(),
        scene=twice,
        twin="ca-confirm-second-challenge",
        requirement="ca-challenge-once",
    )
    first = poll(proof.confirm(flipped(proof.mac)))
    failed = with_poll(first)
    yield _wrong(
        "after-failure",
        "The right confirmation comes after a wrong one: a challenge serves one attempt.",
        proof.confirm(),
        BAD_REQUEST,
        WRONG,
        scene=failed,
        requirement="ca-challenge-once",
    )
    done = with_poll(poll(proof.confirm()))
    again = poll(proof.confirm(), nonce=value("vectors/kem/nonce", 2, 16))
    yield positive(
        "ca-confirm-again",
        "The same confirmation after SUCCESS: the client lost the answer and gets the same certificate",
        "ca-resync",
        again,
        scene=done,
        values={"same-certificate": "yes"},
    )
    many = challenged(times=5)
    yield negative(
        "ca-too-many-challenges",
        "The request comes for the sixth time without a confirmation; five challenges are sent for one transaction.",
        BAD_REQUEST,
        "too many challenges",
        "ca-challenge-limit",
        pkcs_req(nonce=nonce(5)),
        scene=many,
        twin="ca-kem-pkcsreq-again",
        description="PKCSReq that came too often",
    )
    yield positive(
        "ca-kem-pkcsreq-again",
        "The same PKCSReq for the fifth time: a fresh challenge comes",
        "ca-challenge-limit",
        pkcs_req(nonce=nonce(5)),
        ca_kem.CHALLENGED,
        scene=challenged(times=4),
    )


def with_poll(message: bytes) -> Scene:
    """After a challenge and this CertPoll."""
    base = challenged()
    blocks = list(base.blocks)
    index = max(place for place, item in enumerate(blocks) if item[0] == "earlier") + 1
    blocks.insert(index, ("earlier", message))
    return replace(base, blocks=tuple(blocks)).plus(**{"earlier-time": [ASKED, ASKED]})
