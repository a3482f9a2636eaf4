"""Cumulocity in the command line's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tocsin.cli._credentials import ASK, credentials
from tocsin.cli._run import complain
from tocsin.cumulocity import Cumulocity
from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Mapping, Sequence

    from tocsin.cli._jsonl import RawAlarm
    from tocsin.cli._options import Connection, Scope
    from tocsin.cli._platforms import Raised
    from tocsin.cumulocity._query import CountFilters
    from tocsin.models import Level, Phase

__all__ = ["DIALECT", "filters"]

ACKNOWLEDGE: Final = "acknowledge"


class _Raised:
    def __init__(self, made: Any) -> None:
        self.id: str | None = made.id
        self.alarm: RawAlarm | None = made.alarm
        self.outcome: str = made.outcome.value
        self.ignored: Sequence[str] = made.ignored


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
