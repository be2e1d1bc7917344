"""Host names (RFC 1123) and e-mail addresses (RFC 5321), and what is wrong with one that is none.

Of what is wrong, the first of the mistakes that people make is named, for whoever wrote it.
"""

from __future__ import annotations

import re

MAX_HOST_NAME = 253
SHOWN = 64  # characters of a name
_MAX_LABEL = 63
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL_PART = re.compile(rf"(?=.{{1,64}}$){_ATOM}(?:\.{_ATOM})*")
_PORT = re.compile(r":[0-9]*$")
_NO_LETTER = re.compile(r"[^A-Za-z0-9_.-]")


def is_host_name(text: str) -> bool:
    """RFC 1123, with underscores."""
    return len(text) <= MAX_HOST_NAME and _HOST.fullmatch(text) is not None


def is_mailbox(text: str) -> bool:
    """RFC 5321, without quoted local parts and address literals."""
    local, _, domain = text.rpartition("@")
    return _LOCAL_PART.fullmatch(local) is not None and is_host_name(domain)


def shown(text: str) -> str:
    """A name in quotation marks, in printable ASCII, of at most 64 characters and what escapes them."""
    return ascii(text[:SHOWN]) + ("…" if len(text) > SHOWN else "")


def host_name_fault(text: str) -> str:
    """Why it is no host name (RFC 1123), beginning with "which"."""
    if not text:
        return "which is empty"
    if "://" in text:
        return "which is a URL; a URI is a name of another type"
    found = _character_fault(text)
    if found:
        return found
    if _PORT.search(text):
        return "which has a port"
    if "*" in text:
        return "which has a * that is not the whole first label"
    if text.startswith("."):
        return "which begins with a dot"
    if text.endswith("."):
        return "which ends with a dot"
    if ".." in text:
        return "which has an empty label"
    if len(text) > MAX_HOST_NAME:
        return f"which has {len(text)} characters; at most {MAX_HOST_NAME} are allowed"
    if any(len(label) > _MAX_LABEL for label in text.split(".")):
        return f"which has a label of more than {_MAX_LABEL} characters"
    other = _NO_LETTER.search(text)
    return f"which holds {other[0]!r}" if other else "which has a label that begins or ends with a hyphen"


def mailbox_fault(text: str) -> str:
    """Why it is no e-mail address (RFC 5321), beginning with "which" or "whose"."""
    if not text:
        return "which is empty"
    if "<" in text:
        return "which has more than the address; write user@domain alone"
    found = _character_fault(text)
    if found:
        return found
    if text.count("@") != 1:
        return f"which has {text.count('@')} @ in place of one"
    local, _, domain = text.partition("@")
    if not local:
        return "which has nothing before the @"
    if not is_host_name(domain):
        return f"whose domain is {shown(domain)}, {host_name_fault(domain)}"
    return f"whose local part {shown(local)} is none that is accepted here"


def _character_fault(text: str) -> str:
    """Of characters that neither may hold."""
    for character in text:
        if (character.isspace() and character.isprintable()) or character in "\t ":
            return "which holds a blank"
        if not character.isascii():
            return f"which holds {character!a}, a character beyond ASCII"
        if not character.isprintable():
            return f"which holds the control character U+{ord(character):04X}"
        if character == ",":
            return "which holds a comma; each name is one of its own"
    return ""
