"""The strongSwan cases, for any installation of `pki`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from interop.kit import kem_bag
from interop.kit.bench import Bench
from interop.kit.cases import NotToBeHad, Peer, check
from interop.kit.certs import check_issued, load_certificate, subject, write_rsa_key
from interop.kit.process import Background
from interop.kit.roots import DebianRoot

POST_CAPABILITIES = ("POSTPKIOperation", "SCEPStandard")


@dataclass(frozen=True)
class Pki:
    """command: how to call pki. root: where it runs, None for the machine itself."""

    command: tuple[str, ...]
    root: DebianRoot | None

    def folder(self, bench: Bench) -> Path:
        """Where files for pki go."""
        return bench.folder if self.root is None else self.root.fresh_folder(bench.folder.parent.name)

    def seen(self, path: Path) -> str:
        """The path as pki sees it."""
        return str(path) if self.root is None else self.root.seen(path)


class Enrolment:
    """One client: a key, and the options that every `pki --scep` has."""

    def __init__(self, pki: Pki, bench: Bench, name: str) -> None:
        self.pki, self.bench, self.name = pki, bench, name
        self.folder = pki.folder(bench)
        self.key = write_rsa_key(self.folder / "key.pem")
        self.encryption = self.verification = self.folder / "ca.pem"
        shutil.copy(bench.server.ca_pem, self.encryption)

    def argv(self, url: str, *options: str, key: Path | None = None) -> tuple[str, ...]:
        """The command line of an enrolment for `key`."""
        encryption, verification = self.pki.seen(self.encryption), self.pki.seen(self.verification)
        certificates = ("--cacert-enc", encryption, "--cacert-sig", verification)
        return (
            *(*self.pki.command, "--scep", "--url", url, "--in", self.pki.seen(key or self.key)),
            *("--dn", f"C=CH, O=interop, CN={self.name}", *certificates),
            *("--outform", "pem", *options),
        )

    def enrol(self, url: str, *options: str, key: Path | None = None) -> bytes:
        """Enrol and check the certificate; returns its PEM."""
        return self.checked(self.bench.run(*self.argv(url, *options, key=key)).stdout, key)

    def finish(self, child: Background) -> bytes:
        """The same for an enrolment that was started."""
        return self.checked(self.bench.finish(child).stdout, None)

    def checked(self, stdout: str, key: Path | None) -> bytes:
        """The certificate that pki printed."""
        certificate = load_certificate(stdout.encode())
        check_issued(certificate, self.bench.server.authority, name=self.name, key=key or self.key)
        return certificate.public_bytes(serialization.Encoding.PEM)


def register(peer: Peer, pki: Pki, *, can_get: Callable[[], bool]) -> None:
    """Add the cases to a peer."""
    _register_enrolments(peer, pki, can_get)
    _register_answers(peer, pki)
    kem_bag.register(peer, lambda bench: _enrol_as_found(pki, bench))


def _enrol_as_found(pki: Pki, bench: Bench) -> None:
    """With the certificates that --scepca wrote; which of them is for what, it leaves to the user."""
    client = Enrolment(pki, bench, "swan8")
    found = client.folder / "found"
    found.mkdir()
    url = bench.url()
    out = ("--caout", pki.seen(found / "ca.pem"), "--raout", pki.seen(found / "ra.pem"))
    bench.run(*pki.command, "--scepca", "--url", url, *out, "--outform", "pem")
    files = sorted(found.iterdir())
    bench.note("--scepca wrote: " + ", ".join(f"{path.name} ({subject(path)})" for path in files))
    client.encryption, client.verification = kem_bag.choose_by_hand(files)
    client.enrol(url, "--password", bench.server.challenge())


def _register_enrolments(peer: Peer, pki: Pki, can_get: Callable[[], bool]) -> None:
    @peer.case("cacert", "GetCACert fetches the CA certificate that the server has")
    def cacert(bench: Bench) -> None:
        out = pki.folder(bench) / "fetched.pem"
        bench.run(
            *(*pki.command, "--scepca", "--url", bench.url(), "--caout", pki.seen(out)),
            *("--outform", "pem", "--force"),
        )
        check(load_certificate(out.read_bytes()) == bench.server.authority, "another certificate arrived")

    @peer.case("enrol", "PKCSReq by POST without Content-Type, AES-128-CBC, SHA-256, challenge password")
    def enrol(bench: Bench) -> None:
        Enrolment(pki, bench, "swan1").enrol(bench.url(), "--password", bench.server.challenge())
        bench.expect("PKCSReq > SUCCESS")

    @peer.case("get", "PKCSReq by GET (base64 with %0A every 64, no Host header) to a CA without POST")
    def get(bench: Bench) -> None:
        if not can_get():
            raise NotToBeHad("before 5.9.11 pki sends POST to every CA whose capabilities it accepts at all")
        url = bench.url(hide=POST_CAPABILITIES)
        Enrolment(pki, bench, "swan2").enrol(url, "--password", bench.server.challenge())
        bench.expect("PKCSReq > SUCCESS")
        check(bench.operations()[0].request.start_line.startswith("GET "), "it was not a GET")

    @peer.case("sha512", "the same with SHA-512 signatures")
    def sha512(bench: Bench) -> None:
        options = ("--password", bench.server.challenge(), "--digest", "sha512")
        Enrolment(pki, bench, "swan3").enrol(bench.url(), *options)
        bench.expect("PKCSReq > SUCCESS")

    @peer.case("pss", "the same with RSASSA-PSS signatures on request, self-signed certificate and CSR")
    def pss(bench: Bench) -> None:
        options = ("--password", bench.server.challenge(), "--rsa-padding", "pss")
        Enrolment(pki, bench, "swan4").enrol(bench.url(), *options)
        bench.expect("PKCSReq > SUCCESS")
        check(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a" in bench.operations()[0].message, "no PSS in the request")

    @peer.case("renew", "RenewalReq for a new key, signed with the old certificate, no challenge password")
    def renew(bench: Bench) -> None:
        bench.need("renewal")
        client = Enrolment(pki, bench, "swan5")
        url = bench.url()
        old = client.folder / "old.pem"
        old.write_bytes(client.enrol(url, "--password", bench.server.challenge()))
        new_key = write_rsa_key(client.folder / "new-key.pem")
        signer = ("--cert", pki.seen(old), "--key", pki.seen(client.key))
        client.enrol(url, *signer, key=new_key)
        bench.expect("PKCSReq > SUCCESS", "RenewalReq > SUCCESS")


def _register_answers(peer: Peer, pki: Pki) -> None:
    @peer.case("poll", "PENDING, CertPoll every second, an operator approves, SUCCESS")
    def poll(bench: Bench) -> None:
        bench.need("pending")
        client = Enrolment(pki, bench, "pending-swan")
        options = ["--interval", "1", "--maxpolltime", "20"]
        if challenge := bench.server.challenge(manual=True):
            options += ["--password", challenge]
        child = bench.start(*client.argv(bench.url(manual=True), *options))
        bench.wait_for_answer()
        bench.server.approve("pending-swan")
        client.finish(child)
        bench.expect_polling()

    @peer.case("refused", "a wrong challenge password: signed FAILURE that the peer verifies and reports")
    def refused(bench: Bench) -> None:
        bench.need("refusal")
        client = Enrolment(pki, bench, "swan6")
        result = bench.run(*client.argv(bench.url(), "--password", "wrong"), ok=(1,))
        check("badRequest" in result.text, "pki did not report badRequest")
        bench.expect("PKCSReq > FAILURE badRequest")

    @peer.case("retry", "the same request again (same key, so same transactionID) gets the same certificate")
    def retry(bench: Bench) -> None:
        bench.need("strict")
        client = Enrolment(pki, bench, "swan7")
        url, challenge = bench.url(), bench.server.challenge()
        first = client.enrol(url, "--password", challenge)
        check(client.enrol(url, "--password", challenge) == first, "the retry got another certificate")
        bench.expect("PKCSReq > SUCCESS", "PKCSReq > SUCCESS")
