"""`ack` and `clear` of all alarms that match."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.cli._connect import make_client
from tocsin.cli._jsonl import event_line
from tocsin.cli._platforms import ACKNOWLEDGE, dialect_of
from tocsin.cli._run import DONE, complain
from tocsin.cli._text import counted
from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from tocsin.cli._options import Connection, Scope
    from tocsin.cli._output import Output

__all__ = ["change_matching"]


async def change_matching(
    connection: Connection, scope: Scope, output: Output, *, verb: str, sure: bool, jsonl: bool
) -> int:
    """Acknowledge or clear all open alarms that match; count them only, unless sure."""
    name, past = ("ack", "acknowledged") if verb == ACKNOWLEDGE else ("clear", "cleared")
    if not (scope.source or scope.severity or scope.type):
        raise ConfigurationError(
            f"which alarms? give their IDs, or --source or --severity; see tocsin {name} --help"
        )
    many = dialect_of(connection.platform.value).many(scope, verb)
    async with make_client(connection) as client:
        matched = await many.count(client)
        done = sure or not matched
        if sure and matched:
            finished = False
            try:
                await many.change(client)
                finished = True
            finally:
                if not finished and many.changed is not None:
                    complain(f"{many.changed} of {counted(matched, 'alarm')} were {past} when it stopped")
        if jsonl:
            told = {"platform": connection.platform.value, "site": client.site, "verb": verb}
            await output.write(event_line("bulk", **told, matched=matched, done=done))
        else:
            would = "" if done else "would be "
            number = matched if many.changed is None or not done else many.changed
            await output.write(f"{counted(number, 'alarm')} {would}{past}\n".encode())
        if not done:
            complain(f"nothing was changed: give --yes to {verb} them")
    return DONE
