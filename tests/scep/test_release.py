"""SCEP under a method that has to hear of a certificate before that counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from cryptography import x509

from ca.applications import Application
from ca.authorisation import Approved, Authoriser, Once, Told
from ca.store import IssuedCertificate, State
from scep.client import Issued, StillPending
from tests.scep import craft
from tests.world import World, authority


class Reporting(Once):
    """Approves everything, and is told of it when it can be reached."""

    name, reports, reachable = "reporting", True, False

    def decide(self, application: Application, *, now: datetime) -> Approved:
        return Approved(self.name)

    def issued(self, application: Application, certificate: IssuedCertificate) -> Told:
        return Told.RELEASED if self.reachable else Told.LATER


def test_pending_until_the_authority_has_heard_of_the_certificate() -> None:
    method = Reporting()
    world = World(current=authority("rsa:2048"))
    authoriser = Authoriser([method])
    world.responder._enrolments = replace(world.responder._enrolments, authoriser=authoriser)
    device = world.device()
    assert device.enrol() == StillPending()
    (waiting,) = world.store.transactions()
    assert waiting.state is State.AWAITING_RELEASE and waiting.serial is not None
    assert device.poll() == StillPending()
    record = world.store.certificate(waiting.authority, waiting.serial)
    assert record is not None
    asked = craft.issuer_and_serial(x509.load_der_x509_certificate(record.der))
    query = craft.request(world.device(label="asks", transaction_id="2"), 21, asked)
    craft.failed(world, query, craft.BAD_CERT_ID, "no certificate of this CA")
    method.reachable = True
    issued = device.poll()
    assert isinstance(issued, Issued) and issued.certificate == record.der
    assert [item.serial for item in world.store.certificates()] == [waiting.serial]
    assert craft.see(world, query).status == "0"
