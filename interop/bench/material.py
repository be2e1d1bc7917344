"""What the servers are tried with: one CA, one client key, and PKCSReq messages made before anything is timed.

A request is addressed to the CA certificate with AES-128-CBC and RSA PKCS #1 v1.5 and signed with SHA-256 under a
self-signed certificate for its own subject (RFC 8894 section 2.3). The key is the same in all of them, because
making an RSA key takes longer than enrolling one; no server here minds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from ca.authority import create_authority
from pkix.algorithms import AES128
from pkix.certificates import Certificate
from pkix.enveloped_data import encrypt
from pkix.keys import spki_of
from pkix.pkcs10 import encode_certification_request
from pkix.recipients import RsaRecipient
from pkix.signed_data import Signer
from scep.attributes import NONCE_LENGTH, MessageType
from scep.client import new_transaction_id, self_signed
from scep.messages import Header, encode_pki_message


@dataclass(frozen=True)
class Authority:
    """The CA that all servers are given. certificate: the same one in both views."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    view: Certificate


@dataclass(frozen=True)
class Request:
    """A PKCSReq, and what its answer must agree with. signer: its self-signed certificate."""

    message: bytes
    transaction_id: str
    sender_nonce: bytes
    subject: x509.Name
    signer: Certificate


class Client:
    """The one client key, and its requests."""

    def __init__(self, authority: Authority, challenge_password: str) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.spki = spki_of(self.key)
        self._authority = authority
        self._challenge_password = challenge_password
        self._made = 0

    def requests(self, count: int) -> list[Request]:
        """New requests, each with a subject of its own."""
        return [self._request() for _ in range(count)]

    def _request(self) -> Request:
        self._made += 1
        now = utc_now()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"bench-{self._made:06}")])
        transaction_id, nonce = new_transaction_id(os.urandom), os.urandom(NONCE_LENGTH)
        signer = Certificate.of(self_signed(self.key, subject, now=now, random=os.urandom))
        csr = encode_certification_request(self.key, subject, challenge_password=self._challenge_password)
        message = encode_pki_message(
            Header(MessageType.PKCSReq, transaction_id, nonce),
            encrypt(csr, [RsaRecipient(self._authority.view)], AES128, os.urandom),
            Signer(self.key, signer),
            hashes.SHA256(),
            certificates=[signer.der],
            now=now,
        )
        return Request(message, transaction_id, nonce, subject, signer)


def make_authority() -> Authority:
    """A new self-signed RSA-2048 CA."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Bench CA")])
    pair = create_authority(name, "rsa:2048", ra_key_type=None, now=utc_now(), random=os.urandom).ca
    assert isinstance(pair.key, rsa.RSAPrivateKey)
    return Authority(pair.key, pair.certificate, Certificate.of(pair.certificate))


def utc_now() -> datetime:
    """Now, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)
