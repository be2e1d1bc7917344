"""What a client says of an answer that it does not accept: first what the server says, then all that is wrong with it.

`--diagnose` shows what is in it, whatever it was made with, and believes none of it.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from ca.authority import issue
from pkix import oids
from pkix.algorithms import AES128, DES, TRIPLE_DES, AlgorithmPolicy, ContentCipher
from pkix.asn1 import algorithm, encode
from pkix.enveloped_data import encrypt
from pkix.recipients import RsaRecipient
from pkix.signatures import NULL
from pkix.signed_data import Signer, encode_degenerate
from scep.answers import AnswerRefused
from scep.client import ClientSettings, Refused
from tests.scep import craft
from tests.scep.seen import Seen
from tests.scep.test_left_out import with_sha_1
from tests.world import Device, Random, World

MD5 = hashes.MD5()  # noqa: S303 - to be refused
MD5_OID = encode(algorithm(oids.MD5, NULL))
CHALLENGE = "failed validating challenge password"


def device_of(world: World, *, diagnose: bool = False, legacy: bool = False, **more: Any) -> Device:
    settings = ClientSettings(policy=AlgorithmPolicy(legacy=legacy), diagnose=diagnose)
    return world.device(settings=settings, **more)


def no(device: Device, **changed: Any) -> bytes:
    """A CertRep FAILURE with the text of a server of others, signed by the CA."""
    info = {key: changed.pop(key) for key in ("fail_info", "fail_info_text") if key in changed}
    header = craft.reply_header(Seen(device.start()), 2, **({"fail_info": "2", "fail_info_text": CHALLENGE} | info))
    return craft.reply(device.world, header, None, **changed)


def yes(device: Device, cipher: ContentCipher = AES128, inside: bytes | None = None, **changed: Any) -> bytes:
    """A CertRep SUCCESS with a certificate for the device."""
    world = device.world
    issued = issue(world.authority, world.profile, device.request, now=world.now, random=world.random)
    content = encode_degenerate([issued.der]) if inside is None else inside
    sealed = encrypt(content, [RsaRecipient(device.signer.certificate)], cipher, Random("answer"))
    attributes = craft.reply_header(Seen(device.start()), changed.pop("status", 0))
    return craft.reply(world, attributes, sealed, **changed)


def refusal(device: Device, body: bytes) -> AnswerRefused:
    with pytest.raises(AnswerRefused) as caught:
        device.enrolment.receive(body)
    return caught.value


SHA_1_REFUSED = "digest SHA-1 is accepted only under the legacy policy"


def test_a_refusal_with_sha_1_is_told_before_what_we_think_of_sha_1() -> None:
    """As step-ca and micromdm's scepserver sign theirs."""
    device = device_of(World())
    found = refusal(device, no(device, digest=craft.SHA1))
    assert found.text == f"the answer says FAILURE, badRequest: {CHALLENGE!r}, but we do not accept it: {SHA_1_REFUSED}"
    assert found.legacy


def test_under_legacy_the_same_answer_is_the_refusal_that_it_is() -> None:
    device = device_of(World(), legacy=True)
    answer = device.enrolment.receive(no(device, digest=craft.SHA1))
    assert isinstance(answer, Refused)
    assert answer.text == CHALLENGE


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"fail_info": "14606"}, f"failInfo '14606', which RFC 8894 does not define: {CHALLENGE!r}"),
        ({"fail_info_text": ""}, "badRequest"),
        ({"fail_info_text": "x\x1b[2J\nscep-kem: all is well"}, r"badRequest: 'x\x1b[2J\nscep-kem: all is well'"),
    ],
    ids=["undefined", "no text", "terminal"],
)
def test_all_that_can_be_read_of_a_refusal_is_told(given: dict[str, str], told: str) -> None:
    device = device_of(World())
    found = refusal(device, no(device, digest=craft.SHA1, **given))
    assert found.text == f"the answer says FAILURE, {told}, but we do not accept it: {SHA_1_REFUSED}"


def test_all_that_is_wrong_is_told_at_once() -> None:
    world = World()
    device = device_of(world)
    stranger = craft.self_made("rsa:2048", "CN=stranger", "stranger")
    found = refusal(device, yes(device, DES, signer=stranger, digest=craft.SHA1))
    assert found.text == (
        f"the answer says SUCCESS, but we do not accept it: {SHA_1_REFUSED}; the CertRep is signed by a certificate "
        f"that GetCACert did not authenticate; cipher {oids.name(oids.DES_CBC)} is not supported"
    )
    assert not found.legacy
    assert found.old_algorithms


def test_what_only_the_legacy_policy_accepts_is_known() -> None:
    device = device_of(World())
    assert refusal(device, yes(device, TRIPLE_DES, digest=craft.SHA1)).legacy
    assert not refusal(device, yes(device, DES, digest=craft.SHA1)).legacy


def test_what_came_in_an_answer_may_need_the_legacy_policy_too() -> None:
    """The certificate is signed with SHA-1, the answer is not."""
    world = World()
    device = device_of(world)
    issued = issue(world.authority, world.profile, device.request, now=world.now, random=world.random)
    inside = encode_degenerate([with_sha_1(world.authority.ca, x509.load_der_x509_certificate(issued.der))])
    found = refusal(device, yes(device, AES128, inside))
    assert found.text == (
        "the answer says SUCCESS, but we do not accept it: the certificate received is not signed by the CA: its "
        f"signature: {SHA_1_REFUSED}"
    )
    assert found.legacy


@pytest.mark.parametrize("cipher", [TRIPLE_DES, DES], ids=lambda cipher: cipher.name)
def test_our_user_gets_no_advice_that_is_for_the_server(cipher: ContentCipher) -> None:
    device = device_of(World())
    text = refusal(device, yes(device, cipher, digest=craft.SHA1)).text
    assert "use " not in text


def test_a_wrong_signature_is_told_with_what_it_is_on() -> None:
    device = device_of(World())
    impostor = Signer(craft.self_made("rsa:2048", "CN=CA", "impostor").key, device.world.authority.certificate)
    found = refusal(device, no(device, signer=impostor))
    begin = (
        f"the answer says FAILURE, badRequest: {CHALLENGE!r}, but we do not accept it: the signature does not verify"
    )
    assert found.text.startswith(begin)


# --diagnose


def certificate_line(device: Device, end: str = "for the requested key, signed by the CA") -> str:
    name = "O=Example,CN=device" if "O=Example,CN" in str(device.request.subject_text) else "CN=device,O=Example"
    return rf"certificate: {name}, serial [0-9a-f]+, from .* to .* UTC, {end}"


@pytest.mark.parametrize("cipher", [DES, TRIPLE_DES, AES128], ids=lambda cipher: cipher.name)
@pytest.mark.parametrize("digest", [craft.SHA1, MD5], ids=lambda digest: digest.name)
def test_diagnose_shows_what_old_algorithms_hold(cipher: ContentCipher, digest: hashes.HashAlgorithm) -> None:
    device, named = device_of(World(), diagnose=True), MD5_OID if digest is MD5 else None
    found = refusal(device, yes(device, cipher, digest=digest, digest_algorithm=named))
    signature, content, certificate = found.diagnosis
    assert signature == "signature: right, by CN=CA,O=Example, a certificate of GetCACert"
    assert content == f"content: {cipher.name}, 1 certificate(s), 0 CRL(s)"
    assert re.fullmatch(certificate_line(device), certificate)


def test_diagnose_believes_nothing() -> None:
    """It ends with the same refusal."""
    texts = []
    for diagnose in (False, True):
        device = device_of(World(), diagnose=diagnose)
        found = refusal(device, yes(device, DES, digest=craft.SHA1))
        texts.append(found.text)
        assert bool(found.diagnosis) is diagnose
    assert texts[0] == texts[1]


def test_diagnose_tells_a_wrong_signature_and_a_certificate_of_somebody_else() -> None:
    world = World()
    device = device_of(world, diagnose=True)
    other = craft.self_made("rsa:2048", "CN=other", "other").certificate
    impostor = Signer(craft.self_made("rsa:2048", "CN=CA", "impostor").key, world.authority.certificate)
    inside = encode_degenerate([other.der, b"\x30\x03\x02\x01\x05"])
    signature, _content, certificate, junk = refusal(device, yes(device, DES, inside, signer=impostor)).diagnosis
    assert signature.startswith("signature: the signature does not verify with the signer certificate's key")
    assert "for another key, not signed by the CA: its issuer is CN=other" in certificate
    assert junk.startswith("certificate: cannot be read: ")


@pytest.mark.parametrize("inside", [b"", b"junk"])
def test_diagnose_of_an_envelope_that_holds_something_else(inside: bytes) -> None:
    device = device_of(World(), diagnose=True)
    _signature, content = refusal(device, yes(device, DES, inside)).diagnosis
    assert content.startswith("content: ")


def test_diagnose_of_a_refusal_says_that_there_is_no_content() -> None:
    device = device_of(World(), diagnose=True)
    _signature, content = refusal(device, no(device, digest=MD5, digest_algorithm=MD5_OID)).diagnosis
    assert content == "content: no pkcsPKIEnvelope"
