"""Changes, gaps and readers without a platform."""

from datetime import UTC, datetime, timedelta

import anyio

from tocsin._stream._buffer import Buffer
from tocsin._stream._owner import TaskOwner
from tocsin._stream._reader import Reader
from tocsin._stream._states import StateBoard
from tocsin._stream._stream import ChangeStream
from tocsin.models import Action, Change, Gap, Origin, StreamState, StreamStats

START = datetime(2026, 3, 1, tzinfo=UTC)


def wall(seconds=0.0):
    return START + timedelta(seconds=seconds)


def change(n, action=Action.UPDATE, value=None, at=0.0, origin=Origin.LIVE):
    alarm = None if action is Action.DELETE else (n if value is None else value)
    return Change(action, str(n), alarm, origin, "fake", "here", wall(at))


def gap(since=0.0, until=1.0, cause="cut", recovered=0):
    return Gap(wall(since), wall(until), cause, recovered, "fake", "here")


class ScriptReader(Reader):
    """Runs the coroutine function it is given as its feed, and counts what happens to it."""

    def __init__(self, script=None, *, limit=100, overflow="recover", leave=None, close_timeout=1.0):
        super().__init__(
            Buffer(limit, overflow), StateBoard("fake", "here", wall), close_timeout=close_timeout
        )
        self.script = script
        self.leaving = leave
        self.left = 0
        self.starts = 0

    async def feed(self):
        self.starts += 1
        if self.script is None:
            self.open()
            await anyio.sleep_forever()
        else:
            await self.script(self)

    async def leave(self):
        if self.leaving is not None:
            await self.leaving()
        self.left += 1

    def stats(self):
        return StreamStats(delivered=self.buffer.delivered, buffered=len(self.buffer))

    def connected(self):
        self.board.post(StreamState.CONNECTED, None)
        self.open()


class Client:
    """A client that owns streams over scripted readers."""

    def __init__(self):
        self.owner = TaskOwner("fake client")

    async def __aenter__(self):
        self._open = self.owner.open()
        await self._open.__aenter__()
        return self

    async def __aexit__(self, *error):
        return await self._open.__aexit__(*error)

    def stream(self, script=None, *, open_timeout=5.0, **options):
        reader = ScriptReader(script, **options)
        return ChangeStream(reader, self.owner, open_timeout=open_timeout), reader
