"""Challenge passwords (RFC 8894 section 2.4): making them, and finding out whether one is good.

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
from ca.store import ChallengePassword, Store

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
) -> ChallengePassword:
    """Remember a challenge password. ttl None: it never expires. weak: take any, for tests and examples.

    Raises WeakPassword, and StoreConflict if it is known already.
    """
    if not weak:
        check_strength(password)
    challenge = ChallengePassword(
        identifier=server_key.identifier(password),
        one_time=one_time,
        created=now,
        expires=None if ttl is None else now + ttl,
        subject=None if subject is None else subject.rfc4514_string(),
        profile=profile,
    )
    store.add_challenge(challenge)
    return challenge


@dataclass(frozen=True)
class UsedByHolder:
    """The password was used up by this very request: the certificate it brought."""

    authority: str
    serial: int


def check_password(
    store: Store, server_key: ServerKey, password: str, *, subject: x509.Name, profile: str, holder: str, now: datetime
) -> ChallengePassword | UsedByHolder | None:
    """The record of a good password, UsedByHolder for a retry, None for a password nobody knows.

    holder: `ca.store.holder_of` the request. Raises NotAuthorised for a known password that is expired, used by
    somebody else, or meant for another subject or profile; who knows the password may know why.
    """
    challenge = store.challenge(server_key.identifier(password))
    if challenge is None:
        return None
    if challenge.serial is not None and challenge.authority is not None:
        if challenge.holder == holder:
            return UsedByHolder(challenge.authority, challenge.serial)
        raise NotAuthorised("the challengePassword has been used")
    check_purpose(challenge, subject=subject, profile=profile, now=now)
    if challenge.holder not in (None, holder):
        raise NotAuthorised("the challengePassword is in use by another request")
    return challenge


def check_purpose(challenge: ChallengePassword, *, subject: x509.Name, profile: str, now: datetime) -> None:
    """Whether a password is good at `now`, for this subject and profile. Raises NotAuthorised."""
    if challenge.expires is not None and challenge.expires <= now:
        raise NotAuthorised("the challengePassword has expired")
    if challenge.profile not in (None, profile):
        raise NotAuthorised("the challengePassword is for another profile")
    if challenge.subject is not None and x509.Name.from_rfc4514_string(challenge.subject) != subject:
        raise NotAuthorised("the challengePassword is for another subject")


def check_held(store: Store, identifier: str | None, *, subject: x509.Name, profile: str, now: datetime) -> None:
    """Whether the challenge password that approved a request is still good for it, if one did. Raises NotAuthorised,
    final.
    """
    if identifier is None:
        return
    held = store.challenge(identifier)
    if held is None:
        raise NotAuthorised("the challengePassword was withdrawn or has expired", final=True)
    if held.serial is not None:
        raise NotAuthorised("the challengePassword has been used", final=True)
    try:
        check_purpose(held, subject=subject, profile=profile, now=now)
    except NotAuthorised as refused:
        raise NotAuthorised(refused.text, final=True) from None
