"""Cases of role `derivation`: one function of the protocol, from inputs to outputs."""

from __future__ import annotations

from drafts.tools.labelled import LabelledBackend
from drafts.tools.testkit.our_keys import kem_key
from drafts.vectors.runner import Case, Result
from kem.backends import Backends
from kem.exchange import POP_SHA256, POP_SHA512, MacParameters, compute_mac, kem_other_info
from kem.kdf import HKDF_SHA256, HKDF_SHA384, HKDF_SHA512
from kem.keys import decode_public_key
from pkix import oids
from pkix.asn1 import algorithm, encode
from pkix.kem_recipients import CMSORIforKEMOtherInfo
from scep.kem_pop import Binding, mac_input

_KDFS = {item.name: item for item in (HKDF_SHA256, HKDF_SHA384, HKDF_SHA512)}
_WRAPS = {"aes128-wrap": oids.AES128_WRAP, "aes192-wrap": oids.AES192_WRAP, "aes256-wrap": oids.AES256_WRAP}


def run(case: Case) -> Result:
    """Compute what the case asks for."""
    values = _FUNCTIONS[case.header("operation")](case)
    return Result("values", "", {name: value.hex() for name, value in values.items()})


def _parameters(case: Case) -> MacParameters:
    return POP_SHA512 if case.header("hash") == "SHA-512" else POP_SHA256


def _context(case: Case) -> dict[str, bytes]:
    parameters = _parameters(case)
    binding = Binding(
        client_nonce=case.block("client-nonce"),
        ca_nonce=case.block("ca-nonce"),
        request_hash=parameters.kdf.digest(case.block("request")),
        csr=case.block("csr"),
        ca_signer=case.block("ca-signer"),
        parameters=parameters,
    )
    return {"context": binding.context(case.blocks["ciphertext"])}


def _derive(case: Case) -> dict[str, bytes]:
    parameters = _parameters(case)
    info = kem_other_info(case.header("transaction-id").encode("ascii"), case.block("context"))
    secret = b"".join(case.blocks["shared-secret"])
    return {"info": info, "derived-key": parameters.kdf.derive(secret, parameters.length, info)}


def _mac(case: Case) -> dict[str, bytes]:
    parameters = _parameters(case)
    caps = parameters.kdf.digest(case.block("ca-caps")) if "ca-caps" in case.blocks else None
    given = mac_input(parameters.kdf.digest(case.block("cert-rep")), caps)
    return {"mac-input": given, "mac": compute_mac(case.block("derived-key"), given, parameters)}


def _kek(case: Case) -> dict[str, bytes]:
    length = int(case.header("kek-length"))
    ukm = case.block("ukm") if "ukm" in case.blocks else None
    info = encode(CMSORIforKEMOtherInfo(wrap=algorithm(_WRAPS[case.header("wrap")]), kek_length=length, ukm=ukm))
    return {"info": info, "kek": _KDFS[case.header("kdf")].derive(case.block("shared-secret"), length, info)}


def _decapsulate(case: Case) -> dict[str, bytes]:
    key = kem_key(case, "kem-key")
    assert key is not None
    return {"shared-secret": Backends((LabelledBackend(""),)).decapsulate(key, case.block("ciphertext"))}


def _encapsulate(case: Case) -> dict[str, bytes]:
    backend = LabelledBackend("")
    backend.random = lambda size: case.block("randomness")[:size]  # type: ignore[assignment]
    made = backend.encapsulate(decode_public_key(case.block("kem-public-key")))
    return {"ciphertext": made.ciphertext, "shared-secret": made.shared_secret}


_FUNCTIONS = {
    "context": _context,
    "derive": _derive,
    "mac": _mac,
    "kek": _kek,
    "decapsulate": _decapsulate,
    "encapsulate": _encapsulate,
}
