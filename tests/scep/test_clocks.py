"""Any clock: nothing breaks, and a verdict on a time shows the limit, the time and whose clock it is (issue 11)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pkix.errors import PkixError
from pkix.times import GeneralizedTime, UTCTime, time_of
from scep.ca_certificates import CaCertificates, ReplyRefused
from scep.client import Refused, self_signed
from tests.world import NOW, Random, World, authority, kem_device, key, name

CLOCKS = [
    *(datetime.min, datetime(1949, 12, 31), datetime(1950, 1, 1), datetime(1970, 1, 1, 0, 0, 5)),
    *(datetime(2049, 12, 31, 23, 59, 59), datetime(2050, 1, 1), datetime(2051, 1, 1), datetime(9999, 12, 31, 23, 59)),
]


@pytest.fixture(params=CLOCKS, ids=lambda moment: f"{moment:%Y-%m-%d}")
def clock(request: pytest.FixtureRequest) -> datetime:
    found: datetime = request.param
    return found.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "kind"),
    [
        (datetime(1949, 12, 31, 23, 59, 59, tzinfo=UTC), GeneralizedTime),
        (datetime(1950, 1, 1, tzinfo=UTC), UTCTime),
        (datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), UTCTime),
        (datetime(2050, 1, 1, tzinfo=UTC), GeneralizedTime),
    ],
)
def test_rfc_5280_4_1_2_5_which_of_the_two_times(moment: datetime, kind: type) -> None:
    assert isinstance(time_of(moment), kind)


def test_2_3_a_self_signed_certificate_can_be_made_at_any_time(clock: datetime) -> None:
    """Who judges it is the CA, by its own clock."""
    made = self_signed(key("ec:P-256"), name("CN=device"), now=clock, random=Random("clock"))
    assert made.not_valid_after_utc - made.not_valid_before_utc == timedelta(days=31)
    if 1950 < clock.year < 9999:
        assert made.not_valid_before_utc == clock - timedelta(days=1)


def test_a_request_can_be_sent_at_any_time(clock: datetime) -> None:
    """A device whose clock is wrong, and a CA whose clock is right, which does not mind."""
    world = World()
    device = world.device(password=world.password())
    world.now = clock
    message = device.start()
    world.now = NOW
    assert not isinstance(device.enrolment.receive(world.send(message).body), Refused)


@pytest.mark.parametrize("kem", [False, True])
def test_a_ca_with_a_wrong_clock_says_what_its_clock_says(clock: datetime, kem: bool) -> None:
    world = World(current=authority("ec:P-256", kems=("ML-KEM-768",)) if kem else None)
    password = world.password()
    device = kem_device(world, password=password) if kem else world.device(password=password)
    message = device.start()
    world.now = clock
    try:
        answer = device.enrolment.receive(world.send(message).body)
    except PkixError:
        pytest.fail("a CA with a wrong clock answers nevertheless")
    assert isinstance(answer, Refused)
    assert f"the clock of this CA says {clock:%Y-%m-%d %H:%M} UTC" in (answer.text or "")
    assert "2026-11-20 12:00" in (answer.text or "") or "2036-11-18 12:00" in (answer.text or "")


def test_a_device_with_a_wrong_clock_is_told_so_before_it_sends(clock: datetime) -> None:
    world = World()
    body, _media_type = world.responder.get_ca_cert()
    with pytest.raises(ReplyRefused) as refused:
        CaCertificates.decode(body, fingerprint=None, now=clock)
    assert f"the clock of this device says {clock:%Y-%m-%d %H:%M} UTC" in refused.value.text
    assert "from 2026-11-20 12:00 to 2036-11-18 12:00" in refused.value.text
