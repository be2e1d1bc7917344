"""The folder of a CA: keys and certificates of its generations, the server key, the database, the configuration.

    scep.toml            the configuration
    server.key           32 octets that seal stored secrets (ca.sealing)
    store.sqlite         transactions, certificates, challenge passwords
    roles.json           which generation is current, which is next, which are previous or retired
    ca-<16 hex digits>/  one generation: ca, ra-signer, ra-decryption, ra-ml-kem-* as .key.pem and .cert.pem, chain.pem

roles.json is replaced in one step and last, so every change is atomic, and a running server notices it by the file's
change. What replaced a certificate has a file name of its own, which roles.json tells; files of an RA that was
withdrawn are kept as *.withdrawn-<moment>.*, which nothing reads. Whoever changes the folder locks it. Folders have
mode 0700, secrets 0600.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from cryptography import x509
from sqlalchemy.engine import URL, make_url

from ca.authorities import Authorities
from ca.authority import Authority, KeyPair
from ca.sealing import KEY_LENGTH, ServerKey
from ca.sql_store import SqlStore
from ca.store import Store
from pkix.certificates import Certificate, is_self_issued
from pkix.keys import spki_of
from scep_kem import files, safety
from scep_kem.config import CONFIG_NAME, TEMPLATE, Config, load
from scep_kem.database import NoDatabase, open_database
from scep_kem.errors import UsageError, cannot
from scep_kem.generation_files import (
    Stems,
    kem_name,
    of_ca,
    put_away,
    ra_pairs,
    read_authority,
    read_retired,
    stem_of,
    write_authority,
    write_pair,
    write_renewed_ca,
)
from scep_kem.imported_ca import check_key_usage, check_new_key, check_renews
from scep_kem.kem import new_kem_key
from scep_kem.ra import check_valid, folder_name, key_type, last_end, new_authority, new_ra_kem, revoke_ra, successor
from scep_kem.roles import Roles
from scep_kem.terminal import command

DEFAULT_SUBJECT = "CN=SCEP demo CA"
RA_ROLES = ("signer", "decryption", "kem")
SERVER_KEY_NAME = "server.key"
DATABASE_NAME = "store.sqlite"
_REMAINS = re.compile(r"ca-[0-9a-f]{16}|server\.key|store\.sqlite")


class CaDir:
    """config_path: of the configuration that serves the CA, by default scep.toml in it. Methods raise UsageError."""

    def __init__(self, path: Path, config_path: Path | None = None) -> None:
        self.path = path
        self.config_path = config_path or path / CONFIG_NAME

    def configuration(self) -> Config:
        """What the CA is served by, read anew."""
        if self.path / CONFIG_NAME == self.config_path and not self.config_path.exists():
            raise UsageError(
                f"there is no {self.config_path}: restore it from a backup, or give the CA's configuration by --config "
                "instead of --dir"
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

    def is_free(self) -> bool:
        """Whether there is nothing: no folder yet, in one that is there, or an empty one."""
        try:
            return not any(self.path.iterdir()) if self.path.exists() else self.path.absolute().parent.is_dir()
        except OSError as error:
            raise cannot(f"look into {self.path}", error) from None

    def require(self) -> None:
        """Raise UsageError, saying what to do, if no CA was made here, or if somebody else may write here."""
        if not self.exists():
            raise UsageError(self.remains()) if self.remains() else self.nothing()
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
        database = self.configuration().database if self.config_path.exists() else None
        authority = new_authority(
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
        check_key_usage(authority, "or --ra")
        made = files.make_folder(self.path)
        safety.check_folder(self.path)  # in /tmp, somebody else may have been faster
        with files.removed_if_empty(made), self.locked(), contextlib.ExitStack() as undo:
            self._refuse_what_is_there()  # somebody else was faster
            if database is not None:
                self._refuse_records(database)
            self._make(authority, undo)
            self.open_store(database).close()
            self._write_roles(Roles(folder_name(authority)))
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
        undo.callback(shutil.rmtree, self.path / folder_name(authority), ignore_errors=True)
        write_authority(self.path / folder_name(authority), authority)

    def _refuse_what_is_there(self) -> None:
        """Raise UsageError where a CA is or was: another server.key would make its database unreadable."""
        if self.exists():
            raise UsageError(f"{self.path} holds a CA already")
        remains = self.remains()
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

    def remains(self) -> str:
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
                    retired=tuple(read_retired(self.path / name, of_ca(roles.stems(name))) for name in roles.retired),
                )
            except UsageError:
                if self._roles() == roles:  # else files were put away between reading their names and them
                    raise

    def prepare_rollover(
        self, *, now: datetime, ca: KeyPair | None = None, chain: Sequence[x509.Certificate] = ()
    ) -> Authority:
        """Make the next generation, with key types and subject like the current one's, or with a CA made elsewhere."""
        with self.locked():
            return self._prepare_rollover(self._roles(), now, ca, chain)

    def _prepare_rollover(
        self, roles: Roles, now: datetime, ca: KeyPair | None, chain: Sequence[x509.Certificate]
    ) -> Authority:
        if roles.next:
            raise UsageError(
                "a rollover is prepared already; `ca rollover --activate` makes it the current CA, `--abort` drops it"
            )
        current = self._read_authority(roles, roles.current)
        if ca is not None:
            check_new_key(ca.key, [self._read_authority(roles, name) for name in roles.folders])
        if ca is None and not is_self_issued(current.ca.certificate):
            raise UsageError(
                "an imported subordinate CA is rolled over by its issuer: give the new key and certificate with "
                "--import-key and --import-cert; for a new certificate of the same key there is `ca import-cert`"
            )
        authority = new_authority(
            current.ca.certificate.subject,
            key_type(current.ca),
            ra_key_type=key_type(current.ra_signer) if current.ra_signer else None,
            now=now,
            random=os.urandom,
            ca=ca,
            chain=chain,
            ra_kem=[new_kem_key(pair.key.parameter_set.name.lower()) for pair in current.ra_kem],
            rsa_decryption=current.ra_decryption is not None or key_type(current.ca).startswith("rsa:"),
        )
        check_key_usage(authority)
        if folder_name(authority) in roles.folders:
            raise UsageError(f"the CA {authority.short_identifier} is here already")
        with contextlib.ExitStack() as undo:
            undo.callback(shutil.rmtree, self.path / folder_name(authority), ignore_errors=True)
            write_authority(self.path / folder_name(authority), authority)
            self._write_roles(replace(roles, next=folder_name(authority)))
            undo.pop_all()
        return authority

    def abort_rollover(self, *, store: Store, now: datetime) -> Authority:
        """The prepared generation is retired before it was in force.

        It is not removed, because it may have issued a certificate a moment ago, whose revocation needs its CRL; and
        whoever got it by GetNextCACert knows it.
        """
        with self.locked():
            roles = self._roles()
            if not roles.next:
                raise UsageError("no rollover is prepared, so there is nothing to abort")
            authority = self._read_authority(roles, roles.next)
            revoke_ra(authority, None, store=store, reason="cessationOfOperation", now=now)
            self._write_roles(replace(roles, next=None, retired=(*roles.retired, roles.next)))
            return authority

    def import_certificate(self, found: Sequence[x509.Certificate]) -> Authority:
        """Another certificate for the key of a generation, its issuers behind it, in place of the one it has.

        What it has issued, its CRL and its URLs stay. Raises UsageError, also for a certificate of another key.
        """
        certificate, *chain = found
        with self.locked():
            roles = self._roles()
            spki = Certificate.of(certificate).spki
            for name in roles.in_use:
                authority = self._read_authority(roles, name)
                if spki == spki_of(authority.ca.key):
                    check_renews(authority, certificate)
                    pair = KeyPair(authority.ca.key, certificate)
                    check_key_usage(replace(authority, ca=pair))
                    stem = stem_of("ca", certificate)
                    write_renewed_ca(self.path / name, stem, pair, chain)
                    self._write_roles(replace(roles, ra=roles.with_stems({name: {"ca": stem}})))
                    return self._read_authority(self._roles(), name)
        raise UsageError(
            "the certificate is for another key than this CA's; `ca rollover --import-key --import-cert` makes it the "
            "next CA"
        )

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
                check_valid(authority, now)
                private, public = new_kem_key(kem)
                if any(pair.key.parameter_set == private.parameter_set for pair in authority.ra_kem):
                    continue
                pair = new_ra_kem(authority, private, public, now=now, random=os.urandom)
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
            made = {name: self._successors(name, authority, only, now) for name, authority in chosen.items()}
            for authority in chosen.values():
                revoke_ra(authority, only, store=store, reason=reason, now=now)
            earlier = dict(roles.earlier)
            for name in chosen:
                kept = [
                    {title: stem for title, stem in stems.items() if title not in made[name]}
                    for stems in roles.earlier.get(name, ())
                ]
                earlier[name] = [stems for stems in kept if stems]
            self._write_roles(replace(roles, ra=roles.with_stems(made), earlier=earlier))
            for name in chosen:
                present = {title: roles.stems(name).get(title, title) for title in made[name]}
                for stems in (present, *roles.earlier.get(name, ())):
                    for title in present.keys() & stems.keys():
                        put_away(self.path / name, stems[title], now)
            return [self._read_authority(self._roles(), name) for name in chosen]

    def renew_ra(self, *, new_keys: bool, now: datetime, of: Authority | None = None) -> list[Authority]:
        """New certificates for the RA of every generation in use, or of one, with the same keys or new ones. The old
        keys still open envelopes that name the old certificates. The generations concerned, as they are now.

        An RA whose new certificates would end no later is left out, because the CA itself ends then.
        """
        with self.locked():
            roles = self._roles()
            chosen = self._with_ra(roles, None, of, now)
            made: dict[str, Stems] = {}
            for name, authority in chosen.items():
                if any(
                    pair.certificate.not_valid_after_utc < last_end(authority, now)
                    for pair in ra_pairs(authority).values()
                ):
                    made[name] = self._successors(name, authority, None, now, new_keys=new_keys)
            if not made:
                raise UsageError("the RA's certificates end with the CA's own already; `ca rollover` makes the next CA")
            earlier = dict(roles.earlier)
            for name, titles in made.items():
                before = {title: roles.stems(name).get(title, title) for title in titles}
                earlier[name] = [before, *roles.earlier.get(name, ())]
            self._write_roles(replace(roles, ra=roles.with_stems(made), earlier=earlier))
            return [self._read_authority(self._roles(), name) for name in made]

    def _successors(
        self, name: str, authority: Authority, only: str | None, now: datetime, *, new_keys: bool = True
    ) -> Stems:
        """Write what follows the RA's pairs, under new names."""
        made = {}
        for title, pair in ra_pairs(authority, only).items():
            new = successor(authority, pair, now, new_key=new_keys)
            made[title] = stem_of(title, new.certificate)
            write_pair(self.path / name, made[title], new)
        return made

    def _with_ra(self, roles: Roles, only: str | None, of: Authority | None, now: datetime) -> dict[str, Authority]:
        """The generations whose RA is to be replaced, by folder. Raises UsageError, before anything has changed."""
        names = [*roles.in_use]
        if of is not None:
            if folder_name(of) not in names:
                raise UsageError(f"the CA {of.short_identifier} is retired: its RA is in use no more")
            names = [folder_name(of)]
        read = {name: self._read_authority(roles, name) for name in names}
        chosen = {name: authority for name, authority in read.items() if ra_pairs(authority, only)}
        if not chosen:
            which = f"RA certificate for {only}" if only else "RA certificate"
            where = "the current CA" if of is None and len(names) == 1 else "the CA"
            raise UsageError(f"{where} has no {which}; where there is none, its own key is used")
        for name, authority in chosen.items():
            hint = f"; `ca retire {authority.short_identifier}`" if name in roles.previous else ""
            check_valid(authority, now, hint)
        return chosen

    def retire(self, authority: Authority, *, store: Store, reason: str, now: datetime) -> None:
        """A previous generation opens envelopes and answers no more; its RA's certificates are revoked. Its CRL is
        signed as before, and its certificates can be renewed and revoked.
        """
        with self.locked():
            roles, name = self._roles(), folder_name(authority)
            if name not in roles.previous:
                state = {roles.current: "the current CA", roles.next: "prepared (`ca rollover --abort` drops it)"}.get(
                    name, "retired already"
                )
                raise UsageError(f"the CA {authority.short_identifier} is {state}; only a previous one can be retired")
            revoke_ra(authority, None, store=store, reason=reason, now=now)
            previous = tuple(item for item in roles.previous if item != name)
            self._write_roles(replace(roles, previous=previous, retired=(*roles.retired, name)))

    def generation_folders(self) -> list[Path]:
        """Of all generations, the retired ones, too."""
        return [self.path / name for name in self._roles().folders]

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
        return self._open_store(url, create=not self.exists())

    def make_database(self, url: str | None = None) -> None:
        """An empty database, which knows of nothing that was issued or revoked, where there is none."""
        with self.locked():
            self.require()
            try:
                self._open_store(url, create=False).close()
            except NoDatabase:
                self._open_store(url, create=True).close()
            else:
                raise UsageError("there is a database already, which may have records; remove it, or name another")

    def _open_store(self, url: str | None, *, create: bool) -> SqlStore:
        return open_database(self.database_url(url), create=create)

    def database_url(self, url: str | None) -> URL:
        """Of the database that a configuration names, None for the SQLite file of this folder."""
        # As text, a folder named what? would be read as a file and its options.
        return make_url(url) if url else URL.create("sqlite", database=str(self.path / DATABASE_NAME))

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

    def _roles(self) -> Roles:
        self.require()
        try:
            return Roles.decode(files.read(self.roles_path, secret=True))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise UsageError(f"{self.roles_path} is damaged") from None

    def _write_roles(self, roles: Roles) -> None:
        files.write(self.roles_path, roles.encode(), secret=True)

    def _read_authority(self, roles: Roles, name: str) -> Authority:
        return read_authority(self.path / name, roles.stems(name), roles.earlier.get(name, ()))
