"""The text of an example: its messages as dumps, what their envelopes hold, and what was derived on the way."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

from drafts.tools.examples import schema
from drafts.tools.examples.dump import WIDTH, Dump, Hidden, Seen, hex_lines, wrapped
from drafts.tools.examples.keyring import KTRI, ORI, Envelope, hkdf
from drafts.tools.examples.names import NAMES
from drafts.tools.examples.scene import CA, Derived, Message, Scene
from drafts.tools.examples.shapes import Part, Shape
from drafts.tools.tlv import OBJECT_IDENTIFIER, oid_of, parse
from kem.exchange import kem_other_info

PLAINTEXTS: dict[str, tuple[str, Shape]] = {
    "PKCSReq": ("CertificationRequest", schema.CERTIFICATION_REQUEST),
    "RenewalReq": ("CertificationRequest", schema.CERTIFICATION_REQUEST),
    "CertPoll": ("IssuerAndSubject", schema.ISSUER_AND_SUBJECT),
    "GetCert": ("IssuerAndSerialNumber", schema.ISSUER_AND_SERIAL),
    "CertRep-SUCCESS": ("certificates-only SignedData", schema.CERTIFICATES_ONLY),
}


class Form(enum.Enum):
    """How much of a message is shown: all its octets; all but the ciphertexts of the envelope; no long values; the
    signed attributes alone.
    """

    full = "full"
    content = "content"
    brief = "brief"
    attributes = "attributes"


HIDDEN = {
    Form.full: Hidden.nothing,
    Form.content: Hidden.ciphertexts,
    Form.brief: Hidden.everything,
    Form.attributes: Hidden.everything,
}


@dataclass
class Page:
    """The lines of one text."""

    scene: Scene
    seen: Seen
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._dump = Dump(self.seen)
        self._infos: list[bytes] = []
        self.lines += [f"Example {self.scene.name}", *wrapped(self.scene.title, ""), ""]

    def text(self) -> str:
        """The whole page."""
        return "\n".join(line.rstrip() for line in self.lines).rstrip() + "\n"

    def say(self, text: str) -> None:
        """A paragraph."""
        self.lines += [*wrapped(text, ""), ""]

    def messages(self, *numbers: int, form: Form = Form.full) -> None:
        """These messages, or all."""
        for number in numbers or range(1, len(self.scene.messages) + 1):
            self.message(self.scene.messages[number - 1], form=form)

    def message(self, message: Message, *, form: Form) -> None:
        """One message, with what its envelope holds and what its challenge leads to."""
        self.lines += _heading(f"{_title(message)}, {len(message.octets)} octets")
        self._dump.where = f"{self.scene.name}, message {message.number}"
        self._dump.hidden = HIDDEN[form]
        if message.what == "GetCACaps":
            self.lines += [*(f"  {line}" for line in message.octets.decode("ascii").splitlines()), ""]
        elif message.what == "GetCACert":
            bag = next(iter(parse(message.octets).children())).tag == OBJECT_IDENTIFIER
            shape = schema.CERTIFICATES_ONLY if bag else schema.CERTIFICATE
            self.lines += [*self._dump.lines(message.octets, shape), ""]
        else:
            self._pki_message(message, form)
        self._dump.hidden = Hidden.nothing

    def _pki_message(self, message: Message, form: Form) -> None:
        if form is Form.attributes:
            self.lines += self._dump.part(find(message.octets, schema.PKI_MESSAGE, "signedAttrs"))
        else:
            self.lines += self._dump.lines(message.octets, schema.PKI_MESSAGE)
        source = self.scene.source(sender_nonce(message.octets))
        self.lines += [*wrapped(f"-- senderNonce: {source}"), ""]
        (octets,) = find(message.octets, schema.PKI_MESSAGE, "eContent").tlv.children()
        if octets.content:
            self.envelope(message, octets.content, form)
        for derived in self.scene.derived:
            if derived.number == message.number:
                self.proof(derived, message)

    def listing(self, *numbers: int) -> None:
        """Messages by title and length alone."""
        for number in numbers:
            message = self.scene.messages[number - 1]
            self.lines += wrapped(f"{_title(message)}, {len(message.octets)} octets", "")
        self.lines += [""]

    def differing(self, number: int, *names: str) -> None:
        """One part of a message."""
        self.lines += _heading(f"Message {number}: {names[-1]}", "-")
        self._part(self.scene.messages[number - 1].octets, schema.PKI_MESSAGE, *names)

    def _part(self, der: bytes, shape: Shape, *names: str) -> None:
        self._dump.hidden = Hidden.everything
        self.lines += [*self._dump.part(find(der, shape, *names)), ""]
        self._dump.hidden = Hidden.nothing

    def attributes(self, number: int) -> None:
        """The signed attributes by which an answer differs from others."""
        message = self.scene.messages[number - 1]
        self.lines += _heading(
            f"{_title(message)}: its signedAttrs without contentType, signingTime, messageDigest", "-"
        )
        for part in _below(find(message.octets, schema.PKI_MESSAGE, "signedAttrs")):
            kind = NAMES[oid_of(next(part.tlv.children()).content)]
            if kind not in ("id-contentType", "id-signingTime", "id-messageDigest"):
                self.lines += self._dump.part(part)
        self.lines += [""]

    def envelope(self, message: Message, content_info: bytes, form: Form) -> None:
        """What the pkcsPKIEnvelope of a message holds, and the keys on the way to it."""
        opened = self.scene.keyring.open(content_info)
        self.lines += _heading(f"The envelope of message {message.number}, opened with the key {opened.whose}", "-")
        if opened.kind == ORI:
            self._kem_values(opened)
        elif opened.kind == KTRI:
            self._rsa_values(opened)
        else:
            self._value("KEK", opened.kek, "responseKey.key of the request")
        self._value("CEK", opened.cek, self.scene.source(opened.cek) or "")
        self.lines += [f"  {'IV' if opened.kind == KTRI else 'aes-nonce'} = {self.scene.source(opened.iv)}"]
        if form is Form.attributes:
            self.lines += [""]
            return
        name, shape = PLAINTEXTS[message.what]
        self.lines += [f"messageData: {name}, {len(opened.plaintext)} octets"]
        self._dump.where = f"{self.scene.name}, messageData of message {message.number}"
        self.lines += [*self._dump.lines(opened.plaintext, shape), ""]

    def _kem_values(self, opened: Envelope) -> None:
        where, m = self.scene.m_of(opened.ciphertext)
        self._value("m", m, where)
        self._value("ss", opened.ss, "K of Encaps_internal(ek, m), or Decaps(dk, kemct)")
        if opened.info in self._infos:
            self.lines += ["  info = DER CMSORIforKEMOtherInfo, as before"]
        else:
            self._infos.append(opened.info)
            self.lines += ["  info = DER CMSORIforKEMOtherInfo"]
            self.lines += self._dump.lines(opened.info, schema.CMS_ORI_FOR_KEM_OTHER_INFO)
        how = f"HKDF-{opened.digest.upper()}(no salt, IKM = ss, info, L = {len(opened.kek)})"
        self._value("KEK", opened.kek, how)

    def _rsa_values(self, opened: Envelope) -> None:
        size = len(opened.ciphertext) - 3 - len(opened.cek)
        padding = next(
            f'value {index} of "{random.label}"'
            for random in self.scene.randoms
            for index, drawn in enumerate(random.drawn)
            if len(drawn) == size and opened.cek in random.drawn[:index]
        )
        self.lines += wrapped(
            f"encryptedKey = RSAES-PKCS1-v1_5 of CEK; PS is {padding} ({size} octets), with 5a in place of each zero "
            f"octet",
            "  ",
        )

    def _value(self, name: str, octets: bytes, how: str) -> None:
        self.lines += [*wrapped(f"{name} = {how}", "  "), *hex_lines(octets)]

    def proof(self, derived: Derived, message: Message) -> None:
        """From the challenge to the MAC."""
        self._dump.hidden = Hidden.nothing
        proof = derived.proof
        parameters = proof.challenge.parameters
        digest = parameters.kdf.hash.name
        self.lines += _heading(f"From the challenge of message {message.number} to the MAC, H = SHA-{digest[3:]}", "-")
        secrets = []
        for index, (ciphertext, (label, key)) in enumerate(zip(proof.challenge.ciphertexts, derived.keys, strict=True)):
            where, m = self.scene.m_of(ciphertext.octets)
            ss = self.scene.kem_backends[0].decapsulate(key.key, ciphertext.octets)
            number = str(index + 1) if len(derived.keys) > 1 else ""
            self._value(f"m{number}", m, where)
            self._value(f"ss{number}", ss, f"K of Encaps_internal(ek, m{number}), or Decaps(dk, ct), key {label}")
            secrets.append(ss)
        self.lines += wrapped(
            f"ScepKemContext: requestHash = H(message {derived.request.number}), csrHash = H(its "
            f"CertificationRequest), caSignerHash = H(certificate of the CertRep's signer)",
            "  ",
        )
        self._dump.where = f"{self.scene.name}, after message {message.number}"
        self.lines += self._dump.lines(proof.context, schema.SCEP_KEM_CONTEXT)
        info = kem_other_info(derived.transaction_id.encode("ascii"), proof.context)
        self.lines += ["  KemOtherInfo"]
        self.lines += self._dump.lines(info, schema.KEM_OTHER_INFO)
        ikm = " || ".join(f"ss{index + 1}" for index in range(len(secrets))) if len(secrets) > 1 else "ss"
        ssk = hkdf(digest, b"".join(secrets), parameters.length, info)
        how = f"{parameters.kdf.name}(no salt, IKM = {ikm}, info = KemOtherInfo, L = {parameters.length})"
        self._value("ssk", ssk, how)
        self.lines += wrapped(
            f"KemPopMacInput: certRepHash = H(message {message.number}), capsHash = H(GetCACaps)", "  "
        )
        self.lines += self._dump.lines(proof.mac_input, schema.KEM_POP_MAC_INPUT)
        self._value("mac", proof.mac, f"{parameters.mac.name}(ssk, KemPopMacInput)")
        self.lines += [""]


def _heading(text: str, underline: str = "=") -> list[str]:
    lines = wrapped(text, "")
    return [*lines, underline * min(WIDTH, max(map(len, lines)))]


def _title(message: Message) -> str:
    direction = "CA to client" if message.sender == CA else "client to CA"
    return f"Message {message.number}: {message.what.replace('-', ' ', 1)}, {direction}"


def find(der: bytes, shape: Shape, *names: str) -> Part:
    """The first value of that name (of its field or its type), within it the first of the next name, and so on.

    Raises LookupError.
    """
    part: Part | None = Part("", parse(der), shape)
    for name in names:
        part = next((item for item in _descend(part) if name in (item.name, item.shape.name)), None) if part else None
    if part is None:
        raise LookupError("/".join(names))
    return part


def _descend(part: Part) -> Iterator[Part]:
    for item in _below(part):
        yield item
        yield from _descend(item)


def _below(part: Part) -> Iterator[Part]:
    if part.tlv.content:
        yield from part.shape.parts(part.tlv)


def sender_nonce(message: bytes) -> bytes:
    """The senderNonce of a pkiMessage."""
    return find(message, schema.PKI_MESSAGE, "signedAttrs", "senderNonce").tlv.content
