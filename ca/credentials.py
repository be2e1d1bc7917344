"""Credentials: challenge passwords (RFC 8894 section 2.4) and secrets that are shared with a client.

The Store knows a password only by `ServerKey.identifier`. A one-time password is reserved by the request that
brought it and used up by the certificate issued with it. A retry of the same request by the same key, also under
another transactionID, is still its holder; anybody else is told that it is used.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from ca.errors import NotAuthorised
from ca.sealing import ServerKey
from ca.store import Credential, Store
from pkix.errors import Malformed
from pkix.names import is_meant, name_text, parse_name
from pkix.times import THIS_CA, clock, minute

PASSWORD_OCTETS = 20
MIN_LENGTH, MAX_LENGTH = 16, 255  # characters; RFC 2985 appendix B.3 has no longer ones
MIN_DIFFERENT = 5  # characters: fewer are a pattern, and a pattern is guessed
DEFAULT_TTL = timedelta(hours=1)


def new_password(random: Callable[[int], bytes]) -> str:
    """32 characters of base32 (160 random bits): survives every string type, and being read aloud."""
    return base64.b32encode(random(PASSWORD_OCTETS)).decode()


class WeakPassword(ValueError):
    """A password that somebody would guess; the text says why and repeats nothing of it."""


def check_strength(password: str) -> None:
    """Raise WeakPassword for one that cannot be random enough (RFC 8894 section 7.3), or that no request may hold.

    Who records one request may try passwords at leisure: a client without an RSA key gets its answer encrypted under
    the password (section 3.1).
    """
    if not password:
        raise WeakPassword("the password is empty")
    if len(password) < MIN_LENGTH:
        raise WeakPassword(f"the password has {len(password)} characters; take at least {MIN_LENGTH} random ones")
    if len(password) > MAX_LENGTH:
        raise WeakPassword(f"the password has {len(password)} characters; the most is {MAX_LENGTH}")
    if len(set(password)) < MIN_DIFFERENT:
        raise WeakPassword(f"the password repeats itself: it has fewer than {MIN_DIFFERENT} different characters")


def add_password(
    store: Store,
    server_key: ServerKey,
    password: str,
    *,
    now: datetime,
    ttl: timedelta | None = DEFAULT_TTL,
    one_time: bool = True,
    subject: x509.Name | None = None,
    profile: str | None = None,
    weak: bool = False,
) -> Credential:
    """Remember a challenge password. ttl None: it never expires. weak: take any, for tests and examples.

    Raises WeakPassword, and StoreConflict if it is known already.
    """
    if not weak:
        check_strength(password)
    credential = Credential(
        identifier=server_key.identifier(password),
        one_time=one_time,
        created=now,
        expires=None if ttl is None else now + ttl,
        subject=None if subject is None else name_text(subject),
        profile=profile,
    )
    store.add_credential(credential)
    return credential


def add_secret(
    store: Store,
    server_key: ServerKey,
    reference: str,
    secret: bytes,
    random: Callable[[int], bytes],
    *,
    now: datetime,
    ttl: timedelta | None = DEFAULT_TTL,
    one_time: bool = True,
    subject: x509.Name | None = None,
    profile: str | None = None,
) -> Credential:
    """Remember a secret that its holder names by a reference and uses to key a MAC, as CMP and CMC do.

    Raises StoreConflict if the reference is known already.
    """
    identifier = server_key.reference_identifier(reference)
    credential = Credential(
        identifier=identifier,
        one_time=one_time,
        created=now,
        expires=None if ttl is None else now + ttl,
        subject=None if subject is None else name_text(subject),
        profile=profile,
        sealed=server_key.seal(secret, _purpose(identifier), random),
        reference=reference,
    )
    store.add_credential(credential)
    return credential


def find_secret(store: Store, server_key: ServerKey, reference: str) -> tuple[Credential, bytes] | None:
    """The record and the secret of a reference, None if nobody knows it. Whoever checks a MAC with it does so also
    when the record is not good any more, and says nothing else before the MAC was right.

    Raises `ca.sealing.Unsealable` if another server key sealed it.
    """
    found = store.credential(server_key.reference_identifier(reference))
    if found is None or found.sealed is None:
        return None
    return found, server_key.open(found.sealed, _purpose(found.identifier))


def _purpose(identifier: str) -> bytes:
    return b"credential " + identifier.encode()


@dataclass(frozen=True)
class UsedByHolder:
    """The credential was used up by this very request: the certificate it brought."""

    authority: str
    serial: int


def check_password(
    store: Store, server_key: ServerKey, password: str, *, subject: x509.Name, profile: str, holder: str, now: datetime
) -> Credential | UsedByHolder | None:
    """The record of a good password, UsedByHolder for a retry, None for a password nobody knows. Raises as
    `check_credential`.
    """
    credential = store.credential(server_key.identifier(password))
    if credential is None or credential.sealed is not None:
        return None
    return check_credential(credential, subject=subject, profile=profile, holder=holder, now=now)


def check_credential(
    credential: Credential, *, subject: x509.Name, profile: str, holder: str, now: datetime
) -> Credential | UsedByHolder:
    """A good credential, or UsedByHolder for a retry. holder: `ca.store.holder_of` the request.

    Raises NotAuthorised for one that is expired, used by somebody else, or meant for another subject or profile; who
    knows the password or secret may know why.
    """
    word = _word(credential)
    if credential.serial is not None and credential.authority is not None:
        if credential.holder == holder:
            return UsedByHolder(credential.authority, credential.serial)
        raise NotAuthorised(f"the {word} has been used")
    check_purpose(credential, subject=subject, profile=profile, now=now)
    if credential.holder not in (None, holder):
        raise NotAuthorised(f"the {word} is in use by another request")
    return credential


def check_purpose(credential: Credential, *, subject: x509.Name, profile: str, now: datetime) -> None:
    """Whether a credential is good at `now`, for this subject and profile. Raises NotAuthorised."""
    word = _word(credential)
    if credential.expires is not None and credential.expires <= now:
        raise NotAuthorised(f"the {word} has expired on {minute(credential.expires)}, and {clock(now, THIS_CA)}")
    if credential.profile not in (None, profile):
        raise NotAuthorised(f"the {word} is for another profile")
    if credential.subject is not None and not _is_for(credential.subject, subject):
        asked = name_text(subject) or "none"
        raise NotAuthorised(f"the {word} is for another subject: for {credential.subject}; the request has {asked}")


def _is_for(written: str, subject: x509.Name) -> bool:
    """Whether a subject is the one that a credential is for. Earlier versions kept texts with empty values, which no
    request can have.
    """
    try:
        return is_meant(parse_name(written), subject)
    except Malformed:
        return False


def check_held(store: Store, identifier: str | None, *, subject: x509.Name, profile: str, now: datetime) -> None:
    """Whether the credential that approved a request is still good for it, if one did. Raises NotAuthorised, final."""
    if identifier is None:
        return
    held = store.credential(identifier)
    if held is None:
        raise NotAuthorised("the challengePassword was withdrawn or has expired", final=True)
    if held.serial is not None:
        raise NotAuthorised(f"the {_word(held)} has been used", final=True)
    try:
        check_purpose(held, subject=subject, profile=profile, now=now)
    except NotAuthorised as refused:
        raise NotAuthorised(refused.text, final=True) from None


def _word(credential: Credential) -> str:
    return "challengePassword" if credential.sealed is None else "shared secret"
