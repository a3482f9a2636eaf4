"""Acknowledges all active alarms of a device at once, waits until that is done, and prints who did what.

Reads C8Y_BASEURL, C8Y_TENANT, C8Y_USER and C8Y_PASSWORD (or C8Y_TOKEN) from the environment.
The arguments are the id of the device, and --yes to do it: python examples/shift_end.py 4711 --yes
"""

from __future__ import annotations

import sys

import anyio

from tocsin import Cumulocity, TocsinError
from tocsin.cumulocity import AlarmFilter, Status


async def acknowledge_all(source: str, *, sure: bool) -> None:
    """Counts first, and changes nothing unless told to."""
    async with Cumulocity.from_env() as c8y:
        active = AlarmFilter(source=source, status=Status.ACTIVE)
        print(f"{await c8y.alarms.preview(active)} active alarms")
        if not sure:
            return
        accepted = await c8y.alarms.update_many(active, status=Status.ACKNOWLEDGED)
        await accepted.wait(timeout=300)  # the platform may go on after its answer
        print("all acknowledged")
        async for alarm in c8y.alarms.list(source=source, status=Status.ACKNOWLEDGED, stable=True):
            newest = await c8y.alarms.history(alarm.id, page_size=1)
            for record in newest.items:
                changed = ", ".join(f"{one.attribute} to {one.new}" for one in record.changes)
                print(f"{alarm.id} {alarm.text}: {record.user} changed {changed}")


if __name__ == "__main__":
    try:
        anyio.run(lambda: acknowledge_all(sys.argv[1], sure="--yes" in sys.argv))
    except IndexError:
        sys.exit("which device? python examples/shift_end.py ID [--yes]")
    except TocsinError as error:
        sys.exit(str(error))
