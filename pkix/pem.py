"""Textual encodings of DER (RFC 7468)."""

from __future__ import annotations

import base64
import re
import textwrap

from pkix.errors import Malformed

_BOUNDARY = re.compile(rb"-----(BEGIN|END) ([A-Z0-9 ]{1,64})-----")


def encode_pem(label: str, der: bytes) -> bytes:
    """A block with lines of 64 characters, and a line end after it. label: CERTIFICATE, PRIVATE KEY."""
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


def pem_blocks(data: bytes) -> list[tuple[str, bytes]]:
    """Label and contents, still base64, of each block in order. Text around them is passed over, and so is a block that
    does not end.
    """
    found, label, start = [], b"", 0
    for boundary in _BOUNDARY.finditer(data):
        if boundary[1] == b"BEGIN":
            label, start = boundary[2], boundary.end()
        elif boundary[2] == label:
            found.append((label.decode(), data[start : boundary.start()]))
            label = b""
    return found


def decode_pem(contents: bytes, what: str) -> bytes:
    """The octets of a block. what: begins the error's text. Raises Malformed."""
    try:
        return base64.b64decode(b"".join(contents.split()), validate=True)
    except ValueError:
        raise Malformed(f"{what}: its PEM is not valid base64") from None
