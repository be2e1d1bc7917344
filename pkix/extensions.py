"""Extensions as peers write them, in requests and certificates (RFC 5280 section 4.2).

`cryptography.x509` reads strict DER, and all extensions or none. Deployed software writes out what is a DEFAULT
(critical FALSE: older certmonger, Intel; cA FALSE), which OpenSSL, Go and Bouncy Castle read, and an extension that
nobody needs may hold anything. So where that library refuses, each extension is read by itself: a DEFAULT that is
written out is left out, any octet but 00 is TRUE (X.690 section 8.2.2), and what still cannot be read is kept as
`Unreadable`.

Whoever needs an extension asks `find`, for which an unreadable one is not an absent one. Only what is read changes: a
signature is verified over the octets as they came, and what is issued is encoded anew, in DER.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from pkix import oids
from pkix.asn1 import (
    SEQUENCE_TAG,
    TLV,
    BitString,
    Oid,
    any_of,
    attribute,
    elements,
    encode,
    encode_oid,
    octet_string,
    parse,
    tag_of,
    wrap,
)
from pkix.errors import Malformed

MAX_EXTENSIONS = 64  # of one request or certificate
_ATTRIBUTES_TAG = 0xA0
_OID, _BOOLEAN, _OCTET_STRING = 0x06, 0x01, 0x04
_FALSE, _TRUE = b"\x00", b"\xff"
_MINIMUM_0 = b"\x80\x01\x00"
# Of GeneralName (RFC 5280 section 4.2.1.6), under IMPLICIT tags but for directoryName.
_IP_ADDRESS, _NOT_CERTIFIED = 0x87, (0xA3, 0xA5)
_GENERAL_NAME = (0xA0, 0x81, 0x82, 0xA4, 0x86, _IP_ADDRESS, 0x88)
NO_NAME = wrap(SEQUENCE_TAG, b"")
_NO_KEY = wrap(SEQUENCE_TAG, wrap(SEQUENCE_TAG, encode(oids.ED25519)) + encode(BitString(bytes(32), 0)))
_UNSIGNED = wrap(SEQUENCE_TAG, encode(oids.UNSIGNED)) + encode(BitString(b"", 0))
_REFUSALS = (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)

Value = TypeVar("Value", bound=x509.ExtensionType)


class Unreadable(x509.UnrecognizedExtension):
    """An extension of a known kind whose value is not one. where: it stands, for texts."""

    def __init__(self, oid: Oid, value: bytes, where: str) -> None:
        super().__init__(oid, value)
        self.where = where


def find(extensions: x509.Extensions, kind: type[Value]) -> Value | None:
    """The value of the extension of this kind, None if there is none. Raises Malformed if it cannot be read."""
    for item in extensions:
        if isinstance(item.value, kind):
            return item.value
        if isinstance(item.value, Unreadable) and item.oid == kind.oid:
            why = _names_fault(item.value.value) if item.oid == ExtensionOID.SUBJECT_ALTERNATIVE_NAME else ""
            text = f"the extension {item.oid._name} ({item.oid.dotted_string}) cannot be read{why}"
            raise Malformed(f"{item.value.where}: {text}")
    return None


def _names_fault(value: bytes) -> str:
    """What is wrong with DER GeneralNames, as far as that is simple."""
    try:
        names = _members(any_of(value))
    except Malformed:
        return ": it is no SEQUENCE of names"
    for name in names:
        tag, size = tag_of(name), len(bytes(name.data))
        if tag == _IP_ADDRESS and size not in (4, 16):
            return f": iPAddress of {size} octets; it has 4 or 16"
        if tag in _NOT_CERTIFIED:
            return ": an x400Address or ediPartyName, which no certificate gets here"
        if tag not in _GENERAL_NAME:
            return f": a value with the tag {tag:02X} (hex), which no GeneralName has"
    return ""


def read_extensions(members: Sequence[TLV], where: str) -> x509.Extensions:
    """Extensions, each given as its sender encoded it. where: they stand, for texts.

    Raises Malformed for what is no Extension, for one that is there twice, and for more than 64.
    """
    if len(members) > MAX_EXTENSIONS:
        raise Malformed(f"{where}: more than {MAX_EXTENSIONS} extensions")
    if not members:
        return x509.Extensions([])
    try:
        return _as_they_are([encode(item) for item in members])
    except _REFUSALS:
        pass
    found: dict[Oid, x509.Extension[x509.ExtensionType]] = {}
    for item in members:
        extension = _read(*split_extension(item, where), where)
        if extension.oid in found:
            raise Malformed(f"{where}: the extension {extension.oid.dotted_string} is there twice")
        found[extension.oid] = extension
    return x509.Extensions(list(found.values()))


def split_extension(extension: TLV, where: str) -> tuple[Oid, bool, bytes]:
    """extnID, critical, and the octets of extnValue. Raises Malformed."""
    try:
        parts = _members(extension)
        if [tag_of(part) for part in parts] not in ([_OID, _OCTET_STRING], [_OID, _BOOLEAN, _OCTET_STRING]):
            raise Malformed("other members")
        critical = len(parts) == 3 and _is_true(parts[1])
        return parse(parts[0], Oid, "extnID"), critical, bytes(parts[-1].data)
    except Malformed:
        text = "an extension does not consist of extnID, critical and extnValue (RFC 5280 section 4.1)"
        raise Malformed(f"{where}: {text}") from None


def encode_parts(oid: Oid, critical: bool, value: bytes) -> bytes:
    """DER of an Extension. value: octets of extnValue."""
    return wrap(SEQUENCE_TAG, encode_oid(oid) + (wrap(_BOOLEAN, _TRUE) if critical else b"") + octet_string(value))


def as_pkcs10(subject: bytes, extensions: Sequence[bytes] = ()) -> x509.CertificateSigningRequest:
    """A request for a key of nobody, which `cryptography` needs around a name or extensions to read them.

    subject: DER Name. extensions: DER each. Raises ValueError.
    """
    attributes = attribute(oids.EXTENSION_REQUEST, wrap(SEQUENCE_TAG, b"".join(extensions))) if extensions else b""
    info = wrap(SEQUENCE_TAG, encode(0) + subject + _NO_KEY + wrap(_ATTRIBUTES_TAG, attributes))
    return x509.load_der_x509_csr(wrap(SEQUENCE_TAG, info + _UNSIGNED))


def _as_they_are(extensions: Sequence[bytes]) -> x509.Extensions:
    """Raises _REFUSALS."""
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # about lengths in names
        return as_pkcs10(NO_NAME, extensions).extensions


def _read(oid: Oid, critical: bool, value: bytes, where: str) -> x509.Extension[x509.ExtensionType]:
    for octets in _ways(oid, value):
        try:
            return next(iter(_as_they_are([encode_parts(oid, critical, octets)])))
        except _REFUSALS:
            continue
    return x509.Extension(oid, critical, Unreadable(oid, value, where))


def _ways(oid: Oid, value: bytes) -> Iterator[bytes]:
    """The value as it came, and without what is a DEFAULT."""
    yield value
    if oid in _PLAIN:
        try:
            plain = _PLAIN[oid](any_of(value))
        except Malformed:
            return
        yield plain


def _plain_basic_constraints(value: TLV) -> bytes:
    """cA is FALSE by DEFAULT (section 4.2.1.9)."""
    members = _members(value)
    if members and tag_of(members[0]) == _BOOLEAN:
        members[:1] = [any_of(wrap(_BOOLEAN, _TRUE))] if _is_true(members[0]) else []
    return wrap(SEQUENCE_TAG, b"".join(map(encode, members)))


def _plain_name_constraints(value: TLV) -> bytes:
    """The minimum of a GeneralSubtree is 0 by DEFAULT (section 4.2.1.10)."""
    return wrap(SEQUENCE_TAG, b"".join(wrap(tag_of(trees), _plain_subtrees(trees)) for trees in _members(value)))


def _plain_subtrees(trees: TLV) -> bytes:
    return b"".join(wrap(SEQUENCE_TAG, b"".join(tree)) for tree in _subtrees(trees))


def _subtrees(trees: TLV) -> Iterator[list[bytes]]:
    """The members of each GeneralSubtree, without a minimum of 0. Raises Malformed."""
    for tree in elements(trees):
        yield [part for part in map(encode, _members(tree)) if part != _MINIMUM_0]


def has_distances(value: bytes) -> bool:
    """Whether a GeneralSubtree has a minimum but 0, or a maximum (RFC 5280 section 4.2.1.10), which `cryptography` does
    not tell. value: DER NameConstraints. Raises Malformed.
    """
    return any(len(tree) != 1 for trees in _members(any_of(value)) for tree in _subtrees(trees))


def _members(value: TLV) -> list[TLV]:
    """Of a SEQUENCE. Raises Malformed."""
    if tag_of(value) != SEQUENCE_TAG:
        raise Malformed("a value is no SEQUENCE")
    return elements(value)


def _is_true(boolean: TLV) -> bool:
    """Raises Malformed."""
    octets = bytes(boolean.data)
    if len(octets) != 1:
        raise Malformed("a BOOLEAN does not have one octet")
    return octets != _FALSE


_PLAIN: dict[Oid, Callable[[TLV], bytes]] = {
    ExtensionOID.BASIC_CONSTRAINTS: _plain_basic_constraints,
    ExtensionOID.NAME_CONSTRAINTS: _plain_name_constraints,
}
