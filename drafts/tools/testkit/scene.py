"""How cases are put together: a scene is what several cases share, a case adds one message and what is expected."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from drafts.tools.testkit import ours
from drafts.vectors.runner import FORMAT, Case, Result

LINE = 76
_FIRST = ("format", "name", "role", "operation", "description", "defect", "requirement", "twin", "expect", "text")


@dataclass(frozen=True)
class Scene:
    """headers and blocks that all cases of a kind begin with, in the order of the file."""

    role: str
    headers: tuple[tuple[str, str], ...] = ()
    blocks: tuple[tuple[str, bytes], ...] = ()

    def plus(self, *blocks: tuple[str, bytes], **headers: str | Sequence[str]) -> Scene:
        """With more blocks, and with headers (`_` for `-`) in place of those of the same name."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        kept = [item for item in self.headers if item[0] not in given]
        for name, value in given.items():
            kept += [(name, text) for text in ([value] if isinstance(value, str) else value) if text]
        return replace(self, headers=tuple(kept), blocks=(*self.blocks, *blocks))

    def without(self, *names: str) -> Scene:
        """Without the blocks of these names."""
        return replace(self, blocks=tuple(item for item in self.blocks if item[0] not in names))

    def swapped(self, name: str, value: bytes) -> Scene:
        """With another value in the block of a name."""
        return replace(self, blocks=tuple((item, value if item == name else old) for item, old in self.blocks))


@dataclass(frozen=True)
class Told:
    """What a case says about itself. because: a part of our own error text, which shows that the case fails for its
    own reason. values: the expected values, by name without `expect-`. also: other outcomes that are as good.
    """

    name: str
    description: str
    requirement: str
    expect: str
    defect: str = ""
    twin: str = ""
    because: str = ""
    values: Mapping[str, str | bytes] = field(default_factory=dict)
    also: Sequence[str] = ()


class WrongCase(Exception):
    """Our own code does not do with a case what its definition says."""


def preview(scene: Scene) -> Case:
    """A scene as a case, to see what our CA would say in it."""
    return Case.decode(_encode(scene, Told("preview", "preview", "none", "nothing"), ""))


def finish(scene: Scene, told: Told) -> str:
    """The text of a case, after running it. Raises WrongCase."""
    case = Case.decode(_encode(scene, told, ""))
    result = ours.run(case)
    if result.outcome != told.expect or told.because not in result.text or bool(told.because) != bool(result.text):
        raise WrongCase(f"{told.name}: expected {told.expect} {told.because!r}, got {result.outcome} {result.text!r}")
    _check_values(told, result)
    return _encode(scene, told, result.text)


def _check_values(told: Told, result: Result) -> None:
    for name, value in told.values.items():
        wanted = value.hex() if isinstance(value, bytes) else value
        if result.values.get(name) != wanted:
            raise WrongCase(f"{told.name}: expected {name} {wanted}, got {result.values.get(name)}")


def _encode(scene: Scene, told: Told, text: str) -> str:
    headers = {
        "format": FORMAT,
        "name": told.name,
        "role": scene.role,
        "operation": dict(scene.headers).get("operation", ""),
        "description": told.description,
        "defect": told.defect,
        "requirement": told.requirement,
        "twin": told.twin,
        "expect": told.expect,
        "text": text,
    }
    lines = [f"{name}: {headers[name]}" for name in _FIRST if headers[name]]
    lines += [f"also: {outcome}" for outcome in told.also]
    lines += [f"expect-{name}: {value}" for name, value in told.values.items() if isinstance(value, str)]
    lines += [f"{name}: {value}" for name, value in scene.headers if name != "operation"]
    lines.append("")
    expected = [(f"expect-{name}", value) for name, value in told.values.items() if isinstance(value, bytes)]
    for name, octets in (*scene.blocks, *expected):
        lines += [f"--- {name}", *textwrap.wrap(base64.b64encode(octets).decode(), LINE)]
    return "\n".join(lines) + "\n"


Planned = tuple[Scene, Told]
