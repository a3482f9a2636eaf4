"""One listener's place in a subscriber."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from anyio import Event as Flag
from anyio import move_on_after

from tocsin.bayeux._subscriptions import Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from tocsin.bayeux._listener import Listener
    from tocsin.bayeux._messages import Event
    from tocsin.errors import SubscriptionRefusedError, TocsinError

__all__ = ["Registration"]

log = logging.getLogger("tocsin.bayeux")


class Registrar(Protocol):
    """Where a registration is kept."""

    def discard(self, registration: Registration) -> bool:
        """Let go of it; False if it was let go of before."""
        ...


class Registration:
    """A listener with its channels. Made by `Subscriber.add`.

    An error that the listener raises is logged and goes no further.

    Attributes:
        channels: What it listens to.
        attached: Whether it was told `on_attached` and nothing was lost since.
        gone: Set when the server has let go of the channels, or can no longer hold them.
    """

    __slots__ = ("_limit", "_listener", "_registrar", "_waiting", "attached", "channels", "gone")

    def __init__(
        self, registrar: Registrar, listener: Listener, channels: tuple[str, ...], limit: float
    ) -> None:
        self._registrar = registrar
        self._listener = listener
        self._limit = limit
        self._waiting = False
        self.channels = channels
        self.attached = False
        self.gone = Flag()

    async def remove(self) -> None:
        """Let go: nothing is told from now on, and channels that nobody else wants are unsubscribed.

        Returns when the server has done so, at the latest after `close_timeout`. Harmless when called twice.
        Cancelling it only ends the wait.
        """
        if self._registrar.discard(self):
            with move_on_after(self._limit):
                await self.gone.wait()

    def stands(self, standing: Callable[[str], Standing]) -> bool:
        """Whether every channel has its answer, one of them a yes, and a connect succeeded since a loss."""
        if self._waiting:
            return False
        answers = {standing(name) for name in self.channels}
        return Standing.ABSENT not in answers and Standing.STANDS in answers

    def events(self, events: Sequence[Event], *, session: int, ordered: bool) -> None:
        """Pass on what came."""
        self._call(lambda: self._listener.on_events(events, session=session, ordered=ordered))

    def attach(self, *, session: int, date: datetime | None) -> None:
        """Pass on that the channels stand."""
        self.attached = True
        self._call(lambda: self._listener.on_attached(session=session, date=date))

    def alive(self, proved: float) -> None:
        """Pass on a good connect."""
        self._waiting = False
        self._call(lambda: self._listener.on_alive(proved))

    def lost(self, cause: str, *, session_lost: bool) -> None:
        """Pass on a possible loss."""
        self.attached, self._waiting = False, True
        self._call(lambda: self._listener.on_lost(cause=cause, session_lost=session_lost))

    def delayed(self, cause: str) -> None:
        """Say why it is not attached yet; nothing to say if it is."""
        if not self.attached:
            self._call(lambda: self._listener.on_lost(cause=cause, session_lost=False))

    def refused(self, channel: str, error: SubscriptionRefusedError) -> None:
        """Pass on a refusal."""
        self._call(lambda: self._listener.on_refused(channel, error))

    def unreadable(self, raw: bytes) -> None:
        """Pass on what could not be read."""
        self._call(lambda: self._listener.on_unreadable(raw))

    def closed(self, error: TocsinError | None) -> None:
        """Pass on the end."""
        self._call(lambda: self._listener.on_closed(error))

    def _call(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception:
            log.exception("a Bayeux listener raised an error")
