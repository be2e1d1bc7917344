"""The rules of drafts/DESIGN.md that a program can check: imports point down, and the core does no I/O."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("kem", "pkix", "ca", "scep", "web")  # each may import itself and what stands before it
CORE = ("kem", "pkix", "ca", "scep")
# The SQL store is the one place below web/ that does I/O; alembic's environment belongs to it.
STORE_IO = {"ca/sql_store.py", "ca/sql_engine.py", "ca/sql_tables.py"}
# Importing liboqs-python safely means looking for its C library and silencing its logger.
OQS_IMPORT = {"kem/liboqs_library.py"}
FORBIDDEN_MODULES = {
    *("flask", "werkzeug", "urllib3", "http", "socket", "ssl", "requests", "subprocess"),
    *("logging", "click", "waitress", "pathlib", "tempfile", "shutil", "secrets", "random", "time"),
}
FORBIDDEN_CALLS = {"open", "print", "input"}
FORBIDDEN_ATTRIBUTES = {("os", "environ"), ("os", "urandom"), ("datetime", "now"), ("datetime", "utcnow")}


def modules(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", modules(*LAYERS), ids=relative)
def test_imports_point_down(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    ours = {*LAYERS, "drafts", "interop", "tests"}
    for name in imported(ast.parse(path.read_text())):
        top = name.split(".")[0]
        assert top not in ours or top in allowed, f"{relative(path)} imports {name}"


@pytest.mark.parametrize("path", modules(*CORE), ids=relative)
def test_the_core_does_no_io(path: Path) -> None:
    if relative(path) in STORE_IO | OQS_IMPORT or "migrations" in path.parts:
        return
    tree = ast.parse(path.read_text())
    for name in imported(tree):
        assert name.split(".")[0] not in FORBIDDEN_MODULES, f"{relative(path)} imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_CALLS, f"{relative(path)}:{node.lineno} calls {node.func.id}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            pair = (node.value.id, node.attr)
            assert pair not in FORBIDDEN_ATTRIBUTES, f"{relative(path)}:{node.lineno} uses {'.'.join(pair)}"


@pytest.mark.parametrize("path", modules("web"), ids=relative)
def test_only_web_knows_flask(path: Path) -> None:
    """And within web/, only the module of views, the page's caller and the WSGI entry."""
    knows = {"flask", "werkzeug"} & {name.split(".")[0] for name in imported(ast.parse(path.read_text()))}
    assert not knows or relative(path) in {"web/app.py", "web/wsgi.py"}


@pytest.mark.parametrize("path", modules(*LAYERS), ids=relative)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{relative(path)} has no docstring"


@pytest.mark.parametrize("path", modules(*LAYERS), ids=relative)
def test_modules_stay_readable(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500, f"{relative(path)} is longer than 500 lines"


def test_packages_are_listed() -> None:
    """The flat layout defeats auto-discovery, so a forgotten package would be missing after installation."""
    listed = (ROOT / "pyproject.toml").read_text()
    for package in {path.parent for path in modules(*LAYERS)}:
        assert f'"{relative(package).replace("/", ".")}"' in listed
