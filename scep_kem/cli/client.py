"""scep-kem enroll, renew, poll, getcert, getcrl, caps, cacert: the client, against anybody's server."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kem.backends import AUTOMATIC, BACKEND_NAMES
from kem.keys import DecapsulationKey
from pkix.asn1 import any_of
from pkix.certificates import Certificate, IssuerAndSerialNumber, extension_of, extensions_of
from pkix.errors import PkixError
from pkix.general_names import checked_text
from pkix.keys import KEM_KEY_TYPES, KEY_TYPES, generate, key_type_of
from pkix.signatures import SigningKey
from pkix.signed_data import Signer
from scep.attributes import MessageType
from scep.ca_certificates import ReplyRefused
from scep.client import Crl, Issued, Refused
from scep_kem import files
from scep_kem.cli.common import FILE, Word, parse_name, parse_serial, stdin_password, utf8
from scep_kem.cli.enrolment import (
    carry_out,
    check_same,
    earlier_request,
    exchange_of,
    pending_file,
    refused,
    write_certificate,
)
from scep_kem.client.client import CIPHERS, DIGESTS, AnyKey, Options, Renewing, ScepClient, Wanted, fits
from scep_kem.client.pending import Pending
from scep_kem.client.transport import HttpTransport, TransportError
from scep_kem.config_faults import nearest
from scep_kem.errors import UsageError, cannot
from scep_kem.kem import new_kem_key
from scep_kem.terminal import printable

DEFAULT_KEY_TYPE = "rsa:2048"
_NEW = (*KEY_TYPES, *KEM_KEY_TYPES)  # what keys can be made

F = TypeVar("F", bound=Callable[..., Any])

url_option = click.option("--url", required=True, help="SCEP URL of the server, without a query.")
fingerprint_option = click.option(
    "--ca-fingerprint", help="SHA-256 (or SHA-1) of the CA certificate, hex. Without it, whatever comes is trusted."
)
challenge_options = (
    click.option("--challenge", help="Challenge password (it shows in the process list; see --challenge-file)."),
    click.option("--challenge-file", type=FILE, help="File with the challenge password; - is stdin."),
)
out_option = click.option("--out", type=FILE, required=True, help="File for the certificate (PEM).")


def protocol_options(command: F) -> F:
    """Options of every command that sends a pkiMessage."""
    for option in (
        click.option("--save-messages", type=click.Path(path_type=Path, file_okay=False), help="Keep messages here."),
        click.option("--trace", is_flag=True, help="Print every message in words."),
        click.option(
            "--legacy", is_flag=True, help="Accept SHA-1 and 3DES, and use them if the server knows no better."
        ),
        click.option("--pss", is_flag=True, help="Sign with RSASSA-PSS."),
        click.option("--get", "prefer_get", is_flag=True, help="Send by HTTP GET even if the server can POST."),
        click.option("--digest", type=Word(DIGESTS), help="Digest; SHA-256 or the key's match by default."),
        click.option("--cipher", type=Word(CIPHERS), help="Content cipher; by default the best known."),
        click.option("--require-kem", is_flag=True, help="Go on only if messages can be encrypted to an ML-KEM key."),
        click.option(
            "--kem-backend", type=Word((AUTOMATIC, *BACKEND_NAMES)), default=AUTOMATIC, help="Implementation."
        ),
        fingerprint_option,
    ):
        command = option(command)
    return command


def waiting_options(command: F) -> F:
    """Options of commands that may have to poll."""
    for option in (
        click.option("--max-polls", type=click.IntRange(0), default=0, show_default=True, help="0: do not wait."),
        click.option("--poll-interval", type=click.FloatRange(0.05), default=5.0, show_default=True, help="Seconds."),
    ):
        command = option(command)
    return command


@click.command()
@url_option
@click.option("--key", "key_file", type=FILE, required=True, help="Private key (PEM); made if the file is missing.")
@click.option(
    "--key-type",
    type=Word(_NEW),
    show_default=DEFAULT_KEY_TYPE,
    help="Of a new key.",
)
@click.option("--subject", required=True, help='Subject, like "CN=device,O=Example".')
@click.option("--san", "names", multiple=True, help="dns:NAME, ip:ADDRESS, email:ADDRESS or uri:URI; repeatable.")
@click.option("--signing-cert", type=FILE, help="For an ML-KEM key: a signing certificate of ours (PEM), to state ...")
@click.option("--signing-key", type=FILE, help="... possession with (RFC 9883), and its private key.")
@challenge_options[0]
@challenge_options[1]
@out_option
@click.option("--ca-out", type=FILE, help="File for the CA's certificates (PEM).")
@protocol_options
@waiting_options
def enroll(
    url: str,
    key_file: Path,
    key_type: str | None,
    subject: str,
    names: tuple[str, ...],
    signing_cert: Path | None,
    signing_key: Path | None,
    challenge: str | None,
    challenge_file: Path | None,
    out: Path,
    ca_out: Path | None,
    poll_interval: float,
    max_polls: int,
    **protocol: Any,
) -> None:
    """Get a certificate with PKCSReq.

    An ML-KEM key cannot sign its request: an ephemeral key signs the message, and possession is proven by answering
    the CA's challenge.

    If the CA says PENDING and --max-polls is used up, exit code 3; `scep-kem poll` goes on later. So does the same
    command, also after an interruption.
    """
    password = _password(challenge, challenge_file)
    name, extensions = parse_name(subject), _san(names)
    statement = _statement(signing_cert, signing_key)
    _check_outputs({"--out": out, "--ca-out": ca_out}, {"--key": key_file, "--signing-key": signing_key}, waits=out)
    earlier = earlier_request(out, key_file)
    options = _options(url, protocol, earlier)
    wanted = Wanted(_key(key_file, key_type, DEFAULT_KEY_TYPE), name, extensions, password, statement)
    check_same(earlier, url, wanted, None, out)
    client = ScepClient(options)
    if ca_out is not None:
        files.write(ca_out, files.pem(*client.ca.all))
    carry_out(exchange_of(client, earlier, wanted), out, key_file, poll_interval, max_polls)


@click.command()
@url_option
@click.option("--cert", "cert_file", type=FILE, required=True, help="Certificate to renew (PEM).")
@click.option("--key", "key_file", type=FILE, required=True, help="Its private key (PEM).")
@click.option("--new-key", "new_key_file", type=FILE, help="New private key; made if missing. Default: keep --key.")
@click.option(
    "--key-type",
    type=Word(_NEW),
    help="Of a new key; by default as before, or rsa:2048 for RSA of a size that is not made here.",
)
@challenge_options[0]
@challenge_options[1]
@out_option
@protocol_options
@waiting_options
def renew(
    url: str,
    cert_file: Path,
    key_file: Path,
    new_key_file: Path | None,
    key_type: str | None,
    challenge: str | None,
    challenge_file: Path | None,
    out: Path,
    poll_interval: float,
    max_polls: int,
    **protocol: Any,
) -> None:
    """Renew a certificate with RenewalReq.

    The old certificate signs; subject and names stay, and no challenge password is needed. If the old key cannot
    decrypt, a response key or a fresh challenge password is sent along, because the answer has to be encrypted under
    something. An ML-KEM certificate is renewed by proving possession of the old and of the new key.
    """
    if key_type is not None and new_key_file is None:
        raise UsageError("--key-type is for a new key, so it needs --new-key")
    old, old_key = files.read_certificate(cert_file), files.read_any_key(key_file)
    _check_fit(old_key, key_file, old, cert_file)
    _check_outputs({"--out": out}, {"--key": key_file, "--new-key": new_key_file}, waits=out)
    password = _password(challenge, challenge_file)
    earlier = earlier_request(out, new_key_file or key_file)
    options = _options(url, protocol, earlier)
    new_key = _key(new_key_file, key_type, _can_be_made(_type_of(old_key))) if new_key_file else old_key
    extensions = _names_to_keep(old, cert_file)
    wanted, renewing = (
        Wanted(new_key, old.subject_name, extensions, password),
        Renewing(old_key, old, key_file, cert_file),
    )
    check_same(earlier, url, wanted, renewing, out)
    exchange = exchange_of(ScepClient(options), earlier, wanted, renewing)
    carry_out(exchange, out, new_key_file or key_file, poll_interval, max_polls)


def _names_to_keep(old: Certificate, cert_file: Path) -> list[x509.Extension[x509.ExtensionType]]:
    """The subjectAltName of a certificate, as a request for the same asks for it. Raises UsageError."""
    try:
        extension_of(old, x509.SubjectAlternativeName)
    except PkixError as error:
        raise UsageError(f"{cert_file}: {error.text}") from None
    return [item for item in extensions_of(old) if isinstance(item.value, x509.SubjectAlternativeName)]


@click.command()
@click.option("--key", "key_file", type=FILE, required=True, help="Private key of the pending request (PEM).")
@out_option
@protocol_options
@waiting_options
def poll(key_file: Path, out: Path, poll_interval: float, max_polls: int, **protocol: Any) -> None:
    """Go on with an enrolment that is pending or was interrupted.

    With the --out of the `enroll` or `renew` before, and the key that the certificate is for. Everything else is in the
    file that they left beside --out.
    """
    file = pending_file(out)
    if not os.path.lexists(file):
        raise UsageError(f"nothing is pending: `enroll` and `renew` leave {file} when they have to wait")
    pending = Pending.load(file)
    _check_outputs({"--out": out}, {"--key": key_file}, waits=out)
    key = files.read_any_key(key_file)
    exchange = ScepClient(_options(pending.url, protocol, pending)).resume(pending, key)
    carry_out(exchange, out, key_file, poll_interval, max_polls)


@click.command()
@url_option
@click.option("--cert", "cert_file", type=FILE, required=True, help="A certificate of ours to sign with (PEM).")
@click.option("--key", "key_file", type=FILE, required=True, help="Its private key (PEM).")
@click.option("--serial", required=True, help="Serial number wanted, hex.")
@out_option
@protocol_options
def getcert(url: str, cert_file: Path, key_file: Path, serial: str, out: Path, **protocol: Any) -> None:
    """Get a copy of an issued certificate with GetCert."""
    number = parse_serial(serial)
    _check_outputs({"--out": out}, {"--key": key_file})
    options = _options(url, protocol)
    signer = _signer(key_file, cert_file, options)
    client = ScepClient(options)
    name = IssuerAndSerialNumber(issuer=any_of(client.ca.ca.subject), serial_number=number)
    outcome = client.query(MessageType.GetCert, name, signer)
    if isinstance(outcome, Refused):
        refused(outcome)
    if not isinstance(outcome, Issued):
        raise ReplyRefused("the CA answered PENDING to GetCert, which only an enrolment can be")
    write_certificate(out, outcome)


@click.command()
@url_option
@click.option("--cert", "cert_file", type=FILE, required=True, help="The certificate whose CRL is wanted (PEM).")
@click.option("--key", "key_file", type=FILE, required=True, help="Its private key (PEM).")
@click.option("--out", type=FILE, required=True, help="File for the CRL (PEM).")
@protocol_options
def getcrl(url: str, cert_file: Path, key_file: Path, out: Path, **protocol: Any) -> None:
    """Get the CRL with GetCRL."""
    _check_outputs({"--out": out}, {"--key": key_file})
    options = _options(url, protocol)
    signer = _signer(key_file, cert_file, options)
    outcome = ScepClient(options).query(MessageType.GetCRL, signer.certificate.issuer_and_serial, signer)
    if isinstance(outcome, Refused):
        refused(outcome)
    if not isinstance(outcome, Crl):
        raise ReplyRefused("the CA answered PENDING to GetCRL, which only an enrolment can be")
    try:
        crl = x509.load_der_x509_crl(outcome.crl)
    except ValueError:
        raise ReplyRefused("the CRL received cannot be read") from None
    files.write(out, crl.public_bytes(Encoding.PEM))
    click.echo(printable(f"CRL written to {out}"))


@click.command()
@url_option
def caps(url: str) -> None:
    """Show what the server says it can (GetCACaps)."""
    body, _capabilities = HttpTransport(url).capabilities()
    if body is None:
        raise TransportError(f"{url}: GetCACaps is answered with an HTTP error, which means no capabilities")
    for keyword in sorted(body.decode("utf-8", "replace").split()):
        click.echo(printable(keyword))


@click.command()
@url_option
@fingerprint_option
@click.option("--next", "following", is_flag=True, help="The next CA certificate (GetNextCACert), verified.")
@click.option("--out", type=FILE, help="File for the certificates (PEM); the default is stdout.")
def cacert(url: str, ca_fingerprint: str | None, following: bool, out: Path | None) -> None:
    """Get and authenticate the CA's certificates.

    With GetCACert or GetNextCACert.
    """
    client = ScepClient(Options(url=url, fingerprint=ca_fingerprint))
    certificates = client.next_ca() if following else client.ca.all
    if out is None:
        click.echo(files.pem(*certificates), nl=False)
    else:
        files.write(out, files.pem(*certificates))
    if not following:
        click.echo(f"CA fingerprint (SHA-256): {client.ca.fingerprint}", err=True)


def _options(url: str, protocol: dict[str, Any], earlier: Pending | None = None) -> Options:
    """earlier: a request to go on with, whose pinned CA stays pinned. Raises UsageError."""
    save: Path | None = protocol["save_messages"]
    options = Options(
        url=url,
        fingerprint=protocol["ca_fingerprint"] or (earlier.fingerprint if earlier is not None else None),
        cipher=protocol["cipher"],
        digest=protocol["digest"],
        legacy=protocol["legacy"],
        prefer_get=protocol["prefer_get"],
        pss=protocol["pss"],
        require_kem=protocol["require_kem"],
        kem_backend=protocol["kem_backend"],
        trace=click.echo if protocol["trace"] else None,
        save=save,
    )
    if save is not None:
        try:
            save.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise cannot(f"make {save}", error) from None
    if options.fingerprint is None:
        click.echo("no --ca-fingerprint: the CA certificate is not authenticated", err=True)
    return options


def _check_outputs(outputs: dict[str, Path | None], keys: dict[str, Path | None], *, waits: Path | None = None) -> None:
    """Both by option: files to be written, and private keys that they must not replace. waits: the --out beside which
    a request is kept until it is answered. Raises UsageError.

    Later would be too late: then the certificate is issued and its challenge password used up.
    """
    if waits is not None:
        outputs = outputs | {"the file that keeps the request": pending_file(waits)}
    for option, path in outputs.items():
        if path is None:
            continue
        for other, taken in (keys | outputs).items():
            if taken is not None and other != option and os.path.realpath(taken) == os.path.realpath(path):
                raise UsageError(f"{option} and {other} are the same file, {path}")
        if not os.access(f"{path.parent}/.", os.W_OK | os.X_OK):  # with the dot, only a folder is there
            raise UsageError(f"cannot write {path}: {path.parent} is not a folder that we may write to")


def _check_fit(key: AnyKey, key_file: Path, certificate: Certificate, cert_file: Path) -> None:
    if not fits(key, certificate.spki):
        raise UsageError(f"{key_file} is not the key of the certificate in {cert_file}")


def _type_of(key: AnyKey) -> str:
    """As --key-type names it."""
    return key.parameter_set.name.lower() if isinstance(key, DecapsulationKey) else key_type_of(key.public_key())


def _can_be_made(before: str) -> str:
    """The type of a new key that follows one of this type: only RSA has sizes and kinds that nobody makes any more."""
    return before if before in _NEW else DEFAULT_KEY_TYPE


def _key(path: Path, asked: str | None, default: str) -> AnyKey:
    """The key in the file, which has to be of the type that was asked for, or a new one written to it, which is said
    unless a type was asked for: the name may have been mistyped, or a type been given for a name.
    """
    if os.path.lexists(path):
        found = files.read_any_key(path)
        if asked not in (None, _type_of(found)):
            raise UsageError(f"{path} holds a key of type {_type_of(found)}, not {asked}; another file gets a new one")
        return found
    meant = nearest(path.name, _NEW) if asked is None and not path.suffix else ""
    if meant:
        raise UsageError(f"there is no file {path}{meant}: the type of a new key is for --key-type")
    key_type = asked or default
    key = new_kem_key(key_type)[0] if key_type in KEM_KEY_TYPES else generate(key_type)
    files.write_key(path, key)
    if asked is None:
        click.echo(printable(f"there was no file {path}: a new key is in it, of type {key_type}"), err=True)
    return key


def _statement(cert_file: Path | None, key_file: Path | None) -> tuple[SigningKey, Certificate] | None:
    if cert_file is None and key_file is None:
        return None
    if cert_file is None or key_file is None:
        raise UsageError("--signing-cert and --signing-key go together")
    key, certificate = files.read_key(key_file), files.read_certificate(cert_file)
    _check_fit(key, key_file, certificate, cert_file)
    return key, certificate


def _signer(key_file: Path, cert_file: Path, options: Options) -> Signer:
    certificate, key = files.read_certificate(cert_file), files.read_key(key_file)
    _check_fit(key, key_file, certificate, cert_file)
    return Signer(key, certificate, pss=options.pss)


def _password(given: str | None, file: Path | None) -> str | None:
    if given is not None and file is not None:
        raise UsageError("give either --challenge or --challenge-file")
    if given is not None:
        return _not_empty(utf8(given, "the challenge password"), "--challenge is empty")
    if file is None:
        return None
    if str(file) == "-":
        return stdin_password()
    try:
        found = files.read(file).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise UsageError(f"the challenge password in {file} is not UTF-8") from None
    return _not_empty(found, f"there is no challenge password in {file}")


def _not_empty(password: str, why: str) -> str:
    """A shell that got no password passes on an empty one. Raises UsageError."""
    if not password:
        raise UsageError(why)
    return password


def _san(names: tuple[str, ...]) -> list[x509.Extension[x509.ExtensionType]]:
    if not names:
        return []
    made: list[x509.GeneralName] = []
    for text in names:
        kind, _, value = text.partition(":")
        try:
            made.append(_general_name(kind, value))
            checked_text(made[-1], f"--san {text!r}")
        except PkixError as error:
            raise UsageError(error.text) from None
        except ValueError:
            raise UsageError(f"--san {text!r}: write dns:NAME, ip:ADDRESS, email:ADDRESS or uri:URI") from None
    value_of = x509.SubjectAlternativeName(made)
    return [x509.Extension(value_of.oid, False, value_of)]


def _general_name(kind: str, value: str) -> x509.GeneralName:
    if not value:
        raise ValueError(kind)
    if kind == "dns":
        return x509.DNSName(value)
    if kind == "ip":
        return x509.IPAddress(ipaddress.ip_address(value))
    if kind == "email":
        return x509.RFC822Name(value)
    if kind == "uri":
        return x509.UniformResourceIdentifier(value)
    raise ValueError(kind)
