"""The text of the Internet-Draft says what the code does: identifiers, keywords, structures, states, errors, defaults.

What is compared is found by the anchors of tables and sections, so the text may be reworded around it. The rest is
about the text alone: references, key words, width.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from ca import authority
from ca.store import State
from ca.transactions import Event, Step
from kem.exchange import POP_SHA256, POP_SHA512, STATIC_STRING, MacParameters
from kem.parameters import PARAMETER_SETS
from kem.structures import Null
from pkix import oids
from pkix.asn1 import Oid
from scep import attributes
from scep.attributes import FailInfo
from scep.capabilities import encode_capabilities
from scep.kem_pop import MAC_LABEL
from scep.settings import KemPolicy, Pop
from scep.transactions import EVENTS as SCEP_EVENTS
from scep.transactions import STEPS, TABLE
from tests.drafts.document import DRAFTS, SOURCE, Document, citations, words
from tests.drafts.provocations import CONDITIONS

DOCUMENT = Document(SOURCE.read_text("utf-8"))
MODULE = (DRAFTS / "ScepKem-2026.asn1").read_text("ascii")
ATTRIBUTES = {
    attributes.KEM_POP_CHALLENGE: "kemPopChallenge",
    attributes.KEM_POP_CONFIRM: "kemPopConfirm",
    attributes.RESPONSE_KEY: "responseKey",
}


def table(anchor: str) -> list[dict[str, str]]:
    return DOCUMENT.tables[anchor]


def by_first_column(anchor: str) -> dict[str, list[str]]:
    rows = [list(row.values()) for row in table(anchor)]
    found = {row[0]: row[1:] for row in rows}
    assert len(found) == len(rows), "a row stands there twice"
    return found


# Identifiers


def test_the_provisional_identifiers_are_the_code_s() -> None:
    assert by_first_column("tab-oids") == {oid.dotted_string: [name] for oid, name in ATTRIBUTES.items()}


def test_iana_is_asked_for_every_attribute_of_the_module() -> None:
    asked = [row["Description"] for row in table("tab-iana-attributes")]
    assert asked == [f"id-scep-{name}" for name in ATTRIBUTES.values()]
    assert all(f"{name} " in MODULE for name in asked)
    assert attributes.ID_SCEP.dotted_string in DOCUMENT.prose


def test_every_identifier_in_the_text_is_one_that_the_code_knows() -> None:
    known = {
        value.dotted_string
        for place in (oids, attributes, authority)
        for value in vars(place).values()
        if isinstance(value, Oid)
    }
    known.add("1.3.6.1.5.5.7.0")  # where IANA registers modules
    used = set(re.findall(r"\b[012](?:\.\d+){4,}\b", f"{DOCUMENT.abstract}{DOCUMENT.middle}{DOCUMENT.back}"))
    assert used - known == set()


# Capabilities

RFC_8894_KEYWORDS = {
    *("AES", "DES3", "GetNextCACert", "POSTPKIOperation", "Renewal"),
    *("SHA-1", "SHA-256", "SHA-512", "SCEPStandard"),
}
FOR_STRONGSWAN = {"SHA-384"}  # see `scep.capabilities`; it is no keyword of the update


def test_the_keywords_are_those_that_the_code_can_say() -> None:
    said = encode_capabilities(
        renewal=True,
        legacy=True,
        aes_gcm=True,
        ml_dsa=True,
        kem=tuple(each.name for each in PARAMETER_SETS),
        kem_pop=True,
        response_key=True,
    )
    new = set(said.decode("ascii").split()) - RFC_8894_KEYWORDS - FOR_STRONGSWAN
    assert set(by_first_column("tab-keywords")) == new


# Structures


def test_every_structure_in_the_text_is_the_module_s() -> None:
    module = f" {' '.join(words(MODULE))} "
    quoted = [block.text for block in DOCUMENT.blocks if block.kind == "asn.1" and block.text.strip() != MODULE.strip()]
    for text in quoted:
        for definition in re.split(r"\n\s*\n", text.strip()):
            assert f" {' '.join(words(definition))} " in module, definition
    types = {"KemPopChallenge", "KemPopConfirm", "KemPopMacInput", "ScepKemContext", "ResponseKey"}
    assert types <= {words(text)[0] for text in quoted}


def test_the_module_is_included_once() -> None:
    assert DOCUMENT.includes.count("ScepKem-2026.asn1") == 1
    assert sum(block.text.strip() == MODULE.strip() for block in DOCUMENT.blocks) == 1


def test_label_and_static_string() -> None:
    quoted = [block.text for block in DOCUMENT.blocks if block.kind == "asn.1"]
    assert sum(f'"{MAC_LABEL}"' in text for text in quoted) == 2, "in the text and in the module"
    assert f'staticString: a sequence of one UTF8String, "{STATIC_STRING}"' in DOCUMENT.section("derivation")
    assert f'"{STATIC_STRING}"' in MODULE


def mac_row(parameters: MacParameters) -> list[str]:
    """As the table writes a choice of macParams."""

    def identifier(name: str, scheme: Any) -> str:
        assert scheme.parameters is None or isinstance(scheme.parameters, Null)
        return f"{name}, parameters {'absent' if scheme.parameters is None else 'NULL'}"

    digest = parameters.kdf.name.removeprefix("HKDF-")
    assert parameters.mac.name == f"HMAC-{digest}"
    return [
        identifier(f"id-alg-hkdf-with-{digest.lower()}", parameters.structure.kdf),
        str(parameters.length),
        identifier(f"hmacWith{digest}", parameters.structure.mac),
        digest.replace("SHA", "SHA-"),
    ]


def test_the_choices_of_mac_params() -> None:
    rows = [list(row.values()) for row in table("tab-macparams")]
    assert rows == [mac_row(POP_SHA256), mac_row(POP_SHA512)]


def test_lengths() -> None:
    expected = {
        each.name: [str(each.encapsulation_key_length), str(each.ciphertext_length), str(each.shared_secret_length)]
        for each in PARAMETER_SETS
    }
    assert by_first_column("tab-lengths") == expected


# Defaults and policies


def only_number(pattern: str, section: str) -> int:
    (found,) = re.findall(pattern, DOCUMENT.section(section))
    return int(found)


def test_defaults() -> None:
    policy = KemPolicy()
    minutes = only_number(r"It SHOULD be (\d+) minutes after the challenge", "challenge")
    assert minutes * 60 == policy.challenge_lifetime.total_seconds()
    challenges = only_number(r"After a number of challenges, which SHOULD be (\d+),", "state-machine")
    assert challenges == policy.max_challenges


def test_the_other_policies_are_the_code_s() -> None:
    assert set(DOCUMENT.terms("other-policies")) == {pop.name.capitalize() for pop in Pop} - {"Challenge"}
    assert KemPolicy().pop is Pop.challenge


# States

EVENTS = {
    "request": Event.request,
    "same request": Event.same_request,
    "other request": Event.other_request,
    "CertPoll": Event.poll,
    "CertPoll with kemPopConfirm": Event.confirm,
}
# Where an action can lead; those not named here leave the state as it is. That of `decide` is in its definition.
NEXT = {
    Step.decide: {"see below"},
    Step.challenge: {State.CHALLENGED.name},
    Step.confirm: {State.ISSUED.name, State.AWAITING_APPROVAL.name, State.FAILED.name},
    Step.review: {State.AWAITING_APPROVAL.name, State.ISSUED.name, State.FAILED.name},
}


def in_words(step: Step) -> str:
    return step.name.replace("_", " ")


def state_name(state: State | None) -> str:
    return "(none)" if state is None else state.name


def test_the_state_table_is_the_code_s() -> None:
    assert set(EVENTS.values()) == set(SCEP_EVENTS)
    expected = {(state_name(state), event): in_words(step) for (state, event), step in TABLE.items()}
    rows = [(row["State"], EVENTS[row["Event"]], row["Action"]) for row in table("tab-states")]
    assert {(state, event): action for state, event, action in rows} == expected
    assert len(rows) == len(expected)


def test_next_states() -> None:
    steps = {in_words(step): step for step in STEPS}
    for row in table("tab-states"):
        expected = NEXT.get(steps[row["Action"]], {row["State"]})
        assert set(row["Next state"].split(", ")) == expected, row


def test_every_action_is_defined_after_the_table() -> None:
    assert set(DOCUMENT.terms("state-machine")) == {in_words(step) for step in STEPS}


def test_what_leads_to_which_state_is_said_of_every_action() -> None:
    """The definition of an action in the text names the states and failInfo values that the code's does."""
    named = re.compile(r"\b(SUCCESS|PENDING|FAILURE|badRequest|ISSUED|CHALLENGED|AWAITING_APPROVAL)\b")
    terms = DOCUMENT.terms("state-machine")
    for step, said in STEPS.items():
        if step is not Step.confirm:  # its definition is a list elsewhere in the text
            assert set(named.findall(said)) <= set(named.findall(terms[in_words(step)])), step


# Errors


def condition(phrase: str) -> dict[str, str]:
    (row,) = (row for row in table("tab-errors") if phrase in row["Condition"])
    return row


@pytest.mark.parametrize(
    ("phrase", "provoke"), [(phrase, provoke) for phrase, all_of in CONDITIONS.items() for provoke in all_of]
)
def test_fail_info_is_what_the_responder_answers(phrase: str, provoke: Callable[[], FailInfo]) -> None:
    assert provoke().name == condition(phrase)["failInfo"]


def test_every_condition_of_the_table_is_tried() -> None:
    tried = [condition(phrase)["Condition"] for phrase in CONDITIONS]
    assert sorted(tried) == sorted(row["Condition"] for row in table("tab-errors"))


# Examples


def test_every_example_is_included_exactly_once() -> None:
    examples = sorted(path.relative_to(DRAFTS).as_posix() for path in DRAFTS.glob("examples/*.txt"))
    assert examples
    assert sorted(name for name in DOCUMENT.includes if name.startswith("examples/")) == examples


def test_nothing_else_is_included() -> None:
    assert all(name == "ScepKem-2026.asn1" or name.startswith("examples/") for name in DOCUMENT.includes)


def test_the_sizes_of_messages_are_those_of_the_examples() -> None:
    for row in table("tab-sizes"):
        example, *sizes = row.values()
        (anchor,) = re.findall(r"\{\{ex-([a-z0-9-]+)\}\}", example)
        (path,) = DRAFTS.glob(f"examples/*-{anchor}.txt")
        first: dict[str, str] = {}
        for what, size in re.findall(r"^Message \d+: ([A-Za-z ]+), .*?, (\d+) octets$", path.read_text("ascii"), re.M):
            first.setdefault(what, size)
        requests = [first.get("PKCSReq") or first["RenewalReq"]]
        assert sizes == requests + [first.get(what, "") for what in ("CertRep PENDING", "CertPoll", "CertRep SUCCESS")]


# The text

INFORMATIVE = {"introduction", "additions", "overview", "implementation-status", "comparison", "examples"}
KEY_WORDS = r"\b(?:MUST|REQUIRED|SHALL|SHOULD|RECOMMENDED|MAY|OPTIONAL)\b"


def test_key_words_are_whole() -> None:
    """RFC 8174: only in capitals. Half of one, or a negation in lower case, would be read in either way."""
    text = " ".join(DOCUMENT.prose.split())
    assert not re.findall(r"\b(?:MUST|SHALL|SHOULD)(?: not| Not)\b|\b[Nn]ot RECOMMENDED\b", text)
    assert not re.findall(r"\bMAY (?:not|NOT)\b", text)
    assert not re.findall(r"\b(?:[Ss]hall|[Mm]ust not|[Ss]hould not|[Mm]ay not)\b", text)


def test_key_words_are_used_only_where_they_bind() -> None:
    assert "{::boilerplate bcp14-tagged}" in DOCUMENT.text.splitlines()
    assert not re.search(KEY_WORDS, DOCUMENT.abstract)
    assert not [heading for heading in DOCUMENT.headings if re.search(KEY_WORDS, heading)]
    for anchor, lines in DOCUMENT.sections.items():
        if anchor in INFORMATIVE or anchor.startswith("overview") or anchor == "Acknowledgements":
            assert not re.search(KEY_WORDS, "\n".join(lines)), anchor


def test_code_fits_the_page_and_all_is_ascii() -> None:
    """72 columns less the indentation of three."""
    too_long = [line for block in DOCUMENT.blocks for line in block.lines if len(line) > 69]
    assert not too_long
    assert DOCUMENT.text.isascii()
    assert all(block.text.isascii() for block in DOCUMENT.blocks)
    assert "\t" not in DOCUMENT.text


def test_references_are_cited_and_citations_defined() -> None:
    cited = set(citations(f"{DOCUMENT.middle}{DOCUMENT.back}"))
    assert not list(citations(DOCUMENT.abstract)), "an abstract has no references"
    assert "{::boilerplate bcp14-tagged}" in DOCUMENT.text
    by_boilerplate = {"RFC2119", "RFC8174"}
    assert set(DOCUMENT.front["ref"]) == by_boilerplate
    assert cited - set(DOCUMENT.anchors) - set(DOCUMENT.references) == set()
    assert set(DOCUMENT.references) - cited == by_boilerplate


def test_the_document_updates_rfc_8894() -> None:
    assert DOCUMENT.front["updates"] == 8894
    assert "updates RFC 8894" in " ".join(DOCUMENT.abstract.split())
    assert "This document updates {{RFC8894}}" in DOCUMENT.section("introduction")
