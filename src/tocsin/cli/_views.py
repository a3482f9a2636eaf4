"""Three ways to show a stream: JSON lines for programs, plain lines for pipes, a live table for people."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import anyio
from anyio import to_thread

from tocsin.cli._board import Board
from tocsin.cli._jsonl import RawAlarm, change_line, gap_line, state_line
from tocsin.cli._text import clock_time, counted, plain
from tocsin.models import Change, Gap, Origin

if TYPE_CHECKING:
    from rich.console import Console

    from tocsin._stream._states import StateChange
    from tocsin.cli._output import Output

__all__ = ["JsonView", "PlainView", "TableView", "View", "choose_view"]

_REDRAW: Final = 0.1
"""The least seconds between two pictures."""
_GLANCE: Final = 1.0
"""How often the size of the terminal is looked at while nothing happens."""

Item = Change[RawAlarm] | Gap


class View(Protocol):
    """Something that shows what a stream gives and does."""

    async def run(self) -> None:
        """Draw until cancelled; views that write at once have nothing to do here."""

    async def show(self, item: Item) -> None:
        """Show a change or a gap."""

    async def show_state(self, change: StateChange) -> None:
        """Show what the stream began to do."""

    async def note(self, sentence: str) -> None:
        """Show a remark that no stream made."""


def choose_view(output: Output, title: str, *, jsonl: bool, several: bool = False) -> View:
    """Give the view that fits: JSON lines if asked for, a table on a terminal, else plain lines.

    Args:
        output: Where lines go.
        title: What is watched.
        jsonl: Whether JSON lines are asked for, which always tell the site.
        several: Whether there are several sites, so that people must be told too.
    """
    if jsonl:
        return JsonView(output)
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        return TableView(console, title, several=several)
    return PlainView(output, several=several)


class JsonView:
    """One JSON object a line, flushed, and nothing else."""

    def __init__(self, output: Output) -> None:
        self._output = output

    async def run(self) -> None:
        """Nothing is drawn later."""

    async def show(self, item: Item) -> None:
        """Write a change or a gap."""
        await self._output.write(gap_line(item) if isinstance(item, Gap) else change_line(item))

    async def show_state(self, change: StateChange) -> None:
        """Write a state."""
        await self._output.write(state_line(change))

    async def note(self, sentence: str) -> None:
        """Nothing: a remark is not part of the format."""


class PlainView:
    """One plain line for each thing that happens."""

    def __init__(self, output: Output, *, several: bool = False) -> None:
        self._output = output
        self._several = several

    async def run(self) -> None:
        """Nothing is drawn later."""

    async def show(self, item: Item) -> None:
        """Write a change or a gap."""
        line = gap_text(item) if isinstance(item, Gap) else change_text(item)
        await self._output.write(f"{self._of(item.site)}{line}\n".encode())

    async def show_state(self, change: StateChange) -> None:
        """Write a state."""
        cause = f": {plain(change.cause, 200)}" if change.cause else ""
        line = f"{clock_time(change.at)} STATE  {change.state}{cause}"
        await self._output.write(f"{self._of(change.site)}{line}\n".encode())

    async def note(self, sentence: str) -> None:
        """Write a remark."""
        await self._output.write(f"         NOTE   {plain(sentence)}\n".encode())

    def _of(self, site: str) -> str:
        return f"{plain(site, 20):<10} " if self._several else ""


class TableView:
    """The live table on a terminal's second screen; what was on the first one is there again afterwards."""

    def __init__(self, console: Console, title: str, *, several: bool = False) -> None:
        self._console = console
        self._title = plain(title)
        self._changed = anyio.Event()
        self._several = several
        self.board = Board()

    async def run(self) -> None:
        """Draw whenever something changed, at most ten times a second."""
        from rich.live import Live

        from tocsin.cli._table import draw

        size = None
        with Live(console=self._console, screen=True, auto_refresh=False) as live:
            while True:
                stale = self.board.expire(anyio.current_time()) or self._changed.is_set()
                if stale or size != self._console.size:
                    self._changed, size = anyio.Event(), self._console.size
                    picture = draw(self.board, self._title, size.width, size.height)
                    await to_thread.run_sync(partial(live.update, picture, refresh=True))
                    await anyio.sleep(_REDRAW)
                with anyio.move_on_after(_GLANCE):
                    await self._changed.wait()

    async def show(self, item: Item) -> None:
        """Put a change or a gap into the next picture."""
        self.board.add(item, anyio.current_time())
        if isinstance(item, Gap):
            site = f"{plain(item.site, 20)} " if self._several else ""
            self.board.notes.append(f"{site}{gap_text(item)}")
        self._changed.set()

    async def show_state(self, change: StateChange) -> None:
        """Put a state into the next picture."""
        self.board.set_state(change)
        self._changed.set()

    async def note(self, sentence: str) -> None:
        """Put a remark under the table."""
        self.board.notes.append(plain(sentence))
        self._changed.set()


def change_text(change: Change[RawAlarm]) -> str:
    """Gives a change as one line without colours."""
    alarm = change.alarm
    told = "" if change.origin is Origin.LIVE else f" ({change.origin})"
    start = f"{clock_time(change.received_at)} {change.action:<6} "
    if alarm is None:
        return f"{start}{plain(change.id)}{told}"
    level, phase = str(alarm.level or "?"), str(alarm.phase or "?")
    names = f"{plain(change.id, 40):<8} {level:<8} {phase:<12} {plain(alarm.source_id, 40):<8}"
    return f"{start}{names} {plain(alarm.text)}{told}"


def gap_text(gap: Gap) -> str:
    """Gives a gap as one line."""
    if gap.recovered is None:
        result = "what was missed cannot be read back"
    else:
        result = f"{counted(gap.recovered, 'change')} read back"
    span = f"{clock_time(gap.since)} to {clock_time(gap.until)}"
    return f"{clock_time(gap.until)} GAP    {span}: {plain(gap.cause, 200)}; {result}"
