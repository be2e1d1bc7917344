"""Certification paths (RFC 5280 section 6): what leads to a trust anchor and what does not; `openssl verify` agrees."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from kem.keys import EncapsulationKey, encode_public_key
from kem.parameters import by_name
from pkix.algorithms import AlgorithmPolicy
from pkix.certificate_builder import Contents, encode_certificate
from pkix.certificates import Certificate
from pkix.errors import Malformed, NotTrusted
from pkix.keys import certificate_hash
from pkix.paths import PathPolicy, validate_path
from pkix.signatures import SigningKey
from pkix.usages import CMC_RA, key_usage
from tests.pkix.forge import algorithm, small_rsa_key
from tests.pkix.openssl import Failed, OpenSsl
from tests.pkix.tlv import Node
from tests.world import NOW, key, name

POLICY = PathPolicy()
DAY = timedelta(days=1)
CLIENT_AUTH = x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH
Extensions = Sequence[tuple[x509.ExtensionType, bool]]


@dataclass(frozen=True)
class Made:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: SigningKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def ca_extensions(path_length: int | None = None, *usages: str) -> list[tuple[x509.ExtensionType, bool]]:
    """basicConstraints and keyUsage of a CA."""
    return [
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (key_usage(usages or ("keyCertSign", "cRLSign")), True),
    ]


CA = ca_extensions()
END: Extensions = [(key_usage({"digitalSignature"}), True)]
_SERIALS = itertools.count(1000)


def made(
    subject: str,
    by: Made | None = None,
    *,
    extensions: Extensions = CA,
    key_type: str = "ec:P-256",
    private: SigningKey | None = None,
    start: datetime = NOW - DAY,
    end: datetime = NOW + DAY,
    issuer: str | None = None,
    digest: hashes.HashAlgorithm | None = None,
) -> Made:
    """A certificate of `by`, or self-signed."""
    private = private or key(key_type, subject)
    signing = by.key if by else private
    builder = x509.CertificateBuilder(
        name(issuer) if issuer else by.certificate.subject if by else name(subject),
        name(subject),
        private.public_key(),
        next(_SERIALS),
        start,
        end,
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    return Made(builder.sign(signing, digest or certificate_hash(signing)), private)


@functools.cache
def root() -> Made:
    """The trust anchor."""
    return made("CN=root")


@functools.cache
def middle() -> Made:
    """A CA below it."""
    return made("CN=middle", root())


@functools.cache
def end() -> Made:
    """Somebody below that."""
    return made("CN=end", middle(), extensions=END)


def path(
    certificate: Made | None = None,
    *candidates: Made,
    anchors: Sequence[Made] | None = None,
    now: datetime = NOW,
    policy: PathPolicy = POLICY,
    **more: object,
) -> list[str]:
    """The common names on the path."""
    found = validate_path(
        (certificate or end()).der,
        [item.der for item in candidates] if certificate else [middle().der],
        [item.certificate for item in (anchors if anchors is not None else [root()])],
        now=now,
        policy=policy,
        **more,  # type: ignore[arg-type]
    )
    return [item.subject.rfc4514_string().removeprefix("CN=") for item in found]


def refused(text: str, *arguments: Made, **more: object) -> None:
    """Assert that there is no path, and why."""
    with pytest.raises(NotTrusted, match=text):
        path(*arguments, **more)  # type: ignore[arg-type]


def test_from_the_end_to_the_anchor() -> None:
    assert path() == ["end", "middle", "root"]
    assert path(made("CN=direct", root(), extensions=END)) == ["direct", "root"]


def test_candidates_in_any_order_with_strangers_and_garbage() -> None:
    lowest = made("CN=lowest", middle())
    leaf = made("CN=leaf", lowest, extensions=END)
    for candidates in itertools.permutations([middle(), lowest, made("CN=stranger")]):
        assert path(leaf, *candidates) == ["leaf", "lowest", "middle", "root"]
    garbage = [b"", b"\x30\x00", leaf.der[:-1], middle().der, middle().der, lowest.der, leaf.der]
    found = validate_path(leaf.der, garbage, [root().certificate], now=NOW, policy=POLICY)
    assert [item.subject for item in found] == [name(f"CN={who}") for who in ("leaf", "lowest", "middle", "root")]


def test_a_trust_anchor_is_trusted_itself() -> None:
    assert path(root(), policy=PathPolicy(usage="keyCertSign")) == ["root"]
    assert path(end(), anchors=[end()]) == ["end"]
    assert path(end(), middle(), anchors=[middle(), root()]) == ["end", "middle"]


def test_the_right_one_of_anchors_with_one_name() -> None:
    other = made("CN=root", private=key("ec:P-256", "other root"))
    assert path(end(), middle(), anchors=[other, root()]) == ["end", "middle", "root"]
    refused("the certificate of CN=middle's signature does not verify", end(), middle(), anchors=[other])


def test_the_right_one_of_candidates_with_one_name() -> None:
    """A CA whose first certificate has expired, or that is another's."""
    old = made("CN=middle", root(), private=middle().key, start=NOW - 9 * DAY, end=NOW - 8 * DAY)
    other = made("CN=middle", root(), private=key("ec:P-256", "other middle"))
    assert path(end(), old, other, middle()) == ["end", "middle", "root"]


@pytest.mark.parametrize("key_type", ["rsa:2048", "ec:P-384", "ed25519", "ml-dsa-44", "ml-dsa-65"])
def test_signatures_of_every_kind(key_type: str) -> None:
    top = made("CN=top", key_type=key_type)
    below = made("CN=below", top, key_type=key_type)
    leaf = made("CN=leaf", below, extensions=END)
    assert path(leaf, below, anchors=[top]) == ["leaf", "below", "top"]
    if key_type.startswith("ml-dsa"):
        refused("ML-DSA is not enabled", leaf, below, anchors=[top], policy=PathPolicy(AlgorithmPolicy(ml_dsa=False)))


@pytest.mark.parametrize("parameter_set", ["ML-KEM-512", "ML-KEM-768"])
def test_the_end_may_have_an_ml_kem_key(parameter_set: str) -> None:
    """Of whatever set: the key is for whoever uses it to check."""
    kind = by_name(parameter_set)
    spki = encode_public_key(EncapsulationKey(kind, bytes(kind.encapsulation_key_length)))
    contents = Contents(
        serial_number=9,
        issuer=name("CN=middle").public_bytes(),
        subject=name("CN=kem").public_bytes(),
        spki=spki,
        not_before=NOW - DAY,
        not_after=NOW + DAY,
        extensions=[x509.Extension(x509.KeyUsage.oid, True, key_usage({"keyEncipherment"}))],
    )
    der = encode_certificate(contents, middle().key)
    policy = PathPolicy(usage="keyEncipherment")
    assert len(validate_path(der, [middle().der], [root().certificate], now=NOW, policy=policy)) == 3


@pytest.mark.parametrize(("moment", "right"), [(-1, False), (0, True), (1, True)])
def test_6_1_3_a_2_valid_from(moment: int, right: bool) -> None:
    start = NOW + timedelta(seconds=-moment)
    for who, arguments in _three(start=start).items():
        if right:
            path(*arguments[:2], anchors=arguments[2:])
        else:
            refused(f"the certificate of CN={who} is not valid before", *arguments[:2], anchors=arguments[2:])


@pytest.mark.parametrize(("moment", "right"), [(-1, False), (0, True), (1, True)])
def test_6_1_3_a_2_valid_until(moment: int, right: bool) -> None:
    for who, arguments in _three(end=NOW + timedelta(seconds=moment)).items():
        if right:
            path(*arguments[:2], anchors=arguments[2:])
        else:
            refused(f"the certificate of CN={who} has expired on", *arguments[:2], anchors=arguments[2:])


def _three(**wrong: object) -> dict[str, tuple[Made, Made, Made]]:
    """Three paths of end, CA and anchor; in each, one certificate, by its name, has this."""
    top = made("CN=top", **wrong)  # type: ignore[arg-type]
    below = made("CN=middle", top)
    return {
        "top": (made("CN=end", below, extensions=END), below, top),
        "middle": (end(), made("CN=middle", root(), private=middle().key, **wrong), root()),  # type: ignore[arg-type]
        "end": (made("CN=end", middle(), extensions=END, **wrong), middle(), root()),  # type: ignore[arg-type]
    }


def test_6_1_3_a_1_every_signature_counts() -> None:
    forged = made("CN=end", Made(middle().certificate, key("ec:P-256", "forger")), extensions=END)
    refused("the certificate of CN=end's signature does not verify", forged, middle())
    between = made("CN=middle", Made(root().certificate, key("ec:P-256", "forger")), private=middle().key)
    refused("the certificate of CN=middle's signature does not verify", end(), between)


def test_6_1_3_a_4_names_chain() -> None:
    """The key alone is not enough."""
    stray = made("CN=end", middle(), extensions=END, issuer="CN=medium")
    refused("the certificate of CN=end was issued by CN=medium, who is not trusted here", stray, middle())


def test_7_1_names_chain_as_they_compare() -> None:
    assert path(made("CN=end", middle(), extensions=END, issuer="CN=MIDDLE"), middle())[1:] == ["middle", "root"]


def test_an_issuer_that_is_missing() -> None:
    refused("the certificate of CN=end was issued by CN=middle, who is not trusted here", end())
    refused("the certificate of CN=root was issued by CN=root, who is not trusted", end(), middle(), root(), anchors=[])


def test_6_1_4_k_an_issuer_is_a_ca() -> None:
    for extensions in ([], [(x509.BasicConstraints(ca=False, path_length=None), True)]):
        device = made("CN=device", root(), extensions=extensions)
        refused("CN=device is not that of a CA", made("CN=end", device, extensions=END), device)
        alone = made("CN=device", extensions=extensions)
        refused("CN=device is not that of a CA", made("CN=end", alone, extensions=END), anchors=[alone])


def test_6_1_4_n_an_issuer_may_sign_certificates() -> None:
    between = made("CN=middle", root(), private=middle().key, extensions=ca_extensions(None, "cRLSign"))
    refused("CN=middle has a keyUsage without keyCertSign", end(), between)
    free = made("CN=middle", root(), private=middle().key, extensions=CA[:1])
    assert path(end(), free) == ["end", "middle", "root"]


@pytest.mark.parametrize("length", [0, 1, 2])
def test_6_1_4_m_the_length_of_a_path(length: int) -> None:
    top = made("CN=top", extensions=ca_extensions(length))
    first = made("CN=first", top)
    second = made("CN=second", first)
    leaf = made("CN=leaf", second, extensions=END)
    assert path(made("CN=other", top, extensions=END), anchors=[top]) == ["other", "top"]
    if length < 2:
        text = f"CN=top has a pathLenConstraint of {length}, and 2 CAs come after it"
        refused(text, leaf, second, first, anchors=[top])
    else:
        assert len(path(leaf, second, first, anchors=[top])) == 4


def test_6_1_4_m_of_every_ca() -> None:
    first = made("CN=first", root(), extensions=ca_extensions(0))
    second = made("CN=second", first)
    leaf = made("CN=leaf", second, extensions=END)
    refused("CN=first has a pathLenConstraint of 0, and 1 CAs come after it", leaf, second, first)


def test_6_1_4_l_a_new_key_of_a_ca_does_not_count() -> None:
    """Self-issued: a rollover certificate."""
    old = made("CN=rolling", extensions=ca_extensions(0))
    new = made("CN=rolling", old, private=key("ec:P-256", "new"))
    leaf = made("CN=leaf", new, extensions=END)
    assert path(leaf, new, anchors=[old]) == ["leaf", "rolling", "rolling"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), r"supported: 1\.2\.3\.4"),
        (x509.PolicyConstraints(0, None), r"supported: 2\.5\.29\.36"),
        (x509.InhibitAnyPolicy(0), r"supported: 2\.5\.29\.54"),
    ],
)
def test_6_1_4_o_critical_extensions_that_are_not_known(value: x509.ExtensionType, text: str) -> None:
    for wrong in (True, False):
        between = made("CN=middle", root(), private=middle().key, extensions=[*CA, (value, wrong)])
        leaf = made("CN=end", middle(), extensions=[*END, (value, wrong)])
        if wrong:
            refused(f"CN=middle has a critical extension that is not {text}", end(), between)
            refused(f"CN=end has a critical extension that is not {text}", leaf, middle())
        else:
            assert len(path(end(), between)) == len(path(leaf, middle())) == 3


@pytest.mark.parametrize("critical", [True, False])
def test_6_1_4_g_name_constraints(critical: bool) -> None:
    def under(value: x509.NameConstraints) -> Made:
        return made("CN=middle", root(), private=middle().key, extensions=[*CA, (value, critical)])

    value = x509.NameConstraints([x509.DirectoryName(name("O=Example"))], None)
    refused("CN=middle has name constraints: directoryName CN=end is outside", end(), under(value))
    assert len(path(end(), under(x509.NameConstraints([x509.DirectoryName(name("CN=END"))], None)))) == 3
    assert len(path(end(), under(x509.NameConstraints([x509.DNSName("example")], None)))) == 3
    leaf = made("CN=end", middle(), extensions=[*END, (value, True)])
    refused("CN=end has a critical extension that is not supported", leaf, middle())


def test_the_usage_of_the_key() -> None:
    refused("CN=end has a keyUsage without keyEncipherment", policy=PathPolicy(usage="keyEncipherment"))
    assert path(policy=PathPolicy(usage=None)) == ["end", "middle", "root"]
    assert path(made("CN=free", root(), extensions=[])) == ["free", "root"]


@pytest.mark.parametrize("purposes", [None, [CLIENT_AUTH], [x509.oid.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]])
def test_an_ra_has_its_purpose(purposes: list[x509.ObjectIdentifier] | None) -> None:
    policy = PathPolicy(purposes=frozenset({CMC_RA}))
    more: Extensions = [] if purposes is None else [(x509.ExtendedKeyUsage(purposes), False)]
    device = made("CN=device", root(), extensions=[*END, *more])
    assert path(device) == ["device", "root"]
    refused(r"CN=device has no extendedKeyUsage with 1\.3\.6\.1\.5\.5\.7\.3\.28", device, policy=policy)
    ra = made("CN=ra", root(), extensions=[*END, (x509.ExtendedKeyUsage([CLIENT_AUTH, CMC_RA]), True)])
    assert path(ra, policy=policy) == ["ra", "root"]


def test_what_has_been_revoked() -> None:
    for who in (end(), middle(), root()):
        view = Certificate.of(who.certificate)
        common = view.issuer, view.serial_number
        refused(
            f"certificate of {who.certificate.subject.rfc4514_string()} has been revoked", revoked=frozenset({common})
        )
        assert path(revoked=frozenset({(view.issuer, 5), (b"other", view.serial_number)}))


def test_weak_keys_and_digests() -> None:
    top = made("CN=top", private=small_rsa_key())
    refused("CN=top: RSA key of 1024 bits", made("CN=end", top, extensions=END), anchors=[top])
    rsa_root = made("CN=rsa", key_type="rsa:2048")
    assert isinstance(rsa_root.key, rsa.RSAPrivateKey)
    old = Made(_sha1(rsa_root), key("ec:P-256", "sha1"))
    refused("SHA-1 is accepted only under the legacy policy", old, anchors=[rsa_root])
    legacy = PathPolicy(AlgorithmPolicy(legacy=True))
    assert path(old, anchors=[rsa_root], policy=legacy) == ["sha1", "rsa"]


def _sha1(by: Made) -> x509.Certificate:
    """A certificate with sha1WithRSAEncryption, which no builder makes any more."""
    template = Node.parse(made("CN=sha1", by, extensions=END).der)
    scheme = Node.parse(algorithm(x509.ObjectIdentifier("1.2.840.113549.1.1.5"), b"\x05\x00"))
    template[0][2] = template[1] = scheme
    assert isinstance(by.key, rsa.RSAPrivateKey)
    signature = by.key.sign(template[0].der(), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - to be refused
    template[2].content = b"\x00" + signature
    return x509.load_der_x509_certificate(template.der())


def test_4_1_1_2_the_two_algorithms_are_one() -> None:
    tree = Node.parse(end().der)
    tree[0][2] = Node.parse(algorithm(x509.ObjectIdentifier("1.2.840.10045.4.3.3")))
    assert isinstance(middle().key, ec.EllipticCurvePrivateKey)
    tree[2].content = b"\x00" + middle().key.sign(tree[0].der(), ec.ECDSA(hashes.SHA256()))
    with pytest.raises(NotTrusted, match="its two signature algorithms differ"):
        validate_path(tree.der(), [middle().der], [root().certificate], now=NOW, policy=POLICY)


def test_a_signature_is_whole_octets() -> None:
    """One unused bit, which is zero as DER wants it."""
    even = next(leaf for leaf in (made("CN=end", middle(), extensions=END) for _ in range(64)) if not leaf.der[-1] % 2)
    tree = Node.parse(even.der)
    tree[2].content = b"\x01" + tree[2].content[1:]
    with pytest.raises(NotTrusted, match="the signature is not a whole number of octets"):
        validate_path(tree.der(), [middle().der], [root().certificate], now=NOW, policy=POLICY)


def test_the_text_is_of_the_path_that_came_furthest() -> None:
    upper = made("CN=upper", root(), end=NOW - DAY / 2)
    good = made("CN=middle", upper, private=middle().key)
    bad = made("CN=middle", upper, private=middle().key, extensions=[])
    for candidates in itertools.permutations([upper, good, bad]):
        refused("the certificate of CN=upper has expired", end(), *candidates)


def test_a_loop_ends() -> None:
    """Two CAs that certify each other."""
    one, two = made("CN=one"), made("CN=two")
    crossed = [made("CN=one", two, private=one.key), made("CN=two", one, private=two.key)]
    refused("CN=two was issued by CN=one, who is not trusted", made("CN=leaf", one, extensions=END), *crossed)
    refused("CN=one was issued by CN=one, who is not trusted", made("CN=leaf", one, extensions=END), one)


@pytest.mark.parametrize("most", [2, 3, 4])
def test_the_policy_s_length(most: int) -> None:
    policy = PathPolicy(max_length=most)
    if most < 3:
        refused("CN=middle is number 2 of the path, and no more are allowed", policy=policy)
    else:
        assert len(path(policy=policy)) == 3


def test_a_flood_of_candidates() -> None:
    strangers = [made("CN=stranger", private=key("ec:P-256", "stranger")) for _ in range(31)]
    assert len(path(end(), *strangers, middle())) == 3
    refused("33 certificates came along; at most 32 are looked at", end(), *strangers, middle(), strangers[0])


def test_a_flood_of_issuers_with_one_name() -> None:
    """Each level has so many that their combinations are countless."""
    lowest = [made("CN=low", root(), private=key("ec:P-256", f"low {number}")) for number in range(4)]
    levels = [lowest]
    for level in range(3):
        above = levels[-1]
        name_of = f"CN=level {level}"
        levels.append([made(name_of, above[0], private=key("ec:P-256", f"{level} {number}")) for number in range(4)])
    leaf = made("CN=leaf", levels[-1][0], extensions=END)
    flat = [item for level in reversed(levels) for item in reversed(level)]
    assert len(path(leaf, *flat)) == 6
    refused(
        "no path to a trust anchor within 5 signatures",
        leaf,
        *flat,
        policy=dataclasses.replace(POLICY, max_signatures=5),
    )


@pytest.mark.parametrize("wrong", [b"", b"\x30\x00", b"\x30\x80", b"\x00" * 9])
def test_a_certificate_that_is_none(wrong: bytes) -> None:
    for der in (wrong, end().der + wrong if wrong else end().der[:-1]):
        with pytest.raises(Malformed, match="a certificate cannot be read"):
            validate_path(der, [], [root().certificate], now=NOW, policy=POLICY)


def cases() -> dict[str, tuple[bool, tuple[Made, ...]]]:
    """Whether a certificate is good, the certificate, and its CAs up to the anchor."""
    others = {
        f"{what} {who}": (False, found) for what, wrong in _TIMES.items() for who, found in _three(**wrong).items()
    }
    device = made("CN=device", root(), extensions=END)
    short = made("CN=short", extensions=ca_extensions(0))
    below = made("CN=below", short)
    no_sign = made("CN=middle", root(), private=middle().key, extensions=ca_extensions(None, "cRLSign"))
    unknown = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)
    return others | {
        "good": (True, (end(), middle(), root())),
        "signature": (
            False,
            (made("CN=x", Made(middle().certificate, key("ec:P-256", "forger")), extensions=END), middle(), root()),
        ),
        "no CA": (False, (made("CN=x", device, extensions=END), device, root())),
        "no keyCertSign": (False, (end(), no_sign, root())),
        "pathLen": (False, (made("CN=x", below, extensions=END), below, short)),
        "pathLen kept": (True, (made("CN=x", short, extensions=END), short)),
        "critical": (False, (made("CN=x", middle(), extensions=[*END, unknown]), middle(), root())),
        "no issuer": (False, (end(), root())),
    }


_TIMES: dict[str, dict[str, object]] = {"early": {"start": NOW + DAY / 2}, "late": {"end": NOW - DAY / 2}}


@pytest.mark.parametrize("case", cases())
def test_openssl_agrees(openssl: OpenSsl, case: str) -> None:
    right, (certificate, *between, anchor) = cases()[case]
    pem = [item.certificate.public_bytes(Encoding.PEM) for item in (certificate, anchor)]
    bundle = b"".join(item.certificate.public_bytes(Encoding.PEM) for item in between)
    arguments = ["verify", "-attime", str(int(NOW.timestamp())), "-CAfile", openssl.file(pem[1])]
    arguments += ["-untrusted", openssl.file(bundle)] if between else []
    try:
        openssl.run(*arguments, openssl.file(pem[0]))
        theirs = True
    except Failed:
        theirs = False
    try:
        path(certificate, *between, anchors=[anchor])
        ours = True
    except NotTrusted:
        ours = False
    assert (ours, theirs) == (right, right)
