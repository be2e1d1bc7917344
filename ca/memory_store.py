"""The Store in memory: a lock and dictionaries, for tests, demonstrations and as the plainest statement of the rules.

It forgets everything with the process and is not shared between processes; `ca.sql_store.SqlStore` is. Each
method first checks everything that can be refused and only then changes anything, which is what makes it
all-or-nothing. "Expired at a moment" means that the end lies before that moment: the last second still counts,
as it does for notAfter (RFC 5280 section 4.1.2.5).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace as changed
from datetime import datetime
from typing import TypeVar

from ca.kept_crls import CrlState, KeptCrl, Revocation, Revocations
from ca.store import (
    COMPROMISED,
    MESSAGES,
    WITHDRAWN,
    CertificateWithdrawn,
    Credential,
    CredentialUnavailable,
    Group,
    IssuedCertificate,
    KeyCompromised,
    RequestRepeated,
    State,
    Store,
    StoreConflict,
    SubjectTaken,
    Transaction,
    TransactionKey,
    holder_of,
    revised,
)


class MemoryStore(Store):
    """See `ca.store.Store`. Safe with any number of threads of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._transactions: dict[TransactionKey, Transaction] = {}
        self._certificates: dict[tuple[str, int], IssuedCertificate] = {}
        self._credentials: dict[str, Credential] = {}
        self._crl_numbers: dict[str, int] = {}
        self._revisions: dict[str, int] = {}
        self._crls: dict[str, KeptCrl] = {}
        self._secrets: dict[str, tuple[bytes, datetime]] = {}
        self._guesses: dict[str, tuple[datetime, int]] = {}

    # Transactions

    def get(self, key: TransactionKey) -> Transaction | None:
        with self._lock:
            return self._transactions.get(key)

    def create(self, transaction: Transaction) -> None:
        with self._lock:
            self._change(None, transaction, None)

    def replace(self, old: Transaction, new: Transaction) -> None:
        with self._lock:
            self._change(old, new, None)

    def drop(self, transaction: Transaction) -> None:
        with self._lock:
            if self._transactions.get(transaction.key) != transaction:
                raise StoreConflict("the transaction was changed by somebody else")
            del self._transactions[transaction.key]
            self._credentials.update(self._freed(transaction))
            self._secrets.pop(transaction.secret_id or "", None)

    def issue(
        self,
        old: Transaction | None,
        new: Transaction,
        certificate: IssuedCertificate,
        *,
        again: bool = False,
        unique: bool = False,
        rests_on: Sequence[str] = (),
        formerly: bytes = b"",
    ) -> None:
        with self._lock:
            self._check_unchanged(old, new)
            if not all(map(self._stands, rests_on)):
                raise CertificateWithdrawn
            self._check_issue(certificate, formerly, again=again, unique_at=new.updated if unique else None)
            self._change(old, new, certificate)

    def release(self, old: Transaction, new: Transaction, *, rests_on: Sequence[str] = ()) -> None:
        with self._lock:
            self._check_unchanged(old, new)
            certificate = self._certificates[_place(old)]
            if certificate.revoked_at is not None or not all(map(self._stands, rests_on)):
                raise CertificateWithdrawn
            if self._is_compromised(certificate.spki_hash):
                raise KeyCompromised
            self._change(old, new, None)
            self._certificates[_place(old)] = changed(certificate, released=True)

    def withdraw(self, old: Transaction, new: Transaction, *, now: datetime) -> None:
        with self._lock:
            self._change(old, new, None)
            self._withdraw(old, now)

    def transactions(self, state: State | None = None, *, limit: int = 1000) -> Sequence[Transaction]:
        with self._lock:
            chosen = [item for item in self._transactions.values() if state in (None, item.state)]
        return _newest_first(chosen, lambda item: item.created)[:limit]

    def count(self, state: State, *, now: datetime) -> int:
        with self._lock:
            return sum(item.state is state and item.expires >= now for item in self._transactions.values())

    def crowd(self, group: Group, *, now: datetime) -> tuple[int, Transaction | None]:
        with self._lock:
            found = [item for item in self._transactions.values() if item.expires >= now and group.holds(item)]
        return len(found), found[0] if found else None

    # Certificates

    def record(self, certificate: IssuedCertificate) -> None:
        _check_times(certificate.not_before, certificate.not_after, certificate.revoked_at)
        with self._lock:
            if (certificate.authority, certificate.serial) in self._certificates:
                raise StoreConflict("the serial number was issued before")
            self._put(certificate)

    def certificate(self, authority: str, serial: int) -> IssuedCertificate | None:
        with self._lock:
            return self._certificates.get((authority, serial))

    def compromised(self, spki_hash: bytes) -> bool:
        with self._lock:
            return self._is_compromised(spki_hash)

    def valid_certificates(self, name: str, *, now: datetime) -> Sequence[IssuedCertificate]:
        return self._select_certificates(lambda item: _stands_in_the_way(item, name, now))

    def certificates(self, *, limit: int = 1000) -> Sequence[IssuedCertificate]:
        return self._select_certificates(lambda item: item.released)[:limit]

    def find_serial(self, serial: int) -> Sequence[IssuedCertificate]:
        return self._select_certificates(lambda item: item.serial == serial)

    def add_message(self, authority: str, serial: int, message_hash: bytes) -> bool:
        with self._lock:
            known = self._certificates.get((authority, serial))
            if known is None:
                raise KeyError(f"no certificate {serial:x} of {authority}")
            if message_hash in known.message_hashes:
                return True
            if len(known.message_hashes) >= MESSAGES:
                return False
            hashes = (*known.message_hashes, message_hash)
            self._certificates[authority, serial] = changed(known, message_hashes=hashes)
            return True

    def revoke(self, authority: str, serial: int, *, reason: str, now: datetime) -> IssuedCertificate:
        _check_times(now)
        with self._lock:
            certificate = self._certificates.get((authority, serial))
            if certificate is None:
                raise KeyError(f"no certificate {serial:x} of {authority}")
            return self._put(revised(certificate, reason, now))

    def revocations(self, authority: str, *, now: datetime) -> Revocations:
        with self._lock:
            listed = [
                Revocation(item.serial, item.revoked_at, item.reason)
                for item in self._certificates.values()
                if item.authority == authority and item.revoked_at is not None and item.not_after >= now
            ]
            return Revocations(self._revisions.get(authority, 0), listed)

    def crl_state(self, authority: str) -> CrlState:
        with self._lock:
            kept = self._crls.get(authority)
            return CrlState(self._revisions.get(authority, 0), 0 if kept is None else kept.number)

    def kept_crl(self, authority: str) -> KeptCrl | None:
        with self._lock:
            return self._crls.get(authority)

    def keep_crl(self, crl: KeptCrl) -> KeptCrl:
        _check_times(crl.made)
        with self._lock:
            if crl.follows(self._crls.get(crl.authority)):
                self._crls[crl.authority] = crl
            return self._crls[crl.authority]

    def next_crl_number(self, authority: str) -> int:
        with self._lock:
            number = self._crl_numbers.get(authority, 0) + 1
            self._crl_numbers[authority] = number
            return number

    def pass_crl_number(self, authority: str, number: int) -> None:
        with self._lock:
            if number > self._crl_numbers.get(authority, 0):
                self._crl_numbers[authority] = number
                self._count(authority)

    # Credentials

    def add_credential(self, credential: Credential) -> None:
        _check_times(credential.created, credential.expires)
        with self._lock:
            if credential.identifier in self._credentials:
                raise StoreConflict("the credential exists already")
            self._credentials[credential.identifier] = credential

    def credential(self, identifier: str) -> Credential | None:
        with self._lock:
            return self._credentials.get(identifier)

    def count_guess(self, profile: str, *, now: datetime) -> None:
        _check_times(now)
        minute = now.replace(second=0)
        with self._lock:
            known, number = self._guesses.get(profile, (minute, 0))
            self._guesses[profile] = (minute, number + 1 if known == minute else 1)

    def guesses(self, profile: str, *, now: datetime) -> int:
        with self._lock:
            minute, number = self._guesses.get(profile, (now, 0))
        return number if minute == now.replace(second=0) else 0

    def credentials(self, *, limit: int = 1000) -> Sequence[Credential]:
        with self._lock:
            chosen = sorted(self._credentials.values(), key=lambda item: item.identifier)
        return sorted(chosen, key=lambda item: item.created, reverse=True)[:limit]

    def remove_credential(self, identifier: str) -> bool:
        with self._lock:
            return self._credentials.pop(identifier, None) is not None

    # Secrets

    def put_secret(self, identifier: str, sealed: bytes, expires: datetime) -> None:
        with self._lock:
            _check_times(expires)
            if identifier in self._secrets:
                raise StoreConflict("the secret exists already")
            self._secrets[identifier] = (sealed, expires)

    def keep_secret(self, identifier: str, sealed: bytes, expires: datetime) -> bytes:
        with self._lock:
            _check_times(expires)
            return self._secrets.setdefault(identifier, (sealed, expires))[0]

    def take_secret(self, identifier: str) -> bytes | None:
        with self._lock:
            sealed, _expires = self._secrets.pop(identifier, (None, None))
            return sealed

    # Housekeeping

    def purge(self, now: datetime) -> int:
        with self._lock:
            expired = [item for item in self._transactions.values() if item.expires < now]
            for transaction in expired:
                del self._transactions[transaction.key]
            for transaction in expired:
                self._credentials.update(self._freed(transaction))
                if transaction.state is State.AWAITING_RELEASE:
                    self._withdraw(transaction, now)
            dead = [
                item.identifier
                for item in self._credentials.values()
                if item.expires is not None and item.expires < now and (item.holder is None or item.serial is not None)
            ]
            for identifier in dead:
                del self._credentials[identifier]
            old = [identifier for identifier, (_sealed, expires) in self._secrets.items() if expires < now]
            for identifier in old:
                del self._secrets[identifier]
            return len(expired) + len(dead) + len(old)

    def close(self) -> None:
        """Nothing to let go of."""

    # What the methods above are made of; all of it runs under the lock.

    def _change(self, old: Transaction | None, new: Transaction, certificate: IssuedCertificate | None) -> None:
        """Check, then put `new` in place of `old`, move reservations and record the certificate if there is one."""
        self._check_unchanged(old, new)
        if certificate is not None:
            _check_times(certificate.not_before, certificate.not_after, certificate.revoked_at)
            if (certificate.authority, certificate.serial) in self._certificates:
                raise StoreConflict("the serial number was issued before")
        self._credentials.update(self._moved_reservations(old, new, certificate))
        self._transactions[new.key] = new
        if certificate is not None:
            self._put(certificate)

    def _put(self, certificate: IssuedCertificate) -> IssuedCertificate:
        """Record a certificate, or what has become of it, and count what a CRL has to say of it."""
        place = certificate.authority, certificate.serial
        known = self._certificates.get(place)
        before = (None, None) if known is None else (known.revoked_at, known.reason)
        if before != (certificate.revoked_at, certificate.reason):
            self._count(certificate.authority)
        self._certificates[place] = certificate
        return certificate

    def _count(self, authority: str) -> None:
        """The CRL that is kept for this issuer is not right any more."""
        self._revisions[authority] = self._revisions.get(authority, 0) + 1

    def _check_unchanged(self, old: Transaction | None, new: Transaction) -> None:
        """Raises StoreConflict, or ValueError for what nobody may store."""
        _check_times(new.created, new.updated, new.expires)
        if old is not None and old.key != new.key:
            raise ValueError("a transaction is replaced by one with the same key")
        if self._transactions.get(new.key) != old:
            raise StoreConflict("the transaction was changed by somebody else")

    def _withdraw(self, transaction: Transaction, now: datetime) -> None:
        """Revoke the certificate of a transaction."""
        self._put(revised(self._certificates[_place(transaction)], WITHDRAWN, now))

    def _is_compromised(self, spki_hash: bytes) -> bool:
        return any(item.spki_hash == spki_hash and item.reason in COMPROMISED for item in self._certificates.values())

    def _stands(self, full_name: str) -> bool:
        """Whether a certificate is known, not revoked, and its key not compromised."""
        found = next((item for item in self._certificates.values() if item.full_name == full_name), None)
        return found is not None and found.revoked_at is None and not self._is_compromised(found.spki_hash)

    def _check_issue(
        self, certificate: IssuedCertificate, formerly: bytes, *, again: bool, unique_at: datetime | None
    ) -> None:
        """What forbids to issue a certificate. Raises IssueForbidden."""
        known = list(self._certificates.values())
        if self._is_compromised(certificate.spki_hash):
            raise KeyCompromised
        hashes = {certificate.request_hash, formerly} - {b""}
        same = [item for item in known if item.request_hash in hashes]
        asks = certificate.message_hashes[:1]
        if same and (not again or any(set(asks).intersection(item.message_hashes) for item in same)):
            raise RequestRepeated
        if unique_at is not None:
            for item in _newest_first(known, lambda item: item.not_before):
                if _stands_in_the_way(item, certificate.name, unique_at):
                    raise SubjectTaken(item.serial)

    def _moved_reservations(
        self, old: Transaction | None, new: Transaction, certificate: IssuedCertificate | None
    ) -> dict[str, Credential]:
        """The credentials that change when `new` takes the place of `old`, as they will be."""
        same_hold = old is not None and hold(old) == hold(new)
        moved = {} if old is None or same_hold else self._freed(old)
        if new.credential_id is None or (same_hold and certificate is None):
            return moved
        credential = moved.get(new.credential_id) or self._credentials.get(new.credential_id)
        if credential is None:
            raise CredentialUnavailable("the credential is gone")
        if not credential.one_time:
            return moved
        holder = holder_of(new.key.requester, new.request_hash)
        if credential.serial is not None or credential.holder not in (None, holder):
            raise CredentialUnavailable("the credential is used up or held by another request")
        credential = changed(credential, holder=holder)
        if certificate is not None:
            credential = changed(credential, authority=certificate.authority, serial=certificate.serial)
        return {**moved, new.credential_id: credential}

    def _freed(self, transaction: Transaction) -> dict[str, Credential]:
        """What `transaction` reserved, freed, unless it is used up or another transaction still holds it."""
        identifier, holder = hold(transaction)
        credential = self._credentials.get(identifier or "")
        if credential is None or credential.serial is not None or credential.holder != holder:
            return {}
        others = (item for item in self._transactions.values() if item.key != transaction.key)
        if any(hold(item) == (identifier, holder) for item in others):
            return {}
        return {credential.identifier: changed(credential, holder=None)}

    def _select_certificates(self, wanted: Callable[[IssuedCertificate], bool]) -> list[IssuedCertificate]:
        with self._lock:
            chosen = [item for item in self._certificates.values() if wanted(item)]
        return _newest_first(chosen, lambda item: item.not_before)


def _place(transaction: Transaction) -> tuple[str, int]:
    """Where the certificate of a transaction is."""
    assert transaction.serial is not None
    return transaction.authority, transaction.serial


def _stands_in_the_way(item: IssuedCertificate, name: str, now: datetime) -> bool:
    """Whether it is for this name, and neither revoked nor expired."""
    return name != "" and item.name == name and item.revoked_at is None and item.not_after >= now


def hold(transaction: Transaction) -> tuple[str | None, str]:
    """Which credential the transaction refers to, and in whose name."""
    return transaction.credential_id, holder_of(transaction.key.requester, transaction.request_hash)


_Record = TypeVar("_Record", Transaction, IssuedCertificate)


def _newest_first(records: list[_Record], moment: Callable[[_Record], datetime]) -> list[_Record]:
    """Sorted by `moment`, latest first; of the same second, the one that was added last comes first."""
    return sorted(records, key=moment)[::-1]


def _check_times(*moments: datetime | None) -> None:
    """Raise ValueError unless every moment is aware and in whole seconds, so that no test passes only in memory."""
    for moment in moments:
        if moment is not None and (moment.tzinfo is None or moment.microsecond):
            raise ValueError("times in the Store are aware and in whole seconds")
