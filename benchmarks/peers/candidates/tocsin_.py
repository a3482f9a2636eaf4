"""tocsin itself, with its own transport and with httpx's."""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import httpx

from benchmarks import sample
from benchmarks.peers.candidates import PASSWORD, TENANT, Place, spread
from tocsin import Cumulocity
from tocsin.bayeux import BayeuxClient, Event
from tocsin.cumulocity import BasicAuth, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TIME = datetime(2026, 11, 21, 8, 15, 30, tzinfo=UTC)
BUFFER = 10_000
"""A round of events: with the default of 1000 the consumer falls behind, and what it missed is no result."""


def make(name: str, place: Place) -> Any:
    """Make the candidate of that name."""
    options: dict[str, Any] = {"verify": place.ca or True}
    if name.endswith("-stock"):
        context = ssl.create_default_context(
            cafile=place.ca
        )  # once: every pool would load the public CAs anew
        options = {"transport_factory": lambda: httpx.AsyncHTTPTransport(verify=context)}
    kind = _Bayeux if "bayeux" in name else _Tocsin
    return kind(place, options)


class _Tocsin:
    def __init__(self, place: Place, options: dict[str, Any]) -> None:
        auth = BasicAuth(place.user, PASSWORD, tenant=TENANT)
        self._client = Cumulocity(place.url, auth, **options)
        self._stack = AsyncExitStack()
        self._changes: Any = None

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._client)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def list(self, source: str, page_size: int, *, touch: bool) -> int:
        count = 0
        if touch:
            async for alarm in self._client.alarms.list(source=source, page_size=page_size):
                sample.touch(alarm)
                count += 1
        else:
            async for _ in self._client.alarms.list(source=source, page_size=page_size):
                count += 1
        return count

    async def get(self, ids: Sequence[str], in_flight: int) -> int:
        return await spread(self._client.alarms.get, ids, in_flight)

    async def post(self, types: Sequence[str], in_flight: int) -> int:
        def create(kind: str) -> Any:
            return self._client.alarms.create(
                type=kind, text="Smoke", severity=Severity.MAJOR, source="4711", time=TIME
            )

        return await spread(create, types, in_flight)

    async def subscribe(self) -> None:
        stream = self._client.alarms.changes(transport="long-polling")
        self._changes = (await self._stack.enter_async_context(stream)).only_changes()

    async def events(self, count: int) -> int:
        left = count
        async for change in self._changes:
            assert change.alarm is not None
            left -= 1
            if not left:
                break
        return count

    async def subscriber(self, number: int, up: Callable[[], None]) -> None:
        """Hold one stream of this client until cancelled."""
        source = str(5000 + number)
        async with self._client.alarms.changes(source, transport="long-polling") as stream:
            up()
            async for _ in stream:
                pass


class _Bayeux:
    def __init__(self, place: Place, options: dict[str, Any]) -> None:
        auth = BasicAuth(place.user, PASSWORD, tenant=TENANT)
        self._make = lambda: BayeuxClient(place.url + "/notification/realtime", auth=auth, **options)
        self._stack = AsyncExitStack()
        self._events: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def subscribe(self) -> None:
        client = await self._stack.enter_async_context(self._make())
        self._events = await self._stack.enter_async_context(client.subscribe("/alarms/*", buffer=BUFFER))

    async def events(self, count: int) -> int:
        left = count
        async for event in self._events:
            assert isinstance(event, Event)
            assert event.json()["data"]["id"]
            left -= 1
            if not left:
                break
        return count

    async def subscriber(self, number: int, up: Callable[[], None]) -> None:
        """Hold one subscription on a client of its own until cancelled."""
        async with self._make() as client, client.subscribe(f"/alarms/{5000 + number}") as events:
            up()
            async for _ in events:
                pass
