"""Messages with any part changed, put together octet by octet, and a second decoder for what we answer.

`scep.messages` writes only correct messages. A peer is under no such duty, so `Crafted` assembles SignedData itself:
every attribute, algorithm, order and type can be wrong, and the signature still be good. What comes back is read by
`tests.scep.seen`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from ca.applications import Application
from ca.authority import Authority, KeyPair
from ca.events import Reply
from ca.store import IssuedCertificate
from ca.webhook import WebhookAnswer
from pkix import oids
from pkix.algorithms import AES128, AES128_GCM, ContentCipher, digest_oid
from pkix.asn1 import AlgorithmIdentifier, Oid, UTCTime, algorithm, encode, wrap
from pkix.certificates import Certificate
from pkix.enveloped_data import encrypt
from pkix.identities import Identity
from pkix.pkcs10 import CertificationRequest, encode_certification_request
from pkix.recipients import RsaRecipient
from pkix.signatures import sign
from pkix.signed_data import Signer
from pkix.usages import key_usage
from scep import attributes as scep
from tests.pkix.tlv import Node
from tests.scep.seen import Seen, hash_of, verify
from tests.world import BACKENDS, NOW, Device, Random, World, key, name

NONCE = bytes(range(16))
SHA1, MD5 = hashes.SHA1(), hashes.MD5()  # noqa: S303 - to be refused
CA_EXTENSIONS = [
    (x509.BasicConstraints(ca=True, path_length=None), True),
    (key_usage({"digitalSignature", "keyEncipherment", "keyCertSign", "cRLSign"}), True),
]
RSA_SHA256_NULL = wrap(0x30, encode(oids.SHA256_WITH_RSA) + b"\x05\x00")


def printable(text: str) -> bytes:
    """DER PrintableString, also of characters it may not hold."""
    return wrap(0x13, text.encode())


def header(kind: int | str = 19, transaction_id: str = "transaction-1", nonce: bytes = NONCE) -> dict[Oid, list[bytes]]:
    """The attributes of a request: type to the DER of its values."""
    return {
        scep.TRANSACTION_ID: [printable(transaction_id)],
        scep.MESSAGE_TYPE: [printable(str(kind))],
        scep.SENDER_NONCE: [wrap(0x04, nonce)],
    }


def reply_header(
    request: Seen, status: int | str = 0, *, kind: int | str = 3, **changed: bytes | str
) -> dict[Oid, list[bytes]]:
    """The attributes of a CertRep to `request`. changed: transaction_id, recipient_nonce, fail_info, fail_info_text."""
    nonce = changed.get("recipient_nonce", request.sender_nonce)
    assert isinstance(nonce, bytes)
    found = header(kind, str(changed.get("transaction_id", request.transaction_id)))
    found[scep.PKI_STATUS] = [printable(str(status))]
    found[scep.RECIPIENT_NONCE] = [wrap(0x04, nonce)]
    if "fail_info" in changed:
        found[scep.FAIL_INFO] = [printable(str(changed["fail_info"]))]
    if "fail_info_text" in changed:
        found[scep.FAIL_INFO_TEXT] = [wrap(0x0C, str(changed["fail_info_text"]).encode())]
    return found


def envelope(
    authority: Authority, content: bytes, cipher: ContentCipher = AES128, transport: AlgorithmIdentifier | None = None
) -> bytes:
    """pkcsPKIEnvelope for an authority."""
    pair = authority.ra_decryption or authority.ca
    return encrypt(content, [RsaRecipient(Certificate.of(pair.certificate), transport)], cipher, Random("envelope"))


def identities(authority: Authority) -> list[Identity]:
    """Who opens what is enveloped for an authority."""
    return authority.identities(BACKENDS)


@dataclass
class Crafted:
    """A pkiMessage in the making; `encode` signs it. Every field may be wrong.

    attributes: type to DER values, besides contentType, messageDigest and signingTime, which `cms` holds.
    sort: DER order of the attributes; otherwise they are sent and signed as they stand, unless `sign_sorted`.
    digest_algorithm, signature_algorithm: DER AlgorithmIdentifiers in place of the true ones.
    signature: makes the signature octets in place of the true ones. extra: whole attributes, DER of anything.
    unsigned: DER of unsignedAttrs. signers: how many times the SignerInfo stands there.
    """

    signer: Signer
    content: bytes | None
    attributes: dict[Oid, list[bytes]]
    content_type: Oid = oids.DATA
    digest: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)
    cms: dict[Oid, list[bytes]] | None = None
    certificates: Sequence[bytes] | None = None
    sort: bool = True
    sign_sorted: bool = False
    digest_algorithm: bytes | None = None
    signature_algorithm: bytes | None = None
    signature: Callable[[bytes], bytes] | None = None
    unsigned: bytes = b""
    extra: Sequence[bytes] = ()
    omit_signed_attributes: bool = False
    signers: int = 1

    def encode(self) -> bytes:
        """DER ContentInfo."""
        digest_algorithm = self.digest_algorithm or encode(algorithm(digest_oid(self.digest), b"\x05\x00"))
        e_content = b"" if self.content is None else wrap(0xA0, wrap(0x04, self.content))
        if self.certificates is None:
            self.certificates = [self.signer.certificate.der]
        members = [
            b"\x02\x01\x01",
            wrap(0x31, digest_algorithm),
            wrap(0x30, encode(self.content_type) + e_content),
            wrap(0xA0, b"".join(self.certificates)) if self.certificates else b"",
            wrap(0x31, self._signer_info(digest_algorithm) * self.signers),
        ]
        return wrap(0x30, encode(oids.SIGNED_DATA) + wrap(0xA0, wrap(0x30, b"".join(members))))

    def _signer_info(self, digest_algorithm: bytes) -> bytes:
        given = self._attribute_list()
        signed = b"".join(sorted(given) if self.sort or self.sign_sorted else given)
        sent = b"".join(sorted(given) if self.sort else given)
        scheme, signature = self._sign(wrap(0x31, signed))
        sid = wrap(0x30, self.signer.certificate.issuer + encode(self.signer.certificate.serial_number))
        attributes = b"" if self.omit_signed_attributes else wrap(0xA0, sent)
        parts = [b"\x02\x01\x01", sid, digest_algorithm, attributes, self.signature_algorithm or scheme]
        return wrap(0x30, b"".join([*parts, wrap(0x04, signature), self.unsigned]))

    def _attribute_list(self) -> list[bytes]:
        cms = self.cms
        if cms is None:
            cms = {
                oids.CONTENT_TYPE: [encode(self.content_type)],
                oids.SIGNING_TIME: [encode(UTCTime(NOW))],
                oids.MESSAGE_DIGEST: [wrap(0x04, hash_of(self.digest, self.content or b""))],
            }
        both = [*cms.items(), *self.attributes.items()]
        return [*(wrap(0x30, encode(kind) + wrap(0x31, b"".join(values))) for kind, values in both), *self.extra]

    def _sign(self, to_sign: bytes) -> tuple[bytes, bytes]:
        if self.signature is not None:
            return encode(algorithm(oids.RSA_ENCRYPTION, b"\x05\x00")), self.signature(to_sign)
        if isinstance(self.digest, hashes.MD5 | hashes.SHA224):
            assert isinstance(self.signer.key, rsa.RSAPrivateKey)
            value = self.signer.key.sign(to_sign, padding.PKCS1v15(), self.digest)
            return encode(algorithm(oids.RSA_ENCRYPTION, b"\x05\x00")), value
        scheme, value = sign(self.signer.key, to_sign, self.digest, pss=self.signer.pss)
        return encode(scheme), value


def request(device: Device, kind: int | str = 19, content: bytes | None = None, **changed: Any) -> Crafted:
    """A request of `device`: by default its correct PKCSReq. content: messageData, put into an envelope for the CA, in
    AES-GCM, under which the answer says what is wrong with it. cipher: another.

    changed: any field of Crafted, `transaction_id`, `nonce`, or `message`: the eContent in place of the envelope.
    """
    transaction_id = changed.pop("transaction_id", device.enrolment.transaction_id)
    nonce = changed.pop("nonce", NONCE)
    attributes = changed.pop("attributes", None)
    if attributes is None:
        attributes = header(kind, transaction_id, nonce)
    if "message" not in changed:
        cipher = changed.pop("cipher", AES128 if content is None else AES128_GCM)
        content = device.request.der if content is None else content
        changed["message"] = envelope(device.world.authority, content, cipher)
    signer = changed.pop("signer", device.signer)
    return Crafted(signer=signer, content=changed.pop("message"), attributes=attributes, **changed)


def reply(world: World, attributes: dict[Oid, list[bytes]], content: bytes | None, **changed: Any) -> bytes:
    """A CertRep signed by the CA, unless `changed` says otherwise."""
    signer = changed.pop("signer", world.authority.signer)
    return Crafted(signer=signer, content=content, attributes=attributes, **changed).encode()


def self_made(key_type: str, subject: str, label: str, **more: Any) -> Signer:
    """A signer with a self-made certificate. more: extensions [(value, critical)], issuer (a KeyPair), lifetime."""
    private = key(key_type, label)
    issuer = more.get("issuer")
    begin, end = more.get("lifetime", (NOW - timedelta(days=1), NOW + timedelta(days=30)))
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(issuer.certificate.subject if issuer else name(subject))
        .public_key(private.public_key())
        .serial_number(more.get("serial", 1))
        .not_valid_before(begin)
        .not_valid_after(end)
    )
    for value, critical in more.get("extensions", ()):
        builder = builder.add_extension(value, critical=critical)
    certificate = builder.sign(issuer.key if issuer else private, more.get("hash", hashes.SHA256()))
    return Signer(private, Certificate.of(certificate))


def certificate_with(ca: KeyPair, *extensions: bytes) -> bytes:
    """DER of a certificate by a CA with an RSA key that has these extensions, whatever they are."""
    assert isinstance(ca.key, rsa.RSAPrivateKey)
    tree = Node.parse(self_made("rsa:2048", "CN=RA", "odd RA", issuer=ca).certificate.der)
    version, *fields = tree[0].children or []
    added = Node.parse(wrap(0xA3, wrap(0x30, b"".join(extensions))))
    tree[0].children = [version, *(item for item in fields if item.tag != 0xA3), added]
    tree[2].content = b"\0" + ca.key.sign(tree[0].der(), padding.PKCS1v15(), hashes.SHA256())
    return tree.der()


def odd_signer(device: Device, *, serial: int = 7, version: bytes = b"", time: int = 0x17) -> Signer:
    """A self-signed certificate without extensions for the device's RSA key that `cryptography` would not make.

    version: contents of [0], none for X.509 v1. time: 0x17 UTCTime, 0x18 GeneralizedTime.
    """
    assert isinstance(device.key, rsa.RSAPrivateKey)
    century = b"20" if time == 0x18 else b""
    times = wrap(0x30, b"".join(wrap(time, century + moment) for moment in (b"260101000000Z", b"270101000000Z")))
    names = device.request.subject_der
    parts = [
        wrap(0xA0, version) if version else b"",
        *(encode(serial), RSA_SHA256_NULL, names, times, names, device.request.spki),
    ]
    tbs = wrap(0x30, b"".join(parts))
    signature = device.key.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
    return Signer(device.key, Certificate.decode(wrap(0x30, tbs + RSA_SHA256_NULL + wrap(0x03, b"\0" + signature))))


def renamed_cipher(authority: Authority, content: bytes, cipher: Oid, parameters: bytes) -> bytes:
    """An envelope that names another cipher and other parameters than it was made with."""
    tree = Node.parse(envelope(authority, content))
    content_info = tree[1][0][2]
    content_info[1] = Node.parse(wrap(0x30, encode(cipher) + parameters))
    return tree.der()


def indefinite(der: bytes, depth: int = 99) -> bytes:
    """The same value as Bouncy Castle's BER writes it: constructed values down to `depth` with indefinite lengths,
    OCTET STRINGs of more than 1000 octets and encryptedContent in pieces.
    """
    return _indefinite(Node.parse(der), depth)


def _indefinite(node: Node, depth: int) -> bytes:
    if depth == 0:
        return node.der()
    if node.children is None:
        if node.tag == 0x80 or (node.tag == 0x04 and len(node.content) > 1000):
            pieces = [wrap(0x04, node.content[at : at + 1000]) for at in range(0, len(node.content), 1000)]
            return bytes((node.tag | 0x20, 0x80)) + b"".join(pieces) + b"\0\0"
        return node.der()
    return bytes((node.tag, 0x80)) + b"".join(_indefinite(child, depth - 1) for child in node) + b"\0\0"


def see(world: World, message: bytes | Crafted) -> Seen:
    """The answer to a message, whose signature is checked, as pyasn1 reads it."""
    return seen(world, answer(world, message))


def answer(world: World, message: bytes | Crafted) -> Reply:
    """The responder's reply."""
    return world.send(message.encode() if isinstance(message, Crafted) else message)


def seen(world: World, reply: Reply) -> Seen:
    """A reply as pyasn1 reads it, with RFC 5652's demands on its signature checked."""
    found = Seen(reply.body)
    verify(found, world.authority.signer.certificate)
    return found


def failed(world: World, message: bytes | Crafted, fail_info: str, text: str) -> None:
    """Assert that a message is answered with this failInfo, and `text` somewhere in failInfoText."""
    found = see(world, message)
    assert (found.status, found.fail_info) == ("2", fail_info), found.fail_info_text
    assert found.fail_info_text is not None
    assert text in found.fail_info_text, found.fail_info_text
    assert not found.content


BAD_ALG, BAD_MESSAGE_CHECK, BAD_REQUEST, BAD_TIME, BAD_CERT_ID = "0", "1", "2", "3", "4"


def der_of(certificate: x509.Certificate) -> bytes:
    """DER of a certificate."""
    return certificate.public_bytes(Encoding.DER)


def moment(text: str) -> datetime:
    """An aware UTC datetime from ISO 8601 text without zone."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Scripted:
    """A webhook that gives the answers of its script in turn: "approve", "pending", "unreachable", "reject: why"."""

    def __init__(self, *script: str) -> None:
        self.script = list(script)
        self.asked: list[Application] = []
        self.held: list[IssuedCertificate | None] = []

    def ask(self, application: Application, holds: IssuedCertificate | None) -> tuple[WebhookAnswer, str]:
        """See `ca.webhook.Webhook`."""
        self.asked.append(application)
        self.held.append(holds)
        word, _, reason = self.script.pop(0).partition(":")
        return WebhookAnswer(word), reason.strip()


def issuer_and_serial(certificate: x509.Certificate) -> bytes:
    """DER IssuerAndSerialNumber of a certificate."""
    return encode(Certificate.of(certificate).issuer_and_serial)


@functools.cache
def _weak_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused


def weak_signer() -> Signer:
    """RSA with 1024 bits."""
    private = _weak_key()
    subject = name("CN=weak")
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(private.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    return Signer(private, Certificate.of(builder.sign(private, hashes.SHA256())))


def weak_request(password: str) -> bytes:
    """A PKCS #10 request for an RSA key of 1024 bits."""
    return encode_certification_request(_weak_key(), name("CN=weak"), challenge_password=password)


def other_curve_request(password: str) -> bytes:
    """A PKCS #10 request for a key on secp256k1."""
    private = ec.generate_private_key(ec.SECP256K1())
    return encode_certification_request(private, name("CN=other curve"), challenge_password=password)


def sha1_request(password: str) -> bytes:
    """A PKCS #10 request signed with SHA-1; `cryptography` no longer makes one, so it is put together."""
    private = key("rsa:2048", "device")
    assert isinstance(private, rsa.RSAPrivateKey)
    good = CertificationRequest.decode(
        encode_certification_request(private, name("CN=device,O=Example"), challenge_password=password)
    )
    signature = private.sign(good.signed_der, padding.PKCS1v15(), SHA1)
    return pkcs10(good.signed_der, encode(algorithm(oids.SHA1_WITH_RSA, b"\x05\x00")), signature)


def with_signature_algorithm(good: CertificationRequest, identifier: bytes) -> bytes:
    """A PKCS #10 request that names another signature algorithm."""
    return pkcs10(good.signed_der, identifier, good.signature)


def pkcs10(info: bytes, identifier: bytes, signature: bytes) -> bytes:
    """DER CertificationRequest of its three parts."""
    return wrap(0x30, info + identifier + wrap(0x03, b"\0" + signature))


def signed_pkcs10(private: rsa.RSAPrivateKey, info: bytes) -> bytes:
    """DER CertificationRequest with a correct RSA signature with SHA-256 over any CertificationRequestInfo."""
    return pkcs10(info, RSA_SHA256_NULL, private.sign(info, padding.PKCS1v15(), hashes.SHA256()))


def request_info(device: Device, **parts: bytes) -> bytes:
    """DER CertificationRequestInfo. parts: version, subject, spki, attributes (contents of the [0]), DER each."""
    members = [
        parts.get("version", b"\x02\x01\x00"),
        parts.get("subject", device.request.subject_der),
        parts.get("spki", device.request.spki),
        wrap(0xA0, parts.get("attributes", b"")),
    ]
    return wrap(0x30, b"".join(members))


def exponent_one_request(password: str) -> bytes:
    """A PKCS #10 request for an RSA key with public exponent 1, "signed" by nobody: s = padded digest."""
    size = 256
    modulus = (1 << (8 * size)) - 159
    numbers = wrap(0x30, encode(modulus) + encode(1))
    spki = wrap(0x30, wrap(0x30, encode(oids.RSA_ENCRYPTION) + b"\x05\x00") + wrap(0x03, b"\0" + numbers))
    attribute = wrap(0x30, encode(oids.CHALLENGE_PASSWORD) + wrap(0x31, wrap(0x0C, password.encode())))
    info = wrap(0x30, b"\x02\x01\x00" + name("CN=anybody").public_bytes() + spki + wrap(0xA0, attribute))
    digest_info = wrap(0x30, wrap(0x30, encode(oids.SHA256) + b"\x05\x00") + wrap(0x04, hash_of(hashes.SHA256(), info)))
    padded = b"\x00\x01" + b"\xff" * (size - 3 - len(digest_info)) + b"\x00" + digest_info
    return pkcs10(info, RSA_SHA256_NULL, padded)


def microsoft_sid(sid: str) -> x509.Extension[x509.ExtensionType]:
    """The szOID_NTDS_CA_SECURITY_EXT extension ([MS-WCCE] 2.2.2.7.7.4)."""
    other_name = wrap(0xA0, encode(Oid("1.3.6.1.4.1.311.25.2.1")) + wrap(0xA0, wrap(0x04, sid.encode())))
    oid = x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2")
    return x509.Extension(oid, False, x509.UnrecognizedExtension(oid, wrap(0x30, other_name)))
