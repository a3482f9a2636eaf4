"""One alarm as recovery sees it: who it is, what state it is in, when that was, and nothing more.

Lists and reads by id are asked for without metadata, so that both spell one state alike. What a site can
rename at any time (states, priorities, categories) counts by its level, or else by its id: a new name is no
change of an alarm.

Source: reference `xprotect.md` 2.2 and `recovery.md` "State".
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tocsin._stream._answers import Observed
from tocsin._times import parse_time
from tocsin._wire import excerpt, parse_object
from tocsin.errors import ProtocolError
from tocsin.xprotect._guids import guid
from tocsin.xprotect._ranks import mended_rank
from tocsin.xprotect.models import LEVELS

if TYPE_CHECKING:
    from tocsin.models import Level

__all__ = ["CLOSED", "observe", "read_alarm"]

CLOSED: Final = 11
"""The level of the one state that is not open. A missing or unknown one counts as open: kept too long, but
not lost."""

_CORE: Final = frozenset({"id", "name", "message", "state", "priority", "time", "source", "cameraId"})
_NOT_REST: Final = _CORE | {"lastUpdatedTime", "category", "data", "_links", "relations"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLI: Final = timedelta(milliseconds=1)

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def read_alarm(raw: bytes) -> dict[str, Any]:
    """Parse one alarm.

    Raises:
        ProtocolError: It is not a JSON object.
    """
    try:
        return _decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return parse_object(raw, what="alarm")  # forgives NaN, lone surrogates, huge numbers


def observe(alarm: dict[str, Any], raw: bytes, *, levels: frozenset[Level] | None = None) -> Observed[bytes]:
    """One state of an alarm.

    Args:
        alarm: The alarm, parsed by `read_alarm`.
        raw: The bytes it was parsed from.
        levels: The levels that the stream wants; None for all.

    Raises:
        ProtocolError: It has no usable id.
    """
    get = alarm.get
    identity = get("id")
    if not isinstance(identity, str) or guid(identity) is None:
        raise ProtocolError("the alarm has no usable id", detail=excerpt(raw))
    state, priority = _rank(get("state")), _rank(get("priority"))
    time = get("time")
    created = _millis(time)
    core = [
        get("name") or "",
        get("message") or "",
        state,
        priority,
        time if created is None else created,
        guid(get("source")),
        guid(get("cameraId")),
    ]
    # A field that is null is one that is not there.
    rest = {key: part for key, part in alarm.items() if key not in _NOT_REST and part is not None}
    return Observed(
        identity,
        _digest(core),
        _digest([rest, _rank(get("category"))]),
        _millis(get("lastUpdatedTime")),
        created,
        state != CLOSED,
        levels is None or (isinstance(priority, int) and LEVELS.get(priority) in levels),
        raw,
    )


def _rank(value: object) -> int | str | None:
    """What a state, priority or category is, whatever the site calls it."""
    rank = mended_rank(value)
    if rank is None:
        return None
    level = rank.get("level")
    return level if isinstance(level, int) else guid(rank["id"]) or rank.get("name")


def _digest(value: Any) -> bytes:
    """A 128-bit hash of the canonical JSON of a value."""
    try:
        text = _encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        text = json.dumps(value, sort_keys=True).encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=16).digest()


def _millis(value: object) -> int | None:
    """A time in ms, rounded down as ranges of times are; None where it is none."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)  # the usual spelling, at a fifth of the cost
    except ValueError:
        try:
            moment = parse_time(value)
        except ValueError:
            return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MILLI
