"""The files of the client's commands: keys, certificates, and what is to be written."""

from __future__ import annotations

import os
from pathlib import Path

import click

from kem.keys import DecapsulationKey
from pkix.certificates import Certificate
from pkix.keys import KEM_KEY_TYPES, KEY_TYPES, generate, key_type_of
from scep_kem import files
from scep_kem.cli.enrolment import answer_file, lock_file, pending_file
from scep_kem.cli.json_report import reported
from scep_kem.client.exchange import MOST_KEPT
from scep_kem.client.key_files import KeyFiles
from scep_kem.client.wanted import AnyKey, Statement, fits
from scep_kem.config_faults import nearest
from scep_kem.errors import UsageError
from scep_kem.kem import new_kem_key
from scep_kem.terminal import printable

DEFAULT_KEY_TYPE = "rsa:2048"
NEW_KEYS = (*KEY_TYPES, *KEM_KEY_TYPES)  # what keys can be made


def check_outputs(outputs: dict[str, Path | None], keys: dict[str, Path | None], *, waits: Path | None = None) -> None:
    """Both by option: files to be written, and private keys that they must not replace. waits: the --out beside which
    a request is kept until it is answered. Raises UsageError, also for a private key that is in none of `keys`.

    Later would be too late: then the certificate is issued and its challenge password used up.
    """
    named = outputs
    if waits is not None:
        kept = {"the file that keeps the request": pending_file(waits), "the file that locks --out": lock_file(waits)}
        outputs = (
            outputs
            | kept
            | {f"a file that keeps answers ({number + 1})": answer_file(waits, number) for number in range(MOST_KEPT)}
        )
    for option, path in outputs.items():
        if path is None:
            continue
        for other, taken in (keys | outputs).items():
            if taken is not None and other != option and os.path.realpath(taken) == os.path.realpath(path):
                raise UsageError(f"{option} and {other} are the same file, {path}")
        if reported() and _is_stdout(path):
            raise UsageError(f"{option} {path} is stdout, and so is the object of --json")
        if not os.access(f"{path.parent}/.", os.W_OK | os.X_OK):  # with the dot, only a folder is there
            raise UsageError(f"cannot write {path}: {path.parent} is not a folder that we may write to")
        if option in named:
            files.check_no_key(path, but_pkcs12=option == "--p12")


def _is_stdout(path: Path) -> bool:
    """By whatever name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(1))
    except OSError:  # it is not there yet, or there is no stdout
        return False


def check_fit(key: AnyKey, key_file: Path, certificate: Certificate, cert_file: Path) -> None:
    if not fits(key, certificate.spki):
        raise UsageError(f"{key_file} is not the key of the certificate in {cert_file}")


def type_of_key(key: AnyKey) -> str:
    """As --key-type names it."""
    return key.parameter_set.name.lower() if isinstance(key, DecapsulationKey) else key_type_of(key.public_key())


def can_be_made(before: str) -> str:
    """The type of a new key that follows one of this type: only RSA has sizes and kinds that nobody makes any more."""
    return before if before in NEW_KEYS else DEFAULT_KEY_TYPE


def key_of(path: Path, asked: str | None, default: str, keys: KeyFiles) -> AnyKey:
    """The key in the file, which has to be of the type that was asked for, or a new one written to it, which is said
    unless a type was asked for: the name may have been mistyped, or a type been given for a name.
    """
    if os.path.lexists(path):
        found = keys.read(path)
        if asked not in (None, type_of_key(found)):
            raise UsageError(
                f"{path} holds a key of type {type_of_key(found)}, not {asked}; another file gets a new one"
            )
        return found
    meant = nearest(path.name, NEW_KEYS) if asked is None and not path.suffix else ""
    if meant:
        raise UsageError(f"there is no file {path}{meant}: the type of a new key is for --key-type")
    key_type = asked or default
    key = new_kem_key(key_type)[0] if key_type in KEM_KEY_TYPES else generate(key_type)
    if not keys.write_new(path, key):  # another command was faster
        return key_of(path, asked, default, keys)
    if asked is None:
        click.echo(printable(f"there was no file {path}: a new key is in it, of type {key_type}"), err=True)
    return key


def statement_of(cert_file: Path | None, key_file: Path | None, keys: KeyFiles) -> Statement | None:
    if cert_file is None and key_file is None:
        return None
    if cert_file is None or key_file is None:
        raise UsageError("--signing-cert and --signing-key go together")
    key, certificate = keys.read_signing(key_file), files.read_certificate(cert_file)
    check_fit(key, key_file, certificate, cert_file)
    return key, certificate


def check_stated(statement: object, key_file: Path, asked: str | None, keys: KeyFiles) -> None:
    """A statement of possession is for a key that cannot sign. asked: its --key-type. Raises UsageError."""
    if statement is None:
        return
    kind = type_of_key(keys.read(key_file)) if os.path.lexists(key_file) else asked or DEFAULT_KEY_TYPE
    if kind not in KEM_KEY_TYPES:
        raise UsageError(f"--signing-cert and --signing-key are for an ML-KEM key, and --key is one of type {kind}")


def querier_of(key_file: Path, cert_file: Path, keys: KeyFiles) -> tuple[AnyKey, Certificate]:
    """Key and certificate of who makes a query. Raises UsageError."""
    certificate, key = files.read_certificate(cert_file), keys.read(key_file)
    check_fit(key, key_file, certificate, cert_file)
    return key, certificate
