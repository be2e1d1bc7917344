"""The test cases of drafts/vectors: our responder and client run them all, and each negative one has one defect."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from drafts.tools.testkit.ours import run
from drafts.tools.testkit.requirements import DRAFT, REQUIREMENTS
from drafts.vectors import runner
from drafts.vectors.runner import CASES, Case, Result, Unreadable, differences
from tests.drafts.places import places

NAMES = sorted(path.stem for path in CASES.glob("*.txt"))
FOLDER = CASES.parent
RUNNER = FOLDER / "runner.py"
README = (FOLDER / "README.md").read_text()


def case(name: str) -> Case:
    return Case.decode((CASES / f"{name}.txt").read_text("ascii"))


ALL = {name: case(name) for name in NAMES}
NEGATIVE = [name for name in NAMES if "defect" in ALL[name].headers]


@pytest.mark.parametrize("name", NAMES)
def test_our_code_does_what_the_case_says(name: str) -> None:
    result = run(ALL[name])
    assert result.outcome == ALL[name].header("expect")
    assert differences(ALL[name], result, text=True) == []


def test_there_are_enough_of_every_kind() -> None:
    assert len(NEGATIVE) >= 120
    assert len(NEGATIVE) > len(NAMES) / 2
    roles = Counter(item.header("role") for item in ALL.values())
    assert roles["ca"] >= 60
    assert roles["client"] >= 60
    assert roles["derivation"] >= 10


@pytest.mark.parametrize("name", NEGATIVE)
def test_a_negative_case_differs_from_one_that_works_in_one_place(name: str) -> None:
    twin = ALL[ALL[name].header("twin")]
    assert "defect" not in twin.headers, "the twin is negative, too"
    assert twin.header("role") == ALL[name].header("role")
    assert len(places(ALL[name], twin)) == 1, places(ALL[name], twin)


@pytest.mark.parametrize("name", NAMES)
def test_a_case_says_what_it_is(name: str) -> None:
    found = ALL[name]
    negative = name in NEGATIVE
    assert found.header("name") == name
    assert found.header("description")
    assert found.header("requirement") in REQUIREMENTS
    assert found.header("requirement").split("-")[0] == found.header("role")
    assert ("twin" in found.headers) == negative
    assert negative == found.header("expect").startswith(("rejected", "FAILURE", "HTTP")), found.header("expect")
    assert not negative or found.header("text")


def test_every_requirement_has_a_case_and_every_must_a_negative_one() -> None:
    by_requirement = Counter(item.header("requirement") for item in ALL.values())
    assert set(by_requirement) == set(REQUIREMENTS)
    refused = {ALL[name].header("requirement") for name in NEGATIVE}
    never_refused = {
        name for name, item in REQUIREMENTS.items() if item.level.startswith("MUST") and name not in refused
    }
    # What only says what has to work, or compares values
    assert never_refused == {
        *("ca-mandatory", "ca-kem-challenge", "ca-confirm", "ca-states", "ca-replay", "ca-copies"),
        *("client-challenge", "client-expires", "client-fail-info", "client-ra-authentication", "client-success"),
        *(name for name in REQUIREMENTS if name.startswith("derivation-")),
    }


def test_the_draft_has_the_sections_that_requirements_name() -> None:
    text = (FOLDER.parent / "draft-todo-lamps-scep-kem.md").read_text()
    anchors = set(re.findall(r"^#+ .*\{(#[\w-]+)\}$", text, re.MULTILINE))
    named = {where for item in REQUIREMENTS.values() for document, where in item.where if document == DRAFT}
    assert named
    assert named <= anchors


# The documentation


def words(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def test_the_documentation_names_every_header_and_block() -> None:
    documented = words(README)
    for name in (*runner.HEADERS, *runner.BLOCKS):
        assert name in documented, name


def test_what_the_documentation_names_is_in_use() -> None:
    used = {name for item in ALL.values() for name in (*item.headers, *item.blocks)}
    assert used >= {*runner.HEADERS, *runner.BLOCKS}
    documented = {name for name in words(README) if name.startswith(runner.EXPECTED) and name != runner.EXPECTED}
    derived = {name for item in ALL.values() if item.header("role") == "derivation" for name in item.blocks}
    values = {name for name in used if name.startswith(runner.EXPECTED)} - derived
    assert values <= documented | {"expect-mac", "expect-context"}
    assert documented <= used


def test_outcomes_and_policies_are_in_the_documented_vocabulary() -> None:
    documented = words(README)
    outcomes = {text for item in ALL.values() for text in (item.header("expect"), *item.headers.get("also", ()))}
    for outcome in outcomes:
        assert outcome in documented or outcome.removeprefix("rejected ") in documented, outcome
    policies = {word for item in ALL.values() for word in item.header("policy").split()}
    for word in policies:
        assert word in documented or f"{word.partition('=')[0]}=" in documented, word


# The runner


def test_the_runner_needs_nothing_but_the_standard_library() -> None:
    nodes = list(ast.walk(ast.parse(RUNNER.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {"." * node.level + (node.module or "") for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_the_runner_works_as_it_says_in_a_folder_of_its_own(tmp_path: Path) -> None:
    """The lines in its docstring, with an implementation that is right in its own words."""
    assert runner.__doc__
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "one.txt").write_text((CASES / "ca-digest-md5.txt").read_text())
    (tmp_path / "runner.py").write_text(RUNNER.read_text())
    lines = "\n".join(line[4:] for line in runner.__doc__.splitlines() if line.startswith("    "))
    mine = lines.replace("...", 'return Result("FAILURE badAlg", "no MD5")')
    (tmp_path / "mine.py").write_text(f"import sys\n{mine}\n")
    done = subprocess.run([sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok    ca-digest-md5  FAILURE badAlg\n", "")


def test_the_runner_alone_says_what_it_needs() -> None:
    done = subprocess.run([sys.executable, RUNNER], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1


def write(folder: Path, text: str) -> str:
    path = folder / "case.txt"
    path.write_text(text)
    return str(path)


GOOD = (CASES / "ca-pkcsreq-rsa.txt").read_text("ascii")


def test_the_runner_says_what_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main([write(tmp_path, GOOD)], run) == 0
    assert capsys.readouterr().out == "ok    ca-pkcsreq-rsa  SUCCESS\n"


def test_the_runner_runs_every_case_and_fails_if_one_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main([], lambda given: Result("SUCCESS")) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(NAMES)
    assert "FAIL  ca-digest-md5  FAILURE badAlg  outcome: 'SUCCESS', not 'FAILURE badAlg'" in "\n".join(lines)


def test_the_runner_compares_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = re.sub("expect-subject: .*", "expect-subject: CN=somebody", GOOD)
    assert runner.main([write(tmp_path, wrong)], run) == 1
    assert "subject: 'CN=device,O=Example', not 'CN=somebody'" in capsys.readouterr().out


def test_the_runner_compares_words_if_it_is_told_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, (CASES / "ca-digest-md5.txt").read_text("ascii"))
    assert runner.main([path], lambda given: Result("FAILURE badAlg", "no MD5")) == 0
    assert runner.main([path], lambda given: Result("FAILURE badAlg", "no MD5"), text=True) == 1
    assert "text: 'no MD5', not 'digest MD5" in capsys.readouterr().out


def test_the_runner_goes_on_after_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def crash(given: Case) -> Result:
        raise RuntimeError("no")

    path = write(tmp_path, GOOD)
    assert runner.main([path, path], crash) == 1
    assert capsys.readouterr().out == "FAIL  ca-pkcsreq-rsa  SUCCESS  RuntimeError: no\n" * 2


def test_another_outcome_may_be_as_good() -> None:
    found = next(item for item in ALL.values() if "also" in item.headers)
    assert differences(found, Result(found.header("also"), "in other words")) == []
    assert differences(found, Result("SUCCESS", "in other words")) != []


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD.replace("testkit/1", "testkit/2"),
        GOOD.replace("policy: ", "police: "),
        GOOD.replace("--- message", "--- massage"),
        GOOD.replace("\n--- ca-key\n", "\n--- ca-key\n!"),
    ],
)
def test_what_is_not_this_format_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Case.decode(text)


def test_a_block_has_to_be_there_once() -> None:
    with pytest.raises(Unreadable, match="0 blocks reply"):
        ALL["ca-pkcsreq-rsa"].block("reply")


def test_a_ca_that_does_not_repeat_its_recorded_answers_is_found_out() -> None:
    text = (CASES / "ca-confirm.txt").read_text("ascii").replace("seed: vectors/kem", "seed: vectors/another")
    with pytest.raises(AssertionError, match="not the one recorded"):
        run(Case.decode(text))
