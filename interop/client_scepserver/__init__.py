"""Our client against micromdm's `scepserver` as it is: single DES and SHA-1 in every answer.

RFC 8894 section 2.9 forbids DES, so a polite and clear refusal is all that is right here, legacy or not.
"""

from __future__ import annotations

from pathlib import Path

from interop.kit import install
from interop.kit.bench import Bench
from interop.kit.cases import Peer, check
from interop.kit.client import REFUSED_BY_US, Client, check_ca_certificate, check_capabilities, probe_client
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


@PEER.case("badalg", "an answer in DES is refused even with --legacy, and the message says so")
def badalg(bench: Bench) -> None:
    """Case."""
    client = Client(bench, "ours1", legacy=True)
    result = client.enroll(bench.url(), bench.server.challenge(), ok=(REFUSED_BY_US,))
    check("DES-CBC" in describe(bench.operations()[0].answer), "the answer was not in DES")
    check("DES" in result.stderr, "the message does not name DES")
    check(not client.cert.exists(), "a certificate was written")
