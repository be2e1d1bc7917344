"""roles.json: which generation of the CA is what, and which files are in force."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from scep_kem.generation_files import Stems

_GENERATION = re.compile(r"ca-[0-9a-f]{16}")
_STEM = re.compile(r"(?:ca|ra-[a-z0-9-]+)(?:\.[0-9a-f]{16})?")


@dataclass(frozen=True)
class Roles:
    """Folder names of the generations. ra: of a generation, the files of pairs that were replaced, the CA's own, too.
    earlier: of a generation, those of RAs that were renewed and still open envelopes, the latest first.
    """

    current: str
    next: str | None = None
    previous: tuple[str, ...] = ()
    ra: Mapping[str, Stems] = field(default_factory=dict)
    retired: tuple[str, ...] = ()
    earlier: Mapping[str, Sequence[Stems]] = field(default_factory=dict)

    @classmethod
    def decode(cls, data: bytes) -> Roles:
        """Raises ValueError, KeyError, TypeError or AttributeError for what `encode` has not made."""
        found = json.loads(data)
        ra = {name: dict(stems) for name, stems in found.get("ra", {}).items()}
        earlier = {name: [dict(stems) for stems in sets] for name, sets in found.get("earlier", {}).items()}
        previous, retired = tuple(found["previous"]), tuple(found.get("retired", ()))
        roles = cls(found["current"], found["next"], previous, ra, retired, earlier)
        items = [*ra.values(), *(stems for sets in earlier.values() for stems in sets)]
        stems = [stem for each in items for stem in each.values()]
        if not all(_GENERATION.fullmatch(name) for name in roles.folders) or not all(map(_STEM.fullmatch, stems)):
            raise TypeError
        return roles

    def encode(self) -> bytes:
        """As it stands in the file."""
        return json.dumps(asdict(self), indent=1).encode() + b"\n"

    @property
    def in_use(self) -> tuple[str, ...]:
        """Of the generations that clients may address."""
        return (self.current, *self.previous, *((self.next,) if self.next else ()))

    @property
    def folders(self) -> tuple[str, ...]:
        """Of all generations."""
        return (*self.in_use, *self.retired)

    def stems(self, name: str) -> Stems:
        """Of a generation's pairs that were replaced."""
        return self.ra.get(name, {})

    def with_stems(self, made: Mapping[str, Stems]) -> Mapping[str, Stems]:
        """`ra` once these files are in force, too."""
        return {**self.ra, **{name: {**self.stems(name), **stems} for name, stems in made.items()}}
