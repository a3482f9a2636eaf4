"""The live table: still unless something changes, coloured by severity, with a status line above it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from tocsin.cli._text import clock_time, counted
from tocsin.models import Action, Level, Origin, Phase, StreamState

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from tocsin.cli._board import Board, Row

__all__ = ["LEVEL_STYLES", "draw"]

LEVEL_STYLES: Final = {
    Level.CRITICAL: "bold white on red",
    Level.MAJOR: "bold red",
    Level.MINOR: "yellow",
    Level.WARNING: "cyan",
    None: "dim",
}
_STATES: Final = {
    StreamState.CONNECTED: ("●", "bold green"),
    StreamState.RECOVERING: ("●", "bold yellow"),
    StreamState.DEGRADED: ("●", "bold magenta"),
    StreamState.RECONNECTING: ("○", "bold red"),
    StreamState.CLOSED: ("○", "dim"),
}
_PHASES: Final = {Phase.ACTIVE: "bold", Phase.ACKNOWLEDGED: "green", Phase.CLEARED: "dim"}
_FRAME: Final = 4
"""Lines that the status, the counts, the heading and its rule take."""

Column = tuple[str, int, "Callable[[Row], Text]"]


def draw(board: Board, title: str, width: int, height: int) -> RenderableType:
    """Draw the whole screen.

    Args:
        board: What is known.
        title: What is watched; plain text.
        width: Columns of the terminal.
        height: Lines of the terminal; more is never drawn.
    """
    room = max(1, height - _FRAME - len(board.notes) - 1)
    rows = board.rows(room)
    hidden = len(board) - len(rows)
    parts: list[RenderableType] = [
        _status(board, title, width),
        _counts(board, width),
        _rows(rows, width, several=len(board.states) > 1),
    ]
    if not rows:
        parts.append(Text("  no open alarms", style="dim"))
    if hidden:
        parts.append(Text(f"  and {hidden} more", style="dim"))
    parts += [Text(f"» {note}", style="italic", no_wrap=True, overflow="ellipsis") for note in board.notes]
    return Group(*parts)


def _status(board: Board, title: str, width: int) -> Text:
    state = board.state
    if state is None:
        return _line(("○ starting", "dim"), (f"  {title}", ""), width=width)
    if len(board.states) > 1:
        return _line(*_all_states(board), (f"  {title}", "dim"), width=width)
    mark, style = _STATES[state.state]
    since = f" since {clock_time(state.at)}"
    cause = f": {state.cause}" if state.cause else ""
    return _line((f"{mark} {state.state}", style), (since + cause, ""), (f"  {title}", "dim"), width=width)


def _all_states(board: Board) -> list[tuple[str, str]]:
    """What each site does; why, where something is wrong."""
    parts: list[tuple[str, str]] = []
    for site, change in board.states.items():
        mark, style = _STATES[change.state]
        told = "" if change.state is StreamState.CONNECTED else f" {change.state}"
        cause = f": {change.cause}" if change.cause else ""
        parts += [(f"{mark} {change.site or site}{told}", style), (f"{cause}  ", "")]
    return parts


def _counts(board: Board, width: int) -> Text:
    counts = board.open_counts()
    parts: list[tuple[str, str]] = [(f"{sum(counts.values())} open", "bold")]
    for level, count in counts.items():
        parts += [("  ", ""), (f" {count} {str(level or 'unknown').lower()} ", LEVEL_STYLES[level])]
    told = f"{counted(board.changes, 'change')}, {board.recovered} recovered, {counted(board.gaps, 'gap')}"
    parts.append((f"   {told}", "dim"))
    if board.last_at is not None:
        parts.append((f", last {clock_time(board.last_at)}", "dim"))
    return _line(*parts, width=width)


def _line(*parts: tuple[str, str], width: int) -> Text:
    line = Text.assemble(*parts, no_wrap=True, overflow="ellipsis")
    line.truncate(width, overflow="ellipsis")
    return line


def _rows(rows: list[Row], width: int, *, several: bool) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, expand=True, pad_edge=False, padding=(0, 0), show_edge=False, header_style="dim"
    )
    columns = _columns(width, several=several)
    for name, size, _ in columns:
        if size:
            table.add_column(name, width=size, no_wrap=True, overflow="ellipsis")
        else:
            table.add_column(name, ratio=1, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(cell(row) for _, _, cell in columns), style="dim strike" if row.is_over else "")
    return table


def _columns(width: int, *, several: bool) -> list[Column]:
    wide = width >= 110
    columns: list[Column] = [
        ("Time", 8, lambda row: Text(clock_time(row.at), style="dim")),
        ("Severity", 8, lambda row: Text(str(row.level or "?"), style=LEVEL_STYLES[row.level])),
        ("Status", 12, lambda row: Text(_status_word(row), style=_PHASES.get(row.phase, "dim"))),  # type: ignore[arg-type]
        ("Source", 16 if wide else 8, lambda row: Text(row.source)),
        ("Alarm", 0, lambda row: Text(row.text)),
        ("Id", 12 if wide else 6, lambda row: Text(row.id, style="dim")),
    ]
    if several:
        columns.insert(3, ("Site", 12 if wide else 8, lambda row: Text(row.site)))
    if wide:
        columns.append(("Last change", 17, _news))
    return columns


def _status_word(row: Row) -> str:
    return "DELETED" if row.action is Action.DELETE else str(row.phase or "?")


def _news(row: Row) -> Text:
    word = str(row.action).lower()
    if row.origin is Origin.RECOVERED:
        return Text(f"{word}, recovered", style="magenta")
    return Text(word if row.origin is Origin.LIVE else str(row.origin), style="dim")
