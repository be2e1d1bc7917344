"""What a server is to a case, and our responder in all its variants. Other people's are in `other_servers`."""

from __future__ import annotations

import abc
import hashlib
import re
import shlex
import shutil
import sys
import urllib.request
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from interop.kit import install, our_cms
from interop.kit.cases import CaseFailed, Missing
from interop.kit.certs import load_certificate
from interop.kit.process import Background, Processes, Result, wait_until

STATIC_CHALLENGE = "secret"

RESPONDER_CONFIGURATION = """\
[ca]
dir = "."
[server]
host = "127.0.0.1"
port = 8080
[algorithms]
legacy = {legacy}
kem_backend = "{kem_backend}"
[profiles.default]
validity_days = 365
[profiles.default.authorisation]
challenge_password = true
renewal = true
[profiles.manual.authorisation]
manual = true
[profiles.manual.kem]
classic = {classic}
[profiles.default.kem]
classic = {classic}
"""


class Server(abc.ABC):
    """A running SCEP server on 127.0.0.1.

    abilities: what it can do beyond enrolling: "pending", "renewal", "getcert", "getcrl", "rollover", "refusal".
    has_ra: RA certificates with RSA keys sign and decrypt instead of the CA's.
    """

    abilities: frozenset[str] = frozenset()
    path = "/scep"
    has_ra = False

    def __init__(self, folder: Path, processes: Processes) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.processes = processes
        self.log = folder / "server.log"
        self.log.write_bytes(b"")
        self.child = self.launch()
        self.port = self.wait_for_port()
        self.authority = self._fetch_authority()
        self.ca_pem = folder / "ca.pem"
        self.ca_pem.write_bytes(self.authority.public_bytes(serialization.Encoding.PEM))

    @abc.abstractmethod
    def launch(self) -> Background:
        """Start it with its output going to self.log, where a line `URL: …` appears once it listens."""

    def challenge(self, *, manual: bool = False) -> str:
        """A challenge password good for one enrolment, "" if requests to be approved go without one."""
        return STATIC_CHALLENGE

    def approve(self, common_name: str) -> None:
        """Approve the waiting request of this common name; servers that approve by themselves do nothing."""
        return

    def profile_path(self, *, manual: bool) -> str:
        """Path of the URL that issues at once, or of the one that leaves requests pending."""
        return self.path

    def wait_for_port(self, start: int = 0) -> int:
        """The port that the log names from octet `start` on. Raises CaseFailed."""

        def listening() -> int | None:
            text = self.log.read_bytes()[start:].decode("utf-8", "replace")
            match = re.search(r"^URL: http://127\.0\.0\.1:(\d+)", text, re.M)
            if match is None and self.child.process.poll() is not None:
                raise CaseFailed(f"the server ended at once:\n{self.log.read_text(errors='replace')}")
            return int(match[1]) if match else None

        return wait_until(listening, seconds=30, what="the server to listen")

    def _fetch_authority(self) -> x509.Certificate:
        url = f"http://127.0.0.1:{self.port}{self.path}?operation=GetCACert"
        with urllib.request.urlopen(url, timeout=10) as answer:
            body = answer.read()
        return self.choose_authority(body)

    def choose_authority(self, body: bytes) -> x509.Certificate:
        """The CA certificate in the answer to GetCACert."""
        return load_certificate(body)


class OurResponder(Server):
    """`scep-kem serve` with a profile that takes challenge passwords and one that waits for an operator."""

    abilities = frozenset({"pending", "renewal", "getcert", "getcrl", "rollover", "refusal", "strict"})
    legacy = False
    classic = False
    kem_backend = "automatic"
    key_type = "rsa:2048"
    init_options: tuple[str, ...] = ()

    def launch(self) -> Background:
        shutil.rmtree(self.folder / "ca", ignore_errors=True)
        directory = str(self.folder / "ca")
        options = ("--key-type", self.key_type, "--subject", "CN=Interop CA", *self.init_options)
        made = self.command("ca", "init", "--dir", directory, *options)
        if made.code != 0:
            raise CaseFailed(f"scep-kem ca init failed: {made.text}")
        configuration = RESPONDER_CONFIGURATION.format(
            legacy=str(self.legacy).lower(), classic=str(self.classic).lower(), kem_backend=self.kem_backend
        )
        (self.folder / "ca" / "scep.toml").write_text(configuration)
        return self.processes.start(self.serve_command(directory), cwd=self.folder, log=self.log)

    def serve_command(self, directory: str) -> tuple[str, ...]:
        """The command line of the server on this folder."""
        return (scep_kem(), "serve", "--dir", directory, "--port", "0")

    def restart(self) -> None:
        """Stop the responder and start it again on the same port."""
        self.child.stop()
        before = self.log.stat().st_size
        command = (*self.serve_command(str(self.folder / "ca"))[:-1], str(self.port))
        self.child = self.processes.start(command, cwd=self.folder, log=self.log)
        self.wait_for_port(before)

    def choose_authority(self, body: bytes) -> x509.Certificate:
        """From the disk, whatever else the answer holds."""
        (found,) = (self.folder / "ca").glob("ca-*/ca.cert.pem")
        return load_certificate(found.read_bytes())

    def command(self, *arguments: str) -> Result:
        """Run an operator's command of scep-kem."""
        return self.processes.run((scep_kem(), *arguments), cwd=self.folder, seconds=60)

    def challenge(self, *, manual: bool = False) -> str:
        if manual:
            return ""
        made = self.command("challenge", "new", "--dir", str(self.folder / "ca"))
        if made.code != 0:
            raise CaseFailed(f"scep-kem challenge new failed: {made.text}")
        return made.stdout.strip()

    def approve(self, common_name: str) -> None:
        directory = str(self.folder / "ca")
        listed = self.command("requests", "list", "--dir", directory)
        lines = [line for line in listed.stdout.splitlines() if f"CN={common_name}" in line]
        if not lines:
            raise CaseFailed(f"no pending request of {common_name} in: {listed.text}")
        approved = self.command("requests", "approve", lines[0].split()[0], "--dir", directory)
        if approved.code != 0:
            raise CaseFailed(f"scep-kem requests approve failed: {approved.text}")

    def rollover(self) -> None:
        """Prepare the next CA certificate."""
        made = self.command("ca", "rollover", "--dir", str(self.folder / "ca"))
        if made.code != 0:
            raise CaseFailed(f"scep-kem ca rollover failed: {made.text}")

    def profile_path(self, *, manual: bool) -> str:
        return "/scep/manual" if manual else "/scep"

    def fingerprint(self) -> str:
        """SHA-256 of the DER CA certificate, hex."""
        return hashlib.sha256(self.authority.public_bytes(serialization.Encoding.DER)).hexdigest()


class KemResponder(OurResponder):
    """Everything that ML-KEM adds is on: two RA certificates for it beside an RSA CA that signs and decrypts."""

    init_options = ("--kem", "ml-kem-768", "--kem", "ml-kem-1024")


class KemRaResponder(OurResponder):
    """The same with RA certificates for RSA, too: a signer and a decryption certificate."""

    init_options = (*KemResponder.init_options, "--ra")
    has_ra = True


class RaResponder(OurResponder):
    """RA certificates for RSA and no ML-KEM: the control of KemRaResponder."""

    init_options = ("--ra",)
    has_ra = True


class ClassicResponder(KemResponder):
    """The keys of KemResponder behind profiles with `classic = true`."""

    classic = True


class ClassicRaResponder(KemRaResponder):
    """The keys of KemRaResponder behind profiles with `classic = true`."""

    classic = True


class KemOnlyResponder(OurResponder):
    """No RSA key anywhere: an ECDSA CA signs, an ML-KEM-768 key of the RA decrypts."""

    key_type = "ec:P-256"
    init_options = ("--kem", "ml-kem-768", "--no-rsa")


class MlDsaResponder(OurResponder):
    """The same with an ML-DSA-65 CA, an ML-DSA-44 signer and an ML-KEM-1024 key for the RA."""

    key_type = "ml-dsa-65"
    init_options = ("--kem", "ml-kem-1024", "--no-rsa", "--ra-key-type", "ml-dsa-44")


class LiboqsResponder(OurResponder):
    """An ECDSA CA with an ML-KEM-512 key for the RA, and liboqs as the only backend."""

    key_type = "ec:P-256"
    kem_backend = "liboqs"
    init_options = ("--kem", "ml-kem-512", "--no-rsa")

    def launch(self) -> Background:
        if "ml-kem-512" not in our_cms.parameter_sets():
            raise Missing("liboqs (python -m interop install) or liboqs-python (pip install '.[oqs]') is not there")
        return super().launch()


class ProductionResponder(OurResponder):
    """gunicorn and nginx, started by the commands that README.md prints, as printed. No RSA, ML-KEM-1024 for the RA."""

    key_type = "ml-dsa-65"
    init_options = ("--kem", "ml-kem-1024", "--no-rsa")

    def serve_command(self, directory: str) -> tuple[str, ...]:
        for name, target in (("my-ca", Path(directory)), ("deploy", install.CHECKOUT / "deploy")):
            (self.folder / name).unlink(missing_ok=True)
            (self.folder / name).symlink_to(target)
        gunicorn, nginx = (readme_command(name) for name in ("gunicorn", "nginx"))
        lines = (
            f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
            f"trap '{nginx} -s stop; exit' TERM",
            f"{gunicorn} &",
            nginx,
            "until (exec 3<>/dev/tcp/127.0.0.1/8000) 2>/dev/null; do sleep 0.05; done",
            "echo URL: http://127.0.0.1:80/scep",
            "wait",
        )
        return ("bash", "-c", "\n".join(lines))


def readme_command(name: str) -> str:
    """The command of this name that README.md prints in its section on production."""
    _before, found, section = (
        (install.CHECKOUT / "README.md").read_text(encoding="utf-8").partition("\n## In production\n")
    )
    commands = re.findall(rf"^    ({name} .*)$", section.partition("\n## ")[0], re.M)
    if not found or len(commands) != 1:
        raise CaseFailed(f"README.md prints no command {name}")
    return str(commands[0])


class NoServer(Server):
    """For peers that are no SCEP peers: nothing runs."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.processes = folder, processes
        self.log = folder / "server.log"
        self.log.write_bytes(b"")

    def launch(self) -> Background:
        raise NotImplementedError


def scep_kem() -> str:
    """Our command line, installed beside the Python that runs this."""
    path = Path(sys.executable).with_name("scep-kem")
    if not path.exists():
        raise Missing(f"{path.name} is not installed beside {Path(sys.executable).name}")
    return str(path)
