"""Nothing is issued while the CA's certificate, or that of who signs its answers, is not valid (RFC 5280 section 6.1).

A clock that is wrong must neither make certificates that end before they begin, nor use up passwords.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509

from ca.authority import create_authority, preview
from ca.lapses import lapses
from ca.profiles import Profile, extension
from ca.store import Decision
from scep.attributes import PkiStatus
from scep.client import Issued, StillPending
from scep.messages import PkiMessage
from tests.world import ALL_METHODS, NOW, Device, Random, World, authority, key, name

SECOND = timedelta(seconds=1)


def refusal(world: World, device: Device) -> str:
    """The failInfoText of the answer, which may be signed by a certificate that no client believes."""
    return PkiMessage.decode(world.send(device.start()).body).fail_info_text or ""


def used(world: World, password: str) -> bool:
    found = world.store.credential(world.server_key.identifier(password))
    assert found is not None
    return found.serial is not None or found.holder is not None


def bounds(made: x509.Certificate) -> tuple[datetime, datetime]:
    return made.not_valid_before_utc, made.not_valid_after_utc


@pytest.mark.parametrize("ra_key_type", [None, "ec:P-256"])
@pytest.mark.parametrize(
    ("side", "away", "expected"),
    [(0, -SECOND, "is not valid yet"), (0, 0 * SECOND, ""), (1, 0 * SECOND, ""), (1, SECOND, "has expired")],
)
def test_a_ca_certificate_that_is_not_valid_issues_nothing_and_keeps_the_password(
    side: int, away: timedelta, expected: str, ra_key_type: str | None
) -> None:
    world = World(ra_key_type=ra_key_type)
    password = world.password(ttl=None)
    device = world.device(password=password)
    world.now = bounds(world.authority.ca.certificate)[side] + away
    if ra_key_type is not None and side:
        world.now = bounds(world.authority.ra_signer.certificate)[1] + away  # type: ignore[union-attr]
    assert expected in refusal(world, device)
    assert bool(world.store.certificates()) is used(world, password) is (not expected)
    for record in world.store.certificates():
        assert record.not_before <= world.now <= record.not_after


def test_lapses_names_each_certificate() -> None:
    begin = NOW - timedelta(days=1825) - SECOND
    made = create_authority(
        name("CN=CA"), "ec:P-256", ra_key_type="ec:P-256", now=begin, random=Random("ra"), generate_key=key
    )
    assert lapses(made, now=NOW) == [
        "the RA signer certificate has expired on 2026-11-21; `ca renew-ra` renews it",
        "the RA decryption certificate has expired on 2026-11-21; `ca renew-ra` renews it",
    ]


def test_an_approved_request_outlives_a_wrong_clock() -> None:
    world = World(policy=ALL_METHODS)
    device = world.device()
    assert isinstance(device.enrol(), StillPending)
    world.decide(Decision.APPROVED)
    right, world.now = world.now, bounds(world.authority.ca.certificate)[0] - SECOND
    answer = PkiMessage.decode(world.send(device.enrolment.poll(now=right)).body)
    assert answer.pki_status is PkiStatus.PENDING
    world.now = right
    assert isinstance(device.poll(), Issued)


@pytest.mark.parametrize(
    ("days", "said"),
    [(-1, "is not valid before"), (0, None), (3589, None), (3591, "expires on"), (3651, "has expired")],
)
def test_lapses_warn_in_time(days: int, said: str | None) -> None:
    # The CA's begins a day before it was made.
    found = lapses(authority(), now=NOW + timedelta(days=days) - SECOND)
    assert ([] if said is None else [said]) == [word for line in found for word in [said or line] if word in line]


def test_a_preview_is_what_is_issued_but_for_serial_and_signature() -> None:
    extensions = [extension(x509.SubjectAlternativeName([x509.DNSName("device.example")]))]
    profile = Profile(crl_urls=("http://crl.example/",), issuer_urls=("http://ca.example/",))
    world = World(profile=profile)
    device = world.device(password=world.password(), extensions=extensions)
    shown = preview(world.authority, profile, device.request, now=world.now)
    outcome = device.enrol()
    assert isinstance(outcome, Issued)
    made = x509.load_der_x509_certificate(outcome.certificate)
    assert (shown.subject, shown.issuer, bounds(shown)) == (made.subject, made.issuer, bounds(made))
    assert list(shown.extensions) == list(made.extensions)
    assert shown.serial_number == 1 and shown.signature_algorithm_oid != made.signature_algorithm_oid
    assert shown == preview(world.authority, profile, device.request, now=world.now)
