"""Servers of other people, on which our client is tried."""

from __future__ import annotations

import base64
import json
import shutil
import sys
from pathlib import Path

from cryptography import x509

from interop.kit import authorities, install
from interop.kit.cases import CaseFailed
from interop.kit.certs import read_certificate
from interop.kit.process import Background
from interop.kit.servers import STATIC_CHALLENGE, Server


class MicromdmServer(Server):
    """micromdm's server with AES-128-CBC answers; SHA-1 signatures, for which it has no switch."""

    cipher = "aes"

    def launch(self) -> Background:
        depot = self.folder / "depot"
        shutil.rmtree(depot, ignore_errors=True)
        stock = str(install.require_built("micromdm") / "scepserver")
        init = (stock, "ca", "-init", "-keySize", "2048", "-key-password", "x", "-depot", str(depot))
        made = self.processes.run(init, cwd=self.folder)
        if made.code != 0:
            raise CaseFailed(f"scepserver ca -init failed: {made.text}")
        return self.processes.start(self.serve_command(depot), cwd=self.folder, log=self.log)

    def serve_command(self, depot: Path) -> tuple[str, ...]:
        """The command line of the server on this depot."""
        driver = str(install.require_built("micromdm") / "micromdm-driver")
        return (driver, "serve", str(self.folder / "written-ca.pem"), str(depot), STATIC_CHALLENGE)


class StockMicromdmServer(MicromdmServer):
    """micromdm's `scepserver` as its authors ship it: answers in single DES with SHA-1."""

    def serve_command(self, depot: Path) -> tuple[str, ...]:
        stock = str(install.require_built("micromdm") / "scepserver")
        # It does not say when it listens, and takes no port 0; a shell prints the line the others print.
        port = install.free_port()
        listen = f"-http-addr 127.0.0.1:{port} -challenge {STATIC_CHALLENGE}"
        serve = f"{stock} -depot {depot} {listen} -capass x -allowrenew 0"
        announce = f"echo URL: http://127.0.0.1:{port}/scep"
        wait = f"until (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.05; done"
        return ("bash", "-c", f"{serve} & {wait}; {announce}; wait")


class JscepServer(Server):
    """jscep's ScepServlet around the toy CA of interop/jscep: answers in 3DES with SHA-1."""

    abilities = frozenset({"pending", "getcert", "getcrl", "refusal"})

    def launch(self) -> Background:
        return self.processes.start(
            (*install.java_command("jscep", "interop.ToyCa"), str(self.folder / "written-ca.pem"), STATIC_CHALLENGE),
            cwd=self.folder,
            log=self.log,
        )


class StepCaServer(Server):
    """step-ca with an RSA intermediate and several SCEP provisioners, which are the last part of the path.

    stock: nothing set, so answers in single DES. aes, gcm: other ciphers; aes shows the root, too. ra: a certificate of
    its own for signing and decryption. strict: issues for RSA keys of at least 3072 bits.
    """

    abilities = frozenset({"renewal", "refusal"})
    path = "/scep/aes"
    provisioners = (
        {"name": "stock"},
        {"name": "aes", "encryptionAlgorithmIdentifier": 2, "includeRoot": True},
        {"name": "gcm", "encryptionAlgorithmIdentifier": 4},
        {"name": "strict", "encryptionAlgorithmIdentifier": 2, "minimumPublicKeyLength": 3072},
    )

    def launch(self) -> Background:
        root = authorities.make("step Root", ("key_cert_sign", "crl_sign"))
        issuer = authorities.make("step Intermediate", ("key_cert_sign", "crl_sign"), root)
        agent = authorities.make("step RA", ("digital_signature", "key_encipherment"), issuer, ca=False)
        for name, pair in (("root", root), ("intermediate", issuer)):
            (self.folder / f"{name}.pem").write_bytes(pair.certificate_pem)
            (self.folder / f"{name}.key").write_bytes(pair.key_pem)
        ra = {
            "name": "ra",
            "encryptionAlgorithmIdentifier": 2,
            "decrypterCertificate": base64.b64encode(agent.certificate_pem).decode(),
            "decrypterKeyPEM": base64.b64encode(agent.key_pem).decode(),
        }
        common = {"type": "SCEP", "challenge": STATIC_CHALLENGE}
        settings = {
            "root": "root.pem",
            "crt": "intermediate.pem",
            "key": "intermediate.key",
            "address": "127.0.0.1:0",
            "dnsNames": ["localhost"],
            "logger": {"format": "text"},
            "authority": {"provisioners": [common | settings for settings in (*self.provisioners, ra)]},
        }
        (self.folder / "ca.json").write_text(json.dumps(settings))
        command = str(install.require_built("step-ca") / "step-ca-driver")
        return self.processes.start((command, "ca.json"), cwd=self.folder, log=self.log)

    def choose_authority(self, body: bytes) -> x509.Certificate:
        return read_certificate(self.folder / "intermediate.pem")


class NdesServer(Server):
    """Our imitation of NDES (interop/client_ndes/server.py); its variants are folders before the path."""

    abilities = frozenset({"pending", "renewal", "getcrl", "refusal"})
    path = "/certsrv/mscep/mscep.dll"

    def launch(self) -> Background:
        command = (sys.executable, "-m", "interop.client_ndes.server", str(self.folder), STATIC_CHALLENGE)
        return self.processes.start(command, env={"PYTHONPATH": str(install.CHECKOUT)}, cwd=self.folder, log=self.log)

    def choose_authority(self, body: bytes) -> x509.Certificate:
        return read_certificate(self.folder / "ca.pem")
