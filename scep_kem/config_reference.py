"""Every key of the configuration with its default, what it is for and what it may be, as a TOML file that is made of
`scep_kem.config_keys`.
"""

from __future__ import annotations

import json
import textwrap

from scep_kem import config_keys as keys
from scep_kem.config_keys import Key, Keys

TABLES: dict[str, tuple[str, Keys]] = {
    "ca": ("", keys.CA),
    "server": ("", keys.SERVER),
    "algorithms": ("what clients may use", keys.ALGORITHMS),
    "transactions": ("requests that are not answered at once", keys.TRANSACTIONS),
    "profiles.default": (
        "/scep; [profiles.NAME] is /scep/NAME",
        {name: key for name, key in keys.PROFILE.items() if name not in ("authorisation", "kem")},
    ),
    "profiles.default.authorisation": (
        "all off by default, which issues nothing; `ca init` switches two on",
        keys.AUTHORISATION,
    ),
    "profiles.default.kem": ("", keys.KEM),
}
_COLUMN = 38  # where comments begin
_WIDTH = 120


def reference() -> str:
    """A configuration that is as if it had ca.dir alone. A key without a default is in a comment."""
    return "\n".join(_table(name, doc, table) for name, (doc, table) in TABLES.items())


def _table(name: str, doc: str, table: Keys) -> str:
    lines = _beside([f"[{name}]"], doc)
    for key, found in table.items():
        lines += _beside(_setting(key, found), _comment(found))
    return "".join(f"{line}\n" for line in lines)


def _setting(name: str, key: Key) -> list[str]:
    if key.default is None:
        return [f"# {name} = {json.dumps(key.example)}"]
    begin = f"{name} = "
    text = begin + json.dumps(key.default)
    return textwrap.wrap(text, _WIDTH, subsequent_indent=" " * (len(begin) + 1), break_on_hyphens=False)


def _comment(key: Key) -> str:
    """What the key is for, and in brackets what is possible."""
    possible = key.possible if key.listed is None else key.listed
    return f"{key.doc} ({possible})" if key.doc and possible else key.doc or possible


def _beside(setting: list[str], comment: str) -> list[str]:
    """With the comment behind it, or below if it is long itself."""
    lines = textwrap.wrap(comment, _WIDTH - _COLUMN - 2, break_on_hyphens=False, break_long_words=False)
    below = [f"{'':{_COLUMN}}# {line}" for line in lines]
    if len(setting) == 1 and len(setting[0]) < _COLUMN and below:
        return [setting[0].ljust(_COLUMN) + below[0][_COLUMN:], *below[1:]]
    return [*setting, *below]
