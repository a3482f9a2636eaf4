"""Milestone XProtect in the command line's words."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from tocsin._http._auth import BearerAuth
from tocsin.cli._credentials import from_file, warn_of_shown
from tocsin.cli._options import Login
from tocsin.cli._platforms import ACKNOWLEDGE, Deed
from tocsin.cli._text import plain
from tocsin.errors import ConfigurationError, NotFoundError
from tocsin.models import Level, Phase

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence

    from tocsin._doctor._examine import Examination
    from tocsin._doctor._visit import VisitOptions
    from tocsin.cli._jsonl import RawAlarm
    from tocsin.cli._options import Connection, Scope
    from tocsin.cli._platforms import Raised

__all__ = ["DIALECT"]

_VISIBLE: Final = 30.0
"""Seconds that are waited until what was written can be read."""
_PRIORITIES: Final = {Level.CRITICAL: 1, Level.MAJOR: 2, Level.MINOR: 3}
_NO_SUCH: Final = {
    "tenant": "--tenant",
    "tfa_code": "--tfa-code",
    "cert": "--cert",
    "key": "--key",
}


class _Raised:
    outcome = "created"
    ignored: Sequence[str] = ()

    def __init__(self, alarm: Any) -> None:
        self.id: str | None = alarm.id
        self.alarm: RawAlarm | None = alarm


class _Many:
    """One update for each: the platform has none for many."""

    def __init__(self, scope: Scope, verb: str) -> None:
        self._verb = verb
        self._filters: dict[str, Any] = {
            "source": scope.source or None,
            "priority": scope.severity or None,
            # Acknowledging a closed alarm would open it again.
            **({"state": Phase.ACTIVE} if verb == ACKNOWLEDGE else {"resolved": False}),
        }
        self._ids: list[str] = []
        self.changed: int | None = 0

    async def count(self, client: Any) -> int:
        self._ids = [alarm.id async for alarm in client.alarms.list(**self._filters)]
        return len(self._ids)

    async def change(self, client: Any) -> None:
        written = []
        for alarm_id in self._ids:
            try:
                if await self._matches(client, alarm_id):
                    written.append(await getattr(client.alarms, self._verb)(alarm_id))
            except NotFoundError:
                pass  # gone meanwhile
            self.changed = len(written)
        for accepted in written:
            await accepted.wait(_VISIBLE)

    async def _matches(self, client: Any, alarm_id: str) -> bool:
        """Whether it is still to be changed: since it was listed somebody may have closed it."""
        if self._verb != ACKNOWLEDGE:
            return True
        alarm: RawAlarm = await client.alarms.get(alarm_id, include_data=False)
        return alarm.phase is Phase.ACTIVE


class _Dialect:
    example = "https://vms.example.com"
    variables: Mapping[str, str] = {
        "url": "XPROTECT_URL",
        "user": "XPROTECT_USER",
        "password": "XPROTECT_PASSWORD",
        "token": "XPROTECT_TOKEN",
        "auth": "XPROTECT_AUTH",
    }
    ask = "give --user and --password-file (or XPROTECT_USER and XPROTECT_PASSWORD), or --token-file"
    id_size = 36

    def make_client(
        self, options: Connection, environ: Mapping[str, str], *, anonymous: bool, **settings: Any
    ) -> Any:
        del anonymous  # nothing can be read there without a token
        for name, option in _NO_SUCH.items():
            if getattr(options, name):
                raise ConfigurationError(f"{option} is Cumulocity's: --platform xprotect has no such thing")
        platform = import_module("tocsin.xprotect")
        return platform.XProtect(options.url, self._auth(options, environ, platform), **settings)

    def _auth(self, options: Connection, environ: Mapping[str, str], platform: Any) -> Any:
        warn_of_shown(options, self.variables)
        token = options.token or from_file(options.token_file) or environ.get("XPROTECT_TOKEN")
        if token:
            return BearerAuth(token)
        password = options.password or from_file(options.password_file) or environ.get("XPROTECT_PASSWORD")
        if not options.user:
            raise ConfigurationError(f"no credentials: {self.ask}")
        if not password:
            raise ConfigurationError(
                f"no password for {options.user}: give --password-file, or set XPROTECT_PASSWORD"
            )
        kind = options.auth or (Login.WINDOWS if "\\" in options.user else Login.BASIC)
        if kind is Login.WINDOWS:
            return platform.WindowsUser(options.user, password)
        if kind is Login.BASIC:
            return platform.BasicUser(options.user, password)
        raise ConfigurationError(f"--auth {kind.value} is Cumulocity's: give basic or windows")

    def changes(self, scope: Scope, *, transport: str, subscriber: str | None) -> dict[str, Any]:
        _check(scope)
        if transport not in ("auto", "polling") or subscriber is not None:
            raise ConfigurationError(
                "--platform xprotect reads its alarms: --transport is auto (a WebSocket wakes it) or polling"
            )
        return {
            "source": tuple(scope.source) if scope.source else "*",
            "level": scope.severity or None,
            "wake": transport == "auto",
        }

    def lists(
        self, client: Any, scope: Scope, status: Sequence[Phase] | None
    ) -> list[AsyncIterable[RawAlarm]]:
        _check(scope)
        return [
            client.alarms.list(
                source=scope.source or None, priority=scope.severity or None, state=status or None
            )
        ]

    async def count(self, client: Any, scope: Scope, status: Sequence[Phase] | None) -> int:
        number = 0
        for listed in self.lists(client, scope, status):  # the platform tells no total
            async for _ in listed:
                number += 1
        return number

    async def raise_alarm(
        self, client: Any, *, source: str, kind: str, text: str, level: Level | None
    ) -> Raised:
        priority = None if level is None else await _priority(client, level)
        made = await client.alarms.create(name=kind, message=text, source=source)
        await made.wait(_VISIBLE)
        if priority is not None:
            await (await client.alarms.update(made.id, priority=priority)).wait(_VISIBLE)
        return _Raised(await client.alarms.get(made.id, include_data=False))

    async def change(self, client: Any, alarm_id: str, verb: str) -> RawAlarm:
        written = await getattr(client.alarms, verb)(alarm_id)
        await written.wait(_VISIBLE)
        alarm: RawAlarm = await client.alarms.get(alarm_id, include_data=False)
        return alarm

    def many(self, scope: Scope, verb: str) -> _Many:
        _check(scope)
        return _Many(scope, verb)

    async def history(self, client: Any, alarm_id: str) -> AsyncIterator[Deed]:
        entries = [entry async for entry in client.alarms.history(alarm_id)]
        if all(entry.time is not None for entry in entries):  # in which order they come is not documented
            entries.sort(key=lambda entry: entry.time, reverse=True)
        for entry in entries:
            told = {"state": entry.state, "priority": entry.priority, "assigned to": entry.assigned_to}
            changes = ", ".join(f"{name} {plain(value, 60)}" for name, value in told.items() if value)
            words = ": ".join(part for part in (plain(entry.text) if entry.text else "", changes) if part)
            raw = json.dumps(dict(entry.wire), separators=(",", ":")).encode()
            identity = entry.wire.get("id")
            yield Deed(entry.time, entry.author, words, identity if isinstance(identity, str) else None, raw)

    def examination(self, client: Any, options: VisitOptions) -> Examination:
        from tocsin.xprotect._doctor._examine import Examination

        return Examination(client, options)


DIALECT: Final = _Dialect()


async def _priority(client: Any, level: Level) -> Any:
    """The site's priority of a level: looked up before an alarm is raised that could not have it.

    Raises:
        ConfigurationError: It has none.
    """
    found = [one for one in await client.alarms.priorities() if one.level == _PRIORITIES.get(level)]
    if not found:
        raise ConfigurationError(f"--severity {level.value}: this site has no priority of that level")
    return found[0]


def _check(scope: Scope) -> None:
    if scope.children or scope.type:
        name = "--children" if scope.children else "--type"
        raise ConfigurationError(f"{name} is Cumulocity's: --platform xprotect has no such filter")
