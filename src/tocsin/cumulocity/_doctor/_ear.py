"""Listens for what is notified of one alarm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anyio import sleep

from tocsin._doctor._visit import Stopwatch
from tocsin.cumulocity._observe import alarm_id, read_alarm
from tocsin.cumulocity._payload import read_payload
from tocsin.errors import ProtocolError, SubscriptionRefusedError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tocsin.bayeux._messages import Event
    from tocsin.cumulocity._doctor._line import Line
    from tocsin.models import Action

__all__ = ["Ear", "Notice"]

_HELD = 2.0


@dataclass(frozen=True, slots=True)
class Notice:
    """One notification.

    Attributes:
        action: What it says has happened.
        alarm: The alarm; None on DELETE.
        seconds: When it came, since it was waited for.
    """

    action: Action
    alarm: dict[str, Any] | None
    seconds: float


class Ear:
    """Hears one alarm, until it goes deaf.

    Args:
        line: Where it listens.

    Attributes:
        id: The alarm.
        failure: Why it is deaf; None while it hears.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self.id: str | None = None
        self.failure: TocsinError | None = None

    async def listen(self, source: str) -> None:
        """Begin a session and subscribe to a device."""
        try:
            await self._listen(source)
        except TocsinError as error:
            self.failure = error

    async def hear(self, seconds: float) -> Notice | None:
        """Wait for the next notification of the alarm; None if none came in time."""
        if self.failure is not None:
            return None
        try:
            return await self._hear(seconds)
        except TocsinError as error:
            self.failure = error
            return None

    async def _listen(self, source: str) -> None:
        line = self._line
        await line.shake_hands(hold=_HELD)
        await line.connect(0)
        channel = f"/alarms/{source}"
        said = await line.subscribe(channel)
        if not said.answer.successful:
            error = said.answer.error
            raise SubscriptionRefusedError(
                f"the channel of the device was refused: {error or 'without a word'}",
                channel=channel,
                error=error,
            )

    async def _hear(self, seconds: float) -> Notice | None:
        watch = Stopwatch()
        while watch.seconds < seconds:
            said = await self._line.connect(min(_HELD, seconds - watch.seconds))
            notices = list(self._of(said.events, watch.seconds))
            if notices:
                return notices[-1]
            if not said.answer.successful:
                raise ProtocolError(f"the session was lost: {said.answer.error or 'without a word'}")
            if said.seconds < 0.1:  # not held: do not ask without end
                await sleep(0.3)
        return None

    def _of(self, events: Iterable[Event], seconds: float) -> Iterable[Notice]:
        for event in events:
            for told in read_payload(event.data):
                alarm = read_alarm(told.raw) if told.raw else None
                one = told.id if alarm is None else alarm_id(alarm)
                if told.action is not None and one == self.id:
                    yield Notice(told.action, alarm, seconds)
