"""Follows every change of every alarm until interrupted, and keeps the open alarms in a dictionary.

Reads C8Y_BASEURL, C8Y_TENANT, C8Y_USER and C8Y_PASSWORD (or C8Y_TOKEN) from the environment.
An argument limits how many changes are followed: python examples/follow.py 10
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import anyio

from tocsin import Cumulocity, Gap, Phase, TocsinError

if TYPE_CHECKING:
    from tocsin.cumulocity import Alarm


async def follow(limit: int | None) -> None:
    """Prints changes as they come; `limit` None means for ever."""
    open_alarms: dict[tuple[str, str], Alarm] = {}
    seen = 0
    async with Cumulocity.from_env() as c8y, c8y.alarms.changes(snapshot=True) as stream:
        async for item in stream:
            if isinstance(item, Gap):
                print(f"may be incomplete since {item.since}: {item.cause}; read back: {item.recovered}")
                continue
            if item.alarm is None or item.alarm.phase is Phase.CLEARED:
                open_alarms.pop(item.key, None)
            else:
                open_alarms[item.key] = item.alarm
            print(f"{item.action} {item.id} ({item.origin}); {len(open_alarms)} open")
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
