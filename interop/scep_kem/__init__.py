"""Our own client on a path without RSA, against our responder, as two processes that speak HTTP."""

from __future__ import annotations

from pathlib import Path

from interop.kit import our_cms
from interop.kit.bench import Bench
from interop.kit.cases import Peer, check
from interop.kit.client import PENDING, REFUSED_BY_US, probe_client
from interop.kit.servers import scep_kem
from interop.liboqs import build as liboqs
from interop.scep_kem import lost_answers
from interop.scep_kem.device import POLLING, Device


def _probe() -> str:
    return f"{probe_client()} with {', '.join(our_cms.parameter_sets())}"


def _install() -> None:
    liboqs.build()


PEER = Peer(
    name="scep-kem",
    title="our client, ML-KEM alone",
    folder=Path(__file__).parent,
    probe=_probe,
    install=_install,
    server="ours-kem-only",
)


def _enrol(bench: Bench, name: str, key_type: str, *options: str) -> Device:
    """PKCSReq, PENDING with a challenge, CertPoll with the confirm, SUCCESS."""
    device = Device(bench, name, key_type, *options)
    device.enroll(bench.url(), "--challenge", bench.server.challenge(), *POLLING)
    device.check_certificate()
    bench.expect("PKCSReq > PENDING", "CertPoll > SUCCESS")
    return device


@PEER.case("enrol", "ECDSA CA, ML-KEM-768 RA and device: PKCSReq, PENDING with challenge, confirm, SUCCESS")
def enrol(bench: Bench) -> None:
    """Case."""
    _enrol(bench, "kem1", "ml-kem-768")


@PEER.case("enrol-1024", "the same for an ML-KEM-1024 device")
def enrol_1024(bench: Bench) -> None:
    """Case."""
    _enrol(bench, "kem2", "ml-kem-1024")


@PEER.case("ml-dsa", "ML-DSA-65 CA, ML-DSA-44 RA signer, ML-KEM-1024 RA, ML-KEM-768 device", "ours-ml-dsa")
def ml_dsa(bench: Bench) -> None:
    """Case."""
    _enrol(bench, "kem3", "ml-kem-768")


@PEER.case("liboqs", "ML-KEM-512 RA and device, liboqs on both sides", "ours-liboqs")
def with_liboqs(bench: Bench) -> None:
    """Case."""
    _enrol(bench, "kem4", "ml-kem-512", "--kem-backend", "liboqs")


@PEER.case("renew", "RenewalReq of an ML-KEM certificate: two ciphertexts, both keys proven, no challenge password")
def renew(bench: Bench) -> None:
    """Case."""
    url = bench.url()
    device = Device(bench, "kem5", "ml-kem-768")
    device.enroll(url, "--challenge", bench.server.challenge(), *POLLING)
    new_key, new_cert = bench.folder / "new-key.pem", bench.folder / "new-cert.pem"
    old = ("--key", str(device.key), "--cert", str(device.cert))
    new = ("--new-key", str(new_key), "--out", str(new_cert))
    bench.run(scep_kem(), "renew", "--url", url, *old, *new, *device.options, *POLLING)
    device.check_certificate(new_cert, new_key)
    check(new_key.read_bytes() != device.key.read_bytes(), "the key is still the first one")
    bench.expect("PKCSReq > PENDING", "CertPoll > SUCCESS", "RenewalReq > PENDING", "CertPoll > SUCCESS")


@PEER.case("manual", "the confirm is answered PENDING until an operator approves; `poll` in another process finishes")
def manual(bench: Bench) -> None:
    """Case."""
    device = Device(bench, "pending-kem", "ml-kem-768")
    device.enroll(bench.url(manual=True), "--max-polls", "1", "--poll-interval", "0.1", ok=(PENDING,))
    bench.server.approve("pending-kem")
    files = ("--key", str(device.key), "--out", str(device.cert))
    bench.run(scep_kem(), "poll", *files, *device.options, *POLLING)
    device.check_certificate()
    first, *polls = bench.conversation()
    check(first == "PKCSReq > PENDING" and polls[-1] == "CertPoll > SUCCESS", f"on the wire: {[first, *polls]}")
    check("CertPoll > PENDING" in polls, "approval came without a poll that was left pending")


@PEER.case("ecdsa", "an ECDSA device: request to the ML-KEM RA, answer under its response key")
def ecdsa(bench: Bench) -> None:
    """Case."""
    device = Device(bench, "kem6", "ec:P-256")
    device.enroll(bench.url(), "--challenge", bench.server.challenge())
    device.check_certificate()
    bench.expect("PKCSReq > SUCCESS")


@PEER.case("downgrade", "--require-kem refuses a responder that shows no ML-KEM certificate", "ours-classic")
def downgrade(bench: Bench) -> None:
    """Case."""
    device = Device(bench, "kem7", "ml-kem-768")
    device.enroll(bench.url(), "--challenge", bench.server.challenge(), ok=(REFUSED_BY_US,))
    bench.expect()


lost_answers.register(PEER)
