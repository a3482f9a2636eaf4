"""What a checkpoint holds, as values and as text. No I/O.

It is a set of records, each a key and a text:

    scope         what the stream follows, and the version of all this; another stream must not go on from it
    mark          up to where all is handled: the cursor, and which alarms were in doubt at that moment
    alarm/ID      the state of one alarm that the consumer has, or is taken to have

Alarms may be newer than the mark, never older: a sweep from the mark's cursor then finds what is missing,
and what it shows twice is equal to what is known. So alarms are written first, and the mark after them.
"""

# ruff: noqa: A001  (an alarm's id is called id, here and in what users see)

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tocsin.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Known", "Mark", "Start", "read_start", "write_known", "write_mark", "write_scope"]

VERSION: Final = 1
SCOPE: Final = "scope"
MARK: Final = "mark"
ALARM: Final = "alarm/"

_NONE: Final = "-"
_FLAGS: Final = (("exact", "x"), ("open", "o"), ("gone", "g"), ("shown", "s"), ("told", "t"))


class Known(NamedTuple):
    """The state of one alarm that the consumer has; each field as in a tracker's `Cell`."""

    core: bytes
    rest: bytes | None = None
    floor: int | None = None
    created: int | None = None
    exact: bool = False
    open: bool = False
    gone: bool = False
    shown: bool = False
    told: bool = False


class Mark(NamedTuple):
    """A moment of a stream.

    Attributes:
        at: When the stream was last known to be whole; aware UTC.
        begun: The first read was complete. If not, it has to be made again.
        started_at: The server time (ms) from which on every change is given.
        cursor: The server time (ms) up to which a complete sweep was applied.
        blind: The server does not tell ``lastUpdated``.
        forgotten: The largest ``lastUpdated`` of a closed alarm that was forgotten (ms).
        dirty: Alarms that were in doubt, or whose state waited for its message.
    """

    at: datetime
    begun: bool = False
    started_at: int | None = None
    cursor: int | None = None
    blind: bool = False
    forgotten: int | None = None
    dirty: tuple[str, ...] = ()


class Start(NamedTuple):
    """Where a stream goes on."""

    mark: Mark
    known: dict[str, Known]


def write_scope(scope: Mapping[str, Any]) -> str:
    """The record that says whose checkpoint it is."""
    return json.dumps({"version": VERSION, **scope}, sort_keys=True)


def write_mark(mark: Mark) -> str:
    """A mark as text."""
    return json.dumps({**mark._asdict(), "at": mark.at.isoformat()})


def write_known(known: Known) -> str:
    """A state as text: there may be a million of them, so it is short."""
    flags = "".join(letter for name, letter in _FLAGS if getattr(known, name)) or _NONE
    rest = _NONE if known.rest is None else _text(known.rest)
    floor, created = (_NONE if n is None else str(n) for n in (known.floor, known.created))
    return f"{_text(known.core)} {rest} {floor} {created} {flags}"


def read_start(records: Mapping[str, str], scope: Mapping[str, Any]) -> Start | None:
    """What a stream of this scope goes on from; None if nothing was kept yet.

    Raises:
        CheckpointError: It is damaged, newer, or about another stream.
    """
    if not records:
        return None
    try:
        kept = json.loads(records[SCOPE])
        version = kept.pop("version")
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise _damaged(error) from error
    if version != VERSION:
        raise CheckpointError(
            f"the checkpoint has format {version!r}, this version of tocsin reads {VERSION}", mismatch=True
        )
    _check_scope(kept, json.loads(json.dumps(scope)))
    try:
        mark = _read_mark(records[MARK])
        known = {
            key.removeprefix(ALARM): _read_known(text)
            for key, text in records.items()
            if key.startswith(ALARM)
        }
    except (KeyError, ValueError, AttributeError, TypeError, OverflowError) as error:
        raise _damaged(error) from error
    return Start(mark, known)


def _check_scope(kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name in sorted(kept.keys() | wanted.keys()):
        if kept.get(name) != wanted.get(name):
            raise CheckpointError(
                f"the checkpoint is of another stream: {name} was {kept.get(name)!r}"
                f" and is {wanted.get(name)!r}; give each stream its own",
                mismatch=True,
            )


def _damaged(error: Exception) -> CheckpointError:
    return CheckpointError(f"the checkpoint is damaged: {type(error).__name__}", mismatch=True)


def _read_mark(text: str) -> Mark:
    fields = json.loads(text)
    at = datetime.fromisoformat(fields.pop("at"))
    dirty = tuple(fields.pop("dirty"))
    numbers = [fields.get(name) for name in ("started_at", "cursor", "forgotten")]
    flags = [fields.get(name) for name in ("begun", "blind")]
    right = (
        at.tzinfo is not None
        and all(type(id) is str for id in dirty)
        and all(number is None or type(number) is int for number in numbers)
        and all(type(flag) is bool for flag in flags)
    )
    if not right:
        raise ValueError(text)
    return Mark(at=at, dirty=dirty, **fields)


def _read_known(text: str) -> Known:
    core, rest, floor, created, flags = text.split(" ")
    return Known(
        b64decode(core, validate=True),
        None if rest == _NONE else b64decode(rest, validate=True),
        None if floor == _NONE else int(floor),
        None if created == _NONE else int(created),
        *(letter in flags for _, letter in _FLAGS),
    )


def _text(data: bytes) -> str:
    return b64encode(data).decode()
