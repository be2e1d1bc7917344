"""A profile's webhook as the configuration has it: where it is, whom to believe there, and how it knows this CA."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from ca.lapses import Lapse, Validity, validity_of
from pkix.names import name_text
from scep_kem import files, safety
from scep_kem.budgets import WEBHOOK
from scep_kem.config_faults import Faults
from scep_kem.config_keys import split_url
from scep_kem.errors import UsageError
from scep_kem.terminal import printable
from scep_kem.webhook_secret import Authentication, WebhookSecret

_TOGETHER = {"webhook_secret_file", "webhook_authentication"}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class WebhookConfig:
    """url: https, or http on a loopback address; its query may hold a token. ca_file: PEM of its CA, None for the
    system's. timeout: seconds for a whole call. secret: read from secret_file; None if the webhook knows no caller.
    """

    url: str = field(repr=False)
    ca_file: Path | None = None
    timeout: float = WEBHOOK
    secret: WebhookSecret | None = None
    secret_file: Path | None = None

    def lapses(self, profile: str, *, now: datetime) -> Iterator[Lapse]:
        """Those of the certificates in ca_file that are not valid, or soon will not be. Raises UsageError."""
        for certificate in _trusted(self.ca_file) if self.ca_file else ():
            validity = validity_of(certificate, now=now)
            if validity is not Validity.valid:
                advice = f"; put the one that follows it into {self.ca_file}"
                yield Lapse(f"webhook CA (profile {profile})", certificate, validity, advice)

    def check_ends(self, profile: str, *, now: datetime) -> None:
        """Raise UsageError if a certificate in ca_file has ended: the webhook would seem to be down for ever."""
        for lapse in self.lapses(profile, now=now):
            if lapse.validity is Validity.expired:
                name = printable(name_text(lapse.certificate.subject))
                raise UsageError(
                    f"profiles.{profile}.authorisation.webhook_ca_file: in {self.ca_file} the certificate of {name} "
                    f"has expired on {lapse.certificate.not_valid_after_utc:%Y-%m-%d}; remove it, or put another in "
                    "its place"
                )


def webhook_config(
    policy: dict[str, Any], where: str, base: Path, faults: Faults, *, wrong: Collection[str]
) -> WebhookConfig | None:
    """Take the keys of the webhook out of an authorisation table. where: its name. base: the folder that paths are
    relative to. wrong: keys of it that are not here, because there is a fault already. None if there is no webhook.
    """
    url = policy.pop("webhook", "")
    ca_file = policy.pop("webhook_ca_file", None)
    timeout = policy.pop("webhook_timeout_seconds", WebhookConfig.timeout)
    secret_file = policy.pop("webhook_secret_file", None)
    authentication = policy.pop("webhook_authentication", None)
    if not url:
        return None
    with faults.collected():
        _check_url(url, where)
    ca_path = None if ca_file is None else base / ca_file
    if ca_path is not None:
        with faults.collected():
            _check_trusted(ca_path, where)
    secret_path, secret = None if secret_file is None else base / secret_file, None
    if secret_path is not None and authentication is not None:
        with faults.collected():
            secret = _read_secret(secret_path, authentication, where)
    elif (secret_path is not None or authentication is not None) and not _TOGETHER & {*wrong}:
        faults.add(
            f"{where}: webhook_secret_file and webhook_authentication go together: the file has the secret, and "
            f"{' or '.join(item.value for item in Authentication)} says how it is used"
        )
    return WebhookConfig(url, ca_path, float(timeout), secret, secret_path)


def _check_url(url: str, where: str) -> None:
    """Raise UsageError, which does not repeat the URL: it may hold a password."""
    parts = split_url(url)
    if parts is not None and "@" in parts.netloc:
        raise UsageError(
            f"{where}.webhook: a URL with user or password is not taken; put a secret into a file, name it in "
            "webhook_secret_file, and say how it is used in webhook_authentication"
        )
    local = parts is not None and parts.scheme == "http" and parts.hostname in _LOOPBACK
    if parts is None or not parts.hostname or not (parts.scheme == "https" or local):
        raise UsageError(f"{where}.webhook: an https URL is needed (http only on a loopback address)")


def _check_trusted(path: Path, where: str) -> None:
    try:
        _trusted(path)
    except UsageError as error:
        raise UsageError(f"{where}.webhook_ca_file: {error}") from None


def _trusted(path: Path) -> list[x509.Certificate]:
    """What ca_file holds. Raises UsageError, also for DER, which TLS would not take there."""
    if b"-----BEGIN" not in files.read(path):
        raise UsageError(f"{path} holds no certificate in PEM")
    return files.read_certificates(path)


def _read_secret(path: Path, authentication: Authentication, where: str) -> WebhookSecret:
    """A file that others may read is warned of, as with keys. What is no file's name may be the secret itself."""
    if not os.path.exists(path):  # noqa: PTH110 - Path's raises for what is too long for a name
        raise UsageError(
            f"{where}.webhook_secret_file: no file has this name, seen from the folder of the configuration; the "
            "secret itself belongs into the file"
        )
    try:
        content = files.read(path, secret=True)
        safety.warn_if_readable(path)
        return WebhookSecret.decode(authentication, content)
    except UsageError as error:
        raise UsageError(f"{where}.webhook_secret_file: {error}") from None
    except ValueError as error:
        raise UsageError(f"{where}.webhook_secret_file: {path}: {error}") from None
