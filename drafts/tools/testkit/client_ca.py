"""Client: GetCACert and GetNextCACert: whom to trust, and whom to encrypt to (RFC 8894 sections 2.2, 4.2, 4.7)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from cryptography import x509

from drafts.tools.labelled import NOW
from drafts.tools.testkit.client_classic import client_scene, rejected, taken
from drafts.tools.testkit.client_kem import CAPS, bag
from drafts.tools.testkit.der import Node, flipped
from drafts.tools.testkit.messages import Message, signed_data
from drafts.tools.testkit.parties import (
    CLIENT_AUTH,
    ENCIPHERMENT,
    RA,
    YEAR,
    KemParty,
    Party,
    issued,
    kem_ca,
    kem_issued,
    key,
    ra_kem,
    root,
    rsa_ca,
    stranger_ca,
)
from drafts.tools.testkit.scene import Planned, Scene
from pkix.signed_data import encode_degenerate

OLD_CAPS = b"AES\nPOSTPKIOperation\nSCEPStandard\nSHA-256\n"
TWIN, RECIPIENT, NEXT = "client-ca-cert", "client-recipient-kem", "client-next-ca"
FORGED_NAME = "CN=Testkit CA,O=Example"


def cases() -> Iterator[Planned]:
    """All of this module."""
    yield from _get_ca_cert()
    yield from _recipients()
    yield from _next_ca()


def _fetched(body: bytes, ca: Party | None = None) -> Scene:
    return client_scene("get-ca-cert", body, ca or rsa_ca())


def _given(scene: Scene, name: str, description: str, need: str, **more: Any) -> Planned:
    """A case without an answer: GetCACert's body is all there is."""
    found, told = taken(name, description, need, b"", scene=scene, **more)
    return found.without("reply"), told


def _not_given(
    scene: Scene, name: str, defect: str, why: str, because: str, need: str, twin: str, what: str
) -> Planned:
    found, told = rejected(name, defect, why, because, need, b"", scene=scene, twin=twin, description=what)
    return found.without("reply"), told


def _short(*parties: Party | KemParty) -> str:
    hashes = [hashlib.sha256(item.certificate.der).hexdigest()[:16] for item in parties if item.certificate]
    return " ".join(sorted(hashes))


def _get_ca_cert() -> Iterator[Planned]:
    ca, need, what = rsa_ca(), "client-fingerprint", "GetCACert that the client must not trust"
    good = ca.certificate.der

    def wrong(name: str, defect: str, because: str, body: bytes, at: Scene | None = None) -> Planned:
        return _not_given(at or _fetched(body), f"ca-cert-{name}", defect, "trust", because, need, TWIN, what)

    yield _given(
        _fetched(good),
        "ca-cert",
        "GetCACert with the CA's certificate alone; the fingerprint is right",
        need,
        values={"certificates": _short(ca)},
    )
    other = root("rsa:2048", "other", FORGED_NAME)
    yield wrong(
        "fingerprint",
        "The certificate is another one with the same name: its fingerprint is another (RFC 8894 section 2.2).",
        "no certificate has the fingerprint",
        other.certificate.der,
    )
    yield wrong("empty", "The body has no octets.", "neither a certificate", b"")
    yield wrong("text", "The body is text.", "neither a certificate", b"<html>Not found</html>")
    yield wrong("no-certificates", "The SignedData holds no certificate.", "no certificate", encode_degenerate())
    gone = root("ec:P-256", "ended-ca", "CN=Ended CA", (NOW - 2 * YEAR, NOW - YEAR))
    yield wrong(
        "expired",
        "The CA certificate with the right fingerprint expired a year ago.",
        "not valid now",
        b"",
        _fetched(gone.certificate.der, gone),
    )
    yield from _bags()


def _bags() -> Iterator[Planned]:
    """Certificates that come along and must be left out."""
    ca, need = kem_ca(), "client-ra-authentication"

    def left_out(name: str, description: str, extra: Party | KemParty) -> Planned:
        assert extra.certificate is not None
        body = encode_degenerate([ca.certificate.der, ra_kem().certificate.der, extra.certificate.der])  # type: ignore[union-attr]
        return _given(
            _fetched(body, ca),
            f"ca-cert-{name}",
            f"GetCACert with {description}, which is left out",
            need,
            values={"certificates": _short(ca, ra_kem())},
        )

    yield _given(
        _fetched(bag(), ca),
        "ca-cert-bag",
        "GetCACert with the CA and its RA's ML-KEM certificate",
        need,
        values={"certificates": _short(ca, ra_kem())},
    )
    device = issued("ec:P-256", "peer", "CN=other device", ca, eku=CLIENT_AUTH)
    yield left_out(
        "device", "the certificate of a device (extendedKeyUsage clientAuth), which a man in the middle added", device
    )
    yield left_out(
        "stranger",
        "a certificate that another CA with the same name signed",
        issued("ec:P-256", "stranger-ra", "CN=RA", stranger_ca(), eku=RA),
    )
    yield left_out(
        "below-device",
        "a certificate that a device's key signed",
        issued("ec:P-256", "below-device", "CN=RA", device, eku=RA),
    )
    yield left_out(
        "expired-ra",
        "an RA certificate that expired",
        issued("ec:P-256", "ended-ra", "CN=RA", ca, eku=RA, lifetime=(NOW - 2 * YEAR, NOW - YEAR)),
    )
    anything = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
    yield left_out(
        "any-usage",
        "a certificate with anyExtendedKeyUsage, which is not cmcRA",
        issued("ec:P-256", "any-usage", "CN=RA", ca, eku=anything),
    )
    unmarked = issued("ec:P-256", "unmarked-ra", "CN=RA", ca)
    yield left_out("unmarked", "a certificate without extendedKeyUsage beside an ML-KEM certificate", unmarked)
    yield _given(
        _fetched(encode_degenerate([ca.certificate.der, unmarked.certificate.der]), ca),
        "ca-cert-unmarked-alone",
        "GetCACert with a certificate without extendedKeyUsage, which may be an RA's where nothing is of ML-KEM",
        need,
        values={"certificates": _short(ca, unmarked)},
    )
    yield left_out(
        "kem-without-eku",
        "an ML-KEM certificate of this CA that has no extendedKeyUsage",
        kem_issued("kem-device", "CN=kem device", ca),
    )


def _rsa_ra() -> Party:
    return issued("rsa:2048", "ra-decryption", "CN=RSA RA", kem_ca(), usages=ENCIPHERMENT, eku=RA)


def _serial(party: Party | KemParty) -> str:
    assert party.certificate is not None
    return f"{party.certificate.serial_number:x}"


def _recipients() -> Iterator[Planned]:
    """Whom a client encrypts its request to, and that it does not fall back where it must not."""
    ca, need = kem_ca(), "client-no-fallback"

    def at(*parties: Party | KemParty, policy: str = "require-kem", caps: bytes = CAPS) -> Scene:
        certificates = [item.certificate.der for item in parties if item.certificate]
        body = encode_degenerate([ca.certificate.der, *certificates])
        return client_scene("recipient", body, ca, ("ca-caps", caps), policy=policy)

    def refused(name: str, defect: str, *parties: Party | KemParty, twin: str = RECIPIENT, **more: Any) -> Planned:
        return _not_given(
            at(_rsa_ra(), *parties, **more),
            f"recipient-{name}",
            defect,
            "recipient",
            "no ML-KEM certificate",
            need,
            twin,
            "A client that requires ML-KEM finds no usable key",
        )

    kem = {"recipient": _serial(ra_kem())}
    yield _given(
        at(_rsa_ra(), ra_kem()),
        "recipient-kem",
        "A client that requires ML-KEM chooses the ML-KEM certificate",
        need,
        values=kem,
    )
    yield _given(
        at(_rsa_ra(), ra_kem(), caps=OLD_CAPS),
        "recipient-kem-without-keyword",
        "GetCACaps, which nobody signs, does not list ML-KEM-768: the authenticated certificate outranks it",
        need,
        values=kem,
    )
    yield _given(
        at(_rsa_ra(), ra_kem(), policy=""),
        "recipient-kem-preferred",
        "A client that does not require ML-KEM prefers it",
        need,
        values=kem,
    )
    larger = ra_kem("ML-KEM-1024")
    yield _given(
        at(ra_kem(), larger),
        "recipient-largest",
        "Of two ML-KEM certificates, the larger parameter set is chosen",
        need,
        values={"recipient": _serial(larger)},
    )
    yield _given(
        at(_rsa_ra(), policy=""),
        "recipient-rsa",
        "A client that does not require ML-KEM takes the RSA certificate of a CA that has no other",
        need,
        values={"recipient": _serial(_rsa_ra())},
    )
    yield refused("none", "GetCACert has no ML-KEM certificate, although GetCACaps lists ML-KEM-768.")
    yield refused(
        "none-no-keyword",
        "GetCACert has no ML-KEM certificate, and GetCACaps lists none.",
        caps=OLD_CAPS,
        twin="client-recipient-kem-without-keyword",
    )
    yield refused(
        "without-eku",
        "The ML-KEM certificate has no extendedKeyUsage: it is a device's (cmcRA is missing).",
        ra_kem(eku=None),
    )
    yield refused(
        "client-auth", "The ML-KEM certificate has the extendedKeyUsage clientAuth, not cmcRA.", ra_kem(eku=CLIENT_AUTH)
    )
    yield refused(
        "expired", "The ML-KEM certificate expired a year ago.", ra_kem(lifetime=(NOW - 2 * YEAR, NOW - YEAR))
    )
    foreign = kem_issued("ra-ml-kem-768", "CN=Testkit RA ML-KEM-768", stranger_ca(), eku=RA)
    yield refused("other-ca", "The ML-KEM certificate was signed by another CA with the same name.", foreign)
    yield _given(
        at(_rsa_ra(), policy="no-ml-kem"),
        "recipient-no-ml-kem",
        "A client that does not implement ML-KEM takes the RSA certificate",
        need,
        values={"recipient": _serial(_rsa_ra())},
    )
    alone = at(policy="no-ml-kem")
    yield _not_given(
        alone,
        "recipient-nothing",
        "There is only the CA's P-256 key, which nobody can encrypt to.",
        "recipient",
        "no certificate has a key",
        need,
        "client-recipient-no-ml-kem",
        "A client that does not require ML-KEM finds no usable key",
    )


def _next_ca() -> Iterator[Planned]:
    """GetNextCACert is signed by the current CA's own key (RFC 8894 section 4.7.1)."""
    following = root("ec:P-256", "next-ca", "CN=Testkit CA 2,O=Example").certificate
    inside = encode_degenerate([following.der])
    base = client_scene("get-next-ca-cert", rsa_ca().certificate.der, rsa_ca())

    def body(content: bytes | None = inside, signer: Party | None = None, **more: Any) -> bytes:
        return Message((signer or rsa_ca()).signer, content, {}, **more).encode()

    def wrong(
        name: str, defect: str, why: str, because: str, sent: bytes, at: Scene | None = None, twin: str = NEXT
    ) -> Planned:
        return rejected(
            f"next-ca-{name}",
            f"{defect} (RFC 8894 section 4.7.1)",
            why,
            because,
            "client-next-ca",
            sent,
            scene=at or base,
            twin=twin,
            description="GetNextCACert that the client must not believe",
        )

    yield taken(
        "next-ca",
        "GetNextCACert signed by the current CA",
        "client-next-ca",
        body(),
        scene=base,
        values={"next-ca": hashlib.sha256(following.der).hexdigest()},
    )
    other = root("rsa:2048", "other", FORGED_NAME)
    yield wrong(
        "other-signer", "It is signed by another CA with the same name.", "signer", "not signed by", body(signer=other)
    )
    forged = Party(key("rsa:2048", "other"), rsa_ca().certificate)
    yield wrong(
        "forged",
        "It names the current CA, but is signed with another key.",
        "signature",
        "does not verify",
        body(signer=forged),
    )
    ra = issued("ec:P-256", "ra-signer", "CN=RA", rsa_ca(), eku=RA)
    with_ra = base.swapped("ca-cert", encode_degenerate([ra.certificate.der, rsa_ca().certificate.der]))
    yield taken(
        "next-ca-beside-ra",
        "GetNextCACert signed by the current CA, which has an RA for signing CertReps",
        "client-next-ca",
        body(),
        scene=with_ra,
    )
    yield wrong(
        "ra",
        "It is signed by the RA, not by the CA itself.",
        "signer",
        "not signed by",
        body(signer=ra),
        with_ra,
        "client-next-ca-beside-ra",
    )
    yield wrong(
        "signature", "One bit of the signature is changed.", "signature", "does not verify", body(signature=flipped)
    )

    def swapped(tree: Node) -> None:
        signed_data(tree)[2][1][0].content = encode_degenerate([other.certificate.der])

    yield wrong(
        "content",
        "The certificates were replaced after it was signed.",
        "signature",
        "messageDigest",
        body(tree=swapped),
    )

    def unsigned(tree: Node) -> None:
        signed_data(tree)[-1] = Node(0x31, children=[])

    yield wrong("not-signed", "There is no SignerInfo.", "malformed", "no SignerInfo", body(tree=unsigned))
    yield wrong("empty", "It holds no certificates.", "message", "no certificates", body(encode_degenerate()))
