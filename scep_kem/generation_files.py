"""The files of one generation of the CA, in its folder: ca, ra-signer, ra-decryption, ra-ml-kem-* as .key.pem and
.cert.pem, and chain.pem. What replaced a pair has another name ("stem"), which the caller knows (`scep_kem.ca_dir`).
The CA's first certificate stays where it was, because it names the generation.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from ca.authority import Authority, KemPair, KeyPair
from kem.keys import encode_public_key
from pkix.certificates import Certificate
from pkix.keys import KEM_KEY_TYPES, spki_of
from scep_kem import files, safety
from scep_kem.errors import UsageError
from scep_kem.kem import public_kem_key

Stems = Mapping[str, str]  # the name of a pair, such as "ra-signer", to that of its files


def write_authority(folder: Path, authority: Authority) -> None:
    """Make the folder of a generation, with all its files. Raises UsageError."""
    files.make_folder(folder)
    write_pair(folder, "ca", authority.ca)
    for name, pair in ra_pairs(authority).items():
        write_pair(folder, name, pair)
    if authority.chain:
        files.write(folder / "chain.pem", files.pem(*authority.chain))


def read_authority(folder: Path, stems: Stems, earlier: Sequence[Stems] = ()) -> Authority:
    """A generation that can do everything. stems: of pairs that were replaced; earlier: of RAs that still open
    envelopes. Raises UsageError.
    """
    found = _with_ra(read_retired(folder, stems), folder, stems)
    if not found.ra_kem and not isinstance((found.ra_decryption or found.ca).key, rsa.RSAPrivateKey):
        raise UsageError(f"{folder} has no RSA or ML-KEM key and certificate to which clients could encrypt")
    return replace(found, earlier=tuple(_earlier(found, folder, items) for items in earlier))


def _with_ra(authority: Authority, folder: Path, stems: Stems) -> Authority:
    """With the RA whose pairs have these names. Raises UsageError."""
    ra_signer, ra_decryption = (_read_pair(folder, pair, stems) for pair in ("ra-signer", "ra-decryption"))
    kems = (_read_kem_pair(folder, f"ra-{kem}", stems) for kem in KEM_KEY_TYPES)
    ra_kem = tuple(pair for pair in kems if pair is not None)
    return replace(authority, ra_signer=ra_signer, ra_decryption=ra_decryption, ra_kem=ra_kem)


def _earlier(authority: Authority, folder: Path, stems: Stems) -> Authority:
    """The authority with an earlier RA; what that did not have or has no more is the present one's."""
    signer, decryption = (
        _read_pair(folder, pair, stems) if pair in stems else None for pair in ("ra-signer", "ra-decryption")
    )
    kems = {kem_name(pair): pair for pair in authority.ra_kem}
    for name in stems:
        if name not in ("ra-signer", "ra-decryption"):
            pair = _read_kem_pair(folder, name, stems)
            kems |= {name: pair} if pair is not None else {}
    return replace(
        authority,
        ra_signer=signer or authority.ra_signer,
        ra_decryption=decryption or authority.ra_decryption,
        ra_kem=tuple(kems.values()),
    )


def read_retired(folder: Path, stems: Stems) -> Authority:
    """A generation without its RA, which can only sign CRLs. Raises UsageError."""
    ca = _read_pair(folder, "ca", stems)
    if ca is None:
        raise UsageError(f"{folder} has no CA certificate and key")
    first = files.read_certificates(_paths(folder, "ca")[1])[0] if "ca" in stems else None
    chain_path = folder / ("chain.pem" if first is None else f"{stems['ca']}.chain.pem")
    chain = tuple(files.read_certificates(chain_path)) if os.path.exists(chain_path) else ()  # noqa: PTH110
    return Authority(ca=ca, chain=chain, first=first)


def write_renewed_ca(folder: Path, stem: str, pair: KeyPair, chain: Sequence[x509.Certificate]) -> None:
    """Another certificate for the CA's key, beside the first one."""
    write_pair(folder, stem, pair)
    if chain:
        files.write(folder / f"{stem}.chain.pem", files.pem(*chain))


def ra_pairs(authority: Authority, only: str | None = None) -> dict[str, KeyPair | KemPair]:
    """The RA's pairs by name: all, or those for "signer", "decryption" or "kem"."""
    found: dict[str, KeyPair | KemPair] = {}
    if authority.ra_signer is not None and only in (None, "signer"):
        found["ra-signer"] = authority.ra_signer
    if authority.ra_decryption is not None and only in (None, "decryption"):
        found["ra-decryption"] = authority.ra_decryption
    if only in (None, "kem"):
        found |= {kem_name(pair): pair for pair in authority.ra_kem}
    return found


def _files_of(folder: Path, name: str, stems: Stems) -> tuple[Path, Path] | None:
    """Of a pair that is there, as one has to be whose files were named. Raises UsageError."""
    key_path, certificate_path = _paths(folder, stems.get(name, name))
    if name not in stems and not os.path.exists(certificate_path):  # noqa: PTH110 - also where we may not look
        return None
    safety.check_secret(key_path)
    return key_path, certificate_path


def _read_pair(folder: Path, name: str, stems: Stems) -> KeyPair | None:
    found = _files_of(folder, name, stems)
    if found is None:
        return None
    key_path, certificate_path = found
    pair = KeyPair(files.read_key(key_path), files.read_certificates(certificate_path)[0])
    check_fits(pair.certificate, certificate_path, spki_of(pair.key), key_path)
    return pair


def _read_kem_pair(folder: Path, name: str, stems: Stems) -> KemPair | None:
    found = _files_of(folder, name, stems)
    if found is None:
        return None
    key_path, certificate_path = found
    pair = KemPair(files.read_kem_key(key_path), files.read_certificates(certificate_path)[0])
    check_fits(pair.certificate, certificate_path, encode_public_key(public_kem_key(pair.key)), key_path)
    return pair


def check_fits(certificate: x509.Certificate, certificate_path: Path, spki: bytes, key_path: Path) -> None:
    """Raise UsageError unless the certificate is for the key. spki: the key's public half, DER."""
    if Certificate.of(certificate).spki != spki:
        raise UsageError(f"the first certificate in {certificate_path} is not for the key in {key_path}")


def write_pair(folder: Path, stem: str, pair: KeyPair | KemPair) -> None:
    """The key first: a certificate without its key would not load."""
    key_path, certificate_path = _paths(folder, stem)
    files.write_key(key_path, pair.key)
    files.write(certificate_path, files.pem(pair.certificate))


def _paths(folder: Path, stem: str) -> tuple[Path, Path]:
    """The files of a key and its certificate."""
    return folder / f"{stem}.key.pem", folder / f"{stem}.cert.pem"


def put_away(folder: Path, stem: str, now: datetime) -> None:
    """Files that nothing reads any more get the moment of withdrawal into their names."""
    targets = _paths(folder, f"{stem}.withdrawn-{now:%Y%m%dT%H%M%SZ}")
    for path, target in zip(_paths(folder, stem), targets, strict=True):
        try:
            path.rename(target)
        except OSError as error:
            raise UsageError(f"withdrawn, but cannot rename {path}: {error.strerror}") from None


def kem_name(pair: KemPair) -> str:
    """The name of an ML-KEM pair."""
    return f"ra-{pair.key.parameter_set.name.lower()}"


def of_ca(stems: Stems) -> Stems:
    """Without those of an RA that is withdrawn."""
    return {name: stem for name, stem in stems.items() if name == "ca"}


def stem_of(title: str, certificate: x509.Certificate) -> str:
    """The name of the files of a pair that has taken another's place."""
    return f"{title}.{hashlib.sha256(files.pem(certificate)).hexdigest()[:16]}"
