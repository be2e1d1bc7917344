"""Our client against a server that behaves as captured answers of Microsoft's NDES do (server.py).

NDES itself cannot be had here. What is imitated is what other clients' bug reports and captures show of it; the server
is made with OpenSSL and `cryptography` and shares no code with ours.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from cryptography import x509

from interop.kit.bench import Bench
from interop.kit.cases import Missing, Peer, check
from interop.kit.certs import read_certificate
from interop.kit.client import REFUSED_BY_CA, REFUSED_BY_US, Client, check_capabilities, check_told, probe_client
from interop.kit.install import apt_install

DLL = "/certsrv/mscep/mscep.dll"


def _probe() -> str:
    if shutil.which("openssl") is None:
        raise Missing("openssl is not installed (python -m interop install)")
    return probe_client()


PEER = Peer(
    name="client-ndes",
    title="our client against a server like NDES",
    folder=Path(__file__).parent,
    probe=_probe,
    install=lambda: apt_install("openssl"),
    server="ndes",
)
POLLING = ("--poll-interval", "0.1", "--max-polls", "5")


@PEER.case("caps", "scep-kem caps")
def caps(bench: Bench) -> None:
    """Case."""
    check_capabilities(bench)


@PEER.case("cacert", "CA and two RA certificates with the EKU Certificate Request Agent: all three are taken")
def cacert(bench: Bench) -> None:
    """Case."""
    out = bench.folder / "ca.pem"
    result = Client(bench, "", legacy=False).run("cacert", bench.url(), "--out", str(out))
    check("left out" not in result.text, "a certificate is left out")
    subjects = {item.subject for item in x509.load_pem_x509_certificates(out.read_bytes())}
    check(bench.server.authority.subject in subjects, "the CA's certificate is not there")


@PEER.case("enrol", "encrypted to the RA, answer without certificates and signingTime, with an attribute of its own")
def enrol(bench: Bench) -> None:
    """Case."""
    Client(bench, "ndes1", legacy=False).enroll(bench.url(), bench.server.challenge())
    bench.expect("PKCSReq > SUCCESS")
    exchange = bench.operations()[0]
    for name, message in (("encryption", exchange.message), ("signing", exchange.answer)):
        serial = read_certificate(bench.server.folder / f"{name}.pem").serial_number
        check(serial.to_bytes(20).lstrip(b"\0") in message, f"the RA's {name} certificate was not used")


@PEER.case("get", "the same by GET")
def get(bench: Bench) -> None:
    """Case."""
    Client(bench, "ndes2", legacy=False).enroll(bench.url(), bench.server.challenge(), "--get")
    check(bench.operations()[0].request.start_line.startswith("GET "), "it was not a GET")


@PEER.case("oaep", "the answer's key is under RSAES-OAEP")
def oaep(bench: Bench) -> None:
    """Case."""
    Client(bench, "ndes3", legacy=False).enroll(bench.url(path=f"/oaep{DLL}"), bench.server.challenge())
    bench.expect("PKCSReq > SUCCESS")


@PEER.case("renew", "RenewalReq for a new key, without a challenge password")
def renew(bench: Bench) -> None:
    """Case."""
    client, url = Client(bench, "ndes4", legacy=False), bench.url()
    client.enroll(url, bench.server.challenge())
    client.renew(url)
    bench.expect("PKCSReq > SUCCESS", "RenewalReq > SUCCESS")


@PEER.case("no-renewal", "without Renewal in GetCACaps it is a PKCSReq signed with the old certificate")
def no_renewal(bench: Bench) -> None:
    """Case."""
    client, url = Client(bench, "ndes5", legacy=False), bench.url(path=f"/no-renewal{DLL}")
    client.enroll(url, bench.server.challenge())
    client.renew(url)
    bench.expect("PKCSReq > SUCCESS", "PKCSReq > SUCCESS")


@PEER.case("poll", "PENDING, two CertPolls, SUCCESS")
def poll(bench: Bench) -> None:
    """Case."""
    Client(bench, "pending-ndes", legacy=False).enroll(bench.url(), bench.server.challenge(), *POLLING)
    bench.expect("PKCSReq > PENDING", "CertPoll > PENDING", "CertPoll > SUCCESS")


@PEER.case("getcrl", "scep-kem getcrl")
def getcrl(bench: Bench) -> None:
    """Case."""
    client, url = Client(bench, "ndes6", legacy=False), bench.url()
    client.enroll(url, bench.server.challenge())
    out = bench.folder / "crl.pem"
    client.run("getcrl", url, *client.identity(), "--out", str(out))
    data = out.read_bytes()
    crl = x509.load_pem_x509_crl(data) if data.startswith(b"-----") else x509.load_der_x509_crl(data)
    check(crl.issuer == bench.server.authority.subject, "the CRL is of another issuer")


@PEER.case("refused", "a wrong challenge password: failInfo alone, without a text")
def refused(bench: Bench) -> None:
    """Case."""
    result = Client(bench, "ndes7", legacy=False).enroll(bench.url(), "wrong", ok=(REFUSED_BY_CA,))
    check_told(result, "refused: badRequest")
    bench.expect("PKCSReq > FAILURE badRequest")


@PEER.case("html", "a wrong challenge password: HTTP 500 with a page of HTML")
def html(bench: Bench) -> None:
    """Case."""
    client = Client(bench, "ndes8", legacy=False)
    result = client.enroll(bench.url(path=f"/html{DLL}"), "wrong", ok=(REFUSED_BY_US,))
    check_told(result, "PKIOperation", "500", "HTML", "The password in the certificate request cannot be verified.")
    check(not client.cert.exists(), "a certificate was written")


@PEER.case("expired", "the RA's encryption certificate has expired: the error names it, and nothing is sent")
def expired(bench: Bench) -> None:
    """Case."""
    client = Client(bench, "ndes9", legacy=False)
    result = client.enroll(bench.url(path=f"/expired{DLL}"), bench.server.challenge(), ok=(REFUSED_BY_US,))
    check_told(result, "left out: CN=NDES-MSCEP-RA (not valid now")
    bench.expect()


@PEER.case("identifier", "GetCACert of the CA that --ca-identifier names; for another name it is HTTP 500 with HTML")
def identifier(bench: Bench) -> None:
    """Case."""
    client, url = Client(bench, "ndes10", legacy=False), bench.url(path=f"/identifier{DLL}")
    client.enroll(url, bench.server.challenge(), "--ca-identifier", "CorpCA")
    other = ("--ca-identifier", "another", "--out", str(bench.folder / "ca.pem"))
    check_told(client.run("cacert", url, *other, ok=(REFUSED_BY_US,)), "GetCACert", "500", "HTML")
    check("message=another" in bench.exchanges()[-1].request.start_line, "the name was not sent")
