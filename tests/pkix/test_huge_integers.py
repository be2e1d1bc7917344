"""INTEGERs with more digits than Python agrees to turn into text (4300): refused in words, not with a ValueError.

DER sets no limit to an INTEGER, and an error text that quotes one would itself fail.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pkix import oids
from pkix.algorithms import AES128_GCM
from pkix.enveloped_data import decrypt, describe
from pkix.errors import PkixError
from pkix.pkcs10 import CertificationRequest
from pkix.signed_data import SignedData
from tests.pkix.envelopes import PASSWORD, POLICY, by_password, changed, made
from tests.pkix.forge import (
    SignedDataForge,
    algorithm,
    certificate,
    peer,
    request_info,
    sequence,
    sign_request,
    signed_data,
    signer_info,
    spki,
)
from tests.pkix.kem_peer import kem_identity, kem_recipient
from tests.pkix.tlv import Node, explicit, integer, tlv

HUGE = Node.parse(integer(1 << 20_000))
IDENTITIES = (peer().identity(), PASSWORD, kem_identity())


def set_pbkdf2_iterations(enveloped: Node) -> None:
    """In the recipient by password."""
    enveloped[1][0][1][1][1] = HUGE


def set_pbkdf2_key_length(enveloped: Node) -> None:
    """In the recipient by password."""
    enveloped[1][0][1][1].insert(2, HUGE)


def set_gcm_tag_length(enveloped: Node) -> None:
    """In the parameters of AES-GCM."""
    parameters = sequence(tlv(0x04, bytes(12)), HUGE.der())
    enveloped[2][1] = Node.parse(algorithm(oids.AES128_GCM, parameters))


def set_kemri_version(enveloped: Node) -> None:
    """In the KEMRecipientInfo."""
    enveloped[1][0][1][0] = HUGE


def set_kek_length(enveloped: Node) -> None:
    """In the KEMRecipientInfo."""
    enveloped[1][0][1][5] = HUGE


def set_serial(enveloped: Node) -> None:
    """In the name of the recipient by RSA."""
    enveloped[1][0][1][1] = HUGE


def set_version(enveloped: Node) -> None:
    """Of the EnvelopedData, which nobody looks at."""
    enveloped[0] = HUGE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_pbkdf2_iterations, by_password()),
        (set_pbkdf2_key_length, by_password()),
        (set_gcm_tag_length, made(cipher=AES128_GCM)),
        (set_kemri_version, made(kem_recipient())),
        (set_kek_length, made(kem_recipient())),
        (set_serial, made()),
        (set_version, made()),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_in_an_envelope(change: Callable[[Node], None], message: bytes) -> None:
    damaged = changed(change, message)
    for read in (lambda: decrypt(damaged, IDENTITIES, POLICY), lambda: describe(damaged)):
        try:
            read()
        except PkixError as error:
            assert len(error.text) < 400


def test_in_a_signer_info() -> None:
    tree = Node.parse(SignedDataForge(peer()).encode())
    signed_data(tree)[0] = signer_info(tree)[0] = HUGE
    found = SignedData.decode(tree.der())
    found.verify(found.signer_certificate(), POLICY)


def test_in_the_parameters_of_pss() -> None:
    parameters = sequence(explicit(2, HUGE.der()), explicit(3, HUGE.der()))
    found = SignedData.decode(SignedDataForge(peer(), scheme=algorithm(oids.RSASSA_PSS, parameters)).encode())
    with pytest.raises(PkixError):
        found.verify(peer().certificate, POLICY)


def test_in_a_certificate() -> None:
    found = certificate(spki(peer().key.public_key()), serial=1 << 20_000)
    assert found.is_named_by(found.issuer_and_serial)
    assert len(repr(peer().signer())) < 400


def test_in_a_request() -> None:
    with pytest.raises(PkixError):
        _ = CertificationRequest.decode(sign_request(request_info(peer().key, version=1 << 20_000), peer().key)).subject
