"""The rules of DESIGN.md that a program can check: which room may import which, and where there is no I/O."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Which rooms a room may import, beside itself. Siblings, the protocols, never import each other.
BELOW = ("kem", "pkix", "ca")
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "kem": (),
    "pkix": ("kem",),
    "ca": ("kem", "pkix"),
    "scep": BELOW,
    "scep_kem": (*BELOW, "scep"),
    "drafts": (*BELOW, "scep", "scep_kem"),
    "interop": (*BELOW, "scep", "scep_kem", "drafts"),
}
PROTOCOLS = ("scep",)
# Of a protocol, what its clients are and what only they use: it reaches no `ca`, directly or through others.
CLIENT_ONLY = ("scep/ca_certificates.py",)
SHIPPED = (*BELOW, *PROTOCOLS, "scep_kem")
# What does no I/O: all below the program, and what the program knows about messages, certificates and paths.
PURE = (
    *BELOW,
    *PROTOCOLS,
    *(
        "scep_kem/contents.py",
        "scep_kem/terminal.py",
        "scep_kem/trace.py",
        "scep_kem/trace_contents.py",
        "scep_kem/proxies.py",
    ),
    *("scep_kem/config_keys.py", "scep_kem/server/pages.py", "scep_kem/server/routes.py"),
)
# The SQL store is the one place below scep_kem/ that does I/O.
STORE_IO = {"ca/sql_store.py", "ca/sql_engine.py", "ca/sql_tables.py"}
# Importing liboqs-python safely means looking for its C library and silencing its logger.
OQS_IMPORT = {"kem/liboqs_library.py"}
FORBIDDEN_MODULES = {
    *("flask", "werkzeug", "urllib3", "http", "socket", "ssl", "requests", "subprocess"),
    *("logging", "click", "waitress", "pathlib", "tempfile", "shutil", "secrets", "random", "time"),
}
MESSAGE_TYPES = re.compile(
    r"PKCSReq|RenewalReq|CertPoll|CertRep|GetCert|PKCS ?#?10|pkiMessage|SCEP|RFC 8894"
    r"|simple(re)?enroll|fullcmc|EST|CMC|certConf|pollReq|CMP",
)
FORBIDDEN_CALLS = {"open", "print", "input"}
FORBIDDEN_ATTRIBUTES = {("os", "environ"), ("os", "urandom"), ("datetime", "now"), ("datetime", "utcnow")}


def modules(*rooms: str) -> list[Path]:
    """The modules of folders, and single ones."""
    return [
        path
        for room in rooms
        for path in ([ROOT / room] if room.endswith(".py") else sorted((ROOT / room).rglob("*.py")))
    ]


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def reached(start: Path) -> dict[Path, Path]:
    """The modules of ours that importing `start` imports, each with the one that does, packages too."""
    found, waiting = {start: start}, [start]
    while waiting:
        path = waiting.pop()
        for name in imported_of(ast.parse(path.read_text())):
            for module in file_of(name):
                if module not in found:
                    found[module] = path
                    waiting.append(module)
    return found


def imported_of(tree: ast.AST) -> Iterator[str]:
    """As `imported`, with what `from package import module` may mean."""
    yield from imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def file_of(name: str) -> Iterator[Path]:
    """The files behind a module's name, and those of the packages it is in; none if it is not ours."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        base = ROOT.joinpath(*parts[:end])
        yield from (path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file())


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", modules(*MAY_IMPORT), ids=relative)
def test_rooms_import_what_the_table_says(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    for name in imported(ast.parse(path.read_text())):
        top = name.split(".")[0]
        ours = top in MAY_IMPORT or top == "tests"
        assert not ours or top in (room, *MAY_IMPORT[room]), f"{relative(path)} imports {name}"


def clients() -> list[Path]:
    found = [path for room in PROTOCOLS for path in sorted((ROOT / room).glob("client*.py"))]
    return [*found, *modules(*CLIENT_ONLY)]


@pytest.mark.parametrize("path", clients(), ids=relative)
def test_clients_know_no_ca(path: Path) -> None:
    """Whoever wants a client alone should not have to read how certificates are issued."""
    for module, by in reached(path).items():
        assert module.relative_to(ROOT).parts[0] != "ca", f"{relative(by)} imports {relative(module)}"


def test_what_is_reached_is_followed_through_others() -> None:
    found = {relative(path) for path in reached(ROOT / "scep" / "client.py")}
    assert {"scep/__init__.py", "scep/attributes.py", "pkix/asn1.py", "kem/structures.py"} <= found
    assert "ca/store.py" in {relative(path) for path in reached(ROOT / "scep" / "responder.py")}


@pytest.mark.parametrize("path", modules(*PURE), ids=relative)
def test_the_pure_parts_do_no_io(path: Path) -> None:
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


@pytest.mark.parametrize("path", modules("ca"), ids=relative)
def test_reasons_name_no_message_type(path: Path) -> None:
    """They are said under every protocol."""
    for node in ast.walk(ast.parse(path.read_text())):
        said = ast.unparse(node) if isinstance(node, ast.Raise) else ""
        assert not MESSAGE_TYPES.search(said), f"{relative(path)}:{node.lineno} says {said}"


@pytest.mark.parametrize("path", modules("scep_kem"), ids=relative)
def test_one_module_knows_flask(path: Path) -> None:
    """That of the application; gunicorn's factory names its type."""
    knows = {"flask", "werkzeug"} & {name.split(".")[0] for name in imported(ast.parse(path.read_text()))}
    assert not knows or relative(path) in {"scep_kem/server/app.py", "scep_kem/wsgi.py"}


@pytest.mark.parametrize("path", modules(*SHIPPED), ids=relative)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{relative(path)} has no docstring"


@pytest.mark.parametrize("path", modules(*SHIPPED), ids=relative)
def test_modules_stay_readable(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500, f"{relative(path)} is longer than 500 lines"


def test_packages_are_listed() -> None:
    """The flat layout defeats auto-discovery, so a forgotten package would be missing after installation."""
    listed = (ROOT / "pyproject.toml").read_text()
    for package in {path.parent for path in modules(*SHIPPED)}:
        assert f'"{relative(package).replace("/", ".")}"' in listed


# Of a certificate, `extensions_of` and `extension_of` read each extension by itself, and one that cannot be read is no
# absent one (RFC 5280 section 4.2). `cryptography` reads all or none.
ASKED = re.compile(r"(\w+)\.extensions\b|get_extension_for_")
OWNERS = {
    *("request", "self", "wanted", "contents", "template", "found", "tbs", "pkix"),
    *("crl", "entry", "asked", "issuable"),  # of a CRL, everything counts
}


def test_nobody_asks_a_certificate_itself_for_its_extensions() -> None:
    asking = [
        (relative(path), line.strip())
        for room in ("ca", "pkix", "scep", "scep_kem")
        for path in sorted((ROOT / room).rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        for owner in ASKED.findall(line)
        if owner not in OWNERS
    ]
    assert [found for found in asking if found[0] != "pkix/certificates.py"] == []
    assert len(asking) == 2  # `extensions_of`, and where DER is decoded
