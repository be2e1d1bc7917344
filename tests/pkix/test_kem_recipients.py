"""KEMRecipientInfo (RFC 9629, RFC 9936): what we make, what we accept, and what is wrong with the rest."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric import mlkem
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap
from pyasn1.codec.der.decoder import decode as decode_asn1
from pyasn1_alt_modules import rfc9629

from kem.backend import Encapsulation
from kem.errors import InvalidCiphertext, KemError, MalformedStructure, UnsupportedAlgorithm
from kem.kdf import HKDF_SHA256, HKDF_SHA384, HKDF_SHA512, Kdf
from kem.keys import encode_public_key
from pkix import oids
from pkix.algorithms import AES128, AES256_GCM, ContentCipher
from pkix.asn1 import encode
from pkix.certificates import Certificate, key_identifier
from pkix.enveloped_data import describe, encrypt, inspect
from pkix.errors import AlgorithmRefused, DecryptionFailed, Malformed, PkixError
from pkix.kem_recipients import KemIdentity, KemRecipient
from tests.pkix import second_opinion
from tests.pkix.envelopes import CONTENT, POLICY, cannot_decrypt, changed, made, opened, recipient, rsa_recipient
from tests.pkix.forge import algorithm, certificate, sequence
from tests.pkix.tlv import Node, explicit, integer, tlv
from tests.world import BACKENDS, kem_key

SETS = ["ML-KEM-768", "ML-KEM-1024"]
KDFS = [HKDF_SHA256, HKDF_SHA384, HKDF_SHA512]
DIGESTS = {HKDF_SHA256.oid: "sha256", HKDF_SHA384.oid: "sha384", HKDF_SHA512.oid: "sha512"}
WRAPS = {oids.AES128_WRAP: 16, oids.AES192_WRAP: 24, oids.AES256_WRAP: 32}
CEK = b"\x0d" * 16
PRIVATE = {"ML-KEM-768": mlkem.MLKEM768PrivateKey, "ML-KEM-1024": mlkem.MLKEM1024PrivateKey}


def own_certificate(parameter_set: str = "ML-KEM-768", label: str = "") -> Certificate:
    """A certificate with a KEM key."""
    return certificate(encode_public_key(kem_key(parameter_set, label)[1]))


def identity(parameter_set: str = "ML-KEM-768", label: str = "", *, named: bool = True) -> KemIdentity:
    """Who opens it. named: by a certificate too."""
    private, public = kem_key(parameter_set, label)
    return KemIdentity(
        kem=public.parameter_set.oid,
        decapsulate=partial(BACKENDS.decapsulate, private),
        certificate=own_certificate(parameter_set, label) if named else None,
        key_identifier=key_identifier(encode_public_key(public)),
    )


def to(
    parameter_set: str = "ML-KEM-768", *, ski: bool = True, kdf: Kdf = HKDF_SHA256, ukm: bytes | None = None
) -> KemRecipient:
    """Our recipient."""
    _private, public = kem_key(parameter_set)
    rid = key_identifier(encode_public_key(public)) if ski else own_certificate(parameter_set).issuer_and_serial
    return KemRecipient(public.parameter_set.oid, lambda: BACKENDS.encapsulate(public), rid, kdf, ukm)


def hkdf(digest: str, secret: bytes, length: int, info: bytes) -> bytes:
    """RFC 5869 with an absent salt, one block, which is all a KEK needs."""
    prk = hmac.digest(b"\0" * hashlib.new(digest).digest_size, secret, digest)
    return hmac.digest(prk, info + b"\1", digest)[:length]


def other_info(wrap: bytes, length: int, ukm: bytes | None) -> bytes:
    """DER CMSORIforKEMOtherInfo (RFC 9629 section 5)."""
    return sequence(wrap, integer(length), b"" if ukm is None else explicit(0, tlv(0x04, ukm)))


def kemri(
    *,
    kdf: Kdf = HKDF_SHA256,
    wrap: oids.Oid = oids.AES256_WRAP,
    ukm: bytes | None = None,
    used_ukm: bytes | str | None = "same",
    length: int | None = None,
    version: int = 0,
    kem: bytes | None = None,
    kdf_algorithm: bytes | None = None,
    wrap_algorithm: bytes | None = None,
    ciphertext: Callable[[bytes], bytes] = lambda octets: octets,
    wrapped: Callable[[bytes], bytes] = lambda octets: octets,
    ori_type: oids.Oid = oids.ORI_KEM,
    rid: bytes | None = None,
) -> bytes:
    """A RecipientInfo made of TLVs with hashlib's HMAC, which shares no code with what is tested."""
    _private, public = kem_key("ML-KEM-768")
    secret, octets = mlkem.MLKEM768PublicKey.from_public_bytes(public.octets).encapsulate()
    size = WRAPS.get(wrap, 32)
    stated = size if length is None else length
    scheme = algorithm(wrap) if wrap_algorithm is None else wrap_algorithm
    bound = ukm if used_ukm == "same" else used_ukm
    assert not isinstance(bound, str)
    kek = hkdf(DIGESTS[kdf.oid], secret, size, other_info(scheme, stated, bound))
    info = sequence(
        integer(version),
        tlv(0x80, key_identifier(encode_public_key(public))) if rid is None else rid,
        algorithm(public.parameter_set.oid) if kem is None else kem,
        tlv(0x04, ciphertext(octets)),
        algorithm(kdf.oid) if kdf_algorithm is None else kdf_algorithm,
        integer(stated),
        b"" if ukm is None else explicit(0, tlv(0x04, ukm)),
        scheme,
        tlv(0x04, wrapped(aes_key_wrap(kek, CEK))),
    )
    return tlv(0xA4, encode(ori_type), info)


def envelope(recipient_info: bytes) -> bytes:
    """An EnvelopedData for this RecipientInfo whose content-encryption key is CEK."""

    class Given:
        version = 3

        def recipient_info(self, key: bytes, random: object) -> bytes:
            return recipient_info

    return encrypt(CONTENT, [Given()], AES128, lambda size: (CEK * 2)[:size])


@pytest.mark.parametrize("parameter_set", SETS)
@pytest.mark.parametrize("ski", [True, False])
@pytest.mark.parametrize("cipher", [AES128, AES256_GCM], ids=lambda cipher: cipher.name)
def test_what_we_make_we_open(parameter_set: str, ski: bool, cipher: ContentCipher) -> None:
    found = opened(made(to(parameter_set, ski=ski), cipher=cipher), identity(parameter_set))
    assert found.content == CONTENT
    assert found.key_transport is None


@pytest.mark.parametrize("parameter_set", SETS)
@pytest.mark.parametrize("kdf", KDFS, ids=lambda kdf: kdf.name)
@pytest.mark.parametrize("ukm", [None, b"", b"user keying material"])
def test_what_we_make_is_rfc_9629_s_structure_and_opens_by_other_means(
    parameter_set: str, kdf: Kdf, ukm: bytes | None
) -> None:
    der = to(parameter_set, kdf=kdf, ukm=ukm).recipient_info(CEK, bytes)
    tree = Node.parse(der)
    assert (tree.tag, tree[0].der()) == (0xA4, bytes.fromhex("060b2a864886f70d0109100d03"))
    found = second_opinion.exactly(tree[1].der(), rfc9629.KEMRecipientInfo())
    assert (int(found["version"]), int(found["kekLength"])) == (0, 32)
    assert str(found["wrap"]["algorithm"]) == oids.AES256_WRAP.dotted_string
    assert str(found["kdf"]["algorithm"]) == kdf.oid.dotted_string
    assert [found[name]["parameters"].isValue for name in ("kem", "kdf", "wrap")] == [False] * 3
    assert found["ukm"].isValue == (ukm is not None)
    seed = kem_key(parameter_set)[0].seed
    assert seed is not None
    secret = PRIVATE[parameter_set].from_seed_bytes(seed).decapsulate(bytes(found["kemct"]))
    kek = hkdf(DIGESTS[kdf.oid], secret, 32, other_info(algorithm(oids.AES256_WRAP), 32, ukm))
    assert aes_key_unwrap(kek, bytes(found["encryptedKey"])) == CEK


def test_the_other_info_is_rfc_9629_s() -> None:
    der = other_info(algorithm(oids.AES256_WRAP), 32, b"ukm")
    found = second_opinion.exactly(der, rfc9629.CMSORIforKEMOtherInfo())
    assert (int(found["kekLength"]), bytes(found["ukm"])) == (32, b"ukm")


def test_ml_kem_512_goes_with_aes_128_wrap() -> None:

    recipient = KemRecipient(oids.ML_KEM_512, lambda: Encapsulation(bytes(768), bytes(32)), b"rid")
    found, _rest = decode_asn1(
        Node.parse(recipient.recipient_info(CEK, bytes))[1].der(), asn1Spec=rfc9629.KEMRecipientInfo()
    )
    assert (int(found["kekLength"]), str(found["wrap"]["algorithm"])) == (16, oids.AES128_WRAP.dotted_string)


def test_every_envelope_is_a_new_encapsulation() -> None:
    recipient = to()
    one, two = (Node.parse(recipient.recipient_info(CEK, bytes))[1][3].content for _ in range(2))
    assert one != two


def test_the_version_of_the_enveloped_data_is_3_and_of_auth_enveloped_data_0() -> None:
    assert Node.parse(made(to()))[1][0][0].content == b"\x03"
    assert Node.parse(made(to(), cipher=AES256_GCM))[1][0][0].content == b"\x00"


@pytest.mark.parametrize("kdf", KDFS, ids=lambda kdf: kdf.name)
@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("ukm", [None, b"", b"user keying material", bytes(64)])
def test_every_kdf_wrap_and_ukm_is_accepted(kdf: Kdf, wrap: oids.Oid, ukm: bytes | None) -> None:
    assert opened(envelope(kemri(kdf=kdf, wrap=wrap, ukm=ukm)), identity()).content == CONTENT


@pytest.mark.parametrize(("sent", "used"), [(None, b""), (b"", None), (b"a", b"b"), (b"a", None), (None, b"a")])
def test_another_ukm_gives_another_key(sent: bytes | None, used: bytes | None) -> None:
    """An absent ukm and an empty one are different inputs."""
    cannot_decrypt(envelope(kemri(ukm=sent, used_ukm=used)), identity())


@pytest.mark.parametrize("length", [0, 15, 16, 24, 31, 33, 64])
def test_a_kek_length_that_does_not_fit_the_wrap_is_malformed(length: int) -> None:
    with pytest.raises(Malformed, match="kekLength"):
        opened(envelope(kemri(length=length)), identity())


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        (algorithm(oids.AES256_CBC), "use AES key wrap"),
        (algorithm(oids.AES256_WRAP, b"\x05\x00"), r"aes256-wrap \S+ has parameters; they must be absent"),
        (algorithm(oids.Oid("1.2.840.113549.1.9.16.3.6")), "use AES key wrap"),
    ],
    ids=["CBC", "parameters", "3DES wrap"],
)
def test_another_key_wrap_is_refused(scheme: bytes, text: str) -> None:
    with pytest.raises(AlgorithmRefused, match=text):
        opened(envelope(kemri(wrap_algorithm=scheme)), identity())


@pytest.mark.parametrize(
    ("scheme", "error"),
    [
        (algorithm(HKDF_SHA256.oid, b"\x05\x00"), MalformedStructure),
        (algorithm(oids.Oid("1.3.133.16.840.63.0.2")), UnsupportedAlgorithm),
        (algorithm(oids.SHA256), UnsupportedAlgorithm),
    ],
    ids=["parameters", "X9.63", "SHA-256"],
)
def test_another_kdf_is_refused(scheme: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        opened(envelope(kemri(kdf_algorithm=scheme)), identity())


def test_a_kdf_other_than_stated_gives_another_key() -> None:
    cannot_decrypt(envelope(kemri(kdf=HKDF_SHA256, kdf_algorithm=algorithm(HKDF_SHA512.oid))), identity())


def test_another_version_is_malformed() -> None:
    with pytest.raises(Malformed, match="version 1, not 0"):
        opened(envelope(kemri(version=1)), identity())


def test_parameters_of_the_kem_are_malformed() -> None:
    with pytest.raises(Malformed, match="must be absent"):
        opened(envelope(kemri(kem=algorithm(oids.ML_KEM_768, b"\x05\x00"))), identity())


@pytest.mark.parametrize("at", [0, 500, 1087])
def test_a_flipped_bit_in_the_ciphertext_shows_when_unwrapping(at: int) -> None:
    def flip(octets: bytes) -> bytes:
        return octets[:at] + bytes((octets[at] ^ 1,)) + octets[at + 1 :]

    cannot_decrypt(envelope(kemri(ciphertext=flip)), identity())


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: c + b"\0", lambda c: b""])
def test_a_ciphertext_of_another_length_is_refused(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(InvalidCiphertext, match="must have 1088"):
        opened(envelope(kemri(ciphertext=change)), identity())


@pytest.mark.parametrize(
    "change", [lambda w: w[:-1], lambda w: w[:-8], lambda w: b"", lambda w: w[:-1] + bytes((w[-1] ^ 1,))]
)
def test_a_broken_wrapped_key_has_the_one_error(change: Callable[[bytes], bytes]) -> None:
    cannot_decrypt(envelope(kemri(wrapped=change)), identity())


def test_the_wrong_private_key_has_the_one_error() -> None:
    right = identity()
    private, _public = kem_key("ML-KEM-768", "wrong")
    wrong = KemIdentity(right.kem, partial(BACKENDS.decapsulate, private), right.certificate, right.key_identifier)
    cannot_decrypt(envelope(kemri()), wrong)


# Who is meant


@pytest.mark.parametrize("ski", [True, False], ids=["by key", "by certificate"])
def test_key_transport_to_an_ml_kem_certificate_is_told_what_is_right(ski: bool) -> None:
    certificate = identity().certificate
    assert certificate is not None
    rid = tlv(0x80, identity().key_identifier) if ski else encode(certificate.issuer_and_serial)
    info = sequence(integer(0), rid, algorithm(oids.RSA_ENCRYPTION, b"\5\0"), tlv(0x04, bytes(256)))
    with pytest.raises(
        DecryptionFailed, match=r"a KeyTransRecipientInfo for our ML-KEM certificate; use KEMRecipientInfo"
    ):
        opened(envelope(info), identity())
    other = sequence(integer(0), tlv(0x80, b"other"), algorithm(oids.ML_KEM_768), tlv(0x04, bytes(256)))
    with pytest.raises(DecryptionFailed, match="addressed to none"):
        opened(envelope(other), identity())


def test_an_issuer_and_serial_number_needs_a_certificate() -> None:
    message = made(to(ski=False))
    assert opened(message, identity()).content == CONTENT
    with pytest.raises(DecryptionFailed, match="addressed to none"):
        opened(message, identity(named=False))


@pytest.mark.parametrize("rid", [tlv(0x80, b"other"), tlv(0x80), sequence(sequence(), integer(77))])
def test_another_recipient_is_not_us(rid: bytes) -> None:
    with pytest.raises(DecryptionFailed, match="addressed to none"):
        opened(envelope(kemri(rid=rid)), identity())


def test_our_name_with_another_parameter_set_is_not_us() -> None:
    with pytest.raises(DecryptionFailed, match=r"a KEMRecipientInfo with ML-KEM-1024 \S+ for our ML-KEM-768 key"):
        opened(envelope(kemri(kem=algorithm(oids.ML_KEM_1024))), identity())


def test_another_kind_of_other_recipient_is_passed_over() -> None:
    with pytest.raises(DecryptionFailed, match="a recipient of a type that is not supported"):
        opened(envelope(kemri(ori_type=oids.Oid("1.2.840.113549.1.9.16.13.1"))), identity())


def test_an_other_recipient_that_is_no_kemri_is_malformed() -> None:
    with pytest.raises(Malformed, match="KEMRecipientInfo"):
        opened(envelope(tlv(0xA4, encode(oids.ORI_KEM), sequence(integer(0)))), identity())


@pytest.mark.parametrize("kem", [oids.ML_KEM_512, oids.ML_KEM_768, oids.ML_KEM_1024])
def test_key_transport_that_names_ml_kem_is_malformed(kem: oids.Oid) -> None:

    def change(enveloped: Node) -> None:
        recipient(enveloped)[2] = Node.parse(algorithm(kem))

    with pytest.raises(Malformed, match="use KEMRecipientInfo"):
        opened(changed(change))


def test_among_several_recipients_the_one_that_is_ours_is_found() -> None:

    message = made(rsa_recipient(), to("ML-KEM-1024"), to())
    for who in (identity(), identity("ML-KEM-1024")):
        assert opened(message, who).content == CONTENT
    assert opened(message).content == CONTENT


def test_an_envelope_is_inspected_and_described_without_decapsulating() -> None:
    def never(_ciphertext: bytes) -> bytes:
        raise AssertionError("decapsulated")

    right = identity()
    who = KemIdentity(right.kem, never, right.certificate, right.key_identifier)
    message = envelope(kemri())
    assert inspect(message, [who], POLICY).identity is who
    assert describe(message).startswith("AES-128-CBC, ML-KEM-768 with HKDF-SHA256 and aes256-wrap")


def test_bits_of_a_kemri_may_be_anything_and_only_documented_errors_come() -> None:
    message = envelope(kemri())
    for at in range(0, len(message), 7):
        tampered = message[:at] + bytes((message[at] ^ 0x55,)) + message[at + 1 :]
        try:
            opened(tampered, identity())
        except (PkixError, KemError) as error:
            assert error.text
