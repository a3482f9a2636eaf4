"""One JSON object a line, for programs. The formats are part of the contract: see docs/cli.md."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from tocsin.models import AlarmLike

if TYPE_CHECKING:
    from tocsin._stream._states import StateChange
    from tocsin.cli._platforms import Deed
    from tocsin.models import Change, Gap

__all__ = [
    "RawAlarm",
    "alarm_line",
    "change_line",
    "event_line",
    "gap_line",
    "record_line",
    "stamp",
    "state_line",
]

_BREAKS: Final = (
    (b"\n", b" "),
    (b"\r", b" "),
    ("\x85".encode(), b"\\u0085"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)
"""What some reader takes for the end of a line. Valid JSON has the first two between tokens only, the rest
inside strings only."""


class RawAlarm(AlarmLike, Protocol):
    """An alarm that still knows the platform's own JSON."""

    @property
    def raw(self) -> bytes:
        """The platform's own JSON text."""
        ...


def stamp(moment: datetime) -> str:
    """Gives a moment in UTC with milliseconds and a Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_line(event: str, **values: Any) -> bytes:
    """Gives one object whose first key is `event`, with its line end."""
    return _dump({"event": event, **values}) + b"\n"


def change_line(change: Change[RawAlarm]) -> bytes:
    """Gives a change with the platform's own JSON spliced in as it came."""
    alarm = change.alarm
    head = {
        "event": "change",
        "platform": change.platform,
        "site": change.site,
        "action": str(change.action),
        "origin": str(change.origin),
        "id": change.id,
        "received_at": stamp(change.received_at),
        "level": _word(alarm and alarm.level),
        "phase": _word(alarm and alarm.phase),
    }
    return _with_raw(head, "alarm", None if alarm is None else alarm.raw)


def alarm_line(alarm: RawAlarm, *, platform: str, site: str, **values: Any) -> bytes:
    """Gives an alarm that was read or written, as `list`, `raise`, `ack` and `clear` print it."""
    head = {
        "event": "alarm",
        "platform": platform,
        "site": site,
        **values,
        "id": alarm.id,
        "level": _word(alarm.level),
        "phase": _word(alarm.phase),
    }
    return _with_raw(head, "alarm", alarm.raw)


def record_line(record: Deed, *, platform: str, site: str, alarm_id: str) -> bytes:
    """Gives an audit record with the platform's own JSON spliced in as it came."""
    head = {"event": "audit", "platform": platform, "site": site, "alarm_id": alarm_id, "id": record.id}
    return _with_raw(head, "record", record.raw)


def gap_line(gap: Gap) -> bytes:
    """Gives a gap."""
    return event_line(
        "gap",
        platform=gap.platform,
        site=gap.site,
        since=stamp(gap.since),
        until=stamp(gap.until),
        cause=gap.cause,
        recovered=gap.recovered,
    )


def state_line(change: StateChange) -> bytes:
    """Gives what a stream began to do."""
    return event_line(
        "state",
        platform=change.platform,
        site=change.site,
        at=stamp(change.at),
        state=str(change.state),
        cause=change.cause,
    )


def _with_raw(head: dict[str, Any], name: str, raw: bytes | None) -> bytes:
    body = b"null" if raw is None else raw.strip()
    for found, instead in _BREAKS:
        if found in body:
            body = body.replace(found, instead)
    return b'%b,"%b":%b}\n' % (_dump(head)[:-1], name.encode(), body)


def _word(value: object) -> str | None:
    return None if value is None else str(value)


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
