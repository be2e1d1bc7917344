"""Our client against jscep's ScepServlet around a toy CA (interop/jscep).

The servlet answers in BER, with 3DES and SHA-1 whatever the request used, so our client accepts it only as legacy.
It knows no RenewalReq and does not advertise Renewal.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from interop.kit import install
from interop.kit.bench import Bench
from interop.kit.cases import Peer, check
from interop.kit.certs import read_certificate
from interop.kit.client import (
    REFUSED_BY_CA,
    REFUSED_BY_US,
    Client,
    check_ca_certificate,
    check_capabilities,
    probe_client,
)

PEER = Peer(
    name="client-jscep",
    title="our client against jscep's ScepServlet",
    folder=Path(__file__).parent,
    probe=probe_client,
    install=lambda: install.build_java("jscep"),
    server="jscep",
)


@PEER.case("caps", "scep-kem caps")
def caps(bench: Bench) -> None:
    """Case."""
    check_capabilities(bench)


@PEER.case("cacert", "scep-kem cacert")
def cacert(bench: Bench) -> None:
    """Case."""
    check_ca_certificate(bench)


@PEER.case("enrol", "scep-kem enroll; the answer is BER, 3DES, signed with SHA-1")
def enrol(bench: Bench) -> None:
    """Case."""
    Client(bench, "ours1", legacy=True).enroll(bench.url(), bench.server.challenge())
    bench.expect("PKCSReq > SUCCESS")
    check(bench.operations()[0].answer[1] == 0x80, "the answer was not in indefinite-length BER")


@PEER.case("get", "the same by GET")
def get(bench: Bench) -> None:
    """Case."""
    Client(bench, "ours2", legacy=True).enroll(bench.url(), bench.server.challenge(), "--get")
    check(bench.operations()[0].request.start_line.startswith("GET "), "it was not a GET")


@PEER.case("renew", "renewal falls back to a PKCSReq signed with the old certificate (no Renewal capability)")
def renew(bench: Bench) -> None:
    """Case."""
    client = Client(bench, "ours3", legacy=True)
    url = bench.url()
    client.enroll(url, bench.server.challenge())
    client.renew(url)
    bench.expect("PKCSReq > SUCCESS", "PKCSReq > SUCCESS")


@PEER.case("poll", "PENDING, two CertPolls, SUCCESS")
def poll(bench: Bench) -> None:
    """Case."""
    options = ("--poll-interval", "1", "--max-polls", "5")
    Client(bench, "pending-ours", legacy=True).enroll(bench.url(), bench.server.challenge(), *options)
    bench.expect("PKCSReq > PENDING", "CertPoll > PENDING", "CertPoll > SUCCESS")


@PEER.case("refused", "a wrong challenge password: the server's signed FAILURE, exit code 4")
def refused(bench: Bench) -> None:
    """Case."""
    result = Client(bench, "ours4", legacy=True).enroll(bench.url(), "wrong", ok=(REFUSED_BY_CA,))
    check("badRequest" in result.stderr, "badRequest is not shown")


@PEER.case("getcert", "scep-kem getcert for the own serial number; an unknown one gives badCertId")
def getcert(bench: Bench) -> None:
    """Case."""
    client = Client(bench, "ours5", legacy=True)
    url = bench.url()
    client.enroll(url, bench.server.challenge())
    own = read_certificate(client.cert)
    out = bench.folder / "fetched.pem"
    client.run("getcert", url, *client.identity(), "--serial", f"{own.serial_number:x}", "--out", str(out))
    check(read_certificate(out) == own, "another certificate arrived")
    unknown = ("--serial", "4711", "--out", str(out))
    result = client.run("getcert", url, *client.identity(), *unknown, ok=(REFUSED_BY_CA,))
    check("badCertId" in result.stderr, "badCertId is not shown")


@PEER.case("getcrl", "scep-kem getcrl")
def getcrl(bench: Bench) -> None:
    """Case."""
    client = Client(bench, "ours6", legacy=True)
    url = bench.url()
    client.enroll(url, bench.server.challenge())
    out = bench.folder / "crl.pem"
    client.run("getcrl", url, *client.identity(), "--out", str(out))
    data = out.read_bytes()
    crl = x509.load_pem_x509_crl(data) if data.startswith(b"-----") else x509.load_der_x509_crl(data)
    check(crl.issuer == bench.server.authority.subject, "the CRL is of another issuer")


@PEER.case("badalg", "without --legacy the answer is refused, and the message says so")
def badalg(bench: Bench) -> None:
    """Case."""
    client = Client(bench, "ours7", legacy=False)
    result = client.enroll(bench.url(), bench.server.challenge(), ok=(REFUSED_BY_US,))
    check("SHA-1" in result.stderr or "3DES" in result.stderr, "the message names neither SHA-1 nor 3DES")
    check(not client.cert.exists(), "a certificate was written")
