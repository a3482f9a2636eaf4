"""One alarm as recovery sees it: who it is, what state it is in, when that was, and nothing more.

An alarm comes over two channels that spell it differently. REST rows and notifications of one state must give
equal hashes, or the stream would give it twice (reference: `recovery.md` "State", Cumulocity traps 3.4).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final

import msgspec

from tocsin._stream._answers import Observed
from tocsin._times import parse_time
from tocsin._wire import excerpt, parse_object
from tocsin.errors import ProtocolError

__all__ = ["CLOSED", "alarm_id", "observe", "read_alarm"]

CLOSED: Final = "CLEARED"
"""The one status that is not open. A missing or unknown one counts as open: kept too long, but not lost."""

_CORE: Final = frozenset({"id", "type", "status", "severity", "text", "time", "count", "source"})
_VOLATILE: Final = frozenset({
    "self", "history", "creationTime", "lastUpdated", "severityOrdinal", "statusOrdinal",
    "firstOccurrenceTime", "firstOccurenceTime", "firstOccurrence",
})  # fmt: skip
"""What one channel adds and the other leaves out, or what says nothing about the state."""
_NOT_REST: Final = _CORE | _VOLATILE


def _number(text: str) -> float:
    """A JSON number with a fraction or an exponent: 1.0 and 1 are the same value on two channels."""
    value = float(text)
    return int(value) if value.is_integer() else value


_decoder: Final = msgspec.json.Decoder(dict[str, Any], float_hook=_number)


def read_alarm(raw: bytes) -> dict[str, Any]:
    """Parse one alarm.

    Raises:
        ProtocolError: It is not a JSON object.
    """
    try:
        return _decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return parse_object(raw, what="alarm")  # forgives NaN, lone surrogates, huge numbers


def alarm_id(value: object) -> str | None:
    """An id as text, from a string, a number, or an object that has one; None if there is none."""
    if isinstance(value, dict):
        value = value.get("id")
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value) or None


def observe(
    alarm: dict[str, Any], raw: bytes, *, severities: frozenset[str] | None = None
) -> Observed[bytes]:
    """One state of an alarm.

    Args:
        alarm: The alarm, parsed by `read_alarm`.
        raw: The bytes it was parsed from.
        severities: The severities that the stream wants, in upper case; None for all.

    Raises:
        ProtocolError: It has no usable id.
    """
    identity = alarm_id(alarm)
    if identity is None:
        raise ProtocolError("the alarm has no usable id", detail=excerpt(raw))
    get = alarm.get
    severity = _word(get("severity"))
    status = _word(get("status"))
    time = get("time")
    instant = _millis(time)  # a time whatever its offset and precision; as it came where it is none
    core = [
        get("type"),
        status,
        severity,
        get("text") or "",
        time if instant is None else instant,
        get("count") or 1,
        alarm_id(get("source")),
    ]
    # A fragment that is null is one that is not there.
    rest = {key: part for key, part in alarm.items() if key not in _NOT_REST and part is not None}
    return Observed(
        identity,
        _digest(core),
        _digest(rest) if rest else _NOTHING,
        _millis(get("lastUpdated")),
        _millis(get("creationTime")),
        status != CLOSED,
        severities is None or severity in severities,
        raw,
    )


def _digest(value: Any) -> bytes:
    """A 128-bit hash of the canonical JSON of a value."""
    try:
        text = _encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        text = json.dumps(value, sort_keys=True).encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=16).digest()


_encode: Final = msgspec.json.Encoder(order="sorted").encode
_NOTHING: Final = blake2b(b"{}", digest_size=16).digest()


def _word(value: object) -> str | None:
    return value.upper() if isinstance(value, str) else None


def _millis(value: object) -> int | None:
    """A time in ms; None where it is none."""
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
    return round(moment.timestamp() * 1000)
