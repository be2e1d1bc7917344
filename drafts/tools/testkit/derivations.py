"""Known answers of the protocol's functions alone, for those who begin there."""

from __future__ import annotations

from collections.abc import Iterator

from drafts.tools.labelled import LabelledBackend, value
from drafts.tools.testkit.ca_kem import client
from drafts.tools.testkit.ca_kem_others import old
from drafts.tools.testkit.client_challenges import renewing
from drafts.tools.testkit.client_kem import CAPS, challenge, pending, proof, scene
from drafts.tools.testkit.der import flipped
from drafts.tools.testkit.kem_messages import Proof
from drafts.tools.testkit.scene import Planned, Scene, Told
from kem.exchange import POP_SHA512
from kem.kdf import HKDF_SHA256, HKDF_SHA384, Kdf
from kem.keys import encode_private_key
from pkix import oids
from pkix.asn1 import Oid, algorithm, encode
from pkix.kem_recipients import CMSORIforKEMOtherInfo

SECRET = value("vectors/derivation/secret", 0, 32)


def _case(name: str, description: str, scene_: Scene, **values: bytes) -> Planned:
    expected: dict[str, str | bytes] = {key.replace("_", "-"): item for key, item in values.items()}
    told = Told(
        f"derivation-{name}", description, f"derivation-{dict(scene_.headers)['operation']}", "values", values=expected
    )
    return scene_, told


def _function(operation: str, *blocks: tuple[str, bytes], **headers: str) -> Scene:
    return Scene("derivation").plus(*blocks, operation=operation, **headers)


def cases() -> Iterator[Planned]:
    """All of this module."""
    base = renewing()
    for suffix, hash_name, body, right in (
        ("sha256", "SHA-256", pending(challenge()), proof(pending(challenge()))),
        (
            "sha512",
            "SHA-512",
            pending(challenge(parameters=POP_SHA512)),
            proof(pending(challenge(parameters=POP_SHA512))),
        ),
        ("two-keys", "SHA-256", *_two(base)),
    ):
        yield from _proof(suffix, hash_name, body, right)
    without = proof(pending(challenge()), base=scene(caps=False))
    yield _case(
        "mac-without-caps",
        "The MAC without capsHash",
        _function("mac", ("derived-key", without.derived_key), ("cert-rep", without.pending), hash="SHA-256"),
        mac_input=without.mac_input,
        mac=without.mac,
    )
    yield from _keks()
    yield from _kem()


def _two(base: Scene) -> tuple[bytes, Proof]:
    body = pending(challenge(client(), old()), transaction_id="renewal-1")
    return body, proof(body, client(), old(), base=base)


def _proof(suffix: str, hash_name: str, body: bytes, right: Proof) -> Iterator[Planned]:
    ciphertexts = [("ciphertext", item) for item in right.ciphertexts]
    yield _case(
        f"context-{suffix}",
        f"ScepKemContext with {hash_name} and {len(ciphertexts)} ciphertext(s)",
        _function(
            "context",
            ("client-nonce", right.client_nonce),
            ("ca-nonce", right.ca_nonce),
            ("request", right.request),
            ("csr", right.csr),
            ("ca-signer", right.ca_signer),
            *ciphertexts,
            hash=hash_name,
        ),
        context=right.context,
    )
    secrets = [("shared-secret", item) for item in right.secrets]
    yield _case(
        f"key-{suffix}",
        f"The derived key from {len(secrets)} shared secret(s) with HKDF-{hash_name.replace('-', '')}",
        _function(
            "derive", *secrets, ("context", right.context), hash=hash_name, transaction_id=right.transaction_id.decode()
        ),
        info=right.info,
        derived_key=right.derived_key,
    )
    yield _case(
        f"mac-{suffix}",
        f"The MAC with HMAC-{hash_name.replace('-', '')}",
        _function("mac", ("derived-key", right.derived_key), ("cert-rep", body), ("ca-caps", CAPS), hash=hash_name),
        mac_input=right.mac_input,
        mac=right.mac,
    )


def _keks() -> Iterator[Planned]:
    def kek(name: str, what: str, kdf: Kdf, wrap: str, oid: Oid, length: int, *ukm: bytes) -> Planned:
        other = encode(CMSORIforKEMOtherInfo(wrap=algorithm(oid), kek_length=length, ukm=ukm[0] if ukm else None))
        blocks = [("shared-secret", SECRET), *(("ukm", item) for item in ukm)]
        at = _function("kek", *blocks, kdf=kdf.name, wrap=wrap, kek_length=str(length))
        return _case(
            f"kek-{name}",
            f"The key-encryption key of a KEMRecipientInfo {what}",
            at,
            info=other,
            kek=kdf.derive(SECRET, length, other),
        )

    yield kek("256", "with aes256-wrap and no ukm", HKDF_SHA256, "aes256-wrap", oids.AES256_WRAP, 32)
    yield kek("128", "with aes128-wrap and no ukm", HKDF_SHA256, "aes128-wrap", oids.AES128_WRAP, 16)
    yield kek("empty-ukm", "with aes256-wrap and an empty ukm", HKDF_SHA256, "aes256-wrap", oids.AES256_WRAP, 32, b"")
    yield kek(
        "ukm", "with aes256-wrap, a ukm and HKDF-SHA384", HKDF_SHA384, "aes256-wrap", oids.AES256_WRAP, 32, b"partyinfo"
    )


def _kem() -> Iterator[Planned]:
    for parameter_set in ("ML-KEM-512", "ML-KEM-768", "ML-KEM-1024"):
        number, party = parameter_set[7:], client(parameter_set)
        label = "vectors/derivation/m"
        made = LabelledBackend(label).encapsulate(party.public)
        yield _case(
            f"encapsulate-{number}",
            f"Encapsulation with given randomness m (FIPS 203 algorithm 17), {parameter_set}",
            _function("encapsulate", ("kem-public-key", party.spki), ("randomness", value(label, 0, 32))),
            ciphertext=made.ciphertext,
            shared_secret=made.shared_secret,
        )
        key = ("kem-key", encode_private_key(party.private))
        yield _case(
            f"decapsulate-{number}",
            f"Decapsulation, {parameter_set}, the key as a seed (RFC 9935 section 6)",
            _function("decapsulate", key, ("ciphertext", made.ciphertext)),
            shared_secret=made.shared_secret,
        )
        wrong = flipped(made.ciphertext)
        rejected = LabelledBackend("").decapsulate(party.private, wrong)
        yield _case(
            f"decapsulate-{number}-tampered",
            f"Implicit rejection (FIPS 203 section 6.3), {parameter_set}: one bit of the ciphertext is changed",
            _function("decapsulate", key, ("ciphertext", wrong)),
            shared_secret=rejected,
        )
