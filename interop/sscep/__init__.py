"""certnanny's sscep (C, OpenSSL), when a binary of that name is on PATH.

No Debian suite known to apt here has a package of it, so it is run where somebody installed it and otherwise
reported as not to be had. Its quirks: GetCert and GetCRL always under the transactionID "SSCEP transactionId",
renewal as a PKCSReq signed with the old certificate, capabilities compared case-sensitively.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import AttributeOID, NameOID

from interop.kit import install, kem_bag
from interop.kit.bench import Bench
from interop.kit.cases import Missing, NotToBeHad, Peer, check
from interop.kit.certs import check_issued, read_certificate, subject, write_rsa_key

STRONG = ("-E", "aes", "-S", "sha256")
BAD_REQUEST = 72  # sscep's exit code for the failInfo


def _probe() -> str:
    if shutil.which("sscep") is None:
        if install.package_obtainable("sscep"):
            raise Missing("the package sscep is not installed")
        raise NotToBeHad("no sscep on PATH, and apt knows no package sscep")
    shown = subprocess.run(("sscep",), capture_output=True, text=True, timeout=10, check=False)
    match = re.search(r"sscep version (\S+)", shown.stdout + shown.stderr)
    return match[1] if match else "unknown version"


def _install() -> None:
    if shutil.which("sscep") is None:
        if not install.package_obtainable("sscep"):
            raise NotToBeHad("no sscep on PATH, and apt knows no package sscep")
        install.apt_install("sscep")


PEER = Peer(
    name="sscep",
    title="certnanny's sscep",
    folder=Path(__file__).parent,
    probe=_probe,
    install=_install,
)


class Client:
    """A key, a request and the options that every operation has."""

    def __init__(self, bench: Bench, name: str) -> None:
        self.bench, self.name = bench, name
        self.cert = bench.folder / "cert.pem"
        self.key = write_rsa_key(bench.folder / "key.pem", traditional=True)
        self.authority = bench.server.ca_pem

    def request(self, challenge: str, key: Path) -> str:
        """Write a PKCS#10 request; sscep leaves making one to OpenSSL, the runner to cryptography."""
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(name)
        if challenge:
            builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge.encode())
        path = key.with_suffix(".csr")
        csr = builder.sign(private, hashes.SHA256())  # type: ignore[arg-type]
        path.write_bytes(csr.public_bytes(serialization.Encoding.PEM))
        return str(path)

    def enrol(
        self, url: str, challenge: str, *options: str, key: Path | None = None, ok: tuple[int, ...] = (0,)
    ) -> str:
        """sscep enroll; returns what it printed."""
        key = key or self.key
        argv = ("sscep", "enroll", "-v", "-u", url, "-c", str(self.authority), "-k", str(key))
        request = self.request(challenge, key)
        result = self.bench.run(*argv, "-r", request, "-l", str(self.cert), *STRONG, *options, ok=ok)
        if ok == (0,):
            check_issued(read_certificate(self.cert), self.bench.server.authority, name=self.name, key=key)
        return result.text

    def query(self, operation: str, url: str, *options: str) -> str:
        """sscep getcert or getcrl, signed with the enrolled certificate."""
        argv = ("sscep", operation, "-v", "-u", url, "-c", str(self.bench.server.ca_pem), "-k", str(self.key))
        return self.bench.run(*argv, "-l", str(self.cert), *STRONG, *options).text


def _enrol_as_found(bench: Bench) -> None:
    """With the files that getca wrote; which of them is for what, it leaves to the user."""
    client = Client(bench, "sscep7")
    url = bench.url()
    bench.run("sscep", "getca", "-v", "-u", url, "-c", str(bench.folder / "found"), "-F", "sha256")
    files = sorted(bench.folder.glob("found*"))
    bench.note("getca wrote: " + ", ".join(f"{path.name} ({subject(path)})" for path in files))
    encryption, verification = kem_bag.choose_by_hand(files)
    # sscep looks for the signer of an answer in -c alone, and wants an answer signed by it.
    client.authority = verification
    client.enrol(url, bench.server.challenge(), "-e", str(encryption))


kem_bag.register(PEER, _enrol_as_found)


@PEER.case("caps", "getcaps")
def caps(bench: Bench) -> None:
    """Case."""
    text = bench.run("sscep", "getcaps", "-v", "-u", bench.url()).text
    check("AES" in text, "AES is not in the list")


@PEER.case("cacert", "getca fetches the CA certificate that the server has")
def cacert(bench: Bench) -> None:
    """Case."""
    out = bench.folder / "fetched.pem"
    bench.run("sscep", "getca", "-v", "-u", bench.url(), "-c", str(out), "-F", "sha256")
    check(read_certificate(out) == bench.server.authority, "another certificate arrived")


@PEER.case("enrol", "PKCSReq, AES-128-CBC, SHA-256, challenge password")
def enrol(bench: Bench) -> None:
    """Case."""
    Client(bench, "sscep1").enrol(bench.url(), bench.server.challenge())
    bench.expect("PKCSReq > SUCCESS")


@PEER.case("get", "the same by GET, to a CA without POST")
def get(bench: Bench) -> None:
    """Case."""
    url = bench.url(hide=("POSTPKIOperation", "SCEPStandard"))
    Client(bench, "sscep2").enrol(url, bench.server.challenge())
    check(bench.operations()[0].request.start_line.startswith("GET "), "it was not a GET")


@PEER.case("renew", "renewal with -K and -O: signed with the old certificate")
def renew(bench: Bench) -> None:
    """Case."""
    bench.need("renewal")
    client = Client(bench, "sscep3")
    url = bench.url()
    client.enrol(url, bench.server.challenge())
    old = bench.folder / "old.pem"
    shutil.copy(client.cert, old)
    new_key = write_rsa_key(bench.folder / "new-key.pem", traditional=True)
    client.enrol(url, "", "-K", str(client.key), "-O", str(old), key=new_key)
    check(read_certificate(client.cert) != read_certificate(old), "the certificate is still the first one")


@PEER.case("poll", "PENDING, CertPoll every second, an operator approves, SUCCESS")
def poll(bench: Bench) -> None:
    """Case."""
    bench.need("pending")
    client = Client(bench, "pending-sscep")
    request = client.request(bench.server.challenge(manual=True), client.key)
    child = bench.start(
        *("sscep", "enroll", "-v", "-u", bench.url(manual=True), "-c", str(bench.server.ca_pem)),
        *("-k", str(client.key), "-r", request, "-l", str(client.cert), *STRONG, "-t", "1", "-n", "15"),
    )
    bench.wait_for_answer()
    bench.server.approve("pending-sscep")
    bench.finish(child)
    certificate = read_certificate(client.cert)
    check_issued(certificate, bench.server.authority, name="pending-sscep", key=client.key)
    bench.expect_polling()


@PEER.case("refused", "a wrong challenge password: signed FAILURE that sscep verifies and reports")
def refused(bench: Bench) -> None:
    """Case."""
    bench.need("refusal")
    text = Client(bench, "sscep4").enrol(bench.url(), "wrong", ok=(BAD_REQUEST,))
    check("Transaction not permitted or supported" in text, "sscep did not report badRequest")
    bench.expect("PKCSReq > FAILURE badRequest")


@PEER.case("getcert", "GetCert for the client's own serial number")
def getcert(bench: Bench) -> None:
    """Case."""
    bench.need("getcert")
    client = Client(bench, "sscep5")
    url = bench.url()
    client.enrol(url, bench.server.challenge())
    own = read_certificate(client.cert)
    out = bench.folder / "fetched.pem"
    ca = str(bench.server.ca_pem)
    client.query("getcert", url, "-O", ca, "-s", str(own.serial_number), "-w", str(out))
    check(read_certificate(out) == own, "another certificate arrived")
    bench.expect("PKCSReq > SUCCESS", "GetCert > SUCCESS")


@PEER.case("getcrl", "GetCRL by issuer and serial number of the client's certificate")
def getcrl(bench: Bench) -> None:
    """Case."""
    bench.need("getcrl")
    client = Client(bench, "sscep6")
    url = bench.url()
    client.enrol(url, bench.server.challenge())
    out = bench.folder / "crl.pem"
    client.query("getcrl", url, "-O", str(client.cert), "-w", str(out))
    crl = x509.load_pem_x509_crl(out.read_bytes())
    check(crl.issuer == bench.server.authority.subject, "the CRL is of another issuer")
    bench.expect("PKCSReq > SUCCESS", "GetCRL > SUCCESS")
