"""Private keys in PKCS #8, both ways: ML-KEM (RFC 9935 section 6) and ML-DSA (RFC 9881 section 6) in their forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from interop.kit import our_cms
from interop.kit.bench import Bench
from interop.kit.cases import CaseFailed, Peer, check
from kem.keys import DecapsulationKey, encode_public_key
from pkix.certificates import Certificate
from scep_kem.errors import UsageError
from scep_kem.files import read_any_key, write_key, write_pkcs12
from scep_kem.kem import new_kem_key, public_kem_key

if TYPE_CHECKING:
    from interop.openssl.cases import Openssl

# Names of OpenSSL's output_formats for the three alternatives of the RFCs; the first is its default.
FORMS = {"seed-priv": "both", "seed-only": "seed", "priv-only": "expandedKey"}


def register_keys(peer: Peer, start: Callable[[Bench], Openssl]) -> None:
    """Add the cases to a peer."""

    @peer.case("kemkeys", "we read ML-KEM keys of genpkey in the forms both, seed, expandedKey; -pubout agrees")
    def kemkeys(bench: Bench) -> None:
        openssl = start(bench)
        for name in our_cms.parameter_sets():
            for form in FORMS:
                if form == "priv-only" and "ml-kem-512" not in our_cms.parameter_sets():
                    bench.note("expandedKey without a seed needs the liboqs backend, which is not here")
                    continue
                _check_read(openssl, name, "ml-kem", form)

    @peer.case("dsakeys", "we read ML-DSA keys of genpkey in the forms both and seed; expandedKey is refused")
    def dsakeys(bench: Bench) -> None:
        openssl = start(bench)
        for name in our_cms.ML_DSA:
            for form in ("seed-priv", "seed-only"):
                _check_read(openssl, name, "ml-dsa", form)
            try:
                _check_read(openssl, name, "ml-dsa", "priv-only")
            except CaseFailed as error:
                bench.note(str(error))

    @peer.case("ourkeys", "pkey -text reads the ML-KEM keys that we write, in all forms, and finds our public key")
    def ourkeys(bench: Bench) -> None:
        openssl = start(bench)
        for name in our_cms.parameter_sets():
            key = new_kem_key(name)[0]
            expanded = key.expanded_key()
            for made in (
                key,
                DecapsulationKey(key.parameter_set, seed=key.seed, expanded=expanded),
                DecapsulationKey(key.parameter_set, expanded=expanded),
            ):
                path = openssl.file("ours.pem")
                write_key(path, made)
                shown = openssl("pkey", "-in", path, "-noout", "-text").stdout
                check(name.upper() in shown, f"openssl does not say {name.upper()}")
                check(_public(openssl, path) == encode_public_key(public_kem_key(key)), "another public key")

    @peer.case("pkcs12", "pkcs12 verifies the PBMAC1 (RFC 9579) of our files, and refuses them under another password")
    def pkcs12(bench: Bench) -> None:
        openssl = start(bench)
        path = openssl.file("ours.p12")
        authority = Certificate.of(bench.server.authority)
        for name in our_cms.parameter_sets():
            write_pkcs12(path, new_kem_key(name)[0], authority, [], b"right")
            shown = openssl("pkcs12", "-in", path, "-nodes", "-passin", "pass:right").stdout
            check("BEGIN PRIVATE KEY" in shown and "BEGIN CERTIFICATE" in shown, f"no key or certificate of {name}")
            openssl("pkcs12", "-in", path, "-nodes", "-passin", "pass:wrong", ok=(1,))


def _check_read(openssl: Openssl, name: str, kind: str, form: str) -> None:
    path = openssl.file(f"{name}-{form}.pem")
    openssl("genpkey", "-algorithm", name.upper(), "-provparam", f"{kind}.output_formats={form}", "-out", path)
    try:
        key = read_any_key(path)
    except UsageError as error:
        raise CaseFailed(f"{name}, form {FORMS[form]}: {error}") from error
    if isinstance(key, DecapsulationKey):
        check(key.form.value == FORMS[form], f"{name}: form {key.form.value} instead of {FORMS[form]}")
        ours = encode_public_key(public_kem_key(key))
    else:
        ours = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    check(_public(openssl, path) == ours, f"{name}, form {FORMS[form]}: another public key")


def _public(openssl: Openssl, key: Path) -> bytes:
    out = openssl.file("public.der")
    openssl("pkey", "-in", key, "-pubout", "-outform", "DER", "-out", out)
    return out.read_bytes()
