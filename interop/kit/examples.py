"""The draft's examples for somebody else's CMS: every envelope with who can open it, every SignedData.

The messages are read from drafts/examples/. Whom an envelope is for and what is in it comes from playing the examples
again, which `tests/drafts` compares with the files.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from drafts.tools.examples.generate import EXAMPLES, play
from drafts.tools.examples.keyring import KEKRI, Envelope
from drafts.tools.examples.scene import Scene
from pkix.signed_data import SignedData

ORI_KEM = bytes.fromhex("060b2a864886f70d0109100d03")  # id-ori-kem, which marks a KEMRecipientInfo
DAMAGED = "25-wrong-signature/1-PKCSReq"


@dataclass(frozen=True)
class _Example:
    """name: "02-mlkem768/3-PKCSReq". message, content: DER, and what is in it."""

    name: str
    message: bytes
    content: bytes

    @property
    def file_name(self) -> str:
        """The name without a slash."""
        return self.name.replace("/", "-")


@dataclass(frozen=True)
class Enveloped(_Example):
    """A pkcsPKIEnvelope. key, certificate: the recipient's, PEM; None and None where `secret` opens it: a symmetric key
    and its keyIdentifier.
    """

    key: bytes | None = None
    certificate: bytes | None = None
    secret: tuple[bytes, bytes] | None = None


@dataclass(frozen=True)
class Signed(_Example):
    """A pkiMessage; content is its eContent. damaged: its signature is wrong, on purpose."""

    damaged: bool = False


def signed() -> list[Signed]:
    """All pkiMessages."""
    found = []
    for path in sorted(EXAMPLES.glob("*-*/*.der")):
        name, octets = f"{path.parent.name}/{path.stem}", path.read_bytes()
        if not path.stem.endswith("GetCACert"):
            content = SignedData.decode(octets).content or b""
            found.append(Signed(name, octets, content, name == DAMAGED))
    return found


def enveloped() -> list[Enveloped]:
    """All pkcsPKIEnvelopes."""
    contents = {item.name: item.content for item in signed()}
    found = []
    for story in play().stories:
        for message in story.scene.messages:
            name = f"{story.scene.name}/{message.file_name.removesuffix('.der')}"
            if contents.get(name):
                opened = story.scene.keyring.open(contents[name])
                found.append(_enveloped(name, contents[name], story.scene, opened))
    return found


def _enveloped(name: str, message: bytes, scene: Scene, opened: Envelope) -> Enveloped:
    if opened.kind == KEKRI:
        identifier = next(known for known, (_label, kek) in scene.keyring.keks.items() if kek == opened.kek)
        return Enveloped(name, message, opened.plaintext, secret=(opened.kek, identifier))
    key = (EXAMPLES / "parties" / f"{opened.whose}.pem").read_bytes()
    der = scene.cast.parties[opened.whose].certificate
    if der is None:  # the answer is for a key whose certificate is in it
        (der,) = SignedData.decode(opened.plaintext).certificates
    certificate = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
    return Enveloped(name, message, opened.plaintext, key, certificate)
