"""The examples that end in FAILURE: every way there of the transaction table, and every failInfo."""

from __future__ import annotations

from datetime import timedelta

from cryptography.hazmat.primitives import hashes

from ca.store import Decision
from drafts.tools.examples.page import Page
from drafts.tools.examples.parties import EPHEMERAL, ExampleCa, name
from drafts.tools.examples.scene import MANUAL, Scene
from drafts.tools.examples.stories import CHALLENGED, WAITING, Stage, Story, expect, issued
from drafts.tools.labelled import Labelled
from kem.parameters import ML_KEM_768
from kem.structures import SubjectPublicKeyInfo, algorithm, bit_string, encode
from pkix.asn1 import any_of
from pkix.certificates import Certificate, IssuerAndSerialNumber
from pkix.pkcs10 import encode_certification_request, encode_statement_request, encode_unsigned_request
from scep.attributes import RESPONSE_KEY, FailInfo, MessageType
from scep.client import KemKey, Refused
from scep.kem_pop import encode_response_key
from scep.settings import KemPolicy, Settings

USED_PASSWORD, OTHER_PASSWORD = "password-15", "another password"


def refused(outcome: object, fail_info: FailInfo) -> None:
    """Raises AssertionError when an example did not fail as it is told."""
    assert isinstance(outcome, Refused) and outcome.fail_info is fail_info, outcome


def _tell(page: Page, text: str, *, listed: tuple[int, ...] = (), answer: int = 0) -> None:
    """The messages by title, and what the last answer says, or the one named."""
    if text:
        page.say(text)
    page.listing(*(listed or range(1, len(page.scene.messages) + 1)))
    page.attributes(answer or len(page.scene.messages))


def _story(scene: Scene, text: str, *, listed: tuple[int, ...] = (), answer: int = 0) -> Story:
    """A scene of which there is nothing to tell but this."""
    return Story(scene, lambda page: _tell(page, text, listed=listed, answer=answer))


def wrong_mac(stage: Stage) -> Story:
    """The client cannot decapsulate."""
    scene = stage.scene("11-wrong-mac", "badMessageCheck: the MAC of the confirmation is wrong.")
    wrong = stage.cast.kem_key("ML-KEM-768", "stranger", "a key that is not the requested one")
    client = stage.kem_client(scene, "11", private=wrong.key)
    expect(client.start(), CHALLENGED)
    refused(client.poll(), FailInfo.badMessageCheck)
    refused(client.poll(), FailInfo.badRequest)

    def tell(page: Page) -> None:
        _tell(
            page,
            "Who sends the confirmation of message 3 has decapsulated with another key (stranger). By implicit "
            "rejection this gives another ss, and so another MAC, and no error on the client's side. The secret is "
            "deleted; a CertPoll afterwards (message 5) gets the reason on record.",
            answer=4,
        )
        page.differing(3, "signedAttrs", "KemPopConfirm")

    return Story(scene, tell)


def expired_challenge(stage: Stage) -> Story:
    """The confirmation comes after `expires`."""
    scene = stage.scene("12-expired-challenge", "badRequest: the right confirmation comes after expires.")
    client = stage.kem_client(scene, "12")
    expect(client.start(), CHALLENGED)
    scene.tick(minutes=11)
    refused(client.poll(), FailInfo.badRequest)
    return _story(scene, "The CertPoll is sent eleven minutes after the challenge.")


def downgrade(stage: Stage) -> Story:
    """Somebody changed GetCACaps on its way."""
    scene = stage.scene("13-downgrade", "badRequest: the client acted on capabilities that the CA does not serve.")
    seen = b"".join(line for line in scene.responder.get_ca_caps().splitlines(True) if line != b"ML-DSA\n")
    client = stage.kem_client(scene, "13", capabilities=seen)
    expect(client.start(), CHALLENGED)
    refused(client.poll(), FailInfo.badRequest)

    def tell(page: Page) -> None:
        _tell(
            page,
            "The line ML-DSA was taken out of GetCACaps before it reached the client, whose ephemeral key is therefore "
            "an ECDSA key. The MAC of the confirmation is right, and its capsHash is the hash of the body without that "
            "line.",
        )
        page.differing(3, "signedAttrs", "KemPopConfirm")

    return Story(scene, tell)


def other_request(stage: Stage) -> Story:
    """A second request in an open transaction."""
    scene = stage.scene("14-other-request", "badRequest: another request in a transaction that waits.")
    client = stage.kem_client(scene, "14")
    expect(client.start(), CHALLENGED)
    other = encode_unsigned_request(client.keys[0][1].spki, name("CN=device 14"), challenge_password=OTHER_PASSWORD)
    again = scene.enrolment(
        other,
        stage.signer("14"),
        who="client-again",
        transaction_id=client.enrolment.transaction_id,
        keys=client.keys,
    )
    refused(again.start(), FailInfo.badRequest)
    issued(client.poll())

    def tell(page: Page) -> None:
        _tell(
            page,
            "Message 3 has transactionID and signer of message 1, and a CertificationRequest with another "
            "challengePassword. The transaction is not touched: messages 5 and 6 bring it to its end.",
            answer=4,
        )

    return Story(scene, tell)


def used_password(stage: Stage) -> Story:
    """A challengePassword is good for one certificate."""
    scene = stage.scene("15-used-password", "badRequest: the challengePassword has been used.")
    first = stage.kem_client(scene, "15")
    expect(first.start(), CHALLENGED)
    issued(first.poll())
    second = stage.kem_client(scene, "15b", password=USED_PASSWORD, who="client-b")
    refused(second.start(), FailInfo.badRequest)
    return _story(
        scene,
        "Message 5 is another device's PKCSReq, with the challengePassword of messages 1 to 4. No challenge is made.",
    )


def malformed_key(stage: Stage) -> Story:
    """The modulus check of FIPS 203 section 7.2."""
    scene = stage.scene(
        "16-malformed-key", "badRequest: an encapsulation key that fails the modulus check of FIPS 203."
    )
    good = stage.cast.kem_key("ML-KEM-768", "device-16", "key of device 16, damaged in its request")
    octets = good.spki[-ML_KEM_768.encapsulation_key_length :]
    damaged = encode(
        SubjectPublicKeyInfo(
            algorithm=algorithm(ML_KEM_768.oid), subject_public_key=bit_string(b"\xff\xff" + octets[2:])
        )
    )
    signer = stage.cast.self_signed("ec:P-256", "signer-16", EPHEMERAL, "ephemeral signer of device 16")
    request = encode_unsigned_request(damaged, name("CN=device 16"), challenge_password=scene.password("password-16"))
    client = scene.enrolment(request, signer, keys=(("device-16", KemKey(good.key, damaged)),))
    refused(client.start(), FailInfo.badRequest)
    return _story(
        scene,
        "The first two octets of the encapsulation key are ff ff, so that its first coefficient is 4095, which "
        "is not below q = 3329. Nothing is encapsulated to it.",
    )


def bad_algorithm(stage: Stage) -> Story:
    """badAlg."""
    scene = stage.scene("17-bad-algorithm", "badAlg: the PKCSReq is signed with SHA-1.")
    settings = scene.client_settings(digest=hashes.SHA1())  # noqa: S303 - to be refused
    client = stage.kem_client(scene, "17", settings=settings)
    refused(client.start(), FailInfo.badAlg)

    def tell(page: Page) -> None:
        _tell(page, "The answer is signed with SHA-256 all the same.")
        page.differing(1, "SignerInfo", "digestAlgorithm")

    return Story(scene, tell)


def unknown_transaction(stage: Stage) -> Story:
    """CertPoll of nothing."""
    scene = stage.scene("18-unknown-transaction", "badRequest: a CertPoll that no transaction matches.")
    client = stage.kem_client(scene, "18")
    refused(client.poll(), FailInfo.badRequest)
    return _story(scene, "The CA knows no transaction of this transactionID and signer.")


def gave_way(stage: Stage) -> Story:
    """The cap on open challenges."""
    scene = stage.scene(
        "19-gave-way",
        "badRequest: the transaction had to give way to a later one.",
        ExampleCa(stage.ca.authority),
        kem=KemPolicy(max_challenged=1),
    )
    first = stage.kem_client(scene, "19")
    expect(first.start(), CHALLENGED)
    second = stage.kem_client(scene, "19b", who="client-b")
    expect(second.start(), CHALLENGED)
    refused(first.poll(), FailInfo.badRequest)
    return _story(
        scene,
        "This CA allows one open challenge. When device 19b is challenged, the transaction of device 19 is forgotten, "
        "and its confirmation matches none. Device 19 sends its request again.",
    )


def too_many_challenges(stage: Stage) -> Story:
    """The cap on challenges of one transaction."""
    scene = stage.scene(
        "20-too-many-challenges",
        "badRequest: too many challenges without a confirmation.",
        kem=KemPolicy(max_challenges=2),
    )
    client = stage.kem_client(scene, "20")
    for _ in range(2):
        expect(client.start(), CHALLENGED)
    refused(client.start(), FailInfo.badRequest)
    return _story(
        scene,
        "The client sends its CertificationRequest again and again and never confirms. This CA sends two "
        "challenges for one transaction, each made anew, and then ends it.",
    )


def rejected(stage: Stage) -> Story:
    """The operator says no."""
    scene = stage.scene("21-rejected", "badRequest: possession is proven, and the operator rejects.", policy=MANUAL)
    client = stage.kem_client(scene, "21", with_password=False)
    expect(client.start(), CHALLENGED)
    expect(client.poll(), WAITING)
    scene.decide(Decision.REJECTED, "not one of our devices")
    refused(client.poll(), FailInfo.badRequest)
    return _story(scene, "Between messages 4 and 5 the operator rejects the request.")


def used_response_key(stage: Stage) -> Story:
    """Under the policy single-request."""
    scene = stage.scene("22-used-response-key", "badRequest: the responseKey has been used.")
    random = scene.random("response-key")
    attribute = encode_response_key(identifier := random(16), kek := random(32))
    scene.keyring.keks[identifier] = ("responseKey", kek)
    for suffix, who in (("", "client"), ("b", "client-b")):
        label, subject = f"device-22{suffix}", f"CN=device 22{suffix}"
        signer = stage.cast.self_signed("ec:P-256", label, subject, "key and self-signed signer")
        request = encode_certification_request(
            signer.key,
            name(subject),
            challenge_password=scene.password(f"password-22{suffix}"),
            attributes=[(RESPONSE_KEY, attribute)],
        )
        outcome = scene.enrolment(request, signer, who=who).start()
    refused(outcome, FailInfo.badRequest)
    return _story(scene, "Message 3 is another device's PKCSReq, with the responseKey of message 1.")


def unknown_certificate(stage: Stage) -> Story:
    """badCertId."""
    scene = stage.scene("23-unknown-certificate", "badCertId: GetCert for a serial number that the CA did not issue.")
    signer = stage.cast.self_signed("ec:P-256", "signer-23", EPHEMERAL, "signer of a query")
    issuer = any_of(scene.ca.authority.certificate.subject)
    wanted = IssuerAndSerialNumber(issuer=issuer, serial_number=int.from_bytes(Labelled("no certificate")(16), "big"))
    query = scene.query(MessageType.GetCert, wanted, signer=signer)
    refused(scene.send("GetCert", query.start(now=scene.now), query.receive), FailInfo.badCertId)
    return _story(scene, "messageData of message 1 is an IssuerAndSerialNumber.")


def bad_time(stage: Stage) -> Story:
    """badTime."""
    scene = stage.scene(
        "24-bad-time",
        "badTime: a CA that minds signingTime, and a client whose clock is a day ahead.",
        settings=Settings(max_clock_skew=timedelta(hours=1)),
    )
    client = stage.kem_client(scene, "24").enrolment
    octets = client.start(now=scene.now + timedelta(days=1))
    refused(scene.send("PKCSReq", octets, client.receive), FailInfo.badTime)

    def tell(page: Page) -> None:
        _tell(page, "")
        page.differing(1, "signedAttrs", "signingTime")

    return Story(scene, tell)


def wrong_signature(stage: Stage) -> Story:
    """One bit of the signature is wrong."""
    scene = stage.scene("25-wrong-signature", "badMessageCheck: the signature of the PKCSReq is wrong.")
    client = stage.kem_client(scene, "25").enrolment
    octets = client.start(now=scene.now)
    damaged = octets[:-1] + bytes((octets[-1] ^ 1,))
    refused(scene.send("PKCSReq", damaged, client.receive), FailInfo.badMessageCheck)
    return _story(scene, "The last bit of message 1 was flipped after it was signed.")


def renewal_for_another_key(stage: Stage) -> Story:
    """Without a challenge, nothing would prove that the certificate to renew is the client's."""
    scene = stage.scene(
        "26-renewal-for-another-key",
        "badRequest: the certificate to renew is for an ML-KEM key, and the request is for a P-256 key.",
    )
    random = scene.random("response-key")
    attribute = encode_response_key(random(16), random(32))
    signer = stage.cast.self_signed("ec:P-256", "device-26", "CN=device 2", "key and self-signed signer")
    request = encode_certification_request(signer.key, name("CN=device 2"), attributes=[(RESPONSE_KEY, attribute)])
    old = stage.cast.kem_key("ML-KEM-768", "device-2", "key of device 2")
    certificate = Certificate.decode(stage.issued["device-2"])
    client = scene.enrolment(
        request, signer, renewal=True, renewed=KemKey(old.key, old.spki, certificate), capabilities=None
    )
    refused(client.start("RenewalReq"), FailInfo.badRequest)
    return _story(
        scene,
        "The RenewalReq brings the certificate of 02-mlkem768, which anybody could bring. Only a second "
        "ciphertext could prove that the client has its key, and there is no challenge for a P-256 key.",
    )


def unknown_statement(stage: Stage) -> Story:
    """The statement of possession is not by a certificate of this CA."""
    scene = stage.scene(
        "27-unknown-statement", "badRequest: a statement of possession by a certificate that the CA did not issue."
    )
    key = stage.cast.kem_key("ML-KEM-768", "device-27", "key of device 27")
    signer = stage.signer("27")
    request = encode_statement_request(
        key.spki,
        name("CN=device 27"),
        signer.key,
        signer.certificate,
        challenge_password=scene.password("password-27"),
    )
    client = scene.enrolment(request, signer, keys=(("device-27", key),))
    refused(client.start(), FailInfo.badRequest)
    return _story(scene, "The statement is by the ephemeral signer's self-signed certificate.")


FAILURES = (
    wrong_mac,
    expired_challenge,
    downgrade,
    other_request,
    used_password,
    malformed_key,
    bad_algorithm,
    unknown_transaction,
    gave_way,
    too_many_challenges,
    rejected,
    used_response_key,
    unknown_certificate,
    bad_time,
    wrong_signature,
    renewal_for_another_key,
    unknown_statement,
)
