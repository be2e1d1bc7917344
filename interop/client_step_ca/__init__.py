"""Our client against step-ca (github.com/smallstep/certificates), built with the small main here.

main.go makes step-ca's authority from a ca.json and mounts its SCEP handlers. What SCEP has no use for is left out of
the build: databases, cloud key stores, and google.golang.org/api, for which no_cloud/ stands.

Every answer is signed with SHA-1, so our client takes them only as legacy. What a provisioner does not say otherwise is
encrypted with single DES.
"""

from __future__ import annotations

import re
from pathlib import Path

from cryptography import x509

from interop.kit import install
from interop.kit.bench import Bench
from interop.kit.cases import Peer, check
from interop.kit.client import REFUSED_BY_CA, REFUSED_BY_US, Client, check_capabilities, check_told, probe_client
from interop.kit.messages import describe

WRONG_PASSWORD = "failed validating challenge password"  # noqa: S105 -- what step-ca says
SEE_THE_LOG = "internal server error; please see the certificate authority logs for more info"


def _probe() -> str:
    install.require_built("step-ca")
    text = (Path(__file__).parent / "go.mod").read_text()
    versions = re.findall(r"^\tgithub.com/(smallstep/(?:certificates|pkcs7|scep) v\S+)", text, re.M)
    return f"{probe_client()}, {', '.join(versions)}"


PEER = Peer(
    name="client-step-ca",
    title="our client against step-ca",
    folder=Path(__file__).parent,
    probe=_probe,
    install=install.build_step_ca,
    server="step-ca",
)


@PEER.case("caps", "scep-kem caps")
def caps(bench: Bench) -> None:
    """Case."""
    check_capabilities(bench)


@PEER.case("cacert", "scep-kem cacert; root and intermediate in one answer, the intermediate pinned")
def cacert(bench: Bench) -> None:
    """Case."""
    out = bench.folder / "ca.pem"
    Client(bench, "", legacy=False).run("cacert", bench.url(), "--out", str(out))
    found = x509.load_pem_x509_certificates(out.read_bytes())
    check(bench.server.authority in found, "another certificate arrived")


@PEER.case("enrol", "AES-256-CBC, signed with SHA-1; --trace remarks that senderNonce is no nonce of step-ca's")
def enrol(bench: Bench) -> None:
    """Case."""
    result = Client(bench, "step1", legacy=True).enroll(bench.url(), bench.server.challenge(), "--trace")
    check_told(result, "ODD: it is the recipientNonce")
    bench.expect("PKCSReq > SUCCESS")
    answer = describe(bench.operations()[0].answer)
    check("AES-256-CBC" in answer and "SHA-1" in answer, f"the answer is {answer}: correct the README")


@PEER.case("get", "the same by GET")
def get(bench: Bench) -> None:
    """Case."""
    Client(bench, "step2", legacy=True).enroll(bench.url(), bench.server.challenge(), "--get")
    check(bench.operations()[0].request.start_line.startswith("GET "), "it was not a GET")


@PEER.case("ra", "the request to a certificate of the provisioner's own, which signs the answer")
def ra(bench: Bench) -> None:
    """Case."""
    Client(bench, "step3", legacy=True).enroll(bench.url(path="/scep/ra"), bench.server.challenge())
    bench.expect("PKCSReq > SUCCESS")


@PEER.case("renew", "RenewalReq for a new key; step-ca wants the challenge password there, too")
def renew(bench: Bench) -> None:
    """Case."""
    client, url = Client(bench, "step4", legacy=True), bench.url()
    client.enroll(url, bench.server.challenge())
    client.renew(url, "--challenge", bench.server.challenge())
    bench.expect("PKCSReq > SUCCESS", "RenewalReq > SUCCESS")


@PEER.case("refused", "a wrong challenge password: step-ca's own text reaches the user, exit code 4")
def refused(bench: Bench) -> None:
    """Case."""
    result = Client(bench, "step5", legacy=True).enroll(bench.url(), "wrong", ok=(REFUSED_BY_CA,))
    check_told(result, f"refused: badRequest: {WRONG_PASSWORD}")


@PEER.case("refused-sha1", "the same without --legacy: its text, then that we do not accept SHA-1, and what does")
def refused_sha1(bench: Bench) -> None:
    """Case."""
    result = Client(bench, "step6", legacy=False).enroll(bench.url(), "wrong", ok=(REFUSED_BY_US,))
    check_told(result, "the answer says FAILURE, badRequest", WRONG_PASSWORD, "SHA-1", "--legacy")


@PEER.case("too-short", "an RSA key that is too short for it: step-ca's text, which says to look into its log")
def too_short(bench: Bench) -> None:
    """Case."""
    client = Client(bench, "step7", legacy=True)
    result = client.enroll(bench.url(path="/scep/strict"), bench.server.challenge(), ok=(REFUSED_BY_CA,))
    check_told(result, SEE_THE_LOG)
    check("at least 3072 bits" in bench.server_log(), "step-ca refused for another reason")


@PEER.case("getcrl", "step-ca answers GetCRL with HTTP 500: status and its text are shown")
def getcrl(bench: Bench) -> None:
    """Case."""
    client, url = Client(bench, "step8", legacy=True), bench.url()
    client.enroll(url, bench.server.challenge())
    options = (*client.identity(), "--out", str(bench.folder / "crl.pem"))
    result = client.run("getcrl", url, *options, ok=(REFUSED_BY_US,))
    check_told(result, "500", "scep: not implemented")


@PEER.case("gcm", "AES-256-GCM inside EnvelopedData, which no standard defines, is refused by that name")
def gcm(bench: Bench) -> None:
    """Case."""
    client = Client(bench, "step9", legacy=True)
    result = client.enroll(bench.url(path="/scep/gcm"), bench.server.challenge(), ok=(REFUSED_BY_US,))
    check_told(result, "the answer says SUCCESS", "AES-256-GCM (2.16.840.1.101.3.4.1.46) in EnvelopedData")
    check(not client.cert.exists(), "a certificate was written")


@PEER.case("diagnose", "a provisioner as step-ca makes it, single DES: --diagnose shows the certificate, exit code 1")
def diagnose(bench: Bench) -> None:
    """Case."""
    client, url = Client(bench, "step10", legacy=False), bench.url(path="/scep/stock")
    result = client.enroll(url, bench.server.challenge(), "--diagnose", ok=(REFUSED_BY_US,))
    check("DES-CBC" in describe(bench.operations()[0].answer), "the answer was not in DES")
    check_told(result, "content: DES-CBC, 1 certificate", "CN=step10", "for the requested key", "SHA-1")
    check(not client.cert.exists(), "a certificate was written")
