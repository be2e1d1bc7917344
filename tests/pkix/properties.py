"""What the property tests share: how many examples, and mutations of octets and of trees as hypothesis strategies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.pkix.tlv import Choose, Node, to_ber

EXAMPLES = 200


def few(count: int = EXAMPLES, *, shrink: bool = False) -> Callable[[Any], Any]:
    """The same examples in every run, without a deadline, since tests assert no times.

    shrink: whether a failing example is made smaller, which costs much and gains nothing where it is a whole message.
    """
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    phases = [Phase.explicit, Phase.generate, *([Phase.shrink] if shrink else [])]
    return settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        phases=phases,
        suppress_health_check=slow,
    )


def chooser(draw: st.DrawFn) -> Choose:
    """Decisions of `to_ber` drawn by hypothesis."""
    return lambda low, high: draw(st.integers(low, high))


@st.composite
def mutated_octets(draw: st.DrawFn, message: bytes) -> bytes:
    """`message` after one to three of: flip, replace, delete, insert, double or move a range, cut, count."""
    found = bytearray(message)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(found) - 1, 0)))
        size = draw(st.sampled_from((1, 1, 2, 3, 16, 100)))
        kind = draw(st.sampled_from(("flip", "replace", "delete", "insert", "double", "move", "cut", "nudge")))
        _mutate(found, kind, at, size, draw)
    return bytes(found)


def _mutate(found: bytearray, kind: str, at: int, size: int, draw: st.DrawFn) -> None:
    part = bytes(found[at : at + size])
    if not found or kind == "insert":
        found[at:at] = draw(st.binary(min_size=1, max_size=size))
    elif kind == "flip":
        found[at] ^= 1 << draw(st.integers(0, 7))
    elif kind == "replace":
        found[at : at + size] = draw(st.binary(min_size=len(part), max_size=len(part)))
    elif kind == "delete":
        del found[at : at + size]
    elif kind == "double":
        found[at:at] = part
    elif kind == "move":
        del found[at : at + size]
        to = draw(st.integers(0, len(found)))
        found[to:to] = part
    elif kind == "cut":
        del found[at:]
    else:
        found[at] = (found[at] + draw(st.sampled_from((-1, 1)))) % 256


TAGS = bytes.fromhex("00 01 02 03 04 05 06 0c 13 17 18 24 30 31 80 81 a0 a1 a2 a3")
INTEGERS = (b"", b"\x00", b"\xff", b"\x7f" * 9, b"\x80" + bytes(8), b"\x01" + bytes(3000))


@st.composite
def mutated_tree(draw: st.DrawFn, message: bytes) -> bytes:
    """`message` after one to three of: drop, double, swap, replace, wrap or retag a value, new contents; maybe in BER.

    Every length fits, so that the damage reaches the code behind the parser.
    """
    tree = Node.parse(message)
    for _ in range(draw(st.integers(1, 3))):
        parents = [node for node in tree.walk() if len(node)]
        if not parents:
            break
        parent = draw(st.sampled_from(parents))
        _mutate_member(tree, parent, draw(st.integers(0, len(parent) - 1)), draw)
    if draw(st.integers(0, 4)) == 0:
        return to_ber(tree, chooser(draw))
    return tree.der()


def _mutate_member(tree: Node, parent: Node, at: int, draw: st.DrawFn) -> None:
    kind = draw(st.sampled_from(("drop", "double", "swap", "replace", "wrap", "retag", "contents", "contents")))
    member = parent[at]
    if kind == "drop":
        del parent[at]
    elif kind == "double":
        parent.insert(at, member.copy())
    elif kind == "swap":
        other = draw(st.integers(0, len(parent) - 1))
        parent[at], parent[other] = parent[other], parent[at]
    elif kind == "replace":
        parent[at] = draw(st.sampled_from(list(tree.walk()))).copy()
    elif kind == "wrap":
        parent[at] = Node(draw(st.sampled_from((0x24, 0x30, 0x31, 0xA0, 0xA1))), children=[member])
    elif kind == "retag":
        tag = draw(st.sampled_from(TAGS))
        parent[at] = Node(tag, member.der() if member.children is not None else member.content)
    elif member.children is None:
        member.content = draw(st.sampled_from(INTEGERS) | st.binary(max_size=40) | mutated_octets(member.content))


def mutated(message: bytes) -> st.SearchStrategy[bytes]:
    """Either kind of damage."""
    return mutated_octets(message) | mutated_tree(message)
