"""What a stranger can compute from the test cases: hashlib, hmac, a DER reader and kyber-py, and no code of ours.

The values in the cases come from the code that is tested with them. Here they are computed a second time, from the
text of the draft, and the confirmations are judged by a CA that knows only what the README's third way gives it.
"""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from kyber_py.ml_kem import ML_KEM_512, ML_KEM_768, ML_KEM_1024  # type: ignore[import-untyped]

from drafts.vectors.runner import CASES, Case
from tests.pkix.tlv import Node, explicit, integer, tlv

SETS = {
    bytes.fromhex(f"060960864801650304040{number}"): kem
    for number, kem in (("1", ML_KEM_512), ("2", ML_KEM_768), ("3", ML_KEM_1024))
}
WRAPS = {
    "aes128-wrap": bytes.fromhex("0609608648016503040105"),
    "aes256-wrap": bytes.fromhex("060960864801650304012d"),
}
CHALLENGE, CONFIRM = (bytes.fromhex(f"060b2b0601040181fd59c53e{octet}") for octet in ("01", "02"))
MESSAGE_TYPE, SENDER_NONCE, TRANSACTION_ID = (
    bytes.fromhex(f"060a6086480186f8450109{item}") for item in ("02", "05", "07")
)
CERT_POLL = b"20"
HASHES = {b"\x02\x01\x20": "sha256", b"\x02\x01\x40": "sha512"}  # by len of macParams


def case(name: str) -> Case:
    return Case.decode((CASES / f"{name}.txt").read_text("ascii"))


def names(prefix: str) -> list[str]:
    return sorted(path.stem for path in CASES.glob(f"{prefix}*.txt"))


def octets(value: bytes) -> bytes:
    return tlv(0x04, value)


def hkdf(secret: bytes, length: int, info: bytes, name: str) -> bytes:
    """RFC 5869 with an empty salt."""
    key = hmac.digest(bytes(hashlib.new(name).digest_size), secret, name)
    block, output = b"", b""
    for count in range(1, 9):
        block = hmac.digest(key, block + info + bytes((count,)), name)
        output += block
    return output[:length]


def hash_name(given: Case) -> str:
    return given.header("hash").lower().replace("-", "")


def context(parts: list[bytes], ciphertexts: list[bytes], name: str) -> bytes:
    """parts: clientNonce, caNonce, request, csr, ca signer's certificate."""
    hashed = [hashlib.new(name, part).digest() for part in parts[2:]]
    found = b"".join(octets(hashlib.new(name, item).digest()) for item in ciphertexts)
    return tlv(0x30, integer(1), *map(octets, [*parts[:2], *hashed]), tlv(0x30, found))


def other_info(transaction_id: bytes, kem_context: bytes) -> bytes:
    return tlv(0x30, tlv(0x30, tlv(0x0C, b"SCEP-KEM")), octets(transaction_id), explicit(0, octets(kem_context)))


def mac_input(cert_rep: bytes, caps_hash: bytes | None, name: str) -> bytes:
    hashed = octets(hashlib.new(name, cert_rep).digest())
    stated = b"" if caps_hash is None else tlv(0x80, caps_hash)
    return tlv(0x30, tlv(0x0C, b"scep-kem-pop client confirm"), hashed, stated)


def decapsulate(pkcs8: bytes, ciphertext: bytes) -> bytes:
    """With the seed of a private key: [0] in the OCTET STRING of OneAsymmetricKey."""
    package = Node.parse(pkcs8)
    kem = SETS[package[1][0].der()]
    _public, private = kem.key_derive(Node.parse(package[2].content).content)
    return bytes(kem.decaps(private, ciphertext))


def attribute(message: bytes, oid: bytes) -> Node:
    """The value of a signed attribute."""
    (found,) = [item for item in Node.parse(message)[1][0][-1][0][3] if item[0].der() == oid]
    return found[1][0]


# Derivations


@pytest.mark.parametrize("name", names("derivation-context"))
def test_contexts(name: str) -> None:
    given = case(name)
    parts = [given.block(item) for item in ("client-nonce", "ca-nonce", "request", "csr", "ca-signer")]
    assert context(parts, list(given.blocks["ciphertext"]), hash_name(given)).hex() == given.expected["context"]


@pytest.mark.parametrize("name", names("derivation-key"))
def test_derived_keys(name: str) -> None:
    given = case(name)
    info = other_info(given.header("transaction-id").encode(), given.block("context"))
    assert info.hex() == given.expected["info"]
    length = hashlib.new(hash_name(given)).digest_size
    derived = hkdf(b"".join(given.blocks["shared-secret"]), length, info, hash_name(given))
    assert derived.hex() == given.expected["derived-key"]


@pytest.mark.parametrize("name", names("derivation-mac"))
def test_macs(name: str) -> None:
    given, chosen = case(name), hash_name(case(name))
    caps = hashlib.new(chosen, given.block("ca-caps")).digest() if "ca-caps" in given.blocks else None
    data = mac_input(given.block("cert-rep"), caps, chosen)
    assert data.hex() == given.expected["mac-input"]
    assert hmac.digest(given.block("derived-key"), data, chosen).hex() == given.expected["mac"]


@pytest.mark.parametrize("name", names("derivation-kek"))
def test_key_encryption_keys(name: str) -> None:
    given = case(name)
    length = int(given.header("kek-length"))
    ukm = explicit(0, octets(given.block("ukm"))) if "ukm" in given.blocks else b""
    info = tlv(0x30, tlv(0x30, WRAPS[given.header("wrap")]), integer(length), ukm)
    assert info.hex() == given.expected["info"]
    chosen = given.header("kdf").lower().removeprefix("hkdf-")
    assert hkdf(given.block("shared-secret"), length, info, chosen).hex() == given.expected["kek"]


@pytest.mark.parametrize("name", names("derivation-decapsulate"))
def test_decapsulations(name: str) -> None:
    given = case(name)
    found = decapsulate(given.block("kem-key"), given.block("ciphertext"))
    assert found.hex() == given.expected["shared-secret"]


@pytest.mark.parametrize("name", names("derivation-encapsulate"))
def test_encapsulations(name: str) -> None:
    given = case(name)
    info = Node.parse(given.block("kem-public-key"))
    secret, ciphertext = SETS[info[0][0].der()]._encaps_internal(info[1].content[1:], given.block("randomness"))
    assert (ciphertext.hex(), secret.hex()) == (given.expected["ciphertext"], given.expected["shared-secret"])


# A client in thirty lines


@pytest.mark.parametrize("name", [item for item in names("client-") if "expect-mac" in case(item).blocks])
def test_the_answers_to_challenges(name: str) -> None:
    given = case(name)
    request, reply = given.blocks["sent"][0], given.block("reply")
    challenge = attribute(reply, CHALLENGE)
    chosen = HASHES[challenge[2][1].der()]
    ciphertexts = [item[1].content for item in challenge[1]]
    keys = [given.blocks[item][0] for item in ("client-kem-key", "client-old-key") if item in given.blocks]
    nonces = [attribute(message, SENDER_NONCE).content for message in (request, reply)]
    signer = Node.parse(reply)[1][0][3][0].der()
    made = context([*nonces, request, given.block("csr"), signer], ciphertexts, chosen)
    assert made.hex() == given.expected["context"]
    secret = b"".join(decapsulate(key, item) for key, item in zip(keys, ciphertexts, strict=True))
    info = other_info(attribute(reply, TRANSACTION_ID).content, made)
    derived = hkdf(secret, hashlib.new(chosen).digest_size, info, chosen)
    caps = hashlib.new(chosen, given.block("ca-caps")).digest() if "ca-caps" in given.blocks else None
    assert hmac.digest(derived, mac_input(reply, caps, chosen), chosen).hex() == given.expected["mac"]


def test_altered_ciphertexts_give_other_macs() -> None:
    right = case("client-challenge").expected["mac"]
    others = ("tampered-first", "tampered-last", "other-key")
    assert right not in {case(f"client-challenge-{item}").expected["mac"] for item in others}


# A CA that knows the state and compares, the third way of the README

CONFIRMING = [
    name
    for name in (*names("ca-confirm"), *names("ca-kem-renewal-confirm"))
    if "earlier-answer" in case(name).blocks and case(name).header("expect") != "HTTP-400"
]
# Refused for another reason than the MAC
OTHERWISE = {
    *("ca-confirm-other-signer", "ca-confirm-other-transaction-id", "ca-confirm-version", "ca-confirm-trailing"),
    *("ca-confirm-not-a-sequence", "ca-confirm-expired", "ca-confirm-after-failure", "ca-confirm-after-downgrade"),
    *(
        "ca-confirm-twice",
        "ca-confirm-downgrade",
        "ca-confirm-caps-suppressed",
        "ca-confirm-ber",
        "ca-kem-renewal-confirm-revoked",
        "ca-confirm-in-request",
        "ca-confirm-again",
    ),
}


def right_mac(given: Case) -> bool:
    """Whether the confirmation in the message fits the last challenge."""
    pending = given.blocks["earlier-answer"][-1]
    requests = [item for item in given.blocks["earlier"] if CONFIRM not in item]
    request = [item for item in requests if attribute(item, MESSAGE_TYPE).content != CERT_POLL][-1]
    challenge = attribute(pending, CHALLENGE)
    chosen = HASHES[challenge[2][1].der()]
    ciphertexts = [item[1].content for item in challenge[1]]
    nonces = [attribute(message, SENDER_NONCE).content for message in (request, pending)]
    signer = Node.parse(pending)[1][0][3][0].der()
    made = context([*nonces, request, csr(given, request), signer], ciphertexts, chosen)
    secret = b"".join(given.blocks["shared-secret"][-len(ciphertexts) :])
    info = other_info(attribute(pending, TRANSACTION_ID).content, made)
    derived = hkdf(secret, hashlib.new(chosen).digest_size, info, chosen)
    confirm = attribute(given.block("message"), CONFIRM)
    stated = [item.content for item in confirm if item.tag == 0x80]
    data = mac_input(pending, stated[0] if stated else None, chosen)
    return hmac.compare_digest(hmac.digest(derived, data, chosen), confirm[-1].content)


def csr(given: Case, request: bytes) -> bytes:
    """The PKCS #10 request, from the envelope to the RA's ML-KEM key."""
    enveloped = Node.parse(Node.parse(request)[1][0][2][1][0].content)[1][0]
    _version, _rid, _kem, kemct, _kdf, length, wrap, encrypted = enveloped[1][0][1]
    info = tlv(0x30, wrap.der(), length.der())
    kek = hkdf(decapsulate(given.block("ra-kem-key"), kemct.content), 32, info, "sha256")
    nonce = enveloped[2][1][1][0].content
    key = aes_key_unwrap(kek, encrypted.content)
    return AESGCM(key).decrypt(nonce, enveloped[2][2].content + enveloped[3].content, None)


def test_the_exceptions_are_cases() -> None:
    assert set(CONFIRMING) >= OTHERWISE


@pytest.mark.parametrize("name", [item for item in CONFIRMING if item not in OTHERWISE])
def test_confirmations_judged_from_the_state_alone(name: str) -> None:
    given = case(name)
    assert right_mac(given) == ("defect" not in given.headers)


@pytest.mark.parametrize("name", ["ca-confirm-downgrade", "ca-confirm-caps-suppressed"])
def test_a_downgrade_has_the_right_mac(name: str) -> None:
    given = case(name)
    assert right_mac(given)
    stated = attribute(given.block("message"), CONFIRM)[1].content
    assert stated != hashlib.sha256(given.block("ca-caps")).digest()
