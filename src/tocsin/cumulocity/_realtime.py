"""The Bayeux sessions that all streams of a client share: one for each way in which streams want to hear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from tocsin._http._core import HttpCore
    from tocsin._http._session import HttpSession
    from tocsin._stream._owner import TaskOwner
    from tocsin.bayeux._line import BayeuxTransport, Line
    from tocsin.bayeux._listener import Listener
    from tocsin.bayeux._registration import Registration
    from tocsin.bayeux._settings import SessionSettings
    from tocsin.bayeux._subscriber import Subscriber

__all__ = ["PATHS", "Realtime"]

PATHS: Final = ("/notification/realtime", "/cep/realtime")
"""Where the platform listens: today's address, and that of older ones (Cumulocity reference 3.1)."""

_AUTHN: Final = "com.cumulocity.authn"


class Realtime:
    """Starts a session with the first stream that wants it and keeps it while there is one.

    Args:
        core: Gives the connections.
        owner: Runs the sessions.
        settings: Times and limits of a session.
        rng: Draws the jitter.
    """

    def __init__(
        self, core: HttpCore, owner: TaskOwner, settings: SessionSettings, rng: random.Random
    ) -> None:
        self._core = core
        self._owner = owner
        self._settings = settings
        self._rng = rng
        self._lines: dict[BayeuxTransport, Line] = {}

    def listen(self, listener: Listener, channels: Sequence[str], transport: BayeuxTransport) -> Attached:
        """Have a listener told what comes on some channels.

        Raises:
            ConfigurationError: The client is not open.
        """
        self._owner.check_open()
        line = self._lines.get(transport)
        if line is None:
            from tocsin.bayeux._line import Line  # as in `changes.follow`

            line = Line(self._core, PATHS, self._settings, self._rng, transport, ext=_authn)
            self._lines[transport] = line
            line.start(self._owner)
        return Attached(line.subscriber, line.subscriber.add(listener, channels))


def _authn(http: HttpSession) -> Mapping[str, Any]:
    """The credentials in the handshake, where the platform looks for those of a WebSocket (reference 3.2)."""
    headers = http.credentials()
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme and token:
        return {_AUTHN: {"token": token}}
    if xsrf := headers.get("x-xsrf-token"):
        return {_AUTHN: {"xsrfToken": xsrf}}
    return {}


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
