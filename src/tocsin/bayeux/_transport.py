"""What a transport must do: carry one request of messages and bring its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Reply", "Transport"]


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
