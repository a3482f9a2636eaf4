"""Frames of the Events and State WebSocket: commands out, replies and events in. No I/O.

Source: Milestone's public samples of the API; reference `xprotect.md` 5.2. Client frames carry a number, and
the reply to one carries the same number. Everything else the server sends is events. Rows are cut, not read:
a state of a large site is some megabytes in one frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tocsin._cut import excerpt, parse_object
from tocsin.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Frame", "Reply", "Row", "encode_command", "read_frame"]

_BAD_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_WORDS: Final = 200
_LISTS: Final = ("events", "states")


class _Wire(msgspec.Struct):
    """One frame. `Any`, because an odd field of a reply must not cost the reply."""

    command_id: Any = msgspec.field(default=None, name="commandId")
    status: Any = None
    error: Any = None
    session_id: Any = msgspec.field(default=None, name="sessionId")
    subscription_id: Any = msgspec.field(default=None, name="subscriptionId")
    events: list[msgspec.Raw] | None = None
    states: list[msgspec.Raw] | None = None


class _Mark(msgspec.Struct):
    """What tells one event from another."""

    id: str
    source: str | None = None
    group: str | None = msgspec.field(default=None, name="stategroupid")
    time: str | None = None


_frame: Final = msgspec.json.Decoder(_Wire)
_row: Final = msgspec.json.Decoder(_Mark)


@dataclass(frozen=True, slots=True)
class Row:
    """One event, not yet read.

    Attributes:
        id: In lower case.
        key: Of which source and state group it tells the state; None where it tells none.
        time: As it is written.
        raw: The event.
    """

    id: str
    key: tuple[str, str] | None
    time: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answered to a command.

    Attributes:
        command: The command's number; None where the server did not say.
        status: As in HTTP; 0 where it did not say.
        error: The server's words, cleaned; None where there are none.
        session: The session's id, or None.
        states: What a reply to ``getState`` tells, in order; None where it tells nothing.
    """

    command: int | None
    status: int
    error: str | None = None
    session: str | None = None
    states: tuple[Row, ...] | None = None

    @property
    def good(self) -> bool:
        """The command was done."""
        return 200 <= self.status <= 299


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of the server, sorted.

    Attributes:
        reply: The reply in it, if there is one.
        events: The events in it, in order.
        unreadable: How many rows could not be read.
    """

    reply: Reply | None = None
    events: tuple[Row, ...] = ()
    unreadable: int = 0


def encode_command(name: str, number: int, **arguments: Any) -> bytes:
    """Write one command."""
    return msgspec.json.encode({"command": name, "commandId": number, **arguments})


def read_frame(body: bytes) -> Frame:
    """Sort one message. A row that cannot be read is counted and costs none of its neighbours.

    Raises:
        ProtocolError: It is no JSON object, or a list in it is none.
    """
    try:
        wire = _frame.decode(body)
    except _BAD_JSON:
        wire = _read_oddly(body)
    else:
        if wire.command_id is None and wire.events is None:
            wire = _read_oddly(body)  # names may be spelled in other cases
    events, bad = _rows(wire.events)
    if wire.command_id is None and wire.status is None and wire.error is None:
        return Frame(None, events, bad)
    states: tuple[Row, ...] | None = None
    if wire.states is not None:
        states, worse = _rows(wire.states)
        bad += worse
    reply = Reply(
        _whole(wire.command_id),
        _whole(wire.status) or 0,
        _words(wire.error),
        wire.session_id if isinstance(wire.session_id, str) and wire.session_id else None,
        states,
    )
    return Frame(reply, events, bad)


def _read_oddly(body: bytes) -> _Wire:
    """Read what a strict parser refuses, or what spells its names in another way."""
    found = {name.lower(): value for name, value in parse_object(body, what="frame").items()}
    lists: dict[str, list[msgspec.Raw]] = {}
    for name in _LISTS:
        rows = found.get(name)
        if rows is None:
            continue
        if not isinstance(rows, list):
            raise ProtocolError(f"{name!r} of a frame is no list", detail=excerpt(body))
        lists[name] = [msgspec.Raw(msgspec.json.encode(row)) for row in rows]
    return _Wire(
        found.get("commandid"), found.get("status"), found.get("error"), found.get("sessionid"),
        found.get("subscriptionid"), lists.get("events"), lists.get("states"),
    )  # fmt: skip


def _rows(raws: Sequence[msgspec.Raw] | None) -> tuple[tuple[Row, ...], int]:
    if not raws:
        return (), 0
    rows = [row for row in map(_read_row, raws) if row is not None]
    return tuple(rows), len(raws) - len(rows)


def _read_row(raw: msgspec.Raw) -> Row | None:
    try:
        mark = _row.decode(raw)
    except _BAD_JSON:
        return _read_odd_row(bytes(raw))
    if not mark.id:
        return None
    whole = bytes(raw)  # a copy: the slice itself would keep the whole frame alive
    if mark.group is None and b"roup" in whole:  # spelled as REST does, perhaps
        return _read_odd_row(whole)
    return _made(mark.id, mark.source, mark.group, mark.time, whole)


def _read_odd_row(raw: bytes) -> Row | None:
    try:
        found = {name.lower(): value for name, value in parse_object(raw, what="event").items()}
    except ProtocolError:
        return None
    values = [found.get(name) for name in ("id", "source", "stategroupid", "time")]
    id_, source, group, time = (value if isinstance(value, str) else None for value in values)
    return _made(id_, source, group, time, raw) if id_ else None


def _made(id_: str, source: str | None, group: str | None, time: str | None, raw: bytes) -> Row:
    key = (source.lower(), group.lower()) if source and group else None
    return Row(id_.lower(), key, time or "", raw)


def _whole(value: object) -> int | None:
    """A number, which may come as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return None


def _words(error: object) -> str | None:
    """The server's words, whatever form its error has."""
    if isinstance(error, str):
        said: Iterable[object] = (error,)
    elif isinstance(error, dict):
        low = {str(name).lower(): value for name, value in error.items()}
        details = low.get("details")
        rows = details if isinstance(details, list) else ()
        parts = [row.get("errorText") for row in rows if isinstance(row, dict)]
        said = (low.get("errortext"), low.get("message"), *parts)
    else:
        return None
    text = "; ".join(part for part in said if isinstance(part, str) and part)[: 2 * _WORDS]
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())[:_WORDS] or None
