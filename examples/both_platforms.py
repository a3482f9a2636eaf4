"""Follows the critical and major alarms of a Cumulocity tenant and an XProtect site as one stream.

Reads C8Y_BASEURL, C8Y_TENANT, C8Y_USER, C8Y_PASSWORD, and XPROTECT_URL, XPROTECT_USER, XPROTECT_PASSWORD
from the environment. One of them being down is told, and does not stop the other.
An argument limits how many changes are followed: python examples/both_platforms.py 10
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import anyio

from tocsin import Cumulocity, Gap, Level, Phase, TocsinError, XProtect, watch

if TYPE_CHECKING:
    from tocsin import AlarmLike, Change

SERIOUS = (Level.CRITICAL, Level.MAJOR)


def is_open(alarm: AlarmLike | None) -> bool:
    """Whether it is still one of ours; what leaves the filter is given once more, and is not."""
    return alarm is not None and alarm.level in SERIOUS and alarm.phase is not Phase.CLEARED


def told(change: Change[AlarmLike]) -> str:
    """A change in one line, whatever its platform."""
    alarm = change.alarm
    what = "gone" if alarm is None else f"{alarm.level} {alarm.phase} {alarm.text}"
    return f"{change.platform} {change.site}: {change.action} {what}"


async def follow(limit: int | None) -> None:
    """Prints changes as they come, and keeps what is open; `limit` None means for ever."""
    open_alarms: dict[tuple[str, str], AlarmLike | None] = {}
    seen = 0
    async with (
        Cumulocity.from_env(name="tenant") as c8y,
        XProtect.from_env(name="vms") as vms,
        watch(c8y, vms, level=SERIOUS, snapshot=True) as stream,
    ):
        for site, change in stream.state.items():
            if change.cause is not None:
                print(f"{site} is not there yet, {change.state}: {change.cause}")
        async for item in stream:
            if isinstance(item, Gap):
                print(f"{item.site} may be incomplete since {item.since}: {item.cause}")
                continue
            if is_open(item.alarm):
                open_alarms[item.key] = item.alarm
            else:
                open_alarms.pop(item.key, None)
            print(f"{told(item)}; {len(open_alarms)} open")
            seen += 1
            if limit is not None and seen >= limit:
                return


if __name__ == "__main__":
    try:
        anyio.run(follow, int(sys.argv[1]) if len(sys.argv) > 1 else None)
    except TocsinError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(0)
