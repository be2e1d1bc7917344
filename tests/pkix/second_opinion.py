"""pyasn1-alt-modules as a second reader of everything we emit.

Each function decodes one structure, checks that encoding it again as DER gives the very same octets, and returns it.
"""

from __future__ import annotations

from typing import Any

from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc2986, rfc5652


def encoded(value: Any) -> bytes:
    """DER of a value."""
    return bytes(encode(value))


def exactly(der: bytes, specification: Any) -> Any:
    """The value in `der`, which must be the one DER encoding of it."""
    value, rest = decode(der, asn1Spec=specification)
    assert rest == b""
    assert encoded(value) == der
    return value


def content_info(message: bytes, content_type: Any) -> bytes:
    """The DER content of a ContentInfo with this type."""
    outer = exactly(message, rfc5652.ContentInfo())
    assert outer["contentType"] == content_type
    return bytes(outer["content"])


def signed_data(message: bytes) -> Any:
    """The SignedData in a ContentInfo."""
    return exactly(content_info(message, rfc5652.id_signedData), rfc5652.SignedData())


def enveloped_data(message: bytes) -> Any:
    """The EnvelopedData in a ContentInfo."""
    return exactly(content_info(message, rfc5652.id_envelopedData), rfc5652.EnvelopedData())


def certification_request(der: bytes) -> Any:
    """A PKCS #10 request."""
    return exactly(der, rfc2986.CertificationRequest())


def signed_attributes(signer_info: Any) -> bytes:
    """The octets that a SignerInfo's signature covers: its attributes with the tag of SET OF (RFC 5652 section 5.4)."""
    tagged = encoded(signer_info["signedAttrs"])
    return b"\x31" + tagged[1:]
