"""Text that others wrote, made safe to print on one line of a terminal."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["clock_time", "counted", "day_time", "plain"]

_SEQUENCE: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?)|\x9b[0-?]*[ -/]*[@-~]"
)
"""What terminals take for a command (ECMA-48): it goes as a whole, or its letters would stay behind."""
_DROPPED: Final = frozenset({"Cc", "Cf", "Cs", "Co"})
_KEPT: Final = frozenset("\u200c\u200d")
"""The two joiners: several scripts and emoji need them, and they move nothing."""
_SPACES: Final = frozenset("\t\n\v\f\r\x85\u2028\u2029")
_READ: Final = 4
"""How many characters are looked at for each one that may be shown; the rest of a huge text is not."""


def plain(text: str | None, limit: int = 300) -> str:
    """Gives text without anything that could steer a terminal or turn the reading direction.

    Control, format (bidirectional marks among them), surrogate and private characters are dropped; line
    breaks and tabs become spaces, runs of spaces become one.

    Args:
        text: What an alarm or a server said; None is an empty string.
        limit: The longest result, in characters; a cut is marked.
    """
    if not text:
        return ""
    head = text[: limit * _READ]
    if not (head.isascii() and head.isprintable()):
        head = "".join(kept(character) for character in _SEQUENCE.sub("", head))
    words = " ".join(head.split())
    if len(words) <= limit and len(text) <= limit * _READ:
        return words
    return words[: limit - 1] + "…"


def kept(character: str) -> str:
    """Gives what stands for one character: itself, a space or nothing."""
    if character in _SPACES:
        return " "
    if character in _KEPT or unicodedata.category(character) not in _DROPPED:
        return character
    return ""


def counted(number: int, noun: str) -> str:
    """Gives a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def clock_time(moment: datetime | None) -> str:
    """Gives a moment as the wall clock of this machine shows it; nothing for None."""
    return "" if moment is None else moment.astimezone().strftime("%H:%M:%S")


def day_time(moment: datetime | None) -> str:
    """Gives a moment as day and wall clock of this machine show it; nothing for None."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
