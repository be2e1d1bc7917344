"""A TLS server's certificate and key, from `ca_pair`."""

from __future__ import annotations

import ssl
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from pkix.keys import certificate_hash
from pkix.usages import key_usage
from scep_kem import files
from scep_kem.clock import utc_now
from tests.scep_kem.kit import ca_pair
from tests.world import Random, key, name

HOUR = timedelta(hours=1)


def tls_server(
    folder: Path, address: str = "127.0.0.1", *, begin: timedelta = -HOUR, end: timedelta = HOUR, usage: bool = True
) -> ssl.SSLContext:
    """For a server at an address. begin, end: from now. usage: whether it is for TLS servers."""
    ca, server = ca_pair("ec:P-256"), key("ec:P-256", "TLS server")
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if usage else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        x509.CertificateBuilder()
        .subject_name(name("CN=TLS server"))
        .issuer_name(ca.certificate.subject)
        .public_key(server.public_key())
        .serial_number(int.from_bytes(Random("TLS")(16), "big"))
        .not_valid_before(utc_now() + begin)
        .not_valid_after(utc_now() + end)
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .add_extension(key_usage({"digitalSignature"}), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(server.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.certificate.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
    )
    files.write(folder / "cert.pem", files.pem(builder.sign(ca.key, certificate_hash(ca.key))))
    files.write_key(folder / "key.pem", server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context
