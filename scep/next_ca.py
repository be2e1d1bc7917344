"""GetNextCACert on the client's side (RFC 8894 section 4.7.1): who follows the CA, on the word of its own key.

The RFC has the certificates in the signed content. Servers after older drafts (EJBCA, as one) put them into the field
`certificates` of the SignedData, which its signature does not cover: whoever is on the way can put others there. From
such an answer nothing is taken but what the CA itself has certified, or the CA whose fingerprint the user gives.
"""

from __future__ import annotations

import hashlib

from pkix.algorithms import AlgorithmPolicy
from pkix.certificates import Certificate
from pkix.errors import Malformed
from pkix.names import name_text, same_name
from pkix.signed_data import SignedData
from pkix.usages import is_ca
from scep.attributes import MESSAGE_TYPE, TRANSACTION_ID
from scep.ca_certificates import CaCertificates, ReplyRefused, check_size, has_signed, loaded, of_next_ca


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
        return of_next_ca(_certified(beside, ca, policy), policy)
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


def _certified(beside: list[bytes], ca: CaCertificates, policy: AlgorithmPolicy) -> list[bytes]:
    """The CA's certificates for a key that the current one has certified under its own name, and the RAs that this key
    has certified. Raises ReplyRefused if there is none. Another CA, below the current one or the next, is not the next.
    """
    found, _unreadable = loaded(beside)
    authorities = [item for item in found if is_ca(item)]
    of_this_name = [item for item in authorities if same_name(item.subject, ca.ca.subject)]
    links = [item for item in of_this_name if _is_later(item, ca.ca) and has_signed(ca.ca, item, policy)]
    # What bears the new key is the CA's only if that key says so: anybody can put it into a certificate.
    selves = [item for item in of_this_name if any(item.spki == link.spki for link in links)]
    following = [item for item in selves if item in links or has_signed(item, item, policy)]
    if following:
        ras = [item for item in found if not is_ca(item) and any(has_signed(by, item, policy) for by in following)]
        return [item.der for item in found if item in following or item in ras]
    names = [f"{hashlib.sha256(item.der).hexdigest()} ({name_text(item.subject_name)})" for item in authorities]
    raise ReplyRefused(
        "GetNextCACert has its certificates beside the signed content, as older drafts had it, where the signature "
        "does not cover them: anybody on the way may have put them there; give the fingerprint of the next CA, which "
        f"you have from somebody else; received: {', '.join(names) or 'no certificate of a CA'}"
    )


def _is_later(certificate: Certificate, than: Certificate) -> bool:
    """Whether it may be the successor's. At a rollover, a CA also certifies its previous key with its present one
    (RFC 4210 section 4.4); that certificate begins earlier, or ends earlier. The one for the next key may end with the
    present one.
    """
    return certificate.not_before > than.not_before and certificate.not_after >= than.not_after


def _check_kind(signed: SignedData) -> None:
    """Raises ReplyRefused for a CertRep: a CA that signs those itself has lent everybody a signature."""
    if signed.signer is not None and {MESSAGE_TYPE, TRANSACTION_ID} & {*signed.attributes, *signed.attributes.odd}:
        raise ReplyRefused("GetNextCACert: the answer is a pkiMessage, not certificates (RFC 8894 section 4.7.1)")
