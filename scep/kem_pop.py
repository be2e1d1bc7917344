"""KEM proof of possession in SCEP: its structures, and what both sides compute from them.

    client                                              CA
    PKCSReq | RenewalReq with a KEM key  ------------->  encapsulate, derive a key, keep it
         <-------------  CertRep PENDING, signed attribute kemPopChallenge
    decapsulate, derive the same key
    CertPoll, signed attribute kemPopConfirm  -------->  take the key, compare the MAC, issue
         <-------------  CertRep SUCCESS

The derivation and the MAC are `kem.exchange`'s. Here is what they are bound to: ScepKemContext, which each side fills
from its own copies of the messages, and KemPopMacInput. H is the KDF's hash. The ASN.1 module has IMPLICIT TAGS;
KemCiphertextInfo and KemBMParameter are RFC 9810's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from kem.exchange import KemCiphertext, MacParameters, kem_ciphertext, mac_parameters
from kem.structures import KemBMParameter, KemCiphertextInfo
from pkix.asn1 import AlgorithmIdentifier, GeneralizedTime, Implicit, algorithm, decode, encode, number, sequence
from pkix.errors import AlgorithmRefused, Malformed
from pkix.pkcs10 import CertificationRequest
from pkix.recipients import AES_WRAP_LENGTHS, AES_WRAPS
from scep.attributes import NONCE_LENGTH, RESPONSE_KEY

VERSION = 1
MAC_LABEL = "scep-kem-pop client confirm"
RESPONSE_KEY_IDENTIFIER_LENGTH = 16
SHOWN, SHOWN_OF_CSR_HASH = 8, 2  # octets in `comparison`


@sequence
class KemPopChallenge:
    """kem_ciphertexts: to the key of the request, then, when a KEM certificate is renewed, to that one's key."""

    version: int
    kem_ciphertexts: list[KemCiphertextInfo]
    mac_params: KemBMParameter
    expires: GeneralizedTime


@sequence
class KemPopConfirm:
    """caps_hash: H of the GetCACaps body that the client acted on."""

    version: int
    caps_hash: Annotated[bytes | None, Implicit(0)]
    mac: bytes


@sequence
class ScepKemContext:
    """The kemContext of the KDF; see `Binding`."""

    version: int
    client_nonce: bytes
    ca_nonce: bytes
    request_hash: bytes
    csr_hash: bytes
    ca_signer_hash: bytes
    ciphertext_hashes: list[bytes]


@sequence
class KemPopMacInput:
    """label: MAC_LABEL. cert_rep_hash: H of the PENDING CertRep's octets."""

    label: str
    cert_rep_hash: bytes
    caps_hash: Annotated[bytes | None, Implicit(0)]


@sequence
class ResponseKey:
    """PKCS #10 attribute: a symmetric key of the client's under which the answer is encrypted.

    key_identifier: 16 octets. wrap: an AES key wrap (RFC 3394), whose key `key` is.
    """

    key_identifier: bytes
    wrap: AlgorithmIdentifier
    key: bytes


@dataclass(frozen=True)
class Challenge:
    """A kemPopChallenge, checked. expires: aware UTC."""

    ciphertexts: tuple[KemCiphertext, ...]
    parameters: MacParameters
    expires: datetime

    def encode(self) -> bytes:
        """DER."""
        return encode(
            KemPopChallenge(
                version=VERSION,
                kem_ciphertexts=[ciphertext.structure for ciphertext in self.ciphertexts],
                mac_params=self.parameters.structure,
                expires=GeneralizedTime(self.expires),
            )
        )

    @classmethod
    def decode(cls, der: bytes) -> Challenge:
        """Raises Malformed and the errors of `kem.errors`."""
        found = decode(KemPopChallenge, der, "kemPopChallenge")
        _check_version(found.version, "kemPopChallenge")
        if not 1 <= len(found.kem_ciphertexts) <= 2:
            raise Malformed(f"kemPopChallenge has {len(found.kem_ciphertexts)} ciphertexts, not 1 or 2")
        return cls(
            ciphertexts=tuple(kem_ciphertext(item) for item in found.kem_ciphertexts),
            parameters=mac_parameters(found.mac_params),
            expires=found.expires.as_datetime(),
        )


def encode_confirm(mac: bytes, caps_hash: bytes | None) -> bytes:
    """DER KemPopConfirm."""
    return encode(KemPopConfirm(version=VERSION, caps_hash=caps_hash, mac=mac))


def decode_confirm(der: bytes) -> KemPopConfirm:
    """Raises Malformed."""
    found = decode(KemPopConfirm, der, "kemPopConfirm")
    _check_version(found.version, "kemPopConfirm")
    return found


def _check_version(version: int, what: str) -> None:
    if version != VERSION:
        raise Malformed(f"{what} has version {number(version)}, not {VERSION}")


@dataclass(frozen=True)
class Binding:
    """What a derived key is bound to, each side from its own copies.

    client_nonce: senderNonce of the request (16 octets). ca_nonce: senderNonce of the PENDING CertRep (16 octets).
    request_hash: H of the request's pkiMessage as it went over the wire. csr: DER CertificationRequest; named besides
    the message because neither CBC nor GCM commits to a plaintext. ca_signer: DER certificate that signed the CertRep.
    """

    client_nonce: bytes
    ca_nonce: bytes
    request_hash: bytes
    csr: bytes
    ca_signer: bytes
    parameters: MacParameters

    def context(self, ciphertexts: Sequence[bytes]) -> bytes:
        """DER ScepKemContext."""
        if len(self.client_nonce) != NONCE_LENGTH or len(self.ca_nonce) != NONCE_LENGTH:
            raise Malformed("a KEM proof of possession needs nonces of 16 octets (RFC 8894 section 3.2.1.5)")
        digest = self.parameters.kdf.digest
        return encode(
            ScepKemContext(
                version=VERSION,
                client_nonce=self.client_nonce,
                ca_nonce=self.ca_nonce,
                request_hash=self.request_hash,
                csr_hash=digest(self.csr),
                ca_signer_hash=digest(self.ca_signer),
                ciphertext_hashes=[digest(ciphertext) for ciphertext in ciphertexts],
            )
        )


def response_key_of(request: CertificationRequest) -> ResponseKey | None:
    """The response key that a request brought, or None. Raises Malformed, AlgorithmRefused."""
    der = request.attributes.get(RESPONSE_KEY)
    if der is None:
        return None
    found = decode(ResponseKey, der, "responseKey")
    length = AES_WRAP_LENGTHS.get(found.wrap.algorithm)
    if length is None or found.wrap.parameters is not None:
        raise AlgorithmRefused("responseKey: wrap is not an AES key wrap without parameters")
    if len(found.key_identifier) != RESPONSE_KEY_IDENTIFIER_LENGTH:
        raise Malformed(f"responseKey: keyIdentifier of {len(found.key_identifier)} octets does not have 16 octets")
    if len(found.key) != length:
        raise Malformed(f"responseKey: key of {len(found.key)} octets does not fit wrap, whose key has {length}")
    return found


def encode_response_key(identifier: bytes, key: bytes) -> bytes:
    """DER ResponseKey. identifier: 16 octets. key: 16, 24 or 32."""
    return encode(ResponseKey(key_identifier=identifier, wrap=algorithm(AES_WRAPS[len(key)]), key=key))


def mac_input(cert_rep_hash: bytes, caps_hash: bytes | None) -> bytes:
    """DER KemPopMacInput."""
    return encode(KemPopMacInput(label=MAC_LABEL, cert_rep_hash=cert_rep_hash, caps_hash=caps_hash))


def comparison(derived_key: bytes, context: bytes | None, given: bytes, *, guessable: bool = False) -> dict[str, str]:
    """What client and CA lay side by side when a proof is wrong: the same names on both sides, to values in hex.

    context: DER ScepKemContext, None if it is not known any more. given: DER KemPopMacInput. The derived key and
    KemPopMacInput are shown by the beginning of their SHA-256, whatever H is; nonces and hashes by their own beginning;
    the context by its length. 8 octets each, but 2 of csrHash: what it is a hash of can be public but for the
    challengePassword, so whoever read more could test guesses of it. For the same reason nothing is hashed that csrHash
    goes into, but the derived key, which nobody can compute without the shared secret. guessable: that password may
    serve again, in requests whose two octets each would add up, so nothing of csrHash is shown.
    """
    shown = {"derived key": hashlib.sha256(derived_key).digest()}
    if context is not None:
        members = decode(ScepKemContext, context, "ScepKemContext")
        shown |= {
            "clientNonce": members.client_nonce,
            "caNonce": members.ca_nonce,
            "requestHash": members.request_hash,
            "csrHash": members.csr_hash[:SHOWN_OF_CSR_HASH],
            "caSignerHash": members.ca_signer_hash,
        }
        shown |= {f"ciphertextHash {at}": octets for at, octets in enumerate(members.ciphertext_hashes, 1)}
    input_members = decode(KemPopMacInput, given, "KemPopMacInput")
    shown |= {"MAC input": hashlib.sha256(given).digest(), "certRepHash": input_members.cert_rep_hash}
    found = {name: octets[:SHOWN].hex() for name, octets in shown.items()}
    caps_hash = input_members.caps_hash
    if context is not None and guessable:
        found["csrHash"] = "withheld"
    found["capsHash"] = "absent" if caps_hash is None else caps_hash[:SHOWN].hex()
    return found if context is None else found | {"octets of the context": str(len(context))}
