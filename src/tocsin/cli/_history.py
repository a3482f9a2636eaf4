"""`history`: who did what to an alarm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.cli._connect import make_client
from tocsin.cli._jsonl import record_line
from tocsin.cli._platforms import dialect_of
from tocsin.cli._run import DONE, complain
from tocsin.cli._text import day_time, plain

if TYPE_CHECKING:
    from tocsin.cli._options import Connection
    from tocsin.cli._output import Output
    from tocsin.cli._platforms import Deed

__all__ = ["show_history"]


async def show_history(connection: Connection, alarm_id: str, output: Output, *, jsonl: bool) -> int:
    """Print what was done to an alarm as it comes, newest first."""
    async with make_client(connection) as client:
        found = False
        async for deed in dialect_of(connection.platform.value).history(client, alarm_id):
            found = True
            if jsonl:
                told = {"platform": connection.platform.value, "site": client.site, "alarm_id": alarm_id}
                await output.write(record_line(deed, **told))
            else:
                await output.write(_line(deed))
        if not found:
            complain(f"there are no records of an alarm {alarm_id}")
    return DONE


def _line(deed: Deed) -> bytes:
    return f"{day_time(deed.time):<19} {plain(deed.who, 40):<12} {deed.what}\n".encode(errors="replace")
