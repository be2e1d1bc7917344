"""GetNextCACert on the client's side (RFC 8894 section 4.7.1): who follows the CA, on the word of its own key.

The RFC has the certificates in the signed content. Servers after older drafts (EJBCA, as one) put them into the field
`certificates` of the SignedData, which its signature does not cover: whoever is on the way can put others there, such
as those that the CA made of its previous key, or certificates for the next key that nobody signed. So from such an
answer nothing is taken but the CA whose fingerprint the user gives.
"""

from __future__ import annotations

import hashlib

from pkix.algorithms import AlgorithmPolicy
from pkix.certificates import Certificate
from pkix.errors import Malformed
from pkix.names import name_text
from pkix.signed_data import SignedData
from pkix.usages import is_ca
from scep.attributes import MESSAGE_TYPE, TRANSACTION_ID
from scep.ca_certificates import CaCertificates, ReplyRefused, check_size, loaded, of_next_ca


def decode_next_ca(
    body: bytes, ca: CaCertificates, policy: AlgorithmPolicy, *, fingerprint: str | None = None
) -> tuple[Certificate, ...]:
    """The certificates of GetNextCACert: those of CAs, and of RAs below them. Whether they are valid now is not asked.

    fingerprint: of the next CA, as `CaCertificates.decode` has it, if somebody has told the user: then whatever way its
    certificate came is good. Otherwise the current CA must have signed. Raises ReplyRefused and the errors of
    `pkix.errors`.
    """
    check_size(body, "GetNextCACert")
    signed = SignedData.decode(body)
    _check_kind(signed)
    inside, beside = _inside(signed), _beside(signed, ca)
    if fingerprint is not None:
        return of_next_ca([*(inside or ()), *beside], policy, fingerprint=fingerprint)
    signer = signed.signer_certificate(ca.all)
    if signer != ca.ca:
        raise ReplyRefused(
            "GetNextCACert is not signed by the current CA's own key (RFC 8894 section 4.7.1); give the fingerprint of "
            "the next CA, if you have it from somebody else"
        )
    signed.verify(signer, policy)
    if inside is None and beside:
        raise _not_covered(beside)
    return of_next_ca(inside or (), policy)


def _inside(signed: SignedData) -> tuple[bytes, ...] | None:
    """DER of the certificates in the signed content; None if it holds no certificates-only SignedData."""
    try:
        return SignedData.decode(signed.content).certificates if signed.content else None
    except Malformed:
        return None


def _beside(signed: SignedData, ca: CaCertificates) -> list[bytes]:
    """DER of the certificates that the signature does not cover, without those that are known."""
    known = {item.der for item in ca.all}
    return [der for der in signed.certificates if der not in known]


def _not_covered(beside: list[bytes]) -> ReplyRefused:
    found, _unreadable = loaded(beside)
    names = [
        f"{hashlib.sha256(item.der).hexdigest()} ({name_text(item.subject_name)})" for item in found if is_ca(item)
    ]
    return ReplyRefused(
        "GetNextCACert has its certificates beside the signed content, as older drafts had it, where the signature "
        "does not cover them: anybody on the way may have put them there; give the fingerprint of the next CA, which "
        f"you have from somebody else; received: {', '.join(names) or 'no certificate of a CA'}"
    )


def _check_kind(signed: SignedData) -> None:
    """Raises ReplyRefused for a CertRep: a CA that signs those itself has lent everybody a signature."""
    if signed.signer is not None and {MESSAGE_TYPE, TRANSACTION_ID} & {*signed.attributes, *signed.attributes.odd}:
        raise ReplyRefused("GetNextCACert: the answer is a pkiMessage, not certificates (RFC 8894 section 4.7.1)")
