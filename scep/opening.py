"""What an envelope holds, with one answer to everything that is wrong with it (RFC 8894 sections 3.2.2, 3.3.1, 3.3.4).

Anybody can record an envelope, change it and sign a message of their own around it. Under CBC, which protects nothing
against tampering, every difference between two answers would tell them something about the plaintext (Vaudenay,
EUROCRYPT 2002), of which the challengePassword is a part. So from the decryption until the signature of the PKCS #10
request has verified, or a certificate of ours was named, there is one failInfo, one text (`CANNOT_OPEN`), and the same
work: wrong padding stops nobody, and whenever no signature was verified, that of a stand-in is. A request whose
signature verifies is one that its author made; from there on, errors are specific.

A request for an ML-KEM key always comes in AuthEnvelopedData. Unsigned, it has nothing that could verify; with a
statement (RFC 9883), a certificate has to be looked up and the key checked first, which no stand-in does.

Under AuthEnvelopedData, failing to open has the same answer. When the tag has verified, whoever sealed the envelope
wrote what it holds, and what they did wrong is told to them.

What really went wrong is for the operator: `details["cause"]` of the log event. It holds no octets of the plaintext,
and nothing about one that a random key or wrong padding has made. But whoever reads the log and can send messages has
in it the difference that the answers do not make. So where it would help to decrypt what was recorded, under CBC and
for a key under RSA, the cause is replaced by `NOT_LOGGED`, unless `Settings.log_causes` says that nothing is at
stake.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

from ca.errors import CertificateUnknown
from kem.errors import KemError
from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import SEQUENCE_TAG, any_of, decode, encode_oid
from pkix.ber import decode_ber
from pkix.certificates import Certificate, IssuerAndSerialNumber
from pkix.content import CANNOT_OPEN
from pkix.enveloped_data import Opened
from pkix.errors import DecryptionFailed, IntegrityFailed, Malformed, PkixError
from pkix.pkcs10 import CertificationRequest
from pkix.recognised import A_REQUEST_ALONE, recognise
from scep.attributes import REQUEST_ATTRIBUTES

NOT_LOGGED = "not logged: it would help to decrypt recorded messages; for tests, server.log_causes shows it"
Details = dict[str, str]
SignerOf = Callable[[CertificationRequest], Certificate | None]  # of a statement of possession

# A PKCS #10 request for an RSA-2048 key with a right signature by it. The key is nobody's: it was made for this.
_STAND_IN = base64.b64decode(
    "MIICWDCCAUACAQAwEzERMA8GA1UEAwwIc3RhbmQtaW4wggEiMA0GCSqGSIb3DQEBAQUAA4IBDwAwggEKAoIBAQC6XXTNfPLpyPAO+f30inDv"
    "chGRT6ydH/WBNHx01v62Q5RRF5/xfy5xCwvk9pq0UoLl13+uDy0pJi9Zv2nwjtJFsctDKln6VhsULRT8busJQTg6NEeB+kdcpmxvIBQ2ij0F"
    "furFnBy9pj8oITDcLi5f68l1PbK2wt5ILy6tELBaxtMut3UxsyY8myoC3GJw8GNO0Hx++6ZQW0WhvPYpbN39eRp4FZw0rPxr1vhfi9QCC10x"
    "5k7a33TCLhgpXgkBvcw8NZ8m2WuMlFWG75Wa6it3roYlDtkQVzFpGdaQntQ6ALiTVX6bS/Yi49A9K0VzYy9E8nLKVd/yyU1zhMgQqtXPAgMB"
    "AAGgADANBgkqhkiG9w0BAQsFAAOCAQEAKE8mJTE6kdfBQ1JoV2vNXmV6j+DIM4NgH1Z6d1spyvYzzglYFSrEcoHRqM3wjR5V0fOsOt1oL9WF"
    "mn8xcrRQWkwunJMU44KMwH3uFtcORjfgLC4kVNJQF17ti1idYDR/0hYIMedri+8Qw2T2V+vN/2Xb8AEUAZUp+euI/ASGuECuL0uYtu+Jjfls"
    "YmE3Xjus5y2E34yiK6snxz+3TDWVNEWLSUt1IJIVOwlAadyB6xPkPj2HunM+vBlEubvBwgMlgKn0MH4DDh6lBvTfpVdYLwHzJsoupRl1WXhe"
    "JbjotEGq4Xrtu7D90+G5vxXIR1OWXnKiF7EgWirnrFuxJNjBUg=="
)
_SEQUENCE = bytes((SEQUENCE_TAG,))
_A_REQUEST = "the DER of a PKCS #10 request"
_NOBODY = IssuerAndSerialNumber(issuer=any_of(b"\x30\x00"), serial_number=0)
_BEGINNINGS = (  # offset, octets, and what begins so
    (0, b"-----BEGIN ", "PEM"),
    (0, b"MII", "base64 text"),
    (0, b"\x04", "an OCTET STRING"),
    (4, encode_oid(oids.DATA)[:-1], "a ContentInfo"),  # of any type of PKCS #7
    (8, b"\xa0\x03\x02\x01", "a certificate"),
)
# What was read from a garbled plaintext as an object identifier is a piece of the plaintext, unless it has a name.
_OBJECT_IDENTIFIER = re.compile(r"(?<!section )\b\d+(?:\.\d+){2,}")


def open_request(
    opened: Opened, policy: AlgorithmPolicy, signer_of: SignerOf, details: Details
) -> CertificationRequest:
    """The PKCS #10 request in an envelope, its signature verified. signer_of: see `CertificationRequest.verify`.

    Raises DecryptionFailed for whatever is wrong under CBC and for a tag that is wrong under GCM; otherwise what
    `CertificationRequest` raises.
    """
    if opened.cipher.authenticated:
        _check_tag(opened, details, DecryptionFailed)
        try:
            request = CertificationRequest.decode(opened.content, single_valued=REQUEST_ATTRIBUTES)
        except Malformed as error:
            raise _something_else(opened.content, _A_REQUEST) or error from None
        request.verify(policy, signer_of(request))
        return request
    found, cause = _try_request(opened.content, policy)
    if found is not None and not opened.fault:
        return found
    if found is not None:
        cause = f"{opened.fault}; what stands before it is a PKCS #10 request with a right signature"
    elif opened.fault:  # of random octets there is nothing to say
        cause = opened.fault
    details["cause"] = cause
    raise DecryptionFailed(CANNOT_OPEN)


def _try_request(content: bytes, policy: AlgorithmPolicy) -> tuple[CertificationRequest | None, str]:
    """The request and no cause, or why not; in every case one signature has been verified.

    What else it might be verified with is read beforehand, whether it will be needed or not.
    """
    spare, begins = _spare(content), _beginning(content)
    try:
        request = CertificationRequest.decode(content, single_valued=REQUEST_ATTRIBUTES)
        if request.is_kem:
            raise Malformed("a request for an ML-KEM key comes in EnvelopedData; AuthEnvelopedData is needed")
        request.verify(policy)
    except IntegrityFailed as error:
        return None, _describe(error)
    except (PkixError, KemError) as error:
        _verify_spare(spare, policy)
        return None, _describe(error) + begins
    return request, ""


def _spare(content: bytes) -> CertificationRequest:
    """What stands in for a request that cannot be read: itself, but for its attributes, or else the stand-in.

    With its own key, a request whose attributes alone are garbled, where the secrets are, costs what it costs when they
    are not.
    """
    try:
        found = CertificationRequest.decode_bare(content)
    except Malformed:
        return _stand_in()
    return _stand_in() if found.is_kem else found


def _beginning(content: bytes) -> str:
    """What content that was not read begins like, for the operator. A look at a few octets, which takes no time that
    anybody could tell, unlike `recognise`.
    """
    kind = next((kind for at, first, kind in _BEGINNINGS if content.startswith(first, at)), "")
    kind = kind if content else "nothing"
    return f"; the envelope holds {kind}" if kind else ""


def _stand_in() -> CertificationRequest:
    """Made anew every time, so that its key is loaded and checked every time."""
    return CertificationRequest.decode_bare(_STAND_IN)


def _verify_spare(spare: CertificationRequest, policy: AlgorithmPolicy) -> None:
    try:
        spare.verify(policy)
    except IntegrityFailed:
        return
    except (PkixError, KemError):
        _stand_in().verify(policy)


def open_name(opened: Opened, details: Details) -> IssuerAndSerialNumber:
    """The certificate's name in an envelope. Under CBC, whatever is wrong gives the name of no certificate, and
    `details` says why; the caller looks for it as for any other and calls `refuse_name`.

    Raises CertificateUnknown for a tag that is wrong, Malformed for what is no name in AuthEnvelopedData.
    """
    if opened.cipher.authenticated:
        _check_tag(opened, details, CertificateUnknown)
        try:
            return decode_ber(IssuerAndSerialNumber, opened.content, "messageData (IssuerAndSerialNumber)")
        except Malformed as error:
            raise _something_else(opened.content, "the DER of IssuerAndSerialNumber") or error from None
    name, cause = _NOBODY, opened.fault
    try:
        # BER is walked through octet by octet, in a time that depends on them, so only DER is read here.
        decoded = decode(IssuerAndSerialNumber, opened.content, "messageData (IssuerAndSerialNumber)")
    except Malformed as error:
        cause = cause or _describe(error)
    else:
        name = name if cause else decoded
    if cause:
        details["cause"] = cause
    return name


def refuse_name(opened: Opened, details: Details, why: str) -> CertificateUnknown:
    """What to raise when no certificate has the name; only under AuthEnvelopedData the peer learns why."""
    if opened.cipher.authenticated:
        return CertificateUnknown(why)
    details.setdefault("cause", why)
    return CertificateUnknown(CANNOT_OPEN)


def _something_else(content: bytes, wanted: str) -> Malformed | None:
    """What to say of octets that were read from AuthEnvelopedData and are something else that is known; None if they
    are not, and for a structure of the right kind, a part of one, or one with more behind it.
    """
    if content.startswith(_SEQUENCE) and _is_cut(content):
        return None
    found = recognise(content)
    if found is None or (found.what == A_REQUEST_ALONE and wanted == _A_REQUEST):
        return None
    what = found.what.removesuffix(" alone") if content else "nothing"
    return Malformed(f"the envelope holds {what}; it should hold {wanted}")


def _is_cut(content: bytes) -> bool:
    try:
        any_of(content)
    except Malformed:
        return True
    return False


def _check_tag(opened: Opened, details: Details, kind: type[DecryptionFailed | CertificateUnknown]) -> None:
    if opened.fault:
        details["cause"] = opened.fault
        raise kind(CANNOT_OPEN)


def _describe(error: PkixError | KemError) -> str:
    return f"{type(error).__name__}: {_OBJECT_IDENTIFIER.sub(_shown, error.text)}"


def _shown(found: re.Match[str]) -> str:
    return found[0] if oids.has_name(found[0]) else "(an object identifier)"
