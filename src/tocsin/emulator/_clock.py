"""Times as the platform writes and reads them: milliseconds of one clock that never goes back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TICKS = 10_000_000
"""Ticks of 100 ns in a second."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r"(?:([Zz])|([+-])(\d\d):?(\d\d)?)?)?",
    re.ASCII,
)


def to_ticks(text: object) -> int:
    """Ticks of 100 ns since 1970 of a date or a date-time; without a zone it is read as UTC.

    Args:
        text: ISO 8601, 0 to 9 digits of a second, `Z`, `±hh:mm`, `±hhmm` or nothing.

    Returns:
        The instant, cut (not rounded) to ticks.

    Raises:
        ValueError: It is no such text.
    """
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"not a date-time: {text!r:.60}")
    year, month, day, hour, minute, second, fraction, _zulu, sign, off_h, off_m = match.groups()
    moment = datetime(
        int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC
    )
    ticks = (moment - _EPOCH) // timedelta(seconds=1) * TICKS + int((fraction or "0").ljust(7, "0")[:7])
    if sign:
        offset = (int(off_h) * 60 + int(off_m or 0)) * 60 * TICKS
        ticks += offset if sign == "-" else -offset
    return ticks


def to_ms(text: object) -> int:
    """The same in milliseconds.

    Raises:
        ValueError: It is no such text.
    """
    return to_ticks(text) // (TICKS // 1000)


def to_text(ms: int) -> str:
    """The platform's spelling of an instant: `2026-03-01T09:00:00.611Z`."""
    seconds, millis = divmod(ms, 1000)
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{millis:03d}Z"


def utc_now() -> datetime:
    """The real time; what an emulator uses when it is given no clock."""
    return datetime.now(UTC)


def ticks_text(ticks: int) -> str:
    """An instant as .NET writes it, with seven digits: `2026-03-01T09:00:00.6112345Z`."""
    seconds, rest = divmod(ticks, TICKS)
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment.replace(tzinfo=None).isoformat()}.{rest:07d}Z"  # years with all their digits: sortable


class Clock:
    """One server's wall clock. It follows `source` but never goes back, so no stamp ever falls."""

    def __init__(self, source: Callable[[], datetime]) -> None:
        self._source = source
        self._last = 0

    def now_ms(self) -> int:
        """Milliseconds since 1970, never less than what was given before."""
        self._last = max(self._last, (self._source() - _EPOCH) // timedelta(milliseconds=1))
        return self._last

    def now(self) -> datetime:
        """The same as an aware UTC datetime."""
        return _EPOCH + timedelta(milliseconds=self.now_ms())

    def http_date(self) -> str:
        """The same as the text of a `Date` header."""
        return formatdate(self.now_ms() // 1000, usegmt=True)
