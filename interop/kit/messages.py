"""Just enough reading of SCEP messages to say in a transcript what was exchanged.

This is not a decoder: it looks for the object identifiers in the bytes, so it works on DER and BER alike, on
messages that we refuse, and independently of the project's own CMS code. RFC 8894 section 3.2.1.
"""

from __future__ import annotations

import binascii

_ATTRIBUTE_ARC = bytes.fromhex("060a6086480186f8450109")  # 2.16.840.1.113733.1.9, the last arc follows
_MESSAGE_TYPE, _PKI_STATUS, _FAIL_INFO = 2, 3, 4
_PRINTABLE_STRING = 0x13

MESSAGE_TYPES = {
    "3": "CertRep",
    "17": "RenewalReq",
    "19": "PKCSReq",
    "20": "CertPoll",
    "21": "GetCert",
    "22": "GetCRL",
}
PKI_STATUS = {"0": "SUCCESS", "2": "FAILURE", "3": "PENDING"}
FAIL_INFO = {"0": "badAlg", "1": "badMessageCheck", "2": "badRequest", "3": "badTime", "4": "badCertId"}

_ALGORITHMS = {
    "06052b0e030207": "DES-CBC",
    "06082a864886f70d0307": "3DES-CBC",
    "0609608648016503040102": "AES-128-CBC",
    "0609608648016503040116": "AES-192-CBC",
    "060960864801650304012a": "AES-256-CBC",
    "06082a864886f70d0205": "MD5",
    "06052b0e03021a": "SHA-1",
    "0609608648016503040201": "SHA-256",
    "0609608648016503040202": "SHA-384",
    "0609608648016503040203": "SHA-512",
    "06092a864886f70d01010a": "RSASSA-PSS",
    "06092a864886f70d010107": "RSAES-OAEP",
}


def describe(message: bytes) -> str:
    """Such as "CertRep SUCCESS [AES-128-CBC SHA-256]", or "" when it is no SCEP message.

    The algorithms are those whose identifiers occur anywhere in the clear part, so certificates count too.
    """
    kind = _printable(message, _MESSAGE_TYPE)
    if kind is None:
        return ""
    words = [MESSAGE_TYPES.get(kind, f"messageType {kind}")]
    status = _printable(message, _PKI_STATUS)
    if status is not None:
        words.append(PKI_STATUS.get(status, f"pkiStatus {status}"))
    fail_info = _printable(message, _FAIL_INFO)
    if fail_info is not None:
        words.append(FAIL_INFO.get(fail_info, f"failInfo {fail_info}"))
    found = [name for oid, name in _ALGORITHMS.items() if bytes.fromhex(oid) in message]
    if message[1:2] == b"\x80":
        found.append("BER")
    return " ".join(words) + f" [{' '.join(found)}]"


def decode_get_message(value: str) -> bytes:
    """The message of a GET: base64 after percent-decoding, line feeds and the URL-safe alphabet tolerated.

    Returns b"" for what is no base64, such as the identifier in GetCACert&message=default.
    """
    standard = value.replace("-", "+").replace("_", "/").replace(" ", "+")
    try:
        return binascii.a2b_base64("".join(standard.split()), strict_mode=True)
    except binascii.Error:
        return b""


def attribute_value(message: bytes, arc: int) -> tuple[int, bytes] | None:
    """Tag and content of the one value of a signed attribute below 2.16.840.1.113733.1.9: OID, SET, value, each with
    a length of one octet. None if it is not there."""
    at = message.find(_ATTRIBUTE_ARC + bytes([arc]))
    value = message[at + len(_ATTRIBUTE_ARC) + 1 :]
    if at < 0 or len(value) < 4:
        return None
    return value[2], value[4 : 4 + value[3]]


def _printable(message: bytes, arc: int) -> str | None:
    tag, content = attribute_value(message, arc) or (0, b"")
    return content.decode("ascii", "replace") if tag == _PRINTABLE_STRING else None
