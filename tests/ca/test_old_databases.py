"""What an earlier version left in its database goes on: waiting transactions, challenges, passwords, certificates."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography import x509

from ca.authority import Authority, KemPair, KeyPair
from ca.crl import Crls
from ca.kept_crls import CrlState
from ca.sql_store import SqlStore
from ca.store import Decision, State
from pkix.certificates import Certificate
from pkix.keys import load_private_key
from pkix.names import comparable
from pkix.pkcs10 import encode_certification_request
from pkix.signed_data import Signer
from scep.attributes import FailInfo
from scep.client import StillPending, self_signed
from tests.scep.kem_kit import (
    CHALLENGED,
    SUBJECT,
    challenged,
    classic_settings,
    confirmation,
    flipped,
    issued,
    kem_world,
    refused,
)
from tests.world import ALL_METHODS, Device, Random, World, kem_device, kem_key, name

DATA = Path(__file__).parent / "data"
# Which keys a folder's signers.pem has, in this order; the first two have ML-KEM requests.
LABELS = ("asked", "waits", "classic", "rejected")


@dataclass
class Old:
    """A CA of an earlier version with this version of the program. folder: what that version left."""

    folder: Path
    world: World


@pytest.fixture(params=["schema-0002", "schema-0003", "schema-0004"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Old]:
    """All."""
    with opened(request.param, tmp_path) as found:
        yield found


@pytest.fixture
def former(tmp_path: Path) -> Iterator[Old]:
    """The last version that knew nothing of other protocols."""
    with opened("schema-0003", tmp_path) as found:
        yield found


@contextmanager
def opened(schema: str, tmp_path: Path) -> Iterator[Old]:
    folder, path = DATA / schema, tmp_path / "ca.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((folder / "dump.sql").read_text())
    pem = (folder / "ca.pem").read_bytes()
    root, ra = x509.load_pem_x509_certificates(pem)
    ca = Authority(KeyPair(load_private_key(pem), root), ra_kem=(KemPair(kem_key("ML-KEM-768", "RA CA")[0], ra),))
    with SqlStore(f"sqlite:///{path}") as store:
        yield Old(folder, World(current=ca, store=store, policy=ALL_METHODS, seed="this version"))


def device(old: Old, label: str) -> Device:
    """The client of one of the old transactions, which has kept its keys and its request."""
    pems = (old.folder / "signers.pem").read_bytes().split(b"-----END PRIVATE KEY-----\n")
    key = load_private_key(pems[LABELS.index(label)] + b"-----END PRIVATE KEY-----\n")
    subject = SUBJECT if label in LABELS[:2] else f"CN={label},O=Example"
    signer = Signer(key, Certificate.of(self_signed(key, name(subject), now=old.world.now, random=Random("any"))))
    if label in LABELS[:2]:
        password = "held password" if label == "asked" else None
        found = kem_device(old.world, password=password, label=label, transaction_id=label, signer=signer)
    else:
        request = encode_certification_request(key, name(subject))
        found = old.world.device(transaction_id=label, signer=signer, request=request, settings=classic_settings())
    sent = (old.folder / f"{label}.der").read_bytes()
    found.enrolment._sent = sent
    found.enrolment.resume(sent)
    found.enrolment._client_nonce = found.enrolment._sender_nonce or b""
    return found


def test_a_waiting_request_is_approved_and_issued(old: Old) -> None:
    world = old.world
    client = device(old, "waits")
    assert client.poll() == StillPending()
    (waiting,) = (item for item in world.store.transactions(State.AWAITING_APPROVAL) if item.subject == SUBJECT)
    world.store.replace(waiting, replace(waiting, decision=Decision.APPROVED))
    issued(client.poll())


def test_a_challenged_request_gets_a_challenge_and_is_issued(old: Old) -> None:
    world = old.world
    client = device(old, "asked")
    assert client.poll() == CHALLENGED
    issued(client.poll())
    used = world.store.credential(world.server_key.identifier("held password"))
    assert used is not None
    assert used.serial is not None


def test_passwords_stay_what_they_were(old: Old) -> None:
    world = old.world
    free = challenged(world, password="free password", label="new", transaction_id="new")
    issued(free.poll())
    answer = kem_device(world, password="used password", label="other", transaction_id="other").enrol()
    assert "has been used" in str(answer)


def test_certificates_have_their_names(old: Old) -> None:
    world = old.world
    found = world.store.certificates()[-1]
    assert found.name == comparable(x509.load_der_x509_certificate(found.der).subject)
    assert world.store.valid_certificates(found.name, now=world.now) == [found]
    assert found.profile == kem_world().profile.name


def test_the_challenge_that_an_earlier_version_sent_can_be_confirmed(former: Old) -> None:
    client = device(former, "asked")
    assert client.enrolment.receive((former.folder / "asked-answer.der").read_bytes()) == CHALLENGED
    issued(client.poll())
    used = former.world.store.credential(former.world.server_key.identifier("held password"))
    assert used is not None and used.serial is not None


def test_a_wrong_confirmation_of_it_ends_it(former: Old) -> None:
    client = device(former, "asked")
    client.enrolment.receive((former.folder / "asked-answer.der").read_bytes())
    client.enrolment._confirm = flipped(confirmation(client), -1)
    refused(client.poll(), FailInfo.badMessageCheck, "the proof of possession is wrong")
    assert not former.world.store.transactions(State.CHALLENGED)


def test_a_copy_of_its_request_gets_the_answer_it_had(former: Old) -> None:
    world = former.world
    answer = world.send((former.folder / "asked.der").read_bytes()).body
    assert answer == (former.folder / "asked-answer.der").read_bytes()


def test_a_copy_of_its_request_leaves_the_challenge_after_it_alone(former: Old) -> None:
    world = former.world
    client = device(former, "asked")
    client.enrolment.receive((former.folder / "asked-answer.der").read_bytes())
    client.enrolment._confirm = flipped(confirmation(client), -1)
    refused(client.poll(), FailInfo.badMessageCheck)
    assert client.enrol() == CHALLENGED
    world.send((former.folder / "asked.der").read_bytes())
    issued(client.poll())


def test_a_challenge_of_then_is_nothing_to_another_transaction(former: Old) -> None:
    """What was kept then was not bound to its transaction; what is kept today is."""
    store, world = former.world.store, former.world
    (asked,) = store.transactions(State.CHALLENGED)
    other = challenged(world, label="other", transaction_id="other")
    (mine,) = (item for item in store.transactions(State.CHALLENGED) if item.key.transaction_id == "other")
    store.replace(asked, replace(asked, secret_id=mine.secret_id))
    client = device(former, "asked")
    client.enrolment.receive((former.folder / "asked-answer.der").read_bytes())
    refused(client.poll(), text="the server's key was replaced since the challenge")
    assert other.poll() == StillPending()  # its secret is gone: somebody took it


def test_a_classic_request_that_waits_is_approved_and_issued(former: Old) -> None:
    client = device(former, "classic")
    assert client.poll() == StillPending()
    store = former.world.store
    (waiting,) = (item for item in store.transactions(State.AWAITING_APPROVAL) if "classic" in item.subject)
    store.replace(waiting, replace(waiting, decision=Decision.APPROVED))
    issued(client.poll())


def test_a_copy_of_a_request_that_was_rejected_then_does_not_queue_it_again(former: Old) -> None:
    message = (former.folder / "rejected.der").read_bytes()
    client = device(former, "rejected")
    refused(client.enrolment.receive(former.world.send(message).body), text="unknown device")
    assert not [item for item in former.world.store.transactions(State.AWAITING_APPROVAL) if "rejected" in item.subject]


def test_where_an_old_request_came_from_is_not_known(old: Old) -> None:
    """Schema 6 has the client's address."""
    assert {item.client for item in old.world.store.transactions()} == {None}


def test_what_was_revoked_then_is_on_the_next_crl_whose_number_goes_on(tmp_path: Path) -> None:
    """Schema 0004 kept no CRL and counted no revocations."""
    with opened("schema-0004", tmp_path) as old:
        store, authority = old.world.store, old.world.authority
        assert store.crl_state(authority.identifier) == CrlState(revision=1, number=0)
        crl = Crls(store).get(authority, now=old.world.now)
        (gone,) = (item for item in store.certificates() if item.revoked_at)
        (entry,) = x509.load_der_x509_crl(crl.der)
        assert entry.serial_number == gone.serial and crl.number == 2
        assert store.crl_state(authority.identifier) == CrlState(revision=1, number=2)
