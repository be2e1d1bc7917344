"""Our client against micromdm's `scepserver` as it is: single DES and SHA-1 in every answer.

RFC 8894 section 2.9 forbids DES, so no certificate is taken from it, legacy or not. What it says is shown.
"""

from __future__ import annotations

from pathlib import Path

from interop.kit import install
from interop.kit.bench import Bench
from interop.kit.cases import Peer, check
from interop.kit.client import (
    REFUSED_BY_CA,
    REFUSED_BY_US,
    Client,
    check_ca_certificate,
    check_capabilities,
    check_told,
    probe_client,
)
from interop.kit.messages import describe

PEER = Peer(
    name="client-scepserver",
    title="our client against micromdm's scepserver 2.3.0",
    folder=Path(__file__).parent,
    probe=probe_client,
    install=install.build_micromdm,
    server="micromdm-stock",
)


@PEER.case("caps", "scep-kem caps")
def caps(bench: Bench) -> None:
    """Case."""
    check_capabilities(bench)


@PEER.case("cacert", "scep-kem cacert")
def cacert(bench: Bench) -> None:
    """Case."""
    check_ca_certificate(bench)


@PEER.case("badalg", "SUCCESS in DES, signed with SHA-1: what it says comes first, then both findings; exit code 1")
def badalg(bench: Bench) -> None:
    """Case."""
    client = Client(bench, "ours1", legacy=False)
    result = client.enroll(bench.url(), bench.server.challenge(), ok=(REFUSED_BY_US,))
    check("DES-CBC" in describe(bench.operations()[0].answer), "the answer was not in DES")
    check_told(result, "the answer says SUCCESS", "SHA-1", "DES-CBC", "--diagnose")
    check(not client.cert.exists(), "a certificate was written")


@PEER.case("diagnose", "--diagnose shows the certificate in it; refused all the same, with --legacy, too")
def diagnose(bench: Bench) -> None:
    """Case."""
    client = Client(bench, "ours2", legacy=True)
    result = client.enroll(bench.url(), bench.server.challenge(), "--diagnose", ok=(REFUSED_BY_US,))
    check_told(result, "content: DES-CBC, 1 certificate", "CN=ours2", "for the requested key", "signed by the CA")
    check(not client.cert.exists(), "a certificate was written")


@PEER.case("refused", "a wrong challenge password: its failInfo (it sends no text) and what we do not accept")
def refused(bench: Bench) -> None:
    """Case."""
    result = Client(bench, "ours3", legacy=False).enroll(bench.url(), "wrong", ok=(REFUSED_BY_US,))
    check_told(result, "the answer says FAILURE, badRequest", "SHA-1", "--legacy")


@PEER.case("refused-legacy", "the same with --legacy: refused by the CA, exit code 4")
def refused_legacy(bench: Bench) -> None:
    """Case."""
    result = Client(bench, "ours4", legacy=True).enroll(bench.url(), "wrong", ok=(REFUSED_BY_CA,))
    check_told(result, "refused: badRequest")
