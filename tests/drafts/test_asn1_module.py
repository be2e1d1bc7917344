"""The ASN.1 module of the document, compiled by pycrate, reads and writes what the code writes and reads.

pycrate is an ASN.1 compiler that shares nothing with `cryptography.hazmat.asn1`. It ships RFC 5911 and RFC 5912 only
in compiled form, whose parameterized types cannot be imported again, so `asn1_standins.asn1` defines the imported names
anew. It does not enforce WITH COMPONENTS and table constraints; the code's own tests cover these.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from pycrate_asn1c.asnproc import compile_text, generate_modules
from pycrate_asn1c.generator import PycrateGenerator
from pycrate_asn1c.glob import GLOBAL as COMPILED
from pycrate_asn1dir import RFC5911
from pycrate_asn1rt.err import ASN1Err

from kem.exchange import POP_SHA256, POP_SHA512, KemCiphertext, MacParameters, kem_other_info
from kem.keys import DecapsulationKey
from kem.parameters import ML_KEM_512, ML_KEM_768, ML_KEM_1024
from kem.structures import KemOtherInfo
from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import Oid, decode, encode
from pkix.certificates import Certificate
from pkix.enveloped_data import decrypt
from pkix.identities import Identity, RsaIdentity
from pkix.kem_recipients import KemIdentity
from pkix.keys import load_key
from scep import attributes
from scep.kem_pop import (
    MAC_LABEL,
    RESPONSE_KEY_IDENTIFIER_LENGTH,
    Binding,
    Challenge,
    KemPopMacInput,
    ResponseKey,
    ScepKemContext,
    decode_confirm,
    encode_confirm,
    encode_response_key,
    mac_input,
)
from scep.messages import PkiMessage
from tests.pkix.tlv import Node
from tests.world import BACKENDS

DRAFTS = Path(__file__).resolve().parents[2] / "drafts"
EXPIRES = datetime(2026, 11, 21, 12, 10, tzinfo=UTC)
NONCE, OTHER_NONCE = bytes(range(16)), bytes(range(16, 32))
ATTRIBUTES = {
    attributes.KEM_POP_CHALLENGE: "KemPopChallenge",
    attributes.KEM_POP_CONFIRM: "KemPopConfirm",
    attributes.RESPONSE_KEY: "ResponseKey",
}


class Module:
    """ScepKem-2026 as compiled."""

    def __init__(self, folder: Path) -> None:
        source = (DRAFTS / "ScepKem-2026.asn1").read_text("ascii")
        COMPILED.clear()
        compile_text([Path(__file__).with_name("asn1_standins.asn1").read_text("ascii"), source])
        self.oid = tuple(COMPILED.MOD["ScepKem-2026"]["_oid_"])
        generate_modules(PycrateGenerator, str(folder / "scep_kem_2026.py"))
        spec = importlib.util.spec_from_file_location("scep_kem_2026", folder / "scep_kem_2026.py")
        assert spec is not None
        assert spec.loader is not None
        self.python = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.python)

    def __getitem__(self, name: str) -> Any:
        return getattr(self.python.ScepKem_2026, name.replace("-", "_"))

    def value(self, name: str) -> Any:
        """The value that the module assigns to a name."""
        return self[name].get_val()

    def objects(self, name: str) -> list[dict[str, Any]]:
        """The information objects of a set."""
        return list(self[name].get_val().root)

    def encode(self, name: str, value: object) -> bytes:
        """DER of a value of a type. Raises ASN1Err."""
        found = self[name]
        found.set_val(value)
        encoded: bytes = found.to_der()
        return encoded

    def decode(self, name: str, der: bytes) -> Any:
        """The value of a type whose only encoding is `der`. Raises ASN1Err."""
        found = self[name]
        found.from_der(der)
        value = found.get_val()
        assert self.encode(name, value) == der
        return value


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Module:
    return Module(tmp_path_factory.mktemp("asn1"))


def arcs(oid: Oid) -> tuple[int, ...]:
    return tuple(int(arc) for arc in oid.dotted_string.split("."))


def challenge(parameters: MacParameters, *sets: Any) -> bytes:
    ciphertexts = tuple(KemCiphertext(each, b"\xc7" * each.ciphertext_length) for each in sets)
    return Challenge(ciphertexts, parameters, EXPIRES).encode()


def context(parameters: MacParameters, ciphertexts: int) -> bytes:
    binding = Binding(
        client_nonce=NONCE,
        ca_nonce=OTHER_NONCE,
        request_hash=parameters.kdf.digest(b"request"),
        csr=b"csr",
        ca_signer=b"signer",
        parameters=parameters,
    )
    return binding.context([bytes([number]) for number in range(ciphertexts)])


def test_the_module_is_fit_for_printing() -> None:
    """Code in an RFC has at most 69 columns beside the indentation of three, and is ASCII."""
    lines = (DRAFTS / "ScepKem-2026.asn1").read_text("ascii").splitlines()
    assert max(map(len, lines)) <= 69
    assert not [line for line in lines if "\t" in line or line != line.rstrip()]


def test_identifiers_are_those_of_the_code(module: Module) -> None:
    for oid, name in ATTRIBUTES.items():
        assert module.value(f"id-scep-{name[0].lower()}{name[1:]}") == arcs(oid)
    assert module.oid == (*module.value("id-scep-kem"), 0), "the module's own identifier is beside the attributes'"


def test_attributes_have_one_value_of_their_type(module: Module) -> None:
    signed, request = module.objects("ScepKemSignedAttributes"), module.objects("ScepKemRequestAttributes")
    assert {item["id"] for item in signed} == {arcs(attributes.KEM_POP_CHALLENGE), arcs(attributes.KEM_POP_CONFIRM)}
    assert [item["id"] for item in request] == [arcs(attributes.RESPONSE_KEY)]
    for item in (*signed, *request):
        assert item["maxCount"] == 1
        (name,) = (name for oid, name in ATTRIBUTES.items() if arcs(oid) == item["id"])
        assert item["Type"].get_typeref() is module[name]


@pytest.mark.parametrize("parameters", [POP_SHA256, POP_SHA512], ids=str)
@pytest.mark.parametrize(
    "sets", [[ML_KEM_512], [ML_KEM_768], [ML_KEM_1024], [ML_KEM_768, ML_KEM_1024]], ids=lambda sets: str(len(sets))
)
def test_challenge(module: Module, parameters: MacParameters, sets: list[Any]) -> None:
    der = challenge(parameters, *sets)
    found = module.decode("KemPopChallenge", der)
    assert found["version"] == 1
    assert [info["ct"] for info in found["kemCiphertexts"]] == [b"\xc7" * each.ciphertext_length for each in sets]
    assert [info["kem"] for info in found["kemCiphertexts"]] == [{"algorithm": arcs(each.oid)} for each in sets]
    assert set(found["macParams"]) == {"kdf", "len", "mac"}, "kemContext is absent"
    assert found["macParams"]["len"] == parameters.length
    assert found["expires"][:6] == ("2026", "11", "21", "12", "10", "00")
    assert Challenge.decode(module.encode("KemPopChallenge", found)) == Challenge.decode(der)


@pytest.mark.parametrize("caps_hash", [None, b"\xca" * 32], ids=["absent", "present"])
def test_confirm(module: Module, caps_hash: bytes | None) -> None:
    der = encode_confirm(b"\xac" * 32, caps_hash)
    expected = {"version": 1, "mac": b"\xac" * 32} | ({"capsHash": caps_hash} if caps_hash else {})
    assert module.decode("KemPopConfirm", der) == expected
    found = decode_confirm(module.encode("KemPopConfirm", expected))
    assert (found.version, found.caps_hash, found.mac) == (1, caps_hash, b"\xac" * 32)


@pytest.mark.parametrize("caps_hash", [None, b"\xca" * 64], ids=["absent", "present"])
def test_mac_input(module: Module, caps_hash: bytes | None) -> None:
    der = mac_input(b"\xce" * 64, caps_hash)
    expected = {"label": MAC_LABEL, "certRepHash": b"\xce" * 64} | ({"capsHash": caps_hash} if caps_hash else {})
    assert module.decode("KemPopMacInput", der) == expected
    found = decode(KemPopMacInput, module.encode("KemPopMacInput", expected), "KemPopMacInput")
    assert (found.label, found.cert_rep_hash, found.caps_hash) == (MAC_LABEL, b"\xce" * 64, caps_hash)


@pytest.mark.parametrize("parameters", [POP_SHA256, POP_SHA512], ids=str)
@pytest.mark.parametrize("ciphertexts", [1, 2])
def test_context_and_other_info(module: Module, parameters: MacParameters, ciphertexts: int) -> None:
    der = context(parameters, ciphertexts)
    digest = parameters.kdf.digest
    expected = {
        "version": 1,
        "clientNonce": NONCE,
        "caNonce": OTHER_NONCE,
        "requestHash": digest(b"request"),
        "csrHash": digest(b"csr"),
        "caSignerHash": digest(b"signer"),
        "ciphertextHashes": [digest(bytes([number])) for number in range(ciphertexts)],
    }
    assert module.decode("ScepKemContext", der) == expected
    found = decode(ScepKemContext, module.encode("ScepKemContext", expected), "ScepKemContext")
    assert found.ciphertext_hashes == expected["ciphertextHashes"]
    info = kem_other_info(b"transaction 1", der)
    outer = {"staticString": ["SCEP-KEM"], "transactionID": b"transaction 1", "kemContext": der}
    assert module.decode("ScepKemOtherInfo", info) == outer
    inner = decode(KemOtherInfo, module.encode("ScepKemOtherInfo", outer), "KemOtherInfo")
    assert inner.kem_context == der


@pytest.mark.parametrize(("size", "wrap"), [(16, oids.AES128_WRAP), (24, oids.AES192_WRAP), (32, oids.AES256_WRAP)])
def test_response_key(module: Module, size: int, wrap: Oid) -> None:
    der = encode_response_key(NONCE, b"\x4b" * size)
    expected = {"keyIdentifier": NONCE, "wrap": {"algorithm": arcs(wrap)}, "key": b"\x4b" * size}
    assert module.decode("ResponseKey", der) == expected
    found = decode(ResponseKey, module.encode("ResponseKey", expected), "responseKey")
    assert (found.key_identifier, found.wrap.algorithm, found.key) == (NONCE, wrap, b"\x4b" * size)
    wraps = {item["id"] for item in module.objects("ResponseKeyWraps")}
    assert wraps == {arcs(oid) for oid in (oids.AES128_WRAP, oids.AES192_WRAP, oids.AES256_WRAP)}


def test_tags_of_rfc_9810_are_explicit_and_ours_implicit(module: Module) -> None:
    confirm = Node.parse(module.encode("KemPopConfirm", {"version": 1, "capsHash": b"h", "mac": b"m"}))
    assert confirm.tags == [0x02, 0x80, 0x04]
    outer = Node.parse(
        module.encode("ScepKemOtherInfo", {"staticString": ["s"], "transactionID": b"", "kemContext": b""})
    )
    assert outer.tags == [0x30, 0x04, 0xA0]
    assert outer[2].tags == [0x04]


CONTEXT = {
    "version": 1,
    "clientNonce": NONCE,
    "caNonce": NONCE,
    "requestHash": b"",
    "csrHash": b"",
    "caSignerHash": b"",
    "ciphertextHashes": [b""],
}
KEY = {"keyIdentifier": NONCE, "wrap": {"algorithm": arcs(oids.AES256_WRAP)}, "key": bytes(32)}


@pytest.mark.parametrize(
    ("name", "good", "change"),
    [
        *(("ScepKemContext", CONTEXT, {field: NONCE + b"x"}) for field in ("clientNonce", "caNonce")),
        *(("ScepKemContext", CONTEXT, {field: NONCE[1:]}) for field in ("clientNonce", "caNonce")),
        *(("ScepKemContext", CONTEXT, {"ciphertextHashes": [b""] * number}) for number in (0, 3)),
        *(("ResponseKey", KEY, {"keyIdentifier": bytes(size)}) for size in (15, 17)),
        *(("ResponseKey", KEY, {"key": bytes(size)}) for size in (0, 15, 20, 33)),
        ("KemPopMacInput", {"label": MAC_LABEL, "certRepHash": b""}, {"label": "scep-kem-pop server confirm"}),
    ],
)
def test_constraints_are_enforced(module: Module, name: str, good: dict[str, Any], change: dict[str, Any]) -> None:
    module.encode(name, good)
    with pytest.raises(ASN1Err):
        module.encode(name, good | change)


@pytest.mark.parametrize("number", [0, 3])
def test_a_challenge_has_one_or_two_ciphertexts(module: Module, number: int) -> None:
    tree = Node.parse(challenge(POP_SHA256, ML_KEM_768))
    module.decode("KemPopChallenge", tree.der())
    tree[1].children = [tree[1][0].copy() for _ in range(number)]
    with pytest.raises(ASN1Err):
        module.decode("KemPopChallenge", tree.der())


@pytest.mark.parametrize("missing", range(4))
def test_every_field_of_a_challenge_is_needed(module: Module, missing: int) -> None:
    tree = Node.parse(challenge(POP_SHA256, ML_KEM_768))
    del tree[missing]
    with pytest.raises(ASN1Err):
        module.decode("KemPopChallenge", tree.der())


def test_the_identifier_length_is_the_code_s(module: Module) -> None:
    assert module.decode("ResponseKey", encode_response_key(bytes(RESPONSE_KEY_IDENTIFIER_LENGTH), bytes(16)))


def test_stand_ins_agree_with_the_published_modules(module: Module) -> None:
    """The identifiers, the fields of the classes and the objects are those of RFC 5911's modules in pycrate."""
    own = {name: getattr(module.python, name) for name in ("PKIX_CommonTypes_2009", "AlgorithmInformation_2009")}
    for name, mine in (own | {"CMSAesRsaesOaep_2009": module.python.CMSAesRsaesOaep_2009}).items():
        assert mine._oid_ == getattr(RFC5911, name)._oid_
        assert set(mine._obj_) <= set(getattr(RFC5911, name)._obj_)
    for holder, kind in (("PKIX_CommonTypes_2009", "ATTRIBUTE"), ("AlgorithmInformation_2009", "KEY_WRAP")):
        theirs = getattr(getattr(RFC5911, holder), kind)._cont
        assert set(getattr(own[holder], kind)._cont) <= set(theirs)
    for bits in (128, 192, 256):
        name = f"kwa_aes{bits}_wrap"
        published = getattr(RFC5911.CMSAesRsaesOaep_2009, name).get_val()
        assert published["paramPresence"] == "absent"
        assert getattr(module.python.CMSAesRsaesOaep_2009, name).get_val()["id"] == published["id"]


def ra_identities() -> list[Identity]:
    """Who opens the requests of the examples."""
    found: list[Identity] = []
    for path in DRAFTS.glob("examples/parties/r*.pem"):
        pem = path.read_bytes()
        if b"BEGIN CERTIFICATE" not in pem:
            continue
        certificate = Certificate.of(x509.load_pem_x509_certificate(pem))
        key = load_key(pem)
        if isinstance(key, DecapsulationKey):
            decapsulate, identifier = partial(BACKENDS.decapsulate, key), certificate.subject_key_identifier
            found.append(KemIdentity(key.parameter_set.oid, decapsulate, certificate, identifier))
        elif isinstance(key, rsa.RSAPrivateKey):
            found.append(RsaIdentity(certificate, key))
    return found


def found_attributes(der: bytes) -> Iterator[tuple[str, bytes]]:
    """Name of the type and DER of the value of each of our attributes in a DER value."""
    wanted = {encode(oid): name for oid, name in ATTRIBUTES.items()}
    for node in Node.parse(der).walk():
        if node.tag == 0x30 and node.tags == [0x06, 0x31] and (name := wanted.get(node[0].der())):
            (value,) = node[1]
            yield name, value.der()


def messages_and_requests() -> Iterator[bytes]:
    """The DER files of the examples, and the PKCS #10 requests inside."""
    identities = ra_identities()
    for path in sorted(DRAFTS.glob("examples/*/*.der")):
        der = path.read_bytes()
        yield der
        if re.search("(PKCSReq|RenewalReq)$", path.stem):
            content = PkiMessage.decode(der).signed.content
            assert content is not None
            yield decrypt(content, identities, AlgorithmPolicy()).content


# How often each occurs at least in the examples: every transcript with a proof of possession has both of the first
# two, and one has a response key.
EXPECTED = {"KemPopChallenge": 10, "KemPopConfirm": 8, "ResponseKey": 1}


def test_the_examples_decode_with_the_module(module: Module) -> None:
    counted = dict.fromkeys(EXPECTED, 0)
    for message in messages_and_requests():
        for name, der in found_attributes(message):
            module.decode(name, der)
            counted[name] += 1
    missing = {name: least for name, least in EXPECTED.items() if counted[name] < least}
    assert not missing, f"found {counted}, expected at least {missing}"
