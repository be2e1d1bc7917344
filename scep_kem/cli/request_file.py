"""--csr: a PKCS #10 request that was made elsewhere, and is sent as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric import rsa

from kem.errors import KemError
from kem.keys import DecapsulationKey
from pkix import recognised
from pkix.algorithms import DIAGNOSIS
from pkix.asn1 import encode
from pkix.ber import to_der
from pkix.certificates import Certificate
from pkix.errors import Malformed, PkixError
from pkix.names import read_name
from pkix.pem import decode_pem, pem_blocks
from pkix.pkcs10 import CertificationRequest
from pkix.requests import Form
from pkix.subjects import check_subject
from scep.attributes import REQUEST_ATTRIBUTES
from scep.kem_pop import response_key_of
from scep_kem import files
from scep_kem.cli.common import FILE, told
from scep_kem.client.wanted import AnyKey, Statement, Wanted, fits
from scep_kem.errors import UsageError
from scep_kem.terminal import printable

_LABELS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")  # RFC 7468 section 7
_WANTED = recognised.Wanted("request", ())
_ITS_OWN = "the request in --csr is sent as it is, so it does not go with"

csr_option = click.option(
    "--csr", "csr_file", type=FILE, help="PKCS #10 request (PEM or DER) to send as it is; its key has to be there."
)


def check_alone(given: Mapping[str, object]) -> None:
    """given: by option, what else would say what is asked for. Raises UsageError for what is there."""
    more = [option for option, value in given.items() if value not in (None, ())]
    if more:
        raise UsageError(f"{_ITS_OWN} {', '.join(more)}")


def wanted_of(
    file: Path, key: AnyKey, key_file: Path, statement: Statement | None, *, old_key: AnyKey | None = None
) -> Wanted:
    """What a file with a request asks for. key: the one that it should be for. old_key: of the certificate that is
    renewed; it signs the message, which takes no challengePassword. Raises UsageError, also if nobody could read the
    answer.
    """
    request = _read(file)
    try:
        if not fits(key, request.spki):
            raise UsageError(f"{key_file} is not the key of the request in {file}")
        # Whether it is accepted is for the CA to say; here it is to be right.
        request.verify(DIAGNOSIS, _stated_by(request, statement, file))
        _check_readable(request, file, old_key or key)
        subject = read_name(request.subject_der, request.what)
    except (PkixError, KemError) as error:
        raise UsageError(f"{file}: {told(error)}") from None
    try:
        check_subject(request.subject_der, f"the request in {file}")
    except Malformed as error:
        _say(f"{error.text}; it is sent as it is")
    if request.challenge_password is None and old_key is None:
        _say(f"the request in {file} has no challengePassword, and none can be added")
    return Wanted(key, subject, (), request.challenge_password, statement, request)


def _say(line: str) -> None:
    click.echo(printable(line), err=True)


def _read(file: Path) -> CertificationRequest:
    data = files.read(file)
    blocks = pem_blocks(data)
    found = [text for label, text in blocks if label in _LABELS]
    if len(found) > 1:
        raise UsageError(f"{file} holds {len(found)} requests; one is sent")
    der = data
    try:
        if found:
            der = decode_pem(found[0], f"the request in {file}")
        if blocks and not found:
            labels = ", ".join(label for label, _ in blocks)
            raise UsageError(f"{file} holds {labels}, and no CERTIFICATE REQUEST")
        return CertificationRequest.decode(der, single_valued=REQUEST_ATTRIBUTES)
    except Malformed as error:
        if _is_ber(der):
            raise UsageError(
                f"the request in {file} is BER, and only DER is sent; `openssl req -in FILE -out NEW` rewrites it"
            ) from None
        seen = None if found else recognised.recognise(data, _WANTED)
        if seen is None or seen.what == recognised.A_REQUEST_ALONE:
            raise UsageError(f"{file}: {told(error)}") from None
        raise UsageError(f"{file} is {seen.what.removesuffix(' alone')}, not a PKCS #10 request") from None


def _is_ber(octets: bytes) -> bool:
    """Whether a request is in it in another encoding than DER, in which it has to be signed (RFC 2986 section 4.2)."""
    try:
        der = to_der(octets)
        CertificationRequest.decode_bare(der)
    except Malformed:
        return False
    return der != octets


def _stated_by(request: CertificationRequest, statement: Statement | None, file: Path) -> Certificate | None:
    """The certificate of a statement of possession (RFC 9883), None if the request has none. Raises UsageError."""
    stated = request.statement if request.form is Form.statement else None
    if stated is None:
        if statement is not None:
            raise UsageError(f"--signing-cert is for a statement of possession, and the request in {file} has none")
        return None
    if statement is None and stated.certificate is None:
        raise UsageError(f"{file} states possession with a certificate that is not in it; give --signing-cert")
    certificate = statement[1] if statement is not None else Certificate.load(encode(stated.certificate))
    if not certificate.is_identified_by(stated.signer):
        raise UsageError(f"the statement of possession in {file} names another certificate")
    return certificate


def _check_readable(request: CertificationRequest, file: Path, signer: AnyKey) -> None:
    """Whether the answer can be encrypted under something that we have (RFC 8894 section 3.1). Raises UsageError."""
    if request.is_kem or isinstance(signer, rsa.RSAPrivateKey | DecapsulationKey):
        return
    if not request.challenge_password and response_key_of(request) is None:
        raise UsageError(
            f"{file}: this key cannot decrypt the answer, which is then encrypted under the challengePassword, and the "
            "request has none; make it anew with one, or let this command make it, without --csr"
        )
