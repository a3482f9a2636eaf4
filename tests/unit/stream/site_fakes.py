"""A platform in memory behind the follower's seam: reads answered from a dict, live input pushed by hand."""

from dataclasses import dataclass
from datetime import timedelta

import anyio

from tocsin._stream._answers import Checked, Missing, Observed, OneAnswer, ReadOne, ReadWindow, WindowAnswer
from tocsin._stream._buffer import Buffer
from tocsin._stream._follower import Follower
from tocsin._stream._policy import RecoveryPolicy
from tocsin._stream._states import StateBoard
from tocsin._stream._stream import ChangeStream
from tocsin._stream._tracker import Tracker
from tocsin.models import Action
from unit.stream.stream_fakes import START


@dataclass
class Row:
    text: str
    updated: int
    created: int
    open: bool = True


class Site:
    """The alarms of a site, whose clock is the event loop's."""

    def __init__(self):
        self.rows = {}
        self._ticks = 0

    def now(self):
        self._ticks += 1
        return int(anyio.current_time() * 1000) + self._ticks

    def write(self, key, text, *, is_open=True):
        now = self.now()
        old = self.rows.get(key)
        self.rows[key] = Row(text, now, now if old is None else old.created, is_open)
        return Action.CREATE if old is None else Action.UPDATE

    def observed(self, key):
        row = self.rows[key]
        core = row.text.encode().ljust(16)[:16]
        return Observed(key, core, b"", row.updated, row.created, row.open, True, row.text)


class FakePlatform:
    """What a follower sees of a site.

    `before` is awaited in each read; it may hang or raise. `answer` replaces the answer.
    """

    platform = "fake"
    site = "here"

    def __init__(self, site, *, live=True):
        self.data = site
        self.is_live = live
        self.inlet = None
        self.reads = []
        self.in_flight = self.most_in_flight = 0
        self.renewals = []
        self.removed = 0
        self.session = 1
        self.before = None
        self.answer = None
        self.presented = 0
        self.looks = 0

    def attach(self, inlet):
        if not self.is_live:
            return None
        self.inlet = inlet
        return self

    def renew(self, reason):
        self.renewals.append(reason)

    async def remove(self):
        self.removed += 1

    def present(self, alarm):
        self.presented += 1
        return alarm

    async def has_api(self):
        self.looks += 1
        return self.answer is None

    async def read(self, read):
        self.reads.append(read)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await anyio.lowlevel.checkpoint()
            if self.before is not None:
                await self.before(read)
            return self._answer(read) if self.answer is None else self.answer(read)
        finally:
            self.in_flight -= 1

    def _answer(self, read):
        if isinstance(read, ReadOne):
            return OneAnswer(self.data.observed(read.id)) if read.id in self.data.rows else Missing()
        if not isinstance(read, ReadWindow):
            return Checked(sound=True)
        rows = [
            self.data.observed(key)
            for key, row in sorted(self.data.rows.items(), key=lambda pair: -pair[1].created)
            if (read.resolved is None or row.open is not read.resolved)
            and (read.updated_from is None or row.updated >= read.updated_from)
            and (read.created_from is None or row.created >= read.created_from)
            and (read.created_to is None or row.created < read.created_to)
        ]
        start = (read.page - 1) * read.page_size
        page = rows[start : start + read.page_size]
        return WindowAnswer(page, len(rows) > start + read.page_size, self.data.now())

    # --- the live channel ---

    def connect(self):
        self.inlet.connected(session=self.session, date=self.data.now())

    def cut(self, cause="cut"):
        self.inlet.disconnected(cause)
        self.session += 1

    def tell(self, *changes):
        """Write alarms and send the notifications in one batch: (key, text)."""
        batch = []
        for key, text in changes:
            action = self.data.write(key, text)
            batch.append((action, key, self.data.observed(key)))
        self.inlet.live(batch, session=self.session, ordered=True)

    def tell_gone(self, key):
        del self.data.rows[key]
        self.inlet.live([(Action.DELETE, key, None)], session=self.session, ordered=True)

    @property
    def windows(self):
        return [read for read in self.reads if isinstance(read, ReadWindow)]


def follow(
    client, platform, *, snapshot=False, limit=100, overflow="recover", open_timeout=60.0, policy=None
):
    """A stream of a fake client over a fake platform."""
    policy = policy or RecoveryPolicy(page_size=max(1, min(2000, limit // 2)))
    clock = Clock()
    follower = Follower(
        Tracker(policy, snapshot=snapshot, live=platform.is_live),
        platform,
        Buffer(limit, overflow),
        StateBoard("fake", "here", clock),
        wall=clock,
        close_timeout=1.0,
        whole=snapshot is False,
    )
    return ChangeStream(follower, client.owner, open_timeout=open_timeout), follower


class Clock:
    """The event loop's clock as a wall clock."""

    def __call__(self):
        return START + timedelta(seconds=anyio.current_time())
