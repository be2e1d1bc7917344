"""Values sealed to keys that cannot sign: ours as others open them, others' as we open them, and what is refused."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import mlkem, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from kyber_py.ml_kem import ML_KEM_512  # type: ignore[import-untyped]
from pyasn1_alt_modules import rfc9629

from kem.errors import InvalidCiphertext, InvalidKey
from kem.keys import DecapsulationKey, encode_public_key
from kem.parameters import by_name
from pkix import oids
from pkix.algorithms import AES128, AES256, AES256_GCM, AlgorithmPolicy, ContentCipher
from pkix.asn1 import encode
from pkix.content import CANNOT_OPEN
from pkix.enveloped_data import encrypt
from pkix.errors import AlgorithmRefused, DecryptionFailed, Malformed
from pkix.kem_recipients import KemRecipient
from pkix.keys import dump_private_key, spki_of
from pkix.proof_value import (
    MAX_VALUE,
    Rid,
    content_info_of,
    enveloped_data_of,
    numbered,
    open_value,
    seal_value,
)
from pkix.recipients import KekRecipient
from tests.kem import published
from tests.pkix import second_opinion
from tests.pkix.envelopes import TRANSPORTS, flipped
from tests.pkix.forge import peer, rsa_spki, small_rsa_key
from tests.pkix.openssl import OpenSsl
from tests.pkix.test_kem_recipients import hkdf, other_info
from tests.pkix.tlv import Node, tlv
from tests.world import BACKENDS, Random, kem_key, key

GCM_ONLY = AlgorithmPolicy()
BOTH = AlgorithmPolicy(kem_in_cbc=True)
Y = Random("y")(64)
RSA = key("rsa:2048", "proof")
RSA_SPKI = spki_of(RSA)
KEM, KEM_PUBLIC = kem_key("ML-KEM-768", "proof")
KEM_SPKI = encode_public_key(KEM_PUBLIC)
SKI = b"a subject key id...."
CHALLENGE_RID = bytes.fromhex("30053000020100")  # of RFC 9810: NULL-DN and 0


def sealed(
    spki: bytes = KEM_SPKI,
    *,
    value: bytes = Y,
    rid: Rid = SKI,
    cipher: ContentCipher = AES256_GCM,
    ukm: bytes | None = None,
) -> bytes:
    """A ContentInfo of ours."""
    return seal_value(value, spki, rid, cipher=cipher, random=Random("seal"), backends=BACKENDS, ukm=ukm)


def opened(message: bytes, private: object = KEM, policy: AlgorithmPolicy = BOTH) -> bytes:
    """The value."""
    return open_value(message, private, policy=policy, backends=BACKENDS).value  # type: ignore[arg-type]


@pytest.mark.parametrize("cipher", [AES128, AES256, AES256_GCM])
@pytest.mark.parametrize("rid", [SKI, numbered(201), numbered(0)], ids=["ski", "201", "0"])
@pytest.mark.parametrize("parameter_set", ["ML-KEM-768", "ML-KEM-1024"])
def test_ml_kem_keys(parameter_set: str, rid: Rid, cipher: ContentCipher) -> None:
    private, public = kem_key(parameter_set, "proof")
    message = sealed(encode_public_key(public), rid=rid, cipher=cipher)
    found = open_value(message, private, policy=BOTH, backends=BACKENDS)
    assert (found.value, found.cipher, found.ukm) == (Y, cipher, None)


@pytest.mark.parametrize("cipher", [AES128, AES256, AES256_GCM])
@pytest.mark.parametrize("rid", [SKI, numbered(201), numbered(0)], ids=["ski", "201", "0"])
def test_rsa_keys(rid: Rid, cipher: ContentCipher) -> None:
    assert opened(sealed(RSA_SPKI, rid=rid, cipher=cipher), RSA) == Y


def test_rfc_9810_octets_of_a_challenge() -> None:
    enveloped = enveloped_data_of(sealed(rid=numbered(0), cipher=AES256))
    assert enveloped[:4] == b"\x30\x82" + len(enveloped[4:]).to_bytes(2, "big")
    assert enveloped[4:7] == b"\x02\x01\x03" and enveloped[7] == 0x31
    assert CHALLENGE_RID in enveloped
    assert opened(content_info_of(enveloped)) == Y


def test_another_reader_opens_the_kem_envelope() -> None:
    """pyasn1 for the structures, HMAC for the derivation, `cryptography` for the primitives."""
    message = sealed(cipher=AES256, rid=numbered(7), ukm=b"bound")
    enveloped = second_opinion.enveloped_data(message)
    assert (int(enveloped["version"]), len(enveloped["recipientInfos"])) == (3, 1)
    ori = enveloped["recipientInfos"][0]["ori"]
    assert str(ori["oriType"]) == str(rfc9629.id_ori_kem)
    info = second_opinion.exactly(bytes(ori["oriValue"]), rfc9629.KEMRecipientInfo())
    assert second_opinion.encoded(info["rid"]["issuerAndSerialNumber"]) == bytes.fromhex("30053000020107")
    assert str(info["kem"]["algorithm"]) == oids.ML_KEM_768.dotted_string
    secret = mlkem.MLKEM768PrivateKey.from_seed_bytes(KEM.seed or b"").decapsulate(bytes(info["kemct"]))
    wrap = second_opinion.encoded(info["wrap"])
    kek = hkdf("sha256", secret, int(info["kekLength"]), other_info(wrap, 32, b"bound"))
    cek = aes_key_unwrap(kek, bytes(info["encryptedKey"]))
    assert _cbc(cek, enveloped["encryptedContentInfo"]) == Y


def _cbc(cek: bytes, content: object) -> bytes:
    iv = bytes(content["contentEncryptionAlgorithm"]["parameters"])[2:]  # type: ignore[index]
    context = Cipher(algorithms.AES(cek), modes.CBC(iv)).decryptor()
    padded = context.update(bytes(content["encryptedContent"])) + context.finalize()  # type: ignore[index]
    return padded[: -padded[-1]]


@pytest.mark.parametrize(("rid", "versions"), [(SKI, (2, 2)), (numbered(7), (0, 0))], ids=["ski", "number"])
def test_another_reader_opens_the_rsa_envelope(rid: Rid, versions: tuple[int, int]) -> None:
    enveloped = second_opinion.enveloped_data(sealed(RSA_SPKI, rid=rid, cipher=AES256))
    info = enveloped["recipientInfos"][0]["ktri"]
    assert (int(enveloped["version"]), int(info["version"])) == versions
    assert str(info["keyEncryptionAlgorithm"]["algorithm"]) == "1.2.840.113549.1.1.7"
    parameters = bytes(info["keyEncryptionAlgorithm"]["parameters"])
    assert encode(oids.RSAES_OAEP) + parameters in TRANSPORTS["OAEP SHA-256"]
    assert isinstance(RSA, rsa.RSAPrivateKey)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    assert _cbc(RSA.decrypt(bytes(info["encryptedKey"]), oaep), enveloped["encryptedContentInfo"]) == Y


class _Kyber512:
    """ML-KEM-512 of kyber-py in place of backends, which need not know it."""

    def decapsulate(self, private: DecapsulationKey, ciphertext: bytes) -> bytes:
        _public, expanded = ML_KEM_512.key_derive(private.seed)
        return bytes(ML_KEM_512.decaps(expanded, ciphertext))


def test_rfc_9936_c_the_example_is_opened() -> None:
    """tests/vectors/rfc9936; its rid is the certificate's."""
    private = DecapsulationKey(by_name("ML-KEM-512"), seed=published.SEED)
    message = published.pem("rfc9936/ML-KEM-512.cms")
    found = open_value(message, private, policy=GCM_ONLY, backends=_Kyber512())  # type: ignore[arg-type]
    assert (found.value, found.ukm) == (b"Hello, world!", None)


@pytest.mark.parametrize("rid", [SKI, numbered(201)], ids=["ski", "201"])
@pytest.mark.parametrize("cipher", [AES128, AES256])
def test_openssl_opens_what_we_seal_to_rsa_keys(openssl: OpenSsl, rid: Rid, cipher: ContentCipher) -> None:
    message = openssl.file(sealed(RSA_SPKI, rid=rid, cipher=cipher))
    private = openssl.file(dump_private_key(RSA))
    assert openssl.run("cms", "-decrypt", "-binary", "-inform", "DER", "-in", message, "-inkey", private) == Y


@pytest.mark.parametrize(
    "options",
    [
        ("-aes256", "-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"),
        ("-aes128", "-keyid", "-keyopt", "rsa_padding_mode:oaep"),
        ("-aes256", "-stream"),
    ],
    ids=["OAEP SHA-256", "OAEP SHA-1, by key", "PKCS #1 v1.5, BER"],
)
def test_what_openssl_seals_is_opened_by_the_key_alone(openssl: OpenSsl, options: tuple[str, ...]) -> None:
    assert opened(openssl.encrypt(Y, peer(), *options), peer().key) == Y


def test_the_ukm_comes_out_and_is_bound() -> None:
    message = sealed(ukm=b"transaction", cipher=AES256_GCM)
    assert open_value(message, KEM, policy=BOTH, backends=BACKENDS).ukm == b"transaction"
    with pytest.raises(DecryptionFailed):
        opened(message.replace(b"transaction", b"trapsaction"))


def test_a_cipher_of_a_protocol() -> None:
    message = sealed(cipher=AES256)
    assert opened(message, policy=BOTH) == Y
    with pytest.raises(AlgorithmRefused, match="KEMRecipientInfo in EnvelopedData with CBC"):
        opened(message, policy=GCM_ONLY)
    assert opened(sealed(cipher=AES256_GCM), policy=GCM_ONLY) == Y


def test_a_certificate_is_a_value() -> None:
    der = peer("ml-dsa-87", "proof").certificate.der
    assert opened(sealed(value=der)) == der


@pytest.mark.parametrize("size", [0, MAX_VALUE + 1])
def test_values_that_are_none(size: int) -> None:
    with pytest.raises(ValueError, match="can be sealed"):
        sealed(value=bytes(size))


def test_longer_contents_are_not_opened() -> None:
    assert len(opened(sealed(value=bytes(MAX_VALUE)))) == MAX_VALUE
    long = encrypt(bytes(MAX_VALUE + 1), [_kem_recipient()], AES256_GCM, Random("long"))
    with pytest.raises(Malformed, match="at most 65536 are accepted"):
        opened(long)


def test_an_empty_content_is_no_value() -> None:
    with pytest.raises(DecryptionFailed, match=CANNOT_OPEN):
        opened(encrypt(b"", [_kem_recipient()], AES256_GCM, Random("empty")))


def _kem_recipient() -> KemRecipient:
    return KemRecipient(oids.ML_KEM_768, lambda: BACKENDS.encapsulate(KEM_PUBLIC), SKI)


@pytest.mark.parametrize("cipher", [AES256, AES256_GCM])
@pytest.mark.parametrize("private", [RSA, KEM], ids=["rsa", "kem"])
def test_a_changed_encrypted_key(private: object, cipher: ContentCipher) -> None:
    tree = Node.parse(sealed(RSA_SPKI if private is RSA else KEM_SPKI, cipher=cipher))
    info = tree[1][0][1][0] if private is RSA else tree[1][0][1][0][1]
    info[-1].content = flipped(0)(info[-1].content)
    with pytest.raises(DecryptionFailed) as caught:
        opened(tree.der(), private)
    assert caught.value.text == CANNOT_OPEN


@pytest.mark.parametrize("private", [RSA, KEM], ids=["rsa", "kem"])
def test_a_changed_content(private: object) -> None:
    """Of which GCM alone is sure to notice."""
    tree = Node.parse(sealed(RSA_SPKI if private is RSA else KEM_SPKI))
    content = tree[1][0][2][2]
    content.content = flipped(5)(content.content)
    with pytest.raises(DecryptionFailed) as caught:
        opened(tree.der(), private)
    assert caught.value.text == CANNOT_OPEN


def test_the_wrong_key_of_the_right_kind() -> None:
    for message, private in (
        (sealed(), kem_key("ML-KEM-768", "other")[0]),
        (sealed(RSA_SPKI), key("rsa:2048", "other")),
    ):
        with pytest.raises(DecryptionFailed, match=CANNOT_OPEN):
            opened(message, private)


@pytest.mark.parametrize("private", [RSA, kem_key("ML-KEM-1024", "proof")[0]], ids=["rsa", "1024"])
def test_the_key_of_another_kind(private: object) -> None:
    with pytest.raises(DecryptionFailed, match="addressed to none"):
        opened(sealed(), private)


def test_an_rsa_envelope_for_a_kem_key() -> None:
    with pytest.raises(DecryptionFailed, match="addressed to none"):
        opened(sealed(RSA_SPKI))


def test_another_kind_of_recipient() -> None:
    message = encrypt(Y, [KekRecipient(bytes(16), b"kek")], AES256_GCM, Random("kek"))
    for private in (RSA, KEM):
        with pytest.raises(DecryptionFailed, match="a KEKRecipientInfo"):
            opened(message, private)


def test_a_ciphertext_of_another_length() -> None:
    tree = Node.parse(sealed())
    ciphertext = tree[1][0][1][0][1][3]
    ciphertext.content = ciphertext.content[:-1]
    with pytest.raises(InvalidCiphertext):
        opened(tree.der())


def test_keys_that_only_sign() -> None:
    for kind in ("ec:P-256", "ed25519", "ml-dsa-44"):
        with pytest.raises(AlgorithmRefused, match="the key to encrypt to only signs"):
            sealed(spki_of(key(kind)))


def test_weak_keys() -> None:
    weak = KEM_SPKI[:-1184] + bytes(1152) + KEM_SPKI[-32:]
    with pytest.raises(InvalidKey, match="anybody could decapsulate"):
        sealed(weak)
    with pytest.raises(AlgorithmRefused, match="RSA key of 1024 bits"):
        sealed(spki_of(small_rsa_key()))
    with pytest.raises(AlgorithmRefused, match="small factor"):
        sealed(rsa_spki(3 * ((1 << 2047) + 1), 65537))


@pytest.mark.parametrize("wrong", [b"", b"\x30\x00", tlv(0x30, b"\x05\x00"), KEM_SPKI + b"\x00", KEM_SPKI[:-1]])
def test_keys_that_are_none(wrong: bytes) -> None:
    with pytest.raises(Malformed):
        sealed(wrong)


def test_only_enveloped_data_goes_without_its_content_info() -> None:
    with pytest.raises(Malformed, match="not EnvelopedData"):
        enveloped_data_of(sealed(cipher=AES256_GCM))
    with pytest.raises(Malformed):
        enveloped_data_of(sealed(cipher=AES256) + b"\x00")


def test_repr_shows_no_value() -> None:
    found = open_value(sealed(), KEM, policy=BOTH, backends=BACKENDS)
    assert repr(found) == "OpenedValue(value=<redacted>, cipher=AES-256-GCM)"
