"""Exports all alarms of a month to a file of JSON lines: the platform's own JSON, one alarm a line.

    python examples/export_month.py 2026-01 --zone Europe/Berlin --output january.jsonl

A month means the alarms that the platform stored in it: that time never changes, while an alarm's own time
moves whenever it is raised again. The month is read day by day, and each complete day is kept in a folder
beside the output, so that the same command, given again after an error, goes on where it stopped. The output
itself appears when all of it is there. Progress goes to stderr; exit codes are 0, 1 for a failure, 2 for
wrong use, 130 for Ctrl-C. Platforms before 10.11 cannot look for the time at which they stored an alarm.

Reads C8Y_BASEURL, C8Y_TENANT, C8Y_USER and C8Y_PASSWORD (or C8Y_TOKEN) from the environment.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import anyio

from tocsin import Cumulocity, TocsinError

if TYPE_CHECKING:
    from tocsin.cumulocity import Alarm


@dataclass(frozen=True)
class Day:
    """One day of a time zone, which may have 23 or 25 hours: `begins` and `ends` are in UTC."""

    date: date
    begins: datetime
    ends: datetime

    @property
    def part(self) -> str:
        """The name of its file: the same day of another time zone has another one."""
        return f"{self.begins:%Y%m%dT%H%M%SZ}-{self.ends:%Y%m%dT%H%M%SZ}.jsonl"


def days(month: date, zone: tzinfo) -> list[Day]:
    """The days of a month."""

    def midnight(day: date) -> datetime:
        return datetime.combine(day, time(), zone).astimezone(UTC)

    found = []
    day = month
    while day.month == month.month:
        following = day + timedelta(days=1)
        found.append(Day(day, midnight(day), midnight(following)))
        day = following
    return found


def line(alarm: Alarm) -> bytes:
    """The alarm as it came. Within JSON a line break can only be white space between the words."""
    return alarm.raw.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"


async def export_day(c8y: Cumulocity, day: Day, part: Path) -> None:
    """Writes the alarms of one day; the file appears when it is complete. Holds two pages at a time."""
    count = 0
    unfinished = part.with_suffix(".tmp")
    async with await anyio.open_file(unfinished, "wb") as file:
        # `stable`: windows of creation time, not page numbers. What is raised, changed or deleted meanwhile
        # shifts nothing, and nothing has to be remembered.
        alarms = c8y.alarms.list(created_from=day.begins, created_to=day.ends, stable=True)
        async for page in alarms.pages():
            await file.write(b"".join(map(line, page)))
            count += len(page.items)
            print(f"{day.date}: {count} alarms", file=sys.stderr)
        await file.flush()
        await anyio.to_thread.run_sync(os.fsync, file.wrapped.fileno())
    unfinished.replace(part)


def join(parts: list[Path], output: Path) -> None:
    """Makes the output of its parts, at once as far as readers can see."""
    unfinished = output.with_name(output.name + ".tmp")
    with unfinished.open("wb") as whole:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, whole)
        whole.flush()
        os.fsync(whole.fileno())
    unfinished.replace(output)


async def export(month: list[Day], output: Path) -> None:
    """Exports what is not there yet, then joins it."""
    async with Cumulocity.from_env() as c8y:
        # Parts of one tenant must not end up in the export of another.
        tenant = re.sub(r"[^\w.-]", "_", c8y.site)
        folder = output.with_name(f"{output.name}.{tenant}.parts")
        folder.mkdir(exist_ok=True)
        parts = [folder / day.part for day in month]
        kept = sum(part.exists() for part in parts)
        if kept:
            print(f"{kept} of {len(parts)} days are in {folder} already", file=sys.stderr)
        try:
            for day, part in zip(month, parts, strict=True):
                if not part.exists():
                    await export_day(c8y, day, part)
        except BaseException:
            kept = sum(part.exists() for part in parts)
            print(
                f"stopped: {kept} of {len(parts)} days are in {folder}; the same command goes on from there",
                file=sys.stderr,
            )
            raise
    await anyio.to_thread.run_sync(join, parts, output)
    shutil.rmtree(folder)


def a_month(text: str) -> date:
    """Reads 2026-01."""
    try:
        if re.fullmatch(r"\d{4}-\d\d", text, re.ASCII):
            return date.fromisoformat(f"{text}-01")
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"a month is given as 2026-01, not {text!r}")


def a_zone(text: str) -> tzinfo:
    """Reads Europe/Berlin. On Windows the names come with the package tzdata."""
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError):
        raise argparse.ArgumentTypeError(f"there is no time zone {text!r}") from None


def main() -> int:
    """Reads the arguments and gives the exit code."""
    parser = argparse.ArgumentParser(description="Exports all alarms of a month to JSON lines.")
    parser.add_argument("month", type=a_month, help="such as 2026-01")
    parser.add_argument("--zone", type=a_zone, default=UTC, help="whose midnight counts; UTC by default")
    parser.add_argument("--output", type=Path, help="alarms-<month>.jsonl by default")
    given = parser.parse_args()
    if (given.month.year, given.month.month) >= (now := datetime.now(given.zone)).timetuple()[:2]:
        parser.error(f"the month is not over: it is {now:%Y-%m}")
    month = days(given.month, given.zone)
    output = given.output or Path(f"alarms-{given.month:%Y-%m}.jsonl")
    try:
        anyio.run(export, month, output)
    except (TocsinError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
