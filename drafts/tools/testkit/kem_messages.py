"""Messages of a client whose key is an ML-KEM key, with any part wrong: requests, KEMRecipientInfos, confirmations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from drafts.tools.labelled import LabelledBackend
from drafts.tools.testkit.der import Node, flipped, node
from drafts.tools.testkit.parties import KemParty
from kem.exchange import POP_SHA256, MacParameters
from kem.kdf import HKDF_SHA256, Kdf
from kem.keys import DecapsulationKey
from kem.structures import KemOtherInfo
from pkix import oids
from pkix.asn1 import AlgorithmIdentifier, Oid, algorithm, any_of, encode
from pkix.certificates import IssuerAndSerialNumber
from pkix.kem_recipients import ORI_TAG, CMSORIforKEMOtherInfo, KEMRecipientInfo, OtherRecipientInfo
from pkix.pkcs10 import CertificationRequest
from pkix.recipients import RandomBytes
from scep.attributes import KEM_POP_CHALLENGE
from scep.kem_pop import MAC_LABEL, Challenge, KemPopConfirm, KemPopMacInput, ScepKemContext
from scep.messages import PkiMessage


@dataclass(frozen=True)
class KemTo:
    """A recipient of an envelope, by KEMRecipientInfo. Every field after `label` is right by default.

    derived_ukm: what the KDF gets if not `ukm`, in a list of one.
    """

    to: KemParty
    rid: IssuerAndSerialNumber | bytes
    label: str
    kdf: Kdf = HKDF_SHA256
    wrap: Oid = oids.AES256_WRAP
    kek_length: int = 32
    ukm: bytes | None = None
    derived_ukm: Sequence[bytes | None] = ()
    kem: AlgorithmIdentifier | None = None
    version: int = 3  # of the EnvelopedData, RFC 5652 section 6.1

    def recipient_info(self, key: bytes, random: RandomBytes) -> bytes:
        """DER of the RecipientInfo."""
        sent = LabelledBackend(self.label).encapsulate(self.to.public)
        ukm = self.derived_ukm[0] if self.derived_ukm else self.ukm
        info = CMSORIforKEMOtherInfo(wrap=algorithm(self.wrap), kek_length=self.kek_length, ukm=ukm)
        kek = self.kdf.derive(sent.shared_secret, self.kek_length, encode(info))
        value = KEMRecipientInfo(
            version=0,
            rid=self.rid,
            kem=self.kem or algorithm(self.to.public.parameter_set.oid),
            kemct=sent.ciphertext,
            kdf=self.kdf.identifier,
            kek_length=self.kek_length,
            ukm=self.ukm,
            wrap=algorithm(self.wrap),
            encrypted_key=aes_key_wrap(kek, key),
        )
        other = OtherRecipientInfo(ori_type=oids.ORI_KEM, ori_value=any_of(encode(value)))
        return bytes((ORI_TAG,)) + encode(other)[1:]


def kemri(enveloped: Node) -> Node:
    """The KEMRecipientInfo in the tree of an envelope: version, rid, kem, kemct, kdf, kekLength, wrap, encryptedKey."""
    return enveloped[1][0][1][0][1]


def kemri_with(index: int, der: bytes) -> Callable[[Node], None]:
    """A change to the tree of an envelope: another value of one field of its KEMRecipientInfo."""

    def change(tree: Node) -> None:
        kemri(tree)[index] = node(der)

    return change


def kemri_bit(index: int) -> Callable[[Node], None]:
    """The same: one bit of the field is another."""

    def change(tree: Node) -> None:
        kemri(tree)[index].content = flipped(kemri(tree)[index].content)

    return change


def kemri_short(tree: Node) -> None:
    """The same: the last octet of kemct is missing."""
    kemri(tree)[3].content = kemri(tree)[3].content[:-1]


@dataclass(frozen=True)
class Proof:
    """What a client computes its confirmation from. `of` fills it from what was sent and received.

    Each field may be replaced by something wrong. caps: the GetCACaps body acted on, None to say nothing of it.
    stated_caps: what capsHash holds, in a list of one, if it is not the hash of `caps`.
    """

    request: bytes
    csr: bytes
    client_nonce: bytes
    pending: bytes
    ca_nonce: bytes
    ca_signer: bytes
    ciphertexts: tuple[bytes, ...]
    secrets: tuple[bytes, ...]
    transaction_id: bytes
    caps: bytes | None = None
    stated_caps: Sequence[bytes | None] = ()
    parameters: MacParameters = POP_SHA256
    context_version: int = 1
    static_string: str = "SCEP-KEM"
    label: str = MAC_LABEL
    version: int = 1
    cert_rep: bytes | None = None
    hashed: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(
        cls, request: bytes, csr: bytes, pending: bytes, keys: Sequence[DecapsulationKey], caps: bytes | None
    ) -> Proof:
        """The right one."""
        message, answer = PkiMessage.decode(request), PkiMessage.decode(pending)
        challenge = Challenge.decode(answer.attribute(KEM_POP_CHALLENGE) or b"")
        octets = tuple(item.octets for item in challenge.ciphertexts)
        decapsulate = LabelledBackend("").decapsulate
        return cls(
            request=request,
            csr=csr,
            client_nonce=message.sender_nonce or b"",
            pending=pending,
            ca_nonce=answer.sender_nonce or b"",
            ca_signer=answer.signed.signer_certificate().der,
            ciphertexts=octets,
            secrets=tuple(decapsulate(key, ciphertext) for key, ciphertext in zip(keys, octets, strict=True)),
            transaction_id=answer.transaction_id.encode(),
            caps=caps,
            parameters=challenge.parameters,
        )

    def but(self, **changes: object) -> Proof:
        """With something else."""
        return replace(self, **changes)  # type: ignore[arg-type]

    @property
    def context(self) -> bytes:
        """DER ScepKemContext."""
        digest = self.parameters.kdf.digest
        return encode(
            ScepKemContext(
                version=self.context_version,
                client_nonce=self.client_nonce,
                ca_nonce=self.ca_nonce,
                request_hash=self.hashed.get("request", digest(self.request)),
                csr_hash=digest(self.csr),
                ca_signer_hash=digest(self.ca_signer),
                ciphertext_hashes=[digest(item) for item in self.ciphertexts],
            )
        )

    @property
    def info(self) -> bytes:
        """DER KemOtherInfo."""
        return encode(
            KemOtherInfo(
                static_string=[self.static_string], transaction_id=self.transaction_id, kem_context=self.context
            )
        )

    @property
    def derived_key(self) -> bytes:
        """What the MAC is made with."""
        return self.parameters.kdf.derive(b"".join(self.secrets), self.parameters.length, self.info)

    @property
    def caps_hash(self) -> bytes | None:
        """capsHash."""
        return None if self.caps is None else self.parameters.kdf.digest(self.caps)

    @property
    def mac_input(self) -> bytes:
        """DER KemPopMacInput."""
        hashed = self.parameters.kdf.digest(self.pending if self.cert_rep is None else self.cert_rep)
        return encode(KemPopMacInput(label=self.label, cert_rep_hash=hashed, caps_hash=self.caps_hash))

    @property
    def mac(self) -> bytes:
        """The MAC."""
        return self.parameters.mac.compute(self.derived_key, self.mac_input)

    def confirm(self, mac: bytes | None = None) -> bytes:
        """DER KemPopConfirm. mac: another one."""
        stated = self.stated_caps[0] if self.stated_caps else self.caps_hash
        return encode(KemPopConfirm(version=self.version, caps_hash=stated, mac=self.mac if mac is None else mac))


def csr_key(csr: bytes) -> bytes:
    """DER SubjectPublicKeyInfo of a request."""
    return CertificationRequest.decode(csr).spki
