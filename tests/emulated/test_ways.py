"""`transport="auto"` where WebSockets open and then are of no use: long polling serves."""

from __future__ import annotations

import random
from typing import Any

import anyio
import pytest

from emulated.following import Site, following, until
from tocsin.emulator import Emulator
from tocsin.testing import VirtualWallClock, in_process

pytestmark = [pytest.mark.virtual_time, pytest.mark.limit(3600)]

NO_WEB_SOCKET = (
    '[{"channel":"/meta/handshake","id":"%s","successful":true,"version":"1.0","clientId":"x",'
    '"supportedConnectionTypes":["long-polling"]}]'
)
REFUSED = '[{"channel":"/meta/handshake","id":"%s","successful":false,"error":"500::not here"}]'


def spoilt(emulator: Emulator, words: str | None) -> Any:
    """The emulator behind something that takes WebSockets, and closes them or answers so."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            await emulator.app(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        message = await receive()
        if words is not None and "text" in message:
            number = message["text"].partition('"id":"')[2].partition('"')[0]
            await send({"type": "websocket.send", "text": words % number})
            await receive()
        await send({"type": "websocket.close", "code": 1000})

    return app


@pytest.mark.parametrize("words", [None, NO_WEB_SOCKET, REFUSED], ids=["closed", "not spoken", "refused"])
async def test_a_web_socket_that_brings_no_session_gives_way(words: str | None) -> None:
    wall = VirtualWallClock()
    emulator = Emulator(clock=wall, rng=random.Random(3))
    async with in_process(spoilt(emulator, words)) as server:
        site = Site(emulator, server, wall, wall)
        async with site.client() as client, following(client.alarms.changes(transport="auto")) as seen:
            await anyio.sleep(30)
            one = str(emulator.store.create({"type": "acme", "source": "4711"})["id"])
            assert await until(lambda: one in seen.fold, 5), "nobody listens"
            assert emulator.held_polls == 1
