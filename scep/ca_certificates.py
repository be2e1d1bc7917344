"""The CA's certificates as a client gets them from GetCACert: reading, authenticating, choosing (RFC 8894 sections 2.2
and 4.2). Whatever is left out of what came is named, with the reason, wherever it may be the cause of an error.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from kem.backends import Backends
from kem.keys import decode_public_key
from kem.weak_keys import check_strength
from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.certificates import Certificate, extensions_of, is_self_issued
from pkix.errors import AlgorithmRefused, LegacyRefused, Malformed, NotTrusted, PkixError, located
from pkix.kem_recipients import KemRecipient
from pkix.names import name_text, read_name, same_name
from pkix.purposes import purpose_name
from pkix.recipients import Recipient, RsaRecipient
from pkix.recognised import recognise
from pkix.revocations import issuer_of_crl
from pkix.signed_data import SignedData
from pkix.signed_objects import verify_signed_object
from pkix.times import THIS_DEVICE, outside
from pkix.usages import extended_usages, is_ca, is_cmc_ra, is_request_agent, may, path_length

MAX_BODY = 512 * 1024  # octets of an answer to GetCACert or GetNextCACert


class ReplyRefused(PkixError):
    """The server's answer is not one that this client may accept; `text` says why. legacy: whether the legacy policy
    might accept it.
    """

    def __init__(self, fact: str, *, legacy: bool = False) -> None:
        super().__init__(fact)
        self.legacy = legacy


@dataclass(frozen=True)
class LeftOut:
    """A certificate that came along and is not used. der: as it came. certificate: None if it cannot be read. reason:
    why it is not used. legacy: whether the legacy policy might use it.
    """

    der: bytes
    certificate: Certificate | None
    reason: str
    legacy: bool = False

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"

    @property
    def name(self) -> str:
        """Its subject."""
        return "a certificate" if self.certificate is None else name_text(self.certificate.subject_name)


@dataclass(frozen=True)
class CaCertificates:
    """The authenticated certificates of a CA: `ca` issues, and every one in `all` is it, or above it up to the one that
    was trusted, or chains to it. `left_out`: the others that came along.
    """

    ca: Certificate
    all: tuple[Certificate, ...]
    left_out: tuple[LeftOut, ...] = ()
    policy: AlgorithmPolicy = field(default_factory=AlgorithmPolicy)

    @classmethod
    def decode(
        cls, body: bytes, *, fingerprint: str | None, now: datetime, policy: AlgorithmPolicy | None = None
    ) -> CaCertificates:
        """Read GetCACert's body, a certificate or a degenerate SignedData; the media type is not needed to tell.

        fingerprint: hex SHA-256 (or, for old instructions, SHA-1) of a CA's certificate in the body to trust, colons
        and case do not matter; None trusts what came (section 2.2 allows it in a trusted environment). policy: of the
        signatures on certificates. Certificates that do not chain to the trusted one, or are not valid at `now`, or are
        no CA's and no RA's, are left out. Raises ReplyRefused.
        """
        check_size(body, "GetCACert")
        policy = policy or AlgorithmPolicy()
        found, left_out = loaded(_bag(body))
        trusted = _trusted(found, left_out, fingerprint)
        if not _is_valid(trusted, now):
            raise ReplyRefused(f"GetCACert: the trusted CA certificate is {_not_valid(trusted, now)}")
        sieve = _Sieve(policy, left_out)
        current = sieve.keep(found, lambda item: None if _is_valid(item, now) else NotTrusted(_not_valid(item, now)))
        chained = _chained(current, trusted, policy)
        kept = sieve.keep(current, lambda item: None if item in chained else _not_below(item, current, trusted, policy))
        valid = _of_ras(kept, [trusted], sieve)
        issuing = [item for item in valid if is_ca(item)] or [trusted]
        leaf_most = [
            item for item in issuing if not any(has_signed(item, other, policy) for other in issuing if other != item)
        ]
        return cls(ca=(leaf_most or issuing)[0], all=valid, left_out=tuple(sieve.left_out), policy=policy)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the CA certificate, lower-case hex."""
        return hashlib.sha256(self.ca.der).hexdigest()

    def recipient(self, backends: Backends | None = None, *, require_kem: bool = False) -> Recipient:
        """Whom to encrypt requests to: an ML-KEM RA certificate, if there is one that `backends` can encapsulate to;
        else an RSA certificate, the RA's for encipherment or the CA's.

        Some servers set only digitalSignature (RFC 8894 section 3.5.2), so keyUsage decides only where it can; but
        where a certificate was left out, that was probably the one for encipherment. Raises ReplyRefused if there is no
        usable certificate, or no ML-KEM one although it is required, InvalidKey for an ML-KEM key with which anybody
        could decapsulate.
        """
        if backends is not None:
            for certificate in reversed(self.kem_certificates(backends)):
                key = decode_public_key(certificate.spki)
                check_strength(key)
                encapsulate = partial(backends.encapsulate, key)
                return KemRecipient(certificate.key_algorithm, encapsulate, certificate.issuer_and_serial)
        if require_kem:
            raise ReplyRefused(
                f"GetCACert: no ML-KEM certificate that we can use, and ML-KEM is required{self.told_left_out()}",
                legacy=self._is_left_out_as_legacy,
            )
        rsa_ones = [item for item in self.all if _has_rsa_key(item)]
        if not rsa_ones:
            raise ReplyRefused(
                f"GetCACert: no certificate has a key that we can encrypt a request to{self.told_left_out()}",
                legacy=self._is_left_out_as_legacy,
            )
        best = max(rsa_ones, key=lambda item: (may(item, "keyEncipherment"), not is_ca(item), item == self.ca))
        if not may(best, "keyEncipherment") and any(map(_may_have_been_an_ra, self.left_out)):
            raise ReplyRefused(
                f"GetCACert: no certificate that we may encrypt a request to: the keyUsage of "
                f"{name_text(best.subject_name)} lacks keyEncipherment{self.told_left_out()}",
                legacy=self._is_left_out_as_legacy,
            )
        return RsaRecipient(best)

    @property
    def _is_left_out_as_legacy(self) -> bool:
        return any(item.legacy for item in self.left_out)

    def told_left_out(self) -> str:
        """Which certificates came along and are not used, to go on a text with; empty if all are."""
        return told_left_out(self.left_out)

    def kem_certificates(self, backends: Backends) -> list[Certificate]:
        """RA certificates whose ML-KEM key may and can be encapsulated to, from small parameter sets to large."""
        usable = {parameter_set.oid: order for order, parameter_set in enumerate(backends.parameter_sets)}
        found = [item for item in self.all if item.key_algorithm in usable and may(item, "keyEncipherment")]
        return sorted(found, key=lambda item: usable[item.key_algorithm])

    def signers(self) -> list[Certificate]:
        """Those that may sign answers: keyUsage, where an RA certificate has it, must include digitalSignature."""
        return [item for item in self.all if is_ca(item) or may(item, "digitalSignature")]

    def role(self, certificate: Certificate) -> str:
        """What one of `all` is for, in words."""
        if certificate == self.ca:
            return "CA"
        if is_ca(certificate):
            return "CA above" if has_signed(certificate, self.ca, self.policy) else "another CA"
        return f"RA, {' and '.join(_RA_ROLES[usage] for usage in _RA_ROLES if may(certificate, usage)) or 'no use'}"

    def why_not_issued(self, certificate: Certificate, more: Sequence[Certificate] = ()) -> PkixError | None:
        """Why none of these CAs has signed a certificate; None if one has. more: other CAs that are trusted."""
        return _why_not_issued([*self._issuers, *more], certificate, self.policy)

    @property
    def _issuers(self) -> list[Certificate]:
        return [item for item in self.all if is_ca(item) or item == self.ca]

    def why_not_crl(self, crl: bytes, issuer: bytes, more: Sequence[Certificate] = ()) -> PkixError | None:
        """Why a CRL is not that of a CA of this name, signed by one of these; None if it is. crl: DER, which can be
        read. issuer: DER Name. more: other CAs that are trusted. Whether it is current is not asked.
        """
        named = issuer_of_crl(crl)
        if not same_name(named, issuer):
            return NotTrusted(f"its issuer is {name_text(read_name(named, 'issuer'))}")
        return _why_not_signed([*self._issuers, *more], crl, named, self.policy, "the CRL")

    def left_out_as(self, certificate: Certificate) -> LeftOut | None:
        """Of `left_out`, the one that this is."""
        return next((item for item in self.left_out if item.der == certificate.der), None)


_RA_ROLES = {"digitalSignature": "signs answers", "keyEncipherment": "decrypts requests"}


def told_left_out(left_out: Iterable[LeftOut]) -> str:
    """As `CaCertificates.told_left_out`."""
    told = ", ".join(map(str, left_out))
    return f"; left out: {told}" if told else ""


def check_size(body: bytes, what: str) -> None:
    """What anybody on the way may have sent is not even read when no CA has so many certificates. Raises
    ReplyRefused.
    """
    if len(body) > MAX_BODY:
        raise ReplyRefused(f"{what}: an answer of {len(body)} octets; at most {MAX_BODY} are accepted")


def _bag(body: bytes) -> Sequence[bytes]:
    """DER of each certificate in the body."""
    try:
        Certificate.load(body)
    except Malformed:
        pass
    else:
        return [body]
    try:
        bag = SignedData.decode(body).certificates
    except PkixError as error:
        seen = recognise(body)
        why = f", but {seen.what}" if seen and not seen.misplaced else f": {located(error, body)}"
        raise ReplyRefused(f"GetCACert: neither a certificate nor certificates-only SignedData{why}") from None
    if not bag:
        raise ReplyRefused("GetCACert: the answer holds no certificate")
    return bag


def loaded(certificates: Sequence[bytes]) -> tuple[list[Certificate], list[LeftOut]]:
    """Those that can be read, and the others: one that nobody can read costs only itself. certificates: DER each."""
    found, left_out = [], []
    for der in certificates:
        try:
            found.append(Certificate.load(der))
        except Malformed as error:
            left_out.append(LeftOut(der, None, f"cannot be read: {error.fact}"))
    return found, left_out


def _trusted(
    certificates: Sequence[Certificate], left_out: Sequence[LeftOut], fingerprint: str | None, what: str = "GetCACert"
) -> Certificate:
    if fingerprint is None:
        found = next((item for item in (*filter(is_ca, certificates), *filter(is_self_issued, certificates))), None)
        if found is None:
            names = ", ".join(name_text(item.subject_name) for item in certificates)
            came = f"; there came {names}" if names else ""
            raise ReplyRefused(f"GetCACert: the answer holds no certificate of a CA{came}{told_left_out(left_out)}")
        return found
    wanted = fingerprint.replace(":", "").replace(" ", "").lower()
    algorithm = {64: "sha256", 40: "sha1"}.get(len(wanted))
    if algorithm is None:
        raise ReplyRefused("a fingerprint has 64 hex digits (SHA-256) or 40 (SHA-1)")
    seen = []
    for item in certificates:
        digest = hashlib.new(algorithm, item.der, usedforsecurity=False).hexdigest()
        if hmac.compare_digest(digest.encode(), wanted.encode()):
            _check_is_ca(item, what)
            return item
        seen.append(f"{digest} ({name_text(item.subject_name)})")
    for out in left_out:
        digest = hashlib.new(algorithm, out.der, usedforsecurity=False).hexdigest()
        seen.append(f"{digest} ({out.reason})")
    raise ReplyRefused(f"{what}: no certificate has the fingerprint {wanted}; received: {', '.join(seen)}")


def _check_is_ca(pinned: Certificate, what: str) -> None:
    """A CA of X.509 v1 has no basicConstraints, but names itself as its issuer. Raises ReplyRefused."""
    if not is_ca(pinned) and not is_self_issued(pinned):
        raise ReplyRefused(
            f"{what}: the fingerprint is that of {name_text(pinned.subject_name)}, which is not a CA's certificate; "
            f"its issuer is {name_text(pinned.issuer_name)}, whose fingerprint is the one to give"
        )


def _is_valid(certificate: Certificate, now: datetime) -> bool:
    return certificate.not_before <= now <= certificate.not_after


def _not_valid(certificate: Certificate, now: datetime) -> str:
    return f"not valid now: {outside(certificate.not_before, certificate.not_after, now, THIS_DEVICE)}"


class _Sieve:
    """What is left out, in the order in which that was found."""

    def __init__(self, policy: AlgorithmPolicy, left_out: Sequence[LeftOut]) -> None:
        self.policy = policy
        self.left_out = list(left_out)

    def keep(
        self, certificates: Sequence[Certificate], why_not: Callable[[Certificate], PkixError | None]
    ) -> list[Certificate]:
        """Those against which there is nothing to say."""
        kept = []
        for item in certificates:
            reason = why_not(item)
            if reason is not None:
                self.left_out.append(LeftOut(item.der, item, reason.fact, isinstance(reason, LegacyRefused)))
            else:
                kept.append(item)
        return kept


def has_signed(issuer: Certificate, certificate: Certificate, policy: AlgorithmPolicy) -> bool:
    """Whether a certificate names the other as its issuer, and its key has signed it."""
    return _why_not_issued([issuer], certificate, policy) is None


def _why_not_issued(
    issuers: Sequence[Certificate], certificate: Certificate, policy: AlgorithmPolicy
) -> PkixError | None:
    """Why none of these has signed a certificate; None if one has."""
    return _why_not_signed(issuers, certificate.der, certificate.issuer, policy, "the certificate")


def _why_not_signed(
    issuers: Sequence[Certificate], der: bytes, issuer_name: bytes, policy: AlgorithmPolicy, what: str
) -> PkixError | None:
    why: PkixError = NotTrusted(f"its issuer is {name_text(read_name(issuer_name, 'issuer'))}")
    for issuer in issuers:
        if not same_name(issuer_name, issuer.subject):
            continue
        try:
            verify_signed_object(der, issuer.public_key, policy, what)
        except AlgorithmRefused as error:
            return type(error)(f"its signature: {error.fact}")
        except PkixError:
            why = NotTrusted(f"its signature is not by the key of {name_text(issuer.subject_name)}")
        else:
            return None
    return why


def _chained(certificates: Sequence[Certificate], trusted: Certificate, policy: AlgorithmPolicy) -> list[Certificate]:
    """`trusted`, what it signed, what that signed …, in the order received (section 2.2), as far as keyUsage and
    pathLenConstraint let a CA sign.
    """
    below = {trusted: path_length(trusted)}  # how many CAs there may be below each, None for any number
    grown = True
    while grown:
        new = {
            item: room
            for item in certificates
            if item not in below
            for issuer, room in below.items()
            if (issuer == trusted or _may_sign(issuer, item, room)) and has_signed(issuer, item, policy)
        }
        for item, room in new.items():
            own, left = path_length(item), None if room is None else room - (not is_self_issued(item))
            below[item] = min((limit for limit in (own, left) if limit is not None), default=None)
        grown = bool(new)
    return [item for item in certificates if item in below]


def _may_sign(issuer: Certificate, certificate: Certificate, room: int | None) -> bool:
    """room: how many CAs there may be below the issuer (RFC 5280 section 4.2.1.9)."""
    if not is_ca(issuer) or not may(issuer, "keyCertSign"):
        return False
    return room is None or room > 0 or not is_ca(certificate) or is_self_issued(certificate)


def _not_below(
    certificate: Certificate, certificates: Sequence[Certificate], trusted: Certificate, policy: AlgorithmPolicy
) -> PkixError:
    """Why a certificate is not among the `_chained`."""
    if is_ca(certificate) and has_signed(certificate, trusted, policy):
        return NotTrusted("above the trusted CA")
    why = _why_not_issued([item for item in certificates if is_ca(item)], certificate, policy)
    if why is None:
        issuer = name_text(certificate.issuer_name)
        why = NotTrusted(f"its issuer, {issuer}, is not below it, or may not sign it (keyUsage, pathLenConstraint)")
    return type(why)(f"not below the trusted CA: {why.fact}")


def _why_not_ra(certificate: Certificate, *, kem: bool) -> PkixError | None:
    """Why a certificate in GetCACert may not speak for the CA; None if it may. kem: whether the bag has an ML-KEM
    certificate.

    The body is not signed, so a man in the middle can add the certificate of any device that this CA certified, and
    would be taken for the RA. An RA of ours has the extendedKeyUsage cmcRA (RFC 10002). One without any
    extendedKeyUsage is some other server's, and one with Microsoft's Certificate Request Agent alone is NDES's; both
    are accepted, but not for ML-KEM, where there are no old servers to be kind to: a CA with an ML-KEM certificate
    marks all its RAs.
    """
    if is_ca(certificate) or is_cmc_ra(certificate):
        return None
    if certificate.is_kem or kem:
        whose = "of an ML-KEM key" if certificate.is_kem else "beside one of an ML-KEM key"
        return NotTrusted(f"{whose}, and its extended key usage does not say cmcRA: not an RA's")
    usages = extended_usages(extensions_of(certificate))
    if usages is None or is_request_agent(certificate):
        return None
    named = ", ".join(map(purpose_name, usages))
    return NotTrusted(
        f"its extended key usage is {named}, neither cmcRA nor Certificate Request Agent alone: not an RA's"
    )


def _of_ras(
    certificates: Sequence[Certificate], trusted: Sequence[Certificate], sieve: _Sieve
) -> tuple[Certificate, ...]:
    """Without those that may not speak for the CA, which `trusted` always may."""
    alone = sieve.keep(certificates, lambda item: None if item in trusted else _why_not_ra(item, kem=False))
    kem = any(item.is_kem for item in alone)
    return tuple(sieve.keep(alone, lambda item: None if item in trusted else _why_not_ra(item, kem=kem)))


def of_next_ca(
    certificates: Sequence[bytes], policy: AlgorithmPolicy, *, fingerprint: str | None = None
) -> tuple[Certificate, ...]:
    """Of the certificates of GetNextCACert, those of CAs, and of RAs that these certified.

    certificates: DER each. fingerprint: of the one CA that is meant, as `CaCertificates.decode` has it; None for any.
    Raises ReplyRefused if there is none.
    """
    found, left_out = loaded(certificates)
    sieve = _Sieve(policy, left_out)
    if fingerprint is None:
        issuing = [item for item in found if is_ca(item)]
    else:
        issuing = [_trusted(found, left_out, fingerprint, "GetNextCACert")]
    kept = sieve.keep(found, lambda item: None if item in issuing else _why_not_issued(issuing, item, policy))
    valid = _of_ras(kept, issuing, sieve)
    if not valid:
        legacy = any(item.legacy for item in sieve.left_out)
        raise ReplyRefused(f"GetNextCACert carries no certificates{told_left_out(sieve.left_out)}", legacy=legacy)
    return valid


def _has_rsa_key(certificate: Certificate) -> bool:
    return certificate.key_algorithm == oids.RSA_ENCRYPTION


def _may_have_been_an_ra(item: LeftOut) -> bool:
    return item.certificate is None or not is_ca(item.certificate)
