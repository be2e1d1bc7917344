"""Any DER value, encoded again as BER in any way, comes back as the same DER (X.690 sections 8 and 10)."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pkix.ber import to_der
from pkix.enveloped_data import decrypt
from pkix.errors import Malformed
from pkix.signed_data import SignedData
from tests.pkix.envelopes import CONTENT, POLICY, made
from tests.pkix.forge import SignedDataForge, peer
from tests.pkix.properties import chooser, few
from tests.pkix.tlv import STRINGS, Node, to_ber

pytestmark = pytest.mark.any_day

PRIMITIVE = (0x01, 0x02, 0x05, 0x06, 0x0A, 0x80, 0x81, 0x82, 0x87)
CONSTRUCTED = (0x30, 0x31, 0xA0, 0xA1, 0xA3, 0x6F)

leaves = st.one_of(
    st.builds(Node, st.sampled_from(PRIMITIVE), st.binary(max_size=20)),
    st.builds(Node, st.sampled_from(sorted(STRINGS - {0x03})), st.binary(max_size=300)),
    st.builds(lambda unused, octets: Node(0x03, bytes((unused,)) + octets), st.just(0), st.binary(max_size=20)),
    st.builds(lambda unused, octets: Node(0x03, bytes((unused,)) + octets), st.integers(0, 7), st.binary(min_size=1)),
)
trees = st.recursive(
    leaves,
    lambda members: st.builds(
        lambda tag, children: Node(tag, children=children), st.sampled_from(CONSTRUCTED), st.lists(members, max_size=4)
    ),
    max_leaves=12,
)
encrypted_content_infos = st.builds(
    lambda content: Node(0x30, children=[Node(0x06, b"\x2a\x03"), Node(0x30, children=[]), Node(0x80, content)]),
    st.binary(max_size=100),
)
all_trees = trees | st.builds(lambda members: Node(0x30, children=members), st.lists(trees | encrypted_content_infos))


def ambiguous(tree: Node) -> bool:
    """Whether the tree has an EXPLICIT [0] where only encryptedContent stands, which no tag tells apart."""
    return any(node.tags == [0x06, 0x30, 0xA0] for node in tree.walk())


@few(300, shrink=True)
@given(st.data(), all_trees)
def test_ber_of_any_value_normalises_to_its_der(data: st.DataObject, tree: Node) -> None:
    assume(not ambiguous(tree))
    assert to_der(to_ber(tree, lambda low, high: data.draw(st.integers(low, high)))) == tree.der()


@few(shrink=True)
@given(all_trees)
def test_der_of_any_value_stays_as_it_is(tree: Node) -> None:
    assume(not ambiguous(tree))
    assert to_der(tree.der()) == tree.der()


@few(400, shrink=True)
@given(st.binary(max_size=60) | st.lists(st.sampled_from((0x00, 0x04, 0x24, 0x30, 0x80, 0xA0, 0x02, 0x01))).map(bytes))
def test_any_octets_give_der_or_malformed(octets: bytes) -> None:
    try:
        der = to_der(octets)
    except Malformed as error:
        assert "\n" not in error.text
    else:
        assert to_der(der) == der
        assert Node.parse(der).der() == der


SIGNED = Node.parse(SignedDataForge(peer()).encode())
ENVELOPE = Node.parse(made())


@st.composite
def ber_of(draw: st.DrawFn, tree: Node) -> bytes:
    """A BER encoding of one tree."""
    return to_ber(tree, chooser(draw))


@few(100)
@given(ber_of(SIGNED))
def test_signed_data_in_any_ber_verifies(message: bytes) -> None:
    found = SignedData.decode(message)
    found.verify(found.signer_certificate(), POLICY)
    assert found.content == b"the content"


@few(100)
@given(ber_of(ENVELOPE))
def test_enveloped_data_in_any_ber_opens(message: bytes) -> None:
    assert decrypt(message, [peer().identity()], POLICY).content == CONTENT
