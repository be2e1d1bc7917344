"""A renewal adds no usage, as it adds no name (`ca.renewal`): only profiles that copy usages let requests choose."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca.profiles import Profile, extension
from pkix.usages import key_usage, usage_names
from scep.client import Issued, Refused
from tests.world import Device, World

BOTH = ("keyUsage", "extendedKeyUsage")
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
CHOOSING = Profile(copy_extensions=BOTH, extended_key_usage=("clientAuth", "serverAuth"))


def purposes(*found: x509.ObjectIdentifier) -> x509.Extension[x509.ExtensionType]:
    return extension(x509.ExtendedKeyUsage(found))


def bits(*names: str) -> x509.Extension[x509.ExtensionType]:
    return extension(key_usage(names), critical=True)


def enrolled(profile: Profile, kind: str = "rsa:2048", **more: Any) -> tuple[Device, Issued]:
    world = World(profile=profile)
    device = world.device(kind, password=world.password(), **more)
    answer = device.enrol()
    assert isinstance(answer, Issued)
    return device, answer


def usages(answer: object) -> tuple[set[str], set[x509.ObjectIdentifier]]:
    assert isinstance(answer, Issued), answer
    found = x509.load_der_x509_certificate(answer.certificate).extensions
    return set(usage_names(found) or ()), set(found.get_extension_for_class(x509.ExtendedKeyUsage).value)


@pytest.mark.parametrize(
    ("had", "asked", "text"),
    [
        (purposes(CLIENT), purposes(CLIENT, SERVER), "the extendedKeyUsage serverAuth (1.3.6.1.5.5.7.3.1)"),
        (purposes(SERVER), purposes(CLIENT), "the extendedKeyUsage clientAuth (1.3.6.1.5.5.7.3.2)"),
        (bits("digitalSignature"), bits("digitalSignature", "keyEncipherment"), "the keyUsage keyEncipherment"),
        (bits("keyEncipherment"), bits("digitalSignature"), "the keyUsage digitalSignature"),
    ],
)
def test_a_renewal_adds_no_usage(
    had: x509.Extension[x509.ExtensionType], asked: x509.Extension[x509.ExtensionType], text: str
) -> None:
    device, issued = enrolled(CHOOSING, extensions=[had])
    answer = device.renewal(issued, extensions=[asked]).enrol()
    assert isinstance(answer, Refused)
    assert answer.text == f"the request asks for {text}, which the certificate to renew does not have"


def test_a_renewal_may_keep_usages_and_may_have_fewer() -> None:
    device, issued = enrolled(CHOOSING)
    assert usages(issued) == ({"digitalSignature", "keyEncipherment"}, {CLIENT, SERVER})
    fewer = device.renewal(issued, extensions=[purposes(SERVER), bits("digitalSignature")]).enrol()
    assert usages(fewer) == ({"digitalSignature"}, {SERVER})


def test_who_was_given_fewer_gets_no_more_by_asking_for_nothing() -> None:
    device, issued = enrolled(CHOOSING, extensions=[purposes(CLIENT), bits("digitalSignature")])
    assert usages(device.renewal(issued).enrol()) == ({"digitalSignature"}, {CLIENT})


def test_what_a_profile_gives_to_all_it_gives_to_renewals() -> None:
    """It copies no usage, so nobody has chosen."""
    device, issued = enrolled(Profile(copy_extensions=()))
    world = World(profile=Profile(copy_extensions=(), extended_key_usage=("serverAuth",)), store=device.world.store)
    device.world = world
    answer = device.renewal(issued, extensions=[purposes(CLIENT), bits("digitalSignature")]).enrol()
    assert usages(answer) == ({"digitalSignature", "keyEncipherment"}, {SERVER})


def test_what_the_profile_gives_no_more_is_not_kept() -> None:
    device, issued = enrolled(CHOOSING)
    less = Profile(copy_extensions=BOTH, key_usage=("digitalSignature",), extended_key_usage=("serverAuth",))
    device.world = World(profile=less, store=device.world.store)
    assert usages(device.renewal(issued).enrol()) == ({"digitalSignature"}, {SERVER})


def test_nothing_in_common_with_the_profile_gets_what_the_profile_gives() -> None:
    device, issued = enrolled(CHOOSING, extensions=[purposes(CLIENT), bits("keyEncipherment")])
    other = Profile(copy_extensions=BOTH, key_usage=("digitalSignature",), extended_key_usage=("serverAuth",))
    device.world = World(profile=other, store=device.world.store)
    assert usages(device.renewal(issued).enrol()) == ({"digitalSignature"}, {SERVER})


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("ec:P-256", "rsa:2048", {"digitalSignature", "keyEncipherment"}),
        ("rsa:2048", "ec:P-256", {"digitalSignature"}),
    ],
)
@pytest.mark.parametrize("asks", [True, False])
def test_a_key_of_another_kind_may_have_what_the_old_one_could_not(
    old: str, new: str, expected: set[str], asks: bool
) -> None:
    device, issued = enrolled(Profile(copy_extensions=("keyUsage",)), old)
    wanted = [bits(*expected)] if asks else []
    answer = device.renewal(issued, new, password="any words", extensions=wanted).enrol()
    assert usages(answer)[0] == expected


def test_any_purpose_covers_all() -> None:
    profile = Profile(copy_extensions=BOTH, extended_key_usage=("clientAuth", "serverAuth", ANY.dotted_string))
    device, issued = enrolled(profile, extensions=[purposes(ANY)])
    assert usages(device.renewal(issued, extensions=[purposes(SERVER)]).enrol())[1] == {SERVER}


def test_a_certificate_without_purposes_covers_all() -> None:
    device, issued = enrolled(Profile(copy_extensions=BOTH, extended_key_usage=()))
    device.world = World(profile=CHOOSING, store=device.world.store)
    assert usages(device.renewal(issued, extensions=[purposes(SERVER)]).enrol())[1] == {SERVER}
