"""What the owner of a subscription is told, and how it lets go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tocsin.bayeux._messages import Event
    from tocsin.errors import SubscriptionRefusedError, TocsinError

__all__ = ["Listener"]


class Listener(Protocol):
    """Is told what happens to its channels.

    All methods are called in the subscriber's task. They must not block and should not raise: an error is
    logged and costs neither other listeners nor the connection. Events may come before `on_attached`: servers
    put them in front of their reply.
    """

    def on_events(self, events: Sequence[Event], *, session: int, ordered: bool) -> None:
        """Events came, in wire order.

        Args:
            events: Those on this listener's channels, each once.
            session: Which session brought them.
            ordered: They came in the answer to a connect. Servers promise no order between those and the
                ones that come with the reply to a command.
        """
        ...

    def on_attached(self, *, session: int, date: datetime | None) -> None:
        """The listener's channels stand and a connect has succeeded since; again after each `on_lost`.

        Args:
            session: Which session it is.
            date: The server's clock at that moment, aware UTC; None if it did not say.
        """
        ...

    def on_alive(self, proved: float) -> None:
        """A connect succeeded.

        Args:
            proved: Nothing is missing of what was written until then (monotonic seconds). It is when the
                connect was sent, not when its answer came.
        """
        ...

    def on_lost(self, *, cause: str, session_lost: bool) -> None:
        """Messages may be missing from what the last `on_alive` proved on. It goes on by itself.

        It is called for every failure, so several times in an outage, and before the first success too.

        Args:
            cause: Why, in a few words.
            session_lost: The session is gone, and with it all that was queued for it.
        """
        ...

    def on_refused(self, channel: str, error: SubscriptionRefusedError) -> None:
        """The server will not deliver one channel. The others go on; a new session asks for it again.

        Args:
            channel: Which one.
            error: What the server said.
        """
        ...

    def on_unreadable(self, raw: bytes) -> None:
        """Something came that is no Bayeux message. It may have been meant for this listener.

        Args:
            raw: What came.
        """
        ...

    def on_closed(self, error: TocsinError | None) -> None:
        """It is over for good.

        Args:
            error: Refused credentials, advice `none`, wrong settings; None: the owner closed.
        """
        ...
