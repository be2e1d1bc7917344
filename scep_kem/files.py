"""Files: secrets that nobody else may read, PEM in and out, errors in one line."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from cryptography import x509

from kem.errors import KemError
from kem.keys import DecapsulationKey
from pkix.certificates import UNREADABLE, AnyCertificate, Certificate
from pkix.errors import Malformed, PasswordNeeded, PkixError
from pkix.file_kinds import (
    CERTIFICATE_LABELS,
    IT_IS_A_CRL,
    holds_certificate,
    holds_private_key,
    is_pkcs12,
    what_file,
)
from pkix.keys import dump_private_key, key_type_of, load_key
from pkix.pem import decode_pem, pem_blocks
from pkix.pkcs12 import decode_pkcs12
from pkix.pkcs12_writer import encode_pkcs12
from pkix.signatures import SigningKey
from scep_kem import safety
from scep_kem.errors import UsageError, cannot
from scep_kem.kem import backends

SECRET_MODE = 0o600
PUBLIC_MODE = 0o644
_LARGEST_KEY_FILE, _LONGEST_LINE = 1 << 20, 1 << 16  # octets


def read(path: Path, *, secret: bool = False, most: int = -1) -> bytes:
    """The file's octets. secret: only if nobody else may have written it. most: how many may be there, -1 for any.
    Raises UsageError, also for a pipe or a device, which somebody may have put there to make us wait.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = safety.open_secret(path, flags) if secret else os.open(path, flags)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - of a descriptor
            if secret:
                safety.check_secret(path, os.fstat(file.fileno()))
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"cannot read {path}: not a regular file")
            found = file.read(most + 1 if most >= 0 else -1)
    except OSError as error:
        raise cannot(f"read {path}", error) from None
    if 0 <= most < len(found):
        raise UsageError(f"cannot read {path}: it has more than {most} octets")
    return found


def write(path: Path, data: bytes, *, secret: bool = False) -> None:
    """Write a file whole or not at all, with mode 0600 if `secret`, else 0644. Raises UsageError.

    The data goes to a new file beside the target, which is renamed over it: a reader never sees half a key. A
    symbolic link stays, and what it names is replaced, unless somebody else put it there. A pipe or a device
    (/dev/stdout) is written to instead, behind what is there; it gets a secret only if it is not somebody else's. A
    private key is replaced only by a secret.
    """
    safety.check_links(path)
    try:
        if path.exists() and (_is_descriptor(path) or not path.is_file()):
            if secret:
                safety.check_secret(path)
            with path.open("ab", buffering=0) as file:
                file.write(data)
        else:
            if not secret:
                check_no_key(path)
            _replace(Path(os.path.realpath(path)), data, SECRET_MODE if secret else PUBLIC_MODE)
    except OSError as error:
        raise cannot(f"write {path}", error) from None


def check_no_key(path: Path, *, but_pkcs12: bool = False) -> None:
    """Raises UsageError if the file holds a private key, which nobody could get back. but_pkcs12: PKCS #12 may be."""
    try:
        held = path.is_file() and not _is_descriptor(path) and path.stat().st_size <= _LARGEST_KEY_FILE
        data = read(path) if held else b""
    except (OSError, UsageError):
        return  # whoever writes is told why that is impossible, if it is
    if holds_private_key(data) and not (but_pkcs12 and is_pkcs12(data)):
        raise UsageError(f"{path} holds a private key, which is not overwritten; name another file, or remove it first")


def _is_descriptor(path: Path) -> bool:
    """Whether it names a file that is open already, by whatever name that has."""
    return str(path.absolute()).startswith(("/dev/std", "/dev/fd/", "/proc/self/fd/"))


def write_new(path: Path, data: bytes, *, secret: bool = False) -> bool:
    """Write a file, as `write` does, unless there is one of this name at the moment when it gets it; whether it was
    written. Raises UsageError.
    """
    safety.check_links(path)
    try:
        _replace(path, data, SECRET_MODE if secret else PUBLIC_MODE, _link)
    except FileExistsError:
        return False
    except OSError as error:
        raise cannot(f"write {path}", error) from None
    return True


def _rename(made: Path, path: Path) -> None:
    made.replace(path)


def _replace(path: Path, data: bytes, mode: int, name_it: Callable[[Path, Path], None] = _rename) -> None:
    """name_it: gives the new file, which is whole, its name."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        name_it(Path(name), path)
        _sync(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _link(made: Path, path: Path) -> None:
    """Raises FileExistsError, OSError."""
    try:
        path.hardlink_to(made)
    except FileExistsError:
        raise
    except OSError:  # not every file system has hard links
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, SECRET_MODE))
        made.replace(path)
    else:
        made.unlink()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Whether nobody else has this lock, which is ours in the block then. It goes with the process, whatever ends it.

    path: of a file of its own, which is removed afterwards. One that a crash has left is no obstacle. Raises UsageError
    if it cannot be made.
    """
    try:
        descriptor = _lock(path)
    except OSError as error:
        raise cannot(f"make {path}", error) from None
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        try:
            with contextlib.suppress(OSError):
                path.unlink()
        finally:
            os.close(descriptor)


def _lock(path: Path) -> int | None:
    """A descriptor of the file, with the lock; None if somebody else has it. Raises OSError."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, SECRET_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:  # not every file system has locks
            return descriptor
        if _is_at(descriptor, path):
            return descriptor
        os.close(descriptor)  # whoever had it has removed it


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _sync(folder: Path) -> None:
    """So that a file's new name is there after a power failure, as well as what it holds."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> list[Path]:
    """Make a folder with mode 0700, as what is missing above it, unless it is there. Returns what was missing, from
    below. Raises UsageError.
    """
    try:
        missing = [item for item in (path.absolute(), *path.absolute().parents) if not item.exists()]
        for item in reversed(missing):  # mkdir's own `parents` would leave their modes to the umask
            item.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise cannot(f"make {path}", error) from None
    return missing


@contextlib.contextmanager
def removed_if_empty(folders: Iterable[Path]) -> Iterator[None]:
    """When something fails, these folders are removed again, from below, as far as they are empty."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for item in folders:
                item.rmdir()
        raise


def read_first_line(path: Path) -> bytes:
    """A secret that is the first line of a file, without its end, or of what a shell has opened for us, as in
    `--challenge-file <(pass show scep)`. Raises UsageError if there is none.
    """
    data = _of_descriptor(path) if _is_descriptor(path) else read(path, secret=True)
    found = data.split(b"\n", 1)[0].rstrip(b"\r")
    safety.warn_if_readable(path)
    if not found:
        raise UsageError(f"the first line of {path} is empty; it should be the password")
    return found


def _of_descriptor(path: Path) -> bytes:
    """Up to its end, or as far as a line may go. Nobody else can have put it there. Raises UsageError."""
    try:
        with path.open("rb") as file:
            return file.readline(_LONGEST_LINE)
    except OSError as error:
        raise cannot(f"read {path}", error) from None


def read_key(path: Path, *, password: bytes | None = None, option: str = "") -> SigningKey:
    """A private key that signs. option: by which its password is given. Raises UsageError."""
    return _signing(read_any_key(path, password=password, option=option), path)


def write_key(path: Path, key: SigningKey | DecapsulationKey, *, password: bytes | None = None) -> None:
    """PKCS #8 PEM with mode 0600, encrypted under a password if there is one. Raises UsageError."""
    write(path, dump_private_key(key, password, os.urandom), secret=True)


def write_new_key(path: Path, key: SigningKey | DecapsulationKey, *, password: bytes | None = None) -> bool:
    """The same, unless there is a file; whether it was written. Raises UsageError."""
    return write_new(path, dump_private_key(key, password, os.urandom), secret=True)


def read_kem_key(path: Path, *, password: bytes | None = None, option: str = "") -> DecapsulationKey:
    """An ML-KEM private key, in any form of RFC 9935. option: by which its password is given. Raises UsageError."""
    key = read_any_key(path, password=password, option=option)
    if not isinstance(key, DecapsulationKey):
        raise UsageError(f"{path} holds no ML-KEM key")
    return key


def read_any_key(path: Path, *, password: bytes | None = None, option: str = "") -> SigningKey | DecapsulationKey:
    """A private key of either kind, in PEM or DER. A file that others may read is warned of. option: by which its
    password is given. Raises UsageError.
    """
    data = read(path)
    with _named(path, option):
        key = _checked(load_key(data, password=password))
    safety.warn_if_readable(path)
    return key


def read_pkcs12(
    path: Path, *, password: bytes | None = None, option: str = ""
) -> tuple[SigningKey, list[x509.Certificate]]:
    """A key that signs and certificates, in no order, from a PKCS #12 file. A file that others may read is warned of.
    option: by which its password is given. Raises UsageError.
    """
    data = read(path)
    with _named(path, option):
        found, certificates = decode_pkcs12(data, password=password)
        key = _checked(found)
    safety.warn_if_readable(path)
    return _signing(key, path), certificates


def write_pkcs12(
    path: Path, key: SigningKey | DecapsulationKey, certificate: Certificate, chain: list[Certificate], password: bytes
) -> None:
    """PKCS #12 with mode 0600: the key, its certificate and what is above it. Raises UsageError, also if a key
    of another form is there.
    """
    check_no_key(path, but_pkcs12=True)
    write(path, encode_pkcs12(key, certificate, chain, password=password, random=os.urandom), secret=True)


@contextlib.contextmanager
def _named(path: Path, option: str) -> Iterator[None]:
    """Raises UsageError with the file's name for whatever is wrong with a key."""
    try:
        yield
    except PasswordNeeded as error:
        advice = (
            f"give its password by {option}" if option else "write it without, as with `openssl pkey -in FILE -out NEW`"
        )
        raise UsageError(f"{path}: {error}; {advice}") from None
    except (PkixError, KemError) as error:
        raise UsageError(f"{path}: {error}") from None


def _checked(key: SigningKey | DecapsulationKey) -> SigningKey | DecapsulationKey:
    """A key of a kind and with values that are used here. Raises PkixError, KemError."""
    if isinstance(key, DecapsulationKey):
        backends().check_pair(key)
    else:
        key_type_of(key.public_key())  # refuses a curve that nothing else here knows
    return key


def _signing(key: SigningKey | DecapsulationKey, path: Path) -> SigningKey:
    if isinstance(key, DecapsulationKey):
        raise UsageError(f"{path} holds an ML-KEM key, which cannot sign")
    return key


def read_certificates(path: Path) -> list[x509.Certificate]:
    """One or more certificates in PEM, or one in DER, in which anything may be unreadable. Raises UsageError."""
    data = read(path)
    try:
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_certificates(data)
        return [x509.load_der_x509_certificate(data)]
    except UNREADABLE:
        raise _no_certificate(path, data) from None


def _no_certificate(path: Path, data: bytes) -> UsageError:
    what = "" if holds_certificate(data) else f": {what_file(data)}; a certificate in PEM or DER is expected"
    return UsageError(f"{path} holds no readable certificate{what}")


def read_crl(path: Path) -> x509.CertificateRevocationList:
    """A CRL in PEM or DER. Raises UsageError."""
    data = read(path)
    try:
        return x509.load_pem_x509_crl(data) if b"-----BEGIN" in data else x509.load_der_x509_crl(data)
    except UNREADABLE:
        seen = what_file(data)
    what = "" if seen == IT_IS_A_CRL else f": {seen}; a CRL in PEM or DER is expected"
    raise UsageError(f"{path} holds no readable CRL{what}")


def read_certificate(path: Path) -> Certificate:
    """The first certificate of a file, in PEM or DER, as `Certificate.load` has it. Raises UsageError."""
    data = read(path)
    found = [text for label, text in pem_blocks(data) if label in CERTIFICATE_LABELS]
    try:
        der = decode_pem(found[0], "the certificate") if found else data
        Certificate.decode(der)
    except Malformed:
        raise _no_certificate(path, data) from None
    try:
        return Certificate.load(der)
    except Malformed as error:
        raise UsageError(f"{path}: {error.text}") from None


def pem(*certificates: AnyCertificate) -> bytes:
    """Certificates in PEM, one after the other."""
    return b"".join(Certificate.of(certificate).pem for certificate in certificates)
