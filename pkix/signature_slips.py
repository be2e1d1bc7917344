"""Which of the usual slips made a signature that does not verify, in words for whoever wrote the signer.

`find_slip` is asked after a signature was refused, and changes nothing about that. It has nothing but what anybody has
who sees the message: the octets that came and the public key. What it costs is bounded, because strangers send wrong
signatures as they please: at most four operations with the public key. For RSA PKCS #1 v1.5, one of them shows the
hash that was signed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from pkix import oids
from pkix.asn1 import SEQUENCE_TAG, SET_TAG, AlgorithmIdentifier, Oid, decode, encode, octet_string, sequence, wrap
from pkix.attributes import hash_of
from pkix.errors import Malformed
from pkix.pss import PssPublicKey, PublicKey

_MAX_CONTENT = 64 * 1024  # octets of content that are tried as what was signed
_NULL = b"\x05\x00"
_HASHES: dict[Oid, hashes.HashAlgorithm] = {
    oids.SHA256: hashes.SHA256(),
    oids.SHA1: hashes.SHA1(),  # noqa: S303 - to name what a peer did
    oids.SHA384: hashes.SHA384(),
    oids.SHA512: hashes.SHA512(),
    oids.SHA224: hashes.SHA224(),
    oids.MD5: hashes.MD5(),  # noqa: S303
}
_OF_CURVE = {256: oids.SHA256, 384: oids.SHA384, 521: oids.SHA512}  # the hash that many take for a curve of this size
_OVER_ATTRIBUTES = "(RFC 5652 section 5.4)"

_HASH_BY_THEMSELVES = (
    ed25519.Ed25519PublicKey,
    mldsa.MLDSA44PublicKey,
    mldsa.MLDSA65PublicKey,
    mldsa.MLDSA87PublicKey,
)


@dataclass(frozen=True)
class Refused:
    """A signature that did not verify.

    scheme: signatureAlgorithm. digest: the hash that it means. tagged: DER of the signed attributes with the tag that
    they have in the message. content: octets of eContent, None if absent.
    """

    key: PublicKey
    scheme: AlgorithmIdentifier
    digest: hashes.HashAlgorithm
    signature: bytes
    tagged: bytes
    content: bytes | None

    @property
    def right(self) -> bytes:
        """The octets that should have been signed, if the attributes came in DER order."""
        return bytes((SET_TAG,)) + self.tagged[1:]


def find_slip(refused: Refused) -> str:
    """What was done wrong, as the end of a sentence about the signature, or "" if it is none of these slips, or to see
    it would need a hash that this machine's OpenSSL does not have.
    """
    try:
        return _find_slip(refused)
    except UnsupportedAlgorithm:
        return ""


def _find_slip(refused: Refused) -> str:
    key = refused.key
    if isinstance(key, PssPublicKey):
        return _slip_of_pss(refused, key.rsa)
    if isinstance(key, rsa.RSAPublicKey):
        return _slip_of_rsa(refused, key)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _slip_of_ecdsa(refused, key)
    if isinstance(key, _HASH_BY_THEMSELVES):
        return _other_octets(refused, 4, lambda octets: _verifies(key.verify, refused.signature, octets))
    return ""


def _other_octets(refused: Refused, most: int, verified: Callable[[bytes], bool]) -> str:
    """Which of the first candidates, `most` of them, was signed."""
    candidates = islice(_candidates(refused, refused.digest), most)
    return next((text for text, octets in candidates if verified(octets)), "")


def _candidates(refused: Refused, digest: hashes.HashAlgorithm) -> Iterator[tuple[str, bytes]]:
    """What is signed by mistake, the most frequent first."""
    tagged, content = refused.tagged, refused.content
    text = "it is over the attributes with the tag [0] (A0); that of a SET OF (31) belongs there"
    yield f"{text} {_OVER_ATTRIBUTES}", tagged
    if content is not None and len(content) <= _MAX_CONTENT:
        text = "it is over the content; where there are signed attributes, it is over them"
        yield f"{text} {_OVER_ATTRIBUTES}", content
    text = "it is over the hash of the signed attributes, which was hashed once more; hash them once"
    yield text, hash_of(digest, refused.right)
    text = "it is over the attributes without the tag and length of their SET OF"
    yield f"{text} {_OVER_ATTRIBUTES}", tagged[_header_length(tagged) :]


def _header_length(der: bytes) -> int:
    return 2 if der[1] < 0x80 else 2 + (der[1] & 0x7F)


def _slip_of_rsa(refused: Refused, key: rsa.RSAPublicKey) -> str:
    length = (key.key_size + 7) // 8
    if len(refused.signature) != length:
        return f"it has {len(refused.signature)} octets, and one by this key has {length}"
    signed = _recovered(key, refused.signature)
    is_pss = refused.scheme.algorithm == oids.RSASSA_PSS
    if signed is not None:
        if is_pss:
            return "it is one of PKCS #1 v1.5, and signatureAlgorithm says RSASSA-PSS"
        return _slip_in_block(refused, signed)
    if is_pss:
        return _slip_of_pss(refused, key)
    if _recovered(key, refused.signature[::-1]) is not None:
        return "its octets stand in reverse; the most significant comes first (RFC 8017 section 4.1)"
    if _verifies_pss(key, refused, refused.right, refused.digest):
        return "it is one of RSASSA-PSS, and signatureAlgorithm says PKCS #1 v1.5; name id-RSASSA-PSS (RFC 4056)"
    return ""


def _recovered(key: rsa.RSAPublicKey, signature: bytes) -> bytes | None:
    """What is in the PKCS #1 v1.5 block of type 1 behind a signature, None if there is no such block."""
    try:
        return key.recover_data_from_signature(signature, padding.PKCS1v15(), None)
    except InvalidSignature:
        return None


@sequence
class _DigestInfo:
    """RFC 8017 section 9.2."""

    digest_algorithm: AlgorithmIdentifier
    digest: bytes


def _slip_in_block(refused: Refused, signed: bytes) -> str:
    """signed: what the block holds, which should be a DigestInfo with the hash of the right octets."""
    wanted = refused.digest
    try:
        info = decode(_DigestInfo, signed, "DigestInfo")
    except Malformed:
        digest: hashes.HashAlgorithm | None = _by_length(len(signed), wanted)
        value, faults = signed, ["it has the hash without a DigestInfo around it (RFC 8017 section 9.2)"]
    else:
        digest, value, faults = _HASHES.get(info.digest_algorithm.algorithm), info.digest, []
        if digest is not None and signed != _digest_info(info.digest_algorithm.algorithm, value):
            faults.append("its DigestInfo has not NULL for parameters (RFC 8017 section 9.2)")
    if digest is None:
        return "the block that it holds has no DigestInfo with a known hash (RFC 8017 section 9.2)"
    if digest.name != wanted.name:
        faults.insert(0, _another_hash(digest, wanted))
    if value != hash_of(digest, refused.right):
        found = [text for text, octets in _candidates(refused, digest) if hash_of(digest, octets) == value]
        faults += found[:1] or ["it is by this key, but over other octets than the signed attributes that came"]
    return "; ".join(faults)


def _by_length(length: int, wanted: hashes.HashAlgorithm) -> hashes.HashAlgorithm | None:
    """Which hash a value of this length is."""
    return next((item for item in (wanted, *_HASHES.values()) if item.digest_size == length), None)


def _digest_info(digest: Oid, value: bytes) -> bytes:
    """DER of a DigestInfo as it has to be."""
    return wrap(SEQUENCE_TAG, wrap(SEQUENCE_TAG, encode(digest) + _NULL) + octet_string(value))


def _label(digest: hashes.HashAlgorithm) -> str:
    return next(oids.label(oid) for oid, known in _HASHES.items() if known.name == digest.name)


def _slip_of_pss(refused: Refused, key: rsa.RSAPublicKey) -> str:
    """signatureAlgorithm is id-RSASSA-PSS."""
    if _verifies_pss(key, refused, refused.right, refused.digest):
        return "RSASSA-PSS-params has another salt length or MGF1 hash than it was made with (RFC 4055 section 3.1)"
    return _other_octets(refused, 2, lambda octets: _verifies_pss(key, refused, octets, refused.digest))


def _verifies_pss(key: rsa.RSAPublicKey, refused: Refused, octets: bytes, digest: hashes.HashAlgorithm) -> bool:
    """Whatever the length of the salt, with MGF1 of the same hash."""
    scheme = padding.PSS(padding.MGF1(digest), padding.PSS.AUTO)
    return _verifies(key.verify, refused.signature, octets, scheme, digest)


def _slip_of_ecdsa(refused: Refused, key: ec.EllipticCurvePublicKey) -> str:
    def verified(octets: bytes, digest: hashes.HashAlgorithm, signature: bytes = refused.signature) -> bool:
        return _verifies(key.verify, signature, octets, ec.ECDSA(digest))

    half = (key.curve.key_size + 7) // 8
    if len(refused.signature) == 2 * half:
        r, s = (int.from_bytes(part, "big") for part in (refused.signature[:half], refused.signature[half:]))
        if verified(refused.right, refused.digest, encode_dss_signature(r, s)):
            return "it is r and s side by side; they stand in a SEQUENCE of two INTEGERs (RFC 3279 section 2.2.3)"
        return ""
    most = 3 if isinstance(key.curve, ec.SECP256R1) else 1  # on the others, each costs about a millisecond
    found = _other_octets(refused, most, lambda octets: verified(octets, refused.digest))
    if found:
        return found
    usual = _HASHES[_OF_CURVE.get(key.curve.key_size, oids.SHA256)]
    other = usual if usual.name != refused.digest.name else _HASHES[oids.SHA1]
    return _another_hash(other, refused.digest) if verified(refused.right, other) else ""


def _another_hash(used: hashes.HashAlgorithm, wanted: hashes.HashAlgorithm) -> str:
    return f"its hash is {_label(used)}, and by the algorithms in SignerInfo it is {_label(wanted)}"


def _verifies(verify: Callable[..., None], signature: bytes, octets: bytes, *more: object) -> bool:
    try:
        verify(signature, octets, *more)
    except (InvalidSignature, ValueError):  # such as a key that is too short for the hash
        return False
    return True
