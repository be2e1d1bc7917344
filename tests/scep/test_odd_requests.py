"""Large requests, requests that `cryptography.x509` cannot read or warns of, and odd times: issued or explained."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import algorithm, encode, wrap
from pkix.errors import Malformed
from scep.settings import Settings
from tests.scep import craft
from tests.scep.craft import BAD_REQUEST, failed, see
from tests.world import Device, World, name

OAEP_DEFAULT = algorithm(oids.RSAES_OAEP, b"\x30\x00")
SHA1_BARE = encode(algorithm(oids.SHA1))


def legacy_world() -> World:
    return World(settings=Settings(algorithms=AlgorithmPolicy(legacy=True)))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def device(world: World) -> Device:
    return world.device(password=world.password())


def issued_to(world: World, message: craft.Crafted | bytes) -> x509.Certificate:
    """Assert SUCCESS and return the certificate on record."""
    found = see(world, message)
    assert found.status == "0", found.fail_info_text
    (record,) = world.store.certificates()
    return x509.load_der_x509_certificate(record.der)


# Sizes


def padded_request(device: Device, password: str, size: int) -> bytes:
    """A correctly signed PKCS #10 request with an extension nobody knows, of about `size` octets."""
    oid = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")
    builder = x509.CertificateSigningRequestBuilder().subject_name(name("CN=device,O=Example"))
    builder = builder.add_attribute(x509.ObjectIdentifier("1.2.840.113549.1.9.7"), password.encode())
    builder = builder.add_extension(x509.UnrecognizedExtension(oid, wrap(0x04, bytes(size))), critical=False)
    return builder.sign(device.key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_a_request_of_nearly_64_kib_with_a_challenge_of_several_kilobytes_is_fine(world: World) -> None:
    device = world.device()
    content = padded_request(device, world.password("p" * 5000), 59_000)
    assert len(content) > 64_000
    certificate = issued_to(world, craft.request(device, content=content))
    assert len(certificate.public_bytes(Encoding.DER)) < 2000


def test_a_request_of_nearly_64_kib_in_ber_is_fine(world: World) -> None:
    device = world.device()
    content = padded_request(device, world.password("p" * 5000), 59_000)
    sealed = craft.indefinite(craft.envelope(world.authority, content))
    issued_to(world, craft.indefinite(craft.request(device, message=sealed).encode()))


@pytest.mark.parametrize("kind", [19, 21, 22])
def test_a_larger_one_is_refused_before_it_is_decrypted(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    """What anybody can see, so the text is clear whatever the type of message."""
    monkeypatch.setattr("pkix.enveloped_data.open_content", None)
    message = craft.request(world.device(), kind, content=bytes(64 * 1024 + 1))
    failed(world, message, BAD_REQUEST, "encryptedContent of 65537 octets; at most 65536 are accepted")


@pytest.mark.parametrize("kind", [19, 20, 21, 22])
def test_an_envelope_with_much_beside_its_content_is_not_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    monkeypatch.setattr("scep.responder.attempt", None)
    monkeypatch.setattr("scep.responder.inspect", None)
    message = craft.request(world.device(), kind, message=bytes(128 * 1024 + 1))
    failed(world, message, BAD_REQUEST, "pkcsPKIEnvelope of 131073 octets; at most 131072 are accepted")


def test_the_limit_is_a_setting() -> None:
    world = World(settings=Settings(max_request=1000))
    device = world.device(password=world.password())
    issued_to(world, craft.request(device))
    failed(world, craft.request(device, content=bytes(1001)), BAD_REQUEST, "at most 1000 are accepted")


def test_a_request_with_a_thousand_names_is_fine(world: World) -> None:
    names = x509.SubjectAlternativeName([x509.DNSName(f"host{number}.example") for number in range(1000)])
    wanted = x509.Extension(names.oid, False, names)
    device = world.device(password=world.password(), extensions=[wanted])
    certificate = issued_to(world, device.start())
    assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName) == wanted


@pytest.mark.parametrize("count", [57, 59])
def test_many_signed_attributes_are_fine_and_too_many_are_not(world: World, device: Device, count: int) -> None:
    more = {oids.Oid(f"1.3.6.1.4.1.99999.{number}"): [b"\x05\x00"] for number in range(count)}
    message = craft.request(device, attributes=craft.header() | more)
    if count == 57:
        issued_to(world, message)
    else:
        with pytest.raises(Malformed, match="more than 64 signed attributes"):
            world.send(message.encode())


def test_unsigned_attributes_are_ignored(world: World, device: Device) -> None:
    attribute = wrap(0x30, encode(oids.Oid("1.3.6.1.4.1.99999.1")) + wrap(0x31, b"\x05\x00"))
    issued_to(world, craft.request(device, unsigned=wrap(0xA1, attribute)))


# Requests that `cryptography.x509` cannot read: explained, never an exception


def odd_request(
    world: World, device: Device, *, attributes: tuple[bytes, ...] = (), sort: bool = True, **parts: bytes
) -> craft.Crafted:
    password = wrap(0x30, encode(oids.CHALLENGE_PASSWORD) + wrap(0x31, wrap(0x0C, world.password().encode())))
    every = (*attributes, password)
    parts["attributes"] = b"".join(sorted(every) if sort else sorted(every, reverse=True))
    content = craft.signed_pkcs10(device.key, craft.request_info(device, **parts))  # type: ignore[arg-type]
    return craft.request(device, content=content)


def refused(world: World, message: craft.Crafted) -> str:
    found = see(world, message)
    assert (found.status, found.fail_info) == ("2", BAD_REQUEST)
    assert found.fail_info_text
    assert len(found.fail_info_text.splitlines()) == 1
    assert not world.store.certificates()
    return found.fail_info_text


@pytest.mark.parametrize("version", [encode(3), encode(-1), encode(2**64)], ids=["3", "-1", "huge"])
def test_a_pkcs10_of_another_version_is_refused(world: World, version: bytes) -> None:
    assert "version" in refused(world, odd_request(world, world.device(), version=version))


def common_name(tag: int, octets: bytes) -> bytes:
    attribute = wrap(0x30, encode(oids.Oid("2.5.4.3")) + wrap(tag, octets))
    return wrap(0x30, wrap(0x31, attribute))


@pytest.mark.parametrize(
    "subject",
    [common_name(0x0C, b"\xff"), common_name(0x04, b"x"), common_name(0x13, b"a@b"), b"\x30\x02\x31\x00"],
    ids=["not UTF-8", "OCTET STRING", "not printable", "empty RDN"],
)
def test_an_unusable_subject_is_refused_or_issued_but_never_an_exception(world: World, subject: bytes) -> None:
    found = see(world, odd_request(world, world.device(), subject=subject))
    assert found.status in ("0", "2")
    assert found.fail_info in (None, BAD_REQUEST)


@pytest.mark.parametrize("size", [0, 65, 3000])
def test_a_common_name_of_unusual_length_is_issued_or_explained_without_a_warning(world: World, size: int) -> None:
    """RFC 5280 allows 1 to 64 characters. `cryptography` warns, which is the library talking to us about a peer."""
    found = see(world, odd_request(world, world.device(), subject=common_name(0x0C, b"x" * size)))
    assert found.status in ("0", "2")


@pytest.mark.parametrize("subject", [common_name(0x14, b"T\xe9l\xe9tex"), common_name(0x1E, "BMP".encode("utf-16-be"))])
def test_old_string_types_in_a_subject_are_issued_or_explained(world: World, subject: bytes) -> None:
    found = see(world, odd_request(world, world.device(), subject=subject))
    assert found.status == "0" or (found.fail_info_text or "").endswith("TeletexString beyond ASCII; use UTF8String")


def extension_request(*extensions: bytes) -> bytes:
    return wrap(0x30, encode(oids.EXTENSION_REQUEST) + wrap(0x31, wrap(0x30, b"".join(extensions))))


def extension(oid: str, value: bytes) -> bytes:
    return wrap(0x30, encode(oids.Oid(oid)) + wrap(0x04, value))


SAN = "2.5.29.17"
ODD_EXTENSIONS = {
    "twice": [extension(SAN, wrap(0x30, wrap(0x82, b"a"))), extension(SAN, wrap(0x30, wrap(0x82, b"b")))],
    "SAN is no SEQUENCE": [extension(SAN, b"\x05\x00")],
    "x400Address": [extension(SAN, wrap(0x30, wrap(0xA3, b"\x30\x00")))],
    "dNSName not ASCII": [extension(SAN, wrap(0x30, wrap(0x82, b"\xff")))],
    "iPAddress of 3 octets": [extension(SAN, wrap(0x30, wrap(0x87, b"abc")))],
    "registeredID": [extension(SAN, wrap(0x30, wrap(0x88, b"\x2a\x03")))],
    "otherName of nobody": [extension(SAN, wrap(0x30, wrap(0xA0, b"\x06\x02\x2a\x03\xa0\x02\x05\x00")))],
    "Microsoft SID twice": [extension("1.3.6.1.4.1.311.25.2", b"\x30\x00")] * 2,
}


@pytest.mark.parametrize("extensions", ODD_EXTENSIONS.values(), ids=ODD_EXTENSIONS.keys())
def test_unusable_requested_extensions_are_refused(world: World, extensions: list[bytes]) -> None:
    refused(world, odd_request(world, world.device(), attributes=(extension_request(*extensions),)))


def test_an_empty_subject_alt_name_is_refused(world: World) -> None:
    """RFC 5280 section 4.2.1.6: if there is the extension, there is at least one name."""
    attribute = extension_request(extension(SAN, b"\x30\x00"))
    refused(world, odd_request(world, world.device(), attributes=(attribute,)))


def test_attributes_of_a_pkcs10_in_odd_order_are_understood(world: World) -> None:
    """`pkix.pkcs10` takes them in any order, as signed attributes are; `cryptography.x509` does not."""
    value = x509.SubjectAlternativeName([x509.DNSName("host.example")]).public_bytes()
    attribute = extension_request(extension(SAN, value))
    issued_to(world, odd_request(world, world.device(), attributes=(attribute,), sort=False))


@pytest.mark.parametrize("values", [b"", wrap(0x30, b"") * 2, b"\x05\x00"], ids=["none", "two", "NULL"])
def test_an_unusable_extension_request_is_refused(world: World, values: bytes) -> None:
    attribute = wrap(0x30, encode(oids.EXTENSION_REQUEST) + wrap(0x31, values))
    refused(world, odd_request(world, world.device(), attributes=(attribute,)))


def test_too_many_attributes_of_a_pkcs10_are_refused(world: World) -> None:
    attribute = wrap(0x30, encode(oids.Oid("1.3.6.1.4.1.99999.1")) + wrap(0x31, b"\x05\x00"))
    assert "more than 64" in refused(world, odd_request(world, world.device(), attributes=(attribute,) * 64))


SIGNING_TIMES = {
    "no time": wrap(0x17, b"not a time!"),
    "with an offset": wrap(0x17, b"260101000000+0000"),
    "with a fraction": wrap(0x18, b"20260101000000.5Z"),
    "NULL": b"\x05\x00",
}


@pytest.mark.parametrize("value", SIGNING_TIMES.values(), ids=SIGNING_TIMES.keys())
def test_by_default_nobody_looks_at_signing_time(world: World, device: Device, value: bytes) -> None:
    """A client with a bad clock may also write it badly; without max_clock_skew it is not read."""
    whole = craft.request(device)
    digest = craft.hash_of(whole.digest, whole.content or b"")
    cms = {
        oids.CONTENT_TYPE: [encode(oids.DATA)],
        oids.MESSAGE_DIGEST: [wrap(0x04, digest)],
        oids.SIGNING_TIME: [value],
    }
    issued_to(world, craft.request(device, message=whole.content, cms=cms))


def test_a_signing_time_that_cannot_be_read_is_refused_where_it_is_minded() -> None:
    world = World(settings=Settings(max_clock_skew=timedelta(minutes=10)))
    device = world.device(password=world.password())
    whole = craft.request(device)
    cms = {
        oids.CONTENT_TYPE: [encode(oids.DATA)],
        oids.MESSAGE_DIGEST: [wrap(0x04, craft.hash_of(whole.digest, whole.content or b""))],
        oids.SIGNING_TIME: [b"\x05\x00"],
    }
    failed(world, craft.request(device, message=whole.content, cms=cms), BAD_REQUEST, "signingTime")


@pytest.mark.parametrize("text", [b"20261121120000Z", b"20261121120959Z"])
def test_certmonger_writes_signing_time_as_generalized_time(text: bytes) -> None:
    world = World(settings=Settings(max_clock_skew=timedelta(minutes=10)))
    device = world.device(password=world.password())
    whole = craft.request(device)
    cms = {
        oids.CONTENT_TYPE: [encode(oids.DATA)],
        oids.MESSAGE_DIGEST: [wrap(0x04, craft.hash_of(whole.digest, whole.content or b""))],
        oids.SIGNING_TIME: [wrap(0x18, text)],
    }
    issued_to(world, craft.request(device, message=whole.content, cms=cms))


def test_answers_after_2049_are_dated_with_generalized_time() -> None:
    """RFC 5652 section 11.3."""
    world = World()
    device = world.device()
    message = device.start()
    world.tick(timedelta(days=365 * 25))
    signing_time = see(world, message).value(oids.SIGNING_TIME.dotted_string)
    assert signing_time is not None
    assert signing_time[0] == 0x18
