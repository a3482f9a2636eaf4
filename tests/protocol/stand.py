"""A Bayeux session and a tracker joined as the client joins them, against a model server: no I/O, no clock.

What happens when is the caller's choice: each method is one thing that can happen.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from protocol.bayeux.bayeux_player import bad, event, handshaken, messages, ok
from protocol.tracker.tracker_model import Model, Version
from protocol.tracker.tracker_sim import POLICY
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
from tocsin._stream._tracker import Tracker
from tocsin.bayeux._failures import Failure
from tocsin.bayeux._outputs import Alive, Arrived, Closed, Dropped, Kind, Lost, Send, Unreadable
from tocsin.bayeux._session import Session
from tocsin.bayeux._settings import SessionSettings
from tocsin.bayeux._state import State
from tocsin.bayeux._subscriptions import Standing
from tocsin.errors import ConnectError, RequestTimeoutError, TocsinError, TransportError
from tocsin.models import Action, StreamState

START = datetime(2026, 3, 1, tzinfo=UTC)
CHANNEL = "/alarms/*"
HOLD = 10.0


class ServerSession:
    """What the server knows of one client."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.subscribed = False
        self.queue: list[dict[str, Any]] = []


class Stand:
    """Both machines, the server, the consumer, and what is on its way between them."""

    def __init__(self, *, duplex: bool, seed: int = 0) -> None:
        self.rng = random.Random(seed)
        self.duplex = duplex
        self.now = 0.0
        self.model = Model(self.rng)
        self.session = Session(
            SessionSettings(advice_timeout=HOLD, liveness=15.0, allowance=3.0, minimum_delay=0.5)
        )
        self.tracker: Tracker[Version] = Tracker(POLICY, snapshot=True)
        self.session.want(CHANNEL)
        self.flying: dict[Send, float] = {}
        self.asked: list[Any] = []
        self.under_way: list[tuple[Any, Any]] = []
        self.there: ServerSession | None = None
        self.names = 0
        self.attached = self.waiting = False
        self.pending: list[Give[Version] | Note] = []
        self.oldest: datetime | None = None
        self.spilled = False
        self.fold: dict[str, Version | None] = {}
        self.given: dict[tuple[str, int], None] = {}
        self.last: dict[str, int] = {}
        self.gaps: list[Note] = []
        self.began: float | None = None
        for _ in range(4):
            self.model.create(self.now)
        self.pump()

    @property
    def wall(self) -> datetime:
        return START + timedelta(seconds=self.now)

    # ── the driver ───────────────────────────────────────────────────────────────────────────────────────

    def pump(self) -> None:
        """Do what is due, and pass on what happened."""
        for send in self.session.next(self.now):
            self.flying[send] = self.now
        self.tell()
        self.asked += self.tracker.reads(self.now, paused=len(self.pending) > 4)
        if self.tracker.renew:
            self.session.renew(self.now, "doubt", 0.5)
            self.tell()
        self.put(self.tracker.take())
        self.tracker.notices()
        if self.tracker.begun and self.began is None:
            self.began = self.now
        if len(self.pending) > 12:
            self.overflow()

    def tell(self) -> None:
        for output in self.session.take():
            match output:
                case Arrived():
                    for said in output.events:
                        self.hear(said.json(), ordered=output.ordered)
                case Unreadable():
                    self.tracker.unreadable(self.now, self.wall, id=None)
                case Alive():
                    self.waiting = False
                    proved = START + timedelta(seconds=output.proved)
                    self.tracker.alive(self.now, self.wall, proved=proved)
                case Lost():
                    self.attached, self.waiting = False, True
                    self.tracker.disconnected(self.now, self.wall, cause=output.cause)
                case Dropped():
                    self.flying = {s: at for s, at in self.flying.items() if s.link != output.link}
                case Closed():
                    raise AssertionError(f"the session ended: {output.error}")
                case _:
                    pass
        stands = self.session.standing(CHANNEL) is Standing.STANDS
        if self.session.state is State.CONNECTED and stands and not (self.attached or self.waiting):
            self.attached = True
            date = self.model.ms(self.now) // 1000 * 1000
            self.tracker.connected(self.now, self.wall, session=self.session.number, date=date)

    def hear(self, told: dict[str, Any], *, ordered: bool) -> None:
        version = self.model.alarms[told["id"]].versions[told["n"]]
        seen = None if version.deleted else observe(self.model, version)
        self.tracker.live(
            self.now,
            self.wall,
            Action(told["action"]),
            version.id,
            seen,
            session=self.session.number,
            ordered=ordered,
        )

    def overflow(self) -> None:
        """The consumer was too slow: what waits for it is dropped, but for the gaps."""
        dropped = [item for item in self.pending if isinstance(item, Give)]
        self.pending = [item for item in self.pending if isinstance(item, Note)]
        self.spilled = True
        created = {item.id for item in dropped if item.action is Action.CREATE}
        self.tracker.overflowed(
            self.now, self.wall, ids={item.id for item in dropped}, created=created, since=self.oldest
        )
        self.oldest = None
        self.put(self.tracker.take())

    def put(self, items: list[Give[Version] | Note]) -> None:
        """Let items wait for the consumer."""
        if items and self.oldest is None:
            self.oldest = self.wall
        self.pending += items

    def consume(self) -> None:
        items, self.pending, self.oldest = self.pending, [], None
        for item in items:
            self.accept(item)
        if self.spilled:
            self.spilled = False
            self.tracker.caught_up(self.now)
        self.pump()

    def accept(self, item: Give[Version] | Note) -> None:
        if isinstance(item, Note):
            assert item.since <= item.until
            assert item.recovered is not None
            self.gaps.append(item)
            return
        alarm = self.model.alarms[item.id]
        if item.action is Action.DELETE:
            assert alarm.last.deleted, f"{item.id} was never deleted"
            version = alarm.last
        else:
            assert item.observed is not None
            version = item.observed.alarm
        assert version.n > self.last.get(item.id, -1), f"state {version.n} of {item.id} twice or too late"
        self.last[item.id] = version.n
        self.given[item.id, version.n] = None
        self.fold[item.id] = None if item.action is Action.DELETE else version

    # ── the server ───────────────────────────────────────────────────────────────────────────────────────

    def publish(self, version: Version, *, copies: int = 1) -> None:
        if self.there is None or not self.there.subscribed:
            return
        action = "DELETE" if version.deleted else "UPDATE" if version.n else "CREATE"
        told = event("/alarms/1", {"id": version.id, "n": version.n, "action": action})
        self.there.queue += [told] * copies

    def answers(self, send: Send) -> list[dict[str, Any]]:
        """What the server says to a request, and does because of it."""
        said: list[dict[str, Any]] = []
        for request in messages(send):
            if request["channel"] == "/meta/handshake":
                self.names += 1
                self.there = ServerSession(f"c{self.names}")
                said.append(handshaken(send, self.there.name))
            elif self.there is None or request["clientId"] != self.there.name:
                said.append(bad(request, "402::Unknown client", advice={"reconnect": "handshake"}))
            elif request["channel"] == "/meta/subscribe":
                self.there.subscribed = True
                said.append(ok(request, subscription=request["subscription"]))
            else:
                said.append(ok(request))
        return said

    def taken(self) -> list[dict[str, Any]]:
        """What waits for the client."""
        if self.there is None:
            return []
        queue, self.there.queue = self.there.queue, []
        return queue

    # ── what can happen ──────────────────────────────────────────────────────────────────────────────────

    def reply(self, send: Send, *, events_first: bool = True, swallowed: bool = False) -> None:
        """The server answers; `swallowed`: the connection dies under its words."""
        said, link = self.answers(send), send.link
        known = send.kind is not Kind.HANDSHAKE and said[0]["successful"]
        events = self.taken() if known else []
        body = json.dumps([*events, *said] if events_first else [*said, *events]).encode()
        if swallowed:
            self.fail(send, TransportError("cut", maybe_applied=True))
        elif self.duplex:
            self.settle(send)
            self.session.pushed(link, body, self.now, self.rng.random())
        else:
            self.settle(send)
            self.session.received(send, body, self.now, self.rng.random())
        self.pump()

    def push(self) -> None:
        """On a two-way connection the server speaks unasked."""
        if self.there is not None and self.session.client_id == self.there.name and (events := self.taken()):
            link = self.session._course.link
            self.session.pushed(link, json.dumps(events).encode(), self.now, self.rng.random())
            self.pump()

    def garble(self, send: Send, body: bytes) -> None:
        if self.duplex:
            self.session.pushed(send.link, body, self.now, 0.5)
        else:
            self.settle(send)
            self.session.received(send, body, self.now, self.rng.random())
        self.pump()

    def fail(self, send: Send, error: TocsinError) -> None:
        """One exchange fails; on a two-way connection all that is on it."""
        failure, jitter = Failure.of(error), self.rng.random()
        if self.duplex and not isinstance(error, ConnectError | RequestTimeoutError):
            self.flying.clear()
            self.taken()  # what was under way is lost with it
            self.session.broke(send.link, failure, self.now, jitter)
        else:
            self.settle(send)
            self.session.failed(send, failure, self.now, jitter)
        self.pump()

    def settle(self, send: Send) -> None:
        self.flying.pop(send, None)

    def forget(self) -> None:
        self.there = None

    def evaluate(self, number: int) -> None:
        """The server works on a read now; the answer is under way."""
        read = self.asked.pop(number)
        answer: Any = Checked(sound=True)
        if isinstance(read, ReadWindow):
            rows, more = self.model.page(read, self.now)
            seen = [observe(self.model, version) for _, version in rows]
            answer = WindowAnswer(seen, more, self.model.ms(self.now) // 1000 * 1000)
        elif isinstance(read, ReadOne):
            alarm = self.model.alarms.get(read.id)
            version = alarm.seen_at(self.now) if alarm else None
            answer = Missing() if version is None else OneAnswer(observe(self.model, version))
        self.under_way.append((read, answer))

    def arrive(self, number: int) -> None:
        read, answer = self.under_way.pop(number)
        self.tracker.answered(self.now, self.wall, read, answer)
        self.pump()

    def refuse(self, number: int) -> None:
        self.tracker.answered(self.now, self.wall, self.asked.pop(number), Failed("503"))
        self.pump()

    def wait(self, seconds: float) -> None:
        """Time passes; deadlines are kept, also those of requests."""
        end = self.now + seconds
        while True:
            deadlines = [self.session.deadline(), self.tracker.deadline(), end]
            deadlines += [at + send.total for send, at in self.flying.items()]
            due = min(at for at in deadlines if at is not None)
            self.now = min(end, max(due, self.now + 0.01))
            for send, at in list(self.flying.items()):
                if self.now >= at + send.total and send in self.flying:
                    self.fail(send, RequestTimeoutError("no answer", maybe_applied=True))
            self.pump()
            if self.now >= end:
                return

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        """At any time."""
        kinds = [send.kind for send in self.flying]
        assert kinds.count(Kind.CONNECT) <= 1
        assert kinds.count(Kind.COMMAND) <= 1
        assert kinds.count(Kind.HANDSHAKE) <= 1
        assert Kind.HANDSHAKE not in kinds or len(kinds) == 1, "a handshake goes alone"
        assert self.attached or self.tracker.state is StreamState.RECONNECTING, "deaf without saying so"
        if self.session.state in (State.HANDSHAKING, State.SUBSCRIBING, State.RETRYING):
            assert not self.attached, "a loss was not told"
        if self.session.state is not State.NEW:
            assert self.flying or self.session.deadline() is not None, "nothing is out, and nothing is due"
        assert len(self.asked) + len(self.under_way) <= 8, "too many reads at once"
        assert len(self.session._channels._entries) == 1
        assert len(self.tracker._flights) <= 8
        assert len(self.tracker._cells) <= len(self.model.alarms)

    def quiet(self) -> None:
        """Nothing goes wrong any more: everything comes right, and what was not given is in a gap."""
        end = self.now + 3 * POLICY.verify_every + 2 * POLICY.reconcile_every + 60
        while self.now < end:
            self.serve_well()
            self.wait(0.4)
            self.consume()
            self.check()
        assert self.tracker.state is StreamState.CONNECTED, self.tracker.cause
        for alarm in self.model.alarms.values():
            held = self.fold.get(alarm.id)
            if alarm.last.deleted:
                assert held is None, f"the deletion of {alarm.id} was not told"
            elif alarm.last.open or held is not None:
                assert held is alarm.last, f"{alarm.id} is {alarm.last}, held as {held}"
        self.check_gaps()

    def serve_well(self) -> None:
        self.push() if self.duplex else None
        for send, at in list(self.flying.items()):
            queued = self.there is not None and self.there.queue and not self.duplex
            if send in self.flying and (not send.held or queued or self.now >= at + HOLD):
                self.reply(send)
        while self.asked:
            self.evaluate(0)
        while self.under_way:
            self.arrive(0)

    def check_gaps(self) -> None:
        """Every state that was not given lies inside a gap, or before the first read was complete."""
        for alarm in self.model.alarms.values():
            for version in alarm.versions:
                at = START + timedelta(seconds=version.at)
                if self.began is None or version.at <= self.began or (alarm.id, version.n) in self.given:
                    continue
                if version.deleted and alarm.id not in self.last:
                    continue  # it came and went: there is nothing to take back
                told = any(gap.since <= at <= gap.until for gap in self.gaps)
                assert told, f"state {version.n} of {alarm.id} ({version.at:.2f}) was lost in silence"


def observe(model: Model, version: Version) -> Observed[Version]:
    created = model.alarms[version.id].created
    return Observed(version.id, version.core, b"", version.updated, created, version.open, True, version)
