"""ContentInfo and EncapsulatedContentInfo, what CMS content stands in (RFC 5652 sections 3 and 5.2).

Inside an envelope or another protocol's structure CMS content often stands without its ContentInfo: `content_of` takes
it out, `encode_content_info` puts it in.
"""

from __future__ import annotations

from typing import Annotated

from pkix import oids
from pkix.asn1 import (
    SEQUENCE_TAG,
    TLV,
    Explicit,
    Oid,
    decode,
    encode,
    encode_oid,
    explicit,
    octet_string,
    sequence,
    wrap,
)
from pkix.ber import read_ber
from pkix.errors import Malformed


@sequence
class ContentInfo:
    """RFC 5652 section 3."""

    content_type: Oid
    content: Annotated[TLV, Explicit(0)]


@sequence
class EncapsulatedContentInfo:
    """RFC 5652 section 5.2. Its content is an OCTET STRING whatever the type; PKCS #7's other form is not read."""

    e_content_type: Oid
    e_content: Annotated[bytes | None, Explicit(0)]


def encode_content_info(content_type: Oid, content: bytes) -> bytes:
    """DER of a ContentInfo. content: DER."""
    return wrap(SEQUENCE_TAG, encode_oid(content_type) + explicit(0, content))


def encode_encapsulated(content_type: Oid, content: bytes | None) -> bytes:
    """DER of an EncapsulatedContentInfo. content: octets of eContent, or None to omit it."""
    e_content = b"" if content is None else explicit(0, octet_string(content))
    return wrap(SEQUENCE_TAG, encode_oid(content_type) + e_content)


def content_of(content_info: bytes, content_type: Oid) -> bytes:
    """DER of the content of a ContentInfo in DER or BER, such as the SignedData alone. Raises Malformed.

    content_type: the type that it must have.
    """
    found = read_ber(lambda der: decode(ContentInfo, der, "ContentInfo"), content_info)
    if found.content_type != content_type:
        raise Malformed(f"ContentInfo holds {oids.name(found.content_type)}, not {oids.name(content_type)}")
    return encode(found.content)
