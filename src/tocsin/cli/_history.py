"""`history`: who did what to an alarm."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tocsin.cli._connect import make_cumulocity
from tocsin.cli._jsonl import record_line
from tocsin.cli._run import DONE, complain
from tocsin.cli._text import day_time, plain

if TYPE_CHECKING:
    from tocsin.cli._options import Connection
    from tocsin.cli._output import Output
    from tocsin.cumulocity import AuditRecord

__all__ = ["show_history"]


async def show_history(connection: Connection, alarm_id: str, output: Output, *, jsonl: bool) -> int:
    """Print the audit records of an alarm as they come, newest first."""
    async with make_cumulocity(connection, "history") as client:
        found = False
        async for record in client.alarms.history(alarm_id):
            found = True
            if jsonl:
                told = {"platform": connection.platform.value, "site": client.site, "alarm_id": alarm_id}
                await output.write(record_line(record, **told))
            else:
                await output.write(_line(record))
        if not found:
            complain(f"there are no records of an alarm {alarm_id}")
    return DONE


def _line(record: AuditRecord) -> bytes:
    changes = ", ".join(
        f"{plain(one.attribute, 40)} {_value(one.previous)} -> {_value(one.new)}" for one in record.changes
    )
    head = f"{day_time(record.time):<19} {plain(record.user, 40):<12} {plain(record.activity or record.text)}"
    return f"{head}{': ' if changes else ''}{changes}\n".encode(errors="replace")


def _value(value: Any) -> str:
    return plain(value if isinstance(value, str) else json.dumps(value), 60)
