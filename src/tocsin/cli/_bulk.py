"""`ack` and `clear` of all alarms that match, in one request a source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tocsin.cli._connect import make_cumulocity
from tocsin.cli._cumulocity import ACKNOWLEDGE, filters
from tocsin.cli._jsonl import event_line
from tocsin.cli._run import DONE, complain
from tocsin.cli._text import counted
from tocsin.cumulocity import AlarmFilter, Status
from tocsin.errors import ConfigurationError
from tocsin.models import Phase

if TYPE_CHECKING:
    from tocsin.cli._options import Connection, Scope
    from tocsin.cli._output import Output

__all__ = ["change_matching"]

_LONGEST: Final = 300.0
"""Seconds that are waited for what the platform goes on with after its answer."""


async def change_matching(
    connection: Connection, scope: Scope, output: Output, *, verb: str, sure: bool, jsonl: bool
) -> int:
    """Acknowledge or clear all open alarms that match; count them only, unless sure."""
    acknowledge = verb == ACKNOWLEDGE
    name = "ack" if acknowledge else "clear"
    if not (scope.source or scope.severity or scope.type):
        raise ConfigurationError(
            f"which alarms? give their IDs, or --source or --severity; see tocsin {name} --help"
        )
    if scope.children and len(scope.source or ()) > 1:
        raise ConfigurationError("with --children only one --source can be changed: they may share children")
    # Acknowledging a cleared alarm would open it again.
    status = [Phase.ACTIVE] if acknowledge else [Phase.ACTIVE, Phase.ACKNOWLEDGED]
    wanted = list(dict.fromkeys(AlarmFilter(**one) for one in filters(scope, status)))
    for where in wanted:
        where.check_updatable()
    async with make_cumulocity(connection, f"{name} without IDs") as client:
        matched = sum([await client.alarms.preview(where) for where in wanted])
        done = sure or not matched
        if sure and matched:
            new = Status.ACKNOWLEDGED if acknowledge else Status.CLEARED
            for where in wanted:
                await (await client.alarms.update_many(where, status=new)).wait(_LONGEST)
        if jsonl:
            told = {"platform": connection.platform.value, "site": client.site, "verb": verb}
            await output.write(event_line("bulk", **told, matched=matched, done=done))
        else:
            past = "acknowledged" if acknowledge else "cleared"
            would = "" if done else "would be "
            await output.write(f"{counted(matched, 'alarm')} {would}{past}\n".encode())
        if not done:
            complain(f"nothing was changed: give --yes to {verb} them")
    return DONE
