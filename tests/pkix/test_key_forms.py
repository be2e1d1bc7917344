"""One reader of private keys for every algorithm: PKCS #8 in both versions, in clear and encrypted, and what a file is
that is none (issue 10 section 2; RFC 5958, RFC 8018).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pyasn1.codec.der.encoder import encode as pyasn1_encode
from pyasn1_alt_modules import rfc5958, rfc8018

from ca.crl import create_crl
from kem.errors import KemError
from kem.keys import DecapsulationKey, encode_private_key, encode_public_key
from pkix import encrypted_keys, oids
from pkix.encrypted_keys import encrypt_private_key
from pkix.errors import AlgorithmRefused, Malformed, PasswordNeeded, PkixError
from pkix.keys import PrivateKey, dump_private_key, is_encrypted, load_key, load_private_key, pem_of, spki_of
from pkix.pem import decode_pem, encode_pem, pem_blocks
from pkix.pkcs10 import encode_certification_request
from pkix.pkcs12_writer import encode_pkcs12
from pkix.signed_data import encode_degenerate
from scep_kem import files
from scep_kem.errors import UsageError
from tests.pkix import second_opinion
from tests.pkix.forge import algorithm, peer
from tests.pkix.openssl import OpenSsl
from tests.pkix.tlv import Node, integer, tlv
from tests.world import NOW, Random, authority, kem_key, key

SIGNING = ("rsa:2048", "ec:P-256", "ec:P-521", "ed25519", "ml-dsa-44", "ml-dsa-65")
ALL = (*SIGNING, "ml-kem-768")
SECRET = b"the pass phrase"
# RFC 8410 section 10.3, without its line of white space
RFC_8410 = b"""-----BEGIN PRIVATE KEY-----
MFECAQEwBQYDK2VwBCIEIJLcDHllR/2sgARUZdpQgCMkd3KqxB+V8e2xLrLfiziB
gSEAPAosdlZL/7nePcr3gdzUK1y4mub6f73mXE04WN3vI7c=
-----END PRIVATE KEY-----
"""
# What Bouncy Castle 1.86 writes for an Ed25519 key, with attributes
BOUNCY_CASTLE = b"""-----BEGIN PRIVATE KEY-----
MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PRIVATE KEY-----
"""


def public(kind: str, label: str = "") -> bytes:
    """SubjectPublicKeyInfo."""
    if kind.startswith("ml-kem"):
        return encode_public_key(kem_key(kind.upper(), label)[1])
    return spki_of(key(kind, label) if label else key(kind))


def version_1(kind: str) -> bytes:
    """DER as it is written without a publicKey."""
    if kind.startswith("ml-kem"):
        return encode_private_key(kem_key(kind.upper())[0])
    return base64.b64decode(b"".join(dump_private_key(key(kind)).split(b"\n")[1:-2]))


def with_public(kind: str, *, version: int = 1, label: str = "", attributes: bytes = b"") -> bytes:
    """DER with a publicKey, put together octet by octet."""
    tree = Node.parse(version_1(kind))
    tree[0].content = bytes([version])
    bits = tlv(0x81, Node.parse(public(kind, label))[1].content)
    return tlv(0x30, *(child.der() for child in tree.children), attributes, bits)


def same(found: PrivateKey, kind: str) -> bool:
    if isinstance(found, DecapsulationKey):
        return found.seed == kem_key(kind.upper())[0].seed
    return spki_of(found) == public(kind)


@pytest.mark.parametrize(
    ("pem", "octets"),
    [
        (RFC_8410, "3c0a2c76564bffb9de3dcaf781dcd42b5cb89ae6fa7fbde65c4d3858ddef23b7"),
        (BOUNCY_CASTLE, "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"),
    ],
    ids=["RFC 8410 10.3", "Bouncy Castle"],
)
def test_published_keys_of_version_2(pem: bytes, octets: str, tmp_path: Path) -> None:
    assert spki_of(load_private_key(pem)).hex().endswith(octets[-64:])
    (tmp_path / "key").write_bytes(pem)
    assert spki_of(files.read_key(tmp_path / "key")).hex().endswith(octets[-64:])


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("version", [0, 1])
def test_rfc_5958_2_both_versions_with_a_public_key(kind: str, version: int) -> None:
    """Version 1 with a publicKey is tolerated: the publicKey is compared whatever the number says."""
    attribute = tlv(0xA0, tlv(0x30, bytes.fromhex("060a2a864886f70d01090914"), tlv(0x31, tlv(0x0C, b"name"))))
    for attributes in (b"", attribute):
        assert same(load_key(pem_of(with_public(kind, version=version, attributes=attributes))), kind)


@pytest.mark.parametrize("kind", ALL)
def test_rfc_5958_2_pyasn1_s_version_2_is_read(kind: str) -> None:
    one = second_opinion.exactly(with_public(kind), rfc5958.OneAsymmetricKey())
    assert int(one["version"]) == 1
    assert same(load_key(pem_of(pyasn1_encode(one))), kind)


@pytest.mark.parametrize("kind", ALL)
def test_rfc_5958_2_a_public_key_of_another_is_refused(kind: str) -> None:
    with pytest.raises((Malformed, KemError), match="not its public key"):
        load_key(pem_of(with_public(kind, label="other")))


# What FIPS 204 says of an ML-DSA key: octets of the expanded one, k and l.
EXPANDED = {"ml-dsa-44": (2560, 4, 4), "ml-dsa-65": (4032, 6, 5), "ml-dsa-87": (4896, 8, 7)}


def both(kind: str, change: Callable[[bytes], bytes] = bytes, label: str = "", seed: bytes = b"") -> bytes:
    """DER of version 2 with the third form of RFC 9881 section 6, s1, s2 and t0 zero, and a publicKey."""
    private = mldsa_key(kind, seed or key(kind).private_bytes_raw())  # type: ignore[union-attr]
    length, *dimensions = EXPANDED[kind]
    octets = private.public_key().public_bytes_raw()
    k = hashlib.shake_256(private.private_bytes_raw() + bytes(dimensions)).digest(128)[96:]
    expanded = (octets[:32] + k + hashlib.shake_256(octets).digest(64)).ljust(length, b"\0")
    contents = tlv(0x30, tlv(0x04, private.private_bytes_raw()), tlv(0x04, change(expanded)))
    shown = Node.parse(public(kind, label))[1].content if label else b"\0" + octets
    identifier = Node.parse(version_1(kind))[1].der()
    return tlv(0x30, tlv(0x02, b"\x01"), identifier, tlv(0x04, contents), tlv(0x81, shown))


def mldsa_key(kind: str, seed: bytes) -> mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey:
    classes = (mldsa.MLDSA44PrivateKey, mldsa.MLDSA65PrivateKey, mldsa.MLDSA87PrivateKey)
    return dict(zip(EXPANDED, classes, strict=True))[kind].from_seed_bytes(seed)


@pytest.mark.parametrize("kind", EXPANDED)
def test_rfc_9881_6_a_wrong_public_key_beside_both_is_refused(kind: str) -> None:
    """`both` has a reader of its own, which did not look at it."""
    assert same(load_key(pem_of(both(kind))), kind)
    with pytest.raises(Malformed, match="not its public key"):
        load_key(pem_of(both(kind, label="other")))


@pytest.mark.parametrize("kind", EXPANDED)
@pytest.mark.parametrize(
    "change",
    [
        lambda octets: flipped(octets, 0),
        lambda octets: flipped(octets, 31),
        lambda octets: flipped(octets, 32),
        lambda octets: flipped(octets, 63),
        lambda octets: flipped(octets, 64),
        lambda octets: flipped(octets, 127),
        lambda octets: octets[:128],
        lambda octets: octets[:-1],
        lambda octets: octets + b"\0",
        lambda octets: b"",
    ],
    ids=["rho", "rho's end", "K", "K's end", "tr", "tr's end", "no s1, s2, t0", "short", "long", "empty"],
)
def test_rfc_9881_6_seed_and_expanded_key_belong_together(kind: str, change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Malformed, match="seed and expandedKey do not belong together"):
        load_key(pem_of(both(kind, change)))


def flipped(octets: bytes, place: int) -> bytes:
    return octets[:place] + bytes([octets[place] ^ 1]) + octets[place + 1 :]


def test_rfc_9881_c_the_k_of_the_published_key() -> None:
    """The example of ML-DSA-44, whose seed is 000102...1f."""
    k = bytes.fromhex("39ce0f7f77f8db5644dcda366bfe4734bd95f435ff9a613aa54aa41c2c694c04")
    seed = bytes(range(32))
    load_key(pem_of(both("ml-dsa-44", lambda octets: octets[:32] + k + octets[64:], seed=seed)))


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("version", [2, 3, 127])
def test_other_versions_are_refused(kind: str, version: int) -> None:
    with pytest.raises((Malformed, KemError), match=rf"version {version}"):
        load_key(pem_of(with_public(kind, version=version)))


@pytest.mark.parametrize("kind", ALL)
def test_octets_behind_a_key_are_refused(kind: str) -> None:
    for der in (version_1(kind), with_public(kind)):
        with pytest.raises((PkixError, KemError)):
            load_key(pem_of(der + b"\x00"))


def test_unused_bits_in_the_public_key_are_refused() -> None:
    even = next(found for found in (key("ed25519", str(n)) for n in range(40)) if spki_of(found)[-1] % 2 == 0)
    seed, octets = even.private_bytes_raw(), spki_of(even)[-32:]  # type: ignore[union-attr]
    der = tlv(0x30, tlv(0x02, b"\x01"), algorithm(oids.ED25519), tlv(0x04, tlv(0x04, seed)), tlv(0x81, b"\x01", octets))
    with pytest.raises(Malformed, match="unused bits"):
        load_key(pem_of(der))


def test_rfc_5915_3_the_point_may_be_compressed() -> None:
    private = key("ec:P-256")
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    tree = Node.parse(with_public("ec:P-256"))
    tree[3].content = b"\x00" + point
    assert same(load_key(pem_of(tree.der())), "ec:P-256")


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
def test_ec_parameters_inside_and_outside(openssl: OpenSsl, curve: str) -> None:
    sec1 = openssl.run("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}")
    inner = openssl.run("ec", "-in", openssl.file(sec1), "-outform", "DER")
    outer = Node.parse(version_1(f"ec:{curve}"))[1].der()
    found = load_private_key(pem_of(tlv(0x30, tlv(0x02, b"\x00"), outer, tlv(0x04, inner))))
    assert spki_of(found) == openssl.run("pkey", "-pubout", "-outform", "DER", "-in", openssl.file(sec1))


# Encrypted


@pytest.mark.parametrize("kind", ["rsa:2048", "ec:P-256", "ed25519"])
@pytest.mark.parametrize("options", [(), ("-v2prf", "hmacWithSHA512"), ("-v2", "aes-128-cbc"), ("-v2", "aes-192-cbc")])
def test_rfc_8018_encrypted_by_openssl(openssl: OpenSsl, kind: str, options: tuple[str, ...]) -> None:
    plain = openssl.file(dump_private_key(key(kind)))
    text = openssl.run("pkcs8", "-topk8", "-in", plain, "-passout", f"pass:{SECRET.decode()}", *options)
    assert same(load_key(text, password=SECRET), kind)
    with pytest.raises(Malformed, match="its password is another one"):
        load_key(text, password=b"another")
    with pytest.raises(PasswordNeeded, match="is encrypted"):
        load_key(text)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("version", [0, 1])
def test_rfc_8018_encrypted_in_both_versions(kind: str, version: int) -> None:
    der = with_public(kind) if version else version_1(kind)
    assert same(load_key(encrypted(der), password=SECRET), kind)


def encrypted(der: bytes, *, iterations: int = 1000, key_length: int | None = None, said: int | None = None) -> bytes:
    """PEM under PBES2 as others write it. key_length: what is said of it. said: iterations that are said instead of
    those that were made.
    """
    salt, iv = bytes(16), bytes(range(16))
    secret = PBKDF2HMAC(hashes.SHA256(), 32, salt, iterations).derive(SECRET)
    fill = 16 - len(der) % 16
    encryptor = Cipher(algorithms.AES(secret), modes.CBC(iv)).encryptor()
    data = encryptor.update(der + bytes([fill]) * fill) + encryptor.finalize()
    length = b"" if key_length is None else integer(key_length)
    count = integer(iterations if said is None else said)
    derivation = algorithm(
        oids.PBKDF2, tlv(0x30, tlv(0x04, salt), count, length, algorithm(oids.HMAC_SHA256, b"\x05\x00"))
    )
    scheme = algorithm(oids.PBES2, tlv(0x30, derivation, algorithm(oids.AES256_CBC, tlv(0x04, iv))))
    text = base64.encodebytes(tlv(0x30, scheme, tlv(0x04, data)))
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + text + b"-----END ENCRYPTED PRIVATE KEY-----\n"


@pytest.mark.parametrize(("iterations", "key_length"), [(1, None), (1000, 32)])
def test_rfc_8018_a_2_what_is_said_of_the_key_may_be_left_out(iterations: int, key_length: int | None) -> None:
    pem = encrypted(version_1("ed25519"), iterations=iterations, key_length=key_length)
    assert same(load_key(pem, password=SECRET), "ed25519")


@pytest.mark.parametrize("more", [{"said": 0}, {"said": -1}, {"key_length": 16}, {"key_length": 33}, {"key_length": 0}])
def test_rfc_8018_a_2_an_impossible_number_is_refused(more: dict[str, int]) -> None:
    with pytest.raises(AlgorithmRefused, match="unusable number of iterations or key length"):
        load_key(encrypted(version_1("ed25519"), **more), password=SECRET)


def test_rfc_8018_nobody_waits_for_more_iterations_than_anybody_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    def derive(_digest: object, _length: int, _salt: bytes, iterations: int) -> PBKDF2HMAC:
        derived.append(iterations)
        raise ValueError

    derived: list[int] = []
    monkeypatch.setattr(encrypted_keys, "PBKDF2HMAC", derive)
    for said, text in ((10_000_000, "its password is another one"), (10_000_001, "unusable number of iterations")):
        with pytest.raises((Malformed, AlgorithmRefused), match=text):
            load_key(encrypted(version_1("ed25519"), said=said), password=SECRET)
    assert derived == [10_000_000]


@pytest.mark.parametrize(
    "contents",
    [b"", b"text", tlv(0x30), tlv(0x30, integer(0)), version_1("ed25519") + b"\0"],
    ids=["nothing", "text", "empty", "a number", "a key and an octet"],  # a new key would be another id in each process
)
def test_rfc_8018_what_is_no_key_after_decryption_may_be_a_wrong_password(contents: bytes) -> None:
    """One password in 256 leaves a padding that looks right."""
    with pytest.raises(Malformed, match="its password is another one"):
        load_key(encrypted(contents), password=SECRET)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("-scrypt",), "scrypt (1.3.6.1.4.1.11591.4.11)"),
        (("-v1", "PBE-SHA1-3DES"), "pbeWithSHAAnd3-KeyTripleDES-CBC (1.2.840.113549.1.12.1.3)"),
        (("-v2", "des3"), "3DES-CBC (1.2.840.113549.3.7)"),
    ],
)
def test_other_encryption_is_named_with_what_to_do(openssl: OpenSsl, options: tuple[str, ...], named: str) -> None:
    plain = openssl.file(dump_private_key(key("ec:P-256")))
    text = openssl.run("pkcs8", "-topk8", "-in", plain, "-passout", f"pass:{SECRET.decode()}", *options)
    with pytest.raises(AlgorithmRefused) as refused:
        load_key(text, password=SECRET)
    assert refused.value.text == (
        f"the private key is encrypted with {named}, which is not supported; "
        "encrypt it with `openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out NEW`"
    )


# What is none


def test_rfc_4055_1_2_a_private_key_of_the_kind_rsassa_pss_is_named(openssl: OpenSsl) -> None:
    text = openssl.run("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048")
    with pytest.raises(AlgorithmRefused, match="RSASSA-PSS is not supported"):
        load_key(text)
    under_password = openssl.run("pkcs8", "-topk8", "-in", openssl.file(text), "-passout", f"pass:{SECRET.decode()}")
    with pytest.raises(AlgorithmRefused, match="RSASSA-PSS is not supported"):
        load_key(under_password, password=SECRET)


@pytest.mark.parametrize(
    ("kind", "length", "section"),
    [("ml-kem-768", 64, "RFC 9935 section 6"), ("ml-dsa-65", 32, "RFC 9881 section 6")],
)
def test_a_bare_seed_in_pkcs_8_says_what_it_is(kind: str, length: int, section: str) -> None:
    tree = Node.parse(version_1(kind))
    tree[2].content = bytes(length)
    with pytest.raises(Malformed, match=f"a bare seed; write it as PKCS #8.*{section}"):
        load_key(pem_of(tree.der()))


pem = encode_pem


def without_mac(der: bytes) -> bytes:
    """As `openssl pkcs12 -nomac` writes."""
    tree = Node.parse(der)
    return tlv(0x30, *(child.der() for child in tree.children[:2]))


CERTIFICATE = x509.load_der_x509_certificate(peer().certificate.der)
REQUEST = encode_certification_request(key("ec:P-256"), CERTIFICATE.subject)
CRL = create_crl(authority(), [], 1, now=NOW)
OPENSSH = key("ed25519").private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
OPENSSH_PUBLIC = key("ed25519").public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
P12 = encode_pkcs12(key("rsa:2048", "peer"), peer().certificate, [], password=SECRET, random=Random("p12"))
OTHER_THINGS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "it is empty"),
    "blanks": (b" \n", "it is empty"),
    "32 octets": (b"\x01" * 32, "it is a bare seed.*RFC 9935.*RFC 9881"),
    "64 octets": (b"\x01" * 64, "it is a bare seed"),
    "public key": (public("ec:P-256"), "it is a public key"),
    "PEM public key": (pem("PUBLIC KEY", public("ec:P-256")), "it is a public key"),
    "certificate": (peer().certificate.der, "it is a certificate"),
    "PEM certificate": (CERTIFICATE.public_bytes(Encoding.PEM), "it is a certificate"),
    "old label": (pem("X509 CERTIFICATE", peer().certificate.der), "it is a certificate"),
    "request": (REQUEST, "it is a certificate request"),
    "PEM request": (pem("CERTIFICATE REQUEST", REQUEST), "it is a certificate request"),
    "CRL": (CRL, "it is a CRL"),
    "PEM CRL": (pem("X509 CRL", CRL), "it is a CRL"),
    "PKCS #7": (encode_degenerate([peer().certificate.der]), "it is a PKCS #7 bag; `openssl pkcs7 -print_certs"),
    "PKCS #12": (P12, "it is a PKCS #12 file; `openssl pkcs12"),
    "PKCS #12 without MAC": (without_mac(P12), "it is a PKCS #12 file"),
    "OpenSSH": (OPENSSH, "it is a private key in OpenSSH's own form; `ssh-keygen -p -m PKCS8"),
    "OpenSSH public": (OPENSSH_PUBLIC, "it is a public key in OpenSSH's own form"),
    "PuTTY": (b"PuTTY-User-Key-File-3: ssh-ed25519\n", "it is a key of PuTTY; export it in PEM"),
    "JWK": (b'{"kty": "EC", "crv": "P-256", "d": "AA"}', "it is a JSON Web Key; write it as PEM"),
    "DSA": (pem("DSA PRIVATE KEY", b"0"), "it is a PEM block of type DSA PRIVATE KEY"),
    "half of PEM": (b"-----BEGIN PRIVATE KEY-----\nAAAA", "it is PEM that is cut short"),
    "text": (b"no key", "it is text, neither PEM nor DER"),
    "text that begins like a SEQUENCE": (b"0C:27:" + b"AB:" * 29 + b"CD\n", "it is text, neither PEM nor DER"),
    "text as long as a seed": (b"correct horse battery staple 000", "it is text, neither PEM nor DER"),
    "a fingerprint": (b"0123456789abcdef" * 4, "it is hex text, neither PEM nor DER"),
    "base64 without PEM": (base64.b64encode(REQUEST), "it is base64 text, neither PEM nor DER"),
    "other octets": (b"\x01" * 33, "it is neither PEM nor DER"),
    "other DER": (b"\x30\x03\x02\x01\x01", "it is DER, or something like it, of another kind"),
}


@pytest.mark.parametrize("name", OTHER_THINGS)
def test_the_text_says_what_a_file_is_and_what_is_expected(name: str, tmp_path: Path) -> None:
    data, text = OTHER_THINGS[name]
    expected = f"{text}.*; a private key in PEM or DER \\(PKCS #8, PKCS #1 or SEC 1\\) is expected$"
    with pytest.raises(Malformed, match=expected):
        load_key(data)
    (tmp_path / "key").write_bytes(data)
    with pytest.raises(UsageError, match=expected):
        files.read_any_key(tmp_path / "key")


def test_a_key_behind_its_certificate_is_found() -> None:
    assert same(load_key(CERTIFICATE.public_bytes(Encoding.PEM) + dump_private_key(key("ec:P-256"))), "ec:P-256")


# In DER, in OpenSSL's old forms, and written


@pytest.mark.parametrize("kind", ALL)
def test_der_is_read_in_both_versions(kind: str) -> None:
    for der in (version_1(kind), with_public(kind)):
        assert same(load_key(der), kind)
    with pytest.raises(Malformed, match="it is not encrypted, but a password was given"):
        load_key(version_1(kind), password=SECRET)


@pytest.mark.parametrize("kind", ["rsa:2048", "ec:P-256", "ec:P-521"])
def test_pkcs_1_and_sec_1_are_read_in_pem_and_der(kind: str) -> None:
    for encoding in (Encoding.PEM, Encoding.DER):
        assert same(load_key(traditional(kind, encoding)), kind)


def traditional(kind: str, encoding: Encoding) -> bytes:
    return key(kind).private_bytes(encoding, PrivateFormat.TraditionalOpenSSL, NoEncryption())


@pytest.mark.parametrize("kind", ["rsa:2048", "ec:P-256"])
@pytest.mark.parametrize("cipher", ["-aes128", "-aes256", "-des3"])
def test_openssl_s_own_encryption_is_read(openssl: OpenSsl, kind: str, cipher: str) -> None:
    text = openssl_encrypted(openssl, kind, cipher)
    assert is_encrypted(text) and not is_encrypted(traditional(kind, Encoding.PEM))
    assert same(load_key(text, password=SECRET), kind)
    assert same(load_key(CERTIFICATE.public_bytes(Encoding.PEM) + text, password=SECRET), kind)
    with pytest.raises(Malformed, match="its password is another one"):
        load_key(text, password=b"another")
    with pytest.raises(PasswordNeeded, match="is encrypted"):
        load_key(text)


def openssl_encrypted(openssl: OpenSsl, kind: str, cipher: str) -> bytes:
    command, plain = kind.partition(":")[0], openssl.file(traditional(kind, Encoding.PEM))
    more = ("-traditional",) if command == "rsa" else ()
    return openssl.run(command, "-in", plain, cipher, "-passout", f"pass:{SECRET.decode()}", *more)


@pytest.mark.parametrize("said", ["CAMELLIA-128-CBC", "DES-CBC"])
def test_other_ciphers_of_openssl_s_own_encryption_are_named(openssl: OpenSsl, said: str) -> None:
    text = openssl_encrypted(openssl, "ec:P-256", "-aes128").replace(b"AES-128-CBC", said.encode())
    with pytest.raises(AlgorithmRefused, match=f"encrypted with {said}, which is not supported; encrypt it with"):
        load_key(text, password=SECRET)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written takes as long to compute as an attacker should need."""
    monkeypatch.setattr(encrypted_keys, "ITERATIONS", 1000)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("kind", ALL)
def test_rfc_8018_written_keys_are_read_again(kind: str) -> None:
    private = load_key(version_1(kind))
    text = dump_private_key(private, SECRET, Random("salt"))
    assert text.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n") and is_encrypted(text)
    assert same(load_key(text, password=SECRET), kind)
    with pytest.raises(Malformed, match="its password is another one"):
        load_key(text, password=b"another")
    with pytest.raises(PasswordNeeded):
        load_key(text)
    der = decode_pem(pem_blocks(text)[0][1], "key")
    assert is_encrypted(der) and same(load_key(der, password=SECRET), kind)


def test_rfc_8018_written_keys_are_pbes2_with_aes_256_and_many_iterations() -> None:
    der = encrypt_private_key(b"contents", SECRET, Random("salt"))
    outer = second_opinion.exactly(der, rfc5958.EncryptedPrivateKeyInfo())
    assert str(outer["encryptionAlgorithm"]["algorithm"]) == "1.2.840.113549.1.5.13"
    params = second_opinion.exactly(bytes(outer["encryptionAlgorithm"]["parameters"]), rfc8018.PBES2_params())
    derivation = second_opinion.exactly(bytes(params["keyDerivationFunc"]["parameters"]), rfc8018.PBKDF2_params())
    assert str(params["encryptionScheme"]["algorithm"]) == "2.16.840.1.101.3.4.1.42"
    assert str(derivation["prf"]["algorithm"]) == "1.2.840.113549.2.9"
    assert int(derivation["iterationCount"]) >= 600_000 and len(bytes(derivation["salt"]["specified"])) == 16


@pytest.mark.parametrize("kind", ["rsa:2048", "ec:P-256", "ed25519"])
def test_openssl_reads_what_is_written(openssl: OpenSsl, kind: str) -> None:
    text = openssl.file(dump_private_key(key(kind), SECRET, Random("salt")))
    found = openssl.run("pkey", "-in", text, "-passin", f"pass:{SECRET.decode()}", "-pubout", "-outform", "DER")
    assert found == public(kind)
