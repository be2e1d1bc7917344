"""CRLs at scale: a request reads one small row; what was made is kept for all processes, until something is revoked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from pyasn1_alt_modules import rfc5280

from ca import crl
from ca.authority import Authority, KeyPair
from ca.crl import CRL_LIFETIME, CRL_VALIDITY, Crls, create_crl
from ca.errors import CrlRefused
from ca.kept_crls import CrlState, KeptCrl
from ca.memory_store import MemoryStore
from ca.sql_store import SqlStore
from ca.store import State, Store, StoreBusy, StoreConflict, StoreUnavailable
from pkix.certificate_builder import Contents, encode_certificate
from pkix.crl_builder import encode_crl
from pkix.keys import spki_of
from pkix.usages import key_usage
from tests.ca.test_store_contract import certificate, transaction
from tests.pkix import second_opinion
from tests.world import NOW, authority, key

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
CA = authority("ed25519")


class Watched(MemoryStore):
    """Counts what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, int] = {}

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name in ("crl_state", "kept_crl", "keep_crl", "revocations", "next_crl_number"):
            self.calls[name] = self.calls.get(name, 0) + 1
        return found


def listed(found: KeptCrl) -> set[int]:
    return {item.serial_number for item in x509.load_der_x509_crl(found.der)}


def recorded(store: Store, *serials: int, **more: Any) -> None:
    for serial in serials:
        store.record(certificate(serial, authority=CA.identifier, not_before=NOW, not_after=NOW + 365 * DAY, **more))


def kept(number: int, revision: int, authority: str = "aa") -> KeptCrl:
    return KeptCrl(authority, number, revision, NOW, b"der %d" % number)


# What the Store promises


CHANGES: dict[str, Callable[[Store], object]] = {
    "revoked": lambda store: store.revoke("aa", 1, reason="superseded", now=NOW),
    "released": lambda store: store.revoke("aa", 2, reason="removeFromCRL", now=NOW),
    "another reason": lambda store: store.revoke("aa", 2, reason="keyCompromise", now=NOW),
    "recorded": lambda store: store.record(certificate(3, revoked_at=NOW, reason="superseded")),
    "issued": lambda store: store.issue(None, transaction("new"), certificate(3, revoked_at=NOW, reason="superseded")),
    "numbers passed": lambda store: store.pass_crl_number("aa", 100),
}
NO_CHANGES: dict[str, Callable[[Store], object]] = {
    "revoked again": lambda store: store.revoke("aa", 2, reason="certificateHold", now=NOW + DAY),
    "not on hold": lambda store: store.revoke("aa", 1, reason="removeFromCRL", now=NOW),
    "recorded": lambda store: store.record(certificate(3)),
    "issued": lambda store: store.issue(None, transaction("new"), certificate(3)),
    "another issuer": lambda store: store.record(certificate(3, authority="bb", revoked_at=NOW, reason="superseded")),
    "message": lambda store: store.add_message("aa", 2, b"\x01" * 32),
    "number": lambda store: store.next_crl_number("aa"),
    "numbers passed before": lambda store: store.pass_crl_number("aa", 0),
    "kept": lambda store: store.keep_crl(kept(1, 1)),
    "purge": lambda store: store.purge(NOW + 1000 * DAY),
}


def prepared(store: Store) -> Store:
    store.record(certificate(1))
    store.record(certificate(2))
    store.revoke("aa", 2, reason="certificateHold", now=NOW)
    return store


def test_nothing_was_ever_revoked(store: Store) -> None:
    assert store.crl_state("aa") == CrlState() and store.kept_crl("aa") is None
    found = store.revocations("aa", now=NOW)
    assert (found.revision, list(found.listed)) == (0, [])


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_a_crl_is_counted(store: Store, change: str) -> None:
    before = prepared(store).crl_state("aa").revision
    CHANGES[change](store)
    assert store.crl_state("aa").revision == store.revocations("aa", now=NOW).revision == before + 1


@pytest.mark.parametrize("change", NO_CHANGES)
def test_what_does_not_change_it_is_not(store: Store, change: str) -> None:
    before = prepared(store).crl_state("aa").revision
    NO_CHANGES[change](store)
    assert store.crl_state("aa").revision == store.revocations("aa", now=NOW).revision == before == 1


def test_a_change_that_fails_is_not_counted(store: Store) -> None:
    prepared(store)
    with pytest.raises(StoreConflict):
        store.record(certificate(2, revoked_at=NOW, reason="superseded"))
    with pytest.raises(KeyError):
        store.revoke("aa", 9, reason="superseded", now=NOW)
    assert store.crl_state("aa").revision == 1


def test_one_that_is_withdrawn_is_counted(store: Store) -> None:
    item = transaction(state=State.AWAITING_RELEASE, serial=1)
    store.issue(None, item, certificate(1, released=False))
    store.withdraw(item, replace(item, state=State.FAILED), now=NOW)
    assert store.crl_state("aa").revision == 1 and len(store.revocations("aa", now=NOW).listed) == 1


def test_one_that_was_not_released_in_time_is_counted(store: Store) -> None:
    store.issue(None, transaction(state=State.AWAITING_RELEASE, serial=1), certificate(1, released=False))
    store.purge(NOW + 2 * DAY)
    assert store.crl_state("aa").revision == 1


def test_a_crl_comes_back_and_is_the_issuer_s_own(store: Store) -> None:
    assert store.keep_crl(kept(3, 2)) == kept(3, 2) == store.kept_crl("aa")
    assert store.kept_crl("bb") is None and store.crl_state("aa").number == 3
    store.keep_crl(kept(1, 0, "bb"))
    assert store.kept_crl("aa") == kept(3, 2) and store.crl_state("bb").number == 1


@pytest.mark.parametrize(
    ("number", "revision", "better"), [(4, 2, True), (4, 3, True), (3, 3, False), (2, 3, False), (4, 1, False)]
)
def test_only_a_later_crl_that_misses_nothing_is_kept(store: Store, number: int, revision: int, better: bool) -> None:
    """Of two workers that make one at once, both serve the one that was kept."""
    store.keep_crl(kept(3, 2))
    expected = kept(number, revision) if better else kept(3, 2)
    assert store.keep_crl(kept(number, revision)) == expected == store.kept_crl("aa")
    assert store.crl_state("aa").number == expected.number


def test_a_crl_survives_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ca.sqlite3"
    with SqlStore(url) as store:
        prepared(store).keep_crl(kept(7, 1))
    with SqlStore(url, migrate=False) as store:
        assert store.kept_crl("aa") == kept(7, 1) and store.crl_state("aa") == CrlState(1, 7)


def test_sqlite_reads_revocations_from_an_index_alone(tmp_path: Path) -> None:
    """Rows hold certificates: reading 200,000 of them would read the whole database."""
    with SqlStore(f"sqlite:///{tmp_path}/ca.sqlite3") as store, store._database.engine.connect() as connection:
        from ca.sql_statements import REVOCATIONS

        query = str(REVOCATIONS.compile(dialect=connection.dialect))
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", {"of": "aa", "now": 0}).all()
    assert any("COVERING INDEX ix_certificates_revoked" in row[-1] for row in plan), plan


# What is served


def test_a_request_reads_one_small_row(store: Store) -> None:
    watched = Watched()
    crls = Crls(watched)
    first = crls.get(CA, now=NOW)
    watched.calls.clear()
    for minute in range(50):
        assert crls.get(CA, now=NOW + minute * timedelta(minutes=1)) is first
    assert watched.calls == {"crl_state": 50}


def test_workers_share_what_one_has_made() -> None:
    watched = Watched()
    first = Crls(watched).get(CA, now=NOW)
    watched.calls.clear()
    other = Crls(watched)
    assert all(other.get(CA, now=NOW + SECOND) == first for _ in range(3))
    assert watched.calls == {"crl_state": 3, "kept_crl": 1}


def test_a_worker_takes_up_what_another_has_made_since(store: Store) -> None:
    one, two = Crls(store), Crls(store)
    assert one.get(CA, now=NOW) == two.get(CA, now=NOW)
    made = two.make(CA, now=NOW + SECOND)
    assert one.get(CA, now=NOW + SECOND) == made and made.number == 2


def test_after_a_restore_no_crl_from_before_is_served() -> None:
    """Its revision may be one that the restored database will only reach: it lists what was revoked then, not now."""
    before, restored = MemoryStore(), MemoryStore()
    for store, serials in ((before, (1, 2, 3)), (restored, (1,))):
        recorded(store, 1, 2, 3, 7)
        crls = Crls(store)
        for serial in serials:
            store.revoke(CA.identifier, serial, reason="superseded", now=NOW)
            crls.get(CA, now=NOW)
    process = Crls(before)
    assert listed(process.get(CA, now=NOW)) == {1, 2, 3}
    process = Crls(restored, process._places)
    restored.revoke(CA.identifier, 7, reason="keyCompromise", now=NOW)
    assert listed(process.get(CA, now=NOW)) == {1, 7}
    empty = MemoryStore()
    assert listed(Crls(empty, process._places).get(CA, now=NOW)) == set()


def test_a_revocation_is_on_the_next_one(store: Store) -> None:
    recorded(store, 5, 6)
    crls = Crls(store)
    assert listed(crls.get(CA, now=NOW)) == set()
    store.revoke(CA.identifier, 5, reason="superseded", now=NOW)
    found = crls.get(CA, now=NOW)
    assert (listed(found), found.number, found.revision) == ({5}, 2, 1)
    store.revoke(CA.identifier, 6, reason="certificateHold", now=NOW)
    assert listed(crls.get(CA, now=NOW)) == {5, 6}
    store.revoke(CA.identifier, 6, reason="removeFromCRL", now=NOW)
    assert listed(crls.get(CA, now=NOW)) == {5}


@pytest.mark.parametrize(
    ("later", "number"),
    [
        (timedelta(0), 1),
        (CRL_LIFETIME - SECOND, 1),
        (CRL_LIFETIME, 2),
        (-timedelta(seconds=60), 1),
        (-timedelta(days=3650), 2),
    ],
)
def test_after_an_hour_or_by_a_wrong_clock_it_is_made_anew(store: Store, later: timedelta, number: int) -> None:
    Crls(store).get(CA, now=NOW)
    assert Crls(store).get(CA, now=NOW + later).number == number


def test_what_has_expired_leaves_with_the_next_that_is_made(store: Store) -> None:
    store.record(certificate(5, authority=CA.identifier, not_before=NOW, not_after=NOW, revoked_at=NOW, reason=None))
    crls = Crls(store)
    assert listed(crls.get(CA, now=NOW + CRL_VALIDITY)) == {5}
    assert listed(crls.get(CA, now=NOW + CRL_VALIDITY + SECOND)) == {5}
    assert listed(crls.get(CA, now=NOW + CRL_VALIDITY + CRL_LIFETIME)) == set()


class Racing(Watched):
    """Something happens right after the next revocations were read."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: list[Callable[[], object]] = []

    def revocations(self, authority: str, *, now: Any) -> Any:
        found = super().revocations(authority, now=now)
        if self.meanwhile:
            self.meanwhile.pop()()
        return found


def test_a_revocation_while_one_is_made_is_on_the_next() -> None:
    store = Racing()
    recorded(store, 5)
    store.meanwhile.append(lambda: store.revoke(CA.identifier, 5, reason="superseded", now=NOW))
    crls = Crls(store)
    first = crls.get(CA, now=NOW)
    assert listed(first) == set() and first.revision == 0
    assert listed(crls.get(CA, now=NOW)) == {5}


def test_a_worker_that_was_slower_serves_what_the_other_made() -> None:
    """It does not put an older list in the place of a newer, nor give clients numbers that fall."""
    store = Racing()
    recorded(store, 5)

    def faster() -> None:
        store.revoke(CA.identifier, 5, reason="superseded", now=NOW)
        Crls(store).get(CA, now=NOW)

    store.meanwhile.append(faster)
    found = Crls(store).get(CA, now=NOW)
    assert listed(found) == {5} and found == store.kept_crl(CA.identifier) and found.number == 2


@pytest.mark.parametrize("wrong", [DAY, -DAY])
def test_what_a_worker_with_another_clock_made_meanwhile_is_not_served(wrong: timedelta) -> None:
    store = Racing()
    store.meanwhile.append(lambda: Crls(store).make(CA, now=NOW + wrong))
    found = Crls(store).get(CA, now=NOW)
    assert (found.number, found.made) == (3, NOW) and store.kept_crl(CA.identifier) == found


def test_of_many_threads_one_makes_it() -> None:
    watched = Watched()
    crls, barrier, found = Crls(watched), threading.Barrier(8), []

    def ask() -> None:
        barrier.wait(300)
        found.append(crls.get(CA, now=NOW))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and {item.number for item in found} == {1}
    assert watched.calls["keep_crl"] == 1


def in_a_thread(ask: Callable[[], object]) -> object:
    """What another request of this process gets meanwhile, or raises."""
    found: list[object] = []

    def run() -> None:
        try:
            found.append(ask())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


class Lock:
    """Remembers how long each was ready to wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.release = self._lock.release
        self.asked: list[float] = []
        self.waiting = threading.Semaphore(0)

    def acquire(self, *, timeout: float) -> bool:
        self.asked.append(timeout)
        self.waiting.release()
        return self._lock.acquire(timeout=timeout)


def test_while_one_is_made_nobody_waits_who_can_have_the_last() -> None:
    """Else every thread of a server would stand there, each time after a revocation, if only enough strangers ask."""
    store = Racing()
    recorded(store, 5)
    crls = Crls(store)
    first = crls.get(CA, now=NOW)
    lock = Lock()
    crls._places[CA.identifier].making = lock  # type: ignore[assignment]
    assert crls.get(CA, now=NOW) is first and lock.asked == []
    store.revoke(CA.identifier, 5, reason="superseded", now=NOW)
    meanwhile: list[object] = []
    store.meanwhile += [lambda: meanwhile.append(in_a_thread(lambda: crls.get(CA, now=NOW)))]
    second = crls.get(CA, now=NOW)
    assert meanwhile == [first] and (second.number, listed(second)) == (2, {5}) and crls.get(CA, now=NOW) is second
    assert lock.asked == [0, 0]


def test_who_has_waited_for_the_first_takes_it_as_it_is() -> None:
    """It is neither made nor read again."""
    store, lock = Racing(), Lock()
    crls, found = Crls(store, {CA.identifier: crl._Place(lock)}), list[KeptCrl]()  # type: ignore[arg-type]
    threads = [threading.Thread(target=lambda: found.append(crls.get(CA, now=NOW))) for _ in range(3)]

    def others() -> None:
        lock.waiting.acquire()  # of the one that makes it
        for thread in threads:
            thread.start()
            lock.waiting.acquire()

    store.meanwhile.append(others)
    first = crls.get(CA, now=NOW)
    for thread in threads:
        thread.join()
    assert all(item is first for item in found) and len(found) == 3
    assert store.calls["keep_crl"] == 1 and "kept_crl" not in store.calls


@pytest.mark.parametrize(
    ("later", "served"),
    [
        (CRL_LIFETIME, True),
        (CRL_VALIDITY - SECOND, True),
        (CRL_VALIDITY, False),
        (-timedelta(seconds=60), True),
        (-timedelta(seconds=61), False),
    ],
)
def test_the_last_is_served_as_long_as_it_is_in_force(
    monkeypatch: pytest.MonkeyPatch, later: timedelta, served: bool
) -> None:
    monkeypatch.setattr(crl, "WAIT", 0)
    store = Racing()
    recorded(store, 5)
    crls = Crls(store)
    first = crls.get(CA, now=NOW)
    store.revoke(CA.identifier, 5, reason="superseded", now=NOW)
    meanwhile: list[object] = []
    store.meanwhile += [lambda: meanwhile.append(in_a_thread(lambda: crls.get(CA, now=NOW + later)))]
    crls.get(CA, now=NOW + later)
    assert meanwhile == [first] if served else isinstance(meanwhile[0], StoreBusy)


def test_who_waits_for_the_first_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crl, "WAIT", 0)
    store = Racing()
    crls, meanwhile = Crls(store), list[object]()
    store.meanwhile += [lambda: meanwhile.append(in_a_thread(lambda: crls.get(CA, now=NOW)))]
    assert crls.get(CA, now=NOW).number == 1 and isinstance(meanwhile[0], StoreBusy)


def test_a_worker_that_had_none_has_what_is_kept_while_it_makes_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crl, "WAIT", 0)
    store = Racing()
    recorded(store, 5)
    first = Crls(store).get(CA, now=NOW)
    store.revoke(CA.identifier, 5, reason="superseded", now=NOW)
    crls, meanwhile = Crls(store), list[object]()
    store.meanwhile += [lambda: meanwhile.append(in_a_thread(lambda: crls.get(CA, now=NOW)))]
    assert crls.get(CA, now=NOW).number == 2 and meanwhile == [first]


def test_the_last_is_what_the_store_keeps_not_what_a_worker_has_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was given another worker's CRL before is not given a lower number."""
    monkeypatch.setattr(crl, "WAIT", 0)
    store = Racing()
    recorded(store, 5)
    crls = Crls(store)
    crls.get(CA, now=NOW)
    second = Crls(store).make(CA, now=NOW)
    store.revoke(CA.identifier, 5, reason="superseded", now=NOW)
    meanwhile: list[object] = []

    def others() -> None:
        meanwhile.append(in_a_thread(lambda: crls.get(CA, now=NOW)))
        third = Crls(store).make(CA, now=NOW)
        meanwhile.extend((third, in_a_thread(lambda: crls.get(CA, now=NOW))))

    store.meanwhile.append(others)
    found = crls.get(CA, now=NOW)
    assert found.number == 4 and meanwhile == [second, found, found]


def test_after_a_revocation_of_many_threads_one_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(*given: Any, **more: Any) -> bytes:
        made.append(1)
        return encode_crl(*given, **more)

    monkeypatch.setattr(crl, "encode_crl", counted)
    store = MemoryStore()
    recorded(store, 5)
    crls, barrier, found = Crls(store), threading.Barrier(8), list[KeptCrl]()
    crls.get(CA, now=NOW)
    store.revoke(CA.identifier, 5, reason="superseded", now=NOW)

    def ask() -> None:
        barrier.wait(300)
        found.extend(crls.get(CA, now=NOW) for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40 and {item.number for item in found} <= {1, 2} and len(made) == 2
    assert listed(crls.get(CA, now=NOW)) == {5}


class Failing(MemoryStore):
    """Cannot do one thing."""

    fails = ""

    def __getattribute__(self, name: str) -> Any:
        if name == super().__getattribute__("fails"):
            raise StoreUnavailable("the database cannot be written: disk full")
        return super().__getattribute__(name)


@pytest.mark.parametrize("call", ["crl_state", "next_crl_number", "revocations", "keep_crl"])
@pytest.mark.parametrize("before", [0, 1])
def test_a_store_that_fails_leaves_nothing_behind(call: str, before: int) -> None:
    """What is not kept is not served, and whoever asks next makes one, with a number of its own."""
    store = Failing()
    recorded(store, 5)
    crls = Crls(store)
    for _ in range(before):
        crls.get(CA, now=NOW)
    store.revoke(CA.identifier, 5, reason="superseded", now=NOW)
    store.fails = call
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            crls.get(CA, now=NOW)
    store.fails = ""
    used = {"revocations": 2, "keep_crl": 2}.get(call, 0)
    found = crls.get(CA, now=NOW)
    assert (listed(found), found.number) == ({5}, before + used + 1)


def test_what_another_worker_made_is_read_again_when_that_has_failed() -> None:
    store = Failing()
    crls = Crls(store)
    crls.get(CA, now=NOW)
    made = Crls(store).make(CA, now=NOW)
    store.fails = "kept_crl"
    with pytest.raises(StoreUnavailable):
        crls.get(CA, now=NOW)
    store.fails = ""
    assert crls.get(CA, now=NOW) == made


def test_what_is_revoked_through_another_connection_is_on_the_next(tmp_path: Path) -> None:
    """Two processes of one database."""
    url = f"sqlite:///{tmp_path}/ca.sqlite3"
    with SqlStore(url) as store, SqlStore(url) as other:
        recorded(other, 5)
        one, two = Crls(store), Crls(other)
        first = one.get(CA, now=NOW)
        assert two.get(CA, now=NOW) == first and listed(first) == set()
        other.revoke(CA.identifier, 5, reason="superseded", now=NOW)
        second = one.get(CA, now=NOW)
        assert (listed(second), second.number) == ({5}, 2) and two.get(CA, now=NOW) == second


def test_a_process_keeps_one_crl_for_each_ca(store: Store) -> None:
    crls, other = Crls(store), authority("ed25519", label="other")
    for hour in range(5):
        for item in (CA, other):
            crls.get(item, now=NOW + hour * CRL_LIFETIME)
    assert len(crls._places) == 2


def test_what_a_crl_says(store: Store) -> None:
    """RFC 5280 sections 5.1 and 5.2: version 2, no critical extension, the CA's key identifier."""
    recorded(store, 5)
    store.revoke(CA.identifier, 5, reason="keyCompromise", now=NOW - DAY)
    der = Crls(store).get(CA, now=NOW).der
    found, asn1 = x509.load_der_x509_crl(der), second_opinion.exactly(der, rfc5280.CertificateList())
    signed = asn1["tbsCertList"]
    assert signed["version"] == 1 and signed["signature"] == asn1["signatureAlgorithm"]
    assert found.issuer.public_bytes() == CA.ca.certificate.subject.public_bytes()
    assert found.is_signature_valid(CA.ca.certificate.public_key())  # type: ignore[arg-type]
    assert (found.last_update_utc, found.next_update_utc) == (NOW, NOW + timedelta(days=7))
    ski = CA.ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    aki = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski)
    assert [(item.critical, item.value) for item in found.extensions] == [(False, x509.CRLNumber(1)), (False, aki)]
    (entry,) = found
    reason = x509.CRLReason(x509.ReasonFlags.key_compromise)
    assert (entry.serial_number, entry.revocation_date_utc) == (5, NOW - DAY)
    assert [(item.critical, item.value) for item in entry.extensions] == [(False, reason)]


def with_usages(usages: set[str]) -> Authority:
    """A CA whose certificate has this keyUsage."""
    signer = key("ed25519", "no crl")
    subject = CA.certificate.subject
    usage = x509.Extension(x509.KeyUsage.oid, True, key_usage(usages))
    contents = Contents(1, subject, subject, spki_of(signer), NOW - DAY, NOW + DAY, [usage])
    return Authority(KeyPair(signer, x509.load_der_x509_certificate(encode_certificate(contents, signer))))


@pytest.mark.parametrize("usages", [{"keyCertSign"}, {"keyCertSign", "digitalSignature"}])
def test_a_ca_without_crl_sign_signs_none(store: Store, usages: set[str]) -> None:
    """RFC 5280 section 4.2.1.3."""
    ca = with_usages(usages)
    with pytest.raises(CrlRefused, match="keyUsage lacks cRLSign"):
        Crls(store).get(ca, now=NOW)
    with pytest.raises(CrlRefused, match="keyUsage lacks cRLSign"):
        create_crl(ca, [], 1, now=NOW)
    assert store.kept_crl(ca.identifier) is None


def test_for_a_ca_without_crl_sign_nothing_is_read_or_written() -> None:
    """Else whoever asks has all revocations read, and a number written to disk."""
    watched = Watched()
    with pytest.raises(CrlRefused):
        Crls(watched).get(with_usages({"keyCertSign"}), now=NOW)
    assert watched.calls == {"crl_state": 1}
