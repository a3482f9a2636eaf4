"""What the documentation tests read out of markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<source>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    language: str
    source: str
    line: int


def pages() -> list[Path]:
    """All pages that users read."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[Block]:
    """The fenced blocks of one language, with the line on which each one's code begins."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found["language"], found["source"], text.count("\n", 0, found.start("source")) + 1)
        for found in FENCE.finditer(text)
        if found["language"] == language
    ]


def links(page: Path) -> list[str]:
    """All link targets outside fenced blocks."""
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    return [found["target"] for found in LINK.finditer(prose)]


def anchors(page: Path) -> set[str]:
    """The anchors that headings make, as GitHub spells them."""
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
