"""What an enrolment leaves beside the file of its certificate, so that a later run can go on.

The file is there before the first message leaves, has mode 0600, and goes when the enrolment ends: the request in it
may hold the challengePassword or a response key, and for a key that cannot sign, the ephemeral signer's key is in it.

An answer that was refused may be the only copy of a certificate. So it is kept, too, in a file of its own, and the
enrolment knows what it takes to read it again: the message that it answers, and the CA's certificates of that moment.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pkix.certificates import Certificate
from pkix.errors import PkixError
from pkix.keys import dump_private_key, load_private_key
from pkix.pem import decode_pem, pem_blocks
from pkix.pkcs10 import CertificationRequest
from pkix.signatures import SigningKey
from scep_kem import files
from scep_kem.client.options import read_fingerprint
from scep_kem.errors import UsageError


@dataclass(frozen=True)
class Answer:
    """An answer that was refused. to: octets of the message that it came for. ca_certificates: the GetCACert body that
    was acted on. is_the_ca_s: whether the CA has signed it.
    """

    to: bytes
    ca_certificates: bytes
    is_the_ca_s: bool = False

    def dump(self) -> dict[str, object]:
        """For JSON."""
        return {
            "to": base64.b64encode(self.to).decode(),
            "CA certificates": base64.b64encode(self.ca_certificates).decode(),
            "signed by the CA": self.is_the_ca_s,
        }

    @classmethod
    def load(cls, found: dict[str, object]) -> Answer:
        """Raises ValueError, KeyError, TypeError."""
        return cls(
            to=base64.b64decode(_text(found["to"])),
            ca_certificates=base64.b64decode(_text(found["CA certificates"])),
            is_the_ca_s=_flag(found.get("signed by the CA", False)),
        )


@dataclass(frozen=True)
class Pending:
    """request: the PKCS #10. sent: octets of the pkiMessage that carried it. answered: whether the CA ever answered,
    so that it knows of the request. capabilities: the GetCACaps body that was acted on. ca_certificates: the GetCACert
    body by which `sent` was encrypted; None in a file of an earlier version. options: `Options.given`. answers: those
    that were refused.

    certificate: the one that signed it. signer: its key if it is ephemeral; signer_file: the file of its key if it is
    not the requested one; both None if it is. renewed: for the renewal of a KEM certificate, its file and its key's.
    """

    url: str
    fingerprint: str | None
    transaction_id: str
    request: CertificationRequest
    sent: bytes
    capabilities: bytes
    certificate: Certificate
    signer: SigningKey | None = None
    signer_file: Path | None = None
    renewed: tuple[Path, Path] | None = None
    answered: bool = True
    ca_certificates: bytes | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    answers: tuple[Answer, ...] = ()

    def is_stale(self, now: datetime) -> bool:
        """Whether the certificate that signs its messages has expired, so that no CA would go on with it."""
        return self.certificate.not_after < now

    def dump(self) -> bytes:
        """JSON."""
        return json.dumps(
            {
                "url": self.url,
                "ca fingerprint": self.fingerprint,
                "transactionID": self.transaction_id,
                "request": base64.b64encode(self.request.der).decode(),
                "message": base64.b64encode(self.sent).decode(),
                "answered": self.answered,
                "capabilities": base64.b64encode(self.capabilities).decode(),
                "CA certificates": None
                if self.ca_certificates is None
                else base64.b64encode(self.ca_certificates).decode(),
                "options": dict(self.options),
                "answers": [answer.dump() for answer in self.answers],
                "signer certificate": self.certificate.pem.decode(),
                "signer key": None if self.signer is None else dump_private_key(self.signer).decode(),
                # A later run may be started in another folder.
                "signer key file": None if self.signer_file is None else str(self.signer_file.absolute()),
                "renewed": None if self.renewed is None else [str(path.absolute()) for path in self.renewed],
            },
            indent=1,
        ).encode()

    @classmethod
    def load(cls, path: Path) -> Pending:
        """Raises UsageError."""
        data = files.read(path, secret=True)
        try:
            found = json.loads(data)
            renewed, fingerprint = found["renewed"], found["ca fingerprint"]
            ca_certificates = found.get("CA certificates")
            return cls(
                url=_text(found["url"]),
                fingerprint=None if fingerprint is None else read_fingerprint(_text(fingerprint), "ca fingerprint"),
                transaction_id=_text(found["transactionID"]),
                request=CertificationRequest.decode(base64.b64decode(found["request"])),
                sent=base64.b64decode(found["message"]),
                answered=_flag(found.get("answered", True)),
                capabilities=base64.b64decode(found["capabilities"]),
                ca_certificates=None if ca_certificates is None else base64.b64decode(_text(ca_certificates)),
                options=_options(found.get("options", {})),
                answers=tuple(map(Answer.load, found.get("answers", []))),
                certificate=_certificate(_text(found["signer certificate"])),
                signer=None if found["signer key"] is None else load_private_key(found["signer key"].encode()),
                signer_file=None if found["signer key file"] is None else Path(_text(found["signer key file"])),
                renewed=None if renewed is None else (Path(_text(renewed[0])), Path(_text(renewed[1]))),
            )
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, PkixError, UsageError):
            raise UsageError(f"{path} is not a pending enrolment of this program") from None


def _certificate(pem: str) -> Certificate:
    """Raises Malformed, IndexError."""
    return Certificate.load(decode_pem(pem_blocks(pem.encode())[0][1], "signer certificate"))


def _text(value: object) -> str:
    """Raises TypeError; also for what can be no name of a file."""
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    return value


def _options(value: object) -> dict[str, Any]:
    """Raises TypeError."""
    if not isinstance(value, dict) or any(isinstance(item, str) and "\0" in item for item in value.values()):
        raise TypeError
    return value


def _flag(value: object) -> bool:
    """Raises TypeError."""
    if not isinstance(value, bool):
        raise TypeError
    return value
