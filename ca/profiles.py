"""Profiles: what a certificate of this CA may look like, and what a request may ask for.

A profile refuses what it does not allow, naming it, instead of silently dropping it: a client that asked for a name
and got a certificate without it finds out much later.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from cryptography import x509

from ca.errors import KeyRefused, NamesRefused, UsageRefused
from ca.granted import usage_name
from ca.requests import CertificateRequest
from pkix.attribute_types import attribute_oid, attribute_type
from pkix.certificates import extension_of
from pkix.extensions import find
from pkix.general_names import checked_text, type_label, type_of, with_lower_host
from pkix.keys import KEM_KEY_TYPES, KEY_TYPES
from pkix.microsoft_sid import MICROSOFT_SID, requested_sid, sids_in_uris
from pkix.names import attribute_text, comparable
from pkix.purposes import PURPOSES
from pkix.usages import extended_usages, key_usage, possible_usages, usage_names

KEY_USAGES = (
    "digitalSignature",
    "contentCommitment",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
)

EXTENDED_KEY_USAGES = {
    name: PURPOSES[name]
    for name in ("clientAuth", "serverAuth", "emailProtection", "codeSigning", "smartcardLogon", "ipsecIKE")
}

CA_IN_URL = "{ca}"  # in crl_urls and issuer_urls
COPYABLE = ("subjectAltName", "keyUsage", "extendedKeyUsage", "microsoftSid")
RSA_KINDS = ("rsa", "rsa-pss")  # rsa-pss: id-RSASSA-PSS, which only signs (RFC 4055 section 1.2)
ALL_KEY_TYPES = (*RSA_KINDS, *(kind for kind in KEY_TYPES if not kind.startswith("rsa:")), *KEM_KEY_TYPES)


@dataclass(frozen=True)
class Profile:
    """One way of issuing. Every field is a line of the TOML configuration.

    validity: lifetime of a certificate, cut at the CA certificate's end. backdate: how far notBefore lies before
    the moment of issuing, for clients with slow clocks (10 hours by default: Windows machines were seen 9 h off).
    key_types: of ALL_KEY_TYPES; RSA within min_rsa_bits and max_rsa_bits. RSA_KINDS with a size, as in rsa:3072, too.
    key_usage: one or more names of KEY_USAGES; those that a key cannot have are left out for it, and one that can have
    none of them is refused. ML-KEM keys always get keyEncipherment alone.
    extended_key_usage: names of EXTENDED_KEY_USAGES or dotted OIDs.
    required_subject, allowed_subject: attributes the subject must, or may only, have (empty: no rule), as
    `pkix.attribute_types.attribute_oid` reads them.
    subject_patterns, san_patterns: regular expressions that every value of that attribute or SAN type must match
    as a whole, as `pkix.names.attribute_text` and `pkix.general_names.checked_text` write it, a host name in it in
    lower case (`with_lower_host`); case makes no difference in a dns or upn one. san_types: the kinds of subjectAltName
    a request may ask for, as `pkix.general_names.is_san_type` knows them. allow_empty_subject: accept no subject.
    copy_extensions: which requested extensions go into the certificate (COPYABLE); others are ignored, but without
    microsoftSid, a Microsoft SID in a URI of the subjectAltName is refused.
    crl_urls, issuer_urls: put into CRL Distribution Points and Authority Information Access, with the short identifier
    of the CA that issues in place of CA_IN_URL.
    unique_subject: refuse while a valid certificate for the same subject exists (RFC 8894 figure 12).
    renewal_window: how long before its end a certificate may be renewed, None for any time.
    """

    name: str = "default"
    validity: timedelta = timedelta(days=365)
    backdate: timedelta = timedelta(hours=10)
    key_types: tuple[str, ...] = ALL_KEY_TYPES
    min_rsa_bits: int = 2048
    max_rsa_bits: int = 4096
    key_usage: tuple[str, ...] = ("digitalSignature", "keyEncipherment")
    extended_key_usage: tuple[str, ...] = ("clientAuth",)
    required_subject: tuple[str, ...] = ()
    allowed_subject: tuple[str, ...] = ()
    subject_patterns: Mapping[str, str] = field(default_factory=dict)
    allow_empty_subject: bool = False
    san_types: tuple[str, ...] = ("dns", "email", "ip", "uri", "upn")
    san_patterns: Mapping[str, str] = field(default_factory=dict)
    copy_extensions: tuple[str, ...] = ("subjectAltName", "microsoftSid")
    crl_urls: tuple[str, ...] = ()
    issuer_urls: tuple[str, ...] = ()
    unique_subject: bool = False
    renewal_window: timedelta | None = None

    def __post_init__(self) -> None:
        if not self.key_usage or not set(self.key_usage) <= set(KEY_USAGES):
            raise ValueError(f"key_usage is not one or more of {', '.join(KEY_USAGES)}")


def check_request(profile: Profile, request: CertificateRequest) -> None:
    """Check key, subject, subjectAltName, Microsoft SID and usages against the profile. Raises KeyRefused,
    NamesRefused, UsageRefused, and Malformed or AlgorithmRefused for a request that cannot be read.
    """
    _check_key(profile, request)
    _check_subject(profile, request.subject)
    names = requested_san(request)
    if not len(request.subject) and names is None:
        raise NamesRefused("the request has neither subject nor subjectAltName (RFC 5280 section 4.1.2.6)")
    _check_san(profile, names, request.what)
    requested_sid(request.extensions, request.what)
    copied = profile.copy_extensions
    if "subjectAltName" in copied and "microsoftSid" not in copied and sids_in_uris(request.extensions, request.what):
        raise NamesRefused("a subjectAltName URI with a Microsoft SID is not allowed")
    _key_usage(profile, request)
    _extended_key_usage(profile, request)


def check_subject_is_free(request: CertificateRequest, ours: Collection[str]) -> None:
    """Refuse a subject or directoryName that is the CA's own or an RA's, in whatever spelling: its certificate could
    pass for theirs.

    ours: their names, `pkix.names.comparable`. Raises NamesRefused, Malformed.
    """
    others = (item.value for item in requested_san(request) or () if isinstance(item, x509.DirectoryName))
    if any(len(item) and comparable(item) in ours for item in (request.subject, *others)):
        raise NamesRefused("the requested subject is a name of this CA")


def _check_key(profile: Profile, request: CertificateRequest) -> None:
    kind, _, bits = request.key_type.partition(":")
    if kind in RSA_KINDS:
        if not profile.min_rsa_bits <= int(bits) <= profile.max_rsa_bits:
            raise KeyRefused(
                f"an RSA key of {bits} bits; profile {profile.name} issues for "
                f"{profile.min_rsa_bits} to {profile.max_rsa_bits}"
            )
    else:
        kind = request.key_type
    if kind not in profile.key_types and request.key_type not in profile.key_types:
        raise KeyRefused(f"a key of type {kind}; profile {profile.name} issues for {', '.join(profile.key_types)}")


def _check_subject(profile: Profile, subject: x509.Name) -> None:
    if not len(subject) and not profile.allow_empty_subject:
        raise NamesRefused("the request has no subject, which this profile asks for")
    for word in profile.required_subject:
        if not subject.get_attributes_for_oid(attribute_oid(word)):
            raise NamesRefused(f"the subject has no {word}")
    if profile.allowed_subject:
        allowed = {attribute_oid(word) for word in profile.allowed_subject}
        for attribute in subject:
            if attribute.oid not in allowed:
                raise NamesRefused(
                    f"the subject attribute {attribute_type(attribute.oid).keyword} is not allowed; "
                    f"this profile allows {', '.join(profile.allowed_subject)}"
                )
    for word, pattern in profile.subject_patterns.items():
        for attribute in subject.get_attributes_for_oid(attribute_oid(word)):
            if not re.fullmatch(pattern, attribute_text(attribute)):
                raise NamesRefused(f"the subject's {word} does not have the form this profile asks for")


def _check_san(profile: Profile, names: x509.SubjectAlternativeName | None, whose: str) -> None:
    if names is not None and not list(names):
        raise NamesRefused("the requested subjectAltName holds no name (RFC 5280 section 4.2.1.6)")
    for name in names or ():
        kind = type_of(name)
        if kind not in profile.san_types:
            allowed = ", ".join(profile.san_types) or "none"
            raise NamesRefused(
                f"a subjectAltName of type {type_label(name)} is not allowed; this profile allows {allowed}"
            )
        value = checked_text(name, whose)
        pattern = profile.san_patterns.get(kind)
        # A host name is the same in upper case, so a pattern that leaves one out must not be passed by writing it so.
        flags = re.IGNORECASE if kind in ("dns", "upn") else re.NOFLAG
        if pattern is not None and not re.fullmatch(pattern, with_lower_host(kind, value), flags):
            raise NamesRefused(
                f"a subjectAltName of type {type_label(name)} does not have the form this profile asks for"
            )


def requested_san(request: CertificateRequest) -> x509.SubjectAlternativeName | None:
    """The requested subjectAltName, or None. Raises Malformed if it cannot be read."""
    return find(request.extensions, x509.SubjectAlternativeName)


def extensions_for(
    profile: Profile, request: CertificateRequest, *, ca: str
) -> list[x509.Extension[x509.ExtensionType]]:
    """The subject-dependent extensions of the certificate: names, usages, Microsoft SID, CRLDP, AIA.

    Raises UsageRefused when a copied usage is wider than the profile's.
    """
    found = [extension(key_usage(_key_usage(profile, request)), critical=True)]
    usages = _extended_key_usage(profile, request)
    if usages:
        found.append(extension(x509.ExtendedKeyUsage(usages)))
    san = requested_san(request)
    if san is not None and "subjectAltName" in profile.copy_extensions:
        # RFC 5280 section 4.2.1.6: critical when there is no subject.
        found.append(extension(san, critical=not len(request.subject)))
    if "microsoftSid" in profile.copy_extensions:
        sid = requested_sid(request.extensions, request.what)
        found.extend([sid] if sid is not None else [])
    if profile.crl_urls:
        points = [
            x509.DistributionPoint([x509.UniformResourceIdentifier(url.replace(CA_IN_URL, ca))], None, None, None)
            for url in profile.crl_urls
        ]
        found.append(extension(x509.CRLDistributionPoints(points)))
    if profile.issuer_urls:
        descriptions = [
            x509.AccessDescription(
                x509.oid.AuthorityInformationAccessOID.CA_ISSUERS,
                x509.UniformResourceIdentifier(url.replace(CA_IN_URL, ca)),
            )
            for url in profile.issuer_urls
        ]
        found.append(extension(x509.AuthorityInformationAccess(descriptions)))
    return found


def extension(value: x509.ExtensionType, *, critical: bool = False) -> x509.Extension[x509.ExtensionType]:
    """An extension with its own OID."""
    return x509.Extension(value.oid, critical, value)


def _key_usage(profile: Profile, request: CertificateRequest) -> frozenset[str]:
    """One or more bits, all of which the key's algorithm has (RFC 5280 section 4.2.1.3). Raises UsageRefused for a
    request that asks for another set, or for a key that can have nothing of what the profile gives.
    """
    possible = possible_usages(request.key_type)
    if request.is_kem:
        if usage_names(request.extensions) not in (None, possible):
            raise UsageRefused(
                "the requested keyUsage of an ML-KEM key is not keyEncipherment alone (RFC 9935 section 5)"
            )
        return possible
    given = frozenset(profile.key_usage)
    requested = usage_names(request.extensions) if "keyUsage" in profile.copy_extensions else None
    if requested is not None:
        return _requested_usage(requested, given, possible, request.key_type)
    if not given & possible:
        raise UsageRefused(
            f"profile {profile.name} gives the keyUsage {', '.join(sorted(given))}, "
            f"which a key of type {request.key_type} cannot have"
        )
    return given & possible


def _requested_usage(
    requested: frozenset[str], given: frozenset[str], possible: frozenset[str], key_type: str
) -> frozenset[str]:
    """The requested bits, all or none of them."""
    if not requested:
        raise UsageRefused("the requested keyUsage has no bit (RFC 5280 section 4.2.1.3)")
    if requested - given:
        raise UsageRefused(f"the requested keyUsage {', '.join(sorted(requested - given))} is not allowed")
    if requested - possible:
        foreign = ", ".join(sorted(requested - possible))
        raise UsageRefused(f"the requested keyUsage {foreign} is nothing that a key of type {key_type} can have")
    return requested


def purposes(profile: Profile) -> list[x509.ObjectIdentifier]:
    """The extended key usages that the profile gives."""
    return [EXTENDED_KEY_USAGES.get(name) or x509.ObjectIdentifier(name) for name in profile.extended_key_usage]


def _extended_key_usage(profile: Profile, request: CertificateRequest) -> list[x509.ObjectIdentifier]:
    """Raises UsageRefused when the request asks for more than the profile allows."""
    allowed = purposes(profile)
    chosen = allowed
    if "extendedKeyUsage" in profile.copy_extensions:
        requested = extended_usages(request.extensions)
        chosen = allowed if requested is None else requested
        wider = [usage_name(usage) for usage in chosen if usage not in allowed]
        if wider:
            raise UsageRefused(f"the requested extendedKeyUsage {', '.join(wider)} is not allowed")
    return list(dict.fromkeys(chosen))


def microsoft_sids(extensions: x509.Extensions) -> list[bytes]:
    """The contents of the extension that names a Windows account."""
    return [item.value.public_bytes() for item in extensions if item.oid == MICROSOFT_SID]


def names_of(certificate: x509.Certificate) -> set[x509.GeneralName]:
    """The subjectAltNames of a certificate; the empty set if it has none. Raises Malformed if they cannot be read."""
    return set(extension_of(certificate, x509.SubjectAlternativeName) or ())
