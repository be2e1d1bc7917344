"""The CA's certificates as a client gets them from GetCACert: reading, authenticating, choosing (RFC 8894 sections 2.2
and 4.2).
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from kem.backends import Backends
from kem.keys import decode_public_key
from kem.weak_keys import check_strength
from pkix import oids
from pkix.certificates import Certificate, extensions_of
from pkix.errors import Malformed, PkixError, located
from pkix.kem_recipients import KemRecipient
from pkix.names import name_text
from pkix.recipients import Recipient, RsaRecipient
from pkix.recognised import recognise
from pkix.signed_data import SignedData
from pkix.signed_objects import has_issued
from pkix.usages import extended_usages, is_ca, is_cmc_ra, may

MAX_BODY = 512 * 1024  # octets of an answer to GetCACert or GetNextCACert


class ReplyRefused(PkixError):
    """The server's answer is not one that this client may accept; `text` says why."""


@dataclass(frozen=True)
class CaCertificates:
    """The authenticated certificates of a CA: `ca` issues, and every one in `all` is it or chains to it or above it.
    `lapsed` are others that came along, and are not valid now.
    """

    ca: Certificate
    all: tuple[Certificate, ...]
    lapsed: tuple[Certificate, ...] = ()

    @classmethod
    def decode(cls, body: bytes, *, fingerprint: str | None, now: datetime) -> CaCertificates:
        """Read GetCACert's body, a certificate or a degenerate SignedData; the media type is not needed to tell.

        fingerprint: hex SHA-256 (or, for old instructions, SHA-1) of a certificate in the body to trust, colons and
        case do not matter; None trusts what came (section 2.2 allows it in a trusted environment). Certificates
        that do not chain to the trusted one, or are not valid at `now`, are left out. Raises ReplyRefused.
        """
        check_size(body, "GetCACert")
        certificates = _certificates(body)
        trusted = _trusted(certificates, fingerprint)
        current = [item for item in certificates if item.not_before <= now <= item.not_after]
        if trusted not in current:
            begin, end = trusted.not_before, trusted.not_after
            raise ReplyRefused(
                "GetCACert: the trusted CA certificate is not valid now, but "
                f"from {begin:%Y-%m-%d} to {end:%Y-%m-%d}; is this clock right?"
            )
        valid = _of_ras([item for item in _chained(current, trusted) if item == trusted or _may_be_ra(item)], [trusted])
        issuing = [item for item in valid if is_ca(item)] or [trusted]
        leaf_most = [item for item in issuing if not any(has_issued(item, other) for other in issuing if other != item)]
        lapsed = tuple(item for item in certificates if item not in current)
        return cls(ca=(leaf_most or issuing)[0], all=valid, lapsed=lapsed)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the CA certificate, lower-case hex."""
        return hashlib.sha256(self.ca.der).hexdigest()

    def recipient(self, backends: Backends | None = None, *, require_kem: bool = False) -> Recipient:
        """Whom to encrypt requests to: an ML-KEM RA certificate, if there is one that `backends` can encapsulate to;
        else an RSA certificate, the RA's for encipherment or the CA's.

        Some servers set only digitalSignature (RFC 8894 section 3.5.2), so keyUsage decides only where it can. Raises
        ReplyRefused if there is no usable certificate, or no ML-KEM one although it is required, InvalidKey for an
        ML-KEM key with which anybody could decapsulate.
        """
        if backends is not None:
            for certificate in reversed(self.kem_certificates(backends)):
                key = decode_public_key(certificate.spki)
                check_strength(key)
                encapsulate = partial(backends.encapsulate, key)
                return KemRecipient(certificate.key_algorithm, encapsulate, certificate.issuer_and_serial)
        if require_kem:
            raise ReplyRefused(
                f"GetCACert: no ML-KEM certificate that we can use, and ML-KEM is required{self._left_out()}"
            )
        rsa_ones = [item for item in self.all if _has_rsa_key(item)]
        if not rsa_ones:
            raise ReplyRefused(
                f"GetCACert: no certificate has a key that we can encrypt a request to{self._left_out()}"
            )
        best = max(rsa_ones, key=lambda item: (may(item, "keyEncipherment"), not is_ca(item), item == self.ca))
        return RsaRecipient(best)

    def _left_out(self) -> str:
        """Which certificates came along and are not valid."""
        told = [
            f"{name_text(item.subject_name)} (valid from {item.not_before:%Y-%m-%d} to {item.not_after:%Y-%m-%d})"
            for item in self.lapsed
        ]
        return f"; not valid now: {', '.join(told)}" if told else ""

    def kem_certificates(self, backends: Backends) -> list[Certificate]:
        """RA certificates whose ML-KEM key may and can be encapsulated to, from small parameter sets to large."""
        usable = {parameter_set.oid: order for order, parameter_set in enumerate(backends.parameter_sets)}
        found = [item for item in self.all if item.key_algorithm in usable and may(item, "keyEncipherment")]
        return sorted(found, key=lambda item: usable[item.key_algorithm])

    def signers(self) -> list[Certificate]:
        """Those that may sign answers: keyUsage, where an RA certificate has it, must include digitalSignature."""
        return [item for item in self.all if is_ca(item) or may(item, "digitalSignature")]

    def issued(self, certificate: Certificate) -> bool:
        """Whether one of these CAs signed a certificate."""
        return any(has_issued(issuer, certificate) for issuer in self.all if is_ca(issuer) or issuer == self.ca)


def check_size(body: bytes, what: str) -> None:
    """What anybody on the way may have sent is not even read when no CA has so many certificates. Raises
    ReplyRefused.
    """
    if len(body) > MAX_BODY:
        raise ReplyRefused(f"{what}: an answer of {len(body)} octets; at most {MAX_BODY} are accepted")


def _certificates(body: bytes) -> list[Certificate]:
    try:
        return [Certificate.load(body)]
    except Malformed:
        pass
    try:
        bag = SignedData.decode(body).certificates
    except PkixError as error:
        seen = recognise(body)
        why = f", but {seen.what}" if seen and not seen.misplaced else f": {located(error, body)}"
        raise ReplyRefused(f"GetCACert: neither a certificate nor certificates-only SignedData{why}") from None
    if not bag:
        raise ReplyRefused("GetCACert: the answer holds no certificate")
    found = loadable(bag)
    if not found:
        try:
            Certificate.load(bag[0])
        except Malformed as error:
            what = f"only certificates that cannot be read, the first because {error.text}"
            raise ReplyRefused(f"GetCACert: the answer holds {what}") from None
    return found


def loadable(certificates: Sequence[bytes]) -> list[Certificate]:
    """Those that can be read; one that nobody can read costs only itself. certificates: DER each."""
    found = []
    for der in certificates:
        with contextlib.suppress(Malformed):
            found.append(Certificate.load(der))
    return found


def _trusted(certificates: Sequence[Certificate], fingerprint: str | None) -> Certificate:
    if fingerprint is None:
        return next((item for item in certificates if is_ca(item)), certificates[0])
    wanted = fingerprint.replace(":", "").replace(" ", "").lower()
    algorithm = {64: "sha256", 40: "sha1"}.get(len(wanted))
    if algorithm is None:
        raise ReplyRefused("a fingerprint has 64 hex digits (SHA-256) or 40 (SHA-1)")
    seen = []
    for item in certificates:
        digest = hashlib.new(algorithm, item.der, usedforsecurity=False).hexdigest()
        if hmac.compare_digest(digest.encode(), wanted.encode()):
            return item
        seen.append(f"{digest} ({name_text(item.subject_name)})")
    raise ReplyRefused(f"GetCACert: no certificate has the fingerprint {wanted}; received: {', '.join(seen)}")


def _chained(certificates: Sequence[Certificate], trusted: Certificate) -> list[Certificate]:
    """`trusted`, what it signed, what that signed …, in the order received (section 2.2)."""
    reached = [trusted]
    grown = True
    while grown:
        new = [
            item
            for item in certificates
            if item not in reached and any(is_ca(issuer) and has_issued(issuer, item) for issuer in reached)
        ]
        reached += new
        grown = bool(new)
    return [item for item in certificates if item in reached]


def _may_be_ra(certificate: Certificate) -> bool:
    """Whether a certificate in GetCACert may speak for the CA.

    The body is not signed, so a man in the middle can add the certificate of any device that this CA certified, and
    would be taken for the RA. An RA of ours has the extendedKeyUsage cmcRA (RFC 10002); one without any
    extendedKeyUsage is some other server's, and accepted, but not for ML-KEM, where there are no old servers to be
    kind to.
    """
    return (
        is_ca(certificate)
        or is_cmc_ra(certificate)
        or (extended_usages(extensions_of(certificate)) is None and not certificate.is_kem)
    )


def _of_ras(certificates: Sequence[Certificate], trusted: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """A CA with an ML-KEM certificate marks all its RAs, so beside one there is nothing to accept without the mark."""
    if any(item.is_kem for item in certificates):
        certificates = [item for item in certificates if item in trusted or is_ca(item) or is_cmc_ra(item)]
    return tuple(certificates)


def of_next_ca(certificates: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """Of the certificates that GetNextCACert authenticated, those of CAs, and of RAs that these certified."""
    issuing = [item for item in certificates if is_ca(item)]
    ras = [item for item in certificates if _may_be_ra(item) and any(has_issued(issuer, item) for issuer in issuing)]
    return _of_ras([item for item in certificates if item in issuing or item in ras], issuing)


def _has_rsa_key(certificate: Certificate) -> bool:
    return certificate.key_algorithm == oids.RSA_ENCRYPTION
