"""pyc8y, on aiohttp."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import aiohttp
from pyc8y.auth import BasicAuth
from pyc8y.client import CumulocityClient
from pyc8y.model.alarm import Alarm

from benchmarks.peers.candidates import PASSWORD, TENANT, Place, spread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

TIME = datetime(2026, 11, 21, 8, 15, 30, tzinfo=UTC)


def make(name: str, place: Place) -> _Pyc8y:
    """Make the candidate of that name."""
    return _Pyc8y(place, 4 if name == "pyc8y-4" else None)


class _Pyc8y:
    def __init__(self, place: Place, workers: int | None) -> None:
        async def connector() -> aiohttp.TCPConnector:
            return aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=place.ca))

        auth = BasicAuth(f"{TENANT}/{place.user}", PASSWORD)
        options = {"connector_factory": connector} if place.ca else {}
        self._client = CumulocityClient(place.url, TENANT, auth, **options)
        self._workers = workers

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.__aexit__(None, None, None)

    async def list(self, source: str, page_size: int, *, touch: bool) -> int:
        count = 0
        alarms = self._client.alarms.select(
            source=source, limit=None, page_size=page_size, workers=self._workers
        )
        if touch:
            async for one in alarms:
                _ = one.id, one.severity, one.status, one.datetime, one.source, one.text
                count += 1
        else:
            async for _ in alarms:
                count += 1
        return count

    async def get(self, ids: Sequence[str], in_flight: int) -> int:
        return await spread(self._client.alarms.get, ids, in_flight)

    async def post(self, types: Sequence[str], in_flight: int) -> int:
        def create(kind: str) -> Awaitable[object]:
            return Alarm(
                self._client, type=kind, text="Smoke", severity="MAJOR", source="4711", time=TIME
            ).create()

        return await spread(create, types, in_flight)
