"""A SCEP server that behaves as captured answers of NDES do.

    python -m interop.client_ndes.server FOLDER CHALLENGE

serves http://127.0.0.1:PORT/certsrv/mscep/mscep.dll, and each of VARIANTS below a folder of its name. It prints its URL
when it listens, and keeps its certificates and keys in FOLDER.

OpenSSL's `cms` opens and makes the enveloped data, `cryptography` makes certificates and signatures, and the CertRep
is put together here octet by octet. What is imitated: an RA of two certificates with the extended key usage Certificate
Request Agent, and a CA without keyEncipherment; a CertRep whose SignedData has no certificates and no signingTime but
an attribute 1.3.6.1.4.1.311.21.38; refusals with badRequest alone, or with HTTP 500 and HTML. Cipher and digest of an
answer are those of the request. A request needs the challenge password, or a signer with a certificate of this CA.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import AttributeOID

from interop.kit import authorities
from interop.kit.messages import attribute_value, decode_get_message

DLL = "/certsrv/mscep/mscep.dll"
REQUEST_AGENT = "1.3.6.1.4.1.311.20.2.1"
PKCS_REQ, RENEWAL_REQ, CERT_POLL, GET_CRL = "19", "17", "20", "22"
SUCCESS, FAILURE, PENDING = "0", "2", "3"
BAD_REQUEST, BAD_CERT_ID = "2", "4"
SCEP = "2.16.840.1.113733.1.9."
MESSAGE_TYPE, STATUS, FAIL_INFO, SENDER_NONCE, RECIPIENT_NONCE, TRANSACTION = 2, 3, 4, 5, 6, 7
DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "1.3.14.3.2.26": hashes.SHA1(),  # noqa: S303 -- what old clients send
}


@dataclass(frozen=True)
class Variant:
    """oaep: the answer's key is under RSAES-OAEP. renewal: GetCACaps has Renewal, and a RenewalReq is taken. html: a
    refusal is HTTP 500. expired: the RA's encryption certificate is over. identifier: what GetCACert's `message` must
    be, if anything."""

    oaep: bool = False
    renewal: bool = True
    html: bool = False
    expired: bool = False
    identifier: str | None = None


VARIANTS = {
    "": Variant(),
    "/oaep": Variant(oaep=True),
    "/no-renewal": Variant(renewal=False),
    "/html": Variant(html=True),
    "/expired": Variant(expired=True),
    "/identifier": Variant(identifier="CorpCA"),
}


class Refused(Exception):
    """The argument is the failInfo."""


def tlv(tag: int, *parts: bytes) -> bytes:
    """DER."""
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content


def oid(dotted: str) -> bytes:
    """DER OBJECT IDENTIFIER."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    octets = bytearray()
    for arc in (40 * first + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        octets += bytes(reversed(groups))
    return tlv(0x06, bytes(octets))


def openssl(*arguments: str, data: bytes = b"") -> bytes:
    """Standard output of an openssl command. Raises Refused."""
    done = subprocess.run(("openssl", *arguments), input=data, capture_output=True, check=False)
    if done.returncode != 0:
        print("openssl", *arguments, done.stderr.decode(errors="replace"), file=sys.stderr, flush=True)
        raise Refused(BAD_REQUEST)
    return done.stdout


@dataclass
class Ndes:
    """The CA and its RA. waiting: the CSR of each transaction that is pending, and how often it was polled for."""

    folder: Path
    challenge: str
    waiting: dict[bytes, tuple[x509.CertificateSigningRequest, int]] = field(default_factory=dict)
    pairs: dict[str, authorities.Pair] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        ca = authorities.make("Corp-Issuing-CA", ("digital_signature", "key_cert_sign", "crl_sign"))
        self.keep("ca", ca)
        for name, usage, days in (
            ("signing", "digital_signature", 700),
            ("encryption", "key_encipherment", 700),
            ("expired", "key_encipherment", -2),
        ):
            options = {"ca": False, "purpose": REQUEST_AGENT, "days": days}
            self.keep(name, authorities.make("NDES-MSCEP-RA", (usage,), ca, **options))

    @property
    def ca(self) -> authorities.Pair:
        """The CA's own."""
        return self.pairs["ca"]

    def file(self, name: str) -> str:
        """Of a certificate; the key's ends in .key instead."""
        return str(self.folder / f"{name}.pem")

    def keep(self, name: str, pair: authorities.Pair) -> None:
        """Write its files, for OpenSSL."""
        self.pairs[name] = pair
        Path(self.file(name)).write_bytes(pair.certificate_pem)
        (self.folder / f"{name}.key").write_bytes(pair.key_pem)

    def bag(self, variant: Variant) -> bytes:
        """The body of GetCACert."""
        return self.certificates("ca", "signing", "expired" if variant.expired else "encryption")

    def certificates(self, *names: str) -> bytes:
        """A SignedData with certificates alone."""
        options = [option for name in names for option in ("-certfile", self.file(name))]
        return openssl("crl2pkcs7", "-nocrl", "-outform", "DER", *options)

    def issue(self, request: x509.CertificateSigningRequest) -> bytes:
        """A certs-only SignedData with the new certificate and the CA's."""
        key = request.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise Refused(BAD_REQUEST)
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder(self.ca.certificate.subject, request.subject, key, x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=10))
            .not_valid_after(now + timedelta(days=365))
            .add_extension(authorities.usage("digital_signature", "key_encipherment"), critical=True)
        )
        certificate = builder.sign(self.ca.key, hashes.SHA256())
        Path(self.file("issued")).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return self.certificates("issued", "ca")

    def crl(self) -> bytes:
        """A SignedData that holds the CRL alone."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder(self.ca.certificate.subject, now, now + timedelta(days=7))
        crl = builder.sign(self.ca.key, hashes.SHA256())
        return openssl("crl2pkcs7", "-outform", "DER", data=crl.public_bytes(serialization.Encoding.PEM))

    def is_ours(self, certificate: x509.Certificate) -> bool:
        """Whether the CA signed it."""
        try:
            certificate.verify_directly_issued_by(self.ca.certificate)
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True


@dataclass
class Operation:
    """One pkiMessage and its answer."""

    server: Ndes
    variant: Variant
    message: bytes

    def attribute(self, arc: int) -> bytes:
        """Content of an attribute of the request."""
        found = attribute_value(self.message, arc)
        if found is None:
            raise Refused(BAD_REQUEST)
        return found[1]

    def answer(self) -> bytes:
        """A CertRep. Raises Refused where HTTP 500 is the answer."""
        try:
            content = self.granted()
        except Refused as refused:
            if self.variant.html:
                raise
            return self.signed(FAILURE, fail_info=str(refused))
        return self.signed(PENDING) if content is None else self.signed(SUCCESS, content=self.enveloped(content))

    def granted(self) -> bytes | None:
        """What the requester gets, or None if it has to wait."""
        sealed, signer = self.verified()
        kind, transaction = self.attribute(MESSAGE_TYPE).decode(), self.attribute(TRANSACTION)
        options = ("-recip", self.server.file("encryption"), "-inkey", str(self.server.folder / "encryption.key"))
        opened = openssl("cms", "-decrypt", "-binary", "-inform", "DER", *options, data=sealed)
        if kind == GET_CRL:
            return self.server.crl()
        if kind == CERT_POLL:
            return self.polled(transaction)
        if kind != PKCS_REQ and not (kind == RENEWAL_REQ and self.variant.renewal):
            raise Refused(BAD_REQUEST)
        request = x509.load_der_x509_csr(opened)
        if not self.server.is_ours(signer) and self.password(request) != self.server.challenge:
            raise Refused(BAD_REQUEST)
        if "CN=pending" in request.subject.rfc4514_string():
            self.server.waiting[transaction] = (request, 0)
            return None
        return self.server.issue(request)

    def polled(self, transaction: bytes) -> bytes | None:
        """The second poll brings the certificate."""
        if transaction not in self.server.waiting:
            raise Refused(BAD_CERT_ID)
        request, polls = self.server.waiting[transaction]
        self.server.waiting[transaction] = (request, polls + 1)
        return self.server.issue(request) if polls else None

    def verified(self) -> tuple[bytes, x509.Certificate]:
        """The content of the request's SignedData, and who signed it."""
        signer = self.server.file("requester")
        options = ("-verify", "-noverify", "-binary", "-inform", "DER", "-signer", signer)
        content = openssl("cms", *options, data=self.message)
        return content, x509.load_pem_x509_certificate(Path(signer).read_bytes())

    @staticmethod
    def password(request: x509.CertificateSigningRequest) -> str:
        """The challengePassword."""
        try:
            return request.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value.decode()
        except x509.AttributeNotFound:
            return ""

    def enveloped(self, content: bytes) -> bytes:
        """EnvelopedData for the requester, in the cipher of the request."""
        aes = bytes.fromhex("0609608648016503040102") in self.message
        padding_mode = ("-keyopt", "rsa_padding_mode:oaep") if self.variant.oaep else ()
        options = ("-aes128" if aes else "-des3", "-recip", self.server.file("requester"), *padding_mode)
        return openssl("cms", "-encrypt", "-binary", "-outform", "DER", *options, data=content)

    def signed(self, status: str, *, fail_info: str | None = None, content: bytes = b"") -> bytes:
        """SignedData (RFC 5652 section 5.1) with one SignerInfo and nothing that could be left out."""
        dotted = next(name for name in DIGESTS if oid(name) in self.message)
        digest = DIGESTS[dotted]
        hashed = hashes.Hash(digest)
        hashed.update(content)
        attributes = {
            "1.2.840.113549.1.9.3": oid("1.2.840.113549.1.7.1"),
            "1.2.840.113549.1.9.4": tlv(0x04, hashed.finalize()),
            "1.3.6.1.4.1.311.21.38": tlv(0x04, os.urandom(20)),
            f"{SCEP}{TRANSACTION}": tlv(0x13, self.attribute(TRANSACTION)),
            f"{SCEP}{MESSAGE_TYPE}": tlv(0x13, b"3"),
            f"{SCEP}{STATUS}": tlv(0x13, status.encode()),
            f"{SCEP}{RECIPIENT_NONCE}": tlv(0x04, self.attribute(SENDER_NONCE)),
            f"{SCEP}{SENDER_NONCE}": tlv(0x04, os.urandom(16)),
        }
        if fail_info is not None:
            attributes[f"{SCEP}{FAIL_INFO}"] = tlv(0x13, fail_info.encode())
        encoded = b"".join(sorted(tlv(0x30, oid(kind), tlv(0x31, value)) for kind, value in attributes.items()))
        agent = self.server.pairs["signing"]
        signature = agent.key.sign(tlv(0x31, encoded), padding.PKCS1v15(), digest)
        serial = agent.certificate.serial_number
        number = tlv(0x02, serial.to_bytes(serial.bit_length() // 8 + 1))
        version, digest_algorithm = tlv(0x02, b"\x01"), tlv(0x30, oid(dotted), b"\x05\x00")
        signer_info = tlv(
            0x30,
            version,
            tlv(0x30, agent.certificate.issuer.public_bytes(), number),
            digest_algorithm,
            tlv(0xA0, encoded),
            tlv(0x30, oid("1.2.840.113549.1.1.1"), b"\x05\x00"),
            tlv(0x04, signature),
        )
        inner = tlv(0x30, oid("1.2.840.113549.1.7.1"), *([tlv(0xA0, tlv(0x04, content))] if content else []))
        signed = tlv(0x30, version, tlv(0x31, digest_algorithm), inner, tlv(0x31, signer_info))
        return tlv(0x30, oid("1.2.840.113549.1.7.2"), tlv(0xA0, signed))


PAGE = "<HTML><Head><Title>Network Device Enrollment Service</Title></Head><Body>{}</Body></HTML>"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    ndes: Ndes
    server_version, sys_version = "Microsoft-IIS/10.0", ""

    def do_GET(self) -> None:
        """GetCACaps, GetCACert, PKIOperation."""
        self._answer(None)

    def do_POST(self) -> None:
        """PKIOperation."""
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

    def log_message(self, format: str, *args: object) -> None:
        """To the log of the server."""
        print(self.command, urlsplit(self.path).path, *args[1:], flush=True)

    def _answer(self, body: bytes | None) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        operation, message = (query.get(name, [""])[0] for name in ("operation", "message"))
        variant = VARIANTS.get(url.path.removesuffix(DLL)) if url.path.endswith(DLL) else None
        if variant is None:
            self._send(404, "text/html", PAGE.format("The resource was not found.").encode())
        elif operation == "GetCACaps":
            renewal = "Renewal\r\n" if variant.renewal else ""
            text = f"POSTPKIOperation\r\n{renewal}SHA-512\r\nSHA-256\r\nSHA-1\r\nDES3\r\nAES\r\n"
            self._send(200, "text/plain", text.encode())
        elif operation == "GetCACert" and variant.identifier in (None, message):
            self._send(200, "application/x-x509-ca-ra-cert", self.ndes.bag(variant))
        elif operation == "PKIOperation":
            self._operate(variant, decode_get_message(message) if body is None else body)
        else:
            self._send(500, "text/html", PAGE.format("An error occurred.").encode())

    def _operate(self, variant: Variant, message: bytes) -> None:
        with self.ndes.lock:
            try:
                answer = Operation(self.ndes, variant, message).answer()
            except Refused:
                page = PAGE.format("The password in the certificate request cannot be verified.")
                self._send(500, "text/html", page.encode())
            else:
                self._send(200, "application/x-pki-message", answer)

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(folder: str, challenge: str) -> None:
    """Serve until killed."""
    Handler.ndes = Ndes(Path(folder), challenge)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"URL: http://127.0.0.1:{server.server_address[1]}{DLL}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
