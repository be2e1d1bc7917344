"""What real clients send that a strict server rejects: one test for each habit, named after who has it.

The messages are made with our own codecs after what was recorded or read in the clients' sources; the clients
themselves run in `interop`. A habit is either understood, or answered with a signed, explained failure.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from ca.methods import AuthorisationPolicy
from ca.profiles import Profile
from ca.store import Decision
from pkix import oids
from pkix.algorithms import AES128, AES256, TRIPLE_DES, AlgorithmPolicy
from pkix.asn1 import algorithm, encode, wrap
from pkix.certificates import Certificate
from pkix.content import CANNOT_OPEN
from pkix.enveloped_data import decrypt
from pkix.identities import RsaIdentity
from pkix.signed_data import SignedData, Signer
from scep.client import ClientSettings, Issued, StillPending
from scep.settings import Settings
from tests.pkix.tlv import Node
from tests.scep import craft
from tests.scep.craft import BAD_ALG, BAD_CERT_ID, BAD_REQUEST, failed, see
from tests.world import Device, World, key, name

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


# Windows, Intune


def windows_signer() -> Signer:
    """CN=SCEP Protocol Certificate: a key and a name of its own, no keyUsage, critical authorityKeyIdentifier."""
    identifier = x509.AuthorityKeyIdentifier(b"k" * 20, None, None)
    return craft.self_made(
        "rsa:2048", "CN=SCEP Protocol Certificate", "windows protocol key", extensions=[(identifier, True)]
    )


def test_windows_signs_with_a_throw_away_certificate_of_another_key_and_subject(world: World, device: Device) -> None:
    certificate = issued_to(world, craft.request(device, signer=windows_signer()))
    assert certificate.subject == name("CN=device,O=Example")
    assert certificate.public_key() == device.key.public_key()


def test_windows_gets_its_answer_under_the_throw_away_key(world: World) -> None:
    device = world.device(password=world.password(), signer=windows_signer())
    assert isinstance(device.enrol(), Issued)


def test_windows_uses_oaep_with_default_parameters_and_aes128(world: World, device: Device) -> None:
    sealed = craft.envelope(world.authority, device.request.der, AES128, OAEP_DEFAULT)
    found = see(world, craft.request(device, message=sealed, signer=windows_signer()))
    (info,) = found.enveloped["recipientInfos"]
    used = info["ktri"]["keyEncryptionAlgorithm"]
    assert (str(used["algorithm"]), bytes(used["parameters"])) == (oids.RSAES_OAEP.dotted_string, b"\x30\x00")


def test_windows_uses_sha1_which_needs_the_legacy_policy(world: World, device: Device) -> None:
    failed(world, craft.request(device, signer=windows_signer(), digest=craft.SHA1), BAD_ALG, "legacy policy")
    legacy = legacy_world()
    old = legacy.device(password=legacy.password())
    issued_to(legacy, craft.request(old, signer=windows_signer(), digest=craft.SHA1))


def test_intune_s_challenge_has_several_kilobytes(world: World) -> None:
    challenge = base64.b64encode(hashlib.shake_256(b"intune").digest(6000)).decode()
    assert isinstance(world.device(password=world.password(challenge)).enrol(), Issued)


@pytest.mark.parametrize("away", [timedelta(hours=9), timedelta(hours=-9)])
def test_windows_clocks_are_nine_hours_off(world: World, away: timedelta) -> None:
    device = world.device(password=world.password(ttl=None))
    message = device.start()
    world.tick(away)
    certificate = issued_to(world, message)
    assert certificate.not_valid_before_utc == world.now - timedelta(hours=10)


SID = "S-1-5-21-1004336348-1177238915-682003330-1105"


def test_windows_asks_for_its_sid_as_a_uri_which_is_copied(world: World) -> None:
    uri = f"tag:microsoft.com,2022-09-14:sid:{SID}"
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
    wanted = x509.Extension(names.oid, False, names)
    device = world.device(password=world.password(), extensions=[wanted])
    certificate = issued_to(world, device.start())
    assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName) == wanted


def test_windows_asks_for_its_sid_as_an_extension_which_is_copied(world: World) -> None:
    wanted = craft.microsoft_sid(SID)
    device = world.device(password=world.password(), extensions=[wanted])
    assert issued_to(world, device.start()).extensions.get_extension_for_oid(wanted.oid) == wanted


def test_a_profile_can_leave_the_sid_out() -> None:
    world = World(profile=Profile(copy_extensions=("subjectAltName",)))
    wanted = craft.microsoft_sid(SID)
    certificate = issued_to(world, world.device(password=world.password(), extensions=[wanted]).start())
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_oid(wanted.oid)


def test_windows_asks_for_a_user_principal_name(world: World) -> None:
    upn = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), wrap(0x0C, b"u@example.com"))
    names = x509.SubjectAlternativeName([upn])
    device = world.device(password=world.password(), extensions=[x509.Extension(names.oid, False, names)])
    certificate = issued_to(world, device.start())
    assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == names


def request_with_extensions(device: Device, attribute: oids.Oid, password: str) -> bytes:
    value = x509.SubjectAlternativeName([x509.DNSName("host.example")]).public_bytes()
    extension = wrap(0x30, encode(oids.Oid("2.5.29.17")) + wrap(0x04, value))
    attributes = [
        wrap(0x30, encode(attribute) + wrap(0x31, wrap(0x30, extension))),
        wrap(0x30, encode(oids.CHALLENGE_PASSWORD) + wrap(0x31, wrap(0x13, password.encode()))),
    ]
    info = craft.request_info(device, attributes=b"".join(sorted(attributes)))
    return craft.signed_pkcs10(device.key, info)  # type: ignore[arg-type]


@pytest.mark.parametrize("attribute", [oids.EXTENSION_REQUEST, oids.MS_EXTENSION_REQUEST])
def test_windows_has_an_oid_of_its_own_for_requested_extensions(world: World, attribute: oids.Oid) -> None:
    device = world.device()
    content = request_with_extensions(device, attribute, world.password())
    certificate = issued_to(world, craft.request(device, content=content))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["host.example"]


# NDES (as a server; see also test_rfc8894_client)


def test_ndes_answers_under_oaep(world: World, device: Device) -> None:
    sealed = craft.envelope(world.authority, device.request.der, AES128, OAEP_DEFAULT)
    body = craft.answer(world, craft.request(device, message=sealed)).body
    found = craft.Seen(body)
    opened = decrypt(found.content or b"", [RsaIdentity(device.signer.certificate, device.key)], AlgorithmPolicy())  # type: ignore[arg-type]
    assert SignedData.decode(opened.content).certificates


# Apple


def test_apple_sends_a_sender_nonce_of_8_octets(world: World, device: Device) -> None:
    found = see(world, craft.request(device, nonce=b"8 octets"))
    assert (found.status, found.recipient_nonce) == ("0", b"8 octets")
    assert found.sender_nonce is not None
    assert len(found.sender_nonce) == 16


def test_apple_uses_triple_des_and_sha1_which_need_the_legacy_policy(world: World, device: Device) -> None:
    sealed = craft.envelope(world.authority, device.request.der, TRIPLE_DES)
    message = craft.request(device, message=sealed, digest=craft.SHA1, digest_algorithm=SHA1_BARE)
    failed(world, message, BAD_ALG, "legacy policy")
    legacy = legacy_world()
    legacy.password()
    issued_to(legacy, message)


ODD_ORDER = ["2.16.840.1.113733.1.9.7", "2.16.840.1.113733.1.9.5", "2.16.840.1.113733.1.9.2"]


@pytest.mark.parametrize("sign_sorted", [False, True], ids=["signed as sent", "signed in DER order"])
def test_apple_sends_its_attributes_in_odd_order(world: World, device: Device, sign_sorted: bool) -> None:
    attributes = {oids.Oid(kind): craft.header()[oids.Oid(kind)] for kind in ODD_ORDER}
    message = craft.request(device, attributes=attributes, sort=False, sign_sorted=sign_sorted)
    sent = Node.parse(message.encode())
    order = [item[0].content for item in sent[1][0][4][0][3]]
    assert order != sorted(order)
    issued_to(world, message)


# Cisco IOS, Juniper


def test_cisco_digests_with_md5(world: World, device: Device) -> None:
    identifier = encode(algorithm(oids.MD5))
    failed(world, craft.request(device, digest=craft.MD5, digest_algorithm=identifier), BAD_ALG, "MD5")


@pytest.mark.parametrize("make", [World, legacy_world])
def test_cisco_encrypts_with_des(make: type[World]) -> None:
    world = make()
    device = world.device(password=world.password())
    sealed = craft.renamed_cipher(world.authority, device.request.der, oids.DES_CBC, wrap(0x04, bytes(8)))
    failed(world, craft.request(device, message=sealed), BAD_ALG, "DES-CBC")


def test_cisco_signs_with_an_x509_v1_certificate(world: World, device: Device) -> None:
    issued_to(world, craft.request(device, signer=craft.odd_signer(device)))


def test_cisco_with_v1_md5_and_des_together_gets_a_signed_bad_alg(world: World, device: Device) -> None:
    sealed = craft.renamed_cipher(world.authority, device.request.der, oids.DES_CBC, wrap(0x04, bytes(8)))
    message = craft.request(
        device,
        message=sealed,
        signer=craft.odd_signer(device),
        digest=craft.MD5,
        digest_algorithm=encode(algorithm(oids.MD5, b"\x05\x00")),
    )
    failed(world, message, BAD_ALG, "MD5")


# strongSwan


def test_strongswan_s_transaction_id_is_the_sha1_of_the_key(world: World, device: Device) -> None:
    transaction_id = hashlib.sha1(device.request.spki, usedforsecurity=False).hexdigest().upper()
    found = see(world, craft.request(device, transaction_id=transaction_id))
    assert (found.status, found.transaction_id) == ("0", transaction_id)


def test_strongswan_signs_with_pss(world: World, device: Device) -> None:
    issued_to(world, craft.request(device, signer=replace(device.signer, pss=True)))


def test_strongswan_5_9_8_reads_answers_signed_with_rsa_encryption_only(world: World, device: Device) -> None:
    found = see(world, device.start())
    used = found.signer_info["signatureAlgorithm"]
    assert (str(used["algorithm"]), bytes(used["parameters"])) == (oids.RSA_ENCRYPTION.dotted_string, b"\x05\x00")


# certmonger


def test_certmonger_signs_with_a_v1_certificate_with_generalized_time_and_32_octet_serial(
    world: World, device: Device
) -> None:
    serial = int.from_bytes(hashlib.sha256(b"certmonger").digest(), "big") | 1 << 254
    signer = craft.odd_signer(device, serial=serial, time=0x18)
    sealed = craft.envelope(world.authority, device.request.der, AES256)
    found = see(world, craft.request(device, signer=signer, message=sealed))
    (info,) = found.enveloped["recipientInfos"]
    assert int(info["ktri"]["rid"]["issuerAndSerialNumber"]["serialNumber"]) == serial


def test_certmonger_s_transaction_id_has_77_digits(world: World, device: Device) -> None:
    transaction_id = str(int.from_bytes(hashlib.sha256(device.request.spki).digest(), "big")).rjust(77, "1")[:77]
    assert see(world, craft.request(device, transaction_id=transaction_id)).transaction_id == transaction_id


def test_certmonger_wants_a_sender_nonce_in_every_cert_rep(world: World, device: Device) -> None:
    assert see(world, device.start()).sender_nonce
    assert see(world, world.device(transaction_id="2").start()).sender_nonce


@pytest.mark.parametrize("policy", [AuthorisationPolicy(manual=True), AuthorisationPolicy(challenge_password=True)])
def test_certmonger_s_openssl_wants_e_content_to_be_there_though_empty(policy: AuthorisationPolicy) -> None:
    """PKCS7_verify refuses a PENDING or FAILURE without eContent. An empty one is no pkcsPKIEnvelope either."""
    world = World(policy=policy)
    assert see(world, world.device().start()).content == b""


# sscep


def sscep_signer(device: Device) -> Signer:
    """Its self-signed certificate's serial number: 31 digits of the transactionID and a NUL, as they stand."""
    transaction_id = hashlib.md5(device.request.spki, usedforsecurity=False).hexdigest().upper()
    serial = int.from_bytes(transaction_id[:31].encode() + b"\0", "big")
    return craft.odd_signer(device, serial=serial, version=b"\x02\x01\x02")


def test_sscep_s_self_signed_certificate_has_text_for_a_serial_number(world: World, device: Device) -> None:
    transaction_id = hashlib.md5(device.request.spki, usedforsecurity=False).hexdigest().upper()
    issued_to(world, craft.request(device, signer=sscep_signer(device), transaction_id=transaction_id))


SSCEP_ID = "SSCEP transactionId"


def test_sscep_uses_one_transaction_id_for_all_queries(world: World, device: Device) -> None:
    certificate = issued_to(world, device.start())
    (record,) = world.store.certificates()
    signer = Signer(device.key, Certificate.decode(record.der))
    asked = craft.issuer_and_serial(certificate)
    for kind in (21, 22, 21):
        found = see(world, craft.request(device, kind, asked, transaction_id=SSCEP_ID, signer=signer))
        assert (found.status, found.transaction_id) == ("0", SSCEP_ID)


def test_sscep_asks_for_the_crl_with_the_ca_s_own_serial_number(world: World, device: Device) -> None:
    ca = world.authority.ca.certificate
    asked = encode(Certificate.of(ca).issuer_and_serial)
    found = see(world, craft.request(device, 22, asked, transaction_id=SSCEP_ID))
    assert found.status == "0"


# jscep, Bouncy Castle, Android


@pytest.mark.parametrize("outer", [0, 3, 6, 99])
@pytest.mark.parametrize("inner", [0, 5, 99])
def test_jscep_writes_ber_at_both_layers(world: World, device: Device, outer: int, inner: int) -> None:
    sealed = craft.envelope(world.authority, device.request.der)
    message = craft.request(device, message=craft.indefinite(sealed, inner)).encode()
    issued_to(world, craft.indefinite(message, outer))


def test_jscep_s_message_is_ber_indeed(world: World, device: Device) -> None:
    message = craft.indefinite(craft.request(device).encode())
    assert message.startswith(b"\x30\x80")
    assert b"\x24\x80\x04\x82\x03\xe8" in message


def test_jscep_writes_ber_in_polls_and_queries(world: World) -> None:
    manual = World(policy=AuthorisationPolicy(manual=True))
    device = manual.device()
    assert device.enrol() == StillPending()
    sealed = craft.indefinite(craft.envelope(manual.authority, b"\x30\x00"))
    assert see(manual, craft.indefinite(craft.request(device, 20, message=sealed).encode())).status == "3"
    crl = encode(manual.authority.certificate.issuer_and_serial)
    query = craft.request(device, 22, message=craft.indefinite(craft.envelope(manual.authority, crl)))
    assert see(manual, craft.indefinite(query.encode())).status == "0"


def test_what_a_query_asks_for_may_be_ber_only_in_authenticated_encryption(world: World, device: Device) -> None:
    """Walking through BER takes a time that depends on the plaintext. jscep's name itself is DER."""
    crl = craft.indefinite(encode(world.authority.certificate.issuer_and_serial))
    assert see(world, craft.request(device, 22, content=crl)).status == "0"
    failed(world, craft.request(device, 22, content=crl, cipher=AES128), BAD_CERT_ID, CANNOT_OPEN)


def test_jscep_sends_the_pkcs10_itself_in_ber(world: World, device: Device) -> None:
    """Nobody was seen to: a PKCS #10 request is DER, and its octets are what is signed and remembered."""
    content = craft.indefinite(device.request.der, 1)
    failed(world, craft.request(device, content=content), BAD_REQUEST, "PKCS #10 request is not valid DER")


def test_jscep_protects_its_algorithms(world: World, device: Device) -> None:
    """RFC 6211: the cmsAlgorithmProtection attribute."""
    digest, signature = encode(algorithm(oids.SHA256)), encode(algorithm(oids.SHA256_WITH_RSA, b"\x05\x00"))
    protection = wrap(0x30, digest + wrap(0xA1, Node.parse(signature)[0].der() + b"\x05\x00"))
    attributes = craft.header() | {oids.Oid("1.2.840.113549.1.9.52"): [protection]}
    issued_to(world, craft.request(device, attributes=attributes))


def test_android_omits_digest_parameters(world: World, device: Device) -> None:
    issued_to(world, craft.request(device, digest_algorithm=encode(algorithm(oids.SHA256))))


@pytest.mark.parametrize("oid", [oids.SHA256_WITH_RSA, oids.RSA_ENCRYPTION])
@pytest.mark.parametrize("parameters", [b"\x05\x00", None])
def test_bouncy_castle_names_the_signature_algorithm_in_either_way(
    world: World, device: Device, oid: oids.Oid, parameters: bytes | None
) -> None:
    issued_to(world, craft.request(device, signature_algorithm=encode(algorithm(oid, parameters))))


def test_bouncy_castle_names_an_ec_key_s_algorithm_instead_of_a_signature_algorithm(world: World) -> None:
    device = world.device("ec:P-256", password=world.password())
    identifier = encode(algorithm(oids.EC_PUBLIC_KEY))
    assert see(world, craft.request(device, signature_algorithm=identifier)).status == "0"


@pytest.mark.parametrize("transaction_id", ["0", "1", "2"])
def test_jscep_counts_its_transaction_ids(world: World, device: Device, transaction_id: str) -> None:
    assert see(world, craft.request(device, transaction_id=transaction_id)).transaction_id == transaction_id


# micromdm scepclient


@pytest.mark.parametrize("make", [World, legacy_world])
def test_micromdm_scepclient_sends_des_and_sha1_without_parameters(make: type[World]) -> None:
    """RFC 8894 section 2.9 forbids DES whatever the policy: the client is told which cipher to use."""
    world = make()
    device = world.device(password=world.password())
    sealed = craft.renamed_cipher(world.authority, device.request.der, oids.DES_CBC, wrap(0x04, bytes(8)))
    message = craft.request(device, message=sealed, digest=craft.SHA1, digest_algorithm=SHA1_BARE)
    failed(world, message, BAD_ALG, "SHA-1" if make is World else "DES-CBC (1.3.14.3.2.7) is not supported; use AES")


def test_micromdm_2_1_0_sends_constructed_encrypted_content(world: World, device: Device) -> None:
    tree = Node.parse(craft.envelope(world.authority, device.request.der))
    content_info = tree[1][0][2]
    content_info[2] = Node(0xA0, children=[Node(0x04, content_info[2].content)])
    issued_to(world, craft.request(device, message=tree.der()))


def test_micromdm_s_transaction_id_is_base64(world: World, device: Device) -> None:
    transaction_id = base64.b64encode(b"\xfb\xff" + hashlib.sha256(device.request.spki).digest()).decode()
    assert {"+", "/", "="} <= set(transaction_id)
    assert see(world, craft.request(device, transaction_id=transaction_id)).transaction_id == transaction_id


def test_micromdm_sends_the_request_again_instead_of_polling() -> None:
    world = World(policy=AuthorisationPolicy(manual=True))
    device = world.device()
    assert device.enrol() == device.enrol() == StillPending()
    world.decide(Decision.APPROVED)
    assert isinstance(device.enrol(), Issued)


# smallstep


@pytest.mark.parametrize("oid", [oids.AES128_GCM, oids.AES256_GCM])
def test_smallstep_puts_gcm_into_enveloped_data(world: World, device: Device, oid: oids.Oid) -> None:
    parameters = wrap(0x30, wrap(0x04, bytes(12)) + b"\x02\x01\x10")
    sealed = craft.renamed_cipher(world.authority, device.request.der, oid, parameters)
    failed(world, craft.request(device, message=sealed), BAD_ALG, "GCM belongs in AuthEnvelopedData")


def test_auth_enveloped_data_with_the_inside_of_enveloped_data_is_named(world: World, device: Device) -> None:
    tree = Node.parse(craft.envelope(world.authority, device.request.der))
    tree[0] = Node.parse(encode(oids.AUTH_ENVELOPED_DATA))
    failed(world, craft.request(device, message=tree.der()), BAD_REQUEST, "AuthEnvelopedData is not valid DER")


def test_our_client_can_use_every_cipher_against_ourselves(world: World) -> None:
    for number, cipher in enumerate((AES128, AES256)):
        device = world.device(
            password=world.password(str(number)),
            transaction_id=str(number),
            settings=ClientSettings(cipher=cipher),
            label=f"device {number}",
        )
        assert isinstance(device.enrol(), Issued)
    assert key("rsa:2048", "device 0") != key("rsa:2048", "device 1")
