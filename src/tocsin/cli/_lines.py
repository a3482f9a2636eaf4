"""One line an alarm for people: columns, in colour on a terminal, plain into a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

from tocsin.cli._table import LEVEL_STYLES
from tocsin.cli._text import day_time, plain

if TYPE_CHECKING:
    from tocsin.models import AlarmLike

__all__ = ["Lines"]

_HEAD: Final = ("Time", "Severity", "Status", "Source", "Id", "Alarm")


class Lines:
    """Makes lines; the first one has the names of the columns above it.

    Args:
        console: What they are for; None: this process's stdout.
        id_size: Characters that the platform's ids have.
    """

    def __init__(self, console: Console | None = None, *, id_size: int = 10) -> None:
        self._sizes = (19, 8, 12, id_size, id_size, 0)
        self._console = console or Console(highlight=False, markup=False, emoji=False)
        self._begun = False

    def alarm(self, alarm: AlarmLike) -> bytes:
        """Give one alarm as a line."""
        level = alarm.level
        cells = (
            day_time(alarm.time),
            str(level or "?"),
            str(alarm.phase or "?"),
            plain(alarm.source_id, 40),
            plain(alarm.id, 40),
            plain(alarm.text),
        )
        styles = ("dim", LEVEL_STYLES[level], "", "", "dim", "")
        head = b"" if self._begun else self._line(_HEAD, ("dim",) * len(_HEAD))
        self._begun = True
        return head + self._line(cells, styles)

    def _line(self, cells: tuple[str, ...], styles: tuple[str, ...]) -> bytes:
        line = Text(no_wrap=True, overflow="ellipsis")
        for cell, size, style in zip(cells, self._sizes, styles, strict=True):
            line.append(cell, style)
            line.append(" " * (max(0, size - len(cell)) + 1) if size else "")
        if not self._console.is_terminal:
            return f"{line.plain.rstrip()}\n".encode(errors="replace")
        with self._console.capture() as captured:
            self._console.print(line, crop=True)
        return captured.get().encode(errors="replace")
