"""The folder of a CA: keys and certificates of its generations, the server key, the database, the configuration.

    scep.toml            the configuration
    server.key           32 octets that seal stored secrets (ca.sealing)
    store.sqlite         transactions, certificates, challenge passwords
    roles.json           which generation is current, which is next, which are previous or retired
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
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError

from ca.authorities import Authorities
from ca.authority import Authority, KemPair, KeyPair, create_authority, create_ra, create_ra_kem
from ca.sealing import KEY_LENGTH, ServerKey
from ca.sql_store import SqlStore
from ca.store import IssuedCertificate, Store, StoreConflict, StoreUnavailable
from pkix.certificates import Certificate
from pkix.keys import KEY_TYPES, generate, key_type_of
from pkix.names import comparable, name_text
from pkix.public_keys import key_identity
from scep_kem import files, safety
from scep_kem.config import CONFIG_NAME, TEMPLATE, Config, load
from scep_kem.errors import UsageError, cannot
from scep_kem.generation_files import (
    Stems,
    kem_name,
    put_away,
    ra_pairs,
    read_authority,
    read_retired,
    write_authority,
    write_pair,
)
from scep_kem.kem import new_kem_key
from scep_kem.terminal import command

DEFAULT_SUBJECT = "CN=SCEP demo CA"
RA_ROLES = ("signer", "decryption", "kem")
SERVER_KEY_NAME = "server.key"
DATABASE_NAME = "store.sqlite"
_GENERATION = re.compile(r"ca-[0-9a-f]{16}")
_REMAINS = re.compile(r"ca-[0-9a-f]{16}|server\.key|store\.sqlite")
_STEM = re.compile(r"ra-[a-z0-9-]+\.[0-9a-f]{16}")


@dataclass(frozen=True)
class _Roles:
    """Folder names of the generations. ra: of a generation, the files of RA pairs that were replaced."""

    current: str
    next: str | None = None
    previous: tuple[str, ...] = ()
    ra: Mapping[str, Stems] = field(default_factory=dict)
    retired: tuple[str, ...] = ()


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
        if config.ca_dir.resolve() != self.path.resolve():
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
            raise cannot(f"look into {self.path}", error) from None

    def has_folder(self) -> bool:
        """Whether there is a folder, with a CA or without."""
        try:
            return self.path.exists()
        except OSError as error:
            raise cannot(f"look into {self.path}", error) from None

    def require(self) -> None:
        """Raise UsageError, saying what to do, if no CA was made here, or if somebody else may write here."""
        if not self.exists():
            raise UsageError(self._remains()) if self._remains() else self.nothing()
        safety.check_folder(self.path)

    def nothing(self) -> UsageError:
        """That no CA was made here, and what to do."""
        return UsageError(
            f"{self.path} holds no CA; `{command('scep-kem', 'ca', 'init', '--dir', self.path)}` makes one"
        )

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
        self._refuse_what_is_there()
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
        with self.locked(), contextlib.ExitStack() as undo:
            self._refuse_what_is_there()  # somebody else was faster
            if database is not None:
                self._refuse_records(database)
            self._make(authority, undo)
            self.open_store(database).close()
            self._write_roles(_Roles(_name(authority)))
            undo.pop_all()
        return authority

    def _make(self, authority: Authority, undo: contextlib.ExitStack) -> None:
        """Write all but roles.json and the database. undo: gets what removes them again."""
        for name in (SERVER_KEY_NAME, *(f"{DATABASE_NAME}{end}" for end in ("", "-wal", "-shm"))):
            undo.callback((self.path / name).unlink, missing_ok=True)
        files.write(self.path / SERVER_KEY_NAME, os.urandom(KEY_LENGTH), secret=True)
        if not self.config_path.exists():
            undo.callback(self.config_path.unlink, missing_ok=True)
            files.write(self.config_path, TEMPLATE.encode(), secret=True)
        undo.callback(shutil.rmtree, self.path / _name(authority), ignore_errors=True)
        write_authority(self.path / _name(authority), authority)

    def _refuse_what_is_there(self) -> None:
        """Raise UsageError where a CA is or was: another server.key would make its database unreadable."""
        if self.exists():
            raise UsageError(f"{self.path} holds a CA already")
        remains = self._remains()
        if remains:
            raise UsageError(remains)

    def _refuse_records(self, database: str) -> None:
        """Raise UsageError if a database that the configuration names knows of a CA."""
        with self.open_store(database) as store:
            if store.certificates(limit=1) or store.transactions(limit=1) or store.credentials(limit=1):
                raise UsageError(
                    f"the database that {self.config_path} names holds records of a CA: restore that CA's folder "
                    "from a backup, or name another database for a new one"
                )

    def _remains(self) -> str:
        """What is left of a CA whose roles.json is missing, and what to do, in one line; empty if nothing is."""
        if not self.path.is_dir():
            return ""
        found = sorted(item.name for item in self.path.iterdir() if _REMAINS.fullmatch(item.name))
        if not found:
            return ""
        return (
            f"{self.path} holds {', '.join(found)}, but roles.json is missing: restore it from a backup. For a new CA "
            "take another folder, or remove these if they are of a `ca init` that was interrupted"
        )

    def load(self) -> Authorities:
        """All generations."""
        while True:
            roles = self._roles()
            try:
                return Authorities(
                    current=self._read_authority(roles, roles.current),
                    previous=tuple(self._read_authority(roles, name) for name in roles.previous),
                    following=self._read_authority(roles, roles.next) if roles.next else None,
                    retired=tuple(read_retired(self.path / name) for name in roles.retired),
                )
            except UsageError:
                if self._roles() == roles:  # else files were put away between reading their names and them
                    raise

    def prepare_rollover(self, *, now: datetime) -> Authority:
        """Make the next generation, with key types and subject like the current one's."""
        with self.locked():
            return self._prepare_rollover(self._roles(), now)

    def _prepare_rollover(self, roles: _Roles, now: datetime) -> Authority:
        if roles.next:
            raise UsageError("a rollover is prepared already; `ca rollover --activate` makes it the current CA")
        current = self._read_authority(roles, roles.current)
        if comparable(current.ca.certificate.issuer) != comparable(current.ca.certificate.subject):
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
        with contextlib.ExitStack() as undo:
            undo.callback(shutil.rmtree, self.path / _name(authority), ignore_errors=True)
            write_authority(self.path / _name(authority), authority)
            self._write_roles(replace(roles, next=_name(authority)))
            undo.pop_all()
        return authority

    def activate_rollover(self) -> Authority:
        """The prepared generation becomes the current one."""
        with self.locked():
            roles = self._roles()
            if not roles.next:
                raise UsageError("no rollover is prepared; `ca rollover` prepares one")
            authority = self._read_authority(roles, roles.next)  # it may have been damaged meanwhile
            previous = (roles.current, *roles.previous)
            self._write_roles(replace(roles, current=roles.next, next=None, previous=previous))
            return authority

    def add_kem(self, kem: str, *, now: datetime) -> None:
        """Give the RA of the current generation, and of the prepared one, an ML-KEM key and certificate."""
        with self.locked():
            roles = self._roles()
            added = False
            for name in filter(None, (roles.current, roles.next)):
                authority = self._read_authority(roles, name)
                _check_valid(authority, now)
                private, public = new_kem_key(kem)
                if any(pair.key.parameter_set == private.parameter_set for pair in authority.ra_kem):
                    continue
                pair = create_ra_kem(authority.ca, private, public, now=now, random=os.urandom)
                write_pair(self.path / name, kem_name(pair), pair)
                added = True
            if not added:
                raise UsageError(f"the RA has an {private.parameter_set} certificate already")
            self._write_roles(roles)  # a running server reads the keys again when this file is replaced

    def replace_ra(
        self, only: str | None, *, store: Store, reason: str, now: datetime, of: Authority | None = None
    ) -> list[Authority]:
        """New keys and certificates for the RA of every generation in use, or of one; the old ones are revoked and put
        away. The generations concerned, as they are now.

        only: one of RA_ROLES, None for all. reason: of CRLReason. Whatever stops this halfway leaves a CA that loads,
        and doing it once more is right: before roles.json names the new files, the old ones are in force.
        """
        with self.locked():
            roles = self._roles()
            chosen = self._with_ra(roles, only, of, now)
            ra = {name: dict(stems) for name, stems in roles.ra.items()}
            for name, authority in chosen.items():
                for title, pair in ra_pairs(authority, only).items():
                    made = _successor(authority.ca, pair, now)
                    stem = f"{title}.{hashlib.sha256(files.pem(made.certificate)).hexdigest()[:16]}"
                    write_pair(self.path / name, stem, made)
                    ra.setdefault(name, {})[title] = stem
            for authority in chosen.values():
                _revoke_ra(authority, only, store=store, reason=reason, now=now)
            self._write_roles(replace(roles, ra=ra))
            for name, authority in chosen.items():
                for title in ra_pairs(authority, only):
                    put_away(self.path / name, roles.ra.get(name, {}).get(title, title), now)
            return [self._read_authority(self._roles(), name) for name in chosen]

    def _with_ra(self, roles: _Roles, only: str | None, of: Authority | None, now: datetime) -> dict[str, Authority]:
        """The generations whose RA is to be replaced, by folder. Raises UsageError, before anything has changed."""
        names = [*filter(None, (roles.current, *roles.previous, roles.next))]
        if of is not None:
            if _name(of) not in names:
                raise UsageError(f"the CA {of.short_identifier} is retired: its RA is in use no more")
            names = [_name(of)]
        read = {name: self._read_authority(roles, name) for name in names}
        chosen = {name: authority for name, authority in read.items() if ra_pairs(authority, only)}
        if not chosen:
            which = f"RA certificate for {only}" if only else "RA certificate"
            where = "the current CA" if of is None and len(names) == 1 else "the CA"
            raise UsageError(f"{where} has no {which}; where there is none, its own key is used")
        for name, authority in chosen.items():
            hint = f"; `ca retire {authority.short_identifier}`" if name in roles.previous else ""
            _check_valid(authority, now, hint)
        return chosen

    def retire(self, authority: Authority, *, store: Store, reason: str, now: datetime) -> None:
        """A previous generation opens envelopes and answers no more; its RA's certificates are revoked. Its CRL is
        signed as before, and its certificates can be renewed and revoked.
        """
        with self.locked():
            roles, name = self._roles(), _name(authority)
            if name not in roles.previous:
                state = {roles.current: "the current CA", roles.next: "prepared"}.get(name, "retired already")
                raise UsageError(f"the CA {authority.short_identifier} is {state}; only a previous one can be retired")
            _revoke_ra(authority, None, store=store, reason=reason, now=now)
            previous = tuple(item for item in roles.previous if item != name)
            self._write_roles(replace(roles, previous=previous, retired=(*roles.retired, name)))

    def generation_folders(self) -> list[Path]:
        """Of all generations, the retired ones, too."""
        roles = self._roles()
        names = (roles.current, roles.next, *roles.previous, *roles.retired)
        return [self.path / name for name in names if name]

    def server_key(self) -> ServerKey:
        """The key that seals stored secrets."""
        path = self.path / SERVER_KEY_NAME
        try:
            key = files.read(path, secret=True)
            safety.warn_if_readable(path)
            return ServerKey(key)
        except ValueError as error:
            raise UsageError(f"{path}: {error}") from None

    def open_store(self, url: str | None = None) -> SqlStore:
        """The database at `url`, or the SQLite file of this folder. Only a new CA's is made. Raises UsageError if it
        cannot be one, and StoreUnavailable if it does not work.
        """
        # As text, a folder named what? would be read as a file and its options.
        found = make_url(url) if url else URL.create("sqlite", database=str(self.path / DATABASE_NAME))
        if found.get_backend_name() == "sqlite":
            self._check_database(Path(str(found.database)))
        try:
            return SqlStore(found)
        except OSError as error:
            raise cannot(f"open the database {error.filename}", error) from None
        except ImportError as error:
            raise UsageError(f"cannot open the database: its driver is not installed: {error}") from None
        except DBAPIError as error:
            raise StoreUnavailable(f"the database cannot be opened: {' '.join(str(error.orig).split())}") from error

    def _check_database(self, path: Path) -> None:
        """Raise UsageError for a file of SQLite that is missing, no file, or somebody else's."""
        safety.check_folder(path)
        try:
            regular = stat.S_ISREG(path.stat().st_mode)
        except FileNotFoundError:
            if not self.exists():
                return
            empty = command("install", "-m", "600", "/dev/null", path)
            raise UsageError(
                f"the database {path} is missing, and with it what was issued and revoked: restore it from a "
                f"backup. For an empty one, `{empty}` as the server's account"
            ) from None
        except OSError as error:
            raise cannot(f"open the database {path}", error) from None
        if not regular:
            raise UsageError(f"the database {path} is not a regular file")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes the folder meanwhile. The lock goes with the process, whatever ends it."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise cannot(f"look into {self.path}", error) from None
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
            roles = _Roles(
                found["current"], found["next"], tuple(found["previous"]), ra, tuple(found.get("retired", ()))
            )
            names = (roles.current, *filter(None, [roles.next]), *roles.previous, *roles.retired)
            if not all(_GENERATION.fullmatch(name) for name in names):
                raise TypeError
            if not all(_STEM.fullmatch(stem) for stems in ra.values() for stem in stems.values()):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(f"{self.roles_path} is damaged") from None
        return roles

    def _write_roles(self, roles: _Roles) -> None:
        files.write(self.roles_path, json.dumps(asdict(roles), indent=1).encode() + b"\n", secret=True)

    def _read_authority(self, roles: _Roles, name: str) -> Authority:
        return read_authority(self.path / name, roles.ra.get(name, {}))


def _successor(ca: KeyPair, pair: KeyPair | KemPair, now: datetime) -> KeyPair | KemPair:
    """A new key of the same type, certified for the same role."""
    if isinstance(pair, KemPair):
        private, public = new_kem_key(pair.key.parameter_set.name.lower())
        return create_ra_kem(ca, private, public, now=now, random=os.urandom)
    usage = pair.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    role = "digitalSignature" if usage.digital_signature else "keyEncipherment"
    return create_ra(ca, generate(_key_type(pair)), role, now, os.urandom)


def _check_valid(authority: Authority, now: datetime, hint: str = "") -> None:
    """Raise UsageError if the CA can certify no RA now."""
    certificate = authority.ca.certificate
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise UsageError(f"the CA certificate is not valid now, so it can certify no RA{hint}")


def _revoke_ra(authority: Authority, only: str | None, *, store: Store, reason: str, now: datetime) -> None:
    """Record that the RA's certificates are revoked, so that the CRL lists them."""
    for pair in ra_pairs(authority, only).values():
        with contextlib.suppress(StoreConflict):  # known since an attempt that was stopped
            store.record(record_of(authority, pair.certificate))
        store.revoke(authority.identifier, pair.certificate.serial_number, reason=reason, now=now)


def record_of(authority: Authority, certificate: x509.Certificate) -> IssuedCertificate:
    """The record of a certificate of which the Store knows nothing, so that it can be revoked. It renews nothing."""
    as_cms = Certificate.of(certificate)
    return IssuedCertificate(
        authority=authority.identifier,
        serial=certificate.serial_number,
        der=as_cms.der,
        subject=name_text(certificate.subject),
        spki_hash=key_identity(as_cms.spki),
        profile="",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


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
