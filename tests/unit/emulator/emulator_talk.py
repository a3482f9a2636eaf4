"""Raw requests to an emulator, in process: plain httpx and plain JSON, never tocsin's own client."""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

from tocsin.testing import in_process

if TYPE_CHECKING:
    from tocsin.emulator import Emulator

ALARM = {
    "type": "acme_DoorForced",
    "time": "2026-03-01T10:00:00.250+01:00",
    "text": "Door 7 forced",
    "severity": "MAJOR",
    "source": {"id": "4711"},
    "acme_Door": {"no": 7},
}


class Talk:
    """One client of an emulator: a cookie jar, a login, and at most one Bayeux session."""

    def __init__(self, http: httpx.AsyncClient, path: str = "/notification/realtime") -> None:
        self.http = http
        self.path = path
        self.client_id: str | None = None
        self._ids = itertools.count(1)

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.http.get(path, params=params or None)

    async def alarms(self, **params: Any) -> list[dict[str, Any]]:
        reply = await self.get("/alarm/alarms", **{"pageSize": 2000, **params})
        assert reply.status_code == 200, reply.text
        return reply.json()["alarms"]

    async def ids(self, **params: Any) -> list[str]:
        return [alarm["id"] for alarm in await self.alarms(**params)]

    async def post(self, body: Any = None, path: str = "/alarm/alarms", **changes: Any) -> httpx.Response:
        return await self.http.post(path, json={**ALARM, **changes} if body is None else body)

    async def put(self, alarm: str, /, **changes: Any) -> httpx.Response:
        return await self.http.put(f"/alarm/alarms/{alarm}", json=changes)

    async def bayeux(self, *messages: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
        reply = await self.raw(*messages, **options)
        assert reply.status_code == 200, (reply.status_code, reply.text)
        return reply.json()

    async def raw(self, *messages: dict[str, Any], **options: Any) -> httpx.Response:
        batch = [{"id": str(next(self._ids)), **message} for message in messages]
        for message in batch:
            if self.client_id is not None and message.get("channel") != "/meta/handshake":
                message.setdefault("clientId", self.client_id)
        return await self.http.post(self.path, json=batch, **options)

    async def handshake(self, **more: Any) -> dict[str, Any]:
        [reply] = await self.bayeux(
            {
                "channel": "/meta/handshake",
                "version": "1.0",
                "supportedConnectionTypes": ["websocket", "long-polling"],
                **more,
            }
        )
        self.client_id = reply.get("clientId")
        return reply

    async def subscribe(self, channel: Any = "/alarms/*") -> dict[str, Any]:
        return (await self.bayeux({"channel": "/meta/subscribe", "subscription": channel}))[-1]

    async def connect(self, timeout: float | None = 0, **more: Any) -> list[dict[str, Any]]:
        """One connect; `timeout` (s) is proposed as advice, None proposes nothing."""
        if timeout is not None:
            more["advice"] = {"timeout": round(timeout * 1000), **more.get("advice", {})}
        return await self.bayeux({"channel": "/meta/connect", "connectionType": "long-polling", **more})

    async def attach(self, *channels: str) -> Talk:
        assert (await self.handshake())["successful"]
        for channel in channels or ("/alarms/*",):
            assert (await self.subscribe(channel))["successful"]
        assert (await self.connect())[-1]["successful"]
        return self


def events(reply: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The data messages of a reply as (action, alarm id)."""
    return [(m["data"]["realtimeAction"], inner(m)) for m in reply if not m["channel"].startswith("/meta/")]


def inner(message: dict[str, Any]) -> Any:
    data = message["data"]["data"]
    return data["id"] if isinstance(data, dict) else data


@asynccontextmanager
async def talking(emulator: Emulator, user: str = "demo", password: str = "demo", **options: Any):
    """A client in process, with its own cookie jar."""
    async with in_process(emulator) as server, client(server, user, password, **options) as talk:
        yield talk


def client(server: Any, user: str = "demo", password: str = "demo", **options: Any):
    return _client(server.transport_factory(), server.url, user, password, options)


@asynccontextmanager
async def _client(transport: Any, url: str, user: str, password: str, options: dict[str, Any]):
    path = options.pop("path", "/notification/realtime")
    options.setdefault("timeout", 5)
    async with httpx.AsyncClient(
        transport=transport, base_url=url, auth=(f"t1/{user}", password), trust_env=False, **options
    ) as http:
        yield Talk(http, path)
