"""Raises an alarm, sees what the platform made of it, acknowledges and clears it.

Reads C8Y_BASEURL, C8Y_TENANT, C8Y_USER and C8Y_PASSWORD (or C8Y_TOKEN) from the environment.
The argument is the id of the device: python examples/raise_and_acknowledge.py 4711
"""

from __future__ import annotations

import sys

import anyio

from tocsin import Cumulocity, TocsinError
from tocsin.cumulocity import Severity


async def raise_and_acknowledge(source: str) -> None:
    """Takes one alarm through its whole life."""
    async with Cumulocity.from_env() as c8y:
        created = await c8y.alarms.create(
            type="acme_Example",
            text="No cause for concern",
            severity=Severity.WARNING,
            source=source,
        )
        if created.id is None:
            print("not stored: alarms of this device are suppressed")
            return
        print(f"{created.outcome}: alarm {created.id}")
        if created.ignored:  # one of this type was open already: it was only counted up
            print(f"not taken: {', '.join(created.ignored)}")
        acknowledged = await c8y.alarms.acknowledge(created.id)
        print(f"now {acknowledged.status}, raised {acknowledged.count} times")
        cleared = await c8y.alarms.clear(created.id)
        print(f"now {cleared.status}")


if __name__ == "__main__":
    try:
        anyio.run(raise_and_acknowledge, sys.argv[1] if len(sys.argv) > 1 else "4711")
    except TocsinError as error:
        sys.exit(str(error))
