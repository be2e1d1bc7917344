"""Bouncy Castle: CMS with ML-KEM and ML-DSA and private keys, both ways, through the driver in this folder.

Each case writes a list of operations, which the driver does in one run.
"""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from interop.kit import examples, install, our_cms
from interop.kit.bench import Bench
from interop.kit.cases import CaseFailed, Missing, Peer, check
from interop.kit.servers import scep_kem
from kem.keys import DecapsulationKey, encode_private_key, encode_public_key
from pkix.keys import dump_private_key, generate
from scep_kem.errors import UsageError
from scep_kem.files import read_any_key, write_key
from scep_kem.kem import new_kem_key, public_kem_key


def _probe() -> str:
    if shutil.which("java") is None:
        raise Missing("java is not installed")
    libraries = install.require_built("bouncycastle") / "lib"
    return " ".join(path.stem for path in libraries.glob("bcpkix-*"))


PEER = Peer(
    name="bouncycastle",
    title="Bouncy Castle from Maven Central",
    folder=Path(__file__).parent,
    probe=_probe,
    install=lambda: install.build_java("bouncycastle"),
    server="none",
)


def _drive(bench: Bench, operations: list[tuple[object, ...]]) -> None:
    """Have the driver do all of it; an operation that fails, fails the case."""
    batch = bench.folder / "operations"
    batch.write_text("".join("\t".join(str(word) for word in line) + "\n" for line in operations))
    command = install.java_command("bouncycastle", "interop.CmsDriver")
    result = bench.run(*command, str(batch), ok=(0, 1), seconds=60)
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAILED")]
    if failed or result.code:
        raise CaseFailed(f"{len(failed)} operations failed, such as: {(failed or [result.text])[0][:300]}")


def _authority(bench: Bench, key_type: str) -> Path:
    """A CA with ML-KEM certificates for the RA; returns the folder of its files."""
    directory = bench.folder / f"ca-{key_type}"
    kems = (word for name in our_cms.parameter_sets() for word in ("--kem", name))
    rsa = key_type.startswith("rsa")
    options = ("--key-type", key_type, "--subject", f"CN={key_type}", *(() if rsa else ("--no-rsa",)), *kems)
    bench.run(scep_kem(), "ca", "init", "--dir", str(directory), *options)
    (generation,) = directory.glob("ca-*")
    return generation


def _variants() -> list[tuple[str, our_cms.Variant]]:
    found = []
    for name in our_cms.parameter_sets():
        more = our_cms.KDF_VARIANTS if name == "ml-kem-768" else ()
        found += [(name, variant) for variant in (*our_cms.BASIC_VARIANTS, *more)]
    return found


@PEER.case("decrypt", "opens our (Auth)EnvelopedData: all sets, both rids, HKDFs, ukm absent, empty, set")
def decrypt(bench: Bench) -> None:
    """Case."""
    files = _authority(bench, "ml-dsa-65")
    operations: list[tuple[object, ...]] = []
    outputs: dict[Path, str] = {}
    for number, (name, variant) in enumerate(_variants()):
        message, out = bench.folder / f"{number}.cms", bench.folder / f"{number}.content"
        message.write_bytes(our_cms.envelop(files / f"ra-{name}.cert.pem", variant))
        operations.append(("open", message, files / f"ra-{name}.key.pem", out))
        outputs[out] = f"{name}, {variant}"
    _drive(bench, operations)
    for out, what in outputs.items():
        check(out.read_bytes() == our_cms.CONTENT, f"{what}: it finds another content")


@PEER.case("encrypt", "we open what it made: all sets, both rids, HKDFs, ukm absent, empty, set, AES-256-GCM")
def encrypt(bench: Bench) -> None:
    """Case."""
    files = _authority(bench, "ml-dsa-65")
    content = bench.folder / "content"
    content.write_bytes(our_cms.CONTENT)
    operations: list[tuple[object, ...]] = []
    messages: list[tuple[Path, str]] = []
    for number, (name, variant) in enumerate(_variants()):
        message = bench.folder / f"{number}.cms"
        ukm = our_cms.UKMS[variant.ukm]
        words = ("gcm" if variant.gcm else "cbc", "key" if variant.by_key else "issuer", variant.kdf)
        last = "-" if ukm is None else ukm.hex() or "empty"
        operations.append(("seal", files / f"ra-{name}.cert.pem", content, message, *words, last))
        messages.append((message, name))
    _drive(bench, operations)
    for message, name in messages:
        our_cms.open_envelope(message.read_bytes(), files / f"ra-{name}.cert.pem", files / f"ra-{name}.key.pem")


@PEER.case("verify", "accepts our SignedData by ML-DSA-44, -65 and -87, signed attributes and SHA-512")
def verify(bench: Bench) -> None:
    """Case."""
    operations: list[tuple[object, ...]] = []
    for name in our_cms.ML_DSA:
        files = _authority(bench, name)
        message = bench.folder / f"{name}.cms"
        message.write_bytes(our_cms.sign(files / "ca.cert.pem", files / "ca.key.pem"))
        operations.append(("verify", message, bench.folder / f"{name}.content"))
    _drive(bench, operations)
    for name in our_cms.ML_DSA:
        check((bench.folder / f"{name}.content").read_bytes() == our_cms.CONTENT, f"{name}: another content")


@PEER.case("sign", "we accept its SignedData by ML-DSA-44, -65 and -87 keys of ours")
def sign(bench: Bench) -> None:
    """Case."""
    content = bench.folder / "content"
    content.write_bytes(our_cms.CONTENT)
    operations: list[tuple[object, ...]] = []
    for name in our_cms.ML_DSA:
        files = _authority(bench, name)
        operations.append(("sign", files / "ca.cert.pem", files / "ca.key.pem", content, bench.folder / f"{name}.cms"))
    _drive(bench, operations)
    for name in our_cms.ML_DSA:
        our_cms.verify((bench.folder / f"{name}.cms").read_bytes())


@PEER.case("kinds", "other content types, signers by key, AuthenticatedData by password: both ways")
def kinds(bench: Bench) -> None:
    """Case."""
    content, password = bench.folder / "content", "a shared secret"
    content.write_bytes(our_cms.CONTENT)
    ec, rsa = _authority(bench, "ec:P-256"), _authority(bench, "rsa:2048")
    signer = (ec / "ca.cert.pem", ec / "ca.key.pem")
    ours = {
        "signed": our_cms.sign_as(*signer),
        "authenticated": our_cms.authenticate(password),
        "enveloped": our_cms.envelop_as(rsa / "ca.cert.pem"),
    }
    for name, message in ours.items():
        (bench.folder / f"{name}.cms").write_bytes(message)
    signed, authenticated, enveloped = (bench.folder / f"{name}.cms" for name in ours)
    outs = [bench.folder / f"{name}.content" for name in ours]
    theirs = [bench.folder / "their-signed.cms", bench.folder / "their-authenticated.cms"]
    kind = our_cms.CONTENT_TYPE.dotted_string
    _drive(
        bench,
        [
            ("verify", signed, outs[0]),
            ("unmac", password, authenticated, outs[1]),
            ("inner", enveloped, rsa / "ca.key.pem", outs[2]),
            ("signas", kind, *signer, content, theirs[0]),
            ("mac", kind, password, content, theirs[1]),
        ],
    )
    for out in outs:
        check(out.read_bytes() == our_cms.CONTENT, f"{out.stem}: it finds another content")
    our_cms.verify_as(theirs[0].read_bytes())
    our_cms.check_authenticated(theirs[1].read_bytes(), password)


@PEER.case("ourkeys", "reads the private keys that we write: ML-KEM in all three forms, ML-DSA")
def ourkeys(bench: Bench) -> None:
    """Case."""
    operations: list[tuple[object, ...]] = []
    for name in our_cms.parameter_sets():
        key = new_kem_key(name)[0]
        expanded = key.expanded_key()
        for made in (
            key,
            DecapsulationKey(key.parameter_set, seed=key.seed, expanded=expanded),
            DecapsulationKey(key.parameter_set, expanded=expanded),
        ):
            path = bench.folder / f"{name}-{made.form.value}.pem"
            path.write_bytes(dump_private_key(made))
            operations.append(("reform", path, path.with_suffix(".der")))
    for name in our_cms.ML_DSA:
        path = bench.folder / f"{name}.pem"
        write_key(path, generate(name))
        operations.append(("reform", path, path.with_suffix(".der")))
    _drive(bench, operations)
    for name in our_cms.parameter_sets():
        seed = read_any_key(bench.folder / f"{name}-seed.pem")
        assert isinstance(seed, DecapsulationKey)
        written = (bench.folder / f"{name}-seed.der").read_bytes()
        check(seed.expanded_key() in written or encode_private_key(seed) in written, f"{name}: another key came back")


@PEER.case("examples", "the draft's: opens every envelope and accepts every SignedData")
def check_examples(bench: Bench) -> None:
    """Case."""
    operations: list[tuple[object, ...]] = []
    contents: dict[Path, tuple[str, bytes]] = {}
    signed, enveloped = examples.signed(), examples.enveloped()
    for item in signed:
        message, out = bench.folder / f"{item.file_name}.signed", bench.folder / f"{item.file_name}.content"
        message.write_bytes(item.message)
        operations.append(("refuse" if item.damaged else "verify", message, out))
        if not item.damaged:
            contents[out] = (item.name, item.content)
    for sealed in enveloped:
        message, out = bench.folder / f"{sealed.file_name}.enveloped", bench.folder / f"{sealed.file_name}.data"
        message.write_bytes(sealed.message)
        operations.append(_opening(message.with_suffix(".pem"), message, sealed, out))
        contents[out] = (sealed.name, sealed.content)
    _drive(bench, operations)
    for out, (name, content) in contents.items():
        check(out.read_bytes() == content, f"{name}: it finds another content")
    bench.note(f"{len(enveloped)} envelopes; {len(signed)} SignedData, one of them refused, as it should be")


def _opening(key: Path, message: Path, sealed: examples.Enveloped, out: Path) -> tuple[object, ...]:
    """The operation that opens an envelope."""
    if sealed.secret is not None:
        return ("openkek", message, sealed.secret[0].hex(), out)
    assert sealed.key is not None
    key.write_bytes(sealed.key)
    return ("open", message, key, out)


@PEER.case("kemkeys", "we read its ML-KEM private keys: both (its default), seed, expandedKey")
def kemkeys(bench: Bench) -> None:
    """Case."""
    forms = {"default": "both", "short": "seed"}
    if "ml-kem-512" in our_cms.parameter_sets():
        forms["long"] = "expandedKey"
    else:
        bench.note("expandedKey without a seed needs the liboqs backend, which is not here")
    for name, form, path in _generate(bench, our_cms.parameter_sets(), tuple(forms)):
        found = _check_key(path)
        check(found == forms[form], f"{name}, {form}: we read it as {found}")


@PEER.case("dsakeys", "we read its ML-DSA private keys: both (its default) and seed; expandedKey is refused")
def dsakeys(bench: Bench) -> None:
    """Case."""
    for name, form, path in _generate(bench, our_cms.ML_DSA, ("default", "short", "long")):
        try:
            _check_key(path)
        except UsageError as error:
            bench.note(f"{name}, {form}: {error}")
            check(form == "long", f"{name}, {form}: {error}")


def _generate(bench: Bench, names: tuple[str, ...], forms: tuple[str, ...]) -> list[tuple[str, str, Path]]:
    """New keys: name, form, and the stem of the files PATH.der and PATH.public."""
    made = [(name, form, bench.folder / f"{name}-{form}") for name in names for form in forms]
    _drive(
        bench,
        [
            ("genkey", name.upper(), form, path.with_suffix(".der"), path.with_suffix(".public"))
            for name, form, path in made
        ],
    )
    return made


def _check_key(path: Path) -> str:
    """Read the key and compare its public half; returns its form. Raises UsageError."""
    der = path.with_suffix(".der").read_bytes()
    pem = path.with_suffix(".pem")
    pem.write_bytes(
        b"-----BEGIN PRIVATE KEY-----\n" + base64.encodebytes(der) + b"-----END PRIVATE KEY-----\n",
    )
    key = read_any_key(pem)
    if isinstance(key, DecapsulationKey):
        form, public = key.form.value, encode_public_key(public_kem_key(key))
    else:
        form = f"{len(der)} octets"
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    check(public == path.with_suffix(".public").read_bytes(), "another public key")
    return form
