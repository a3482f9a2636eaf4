"""One alarm's states: what a POST, a repeated POST and a PUT make of it. Pure functions over plain JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tocsin.emulator._clock import to_ms, to_text
from tocsin.emulator._errors import invalid

OPEN: Final = frozenset({"ACTIVE", "ACKNOWLEDGED"})
SEVERITIES: Final = frozenset({"CRITICAL", "MAJOR", "MINOR", "WARNING"})
CHANGEABLE: Final = frozenset({"text", "severity", "status"})
DERIVED: Final = frozenset(
    {
        "id",
        "self",
        "creationTime",
        "lastUpdated",
        "count",
        "firstOccurrenceTime",
        "firstOccurenceTime",
        "history",
    }
)
FIXED: Final = DERIVED | {"type", "time", "source"}
_BAD_NAME: Final = re.compile(r"[\s.,*\[\]()@$/']")
_MANDATORY: Final = ("type", "time", "text", "severity", "source")


class Alarm:
    """One stored state of one alarm; never changed afterwards, a change makes the next one.

    `doc` holds the platform's keys but for `self` and the source's name, which the store adds when it
    renders. `raw` and `live` are the store's cached renderings.
    """

    __slots__ = (
        "before",
        "created",
        "doc",
        "id",
        "live",
        "number",
        "raw",
        "seq",
        "severity",
        "source",
        "status",
        "time",
        "type",
        "updated",
        "written",
    )  # fmt: skip

    def __init__(self, number: int, doc: dict[str, Any], created: int, updated: int) -> None:
        self.id: str = doc["id"]
        self.number = number
        self.source: str = doc["source"]["id"]
        self.type: str = doc["type"]
        self.status: str = doc["status"]
        self.severity: str = doc["severity"]
        self.time = to_ms(doc["time"])
        self.created = created
        self.updated = updated
        self.doc = doc
        self.written = updated  # unlike `updated` it moves with every write
        self.seq = 0
        self.before: Alarm | None = None
        self.raw: bytes | None = None
        self.live: bytes | None = None

    @property
    def open(self) -> bool:
        """Whether a repeat is counted on it instead of making a new alarm."""
        return self.status in OPEN


def _check_names(body: Mapping[str, Any]) -> None:
    for name in body:
        if not name or _BAD_NAME.search(name):
            raise invalid(f"not the name of a fragment: {name!r:.80}")


def draft(body: Mapping[str, Any]) -> dict[str, Any]:
    """Check what a POST brings and bring it into the platform's spelling.

    Args:
        body: The JSON object of the request.

    Returns:
        A new dict with `type`, `time`, `text`, `severity`, `status`, `source` and the fragments.

    Raises:
        RefusedError: 422, naming what is missing or wrong.
    """
    absent = [key for key in _MANDATORY if body.get(key) is None]
    if absent:
        raise invalid(f"Following mandatory fields should be included: {','.join(absent)}")
    source = body["source"]
    if not isinstance(source, Mapping) or not isinstance(source.get("id"), str | int):
        raise invalid("source must be an object with an id")
    _check_names(body)
    made = {key: value for key, value in body.items() if key not in DERIVED and value is not None}
    made["source"] = {"id": str(source["id"])}
    made.setdefault("status", "ACTIVE")
    for key in ("type", "text", "severity", "status"):
        made[key] = _checked(key, made[key])
    if not made["type"]:
        raise invalid("type must not be empty")
    _instant(made["time"])
    return made


def first(made: Mapping[str, Any], number: int, now: int) -> Alarm:
    """The state that a POST creates."""
    doc = {
        "id": str(number),
        "type": made["type"],
        "time": made["time"],
        "creationTime": to_text(now),
        "lastUpdated": to_text(now),
        "text": made["text"],
        "severity": made["severity"],
        "status": made["status"],
        "count": 1,
        "source": made["source"],
    }
    doc.update((key, value) for key, value in made.items() if key not in doc)
    return Alarm(number, doc, now, now)


def repeated(alarm: Alarm, time: str, now: int, *, bump: bool) -> Alarm:
    """The state after the same source and type were reported again: `count` and `time` move, no more.

    Args:
        alarm: The open alarm.
        time: The repeat's own time.
        now: The server's time in ms.
        bump: Whether `lastUpdated` moves too.
    """
    doc = dict(alarm.doc)
    doc["firstOccurrenceTime"] = doc.get("firstOccurrenceTime", doc["time"])
    doc["time"] = time
    doc["count"] += 1
    if bump:
        doc["lastUpdated"] = to_text(now)
    return Alarm(alarm.number, doc, alarm.created, now if bump else alarm.updated)


def changed(alarm: Alarm, changes: Mapping[str, Any], now: int, *, reject: bool) -> Alarm:
    """The state after a PUT; the same object if nothing differs.

    Args:
        alarm: The state so far.
        changes: The JSON object of the request; None removes a fragment.
        now: The server's time in ms.
        reject: Answer 422 to keys that cannot be changed, instead of ignoring them.

    Raises:
        RefusedError: 422 for a value that the platform does not take.
    """
    fixed = sorted(FIXED & changes.keys())
    if fixed and reject:
        raise invalid(f"Following fields cannot be changed: {','.join(fixed)}")
    _check_names(changes)
    doc = dict(alarm.doc)
    for key, value in changes.items():
        if key in CHANGEABLE:
            doc[key] = _checked(key, value)
        elif key not in FIXED:
            if value is None:
                doc.pop(key, None)
            else:
                doc[key] = value
    if doc == alarm.doc:
        return alarm
    doc["lastUpdated"] = to_text(now)
    return Alarm(alarm.number, doc, alarm.created, now)


def upserted(alarm: Alarm, changes: Mapping[str, Any], now: int, *, count: bool) -> Alarm:
    """The state after an upsert met an open alarm; the same object if nothing differs.

    Args:
        alarm: The open alarm.
        changes: The JSON object of the request; its `time` is not taken.
        now: The server's time in ms.
        count: Whether `count` moves too.

    Raises:
        RefusedError: 422 for a value that the platform does not take.
    """
    made = changed(alarm, changes, now, reject=False)
    if not count:
        return made
    doc = {**made.doc, "count": alarm.doc["count"] + 1, "lastUpdated": to_text(now)}
    doc.setdefault("firstOccurrenceTime", doc["time"])
    return Alarm(alarm.number, doc, alarm.created, now)


def _checked(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise invalid(f"{key} must be a string")
    if key not in {"severity", "status"}:
        return value
    upper = value.upper()
    if key == "severity" and upper not in SEVERITIES:
        raise invalid(f"Invalid value of severity: {value!r:.60}")
    if not upper.strip():
        raise invalid("status must not be empty")
    return upper  # an odd status is stored: the Java SDK's own tests write CUSTOM


def _instant(text: object) -> None:
    try:
        to_ms(text)
    except ValueError as error:
        raise invalid(f"time: {error}") from None
