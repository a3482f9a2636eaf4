"""Requests for a WebSocket: faults first, then whatever talks at the path."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import anyio

from tocsin.emulator._errors import RefusedError
from tocsin.emulator._http import Logged, Reply, Routes
from tocsin.emulator._socket import Socket
from tocsin.emulator._wire import GoneError, Receive, Scope, Send
from tocsin.emulator.faults import Fault, Seen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tocsin.emulator._app import App
    from tocsin.emulator._base import BaseEmulator

_log = logging.getLogger("tocsin.emulator")

FRAME: Final = "FRAME"
"""The method by which faults know a message of the client."""

_FAILED: Final = 1011


class Sockets:
    """All WebSockets of an emulator.

    Args:
        emulator: Whose they are.
        app: How its platform refuses.
        routes: What answers at paths where there is no WebSocket.

    Attributes:
        talks: By path, what lets a client in and talks with it; it refuses by raising `RefusedError`.
        live: Those that are open.
    """

    def __init__(self, emulator: BaseEmulator, app: App, routes: Routes) -> None:
        self._emulator = emulator
        self._app = app
        self._routes = routes
        self.talks: dict[str, Callable[[Socket], Awaitable[None]]] = {}
        self.live: dict[Socket, None] = {}

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one, to its end.

        Args:
            scope: ASGI's scope.
            receive: ASGI's receive.
            send: ASGI's send.
        """
        await receive()
        limits = self._emulator.limits
        socket = Socket(scope, receive, send, limits.hang, limits.frame)
        socket.path = self._app.canonical(socket.path)
        self.live[socket] = None
        try:
            await socket.run(lambda: self._serve(socket))
        finally:
            del self.live[socket]

    async def _serve(self, socket: Socket) -> None:
        try:
            reply = await self._handle(socket)
        except RefusedError as refused:
            reply = self._app.refusal(refused)
        except GoneError:
            raise
        except Exception:  # noqa: BLE001 - a server outlives what it gets wrong
            _log.exception("the emulator failed at the WebSocket %.200s", socket.path)
            if socket.accepted:
                await socket.close(_FAILED)
                return
            reply = self._app.refusal(RefusedError(500, "general/internalError", "The emulator failed"))
        if reply is not None:
            await socket.refuse(reply, [(b"date", self._emulator.clock.http_date().encode())])

    async def _handle(self, socket: Socket) -> Reply | None:
        emulator = self._emulator
        count(emulator, socket, "GET", ())
        if emulator.down:
            await socket.drop()
        if pause := emulator.throttle.admit(anyio.current_time()):
            await anyio.sleep(pause)
        struck = emulator.faults.on_request(Seen("GET", socket.path, socket.query))
        await strike(socket, struck)
        for fault in struck:
            if fault.kind == "hang":
                await socket.mute()
            elif fault.kind == "status":
                return self._app.ordered(fault)
        talk = self.talks.get(socket.path)
        if talk is None:
            self._routes.find("GET", socket.path)  # refuses with 404 or 405 as it would a plain request
            raise RefusedError(400, "general/noWebSocket", f"No WebSocket: {socket.path:.200}")
        if len(self.live) > emulator.limits.sockets:
            raise RefusedError(503, "emulator/Limit", "No more WebSockets are taken; see Limits")
        await talk(socket)
        return None


async def strike(socket: Socket, struck: Sequence[Fault]) -> None:
    """Have faults act on a socket: those that delay it, end it, or change what is sent from now on."""
    socket.heed(struck)
    for fault in struck:
        if fault.kind == "delay":
            await anyio.sleep(fault.seconds)
    for fault in struck:
        if fault.kind == "drop" and fault.when == "request":
            socket.reset = fault.reset
            await socket.drop()


def count(emulator: BaseEmulator, socket: Socket, method: str, channels: tuple[str, ...]) -> None:
    """Count an upgrade or a message as a request."""
    agent = socket.headers.get("user-agent", "")
    emulator.requests.count(
        Logged(anyio.current_time(), method, socket.path, socket.query, channels, agent)
    )  # fmt: skip
