"""Files that a program makes: written, or compared with what stands there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class MadeFiles:
    """make: gives the files by their names in the folder. places: files and folders in it, "." for all of it, where
    whatever is neither made nor named in by_hand is surplus.
    """

    folder: Path
    make: Callable[[], Mapping[str, bytes]]
    places: tuple[str, ...] = (".",)
    by_hand: tuple[str, ...] = ()

    def check(self) -> dict[str, str]:
        """What differs, and how: "changed", "missing" or "surplus". In the order of the names."""
        return self._differences(self.make())

    def write(self) -> str:
        """Makes the folder hold what was made. Returns what was done, for people."""
        files = self.make()
        differing = self._differences(files)
        for name in differing:
            path = self.folder / name
            if name in files:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(files[name])
            else:
                path.unlink()
                if not any(path.parent.iterdir()):
                    path.parent.rmdir()
        return f"{len(files)} files, {len(differing)} changed or removed"

    def _differences(self, files: Mapping[str, bytes]) -> dict[str, str]:
        present = self._present()
        found = {}
        for name in sorted({*files, *present}):
            if name not in present:
                found[name] = "missing"
            elif name not in files:
                found[name] = "surplus"
            elif files[name] != present[name]:
                found[name] = "changed"
        return found

    def _present(self) -> dict[str, bytes]:
        places = [self.folder / place for place in self.places]
        paths = [path for place in places for path in (place, *place.rglob("*")) if path.is_file()]
        found = {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}
        return {name: octets for name, octets in found.items() if name not in self.by_hand}
