"""The emulator on a real socket: uvicorn in a thread for tests, in the foreground for the command line.

The only file that knows uvicorn and asyncio. Its connections can really be dropped, reset and refused.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import socket
import struct
import threading
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from signal import SIGINT, SIGTERM
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from tocsin.emulator._base import BaseEmulator

_BACKLOG = 512
_GRACE = 1.0  # seconds for requests to notice that the server stops
_PATIENCE = 10.0  # seconds for the server's thread to do what it is told
_quiet = logging.getLogger("tocsin.emulator.uvicorn")
_quiet.disabled = True  # it tells of each peer that breaks the protocol, and of tokens in addresses


class Wire:
    """What the app finds as `tocsin.wire`: the connection below a request. Usable from any thread."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._thread = threading.get_ident()

    def abort(self) -> None:
        """Close the connection in the middle; what was sent before still arrives."""
        self.post(self._transport.close)

    def reset(self) -> None:
        """Close it with a reset (RST)."""
        self.post(self._reset)

    def post(self, callback: Callable[[], None]) -> None:
        """Run a callback in the server's event loop, now if that is where we are."""
        if threading.get_ident() == self._thread:
            callback()
            return
        with suppress(RuntimeError):  # the loop has ended, and the connection with it
            # In a fresh context: the caller's says which event loop it runs on, and ours is another one.
            self._loop.call_soon_threadsafe(callback, context=Context())

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.post(lambda: self._transport.write(data))

    def _reset(self) -> None:
        peer = self._transport.get_extra_info("socket")
        if peer is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


class Protocol(H11Protocol):
    """uvicorn's HTTP protocol, with the connection handed to the app."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Hand the connection to the app with each of its requests."""
        super().connection_made(transport)
        app, wire = self.app, Wire(transport, self.loop)
        secure = transport.get_extra_info("ssl_object")
        added = {"tocsin.wire": wire, "tocsin.peer": secure.getpeercert() if secure is not None else None}

        async def with_wire(scope: Any, receive: Any, send: Any) -> None:
            scope["extensions"] = {**scope.get("extensions", {}), **added}
            with suppress(asyncio.CancelledError):  # only a server that stops cancels; uvicorn would log it
                await app(scope, receive, send)

        self.app = with_wire

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: the app tells the client."""


class SocketWire(Wire):
    """The connection below a WebSocket."""

    silent = False
    heard = 0
    on_bytes: Callable[[], None] | None = None

    def silence(self) -> None:
        """Neither hear nor answer any more, pings neither."""
        self.silent = True


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, with the connection handed to the app."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand the connection to the app."""
        super().connection_made(transport)
        self.logger = _quiet
        app = self.app
        wire = self._wire = SocketWire(self.transport, self.loop)

        async def with_wire(scope: Any, receive: Any, send: Any) -> None:
            scope["extensions"] = {**scope.get("extensions", {}), "tocsin.wire": wire}
            with suppress(asyncio.CancelledError):
                await app(scope, receive, send)

        self.app = with_wire

    def data_received(self, data: bytes) -> None:
        """Pass on what comes, unless nobody is to be there."""
        self._wire.heard += 1
        if self._wire.on_bytes is not None:
            self._wire.on_bytes()
        if not self._wire.silent:
            super().data_received(data)


class Served:
    """An emulator that listens. Its methods may be called from any thread.

    Args:
        emulator: What is served.
        host: The address to listen at.
        port: The port; 0 picks a free one.
        tls: Speak TLS; with `verify_mode` set, certificates of clients are checked and known to the emulator.
    """

    def __init__(
        self, emulator: BaseEmulator, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> None:
        self._tls = tls
        self.host = host
        self.port = port
        self.connections_made = 0
        self._emulator = emulator
        self._config = uvicorn.Config(
            emulator.app, http=Protocol, ws=SocketProtocol, ws_max_size=emulator.limits.frame,
            ws_ping_interval=None, ws_per_message_deflate=False, lifespan="off",
            log_config=None, access_log=False, date_header=False, server_header=False, timeout_keep_alive=75,
            proxy_headers=False,
        )  # fmt: skip
        self._state = ServerState()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._stop: asyncio.Event | None = None
        self._socket: socket.socket | None = None
        self._listener: asyncio.Server | None = None
        self._pending: set[asyncio.Task[None]] = set()
        self._refusing = False
        self._turn = asyncio.Lock()

    @property
    def url(self) -> str:
        """The base URL to give to clients."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    @property
    def refusing(self) -> bool:
        """Whether connections are refused now; may be set."""
        return self._listener is None

    @refusing.setter
    def refusing(self, refusing: bool) -> None:
        if refusing is not self._refusing:
            self._refusing = refusing
            self._do(self._unlisten() if refusing else self._listen())

    def cut(self) -> None:
        """End every connection, idle ones too."""
        self._do(self._cut())

    def stop(self) -> None:
        """Stop serving; connections end."""
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # it has stopped already
                self._loop.call_soon_threadsafe(self._stop.set, context=Context())

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until `stop`; in an asyncio loop.

        Args:
            ready: Called once it listens.

        Raises:
            OSError: The address cannot be had.
        """
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._stop = asyncio.Event()
        self._config.load()
        self._bind()
        await self._listen()
        self._emulator.served_at = self._emulator.served_at or self.url
        self._emulator.servers.append(self)
        try:
            ready()
            await self._stop.wait()
        finally:
            self._emulator.servers.remove(self)
            await self._unlisten()
            await self._cut()
            if self._socket is not None:
                self._socket.close()
            if tasks := {*self._state.tasks, *self._pending}:
                _done, late = await asyncio.wait(tasks, timeout=_GRACE)  # their connections are gone
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)

    def _bind(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # With its protocol named, asyncio switches Nagle off for what it accepts: else 40 ms a response.
        self._socket = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((self.host, self.port))
        except OSError:
            self._socket.close()
            raise
        self.port = self._socket.getsockname()[1]

    async def _listen(self) -> None:
        async with self._turn:
            if self._loop is not None and self._socket is not None and self._listener is None:
                self._listener = await self._loop.create_server(
                    self._protocol, sock=self._socket, backlog=_BACKLOG, ssl=self._tls
                )

    async def _unlisten(self) -> None:
        async with self._turn:
            if self._listener is not None:
                self._listener.close()
                await asyncio.sleep(0)  # it closes its socket in the loop's next round
                self._listener = None
                # Bound and not listening, a socket keeps the port ours while connections are refused.
                self._bind()

    async def _cut(self) -> None:
        for connection in list(self._state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    def _protocol(self) -> Protocol:
        self.connections_made += 1
        return Protocol(self._config, self._state, {})

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it in the server's loop; from another thread, wait for it."""
        if self._loop is None or self._loop.is_closed():
            work.close()
        elif threading.get_ident() == self._thread:
            self._start(work)
        else:
            done: concurrent.futures.Future[None] = concurrent.futures.Future()
            self._loop.call_soon_threadsafe(self._start, work, done, context=Context())
            done.result(_PATIENCE)

    def _start(
        self, work: Coroutine[Any, Any, None], done: concurrent.futures.Future[None] | None = None
    ) -> None:
        async def tell() -> None:
            try:
                await work
            finally:
                if done is not None:
                    done.set_result(None)

        task = asyncio.ensure_future(tell())
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)


@asynccontextmanager
async def serve(
    emulator: BaseEmulator, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Served]:
    """Serve an emulator on a socket, in a thread of its own; on asyncio and trio alike.

    Args:
        emulator: What to serve.
        host: The address to listen at.
        port: The port; 0 picks a free one.
        tls: Speak TLS, with this context; see `Served`.

    Yields:
        The server; its `url` is what a client needs.

    Raises:
        OSError: The address cannot be had.
    """
    served = Served(emulator, host, port, tls)
    started = threading.Event()
    failure: list[BaseException] = []

    def work() -> None:
        try:
            Context().run(asyncio.run, served.run(started.set))
        except BaseException as error:  # noqa: BLE001 - raised where `serve` is entered
            failure.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=work, name="tocsin emulator", daemon=True)
    thread.start()
    try:
        await anyio.to_thread.run_sync(started.wait)
        if failure:
            raise failure[0]
        yield served
    finally:
        served.stop()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(thread.join, _PATIENCE)


def serve_forever(
    emulator: BaseEmulator,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve in the foreground until SIGINT or SIGTERM.

    Args:
        emulator: What to serve.
        host: The address to listen at.
        port: The port; 0 picks a free one.
        ready: Called with the URL once it listens.

    Raises:
        OSError: The address cannot be had.
    """
    served = Served(emulator, host, port)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for number in (SIGINT, SIGTERM):
            with suppress(NotImplementedError):  # Windows: KeyboardInterrupt ends it
                loop.add_signal_handler(number, served.stop)
        await served.run(lambda: ready(served.url) if ready is not None else None)

    with suppress(KeyboardInterrupt):
        asyncio.run(main())
