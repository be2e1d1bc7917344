"""The ML-KEM enrolment beside the RSA one: both round trips, ML-KEM-768, a P-256 CA with an ML-KEM RA, no RSA.

Volleys alternate between our two servers. Of a KEM volley, the client's part (decapsulating, signing the CertPoll)
lies between its two timed halves and is not counted, as the making of RSA requests is not. Every answer is taken by
`scep.client`, which checks it.
"""

from __future__ import annotations

import os
import statistics
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mlkem
from cryptography.x509.oid import NameOID

from interop.bench.answers import Checker, Wrong, body_of
from interop.bench.load import fire
from interop.bench.material import Client, utc_now
from interop.bench.servers import OursGunicorn
from kem.backends import Backends, load
from kem.errors import KemError
from kem.keys import encode_public_key, generate
from kem.parameters import ML_KEM_768
from pkix.algorithms import AES256_GCM
from pkix.certificates import Certificate
from pkix.errors import PkixError
from pkix.keys import generate as generate_signer
from pkix.pkcs10 import CertificationRequest, encode_unsigned_request
from pkix.signed_data import Signer
from scep.ca_certificates import CaCertificates
from scep.client import ClientSettings, Enrolment, Issued, KemKey, StillPending, new_transaction_id, self_signed

ROUNDS = 7
REQUESTS = 150
CONCURRENCY = 4
SECONDS = 30.0
SETS = 40


class OursKem(OursGunicorn):
    """Our responder with a P-256 CA and an ML-KEM-768 RA, and room for a volley of challenges to one signer."""

    name = "ours-kem"

    def _prepare(self) -> None:
        self._scep_kem("ca", "init", "--key-type", "ec:P-256", "--kem", "ml-kem-768", "--no-rsa")
        path = self.folder / "ca" / "scep.toml"
        more = "max_challenged = 1000000\nmax_challenged_per_signer = 1000000\n"
        path.write_text(path.read_text().replace("[profiles.default.kem]\n", f"[profiles.default.kem]\n{more}"))
        self._add_password()


@dataclass(frozen=True)
class Comparison:
    """Medians over the rounds.

    rate: KEM enrolments a second. cpu_ms: of the server for one. of_rsa: its rate to that of RSA-2048. of_bare: to the
    rate that its primitives alone would allow on all cores. wrong: answers that were not right.
    """

    rate: float
    cpu_ms: float
    of_rsa: float
    of_bare: float
    wrong: int

    def line(self) -> str:
        """For the report."""
        return (
            f"kem768 at concurrency {CONCURRENCY}: rate={self.rate:.0f} cpu_ms={self.cpu_ms:.2f} "
            f"ratio_rsa2048={self.of_rsa:.2f} ratio_bare={self.of_bare:.2f} wrong={self.wrong}"
        )


class _Devices:
    """Makes enrolments: one ML-KEM key and one ephemeral P-256 signer for all, a subject for each."""

    def __init__(self, server: OursKem, challenge_password: str) -> None:
        self._backends: Backends = load("cryptography")
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/scep?operation=GetCACert", timeout=10) as answer:
            self._ca = CaCertificates.decode(answer.read(), fingerprint=None, now=utc_now())
        self._key = generate(ML_KEM_768, os.urandom)
        self._spki = encode_public_key(self._backends.encapsulation_key(self._key))
        self._signer_key = generate_signer("ec:P-256")
        self._challenge_password = challenge_password
        self._made = 0

    def enrolments(self, count: int) -> list[Enrolment]:
        """New ones."""
        return [self._enrolment() for _ in range(count)]

    def _enrolment(self) -> Enrolment:
        self._made += 1
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"kem-{self._made:06}")])
        request = encode_unsigned_request(self._spki, subject, challenge_password=self._challenge_password)
        signer = Certificate.of(self_signed(self._signer_key, subject, now=utc_now(), random=os.urandom))
        return Enrolment(
            request=CertificationRequest.decode(request),
            renewal=False,
            ca=self._ca,
            signer=Signer(self._signer_key, signer),
            transaction_id=new_transaction_id(os.urandom),
            settings=ClientSettings(cipher=AES256_GCM, backends=self._backends, require_kem=True),
            random=os.urandom,
            kem=KemKey(self._key, self._spki),
        )


def compare(rsa: OursGunicorn, kem: OursKem, client: Client, checker: Checker, password: str) -> Comparison:
    """Alternate volleys of RSA and KEM enrolments at our two servers, and the bare primitives of the latter."""
    devices, bare = _Devices(kem, password), _Bare()
    rates, cpus, of_rsa, of_bare, wrong = [], [], [], [], 0
    for _ in range(ROUNDS):
        requests = client.requests(REQUESTS)
        shot = fire(rsa.port, rsa.path, [item.message for item in requests], concurrency=CONCURRENCY, seconds=SECONDS)
        for answer, request in zip(shot.answers, requests, strict=True):
            try:
                checker.serial(answer, request)
            except Wrong:
                wrong += 1
        seconds, cpu, failed = _volley(kem, devices.enrolments(REQUESTS))
        wrong += failed
        rates.append(REQUESTS / seconds)
        cpus.append(cpu / REQUESTS * 1000)
        of_rsa.append(shot.seconds / seconds)
        of_bare.append(bare.seconds() / len(os.sched_getaffinity(0)) * REQUESTS / seconds)
    median = statistics.median
    return Comparison(median(rates), median(cpus), median(of_rsa), median(of_bare), wrong)


def _volley(server: OursKem, enrolments: Sequence[Enrolment]) -> tuple[float, float, int]:
    """Seconds, CPU seconds of the server, and how many did not end in their certificate."""
    seconds = cpu = 0.0
    waiting = list(enrolments)
    messages = [item.start(now=utc_now()) for item in waiting]
    issued = 0
    for _round_trip in range(2):
        began = server.cpu_seconds()
        shot = fire(server.port, server.path, messages, concurrency=CONCURRENCY, seconds=SECONDS)
        seconds, cpu = seconds + shot.seconds, cpu + server.cpu_seconds() - began
        answered = list(zip(waiting, shot.answers, strict=True))
        waiting, messages = [], []
        for enrolment, answer in answered:
            outcome = _received(enrolment, answer)
            issued += isinstance(outcome, Issued)
            if isinstance(outcome, StillPending) and outcome.challenged:
                waiting.append(enrolment)
                messages.append(enrolment.poll(now=utc_now()))
    return seconds, cpu, len(enrolments) - issued


def _received(enrolment: Enrolment, answer: bytes) -> object:
    try:
        return enrolment.receive(body_of(answer))
    except (PkixError, KemError, Wrong):
        return None


class _Bare:
    """The primitives that one KEM enrolment cannot do without on the CA's side: the RA's decapsulation, encapsulating
    to the client's key for the challenge and for the answer, two verifications of the client, and three signatures
    (two CertReps and the certificate), all on P-256.
    """

    def __init__(self) -> None:
        self._private = mlkem.MLKEM768PrivateKey.generate()
        self._public = self._private.public_key()
        _secret, self._ciphertext = self._public.encapsulate()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._scheme, self._data = ec.ECDSA(hashes.SHA256()), os.urandom(1000)
        self._signature = self._key.sign(self._data, self._scheme)

    def seconds(self) -> float:
        """Wall-clock seconds of one enrolment's primitives on one core, the mean of 40."""
        public, began = self._key.public_key(), time.perf_counter()
        for _ in range(SETS):
            self._private.decapsulate(self._ciphertext)
            for _ in range(2):
                self._public.encapsulate()
                public.verify(self._signature, self._data, self._scheme)
            for _ in range(3):
                self._key.sign(self._data, self._scheme)
        return (time.perf_counter() - began) / SETS
