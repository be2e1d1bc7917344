"""CMS EnvelopedData with AES-CBC (RFC 5652 section 6) and AuthEnvelopedData with AES-GCM (RFC 5083, RFC 5084).

`encrypt` makes a ContentInfo for any recipients of `pkix.recipients`; the cipher decides which of the two types.
`decrypt` tries the identities it is given and returns the content together with how it was protected, so that an
answer can use the same algorithms.

CBC protects nothing against tampering, and a signature around an envelope may be anybody's. Therefore every failure to
open an envelope gives one error with one text. A server that answers strangers must not even stop where it fails:
`attempt` goes on with a random key or with wrongly padded content, and says at the end what was wrong.

What is inside is of the type that the reader expects (`Expected`), id-data by default. In AuthEnvelopedData any other
type is authenticated as an attribute (RFC 5083 section 2.1); in EnvelopedData no type is.

A KEMRecipientInfo is read only in AuthEnvelopedData (`AlgorithmPolicy.kem_in_cbc`): under the same key, CBC would test
guesses about what GCM protects (RFC 9709, https://eprint.iacr.org/2024/1110).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pkix import oids
from pkix.algorithms import AlgorithmPolicy, ContentCipher
from pkix.asn1 import (
    SEQUENCE_TAG,
    SET_TAG,
    TLV,
    AlgorithmIdentifier,
    Implicit,
    Oid,
    any_of,
    attribute,
    decode,
    elements,
    encode,
    encode_oid,
    parse,
    sequence,
    set_of,
    tag_of,
    wrap,
)
from pkix.ber import read_ber
from pkix.content import CANNOT_OPEN, Plaintext, iv_length, open_content, read_parameters
from pkix.content import encrypt as encrypt_content
from pkix.content_info import ContentInfo, encode_content_info
from pkix.errors import AlgorithmRefused, DecryptionFailed, Malformed
from pkix.identities import (
    KEK_TAG,
    PASSWORD_TAG,
    Identity,
    Useless,
    fault_of,
    find_recipient,
    kek_info,
    whom,
)
from pkix.kem_recipients import decode_kem_recipient_info
from pkix.recipients import (
    KeyTransRecipientInfo,
    RandomBytes,
    Recipient,
)


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


@sequence
class _AuthEnvelopedData:
    """RFC 5083 section 2.1. authAttrs keep their octets, which the MAC covers under the tag of a SET OF."""

    version: int
    originator_info: Annotated[list[TLV] | None, Implicit(0)]
    recipient_infos: TLV
    encrypted_content_info: EncryptedContentInfo
    auth_attrs: Annotated[list[TLV] | None, Implicit(1)]
    mac: bytes
    unauth_attrs: Annotated[list[TLV] | None, Implicit(2)]


@dataclass(frozen=True)
class Expected:
    """What an envelope is to be, and how a protocol's texts speak of it.

    content_type: of what is inside. name: of the ContentInfo. section: where the type is laid down, for the refusal of
    another. advice: what the sender, who reads it, is to do if the envelope is addressed to nobody here. useless:
    certificates of ours that open nothing, and what to say of each.
    """

    content_type: Oid = oids.DATA
    name: str = "ContentInfo"
    section: str = ""
    advice: str = ""
    useless: Useless = ()


ENVELOPED_DATA = Expected()


@dataclass(frozen=True)
class Opened:
    """A decrypted envelope.

    content: the plaintext. cipher: the content cipher. identity: whom it addresses.
    key_transport: the KeyEncryptionAlgorithm of the RSA recipient, None for a password.
    fault: why the content is not what was sent, for the operator alone; empty if all is well. See `attempt`.
    """

    content: bytes
    cipher: ContentCipher
    identity: Identity
    key_transport: AlgorithmIdentifier | None
    fault: str = ""

    def __repr__(self) -> str:
        return f"Opened(content=<redacted>, cipher={self.cipher.name})"


@dataclass(frozen=True)
class Addressed:
    """What an unopened envelope shows. identity: whom of ours it names, None if nobody."""

    cipher: ContentCipher
    identity: Identity | None
    key_transport: AlgorithmIdentifier | None


def encrypt(
    content: bytes,
    recipients: Sequence[Recipient],
    cipher: ContentCipher,
    random: RandomBytes,
    *,
    content_type: Oid = oids.DATA,
) -> bytes:
    """ContentInfo with EnvelopedData, or with AuthEnvelopedData for a GCM cipher.

    content_type: what `content` is; AuthEnvelopedData authenticates any but id-data (RFC 5083 section 2.1).
    `random(n)` gives n octets for key and IV.
    """
    key, iv = random(cipher.key_length), random(iv_length(cipher))
    named = [] if content_type == oids.DATA else [attribute(oids.CONTENT_TYPE, encode_oid(content_type))]
    auth_attrs = [any_of(item) for item in named] if cipher.authenticated and named else None
    encrypted = encrypt_content(cipher, key, iv, content, aad=_covered(auth_attrs))
    recipient_infos = any_of(set_of(recipient.recipient_info(key, random) for recipient in recipients))
    content_info = EncryptedContentInfo(
        content_type=content_type,
        content_encryption_algorithm=encrypted.algorithm,
        encrypted_content=encrypted.ciphertext,
    )
    if encrypted.tag is not None:
        authenticated = _AuthEnvelopedData(
            version=0,
            originator_info=None,
            recipient_infos=recipient_infos,
            encrypted_content_info=content_info,
            auth_attrs=auth_attrs,
            mac=encrypted.tag,
            unauth_attrs=None,
        )
        return encode_content_info(oids.AUTH_ENVELOPED_DATA, encode(authenticated))
    enveloped = _EnvelopedData(
        version=max(recipient.version for recipient in recipients),
        originator_info=None,
        recipient_infos=recipient_infos,
        encrypted_content_info=content_info,
        unprotected_attrs=None,
    )
    return encode_content_info(oids.ENVELOPED_DATA, encode(enveloped))


def _covered(auth_attrs: list[TLV] | None) -> bytes:
    """What the tag of AuthEnvelopedData covers besides the content: authAttrs as a SET OF (RFC 5083 section 2.2)."""
    return b"" if auth_attrs is None else wrap(SET_TAG, b"".join(encode(item) for item in auth_attrs))


def decrypt(
    content_info: bytes,
    identities: Sequence[Identity],
    policy: AlgorithmPolicy,
    *,
    expected: Expected = ENVELOPED_DATA,
) -> Opened:
    """Open a ContentInfo with (Auth)EnvelopedData, in DER or BER, for the first identity that a recipient names.

    Raises Malformed, AlgorithmRefused, DecryptionFailed (nobody addressed, or wrong key or content).
    """
    opened = attempt(content_info, identities, policy, bytes, expected=expected)
    if opened.fault:
        raise DecryptionFailed(CANNOT_OPEN)
    return opened


def attempt(
    content_info: bytes,
    identities: Sequence[Identity],
    policy: AlgorithmPolicy,
    random: RandomBytes,
    *,
    max_content: int | None = None,
    expected: Expected = ENVELOPED_DATA,
) -> Opened:
    """As `decrypt`, but what only the key's owner can see to be wrong is no exception: it is in `fault`.

    random(n): n octets that nobody can guess, for a key in place of one that cannot be had (RFC 3218 section 2.3.2).
    max_content: octets of encryptedContent that are decrypted at most.
    Raises Malformed, AlgorithmRefused, DecryptionFailed for what anybody can see, before anything is decrypted.
    """
    return read_ber(
        lambda der: _attempt(_decode(der, expected), identities, policy, random, max_content, expected), content_info
    )


def _attempt(
    enveloped: _EnvelopedData | _AuthEnvelopedData,
    identities: Sequence[Identity],
    policy: AlgorithmPolicy,
    random: RandomBytes,
    max_content: int | None,
    expected: Expected,
) -> Opened:
    cipher = _cipher(enveloped, policy)
    content = enveloped.encrypted_content_info
    ciphertext = content.encrypted_content
    if ciphertext is None:
        raise Malformed("encryptedContentInfo has no encryptedContent")
    if max_content is not None and len(ciphertext) > max_content:
        raise Malformed(f"encryptedContent of {len(ciphertext)} octets; at most {max_content} are accepted")
    found = find_recipient(enveloped.recipient_infos, identities, "EnvelopedData")
    if found is None:
        raise _addressed_to_nobody(enveloped.recipient_infos, identities, expected)
    info, identity = found
    _check_recipient(info, cipher, policy)
    tag, aad = b"", b""
    if isinstance(enveloped, _AuthEnvelopedData):
        tag, aad = enveloped.mac, _covered(enveloped.auth_attrs)
    parameters = read_parameters(cipher, content.content_encryption_algorithm, ciphertext, tag=tag)
    key_transport = _key_transport(info)
    key, fault = _content_key(identity, info, key_transport, cipher, random)
    plaintext: Plaintext = open_content(cipher, parameters, key, ciphertext, aad=aad)
    return Opened(
        content=plaintext.octets,
        cipher=cipher,
        identity=identity,
        key_transport=key_transport,
        fault=fault or plaintext.fault,
    )


def _addressed_to_nobody(recipient_infos: TLV, identities: Sequence[Identity], expected: Expected) -> DecryptionFailed:
    """What to raise when no recipient is one of ours: what was wrong with the first of which that can be said. Raises
    Malformed.
    """
    for info in elements(recipient_infos):
        fault, advice = fault_of(info, identities, expected.useless)
        if fault:
            return DecryptionFailed(f"the envelope cannot be opened by us: {fault}", advice=advice)
    named = list(filter(None, map(whom, elements(recipient_infos))))
    but = f", but {named[0]}" if named else ""
    but += f" and {len(named) - 1} others" if len(named) > 1 else ""
    fact = f"the envelope is addressed to none of our certificates{but}"
    return DecryptionFailed(fact, advice=expected.advice)


def _content_key(
    identity: Identity,
    info: TLV,
    key_transport: AlgorithmIdentifier | None,
    cipher: ContentCipher,
    random: RandomBytes,
) -> tuple[bytes, str]:
    """The content-encryption key and no fault, or a random key and why.

    Under PKCS #1 v1.5 a wrong encryptedKey gives a random key of a random length (`open_rsa`), which nobody can tell
    from one that was sent. The text for it is made beforehand, so that it takes no time of its own.
    """
    other_length = f"the content-encryption key does not have the {cipher.key_length} octets of {cipher.name}"
    if key_transport is not None and key_transport.algorithm == oids.RSA_ENCRYPTION:
        other_length += ", or encryptedKey is not encrypted with PKCS #1 v1.5 to the key of this certificate"
    try:
        key = identity.unwrap(info)
    except DecryptionFailed as error:
        return random(cipher.key_length), error.cause
    if len(key) != cipher.key_length:
        return random(cipher.key_length), other_length
    return key, ""


def _check_recipient(info: TLV, cipher: ContentCipher, policy: AlgorithmPolicy) -> None:
    """An ML-KEM recipient and CBC do not go together. Raises AlgorithmRefused."""
    if cipher.authenticated or policy.kem_in_cbc or decode_kem_recipient_info(info) is None:
        return
    raise AlgorithmRefused("a KEMRecipientInfo in EnvelopedData with CBC", "use AuthEnvelopedData with AES-GCM")


def inspect(
    content_info: bytes,
    identities: Sequence[Identity],
    policy: AlgorithmPolicy,
    *,
    expected: Expected = ENVELOPED_DATA,
) -> Addressed:
    """Whom an envelope addresses and with which algorithms, without opening it. Raises Malformed, AlgorithmRefused."""
    return read_ber(lambda der: _inspect(_decode(der, expected), identities, policy), content_info)


def _inspect(
    enveloped: _EnvelopedData | _AuthEnvelopedData, identities: Sequence[Identity], policy: AlgorithmPolicy
) -> Addressed:
    cipher = _cipher(enveloped, policy)
    found = find_recipient(enveloped.recipient_infos, identities, "EnvelopedData")
    if found is None:
        return Addressed(cipher, None, None)
    _check_recipient(found[0], cipher, policy)
    return Addressed(cipher, found[1], _key_transport(found[0]))


def describe(content_info: bytes, *, expected: Expected = ENVELOPED_DATA) -> str:
    """The algorithms and recipients of an envelope in words, for traces. Raises Malformed."""
    return read_ber(lambda der: _describe(_decode(der, expected)), content_info)


def _describe(enveloped: _EnvelopedData | _AuthEnvelopedData) -> str:
    scheme = enveloped.encrypted_content_info.content_encryption_algorithm.algorithm
    recipients = []
    for info in elements(enveloped.recipient_infos):
        if tag_of(info) == SEQUENCE_TAG:
            transport = parse(info, KeyTransRecipientInfo, "KeyTransRecipientInfo")
            rid = transport.rid
            whom = f"key {rid.hex()}" if isinstance(rid, bytes) else f"serial {rid.serial_number:x}"
            recipients.append(f"{oids.label(transport.key_encryption_algorithm.algorithm)} to {whom}")
        else:
            recipients.append(_describe_other(info))
    return f"{oids.label(scheme)}, {', '.join(recipients)}"


def _describe_other(info: TLV) -> str:
    kem = decode_kem_recipient_info(info)
    if kem is not None:
        whom = f"key {kem.rid.hex()}" if isinstance(kem.rid, bytes) else f"serial {kem.rid.serial_number:x}"
        names = [oids.label(item.algorithm) for item in (kem.kem, kem.kdf, kem.wrap)]
        return f"{' with '.join(names[:2])} and {names[2]} to {whom}"
    if tag_of(info) == KEK_TAG:
        return f"AES key wrap under response key {kek_info(info).kekid.key_identifier.hex()}"
    return "PBKDF2 from a password" if tag_of(info) == PASSWORD_TAG else "another recipient type"


def _decode(content_info: bytes, expected: Expected) -> _EnvelopedData | _AuthEnvelopedData:
    """From DER; callers come through `read_ber`, since BER may stand in any part that is only read later."""
    outer = decode(ContentInfo, content_info, expected.name)
    enveloped: _EnvelopedData | _AuthEnvelopedData
    if outer.content_type == oids.ENVELOPED_DATA:
        enveloped = parse(outer.content, _EnvelopedData, "EnvelopedData")
    elif outer.content_type == oids.AUTH_ENVELOPED_DATA:
        enveloped = parse(outer.content, _AuthEnvelopedData, "AuthEnvelopedData")
    else:
        raise Malformed(f"{expected.name} holds {oids.name(outer.content_type)}, not EnvelopedData")
    inner_type = enveloped.encrypted_content_info.content_type
    if inner_type != expected.content_type:
        section = f" ({expected.section})" if expected.section else ""
        wanted = oids.label(expected.content_type)
        raise Malformed(f"encryptedContentInfo holds {oids.name(inner_type)}, not {wanted}{section}")
    if isinstance(enveloped, _AuthEnvelopedData):
        _check_auth_attrs(enveloped.auth_attrs or [], inner_type)
    return enveloped


def _check_auth_attrs(auth_attrs: list[TLV], content_type: Oid) -> None:
    """The attribute contentType names the type of the content, and may be missing only for data. Raises Malformed.

    The tag covers it and not encryptedContentInfo's type, so without this anybody could rename what was sealed for
    another protocol (RFC 5083 section 2.1, RFC 5652 section 11.1).
    """
    kind = encode_oid(oids.CONTENT_TYPE)
    stated = [encode(item) for item in auth_attrs if bytes(item.data).startswith(kind)]
    if stated == [attribute(oids.CONTENT_TYPE, encode_oid(content_type))]:
        return
    if stated or content_type != oids.DATA:
        raise Malformed(
            "AuthEnvelopedData: the authenticated attribute contentType is missing or differs (RFC 5083 section 2.1)"
        )


def _cipher(enveloped: _EnvelopedData | _AuthEnvelopedData, policy: AlgorithmPolicy) -> ContentCipher:
    scheme = enveloped.encrypted_content_info.content_encryption_algorithm.algorithm
    return policy.cipher(scheme, authenticated=isinstance(enveloped, _AuthEnvelopedData))


def _key_transport(recipient_info: TLV) -> AlgorithmIdentifier | None:
    if tag_of(recipient_info) != SEQUENCE_TAG:
        return None
    return parse(recipient_info, KeyTransRecipientInfo, "KeyTransRecipientInfo").key_encryption_algorithm
