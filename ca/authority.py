"""The signing side of the CA: making authorities, issuing certificates (RFC 5280).

An `Authority` is one generation of the CA: its certificate and key, its chain, who signs protocol answers and whose
key opens envelopes. A CA before, during and after a rollover is several of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property, partial

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from ca.constraints import check_constraints, permitted_subject
from ca.errors import RequestRefused
from ca.profiles import Profile, extension, extensions_for
from ca.requests import CertificateRequest
from ca.store import IssuedCertificate
from kem.backends import Backends
from kem.keys import DecapsulationKey, EncapsulationKey, encode_public_key
from pkix.certificate_builder import Contents, encode_certificate
from pkix.certificates import Certificate, extension_of, key_identifier
from pkix.identities import Identity, RsaIdentity
from pkix.kem_recipients import KemIdentity
from pkix.keys import generate, key_type_of, spki_of
from pkix.names import comparable, name_text
from pkix.signatures import SigningKey
from pkix.signed_data import Signer
from pkix.times import THIS_CA, clock, minute, outside
from pkix.usages import CMC_RA, key_usage, possible_usages

RandomBytes = Callable[[int], bytes]

CA_VALIDITY = timedelta(days=3650)
RA_VALIDITY = timedelta(days=1825)
BACKDATE = timedelta(days=1)
_NOBODY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))  # signs what must not be believed


@dataclass(frozen=True)
class KeyPair:
    """A private key and its certificate."""

    key: SigningKey
    certificate: x509.Certificate

    def __repr__(self) -> str:
        return f"KeyPair(key=<redacted>, subject={name_text(self.certificate.subject)!r})"


@dataclass(frozen=True)
class KemPair:
    """An ML-KEM private key and its certificate."""

    key: DecapsulationKey
    certificate: x509.Certificate

    def __repr__(self) -> str:
        return f"KemPair(key=<redacted>, subject={name_text(self.certificate.subject)!r})"


@dataclass(frozen=True)
class Authority:
    """ca: signs certificates and CRLs. chain: its issuers, nearest first, without the CA itself; empty for a root.

    ra_signer: signs answers instead of the CA. ra_decryption: its RSA key opens envelopes instead of the CA's.
    ra_kem: ML-KEM keys that open envelopes, one for each parameter set.
    first: the first certificate of the CA's key, if `ca` has another one, by which its issuer renewed it.
    earlier: this CA with the RA that a renewal has followed by another, the latest first. Whoever has an old answer to
    GetCACert encrypts to it, and believes its signer.
    """

    ca: KeyPair
    chain: tuple[x509.Certificate, ...] = ()
    ra_signer: KeyPair | None = None
    ra_decryption: KeyPair | None = None
    ra_kem: tuple[KemPair, ...] = ()
    first: x509.Certificate | None = None
    earlier: tuple[Authority, ...] = ()

    @cached_property
    def identifier(self) -> str:
        """SHA-256 of the DER of the first certificate of the CA's key, 64 hex digits.

        Name and key make an issuer, so what it has issued, its CRL and the URLs of both stay with it when its
        certificate is renewed (RFC 5280 section 5.2).
        """
        return _sha256(self.first or self.ca.certificate)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the CA certificate's DER, 64 hex digits (RFC 8894 section 2.2)."""
        return _sha256(self.ca.certificate)

    @property
    def ra_sets(self) -> tuple[Authority, ...]:
        """This CA with each RA whose keys still open envelopes, the current first."""
        return (self, *self.earlier)

    @property
    def short_identifier(self) -> str:
        """16 hex digits by which people, files and URLs name this generation."""
        return self.identifier[:16]

    @cached_property
    def certificate(self) -> Certificate:
        """The CA certificate as CMS sees it."""
        return Certificate.of(self.ca.certificate)

    @cached_property
    def names(self) -> frozenset[str]:
        """The subjects of the CA, its chain and its RAs, as they compare: nobody else may have them."""
        ours = [item for ra in self.ra_sets for _role, item in ra.by_role]
        return frozenset(comparable(item.subject) for item in (*ours, *self.chain))

    @cached_property
    def key_identifier(self) -> x509.Extension[x509.ExtensionType]:
        """The authorityKeyIdentifier of what the CA signs."""
        return extension(_authority_key_identifier(self.ca.certificate))

    @cached_property
    def signer(self) -> Signer:
        """Who signs answers."""
        pair = self.ra_signer or self.ca
        return Signer(pair.key, Certificate.of(pair.certificate))

    @cached_property
    def ca_signer(self) -> Signer:
        """The CA key itself, which signs GetNextCACert (RFC 8894 section 4.7.1)."""
        return Signer(self.ca.key, self.certificate)

    def identities(self, backends: Backends) -> list[Identity]:
        """Who opens envelopes: the RA's or the CA's RSA key, if there is one, and the RA's ML-KEM keys."""
        found: list[Identity] = []
        pair = self.ra_decryption or self.ca
        if isinstance(pair.key, rsa.RSAPrivateKey):
            found.append(RsaIdentity(Certificate.of(pair.certificate), pair.key))
        for kem in self.ra_kem:
            certificate = Certificate.of(kem.certificate)
            found.append(
                KemIdentity(
                    kem=kem.key.parameter_set.oid,
                    decapsulate=partial(backends.decapsulate, kem.key),
                    certificate=certificate,
                    key_identifier=certificate.subject_key_identifier,
                )
            )
        return found

    @property
    def by_role(self) -> list[tuple[str, x509.Certificate]]:
        """Who is who: the CA's and the RA's certificates under their names for people, without the chain."""
        found = [("CA", self.ca), ("RA signer", self.ra_signer), ("RA decryption", self.ra_decryption)]
        named = [(role, pair.certificate) for role, pair in found if pair is not None]
        return named + [(f"RA {pair.key.parameter_set}", pair.certificate) for pair in self.ra_kem]

    def certificates(self, *, kem: bool = True) -> tuple[bytes, ...]:
        """DER of all certificates a client needs: RA signer, RA decryption, CA, chain, RA ML-KEM (unless not `kem`).

        ML-KEM comes last, so that what was there before keeps its place: sscep's users know certificates by number.
        """
        pairs = [pair.certificate for pair in (self.ra_signer, self.ra_decryption) if pair is not None]
        kems = [pair.certificate for pair in self.ra_kem] if kem else []
        return tuple(item.public_bytes(Encoding.DER) for item in (*pairs, self.ca.certificate, *self.chain, *kems))


def _sha256(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def new_serial(random: RandomBytes) -> int:
    """A positive serial number of exactly 20 octets, 158 of its bits random (RFC 5280 section 4.1.2.2)."""
    octets = bytearray(random(20))
    octets[0] = octets[0] & 0x7F | 0x40
    return int.from_bytes(octets, "big")


def create_authority(
    subject: x509.Name,
    key_type: str,
    *,
    ra_key_type: str | None,
    now: datetime,
    random: RandomBytes,
    ca: KeyPair | None = None,
    chain: Sequence[x509.Certificate] = (),
    ra_kem: Sequence[tuple[DecapsulationKey, EncapsulationKey]] = (),
    rsa_decryption: bool = True,
    generate_key: Callable[[str], SigningKey] = generate,
) -> Authority:
    """A new authority, or RA certificates for an existing `ca`.

    ra_key_type: make an RA signer with this type of key; None lets the CA sign answers. ra_kem: ML-KEM keys for the RA.
    rsa_decryption: an RA certificate with an RSA key is made whenever there is an RA signer or the CA's key is not RSA;
    without it, only clients that speak ML-KEM can enrol. generate_key: a new private key of a type of KEY_TYPES, asked
    for the CA's key, the RA signer's and the RA's for decryption, in this order. Raises NamesRefused if the name
    constraints of the CA or its issuers leave no name for an RA.
    """
    pair = ca or _create_root(subject, generate_key(key_type), now, random)
    alone = Authority(ca=pair, chain=tuple(chain))
    separate = rsa_decryption and (ra_key_type is not None or not isinstance(pair.key, rsa.RSAPrivateKey))
    return replace(
        alone,
        ra_signer=create_ra(alone, generate_key(ra_key_type), "digitalSignature", now, random) if ra_key_type else None,
        ra_decryption=create_ra(alone, generate_key("rsa:2048"), "keyEncipherment", now, random) if separate else None,
        ra_kem=tuple(create_ra_kem(alone, private, public, now=now, random=random) for private, public in ra_kem),
    )


def create_ra_kem(
    by: Authority, private: DecapsulationKey, public: EncapsulationKey, *, now: datetime, random: RandomBytes
) -> KemPair:
    """An RA certificate for an ML-KEM key; its keyUsage is keyEncipherment alone (RFC 9935 section 5). Raises
    NamesRefused.
    """
    role = f"RA {public.parameter_set.name}"
    return KemPair(private, _ra_certificate(by, encode_public_key(public), "keyEncipherment", role, now, random))


def _create_root(subject: x509.Name, key: SigningKey, now: datetime, random: RandomBytes) -> KeyPair:
    """RFC 8894 section 2.1.2: keyUsage says digitalSignature, and keyEncipherment when the key can decrypt."""
    wanted = {"keyCertSign", "cRLSign", "digitalSignature", "keyEncipherment"}
    usages = wanted & possible_usages(key_type_of(key.public_key()))
    name, spki = subject.public_bytes(), spki_of(key)
    contents = Contents(
        serial_number=new_serial(random),
        issuer=name,
        subject=name,
        spki=spki,
        not_before=now - BACKDATE,
        not_after=now + CA_VALIDITY,
        extensions=[
            extension(x509.BasicConstraints(ca=True, path_length=None), critical=True),
            extension(key_usage(usages), critical=True),
            extension(x509.SubjectKeyIdentifier(key_identifier(spki))),
        ],
    )
    return KeyPair(key, x509.load_der_x509_certificate(encode_certificate(contents, key)))


def create_ra(by: Authority, key: SigningKey, usage: str, now: datetime, random: RandomBytes) -> KeyPair:
    """An RA certificate; usage: digitalSignature for who signs answers, keyEncipherment for who opens envelopes. Raises
    NamesRefused.
    """
    role = "RA signer" if usage == "digitalSignature" else "RA decryption"
    return KeyPair(key, _ra_certificate(by, spki_of(key), usage, role, now, random))


def _common_name(text: str) -> x509.RelativeDistinguishedName:
    return x509.RelativeDistinguishedName([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _ra_certificate(
    by: Authority, spki: bytes, usage: str, role: str, now: datetime, random: RandomBytes
) -> x509.Certificate:
    issuer = by.ca.certificate
    common_names = issuer.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    name = f"{str(common_names[0].value) if common_names else 'CA'} {role}"[:64]
    contents = Contents(
        serial_number=new_serial(random),
        issuer=issuer.subject.public_bytes(),
        subject=permitted_subject((issuer, *by.chain), _common_name(name)).public_bytes(),
        spki=spki,
        not_before=max(now - BACKDATE, issuer.not_valid_before_utc),
        not_after=min(now + RA_VALIDITY, issuer.not_valid_after_utc),
        extensions=[
            extension(x509.BasicConstraints(ca=False, path_length=None), critical=True),
            extension(key_usage({usage}), critical=True),
            # What tells an RA from a device that this CA certified (RFC 10002)
            extension(x509.ExtendedKeyUsage([CMC_RA])),
            extension(x509.SubjectKeyIdentifier(key_identifier(spki))),
            by.key_identifier,
        ],
    )
    return x509.load_der_x509_certificate(encode_certificate(contents, by.ca.key))


def check_validity(authority: Authority, *, now: datetime) -> None:
    """Raise RequestRefused unless the certificates of the CA and of who signs its answers are valid: a client would
    believe neither the certificate nor the answer that brings it.
    """
    for role, certificate in authority.by_role:
        if role in ("CA", "RA signer"):
            check_current(role, certificate, now=now)


def check_current(role: str, certificate: x509.Certificate, *, now: datetime) -> None:
    """Raise RequestRefused unless a certificate of the CA or its RA is valid."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        raise RequestRefused(f"the {role} certificate is not valid yet: {outside(begin, end, now, THIS_CA)}")
    if end < now:
        when = f"on {minute(end)}, and {clock(now, THIS_CA)}"
        raise RequestRefused(f"the {role} certificate has expired {when}; its operator has to renew it")


def contents_of(
    authority: Authority, profile: Profile, request: CertificateRequest, *, now: datetime, serial_number: int
) -> Contents:
    """What a certificate for the request holds, issued at `now`. Raises RequestRefused for usages wider than the
    profile's, and for what the CA's own certificate does not let it certify.
    """
    ca = authority.ca.certificate
    extensions = extensions_for(profile, request, ca=authority.short_identifier)
    check_constraints((ca, *authority.chain), request.subject, extensions)
    return Contents(
        serial_number=serial_number,
        issuer=authority.certificate.subject,
        subject=request.subject_der,
        spki=request.spki,
        not_before=max(now - profile.backdate, ca.not_valid_before_utc),
        not_after=min(now + profile.validity, ca.not_valid_after_utc),
        extensions=[
            extension(x509.BasicConstraints(ca=False, path_length=None), critical=True),
            extension(x509.SubjectKeyIdentifier(key_identifier(request.spki))),
            authority.key_identifier,
            *extensions,
        ],
    )


def issue(
    authority: Authority, profile: Profile, request: CertificateRequest, *, now: datetime, random: RandomBytes
) -> IssuedCertificate:
    """Sign a certificate for a request that has been checked and authorised; the caller records it in the Store.

    request: of a renewal, as `ca.renewal.as_issued` has it. Raises RequestRefused as `check_validity` and `contents_of`
    do.
    """
    check_validity(authority, now=now)
    contents = contents_of(authority, profile, request, now=now, serial_number=new_serial(random))
    return IssuedCertificate(
        authority=authority.identifier,
        serial=contents.serial_number,
        der=encode_certificate(contents, authority.ca.key),
        subject=request.subject_text,
        spki_hash=hashlib.sha256(request.spki).digest(),
        profile=profile.name,
        not_before=contents.not_before,
        not_after=contents.not_after,
    )


def preview(authority: Authority, profile: Profile, request: CertificateRequest, *, now: datetime) -> x509.Certificate:
    """The certificate that `issue` would sign, with serial number 1 and a signature of a key that everybody knows.

    For whoever decides about a request. Deterministic. Raises RequestRefused as `contents_of` does.
    """
    contents = contents_of(authority, profile, request, now=now, serial_number=1)
    return x509.load_der_x509_certificate(encode_certificate(contents, _NOBODY))


def _authority_key_identifier(ca: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """From the CA's own subjectKeyIdentifier, which an imported CA may have made in its own way. Raises Malformed."""
    found = extension_of(ca, x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier(
        key_identifier(Certificate.of(ca).spki) if found is None else found.digest, None, None
    )
