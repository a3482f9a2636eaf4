"""One connection: an exchange at a time, its limits, and the body as a stream."""

from __future__ import annotations

from socket import SHUT_RDWR
from typing import TYPE_CHECKING, Final

import httpx
from anyio import create_task_group, move_on_after, wait_readable, wait_writable
from anyio.lowlevel import checkpoint

from tocsin._http._h1._parser import ResponseParser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from socket import socket

    from tocsin._http._h1._sockets import SocketLike

__all__ = ["Body", "Connection", "UnsentError", "Upgraded"]

_JOINED: Final = 64 * 1024  # a body up to this leaves in one piece with its head
_TURN: Final = 2**20  # bytes read without giving others a turn


class UnsentError(Exception):
    """A connection that was idle took no byte of the request: another one can."""


class Connection:
    """A connection to one origin.

    Args:
        wire: Its socket; owned.
    """

    __slots__ = ("_hung_up", "_read", "_waiting", "_whole", "_wire", "used")

    def __init__(self, wire: SocketLike) -> None:
        self._wire = wire
        self._read = 0  # bytes since the last wait
        self._waiting = 0
        self._hung_up = False
        self._whole = True  # the last request left whole
        self.used = False

    def quiet(self) -> bool:
        """Whether it stands and nothing has come that nobody asked for."""
        try:
            return self._wire.pull() is None
        except OSError:
            return False

    def close(self) -> None:
        """Close it at once. Whoever waits for it finds its end."""
        if self._waiting:
            self._hang_up()
        else:
            self._wire.close()

    def _hang_up(self) -> None:
        # Not closed: its number must not go to another socket while an event loop still watches it.
        self._hung_up = True
        try:
            self._wire.raw.shutdown(SHUT_RDWR)
        except OSError:
            return

    def reusable(self, parser: ResponseParser) -> bool:
        """Whether the next request may follow a whole answer."""
        return parser.done and parser.keep and not parser.extra and self._whole and parser.upgraded is None

    async def exchange(
        self, head: bytes, body: bytes, method: str, *, write: float | None, read: float | None
    ) -> ResponseParser:
        """Send a request and read its answer up to the end of the head, or further.

        Raises:
            UnsentError: Not a byte was taken, and this connection was used before.
            httpx.TransportError: No answer came.
        """
        parser = ResponseParser(method)
        try:
            broken = await self._send(head, body, parser, write)
            try:
                while not parser.ready:
                    await self.advance(parser, read)
            except (httpx.ReadError, httpx.RemoteProtocolError) as exc:
                if broken is None:
                    raise
                raise httpx.ReadError(str(broken)) from (exc.__cause__ or broken)
        except BaseException:
            parser.close()
            raise
        finally:
            self.used = True
            broken = None  # its traceback holds this frame
        return parser

    async def advance(self, parser: ResponseParser, limit: float | None) -> None:
        """Read once and parse.

        Raises:
            httpx.ReadTimeout: Nothing came within `limit` seconds.
            httpx.ReadError: The connection broke.
            httpx.RemoteProtocolError: What came is not HTTP, or ends in the middle.
        """
        data = await self.read(limit)
        if data:
            parser.feed(data)
        else:
            parser.end()

    async def read(self, limit: float | None) -> bytes:
        """Read what there is, without a parser; b"": the end.

        Raises:
            httpx.ReadTimeout: Nothing came within `limit` seconds.
            httpx.ReadError: The connection broke.
        """
        if self._read >= _TURN:
            self._read = 0
            await checkpoint()  # not a wait for the socket: TLS may hold what it has read from it already
        try:
            while (data := self._wire.pull()) is None:
                self._read = 0
                if not await self._within(limit, wait_readable):
                    raise httpx.ReadTimeout("")
        except OSError as exc:
            raise httpx.ReadError(str(exc)) from exc
        self._read += len(data)
        return data

    async def write(self, data: bytes, limit: float | None) -> None:
        """Send it all.

        Raises:
            httpx.WriteTimeout: Nothing was taken for `limit` seconds.
            httpx.WriteError: The connection broke.
        """
        left = memoryview(data)
        while left or not self._wire.flushed:
            try:
                count = self._wire.push(left)
            except OSError as exc:
                raise httpx.WriteError(str(exc)) from exc
            left = left[count:]
            stuck = not count and (left or not self._wire.flushed)
            if stuck and not await self._within(limit, wait_writable):
                raise httpx.WriteTimeout("")

    async def _send(
        self, head: bytes, body: bytes, parser: ResponseParser, limit: float | None
    ) -> OSError | None:
        """Send it all; or as much as is taken before the answer comes, or before the connection breaks."""
        self._whole = False
        wire = self._wire
        before = wire.sent
        parts = [head + body] if len(body) <= _JOINED else [head, body]
        for part in parts:
            left = memoryview(part)
            while left or not wire.flushed:
                try:
                    count = wire.push(left)
                except OSError as exc:
                    if self.used and wire.sent == before:
                        raise UnsentError from None
                    return exc  # the answer that explains it may be here already
                left = left[count:]
                if not count and (left or not wire.flushed) and await self._answered(parser, limit):
                    return None
        self._whole = True
        return None

    async def _answered(self, parser: ResponseParser, limit: float | None) -> bool:
        """Wait until more can be sent, or say that the answer came before all of the request had left.

        Raises:
            httpx.WriteTimeout: Neither happened.
        """
        if not await self._within(limit, _wait_either):
            raise httpx.WriteTimeout("")
        try:
            data = self._wire.pull()
        except OSError:
            return True  # reading on says what it is
        if data is None:
            return False
        if data:
            parser.feed(data)
        else:
            parser.end()
        return parser.ready

    async def _within(self, limit: float | None, wait: Callable[[socket], Awaitable[None]]) -> bool:
        self._waiting += 1
        try:
            with move_on_after(limit) as scope:
                await wait(self._wire.raw)
        finally:
            self._waiting -= 1
            if self._hung_up and not self._waiting:
                self._wire.close()
        if self._hung_up:  # an end that we made ends no body
            raise httpx.ReadError("the connection was closed by us")
        return not scope.cancelled_caught


async def _wait_either(raw: socket) -> None:
    """Wait until a socket can be read from or written to."""
    async with create_task_group() as tasks:

        async def readable() -> None:
            await wait_readable(raw)
            tasks.cancel_scope.cancel()

        tasks.start_soon(readable)
        await wait_writable(raw)
        tasks.cancel_scope.cancel()


class Body(httpx.AsyncByteStream):
    """An answer's body. Its end gives the connection back, its closing before that drops it.

    Args:
        connection: Where it comes from.
        parser: What has come so far.
        read: Seconds that may pass without a byte.
        over: Called once, at the end.
    """

    __slots__ = ("_connection", "_over", "_parser", "_read")

    def __init__(
        self,
        connection: Connection,
        parser: ResponseParser,
        read: float | None,
        over: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._parser = parser
        self._read = read
        self._over: Callable[[], None] | None = over
        if parser.done and parser.upgraded is None:  # otherwise the connection is still needed
            self._finish()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        parser = self._parser
        try:
            while not (piece := parser.take()):
                if parser.done:
                    raise StopAsyncIteration
                if self._over is None:
                    raise httpx.StreamClosed
                await self._connection.advance(parser, self._read)
                if parser.done:
                    self._finish()
        except BaseException:
            self._finish()
            raise
        return piece

    def take_whole(self) -> bytes | None:
        """Give all of it if all of it is here, without waiting and without turns of the event loop."""
        return self._parser.take() if self._parser.done else None

    async def aclose(self) -> None:
        """Close it; never waits."""
        self._finish()

    def _finish(self) -> None:
        over, self._over = self._over, None
        if over is not None:
            self._parser.close()
            over()


class Upgraded:
    """What a connection is after a 101: bytes both ways, as httpx gives them (``network_stream``).

    It is closed with its response.

    Args:
        connection: The connection.
        begun: What came behind the 101 already.
    """

    __slots__ = ("_begun", "_connection")

    def __init__(self, connection: Connection, begun: bytes) -> None:
        self._connection = connection
        self._begun = begun

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read something; b"": the end. A read that is cancelled loses nothing."""
        if not self._begun:
            self._begun = await self._connection.read(timeout)
        given, self._begun = self._begun[:max_bytes], self._begun[max_bytes:]
        return given

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send it all."""
        await self._connection.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        self._connection.close()
