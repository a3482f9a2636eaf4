"""Drives a tracker against the model server on a simulated clock, and checks what a stream promises."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush

from protocol.tracker.tracker_model import Model, Version
from tocsin._stream._answers import (
    Checked,
    Failed,
    Give,
    Missing,
    Note,
    Observed,
    OneAnswer,
    ReadOne,
    ReadWindow,
    WindowAnswer,
)
from tocsin._stream._policy import RecoveryPolicy
from tocsin._stream._tracker import Tracker
from tocsin.models import Action, StreamState

POLICY = RecoveryPolicy(
    overlap=6.0,
    verify_first=1.0,
    verify_every=12.0,
    look_every=2.0,
    look_pause=0.5,
    reconcile_every=60.0,
    grace=3.0,
    silence=120.0,
    page_size=4,
    settle_flood=12,
    retry_first=0.5,
    retry_max=4.0,
    skew=10.0,
    empty_pages=3,
)
START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Faults:
    """What goes wrong, as probabilities of each event, and how the server is made."""

    lose: float = 0.0
    double: float = 0.0
    late: float = 0.0
    strip: float = 0.0
    """The message has no lastUpdated (whole sessions, if `strip_all`)."""
    strip_rest: bool = False
    silent: float = 0.0
    fail: float = 0.0
    cuts: float = 0.0
    """Cuts of the live channel a second."""
    resume: float = 0.0
    lag: float = 0.0
    replica: float = 0.0
    """Seconds by which a read may be older than a notification: breaks A3."""
    skew: int = 0
    date: bool = True
    stamps: bool = True
    ranges: bool = True
    bump: bool = True
    deaf: float = 0.0
    """Seconds after attaching during which nothing is delivered."""
    drops_delete: float = 0.0
    unreadable: float = 0.0
    """Half of them without an id."""
    bursts: float = 0.0
    """Probability that a write is many alarms created in one millisecond."""
    restricted: bool = False
    hides: float = 0.0
    """Alarms a second that leave the user's sight and come back: lists omit them, reads by id answer 404."""
    slow: bool = False
    live: bool = True
    looks: bool = False
    """The server cannot list what changed since a time."""
    back: float = 0.0
    hints: float = 0.0
    filtered: bool = False
    writes: float = 2.0
    deletes: float = 0.08
    before: int = 12
    snapshot: object = False
    partitions: tuple = (None,)
    told: bool = False
    """Nothing goes wrong that cannot be noticed: what was never given must lie inside a gap."""
    seconds: float = 60.0


class BrokenPromiseError(AssertionError):
    """A promise was not kept."""


class Simulation:
    """One run."""

    def __init__(self, seed: int, faults: Faults, tracker_type=Tracker, policy=POLICY) -> None:
        self.rng = random.Random(seed)
        self.faults = faults
        self.policy = policy
        self.model = Model(
            self.rng,
            lag=faults.lag,
            skew=faults.skew,
            stamps=faults.stamps,
            ranges=faults.ranges,
            bump=faults.bump,
            restricted=faults.restricted,
            back=faults.back,
        )
        self.tracker = tracker_type(
            policy,
            snapshot=faults.snapshot,
            partitions=faults.partitions,
            live=faults.live and not faults.looks,
            looks=faults.looks,
        )
        self.now = 0.0
        self.events: list = []
        self.order = itertools.count()
        self.session = 0
        self.up = False
        self.attached_at: float | None = None
        self.quiet = False
        self.reads = self.settles = 0
        self.buffer: list = []
        self.overflowing = False
        self.fold: dict[str, Version | None] = {}
        self.given: dict[str, int] = {}
        self.gaps: list[Note] = []
        self.when: dict[tuple[str, int], float] = {}
        self.lost_ids: set[str] = set()
        self.cursor = -1
        self.renewals = 0
        self.began: list[float] = []
        self.baseline: list[Version] = []
        # dropped changes and alarms that were closed at the start may or may not be known to the consumer
        self.exact_filter = faults.snapshot is True and faults.date and faults.skew >= 0 and not faults.slow
        self.begun = False
        self.begun_at = 0.0
        self.ever_hidden: set[str] = set()
        self.strict = not faults.replica

    # --- time ---

    def at(self, delay: float, call, *args) -> None:
        heappush(self.events, (self.now + delay, next(self.order), call, args))

    @property
    def wall(self) -> datetime:
        return START + timedelta(seconds=self.now)

    def run(self) -> Simulation:
        for _ in range(self.faults.before):
            self.write(history=True)
            self.now += 0.05
        if self.tracker.listens:
            self.at(0.1, self.connect)
        self.at(0.2, self.work)
        if self.faults.cuts:
            self.at(self.rng.expovariate(self.faults.cuts), self.cut)
        if self.faults.hides:
            self.at(self.rng.expovariate(self.faults.hides), self.hide)
        end = self.now + self.faults.seconds
        self.until(end)
        self.quiet = True
        if not self.up and self.tracker.listens:
            self.connect()
        p = self.policy
        self.until(end + 3 * p.verify_every + 2 * p.reconcile_every + 12 * p.retry_max + 2 * p.overlap)
        self.pump()
        self.check_end()
        return self

    def until(self, end: float) -> None:
        while True:
            due = self.tracker.deadline()
            head = self.events[0][0] if self.events else end
            if min(head, end if due is None else due) >= end:
                break
            if due is not None and due < head:
                self.now = max(self.now, due)
                self.pump()
                again = self.tracker.deadline()
                if again is not None and again <= self.now and not self.paused:
                    raise BrokenPromiseError(f"busy: the deadline {again} stays behind {self.now}")
                continue
            self.now, _, call, args = heappop(self.events)
            call(*args)
            self.pump()
        self.now = end

    @property
    def paused(self) -> bool:
        return len(self.buffer) > 4

    def pump(self) -> None:
        for read in self.tracker.reads(self.now, paused=self.paused):
            self.reads += 1
            self.settles += isinstance(read, ReadOne)
            self.at(self.rng.uniform(0.02, 0.4), self.evaluate, read)
        if self.tracker.renew:
            self.renewals += 1
            if self.up:
                self.cut(again=False)
        self.consume()
        if self.tracker.begun and not self.begun:
            self.begun = True
            self.begun_at = self.now
            self.know()
        cursor = self.tracker.cursor
        if cursor is not None:
            if cursor < self.cursor:
                raise BrokenPromiseError("the cursor moved backwards")
            self.cursor = cursor
        if not self.up and self.tracker.listens and self.tracker.state is not StreamState.RECONNECTING:
            raise BrokenPromiseError("deaf without saying so")

    def know(self) -> None:
        """A consumer without a snapshot is taken to know what the first read showed."""
        for version in self.baseline if self.faults.snapshot is False else ():
            hidden = self.faults.filtered and version.content[1] != "MAJOR"
            later = self.model.alarms[version.id].last.n > version.n
            if (
                self.given.get(version.id, -1) < version.n
                and not hidden
                and not (self.faults.filtered and later)
            ):
                self.fold.setdefault(version.id, version)

    # --- the world ---

    def work(self) -> None:
        if self.quiet:
            return
        self.write()
        self.at(self.rng.expovariate(self.faults.writes), self.work)

    def write(self, *, history: bool = False) -> None:
        living = [a for a in self.model.living() if self.model.sees(a)]
        if self.rng.random() < self.faults.bursts:
            for _ in range(self.rng.randint(5, 14)):
                self.tell(self.model.create(self.now), history=history)
            return
        roll = self.rng.random()
        if not living or roll < 0.25:
            version = self.model.create(self.now)
        else:
            alarm = self.rng.choice(living)
            if roll < 0.25 + self.faults.deletes:
                version = self.model.delete(self.now, alarm)
            elif roll < 0.5:
                version = self.model.change(self.now, alarm)
            elif roll < 0.75 and alarm.last.open:
                version = self.model.repeat(self.now, alarm)
            elif alarm.last.open:
                version = self.model.clear(self.now, alarm)
            else:
                version = self.model.change(self.now, alarm)
        self.tell(version, history=history)

    def hide(self) -> None:
        if self.quiet:
            return
        self.at(self.rng.expovariate(self.faults.hides), self.hide)
        if living := self.model.living():
            one = self.rng.choice(living).id
            self.model.hidden.add(one)
            self.ever_hidden.add(one)
            self.at(self.rng.uniform(1, 80), self.model.hidden.discard, one)

    def tell(self, version: Version, *, history: bool) -> None:
        version.told = not history
        if not history:
            self.notify(version)

    def notify(self, version: Version) -> None:
        f = self.faults
        alarm = self.model.alarms[version.id]
        hidden = version.id in self.model.hidden or not self.model.sees(alarm)
        unheard = (
            hidden or self.rng.random() < f.silent or (version.deleted and self.rng.random() < f.drops_delete)
        )
        if f.looks and self.rng.random() < f.hints:
            self.tracker.hint(self.now)
        if not self.tracker.listens or not self.up or unheard:
            version.sent = False
            return
        if self.rng.random() < f.lose or self.now < (self.attached_at or 0) + f.deaf:
            self.lost_ids.add(version.id)
            return
        strip = self.rng.random() < f.strip
        # the ordered path keeps order by having one delay; what comes twice or late comes on the other one
        late = self.rng.random() < f.late
        delay = self.rng.uniform(0.5, 6.0) if late else 0.05
        self.at(delay, self.deliver, version, self.session, not late, strip)
        if self.rng.random() < f.double:
            self.at(self.rng.uniform(0.06, 8.0), self.deliver, version, self.session, False, strip)

    def deliver(self, version: Version, session: int, ordered: bool, strip: bool) -> None:
        if session != self.session or not self.up:
            return
        if not self.faults.replica:
            version.visible_at = min(version.visible_at, self.now)
            for earlier in self.model.alarms[version.id].versions[: version.n]:
                earlier.visible_at = min(earlier.visible_at, self.now)
        if self.rng.random() < self.faults.unreadable:
            self.tracker.unreadable(self.now, self.wall, id=version.id if self.rng.random() < 0.5 else None)
            return
        action = Action.DELETE if version.deleted else Action.UPDATE if version.n else Action.CREATE
        seen = None if version.deleted else self.observe(version, live=True, strip=strip)
        self.tracker.live(self.now, self.wall, action, version.id, seen, session=session, ordered=ordered)

    def observe(self, version: Version, *, live: bool = False, strip: bool = False) -> Observed:
        alarm = self.model.alarms[version.id]
        return Observed(
            version.id,
            version.core,
            None if live and self.faults.strip_rest else b"",
            None if strip or not self.model.stamps else version.updated,
            alarm.created,
            version.open,
            not self.faults.filtered or version.content[1] == "MAJOR",
            version,
        )

    def connect(self) -> None:
        if self.up:
            return
        self.up = True
        if not (self.session and self.rng.random() < self.faults.resume):
            self.session += 1
        self.attached_at = self.now
        self.began.append(self.now)
        date = self.model.ms(self.now) // 1000 * 1000 if self.faults.date else None
        self.tracker.connected(self.now, self.wall, session=self.session, date=date)
        self.at(1.0, self.beat, self.session)

    def beat(self, session: int) -> None:
        if self.up and session == self.session:
            self.tracker.alive(self.now, self.wall, proved=self.wall)
            self.at(1.0, self.beat, session)

    def cut(self, *, again: bool = True) -> None:
        if self.up and (not self.quiet or not again):
            self.up = False
            self.tracker.disconnected(self.now, self.wall, cause="cut")
            self.at(self.rng.uniform(0.2, 5.0), self.connect)
        if again and not self.quiet:
            self.at(self.rng.expovariate(self.faults.cuts), self.cut)

    # --- reads ---

    def evaluate(self, read) -> None:
        """The server works on it now; the answer travels."""
        f = self.faults
        failing = not self.quiet and self.rng.random() < f.fail
        then = self.now - (self.rng.uniform(0, f.replica) if f.replica else 0.0)
        if failing:
            retry = self.rng.choice([None, None, 1.0])
            answer = Failed("503", retry, permanent=self.rng.random() < 0.2)
        elif isinstance(read, ReadWindow):
            if f.looks and read.updated_from is not None:
                raise BrokenPromiseError("the server cannot list what changed since a time")
            rows, more = self.model.page(read, then)
            date = self.model.ms(self.now) - f.skew
            seen = [self.observe(version) for _, version in rows]
            self.baseline += [version for _, version in rows if read.snapshot]
            answer = WindowAnswer(seen, more, date // 1000 * 1000 if f.date else None)
        elif isinstance(read, ReadOne):
            alarm = self.model.alarms.get(read.id)
            version = alarm.seen_at(then) if alarm else None
            hidden = read.id in self.model.hidden or (alarm is not None and not self.model.sees(alarm))
            answer = Missing() if version is None or hidden else OneAnswer(self.observe(version))
        else:
            answer = Checked(sound=True)
        self.at(self.rng.uniform(0.02, 0.4), self.answer, read, answer)

    def answer(self, read, answer) -> None:
        self.tracker.answered(self.now, self.wall, read, answer)

    # --- the consumer ---

    def consume(self) -> None:
        items = self.tracker.take()
        if not self.faults.slow:
            for item in items:
                self.accept(item)
            return
        if items and not self.buffer:
            self.at(self.rng.uniform(0.1, 3.0), self.drain)
        self.buffer += items
        if len(self.buffer) > 8 and not self.quiet:
            dropped = {item.id for item in self.buffer if isinstance(item, Give)}
            for note in (item for item in self.buffer if isinstance(item, Note)):
                self.accept(note)
            self.buffer.clear()
            self.overflowing = True
            self.tracker.overflowed(self.now, self.wall, ids=dropped)

    def drain(self) -> None:
        for item in self.buffer:
            self.accept(item)
        self.buffer.clear()
        if self.overflowing:
            self.overflowing = False
            self.tracker.caught_up(self.now)

    def accept(self, item: Give | Note) -> None:
        if isinstance(item, Note):
            if item.until < item.since:
                raise BrokenPromiseError(f"a gap that ends before it begins: {item}")
            self.gaps.append(item)
            return
        alarm = self.model.alarms[item.id]
        if item.action is Action.DELETE:
            if not alarm.last.deleted and alarm.id not in self.ever_hidden:
                raise BrokenPromiseError(f"{item.id} was never deleted")
            version = alarm.last
        else:
            version = item.observed.alarm
        if item.action is Action.DELETE and not alarm.last.deleted:
            self.given.pop(item.id, None)  # it left the user's sight: what comes back is news
        elif self.strict and version.n <= self.given.get(item.id, -1):
            word = "twice" if version.n == self.given[item.id] else "after a later one"
            raise BrokenPromiseError(
                f"state {version.n} of {item.id} given {word} ({item.action} {item.origin})"
            )
        if item.action is not Action.DELETE or alarm.last.deleted:
            self.given[item.id] = version.n
            self.when[item.id, version.n] = self.now
        hidden = item.observed is not None and not item.observed.wanted
        if hidden and self.exact_filter and item.id not in self.fold:
            raise BrokenPromiseError(f"{item.id} does not pass the filter and was not held")
        if item.action is Action.DELETE or not item.observed.wanted:
            self.fold.pop(item.id, None)
        else:
            self.fold[item.id] = version

    # --- the end ---

    def check_end(self) -> None:
        self.drain()
        for alarm in self.model.alarms.values():
            self.check_alarm(alarm)
        if self.faults.told:
            self.check_gaps()
        if self.tracker.state is not StreamState.CONNECTED:
            raise BrokenPromiseError(f"still {self.tracker.state}: {self.tracker.cause}")

    def check_alarm(self, alarm) -> None:
        held = self.fold.get(alarm.id)
        if not self.model.sees(alarm) or alarm.id in self.model.hidden:
            return
        if alarm.id in self.ever_hidden and not alarm.last.open:
            return  # it came back into sight closed, with an old stamp: no list of ours need show it
        if not self.faults.stamps and not alarm.last.open and (held is None or not held.open):
            return  # without lastUpdated only open alarms can be compared, and that is said
        if alarm.last.deleted:
            if held is not None:
                raise BrokenPromiseError(f"the deletion of {alarm.id} was not told")
            return
        if (
            self.faults.looks
            and held is None
            and not alarm.last.open
            and (alarm.is_late or self.faults.filtered)
        ):
            return  # dated back and closed between two passes, or closed when it came to pass the filter
        if self.faults.filtered and alarm.last.content[1] != "MAJOR":
            if held is not None:
                raise BrokenPromiseError(f"{alarm.id} left the filter and that was not told")
            return
        early = alarm.last.at < self.begun_at + max(0, -self.faults.skew) / 1000
        if held is None and not alarm.last.open and (early or not self.faults.date):
            return  # closed before the first read was complete, as far as the server's clocks can tell
        if held is None or held.content != alarm.last.content:
            raise BrokenPromiseError(f"{alarm.id} is {alarm.last.content}, held as {held and held.content}")

    def check_gaps(self) -> None:
        """Every change that was not given lies inside a gap."""
        first = next(iter(self.began), 0.0)
        for alarm in self.model.alarms.values():
            for version in alarm.versions:
                if version.at < first or (alarm.id, version.n) in self.when:
                    continue
                at = START + timedelta(seconds=version.at)
                if any(gap.since <= at <= gap.until for gap in self.gaps):
                    continue
                raise BrokenPromiseError(f"state {version.n} of {alarm.id} was lost in silence")
