"""Signing CRLs (RFC 5280 section 5.1) that may have very many entries.

`cryptography.x509` makes several objects of each entry, and copies the list for each. Here an entry is its few octets.
Of entry extensions there is reasonCode alone.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple

from cryptography import x509

from pkix.asn1 import SEQUENCE_TAG, BitString, encode, explicit, integer, wrap
from pkix.certificate_builder import Extensions
from pkix.certificates import encode_extension
from pkix.keys import message_digest
from pkix.signatures import SigningKey, certificate_signature_algorithm, sign
from pkix.times import time_of


class CrlEntry(NamedTuple):
    """A certificate that was revoked. serial_number: positive. reason: a CRLReason such as "keyCompromise"; None and
    "unspecified" are not said (RFC 5280 section 5.3.1).
    """

    serial_number: int
    revoked_at: datetime
    reason: str | None


def encode_crl(
    issuer: bytes,
    entries: Iterable[CrlEntry],
    key: SigningKey,
    *,
    this_update: datetime,
    next_update: datetime,
    extensions: Extensions,
) -> bytes:
    """A v2 CRL's DER, signed by the issuer's key. issuer: DER Name. Entries come in the order of serial numbers."""
    digest = message_digest(key)
    scheme = encode(certificate_signature_algorithm(key, digest))
    listed = _entries(sorted(entries, key=attrgetter("serial_number")))
    tbs = wrap(
        SEQUENCE_TAG,
        b"".join(
            (
                encode(1),
                scheme,
                issuer,
                encode(time_of(this_update)),
                encode(time_of(next_update)),
                wrap(SEQUENCE_TAG, listed) if listed else b"",  # absent rather than empty (section 5.1.2.6)
                explicit(0, wrap(SEQUENCE_TAG, b"".join(map(encode_extension, extensions)))),
            )
        ),
    )
    _scheme, signature = sign(key, tbs, digest)
    return wrap(SEQUENCE_TAG, b"".join((tbs, scheme, encode(BitString(signature, 0)))))


def _entries(entries: Sequence[CrlEntry]) -> bytes:
    """The contents of revokedCertificates."""
    return b"".join(wrap(SEQUENCE_TAG, integer(number) + _time(at) + _reason(why)) for number, at, why in entries)


@functools.lru_cache(maxsize=1024)
def _time(moment: datetime) -> bytes:
    return encode(time_of(moment))


@functools.lru_cache(maxsize=16)
def _reason(reason: str | None) -> bytes:
    """crlEntryExtensions, or nothing."""
    if reason in (None, "unspecified"):
        return b""
    code = x509.CRLReason(x509.ReasonFlags(reason))
    return wrap(SEQUENCE_TAG, encode_extension(x509.Extension(code.oid, False, code)))
