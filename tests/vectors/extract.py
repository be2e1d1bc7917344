"""Take the vectors in this folder out of the packages that publish them, again.

    python tests/vectors/extract.py FOLDER

FOLDER holds the unpacked packages under the names below, as the PROVENANCE files say how to get them. What is taken is
cut down to what the tests need; field names and values stay as published, but for digests, whose names say so.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
RFC_TESTS = "pyasn1_alt_modules-0.4.10/tests"
ML_KEM_CRATE = "ml-kem/tests/examples"
ACVP = "oqs-sys/liboqs/tests/ACVP_Vectors"
KAT = "cryptography_vectors/asymmetric/MLKEM"
SETS = ("ML-KEM-512", "ML-KEM-768", "ML-KEM-1024")
KAT_FIELDS = ("count", "z", "d", "ct", "ss", "ct_n", "ss_n")


def main(folder: Path) -> None:
    """Write every vector file."""
    for name in SETS:
        for suffix in (".pub", "-seed.priv"):
            shutil.copyfile(folder / ML_KEM_CRATE / (name + suffix), HERE / "rfc9935" / (name + suffix))
    private_key = pem_text(folder / RFC_TESTS / "test_rfc9935.py", 1)
    write(HERE / "rfc9935" / "ML-KEM-512-both.priv", armour("PRIVATE KEY", private_key))
    envelope = pem_text(folder / RFC_TESTS / "test_rfc9936.py", 0)
    write(HERE / "rfc9936" / "ML-KEM-512.cms", armour("CMS", envelope))
    write(HERE / "acvp" / "keyGen.json", as_json(key_generation(folder)))
    write(HERE / "acvp" / "decapsulation.json", as_json(decapsulation(folder)))
    for name in SETS:
        source = folder / KAT / f"kat_{name.replace('ML-KEM-', 'MLKEM_')}.rsp"
        write(HERE / "kat" / f"{name}.json", as_json(known_answers(source)))


def write(path: Path, text: str) -> None:
    """One vector file."""
    path.write_text(text, encoding="ascii")


def as_json(value: object) -> str:
    """One line per short value, so that a change shows."""
    return json.dumps(value, indent=1) + "\n"


def pem_text(source: Path, which: int) -> str:
    """The base64 of the n-th example in a test module of pyasn1-alt-modules."""
    found: list[str] = re.findall(r'pem_text = """\\\n(.*?)"""', source.read_text(), re.DOTALL)
    return found[which]


def armour(label: str, base64_lines: str) -> str:
    """PEM, as the RFC prints it."""
    return f"-----BEGIN {label}-----\n{base64_lines}-----END {label}-----\n"


def groups(folder: Path, mode: str) -> list[dict[str, object]]:
    """The test groups of a vector set of NIST's ACVP server."""
    found = json.loads((folder / ACVP / f"ML-KEM-{mode}-FIPS203" / "internalProjection.json").read_text())
    test_groups: list[dict[str, object]] = found["testGroups"]
    return test_groups


def key_generation(folder: Path) -> list[dict[str, object]]:
    """All key generation cases, with the SHA-256 of ek and dk in their place."""
    cases: list[dict[str, object]] = []
    for group in groups(folder, "keyGen"):
        for test in group["tests"]:  # type: ignore[attr-defined]
            digests = {f"{key}_sha256": hashlib.sha256(bytes.fromhex(test[key])).hexdigest() for key in ("ek", "dk")}
            plain = {key: test[key] for key in ("tcId", "d", "z")}
            cases.append({"parameterSet": group["parameterSet"], **plain, **digests})
    return cases


def decapsulation(folder: Path) -> list[dict[str, object]]:
    """The groups of the function decapsulation: one private key each, valid and modified ciphertexts."""
    taken = ("parameterSet", "ek", "dk")
    return [
        {
            **{key: group[key] for key in taken},
            "tests": [
                {key: test[key] for key in ("tcId", "c", "k", "reason")}
                for test in group["tests"]  # type: ignore[attr-defined]
            ],
        }
        for group in groups(folder, "encapDecap")
        if group["function"] == "decapsulation"
    ]


def known_answers(source: Path) -> list[dict[str, str]]:
    """The first three records of a response file, without what follows from d and z."""
    records: list[dict[str, str]] = []
    with source.open() as lines:
        for line in lines:
            key, _, value = line.strip().partition(" = ")
            if key == "count":
                if len(records) == 3:
                    break
                records.append({})
            if key in KAT_FIELDS:
                records[-1][key] = value
    return records


if __name__ == "__main__":
    main(Path(sys.argv[1]))
