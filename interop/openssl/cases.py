"""The OpenSSL cases, for any installation in a Debian root."""

from __future__ import annotations

import shutil
from pathlib import Path

from interop.kit import examples, our_cms
from interop.kit.bench import Bench
from interop.kit.cases import NotToBeHad, Peer, check
from interop.kit.certs import read_certificate
from interop.kit.process import Result
from interop.kit.roots import DebianRoot
from interop.kit.servers import scep_kem
from interop.openssl.keys import register_keys
from kem.keys import decode_public_key
from pkix.certificates import Certificate


class Openssl:
    """One case's openssl: a folder in the root, files in it, and a CA of ours with ML-DSA and every ML-KEM there is."""

    def __init__(self, root: DebianRoot, bench: Bench) -> None:
        self.root, self.bench = root, bench
        self.folder = root.fresh_folder(bench.folder.parent.name)

    def __call__(self, *arguments: str | Path, ok: tuple[int, ...] = (0,)) -> Result:
        """Run `openssl ARGUMENTS`; a Path stands for the file as openssl sees it."""
        words = (self.root.seen(item) if isinstance(item, Path) else item for item in arguments)
        return self.bench.run(*self.root.command("openssl", *words), ok=ok)

    def file(self, name: str, data: bytes | None = None) -> Path:
        """A file of this name, written if there is something to write."""
        path = self.folder / name
        if data is not None:
            path.write_bytes(data)
        return path

    def authority(self, key_type: str) -> Path:
        """Make a CA with this type of key and ML-KEM certificates for the RA; returns the folder of its files."""
        directory = self.folder / f"ca-{key_type}"
        kems = (word for name in our_cms.parameter_sets() for word in ("--kem", name))
        options = ("--key-type", key_type, "--subject", f"CN={key_type}", "--no-rsa", *kems)
        self.bench.run(scep_kem(), "ca", "init", "--dir", str(directory), *options)
        (generation,) = directory.glob("ca-*")
        return generation


def register(peer: Peer, root: DebianRoot, *, has_kemri: bool) -> None:
    """Add the cases to a peer."""
    _register_envelopes(peer, root, has_kemri=has_kemri)
    _register_signatures(peer, root)
    _register_certificates(peer, root)
    register_keys(peer, lambda bench: Openssl(root, bench))
    _register_examples(peer, root, has_kemri=has_kemri)


def _register_envelopes(peer: Peer, root: DebianRoot, *, has_kemri: bool) -> None:
    @peer.case("decrypt", "cms -decrypt opens our (Auth)EnvelopedData: sets, rids, HKDFs, ukm absent, empty, there")
    def decrypt(bench: Bench) -> None:
        _need(has_kemri)
        openssl = Openssl(root, bench)
        files = openssl.authority("ml-dsa-65")
        for name in our_cms.parameter_sets():
            more = our_cms.KDF_VARIANTS if name == "ml-kem-768" else ()
            for variant in (*our_cms.BASIC_VARIANTS, *more):
                _check_decrypt(openssl, files / f"ra-{name}", variant)
            bench.note(f"{name}: {len(our_cms.BASIC_VARIANTS) + len(more)} messages")

    @peer.case("encrypt", "we open what cms -encrypt made: the same, no empty ukm; -keyid, -recip_kdf, -recip_ukm")
    def encrypt(bench: Bench) -> None:
        _need(has_kemri)
        openssl = Openssl(root, bench)
        files = openssl.authority("ml-dsa-65")
        for name in our_cms.parameter_sets():
            # -recip_ukm does not take an empty value.
            more = [item for item in our_cms.KDF_VARIANTS if name == "ml-kem-768" and item.ukm != "empty ukm"]
            for variant in (*our_cms.BASIC_VARIANTS, *more):
                _check_encrypt(openssl, files / f"ra-{name}", variant)
            bench.note(f"{name}: {len(our_cms.BASIC_VARIANTS) + len(more)} messages")


def _need(has_kemri: bool) -> None:
    if not has_kemri:
        raise NotToBeHad("`openssl cms` knows KEMRecipientInfo from 3.6 on")


def _pair(stem: Path) -> tuple[Path, Path]:
    return stem.with_name(f"{stem.name}.cert.pem"), stem.with_name(f"{stem.name}.key.pem")


def _check_decrypt(openssl: Openssl, stem: Path, variant: our_cms.Variant) -> None:
    certificate, key = _pair(stem)
    message = openssl.file("message.cms", our_cms.envelop(certificate, variant))
    out = openssl.file("content")
    out.unlink(missing_ok=True)
    openssl("cms", "-decrypt", "-inform", "DER", "-in", message, "-recip", certificate, "-inkey", key, "-out", out)
    check(out.read_bytes() == our_cms.CONTENT, f"{stem.name}, {variant}: openssl finds another content")


def _check_encrypt(openssl: Openssl, stem: Path, variant: our_cms.Variant) -> None:
    certificate, key = _pair(stem)
    content, message = openssl.file("content", our_cms.CONTENT), openssl.file("message.cms")
    options: list[str] = ["-aes-256-gcm" if variant.gcm else "-aes-256-cbc"]
    options += ["-keyid"] if variant.by_key else []
    recipient: list[str | Path] = ["-recip", certificate]
    if variant.kdf != "HKDF-SHA256":
        recipient += ["-recip_kdf", variant.kdf]
    ukm = our_cms.UKMS[variant.ukm]
    if ukm is not None:
        recipient += ["-recip_ukm", ukm.hex()]
    openssl("cms", "-encrypt", "-binary", "-in", content, "-outform", "DER", "-out", message, *options, *recipient)
    our_cms.open_envelope(message.read_bytes(), certificate, key)


def _register_signatures(peer: Peer, root: DebianRoot) -> None:
    @peer.case("verify", "cms -verify accepts our SignedData by ML-DSA-44, -65 and -87, signed attributes and SHA-512")
    def verify(bench: Bench) -> None:
        openssl = Openssl(root, bench)
        for name in our_cms.ML_DSA:
            certificate, key = _pair(openssl.authority(name) / "ca")
            message = openssl.file("message.cms", our_cms.sign(certificate, key))
            out = openssl.file("content")
            out.unlink(missing_ok=True)
            trust = ("-CAfile", certificate, "-purpose", "any")
            openssl("cms", "-verify", "-binary", "-inform", "DER", "-in", message, *trust, "-out", out)
            check(out.read_bytes() == our_cms.CONTENT, f"{name}: openssl finds another content")

    @peer.case("sign", "we accept what cms -sign made with ML-DSA-44, -65 and -87 keys of ours")
    def sign(bench: Bench) -> None:
        openssl = Openssl(root, bench)
        content, message = openssl.file("content", our_cms.CONTENT), openssl.file("message.cms")
        for name in our_cms.ML_DSA:
            certificate, key = _pair(openssl.authority(name) / "ca")
            signer = ("-signer", certificate, "-inkey", key, "-md", "sha512", "-nodetach")
            openssl("cms", "-sign", "-binary", "-in", content, "-outform", "DER", "-out", message, *signer)
            our_cms.verify(message.read_bytes())


def _register_certificates(peer: Peer, root: DebianRoot) -> None:
    @peer.case("certs", "verify and x509 -text: ECDSA, Ed25519 and ML-DSA CAs and their ML-KEM RA certificates")
    def certs(bench: Bench) -> None:
        openssl = Openssl(root, bench)
        for key_type in ("ec:P-256", "ed25519", "ml-dsa-65"):
            files = openssl.authority(key_type)
            for name in our_cms.parameter_sets():
                certificate = files / f"ra-{name}.cert.pem"
                openssl("verify", "-x509_strict", "-CAfile", files / "ca.cert.pem", certificate)
                shown = openssl("x509", "-in", certificate, "-noout", "-text").stdout
                check(f"Public Key Algorithm: {name.upper()}" in shown, f"openssl does not say {name.upper()}")
                check("Key Encipherment" in shown, "openssl does not say Key Encipherment")

    @peer.case("csr", "certificates issued for a key of openssl's: scep-kem enroll, then verify and x509 -pubkey")
    def csr(bench: Bench) -> None:
        openssl = Openssl(root, bench)
        key, certificate = openssl.file("key.pem"), openssl.file("cert.pem")
        openssl("genpkey", "-algorithm", "ML-KEM-768", "-out", key)
        enrol = ("--subject", "CN=openssl1", "--challenge", bench.server.challenge(), "--max-polls", "3")
        pin = ("--ca-fingerprint", bench.ours.fingerprint(), "--require-kem", "--poll-interval", "0.1")
        files = ("--key", str(key), "--out", str(certificate))
        bench.run(scep_kem(), "enroll", "--url", bench.url(), *files, *enrol, *pin)
        bench.expect("PKCSReq > PENDING", "CertPoll > SUCCESS")
        ca = openssl.file("ca.pem")
        shutil.copy(bench.server.ca_pem, ca)
        openssl("verify", "-x509_strict", "-CAfile", ca, certificate)
        ours = decode_public_key(Certificate.of(read_certificate(certificate)).spki)
        public = openssl.file("public.der")
        openssl("pkey", "-in", key, "-pubout", "-outform", "DER", "-out", public)
        check(decode_public_key(public.read_bytes()) == ours, "the certificate is not for openssl's key")


def _register_examples(peer: Peer, root: DebianRoot, *, has_kemri: bool) -> None:
    @peer.case("examples", "the draft's: cms -decrypt opens every envelope, cms -verify accepts every SignedData")
    def check_examples(bench: Bench) -> None:
        openssl = Openssl(root, bench)
        signed, enveloped = examples.signed(), examples.enveloped()
        for item in signed:
            _check_signed_example(openssl, item)
        bench.note(f"{len(signed)} SignedData, one of them refused, as it should be")
        opened = [item for item in enveloped if has_kemri or examples.ORI_KEM not in item.message]
        for sealed in opened:
            _check_enveloped_example(openssl, sealed)
        bench.note(f"{len(opened)} of {len(enveloped)} envelopes")


def _check_signed_example(openssl: Openssl, item: examples.Signed) -> None:
    message, out = openssl.file(f"{item.file_name}.signed", item.message), openssl.file("content")
    out.unlink(missing_ok=True)
    # Whether the signer may be believed is another matter: the clients sign with certificates of their own.
    options = ("-binary", "-noverify", "-inform", "DER", "-in", message, "-out", out)
    result = openssl("cms", "-verify", *options, ok=(0, 4))
    check((result.code == 0) != item.damaged, f"{item.name}: openssl ends with {result.code}")
    check(item.damaged or out.read_bytes() == item.content, f"{item.name}: openssl finds another content")


def _check_enveloped_example(openssl: Openssl, item: examples.Enveloped) -> None:
    message, out = openssl.file(f"{item.file_name}.enveloped", item.message), openssl.file("content")
    out.unlink(missing_ok=True)
    if item.secret is not None:
        key, identifier = item.secret
        whose: tuple[str | Path, ...] = ("-secretkey", key.hex(), "-secretkeyid", identifier.hex())
    else:
        assert item.key is not None and item.certificate is not None
        files = openssl.file("key.pem", item.key), openssl.file("certificate.pem", item.certificate)
        whose = ("-inkey", files[0], "-recip", files[1])
    openssl("cms", "-decrypt", "-binary", "-inform", "DER", "-in", message, *whose, "-out", out)
    check(out.read_bytes() == item.content, f"{item.name}: openssl finds another content")
