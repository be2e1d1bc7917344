"""Asks an external authority about a request, over HTTPS.

POST, application/json: {"protocol", "transactionId", "profile", "certificateRequest" (base64 of the DER PKCS #10,
challengePassword included), "renewal" (true: the message is signed with a certificate of this CA that is good now),
"renews" (its serial number in hex, or null)}. Answer, 200 with application/json: {"decision": "approve" |
"reject" | "pending", "reason": "shown to the client when rejected"}. Anything else counts as unreachable, and the
client is told to come back.
"""

from __future__ import annotations

import base64
import json
import logging
from urllib.parse import urlsplit

import urllib3

from ca.authorisation import EnrolmentRequest, WebhookAnswer
from web.config import WebhookConfig
from web.terminal import printable
from web.transport import read_body

log = logging.getLogger(__name__)

MAX_ANSWER = 64 * 1024
MAX_REASON = 255


class HttpWebhook:
    """See the module docstring. Implements `ca.authorisation.Webhook`; safe for several threads."""

    def __init__(self, config: WebhookConfig, profile: str) -> None:
        self._config = config
        self._profile = profile
        parts = urlsplit(config.url)
        # User information and query may hold an access token, which the log must not.
        self._shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        ca_certs = str(config.ca_file) if config.ca_file else None
        self._pool = urllib3.PoolManager(
            cert_reqs="CERT_REQUIRED", ca_certs=ca_certs, timeout=config.timeout, retries=False
        )

    def ask(self, request: EnrolmentRequest) -> tuple[WebhookAnswer, str]:
        """See Webhook."""
        question = {
            "protocol": request.protocol,
            "transactionId": request.transaction_id,
            "profile": self._profile,
            "certificateRequest": base64.b64encode(request.request.der).decode(),
            "renewal": request.renewal,
            "renews": None if request.holds is None else f"{request.holds.serial:x}",
        }
        try:
            response = self._pool.request("POST", self._config.url, json=question, preload_content=False)
            body = read_body(response, MAX_ANSWER)
            if response.status != 200:
                raise ValueError(f"HTTP status {response.status}")
            return _answer(body)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            log.warning("webhook %s: %s", self._shown, printable(str(error)))
            return WebhookAnswer.UNREACHABLE, ""


def _answer(body: bytes) -> tuple[WebhookAnswer, str]:
    """Raises ValueError for anything but the documented answer."""
    try:
        document = json.loads(body)
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None
    if not isinstance(document, dict) or document.get("decision") not in ("approve", "reject", "pending"):
        raise ValueError("the answer has no decision approve, reject or pending")
    reason = document.get("reason", "")
    if not isinstance(reason, str):
        raise ValueError("the reason is not a string")
    return WebhookAnswer(document["decision"]), " ".join(reason.split())[:MAX_REASON]
