"""Raw requests to an emulated XProtect, in process: plain httpx and plain JSON, never tocsin's own client."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

from tocsin.testing import in_process

if TYPE_CHECKING:
    from tocsin.emulator import XProtectEmulator

BASE = "/api/rest/v1"
LOGIN = "/API/IDP/connect/token"
WINDOWS = "/IDP/connect/token"
FORM = {"grant_type": "password", "username": "demo", "password": "demo", "client_id": "GrantValidatorClient"}


class Operator:
    """One client of an emulated XProtect."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def log_in(self, path: str = LOGIN, **form: str) -> httpx.Response:
        """Ask for a token, and use it from then on if there is one."""
        reply = await self.http.post(path, data={**FORM, **form})
        if reply.status_code == 200:
            self.http.headers["Authorization"] = f"Bearer {reply.json()['access_token']}"
        return reply

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.http.get(BASE + path, params=params or None)

    async def array(self, path: str, **params: Any) -> list[Any]:
        reply = await self.get(path, **params)
        assert reply.status_code == 200, reply.text
        return reply.json()["array"]

    async def data(self, path: str, **params: Any) -> dict[str, Any]:
        reply = await self.get(path, **params)
        assert reply.status_code == 200, reply.text
        return reply.json()["data"]

    async def names(self, **params: Any) -> list[str]:
        return [alarm["name"] for alarm in await self.array("/alarms", **params)]

    async def post(self, path: str, body: Any) -> httpx.Response:
        return await self.http.post(BASE + path, json=body)

    async def patch(self, alarm: str, body: Any) -> httpx.Response:
        return await self.http.patch(f"{BASE}/alarms/{alarm}", json=body)


@asynccontextmanager
async def operating(emulator: XProtectEmulator, **form: str):
    """A client that is logged in."""
    async with reaching(emulator) as operator:
        assert (await operator.log_in(**form)).status_code == 200
        yield operator


@asynccontextmanager
async def reaching(emulator: XProtectEmulator):
    """A client that is not."""
    async with (
        in_process(emulator) as server,
        httpx.AsyncClient(
            transport=server.transport_factory(), base_url=server.url, trust_env=False, timeout=5
        ) as http,
    ):
        yield Operator(http)


def detail(reply: httpx.Response) -> dict[str, Any]:
    """What an error envelope says."""
    error = reply.json()["error"]
    assert error["httpCode"] == reply.status_code
    return error["details"][0]
