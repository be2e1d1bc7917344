"""What getcert and getcrl write has the CA's own signature: who may sign answers, an RA, may not make certificates."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from pkix.algorithms import AES256_GCM
from pkix.enveloped_data import encrypt
from pkix.recipients import RsaRecipient
from pkix.signatures import SigningKey
from pkix.signed_data import encode_degenerate
from scep.attributes import PkiStatus
from scep.messages import PkiMessage
from scep_kem import files
from scep_kem.clock import utc_now
from tests.scep_kem.kit import Answer, Result, cert_rep, run
from tests.scep_kem.lossy import Device, Fate, Line
from tests.world import key, name

DAY = timedelta(days=1)


@pytest.fixture
def device(lossy: Device) -> Device:
    """With a certificate."""
    files.write_key(lossy.key, key("rsa:2048", "live device"))
    lossy.enroll().good()
    return lossy


def answers(device: Device, content: bytes) -> Fate:
    """By the CA's own signer."""
    by = device.ca_dir.load().current.signer

    def fate(_line: Line, message: bytes) -> Answer:
        to = [RsaRecipient(PkiMessage.decode(message).signed.signer_certificate())]
        envelope = encrypt(content, to, AES256_GCM, os.urandom)
        return 200, cert_rep(by, message, pki_status=PkiStatus.SUCCESS, envelope=envelope)

    return fate


def query(device: Device, command: str, *more: str) -> Result:
    files_of = ("--cert", device.out, "--key", device.key, "--out", device.folder / "got")
    return run(command, "--url", device.url, *device.where, *files_of, *more)


def certificate(device: Device, signer: SigningKey) -> bytes:
    """With the issuer and the number of the device's."""
    of = files.read_certificate(device.out)
    builder = x509.CertificateBuilder().subject_name(name("CN=bank.example")).issuer_name(of.issuer_name)
    builder = builder.public_key(key("ec:P-256", "bank").public_key()).serial_number(of.serial_number)
    builder = builder.not_valid_before(of.not_before).not_valid_after(of.not_after)
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize("genuine", [True, False])
def test_getcert_brings_what_the_ca_has_signed(device: Device, genuine: bool) -> None:
    ca = device.ca_dir.load().current.ca.key
    signer = ca if genuine else key("ec:P-256", "stranger")
    device.line.fates = [answers(device, encode_degenerate([certificate(device, signer)]))]
    found = query(device, "getcert", "--serial", f"{files.read_certificate(device.out).serial_number:x}")
    if genuine:
        found.good()
        return
    found.refused_in_one_line(
        1, "the certificate received is not signed by the CA: its signature is not by the key of "
    )
    assert not (device.folder / "got").exists()


def crl(device: Device, signer: SigningKey, issuer: x509.Name | None = None, end: timedelta = DAY) -> bytes:
    issuer = issuer or files.read_certificate(device.out).issuer_name
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer)
    builder = builder.last_update(utc_now() - 900 * DAY).next_update(utc_now() + end)
    made = builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)
    return encode_degenerate(crls=[made])


def test_getcrl_brings_no_list_that_the_ca_has_not_signed(device: Device) -> None:
    device.line.fates = [answers(device, crl(device, key("ec:P-256", "stranger")))]
    text = "the CRL received is not signed by the CA: its signature is not by the key of "
    query(device, "getcrl").refused_in_one_line(1, text)
    assert not (device.folder / "got").exists()


def test_nor_one_of_another_ca(device: Device) -> None:
    ca = device.ca_dir.load().current.ca.key
    device.line.fates = [answers(device, crl(device, ca, name("CN=stranger")))]
    query(device, "getcrl").refused_in_one_line(
        1, "the CRL received is not signed by the CA: its issuer is CN=stranger"
    )


@pytest.mark.parametrize("is_old", [True, False])
def test_that_a_list_is_out_of_date_is_told(device: Device, is_old: bool) -> None:
    ca = device.ca_dir.load().current.ca.key
    device.line.fates = [answers(device, crl(device, ca, end=-DAY if is_old else DAY))]
    found = query(device, "getcrl").good()
    assert (found.err == "") is not is_old
    assert not is_old or found.err.startswith("it was to be followed by another one by ")
    assert not is_old or "the clock of this device says" in found.err
