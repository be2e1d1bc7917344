"""Transcripts: the whole story of a case for the work folder, and a short normalised one for git."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from interop.kit.bench import Bench
from interop.kit.install import CHECKOUT
from interop.kit.messages import describe
from interop.kit.tee import Exchange

SHORT_LINES = 14
SHORT_WIDTH = 160
FIRST_BYTES = 48

_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.S)
_NORMALISATIONS = (
    (_PEM, r"(\1)"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"\b[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){15,}\b"), "<fingerprint>"),
    (re.compile(r"\b(?:[0-9A-F]{8} ){3,}[0-9A-F]{8}\b"), "<fingerprint>"),
    (re.compile(r"\b(?=[0-9a-fA-F]*[0-9])(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{30,}\b"), "<hex>"),
    (re.compile(r"\b\d{17,}\b"), "<number>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z| ?UTC)?"), "<time>"),
    (re.compile(r"[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d(?: UTC)? \d{4}"), "<time>"),
    (re.compile(r"\b\d{14}(?:-\d+)?\b"), "<time>"),
    (re.compile(r"\([A-Za-z0-9+/]{27}=?\)"), "(<base64>)"),
    (re.compile(r"\b[A-Z2-7]{32}\b"), "<challenge password>"),
    (re.compile(r"took=\S+"), "took=…"),
    (re.compile(r"\[\d+\]"), "[PID]"),
    (re.compile(r"\bca-[0-9a-f]{16}\b"), "ca-<16 hex>"),
)


def full(bench: Bench, heading: str) -> str:
    """Commands with all output, exchanges with headers and first bytes, the server's log."""
    parts = [heading, ""]
    for result in bench.results:
        parts.append(f"$ {result.command_line}\n[exit code {result.code}]\n{result.stdout}{result.stderr}")
    parts += [f"note: {note}" for note in bench.notes]
    parts.append("--- HTTP")
    for exchange in bench.exchanges():
        parts.append(_line(exchange))
        parts += [f"    {name}: {value}" for name, value in exchange.request.headers.items()]
        parts.append(f"    > {_first(exchange.message)}")
        parts.append(f"    < {_first(exchange.answer)}")
    parts += ["--- server log", bench.server_log()]
    return "\n".join(parts) + "\n"


def short(bench: Bench, heading: str) -> str:
    """The same without log, headers and bytes, cut to a screen and with everything that changes from run to run
    replaced."""
    parts = [heading, ""]
    for result in bench.results:
        argv = " ".join((Path(result.argv[0]).name, *result.argv[1:]))
        parts.append(f"$ {argv}  [exit code {result.code}]")
        parts += [f"  {line}" for line in _cut(normalise(result.stdout + result.stderr, bench.folder))]
    parts += [f"note: {note}" for note in bench.notes]
    parts += [_line(exchange) for exchange in bench.exchanges()]
    return normalise("\n".join(parts), bench.folder) + "\n"


def normalise(text: str, folder: Path) -> str:
    """Replace folders, ports, times, fingerprints, serials and PEM blocks."""
    text = text.replace(str(folder), "DIR").replace(str(folder.parent), "PEER").replace(str(CHECKOUT), "CHECKOUT")
    text = re.sub(r"\S*/\.cache/interop/([a-z]+)[-0-9a-f]*", r"CACHE/\1", text)
    for pattern, replacement in _NORMALISATIONS:
        text = pattern.sub(replacement, text)
    return text


def _cut(text: str) -> list[str]:
    lines = [line[:SHORT_WIDTH] for line in text.splitlines() if line.strip() and not _noise(line)]
    if len(lines) <= SHORT_LINES:
        return lines
    return [*lines[: SHORT_LINES // 2], f"… {len(lines) - SHORT_LINES} lines …", *lines[-SHORT_LINES // 2 :]]


def _noise(line: str) -> bool:
    """strongSwan lists the plugins it did not find, and its TPM library complains, on every run."""
    return line.startswith(("plugin '", "TPM 2.0"))


def _line(exchange: Exchange) -> str:
    method, _, rest = exchange.request.start_line.partition(" ")
    target = re.sub(r"(message=.{24})[^ ]*", r"\1…", rest)
    request = f"{method} {target}"
    if exchange.operation == "PKIOperation":
        request += f" ({len(exchange.message)} bytes: {describe(exchange.message) or 'not understood'})"
    if exchange.response is None:
        return f"{request}\n  -> no answer"
    status = exchange.response.start_line.partition(" ")[2]
    kind = exchange.response.headers.get("content-type", "no Content-Type")
    body = exchange.answer
    said = describe(body) or (" ".join(body.decode("utf-8", "replace").split())[:200] if kind[:4] == "text" else "")
    return f"{request}\n  -> {status}, {kind}, {len(body)} bytes{': ' + said if said else ''}"


def _first(data: bytes) -> str:
    return base64.b64encode(data[:FIRST_BYTES]).decode() + ("…" if len(data) > FIRST_BYTES else "")
