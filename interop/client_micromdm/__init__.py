"""Our client against micromdm's server library, set to AES-128-CBC (interop/micromdm/serve.go).

Its answers are signed with SHA-1 whatever the request used, so our client accepts them only as legacy.
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
    probe_client,
)

PEER = Peer(
    name="client-micromdm",
    title="our client against micromdm's server library with AES",
    folder=Path(__file__).parent,
    probe=probe_client,
    install=install.build_micromdm,
    server="micromdm",
)


@PEER.case("caps", "scep-kem caps")
def caps(bench: Bench) -> None:
    """Case."""
    check_capabilities(bench)


@PEER.case("cacert", "scep-kem cacert")
def cacert(bench: Bench) -> None:
    """Case."""
    check_ca_certificate(bench)


@PEER.case("enrol", "scep-kem enroll with a challenge password; the answer is AES-128-CBC, signed with SHA-1")
def enrol(bench: Bench) -> None:
    """Case."""
    Client(bench, "ours1", legacy=True).enroll(bench.url(), bench.server.challenge())
    bench.expect("PKCSReq > SUCCESS")


@PEER.case("get", "the same by GET")
def get(bench: Bench) -> None:
    """Case."""
    Client(bench, "ours2", legacy=True).enroll(bench.url(), bench.server.challenge(), "--get")
    check(bench.operations()[0].request.start_line.startswith("GET "), "it was not a GET")


@PEER.case("renew", "RenewalReq for a new key; this server wants the challenge password there too")
def renew(bench: Bench) -> None:
    """Case."""
    client = Client(bench, "ours3", legacy=True)
    url = bench.url()
    client.enroll(url, bench.server.challenge())
    client.renew(url, "--challenge", bench.server.challenge())
    bench.expect("PKCSReq > SUCCESS", "RenewalReq > SUCCESS")


@PEER.case("refused", "a wrong challenge password: the server's signed FAILURE, exit code 4")
def refused(bench: Bench) -> None:
    """Case."""
    result = Client(bench, "ours4", legacy=True).enroll(bench.url(), "wrong", ok=(REFUSED_BY_CA,))
    check("badRequest" in result.stderr, "badRequest is not shown")


@PEER.case("badalg", "without --legacy the SHA-1 signature is refused, and the message says so")
def badalg(bench: Bench) -> None:
    """Case."""
    client = Client(bench, "ours5", legacy=False)
    result = client.enroll(bench.url(), bench.server.challenge(), ok=(REFUSED_BY_US,))
    check("SHA-1" in result.stderr or "sha1" in result.stderr.lower(), "the message does not name SHA-1")
    check(not client.cert.exists(), "a certificate was written")
