"""How a webhook knows that a question is from this CA: a secret that both have, shown (bearer) or used to sign (hmac).

    bearer  Authorization: Bearer SECRET                     RFC 6750 section 2.1
    hmac    X-Scep-Timestamp: SECONDS                        since 1970, in decimal
            X-Scep-Signature: sha256=HEX                     HMAC-SHA-256 of SECONDS, a full stop and the body

The signature says nothing of the URL: one secret for two receivers lets either pass a question on to the other.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime

SHORTEST, LONGEST = 16, 4096


class Authentication(enum.Enum):
    """What `webhook_authentication` may say."""

    bearer = "bearer"
    hmac = "hmac"


@dataclass(frozen=True)
class WebhookSecret:
    """octets: the secret, of printable ASCII characters without blanks, as a header can carry it. Raises ValueError."""

    authentication: Authentication
    octets: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(rb"[!-~]{%d,%d}" % (SHORTEST, LONGEST), self.octets):
            raise ValueError(
                f"the secret has to be one line of {SHORTEST} to {LONGEST} printable ASCII characters without blanks"
            )

    @classmethod
    def decode(cls, authentication: Authentication, content: bytes) -> WebhookSecret:
        """Of a file's content, at whose end one line end does not count. Raises ValueError."""
        return cls(authentication, content.removesuffix(b"\n").removesuffix(b"\r"))

    def headers(self, body: bytes, *, now: datetime) -> dict[str, str]:
        """The HTTP headers that go with a body sent now."""
        if self.authentication is Authentication.bearer:
            return {"Authorization": f"Bearer {self.octets.decode()}"}
        timestamp = f"{now.timestamp():.0f}"
        signature = hmac.new(self.octets, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        return {"X-Scep-Timestamp": timestamp, "X-Scep-Signature": f"sha256={signature}"}
