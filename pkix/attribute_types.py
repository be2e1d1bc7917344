"""The attributes of distinguished names: what each is called and what its values may be (RFC 5280 appendix A.1).

One table for requests, configuration, command line and messages. Types and lengths of other attributes than those of
RFC 5280 are those of X.520, RFC 4519 and RFC 2985.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

from pkix.asn1 import Oid

MAX_VALUE = 256  # characters where no document has a bound

BIT_STRING, UTF8, PRINTABLE, TELETEX, IA5, VISIBLE, UNIVERSAL, BMP = (3, 12, 19, 20, 22, 26, 28, 30)
STRING_CODECS = {
    UTF8: "utf-8",
    PRINTABLE: "ascii",
    TELETEX: "latin-1",  # as everybody reads it
    IA5: "ascii",
    VISIBLE: "ascii",
    UNIVERSAL: "utf-32-be",
    BMP: "utf-16-be",
}
STRING_NAMES = {
    UTF8: "UTF8String",
    PRINTABLE: "PrintableString",
    TELETEX: "TeletexString",
    IA5: "IA5String",
    VISIBLE: "VisibleString",
    UNIVERSAL: "UniversalString",
    BMP: "BMPString",
}
PRINTABLE_CHARACTERS = frozenset(f"{string.ascii_letters}{string.digits} '()+,-./:=?")  # X.680 section 41.4
DIRECTORY_STRING = (UTF8, PRINTABLE, TELETEX, IA5, UNIVERSAL, BMP)
ASCII_ONLY = (PRINTABLE, UTF8, IA5)
ANY_STRING = tuple(STRING_CODECS)


@dataclass(frozen=True)
class AttributeType:
    """name: of its ASN.1 type. keyword: how we write it. others: further keywords that people write for it.

    tags: of its ASN.1 type. least, most: characters.
    """

    name: str
    keyword: str
    most: int = MAX_VALUE
    tags: tuple[int, ...] = DIRECTORY_STRING
    least: int = 1
    others: tuple[str, ...] = ()


_TYPES = {
    Oid(dotted): kind
    for dotted, kind in {
        "2.5.4.3": AttributeType("commonName", "CN", 64),
        "2.5.4.10": AttributeType("organizationName", "O", 64),
        "2.5.4.11": AttributeType("organizationalUnitName", "OU", 64),
        "2.5.4.6": AttributeType("countryName", "C", 2, ASCII_ONLY, 2),
        "2.5.4.8": AttributeType("stateOrProvinceName", "ST", 128, others=("S", "SP")),
        "2.5.4.7": AttributeType("localityName", "L", 128),
        "0.9.2342.19200300.100.1.25": AttributeType("domainComponent", "DC", 63, ASCII_ONLY),
        "0.9.2342.19200300.100.1.1": AttributeType("userId", "UID"),
        "1.2.840.113549.1.9.1": AttributeType("emailAddress", "emailAddress", 255, ASCII_ONLY, others=("E", "Email")),
        "2.5.4.5": AttributeType("serialNumber", "serialNumber", 64, ASCII_ONLY, others=("DeviceSerialNumber",)),
        "1.2.840.113549.1.9.2": AttributeType("unstructuredName", "unstructuredName", 255),
        "1.2.840.113549.1.9.8": AttributeType("unstructuredAddress", "unstructuredAddress", 255),
        "2.5.4.12": AttributeType("title", "title", 64, others=("T",)),
        "2.5.4.42": AttributeType("givenName", "GN", others=("G",)),
        "2.5.4.4": AttributeType("surname", "SN"),
        "2.5.4.9": AttributeType("streetAddress", "street", 128),
        "2.5.4.13": AttributeType("description", "description"),
        "2.5.4.15": AttributeType("businessCategory", "businessCategory", 128),
        "2.5.4.17": AttributeType("postalCode", "postalCode", 40),
        "2.5.4.41": AttributeType("name", "name"),
        "2.5.4.43": AttributeType("initials", "initials", others=("I",)),
        "2.5.4.44": AttributeType("generationQualifier", "generationQualifier", others=("GENERATION",)),
        "2.5.4.45": AttributeType("x500UniqueIdentifier", "x500UniqueIdentifier", MAX_VALUE, (BIT_STRING,)),
        "2.5.4.46": AttributeType("dnQualifier", "dnQualifier", MAX_VALUE, ASCII_ONLY, others=("DNQ",)),
        "2.5.4.65": AttributeType("pseudonym", "pseudonym", 128),
        "2.5.4.97": AttributeType("organizationIdentifier", "organizationIdentifier"),
        "1.3.6.1.4.1.311.60.2.1.1": AttributeType("jurisdictionLocalityName", "jurisdictionL", 128),
        "1.3.6.1.4.1.311.60.2.1.2": AttributeType("jurisdictionStateOrProvinceName", "jurisdictionST", 128),
        "1.3.6.1.4.1.311.60.2.1.3": AttributeType("jurisdictionCountryName", "jurisdictionC", 2, ASCII_ONLY, 2),
    }.items()
}
KEYWORDS = {oid: kind.keyword for oid, kind in _TYPES.items()}
_BY_WORD = {word.lower(): oid for oid, kind in _TYPES.items() for word in (kind.keyword, kind.name, *kind.others)}


def string_text(tag: int, octets: bytes) -> str | None:
    """The text of a string to be certified, None for what is no string. Raises ValueError for what is not of its type,
    and for what one reader takes for another text than the next: a TeletexString beyond ASCII is Latin-1 for some and
    UTF-8 for others, and a BMPString has no surrogates, with which OpenSSL reads nothing of the certificate at all.
    """
    codec = STRING_CODECS.get(tag)
    if codec is None:
        return None
    text = octets.decode(codec)
    if tag == TELETEX and not text.isascii():
        raise ValueError("a TeletexString beyond ASCII")
    if tag == BMP and any(character > "\uffff" for character in text):
        raise ValueError("a BMPString with surrogates")
    return text


def attribute_type(oid: Oid) -> AttributeType:
    """What is known of an attribute; one that is not known may be of any string type."""
    dotted = oid.dotted_string
    return _TYPES.get(oid) or AttributeType(f"subject attribute {dotted}", dotted, MAX_VALUE, ANY_STRING)


def attribute_oid(word: str) -> Oid:
    """The attribute that a keyword or a name, in any case, or an OID with dots means. Before an OID, OID. may stand, as
    Windows and Java write it. Raises ValueError.
    """
    found = _BY_WORD.get(word.lower())
    return found if found is not None else Oid(word[4:] if word[:4].upper() == "OID." else word)
