"""What an operator is shown of a request: the certificate that would be issued, and what to look at before approving.

The certificate is made by the function that issues (`ca.authority.preview`), so that nothing is approved unseen. Its
fingerprint stands for all that was shown but the passing of time: whoever approves by it approves that and no more.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca.authorities import Authorities
from ca.authority import check_validity, preview
from ca.errors import RequestRefused
from ca.granted import extension_facts, not_granted, usage_name
from ca.profiles import Profile, check_request, names_of
from ca.remembered import open_remembered
from ca.renewal import as_issued, renewed_by
from ca.requests import WITHHELD, CertificateRequest, is_guessable
from ca.sealing import ServerKey
from ca.store import Decision, IssuedCertificate, State, Store, Transaction
from pkix import oids
from pkix.certificates import extensions_of
from pkix.errors import Malformed, PkixError
from pkix.general_names import rendered
from pkix.names import comparable, name_text, prepared
from pkix.pkcs10 import CertificationRequest
from pkix.public_keys import key_identity
from pkix.requests import Form
from pkix.usages import RA_MARKS
from scep.attributes import RESPONSE_KEY
from scep_kem.config import ProfileConfig
from scep_kem.contents import Facts, certificate_facts, request_facts

ID_LENGTH = 16
_POSSESSION = {
    "signature": "proven: the request is signed with the requested key",
    "challenge": "proven: the client answered a challenge to the requested key",
    "statement": "stated by the holder of a certificate, who signed the request (RFC 9883)",
    "none": "not proven",
}
MOST_COMPARED = 20_000  # certificates, the newest, that a request is compared with

_SENSITIVE_USAGES = {
    ExtendedKeyUsageOID.SERVER_AUTH: "it can pose as a server",
    ExtendedKeyUsageOID.CODE_SIGNING: "it can sign programs",
    ExtendedKeyUsageOID.SMARTCARD_LOGON: "it can log on to Windows",
    ExtendedKeyUsageOID.OCSP_SIGNING: "it can speak for the CA",
    ExtendedKeyUsageOID.TIME_STAMPING: "it can stamp times",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "it is good for everything",
    **dict.fromkeys(RA_MARKS, "it can pose as the RA"),
}
_READ_ATTRIBUTES = {
    oids.CHALLENGE_PASSWORD,
    oids.EXTENSION_REQUEST,
    oids.MS_EXTENSION_REQUEST,
    oids.STATEMENT_OF_POSSESSION,
    RESPONSE_KEY,
}


def request_id(item: Transaction) -> str:
    """Hex digits of a hash of transaction and request: unlike transactionID, unique and typable.

    A client may ask for something else under a transactionID that has ended; an old ID must not mean that.
    """
    transaction = f"{item.profile} {item.key.transaction_id}".encode()  # a profile's name has no blank
    seen = hashlib.sha256(item.key.requester + item.request_hash + transaction)
    return seen.hexdigest()[:ID_LENGTH]


def possession(item: Transaction, request: CertificateRequest) -> str:
    """How far possession of the requested key is shown: signature, challenge (both proven), statement, or none."""
    if not request.is_kem:
        return "signature"
    if isinstance(request, CertificationRequest) and request.form is Form.statement:
        return "statement"
    return "challenge" if item.pop_challenges and item.state is not State.CHALLENGED else "none"


def holds_secrets(request: CertificateRequest) -> bool:
    """Whether it holds a challengePassword or a response key, which cannot be taken out: the request is signed."""
    attributes = request.attributes if isinstance(request, CertificationRequest) else {}
    return bool({oids.CHALLENGE_PASSWORD, RESPONSE_KEY} & set(attributes))


def request_state(item: Transaction) -> str:
    """Its state; of one that waits, the operator's decision if there is one."""
    if item.state is State.AWAITING_APPROVAL and item.decision is not Decision.UNDECIDED:
        return str(item.decision.value)
    return str(item.state.value)


class Notice(NamedTuple):
    """What an operator should look at: in a word or two, and in a sentence."""

    word: str
    text: str


@dataclass(frozen=True)
class View:
    """facts: everything, with the notices. refusal: why nothing would be issued, empty if something would.

    fingerprint: 64 hex digits, over the transaction, its request, the profile's validity and the certificate.
    """

    facts: Facts
    notices: list[Notice]
    refusal: str
    fingerprint: str


class Certified:
    """What the newest certificates say, to compare requests with. Read once, when first needed."""

    def __init__(self, store: Store, now: datetime) -> None:
        self.keys: dict[bytes, IssuedCertificate] = {}
        self.subjects: dict[str, IssuedCertificate] = {}
        self._names: dict[str, IssuedCertificate] = {}
        records = store.certificates(limit=MOST_COMPARED)
        self.complete = len(records) < MOST_COMPARED
        for record in records:
            self.keys.setdefault(record.spki_hash, record)
            if record.revoked_at is not None:
                self.keys[record.spki_hash] = record
            elif record.not_after >= now:
                self.subjects.setdefault(record.name, record)
                for name in _names(x509.load_der_x509_certificate(record.der)):
                    self._names.setdefault(_alike(name), record)

    def holder(self, name: str) -> IssuedCertificate | None:
        """A valid certificate with this name, or one that reads like it."""
        return self._names.get(_alike(name))


@dataclass(frozen=True)
class Desk:
    """Where requests are looked at: one CA folder at one moment."""

    profiles: Mapping[str, ProfileConfig]
    generations: Authorities
    server_key: ServerKey
    certified: Certified
    store: Store
    now: datetime

    def view(self, item: Transaction, *, with_secrets: bool = False) -> View:
        """What there is to see of a request, also of one that cannot be opened or would not be issued. with_secrets:
        also a hash with which passwords can be tested.
        """
        facts = self.about(item)
        notices: list[Notice] = []
        refusal, shown = "", b""
        try:
            remembered = open_remembered(self.server_key, item)
            request = remembered.read()
            proof = possession(item, request)
            if proof == "none":
                notices.append(Notice("no proof", "nobody has proven to have the requested key"))
            facts |= {
                "request SHA-256": WITHHELD if is_guessable(request) and not with_secrets else request.hash.hex(),
                "key": request.key_type,
                "proof": proof,
                "possession": _POSSESSION[proof],
                "signed by": self._signer(item, request),
                "asked for": request_facts(request.subject, request.extensions, request.key_type),
            }
            profile = self._profile(item)
            authority = self.generations.by_identifier(item.authority)
            issuable = as_issued(request, renewed_by(item.approved_by, remembered, self.store), profile)
            made = preview(authority, profile, issuable, now=self.now)
            facts["certificate"] = certificate_facts(made, request.key_type)
            facts["not granted"] = list(_not_granted(made, issuable.extensions, request))
            notices += self._notices(made, key_identity(request.spki))
            # As it would have been when the request came, so that the fingerprint stays the same while it waits.
            shown = preview(authority, profile, issuable, now=item.created).public_bytes(Encoding.DER)
            check_request(profile, issuable)
            check_validity(authority, now=self.now)
            self._check_unique(profile, made)
        except PkixError as error:
            refusal = error.text
        except ValueError:
            refusal = "the certificate cannot be read by this program"
        if refusal:
            notices.insert(0, Notice("would be refused", f"would be refused when issued: {refusal}"))
        fingerprint = _fingerprint(item, shown)
        facts |= {"warnings": [notice.text for notice in notices], "fingerprint": fingerprint}
        return View(facts, notices, refusal, fingerprint)

    def about(self, item: Transaction) -> Facts:
        """What is known without opening the request. Of a renewal, its hash is not."""
        return {
            "id": request_id(item),
            "state": request_state(item),
            "waits for": self._waits_for(item),
            "profile": item.profile,
            "transactionID": item.key.transaction_id,
            "client": item.client or "",
            "subject": item.subject,
            "created": item.created.isoformat(),
            "updated": item.updated.isoformat(),
            "expires": item.expires.isoformat(),
            "renews": item.renews,
            "serial": "" if item.serial is None else f"{item.serial:x}",
            "reason": item.reason,
        }

    def _waits_for(self, item: Transaction) -> str:
        if item.state is State.CHALLENGED:
            return f"the client's proof of possession; authorised by: {item.approved_by or 'nobody yet'}"
        if item.state is not State.AWAITING_APPROVAL:
            return ""
        if item.decision is not Decision.UNDECIDED:
            return "the client, which has not come back since the decision"
        configured = self.profiles.get(item.profile)
        asks = configured is not None and configured.webhook is not None
        return "the webhook, or an operator" if asks else "an operator"

    def _profile(self, item: Transaction) -> Profile:
        if item.profile not in self.profiles:
            raise RequestRefused(f"the profile {item.profile} is not configured any more")
        return self.profiles[item.profile].profile

    def _signer(self, item: Transaction, request: CertificateRequest) -> str:
        if item.key.requester == hashlib.sha256(request.spki).digest():
            return "the requested key"
        record = self.certified.keys.get(item.key.requester)
        known = "a key this CA has not certified" if record is None else f"the key of certificate {_told(record)}"
        return f"{known}; SHA-256 of the key {item.key.requester.hex()}"

    def _notices(self, made: x509.Certificate, key_hash: bytes) -> Iterator[Notice]:
        record = self.certified.keys.get(key_hash)
        if record is not None and record.revoked_at is not None:
            yield Notice("key revoked", f"the key was revoked ({record.reason}): {_told(record)}")
        elif record is not None:
            yield Notice("key certified already", f"the key is certified already: {_told(record)}")
        if not self.certified.complete:
            yield Notice("not all compared", f"it was compared with the newest {MOST_COMPARED} certificates only")
        for name in _names(made):
            yield from self._about_name(name)
        for item in extensions_of(made):
            if isinstance(item.value, x509.ExtendedKeyUsage):
                for usage in item.value:
                    if usage in _SENSITIVE_USAGES:
                        told = f"extendedKeyUsage {usage_name(usage)}: {_SENSITIVE_USAGES[usage]}"
                        yield Notice(usage_name(usage).split()[0], told)
            title, values = extension_facts(item)
            if title == "Microsoft SID":
                yield Notice("Windows account", f"it names a Windows account: {values[0]}")

    def _about_name(self, name: str) -> Iterator[Notice]:
        record = self.certified.holder(name)
        if record is not None:
            yield Notice("name certified already", f"{name} is certified already: {_told(record)}")
        if not name.isascii() or not name.isprintable():
            yield Notice("not ASCII", f"{name} holds characters that may look like others, or like none")
        if "*" in name:
            yield Notice("wildcard", f"{name} holds a wildcard")
        if name != " ".join(name.split()):
            yield Notice("blanks", f"{name} holds more blanks than one sees")

    def _check_unique(self, profile: Profile, made: x509.Certificate) -> None:
        record = self.certified.subjects.get(comparable(made.subject)) if profile.unique_subject else None
        if record is not None:
            raise RequestRefused(f"a valid certificate for this subject exists: serial {record.serial:x}")


def _names(certificate: x509.Certificate) -> list[str]:
    """Its subject, unless empty, and its subjectAltNames, unless they cannot be read, as in one that was imported."""
    subject = name_text(certificate.subject)
    found = [subject] if subject else []
    with contextlib.suppress(Malformed):
        found += sorted(map(rendered, names_of(certificate)))
    return found


def _alike(name: str) -> str:
    """The same for names that people take for the same: case, blanks, what is invisible and the form of letters do not
    count.
    """
    return prepared(name)


def _told(record: IssuedCertificate) -> str:
    return f"{record.serial:x}, {record.subject}, profile {record.profile}, until {record.not_after:%Y-%m-%d}"


def _not_granted(made: x509.Certificate, wanted: x509.Extensions, request: CertificateRequest) -> Iterator[str]:
    """What was asked for and is not in the certificate."""
    yield from not_granted(made, wanted)
    attributes = request.attributes if isinstance(request, CertificationRequest) else ()
    for kind in attributes:
        if kind not in _READ_ATTRIBUTES:
            yield f"attribute {oids.label(kind)}"


def _fingerprint(item: Transaction, certificate: bytes) -> str:
    seen = hashlib.sha256()
    parts = (item.key.protocol, item.key.transaction_id, item.profile, item.authority, item.renews, item.approved_by)
    for part in (*(text.encode() for text in parts), item.key.requester, item.request_hash, certificate):
        seen.update(len(part).to_bytes(4, "big") + part)
    return seen.hexdigest()
