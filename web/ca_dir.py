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
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from ca.authorities import Authorities
from ca.authority import Authority, KemPair, KeyPair, create_authority, create_ra_kem
from ca.sealing import KEY_LENGTH, ServerKey
from ca.sql_store import SqlStore
from ca.store import StoreUnavailable
from kem.keys import encode_public_key
from pkix.certificates import Certificate
from pkix.keys import KEM_KEY_TYPES, KEY_TYPES, key_type_of, spki_of
from web import files
from web.config import CONFIG_NAME, TEMPLATE, load
from web.errors import UsageError
from web.kem import new_kem_key, public_kem_key

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
        try:
            return self.roles_path.exists()
        except OSError as error:  # a folder that only its owner may enter is not an empty one
            raise UsageError(f"cannot look into {self.path}: {error.strerror}") from None

    def require(self) -> None:
        """Raise UsageError, saying what to do, if no CA was made here."""
        if not self.exists():
            raise UsageError(f"{self.path} holds no CA; `scep-kem ca init --dir {self.path}` makes one")

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
        database = load(self.config_path).database if self.config_path.exists() else None
        files.make_folder(self.path)
        authority = create_authority(
            subject,
            key_type,
            ra_key_type=ra_key_type,
            now=now,
            random=os.urandom,
            ca=ca,
            chain=chain,
            ra_kem=[new_kem_key(kem) for kem in dict.fromkeys(kems)],
            rsa_decryption=rsa_decryption,
        )
        files.write(self.path / "server.key", os.urandom(KEY_LENGTH), secret=True)
        if not self.config_path.exists():
            files.write(self.config_path, TEMPLATE.encode(), secret=True)
        self._write_authority(authority)
        self._write_roles(_Roles(_name(authority)))
        self.open_store(database).close()
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
        if current.ca.certificate.issuer != current.ca.certificate.subject:
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
        authority = self._read_authority(roles.next)  # before it is in force: it may have been damaged meanwhile
        self._write_roles(_Roles(roles.next, None, (roles.current, *roles.previous)))
        return authority

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
        """The database at `url`, or the SQLite file of this folder. Raises UsageError if it cannot be one, and
        StoreUnavailable if it does not work.
        """
        try:
            # As text, a folder named what? would be read as a file and its options.
            return SqlStore(url or URL.create("sqlite", database=str(self.path / "store.sqlite")))
        except OSError as error:
            raise UsageError(f"cannot open the database {error.filename}: {error.strerror}") from None
        except ImportError as error:
            raise UsageError(f"cannot open the database: its driver is not installed: {error}") from None
        except DBAPIError as error:
            raise StoreUnavailable(f"the database cannot be opened: {' '.join(str(error.orig).split())}") from error

    def _roles(self) -> _Roles:
        self.require()
        try:
            found = json.loads(files.read(self.roles_path))
            roles = _Roles(found["current"], found["next"], tuple(found["previous"]))
            if not all(isinstance(name, str) for name in (roles.current, roles.next or "", *roles.previous)):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            raise UsageError(f"{self.roles_path} is damaged") from None
        return roles

    def _write_roles(self, roles: _Roles) -> None:
        files.write(self.roles_path, json.dumps(asdict(roles), indent=1).encode() + b"\n", secret=True)

    def _write_authority(self, authority: Authority) -> None:
        folder = self.path / _name(authority)
        files.make_folder(folder)
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
        ra_kem = tuple(pair for pair in kems if pair is not None)
        if not ra_kem and not isinstance((ra_decryption or ca).key, rsa.RSAPrivateKey):
            raise UsageError(f"{folder} has no RSA or ML-KEM key and certificate to which clients could encrypt")
        return Authority(ca=ca, chain=chain, ra_signer=ra_signer, ra_decryption=ra_decryption, ra_kem=ra_kem)


def _read_pair(folder: Path, name: str) -> KeyPair | None:
    key_path, certificate_path = _paths(folder, name)
    if not certificate_path.exists():
        return None
    pair = KeyPair(files.read_key(key_path), files.read_certificate(certificate_path))
    check_fits(pair.certificate, certificate_path, spki_of(pair.key), key_path)
    return pair


def _read_kem_pair(folder: Path, name: str) -> KemPair | None:
    key_path, certificate_path = _paths(folder, name)
    if not certificate_path.exists():
        return None
    pair = KemPair(files.read_kem_key(key_path), files.read_certificate(certificate_path))
    check_fits(pair.certificate, certificate_path, encode_public_key(public_kem_key(pair.key)), key_path)
    return pair


def check_fits(certificate: x509.Certificate, certificate_path: Path, spki: bytes, key_path: Path) -> None:
    """Raise UsageError unless the certificate is for the key. spki: the key's public half, DER."""
    if Certificate.of(certificate).spki != spki:
        raise UsageError(f"the first certificate in {certificate_path} is not for the key in {key_path}")


def _write_pair(folder: Path, pair: KemPair) -> None:
    key_path, certificate_path = _paths(folder, f"ra-{pair.key.parameter_set.name.lower()}")
    files.write_key(key_path, pair.key)
    files.write(certificate_path, files.pem(pair.certificate))


def _paths(folder: Path, name: str) -> tuple[Path, Path]:
    """The files of a key and its certificate."""
    return folder / f"{name}.key.pem", folder / f"{name}.cert.pem"


def _name(authority: Authority) -> str:
    return f"ca-{authority.identifier[:16]}"


def _key_type(pair: KeyPair) -> str:
    """The type of a new key like the pair's. An imported RSA key may have any length: the new one is not shorter,
    unless it was longer than the longest that we make.
    """
    key = pair.key
    if not isinstance(key, rsa.RSAPrivateKey):
        return key_type_of(key.public_key())
    sizes = [int(name.removeprefix("rsa:")) for name in KEY_TYPES if name.startswith("rsa:")]
    return f"rsa:{min((size for size in sizes if size >= key.key_size), default=max(sizes))}"
