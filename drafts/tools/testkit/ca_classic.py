"""CA: what RFC 8894 demands of a PKCSReq's SignedData, attributes and signer."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from drafts.tools.labelled import NOW, value
from drafts.tools.testkit.der import NULL, Node, attribute, flipped, octets, printable, scheme
from drafts.tools.testkit.messages import (
    MD5,
    SHA1,
    Attributes,
    Message,
    envelope,
    request_attributes,
    signed_data,
    signer_info,
)
from drafts.tools.testkit.parties import Party, certificate, rsa_ca, self_signed, weak_key
from drafts.tools.testkit.requests import password_attribute, request_info, signed, spki_hash
from drafts.tools.testkit.scene import Planned, Scene, Told
from pkix import oids
from pkix.asn1 import encode, wrap
from pkix.keys import spki_of
from pkix.recipients import RsaRecipient
from pkix.signatures import SigningKey
from pkix.signed_data import Signer
from scep import attributes as scep

SUBJECT = "CN=device,O=Example"
PASSWORD = "one-time secret"  # noqa: S105 - of a test
TRANSACTION = "classic-1"
TWIN = "ca-pkcsreq-rsa"
NONCE = value("vectors/classic/nonce", 0, 16)
SHA256_RSA = scheme(oids.SHA256_WITH_RSA, NULL)


def pkcs8(key: SigningKey) -> bytes:
    """DER PKCS #8."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@functools.cache
def device() -> Party:
    """The RSA client."""
    return self_signed("rsa:2048", "device", SUBJECT)


def scene(policy: str = "challenge-password", ca: Party | None = None, client: Party | None = None) -> Scene:
    """An RSA CA that knows one challenge password, and the RSA client."""
    ca, client = ca or rsa_ca(), client or device()
    return Scene("ca").plus(
        ("ca-certificate", ca.certificate.der),
        ("ca-key", pkcs8(ca.key)),
        ("client-certificate", client.certificate.der),
        ("client-key", pkcs8(client.key)),
        time=f"{NOW:%Y-%m-%dT%H:%M:%SZ}",
        policy=policy,
        password=PASSWORD,
        seed="vectors/classic",
    )


def csr(key: SigningKey | None = None, *attributes: bytes, subject: bytes | None = None, **more: Any) -> bytes:
    """The client's PKCS #10 request, by default with its password. more: version, spki, digest, bare."""
    key = key or device().key
    digest = more.pop("digest", None)
    spki = more.pop("spki", None) or spki_of(key)
    given = () if more.pop("bare", False) else attributes or (password_attribute(PASSWORD),)
    info = request_info(device().certificate.subject if subject is None else subject, spki, given, **more)
    return signed(info, key, digest)


def sealed(content: bytes, ca: Party | None = None, **changes: Any) -> bytes:
    """pkcsPKIEnvelope for the CA. changes: transport, cipher, tree."""
    to = RsaRecipient((ca or rsa_ca()).certificate, changes.pop("transport", None))
    return envelope(content, [to], "vectors/classic/envelope", **changes)


def pkcs_req(content: bytes | None = None, **changes: Any) -> bytes:
    """The client's PKCSReq. changes: kind, transaction_id, nonce, sealing (arguments of `sealed`), without, replaced
    (attributes), and any field of Message.
    """
    kind, transaction = changes.pop("kind", 19), changes.pop("transaction_id", TRANSACTION)
    attributes: Attributes = request_attributes(kind, transaction, changes.pop("nonce", NONCE))
    attributes |= changes.pop("replaced", {})
    attributes.pop(changes.pop("without", None), None)
    if "envelope" not in changes:
        inside = csr() if content is None else content
        changes["envelope"] = sealed(inside, **changes.pop("sealing", {}))
    signer = changes.pop("signer", device().signer)
    return Message(signer=signer, attributes=attributes, **changes).encode()


def negative(
    name: str, defect: str, expect: str, because: str, requirement: str, message: bytes, **more: Any
) -> Planned:
    """A case whose message differs from the twin's in the defect alone. more: scene, twin, description, headers."""
    base: Scene = more.pop("scene", None) or scene()
    twin = more.pop("twin", TWIN)
    description = more.pop("description", "PKCSReq of an RSA client that should be refused")
    also = _also(requirement, expect, because)
    told = Told(name, description, requirement, expect, defect, twin, because, also=also)
    return base.plus(("message", message), **more), told


def _also(requirement: str, expect: str, because: str) -> Sequence[str]:
    """Outcomes that serve as well, where neither RFC 8894 nor the draft says which failInfo it is, or where another
    implementation may look for transactionID before it looks at the rest.
    """
    if expect == HTTP:
        unclear = (
            "more than one SignerInfo",
            "no signed attributes",
            "not a PrintableString",
            "1 to 255",
            "which no PrintableString has",
        )
        return (BAD_REQUEST, BAD_CHECK) if because in unclear else ()
    if requirement in _STRUCTURES and expect in (BAD_REQUEST, BAD_ALG):
        return tuple(sorted({BAD_REQUEST, BAD_ALG, BAD_CHECK} - {expect}))
    return ()


def positive(
    name: str, description: str, requirement: str, message: bytes, expect: str = "SUCCESS", **more: Any
) -> Planned:
    """A case that has to work. more: scene, values, headers."""
    base: Scene = more.pop("scene", None) or scene()
    told = Told(name, description, requirement, expect, values=more.pop("values", {}))
    return base.plus(("message", message), **more), told


BAD_ALG, BAD_CHECK, BAD_REQUEST = "FAILURE badAlg", "FAILURE badMessageCheck", "FAILURE badRequest"
# Requirements on structures, whose violation some implementations see earlier than others
_STRUCTURES = frozenset({"ca-envelope", "ca-gcm", "ca-kemri", "ca-key-transport", "ca-content-matches-type", "ca-csr"})
BAD_TIME, BAD_CERT_ID, HTTP = "FAILURE badTime", "FAILURE badCertId", "HTTP-400"
# What this project says of every envelope that does not open, or whose content is not valid under CBC.
ONE_TEXT = "the envelope cannot be opened, or what it holds is not valid"


def cases() -> Iterator[Planned]:
    """All of this module."""
    values = {"key": spki_hash(csr()), "subject": SUBJECT, "digest": "SHA-256", "cipher": "AES-128-CBC"}
    yield positive(
        TWIN, "PKCSReq of an RSA client with a valid challengePassword", "ca-mandatory", pkcs_req(), values=values
    )
    yield from _structure()
    yield from _attributes()
    yield from _signer()


def _structure() -> Iterator[Planned]:
    good = pkcs_req()
    yield negative(
        "ca-not-der", "The last octet is missing.", HTTP, "octets of a message of", "ca-signed-data", good[:-1]
    )
    yield negative("ca-empty", "The message has no octets.", HTTP, "this is empty", "ca-signed-data", b"")

    def unsigned(tree: Node) -> None:
        signed_data(tree)[-1] = Node(0x31, children=[])

    yield negative(
        "ca-no-signer-info",
        "There is no SignerInfo (RFC 8894 section 3).",
        HTTP,
        "no SignerInfo",
        "ca-signed-data",
        pkcs_req(tree=unsigned),
    )

    def twice(tree: Node) -> None:
        signed_data(tree)[-1].insert(0, signer_info(tree))

    yield negative(
        "ca-two-signer-infos",
        "The SignerInfo stands there twice.",
        HTTP,
        "more than one SignerInfo",
        "ca-signed-data",
        pkcs_req(tree=twice),
    )

    def no_attributes(tree: Node) -> None:
        del signer_info(tree)[3]

    yield negative(
        "ca-no-signed-attributes",
        "SignerInfo has no signedAttrs (RFC 8894 section 3.2: they MUST be there).",
        HTTP,
        "no signed attributes",
        "ca-authenticated-attributes",
        pkcs_req(tree=no_attributes),
    )
    yield negative(
        "ca-content-type-not-data",
        "eContentType is id-signedData, not id-data (RFC 8894 section 3.2).",
        BAD_REQUEST,
        "not data",
        "ca-content-type",
        pkcs_req(content_type=oids.SIGNED_DATA),
    )
    yield negative(
        "ca-signature-wrong",
        "One bit of the signature is changed.",
        BAD_CHECK,
        "does not verify",
        "ca-signature",
        pkcs_req(signature=flipped),
    )

    def other_digest(message: Message) -> Attributes:
        return message.good_cms() | {oids.MESSAGE_DIGEST: [octets(bytes(32))]}

    probe = Message(device().signer, sealed(csr()), {})
    yield negative(
        "ca-message-digest-wrong",
        "messageDigest is not the digest of the content (RFC 5652 section 11.2).",
        BAD_CHECK,
        "messageDigest does not fit",
        "ca-signature",
        pkcs_req(cms=other_digest(probe)),
    )
    without_type = {kind: values for kind, values in probe.good_cms().items() if kind != oids.CONTENT_TYPE}
    yield negative(
        "ca-content-type-attribute-missing",
        "The signed attribute contentType is missing (RFC 5652 section 11.1).",
        BAD_CHECK,
        "contentType is missing",
        "ca-signature",
        pkcs_req(cms=without_type),
    )
    yield negative(
        "ca-signer-certificate-missing",
        "The signer's certificate is not in the SignedData (RFC 8894 section 3.3.1).",
        BAD_REQUEST,
        "has no certificates",
        "ca-signer-certificate",
        pkcs_req(certificates=[]),
    )


Spoiled = tuple[tuple[str, str, str, dict[str, Any]], ...]


def _attributes() -> Iterator[Planned]:
    transaction = scep.TRANSACTION_ID
    transaction_ids: Spoiled = (
        ("missing", "There is no transactionID.", "no transactionID", {"without": transaction}),
        (
            "utf8",
            "transactionID is a UTF8String, not a PrintableString.",
            "not a PrintableString",
            {"replaced": {transaction: [wrap(0x0C, b"classic-1")]}},
        ),
        ("empty", "transactionID has no characters.", "1 to 255", {"transaction_id": ""}),
        (
            "not-printable",
            "transactionID holds '@', which no PrintableString has.",
            "which no PrintableString has",
            {"transaction_id": "classic@1"},
        ),
        (
            "two-values",
            "transactionID has two values.",
            "exactly one value",
            {"replaced": {transaction: [printable("classic-1"), printable("classic-2")]}},
        ),
        (
            "twice",
            "transactionID appears twice.",
            "exactly one value",
            {"extra": [attribute(transaction, printable("classic-2"))]},
        ),
    )
    for name, defect, because, changes in transaction_ids:
        yield negative(
            f"ca-transaction-id-{name}",
            f"{defect} (RFC 8894 section 3.2.1.1)",
            HTTP,
            because,
            "ca-transaction-id",
            pkcs_req(**changes),
        )
    message_types: Spoiled = (
        ("missing", "There is no messageType.", "no messageType", {"without": scep.MESSAGE_TYPE}),
        ("undefined", "messageType is 18, which was never defined.", "'18' is not defined", {"kind": 18}),
        ("reserved", "messageType is 0, which is reserved.", "'0' is not defined", {"kind": 0}),
        ("leading-zero", "messageType is '019'.", "'019' is not defined", {"kind": "019"}),
        (
            "integer",
            "messageType is an INTEGER, not a PrintableString.",
            "not a PrintableString",
            {"replaced": {scep.MESSAGE_TYPE: [encode(19)]}},
        ),
        ("cert-rep", "messageType is 3, CertRep, which is no request.", "not a request", {"kind": 3}),
        (
            "cert-poll",
            "messageType is 20, CertPoll, but the content is a PKCS #10 request and nothing is waiting.",
            "no request matches",
            {"kind": 20},
        ),
    )
    for name, defect, because, changes in message_types:
        yield negative(
            f"ca-message-type-{name}",
            f"{defect} (RFC 8894 section 3.2.1.2)",
            BAD_REQUEST,
            because,
            "ca-message-type",
            pkcs_req(**changes),
        )
    yield negative(
        "ca-message-type-get-cert",
        "messageType is 21, GetCert, but the content is a PKCS #10 request. (RFC 8894 section 3.2.1.2)",
        BAD_CERT_ID,
        ONE_TEXT,
        "ca-message-type",
        pkcs_req(kind=21),
    )
    nonces: Spoiled = (
        ("missing", "There is no senderNonce.", "no senderNonce", {"without": scep.SENDER_NONCE}),
        ("short", "senderNonce has 4 octets instead of 16.", "16 octets", {"nonce": NONCE[:4]}),
        ("empty", "senderNonce has no octets.", "16 octets", {"nonce": b""}),
        (
            "integer",
            "senderNonce is an INTEGER, not an OCTET STRING.",
            "senderNonce",
            {"replaced": {scep.SENDER_NONCE: [encode(19)]}},
        ),
    )
    for name, defect, because, changes in nonces:
        yield negative(
            f"ca-sender-nonce-{name}",
            f"{defect} (RFC 8894 section 3.2.1.5)",
            BAD_REQUEST,
            because,
            "ca-sender-nonce",
            pkcs_req(**changes),
        )


def _signer() -> Iterator[Planned]:
    yield negative(
        "ca-digest-md5",
        "The digest is MD5 (RFC 8894 sections 2.9 and 7.5: MUST NOT).",
        BAD_ALG,
        "digest MD5",
        "ca-no-md5",
        pkcs_req(digest=MD5),
    )
    yield negative(
        "ca-digest-sha1",
        "The digest is SHA-1, which the policy does not allow (RFC 8894 section 2.9).",
        BAD_ALG,
        "digest SHA-1",
        "ca-sha1",
        pkcs_req(digest=SHA1),
    )
    yield negative(
        "ca-digest-unknown",
        "The digest algorithm is one that nobody knows.",
        BAD_ALG,
        "digest 1.3.6.1.4.1.32473.1",
        "ca-bad-alg",
        pkcs_req(digest_algorithm=scheme("1.3.6.1.4.1.32473.1")),
    )
    yield negative(
        "ca-signature-algorithm-other-key",
        "signatureAlgorithm is ecdsa-with-SHA256, but the key is RSA.",
        BAD_ALG,
        "with an RSA key",
        "ca-bad-alg",
        pkcs_req(signature_algorithm=scheme(oids.ECDSA_WITH_SHA256)),
    )
    private = weak_key()
    weak = Signer(private, certificate(SUBJECT, spki_of(private), label="weak", signer=private))
    yield negative(
        "ca-signer-rsa-1024",
        "The signer's RSA key has 1024 bits.",
        BAD_ALG,
        "RSA key of 1024 bits",
        "ca-key-size",
        pkcs_req(signer=weak),
    )
    other = self_signed("rsa:2048", "other", SUBJECT)
    forged = Signer(other.key, device().certificate)
    yield negative(
        "ca-signer-other-key",
        "The signature was made with another key than that of the signer's certificate.",
        BAD_CHECK,
        "does not verify",
        "ca-signature",
        pkcs_req(signer=forged),
    )

    def unsorted(tree: Node) -> None:
        signer_info(tree)[3].children = signer_info(tree)[3].children[::-1]  # type: ignore[index]

    yield positive(
        "ca-attributes-not-sorted",
        "The signed attributes are sent in reverse order, and signed in DER order",
        "ca-signature",
        pkcs_req(tree=unsorted),
        values={"key": spki_hash(csr())},
    )
    yield positive(
        "ca-digest-sha512",
        "PKCSReq with SHA-512, which the answer uses, too",
        "ca-same-algorithms",
        pkcs_req(digest=hashes.SHA512()),
        values={"digest": "SHA-512"},
    )
    yield positive(
        "ca-digest-sha1-legacy",
        "PKCSReq with SHA-1 at a CA whose policy allows it",
        "ca-sha1",
        pkcs_req(digest=SHA1),
        scene=scene("challenge-password legacy"),
        values={"digest": "SHA-1"},
    )
    yield positive(
        "ca-signing-time-ignored",
        "signingTime is two years old, and the policy does not mind",
        "ca-time",
        pkcs_req(signing_time=wrap(0x17, b"241121120000Z")),
    )
    minding = scene("challenge-password max-clock-skew=3600")
    yield positive(
        "ca-signing-time-close",
        "signingTime is right, and the policy allows an hour",
        "ca-time",
        pkcs_req(),
        scene=minding,
    )
    yield negative(
        "ca-signing-time-old",
        "signingTime is two hours old, and the policy allows one (RFC 8894 section 3.2.1.4).",
        BAD_TIME,
        "signingTime is more than",
        "ca-time",
        pkcs_req(signing_time=wrap(0x17, b"261121100000Z")),
        scene=minding,
        twin="ca-signing-time-close",
    )
