"""ProofOfPossession in a CRMF request (RFC 4211 section 4).

Read are raVerified, signature, and keyEncipherment with a subsequentMessage (encrCert, challengeResp); no proof, too.
The others send the private key or need a DH key, and are refused by name.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated

from pkix.asn1 import (
    SEQUENCE_TAG,
    TLV,
    AlgorithmIdentifier,
    BitString,
    Implicit,
    decode,
    elements,
    encode,
    sequence,
    tag_of,
    wrap,
)
from pkix.errors import AlgorithmRefused, Malformed
from pkix.keys import message_digest
from pkix.signatures import SigningKey, certificate_signature_algorithm, sign

_RA_VERIFIED, _SIGNATURE, _KEY_ENCIPHERMENT, _KEY_AGREEMENT = (0x80, 0xA1, 0xA2, 0xA3)
_SUBSEQUENT_MESSAGE = 0x81
POPO_TAGS = frozenset({_RA_VERIFIED, _SIGNATURE, _KEY_ENCIPHERMENT, _KEY_AGREEMENT})
_SENDER_TAG = 0xA0


class Popo(enum.Enum):
    """The alternatives of ProofOfPossession that are read, by the names of RFC 4211 section 4."""

    absent = "absent"
    raVerified = "raVerified"  # noqa: N815 - the RFC's names
    signature = "signature"
    encrCert = "encrCert"  # noqa: N815
    challengeResp = "challengeResp"  # noqa: N815


SUBSEQUENT = (Popo.encrCert, Popo.challengeResp)  # their numbers are 0 and 1


@sequence
class _PopoSigningKey:
    poposk_input: Annotated[list[TLV] | None, Implicit(0)]
    algorithm_identifier: AlgorithmIdentifier
    signature: BitString


@dataclass(frozen=True)
class PopoSigningKey:
    """RFC 4211 section 4.1. poposk_input: DER POPOSigningKeyInput, which is then what is signed, or None.

    auth_info: of that, DER of the sender's GeneralName under its [0] or of the PKMACValue; None without input.
    """

    algorithm: AlgorithmIdentifier
    signature: bytes
    poposk_input: bytes | None = None
    auth_info: bytes | None = None


def decode_popo(proof: TLV | None) -> tuple[Popo, PopoSigningKey | None]:
    """The kind of a ProofOfPossession, and the signature if it is one. Raises Malformed, AlgorithmRefused for a kind
    that is not supported.
    """
    if proof is None:
        return Popo.absent, None
    tag = tag_of(proof)
    if tag == _RA_VERIFIED:
        if proof.data:
            raise Malformed("CRMF request: raVerified is not NULL")
        return Popo.raVerified, None
    if tag == _SIGNATURE:
        return Popo.signature, _signing(proof)
    if tag == _KEY_AGREEMENT:
        raise AlgorithmRefused("CRMF request: the proof keyAgreement is not supported; sign the request")
    return _subsequent(proof), None


def _subsequent(proof: TLV) -> Popo:
    """[2] POPOPrivKey, a CHOICE and so under an EXPLICIT tag: a2 03 81 01 00 or 01."""
    choices = elements(proof)
    if len(choices) != 1:
        raise Malformed("CRMF request: keyEncipherment does not hold one POPOPrivKey")
    if tag_of(choices[0]) != _SUBSEQUENT_MESSAGE:
        raise AlgorithmRefused("CRMF request: keyEncipherment is supported with subsequentMessage alone")
    chosen = bytes(choices[0].data)
    if chosen not in (b"\x00", b"\x01"):
        raise Malformed("CRMF request: subsequentMessage is neither encrCert nor challengeResp (RFC 4211 section 4.2)")
    return SUBSEQUENT[chosen[0]]


def _signing(proof: TLV) -> PopoSigningKey:
    found = decode(_PopoSigningKey, bytes((SEQUENCE_TAG,)) + encode(proof)[1:], "POPOSigningKey")
    if found.signature.padding_bits():
        raise Malformed("CRMF request: the signature is not a whole number of octets")
    signed, auth_info = None, None
    if found.poposk_input is not None:
        if len(found.poposk_input) != 2 or tag_of(found.poposk_input[0]) not in (_SENDER_TAG, SEQUENCE_TAG):
            raise Malformed("CRMF request: poposkInput is not authInfo and publicKey (RFC 4211 section 4.1)")
        auth_info = encode(found.poposk_input[0])
        signed = wrap(SEQUENCE_TAG, b"".join(encode(item) for item in found.poposk_input))
    return PopoSigningKey(found.algorithm_identifier, found.signature.as_bytes(), signed, auth_info)


def encode_signature(key: SigningKey, request: bytes) -> bytes:
    """DER of a ProofOfPossession: a signature over the DER CertRequest. The hash is as in `pkix.pkcs10`."""
    digest = message_digest(key)
    scheme = encode(certificate_signature_algorithm(key, digest))
    _scheme, signature = sign(key, request, digest)
    return wrap(_SIGNATURE, scheme + encode(BitString(signature, 0)))


_ENCODED = {
    Popo.absent: b"",
    Popo.raVerified: wrap(_RA_VERIFIED, b""),
    Popo.encrCert: wrap(_KEY_ENCIPHERMENT, wrap(_SUBSEQUENT_MESSAGE, b"\x00")),
    Popo.challengeResp: wrap(_KEY_ENCIPHERMENT, wrap(_SUBSEQUENT_MESSAGE, b"\x01")),
}


def encode_popo(popo: Popo) -> bytes:
    """DER of a ProofOfPossession that is no signature; nothing for one that is absent."""
    return _ENCODED[popo]
