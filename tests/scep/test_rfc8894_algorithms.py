"""Which algorithms are spoken, and that an answer uses the request's (RFC 8894 sections 2.9, 3.1, 3.5.2, 7.5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from pyasn1_alt_modules import rfc4055, rfc5652, rfc8018

from ca.methods import AuthorisationPolicy
from ca.store import Decision
from pkix import oids
from pkix.algorithms import AES128, AES192, AES256, TRIPLE_DES, AlgorithmPolicy, ContentCipher
from pkix.asn1 import AlgorithmIdentifier, Oid, algorithm, encode, explicit, wrap
from pkix.enveloped_data import decrypt
from pkix.identities import PasswordIdentity, RsaIdentity
from pkix.pkcs10 import CertificationRequest
from pkix.signed_data import SignedData, Signer
from scep.client import ClientSettings, Issued, Refused, StillPending
from scep.settings import Settings
from tests.scep import craft
from tests.scep.craft import BAD_ALG, BAD_REQUEST, failed, see
from tests.world import Device, World, key, name

LEGACY = AlgorithmPolicy(legacy=True)
CIPHERS = [AES128, AES192, AES256]
DIGESTS = [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()]
DIGEST_OIDS = {"sha1": "1.3.14.3.2.26", "sha256": str(rfc4055.id_sha256), "sha384": str(rfc4055.id_sha384)}
DIGEST_OIDS["sha512"] = str(rfc4055.id_sha512)

OAEP = oids.RSAES_OAEP
SHA1_ID, SHA256_ID = (encode(algorithm(oid, b"\x05\x00")) for oid in (oids.SHA1, oids.SHA256))
OAEP_SHA256 = wrap(0x30, explicit(0, SHA256_ID) + explicit(1, wrap(0x30, encode(oids.MGF1) + SHA256_ID)))
OAEP_LABEL = wrap(0x30, explicit(2, wrap(0x30, encode(oids.P_SPECIFIED) + wrap(0x04, b"label"))))
TRANSPORTS = {
    "v1.5": algorithm(oids.RSA_ENCRYPTION, b"\x05\x00"),
    "v1.5 without NULL": algorithm(oids.RSA_ENCRYPTION),
    "OAEP 30 00": algorithm(OAEP, b"\x30\x00"),
    "OAEP without parameters": algorithm(OAEP),
    "OAEP SHA-1 written out": algorithm(OAEP, wrap(0x30, explicit(0, SHA1_ID))),
    "OAEP SHA-256": algorithm(OAEP, OAEP_SHA256),
    "OAEP SHA-256, MGF1 with SHA-1": algorithm(OAEP, wrap(0x30, explicit(0, SHA256_ID))),
    "OAEP with a label": algorithm(OAEP, OAEP_LABEL),
}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def device(world: World) -> Device:
    return world.device(password=world.password())


def legacy_world() -> World:
    return World(settings=Settings(algorithms=LEGACY))


def test_2_9_the_mandatory_algorithms_are_aes128_cbc_and_sha256(world: World, device: Device) -> None:
    sent = craft.Seen(device.start())
    assert (sent.cipher, sent.digest) == ("2.16.840.1.101.3.4.1.2", DIGEST_OIDS["sha256"])
    found = see(world, device.start())
    assert (found.status, found.cipher, found.digest) == ("0", sent.cipher, sent.digest)


@pytest.mark.parametrize("cipher", CIPHERS, ids=lambda cipher: cipher.name)
@pytest.mark.parametrize("digest", DIGESTS, ids=lambda digest: digest.name)
def test_3_5_2_an_answer_uses_the_cipher_and_digest_of_the_request(
    world: World, cipher: ContentCipher, digest: hashes.HashAlgorithm
) -> None:
    settings = ClientSettings(cipher=cipher, digest=digest)
    device = world.device(password=world.password(), settings=settings)
    found = see(world, device.start())
    assert (found.status, found.cipher, found.digest) == ("0", str(cipher.oid.dotted_string), DIGEST_OIDS[digest.name])


@pytest.mark.parametrize("digest", DIGESTS, ids=lambda digest: digest.name)
def test_3_5_2_a_failure_uses_the_digest_of_the_request(world: World, digest: hashes.HashAlgorithm) -> None:
    device = world.device(settings=ClientSettings(digest=digest))
    found = see(world, device.start())
    assert (found.status, found.digest) == ("2", DIGEST_OIDS[digest.name])


@pytest.mark.parametrize("transport", TRANSPORTS.values(), ids=TRANSPORTS.keys())
def test_3_1_an_answer_uses_the_key_transport_of_the_request(
    world: World, device: Device, transport: AlgorithmIdentifier
) -> None:
    sealed = craft.envelope(world.authority, device.request.der, AES256, transport)
    found = see(world, craft.request(device, message=sealed))
    (info,) = found.enveloped["recipientInfos"]
    assert info.getName() == "ktri"
    assert str(info["ktri"]["keyEncryptionAlgorithm"]["algorithm"]) == transport.algorithm.dotted_string
    sent_parameters = b"" if transport.parameters is None else encode(transport.parameters)
    got = info["ktri"]["keyEncryptionAlgorithm"]["parameters"]
    assert (bytes(got) if got.isValue else b"") == sent_parameters
    identity = RsaIdentity(device.signer.certificate, device.key)  # type: ignore[arg-type]
    assert found.content is not None
    opened = decrypt(found.content, [identity], AlgorithmPolicy())
    assert len(SignedData.decode(opened.content).certificates) == 1


def test_3_1_the_recipient_is_named_by_the_signer_s_issuer_and_serial(world: World, device: Device) -> None:
    found = see(world, device.start())
    (info,) = found.enveloped["recipientInfos"]
    rid = info["ktri"]["rid"]["issuerAndSerialNumber"]
    assert int(rid["serialNumber"]) == device.signer.certificate.serial_number
    assert int(found.enveloped["version"]) == int(info["ktri"]["version"]) == 0


def test_3_1_the_answer_to_a_cert_poll_uses_the_poll_s_algorithms() -> None:
    world = World(policy=AuthorisationPolicy(manual=True))
    device = world.device()
    device.enrol()
    world.decide(Decision.APPROVED)
    sealed = craft.envelope(world.authority, b"unread", AES256, TRANSPORTS["OAEP SHA-256"])
    found = see(world, craft.request(device, 20, message=sealed, digest=hashes.SHA384()))
    (info,) = found.enveloped["recipientInfos"]
    assert found.digest == DIGEST_OIDS["sha384"]
    assert found.cipher == AES256.oid.dotted_string
    assert str(info["ktri"]["keyEncryptionAlgorithm"]["algorithm"]) == OAEP.dotted_string


# Refused algorithms


def test_2_9_sha1_only_under_the_legacy_policy(world: World, device: Device) -> None:
    failed(world, craft.request(device, digest=craft.SHA1), BAD_ALG, "SHA-1 is accepted only under the legacy")
    legacy = legacy_world()
    found = see(legacy, craft.request(legacy.device(password=legacy.password()), digest=craft.SHA1))
    assert (found.status, found.digest) == ("0", DIGEST_OIDS["sha1"])


def test_2_9_triple_des_only_under_the_legacy_policy(world: World, device: Device) -> None:
    sealed = craft.envelope(world.authority, device.request.der, TRIPLE_DES)
    failed(world, craft.request(device, message=sealed), BAD_ALG, "3DES-CBC is accepted only under the legacy")
    legacy = legacy_world()
    found = see(legacy, craft.request(legacy.device(password=legacy.password()), message=sealed))
    assert (found.status, found.cipher) == ("0", oids.DES_EDE3_CBC.dotted_string)


@pytest.mark.parametrize("make", [World, legacy_world])
def test_2_9_7_5_md5_is_never_accepted(make: type[World]) -> None:
    world = make()
    message = craft.request(
        world.device(password=world.password()),
        digest=craft.MD5,
        digest_algorithm=encode(algorithm(oids.MD5, b"\x05\x00")),
    )
    failed(world, message, BAD_ALG, "MD5 (1.2.840.113549.2.5) is not supported; use SHA-256")
    assert not world.store.certificates()


def with_cipher(world: World, device: Device, cipher: Oid, parameters: bytes) -> craft.Crafted:
    return craft.request(device, message=craft.renamed_cipher(world.authority, device.request.der, cipher, parameters))


@pytest.mark.parametrize("make", [World, legacy_world])
def test_2_9_7_5_single_des_is_never_accepted(make: type[World]) -> None:
    world = make()
    message = with_cipher(world, world.device(password=world.password()), oids.DES_CBC, wrap(0x04, bytes(8)))
    failed(world, message, BAD_ALG, "DES-CBC (1.3.14.3.2.7) is not supported; use AES-128-CBC")


@pytest.mark.parametrize("iv", [wrap(0x04, bytes(8)), wrap(0x04, bytes(17)), b"\x05\x00", b"", wrap(0x30, b"")])
def test_an_unusable_iv_is_refused(world: World, device: Device, iv: bytes) -> None:
    failed(world, with_cipher(world, device, AES128.oid, iv), BAD_REQUEST, "AES-128-CBC IV")


def test_sha224_is_bad_alg(world: World, device: Device) -> None:
    identifier = encode(algorithm(oids.SHA224, b"\x05\x00"))
    message = craft.request(device, digest=hashes.SHA224(), digest_algorithm=identifier)
    failed(world, message, BAD_ALG, "sha224 (2.16.840.1.101.3.4.2.4) is not supported")


def test_a_digest_nobody_knows_is_named_by_its_number(world: World, device: Device) -> None:
    identifier = encode(algorithm(Oid("1.2.3.4.5")))
    failed(world, craft.request(device, digest_algorithm=identifier), BAD_ALG, "digest 1.2.3.4.5 is not supported")


SIGNATURES = [
    (oids.SHA1_WITH_RSA, "SHA-1"),
    (oids.MD5_WITH_RSA, "MD5"),
    (oids.ECDSA_WITH_SHA256, "with an RSA key"),
    (oids.ED25519, "with an RSA key"),
    (Oid("1.2.3.4"), "signature algorithm 1.2.3.4 does not go with an RSA key; use sha256WithRSAEncryption"),
]


@pytest.mark.parametrize(("oid", "text"), SIGNATURES)
def test_a_signature_algorithm_that_does_not_fit_is_bad_alg(world: World, device: Device, oid: Oid, text: str) -> None:
    message = craft.request(device, signature_algorithm=encode(algorithm(oid, b"\x05\x00")))
    failed(world, message, BAD_ALG, text)


@pytest.mark.parametrize("kind", ["ec:P-256", "ed25519"])
def test_an_rsa_signature_algorithm_with_another_key_is_bad_alg(world: World, kind: str) -> None:
    device = world.device(kind, password=world.password())
    digest = hashes.SHA512() if kind == "ed25519" else hashes.SHA256()
    identifier = encode(algorithm(oids.SHA256_WITH_RSA, b"\x05\x00"))
    failed(world, craft.request(device, signature_algorithm=identifier, digest=digest), BAD_ALG, "signature algorithm")


def test_an_rsa_signer_of_1024_bits_is_bad_alg(world: World, device: Device) -> None:
    weak = craft.weak_signer()
    failed(world, craft.request(device, signer=weak), BAD_ALG, "signer certificate: RSA key of 1024 bits")
    assert not world.store.certificates()


def test_a_request_for_an_rsa_key_of_1024_bits_is_bad_alg(world: World) -> None:
    weak = craft.weak_request(world.password())
    failed(world, craft.request(world.device(), content=weak), BAD_ALG, "RSA key of 1024 bits")
    assert not world.store.certificates()


def test_a_request_for_a_key_on_another_curve_is_bad_alg(world: World) -> None:
    other = craft.other_curve_request(world.password())
    failed(world, craft.request(world.device(), content=other), BAD_ALG, "curve secp256k1")


def test_a_request_for_a_key_with_exponent_one_is_refused(world: World) -> None:
    """Everybody can sign for such a key, so its signature proves nothing."""
    message = craft.request(world.device(), content=craft.exponent_one_request(world.password()))
    failed(world, message, BAD_ALG, "public")
    assert not world.store.certificates()


def test_a_request_signed_with_sha1_is_bad_alg_unless_legacy(world: World) -> None:
    for chosen, status in ((world, "2"), (legacy_world(), "0")):
        weak = craft.sha1_request(chosen.password())
        found = see(chosen, craft.request(chosen.device(), content=weak))
        assert (found.status, found.fail_info) == (status, BAD_ALG if status == "2" else None)


@pytest.mark.parametrize("oid", [oids.RSA_ENCRYPTION, oids.MD5_WITH_RSA, Oid("1.2.3.4")])
def test_a_request_with_an_unusable_signature_algorithm_is_bad_alg(world: World, device: Device, oid: Oid) -> None:
    changed = craft.with_signature_algorithm(device.request, encode(algorithm(oid, b"\x05\x00")))
    assert CertificationRequest.decode(changed).signature_algorithm.algorithm == oid
    failed(world, craft.request(device, content=changed), BAD_ALG, "")


@pytest.mark.parametrize("pss", [True, False])
def test_rsa_pss_and_v1_5_signers_are_both_accepted(world: World, device: Device, pss: bool) -> None:
    assert see(world, craft.request(device, signer=replace(device.signer, pss=pss))).status == "0"


# Keys that cannot decrypt (3.1)


@pytest.mark.parametrize("kind", ["ec:P-256", "ec:P-521", "ed25519"])
@pytest.mark.parametrize("cipher", [AES128, AES256], ids=lambda cipher: cipher.name)
def test_3_1_a_key_that_cannot_decrypt_is_answered_under_the_challenge_password(
    world: World, kind: str, cipher: ContentCipher
) -> None:
    password = world.password("a shared secret")
    device = world.device(kind, password=password, settings=ClientSettings(cipher=cipher))
    found = see(world, device.start())
    assert (found.status, found.cipher) == ("0", cipher.oid.dotted_string)
    (info,) = found.enveloped["recipientInfos"]
    assert info.getName() == "pwri"
    assert int(found.enveloped["version"]) == 3
    pwri = info["pwri"]
    assert str(pwri["keyDerivationAlgorithm"]["algorithm"]) == str(rfc8018.id_PBKDF2)
    assert str(pwri["keyEncryptionAlgorithm"]["algorithm"]) == oids.PWRI_KEK.dotted_string
    assert found.content is not None
    opened = decrypt(found.content, [PasswordIdentity(password.encode())], AlgorithmPolicy())
    assert len(SignedData.decode(opened.content).certificates) == 1


@pytest.mark.parametrize("kind", ["ec:P-256", "ed25519"])
def test_3_1_without_challenge_password_it_is_refused_before_anything_is_issued(kind: str) -> None:
    world = World(policy=AuthorisationPolicy(manual=True))
    refused = world.device(kind).enrol()
    assert isinstance(refused, Refused)
    assert refused.text is not None
    text = "signer's key cannot decrypt and there is no challengePassword (RFC 8894 section 3.1)"
    assert refused.text.endswith(f"{text}; a responseKey in the request is a way, too")
    assert not world.store.transactions()
    assert not world.store.certificates()


def test_3_1_a_poll_by_such_a_key_is_answered_under_the_password_of_its_request() -> None:
    world = World(policy=AuthorisationPolicy(manual=True), webhook=craft.Scripted("pending", "approve"))
    device = world.device("ec:P-256", password="known to the webhook")
    assert isinstance(device.enrol(), StillPending)
    world.tick(timedelta(minutes=1))
    assert isinstance(device.poll(), Issued)


@pytest.mark.parametrize("kind", ["ec:P-256", "ed25519"])
def test_3_1_a_query_by_such_a_key_is_refused_with_the_reason(world: World, kind: str) -> None:
    issued = world.device(password=world.password()).enrol()
    assert isinstance(issued, Issued)
    certificate = x509.load_der_x509_certificate(issued.certificate)
    name_der = craft.issuer_and_serial(certificate)
    device = world.device(kind, label="asker")
    digest = hashes.SHA512() if kind == "ed25519" else hashes.SHA256()
    failed(world, craft.request(device, 21, name_der, digest=digest), BAD_REQUEST, "cannot be encrypted")


def test_3_1_an_rsa_client_is_answered_with_its_key_even_if_there_is_a_password(world: World, device: Device) -> None:
    (info,) = see(world, device.start()).enveloped["recipientInfos"]
    assert info.getName() == "ktri"


def test_an_rsa_signer_may_ask_for_a_certificate_for_an_ec_key(world: World) -> None:
    signer = craft.self_made("rsa:2048", "CN=throw-away", "throw-away")
    device = world.device("ec:P-256", password=world.password(), signer=signer)
    assert isinstance(device.enrol(), Issued)


def test_ed25519_answers_say_sha512() -> None:
    """RFC 8419 section 3: an Ed25519 signer's digest is SHA-512, whatever the request used."""
    world = World("ed25519", ra_key_type="ed25519")
    found = see(world, world.device(password=world.password()).start())
    assert (found.status, found.digest) == ("0", DIGEST_OIDS["sha512"])
    assert str(found.signer_info["signatureAlgorithm"]["algorithm"]) == oids.ED25519.dotted_string


def test_signers_of_every_kind_are_named_in_the_signer_info() -> None:
    for kind, oid in (("rsa:2048", oids.RSA_ENCRYPTION), ("ec:P-256", oids.ECDSA_WITH_SHA256)):
        world = World(kind)
        found = see(world, world.device(password=world.password()).start())
        assert str(found.signer_info["signatureAlgorithm"]["algorithm"]) == oid.dotted_string


def test_the_certificate_of_the_signer_is_in_the_answer(world: World, device: Device) -> None:
    found = see(world, device.start())
    (choice,) = found.signed_data["certificates"]
    assert int(choice["certificate"]["tbsCertificate"]["serialNumber"]) == world.authority.certificate.serial_number
    assert int(found.signed_data["version"]) == 1
    assert found.signed_data["encapContentInfo"]["eContentType"] == rfc5652.id_data


def test_a_signer_s_key_is_not_the_requested_key(world: World) -> None:
    other = Signer(key("rsa:2048", "device"), craft.self_made("rsa:2048", "CN=x", "device").certificate)
    device = world.device(password=world.password(), label="wanted", signer=other, subject="CN=wanted")
    issued = device.enrol()
    assert isinstance(issued, Issued)
    assert x509.load_der_x509_certificate(issued.certificate).subject == name("CN=wanted")
