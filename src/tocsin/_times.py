"""Times as the platforms write them, and as they read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

__all__ = ["parse_time", "write_time"]

_TIME: Final = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<clock>[0-9]{2}:[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]*))?)?"
    r"\s*(?P<zone>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)


def parse_time(text: str) -> datetime:
    """Read a time as platforms write it.

    Source: Cumulocity reference guide and OpenAPI "core" (ISO 8601; a value without a zone is UTC), captures.

    Args:
        text: Date, or date and time with any number of fractional digits (those beyond microseconds are cut
            off), and ``Z``, ``±hh``, ``±hhmm``, ``±hh:mm`` or nothing, which means UTC.

    Returns:
        An aware datetime with the offset that was written.

    Raises:
        ValueError: It is not such a time.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"not a time: {text[:40]!r}")
    zone = _parse_zone(found["zone"])
    moment = datetime.fromisoformat(f"{found['date']}T{found['clock'] or '00:00'}").replace(tzinfo=zone)
    second, fraction = int(found["second"] or 0), (found["fraction"] or "")[:6].ljust(6, "0")
    if second > 60:
        raise ValueError(f"not a time: {text[:40]!r}")
    try:
        return moment + timedelta(
            seconds=second, microseconds=int(fraction)
        )  # a leap second is the next minute
    except OverflowError:
        raise ValueError(f"not a time: {text[:40]!r}") from None


def _parse_zone(text: str | None) -> timezone:
    if text is None or text in "Zz":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[-2:] if len(text) > 3 else 0)
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes)) if minutes else UTC


def write_time(moment: datetime) -> str:
    """Write a time as platforms read it: three fractional digits, and ``Z`` or the offset.

    Args:
        moment: Aware. What is below a millisecond is cut off; an offset with odd seconds becomes UTC.

    Raises:
        ValueError: The time has no zone.
    """
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError("a time without a zone")
    if not offset or offset % timedelta(minutes=1):
        return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    return moment.isoformat(timespec="milliseconds")
