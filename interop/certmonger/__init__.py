"""certmonger (Debian), its daemon on a private session bus, driven with getcert.

What it is like on the wire: GET only, GetCACaps with message=0, GetCACert walking message=0, 1, … until an answer
repeats, an X.509 v1 signer certificate with GeneralizedTime, a transactionID of up to 77 digits, AES-256-CBC.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from interop.certmonger.session import Session
from interop.kit import install, kem_bag
from interop.kit.bench import Bench
from interop.kit.cases import Missing, Peer, check
from interop.kit.certs import check_issued, read_certificate

PACKAGES = ("certmonger", "dbus", "dbus-daemon")


def _probe() -> str:
    for command in ("getcert", "certmonger", "dbus-run-session"):
        if shutil.which(command) is None:
            raise Missing(f"{command} is not installed")
    return install.package_version("certmonger") or "unknown version"


PEER = Peer(
    name="certmonger",
    title="certmonger (Debian package) under dbus-run-session",
    folder=Path(__file__).parent,
    probe=_probe,
    install=lambda: install.apt_install(*PACKAGES),
)


@PEER.case("cacert", "add-scep-ca reads capabilities and CA certificate: GetCACaps, GetCACert message=0, 1, …")
def cacert(bench: Bench) -> None:
    """Case."""
    with Session(bench, bench.url()):
        pass
    asked = [exchange.request.start_line.split(" ")[1] for exchange in bench.exchanges()]
    check(any("GetCACert" in path and "message=0" in path for path in asked), f"it asked only: {asked}")


@PEER.case("enrol", "getcert request with a challenge password reaches MONITORING")
def enrol(bench: Bench) -> None:
    """Case."""
    with Session(bench, bench.url()) as session:
        session.request("cm1", bench.server.challenge())
        session.expect("MONITORING")
    certificate = read_certificate(session.certificate)
    check_issued(certificate, bench.server.authority, name="cm1", key=session.key)
    bench.expect("PKCSReq > SUCCESS")


@PEER.case("resubmit", "getcert resubmit: a second certificate for the same key")
def resubmit(bench: Bench) -> None:
    """Case."""
    bench.need("renewal")
    with Session(bench, bench.url()) as session:
        session.request("cm2", bench.server.challenge())
        session.expect("MONITORING")
        first = read_certificate(session.certificate)
        session.getcert("resubmit", "-f", str(session.certificate), "-w", "-v", "--wait-timeout", "20")
        session.expect("MONITORING")
    second = read_certificate(session.certificate)
    check_issued(second, bench.server.authority, name="cm2", key=session.key)
    check(second.serial_number != first.serial_number, "the certificate is still the first one")


@PEER.case("rekey", "getcert rekey: a certificate for a new key")
def rekey(bench: Bench) -> None:
    """Case."""
    bench.need("renewal")
    with Session(bench, bench.url()) as session:
        session.request("cm3", bench.server.challenge())
        session.expect("MONITORING")
        first = read_certificate(session.certificate)
        session.getcert("rekey", "-f", str(session.certificate), "-w", "-v", "--wait-timeout", "20")
        session.expect("MONITORING")
    second = read_certificate(session.certificate)
    check_issued(second, bench.server.authority, name="cm3", key=session.key)
    check(second.public_key() != first.public_key(), "the key is still the first one")


@PEER.case("poll", "PENDING is CA_WORKING; an operator approves, getcert refresh sends the PKCSReq again, MONITORING")
def poll(bench: Bench) -> None:
    """Case."""
    bench.need("pending")
    with Session(bench, bench.url(manual=True)) as session:
        session.request("pending-cm", bench.server.challenge(manual=True))
        check(session.status() in ("CA_WORKING", "SUBMITTING"), f"status {session.status()} instead of CA_WORKING")
        bench.server.approve("pending-cm")
        session.getcert("refresh", "-f", str(session.certificate), "-v")
        session.expect("MONITORING")
    certificate = read_certificate(session.certificate)
    check_issued(certificate, bench.server.authority, name="pending-cm", key=session.key)
    bench.expect("PKCSReq > PENDING", "PKCSReq > SUCCESS")


@PEER.case("refused", "a wrong challenge password: CA_REJECTED")
def refused(bench: Bench) -> None:
    """Case."""
    bench.need("refusal")
    with Session(bench, bench.url()) as session:
        session.request("cm4", "wrong")
        session.expect("CA_REJECTED")
        text = session.getcert("list").text
    error = re.search(r"ca-error: (.*)", text)
    bench.note(f"ca-error: {error[1] if error else 'none'}")
    bench.expect("PKCSReq > FAILURE badRequest")


def _enrol_as_found(bench: Bench) -> None:
    """With its own choice of certificates where there is an RA; without one, its own choice never verifies."""
    discover = bench.server.has_ra
    with Session(bench, bench.url(), discover=discover) as session:
        session.request("cm5", bench.server.challenge(), seconds=6)
        session.expect("MONITORING")
    check_issued(read_certificate(session.certificate), bench.server.authority, name="cm5", key=session.key)


# It takes any certificate with keyEncipherment that issued none of the others, the first in an order that an OpenSSL
# stack makes; with an ML-KEM one it sends nothing and stays in NEED_SCEP_DATA.
_STUCK = kem_bag.Disturbed("NEED_SCEP_DATA|waited .* for certmonger to finish", by_chance=True)
kem_bag.register(PEER, _enrol_as_found, {"enrol-kem-ra": _STUCK})
