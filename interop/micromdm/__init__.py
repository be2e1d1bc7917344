"""micromdm's Go library (with smallstep's scep and pkcs7 below it), through the driver in this folder.

The library signs requests with SHA-1 and encrypts with single DES unless told otherwise, and can only be told about
the cipher; the driver therefore assembles its messages from the library's pkcs7 package with AES-128-CBC and
SHA-256, and leaves HTTP, verification and decryption of the answers to the library.
"""

from __future__ import annotations

import re
from pathlib import Path

from interop.kit import install, kem_bag
from interop.kit.bench import Bench
from interop.kit.cases import Peer, check
from interop.kit.certs import check_issued, read_certificate
from interop.kit.process import Result


def _probe() -> str:
    install.require_built("micromdm")
    text = (Path(__file__).parent / "go.mod").read_text()
    return " ".join(re.findall(r"^\t(?:github.com/)((?:micromdm|smallstep)/\S+ v\S+)$", text, re.M))


PEER = Peer(
    name="micromdm",
    title="micromdm's Go library with AES-128-CBC and SHA-256 (github.com/micromdm/scep/v2)",
    folder=Path(__file__).parent,
    probe=_probe,
    install=install.build_micromdm,
)


def _drive(bench: Bench, operation: str, url: str, *arguments: str, ok: tuple[int, ...] = (0,)) -> Result:
    driver = str(install.require_built("micromdm") / "micromdm-driver")
    return bench.run(driver, operation, url, str(bench.folder), *arguments, ok=ok)


def _check(bench: Bench, name: str, key: str = "key.pem") -> None:
    certificate = read_certificate(bench.folder / "cert.pem")
    check_issued(certificate, bench.server.authority, name=name, key=bench.folder / key)


@PEER.case("caps", "GetCACaps and GetCACert")
def caps(bench: Bench) -> None:
    """Case."""
    result = _drive(bench, "caps", bench.url())
    check("AES" in result.stdout and "SHA-256" in result.stdout, "AES and SHA-256 are not in the list")


@PEER.case("enrol", "PKCSReq by POST, AES-128-CBC with absent RSA parameters, SHA-256")
def enrol(bench: Bench) -> None:
    """Case."""
    _drive(bench, "enrol", bench.url(), "mdm1", bench.server.challenge())
    _check(bench, "mdm1")
    bench.expect("PKCSReq > SUCCESS")


@PEER.case("get", "PKCSReq by GET; version 2.3.0 uses the URL-safe base64 alphabet, against RFC 8894 section 4.1")
def get(bench: Bench) -> None:
    """Case."""
    url = bench.url(hide=("POSTPKIOperation", "SCEPStandard"))
    _drive(bench, "enrol", url, "mdm2", bench.server.challenge())
    _check(bench, "mdm2")
    line = bench.operations()[0].request.start_line
    check(line.startswith("GET "), "it was not a GET")
    check("-" in line or "_" in line, "the alphabet was not the URL-safe one")


@PEER.case("renew", "RenewalReq for a new key, signed with the old certificate")
def renew(bench: Bench) -> None:
    """Case."""
    bench.need("renewal")
    url = bench.url()
    _drive(bench, "enrol", url, "mdm3", bench.server.challenge())
    _drive(bench, "renew", url, "mdm3")
    _check(bench, "mdm3", "new-key.pem")
    bench.expect("PKCSReq > SUCCESS", "RenewalReq > SUCCESS")


@PEER.case("poll", "PENDING, CertPoll, approval, CertPoll, SUCCESS")
def poll(bench: Bench) -> None:
    """Case."""
    bench.need("pending")
    url = bench.url(manual=True)
    first = _drive(bench, "enrol", url, "pending-mdm", bench.server.challenge(manual=True), ok=(3,))
    transaction = re.search(r"TRANSACTION (\S+)", first.stdout)
    assert transaction
    _drive(bench, "poll", url, "pending-mdm", transaction[1], ok=(3,))
    bench.server.approve("pending-mdm")
    _drive(bench, "poll", url, "pending-mdm", transaction[1])
    _check(bench, "pending-mdm")
    bench.expect("PKCSReq > PENDING", "CertPoll > PENDING", "CertPoll > SUCCESS")


@PEER.case("refused", "a wrong challenge password: signed FAILURE that the library verifies")
def refused(bench: Bench) -> None:
    """Case."""
    result = _drive(bench, "enrol", bench.url(), "mdm4", "wrong", ok=(4,))
    check("badRequest" in result.stdout, "the driver did not report badRequest")
    bench.expect("PKCSReq > FAILURE badRequest")


def _enrol_as_found(bench: Bench) -> None:
    _drive(bench, "enrol", bench.url(), "mdm5", bench.server.challenge())
    _check(bench, "mdm5")


# By default it encrypts to every certificate of the answer.
_GIVES_UP = kem_bag.Disturbed("pkcs7: only RSA keys are supported")
kem_bag.register(PEER, _enrol_as_found, {"enrol-kem": _GIVES_UP, "enrol-kem-ra": _GIVES_UP})
