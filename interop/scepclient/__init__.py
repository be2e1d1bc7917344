"""micromdm's `scepclient` as packaged by Debian: single DES and SHA-1, with no option to change either.

RFC 8894 forbids DES, so the responder must refuse it, and do so with a signed badAlg that this client understands.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from interop.kit import install, kem_bag
from interop.kit.bench import Bench
from interop.kit.cases import Missing, Peer, check
from interop.kit.messages import describe


def _probe() -> str:
    if shutil.which("scepclient") is None:
        raise Missing("the Debian package scep is not installed")
    return install.package_version("scep") or "unknown version"


PEER = Peer(
    name="scepclient",
    title="micromdm's scepclient (Debian package scep)",
    folder=Path(__file__).parent,
    probe=_probe,
    install=lambda: install.apt_install("scep"),
)


@PEER.case("badalg", "PKCSReq with single DES and SHA-1 is refused with a signed badAlg")
def badalg(bench: Bench) -> None:
    """Case."""
    bench.need("strict")
    _be_refused(bench)


def _be_refused(bench: Bench) -> None:
    result = bench.run(
        *("scepclient", "-private-key", str(bench.folder / "key.pem"), "-certificate", str(bench.folder / "cert.pem")),
        *("-cn", "des1", "-server-url", bench.url(), "-challenge", bench.server.challenge()),
        ok=(1,),
    )
    check("badAlg" in result.text, "scepclient did not report badAlg")
    check("DES-CBC" in describe(bench.operations()[0].message), "the request was not in DES")
    bench.expect("PKCSReq > FAILURE badAlg")
    check(not (bench.folder / "cert.pem").exists(), "it got a certificate")


# It encrypts to every certificate of the answer, and its library knows no keys but RSA's.
_PANICS = kem_bag.Disturbed("panic: interface conversion: interface {} is nil, not .rsa.PublicKey")
kem_bag.register(PEER, _be_refused, {"enrol-kem": _PANICS, "enrol-kem-ra": _PANICS})
