"""What the client may be told about how to speak with a server."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes

from pkix.algorithms import (
    AES128,
    AES128_GCM,
    AES192,
    AES192_GCM,
    AES256,
    AES256_GCM,
    TRIPLE_DES,
)
from scep_kem.client.http_options import HttpOptions
from scep_kem.client.key_files import KeyFiles
from scep_kem.client.urls import check_url
from scep_kem.errors import UsageError

CIPHERS = {
    "aes128": AES128,
    "aes192": AES192,
    "aes256": AES256,
    "aes128-gcm": AES128_GCM,
    "aes192-gcm": AES192_GCM,
    "aes256-gcm": AES256_GCM,
    "3des": TRIPLE_DES,
}
DIGESTS: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
    "sha1": hashes.SHA1,
}


_HASH_NAME = re.compile("sha-?(?:256|1):", re.IGNORECASE)
_NO_HEX = re.compile("[^0-9A-Fa-f]")


def read_fingerprint(text: str, where: str) -> str:
    """The hex digits of a fingerprint, which may have colons, blanks and the name of the hash before it, as
    `openssl x509 -fingerprint` prints it. where: what the error begins with. Raises UsageError.
    """
    named = text.rpartition("=")[2].strip()
    name = _HASH_NAME.match(named)
    digits = re.sub(r"[:\s]", "", named[name.end() :] if name else named)
    odd = _NO_HEX.search(digits)
    if odd or len(digits) not in (64, 40):
        found = f"{odd[0]!r} is no hex digit" if odd else f"{len(digits)} hex digits"
        raise UsageError(f"{where}: {found}; a fingerprint has 64 hex digits (SHA-256) or 40 (SHA-1)")
    return digits.lower()


@dataclass(frozen=True)
class Options:
    """url: of the server. fingerprint: of the CA, as `read_fingerprint` gives it. cipher, digest: names of CIPHERS and
    DIGESTS, None to choose. legacy: accept, and if need be use, SHA-1 and 3DES. http: how the server is reached. pss:
    RSASSA-PSS. require_kem: no message unless it can be encrypted to an ML-KEM key. kem_backend: which implementation
    of ML-KEM. keys: reads private keys. diagnose: say what is in an answer that is not accepted. trace: called with
    lines about each message. save: folder for the messages' octets, or None. given: what of this was asked for, by the
    names of the command's options, for a later run; as JSON has it.
    Raises UsageError if url cannot be one.
    """

    url: str
    fingerprint: str | None = None
    cipher: str | None = None
    digest: str | None = None
    legacy: bool = False
    http: HttpOptions = field(default_factory=HttpOptions)
    pss: bool = False
    require_kem: bool = False
    diagnose: bool = False
    kem_backend: str = "automatic"
    keys: KeyFiles = field(default_factory=KeyFiles)
    trace: Callable[[str], None] | None = None
    save: Path | None = None
    given: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_url(self.url)
