"""aiocometd-ng over long polling. Its websocket transport does not run on Python 3.10 and later."""

from __future__ import annotations

import base64
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from aiocometd_ng import AuthExtension, Client, ConnectionType

from benchmarks.peers.candidates import PASSWORD, TENANT, Place

if TYPE_CHECKING:
    from collections.abc import Callable


def make(name: str, place: Place) -> _Aiocometd:
    """Make the candidate of that name."""
    del name
    return _Aiocometd(place)


class _Basic(AuthExtension):  # type: ignore[misc]
    def __init__(self, user: str) -> None:
        self._value = "Basic " + base64.b64encode(f"{TENANT}/{user}:{PASSWORD}".encode()).decode()

    async def outgoing(self, payload: Any, headers: dict[str, str]) -> None:
        del payload
        headers["Authorization"] = self._value

    async def incoming(self, payload: Any, headers: Any = None) -> None:
        """Nothing to do."""

    async def authenticate(self) -> None:
        """Nothing to do."""


class _Aiocometd:
    def __init__(self, place: Place) -> None:
        self._make = lambda **options: Client(
            f"{place.url}/notification/realtime",
            ConnectionType.LONG_POLLING,
            auth=_Basic(place.user),
            **options,
        )
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def subscribe(self) -> None:
        self._client = await self._stack.enter_async_context(self._make())
        await self._client.subscribe("/alarms/*")

    async def events(self, count: int) -> int:
        left = count
        async for event in self._client:
            assert event["data"]["data"]["id"]
            left -= 1
            if not left:
                break
        return count

    async def subscriber(self, number: int, up: Callable[[], None]) -> None:
        """Hold one subscription on a client of its own until cancelled."""
        # Its connection timeout uses an argument that asyncio.wait_for no longer has: readers would end.
        async with self._make(connection_timeout=0) as client:
            await client.subscribe(f"/alarms/{5000 + number}")
            up()
            async for _ in client:
                pass
