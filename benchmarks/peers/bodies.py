"""Bodies that are rendered once; before each use only the digits of their ids are written anew.

So the server costs less than any client, and no client gains by remembering what it has seen.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from benchmarks import sample

__all__ = ["ROWS", "alarm", "events", "identity", "page"]

ROWS: Final = 2000
_DIGITS: Final = 14
_FIRST: Final = 10 ** (_DIGITS - 1)
_URL: Final = b"https://t1.example.com/alarm/alarms?pageSize=%d&currentPage=%d"


class _Strip:
    """Rows of one length, a comma behind each, whose ids can be written anew."""

    def __init__(self, row: bytes, rows: int) -> None:
        self._stride = len(row) + 1
        self._bytes = bytearray((row + b",") * rows)
        mark = b"%d" % _FIRST
        self._places = [at for at in range(len(row)) if row.startswith(mark, at)]

    def numbered(self, first: int, rows: int) -> bytes:
        """The rows with consecutive ids, without the last comma."""
        numbers = b"".join([b"%d" % number for number in range(_FIRST + first, _FIRST + first + rows)])
        end = rows * self._stride
        for digit in range(_DIGITS):
            column = numbers[digit::_DIGITS]
            for place in self._places:
                self._bytes[place + digit : end : self._stride] = column
        return bytes(memoryview(self._bytes)[: end - 1])


@lru_cache(maxsize=1)
def _alarms() -> _Strip:
    return _Strip(sample.alarm(_FIRST), ROWS)


@lru_cache(maxsize=1)
def _pairs() -> _Strip:
    return _Strip(b",".join(_PAIR), ROWS // 2)


def _event(action: bytes, alarm: bytes) -> bytes:
    return b'{"channel":"/alarms/*","id":"%d","data":{"realtimeAction":"%s","data":%s}}' % (
        _FIRST,
        action,
        alarm,
    )


_MARK: Final = b"%d" % _FIRST
_ALARM: Final = sample.alarm(_FIRST)
_PAIR: Final = (_event(b"CREATE", _ALARM), _event(b"UPDATE", sample.alarm(_FIRST, "CLEARED", 16)))


def page(first: int, size: int, number: int, total: int) -> bytes:
    """A page of a list of `total` alarms, the first of which has the id `first`."""
    start = (number - 1) * size
    rows = max(0, min(size, total - start))
    link = b',"next":"%s"' % (_URL % (size, number + 1)) if start + size < total else b""
    return b'{"self":"%s"%s,"alarms":[%s],"statistics":{"currentPage":%d,"pageSize":%d}}' % (
        _URL % (size, number),
        link,
        _alarms().numbered(first + start, rows) if rows else b"",
        number,
        size,
    )


def identity(number: int) -> str:
    """The id of the alarm of that number."""
    return str(_FIRST + number)


def alarm(identity: bytes) -> bytes:
    """The alarm of that id."""
    return _ALARM.replace(_MARK, identity)


def events(first: int, at: int, count: int) -> bytes:
    """Events of a feed from the `at`-th on: each alarm is raised, then cleared. Joined by commas."""
    if count == 1:
        return _PAIR[at % 2].replace(_MARK, b"%d" % (_FIRST + first + at // 2))
    return _pairs().numbered(first + at // 2, count // 2)
