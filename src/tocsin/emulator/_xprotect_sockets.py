"""The Events and State endpoint over WebSockets: commands in, replies and events out, in any order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

import anyio

from tocsin.emulator._sockets import FRAME, count, strike
from tocsin.emulator._xprotect_commands import Command, Link, MalformedError, read_command
from tocsin.emulator.faults import Fault, Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.emulator._base import BaseEmulator
    from tocsin.emulator._socket import Socket
    from tocsin.emulator._xprotect_event_sessions import Viewer
    from tocsin.emulator._xprotect_live import LiveEvents

EVENTS: Final = "/api/ws/events/v1"

_GOING: Final = 1001
_MALFORMED: Final = 1007
_LONGEST: Final = 86_400.0
_WAITING: Final = 64  # commands that wait for a slow one


class EventSockets:
    """Talks at `EVENTS`.

    Args:
        emulator: The server.
        live: Its sessions, and what brings events to them.
        check: Tells whom an `Authorization` names; refuses by raising `RefusedError`.
        state_latency: Seconds that `getState` takes.
    """

    def __init__(
        self,
        emulator: BaseEmulator,
        live: LiveEvents,
        check: Callable[[str], Viewer],
        state_latency: float = 0.0,
    ) -> None:
        self._emulator = emulator
        self._live = live
        self._check = check
        self._state_latency = state_latency

    async def __call__(self, socket: Socket) -> None:
        """Let a client in and talk with it, to the end. That its token expires meanwhile does not matter.

        Raises:
            RefusedError: Before it is let in: 401 for its token; without one it may authenticate later.
            GoneError: The client left, or a fault ended the connection.
        """
        given = socket.headers.get("authorization")
        owner = None if given is None else self._check(given)
        await socket.accept(self._emulator.clock.http_date())
        link = Link(
            self._live.sessions, owner=owner, check=self._check, ring=socket.bell.ring,
            strike=self._emulator.faults.on_event,
        )  # fmt: skip
        try:
            await _Conversation(self._emulator, socket, link, self._live, self._state_latency).run()
        finally:
            with self._emulator.lock:
                link.leave(anyio.current_time())


@dataclass(slots=True)
class _Waiting:
    """A command that is to be answered at a time, and the faults that strike it."""

    due: float
    command: Command
    seen: Seen
    struck: Sequence[Fault]


class _Conversation:
    """One socket's talk: a slow command holds up those behind it, and never an event."""

    def __init__(
        self, emulator: BaseEmulator, socket: Socket, link: Link, live: LiveEvents, state_latency: float
    ) -> None:
        self._emulator = emulator
        self._socket = socket
        self._link = link
        self._live = live
        self._state_latency = state_latency
        self._waiting: deque[_Waiting] = deque()

    async def run(self) -> None:
        """Talk until the socket ends, or is to end."""
        socket, link = self._socket, self._link
        while not link.ended:
            try:
                await self._listen()
            except MalformedError as error:
                await socket.close(_MALFORMED, str(error))
                return
            answered = await self._answer_what_is_due()
            with self._emulator.lock:
                frames = link.push()
            for frame in frames:
                await socket.send(frame)
            if not (frames or answered or link.ended):  # else there may be more that was said
                until = self._waiting[0].due if self._waiting else inf
                await socket.bell.wait(min(until - anyio.current_time(), _LONGEST))
        await socket.close(_GOING, "the session has ended")

    async def _listen(self) -> None:
        """Put what the client said in line.

        Raises:
            MalformedError: It said what is no command.
        """
        socket = self._socket
        for text in socket.take() if len(self._waiting) < _WAITING else ():
            command = read_command(text)
            seen = Seen(FRAME, socket.path, socket.query, [{"channel": command.name}])
            count(self._emulator, socket, FRAME, (command.name,))
            struck = self._emulator.faults.on_frame(seen)
            if any(fault.kind == "hang" for fault in struck):
                continue
            late = sum(fault.seconds for fault in struck if fault.kind == "delay")
            late += self._state_latency if command.name == "getState" else 0.0
            rest = [fault for fault in struck if fault.kind != "delay"]
            self._waiting.append(_Waiting(anyio.current_time() + late, command, seen, rest))

    async def _answer_what_is_due(self) -> bool:
        answered = False
        while self._waiting and self._waiting[0].due <= anyio.current_time():
            await self._answer(self._waiting.popleft())
            answered = True
        return answered

    async def _answer(self, waiting: _Waiting) -> None:
        await strike(self._socket, waiting.struck)
        command, link, now = waiting.command, self._link, anyio.current_time()
        fault = self._emulator.faults.on_message(waiting.seen, {"channel": command.name})
        with self._emulator.lock:
            self._live.meet_cameras()
            if fault is not None and fault.kind == "reject":
                frames = [link.refuse(command, *_said(fault.error))]
            else:
                if fault is not None:
                    link.forget(command)
                frames = link.answer(command, now)
        for frame in frames:
            await self._socket.send(frame)


def _said(error: str) -> tuple[int, str]:
    """The status and the text of a refusal that was ordered as `403::Access denied`."""
    status, _, text = error.partition("::")
    return (int(status), text) if text and status.isascii() and status.isdigit() else (400, error)
