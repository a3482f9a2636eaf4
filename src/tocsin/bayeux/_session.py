"""One client's side of Bayeux, as a pure state machine: no I/O, no clock, no random.

The driver's part, in a loop:

1. Call intents (`want`, `unwant`, `renew`, `close`) whenever somebody has one.
2. Give the outcome of every exchange: `received` or `failed`, and nothing for one whose link was dropped.
3. Start every exchange that `next` returns; a HANDSHAKE on a fresh transport.
4. Pass on what `take` returns.
   Where the server speaks unasked: `pushed` for what it says, `broke` when the connection did, and whoever
   waits for an answer may go when `awaits` says no.
5. Do it again when an exchange ends, somebody has an intent, or `deadline` has come.

`now` is monotonic seconds, `jitter` a number drawn evenly from [0, 1) for the wait that may follow.
What the states mean is told in `_state.py`. Rules come from Bayeux 1.0 and from what servers were seen to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.bayeux._replies import Replies
from tocsin.bayeux._requests import Requests
from tocsin.bayeux._state import CONNECTING, LIVE, OPEN, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.bayeux._outputs import Output, Send
    from tocsin.bayeux._settings import SessionSettings
    from tocsin.bayeux._subscriptions import Standing
    from tocsin.errors import TocsinError

__all__ = ["Session"]


class Session(Replies):
    """One session after another with one server: see the module's text."""

    def __init__(self, settings: SessionSettings) -> None:
        super().__init__(settings)
        self._requests = Requests(settings)

    # ── intents ──────────────────────────────────────────────────────────────────────────────────────────

    def want(self, channel: str) -> None:
        """Somebody wants a channel. The first one opens the session."""
        self._channels.want(channel)

    def unwant(self, channel: str) -> None:
        """Somebody does so no more. When the last one has gone, the session is ended."""
        self._channels.unwant(channel)

    def renew(self, now: float, reason: str, jitter: float) -> None:
        """Begin a new session in place of this one. Joins a handshake that is already under way."""
        course = self._course
        if self.state in LIVE and course.client_id is not None:
            farewell = self._requests.disconnect(course.link, course.client_id).messages
            course.lose(now, jitter, reason, farewell=farewell)

    def close(self, now: float) -> None:
        """Leave: all channels are let go, the server is told. Done when `state` is CLOSED or NEW."""
        self._channels.clear()
        self._leave_if_unwanted(now)

    def abort(self, error: TocsinError) -> None:
        """End it for good because of an error of our own side."""
        self._channels.clear()
        if self.state in OPEN:
            self._course.stop(error)
        elif self.state is State.DISCONNECTING:
            self._course.gone()

    def standing(self, channel: str) -> Standing:
        """Return what the server has said about a channel in this session."""
        return self._channels.standing(channel)

    def holds(self, channel: str) -> bool:
        """Whether a channel is wanted or still stands on the server."""
        return self._channels.holds(channel)

    # ── what to do ───────────────────────────────────────────────────────────────────────────────────────

    def next(self, now: float, open_link: Callable[[int], str] | None = None) -> list[Send]:
        """Return the exchanges to start now; calling it again at once returns nothing.

        Args:
            now: Monotonic seconds.
            open_link: Called where a handshake is due, with the number of the link that is to carry it; it
                tells the connection type spoken there. None: those of the settings.
        """
        course = self._course
        self._leave_if_unwanted(now)
        if self.state is State.DISCONNECTING:
            farewell = self._next_while_leaving(now)
            if self.state is State.DISCONNECTING:
                return farewell
        if self.state in (State.NEW, State.CLOSED) and self._channels.wanted:
            course.opened()
        sends = self._next_command(now)
        if course.main is None and now >= course.at:
            if self.state is State.HANDSHAKING:
                if open_link is not None:
                    course.speaks = (open_link(course.link),)
                course.worn = None
                course.main = self._requests.handshake(course.link, course.speaks)
                sends.append(course.main)
            elif self.state in CONNECTING and course.client_id is not None:
                ask = 0.0 if course.fresh else self._settings.ask
                course.main = self._requests.connect(
                    course.link,
                    course.client_id,
                    course.connection_type,
                    ask=ask,
                    grace=course.grace if ask else 0.0,
                    acked=course.acked,
                )
                course.sent_at, course.brought = now, False
                sends.append(course.main)
        return sends

    def take(self) -> list[Output]:
        """Return what has happened since the last call, in order."""
        outputs, self._course.outputs = self._course.outputs, []
        return outputs

    def deadline(self) -> float | None:
        """Return when `next` has something to do though nothing came in; None: not by itself."""
        course = self._course
        if self.state is State.DISCONNECTING:
            return course.leave_by
        times = []
        if course.main is None and self.state in (State.HANDSHAKING, *CONNECTING):
            times.append(course.at)
        if self._commands_due():
            times.append(course.command_at)
        return min(times, default=None)

    def _commands_due(self) -> bool:
        """Whether a command may go as soon as its time has come.

        One at a time: the two connections of a session are not to be three. None before the first connect
        of the session and while connects fail: a server in trouble is asked one thing at a time.
        """
        return (
            self.state in (State.SUBSCRIBING, State.CONNECTED)
            and self._course.command is None
            and bool(self._channels.to_subscribe() or self._channels.to_unsubscribe())
        )

    def _next_command(self, now: float) -> list[Send]:
        course = self._course
        if self._commands_due():
            if now < course.command_at or course.client_id is None:
                return []
            subscribe, unsubscribe = self._channels.to_subscribe(), self._channels.to_unsubscribe()
            course.command = self._requests.subscriptions(
                course.link, course.client_id, subscribe=subscribe, unsubscribe=unsubscribe
            )
            about = [("/meta/unsubscribe", n) for n in unsubscribe]
            about += [("/meta/subscribe", n) for n in subscribe]
            course.operations = dict(zip(course.command.ids, about, strict=True))
            return [course.command]
        return []

    def _leave_if_unwanted(self, now: float) -> None:
        if self.state in OPEN and not self._channels.wanted:
            self._course.leave(now)

    def _next_while_leaving(self, now: float) -> list[Send]:
        """The disconnect goes on the commands' connection, behind a command that is still out."""
        course = self._course
        if now >= course.leave_by:
            course.gone()
        elif course.client_id is not None and course.command is None:
            course.leaving = course.command = self._requests.disconnect(course.link, course.client_id)
            course.operations = {course.command.ids[0]: ("/meta/disconnect", "")}
            return [course.command]
        return []
