"""What a request asks for, as people write it."""

from __future__ import annotations

import functools
import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from cryptography import x509

from pkix.asn1 import Oid, any_of, encode, wrap
from pkix.attribute_types import IA5
from pkix.certificate_builder import Extensions
from pkix.errors import Malformed, PkixError, cited
from pkix.general_names import UPN, checked_text, comparable_general_name
from pkix.microsoft_sid import is_sid, sid_extension
from pkix.purposes import PURPOSES, purpose
from pkix.usages import KEY_USAGES, key_usage, possible_usages, usage_bit
from scep_kem.cli.client_files import type_of_key
from scep_kem.cli.common import parse_name, utf8
from scep_kem.cli.request_file import check_alone, csr_option, wanted_of
from scep_kem.client.wanted import AnyKey, Statement, Wanted
from scep_kem.config_faults import not_known
from scep_kem.errors import UsageError

T = TypeVar("T")

SAN_FORMS = "dns:NAME, ip:ADDRESS, email:ADDRESS, uri:URI, upn:USER@DOMAIN, dn:SUBJECT, rid:OID or other:OID;UTF8:TEXT"


@dataclass(frozen=True)
class Asked:
    """What a certificate is to have. csr: file of a request that says all of it; then there is nothing else.

    name: of --subject. usages: the bits of keyUsage in `extensions`.
    """

    csr: Path | None
    name: x509.Name
    extensions: Extensions
    usages: frozenset[str]

    def check(self, key_file: Path, key_type: str, others: Mapping[str, object]) -> None:
        """Before a key is made. key_type: of one that would be. others: by option, what does not go with --csr. Raises
        UsageError.
        """
        if self.csr is not None:
            check_alone(others)
        elif not os.path.lexists(key_file):
            check_usages(self.usages, key_type)

    def wanted(self, key: AnyKey, key_file: Path, password: str | None, statement: Statement | None) -> Wanted:
        """A certificate for a key. Raises UsageError."""
        if self.csr is not None:
            return wanted_of(self.csr, key, key_file, statement)
        check_usages(self.usages, type_of_key(key))
        return Wanted(key, self.name, self.extensions, password, statement)


def requested_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of what a certificate shall have, which the command gets as `asked`."""

    @functools.wraps(command)
    def with_asked(
        *,
        subject: str | None,
        names: tuple[str, ...],
        usages: tuple[str, ...],
        purposes: tuple[str, ...],
        sid: str | None,
        csr_file: Path | None,
        **more: Any,
    ) -> None:
        name, bits = x509.Name([]), frozenset[str]()
        extensions: Extensions = ()
        if csr_file is not None:
            check_alone({"--subject": subject, "--san": names, "--key-usage": usages, "--eku": purposes, "--sid": sid})
        elif subject is None:
            raise UsageError("give --subject, or with --csr a request that has one")
        else:
            name, bits = _subject(subject, names), usages_of(usages)
            extensions = extensions_asked(names, bits, purposes, sid, nameless=not len(name))
        command(asked=Asked(csr_file, name, extensions, bits), **more)

    decorated: Callable[..., None] = with_asked
    for option in (
        csr_option,
        click.option("--sid", help="Account of Windows (S-1-5-21-...), for Microsoft's extension."),
        click.option("--eku", "purposes", multiple=True, help="Extended key usage, as clientAuth, or OID; repeatable."),
        click.option("--key-usage", "usages", multiple=True, help="Bit of keyUsage, as digitalSignature; repeatable."),
        click.option("--san", "names", multiple=True, help=f"{SAN_FORMS}; repeatable."),
        click.option(
            "--subject",
            help='Subject, like "CN=device,O=Example", or /O=Example/CN=device; beside --san, it may be empty, or /.',
        ),
    ):
        decorated = option(decorated)
    return decorated


def _subject(text: str, names: Sequence[str]) -> x509.Name:
    """/ alone is an empty one, as for `openssl req -subj`, which is right where subjectAltName has the names (RFC 5280
    section 4.1.2.6). Raises UsageError.
    """
    if text.strip() != "/":
        return parse_name(text)
    if not names:
        raise UsageError("--subject / is empty, which takes a --san to have a name at all (RFC 5280 section 4.1.2.6)")
    return x509.Name([])


def extensions_asked(
    names: Sequence[str], usages: frozenset[str], purposes: Sequence[str], sid: str | None, *, nameless: bool = False
) -> Extensions:
    """The extensions to ask for. usages: bits, as `usages_of` gives them. nameless: whether the subject is empty.
    Raises UsageError.
    """
    values: list[x509.ExtensionType] = []
    if names:
        values.append(x509.SubjectAlternativeName(_once("--san", names, _san, comparable_general_name)))
    if usages:
        values.append(key_usage(usages))
    if purposes:
        values.append(x509.ExtendedKeyUsage(_once("--eku", _words(purposes), _purpose, lambda oid: oid)))
    # keyUsage should be critical (RFC 5280 section 4.2.1.3), and names that stand for a subject have to be (section
    # 4.1.2.6); of the others that is for the CA to say.
    critical = (x509.KeyUsage, x509.SubjectAlternativeName) if nameless else x509.KeyUsage
    made = [x509.Extension(value.oid, isinstance(value, critical), value) for value in values]
    if sid is not None:
        octets = re.sub("^s", "S", sid).encode(errors="replace")
        if not is_sid(octets):
            raise UsageError(f"--sid {cited(sid)} is not a security identifier; write it like S-1-5-21-1-2-3-1104")
        made.append(sid_extension(octets))
    return made


def usages_of(texts: Sequence[str]) -> frozenset[str]:
    """The bits of keyUsage that --key-usage names. Raises UsageError."""
    found = frozenset(_once("--key-usage", _words(texts), _usage, lambda bit: bit))
    if found & {"encipherOnly", "decipherOnly"} and "keyAgreement" not in found:
        raise UsageError("--key-usage: encipherOnly and decipherOnly go with keyAgreement (RFC 5280 section 4.2.1.3)")
    return found


def check_usages(usages: frozenset[str], key_type: str) -> None:
    """key_type: as --key-type names it. Raises UsageError for bits that a key of this type cannot have."""
    possible = possible_usages(key_type)
    foreign = [bit for bit in KEY_USAGES if bit in usages - possible]
    if foreign:
        can = ", ".join(bit for bit in KEY_USAGES if bit in possible)
        raise UsageError(f"--key-usage {', '.join(foreign)}: a key of type {key_type} can have {can}")


def _once(option: str, texts: Iterable[str], read: Callable[[str], T], same: Callable[[T], object]) -> list[T]:
    """What each text means. same: what two have in common that mean the same. Raises UsageError, also for these."""
    found: dict[object, T] = {}
    for text in texts:
        value = read(text)
        if same(value) in found:
            raise UsageError(f"{option} {cited(text)} is there twice")
        found[same(value)] = value
    return list(found.values())


def _words(texts: Iterable[str]) -> list[str]:
    """Several may stand in one text, with commas between them."""
    return [word.strip() for text in texts for word in text.split(",")]


def _purpose(word: str) -> Oid:
    try:
        return purpose(word)
    except ValueError:
        raise UsageError(not_known(f"--eku {cited(word)} is not known", word, PURPOSES) + ", or an OID") from None


def _usage(word: str) -> str:
    try:
        return usage_bit(word)
    except ValueError:
        raise UsageError(not_known(f"--key-usage {cited(word)} is not known", word, KEY_USAGES)) from None


def _san(text: str) -> x509.GeneralName:
    word, colon, value = utf8(text, "a text of --san").partition(":")
    kind = word.strip().lower()
    if not colon or kind not in _KINDS:
        raise UsageError(f"--san {cited(text)}: the kind of name comes first; write {SAN_FORMS}")
    if not value:
        raise UsageError(f"--san {cited(text)}: nothing stands behind the colon")
    try:
        name = _KINDS[kind](value)
        checked_text(name, f"--san {cited(text)}")
    except UsageError as error:
        raise UsageError(f"--san {cited(text)}: {error}") from None
    except PkixError as error:
        raise UsageError(error.text) from None
    return name


def _dns(value: str) -> x509.GeneralName:
    if not value.isascii():
        raise UsageError("a host name has letters of ASCII; write other letters as A-label (xn--...)")
    return x509.DNSName(value)


def _email(value: str) -> x509.GeneralName:
    if not value.isascii():
        raise UsageError(
            "an e-mail address has letters of ASCII; write a host name with others as A-label (xn--...), and an "
            "address with others before the @ as other:1.3.6.1.5.5.7.8.9;UTF8:ADDRESS (RFC 9598)"
        )
    return x509.RFC822Name(value)


def _uri(value: str) -> x509.GeneralName:
    if not value.isascii():
        raise UsageError("a URI has letters of ASCII; write others as %XX, in a host name as A-label (xn--...)")
    return x509.UniformResourceIdentifier(value)


def _ip(value: str) -> x509.GeneralName:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        network = "/" in value
        why = "an address stands without the length of a prefix" if network else f"{cited(value)} is no address"
        raise UsageError(f"{why}; write it like 192.0.2.1 or 2001:db8::1") from None
    if "%" in value:
        raise UsageError("an address in a certificate has no zone; leave out % and what follows it")
    return x509.IPAddress(address)


def _upn(value: str) -> x509.GeneralName:
    return x509.OtherName(UPN, encode(value))


def _directory_name(value: str) -> x509.GeneralName:
    return x509.DirectoryName(parse_name(value))


def _oid(text: str) -> Oid:
    try:
        return Oid(text)
    except ValueError:
        raise UsageError(f"{cited(text)} is no OID; write it like 1.3.6.1.4.1.32473.1") from None


def _registered_id(value: str) -> x509.GeneralName:
    return x509.RegisteredID(_oid(value))


def _other_name(value: str) -> x509.GeneralName:
    """As OpenSSL's configuration has it: the OID, a semicolon, the type of the value and the value."""
    dotted, semicolon, typed = value.partition(";")
    kind, colon, text = typed.partition(":")
    if not semicolon or not colon or kind.upper() not in _STRINGS or not text:
        raise UsageError(f"write other:OID;TYPE:VALUE, with one of the types {', '.join(_STRINGS)}")
    return x509.OtherName(_oid(dotted), _STRINGS[kind.upper()](text))


def _ia5(text: str) -> bytes:
    if not text.isascii():
        raise UsageError("an IA5String has letters of ASCII; UTF8 takes others")
    return wrap(IA5, text.encode())


def _der(text: str) -> bytes:
    try:
        der = bytes.fromhex(text)
        any_of(der)
    except (ValueError, Malformed):
        raise UsageError("behind DER: there is not one value of DER in hex") from None
    return der


_STRINGS: dict[str, Callable[[str], bytes]] = {"UTF8": encode, "IA5": _ia5, "DER": _der}
_KINDS: dict[str, Callable[[str], x509.GeneralName]] = {
    "dns": _dns,
    "ip": _ip,
    "email": _email,
    "uri": _uri,
    "upn": _upn,
    **dict.fromkeys(("dn", "dirname"), _directory_name),
    **dict.fromkeys(("rid", "registeredid"), _registered_id),
    **dict.fromkeys(("other", "othername"), _other_name),
}
