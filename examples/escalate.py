"""Calls somebody for each critical alarm that nobody acknowledges within ten minutes.

Its tests are in test_escalate.py.

Reads C8Y_BASEURL, C8Y_TENANT, C8Y_USER and C8Y_PASSWORD (or C8Y_TOKEN) from the environment.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import anyio

from tocsin import Cumulocity, Gap, Level, Phase, TocsinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tocsin.cumulocity import Alarm

PATIENCE = 600.0


async def escalate(
    c8y: Cumulocity, call: Callable[[Alarm], Awaitable[None]], patience: float = PATIENCE
) -> None:
    """Follows the alarms for ever; an alarm that was there before waits anew."""
    waiting: dict[tuple[str, str], anyio.CancelScope] = {}

    async def wait_and_call(alarm: Alarm, scope: anyio.CancelScope) -> None:
        with scope:
            await anyio.sleep(patience)
            await call(alarm)

    async with anyio.create_task_group() as tasks, c8y.alarms.changes(snapshot=True) as stream:
        async for item in stream:
            if isinstance(item, Gap):
                if item.recovered is None:
                    print(f"between {item.since} and {item.until} alarms may have been missed: {item.cause}")
                continue
            alarm = item.alarm
            if alarm is None or alarm.phase is not Phase.ACTIVE or alarm.level is not Level.CRITICAL:
                if (known := waiting.pop(item.key, None)) is not None:
                    known.cancel()
            elif item.key not in waiting:
                scope = waiting[item.key] = anyio.CancelScope()
                tasks.start_soon(wait_and_call, alarm, scope)


async def call_on_stdout(alarm: Alarm) -> None:
    """Stands for whatever calls somebody at your site."""
    print(f"nobody has looked at {alarm.id} {alarm.text!r} on {alarm.source_id}", flush=True)


async def main(patience: float) -> None:
    """Runs until it is interrupted."""
    async with Cumulocity.from_env() as c8y:
        await escalate(c8y, call_on_stdout, patience)


if __name__ == "__main__":
    try:
        anyio.run(main, float(sys.argv[1]) if len(sys.argv) > 1 else PATIENCE)
    except* TocsinError as errors:
        sys.exit(str(errors.exceptions[0]))
    except* KeyboardInterrupt:
        sys.exit(0)
