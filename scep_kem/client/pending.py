"""What an enrolment leaves beside the file of its certificate, so that a later run can go on.

The file is there before the first message leaves, has mode 0600, and goes when the enrolment ends: the request in it
may hold the challengePassword or a response key, and for a key that cannot sign, the ephemeral signer's key is in it.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pkix.certificates import Certificate
from pkix.errors import PkixError
from pkix.keys import dump_private_key, load_private_key
from pkix.pem import decode_pem, pem_blocks
from pkix.pkcs10 import CertificationRequest
from pkix.signatures import SigningKey
from scep_kem import files
from scep_kem.client.http_options import HttpOptions
from scep_kem.errors import UsageError


@dataclass(frozen=True)
class Pending:
    """request: the PKCS #10. sent: octets of the pkiMessage that carried it. answered: whether the CA ever answered,
    so that it knows of the request. capabilities: the GetCACaps body that was acted on. http: how the server was
    reached.

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
    http: HttpOptions = field(default_factory=HttpOptions)

    def is_stale(self, now: datetime) -> bool:
        """Whether the certificate that signs its messages has expired, so that no CA would go on with it."""
        return self.certificate.not_after < now

    def dump(self) -> bytes:
        """JSON."""
        return json.dumps(
            {
                "url": self.url,
                "http": self.http.dump(),
                "ca fingerprint": self.fingerprint,
                "transactionID": self.transaction_id,
                "request": base64.b64encode(self.request.der).decode(),
                "message": base64.b64encode(self.sent).decode(),
                "answered": self.answered,
                "capabilities": base64.b64encode(self.capabilities).decode(),
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
            return cls(
                url=_text(found["url"]),
                http=HttpOptions.load(found["http"]) if "http" in found else HttpOptions(),
                fingerprint=None if fingerprint is None else _text(fingerprint),
                transaction_id=_text(found["transactionID"]),
                request=CertificationRequest.decode(base64.b64decode(found["request"])),
                sent=base64.b64decode(found["message"]),
                answered=_flag(found.get("answered", True)),
                capabilities=base64.b64decode(found["capabilities"]),
                certificate=_certificate(_text(found["signer certificate"])),
                signer=None if found["signer key"] is None else load_private_key(found["signer key"].encode()),
                signer_file=None if found["signer key file"] is None else Path(found["signer key file"]),
                renewed=None if renewed is None else (Path(renewed[0]), Path(renewed[1])),
            )
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, PkixError, UsageError):
            raise UsageError(f"{path} is not a pending enrolment of this program") from None


def _certificate(pem: str) -> Certificate:
    """Raises Malformed, IndexError."""
    return Certificate.load(decode_pem(pem_blocks(pem.encode())[0][1], "signer certificate"))


def _text(value: object) -> str:
    """Raises TypeError."""
    if not isinstance(value, str):
        raise TypeError
    return value


def _flag(value: object) -> bool:
    """Raises TypeError."""
    if not isinstance(value, bool):
        raise TypeError
    return value
