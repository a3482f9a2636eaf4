"""A TCP proxy on loopback that misbehaves on order: what a client meets between itself and a real server."""

from __future__ import annotations

import random
import socket
import struct
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

import anyio
from anyio import AsyncContextManagerMixin
from anyio.abc import SocketAttribute, SocketStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from anyio.abc import TaskGroup

__all__ = ["FAULTS", "ChaosProxy", "Direction", "Fault"]

Fault: TypeAlias = Literal["cut", "refuse", "freeze", "half_open_up", "half_open_down", "trickle", "delay"]
"""What can go wrong on the way."""

Direction: TypeAlias = Literal["up", "down"]
"""``up`` is from the client to the server."""

FAULTS: Final[tuple[Fault, ...]] = (
    "cut",
    "refuse",
    "freeze",
    "half_open_up",
    "half_open_down",
    "trickle",
    "delay",
)

CHUNK: Final = 65_536
RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on and zero seconds: closing sends RST."""


class _Link:
    """One connection through the proxy: its client's half and its server's."""

    def __init__(self, client: SocketStream, server: SocketStream) -> None:
        self.halves: dict[Direction, tuple[SocketStream, SocketStream]] = {
            "up": (client, server),
            "down": (server, client),
        }
        self.scope = anyio.CancelScope()
        self.swallowed: set[Direction] = set()

    def reset(self) -> None:
        for stream in self.halves["up"]:
            raw = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - not Django's
            with suppress(OSError):  # that half is closed already
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.scope.cancel()


def _listener(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.settimeout(0)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


class ChaosProxy(AsyncContextManagerMixin):
    """Forwards TCP connections to a server, and fails as it is told.

    An async context manager that owns its tasks; enter and leave it in one task, on asyncio or trio. Methods
    that order a fault act at once and do not wait. A fault lasts until `heal`, but for `cut`, which happens
    once, and `half_open`, which spoils the connections open at that moment for good.

    Args:
        target_host: Where the server listens.
        target_port: Its port.
        rng: Chooses the faults of `storm`; a seeded one chooses the same again.

    Attributes:
        faults: The faults ordered so far, in order.
    """

    def __init__(self, target_host: str, target_port: int, *, rng: random.Random | None = None) -> None:
        self.faults: list[Fault] = []
        self._target = (target_host, target_port)
        self._rng = rng or random.Random()  # noqa: S311 - it chooses faults and guards nothing
        self._links: dict[_Link, None] = {}
        self._accepted: dict[socket.socket, None] = {}  # their tasks have not run yet
        self._port: int | None = None
        self._accepting = anyio.Event()
        self._listening = anyio.CancelScope()
        self._thawed = anyio.Event()
        self._trickle: tuple[int, float] | None = None
        self._delay = 0.0

    @property
    def port(self) -> int:
        """The port that clients connect to, the same through all faults."""
        if self._port is None:
            raise RuntimeError("the proxy is not open; use `async with`")
        return self._port

    @property
    def url(self) -> str:
        """The base URL to give to a client."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """Connections open through the proxy."""
        return len(self._links)

    def cut(self) -> None:
        """Reset every open connection, once."""
        self.faults.append("cut")
        self._reset_all()

    def refuse(self) -> None:
        """Reset every open connection and refuse new ones: the server has died."""
        self.faults.append("refuse")
        self._accepting = anyio.Event()
        self._listening.cancel()
        self._reset_all()

    def freeze(self) -> None:
        """Let no byte pass; connections open and stay open: a dead link, a stopped process."""
        self.faults.append("freeze")
        self._thawed = anyio.Event()

    def half_open(self, direction: Direction) -> None:
        """Swallow one direction of the open connections for good, their ends included.

        Args:
            direction: "up" is what the client sends, "down" what the server does.
        """
        self.faults.append("half_open_up" if direction == "up" else "half_open_down")
        for link in self._links:
            link.swallowed.add(direction)

    def trickle(self, size: int = 16, every: float = 0.01) -> None:
        """Pass everything in pieces.

        Args:
            size: Bytes of a piece.
            every: Seconds from one to the next.
        """
        self.faults.append("trickle")
        self._trickle = (size, every)

    def delay(self, seconds: float = 0.2) -> None:
        """Hold each chunk back.

        Args:
            seconds: For how long.
        """
        self.faults.append("delay")
        self._delay = seconds

    def heal(self) -> None:
        """Forward faithfully again, and listen again within moments.

        Connections that are half open stay so until somebody gives them up.
        """
        self._trickle = None
        self._delay = 0.0
        self._thawed.set()
        self._accepting.set()

    def order(self, fault: Fault) -> None:
        """Order a fault by its name, with the default numbers.

        Args:
            fault: The name of one of the methods above, or half_open_up or half_open_down.
        """
        match fault:
            case "half_open_up":
                self.half_open("up")
            case "half_open_down":
                self.half_open("down")
            case "cut" | "refuse" | "freeze" | "trickle" | "delay":
                getattr(self, fault)()

    async def storm(
        self,
        count: int,
        *,
        kinds: Sequence[Fault] = FAULTS,
        hold: tuple[float, float] = (0.02, 0.4),
        calm: tuple[float, float] = (0.02, 0.4),
    ) -> None:
        """Order `count` random faults one after another, and heal after each; cancelling it heals too.

        Args:
            count: How many.
            kinds: Which ones to choose from.
            hold: Least and greatest seconds that a fault lasts.
            calm: Least and greatest seconds between two.
        """
        try:
            for _ in range(count):
                await anyio.sleep(self._rng.uniform(*calm))
                self.order(self._rng.choice(kinds))
                await anyio.sleep(self._rng.uniform(*hold))
                self.heal()
        finally:
            self.heal()

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        failure: BaseException | None = None
        # A bound socket that does not listen keeps the port ours while connections are refused.
        with socket.socket() as place:
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            place.bind(("127.0.0.1", 0))
            self._port = place.getsockname()[1]
            self.heal()
            async with anyio.create_task_group() as tasks:
                await tasks.start(self._listen, tasks)
                try:
                    yield self
                except anyio.get_cancelled_exc_class():
                    raise
                except BaseException as error:  # noqa: BLE001 - kept aside so that it leaves in no group
                    failure = error
                finally:
                    tasks.cancel_scope.cancel()
            for raw in self._accepted:  # cancelled before they ran
                raw.close()
            self._accepted.clear()
        try:
            if failure is not None:
                raise failure
        finally:
            del failure

    def _reset_all(self) -> None:
        for link in list(self._links):
            link.reset()

    async def _listen(self, tasks: TaskGroup, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        told = False
        while True:
            await self._accepting.wait()
            with anyio.CancelScope() as self._listening, _listener(self.port) as listener:
                if not told:
                    task_status.started()
                    told = True
                while True:
                    # Not `accept` of anyio's listener: cancelled as a connection arrives, asyncio's loses
                    # that connection's socket and complains (InvalidStateError in `_sock_accept`).
                    await anyio.wait_readable(listener)
                    with suppress(BlockingIOError, ConnectionAbortedError):
                        raw, _ = listener.accept()
                        raw.settimeout(0)
                        self._accepted[raw] = None
                        tasks.start_soon(self._serve, raw)

    async def _serve(self, raw: socket.socket) -> None:
        async with await SocketStream.from_socket(raw) as client:
            del self._accepted[raw]
            try:
                server = await anyio.connect_tcp(*self._target)
            except OSError:
                return
            async with server:
                link = _Link(client, server)
                self._links[link] = None
                try:
                    with link.scope:
                        async with anyio.create_task_group() as pumps:
                            pumps.start_soon(self._pump, link, "up")
                            pumps.start_soon(self._pump, link, "down")
                finally:
                    del self._links[link]

    async def _pump(self, link: _Link, direction: Direction) -> None:
        source, sink = link.halves[direction]
        try:
            while True:
                data = await source.receive(CHUNK)
                await self._thawed.wait()
                if direction not in link.swallowed:
                    await self._forward(sink, data)
        except anyio.EndOfStream:
            await self._thawed.wait()
            if direction not in link.swallowed:
                await self._end(link, sink)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            link.reset()

    async def _end(self, link: _Link, sink: SocketStream) -> None:
        try:
            await sink.send_eof()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            link.scope.cancel()

    async def _forward(self, sink: SocketStream, data: bytes) -> None:
        if self._delay:
            await anyio.sleep(self._delay)
        while data and self._trickle is not None:
            size, every = self._trickle
            await sink.send(data[:size])
            data = data[size:]
            await anyio.sleep(every)
            await self._thawed.wait()
        if data:
            await sink.send(data)
