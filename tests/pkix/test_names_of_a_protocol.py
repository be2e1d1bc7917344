"""Attributes that only a protocol knows: what it calls them in texts, and which must not be there twice."""

from __future__ import annotations

import pytest

from pkix import oids
from pkix.asn1 import Oid
from pkix.errors import Malformed
from pkix.pkcs10 import CertificationRequest
from pkix.signed_data import SignedData
from tests.pkix.forge import NULL, SignedDataForge, attribute, peer, request_info, sign_request
from tests.pkix.tlv import integer

PRIVATE = Oid("1.2.3.4")
NAMES = {PRIVATE: "private-thing"}


def test_a_name_is_pkix_s_or_else_the_protocol_s() -> None:
    assert oids.name(PRIVATE) == "1.2.3.4"
    assert oids.name(PRIVATE, NAMES) == "private-thing (1.2.3.4)"
    assert oids.name(oids.DES_CBC, {oids.DES_CBC: "another"}) == "DES-CBC (1.3.14.3.2.7)"


def test_signed_attributes() -> None:
    forge = SignedDataForge(peer())
    forge.attributes = [*forge.default_attributes(), attribute(PRIVATE, NULL), attribute(PRIVATE, NULL)]
    with pytest.raises(
        Malformed, match=r"^signed attribute 1.2.3.4 does not have exactly one value: the attribute is there more"
    ):
        _ = SignedData.decode(forge.encode()).attributes[PRIVATE]
    with pytest.raises(
        Malformed, match=r"^signed attribute private-thing \(1.2.3.4\) does not have exactly one value: "
    ):
        _ = SignedData.decode(forge.encode(), names=NAMES).attributes[PRIVATE]


@pytest.mark.parametrize(
    "attributes",
    [[attribute(PRIVATE, NULL), attribute(PRIVATE, integer(1))], [attribute(PRIVATE, NULL, integer(1))]],
    ids=["twice", "two values"],
)
def test_attributes_of_a_request(attributes: list[bytes]) -> None:
    key = peer("ec:P-256").key
    der = sign_request(request_info(key, *attributes), key)
    CertificationRequest.decode(der)
    text = r"attribute private-thing \(1.2.3.4\) must appear once, with one value$"
    with pytest.raises(Malformed, match=text):
        CertificationRequest.decode(der, single_valued=NAMES)
    CertificationRequest.decode(sign_request(request_info(key, attribute(PRIVATE, NULL)), key), single_valued=NAMES)
