"""The operator's log: what a line is made of, and the two forms it is written in, text and JSON (deploy/LOG.md).

A line never spans two, and nothing that a peer sends can forge one: values are quoted as JSON with all but ASCII
escaped, and whatever else could end a line or turn the writing direction is shown as an escape.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from scep_kem.terminal import printable

TEXT, JSON = "text", "json"
FORMATS = (TEXT, JSON)

# The most of a value that is written; the rest, which may be a megabyte of a peer's, is counted.
MOST = 1000

# The same of a message that is no Line, and of a traceback, whose last line may quote what a peer sent.
MOST_OF_A_TEXT = 20_000

Value = str | int | float


@dataclass(frozen=True)
class Line:
    """A message for a logger, instead of a text. kind, outcome: what was asked and what became of it, each in a word
    or two and without anything of a peer's. fields: by name; no secrets.
    """

    kind: str
    outcome: str
    fields: Mapping[str, Value]

    def __str__(self) -> str:
        """As text: kind, outcome, then name="value" of each field."""
        shown = (f"{name}={json.dumps(value)}" for name, value in self.cut().items())
        return " ".join([self.kind, self.outcome, *shown])

    def cut(self) -> dict[str, Value]:
        """The fields, long texts cut."""
        return {name: _cut(value, MOST) if isinstance(value, str) else value for name, value in self.fields.items()}


def configure(form: str) -> None:
    """Write the program's log to stderr in this form, unless somebody has given the root logger handlers of their own.

    May be called again, with another form.
    """
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(_Stderr(sys.stderr))
        root.setLevel(logging.INFO)
        logging.getLogger("alembic").setLevel(logging.WARNING)  # how tables are made is its own affair
    for handler in root.handlers:
        if isinstance(handler, _Stderr):
            handler.setFormatter(formatter(form))


def formatter(form: str) -> logging.Formatter:
    """What writes lines in this form."""
    return JsonFormatter() if form == JSON else TextFormatter()


class TextFormatter(logging.Formatter):
    """Moment, level, logger and message. A traceback follows with each of its lines indented, so that none of them
    looks like a line of the log.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line. What another handler's formatter has left in the record is not used."""
        said = printable(_message(record))
        line = f"{self.formatTime(record)} {record.levelname} {record.name}: {said}"
        if not record.exc_info:
            return line
        trace = _cut(self.formatException(record.exc_info), MOST_OF_A_TEXT).split("\n")
        return "\n".join([line, *(f"    {printable(item)}" for item in trace)])


class JsonFormatter(logging.Formatter):
    """One object a line, in ASCII: time, level, logger, then the parts of a Line, with _ for the blanks in
    names, or message; traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        entry: dict[str, Value] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
        }
        if isinstance(record.msg, Line):
            entry |= {"kind": record.msg.kind, "outcome": record.msg.outcome}
            entry |= {name.replace(" ", "_"): value for name, value in record.msg.cut().items()}
        else:
            entry["message"] = _message(record)
        if record.exc_info:
            entry["traceback"] = _cut(self.formatException(record.exc_info), MOST_OF_A_TEXT)
        return json.dumps(entry)


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]  # generic for type checkers only
    """The handler that is ours."""


def _message(record: logging.LogRecord) -> str:
    said = record.getMessage()
    return said if isinstance(record.msg, Line) else _cut(said, MOST_OF_A_TEXT)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"
