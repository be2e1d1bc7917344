"""pkiMessages put together octet by octet, so that any one part can be wrong and the signature still be good."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from drafts.tools.labelled import NOW, Labelled
from drafts.tools.testkit.der import NULL, Node, attribute, octets, printable, scheme, sequence
from pkix import oids
from pkix.algorithms import AES128, ContentCipher
from pkix.asn1 import Oid, UTCTime, encode, wrap
from pkix.enveloped_data import encrypt
from pkix.recipients import Recipient
from pkix.signatures import sign
from pkix.signed_data import Signer
from scep import attributes as scep

DIGESTS = {"md5": oids.MD5, "sha1": oids.SHA1, "sha256": oids.SHA256, "sha384": oids.SHA384, "sha512": oids.SHA512}
MD5, SHA1 = hashes.MD5(), hashes.SHA1()  # noqa: S303 - to be refused

Attributes = dict[Oid, list[bytes]]


def request_attributes(kind: int | str, transaction_id: str, nonce: bytes) -> Attributes:
    """The attributes of a request: type to the DER of its values (RFC 8894 section 3.2.1)."""
    return {
        scep.TRANSACTION_ID: [printable(transaction_id)],
        scep.MESSAGE_TYPE: [printable(str(kind))],
        scep.SENDER_NONCE: [octets(nonce)],
    }


def reply_attributes(
    transaction_id: str, nonce: bytes, recipient_nonce: bytes, status: int | str, fail_info: int | str | None = None
) -> Attributes:
    """The attributes of a CertRep."""
    found = request_attributes(3, transaction_id, nonce)
    found[scep.PKI_STATUS] = [printable(str(status))]
    found[scep.RECIPIENT_NONCE] = [octets(recipient_nonce)]
    if fail_info is not None:
        found[scep.FAIL_INFO] = [printable(str(fail_info))]
    return found


@dataclass
class Message:
    """A pkiMessage in the making; `encode` signs it.

    attributes: besides contentType, messageDigest and signingTime, which `cms` holds; None leaves one out.
    Every other field replaces what would be right. signature: makes the octets of the signature from what is signed.
    sid: DER. tree: spoils the finished SignedData, whose signature does not notice.
    """

    signer: Signer
    envelope: bytes | None
    attributes: Attributes
    content_type: Oid = oids.DATA
    digest: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)
    cms: Attributes | None = None
    signing_time: bytes = field(default_factory=lambda: encode(UTCTime(NOW)))
    certificates: Sequence[bytes] | None = None
    more: Sequence[bytes] = ()
    extra: Sequence[bytes] = ()
    sort: bool = True
    digest_algorithm: bytes | None = None
    signature_algorithm: bytes | None = None
    signature: Callable[[bytes], bytes] | None = None
    tree: Callable[[Node], None] | None = None

    def encode(self) -> bytes:
        """DER ContentInfo."""
        digest_algorithm = self.digest_algorithm or scheme(DIGESTS[self.digest.name])
        if self.digest in (SHA1, MD5):
            digest_algorithm = self.digest_algorithm or scheme(DIGESTS[self.digest.name], NULL)
        certificates = self.certificates
        if certificates is None:
            certificates = [self.signer.certificate.der, *self.more]
        content = b"" if self.envelope is None else wrap(0xA0, octets(self.envelope))
        message = sequence(
            encode(oids.SIGNED_DATA),
            wrap(
                0xA0,
                sequence(
                    encode(1),
                    wrap(0x31, digest_algorithm),
                    sequence(encode(self.content_type), content),
                    wrap(0xA0, b"".join(certificates)) if certificates else b"",
                    wrap(0x31, self._signer_info(digest_algorithm)),
                ),
            ),
        )
        if self.tree is None:
            return message
        found = Node.parse(message)
        self.tree(found)
        return found.der()

    def _signer_info(self, digest_algorithm: bytes) -> bytes:
        given = self._attributes()
        to_sign = b"".join(sorted(given) if self.sort else given)
        named, signature = self._sign(wrap(0x31, to_sign))
        sid = encode(self.signer.certificate.issuer_and_serial)
        return sequence(
            encode(1),
            sid,
            digest_algorithm,
            wrap(0xA0, to_sign),
            self.signature_algorithm or named,
            octets(signature),
        )

    def _attributes(self) -> list[bytes]:
        cms = self.cms
        if cms is None:
            cms = self.good_cms()
        return [*(attribute(kind, *values) for kind, values in (cms | self.attributes).items()), *self.extra]

    def good_cms(self) -> Attributes:
        """contentType, signingTime, messageDigest."""
        digest = hashlib.new(self.digest.name, self.envelope or b"").digest()
        return {
            oids.CONTENT_TYPE: [encode(self.content_type)],
            oids.SIGNING_TIME: [self.signing_time],
            oids.MESSAGE_DIGEST: [octets(digest)],
        }

    def _sign(self, to_sign: bytes) -> tuple[bytes, bytes]:
        if isinstance(self.signer.key, rsa.RSAPrivateKey) and not self.signer.pss:
            named = scheme(oids.RSA_ENCRYPTION, NULL)
            value = self.signer.key.sign(to_sign, padding.PKCS1v15(), self.digest)
        else:
            identifier, value = sign(self.signer.key, to_sign, self.digest, pss=self.signer.pss)
            named = encode(identifier)
        return named, value if self.signature is None else self.signature(value)


def envelope(
    content: bytes,
    recipients: Sequence[Recipient],
    label: str,
    cipher: ContentCipher = AES128,
    tree: Callable[[Node], None] | None = None,
) -> bytes:
    """pkcsPKIEnvelope, key and IV from the label. tree: spoils it afterwards."""
    made = encrypt(content, recipients, cipher, Labelled(label))
    if tree is None:
        return made
    found = Node.parse(made)
    tree(found)
    return found.der()


def authenticating(label: str, content: bytes, cipher: ContentCipher) -> Callable[[Node], None]:
    """Adds authAttrs (contentType) to an AuthEnvelopedData of `envelope` and makes the tag anew, over both."""
    random = Labelled(label)
    key, nonce = random(cipher.key_length), random(12)
    members = attribute(oids.CONTENT_TYPE, encode(oids.DATA))

    def change(tree: Node) -> None:
        encrypted = AESGCM(key).encrypt(nonce, content, wrap(0x31, members))
        content_info(tree)[2].content, tree[1][0][3].content = encrypted[:-16], encrypted[-16:]
        tree[1][0].insert(3, Node.parse(wrap(0xA1, members)))

    return change


def signed_data(message: Node) -> Node:
    """The SignedData in the tree of a ContentInfo."""
    return message[1][0]


def signer_info(message: Node) -> Node:
    """The SignerInfo in the tree of a ContentInfo: version, sid, digest, attributes, algorithm, signature."""
    return signed_data(message)[-1][0]


def recipient_info(enveloped: Node) -> Node:
    """The first RecipientInfo in the tree of an envelope."""
    return enveloped[1][0][1][0]


def content_info(enveloped: Node) -> Node:
    """The EncryptedContentInfo: contentType, algorithm, encryptedContent."""
    return enveloped[1][0][2]
