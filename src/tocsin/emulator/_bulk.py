"""Bulk changes: what they refuse, and how they go on after the reply."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import anyio

from tocsin.emulator._access import ALARM_ADMIN
from tocsin.emulator._errors import RefusedError, invalid
from tocsin.emulator._http import Exchange, Reply
from tocsin.emulator._query import Query, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.emulator._settings import Settings
    from tocsin.emulator._store import Store

_GUARD: Final = frozenset({"source", "dateFrom", "dateTo", "createdFrom", "createdTo"})
_PATIENCE: Final = 0.5
"""Seconds after which a bulk PUT is answered though it is not done (the platform's documents)."""


class BulkApi:
    """Answers PUT and DELETE of `/alarm/alarms`. Its routes are called with the store's lock held."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._behaviour = settings.behaviour

    def update(self, exchange: Exchange) -> Reply:
        """Change the status of all that a query wants; there must be one."""
        exchange.user.need(ALARM_ADMIN)
        if not exchange.params:
            raise invalid("At least one query parameter is needed")
        status = exchange.object.get("status")
        if set(exchange.object) != {"status"} or not isinstance(status, str):
            raise invalid("Only status can be changed")
        author, silent = exchange.author, exchange.mode in {"QUIESCENT", "CEP"}

        def change(id: str) -> None:
            self._store.change(id, {"status": status}, silent=silent, by=author)

        ids = self._ids(self._query(exchange, "update"))
        seconds = self._behaviour.bulk_seconds
        if seconds > _PATIENCE:
            return Reply(202, after=lambda: self._go_on(ids, change, seconds / max(1, len(ids))))
        for id in ids:
            change(id)
        return Reply(200)

    def delete(self, exchange: Exchange) -> Reply:
        """Delete all that a query wants, after the reply; there must be a source or a time."""
        exchange.user.need(ALARM_ADMIN)
        if not _GUARD & exchange.params.keys():
            raise invalid("At least one of source, dateFrom, dateTo, createdFrom, createdTo is needed")
        ids = self._ids(self._query(exchange, "delete"))
        return Reply(204, after=lambda: self._delete(ids))

    async def _delete(self, ids: Sequence[str]) -> None:
        await anyio.sleep(self._behaviour.bulk_delay)
        await self._go_on(ids, self._store.remove, None)

    async def _go_on(self, ids: Sequence[str], change: Callable[[str], object], pause: float | None) -> None:
        for id in ids[: self._behaviour.bulk_stops_after]:
            if pause is not None:
                await anyio.sleep(pause)
            with self._store.lock, suppress(RefusedError):  # somebody else may have deleted it
                change(id)

    def _ids(self, query: Query) -> list[str]:
        return [alarm.id for alarm in self._store.select(query)]

    def _query(self, exchange: Exchange, use: Any) -> Query:
        return parse(exchange.params, use, last_updated=self._behaviour.last_updated)
