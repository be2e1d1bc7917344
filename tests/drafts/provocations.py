"""What goes wrong at a CA, made to go wrong: each function returns the failInfo that the responder answers with.

`CONDITIONS` holds them by a phrase of the condition that the document's table of errors gives.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from ca.profiles import Profile, extension
from pkix import oids
from pkix.algorithms import AES128, AES256, AES256_GCM, ContentCipher
from pkix.asn1 import algorithm, encode, wrap
from pkix.certificates import Certificate
from pkix.pkcs10 import CertificationRequest, encode_certification_request, encode_unsigned_request
from pkix.signed_data import Signer
from pkix.usages import key_usage
from scep.attributes import RESPONSE_KEY, FailInfo
from scep.client import KemKey, StillPending
from scep.kem_pop import encode_response_key
from scep.settings import KemPolicy, Pop
from tests.pkix.tlv import Node, tlv
from tests.scep import craft
from tests.scep.kem_kit import (
    SUBJECT,
    challenged,
    classic_settings,
    confirm_parts,
    confirm_with,
    confirmation,
    enrolled,
    flipped,
    issued,
    kem_world,
    renewing,
    serial_of,
    signing_certificate,
    spki,
    stated,
    unsigned,
    with_request,
)
from tests.scep.seen import Seen
from tests.world import Device, World, kem_device, kem_key, key, name

NULL = b"\x05\x00"
PASSWORD = "one-time secret"
VERSION, RID, KEM, CIPHERTEXT, KDF, KEK_LENGTH, WRAP, ENCRYPTED_KEY = range(8)  # of a KEMRecipientInfo without ukm


def answered(world: World, message: bytes | craft.Crafted) -> FailInfo:
    """The failInfo of the signed answer."""
    found = craft.see(world, message)
    assert found.status == "2", f"pkiStatus {found.status}"
    return FailInfo(int(found.fail_info or ""))


def refusal(answer: object) -> FailInfo:
    """The failInfo that the client read."""
    found = getattr(answer, "fail_info", None)
    assert isinstance(found, FailInfo), f"{answer}"[:200]
    return found


def new_device() -> Device:
    """A KEM device with a good password."""
    world = kem_world()
    return kem_device(world, password=world.password())


def enveloped(change: Callable[[Node], None]) -> FailInfo:
    """A request whose KEMRecipientInfo is changed."""
    device = new_device()
    tree = Node.parse(Seen(device.start()).content or b"")
    change(tree[1][0][1][0][1])
    return answered(device.world, craft.request(device, message=tree.der()))


def gcm_nonce() -> FailInfo:
    """A request under AES-GCM with a nonce of four octets."""
    device = new_device()
    tree = Node.parse(Seen(device.start()).content or b"")
    parameters = tree[1][0][2][1][1]
    parameters[0].content = bytes(4)
    return answered(device.world, craft.request(device, message=tree.der()))


def set_to(index: int, value: bytes) -> Callable[[Node], None]:
    def change(info: Node) -> None:
        info[index] = Node.parse(value)

    return change


def requested(der: bytes) -> FailInfo:
    """A PKCS #10 request in an otherwise good message."""
    world = kem_world()
    world.password()
    return refusal(with_request(world, der).enrol())


def for_key(der: bytes) -> FailInfo:
    """An unsigned request for any SubjectPublicKeyInfo."""
    return requested(encode_unsigned_request(der, name(SUBJECT), challenge_password=PASSWORD))


def spki_with(parameters: bytes, change: Callable[[bytes], bytes] = bytes) -> bytes:
    """SubjectPublicKeyInfo of ML-KEM-768 with other octets."""
    octets = Node.parse(spki())[1].content[1:]
    return wrap(0x30, wrap(0x30, encode(oids.ML_KEM_768) + parameters) + wrap(0x03, b"\0" + change(octets)))


def kem_512_octets() -> bytes:
    """An encapsulation key of ML-KEM-512 that passes every check: two coefficients below 3329 in three octets, rho."""
    return b"".join(bytes([index, 0, index % 200]) for index in range(256)) + bytes(range(32))


def not_certified() -> FailInfo:
    world = kem_world(profile=Profile(key_types=("rsa", "ec:P-256")))
    return refusal(kem_device(world, password=world.password()).enrol())


def by_unknown_certificate() -> FailInfo:
    by = signing_certificate(kem_world(label="another CA"))
    return requested(stated(by, challenge_password=PASSWORD))


def by_another_subject() -> FailInfo:
    world = kem_world()
    by = signing_certificate(world)
    request = stated(by, subject="CN=somebody else", challenge_password=world.password())
    return refusal(with_request(world, request, subject="CN=somebody else").enrol())


def for_a_kem_key_in_cbc(pop: Pop, statement: bool) -> FailInfo:
    """To an RSA key, and signed by somebody: our client does not send it so."""
    world = kem_world("rsa:2048", rsa=True, kem=KemPolicy(pop=pop))
    password = world.password()
    request = unsigned(challenge_password=password)
    if statement:
        identity = world.device(subject=SUBJECT, password=world.password("another"))
        identity.enrol()
        signer = Signer(identity.key, Certificate.decode(world.store.certificates()[0].der))
        request = stated(signer, challenge_password=password)
    message = craft.envelope(world.authority, request, AES256)
    return answered(world, craft.request(world.device(), message=message))


def kem_recipient_in_cbc() -> FailInfo:
    """The RecipientInfo of a recorded AuthEnvelopedData, with content under AES-CBC."""
    device = new_device()
    recipients = Node.parse(Seen(device.start()).content or b"")[1][0][1].der()
    scheme = encode(algorithm(oids.AES256_CBC, tlv(0x04, bytes(16))))
    content = tlv(0x30, encode(oids.DATA), scheme, tlv(0x80, bytes(64)))
    enveloped = tlv(0x30, b"\x02\x01\x03", recipients, content)
    message = tlv(0x30, encode(oids.ENVELOPED_DATA), tlv(0xA0, enveloped))
    return answered(device.world, craft.request(device, message=message))


def certificate_of_nobody(cipher: ContentCipher) -> FailInfo:
    """GetCert for a serial number that was never given."""
    world = World("rsa:2048")
    certificate = tlv(0x30, world.authority.certificate.subject, b"\x02\x01\x05")
    message = craft.envelope(world.authority, certificate, cipher)
    return answered(world, craft.request(world.device(), message=message, kind=21))


def addressed_elsewhere(kind: int) -> FailInfo:
    """To the RSA key of another CA."""
    message = craft.envelope(World("rsa:3072").authority, b"anything", AES128)
    world = World("rsa:2048")
    return answered(world, craft.request(world.device(), message=message, kind=kind))


def weak_key() -> FailInfo:
    """An encapsulation key whose t is zero."""
    return for_key(spki_with(b"", lambda octets: bytes(len(octets) - 32) + octets[-32:]))


def compromised_key() -> FailInfo:
    world = kem_world()
    old = enrolled(world)
    world.store.revoke(world.authority.identifier, serial_of(old), reason="keyCompromise", now=world.now)
    again = kem_device(world, password=world.password("another"), transaction_id="again")
    answer = again.enrol()
    return refusal(answer if not isinstance(answer, StillPending) else again.poll())


def at_a_limit_of_nothing() -> FailInfo:
    world = kem_world(kem=KemPolicy(max_challenged=0))
    return refusal(kem_device(world, password=world.password()).enrol())


def signed_with(scheme: oids.Oid, der: bytes) -> bytes:
    """A request under another signature algorithm, with an empty signature."""
    return craft.pkcs10(CertificationRequest.decode(der).signed_der, encode(algorithm(scheme)), b"")


def key_transport(scheme: oids.Oid, *, to_rsa: bool = False) -> FailInfo:
    """A KeyTransRecipientInfo that names the RA's ML-KEM certificate, or its RSA one."""

    def change(recipients: Node) -> None:
        rid = decode_kem_recipient_info_rid(recipients[0])
        if to_rsa:
            decryption = device.world.authority.ra_decryption
            assert decryption is not None
            rid = craft.issuer_and_serial(decryption.certificate)
        recipients[0] = Node.parse(tlv(0x30, b"\x02\x01\x00", rid, encode(algorithm(scheme)), tlv(0x04, bytes(256))))

    world = kem_world(rsa=True)
    device = kem_device(world, password=world.password())
    tree = Node.parse(Seen(device.start()).content or b"")
    change(tree[1][0][1])
    return answered(device.world, craft.request(device, message=tree.der()))


def decode_kem_recipient_info_rid(recipient: Node) -> bytes:
    """DER of the rid: the same choice stands in both kinds of recipient."""
    rid: bytes = recipient[1][RID].der()
    return rid


def wrong_signature() -> FailInfo:
    device = new_device()
    return answered(device.world, flipped(device.start(), -1))


def wrong_request_signature() -> FailInfo:
    good = kem_world("rsa:2048").device("ec:P-256", password=PASSWORD).request
    return requested(
        craft.pkcs10(good.signed_der, encode(algorithm(oids.ECDSA_WITH_SHA256)), b"\x30\x06\x02\x01\x01\x02\x01\x01")
    )


def signature_key_unsigned() -> FailInfo:
    good = kem_world("rsa:2048").device("ec:P-256", password=PASSWORD).request
    return requested(signed_with(oids.UNSIGNED, good.der))


def key_usage_asked() -> FailInfo:
    wanted = extension(key_usage({"digitalSignature"}), critical=True)
    return requested(unsigned(challenge_password=PASSWORD, extensions=[wanted]))


def short_nonce() -> FailInfo:
    device = new_device()
    content = Seen(device.start()).content
    return answered(device.world, craft.request(device, message=content, nonce=bytes(8)))


def password_wrong() -> FailInfo:
    return refusal(kem_device(kem_world(), password="guessed").enrol())


def password_used() -> FailInfo:
    world = kem_world()
    issued(challenged(world, password=world.password()).poll())
    return refusal(kem_device(world, password=PASSWORD, label="rival", transaction_id="rival").enrol())


def password_used_meanwhile() -> FailInfo:
    world = kem_world()
    device = challenged(world, password=world.password())
    rival = kem_device(world, password=PASSWORD, label="rival", transaction_id="rival")
    rival.enrol()
    issued(rival.poll())
    return refusal(device.poll())


def confirm_changed(change: Callable[[Node], None]) -> FailInfo:
    device = challenged(kem_world())
    tree = confirm_parts(confirmation(device))
    change(tree)
    return refusal(confirm_with(device, tree.der()))


def version_2(tree: Node) -> None:
    tree[0].content = b"\x02"


def no_mac(tree: Node) -> None:
    del tree[-1]


def wrong_mac(tree: Node) -> None:
    tree[-1].content = flipped(tree[-1].content)


def late() -> FailInfo:
    world = kem_world()
    device = challenged(world)
    world.tick(timedelta(minutes=11))
    return refusal(device.poll())


def downgraded() -> FailInfo:
    device = new_device()
    device.enrolment._capabilities = b"AES\n"
    device.enrol()
    return refusal(device.poll())


def too_many_challenges() -> FailInfo:
    device = challenged(kem_world())
    for _ in range(4):
        confirm_with(device, None)
    return refusal(confirm_with(device, None))


def nothing_to_poll() -> FailInfo:
    device = new_device()
    device.start()
    return refusal(device.poll())


def another_request() -> FailInfo:
    world = kem_world()
    challenged(world, password=world.password())
    return refusal(kem_device(world, password=PASSWORD, subject="CN=another").enrol())


def renewal_of_an_unknown_certificate() -> FailInfo:
    old = enrolled(kem_world(label="another CA"))
    return refusal(renewing(kem_world(), old).enrol())


def renewal_of_nothing() -> FailInfo:
    return refusal(kem_device(kem_world(), renewal=True).enrol())


def renewal_after_revocation() -> FailInfo:
    world = kem_world()
    old = enrolled(world)
    world.store.revoke(world.authority.identifier, serial_of(old), reason="superseded", now=world.now)
    return refusal(renewing(world, old).enrol())


def renewal_for_a_signature_key() -> FailInfo:
    world = kem_world()
    old = enrolled(world)
    private, _public = kem_key("ML-KEM-768", "kem device")
    certificate = renewing(world, old).enrolment._renewed
    assert certificate is not None
    stolen = KemKey(private, spki(), certificate.certificate)
    request = encode_certification_request(key("ec:P-256", "thief"), name(SUBJECT), challenge_password="x" * 20)
    device = with_request(world, request, signer=None, label="thief", kem=None, renewed=stolen, renewal=True)
    return refusal(device.enrol())


def with_response_key(world: World, value: bytes, label: str = "device") -> bytes:
    """A request for a key that can only sign. Our client refuses a wrong response key, so it is put in unseen."""
    device = world.device("ed25519", settings=classic_settings(), label=label, transaction_id=label)
    request = encode_certification_request(
        key("ed25519", label),
        name("CN=device,O=Example"),
        challenge_password=world.password(f"password {label}"),
        attributes=[(RESPONSE_KEY, value)],
    )
    device.enrolment._request = CertificationRequest.decode(request)
    return device.start()


def response_key_length() -> FailInfo:
    tree = Node.parse(encode_response_key(bytes(16), bytes(32)))
    tree[2].content = bytes(31)
    world = kem_world()
    return answered(world, with_response_key(world, tree.der()))


def response_key_used() -> FailInfo:
    world = kem_world()
    value = encode_response_key(bytes(16), bytes(32))
    assert craft.see(world, with_response_key(world, value)).status == "0"
    return answered(world, with_response_key(world, value, "second"))


def nobody_decrypts() -> FailInfo:
    """A renewal of a signature key for another, without challengePassword."""
    world = World("rsa:2048")
    first = world.device("ec:P-256", password=world.password())
    renewal = first.renewal(issued(first.enrol()), "ed25519")
    return refusal(renewal.enrol())


CONDITIONS: dict[str, list[Callable[[], FailInfo]]] = {
    "is not supported or not allowed": [
        lambda: enveloped(set_to(KDF, encode(algorithm(oids.PBKDF2)))),
        lambda: enveloped(set_to(WRAP, encode(algorithm(oids.AES256_CBC)))),
    ],
    "AES-GCM tag or nonce": [gcm_nonce],
    "Parameter set of the requested key is unknown": [
        lambda: for_key(wrap(0x30, encode(algorithm(oids.ML_KEM_512)) + wrap(0x03, bytes(1) + kem_512_octets()))),
    ],
    "Parameter set of the requested key is not certified": [not_certified],
    "Algorithm identifier of an ML-KEM key or ciphertext with parameters": [
        lambda: enveloped(set_to(KEM, wrap(0x30, encode(oids.ML_KEM_768) + NULL))),
        lambda: for_key(spki_with(NULL)),
    ],
    "The pkcsPKIEnvelope has no recipient": [
        lambda: enveloped(set_to(RID, wrap(0x80, bytes(20)))),
        *(partial(addressed_elsewhere, kind) for kind in (17, 19, 21, 22)),
    ],
    "The pkcsPKIEnvelope of a request cannot be opened": [
        lambda: enveloped(set_to(ENCRYPTED_KEY, wrap(0x04, bytes(40)))),
    ],
    "KEM ciphertext of the wrong length": [lambda: enveloped(set_to(CIPHERTEXT, wrap(0x04, bytes(1087))))],
    "KeyTransRecipientInfo that names an ML-KEM certificate": [
        lambda: key_transport(oids.RSA_ENCRYPTION),
        lambda: key_transport(oids.ML_KEM_768),
    ],
    "KeyTransRecipientInfo with an ML-KEM algorithm": [lambda: key_transport(oids.ML_KEM_768, to_rsa=True)],
    "kekLength": [lambda: enveloped(set_to(KEK_LENGTH, b"\x02\x01\x10"))],
    "Signature of the pkiMessage": [wrong_signature, wrong_request_signature],
    "neither unsigned nor has a statement": [
        lambda: requested(signed_with(oids.ECDSA_WITH_SHA256, unsigned(challenge_password=PASSWORD))),
        signature_key_unsigned,
    ],
    "statementOfPossession names": [by_unknown_certificate, by_another_subject],
    "Encapsulation key": [
        lambda: for_key(spki_with(b"", lambda octets: octets[:-1])),
        lambda: for_key(spki_with(b"", lambda octets: b"\xff" * 3 + octets[3:])),
        weak_key,
    ],
    "keyUsage": [key_usage_asked],
    "senderNonce": [short_nonce],
    "challengePassword is wrong": [password_wrong, password_used, password_used_meanwhile],
    "Confirmation cannot be decoded": [lambda: confirm_changed(no_mac), lambda: confirm_changed(version_2)],
    "MAC of the confirmation": [lambda: confirm_changed(wrong_mac)],
    "after the challenge expired": [late],
    "capsHash": [downgraded],
    "Too many challenges": [too_many_challenges],
    "matches no transaction": [nothing_to_poll],
    "Another request in an open transaction": [another_request],
    "Certificate to be renewed": [renewal_of_an_unknown_certificate, renewal_after_revocation],
    "Renewal of a KEM certificate": [renewal_for_a_signature_key],
    "RenewalReq with an ephemeral signer": [renewal_of_nothing],
    "CSR for a KEM key in EnvelopedData": [
        partial(for_a_kem_key_in_cbc, pop, statement) for pop in Pop for statement in (False, True)
    ],
    "That of a GetCert or GetCRL": [
        partial(certificate_of_nobody, AES128),
        partial(certificate_of_nobody, AES256_GCM),
    ],
    "KEMRecipientInfo in EnvelopedData": [kem_recipient_in_cbc],
    "Nothing can give way": [at_a_limit_of_nothing],
    "CSR that has led to a certificate": [compromised_key],
    "Response key": [response_key_length, response_key_used],
    "Nobody could decrypt": [nobody_decrypts],
}
