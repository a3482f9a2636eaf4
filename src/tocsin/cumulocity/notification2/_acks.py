"""Acknowledgements on their way out: each only on the socket that brought its message."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from anyio import Event

from tocsin.errors import TocsinError

if TYPE_CHECKING:
    from tocsin._stream._channel import TextChannel

__all__ = ["Acks"]


class Acks:
    """What waits to be acknowledged on the socket at hand."""

    def __init__(self) -> None:
        self._socket = 0
        self._due: deque[bytes] = deque()
        self._sending = False
        self._changed = Event()

    def begin(self, socket: int) -> None:
        """Another socket: what is due on the last one is void, for its messages come again."""
        self._socket = socket
        self._due.clear()
        self._wake()

    def put(self, socket: int, ack: bytes) -> None:
        """A message that a socket brought was handled."""
        if socket == self._socket:
            self._due.append(ack)
            self._wake()

    async def send(self, channel: TextChannel) -> None:
        """Send what falls due, until cancelled or the channel breaks: whoever reads it finds out why."""
        while True:
            while not self._due:
                await self._changed.wait()
            self._sending = True
            try:
                await channel.send(self._due[0])
                if self._due:
                    self._due.popleft()
            except TocsinError:
                return
            finally:
                self._sending = False
                self._wake()

    async def wait_sent(self) -> None:
        """Wait until nothing is due."""
        while self._due or self._sending:
            await self._changed.wait()

    def _wake(self) -> None:
        changed, self._changed = self._changed, Event()
        changed.set()
