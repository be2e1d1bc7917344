"""`scep-kem ca init --import-key --import-cert`: CAs made elsewhere, with their chains."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from ca.authority import KeyPair, new_serial
from pkix.certificates import Certificate
from pkix.keys import certificate_hash
from pkix.signatures import SigningKey
from pkix.usages import key_usage
from scep.ca_certificates import CaCertificates
from scep.client import Issued
from scep_kem import files
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from tests.scep_kem.kit import Result, Site, ca_pair, make_ca_dir, run
from tests.world import key, name

FOR_A_CA = {"keyCertSign", "cRLSign", "digitalSignature", "keyEncipherment"}


def certificate(
    subject: str,
    subject_key: SigningKey,
    issuer: KeyPair | None = None,
    *,
    usages: set[str] | None = FOR_A_CA,
    is_ca: bool | None = True,
    ended: bool = False,
) -> KeyPair:
    """A certificate for a key, self-signed or by `issuer`, as another CA software may have made it."""
    by = issuer or KeyPair(subject_key, None)  # type: ignore[arg-type]  # self-signed: only the key is used
    now = utc_now()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(by.certificate.subject if issuer else name(subject))
        .public_key(subject_key.public_key())
        .serial_number(new_serial(os.urandom))
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now - timedelta(days=1) if ended else now + timedelta(days=1000))
    )
    if is_ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(is_ca, None), critical=True)
    if usages is not None:
        builder = builder.add_extension(key_usage(usages), critical=True)
    return KeyPair(subject_key, builder.sign(by.key, certificate_hash(by.key)))


def import_ca(tmp_path: Path, pair: KeyPair, *chain: x509.Certificate, more: Sequence[str] = ()) -> Result:
    """`ca init --import-key --import-cert` into tmp_path / "ca"."""
    files.write_key(tmp_path / "import.key", pair.key)
    files.write(tmp_path / "import.pem", files.pem(pair.certificate, *chain))
    imported = ("--import-key", tmp_path / "import.key", "--import-cert", tmp_path / "import.pem")
    return run("ca", "init", "--dir", tmp_path / "ca", *imported, *more)


def test_an_imported_root_is_used_as_it_is(tmp_path: Path) -> None:
    pair = certificate("CN=Old root", key("rsa:2048", "old root"))
    import_ca(tmp_path, pair).good()
    found = CaDir(tmp_path / "ca").load().current
    assert found.ca.certificate == pair.certificate and found.chain == ()


@pytest.mark.parametrize("pinned", ["root", "middle", "ca"])
@pytest.mark.parametrize("key_type", ["rsa:2048", "ec:P-256"])
def test_2_2_a_subordinate_ca_is_served_with_its_chain_and_accepted_by_a_client_that_knows_one_of_them(
    tmp_path: Path, key_type: str, pinned: str
) -> None:
    root = certificate("CN=Root", key("ec:P-256", "root"))
    middle = certificate("CN=Middle", key("ed25519", "middle"), root)
    usages = FOR_A_CA if key_type == "rsa:2048" else FOR_A_CA - {"keyEncipherment"}
    pair = certificate("CN=Issuing", key(key_type, "issuing"), middle, usages=usages)
    import_ca(tmp_path, pair, middle.certificate, root.certificate).good()
    site = Site(CaDir(tmp_path / "ca"))
    answer = site.get("operation=GetCACert")
    assert answer.headers["Content-Type"] == "application/x-x509-ca-ra-cert"
    anchor = {"root": root, "middle": middle, "ca": pair}[pinned].certificate
    fingerprint = CaCertificates(Certificate.of(anchor), ()).fingerprint
    found = CaCertificates.decode(answer.data, fingerprint=fingerprint, now=utc_now())
    assert found.ca == Certificate.of(pair.certificate)
    if pinned == "root":
        assert {Certificate.of(item.certificate) for item in (root, middle, pair)} <= set(found.all)
    assert isinstance(site.device(password=site.password()).enrol(), Issued)


def test_ca_show_shows_the_chain(tmp_path: Path) -> None:
    root = certificate("CN=Root", key("ec:P-256", "root"))
    pair = certificate("CN=Issuing", key("rsa:2048", "issuing"), root)
    said = import_ca(tmp_path, pair, root.certificate).good().out
    assert "CA: CN=Issuing" in said and "issuer: CN=Root" in said


def test_an_imported_ca_with_an_ra(tmp_path: Path) -> None:
    pair = certificate("CN=Old root", key("rsa:2048", "old root"))
    said = import_ca(tmp_path, pair, more=["--ra-key-type", "ed25519"]).good().out
    assert "RA signer: CN=Old root RA signer" in said and "RA decryption: CN=Old root RA decryption" in said


def test_key_and_certificate_are_imported_together(tmp_path: Path) -> None:
    files.write_key(tmp_path / "key", key("ec:P-256"))
    files.write(tmp_path / "cert", files.pem(ca_pair("ec:P-256").certificate))
    for option, file in (("--import-key", "key"), ("--import-cert", "cert")):
        found = run("ca", "init", "--dir", tmp_path / "ca", option, tmp_path / file)
        found.refused_in_one_line(2, "--import-key and --import-cert go together")


def test_a_key_that_is_not_the_certificates_is_refused(tmp_path: Path) -> None:
    mixed = KeyPair(key("rsa:2048", "old root"), certificate("CN=x", key("rsa:2048", "another root")).certificate)
    import_ca(tmp_path, mixed).refused_in_one_line(2, "is not for the key in")
    assert not (tmp_path / "ca").exists()


@pytest.mark.parametrize("missing", ["keyCertSign", "digitalSignature", "keyEncipherment", "cRLSign"])
def test_2_1_2_an_imported_ca_without_a_key_usage_it_needs_is_refused(tmp_path: Path, missing: str) -> None:
    pair = certificate("CN=Old root", key("rsa:2048", "old root"), usages=FOR_A_CA - {missing})
    import_ca(tmp_path, pair).refused_in_one_line(2, f"keyUsage lacks {missing}")


def test_2_1_2_an_imported_ca_that_does_not_decrypt_needs_no_key_encipherment(tmp_path: Path) -> None:
    usages = FOR_A_CA - {"keyEncipherment"}
    import_ca(tmp_path, certificate("CN=Old root", key("ec:P-256", "old root"), usages=usages)).good()


def test_an_imported_ca_without_any_key_usage_may_do_everything(tmp_path: Path) -> None:
    import_ca(tmp_path, certificate("CN=Old root", key("rsa:2048", "old root"), usages=None)).good()


@pytest.mark.parametrize("is_ca", [False, None])
def test_a_certificate_that_is_no_ca_is_refused(tmp_path: Path, is_ca: bool | None) -> None:
    """RFC 5280 section 4.2.1.9: nobody accepts what it signs."""
    pair = certificate("CN=Server", key("rsa:2048", "old root"), is_ca=is_ca)
    import_ca(tmp_path, pair).refused_in_one_line(2, "CA")


@pytest.mark.parametrize("more", [[], ["--ra"]])
def test_a_certificate_that_has_ended_is_refused(tmp_path: Path, more: list[str]) -> None:
    pair = certificate("CN=Old root", key("rsa:2048", "old root"), ended=True)
    import_ca(tmp_path, pair, more=more).refused_in_one_line(2)


def test_a_chain_that_is_not_the_cas_is_refused(tmp_path: Path) -> None:
    pair = certificate("CN=Issuing", key("rsa:2048", "old root"), certificate("CN=Root", key("ec:P-256", "root")))
    stranger = certificate("CN=Stranger", key("ec:P-256", "stranger"))
    import_ca(tmp_path, pair, stranger.certificate).refused_in_one_line(2)


def test_10_1_a_ca_without_a_name_is_refused(tmp_path: Path) -> None:
    import_ca(tmp_path, certificate("", key("ec:P-256", "nameless"))).refused_in_one_line(2, "has no subject")


def test_a_weak_rsa_key_is_refused(tmp_path: Path) -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is what is refused
    import_ca(tmp_path, certificate("CN=Old root", weak)).refused_in_one_line(2, "1024")


def test_an_imported_rsa_key_of_any_good_size_can_be_rolled_over(tmp_path: Path) -> None:
    pair = certificate("CN=Old root", rsa.generate_private_key(65537, 2304))
    import_ca(tmp_path, pair).good()
    run("ca", "rollover", "--dir", tmp_path / "ca").good()


def test_a_subordinate_ca_is_rolled_over_by_its_issuer(tmp_path: Path) -> None:
    root = certificate("CN=Root", key("ec:P-256", "root"))
    pair = certificate("CN=Issuing", key("rsa:2048", "issuing"), root)
    import_ca(tmp_path, pair, root.certificate).good()
    found = run("ca", "rollover", "--dir", tmp_path / "ca")
    found.refused_in_one_line(2, "an imported subordinate CA is rolled over by its issuer")


def test_a_subordinate_ca_imported_without_its_chain_is_not_rolled_over_into_a_root(tmp_path: Path) -> None:
    root = certificate("CN=Root", key("ec:P-256", "root"))
    pair = certificate("CN=Issuing", key("rsa:2048", "issuing"), root)
    import_ca(tmp_path, pair).good()
    found = run("ca", "rollover", "--dir", tmp_path / "ca")
    found.refused_in_one_line(2, "an imported subordinate CA is rolled over by its issuer")


@pytest.mark.parametrize("subject", ["CN=Ä ö,O=Example", "O=No common name", "CN=" + "x" * 64])
def test_any_subject_makes_a_ca_with_an_ra(tmp_path: Path, subject: str) -> None:
    made = run("ca", "init", "--dir", tmp_path / "ca", "--subject", subject, "--key-type", "ec:P-256", "--ra")
    assert f"CA: {subject}" in made.good().out


def test_the_printed_fingerprints_are_those_of_the_certificate(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    said = run("ca", "show", "--dir", made.path).good().out
    der = made.load().current.ca.certificate.public_bytes(Encoding.DER)
    assert CaCertificates(Certificate.load(der), ()).fingerprint in said


# PKCS #12, as Windows and most CAs export


PASSWORD = b"the export's password"


def pkcs12_of(pair: KeyPair, *others: x509.Certificate, by: KeySerializationEncryption | None = None) -> bytes:
    return pkcs12.serialize_key_and_certificates(
        b"ca",
        pair.key,
        pair.certificate,
        others,
        by or BestAvailableEncryption(PASSWORD),  # type: ignore[arg-type]
    )


def import_pkcs12(tmp_path: Path, data: bytes, *more: str | Path, password: bytes | None = PASSWORD) -> Result:
    """`ca init --import-pkcs12` into tmp_path / "ca"."""
    files.write(tmp_path / "import.p12", data, secret=True)
    if password is not None:
        files.write(tmp_path / "password", password + b"\n", secret=True)
        more = (*more, "--import-key-password-file", tmp_path / "password")
    return run("ca", "init", "--dir", tmp_path / "ca", "--import-pkcs12", tmp_path / "import.p12", *more)


def old() -> KeySerializationEncryption:
    """What AD CS writes: PBE-SHA1-3DES, MAC with SHA-1."""
    builder = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(2000)
    builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC).hmac_hash(SHA1())  # noqa: S303 - theirs
    return builder.build(PASSWORD)


@pytest.mark.parametrize("how", ["new", "old", "none"])
@pytest.mark.parametrize("key_type", ["rsa:2048", "ec:P-256"])
def test_issue_10_5_a_ca_comes_with_its_issuers_from_one_pkcs12_file(tmp_path: Path, key_type: str, how: str) -> None:
    """Their order in it says nothing, and what is not theirs is passed over."""
    root = certificate("CN=Root", key("ec:P-256", "root"))
    middle = certificate("CN=Middle", key("ec:P-384", "middle"), root)
    usages = FOR_A_CA if key_type == "rsa:2048" else FOR_A_CA - {"keyEncipherment"}
    pair = certificate("CN=Issuing", key(key_type, "issuing"), middle, usages=usages)
    stranger = ca_pair("ed25519").certificate
    by = {"new": None, "old": old(), "none": NoEncryption()}[how]
    data = pkcs12_of(pair, stranger, root.certificate, middle.certificate, by=by)
    import_pkcs12(tmp_path, data, password=None if how == "none" else PASSWORD).good()
    found = CaDir(tmp_path / "ca").load().current
    assert found.ca.certificate == pair.certificate
    assert found.chain == (middle.certificate, root.certificate)
    site = Site(CaDir(tmp_path / "ca"))
    assert isinstance(site.device(password=site.password()).enrol(), Issued)


def test_issue_10_5_a_pkcs12_file_may_be_ber(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """As NSS and older versions of Bouncy Castle write it; the library's warning of that helps nobody here."""
    pair = certificate("CN=Old root", key("ec:P-256", "old root"))
    der = pkcs12_of(pair)
    assert der[:2] == b"\x30\x82"
    import_pkcs12(tmp_path, b"\x30\x80" + der[4:] + bytes(2), "--ra").good()
    assert not recwarn.list


@pytest.mark.parametrize("option", [("--subject", "CN=x"), ("--key-type", "rsa:2048")])
def test_what_an_imported_ca_has_itself_is_not_asked_for(tmp_path: Path, option: tuple[str, str]) -> None:
    said = import_pkcs12(tmp_path, pkcs12_of(certificate("CN=One", key("ec:P-256", "one"))), "--ra", *option)
    said.refused_in_one_line(2, f"{option[0]} is for a CA that is made")


def test_issue_10_5_cross_certificates_make_no_endless_chain(tmp_path: Path) -> None:
    one, other = key("ec:P-256", "one"), key("ec:P-256", "other")
    by_one, by_other = certificate("CN=One", one), certificate("CN=Other", other)
    first, second = certificate("CN=One", one, by_other), certificate("CN=Other", other, by_one)
    import_pkcs12(tmp_path, pkcs12_of(first, second.certificate), "--ra").good()
    assert CaDir(tmp_path / "ca").load().current.chain == (second.certificate,)


@pytest.mark.parametrize(
    ("data", "password", "words"),
    [
        pytest.param("good", None, "is encrypted; give its password by --import-key-password-file", id="no password"),
        pytest.param("good", b"wrong", "damaged, or its password is another one", id="wrong password"),
        pytest.param("cut", PASSWORD, "it is no PKCS #12 file", id="cut"),
        pytest.param("pem", PASSWORD, "it is no PKCS #12 file", id="PEM"),
        pytest.param("", PASSWORD, "it is no PKCS #12 file", id="empty"),
        pytest.param("no key", PASSWORD, "has no private key in it", id="no key"),
        pytest.param("another", PASSWORD, "holds no certificate for its key", id="another certificate"),
        pytest.param("expired", PASSWORD, "the CA certificate is not valid now: it is from", id="expired"),
    ],
)
def test_issue_10_5_a_pkcs12_file_that_cannot_be_used(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, data: str, password: bytes | None, words: str
) -> None:
    pair = certificate("CN=Old root", key("ec:P-256", "old root"))
    made = {
        "good": lambda: pkcs12_of(pair),
        "cut": lambda: pkcs12_of(pair)[:-1],
        "pem": lambda: files.pem(pair.certificate),
        "": lambda: b"",
        "no key": lambda: pkcs12.serialize_java_truststore(
            [pkcs12.PKCS12Certificate(pair.certificate, None)], BestAvailableEncryption(PASSWORD)
        ),
        "another": lambda: pkcs12.serialize_key_and_certificates(
            None,
            pair.key,
            None,
            [ca_pair("ec:P-256").certificate],
            BestAvailableEncryption(PASSWORD),  # type: ignore[arg-type]
        ),
        "expired": lambda: pkcs12_of(certificate("CN=Old root", key("ec:P-256", "old root"), ended=True)),
    }[data]()
    import_pkcs12(tmp_path, made, password=password).refused_in_one_line(2, words)
    assert not (tmp_path / "ca").exists() and not recwarn.list


def test_issue_10_5_the_options_of_an_import_do_not_mix(tmp_path: Path) -> None:
    pair = certificate("CN=Old root", key("ec:P-256", "old root"))
    files.write(tmp_path / "import.p12", pkcs12_of(pair), secret=True)
    files.write(tmp_path / "cert", files.pem(pair.certificate))
    where = ("ca", "init", "--dir", tmp_path / "ca")
    both = (*where, "--import-pkcs12", tmp_path / "import.p12", "--import-cert", tmp_path / "cert")
    run(*both).refused_in_one_line(2, "--import-pkcs12 has key and certificate in it")
    as_key = (*where, "--import-key", tmp_path / "import.p12", "--import-cert", tmp_path / "cert")
    run(*as_key).refused_in_one_line(2, "is a PKCS #12 file; give it by --import-pkcs12 alone")
    alone = (*where, "--import-key-password-file", tmp_path / "cert")
    run(*alone).refused_in_one_line(2, "goes with --import-key or --import-pkcs12")
