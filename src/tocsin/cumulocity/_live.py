"""What a Bayeux session tells, as a follower's input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.cumulocity._observe import alarm_id, observe, read_alarm
from tocsin.cumulocity._payload import read_payload
from tocsin.errors import ProtocolError
from tocsin.models import Action

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tocsin._stream._answers import Observed
    from tocsin._stream._platform import Inlet
    from tocsin.bayeux._messages import Event
    from tocsin.cumulocity._payload import Told
    from tocsin.cumulocity._scope import Scope
    from tocsin.errors import SubscriptionRefusedError, TocsinError

    Message = tuple[Action, str, Observed[bytes] | None]

__all__ = ["LiveAlarms", "UnreadableError", "read_told"]


class LiveAlarms:
    """The session's `Listener` for one stream. Nothing here waits or raises."""

    def __init__(self, inlet: Inlet[bytes], scope: Scope) -> None:
        self._inlet = inlet
        self._scope = scope

    def on_events(self, events: Sequence[Event], *, session: int, ordered: bool) -> None:
        """Messages came: each may tell several changes."""
        batch: list[Message] = []
        for event in events:
            for told in read_payload(event.data):
                try:
                    message = read_told(told, self._scope)
                except UnreadableError as unreadable:
                    self._hand_on(batch, session=session, ordered=ordered)
                    batch = []
                    self._inlet.unreadable(unreadable.id)
                else:
                    if message is not None:
                        batch.append(message)
        self._hand_on(batch, session=session, ordered=ordered)

    def on_unreadable(self, raw: bytes) -> None:  # noqa: ARG002 - what it was cannot be known
        """Something came that is no Bayeux message: it may have been one of ours."""
        self._inlet.unreadable(None)

    def on_attached(self, *, session: int, date: datetime | None) -> None:
        """All channels stand and a connect has succeeded since."""
        self._inlet.connected(session=session, date=None if date is None else round(date.timestamp() * 1000))

    def on_alive(self, proved: float) -> None:
        """A connect succeeded."""
        self._inlet.alive(proved)

    def on_lost(self, *, cause: str, session_lost: bool) -> None:  # noqa: ARG002 - both lose messages
        """Messages may be missing."""
        self._inlet.disconnected(cause)

    def on_refused(self, channel: str, error: SubscriptionRefusedError) -> None:  # noqa: ARG002 - the error names it
        """The server will not deliver a channel: part of the scope would go unheard."""
        self._inlet.failed(error)

    def on_closed(self, error: TocsinError | None) -> None:
        """The session is over for good. Without an error it was we who ended it."""
        if error is not None:
            self._inlet.failed(error)

    def _hand_on(self, batch: list[Message], *, session: int, ordered: bool) -> None:
        if batch:
            self._inlet.live(batch, session=session, ordered=ordered)


def read_told(told: Told, scope: Scope) -> Message | None:
    """The message, or None if it is of a type that the stream does not follow.

    Raises:
        UnreadableError: It cannot be read.
    """
    if told.action is None:
        raise UnreadableError(told.id)
    if told.action is Action.DELETE:
        if told.id is None:
            raise UnreadableError(None)
        return told.action, told.id, None
    try:
        alarm = read_alarm(told.raw)
        kind = alarm.get("type")
        if not scope.follows_type(kind):
            if kind is None:  # a partial object: a read will tell
                raise UnreadableError(alarm_id(alarm))
            return None
        observed = observe(alarm, told.raw, severities=scope.severities)
    except ProtocolError:
        raise UnreadableError(None) from None
    return told.action, observed.id, observed


class UnreadableError(Exception):
    """A change that cannot be read; `id` if at least that is known."""

    def __init__(self, id: str | None) -> None:  # noqa: A002 - the same name everywhere
        super().__init__(id)
        self.id = id
