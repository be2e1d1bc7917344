"""The examples show every failure, and their texts fit into the draft and say what is on the wire."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from drafts.tools.examples import schema
from drafts.tools.examples.dump import Dump, Hidden, Seen
from drafts.tools.examples.names import NAMES, OIDS
from drafts.tools.examples.shapes import Leaf, NoShape, Shape
from drafts.tools.tlv import oid_of, parse
from pkix import oids
from scep import attributes
from scep.attributes import FailInfo
from scep.transactions import TABLE
from tests.drafts import examples
from tests.drafts.examples import File
from tests.scep.seen import Seen as Message

LINE = re.compile(r" {0,4}(\d+) ([0-9a-f]{2,10}) ")
NESTED = (0x03, 0x04, 0x30)  # what extnValue and eContent begin with inside
HEADING = re.compile(r"Message (\d+): ")


# What is there


def test_every_fail_info_has_an_example() -> None:
    seen = {Message(file.octets).fail_info for file in examples.pki_messages()}
    assert {str(info.value) for info in FailInfo} <= seen


def test_every_reason_for_a_failure_has_an_example() -> None:
    """failInfoText, in the order of the examples. Two come twice: one happens again when the client asks again, and no
    request matches a transaction that never was or that gave way.
    """
    texts = [Message(file.octets).fail_info_text for file in examples.pki_messages() if "FAILURE" in file.what]
    assert len(texts) == 18
    assert len({text for text in texts if text}) == 16
    assert len(TABLE) == 19, "a new row of the transaction table may need an example"


# The texts


@pytest.mark.parametrize("path", examples.texts(), ids=lambda path: path.stem)
def test_a_text_fits_into_a_figure(path: Path) -> None:
    octets = path.read_bytes()
    lines = octets.decode("ascii").splitlines()
    assert max(map(len, lines)) <= 69
    assert all(line == line.rstrip() for line in lines)
    assert octets.endswith(b"\n")
    assert b"\t" not in octets


def test_there_is_a_text_for_each_example_and_one_for_the_parties() -> None:
    assert [path.stem for path in examples.texts()] == [*examples.names(), "parties"]


def test_all_texts_together_stay_readable() -> None:
    assert sum(len(path.read_text("ascii").splitlines()) for path in examples.texts()) < 4500


@pytest.mark.parametrize("name", examples.names())
def test_every_line_of_a_dump_repeats_the_message(name: str) -> None:
    """Offset and octets of each line, against the file. What follows in an envelope has offsets of its own."""
    files = {file.number: file for file in examples.messages(name)}
    current: File | None = None
    checked = 0
    lines = examples.text_of(name).splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        heading = HEADING.match(line)
        if heading:
            current = files[int(heading[1])]
        elif line.startswith(("The envelope", "From the challenge")):
            current = None
        found = LINE.match(line)
        if found and current is not None:
            offset, octets = int(found[1]), bytes.fromhex(found[2])
            assert current.octets[offset : offset + len(octets)] == octets, line
            more = re.fullmatch(r" {5}([0-9a-f]{64})", following)
            if more:
                start = offset + len(octets)
                assert current.octets[start : start + 32] == bytes.fromhex(more[1]), following
            checked += 1
    assert checked > 10


@pytest.mark.parametrize("name", examples.names())
def test_dumps_leave_nothing_out(name: str) -> None:
    """Every message can be put together again from its dump, when nothing is left to references."""
    for file in examples.messages(name):
        if file.is_pki_message:
            assert undumped(full_dump(file.octets, schema.PKI_MESSAGE)) == file.octets


class _Unseen(Seen):
    """A reader who forgets everything at once."""

    def place(self, octets: bytes) -> str | None:
        return None

    @property
    def small(self) -> set[bytes]:
        return set()

    @small.setter
    def small(self, value: set[bytes]) -> None:
        pass


def full_dump(der: bytes, shape: Shape) -> list[str]:
    """Without references."""
    return Dump(_Unseen()).lines(der, shape)


def undumped(lines: list[str]) -> bytes:
    """The octets that a dump shows: of each line its hex, then what its last value lacks, in quotes or in hex."""
    found, left = b"", lines
    while left:
        line, *left = left
        start = LINE.match(line)
        assert start, line
        headers = bytes.fromhex(start[2])
        found += headers
        missing = _missing(headers)
        while left and left[0].startswith(" " * 17):
            line += f" {left.pop(0).strip()}"
        if missing is None:
            continue
        quoted = re.search('"(.*)"', line)
        last = line.split()[-1]
        if quoted and len(quoted[1]) == missing:
            found += quoted[1].encode("utf-8")
        elif re.fullmatch(f"([0-9a-f]{{2}}){{{missing}}}", last):
            found += bytes.fromhex(last)
        else:
            while missing and left and re.match(r" {5}[0-9a-f]{2}", left[0]):
                octets = bytes.fromhex(left.pop(0).split()[0])
                found += octets
                missing -= len(octets)
    return found


def _missing(headers: bytes) -> int | None:
    """How many octets the last value whose header is here still needs, None if it is a constructed one."""
    while True:
        start = 2 + (headers[1] & 0x7F if headers[1] & 0x80 else 0)
        length = int.from_bytes(headers[2:start], "big") if start > 2 else headers[1]
        inside = headers[start:]
        if inside and (headers[0] & 0x20 or (headers[0] == 4 and len(inside) < length and inside[0] in NESTED)):
            headers = inside
            continue
        return None if headers[0] & 0x20 else length - len(inside)


# Names and shapes


def test_names_of_object_identifiers_do_not_repeat() -> None:
    assert len(OIDS) == len(NAMES)


def test_the_update_s_identifiers_are_those_of_the_code() -> None:
    assert OIDS["id-scep-kemPopChallenge"] == attributes.KEM_POP_CHALLENGE.dotted_string
    assert OIDS["id-scep-kemPopConfirm"] == attributes.KEM_POP_CONFIRM.dotted_string
    assert OIDS["id-scep-responseKey"] == attributes.RESPONSE_KEY.dotted_string
    assert OIDS["id-transactionID"] == attributes.TRANSACTION_ID.dotted_string
    assert OIDS["id-at-statementOfPossession"] == oids.STATEMENT_OF_POSSESSION.dotted_string


def test_long_numbers_in_object_identifiers() -> None:
    assert oid_of(bytes.fromhex("2b0601040181fd59c53e01")) == OIDS["id-scep-kemPopChallenge"]
    assert oid_of(bytes.fromhex("883703")) == "2.999.3"


def test_a_field_that_no_shape_describes_is_not_named_by_a_guess() -> None:
    one = schema.sequence("One", schema.field("only", tag=2))
    for der in ("30020500", "3006020100020100"):
        with pytest.raises(NoShape, match="no field fits"):
            Dump(Seen()).lines(bytes.fromhex(der), one)
    with pytest.raises(NoShape, match="no shape"):
        Dump(Seen()).lines(bytes.fromhex("300806032a0304020100"), schema.ALGORITHM)


def test_hidden_values_are_told_by_length_and_hash() -> None:
    long = bytes.fromhex("048180") + bytes(128)
    shown = Dump(Seen()).lines(long, Leaf())
    assert len(shown) == 5
    hidden = Dump(Seen(), hidden=Hidden.everything).lines(long, Leaf())
    assert hidden[1].strip().startswith("-- 128 octets, in the .der file, SHA-256 38723a2e5e8a17aa")


def test_what_was_shown_is_only_named_again() -> None:
    seen = Seen()
    long = bytes.fromhex("048180") + bytes(128)
    seen.titles[long] = "zeros"
    first = Dump(seen, where="01-one, message 1").lines(long, Leaf())
    second = Dump(seen, where="02-two, message 7").lines(long, Leaf())
    assert len(first) == 5
    assert " ".join(line.strip() for line in second[1:]) == (
        "-- 128 octets, zeros, 01-one, message 1, SHA-256 38723a2e5e8a17aa"
    )


def test_values_that_end_too_early_are_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        parse(bytes.fromhex("300502"))
