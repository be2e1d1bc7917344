"""The folder of a CA: keys and certificates of its generations, the server key, the database, the configuration.

    scep.toml            the configuration
    server.key           32 octets that seal stored secrets (ca.sealing)
    store.sqlite         transactions, certificates, challenge passwords
    roles.json           which generation is current, which is next, which are previous
    ca-<16 hex digits>/  one generation: ca, ra-signer, ra-decryption, ra-ml-kem-* as .key.pem and .cert.pem, chain.pem

roles.json is replaced in one step and last, so every change is atomic, and a running server notices it by the file's
change. What replaced an RA certificate has a file name of its own, which roles.json tells; the old files are kept as
*.withdrawn-<moment>.*, which nothing reads. Whoever changes the folder locks it. Folders have mode 0700, secrets 0600.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from ca.authorities import Authorities
from ca.authority import Authority, KemPair, KeyPair, create_authority, create_ra, create_ra_kem
from ca.sealing import KEY_LENGTH, ServerKey
from ca.sql_store import SqlStore
from ca.store import IssuedCertificate, Store, StoreConflict, StoreUnavailable
from kem.keys import encode_public_key
from pkix.certificates import Certificate
from pkix.keys import KEM_KEY_TYPES, KEY_TYPES, generate, key_type_of, spki_of
from web import files, safety
from web.config import CONFIG_NAME, TEMPLATE, Config, load
from web.errors import UsageError
from web.kem import new_kem_key, public_kem_key

DEFAULT_SUBJECT = "CN=SCEP demo CA"
_PAIRS = ("ca", "ra-signer", "ra-decryption")
RA_ROLES = ("signer", "decryption", "kem")
_STEM = re.compile(r"ra-[a-z0-9-]+\.[0-9a-f]{16}")
_Stems = Mapping[str, str]  # the name of a pair, such as "ra-signer", to that of its files


@dataclass(frozen=True)
class _Roles:
    """Folder names of the generations. ra: of a generation, the files of RA pairs that were replaced."""

    current: str
    next: str | None = None
    previous: tuple[str, ...] = ()
    ra: Mapping[str, _Stems] = field(default_factory=dict)


class CaDir:
    """See the module docstring. config_path: of the configuration that the CA is served by, by default scep.toml in the
    folder. Methods raise UsageError.
    """

    def __init__(self, path: Path, config_path: Path | None = None) -> None:
        self.path = path
        self.config_path = config_path or path / CONFIG_NAME

    def configuration(self) -> Config:
        """What the CA is served by, read anew."""
        if self.path / CONFIG_NAME == self.config_path and not self.config_path.exists():
            raise UsageError(
                f"there is no {self.config_path}; give the CA's configuration by --config instead of --dir"
            )
        config = load(self.config_path)
        if config.ca_dir != self.path.resolve():
            raise UsageError(
                f"{self.config_path} is for the CA in {config.ca_dir}; give it by --config instead of --dir"
            )
        return config

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
        safety.check_folder(self.path)
        database = load(self.config_path).database if self.config_path.exists() else None
        files.make_folder(self.path)
        safety.check_folder(self.path)  # in /tmp, somebody else may have been faster
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
        with self._locked():
            if self.exists():  # somebody else was faster
                raise UsageError(f"{self.path} holds a CA already")
            files.write(self.path / "server.key", os.urandom(KEY_LENGTH), secret=True)
            if not self.config_path.exists():
                files.write(self.config_path, TEMPLATE.encode(), secret=True)
            self._write_authority(authority)
            self._write_roles(_Roles(_name(authority)))
            self.open_store(database).close()
        return authority

    def load(self) -> Authorities:
        """All generations."""
        while True:
            roles = self._roles()
            try:
                return Authorities(
                    current=self._read_authority(roles, roles.current),
                    previous=tuple(self._read_authority(roles, name) for name in roles.previous),
                    following=self._read_authority(roles, roles.next) if roles.next else None,
                )
            except UsageError:
                if self._roles() == roles:  # else files were put away between reading their names and them
                    raise

    def prepare_rollover(self, *, now: datetime) -> Authority:
        """Make the next generation, with key types and subject like the current one's."""
        with self._locked():
            return self._prepare_rollover(self._roles(), now)

    def _prepare_rollover(self, roles: _Roles, now: datetime) -> Authority:
        if roles.next:
            raise UsageError("a rollover is prepared already; `ca rollover --activate` makes it the current CA")
        current = self._read_authority(roles, roles.current)
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
        with self._locked():
            roles = self._roles()
            if not roles.next:
                raise UsageError("no rollover is prepared; `ca rollover` prepares one")
            authority = self._read_authority(roles, roles.next)  # it may have been damaged meanwhile
            previous = (roles.current, *roles.previous)
            self._write_roles(replace(roles, current=roles.next, next=None, previous=previous))
            return authority

    def add_kem(self, kem: str, *, now: datetime) -> Authority:
        """Give the current generation's RA an ML-KEM key and certificate."""
        with self._locked():
            roles = self._roles()
            current = self._read_authority(roles, roles.current)
            private, public = new_kem_key(kem)
            if any(pair.key.parameter_set == private.parameter_set for pair in current.ra_kem):
                raise UsageError(f"the RA has an {private.parameter_set} certificate already")
            pair = create_ra_kem(current.ca, private, public, now=now, random=os.urandom)
            _write_pair(self.path / roles.current, _kem_name(pair), pair)
            self._write_roles(roles)  # a running server reads the keys again when this file is replaced
            return self._read_authority(roles, roles.current)

    def replace_ra(self, only: str | None, *, store: Store, reason: str, now: datetime) -> Authority:
        """New keys and certificates for the current generation's RA; the old ones are revoked and put away.

        only: one of RA_ROLES, None for all. reason: of CRLReason. Whatever stops this halfway leaves a CA that loads,
        and doing it once more is right: before roles.json names the new files, the old ones are in force.
        """
        with self._locked():
            roles = self._roles()
            current = self._read_authority(roles, roles.current)
            certificate = current.ca.certificate
            if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
                raise UsageError("the CA certificate is not valid now, so it can certify no RA")
            old = _ra_pairs(current, only)
            folder, stems = self.path / roles.current, dict(roles.ra.get(roles.current, {}))
            for name, pair in old.items():
                made = _successor(current.ca, pair, now)
                stems[name] = f"{name}.{hashlib.sha256(files.pem(made.certificate)).hexdigest()[:16]}"
                _write_pair(folder, stems[name], made)
            for pair in old.values():
                with contextlib.suppress(StoreConflict):  # revoked by an attempt that was stopped
                    store.record(_revoked(current, pair.certificate, reason, now))
            self._write_roles(replace(roles, ra={**roles.ra, roles.current: stems}))
            for name in old:
                _put_away(folder, roles.ra.get(roles.current, {}).get(name, name), now)
            return self._read_authority(self._roles(), roles.current)

    def server_key(self) -> ServerKey:
        """The key that seals stored secrets."""
        try:
            key = files.read(self.path / "server.key", secret=True)
            safety.warn_if_readable(self.path / "server.key")
            return ServerKey(key)
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

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else changes the folder meanwhile. The lock goes with the process, whatever ends it."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise UsageError(f"cannot look into {self.path}: {error.strerror}") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(f"somebody else is changing {self.path}; try again") from None
            yield
        finally:
            os.close(descriptor)

    def _roles(self) -> _Roles:
        self.require()
        try:
            found = json.loads(files.read(self.roles_path, secret=True))
            ra = {name: dict(stems) for name, stems in found.get("ra", {}).items()}
            roles = _Roles(found["current"], found["next"], tuple(found["previous"]), ra)
            if not all(isinstance(name, str) for name in (roles.current, roles.next or "", *roles.previous)):
                raise TypeError
            if not all(_STEM.fullmatch(stem) for stems in ra.values() for stem in stems.values()):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(f"{self.roles_path} is damaged") from None
        return roles

    def _write_roles(self, roles: _Roles) -> None:
        files.write(self.roles_path, json.dumps(asdict(roles), indent=1).encode() + b"\n", secret=True)

    def _write_authority(self, authority: Authority) -> None:
        folder = self.path / _name(authority)
        files.make_folder(folder)
        _write_pair(folder, "ca", authority.ca)
        for name, pair in _ra_pairs(authority, None, missing=True).items():
            _write_pair(folder, name, pair)
        if authority.chain:
            files.write(folder / "chain.pem", files.pem(*authority.chain))

    def _read_authority(self, roles: _Roles, name: str) -> Authority:
        folder, stems = self.path / name, roles.ra.get(name, {})
        ca, ra_signer, ra_decryption = (_read_pair(folder, pair, stems) for pair in _PAIRS)
        if ca is None:
            raise UsageError(f"{folder} has no CA certificate and key")
        chain_path = folder / "chain.pem"
        chain = tuple(files.read_certificates(chain_path)) if chain_path.exists() else ()
        kems = (_read_kem_pair(folder, f"ra-{kem}", stems) for kem in KEM_KEY_TYPES)
        ra_kem = tuple(pair for pair in kems if pair is not None)
        if not ra_kem and not isinstance((ra_decryption or ca).key, rsa.RSAPrivateKey):
            raise UsageError(f"{folder} has no RSA or ML-KEM key and certificate to which clients could encrypt")
        return Authority(ca=ca, chain=chain, ra_signer=ra_signer, ra_decryption=ra_decryption, ra_kem=ra_kem)


def _read_pair(folder: Path, name: str, stems: _Stems) -> KeyPair | None:
    key_path, certificate_path = _paths(folder, stems.get(name, name))
    if name not in stems and not certificate_path.exists():
        return None
    safety.check_secret(key_path)
    pair = KeyPair(files.read_key(key_path), files.read_certificate(certificate_path))
    check_fits(pair.certificate, certificate_path, spki_of(pair.key), key_path)
    return pair


def _read_kem_pair(folder: Path, name: str, stems: _Stems) -> KemPair | None:
    key_path, certificate_path = _paths(folder, stems.get(name, name))
    if name not in stems and not certificate_path.exists():
        return None
    safety.check_secret(key_path)
    pair = KemPair(files.read_kem_key(key_path), files.read_certificate(certificate_path))
    check_fits(pair.certificate, certificate_path, encode_public_key(public_kem_key(pair.key)), key_path)
    return pair


def check_fits(certificate: x509.Certificate, certificate_path: Path, spki: bytes, key_path: Path) -> None:
    """Raise UsageError unless the certificate is for the key. spki: the key's public half, DER."""
    if Certificate.of(certificate).spki != spki:
        raise UsageError(f"the first certificate in {certificate_path} is not for the key in {key_path}")


def _write_pair(folder: Path, stem: str, pair: KeyPair | KemPair) -> None:
    """The key first: a certificate without its key would not load."""
    key_path, certificate_path = _paths(folder, stem)
    files.write_key(key_path, pair.key)
    files.write(certificate_path, files.pem(pair.certificate))


def _paths(folder: Path, stem: str) -> tuple[Path, Path]:
    """The files of a key and its certificate."""
    return folder / f"{stem}.key.pem", folder / f"{stem}.cert.pem"


def _put_away(folder: Path, stem: str, now: datetime) -> None:
    """Files that nothing reads any more get the moment of withdrawal into their names."""
    targets = _paths(folder, f"{stem}.withdrawn-{now:%Y%m%dT%H%M%SZ}")
    for path, target in zip(_paths(folder, stem), targets, strict=True):
        try:
            path.rename(target)
        except OSError as error:
            raise UsageError(f"withdrawn, but cannot rename {path}: {error.strerror}") from None


def _ra_pairs(authority: Authority, only: str | None, *, missing: bool = False) -> dict[str, KeyPair | KemPair]:
    """The RA's pairs by name: all, or of one of RA_ROLES. Raises UsageError if there are none, unless `missing`."""
    found: dict[str, KeyPair | KemPair] = {}
    if authority.ra_signer is not None and only in (None, "signer"):
        found["ra-signer"] = authority.ra_signer
    if authority.ra_decryption is not None and only in (None, "decryption"):
        found["ra-decryption"] = authority.ra_decryption
    if only in (None, "kem"):
        found |= {_kem_name(pair): pair for pair in authority.ra_kem}
    if not found and not missing:
        which = f"RA certificate for {only}" if only else "RA certificate"
        raise UsageError(f"the current CA has no {which}; where there is none, its own key is used")
    return found


def _successor(ca: KeyPair, pair: KeyPair | KemPair, now: datetime) -> KeyPair | KemPair:
    """A new key of the same type, certified for the same role."""
    if isinstance(pair, KemPair):
        private, public = new_kem_key(pair.key.parameter_set.name.lower())
        return create_ra_kem(ca, private, public, now=now, random=os.urandom)
    usage = pair.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    role = "digitalSignature" if usage.digital_signature else "keyEncipherment"
    return create_ra(ca, generate(_key_type(pair)), role, now, os.urandom)


def _revoked(authority: Authority, certificate: x509.Certificate, reason: str, now: datetime) -> IssuedCertificate:
    """The record by which the CRL lists an RA certificate, of which the Store knew nothing before."""
    as_cms = Certificate.of(certificate)
    return IssuedCertificate(
        authority=authority.identifier,
        serial=certificate.serial_number,
        der=as_cms.der,
        subject=certificate.subject.rfc4514_string(),
        spki_hash=as_cms.key_hash,
        profile="",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        revoked_at=now,
        reason=reason,
    )


def _kem_name(pair: KemPair) -> str:
    return f"ra-{pair.key.parameter_set.name.lower()}"


def _name(authority: Authority) -> str:
    return f"ca-{authority.short_identifier}"


def _key_type(pair: KeyPair) -> str:
    """The type of a new key like the pair's. An imported RSA key may have any length: the new one is not shorter,
    unless it was longer than the longest that we make.
    """
    key = pair.key
    if not isinstance(key, rsa.RSAPrivateKey):
        return key_type_of(key.public_key())
    sizes = [int(name.removeprefix("rsa:")) for name in KEY_TYPES if name.startswith("rsa:")]
    return f"rsa:{min((size for size in sizes if size >= key.key_size), default=max(sizes))}"
