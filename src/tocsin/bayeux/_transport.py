"""What a transport must do: carry our messages, and bring what the server says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from datetime import datetime

    from tocsin.errors import TocsinError

__all__ = ["DuplexTransport", "Reply", "Transport"]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, whole.

    Attributes:
        body: The messages, as they came.
        date: The server's clock when it answered, aware UTC; None if it did not say.
    """

    body: bytes
    date: datetime | None = None


class Transport(Protocol):
    """Carries one Bayeux session: one cookie store, one connection for the poll, one for all else.

    It is opened by its first exchange. It never tries again: what a failure means is the session's to decide.
    """

    name: str
    """The connection type, such as ``long-polling``."""

    async def exchange(self, messages: bytes, *, held: float | None, silence: float, total: float) -> Reply:
        """Send messages and wait for the answer. At most one poll and one command are in flight at a time.

        Cancelling it closes the connection that it used, and no other.

        Args:
            messages: A JSON array.
            held: Seconds for which the server was asked to hold it; None for a command.
            silence: Seconds without a byte after which the peer counts as dead.
            total: Seconds for the whole exchange.

        Raises:
            TransportError: No whole answer came.
            StatusError: The server answered with a failure status.
            ProtocolError: The answer is none that can be read.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections. It may be called twice, and without any exchange before."""
        ...


@runtime_checkable
class DuplexTransport(Protocol):
    """Carries one Bayeux session over one connection on which the server speaks whenever it likes.

    `send` opens the connection, and a new one when the last has broken: the session may outlive it.
    """

    name: str
    """The connection type, such as ``websocket``."""

    @property
    def heard_at(self) -> float:
        """When the last byte came on the present connection (monotonic); minus infinity without one."""
        ...

    async def send(self, messages: bytes, *, limit: float) -> None:
        """Send messages.

        On a connection that breaks at it, it returns: whoever waits in `receive` is told, and all that was
        under way is lost, this included. Cancelling it sends them whole or not at all.

        Args:
            messages: A JSON array.
            limit: Seconds that opening a connection may take, and that the messages may take to leave.

        Raises:
            TransportError: No connection could be opened.
            StatusError: The server refused the connection.
            ProtocolError: The server does not speak this there.
        """
        ...

    async def receive(self) -> list[bytes]:
        """Wait for what the server says: bodies, each an array or one message. Waits for a connection too.

        When it raises, the connection is forgotten at once: the next `send` opens another one.
        Cancelling it loses nothing.

        Raises:
            TocsinError: The connection broke; what was under way on it is lost.
        """
        ...

    def hang_up(self, error: TocsinError) -> bool:
        """Give the connection up; `receive` raises the error. False if there is no connection."""
        ...

    async def aclose(self) -> None:
        """Close the connection. It may be called twice, and without any message before."""
        ...
