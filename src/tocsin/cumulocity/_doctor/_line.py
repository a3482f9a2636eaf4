"""One Bayeux session, spoken by hand: each command is one request, so that each answer can be looked at."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from anyio import CancelScope, move_on_after

from tocsin._doctor._visit import Stopwatch, cookie_names
from tocsin._http._request import Request, Timeouts
from tocsin.bayeux._messages import encode, parse
from tocsin.errors import ProtocolError, TocsinError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tocsin._doctor._visit import Visit
    from tocsin._http._session import HttpSession
    from tocsin.bayeux._messages import Answer, Event

__all__ = ["ALLOWANCE", "Line", "Said", "opened"]

ALLOWANCE: Final = 10.0
"""Seconds that the network may take."""
_LEAVING: Final = 2.0
_POLLS: Final = ["long-polling"]


@dataclass(frozen=True, slots=True)
class Said:
    """What one request brought.

    Attributes:
        answer: The reply on the channel that was spoken on.
        events: What was published.
        seconds: How long it took.
        blanks: Bytes before the answer: heartbeats.
        cookies: Names of the cookies that it set.
    """

    answer: Answer
    events: tuple[Event, ...]
    seconds: float
    blanks: int
    cookies: tuple[str, ...]


class Line:
    """Speaks to one address.

    Args:
        visit: Whose it is.
        http: The connections and cookies.
        path: Where Bayeux is spoken.
        client_id: A session that is there already.
    """

    def __init__(self, visit: Visit, http: HttpSession, path: str, client_id: str | None = None) -> None:
        self._visit = visit
        self._http = http
        self._path = path
        self._number = 0
        self.client_id = client_id

    async def shake_hands(
        self, *, hold: float, accept: str = "application/json", ext: dict[str, Any] | None = None
    ) -> Said | None:
        """Begin a session; None if the answer is empty.

        Raises:
            TocsinError: No session came of it.
        """
        message: dict[str, Any] = {
            "channel": "/meta/handshake",
            "version": "1.0",
            "minimumVersion": "1.0",
            "supportedConnectionTypes": _POLLS,
            "advice": {"timeout": round(hold * 1000), "interval": 0},
        }
        said = await self._exchange({**message, **({"ext": ext} if ext else {})}, accept=accept)
        if said is not None and said.answer.client_id:
            self.client_id = said.answer.client_id
            self._visit.hide([self.client_id])
        if said is not None and not (said.answer.successful and self.client_id):
            raise ProtocolError(f"the handshake was refused: {said.answer.error or 'without a word'}")
        return said

    async def connect(self, hold: float, *, limit: float | None = None) -> Said:
        """Poll.

        Args:
            hold: Seconds for which the server is asked to hold the poll.
            limit: Seconds after which we hang up; None: the network's allowance after `hold`.
        """
        message = {
            "channel": "/meta/connect",
            "connectionType": _POLLS[0],
            "advice": {"timeout": round(hold * 1000)},
        }
        return _said(await self._exchange(message, limit=limit or hold + ALLOWANCE))

    async def subscribe(self, channel: str) -> Said:
        """Ask for a channel."""
        return _said(await self._exchange({"channel": "/meta/subscribe", "subscription": channel}))

    async def leave(self) -> None:
        """End the session, if there is one; takes 2 s at most, also when cancelled."""
        if self.client_id is None:
            return
        with move_on_after(_LEAVING, shield=True):
            try:
                await self._exchange({"channel": "/meta/disconnect"}, limit=_LEAVING)
            except TocsinError:
                return  # it expires by itself

    async def _exchange(
        self, message: dict[str, Any], *, limit: float = ALLOWANCE, accept: str = "application/json"
    ) -> Said | None:
        self._number += 1
        mine = {"id": str(self._number), **message}
        if self.client_id is not None:
            mine["clientId"] = self.client_id
        request = Request(
            "POST",
            self._path,
            body=encode([mine]),
            timeouts=Timeouts(read=limit, total=limit),
            accept=accept,
        )
        watch = Stopwatch()
        response = self._visit.heed(await self._http.send(request))
        took = watch.seconds
        body = response.body
        if not body.strip():
            return None
        batch = response.parsed(parse)
        answer = next((one for one in batch.answers if one.channel == message["channel"]), None)
        if answer is None:
            raise ProtocolError(f"the answer has nothing on {message['channel']}")
        blanks = len(body) - len(body.lstrip(b" \t\r\n"))
        return Said(answer, tuple(batch.events), took, blanks, cookie_names(response))


@asynccontextmanager
async def opened(visit: Visit, path: str) -> AsyncGenerator[Line]:
    """A line with connections and cookies of its own; its session is ended in the end, whatever happens."""
    http = visit.core.session()
    async with http:
        line = Line(visit, http, path)
        try:
            yield line
        finally:
            with CancelScope(shield=True):
                await line.leave()


def _said(said: Said | None) -> Said:
    if said is None:
        raise ProtocolError("the answer was empty")
    return said
