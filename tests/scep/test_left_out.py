"""What a client uses of GetCACert, and what it says of the rest: servers with RA certificates of their own, such as
Microsoft's NDES, old signatures, and times (RFC 8894 sections 2.2, 3.5.2, 4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ca.authority import Authority, KeyPair
from ca.granted import usage_name
from ca.profiles import Profile
from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import Oid, algorithm, encode, wrap
from pkix.certificates import Certificate
from pkix.errors import LegacyRefused
from pkix.recipients import RsaRecipient
from pkix.signatures import NULL
from pkix.signed_data import Signer, encode_degenerate, encode_signed_data
from pkix.usages import CMC_RA, REQUEST_AGENT, key_usage
from scep.attributes import MESSAGE_TYPE, TRANSACTION_ID
from scep.ca_certificates import CaCertificates, ReplyRefused
from scep.client import Issued, Refused
from scep.next_ca import decode_next_ca
from scep_kem.config_keys import _is_usage
from tests.pkix.tlv import Node
from tests.scep import craft
from tests.world import NOW, World, authority

SIGN_CERTIFICATES = {"keyCertSign", "cRLSign", "digitalSignature"}  # as NDES's CA has it: no keyEncipherment
LEGACY = AlgorithmPolicy(legacy=True)


def pair(signer: Signer) -> KeyPair:
    return KeyPair(signer.key, x509.load_der_x509_certificate(signer.certificate.der))


def ca_pair(subject: str = "CN=Issuing CA", usages: set[str] = SIGN_CERTIFICATES, **more: Any) -> KeyPair:
    extensions = [(x509.BasicConstraints(True, None), True), (key_usage(usages), True)]
    return pair(craft.self_made("rsa:2048", subject, subject, extensions=extensions, **more))


def ra_pair(ca: KeyPair, usage: str, purposes: list[x509.ObjectIdentifier], **more: Any) -> KeyPair:
    extensions: list[Any] = [(key_usage({usage}), True)]
    if purposes:
        extensions.append((x509.ExtendedKeyUsage(purposes), False))
    subject = f"CN=RA {usage}"
    return pair(craft.self_made("rsa:2048", subject, subject, issuer=ca, extensions=extensions, **more))


def ndes(purposes: list[x509.ObjectIdentifier], **more: Any) -> Authority:
    ca = ca_pair()
    return Authority(
        ca=ca,
        ra_signer=ra_pair(ca, "digitalSignature", purposes, serial=32, **more),
        ra_decryption=ra_pair(ca, "keyEncipherment", purposes, serial=33, **more),
    )


def enrol(current: Authority) -> object:
    world = World(current=current)
    return world.device(password=world.password()).enrol()


def bag(*certificates: x509.Certificate | bytes) -> bytes:
    return encode_degenerate([item if isinstance(item, bytes) else craft.der_of(item) for item in certificates])


def read(body: bytes, ca: x509.Certificate, policy: AlgorithmPolicy | None = None) -> CaCertificates:
    return CaCertificates.decode(body, fingerprint=ca.fingerprint(hashes.SHA256()).hex(), now=NOW, policy=policy)


def reasons(found: CaCertificates) -> list[str]:
    return [str(item) for item in found.left_out]


# Which mark an RA may have

ANY = x509.ObjectIdentifier("2.5.29.37.0")
SERVER_AUTH = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")
CLIENT_AUTH = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.2")


@pytest.mark.parametrize("purposes", [[], [REQUEST_AGENT], [CMC_RA], [CLIENT_AUTH, CMC_RA]], ids=str)
def test_the_ra_of_ndes_is_used(purposes: list[x509.ObjectIdentifier]) -> None:
    assert isinstance(enrol(ndes(purposes)), Issued)


@pytest.mark.parametrize(
    ("purposes", "named"),
    [
        ([ANY], "anyExtendedKeyUsage"),
        ([SERVER_AUTH, CLIENT_AUTH], "serverAuth, clientAuth"),
        ([CLIENT_AUTH, REQUEST_AGENT], "clientAuth, certificateRequestAgent"),
    ],
)
def test_what_is_marked_for_something_else_is_named_with_its_purposes(
    purposes: list[x509.ObjectIdentifier], named: str
) -> None:
    with pytest.raises(ReplyRefused) as refusal:
        enrol(ndes(purposes))
    why = f"its extended key usage is {named}, neither cmcRA nor Certificate Request Agent alone: not an RA's"
    assert refusal.value.text == (
        "GetCACert: no certificate that we may encrypt a request to: the keyUsage of CN=Issuing CA lacks "
        f"keyEncipherment; left out: CN=RA digitalSignature ({why}), CN=RA keyEncipherment ({why})"
    )


def test_beside_an_ml_kem_certificate_the_mark_of_ndes_is_not_enough() -> None:
    ours = authority(kems=("ML-KEM-768",))
    agent = ra_pair(ours.ca, "keyEncipherment", [REQUEST_AGENT])
    body = bag(*ours.certificates(), agent.certificate)
    found = read(body, ours.ca.certificate)
    assert Certificate.of(agent.certificate) not in found.all
    assert reasons(found) == [
        "CN=RA keyEncipherment (beside one of an ML-KEM key, and its extended key usage does not say cmcRA: not an "
        "RA's)"
    ]
    alone = read(bag(ours.ca.certificate, agent.certificate), ours.ca.certificate)
    assert Certificate.of(agent.certificate) in alone.all


def test_a_stranger_s_ml_kem_certificate_takes_no_ra_away() -> None:
    """Whoever adds one that is not marked must not have the unmarked RAs of an old server dropped."""
    ca = ca_pair()
    agent = ra_pair(ca, "keyEncipherment", [REQUEST_AGENT]).certificate
    world = World(current=authority(kems=("ML-KEM-768",)))
    (kem,) = world.authority.ra_kem
    unmarked = x509.CertificateBuilder(
        ca.certificate.subject,
        ca.certificate.subject,
        kem.certificate.public_key(),
        8,
        ca.certificate.not_valid_before_utc,
        ca.certificate.not_valid_after_utc,
        [],
    ).sign(ca.key, hashes.SHA256())
    found = read(bag(ca.certificate, unmarked, agent), ca.certificate)
    assert Certificate.of(agent) in found.all
    assert [item.reason[:20] for item in found.left_out] == ["of an ML-KEM key, an"]


@pytest.mark.parametrize("mark", [REQUEST_AGENT, CMC_RA], ids=["Certificate Request Agent", "cmcRA"])
def test_no_profile_issues_the_mark_of_an_ra(mark: x509.ObjectIdentifier) -> None:
    """Whoever had it could pose as the RA."""
    assert not _is_usage(mark.dotted_string)
    asked = x509.Extension(x509.ExtendedKeyUsage.oid, False, x509.ExtendedKeyUsage([mark]))
    profile = Profile(copy_extensions=("subjectAltName", "extendedKeyUsage"))
    world = World(profile=profile)
    answer = world.device(password=world.password(), extensions=[asked]).enrol()
    assert isinstance(answer, Refused)
    assert answer.text == f"the requested extendedKeyUsage {usage_name(mark)} is not allowed"


# Whom to encrypt to


def test_a_ca_without_key_encipherment_is_a_recipient_where_nothing_was_left_out() -> None:
    ca = ca_pair().certificate
    recipient = read(bag(ca), ca).recipient()
    assert isinstance(recipient, RsaRecipient)
    assert recipient.certificate == Certificate.of(ca)


def test_a_ca_without_key_encipherment_is_a_recipient_beside_a_root_that_is_not_needed() -> None:
    root = ca_pair("CN=Root")
    ca = ca_pair("CN=Middle", issuer=root).certificate
    found = read(bag(ca, root.certificate), ca)
    assert reasons(found) == ["CN=Root (above the trusted CA)"]
    assert isinstance(found.recipient(), RsaRecipient)


@pytest.mark.parametrize("usages", [SIGN_CERTIFICATES | {"keyEncipherment"}, None])
def test_a_ca_that_may_decrypt_is_a_recipient_whatever_was_left_out(usages: set[str] | None) -> None:
    ca = ca_pair(usages=usages or SIGN_CERTIFICATES)
    stale = ra_pair(ca, "keyEncipherment", [], lifetime=(NOW - timedelta(days=9), NOW - timedelta(days=1)))
    found = read(bag(ca.certificate, stale.certificate), ca.certificate)
    if usages:
        assert isinstance(found.recipient(), RsaRecipient)
        return
    with pytest.raises(ReplyRefused, match=r"lacks keyEncipherment; left out: CN=RA keyEncipherment \(not valid now"):
        found.recipient()


def test_an_unreadable_certificate_may_have_been_the_one_for_encipherment() -> None:
    ca = ca_pair()
    found = read(bag(ca.certificate, bytes.fromhex("3003020101")), ca.certificate)
    with pytest.raises(ReplyRefused, match=r"lacks keyEncipherment; left out: a certificate \(cannot be read"):
        found.recipient()


# Old signatures


def with_sha_1(ca: KeyPair, certificate: x509.Certificate) -> bytes:
    """DER of the certificate with sha1WithRSAEncryption, which no builder makes any more."""
    assert isinstance(ca.key, rsa.RSAPrivateKey)
    tree = Node.parse(craft.der_of(certificate))
    scheme = Node.parse(encode(algorithm(oids.SHA1_WITH_RSA, NULL)))
    members = tree[0].children or []
    members[2] = scheme
    signature = ca.key.sign(tree[0].der(), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - to be refused
    tree.children = [tree[0], scheme, Node.parse(wrap(0x03, b"\0" + signature))]
    return tree.der()


def test_sha_1_in_certificates_is_for_the_legacy_policy() -> None:
    ca = ca_pair()
    ra = with_sha_1(ca, ra_pair(ca, "keyEncipherment", []).certificate)
    body = bag(ca.certificate, ra)
    assert reasons(read(body, ca.certificate)) == [
        "CN=RA keyEncipherment (not below the trusted CA: its signature: digest SHA-1 is accepted only under the "
        "legacy policy)"
    ]
    with pytest.raises(ReplyRefused, match="no certificate that we may encrypt") as refusal:
        read(body, ca.certificate).recipient()
    assert refusal.value.legacy
    assert ra in [item.der for item in read(body, ca.certificate, LEGACY).all]


@pytest.mark.parametrize("policy", [AlgorithmPolicy(), LEGACY], ids=["modern", "legacy"])
def test_sha_1_in_the_certificate_issued_is_for_the_legacy_policy(policy: AlgorithmPolicy) -> None:
    ca = ca_pair()
    issued = Certificate.decode(with_sha_1(ca, ra_pair(ca, "digitalSignature", [CLIENT_AUTH]).certificate))
    why_not = read(bag(ca.certificate), ca.certificate, policy).why_not_issued(issued)
    if policy.legacy:
        assert why_not is None
    else:
        assert isinstance(why_not, LegacyRefused)
        assert why_not.fact == "its signature: digest SHA-1 is accepted only under the legacy policy"


# The fingerprint


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), craft.SHA1], ids=["SHA-256", "SHA-1"])
def test_a_fingerprint_of_an_ra_is_refused_and_its_issuer_named(algorithm: hashes.HashAlgorithm) -> None:
    ours = ndes([REQUEST_AGENT])
    assert ours.ra_signer is not None
    fingerprint = ours.ra_signer.certificate.fingerprint(algorithm).hex()
    with pytest.raises(ReplyRefused) as refusal:
        CaCertificates.decode(encode_degenerate(ours.certificates()), fingerprint=fingerprint, now=NOW)
    assert refusal.value.text == (
        "GetCACert: the fingerprint is that of CN=RA digitalSignature, which is not a CA's certificate; its issuer is "
        "CN=Issuing CA, whose fingerprint is the one to give"
    )


def test_without_a_fingerprint_no_ra_becomes_the_ca() -> None:
    ra = ra_pair(ca_pair(), "digitalSignature", []).certificate
    with pytest.raises(ReplyRefused, match="holds no certificate of a CA; there came CN=RA digitalSignature"):
        CaCertificates.decode(bag(ra), fingerprint=None, now=NOW)


@pytest.mark.parametrize("pinned", [True, False])
def test_a_ca_without_basic_constraints_names_itself_as_its_issuer(pinned: bool) -> None:
    old = pair(craft.self_made("rsa:2048", "CN=Old root", "old root")).certificate
    fingerprint = old.fingerprint(hashes.SHA256()).hex() if pinned else None
    assert CaCertificates.decode(bag(old), fingerprint=fingerprint, now=NOW).ca == Certificate.of(old)


def test_a_fingerprint_of_a_certificate_that_cannot_be_read_is_told_as_such() -> None:
    junk = bytes.fromhex("3003020101")
    digest = hashes.Hash(hashes.SHA256())
    digest.update(junk)
    fingerprint = digest.finalize().hex()
    with pytest.raises(ReplyRefused, match=rf"received: .*{fingerprint} \(cannot be read: "):
        CaCertificates.decode(bag(ca_pair().certificate, junk), fingerprint=fingerprint, now=NOW)


# Times, and whose clock


@pytest.mark.parametrize("year", [1970, 2051])
def test_a_device_that_does_not_know_the_time_is_told_what_its_clock_says(year: int) -> None:
    ca, now = ca_pair().certificate, NOW.replace(year=year)
    with pytest.raises(ReplyRefused) as refusal:
        CaCertificates.decode(bag(ca), fingerprint=None, now=now)
    begin, end = ca.not_valid_before_utc, ca.not_valid_after_utc
    assert refusal.value.text == (
        f"GetCACert: the trusted CA certificate is not valid now: it is from {begin:%Y-%m-%d %H:%M} to "
        f"{end:%Y-%m-%d %H:%M}, and the clock of this device says {now:%Y-%m-%d %H:%M} UTC"
    )


# What a CA may sign


@pytest.mark.parametrize(
    ("room", "usages", "kept"),
    [
        (None, SIGN_CERTIFICATES, True),
        (1, SIGN_CERTIFICATES, True),
        (0, SIGN_CERTIFICATES, False),
        (None, {"cRLSign"}, False),
    ],
    ids=["any number below", "one below", "none below", "no keyCertSign"],
)
def test_a_ca_that_may_sign_no_ca_makes_none(room: int | None, usages: set[str], kept: bool) -> None:
    root = ca_pair("CN=Root")
    extensions = [(x509.BasicConstraints(True, room), True), (key_usage(usages), True)]
    middle = pair(craft.self_made("rsa:2048", "CN=Middle", "middle", extensions=extensions, issuer=root, serial=2))
    below = ca_pair("CN=Below", issuer=middle, serial=3)
    ra = ra_pair(below, "keyEncipherment", [], serial=4)
    found = read(bag(*(item.certificate for item in (root, middle, below, ra))), root.certificate)
    assert (Certificate.of(ra.certificate) in found.all) == kept
    assert found.ca == Certificate.of((below if kept else middle).certificate)
    if not kept:
        assert "may not sign it (keyUsage, pathLenConstraint)" in reasons(found)[0]


def test_room_for_one_ca_below_is_not_room_for_two() -> None:
    extensions = [(x509.BasicConstraints(True, 1), True), (key_usage(SIGN_CERTIFICATES), True)]
    root = pair(craft.self_made("rsa:2048", "CN=Root", "root", extensions=extensions))
    first = ca_pair("CN=First", issuer=root, serial=2)
    second = ca_pair("CN=Second", issuer=first, serial=3)
    found = read(bag(*(item.certificate for item in (root, first, second))), root.certificate)
    assert found.all == (Certificate.of(root.certificate), Certificate.of(first.certificate))


# What each is for


def test_each_certificate_has_a_role() -> None:
    root = ca_pair("CN=Root")
    ca = ca_pair("CN=Middle", issuer=root)
    signs, decrypts = (ra_pair(ca, usage, []) for usage in ("digitalSignature", "keyEncipherment"))
    both = pair(craft.self_made("rsa:2048", "CN=RA", "RA for both", issuer=ca))
    all_ = [root.certificate, ca.certificate, signs.certificate, decrypts.certificate, both.certificate]
    found = read(bag(*all_), root.certificate)
    assert [found.role(item) for item in found.all] == [
        "CA above",
        "CA",
        "RA, signs answers",
        "RA, decrypts requests",
        "RA, signs answers and decrypts requests",
    ]


# GetNextCACert


def test_what_is_left_out_of_get_next_ca_cert_is_named() -> None:
    ca = ca_pair()
    other = ra_pair(ca_pair("CN=Other CA"), "digitalSignature", [])
    body = encode_signed_data(
        bag(other.certificate),
        [],
        Signer(ca.key, Certificate.of(ca.certificate)),
        hashes.SHA256(),
        certificates=[],
        now=NOW,
    )
    with pytest.raises(
        ReplyRefused, match=r"no certificates; left out: CN=RA digitalSignature \(its issuer is CN=Other CA"
    ):
        decode_next_ca(body, read(bag(ca.certificate), ca.certificate), AlgorithmPolicy())


def in_the_old_form(
    ca: KeyPair, *beside: x509.Certificate | bytes, attributes: Sequence[tuple[Oid, bytes]] = ()
) -> bytes:
    """SignedData without content, with the certificates where the signature does not cover them."""
    certificates = [item if isinstance(item, bytes) else craft.der_of(item) for item in (ca.certificate, *beside)]
    signer = Signer(ca.key, Certificate.of(ca.certificate))
    return encode_signed_data(None, attributes, signer, hashes.SHA256(), certificates=certificates, now=NOW)


LATER = (
    NOW,
    NOW + timedelta(days=30),
)  # begins after the current CA's and ends with it, as RFC 4210 section 4.4 has it


def next_pair(
    ca: KeyPair | None = None,
    subject: str = "CN=Issuing CA",
    lifetime: tuple[datetime, datetime] = LATER,
    serial: int = 9,
) -> KeyPair:
    """The CA with its new key: self-signed, or certified by the key before."""
    extensions = [(x509.BasicConstraints(True, None), True), (key_usage(SIGN_CERTIFICATES), True)]
    made = craft.self_made(
        "rsa:2048", subject, "next key", extensions=extensions, issuer=ca, serial=serial, lifetime=lifetime
    )
    return pair(made)


def following(ca: KeyPair, body: bytes, fingerprint: str | None = None) -> list[bytes]:
    found = decode_next_ca(body, read(bag(ca.certificate), ca.certificate), AlgorithmPolicy(), fingerprint=fingerprint)
    return [item.der for item in found]


def test_the_old_form_of_get_next_ca_cert_proves_nothing() -> None:
    """Whoever is on the way can take an answer of the CA's and put another certificate beside it."""
    ca, new = ca_pair(), next_pair()
    sha256 = new.certificate.fingerprint(hashes.SHA256()).hex()
    with pytest.raises(ReplyRefused) as refusal:
        following(ca, in_the_old_form(ca, new.certificate))
    assert "the signature does not cover them" in refusal.value.text
    assert refusal.value.text.endswith(f"; received: {sha256} (CN=Issuing CA)")


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), craft.SHA1], ids=["SHA-256", "SHA-1"])
def test_the_old_form_is_good_for_the_ca_whose_fingerprint_is_known(algorithm: hashes.HashAlgorithm) -> None:
    ca, new, other = ca_pair(), next_pair(), ca_pair("CN=Other CA")
    ra = ra_pair(new, "keyEncipherment", []).certificate
    body = in_the_old_form(ca, other.certificate, new.certificate, ra)
    fingerprint = new.certificate.fingerprint(algorithm).hex()
    assert following(ca, body, fingerprint) == [craft.der_of(new.certificate), craft.der_of(ra)]
    with pytest.raises(ReplyRefused, match=r"GetNextCACert: no certificate has the fingerprint 0+"):
        following(ca, body, "0" * 64)


DAY = timedelta(days=1)
BESIDE: dict[str, Callable[[KeyPair], list[KeyPair]]] = {
    "the next CA, self-signed": lambda _ca: [next_pair()],
    "the next CA, certified by this one": lambda ca: [next_pair(ca), next_pair(serial=10)],
    "the previous key, certified by this one": lambda ca: [next_pair(ca, lifetime=(NOW - 400 * DAY, NOW + 20 * DAY))],
    "another CA below": lambda ca: [next_pair(ca, "CN=Department CA")],
    "a stranger": lambda _ca: [ca_pair("CN=Other CA")],
}


@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)
def test_nobody_that_stands_there_is_the_next_ca_by_that(beside: Callable[[KeyPair], list[KeyPair]]) -> None:
    ca = ca_pair()
    with pytest.raises(ReplyRefused, match="the signature does not cover them"):
        following(ca, in_the_old_form(ca, *(item.certificate for item in beside(ca))))


def test_with_nothing_beside_it_there_is_no_next_ca() -> None:
    ca = ca_pair()
    with pytest.raises(ReplyRefused, match="GetNextCACert carries no certificates"):
        following(ca, in_the_old_form(ca))


@pytest.mark.parametrize("attribute", ["messageType", "transactionID", "transactionID twice", "content"])
def test_the_signature_of_a_cert_rep_is_none_of_get_next_ca_cert(attribute: str) -> None:
    """Its certificates can be exchanged by anybody; the CA meant something else by its signature."""
    ca = ca_pair()
    text = wrap(0x13, b"3")
    attributes = {
        "messageType": [(MESSAGE_TYPE, text)],
        "transactionID": [(TRANSACTION_ID, text)],
        "transactionID twice": [(TRANSACTION_ID, text), (TRANSACTION_ID, text)],
        "content": [(MESSAGE_TYPE, text)],
    }[attribute]
    new = next_pair(ca).certificate
    body = in_the_old_form(ca, new, attributes=attributes)
    if attribute == "content":
        signer = Signer(ca.key, Certificate.of(ca.certificate))
        body = encode_signed_data(bag(new), attributes, signer, hashes.SHA256(), certificates=[], now=NOW)
    with pytest.raises(ReplyRefused, match=r"^GetNextCACert: the answer is a pkiMessage, not certificates"):
        following(ca, body)


def test_what_an_ra_signed_needs_the_fingerprint() -> None:
    """OpenXPKI's does, as older drafts allowed."""
    ca, new = ca_pair(), next_pair()
    ra = ra_pair(ca, "digitalSignature", [], serial=5)
    signer = Signer(ra.key, Certificate.of(ra.certificate))
    body = encode_signed_data(bag(new.certificate), [], signer, hashes.SHA256(), certificates=[], now=NOW)
    known = read(bag(ca.certificate, ra.certificate), ca.certificate)
    with pytest.raises(ReplyRefused, match=r"not signed by the current CA's own key .*; give the fingerprint"):
        decode_next_ca(body, known, AlgorithmPolicy())
    sha256 = new.certificate.fingerprint(hashes.SHA256()).hex()
    assert decode_next_ca(body, known, AlgorithmPolicy(), fingerprint=sha256) == (Certificate.of(new.certificate),)
