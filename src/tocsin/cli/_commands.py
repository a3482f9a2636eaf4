"""`list`, `count`, `raise`, `ack` and `clear`: one question or one change each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tocsin.cli._connect import make_client
from tocsin.cli._jsonl import alarm_line, event_line
from tocsin.cli._lines import Lines
from tocsin.cli._platforms import dialect_of
from tocsin.cli._run import DONE, FAILED, complain
from tocsin.errors import NotFoundError, UnprocessableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.cli._jsonl import RawAlarm
    from tocsin.cli._options import Connection, Scope
    from tocsin.cli._output import Output
    from tocsin.models import Level, Phase

__all__ = ["change_alarms", "count_alarms", "list_alarms", "raise_alarm"]


async def list_alarms(
    connection: Connection,
    scope: Scope,
    output: Output,
    *,
    status: Sequence[Phase] | None,
    limit: int | None,
    jsonl: bool,
) -> int:
    """Print the alarms that match, page by page as they come, newest first."""
    async with make_client(connection) as client:
        show = _Printer(connection, client, output, jsonl=jsonl)
        shown: set[str] = set()
        for listed in dialect_of(connection.platform.value).lists(client, scope, status):
            async for alarm in listed:
                if limit is not None and len(shown) >= limit:
                    return DONE
                if alarm.id not in shown:  # one child may belong to two of the sources
                    await show.alarm(alarm)
                    shown.add(alarm.id)
    return DONE


async def count_alarms(
    connection: Connection, scope: Scope, output: Output, *, status: Sequence[Phase] | None, jsonl: bool
) -> int:
    """Print how many alarms match."""
    async with make_client(connection) as client:
        number = await dialect_of(connection.platform.value).count(client, scope, status)
        if jsonl:
            line = event_line("count", platform=connection.platform.value, site=client.site, count=number)
        else:
            line = f"{number}\n".encode()
        await output.write(line)
    return DONE


async def raise_alarm(
    connection: Connection,
    output: Output,
    *,
    source: str,
    kind: str,
    text: str,
    level: Level | None,
    jsonl: bool,
) -> int:
    """Raise an alarm and print what the platform made of it."""
    async with make_client(connection) as client:
        dialect = dialect_of(connection.platform.value)
        made = await dialect.raise_alarm(client, source=source, kind=kind, text=text, level=level)
        outcome = made.outcome
        if made.alarm is not None:
            await _Printer(connection, client, output, jsonl=jsonl).alarm(made.alarm, outcome=outcome)
        elif jsonl:
            values = {"platform": connection.platform.value, "site": client.site, "outcome": outcome}
            await output.write(event_line("alarm", **values, id=made.id, level=None, phase=None, alarm=None))
        else:
            await output.write(f"{outcome} {made.id or ''}\n".encode())
        if made.ignored:
            names = ", ".join(made.ignored)
            complain(f"alarm {made.id} was open already: it was counted up, and the new {names} not taken")
    return DONE


async def change_alarms(
    connection: Connection, ids: Sequence[str], output: Output, *, verb: str, jsonl: bool
) -> int:
    """Acknowledge or clear alarms one by one; one that is not there does not stop the rest."""
    code = DONE
    dialect = dialect_of(connection.platform.value)
    async with make_client(connection) as client:
        show = _Printer(connection, client, output, jsonl=jsonl)
        for alarm_id in ids:
            try:
                alarm = await dialect.change(client, alarm_id, verb)
            except (NotFoundError, UnprocessableError) as error:
                complain(f"alarm {alarm_id}: {error}")
                code = FAILED
            else:
                await show.alarm(alarm)
    return code


class _Printer:
    """Prints alarms of one client."""

    def __init__(self, connection: Connection, client: Any, output: Output, *, jsonl: bool) -> None:
        self._platform = connection.platform.value
        self._client = client
        self._output = output
        self._lines = None if jsonl else Lines(id_size=dialect_of(self._platform).id_size)

    async def alarm(self, alarm: RawAlarm, **extra: Any) -> None:
        if self._lines is None:
            line = alarm_line(alarm, platform=self._platform, site=self._client.site, **extra)
        else:
            line = self._lines.alarm(alarm)
        await self._output.write(line)
