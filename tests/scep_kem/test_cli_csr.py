"""`enroll --csr` (issue 11, section 3): a request that was made elsewhere is sent as it is, octet for octet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from kem.keys import encode_public_key
from pkix import oids
from pkix.asn1 import algorithm, encode, wrap
from pkix.certificates import Certificate, encode_extension
from pkix.names import parse_name
from pkix.pem import encode_pem
from pkix.pkcs10 import encode_certification_request, encode_statement_request, encode_unsigned_request
from scep.attributes import RESPONSE_KEY
from scep.kem_pop import encode_response_key
from scep_kem import files
from scep_kem.client.pending import Pending
from tests.pkix.forge import attribute, extension_request, request_info, sign_request
from tests.pkix.openssl import OpenSsl, find_openssl
from tests.scep.craft import MD5, SHA1
from tests.scep_kem.devices import Device, password, waiting
from tests.scep_kem.kit import Result, ca_pair, run
from tests.world import Random, kem_key, key, name

LIVE = "live device"
SECRET = "correct horse battery staple"
NAMES = x509.Extension(x509.SubjectAlternativeName.oid, False, x509.SubjectAlternativeName([x509.DNSName("a.example")]))
PEM = "CERTIFICATE REQUEST"


def csr(key_type: str = "rsa:2048", subject: str = "CN=device,O=Example", **more: object) -> bytes:
    arguments = {"extensions": [NAMES]} | more
    return encode_certification_request(key(key_type, LIVE), parse_name(subject), **arguments)  # type: ignore[arg-type]


def enroll(device: Device, request: bytes, *arguments: str | Path) -> Result:
    """With a request in a file."""
    file = device.folder / "request.csr"
    file.write_bytes(request)
    more = ("--csr", file, "--key", device.key, "--out", device.out)
    return run("enroll", *device.where, *more, *arguments)


@pytest.mark.parametrize("form", ["DER", PEM, f"NEW {PEM}", "text before"])
def test_a_request_of_another_program_enrols(make: Callable[..., Device], ca_folder: Path, form: str) -> None:
    device = make()
    der = csr(challenge_password=password(ca_folder))
    pem = encode_pem(PEM if form == "text before" else form, der) if form != "DER" else der
    found = enroll(device, b"Certificate Request:\n    Data:\n" + pem if form == "text before" else pem).good()
    assert found.err == "" and "dns: a.example" in found.out
    assert device.certificate.public_key() == key("rsa:2048", LIVE).public_key()
    assert device.certificate.subject == name("CN=device,O=Example")
    assert device.names == {"device.key", "device.pem", "request.csr"}


def test_it_is_sent_octet_for_octet_whatever_is_in_it(make: Callable[..., Device], ca_folder: Path) -> None:
    """What Windows sends: its own extensionRequest, attributes that nobody here knows, and no order of ours."""
    device, private = make("/manual"), key("rsa:2048", LIVE)
    windows = extension_request(encode_extension(NAMES), oid=oids.MS_EXTENSION_REQUEST)
    odd = attribute(oids.Oid("1.3.6.1.4.1.311.13.2.3"), wrap(0x16, b"10.0.1"), wrap(0x16, b"10.0.2"))
    der = sign_request(request_info(private, windows, odd, subject=name("CN=from Windows").public_bytes()), private)
    found = enroll(device, der)
    assert found.code == 3 and Pending.load(device.folder / "device.pem.pending").request.der == der
    shown = run("requests", "show", "--dir", ca_folder, waiting(ca_folder, "CN=from Windows")).good().out
    assert hashlib.sha256(der).hexdigest() in shown and "a.example" in shown
    assert found.err.startswith(
        f"the request in {device.folder / 'request.csr'} has no challengePassword, and none can be added\n"
    )
    # The same command goes on with it, and so does no other.
    assert "an earlier run sent this request" in enroll(device, der).err
    assert enroll(device, csr(subject="CN=from Windows")).code == 2
    device.enroll("--san", "dns:b.example", subject="CN=from Windows").refused_in_one_line(2, "holds another request")


@pytest.mark.parametrize(
    ("digest", "scheme"), [(SHA1, oids.SHA1_WITH_RSA), (MD5, oids.MD5_WITH_RSA)], ids=["SHA-1", "MD5"]
)
def test_what_it_is_signed_with_is_for_the_ca_to_judge(
    make: Callable[..., Device], digest: hashes.HashAlgorithm, scheme: oids.Oid
) -> None:
    private = key("rsa:2048", LIVE)
    der = sign_request(request_info(private), private, digest=digest, scheme=encode(algorithm(scheme, b"\x05\x00")))
    found = enroll(make(), der)
    assert found.code == 4 and "refused: badAlg: " in found.err
    enroll(make(), broken(der)).refused_in_one_line(2, "the PKCS #10 request's signature does not verify")


def test_openssl_makes_one(make: Callable[..., Device], ca_folder: Path) -> None:
    device = make("", "ec:P-256")
    config = "[req]\ndistinguished_name=dn\nprompt=no\nattributes=a\n[dn]\nCN=of openssl\n[a]\nchallengePassword={}\n"
    (device.folder / "openssl.cnf").write_text(config.format(password(ca_folder)))
    openssl = OpenSsl(find_openssl(), device.folder)
    made = openssl.run("req", "-new", "-key", device.key, "-config", device.folder / "openssl.cnf")
    enroll(device, made).good()
    assert device.certificate.subject == name("CN=of openssl")


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--subject", "CN=a"], "--subject"),
        (["--san", "dns:a", "--eku", "clientAuth"], "--san, --eku"),
        (["--key-usage", "digitalSignature", "--sid", "S-1-5-1"], "--key-usage, --sid"),
        (["--challenge", "x"], "--challenge"),
        (["--challenge-file", "x"], "--challenge-file"),
        (["--key-type", "rsa:2048"], "--key-type"),
    ],
)
def test_nothing_else_says_what_is_asked_for(make: Callable[..., Device], option: list[str], told: str) -> None:
    found = enroll(make(), csr(), *option)
    found.refused_in_one_line(2, f"the request in --csr is sent as it is, so it does not go with {told}\n")


def broken(der: bytes) -> bytes:
    """With another last octet, which is the signature's."""
    return der[:-1] + bytes([der[-1] ^ 1])


def of_unknown_length(der: bytes) -> bytes:
    """BER: the outermost length is indefinite (X.690 section 8.1.3.6)."""
    return b"\x30\x80" + der[4:] + bytes(2)


NO_REQUEST: dict[str, tuple[Any, ...]] = {  # what is in the file, and words of the text
    "nothing": (lambda: b"", "request.csr is empty, not a PKCS #10 request"),
    "text": (lambda: b"hello world, no request", "request.csr is text, not a PKCS #10 request"),
    "PEM": (lambda: files.pem(ca_pair().certificate), "request.csr holds CERTIFICATE, and no CERTIFICATE REQUEST"),
    "DER": (
        lambda: ca_pair().certificate.public_bytes(Encoding.DER),
        "request.csr is a certificate, not a PKCS #10 request",
    ),
    "cut PEM": (
        lambda: encode_pem(PEM, csr())[:-60],
        "request.csr is PEM (CERTIFICATE REQUEST), not a PKCS #10 request",
    ),
    "two": (lambda: encode_pem(PEM, csr()) * 2, "request.csr holds 2 requests; one is sent"),
    "no base64": (lambda: encode_pem(PEM, csr()).replace(b"M", b"!"), "its PEM is not valid base64"),
    "cut DER": (lambda: csr()[:-1], "request.csr is the first ", " octets of a request of "),
    "no DER": (lambda: csr().replace(b"\x0c\x06", b"\x0c\x07"), "request.csr: "),
    "signature": (lambda: broken(csr()), "request.csr: the PKCS #10 request's signature does not verify"),
    "BER": (lambda: of_unknown_length(csr()), "the request in ", "request.csr is BER, and only DER is sent"),
    "BER in PEM": (lambda: encode_pem(PEM, of_unknown_length(csr())), "request.csr is BER, and only DER is sent"),
    "other key": (lambda: csr("ec:P-256"), "device.key is not the key of the request in "),
    "two passwords": (
        lambda: csr(challenge_password="a", attributes=[(oids.CHALLENGE_PASSWORD, encode("b"))]),
        "attribute challenge-password (1.2.840.113549.1.9.7) must appear once",
    ),
}


@pytest.mark.parametrize("what", NO_REQUEST)
def test_what_is_no_good_request_is_told_before_anything_is_sent(make: Callable[..., Device], what: str) -> None:
    content, *told = NO_REQUEST[what]
    enroll(make(), content()).refused_in_one_line(2, *told)


def test_a_subject_that_no_certificate_should_have_is_said_and_sent(make: Callable[..., Device]) -> None:
    """Whoever tests a CA wants to see what it says."""
    found = enroll(make(), csr(subject="C=Germany", challenge_password=SECRET))
    first, second = found.err.splitlines()
    assert first.endswith("countryName of 7 characters, not 2 (RFC 5280 appendix A.1); it is sent as it is")
    assert second.startswith("refused: badRequest: ") and found.code == 4


def test_openssl_makes_der_of_ber(make: Callable[..., Device], ca_folder: Path) -> None:
    """The advice is right: what was signed stays as it was."""
    device, der = make(), csr(challenge_password=password(ca_folder))
    files.write(device.folder / "ber", of_unknown_length(der))
    openssl = OpenSsl(find_openssl(), device.folder)
    assert openssl.run("req", "-in", device.folder / "ber", "-inform", "DER", "-outform", "DER") == der
    enroll(device, der).good()


def test_no_key_is_made_for_it(make: Callable[..., Device]) -> None:
    device = make()
    device.key.unlink()
    enroll(device, csr()).refused_in_one_line(2, f"cannot read {device.key}")
    assert device.names == {"request.csr"}


def test_neither_the_request_nor_the_key_is_replaced(make: Callable[..., Device]) -> None:
    device = make()
    device.out = device.folder / "request.csr"
    enroll(device, csr()).refused_in_one_line(2, "--out and --csr are the same file")


@pytest.mark.parametrize("key_type", ["ec:P-256", "ed25519", "ml-dsa-44"])
def test_a_key_that_cannot_decrypt_needs_something_in_its_request(
    make: Callable[..., Device], ca_folder: Path, key_type: str
) -> None:
    """RFC 8894 section 3.1; else the certificate would be issued, and nobody could read the answer."""
    device = make("/manual", key_type)
    subject = f"CN={key_type.replace(':', ' ')} of another"
    for nothing in (csr(key_type, subject), csr(key_type, subject, challenge_password="")):
        enroll(device, nothing).refused_in_one_line(
            2,
            "this key cannot decrypt the answer, which is then encrypted under the challengePassword, and the request "
            "has none; make it anew with one, or let this command make it, without --csr",
        )
    response_key = [(RESPONSE_KEY, encode_response_key(bytes(16), Random("response key")(32)))]
    assert enroll(device, csr(key_type, subject, attributes=response_key)).code == 3
    (device.folder / "device.pem.pending").unlink()
    enroll(make("", key_type), csr(key_type, subject, challenge_password=password(ca_folder))).good()


def test_an_unreadable_response_key_is_told(make: Callable[..., Device]) -> None:
    found = enroll(make("", "ed25519"), csr("ed25519", attributes=[(RESPONSE_KEY, encode(1))]))
    found.refused_in_one_line(2, "request.csr: responseKey is not")


def test_a_statement_is_checked_with_its_certificate(make: Callable[..., Device]) -> None:
    """Of an ML-KEM key, RFC 9883. Whether it is accepted is tested in test_cli_kem.py."""
    device, private = make(), kem_key()
    files.write_key(device.key, private[0])
    spki, pair = encode_public_key(private[1]), ca_pair()
    signer = Certificate.of(pair.certificate)
    stated = encode_statement_request(spki, name("CN=a"), pair.key, signer)
    wrong = stated[:-1] + bytes([stated[-1] ^ 1])
    enroll(device, wrong).refused_in_one_line(2, "the PKCS #10 request's signature does not verify")
    (device.folder / "other.key").write_bytes(b"")
    files.write_key(device.folder / "other.key", ca_pair("ec:P-256").key)
    files.write(device.folder / "other.pem", files.pem(ca_pair("ec:P-256").certificate))
    other = ("--signing-cert", device.folder / "other.pem", "--signing-key", device.folder / "other.key")
    enroll(device, stated, *other).refused_in_one_line(2, "the statement of possession in", "names another certificate")
    unsigned = encode_unsigned_request(spki, name("CN=a"))
    enroll(device, unsigned, *other).refused_in_one_line(2, "--signing-cert is for a statement of possession, and")


def renewed(device: Device, request: bytes, *arguments: str | Path) -> Result:
    """`renew` with a request in a file."""
    (device.folder / "request.csr").write_bytes(request)
    return device.signed("renew", "--csr", device.folder / "request.csr", *arguments, out="renewed.pem")


@pytest.mark.parametrize("key_type", ["rsa:2048", "ed25519"])
def test_a_renewal_sends_one_too(make: Callable[..., Device], ca_folder: Path, key_type: str) -> None:
    """An RSA certificate's key decrypts the answer, whatever the new key is; another needs something in the request."""
    device, subject = make("", key_type), f"CN=renews with {key_type[:3]}"
    device.enroll("--challenge", password(ca_folder), subject=subject).good()
    new = key("ec:P-256", "new")
    files.write_key(device.folder / "new.key", new)
    more = {} if key_type == "rsa:2048" else {"challenge_password": SECRET}
    bare, der = (encode_certification_request(new, name(subject), **given) for given in ({}, more))  # type: ignore[arg-type]
    pair = ("--new-key", device.folder / "new.key")
    if more:
        renewed(device, bare, *pair).refused_in_one_line(2, "this key cannot decrypt the answer")
    renewed(device, der).refused_in_one_line(2, f"{device.key} is not the key of the request in ")
    for other in (["--challenge", "x"], ["--key-type", "ec:P-256"]):
        renewed(device, der, *pair, *other).refused_in_one_line(2, f"so it does not go with {other[0]}")
    renewed(device, der, *pair).good()
    assert files.read_certificates(device.folder / "renewed.pem")[0].public_key() == new.public_key()


def test_a_renewal_makes_no_key_for_it(enrolled: Device) -> None:
    assert renewed(enrolled, csr(extensions=[])).good().err == ""  # a renewal needs no challengePassword
    found = renewed(enrolled, csr(), "--new-key", enrolled.folder / "new.key")
    found.refused_in_one_line(2, "cannot read", "new.key")
    assert not (enrolled.folder / "new.key").exists()
