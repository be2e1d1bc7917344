"""Microsoft's security identifier extension, szOID_NTDS_CA_SECURITY_EXT ([MS-WCCE] section 2.2.2.7.7.4).

    SEQUENCE { [0] { OBJECT IDENTIFIER 1.3.6.1.4.1.311.25.2.1, [0] EXPLICIT OCTET STRING "S-1-5-21-..." } }

A Windows domain believes it: it says which account a certificate logs on to. So what a request asks for is read,
checked and written anew, never copied.

Windows believes the same of a subjectAltName URI, tag:microsoft.com,2022-09-14:sid:S-1-5-21-... (KB5014754), which
device management sends. Which of two it goes by is its own affair, so a request names one account.
"""

from __future__ import annotations

import re
from typing import Annotated

from cryptography import x509

from pkix import oids
from pkix.asn1 import SEQUENCE_TAG, Explicit, Implicit, Oid, decode, encode_oid, explicit, octet_string, sequence, wrap
from pkix.errors import Malformed
from pkix.extensions import find

MICROSOFT_SID = x509.ObjectIdentifier(oids.MS_NTDS_CA_SECURITY.dotted_string)
_OBJECT_SID = Oid("1.3.6.1.4.1.311.25.2.1")
# Revision 1, an authority of 48 bits, and 1 to 15 sub-authorities of 32 bits ([MS-DTYP] section 2.4.2.1)
_SID = re.compile(rb"S-1-(?:0|[1-9][0-9]{0,14})(?:-(?:0|[1-9][0-9]{0,9})){1,15}")

_TAG = re.compile(r"tag:microsoft\.com,[^:]*:sid:", re.IGNORECASE)


@sequence
class _OtherName:
    type_id: Oid
    value: Annotated[bytes, Explicit(0)]


@sequence
class _SecurityIdentifiers:
    object_sid: Annotated[_OtherName, Implicit(0)]


def requested_sid(extensions: x509.Extensions, whose: str) -> x509.Extension[x509.ExtensionType] | None:
    """The extension to issue for the one requested, None if none is. whose: begins the text of errors. Raises
    Malformed.
    """
    found = next((item for item in extensions if item.oid == MICROSOFT_SID), None)
    sids = sids_in_uris(extensions, whose)
    if found is not None:
        sids.add(_sid_in(found, whose))
    if len(sids) > 1:
        raise Malformed(f"{whose}: Microsoft SID extension and subjectAltName name more than one account")
    return None if found is None else sid_extension(sids.pop())


def is_sid(text: bytes) -> bool:
    """Whether it is a security identifier of a form that is written here."""
    return _SID.fullmatch(text) is not None


def sid_extension(sid: bytes) -> x509.Extension[x509.ExtensionType]:
    """The extension that names an account. sid: its security identifier, of which `is_sid`."""
    contents = encode_oid(_OBJECT_SID) + explicit(0, octet_string(sid))
    value = wrap(SEQUENCE_TAG, wrap(0xA0, contents))
    return x509.Extension(MICROSOFT_SID, False, x509.UnrecognizedExtension(MICROSOFT_SID, value))


def sids_in_uris(extensions: x509.Extensions, whose: str) -> set[bytes]:
    """The accounts that URIs of the subjectAltName name. whose: begins the text of errors. Raises Malformed."""
    names = find(extensions, x509.SubjectAlternativeName)
    if names is None:
        return set()
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    sids = {uri[len(match[0]) :].encode() for uri in uris if (match := _TAG.match(uri))}
    if not all(map(is_sid, sids)):
        raise Malformed(f"{whose}: a URI of tag:microsoft.com holds no security identifier (S-1-...)")
    return sids


def _sid_in(found: x509.Extension[x509.ExtensionType], whose: str) -> bytes:
    if found.critical:
        raise Malformed(f"{whose}: the Microsoft SID extension is critical; it must not be")
    structure = decode(_SecurityIdentifiers, found.value.public_bytes(), f"{whose}: the Microsoft SID extension")
    sid = structure.object_sid
    if sid.type_id != _OBJECT_SID or not is_sid(sid.value):
        raise Malformed(f"{whose}: the Microsoft SID extension holds no security identifier (S-1-...)")
    return sid.value
