"""Files that are made: what differs is named, and only that is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from drafts.tools.made_files import MadeFiles

FILES = {"INDEX.md": b"index\n", "cases/one.txt": b"1\n", "cases/two.txt": b"2\n"}


@pytest.fixture
def made(tmp_path: Path) -> MadeFiles:
    """Written once."""
    found = MadeFiles(tmp_path / "made", lambda: FILES)
    found.write()
    return found


def standing(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Octets and time of writing."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def damage(folder: Path) -> None:
    """Changes a file, takes one away, adds one beside the others and one in a folder of its own."""
    (folder / "INDEX.md").write_bytes(b"index\r\n")
    (folder / "cases" / "one.txt").unlink()
    (folder / "cases" / "three.txt").write_bytes(b"3\n")
    (folder / "stale").mkdir()
    (folder / "stale" / "empty").write_bytes(b"")


def test_nothing_differs_from_what_was_just_written(made: MadeFiles) -> None:
    assert {name: octets for name, (octets, _) in standing(made.folder).items()} == FILES
    assert made.check() == {}


def test_check_finds_a_changed_a_missing_and_a_surplus_file_and_writes_nothing(made: MadeFiles) -> None:
    damage(made.folder)
    before = standing(made.folder)
    assert made.check() == {
        "INDEX.md": "changed",
        "cases/one.txt": "missing",
        "cases/three.txt": "surplus",
        "stale/empty": "surplus",
    }
    assert list(made.check()) == sorted(made.check())
    assert standing(made.folder) == before


@pytest.mark.parametrize("name", FILES)
def test_check_finds_any_one_change(made: MadeFiles, name: str) -> None:
    (made.folder / name).write_bytes(FILES[name][:-1])
    assert made.check() == {name: "changed"}
    (made.folder / name).unlink()
    assert made.check() == {name: "missing"}


def test_an_empty_file_is_not_a_missing_one(tmp_path: Path) -> None:
    made = MadeFiles(tmp_path, lambda: {"empty": b""})
    assert made.check() == {"empty": "missing"}
    made.write()
    assert made.check() == {}


def test_a_folder_that_is_not_there_lacks_everything(tmp_path: Path) -> None:
    assert MadeFiles(tmp_path / "none", lambda: FILES).check() == dict.fromkeys(FILES, "missing")
    assert not (tmp_path / "none").exists()


def test_writing_mends_and_touches_nothing_else(made: MadeFiles) -> None:
    untouched = standing(made.folder)["cases/two.txt"]
    damage(made.folder)
    assert made.write() == "3 files, 4 changed or removed"
    assert made.check() == {}
    assert standing(made.folder)["cases/two.txt"] == untouched
    assert sorted(path.name for path in made.folder.iterdir()) == ["INDEX.md", "cases"]
    assert made.write() == "3 files, 0 changed or removed"


def test_what_is_written_by_hand_is_left_alone(made: MadeFiles) -> None:
    mixed = MadeFiles(made.folder, made.make, by_hand=("README.md",))
    (made.folder / "README.md").write_bytes(b"by hand\n")
    (made.folder / "cases" / "README.md").write_bytes(b"not this one\n")
    assert mixed.check() == {"cases/README.md": "surplus"}
    mixed.write()
    assert (made.folder / "README.md").read_bytes() == b"by hand\n"
    assert not (made.folder / "cases" / "README.md").exists()


def test_beside_the_places_anything_may_stand(made: MadeFiles) -> None:
    mixed = MadeFiles(made.folder, made.make, places=("cases", "INDEX.md"))
    (made.folder / "runner.py").write_bytes(b"by hand\n")
    assert mixed.check() == {}
    damage(made.folder)
    assert mixed.check() == {"INDEX.md": "changed", "cases/one.txt": "missing", "cases/three.txt": "surplus"}
    mixed.write()
    assert (made.folder / "runner.py").exists()
    assert (made.folder / "stale" / "empty").exists()
