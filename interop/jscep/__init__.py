"""jscep (Java, Bouncy Castle) through the driver in this folder.

It sends BER: indefinite lengths and constructed OCTET STRINGs in SignedData and EnvelopedData alike.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from cryptography import x509

from interop.kit import install, kem_bag
from interop.kit.bench import Bench
from interop.kit.cases import Missing, Peer, check
from interop.kit.certs import check_issued, load_certificate, read_certificate
from interop.kit.process import Result


def _probe() -> str:
    if shutil.which("java") is None:
        raise Missing("java is not installed")
    libraries = install.require_built("jscep") / "lib"
    names = (path.stem for pattern in ("jscep-*", "bcpkix-*") for path in libraries.glob(pattern))
    return " ".join(names)


PEER = Peer(
    name="jscep",
    title="jscep from Maven Central",
    folder=Path(__file__).parent,
    probe=_probe,
    install=lambda: install.build_java("jscep"),
)


def _drive(bench: Bench, operation: str, url: str, *arguments: str, ok: tuple[int, ...] = (0,)) -> Result:
    command = install.java_command("jscep", "interop.ScepDriver")
    return bench.run(*command, operation, url, str(bench.folder), *arguments, ok=ok, seconds=60)


def _enrol(bench: Bench, url: str, name: str) -> x509.Certificate:
    _drive(bench, "enrol", url, f"CN={name}, O=interop", bench.server.challenge())
    return _check(bench, name)


def _check(bench: Bench, name: str) -> x509.Certificate:
    certificate = read_certificate(bench.folder / "cert-0.pem")
    check_issued(certificate, bench.server.authority, name=name, key=bench.folder / "key.pem")
    return certificate


@PEER.case("caps", "GetCACaps leads to AES and SHA-512")
def caps(bench: Bench) -> None:
    """Case."""
    result = _drive(bench, "caps", bench.url())
    check("CIPHER AES" in result.stdout, "jscep would not use AES")
    check(re.search("SIGNATURE SHA(256|512)withRSA", result.stdout), "jscep would not use SHA-2")


@PEER.case("cacert", "GetCACert fetches the CA certificate that the server has")
def cacert(bench: Bench) -> None:
    """Case."""
    _drive(bench, "cacert", bench.url())
    check(read_certificate(bench.folder / "ca-0.pem") == bench.server.authority, "another certificate arrived")


@PEER.case("enrol", "PKCSReq in BER by POST, cmsAlgorithmProtection attribute, SHA-512")
def enrol(bench: Bench) -> None:
    """Case."""
    _enrol(bench, bench.url(), "jscep1")
    bench.expect("PKCSReq > SUCCESS")
    check(bench.operations()[0].message[1] == 0x80, "the request was not in indefinite-length BER")


@PEER.case("get", "the same by GET: base64 on one line, to a CA without POST")
def get(bench: Bench) -> None:
    """Case."""
    _enrol(bench, bench.url(hide=("POSTPKIOperation", "SCEPStandard")), "jscep2")
    check(bench.operations()[0].request.start_line.startswith("GET "), "it was not a GET")


@PEER.case("renew", "PKCSReq for a new key signed with the old certificate (jscep knows no RenewalReq)")
def renew(bench: Bench) -> None:
    """Case."""
    url = bench.url()
    first = _enrol(bench, url, "jscep3")
    _drive(bench, "renew", url, "CN=jscep3, O=interop")
    second = _check(bench, "jscep3")
    check(second.public_key() != first.public_key(), "the key is still the first one")
    bench.expect("PKCSReq > SUCCESS", "PKCSReq > SUCCESS")


@PEER.case("poll", "PENDING, CertPoll, approval, CertPoll, SUCCESS")
def poll(bench: Bench) -> None:
    """Case."""
    bench.need("pending")
    url = bench.url(manual=True)
    subject = "CN=pending-jscep, O=interop"
    first = _drive(bench, "enrol", url, subject, bench.server.challenge(manual=True), ok=(3,))
    transaction = re.search(r"PENDING (\S+)", first.stdout)
    assert transaction
    _drive(bench, "poll", url, subject, transaction[1], ok=(3,))
    bench.server.approve("pending-jscep")
    _drive(bench, "poll", url, subject, transaction[1])
    _check(bench, "pending-jscep")
    bench.expect("PKCSReq > PENDING", "CertPoll > PENDING", "CertPoll > SUCCESS")


@PEER.case("refused", "a wrong challenge password: signed FAILURE that jscep verifies")
def refused(bench: Bench) -> None:
    """Case."""
    result = _drive(bench, "enrol", bench.url(), "CN=jscep4, O=interop", "wrong", ok=(4,))
    check("badRequest" in result.stdout, "jscep did not report badRequest")
    bench.expect("PKCSReq > FAILURE badRequest")


@PEER.case("getcert", "GetCert for the client's own serial number; an unknown one gives badCertId")
def getcert(bench: Bench) -> None:
    """Case."""
    bench.need("getcert")
    url = bench.url()
    own = _enrol(bench, url, "jscep5")
    _drive(bench, "getcert", url, str(own.serial_number))
    check(read_certificate(bench.folder / "fetched-0.pem") == own, "another certificate arrived")
    unknown = _drive(bench, "getcert", url, "4711", ok=(4,))
    check("badCertId" in unknown.stdout, "jscep did not report badCertId")
    bench.expect("PKCSReq > SUCCESS", "GetCert > SUCCESS", "GetCert > FAILURE badCertId")


@PEER.case("getcrl", "GetCRL by issuer and serial number of the client's certificate")
def getcrl(bench: Bench) -> None:
    """Case."""
    bench.need("getcrl")
    url = bench.url()
    _enrol(bench, url, "jscep6")
    _drive(bench, "getcrl", url)
    crl = x509.load_pem_x509_crl((bench.folder / "crl.pem").read_bytes())
    check(crl.issuer == bench.server.authority.subject, "the CRL is of another issuer")
    check(crl.is_signature_valid(bench.server.authority.public_key()), "the CA did not sign the CRL")  # type: ignore[arg-type]
    bench.expect("PKCSReq > SUCCESS", "GetCRL > SUCCESS")


@PEER.case("rollover", "GetNextCACert: jscep accepts the signature; the inner SignedData has the next CA")
def rollover(bench: Bench) -> None:
    """Case."""
    bench.need("rollover")
    bench.ours.rollover()
    _drive(bench, "rollover", bench.url())
    following = load_certificate((bench.folder / "next-0.der").read_bytes())
    current = bench.server.authority
    check(following.public_key() != current.public_key(), "the next CA certificate has the current key")
    check(following.subject == current.subject, "the next CA certificate has another name")


def _enrol_as_found(bench: Bench) -> None:
    _enrol(bench, bench.url(), "jscep7")


# It takes any certificate with keyEncipherment that is not a CA's, the first in the order of a hash set, and puts an
# ML-KEM key into a KeyTransRecipientInfo. Only without such a certificate it takes the CA's.
_REFUSED = "FAILURE badMessageCheck"
kem_bag.register(
    PEER,
    _enrol_as_found,
    {
        "enrol-kem": kem_bag.Disturbed(_REFUSED),
        "enrol-kem-ra": kem_bag.Disturbed(_REFUSED, by_chance=True),
    },
)
