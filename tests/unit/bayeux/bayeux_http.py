"""The server in memory behind HTTP: cookies, heartbeats, and a note of every request's headers."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from tocsin.bayeux import BayeuxClient
from tocsin.testing import in_process
from unit.bayeux.bayeux_sockets import Sockets

if TYPE_CHECKING:
    from unit.bayeux.bayeux_peer import Server


class Web:
    """An ASGI app. `status`, `body`, `headers` replace its answers, `heartbeat` puts blanks in front."""

    def __init__(self, server: Server, path: str = "/bayeux") -> None:
        self.server = server
        self.path = path
        self.seen: list[dict[str, Any]] = []
        self.status = 200
        self.body: bytes | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.heartbeat: float | None = None
        self.answering = True
        self.in_flight = self.most = 0
        self.web_socket = False
        self.tried = 0
        self.sockets = Sockets(server)
        self.scopes: list[Any] = []

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "websocket":
            await self.socket(scope, receive, send)
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        headers = {k.decode().lower(): v.decode() for k, v in scope["headers"]}
        self.seen.append({**headers, "path": scope["path"], "method": scope["method"], "body": body,
                          "port": scope["client"][1]})  # fmt: skip
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await self.answer(scope, body, headers, receive, send)
        finally:
            self.in_flight -= 1

    async def socket(self, scope, receive, send) -> None:
        """Speak on a WebSocket, where there are any."""
        self.tried += 1
        if not self.web_socket or scope["path"] != self.path:
            await receive()
            await send({"type": "websocket.close"})
            return
        self.scopes.append(scope)
        await self.sockets(scope, receive, send)

    async def answer(self, scope, body, headers, receive, send) -> None:
        status = 404 if scope["path"] != self.path else self.status
        fields = [
            (b"content-type", b"application/json"),
            (b"date", b"Sun, 06 Nov 1994 08:49:37 GMT"),
            *self.headers,
        ]
        handshake = b"/meta/handshake" in body
        cookie = f"BAYEUX_BROWSER=b{self.server.numbers + 1}"
        if handshake:
            fields.append((b"set-cookie", f"{cookie}; HttpOnly; Path=/".encode()))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        if status != 200 or self.body is not None:
            await send({"type": "http.response.body", "body": self.body or b"<html>no</html>"})
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.beat, send)
            tasks.start_soon(self.leave, receive, tasks.cancel_scope)
            answer = await self.server.handle(body)
            if handshake:
                for client in self.server.clients.values():
                    client.cookie = client.cookie or cookie
            else:
                self.check_cookie(body, headers)
            if not self.answering:
                await anyio.sleep_forever()
            tasks.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": answer})

    def check_cookie(self, body: bytes, headers: dict[str, str]) -> None:
        for message in json.loads(body):
            client = self.server.clients.get(message["clientId"])
            assert client is None or client.cookie in headers.get("cookie", ""), "the cookie is missing"

    async def beat(self, send) -> None:
        while self.heartbeat is not None:
            await anyio.sleep(self.heartbeat)
            await send({"type": "http.response.body", "body": b" ", "more_body": True})

    async def leave(self, receive, scope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()


@asynccontextmanager
async def web_client(web: Web, path: str = "/bayeux", *, transport: Any = "long-polling", **options: Any):
    async with (
        in_process(web) as server,
        BayeuxClient(
            f"{server.url}{path}", transport_factory=server.transport_factory, transport=transport, **options
        ) as client,
    ):
        yield client, server
