"""CA: an RA with an RSA key beside the ML-KEM one, and which requests may come under it."""

from __future__ import annotations

from collections.abc import Iterator

from drafts.tools.testkit.ca_classic import BAD_CHECK, ONE_TEXT, device, negative, pkcs8, positive
from drafts.tools.testkit.ca_kem import CHALLENGED, PASSWORD, SUBJECT, info, pkcs_req, scene
from drafts.tools.testkit.ca_kem_others import statement
from drafts.tools.testkit.messages import envelope
from drafts.tools.testkit.parties import ENCIPHERMENT, RA, issued, kem_ca
from drafts.tools.testkit.requests import password_attribute, request_info, signed, spki_hash, unsigned
from drafts.tools.testkit.scene import Planned, Scene
from pkix.algorithms import AES128, AES256, AES256_GCM, ContentCipher
from pkix.keys import spki_of
from pkix.recipients import RsaRecipient


def cases() -> Iterator[Planned]:
    """A client of today at a CA whose RA has an RSA key, too."""
    ra = issued("rsa:2048", "ra-decryption", "CN=RSA RA", kem_ca(), usages=ENCIPHERMENT, eku=RA)
    party = device()
    content = signed(
        request_info(party.certificate.subject, spki_of(party.key), [password_attribute(PASSWORD)]), party.key
    )
    base = scene().without("client-certificate", "client-key", "client-kem-key")
    base = base.plus(
        ("client-certificate", party.certificate.der),
        ("client-key", pkcs8(party.key)),
        ("ra-rsa-certificate", ra.certificate.der),
        ("ra-rsa-key", pkcs8(ra.key)),
    )
    sealed = envelope(content, [RsaRecipient(ra.certificate)], "vectors/kem/envelope", AES128)
    yield positive(
        "ca-pkcsreq-rsa-ra",
        "PKCSReq of an RSA client, enveloped to the RSA key of the RA of a CA that also serves ML-KEM",
        "ca-mandatory",
        pkcs_req(envelope=sealed, signer=party.signer),
        scene=base,
        values={"recipient": "rsa", "key": spki_hash(content), "cipher": "AES-128-CBC"},
    )
    both = scene().plus(("ra-rsa-certificate", ra.certificate.der), ("ra-rsa-key", pkcs8(ra.key)))

    def unsigned_to_rsa(cipher: ContentCipher) -> bytes:
        return envelope(unsigned(info()), [RsaRecipient(ra.certificate)], "vectors/kem/envelope", cipher)

    yield positive(
        "ca-kem-unsigned-to-rsa",
        "PKCSReq for an ML-KEM key, enveloped to the RSA key of the RA in AuthEnvelopedData with AES-256-GCM",
        "ca-kem-csr-authenticated",
        pkcs_req(envelope=unsigned_to_rsa(AES256_GCM)),
        CHALLENGED,
        scene=both,
    )
    yield negative(
        "ca-kem-unsigned-to-rsa-cbc",
        "The unsigned request comes in EnvelopedData with AES-256-CBC, where nothing tells it from an altered one.",
        BAD_CHECK,
        ONE_TEXT,
        "ca-kem-csr-authenticated",
        pkcs_req(envelope=unsigned_to_rsa(AES256)),
        scene=both,
        twin="ca-kem-unsigned-to-rsa",
        description="PKCSReq for an ML-KEM key, enveloped to the RSA key of the RA",
    )
    yield from _statements(both, RsaRecipient(ra.certificate))


def _statements(base: Scene, recipient: RsaRecipient) -> Iterator[Planned]:
    """A request that proves its sender's identity, but comes no other way than an unsigned one."""
    identity = issued("ec:P-256", "identity", SUBJECT, kem_ca())
    content = statement(identity)
    base = base.plus(("issued", identity.certificate.der))

    def to_rsa(cipher: ContentCipher) -> bytes:
        return pkcs_req(envelope=envelope(content, [recipient], "vectors/kem/envelope", cipher))

    yield positive(
        "ca-statement-to-rsa",
        "PKCSReq with a statement of possession, enveloped to the RSA key of the RA in AuthEnvelopedData",
        "ca-kem-csr-authenticated",
        to_rsa(AES256_GCM),
        CHALLENGED,
        scene=base,
    )
    yield negative(
        "ca-statement-to-rsa-cbc",
        "The request with a statement of possession comes in EnvelopedData with AES-256-CBC, where looking up the "
        "certificate that it names shows that the content was well-formed.",
        BAD_CHECK,
        ONE_TEXT,
        "ca-kem-csr-authenticated",
        to_rsa(AES256),
        scene=base,
        twin="ca-statement-to-rsa",
        description="PKCSReq with a statement of possession, enveloped to the RSA key of the RA",
    )
