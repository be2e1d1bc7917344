"""Peers with keys and certificates, and SignedData, certificates and requests with anything a test wants wrong.

What is made here is written with `tests.pkix.tlv`, not with the code under test.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pkix import oids
from pkix.asn1 import Oid, encode
from pkix.certificates import Certificate
from pkix.identities import RsaIdentity
from pkix.keys import certificate_hash
from pkix.signatures import MlDsaPublicKey, SigningKey
from pkix.signed_data import Signer
from tests.pkix.tlv import Node, integer, tlv
from tests.world import NOW, key, name

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | MlDsaPublicKey

NULL = b"\x05\x00"
COMMON_NAME = Oid("2.5.4.3")


@dataclass(frozen=True)
class Peer:
    """A private key and a certificate for it."""

    key: SigningKey
    certificate: Certificate

    def signer(self, *, pss: bool = False) -> Signer:
        """As the code under test wants it."""
        return Signer(self.key, self.certificate, pss=pss)

    def identity(self) -> RsaIdentity:
        """As somebody whom an envelope addresses; the key must be RSA."""
        assert isinstance(self.key, rsa.RSAPrivateKey)
        return RsaIdentity(self.certificate, self.key)


@functools.cache
def peer(key_type: str = "rsa:2048", label: str = "peer") -> Peer:
    """A peer with a self-signed certificate that has a subjectKeyIdentifier; the same one within a run."""
    private = key(key_type, label)
    subject = name(f"CN={label},O=Example")
    certificate = (
        x509.CertificateBuilder(subject, subject, private.public_key())
        .serial_number(int.from_bytes(hashlib.sha256(label.encode()).digest()[:16], "big") | 1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=365))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .sign(private, certificate_hash(private))
    )
    return Peer(private, Certificate.of(certificate))


@functools.cache
def small_rsa_key() -> rsa.RSAPrivateKey:
    """RSA with 1024 bits, which nobody should trust."""
    return rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused


def spki(public_key: PublicKey) -> bytes:
    """DER SubjectPublicKeyInfo."""
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def rsa_spki(modulus: int, exponent: int) -> bytes:
    """DER SubjectPublicKeyInfo of any two numbers."""
    return tlv(
        0x30, sequence(encode(oids.RSA_ENCRYPTION), NULL), bit_string(sequence(*map(integer, (modulus, exponent))))
    )


def sequence(*parts: bytes) -> bytes:
    """DER SEQUENCE."""
    return tlv(0x30, *parts)


def bit_string(octets: bytes) -> bytes:
    """DER BIT STRING of whole octets."""
    return tlv(0x03, b"\x00", octets)


def algorithm(oid: Oid, parameters: bytes = b"") -> bytes:
    """DER AlgorithmIdentifier; parameters absent by default."""
    return sequence(encode(oid), parameters)


def attribute(oid: Oid, *values: bytes) -> bytes:
    """DER Attribute with these values."""
    return sequence(encode(oid), tlv(0x31, *values))


def common_name(text: bytes, tag: int) -> bytes:
    """DER Name with one commonName of any string type."""
    return sequence(tlv(0x31, sequence(encode(COMMON_NAME), tlv(tag, text))))


def digest_of(digest: hashes.HashAlgorithm, data: bytes) -> bytes:
    """The hash of `data`."""
    return hashlib.new(digest.name, data).digest()


def certificate(
    public_key_info: bytes,
    *,
    issuer: bytes | None = None,
    version: int | None = 2,
    serial: int = 77,
    extensions: tuple[bytes, ...] = (),
) -> Certificate:
    """A certificate with a worthless signature, which nothing in `pkix` looks at. version None: X.509 v1."""
    who = issuer or name("CN=forged").public_bytes()
    validity = sequence(tlv(0x17, b"250101000000Z"), tlv(0x17, b"350101000000Z"))
    scheme = algorithm(oids.SHA256_WITH_RSA, NULL)
    fields = [integer(serial), scheme, who, validity, who, public_key_info]
    if version is not None:
        fields.insert(0, tlv(0xA0, integer(version)))
    if extensions:
        fields.append(tlv(0xA3, sequence(*extensions)))
    return Certificate.decode(sequence(sequence(*fields), scheme, bit_string(b"worthless")))


@dataclass
class SignedDataForge:
    """A SignedData with one signer that signs whatever its fields say.

    scheme and digest_algorithm: DER AlgorithmIdentifiers. attributes: encoded, in the order to send.
    to_sign: makes the octets to sign from the attributes; by default the SET OF them in the order sent.
    sid: DER. certificates: DER each. make_signature: replaces the signature by the peer's key.
    """

    peer: Peer
    content: bytes = b"the content"
    digest: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)
    digest_algorithm: bytes | None = None
    attributes: list[bytes] | None = None
    to_sign: Callable[[list[bytes]], bytes] = lambda attributes: tlv(0x31, *attributes)
    scheme: bytes | None = None
    rsa_padding: padding.AsymmetricPadding = field(default_factory=padding.PKCS1v15)
    signature_digest: hashes.HashAlgorithm | None = None
    sid: bytes | None = None
    certificates: list[bytes] | None = None
    make_signature: Callable[[bytes], bytes] | None = None

    def encode(self) -> bytes:
        """The ContentInfo."""
        certificates = [self.peer.certificate.der] if self.certificates is None else self.certificates
        fields = [
            integer(1),
            tlv(0x31, self._digest_algorithm()),
            sequence(encode(oids.DATA), tlv(0xA0, tlv(0x04, self.content))),
            tlv(0xA0, *certificates) if certificates else b"",
            tlv(0x31, self.signer_info()),
        ]
        return sequence(encode(oids.SIGNED_DATA), tlv(0xA0, sequence(*fields)))

    def signer_info(self) -> bytes:
        """The SignerInfo."""
        attributes = self.default_attributes() if self.attributes is None else self.attributes
        named = sequence(self.peer.certificate.issuer, integer(self.peer.certificate.serial_number))
        signature = (self.make_signature or self._signature)(self.to_sign(attributes))
        fields = [integer(1), self.sid or named, self._digest_algorithm(), tlv(0xA0, *attributes)]
        return sequence(*fields, self.scheme or self._scheme(), tlv(0x04, signature))

    def default_attributes(self) -> list[bytes]:
        """contentType and messageDigest, in DER order."""
        digest = tlv(0x04, digest_of(self.digest, self.content))
        return [attribute(oids.CONTENT_TYPE, encode(oids.DATA)), attribute(oids.MESSAGE_DIGEST, digest)]

    def _digest_algorithm(self) -> bytes:
        by_name = {"md5": oids.MD5, "sha1": oids.SHA1, "sha224": oids.SHA224, "sha256": oids.SHA256}
        by_name |= {"sha384": oids.SHA384, "sha512": oids.SHA512}
        return self.digest_algorithm or algorithm(by_name[self.digest.name])

    def _scheme(self) -> bytes:
        if isinstance(self.peer.key, rsa.RSAPrivateKey):
            return algorithm(oids.RSA_ENCRYPTION, NULL)
        if isinstance(self.peer.key, ec.EllipticCurvePrivateKey):
            return algorithm(oids.ECDSA_WITH_SHA256)
        return algorithm(oids.ED25519)

    def _signature(self, data: bytes) -> bytes:
        digest = self.signature_digest or self.digest
        if isinstance(self.peer.key, rsa.RSAPrivateKey):
            return self.peer.key.sign(data, self.rsa_padding, digest)
        if isinstance(self.peer.key, ec.EllipticCurvePrivateKey):
            return self.peer.key.sign(data, ec.ECDSA(digest))
        return self.peer.key.sign(data)


def signed_data(message: Node) -> Node:
    """The SignedData in the tree of a ContentInfo."""
    return message[1][0]


def signer_info(message: Node) -> Node:
    """The one SignerInfo in the tree of a ContentInfo, whose fields come in the order of RFC 5652 section 5.3."""
    return signed_data(message)[-1][0]


def request_info(
    private: SigningKey,
    *attributes: bytes,
    subject: bytes | None = None,
    version: int = 0,
    key_info: bytes | None = None,
) -> Node:
    """CertificationRequestInfo with these attributes in this order."""
    parts = [
        integer(version),
        name("CN=device").public_bytes() if subject is None else subject,
        key_info or spki(private.public_key()),
        tlv(0xA0, *attributes),
    ]
    return Node.parse(sequence(*parts))


def sign_request(
    info: Node,
    private: SigningKey,
    *,
    scheme: bytes | None = None,
    digest: hashes.HashAlgorithm | None = None,
    rsa_padding: padding.AsymmetricPadding | None = None,
) -> bytes:
    """A PKCS #10 request over any CertificationRequestInfo, signed with SHA-256 or Ed25519 unless told otherwise."""
    data, digest = info.der(), digest or hashes.SHA256()
    if isinstance(private, rsa.RSAPrivateKey):
        usual = algorithm(oids.SHA256_WITH_RSA, NULL)
        signature = private.sign(data, rsa_padding or padding.PKCS1v15(), digest)
    elif isinstance(private, ec.EllipticCurvePrivateKey):
        usual, signature = algorithm(oids.ECDSA_WITH_SHA256), private.sign(data, ec.ECDSA(digest))
    else:
        usual, signature = algorithm(oids.ED25519), private.sign(data)
    return sequence(data, scheme or usual, bit_string(signature))


def extension_request(*extensions: bytes, oid: Oid = oids.EXTENSION_REQUEST) -> bytes:
    """The attribute extensionRequest (RFC 2985 section 5.4.2) with encoded extensions."""
    return attribute(oid, sequence(*extensions))


def extension(oid: str, value: bytes) -> bytes:
    """An extension, not critical."""
    return sequence(encode(Oid(oid)), tlv(0x04, value))
