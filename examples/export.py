"""Writes all alarms that match to stdout, one line of the platform's own JSON each.

Reads C8Y_BASEURL, C8Y_TENANT, C8Y_USER and C8Y_PASSWORD (or C8Y_TOKEN) from the environment.
"""

from __future__ import annotations

import sys

import anyio

from tocsin import Cumulocity
from tocsin.cumulocity import Severity, Status


async def export() -> None:
    """Walks through all pages; one page is read ahead, never all of them."""
    async with Cumulocity.from_env() as c8y:
        async for alarm in c8y.alarms.list(
            status=[Status.ACTIVE, Status.ACKNOWLEDGED], severity=[Severity.CRITICAL, Severity.MAJOR]
        ):
            sys.stdout.buffer.write(alarm.raw + b"\n")


if __name__ == "__main__":
    anyio.run(export)
