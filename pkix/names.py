"""Names as they compare (RFC 5280 section 7.1)."""

from __future__ import annotations

from cryptography import x509


def comparable(name: x509.Name) -> str:
    """The same text for names that are the same: without regard to case and to how many blanks stand where one does."""
    return ",".join("+".join(sorted(map(_comparable, relative))) for relative in name.rdns)


def _comparable(attribute: x509.NameAttribute[str | bytes]) -> str:
    return f"{attribute.oid.dotted_string}={' '.join(str(attribute.value).casefold().split())}"
