"""`python -m drafts`: what each subcommand does, what it says and its exit code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from drafts.tools import DRAFTS, command
from drafts.tools.build import BuildFailed
from drafts.tools.made_files import MadeFiles
from drafts.tools.testkit.scene import WrongCase
from drafts.vectors.runner import CASES

MAKERS = ("examples", "vectors")
CASE = CASES / "ca-pkcsreq-rsa.txt"


# What stands in the folder


@pytest.mark.parametrize("maker", MAKERS)
def test_the_files_are_those_that_the_code_makes(maker: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([maker, "--check"]) == 0, capsys.readouterr().out
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("maker", "by_hand"),
    [("examples", ["README.md"]), ("vectors", ["README.md", "__init__.py", "runner.py"])],
)
def test_the_rest_is_written_by_hand(maker: str, by_hand: list[str]) -> None:
    """Nothing escapes the comparison but these files."""
    made = command.MADE[maker]
    assert made.folder == DRAFTS / maker
    compared = MadeFiles(made.folder, dict, made.places, made.by_hand).check()
    there = {path.relative_to(made.folder).as_posix() for path in made.folder.rglob("*") if path.is_file()}
    assert sorted(name for name in there - compared.keys() if "__pycache__" not in name) == by_hand


# examples, vectors


@pytest.fixture(params=MAKERS)
def maker(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A subcommand that makes two files in a folder of its own."""
    files = {"one.txt": b"1\n", "two/2.der": b"2"}
    monkeypatch.setitem(command.MADE, request.param, MadeFiles(tmp_path, lambda: files))
    return str(request.param)


def test_made_and_compared(maker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([maker]) == 0
    assert capsys.readouterr().out == f"{maker}: 2 files, 2 changed or removed\n"
    assert (tmp_path / "two" / "2.der").read_bytes() == b"2"
    assert command.main([maker, "--check"]) == 0
    assert capsys.readouterr() == ("", "")


def test_check_names_what_differs_and_writes_nothing(
    maker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.txt").write_bytes(b"another\n")
    (tmp_path / "stale.txt").write_bytes(b"")
    assert command.main([maker, "--check"]) == 1
    assert capsys.readouterr() == (
        f"{maker}/one.txt: changed\n{maker}/stale.txt: surplus\n{maker}/two/2.der: missing\n",
        "",
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.txt", "stale.txt"]
    assert (tmp_path / "one.txt").read_bytes() == b"another\n"


@pytest.mark.parametrize("arguments", [["vectors"], ["vectors", "--check"]], ids=" ".join)
def test_a_case_that_is_wrong_is_told_without_a_trace(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> dict[str, bytes]:
        raise WrongCase("ca-one: SUCCESS, not PENDING")

    monkeypatch.setitem(command.MADE, "vectors", MadeFiles(tmp_path, fail))
    assert command.main(arguments) == 1
    assert capsys.readouterr() == ("", "python -m drafts vectors: ca-one: SUCCESS, not PENDING\n")
    assert list(tmp_path.iterdir()) == []


# build


def test_build_builds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "build", lambda: print("built"))
    assert command.main(["build"]) == 0
    assert capsys.readouterr() == ("built\n", "")


@pytest.mark.parametrize(
    "error", [BuildFailed("xml2rfc says: no"), subprocess.CalledProcessError(1, ["npm"])], ids=["said", "status"]
)
def test_a_build_that_fails_says_why(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(command, "build", fail)
    assert command.main(["build"]) == 1
    assert capsys.readouterr() == ("", f"python -m drafts build: {error}\n")


# run


def test_run_runs_the_named_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.txt"
    wrong.write_text(re.sub("expect-subject: .*", "expect-subject: CN=somebody", CASE.read_text("ascii")))
    assert command.main(["run", str(CASE)]) == 0
    assert capsys.readouterr().out == "ok    ca-pkcsreq-rsa  SUCCESS\n"
    assert command.main(["run", str(CASE), str(wrong)]) == 1
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["ok", "FAIL"]


def test_run_compares_our_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reworded = tmp_path / "reworded.txt"
    reworded.write_text(re.sub("\ntext: .*", "\ntext: no", (CASES / "ca-digest-md5.txt").read_text("ascii")))
    assert command.main(["run", str(reworded)]) == 1
    assert "not 'no'" in capsys.readouterr().out


def test_what_is_no_case_is_a_wrong_argument(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["run", str(tmp_path / "none.txt")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


# Arguments


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["bild"], "bild"),
        (["--check"], "COMMAND"),
        (["build", "--check"], "--check"),
        (["examples", "--chec"], "--chec"),
        (["examples", "--check=yes"], "yes"),
        (["vectors", "ca-confirm"], "ca-confirm"),
        (["vectors", "two\nlines"], "two lines"),
        (["run", "--check"], "--check"),
    ],
    ids=repr,
)
def test_wrong_arguments_get_one_line(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "build", lambda: pytest.fail("built"))
    monkeypatch.setattr(command, "MADE", {})
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("python -m drafts")
    assert said in err


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "drafts", "run", "none.txt"],
        cwd=DRAFTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("none.txt: ")


# The README of the folder

README = (DRAFTS / "README.md").read_text("utf-8")


def test_the_readme_names_what_stands_in_the_folder() -> None:
    named = re.findall(r"^\| \[([^]]+)\]", README, re.MULTILINE)
    there = [f"{path.name}/" if path.is_dir() else path.name for path in DRAFTS.iterdir()]
    python = {"__init__.py", "__main__.py", "__pycache__/"}
    assert sorted(named) == sorted({*there} - {"README.md", *python})
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert (DRAFTS / link).exists(), link


def test_the_readme_names_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"])
    known = re.findall(r"^    (\w+) +[A-Z]", capsys.readouterr().out, re.MULTILINE)
    assert known == ["build", "examples", "vectors", "run"]
    assert re.findall(r"^    python -m drafts (\w+)", README, re.MULTILINE) == known


def test_the_readme_is_one_screen() -> None:
    assert len(README.splitlines()) <= 40
