"""What an earlier version left in its database goes on: waiting transactions, challenges, passwords, certificates."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from ca.authority import Authority, KemPair, KeyPair
from ca.sql_store import SqlStore
from ca.store import Decision, State
from pkix.certificates import Certificate
from pkix.keys import load_private_key
from pkix.names import comparable
from pkix.signed_data import Signer
from scep.client import StillPending, self_signed
from tests.scep.kem_kit import CHALLENGED, SUBJECT, challenged, issued, kem_world
from tests.world import ALL_METHODS, Device, Random, World, kem_device, kem_key, name

DATA = Path(__file__).parent / "data" / "schema-0002"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """The CA of the old database, with this version of the program."""
    path = tmp_path / "ca.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATA / "dump.sql").read_text())
    pem = (DATA / "ca.pem").read_bytes()
    root, ra = x509.load_pem_x509_certificates(pem)
    ca = Authority(KeyPair(load_private_key(pem), root), ra_kem=(KemPair(kem_key("ML-KEM-768", "RA CA")[0], ra),))
    with SqlStore(f"sqlite:///{path}") as store:
        yield World(current=ca, store=store, policy=ALL_METHODS, seed="this version")


def device(world: World, label: str) -> Device:
    """The client of one of the old transactions, which has kept its keys and its request."""
    pems = (DATA / "signers.pem").read_bytes().split(b"-----END PRIVATE KEY-----\n")
    key = load_private_key(pems[("asked", "waits").index(label)] + b"-----END PRIVATE KEY-----\n")
    certificate = self_signed(key, name(SUBJECT), now=world.now, random=Random("any"))
    password = "held password" if label == "asked" else None
    found = kem_device(
        world,
        password=password,
        label=label,
        transaction_id=label,
        signer=Signer(key, Certificate.of(certificate)),
    )
    sent = (DATA / f"{label}.der").read_bytes()
    found.enrolment._sent = sent
    found.enrolment.resume(sent)
    found.enrolment._client_nonce = found.enrolment._sender_nonce or b""
    return found


def test_a_waiting_request_is_approved_and_issued(world: World) -> None:
    client = device(world, "waits")
    assert client.poll() == StillPending()
    (waiting,) = world.store.transactions(State.AWAITING_APPROVAL)
    world.store.replace(waiting, replace(waiting, decision=Decision.APPROVED))
    issued(client.poll())


def test_a_challenged_request_gets_a_challenge_and_is_issued(world: World) -> None:
    client = device(world, "asked")
    assert client.poll() == CHALLENGED
    issued(client.poll())
    used = world.store.credential(world.server_key.identifier("held password"))
    assert used is not None
    assert used.serial is not None


def test_passwords_stay_what_they_were(world: World) -> None:
    free = challenged(world, password="free password", label="new", transaction_id="new")
    issued(free.poll())
    answer = kem_device(world, password="used password", label="other", transaction_id="other").enrol()
    assert "has been used" in str(answer)


def test_certificates_have_their_names(world: World) -> None:
    (found,) = world.store.certificates()
    assert found.name == comparable(x509.load_der_x509_certificate(found.der).subject)
    assert world.store.valid_certificates(found.name, now=world.now) == [found]
    assert found.profile == kem_world().profile.name
