"""The one Bayeux session that all streams of a client share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tocsin.errors import ConnectError, NotFoundError

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from tocsin._http._core import HttpCore
    from tocsin._stream._owner import TaskOwner
    from tocsin.bayeux._listener import Listener
    from tocsin.bayeux._registration import Registration
    from tocsin.bayeux._settings import SessionSettings
    from tocsin.bayeux._subscriber import Subscriber
    from tocsin.bayeux._transport import Transport
    from tocsin.errors import TocsinError

__all__ = ["PATHS", "Realtime"]

PATHS: Final = ("/notification/realtime", "/cep/realtime")
"""Where the platform listens: today's address, and that of older ones (Cumulocity reference 3.1)."""


class Realtime:
    """Starts the session with the first stream and keeps it while there is one.

    Args:
        core: Gives the connections.
        owner: Runs the session.
        settings: Times and limits of the session.
        rng: Draws the jitter.
    """

    def __init__(
        self, core: HttpCore, owner: TaskOwner, settings: SessionSettings, rng: random.Random
    ) -> None:
        self._core = core
        self._owner = owner
        self._settings = settings
        self._rng = rng
        self._subscriber: Subscriber | None = None
        self._path = PATHS[0]

    def listen(self, listener: Listener, channels: Sequence[str]) -> Attached:
        """Have a listener told what comes on some channels.

        Raises:
            ConfigurationError: The client is not open.
        """
        self._owner.check_open()
        if self._subscriber is None:
            from tocsin.bayeux._subscriber import Subscriber  # as in `changes.follow`

            self._subscriber = Subscriber(self._connect, settings=self._settings, rng=self._rng)
            self._owner.start(self._subscriber.run, "tocsin Cumulocity realtime")
            self._core.on_new_token(self._anew)
        subscriber = self._subscriber
        return Attached(subscriber, subscriber.add(listener, channels))

    def _anew(self) -> None:
        """Another token needs another session: the platform's is bound to the log-in that it began with."""
        if self._subscriber is not None:
            self._subscriber.renew("the log-in was renewed")

    def _connect(self, error: TocsinError | None) -> Transport:
        """A transport for a new session; at the other address if nobody answers as Bayeux at the last."""
        from tocsin.bayeux._long_polling import LongPolling

        if error is not None and self._is_elsewhere(error):
            self._path = PATHS[1 - PATHS.index(self._path)]
        return LongPolling(self._core.session, self._path)

    def _is_elsewhere(self, error: TocsinError) -> bool:
        """Whether the other address is worth a try.

        404 says so. Until a session has stood, so does any other answer or silence of a server that can be
        reached: some answer 400 to what they do not know, some never answer it.
        """
        if isinstance(error, NotFoundError):
            return True
        proved = self._subscriber is not None and self._subscriber.sessions > 0
        return not proved and not isinstance(error, ConnectError)


class Attached:
    """One stream's part in the session."""

    __slots__ = ("_registration", "_subscriber")

    def __init__(self, subscriber: Subscriber, registration: Registration) -> None:
        self._subscriber = subscriber
        self._registration = registration

    def renew(self, reason: str) -> None:
        """Make the session anew."""
        self._subscriber.renew(reason)

    async def remove(self) -> None:
        """Leave the channels. With the last stream the session ends; bounded."""
        await self._registration.remove()
