"""From the bytes of a page to alarms, without any I/O: ours, pydantic the obvious way, and the ceiling."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec and pydantic look it up
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
import pydantic
from pydantic.alias_generators import to_camel

from benchmarks import sample
from benchmarks.runner import Candidate, interleave, options, run, table
from tocsin._wire import cut_page
from tocsin.cumulocity.models import Alarm

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence


class Severity(StrEnum):
    """As the ceiling knows it."""

    CRITICAL = "CRITICAL"
    MAJOR = "MAJOR"
    MINOR = "MINOR"
    WARNING = "WARNING"


class Status(StrEnum):
    """As the ceiling knows it."""

    ACTIVE = "ACTIVE"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    CLEARED = "CLEARED"


class FastSource(msgspec.Struct):
    """The ceiling's source."""

    id: str
    name: str | None = None


class FastAlarm(msgspec.Struct, rename="camel"):
    """The ceiling: typed, but forgives nothing and keeps nothing."""

    id: str
    type: str
    time: datetime
    creation_time: datetime
    last_updated: datetime
    text: str
    source: FastSource
    status: Status
    severity: Severity
    count: int
    first_occurrence_time: datetime | None = None


class FastPage(msgspec.Struct):
    """The ceiling's page."""

    alarms: list[FastAlarm]


class WholeSource(pydantic.BaseModel):
    """The obvious model of a source."""

    model_config = pydantic.ConfigDict(extra="allow")
    id: str
    name: str | None = None


class WholeAlarm(pydantic.BaseModel):
    """The obvious model of an alarm."""

    model_config = pydantic.ConfigDict(extra="allow", alias_generator=to_camel)
    id: str
    type: str
    time: datetime
    creation_time: datetime
    last_updated: datetime
    text: str
    source: WholeSource
    status: Status
    severity: Severity
    count: int
    first_occurrence_time: datetime | None = None


class WholePage(pydantic.BaseModel):
    """The obvious model of a page."""

    alarms: list[WholeAlarm]


def _ours(body: bytes) -> Iterable[Any]:
    rows = cut_page(body, "alarms").items
    rows.reverse()
    while rows:
        yield Alarm.from_raw(rows.pop())


def _ceiling(body: bytes) -> Iterable[Any]:
    return msgspec.json.decode(body, type=FastPage).alarms


def _whole(body: bytes) -> Iterable[Any]:
    return WholePage.model_validate_json(body).alarms


def _candidate(name: str, read: Callable[[bytes], Iterable[Any]], body: bytes, *, touched: bool) -> Candidate:
    def work() -> int:
        count = 0
        for alarm in read(body):
            if touched:
                sample.touch(alarm)
            count += 1
        return count

    return Candidate(name, work)


_WAYS = (("msgspec structs", _ceiling), ("tocsin, cut and from_raw", _ours), ("pydantic, whole page", _whole))


async def _main(asked: argparse.Namespace) -> None:
    rows = [sample.alarm(number) for number in range(asked.size)]
    body = sample.page(rows, 1, asked.size, more=False)
    for touched in (False, True):
        candidates = [_candidate(name, way, body, touched=touched) for name, way in _WAYS]
        title = f"models: one page of {asked.size}, {'six fields read' if touched else 'untouched'}"
        print(table(title, await interleave(candidates, asked.rounds), "alarm"))


def main(argv: Sequence[str] | None = None) -> None:
    """Run it."""
    run(_main, options(__doc__, 2000, 9, argv))


if __name__ == "__main__":
    main()
