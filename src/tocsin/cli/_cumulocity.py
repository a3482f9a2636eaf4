"""Cumulocity in the command line's words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tocsin.cli._credentials import ASK, credentials
from tocsin.cli._platforms import ACKNOWLEDGE, Deed
from tocsin.cli._run import complain
from tocsin.cli._text import plain
from tocsin.cumulocity import AlarmFilter, Cumulocity, Status
from tocsin.errors import ConfigurationError
from tocsin.models import Phase

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence

    from tocsin._doctor._examine import Examination
    from tocsin._doctor._visit import VisitOptions
    from tocsin.cli._jsonl import RawAlarm
    from tocsin.cli._options import Connection, Scope
    from tocsin.cli._platforms import Raised
    from tocsin.cumulocity import AuditRecord
    from tocsin.cumulocity._query import CountFilters
    from tocsin.models import Level

__all__ = ["DIALECT", "filters"]

_LONGEST: Final = 300.0
"""Seconds that are waited for what the platform goes on with after its answer."""


class _Raised:
    def __init__(self, made: Any) -> None:
        self.id: str | None = made.id
        self.alarm: RawAlarm | None = made.alarm
        self.outcome: str = made.outcome.value
        self.ignored: Sequence[str] = made.ignored


class _Many:
    """One request for each set of filters."""

    changed = None

    def __init__(self, wanted: Sequence[AlarmFilter], new: Status) -> None:
        self._wanted = wanted
        self._new = new

    async def count(self, client: Cumulocity) -> int:
        return sum([await client.alarms.preview(where) for where in self._wanted])

    async def change(self, client: Cumulocity) -> None:
        for where in self._wanted:
            await (await client.alarms.update_many(where, status=self._new)).wait(_LONGEST)


class _Dialect:
    example = "https://acme.example.com"
    variables: Mapping[str, str] = {
        "url": "C8Y_BASEURL",
        "tenant": "C8Y_TENANT",
        "user": "C8Y_USER",
        "password": "C8Y_PASSWORD",
        "token": "C8Y_TOKEN",
    }
    ask = ASK
    id_size = 10

    def make_client(
        self, options: Connection, environ: Mapping[str, str], *, anonymous: bool, **settings: Any
    ) -> Cumulocity:
        auth = credentials(options, environ)
        if auth is None:
            if not anonymous:
                raise ConfigurationError(f"no credentials: {ASK}")
            complain(f"no credentials were given, trying without: {ASK}")
        application = environ.get("APPLICATION_KEY") or None
        return Cumulocity(
            str(options.url), auth, tenant=options.tenant, application_key=application, **settings
        )

    def changes(self, scope: Scope, *, transport: str, subscriber: str | None) -> dict[str, Any]:
        return {
            "source": tuple(scope.source) if scope.source else "*",
            "children": scope.children,
            "severity": [level.value for level in scope.severity] if scope.severity else None,
            "type": scope.type or None,
            "transport": transport,
            "subscriber": subscriber,
        }

    def lists(
        self, client: Cumulocity, scope: Scope, status: Sequence[Phase] | None
    ) -> list[AsyncIterable[RawAlarm]]:
        return [client.alarms.list(**wanted) for wanted in filters(scope, status)]

    async def count(self, client: Cumulocity, scope: Scope, status: Sequence[Phase] | None) -> int:
        if scope.children and len(scope.source or ()) > 1:
            raise ConfigurationError(
                "with --children only one --source can be counted: they may share children"
            )
        return sum([await client.alarms.count(**wanted) for wanted in filters(scope, status)])

    async def raise_alarm(
        self, client: Cumulocity, *, source: str, kind: str, text: str, level: Level | None
    ) -> Raised:
        severity = "MAJOR" if level is None else level.value
        return _Raised(await client.alarms.create(type=kind, text=text, severity=severity, source=source))

    async def change(self, client: Cumulocity, alarm_id: str, verb: str) -> RawAlarm:
        alarms = client.alarms
        return await (alarms.acknowledge(alarm_id) if verb == ACKNOWLEDGE else alarms.clear(alarm_id))

    def many(self, scope: Scope, verb: str) -> _Many:
        if scope.children and len(scope.source or ()) > 1:
            raise ConfigurationError(
                "with --children only one --source can be changed: they may share children"
            )
        acknowledge = verb == ACKNOWLEDGE
        # Acknowledging a cleared alarm would open it again.
        status = [Phase.ACTIVE] if acknowledge else [Phase.ACTIVE, Phase.ACKNOWLEDGED]
        wanted = list(dict.fromkeys(AlarmFilter(**one) for one in filters(scope, status)))
        for where in wanted:
            where.check_updatable()
        return _Many(wanted, Status.ACKNOWLEDGED if acknowledge else Status.CLEARED)

    async def history(self, client: Cumulocity, alarm_id: str) -> AsyncIterator[Deed]:
        async for record in client.alarms.history(alarm_id):
            yield Deed(record.time, record.user, _told(record), record.id, record.raw)

    def examination(self, client: Any, options: VisitOptions) -> Examination:
        from tocsin.cumulocity._doctor._examine import Examination

        return Examination(client, options)


DIALECT: Final = _Dialect()


def filters(scope: Scope, status: Sequence[Phase] | None) -> list[CountFilters]:
    """Give what the REST API is asked for: one set of filters a source, because it takes one at a time."""
    wanted: CountFilters = {"with_assets": scope.children, "with_devices": scope.children}
    if scope.children and not scope.source:
        raise ConfigurationError("--children needs --source: without it every device is covered already")
    if scope.severity:
        wanted["severity"] = [level.value for level in scope.severity]
    if scope.type:
        wanted["type"] = scope.type
    if status:
        wanted["status"] = [phase.value for phase in status]
    if not scope.source:
        return [wanted]
    return [{**wanted, "source": source} for source in scope.source]


def _told(record: AuditRecord) -> str:
    changes = ", ".join(
        f"{plain(one.attribute, 40)} {_value(one.previous)} -> {_value(one.new)}" for one in record.changes
    )
    return f"{plain(record.activity or record.text)}{': ' if changes else ''}{changes}"


def _value(value: Any) -> str:
    return plain(value if isinstance(value, str) else json.dumps(value), 60)
