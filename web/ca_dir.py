"""The folder of a CA: keys and certificates of its generations, the server key, the database, the configuration.

    scep.toml            the configuration
    server.key           32 octets that seal stored secrets (ca.sealing)
    store.sqlite         transactions, certificates, challenge passwords
    roles.json           which generation is current, which is next, which are previous
    ca-<16 hex digits>/  one generation: ca, ra-signer, ra-decryption, ra-ml-kem-* as .key.pem and .cert.pem, chain.pem

roles.json is replaced in one step, so a rollover is atomic, and a running server notices it by the file's change.
Folders have mode 0700 and secrets 0600.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509

from ca.authority import Authority, KemPair, KeyPair, create_authority, create_ra_kem
from ca.sealing import KEY_LENGTH, ServerKey
from ca.sql_store import SqlStore
from pkix.keys import KEM_KEY_TYPES, key_type_of
from scep.enrolment import Authorities
from web import files
from web.config import CONFIG_NAME, TEMPLATE
from web.errors import UsageError
from web.kem import new_kem_key

DEFAULT_SUBJECT = "CN=SCEP demo CA"
_PAIRS = ("ca", "ra-signer", "ra-decryption")


@dataclass(frozen=True)
class _Roles:
    """Folder names of the generations."""

    current: str
    next: str | None = None
    previous: tuple[str, ...] = ()


class CaDir:
    """See the module docstring. Methods raise UsageError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def config_path(self) -> Path:
        """Where scep.toml is."""
        return self.path / CONFIG_NAME

    @property
    def roles_path(self) -> Path:
        """Where roles.json is."""
        return self.path / "roles.json"

    def exists(self) -> bool:
        """Whether a CA was made here."""
        return self.roles_path.exists()

    def create(
        self,
        subject: x509.Name,
        key_type: str,
        *,
        ra_key_type: str | None,
        now: datetime,
        ca: KeyPair | None = None,
        chain: Sequence[x509.Certificate] = (),
        kems: Sequence[str] = (),
        rsa_decryption: bool = True,
    ) -> Authority:
        """Make a CA: keys, server key, configuration if there is none, and the database.

        kems: types of ML-KEM keys for the RA. rsa_decryption: see `ca.authority.create_authority`.
        """
        if self.exists():
            raise UsageError(f"{self.path} holds a CA already")
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make {self.path}: {error.strerror}") from None
        authority = create_authority(
            subject,
            key_type,
            ra_key_type=ra_key_type,
            now=now,
            random=os.urandom,
            ca=ca,
            chain=chain,
            ra_kem=[new_kem_key(kem) for kem in kems],
            rsa_decryption=rsa_decryption,
        )
        files.write(self.path / "server.key", os.urandom(KEY_LENGTH), secret=True)
        if not self.config_path.exists():
            files.write(self.config_path, TEMPLATE.encode(), secret=True)
        self._write_authority(authority)
        self._write_roles(_Roles(_name(authority)))
        self.open_store().close()
        return authority

    def load(self) -> Authorities:
        """All generations."""
        roles = self._roles()
        previous = [self._read_authority(name) for name in roles.previous]
        return Authorities(
            current=self._read_authority(roles.current),
            previous=tuple(previous),
            following=self._read_authority(roles.next) if roles.next else None,
        )

    def prepare_rollover(self, *, now: datetime) -> Authority:
        """Make the next generation, with key types and subject like the current one's."""
        roles = self._roles()
        if roles.next:
            raise UsageError("a rollover is prepared already; `ca rollover --activate` makes it the current CA")
        current = self._read_authority(roles.current)
        if current.chain:
            raise UsageError("an imported subordinate CA is rolled over by its issuer: import its new certificate")
        authority = create_authority(
            current.ca.certificate.subject,
            _key_type(current.ca),
            ra_key_type=_key_type(current.ra_signer) if current.ra_signer else None,
            now=now,
            random=os.urandom,
            ra_kem=[new_kem_key(pair.key.parameter_set.name.lower()) for pair in current.ra_kem],
            rsa_decryption=bool(current.ra_decryption),
        )
        self._write_authority(authority)
        self._write_roles(replace(roles, next=_name(authority)))
        return authority

    def activate_rollover(self) -> Authority:
        """The prepared generation becomes the current one."""
        roles = self._roles()
        if not roles.next:
            raise UsageError("no rollover is prepared; `ca rollover` prepares one")
        self._write_roles(_Roles(roles.next, None, (roles.current, *roles.previous)))
        return self._read_authority(roles.next)

    def add_kem(self, kem: str, *, now: datetime) -> Authority:
        """Give the current generation's RA an ML-KEM key and certificate."""
        name = self._roles().current
        current = self._read_authority(name)
        private, public = new_kem_key(kem)
        if any(pair.key.parameter_set == private.parameter_set for pair in current.ra_kem):
            raise UsageError(f"the RA has an {private.parameter_set} certificate already")
        _write_pair(self.path / name, create_ra_kem(current.ca, private, public, now=now, random=os.urandom))
        self._write_roles(self._roles())  # a running server reads the keys again when this file is replaced
        return self._read_authority(name)

    def server_key(self) -> ServerKey:
        """The key that seals stored secrets."""
        try:
            return ServerKey(files.read(self.path / "server.key"))
        except ValueError as error:
            raise UsageError(f"{self.path / 'server.key'}: {error}") from None

    def open_store(self, url: str | None = None) -> SqlStore:
        """The database at `url`, or the SQLite file of this folder."""
        return SqlStore(url or f"sqlite:///{self.path / 'store.sqlite'}")

    def _roles(self) -> _Roles:
        if not self.exists():
            raise UsageError(f"{self.path} holds no CA; `scep-kem ca init --dir {self.path}` makes one")
        try:
            found = json.loads(files.read(self.roles_path))
            return _Roles(found["current"], found["next"], tuple(found["previous"]))
        except (ValueError, KeyError, TypeError):
            raise UsageError(f"{self.roles_path} is damaged") from None

    def _write_roles(self, roles: _Roles) -> None:
        files.write(self.roles_path, json.dumps(asdict(roles), indent=1).encode() + b"\n", secret=True)

    def _write_authority(self, authority: Authority) -> None:
        folder = self.path / _name(authority)
        folder.mkdir(mode=0o700)
        pairs = (authority.ca, authority.ra_signer, authority.ra_decryption)
        for name, pair in zip(_PAIRS, pairs, strict=True):
            if pair is not None:
                files.write_key(folder / f"{name}.key.pem", pair.key)
                files.write(folder / f"{name}.cert.pem", files.pem(pair.certificate))
        for kem in authority.ra_kem:
            _write_pair(folder, kem)
        if authority.chain:
            files.write(folder / "chain.pem", files.pem(*authority.chain))

    def _read_authority(self, name: str) -> Authority:
        folder = self.path / name
        ca, ra_signer, ra_decryption = (_read_pair(folder, pair) for pair in _PAIRS)
        if ca is None:
            raise UsageError(f"{folder} has no CA certificate and key")
        chain_path = folder / "chain.pem"
        chain = tuple(files.read_certificates(chain_path)) if chain_path.exists() else ()
        kems = (_read_kem_pair(folder, f"ra-{kem}") for kem in KEM_KEY_TYPES)
        return Authority(
            ca=ca,
            chain=chain,
            ra_signer=ra_signer,
            ra_decryption=ra_decryption,
            ra_kem=tuple(pair for pair in kems if pair is not None),
        )


def _read_pair(folder: Path, name: str) -> KeyPair | None:
    if not (folder / f"{name}.cert.pem").exists():
        return None
    return KeyPair(files.read_key(folder / f"{name}.key.pem"), files.read_certificate(folder / f"{name}.cert.pem"))


def _read_kem_pair(folder: Path, name: str) -> KemPair | None:
    if not (folder / f"{name}.cert.pem").exists():
        return None
    return KemPair(files.read_kem_key(folder / f"{name}.key.pem"), files.read_certificate(folder / f"{name}.cert.pem"))


def _write_pair(folder: Path, pair: KemPair) -> None:
    name = f"ra-{pair.key.parameter_set.name.lower()}"
    files.write_key(folder / f"{name}.key.pem", pair.key)
    files.write(folder / f"{name}.cert.pem", files.pem(pair.certificate))


def _name(authority: Authority) -> str:
    return f"ca-{authority.identifier[:16]}"


def _key_type(pair: KeyPair) -> str:
    return key_type_of(pair.key.public_key())
