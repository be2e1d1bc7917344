"""AuthenticatedData (RFC 5652 section 9): made, read, and refused; pyasn1 and `hmac` are the second opinion.

`openssl cms` does not know it. Bouncy Castle reads and writes it in `interop/bouncycastle`.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap
from pyasn1.codec.der.encoder import encode as pyasn1_encode
from pyasn1_alt_modules import rfc5652

from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import Oid, encode
from pkix.attributes import mandatory
from pkix.authenticated_data import WRONG_MAC, AuthenticatedData, encode_authenticated_data
from pkix.errors import AlgorithmRefused, DecryptionFailed, IntegrityFailed, Malformed
from pkix.identities import Identity, KekIdentity, PasswordIdentity
from pkix.recipients import KekRecipient, PasswordRecipient, Recipient, RsaRecipient
from tests.pkix import second_opinion
from tests.pkix.envelopes import TRANSPORTS, flipped, rsa_recipient
from tests.pkix.forge import NULL, Peer, algorithm, attribute, digest_of, peer, sequence
from tests.pkix.kem_peer import kem_identity, kem_recipient
from tests.pkix.tlv import Node, integer, tlv, to_ber
from tests.world import Random

POLICY = AlgorithmPolicy()
PKI_DATA = Oid("1.3.6.1.5.5.7.12.2")
PRIVATE = Oid("1.2.3.4")
CONTENT = b"0\x00 or anything else"
KEK = KekIdentity(b"\x0c" * 32, b"kek")
PASSWORD = PasswordIdentity(b"password")
MACS = [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()]
MAC_OIDS = {"sha256": oids.HMAC_SHA256, "sha384": oids.HMAC_SHA384, "sha512": oids.HMAC_SHA512}
RECIPIENTS: dict[str, tuple[Recipient, Identity]] = {
    "password": (PasswordRecipient(PASSWORD.password, iterations=1), PASSWORD),
    "KEK": (KekRecipient(KEK.key, KEK.identifier), KEK),
    "RSA": (rsa_recipient(), peer().identity()),
    "RSA OAEP": (rsa_recipient(TRANSPORTS["OAEP SHA-256"]), peer().identity()),
    "ML-KEM": (kem_recipient(), kem_identity()),
}
every_mac = pytest.mark.parametrize("mac", MACS, ids=lambda mac: mac.name)
every_recipient = pytest.mark.parametrize("who", RECIPIENTS)


def made(
    recipient: Recipient = RECIPIENTS["KEK"][0],
    mac: hashes.HashAlgorithm | None = None,
    content_type: Oid = PKI_DATA,
    content: bytes = CONTENT,
) -> bytes:
    """A message of ours, under KEK by default, with an attribute of its own."""
    more = [(PRIVATE, encode(b"an attribute"))]
    return encode_authenticated_data(
        content, [recipient], mac or hashes.SHA256(), Random("mac"), content_type=content_type, attributes=more
    )


def check(message: bytes, *identities: Identity, policy: AlgorithmPolicy = POLICY) -> AuthenticatedData:
    """Decode and verify, under KEK by default."""
    found = AuthenticatedData.decode(message)
    assert found.verify(identities or (KEK,), policy, Random("stand-in")) in (identities or (KEK,))
    return found


def changed(change: Callable[[Node], None], message: bytes | None = None) -> bytes:
    """A valid message with one change made to the tree of its AuthenticatedData.

    Its members: version, recipientInfos, macAlgorithm, digestAlgorithm, encapContentInfo, authAttrs, mac.
    """
    tree = Node.parse(message or made())
    change(tree[1][0])
    return tree.der()


def wrong_mac(message: bytes, *identities: Identity) -> None:
    """Assert that it fails in the one way that explains nothing."""
    with pytest.raises(IntegrityFailed) as caught:
        check(message, *identities)
    assert (caught.value.text, caught.value.__cause__) == (WRONG_MAC, None)


def second(message: bytes) -> Any:
    """As pyasn1 reads it."""
    return second_opinion.exactly(
        second_opinion.content_info(message, rfc5652.id_ct_authData), rfc5652.AuthenticatedData()
    )


@every_mac
@every_recipient
def test_9_what_we_make_we_accept(who: str, mac: hashes.HashAlgorithm) -> None:
    recipient, identity = RECIPIENTS[who]
    found = check(made(recipient, mac), identity)
    assert (found.content_type, found.content) == (PKI_DATA, CONTENT)
    assert encode(found.attributes[PRIVATE]) == encode(b"an attribute")
    assert found.mac_algorithm.algorithm == MAC_OIDS[mac.name]


@pytest.mark.parametrize("content", [b"", b"\x00", b"x" * 70_000], ids=["empty", "one", "70 kB"])
@pytest.mark.parametrize("content_type", [oids.DATA, oids.SIGNED_DATA], ids=oids.label)
def test_9_content_of_any_type_and_length(content_type: Oid, content: bytes) -> None:
    found = check(made(content_type=content_type, content=content))
    assert (found.content_type, found.content) == (content_type, content)


@every_mac
def test_9_1_as_pyasn1_reads_it_and_hmac_computes_it(mac: hashes.HashAlgorithm) -> None:
    found = second(made(mac=mac))
    assert found["version"] == 0
    assert str(found["macAlgorithm"]["algorithm"]) == MAC_OIDS[mac.name].dotted_string
    assert bytes(found["macAlgorithm"]["parameters"]) == NULL
    assert str(found["digestAlgorithm"]["algorithm"]) in {
        oid.dotted_string for oid in (oids.SHA256, oids.SHA384, oids.SHA512)
    }
    assert bytes(found["encapContentInfo"]["eContent"]) == CONTENT
    values = {str(item["attrType"]): bytes(item["attrValues"][0]) for item in found["authAttrs"]}
    assert values[oids.CONTENT_TYPE.dotted_string] == encode(PKI_DATA)
    assert values[oids.MESSAGE_DIGEST.dotted_string] == encode(digest_of(mac, CONTENT))
    key = aes_key_unwrap(KEK.key, bytes(found["recipientInfos"][0]["kekri"]["encryptedKey"]))
    assert len(key) == mac.digest_size
    covered = b"\x31" + second_opinion.encoded(found["authAttrs"])[1:]
    assert bytes(found["mac"]) == hmac.digest(key, covered, mac.name)


def test_9_encoded_by_pyasn1_is_accepted() -> None:
    outer = rfc5652.ContentInfo()
    outer["contentType"] = rfc5652.id_ct_authData
    outer["content"] = pyasn1_encode(second(made()))
    assert check(pyasn1_encode(outer)).content == CONTENT


def test_9_ber_is_accepted() -> None:
    tree = Node.parse(made())
    for form in (lambda low, high: low, lambda low, high: high):
        assert check(to_ber(tree, form)).content == CONTENT


def test_the_key_is_fresh_for_every_message() -> None:
    random = Random("two")
    one, two = (encode_authenticated_data(CONTENT, [RECIPIENTS["KEK"][0]], hashes.SHA256(), random) for _ in range(2))
    assert second(one)["mac"] != second(two)["mac"]


def test_the_first_recipient_that_is_ours_counts() -> None:
    recipients = [RsaRecipient(peer(label="other").certificate), RECIPIENTS["KEK"][0], RECIPIENTS["password"][0]]
    message = encode_authenticated_data(CONTENT, recipients, hashes.SHA256(), Random("several"))
    # A SET OF is sorted, so whose comes first is not the sender's choice.
    assert AuthenticatedData.decode(message).verify([KEK], POLICY, bytes) == KEK
    assert AuthenticatedData.decode(message).verify([PASSWORD], POLICY, bytes) == PASSWORD


def test_repr_does_not_show_the_content() -> None:
    assert repr(AuthenticatedData.decode(made())) == "AuthenticatedData(1.3.6.1.5.5.7.12.2)"


# 9.3: what does not verify


@pytest.mark.parametrize("at", [0, 15, -1])
def test_9_3_a_changed_mac_is_refused(at: int) -> None:
    def change(data: Node) -> None:
        data[6].content = flipped(at)(data[6].content)

    wrong_mac(changed(change))


@pytest.mark.parametrize("size", [0, 1, 16, 31])
def test_9_3_a_mac_cut_short_is_refused(size: int) -> None:
    def change(data: Node) -> None:
        data[6].content = data[6].content[:size]

    wrong_mac(changed(change))


def test_9_3_a_changed_attribute_is_refused() -> None:
    def change(data: Node) -> None:
        (mine,) = (item for item in data[5] if item[0].der() == encode(PRIVATE))
        mine[1][0].content = b"an attributf"

    wrong_mac(changed(change))


def test_9_3_the_mac_of_the_content_alone_is_not_that_of_the_attributes() -> None:
    key = aes_key_unwrap(KEK.key, bytes(second(made())["recipientInfos"][0]["kekri"]["encryptedKey"]))

    def change(data: Node) -> None:
        data[6].content = hmac.digest(key, CONTENT, "sha256")

    wrong_mac(changed(change))


@every_recipient
def test_9_3_another_key_is_refused_with_the_same_error(who: str) -> None:
    recipient, identity = RECIPIENTS[who]
    other = {
        "password": PasswordIdentity(b"another"),
        "KEK": KekIdentity(b"\x0d" * 32, KEK.identifier),
        "RSA": Peer(peer(label="other").key, peer().certificate).identity(),
        "RSA OAEP": Peer(peer(label="other").key, peer().certificate).identity(),
    }.get(who)
    if other is None:
        message = changed(lambda data: _garble(data[1][0][1]), made(recipient))
        wrong_mac(message, identity)
        return
    wrong_mac(made(recipient), other)


def _garble(kem: Node) -> None:
    """KEMRecipientInfo's kemct."""
    kem[3].content = flipped(0)(kem[3].content)


@pytest.mark.parametrize("size", [0, 8, 15])
def test_9_3_a_key_too_short_to_prove_anything_has_the_same_error(size: int) -> None:
    """Whoever knows only our public key can choose the MAC key, but not one that others could guess."""
    public = peer().key.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    short = bytes(size)

    def change(data: Node) -> None:
        data[1][0][3].content = public.encrypt(short, padding.PKCS1v15())
        data[6].content = hmac.digest(short, tlv(0x31, *(item.der() for item in data[5])), "sha256")

    wrong_mac(changed(change, made(rsa_recipient())), peer().identity())


@pytest.mark.parametrize("size", [16, 24, 64, 200])
def test_9_3_a_key_of_another_length_than_ours_is_accepted(size: int) -> None:
    key = bytes(range(size))

    def change(data: Node) -> None:
        data[1][0][3].content = aes_key_wrap(KEK.key, key)
        data[6].content = hmac.digest(key, tlv(0x31, *(item.der() for item in data[5])), "sha256")

    assert check(changed(change)).content == CONTENT


def test_9_3_another_content_is_refused() -> None:
    def change(data: Node) -> None:
        data[4][1][0].content = b"another content"

    with pytest.raises(IntegrityFailed, match="authenticated attribute messageDigest does not fit"):
        check(changed(change))


def test_9_3_another_content_type_is_refused() -> None:
    def change(data: Node) -> None:
        data[4][0] = Node.parse(encode(oids.SIGNED_DATA))

    with pytest.raises(IntegrityFailed, match="authenticated attribute contentType is missing or differs"):
        check(changed(change))


@pytest.mark.parametrize(
    ("missing", "text"), [(oids.CONTENT_TYPE, "contentType"), (oids.MESSAGE_DIGEST, "messageDigest")]
)
def test_9_1_both_attributes_are_required(missing: Oid, text: str) -> None:
    """Also when the MAC is right."""
    key = aes_key_unwrap(KEK.key, bytes(second(made())["recipientInfos"][0]["kekri"]["encryptedKey"]))

    def change(data: Node) -> None:
        data[5].children = [item for item in data[5] if item[0].der() != encode(missing)]
        data[6].content = hmac.digest(key, tlv(0x31, *(item.der() for item in data[5])), "sha256")

    with pytest.raises(IntegrityFailed, match=text):
        check(changed(change))


# Without attributes


def bare(content_type: Oid = oids.DATA) -> bytes:
    """A right MAC over the content alone."""
    key = bytes(32)
    info = KekRecipient(KEK.key, KEK.identifier).recipient_info(key, bytes)
    body = sequence(
        integer(0),
        tlv(0x31, info),
        algorithm(oids.HMAC_SHA256),
        sequence(encode(content_type), tlv(0xA0, tlv(0x04, CONTENT))),
        tlv(0x04, hmac.digest(key, CONTENT, "sha256")),
    )
    return sequence(encode(oids.AUTHENTICATED_DATA), tlv(0xA0, body))


def test_9_2_data_may_have_no_attributes() -> None:
    found = check(bare())
    assert (found.content, found.attributes) == (CONTENT, {})

    def change(data: Node) -> None:
        data[3][1][0].content = b"another content"

    wrong_mac(changed(change, bare()))


def test_9_1_other_content_than_data_needs_attributes() -> None:
    with pytest.raises(Malformed, match="other content than data has no authAttrs"):
        AuthenticatedData.decode(bare(PKI_DATA))


def test_9_2_attributes_passed_off_as_the_content_are_refused() -> None:
    """The MAC does not say which of the two it is over; a content that has the octets of attributes has their MAC.

    It is data, then, and no protocol here takes data in AuthenticatedData.
    """
    tree = Node.parse(made())
    data = tree[1][0]
    octets = tlv(0x31, *(item.der() for item in data[5]))
    data[4] = Node.parse(sequence(encode(PKI_DATA), tlv(0xA0, tlv(0x04, octets))))
    del data[5], data[3]
    with pytest.raises(Malformed, match="other content than data has no authAttrs"):
        AuthenticatedData.decode(tree.der())


@pytest.mark.parametrize("which", [3, 5], ids=["digestAlgorithm", "authAttrs"])
def test_9_1_digest_algorithm_and_attributes_come_together(which: int) -> None:
    def change(data: Node) -> None:
        del data[which]

    with pytest.raises(Malformed, match="authAttrs without digestAlgorithm or the reverse"):
        AuthenticatedData.decode(changed(change))


def test_9_1_empty_attributes_are_refused() -> None:
    def change(data: Node) -> None:
        data[5].children = []

    with pytest.raises(Malformed, match="empty authAttrs"):
        AuthenticatedData.decode(changed(change))


# Algorithms, structure


@pytest.mark.parametrize(
    "scheme",
    [
        algorithm(oids.HMAC_SHA1, NULL),
        algorithm(Oid("1.3.6.1.5.5.8.1.2")),
        algorithm(oids.SHA256),
        algorithm(oids.HMAC_SHA256, integer(16)),
    ],
    ids=["HMAC-SHA1", "HMAC-SHA1 of RFC 3370", "no MAC", "parameters"],
)
def test_other_macs_are_refused(scheme: bytes) -> None:
    def change(data: Node) -> None:
        data[2] = Node.parse(scheme)

    with pytest.raises(AlgorithmRefused, match="use HMAC-SHA256"):
        check(changed(change))


def test_absent_parameters_of_the_mac_mean_null() -> None:
    def change(data: Node) -> None:
        data[2] = Node.parse(algorithm(oids.HMAC_SHA256))

    check(changed(change))


def test_another_mac_than_was_used_is_refused() -> None:
    def change(data: Node) -> None:
        data[2] = Node.parse(algorithm(oids.HMAC_SHA512, NULL))

    wrong_mac(changed(change))


def test_the_digest_obeys_the_policy() -> None:
    def change(data: Node) -> None:
        data[3].children = Node.parse(algorithm(oids.SHA1)).children

    with pytest.raises(AlgorithmRefused, match="SHA-1"):
        check(changed(change))


def test_addressed_to_nobody_here() -> None:
    for identities in ((PASSWORD,), (peer().identity(),)):
        with pytest.raises(DecryptionFailed, match="AuthenticatedData is addressed to nobody here"):
            check(made(), *identities)


@pytest.mark.parametrize("count", [0, 17])
def test_9_1_number_of_recipients(count: int) -> None:
    def change(data: Node) -> None:
        data[1].children = [data[1][0]] * count

    with pytest.raises(Malformed, match="AuthenticatedData does not have 1 to 16 recipients"):
        check(changed(change))


def test_9_1_originator_info_and_unauthenticated_attributes_are_tolerated() -> None:
    def change(data: Node) -> None:
        data.insert(1, Node(0xA0, children=[]))
        data.insert(8, Node(0xA3, children=[Node.parse(attribute(PRIVATE, NULL))]))

    assert check(changed(change)).content == CONTENT


@pytest.mark.parametrize("at", [0, 1, 2, 4, 6])
def test_9_1_a_member_missing_or_of_another_type_is_malformed(at: int) -> None:
    def remove(data: Node) -> None:
        del data[at]

    def replace(data: Node) -> None:
        data[at] = Node(0x0C, b"text")

    for change in (remove, replace):
        with pytest.raises(Malformed):
            check(changed(change))


def test_a_million_values_are_not_read() -> None:
    def change(data: Node) -> None:
        data[5].children = [Node(0x05)] * 65

    with pytest.raises(Malformed, match="holds more than 64 attributes"):
        AuthenticatedData.decode(changed(change))


@pytest.mark.parametrize("text", [b"", b"\x30", b"\x30\x00", b"<html>", b"\x00" * 40, b"\x30\x80" * 40, b"\xff" * 40])
def test_what_is_no_cms_at_all(text: bytes) -> None:
    with pytest.raises(Malformed):
        AuthenticatedData.decode(text)


def test_another_type_and_trailing_octets() -> None:
    with pytest.raises(Malformed, match=r"holds data .*, not AuthenticatedData"):
        AuthenticatedData.decode(sequence(encode(oids.DATA), tlv(0xA0, tlv(0x04, CONTENT))))
    with pytest.raises(Malformed):
        AuthenticatedData.decode(made() + b"\x00")


def test_section_3_repeated_attributes_do_not_pass_for_none() -> None:
    """A MAC over attributes binds the content only by messageDigest, so it must be looked at."""
    again = mandatory(oids.DATA, b"another content", hashes.SHA256())
    message = encode_authenticated_data(
        b"content", [KekRecipient(bytes(16), b"kek")], hashes.SHA256(), Random("twice"), attributes=again
    )
    found = AuthenticatedData.decode(message)
    with pytest.raises(Malformed, match="does not have exactly one value"):
        found.verify([KekIdentity(bytes(16), b"kek")], AlgorithmPolicy(), Random("verify"))
