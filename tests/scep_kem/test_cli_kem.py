"""ML-KEM on the command line: RA keys, enrolment, renewal and polling of keys that cannot sign, backends.

The exchange itself is tested in tests/scep/; here it is what users type, what they see and which files they get.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509

from kem.errors import UnsupportedParameterSet
from kem.keys import encode_public_key
from pkix.certificates import Certificate
from pkix.pkcs10 import encode_statement_request, encode_unsigned_request
from scep.attributes import MessageType
from scep.capabilities import Capabilities
from scep.messages import PkiMessage
from scep_kem import files
from scep_kem import kem as kem_module
from scep_kem.ca_dir import CaDir
from scep_kem.client import exchange as exchange_module
from scep_kem.client.transport import HttpTransport
from scep_kem.config import load
from scep_kem.errors import UsageError
from tests.scep_kem.kit import CONFIG, Answer, Peer, Received, Result, Site, ca_pair, make_ca_dir, run, serving
from tests.world import kem_key, key, name

STATEMENT = """
[profiles.statement.authorisation]
challenge_password = true
[profiles.statement.kem]
pop = "statement"
"""


@pytest.fixture(scope="module")
def ca_dir(tmp_path_factory: pytest.TempPathFactory) -> CaDir:
    return make_ca_dir(
        tmp_path_factory.mktemp("kem") / "ca", CONFIG + STATEMENT, pair=ca_pair("ec:P-256"), kems=("ml-kem-768",)
    )


@pytest.fixture(scope="module")
def url(ca_dir: CaDir) -> Iterator[str]:
    with serving(replace(load(ca_dir.config_path), port=0)) as port:
        yield f"http://127.0.0.1:{port}/scep"


class Device:
    """A folder with key and certificate of a device, and what every command of it has in common."""

    def __init__(self, folder: Path, url: str, ca_dir: CaDir) -> None:
        self.folder, self.url, self.ca_dir = folder, url, ca_dir
        self.key, self.out = folder / "device.key", folder / "device.pem"
        self.fingerprint = ca_dir.load().current.identifier

    @property
    def where(self) -> tuple[str, ...]:
        """--url and --ca-fingerprint."""
        return "--url", self.url, "--ca-fingerprint", self.fingerprint

    def password(self) -> str:
        """`challenge new`."""
        return run("challenge", "new", "--dir", self.ca_dir.path).good().out.strip()

    def enroll(self, *arguments: str | Path, subject: str = "CN=kem", key_type: str | None = "ml-kem-768") -> Result:
        """`enroll` into device.pem."""
        files_of = ("--key", self.key, "--out", self.out)
        kind = () if key_type is None else ("--key-type", key_type)
        return run("enroll", *self.where, *files_of, *kind, "--subject", subject, *arguments)

    def waiting(self, subject: str) -> str:
        """The ID of the newest request for a subject."""
        lines = run("requests", "list", "--dir", self.ca_dir.path).good().out.splitlines()
        return next(line.split()[0] for line in lines if line.endswith(f"  {subject}"))


@pytest.fixture
def device(tmp_path: Path, url: str, ca_dir: CaDir) -> Device:
    return Device(tmp_path, url, ca_dir)


# The RA's keys


def test_the_ra_gets_an_ml_kem_key_in_a_private_file(tmp_path: Path) -> None:
    said = run("ca", "init", "--dir", tmp_path / "ca", "--key-type", "ec:P-256", "--kem", "ml-kem-768").good().out
    assert "RA ML-KEM-768: CN=SCEP demo CA RA ML-KEM-768" in said
    (file,) = (tmp_path / "ca").glob("ca-*/ra-ml-kem-768.key.pem")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (pair,) = CaDir(tmp_path / "ca").load().current.ra_kem
    assert files.read_kem_key(file).seed == pair.key.seed is not None


def test_several_parameter_sets_and_no_rsa(tmp_path: Path) -> None:
    kems = ("--kem", "ml-kem-768", "--kem", "ml-kem-1024", "--no-rsa")
    said = run("ca", "init", "--dir", tmp_path / "ca", "--key-type", "ml-dsa-44", *kems).good().out
    assert "RA ML-KEM-768" in said and "RA ML-KEM-1024" in said and "RA decryption" not in said
    assert CaDir(tmp_path / "ca").load().current.ra_decryption is None


@pytest.mark.parametrize("arguments", [["--no-rsa"], ["--no-rsa", "--kem", "ml-kem-768"]], ids=" ".join)
def test_no_rsa_needs_another_key_to_encrypt_to(tmp_path: Path, arguments: list[str]) -> None:
    found = run("ca", "init", "--dir", tmp_path / "ca", *arguments)
    found.refused_in_one_line(2, "--no-rsa needs --kem and a CA key that is not RSA")


def test_no_rsa_looks_at_the_imported_key_and_not_at_the_default_of_key_type(tmp_path: Path) -> None:
    files.write_key(tmp_path / "key", ca_pair("ec:P-256").key)
    files.write(tmp_path / "cert", files.pem(ca_pair("ec:P-256").certificate))
    imported = ("--import-key", tmp_path / "key", "--import-cert", tmp_path / "cert")
    run("ca", "init", "--dir", tmp_path / "ca", *imported, "--kem", "ml-kem-768", "--no-rsa").good()


def test_a_parameter_set_given_twice_is_one_key(tmp_path: Path) -> None:
    twice = ("--kem", "ml-kem-768", "--kem", "ml-kem-768")
    run("ca", "init", "--dir", tmp_path / "ca", "--key-type", "ec:P-256", *twice)
    found = CaDir(tmp_path / "ca")
    assert not found.exists() or len(found.load().current.ra_kem) == 1


def test_a_key_is_added_to_a_running_ca(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    site = Site(made)
    assert b"ML-KEM" not in site.get("operation=GetCACaps").data
    run("ca", "add-kem", "--dir", made.path, "ml-kem-768").good()
    assert b"ML-KEM-768\nKEM-PoP\n" in site.get("operation=GetCACaps").data
    assert len(site.ca_certificates().all) == 2


def test_a_key_is_added_once(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca", kems=("ml-kem-768",))
    found = run("ca", "add-kem", "--dir", made.path, "ml-kem-768")
    found.refused_in_one_line(2, "the RA has an ML-KEM-768 certificate already")


def test_a_rollover_makes_the_same_kinds_of_keys_again(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca", pair=ca_pair("ec:P-256"), kems=("ml-kem-768",), rsa_decryption=False)
    old = made.load().current
    run("ca", "rollover", "--dir", made.path).good()
    new = made.load().following
    assert new is not None and new.ra_decryption is None and len(new.ra_kem) == 1
    assert new.ra_kem[0].key.seed != old.ra_kem[0].key.seed


@pytest.mark.parametrize(("content", "said"), [(None, "cannot read"), (b"garbage", "ra-ml-kem-768.key.pem")])
def test_a_damaged_ml_kem_key_is_told_in_one_line(tmp_path: Path, content: bytes | None, said: str) -> None:
    made = make_ca_dir(tmp_path / "ca", kems=("ml-kem-768",))
    (file,) = made.path.glob("ca-*/ra-ml-kem-768.key.pem")
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    run("ca", "show", "--dir", made.path).refused_in_one_line(2, said)


def test_an_rsa_key_in_the_place_of_an_ml_kem_key_is_told_in_one_line(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca", kems=("ml-kem-768",))
    (file,) = made.path.glob("ca-*/ra-ml-kem-768.key.pem")
    files.write_key(file, key("ec:P-256"))
    run("ca", "show", "--dir", made.path).refused_in_one_line(2, "ra-ml-kem-768.key.pem holds no ML-KEM key")


# Enrolment


def test_an_ml_kem_key_is_made_enrolled_and_kept_private(device: Device) -> None:
    said = device.enroll("--challenge", device.password(), "--require-kem").good()
    assert "key            ml-kem-768\n" in said.out
    certificate = files.read_certificate(device.out)
    assert certificate.is_kem and stat.S_IMODE(device.key.stat().st_mode) == 0o600
    assert files.read_kem_key(device.key).parameter_set.name == "ML-KEM-768"
    assert {path.name for path in device.folder.iterdir()} == {"device.key", "device.pem"}


def test_an_existing_ml_kem_key_is_used(device: Device) -> None:
    files.write_key(device.key, kem_key()[0])
    before = device.key.read_bytes()
    device.enroll("--challenge", device.password(), key_type=None).good()
    assert device.key.read_bytes() == before
    assert files.read_certificate(device.out).is_kem


def test_the_trace_explains_challenge_and_proof_and_shows_no_secret(device: Device) -> None:
    secret = device.password()
    said = device.enroll("--challenge", secret, "--trace").good().out
    for words in (
        "GetCACert: ",
        "kemPopChallenge ML-KEM-768 ciphertext, 1088 octets, H ",
        "proof of possession, computed by the client",
        "kemPopConfirm  mac ",
        "capsHash ",
        "ML-KEM-768 with HKDF-SHA256 and aes256-wrap to key ",
    ):
        assert words in said, words
    assert secret not in said and files.read_kem_key(device.key).seed.hex() not in said  # type: ignore[union-attr]


def test_messages_are_saved_in_their_order(device: Device) -> None:
    device.enroll("--challenge", device.password(), "--save-messages", device.folder / "messages").good()
    messages = sorted((device.folder / "messages").iterdir())[2:]  # behind GetCACaps and GetCACert
    kinds = [PkiMessage.decode(path.read_bytes()).message_type for path in messages]
    assert kinds == [MessageType.PKCSReq, MessageType.CertRep, MessageType.CertPoll, MessageType.CertRep]


def test_a_classic_profile_refuses_an_ml_kem_key(device: Device) -> None:
    device.url += "/classic"
    device.enroll("--challenge", device.password()).refused_in_one_line(4, "refused: ", "ML-KEM")


def test_require_kem_stops_before_anything_is_sent_where_there_is_none(device: Device) -> None:
    device.url += "/classic"
    found = device.enroll("--challenge", device.password(), "--require-kem", key_type="ec:P-256")
    found.refused_in_one_line(1, "ML-KEM is required, and GetCACert has no ML-KEM certificate that we can use")


def test_capabilities_that_were_cut_on_the_way_are_noticed_by_both_sides(device: Device) -> None:
    """GetCACaps is not authenticated; the certificates are, and the confirmation is bound to what was acted on."""
    real = HttpTransport(device.url)

    def answer(request: Received) -> Answer:
        if "GetCACaps" in request.path:
            return 200, b"AES\nPOSTPKIOperation\nSHA-256\n"
        if "GetCACert" in request.path:
            return 200, real.get_ca_cert()
        return 200, real.pki_operation(request.body, Capabilities(frozenset({"postpkioperation"})))

    with Peer(answer) as peer:
        device.url = peer.url
        said = device.enroll("--challenge", device.password(), "--require-kem", "--trace")
    assert "GetCACaps does not list KEM-PoP, but the CA has an ML-KEM certificate: going on with ML-KEM" in said.out
    said.refused_in_one_line(4, "refused: ", "downgrade")
    assert "signed by      CN=SCEP client, ec:P-256" in said.out


def test_capabilities_that_were_suppressed_are_noticed_by_the_ca(device: Device) -> None:
    """No answer is acted on like an empty one, and confirmed like an empty one; it is asked by POST all the same."""
    real, posts = HttpTransport(device.url), []

    def answer(request: Received) -> Answer:
        if "GetCACaps" in request.path:
            return 500, b"oops"
        if "GetCACert" in request.path:
            return 200, real.get_ca_cert()
        posts.append(request.body)
        return 200, real.pki_operation(request.body, Capabilities(frozenset({"postpkioperation"})))

    with Peer(answer) as peer:
        device.url = peer.url
        found = device.enroll("--challenge", device.password(), "--trace")
    found.refused_in_one_line(4, "refused: ", "downgrade")
    assert len(posts) == 2 and all(posts)
    assert "AES-256-GCM" in found.out and "CBC" not in found.out


def test_an_ml_kem_certificate_is_not_renewed_where_renewal_is_not_listed(device: Device) -> None:
    device.enroll("--challenge", device.password()).good()
    real = HttpTransport(device.url)

    def answer(request: Received) -> Answer:
        if "GetCACaps" in request.path:
            return 200, (real.capabilities()[0] or b"").replace(b"Renewal\n", b"")
        return 200, real.get_ca_cert()

    with Peer(answer) as peer:
        device.url = peer.url
        found = run("renew", *device.where, "--key", device.key, "--cert", device.out, "--out", device.out)
    found.refused_in_one_line(1, "the CA does not list Renewal")


def test_a_wrong_password_is_refused(device: Device) -> None:
    device.enroll("--challenge", "wrong").refused_in_one_line(4, "the challengePassword is not valid")
    assert {path.name for path in device.folder.iterdir()} == {"device.key"}


def test_a_signing_certificate_states_possession(device: Device) -> None:
    """RFC 9883: no challenge, because the holder of the signing certificate vouches."""
    signing = (device.folder / "sign.key", device.folder / "sign.pem")
    device.key, device.out = signing
    device.enroll("--challenge", device.password(), key_type="ec:P-256", subject="CN=both").good()
    device.key, device.out = device.folder / "device.key", device.folder / "device.pem"
    device.url += "/statement"
    stating = ("--signing-key", signing[0], "--signing-cert", signing[1])
    said = device.enroll("--challenge", device.password(), *stating, "--trace", subject="CN=both").good().out
    assert "kemPopChallenge" not in said and files.read_certificate(device.out).is_kem


@pytest.mark.parametrize("option", ["--signing-key", "--signing-cert"])
def test_signing_key_and_certificate_go_together(device: Device, option: str) -> None:
    files.write_key(device.folder / "sign.key", key("ec:P-256"))
    found = device.enroll(option, device.folder / "sign.key")
    found.refused_in_one_line(2, "--signing-cert and --signing-key go together")


# Pending


def test_a_pending_enrolment_is_polled_with_the_ephemeral_key_that_was_kept(device: Device) -> None:
    device.url += "/approval"
    device.enroll(subject="CN=kem waits").refused_in_one_line(3, "still pending")
    file = device.folder / "device.pem.pending"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "PRIVATE KEY" in json.loads(file.read_bytes())["signer key"]
    run("requests", "approve", device.waiting("CN=kem waits"), "--dir", device.ca_dir.path).good()
    run("poll", "--key", device.key, "--out", device.out).good()
    assert files.read_certificate(device.out).is_kem and not file.exists()


def test_polling_with_a_signing_key_instead_is_exit_code_2(device: Device) -> None:
    device.url += "/approval"
    assert device.enroll(subject="CN=kem mixed up").code == 3
    files.write_key(device.folder / "other.key", key("ec:P-256"))
    found = run("poll", "--key", device.folder / "other.key", "--out", device.out)
    found.refused_in_one_line(2, "the key is not the one that the pending request is for")
    assert (device.folder / "device.pem.pending").exists()


def test_a_server_that_goes_in_circles_is_left_pending(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run answers a few challenges and no more; another run may go on."""
    device.url += "/approval"
    sent: list[int] = []
    send = exchange_module.Exchange._send

    def challenged(self: exchange_module.Exchange, message: bytes) -> object:
        sent.append(1)
        return replace(send(self, message), challenged=True)  # type: ignore[type-var]

    monkeypatch.setattr(exchange_module.Exchange, "_send", challenged)
    assert device.enroll(subject="CN=circles").code == 3
    assert len(sent) == 1 + exchange_module.MAX_CHALLENGES


# Renewal


def test_a_renewal_that_was_interrupted_goes_on_by_poll(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pending file names key and certificate of both sides; the CA sends a fresh challenge."""
    device.enroll("--challenge", device.password()).good()
    monkeypatch.chdir(device.folder)
    monkeypatch.setattr(exchange_module, "MAX_CHALLENGES", 0)
    old = ("--cert", "device.pem", "--key", "device.key", "--new-key", "new.key", "--out", "new.pem")
    assert run("renew", *device.where, *old).code == 3
    monkeypatch.undo()
    run("poll", "--key", device.folder / "new.key", "--out", device.folder / "new.pem").good()
    assert files.read_certificate(device.folder / "new.pem").is_kem


@pytest.mark.parametrize("new_key", [True, False])
def test_an_ml_kem_certificate_is_renewed_by_proving_possession(device: Device, new_key: bool) -> None:
    device.enroll("--challenge", device.password(), "--san", "dns:a.example").good()
    more = ["--new-key", device.folder / "new.key"] if new_key else []
    old = ("--cert", device.out, "--key", device.key, "--out", device.folder / "new.pem")
    run("renew", *device.where, *old, *more).good()
    certificate = files.read_certificates(device.folder / "new.pem")[0]
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert Certificate.of(certificate).is_kem and names.get_values_for_type(x509.DNSName) == ["a.example"]
    if new_key:
        assert files.read_kem_key(device.folder / "new.key").parameter_set.name == "ML-KEM-768"


def test_a_revoked_ml_kem_certificate_is_not_renewed(device: Device) -> None:
    device.enroll("--challenge", device.password()).good()
    serial = files.read_certificate(device.out).serial_number
    run("ca", "revoke", f"{serial:x}", "--dir", device.ca_dir.path).good()
    old = ("--cert", device.out, "--key", device.key, "--out", device.folder / "new.pem")
    run("renew", *device.where, *old).refused_in_one_line(4, "the certificate to renew is revoked")


def test_a_signing_key_is_renewed_at_a_ca_without_rsa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A response key, because the server knows those; nothing here has an RSA key."""
    made = make_ca_dir(tmp_path / "ca", pair=ca_pair("ed25519"), kems=("ml-kem-768",), rsa_decryption=False)
    with serving(replace(load(made.config_path), port=0)) as port:
        device = Device(tmp_path, f"http://127.0.0.1:{port}/scep", made)
        device.enroll("--challenge", device.password(), key_type="ec:P-256").good()
        old = ("--cert", device.out, "--key", device.key, "--out", tmp_path / "new.pem")
        said = run("renew", *device.where, *old, "--trace").good().out
    assert "under response key" in said and "RSA" not in said


# Backends


def test_backends_are_listed_with_what_they_can_do() -> None:
    lines = run("kem", "backends").good().out.splitlines()
    assert [line.split()[0] for line in lines] == ["cryptography", "liboqs"]
    assert "ML-KEM-768" in lines[0]


def test_a_backend_that_cannot_be_used_is_listed_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    status = SimpleNamespace(name="liboqs", version="", parameter_sets=(), problem="it is not installed")
    monkeypatch.setattr(sys.modules["scep_kem.cli.kem"], "backend_list", lambda: [status])
    assert run("kem", "backends").good().out == "liboqs         not usable: it is not installed\n"


def test_a_backend_that_is_asked_for_and_not_there_is_exit_code_2(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(name: str, **_more: object) -> None:
        raise UnsupportedParameterSet(f"backend {name}: it is not installed")

    monkeypatch.setattr(kem_module, "load", unavailable)
    kem_module.backends.cache_clear()
    try:
        found = device.enroll("--kem-backend", "liboqs", "--challenge", "x", key_type="ec:P-256")
        found.refused_in_one_line(2, "backend liboqs: it is not installed")
    finally:
        monkeypatch.undo()
        kem_module.backends.cache_clear()


def test_a_parameter_set_that_no_backend_has_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        def encapsulation_key(self, _key: object) -> None:
            raise UnsupportedParameterSet("ML-KEM-512 is not supported here")

    monkeypatch.setattr(kem_module, "backends", Nothing)
    with pytest.raises(UsageError, match=r"ML-KEM-512 is not supported here; see `scep-kem kem backends`"):
        kem_module.new_kem_key("ml-kem-512")


def test_where_liboqs_is_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[object] = []
    monkeypatch.setitem(os.environ, kem_module.OQS_INSTALL_PATH, str(tmp_path))
    monkeypatch.setattr(kem_module, "available", lambda **more: asked.append(more) or ())
    assert kem_module.backend_list() == () and asked == [{"oqs_install_path": str(tmp_path)}]


# Issue 11, section 3: requests made elsewhere


def test_a_request_of_another_program_for_a_kem_key_enrols(ca_dir: CaDir, url: str, tmp_path: Path) -> None:
    device = Device(tmp_path, url, ca_dir)
    private, public = kem_key("ML-KEM-768", "made elsewhere")
    files.write_key(device.key, private)
    unsigned = encode_unsigned_request(
        encode_public_key(public), name("CN=kem elsewhere"), challenge_password=device.password()
    )
    (tmp_path / "request.csr").write_bytes(unsigned)
    asked = ("--csr", tmp_path / "request.csr", "--key", device.key, "--out", device.out)
    run("enroll", *device.where, *asked).good()
    assert files.read_certificate(device.out).spki == encode_public_key(public)


@pytest.mark.parametrize("signed_by", ["ephemeral", "the stating key"])
def test_so_does_one_with_a_statement(ca_dir: CaDir, url: str, tmp_path: Path, signed_by: str) -> None:
    signing, device = Device(tmp_path / "signing", url, ca_dir), Device(tmp_path, url + "/statement", ca_dir)
    signing.folder.mkdir()
    subject = f"CN=stated, {signed_by}".replace(",", "")
    signing.enroll("--challenge", signing.password(), subject=subject, key_type="ec:P-256").good()
    private, public = kem_key("ML-KEM-768", signed_by)
    files.write_key(device.key, private)
    stated = encode_statement_request(
        encode_public_key(public),
        name(subject),
        files.read_key(signing.key),
        files.read_certificate(signing.out),
        challenge_password=device.password(),
    )
    (tmp_path / "request.csr").write_bytes(stated)
    asked = ["--csr", tmp_path / "request.csr", "--key", device.key, "--out", device.out]
    if signed_by != "ephemeral":
        asked += ["--signing-cert", signing.out, "--signing-key", signing.key]
    run("enroll", *device.where, *asked).good()
    assert files.read_certificate(device.out).spki == encode_public_key(public)
