"""CMS EnvelopedData with a CBC cipher (RFC 5652 section 6, RFC 3565).

`encrypt` makes a ContentInfo for any recipients of `pkix.recipients`; `decrypt` tries the identities it is given
and returns the content together with how it was protected, so that an answer can use the same algorithms.

CBC protects nothing against tampering, and SCEP authenticates the envelope only by whoever signed around it.
Therefore every failure to open an envelope gives one error with one text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pkix import oids
from pkix.algorithms import AlgorithmPolicy, ContentCipher
from pkix.asn1 import (
    SEQUENCE_TAG,
    SET_TAG,
    TLV,
    AlgorithmIdentifier,
    Implicit,
    Oid,
    algorithm,
    any_of,
    decode,
    elements,
    encode,
    parameters_der,
    parse,
    sequence,
    set_of,
    tag_of,
    wrap,
)
from pkix.ber import decode_ber
from pkix.certificates import Certificate
from pkix.errors import DecryptionFailed, Malformed
from pkix.recipients import (
    CANNOT_DECRYPT,
    KeyTransRecipientInfo,
    PasswordRecipientInfo,
    RandomBytes,
    Recipient,
    open_password,
    open_rsa,
)
from pkix.signed_data import ContentInfo

MAX_RECIPIENTS = 16
PASSWORD_TAG = 0xA3


@sequence
class EncryptedContentInfo:
    """RFC 5652 section 6.1."""

    content_type: Oid
    content_encryption_algorithm: AlgorithmIdentifier
    encrypted_content: Annotated[bytes | None, Implicit(0)]


@sequence
class _EnvelopedData:
    version: int
    originator_info: Annotated[list[TLV] | None, Implicit(0)]
    recipient_infos: TLV
    encrypted_content_info: EncryptedContentInfo
    unprotected_attrs: Annotated[list[TLV] | None, Implicit(1)]


@dataclass(frozen=True)
class Opened:
    """A decrypted envelope.

    content: the plaintext. cipher: the content cipher. identity: who could open it.
    key_transport: the KeyEncryptionAlgorithm of the RSA recipient, None for a password.
    """

    content: bytes
    cipher: ContentCipher
    identity: Identity
    key_transport: AlgorithmIdentifier | None

    def __repr__(self) -> str:
        return f"Opened(content=<redacted>, cipher={self.cipher.name})"


@dataclass(frozen=True)
class Addressed:
    """What an unopened envelope shows. identity: whom of ours it names, None if nobody."""

    cipher: ContentCipher
    identity: Identity | None
    key_transport: AlgorithmIdentifier | None


class Identity(Protocol):
    """Somebody who may be able to open an envelope."""

    def recognises(self, recipient_info: TLV) -> bool:
        """Whether a RecipientInfo is for this one. Raises Malformed."""

    def unwrap(self, recipient_info: TLV) -> bytes:
        """The content-encryption key from a RecipientInfo it recognises.

        Raises Malformed, AlgorithmRefused, DecryptionFailed.
        """


@dataclass(frozen=True)
class RsaIdentity:
    """An RSA key and the certificate that peers know it by."""

    certificate: Certificate
    key: rsa.RSAPrivateKey

    def recognises(self, recipient_info: TLV) -> bool:
        """See Identity."""
        if tag_of(recipient_info) != SEQUENCE_TAG:
            return False
        rid = parse(recipient_info, KeyTransRecipientInfo, "KeyTransRecipientInfo").rid
        if isinstance(rid, bytes):
            return rid == self.certificate.subject_key_identifier
        return self.certificate.is_named_by(rid)

    def unwrap(self, recipient_info: TLV) -> bytes:
        """See Identity."""
        return open_rsa(parse(recipient_info, KeyTransRecipientInfo, "KeyTransRecipientInfo"), self.key)

    def __repr__(self) -> str:
        return f"RsaIdentity(serial={self.certificate.serial_number:x})"


@dataclass(frozen=True)
class PasswordIdentity:
    """A password shared with the sender, in SCEP the challengePassword (UTF-8)."""

    password: bytes

    def recognises(self, recipient_info: TLV) -> bool:
        """See Identity."""
        return tag_of(recipient_info) == PASSWORD_TAG

    def unwrap(self, recipient_info: TLV) -> bytes:
        """See Identity."""
        as_sequence = bytes((SEQUENCE_TAG,)) + encode(recipient_info)[1:]
        return open_password(decode(PasswordRecipientInfo, as_sequence, "PasswordRecipientInfo"), self.password)

    def __repr__(self) -> str:
        return "PasswordIdentity(password=<redacted>)"


def encrypt(content: bytes, recipients: Sequence[Recipient], cipher: ContentCipher, random: RandomBytes) -> bytes:
    """ContentInfo with EnvelopedData over id-data content. `random(n)` gives n octets for key and IV."""
    key, iv = random(cipher.key_length), random(cipher.block_length)
    enveloped = _EnvelopedData(
        version=max(recipient.version for recipient in recipients),
        originator_info=None,
        recipient_infos=any_of(set_of(recipient.recipient_info(key, random) for recipient in recipients)),
        encrypted_content_info=EncryptedContentInfo(
            content_type=oids.DATA,
            content_encryption_algorithm=algorithm(cipher.oid, wrap(0x04, iv)),
            encrypted_content=_encrypt_cbc(cipher, key, iv, content),
        ),
        unprotected_attrs=None,
    )
    return encode(ContentInfo(content_type=oids.ENVELOPED_DATA, content=any_of(encode(enveloped))))


def decrypt(content_info: bytes, identities: Sequence[Identity], policy: AlgorithmPolicy) -> Opened:
    """Open a ContentInfo with EnvelopedData, in DER or BER, for the first identity that a recipient names.

    Raises Malformed, AlgorithmRefused, DecryptionFailed (nobody addressed, or wrong key or content).
    """
    enveloped = _decode(content_info)
    content = enveloped.encrypted_content_info
    cipher = policy.cipher(content.content_encryption_algorithm.algorithm)
    iv = decode(bytes, parameters_der(content.content_encryption_algorithm) or b"", f"{cipher.name} IV")
    if len(iv) != cipher.block_length:
        raise Malformed(f"{cipher.name} IV of {len(iv)} octets, not {cipher.block_length}")
    if content.encrypted_content is None:
        raise Malformed("encryptedContentInfo has no encryptedContent")
    found = _find(enveloped.recipient_infos, identities)
    if found is None:
        raise DecryptionFailed("the envelope is addressed to none of our certificates; fetch them with GetCACert")
    info, identity = found
    plaintext = _decrypt_cbc(cipher, identity.unwrap(info), iv, content.encrypted_content)
    return Opened(content=plaintext, cipher=cipher, identity=identity, key_transport=_key_transport(info))


def inspect(content_info: bytes, identities: Sequence[Identity], policy: AlgorithmPolicy) -> Addressed:
    """Whom an envelope addresses and with which algorithms, without opening it. Raises Malformed, AlgorithmRefused."""
    enveloped = _decode(content_info)
    cipher = policy.cipher(enveloped.encrypted_content_info.content_encryption_algorithm.algorithm)
    found = _find(enveloped.recipient_infos, identities)
    if found is None:
        return Addressed(cipher, None, None)
    return Addressed(cipher, found[1], _key_transport(found[0]))


def describe(content_info: bytes) -> str:
    """The algorithms and recipients of an envelope in words, for traces. Raises Malformed."""
    enveloped = _decode(content_info)
    scheme = enveloped.encrypted_content_info.content_encryption_algorithm.algorithm
    recipients = []
    for info in elements(enveloped.recipient_infos):
        if tag_of(info) == SEQUENCE_TAG:
            transport = parse(info, KeyTransRecipientInfo, "KeyTransRecipientInfo")
            rid = transport.rid
            whom = f"key {rid.hex()}" if isinstance(rid, bytes) else f"serial {rid.serial_number:x}"
            recipients.append(f"{oids.label(transport.key_encryption_algorithm.algorithm)} to {whom}")
        else:
            recipients.append("PBKDF2 from a password" if tag_of(info) == PASSWORD_TAG else "another recipient type")
    return f"{oids.label(scheme)}, {', '.join(recipients)}"


def _decode(content_info: bytes) -> _EnvelopedData:
    outer = decode_ber(ContentInfo, content_info, "pkcsPKIEnvelope")
    if outer.content_type != oids.ENVELOPED_DATA:
        raise Malformed(f"pkcsPKIEnvelope holds {oids.name(outer.content_type)}, not EnvelopedData")
    enveloped = parse(outer.content, _EnvelopedData, "EnvelopedData")
    inner_type = enveloped.encrypted_content_info.content_type
    if inner_type != oids.DATA:
        raise Malformed(f"encryptedContentInfo holds {oids.name(inner_type)}, not data (RFC 8894 section 3.2.2)")
    return enveloped


def _find(recipient_infos: TLV, identities: Sequence[Identity]) -> tuple[TLV, Identity] | None:
    infos = elements(recipient_infos)
    if tag_of(recipient_infos) != SET_TAG or not 1 <= len(infos) <= MAX_RECIPIENTS:
        raise Malformed(f"EnvelopedData does not have 1 to {MAX_RECIPIENTS} recipients")
    return next(((info, who) for info in infos for who in identities if who.recognises(info)), None)


def _key_transport(recipient_info: TLV) -> AlgorithmIdentifier | None:
    if tag_of(recipient_info) != SEQUENCE_TAG:
        return None
    return parse(recipient_info, KeyTransRecipientInfo, "KeyTransRecipientInfo").key_encryption_algorithm


def _encrypt_cbc(cipher: ContentCipher, key: bytes, iv: bytes, plaintext: bytes) -> bytes:
    count = cipher.block_length - len(plaintext) % cipher.block_length
    encryptor = _cbc(cipher, key, iv).encryptor()
    return encryptor.update(plaintext + bytes((count,)) * count) + encryptor.finalize()


def _decrypt_cbc(cipher: ContentCipher, key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    """Plaintext without its padding (RFC 5652 section 6.3)."""
    if len(key) != cipher.key_length or not ciphertext or len(ciphertext) % cipher.block_length:
        raise DecryptionFailed(CANNOT_DECRYPT)
    decryptor = _cbc(cipher, key, iv).decryptor()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    count = padded[-1]
    if not 1 <= count <= cipher.block_length or padded[-count:] != bytes((count,)) * count:
        raise DecryptionFailed(CANNOT_DECRYPT)
    return padded[:-count]


def _cbc(cipher: ContentCipher, key: bytes, iv: bytes) -> Cipher[modes.CBC]:
    block = TripleDES(key) if cipher.oid == oids.DES_EDE3_CBC else algorithms.AES(key)
    return Cipher(block, modes.CBC(iv))
