"""What the emulators of all platforms share: how they are served, and the accidents that befall them."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

import anyio

from tocsin.emulator._http import Requests
from tocsin.emulator._throttle import Throttle
from tocsin.emulator.faults import Faults

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from random import Random

    from tocsin.emulator._app import App
    from tocsin.emulator._clock import Clock
    from tocsin.emulator._ledger import Ledger
    from tocsin.emulator._session import Connection
    from tocsin.emulator._settings import Limits, ThrottleSettings


class Listener(Protocol):
    """A server that listens for an emulator and takes part in its accidents."""

    @property
    def refusing(self) -> bool:
        """Whether connections are refused."""
        ...

    @refusing.setter
    def refusing(self, refusing: bool) -> None: ...

    def cut(self) -> None:
        """End every connection."""
        ...


class BaseEmulator(ABC):
    """An emulator without its platform.

    Args:
        clock: The server's wall clock.
        rng: Where chances come from.
        throttle: The limit on requests.
        base_url: Scheme and host of URIs in replies.
    """

    app: App

    def __init__(self, clock: Clock, rng: Random, throttle: ThrottleSettings, base_url: str | None) -> None:
        self.base_url = base_url
        self.served_at: str | None = None
        self.clock = clock
        self.faults = Faults(rng)
        self.throttle = Throttle(throttle)
        self.requests = Requests()
        self.servers: list[Listener] = []
        self._down = False

    @property
    @abstractmethod
    def limits(self) -> Limits:
        """Caps."""

    @property
    @abstractmethod
    def lock(self) -> threading.RLock:
        """Held while a request is handled."""

    @property
    @abstractmethod
    def ledger(self) -> Ledger:
        """Every write since the start."""

    @abstractmethod
    def control_state(self) -> Mapping[str, Any]:
        """What the HTTP control tells of the platform's own parts."""

    @abstractmethod
    def control_actions(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        """What the HTTP control can have happen, besides what happens to all platforms."""

    @abstractmethod
    def forget(self) -> None:
        """Forget what a restart of the server forgets."""

    @property
    def sockets(self) -> int:
        """WebSockets that are open now."""
        return len(self.app.sockets.live)

    @property
    def down(self) -> bool:
        """Whether the server is down: see `go_down`."""
        return self._down

    # Accidents. All may be called from any thread, if the emulator is served on a socket.

    def drop_sockets(self, *, lose: bool = False, reset: bool = False) -> int:
        """Break all WebSockets.

        Args:
            lose: Not at once, but with what is sent next, which is lost.
            reset: With a reset instead of a plain end.

        Returns:
            How many there were.
        """
        return drop(list(self.app.sockets.live), lose=lose, reset=reset)

    def silence_sockets(self) -> int:
        """Let nothing more come through any WebSocket: no message, no answer to a ping, no end.

        Returns:
            How many there were.
        """
        return hush(list(self.app.sockets.live))

    def restart(self) -> None:
        """Restart the server: all connections end, all sessions are gone, alarms stay."""
        drop([*self.app.live, *self.app.sockets.live])
        for server in self.servers:  # not with the lock held: a server on another thread may wait for it
            server.cut()
        with self.lock:
            self.forget()

    def go_down(self) -> None:
        """Restart, but refuse connections until `come_up`."""
        self._down = True
        for server in self.servers:
            server.refusing = True
        self.restart()

    def come_up(self) -> None:
        """Accept connections again."""
        self._down = False
        for server in self.servers:
            server.refusing = False

    def enable_control(self, token: str | None = None, *, hosts: Iterable[str] = ()) -> str:
        """Open the HTTP control under `/__emulator__/`.

        Args:
            token: What requests must bring as `Authorization: Bearer …`; None makes a random one.
            hosts: Names by which the server is reached, besides the loopback ones.

        Returns:
            The token.
        """
        from tocsin.emulator.control import Control

        token = token or secrets.token_urlsafe(24)
        self.app.control = Control(self, token, frozenset(host.lower() for host in hosts))
        return token

    async def until(self, condition: Callable[[], bool], timeout: float = 5.0) -> None:
        """Wait until something has come about, looking every 5 ms.

        Args:
            condition: Whether it has.
            timeout: Seconds.

        Raises:
            TimeoutError: It has not.
        """
        with anyio.fail_after(timeout):
            while not condition():  # noqa: ASYNC110 - the condition may come about on another thread
                await anyio.sleep(0.005)


def drop(connections: Sequence[Connection], *, lose: bool = False, reset: bool = False) -> int:
    """Break connections, at once or with what is sent next; how many there were."""
    for connection in connections:
        if lose:
            connection.cut = 0
        else:
            connection.abort(reset=reset)
    return len(connections)


def hush(connections: Sequence[Connection]) -> int:
    """Silence connections; how many there were."""
    for connection in connections:
        connection.hush()
    return len(connections)
