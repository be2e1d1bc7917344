"""The Internet-Draft's Markdown, read as far as the tests need it: front matter, sections, tables, code blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

DRAFTS = Path(__file__).resolve().parents[2] / "drafts"
SOURCE = DRAFTS / "draft-todo-lamps-scep-kem.md"
_FENCE = re.compile(r"^~~~+ *(\S*)$")
_INCLUDE = re.compile(r"^\{::include (\S+)\}$")
_HEADING = re.compile(r"^#+ (.*?)(?: *\{#([\w-]+)\})?$")
_ATTRIBUTES = re.compile(r"^\{: #([\w-]+)[ }]")


@dataclass
class Block:
    """A fenced block. kind: what stands after the fence, "asn.1" or "ascii-art"."""

    kind: str
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class Document:
    """text: the whole file. prose: what is neither front matter nor in a fenced block nor in a table."""

    def __init__(self, text: str) -> None:
        self.text = text
        front, self.abstract, self.middle, self.back = re.split(
            r"^--- (?:abstract|middle|back)$", text, flags=re.MULTILINE
        )
        self.front: dict[str, Any] = yaml.safe_load(front.removeprefix("---"))
        self.blocks: list[Block] = []
        self.includes: list[str] = []
        self.tables: dict[str, list[dict[str, str]]] = {}
        self.headings: list[str] = []
        self.sections: dict[str, list[str]] = {}
        self.anchors: list[str] = []
        self._read(f"{self.abstract}{self.middle}{self.back}".splitlines())

    @property
    def references(self) -> dict[str, Any]:
        """What is defined in the front matter: key to entry."""
        return {key: value for part in ("ref", "normative", "informative") for key, value in self.front[part].items()}

    @property
    def prose(self) -> str:
        return "\n".join(line for lines in self.sections.values() for line in lines)

    def section(self, anchor: str) -> str:
        """The prose of a section without its subsections, on one line."""
        return " ".join(" ".join(self.sections[anchor]).split())

    def terms(self, anchor: str) -> dict[str, str]:
        """The definition lists in a section: term to definition, each on one line."""
        found: dict[str, str] = {}
        lines = self.sections[anchor]
        current = None
        for number, line in enumerate(lines):
            if line.startswith(": "):
                current = lines[number - 1].removesuffix(":")
                found[current] = line[2:]
            elif current and line.startswith("  "):
                found[current] += f" {line.strip()}"
            else:
                current = None
        return found

    def _read(self, lines: list[str]) -> None:
        block, table, section = None, [], "front"
        for line in lines:
            if (include := _INCLUDE.match(line)) is not None:
                self.includes.append(include[1])
                (block.lines if block else []).extend((DRAFTS / include[1]).read_text().splitlines())
            elif (fence := _FENCE.match(line)) is not None:
                if block is None:
                    self.blocks.append(block := Block(fence[1]))
                else:
                    block = None
            elif block is not None:
                block.lines.append(line)
            elif line.startswith("|"):
                table.append([cell.strip() for cell in line.strip("|").split("|")])
            else:
                section = self._outside(line, table, section)
        assert block is None, "a fence is not closed"

    def _outside(self, line: str, table: list[list[str]], section: str) -> str:
        if (attributes := _ATTRIBUTES.match(line)) is not None:
            self.anchors.append(attributes[1])
            if table:
                head, _rule, *rows = table
                self.tables[attributes[1]] = [dict(zip(head, row, strict=True)) for row in rows]
        elif (heading := _HEADING.match(line)) is not None:
            self.headings.append(heading[1])
            section = heading[2] or heading[1]
            self.anchors.append(section)
            self.sections[section] = []
        else:
            self.sections.setdefault(section, []).append(line)
        assert not table or line.startswith("{:"), f"a table has no anchor: {table[0]}"
        table.clear()
        return section


def words(asn1: str) -> list[str]:
    """ASN.1 as lexical items, without comments."""
    bare = re.sub(r"--.*?(?:--|$)", "", asn1, flags=re.MULTILINE)
    return re.findall(r'"[^"]*"|::=|\.\.\.|\.\.|[\w&-]+|\S', bare)


def citations(text: str) -> Iterator[str]:
    """What {{...}} refers to."""
    for inside in re.findall(r"\{\{([^}]+)\}\}", text):
        yield re.sub(r"^Sections? .* of ", "", re.sub(r",.*| \(.*", "", inside)).strip()
