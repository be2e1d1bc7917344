"""Nobody is certified under the CA's or an RA's name, or with a Microsoft SID that is not one."""

from __future__ import annotations

import pytest
from cryptography import x509

from ca.methods import AuthorisationPolicy
from ca.profiles import Profile, extension
from pkix.asn1 import encode, wrap
from pkix.oids import Oid
from pkix.pkcs10 import CertificationRequest, encode_certification_request
from tests.scep import craft
from tests.scep.craft import BAD_REQUEST, failed, see
from tests.scep.kem_kit import kem_world
from tests.world import World, authority, key, name

TAKEN = "the requested subject is a name of this CA"
SID = "S-1-5-21-1-2-3-1105"
SID_OID = x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2")


def asked(world: World, subject: str) -> craft.Crafted:
    request = encode_certification_request(key("rsa:2048"), name(subject), challenge_password=world.password(subject))
    return craft.request(world.device(), content=request)


@pytest.mark.parametrize("subject", ["CN=CA,O=Example", "CN=ca,O=EXAMPLE", "CN=CA\\ ,O=\\ exAMPLE", "CN=Ca,O=example"])
def test_the_name_of_the_ca_is_taken_in_every_spelling(subject: str) -> None:
    failed(World(), asked(World(), subject), BAD_REQUEST, TAKEN)


@pytest.mark.parametrize("subject", ["CN=CA RA signer", "CN=ca ra decryption", "CN=CA RA ML-KEM-768"])
def test_so_are_the_names_of_the_ras(subject: str) -> None:
    world = kem_world("rsa:2048", "ec:P-256", rsa=True)
    failed(world, asked(world, subject), BAD_REQUEST, TAKEN)


def test_so_is_the_name_of_every_generation() -> None:
    world = World(previous=(authority(label="Old"),), next_authority=authority(label="New"))
    for subject in ("CN=old,O=Example", "CN=New,O=Example"):
        failed(world, asked(world, subject), BAD_REQUEST, TAKEN)


@pytest.mark.parametrize("directory_name", ["CN=ca,O=EXAMPLE", "CN=Other"])
def test_so_is_it_as_a_directory_name(directory_name: str) -> None:
    world = World(profile=Profile(san_types=("dn",)))
    extensions = [extension(x509.SubjectAlternativeName([x509.DirectoryName(name(directory_name))]))]
    request = encode_certification_request(
        key("rsa:2048"), name("CN=pc"), challenge_password=world.password(), extensions=extensions
    )
    found = see(world, craft.request(world.device(), content=request))
    assert (found.status, found.fail_info_text) == (("0", None) if directory_name == "CN=Other" else ("2", TAKEN))


def test_others_are_free() -> None:
    world = World()
    assert see(world, asked(world, "CN=CA 2,O=Example")).status == "0"


# Microsoft's security identifier


def with_sid(*extensions: x509.Extension[x509.ExtensionType], profile: Profile | None = None) -> tuple[World, bytes]:
    world = World(profile=profile)
    request = encode_certification_request(
        key("rsa:2048"), name("CN=pc"), challenge_password=world.password(), extensions=list(extensions)
    )
    return world, craft.request(world.device(), content=request).encode()


def raw(value: bytes, *, critical: bool = False) -> x509.Extension[x509.ExtensionType]:
    return x509.Extension(SID_OID, critical, x509.UnrecognizedExtension(SID_OID, value))


def other_name(sid: bytes, kind: str = "1.3.6.1.4.1.311.25.2.1", tag: int = 0x04) -> bytes:
    return wrap(0xA0, encode(Oid(kind)) + wrap(0xA0, wrap(tag, sid)))


ODD = {
    "critical": raw(wrap(0x30, other_name(SID.encode())), critical=True),
    "octets": raw(b"0\x82\x00\x00"),
    "empty": raw(b"\x30\x00"),
    "NULL": raw(b"\x05\x00"),
    "two": raw(wrap(0x30, other_name(SID.encode()) * 2)),
    "another type": raw(wrap(0x30, other_name(SID.encode(), "1.3.6.1.4.1.311.20.2.3"))),
    "UTF8String": raw(wrap(0x30, other_name(SID.encode(), tag=0x0C))),
    "no SID": raw(wrap(0x30, other_name(b"Administrator"))),
    "revision 2": raw(wrap(0x30, other_name(b"S-2-5-21-1"))),
    "no sub-authority": raw(wrap(0x30, other_name(b"S-1-5"))),
    "16 sub-authorities": raw(wrap(0x30, other_name(b"S-1-5" + b"-1" * 16))),
    "a line end": raw(wrap(0x30, other_name(SID.encode() + b"\n"))),
    "leading zero": raw(wrap(0x30, other_name(b"S-1-05-21"))),
}


@pytest.mark.parametrize("extension", ODD.values(), ids=ODD.keys())
def test_what_is_no_sid_is_refused(extension: x509.Extension[x509.ExtensionType]) -> None:
    world, message = with_sid(extension)
    failed(world, message, BAD_REQUEST, "Microsoft SID")
    assert not world.store.certificates()


def test_what_is_no_sid_is_refused_before_anybody_is_asked_to_approve_it() -> None:
    world = World(policy=AuthorisationPolicy(manual=True))
    request = encode_certification_request(key("rsa:2048"), name("CN=pc"), extensions=[ODD["no SID"]])
    failed(world, craft.request(world.device(), content=request), BAD_REQUEST, "Microsoft SID")
    assert not world.store.transactions()


def uris(*values: str) -> x509.Extension[x509.ExtensionType]:
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(value) for value in values])
    return x509.Extension(names.oid, False, names)


URI, OTHER = f"tag:microsoft.com,2022-09-14:sid:{SID}", "tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-500"
SEVERAL = {
    "extension and URI": [craft.microsoft_sid(SID), uris(OTHER)],
    "in another spelling": [craft.microsoft_sid(SID), uris(OTHER.replace("microsoft", "Microsoft"))],
    "of another date": [craft.microsoft_sid(SID), uris(OTHER.replace("2022-09-14", "2023"))],
    "two URIs": [uris(URI, OTHER)],
}


@pytest.mark.parametrize("extensions", SEVERAL.values(), ids=SEVERAL.keys())
def test_a_request_names_one_windows_account(extensions: list[x509.Extension[x509.ExtensionType]]) -> None:
    """Which of two Windows goes by, nobody here knows."""
    world, message = with_sid(*extensions)
    failed(world, message, BAD_REQUEST, "more than one account")
    assert not world.store.certificates()


def test_one_account_may_be_named_twice() -> None:
    world, message = with_sid(craft.microsoft_sid(SID), uris(URI))
    assert see(world, message).status == "0"


@pytest.mark.parametrize("value", ["", "S-1-5", "Administrator", SID + "%00", SID + "/x"])
def test_a_uri_of_microsoft_s_names_an_account(value: str) -> None:
    world, message = with_sid(uris(f"tag:microsoft.com,2022-09-14:sid:{value}"))
    failed(world, message, BAD_REQUEST, "a URI of tag:microsoft.com holds no security identifier")


def test_where_no_sid_is_copied_none_comes_in_a_uri() -> None:
    world, message = with_sid(uris(URI), profile=Profile(copy_extensions=("subjectAltName",)))
    failed(world, message, BAD_REQUEST, "a subjectAltName URI with a Microsoft SID is not allowed")
    world, message = with_sid(uris(URI), profile=Profile(copy_extensions=()))
    assert see(world, message).status == "0"


def test_a_sid_is_issued_anew() -> None:
    world, message = with_sid(craft.microsoft_sid(SID))
    assert see(world, message).status == "0"
    (record,) = world.store.certificates()
    found = x509.load_der_x509_certificate(record.der).extensions.get_extension_for_oid(SID_OID)
    assert found == craft.microsoft_sid(SID)
    assert not found.critical


def test_the_request_itself_keeps_what_it_asked() -> None:
    """Only what is issued is made anew; renewal compares what was asked with what was issued."""
    request = encode_certification_request(key("rsa:2048"), name("CN=pc"), extensions=[craft.microsoft_sid(SID)])
    assert list(CertificationRequest.decode(request).extensions) == [craft.microsoft_sid(SID)]
