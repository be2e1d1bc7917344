"""CRLs along a certification path (RFC 5280 section 6.3): which are used and what they say; `openssl verify` agrees."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pkix.errors import NotTrusted
from pkix.keys import certificate_hash
from pkix.paths import PathPolicy, validate_path
from pkix.revocations import MAX_CRLS
from tests.pkix.openssl import Failed, OpenSsl
from tests.pkix.test_paths import CA, DAY, END, Made, ca_extensions, end, made, middle, root
from tests.pkix.tlv import Node
from tests.world import NOW, key

HOUR = timedelta(hours=1)
CLEAN = "no CRL says that it is not revoked"
DELTA = x509.DeltaCRLIndicator(1)
PART = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)


def crl(
    by: Made,
    *revoked: Made,
    start: datetime = NOW - HOUR,
    until: datetime = NOW + HOUR,
    extension: x509.ExtensionType | None = None,
    entry: x509.ExtensionType | None = None,
    critical: bool = True,
) -> bytes:
    """A CRL, DER."""
    builder = x509.CertificateRevocationListBuilder(by.certificate.subject, start, until)
    for item in revoked:
        one = x509.RevokedCertificateBuilder(item.certificate.serial_number, start)
        if entry is not None:
            one = one.add_extension(entry, critical)
        builder = builder.add_revoked_certificate(one.build())
    builder = builder.add_extension(x509.CRLNumber(1), critical=False)
    if extension is not None:
        builder = builder.add_extension(extension, critical)
    return builder.sign(by.key, certificate_hash(by.key)).public_bytes(Encoding.DER)


def check(*crls: bytes, every: bool = True, path: Sequence[Made] | None = None, now: datetime = NOW) -> None:
    """Validate end, middle and root, or these, with CRLs."""
    certificate, *between, anchor = path or (end(), middle(), root())
    candidates = [item.der for item in between]
    policy = PathPolicy(every_crl=every)
    found = validate_path(certificate.der, candidates, [anchor.certificate], now=now, policy=policy, crls=crls)
    assert len(found) == len(between) + 2


def refused(text: str, *crls: bytes, every: bool = True, path: Sequence[Made] | None = None) -> None:
    """Assert that the path is refused, and why."""
    with pytest.raises(NotTrusted, match=text):
        check(*crls, every=every, path=path)


def test_each_certificate_is_in_none() -> None:
    check(crl(middle()), crl(root()))
    check(crl(root(), end()), crl(made("CN=stranger"), end(), middle()), crl(middle(), middle()))


def test_who_is_revoked() -> None:
    refused("the certificate of CN=end has been revoked", crl(middle(), end()), crl(root()))
    refused("the certificate of CN=middle has been revoked", crl(middle()), crl(root(), middle()))
    refused("the certificate of CN=end has been revoked", crl(middle()), crl(middle(), end()), crl(root()))
    refused("the certificate of CN=end has been revoked", crl(middle(), end()), every=False)
    hold = x509.CRLReason(x509.ReasonFlags.certificate_hold)
    refused("CN=end has been revoked", crl(middle(), end(), entry=hold, critical=False), crl(root()))


def test_a_crl_that_is_missing() -> None:
    refused(f"CN=end: {CLEAN}: there is none of its issuer")
    refused(f"CN=end: {CLEAN}: there is none of its issuer", crl(root()))
    refused(f"CN=middle: {CLEAN}: there is none of its issuer", crl(middle()))
    check(every=False)
    check(crl(root()), every=False)


def test_the_signature_of_a_crl() -> None:
    forged = crl(Made(middle().certificate, key("ec:P-256", "forger")))
    refused(f"{CLEAN}: the CRL's signature does not verify", forged, crl(root()))
    tree = Node.parse(crl(middle()))
    tree[0][1] = Node.parse(bytes.fromhex("300a06082a8648ce3d040303"))
    refused(f"{CLEAN}: a CRL cannot be read", tree.der(), crl(root()))


@pytest.mark.parametrize(
    ("start", "until", "right"),
    [
        (NOW, NOW + HOUR, True),
        (NOW - HOUR, NOW, True),
        (NOW + timedelta(seconds=1), NOW + HOUR, False),
        (NOW - HOUR, NOW - timedelta(seconds=1), False),
    ],
)
def test_the_times_of_a_crl(start: datetime, until: datetime, right: bool) -> None:
    timed = crl(middle(), start=start, until=until)
    if right:
        check(timed, crl(root()))
    else:
        refused(f"{CLEAN}: its issuer's CRL is not that of now", timed, crl(root()))
        check(timed, crl(middle()), crl(root()))


@pytest.mark.parametrize("extension", [DELTA, PART], ids=["delta", "partial"])
def test_crls_that_are_not_whole(extension: x509.ExtensionType) -> None:
    for critical in (True, False):
        partial = crl(middle(), extension=extension, critical=critical)
        refused(f"{CLEAN}: its issuer's CRL has an extension that is not supported", partial, crl(root()))


def test_entries_of_other_issuers() -> None:
    entry = x509.CertificateIssuer([x509.DirectoryName(root().certificate.subject)])
    other = crl(middle(), middle(), entry=entry)
    refused(f"{CLEAN}: its issuer's CRL has an extension that is not supported", other, crl(root()))


def test_an_issuer_that_may_sign_no_crls() -> None:
    between = made("CN=middle", root(), private=middle().key, extensions=ca_extensions(None, "keyCertSign"))
    path = (end(), between, root())
    refused(f"{CLEAN}: its issuer's keyUsage has no cRLSign", crl(middle()), crl(root()), path=path)
    free = made("CN=middle", root(), private=middle().key, extensions=CA[:1])
    check(crl(middle()), crl(root()), path=(end(), free, root()))


@pytest.mark.parametrize("wrong", [b"", b"\x30\x00", b"\x05\x00", crl(made("CN=middle"))[:-1]])
def test_garbage_is_told_of_if_there_is_nothing_better(wrong: bytes) -> None:
    check(wrong, crl(middle()), crl(root()), wrong)
    refused(f"{CLEAN}: a CRL cannot be read", wrong)


def test_too_many() -> None:
    check(*[crl(middle())] * (MAX_CRLS - 1), crl(root()))
    refused("17 CRLs; at most 16 are looked at", *[crl(middle())] * MAX_CRLS, crl(root()))


@pytest.mark.parametrize("key_type", ["rsa:2048", "ed25519", "ml-dsa-65"])
def test_crls_of_every_kind(key_type: str) -> None:
    top = made("CN=top", key_type=key_type)
    leaf = made("CN=leaf", top, extensions=END)
    check(crl(top), path=(leaf, top))
    refused("CN=leaf has been revoked", crl(top, leaf), path=(leaf, top))


@pytest.mark.parametrize("case", ["clean", "end", "middle", "missing", "late", "forged"])
def test_openssl_agrees(openssl: OpenSsl, case: str) -> None:
    forger = Made(middle().certificate, key("ec:P-256", "forger"))
    ours = {
        "clean": [crl(middle()), crl(root())],
        "end": [crl(middle(), end()), crl(root())],
        "middle": [crl(middle()), crl(root(), middle())],
        "missing": [crl(middle())],
        "late": [crl(middle(), start=NOW - DAY, until=NOW - HOUR), crl(root())],
        "forged": [crl(forger), crl(root())],
    }[case]
    pem = b"".join(x509.load_der_x509_crl(item).public_bytes(Encoding.PEM) for item in ours)
    files = [openssl.file(item.certificate.public_bytes(Encoding.PEM)) for item in (root(), middle(), end())]
    arguments = ["verify", "-attime", str(int(NOW.timestamp())), "-crl_check_all", "-CRLfile", openssl.file(pem)]
    command = [*arguments, "-CAfile", files[0], "-untrusted", files[1], files[2]]
    if case == "clean":
        openssl.run(*command)
        check(*ours)
        return
    with pytest.raises(Failed):
        openssl.run(*command)
    with pytest.raises(NotTrusted):
        check(*ours)
