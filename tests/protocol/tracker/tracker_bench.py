"""A tracker on a bench: short words to feed it, and to see what it asks for and gives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tocsin._stream._answers import (
    Give,
    Missing,
    Note,
    Observed,
    OneAnswer,
    ReadCheck,
    ReadOne,
    ReadWindow,
    WindowAnswer,
)
from tocsin._stream._policy import RecoveryPolicy
from tocsin._stream._tracker import Tracker
from tocsin.models import Action

START = datetime(2026, 3, 1, tzinfo=UTC)
CREATE, UPDATE, DELETE = Action.CREATE, Action.UPDATE, Action.DELETE
T0 = 1_000_000
"""Server time (ms) when the bench starts; the server's clock runs with `now`."""


def seen(id: str, core: str = "A", updated: int | None = None, **more: Any) -> Observed[str]:  # noqa: A002
    """A state of alarm `id`. `updated` counts in ms from the start of the bench."""
    rest = more.pop("rest", b"")
    values = {"created": T0 - 60_000, "open": True, "wanted": True} | more
    stamp = None if updated is None else T0 + updated
    return Observed(id, core.encode(), rest, stamp, alarm=f"{id}{core}", **values)


class Bench:
    """One tracker, attached, its first read answered with `rows`."""

    tracker: type[Tracker] = Tracker
    """What is put on the bench; `test_tracker_rules_matter` puts cripples there."""

    def __init__(self, *rows: Observed[str], **options: Any) -> None:
        self.policy = options.pop("policy", None) or RecoveryPolicy()
        self.now = 0.0
        start = options.pop("start", True)
        options.setdefault("snapshot", True)
        self.t: Tracker[str] = self.tracker(self.policy, **options)
        self.session = 1
        if not start:
            return
        if options.get("live", True):
            self.t.connected(self.now, self.wall, session=1, date=self.date)
        if options.get("reads", True):
            self.page(*rows)
        self.gives()

    @property
    def wall(self) -> datetime:
        return START + timedelta(seconds=self.now)

    @property
    def date(self) -> int:
        return T0 + int(self.now * 1000)

    # --- feed ---

    def live(
        self,
        state: Observed[str] | str,
        action: Action = UPDATE,
        *,
        session: int | None = None,
        ordered: bool = True,
    ) -> list[str]:
        """One message; an id alone is a deletion. What it gives."""
        gone = isinstance(state, str)
        self.t.live(
            self.now,
            self.wall,
            DELETE if gone else action,
            state if gone else state.id,
            None if gone else state,
            session=session or self.session,
            ordered=ordered,
        )
        return self.gives()

    def later(self, seconds: float) -> Bench:
        self.now += seconds
        return self

    def cut(self, seconds: float = 0.0) -> Bench:
        self.t.disconnected(self.now, self.wall, cause="cut")
        self.now += seconds
        self.session += 1
        self.t.connected(self.now, self.wall, session=self.session, date=self.date)
        return self

    # --- reads ---

    def reads(self) -> list:
        return self.t.reads(self.now)

    def one(self) -> ReadOne:
        """The read by id that is due, and nothing else of its kind."""
        (read,) = [read for read in self.reads() if isinstance(read, ReadOne)]
        return read

    def asked(self) -> list[str]:
        """Ids of the reads by id that are due."""
        return [read.id for read in self.reads() if isinstance(read, ReadOne)]

    def window(self) -> ReadWindow:
        (read,) = [read for read in self.reads() if isinstance(read, ReadWindow)]
        return read

    def check(self) -> ReadCheck:
        (read,) = [read for read in self.reads() if isinstance(read, ReadCheck)]
        return read

    def answer(self, read: Any, answer: Any) -> list[str]:
        self.t.answered(self.now, self.wall, read, answer)
        return self.gives()

    def page(self, *rows: Observed[str], read: ReadWindow | None = None, more: bool = False, **more_of: Any):
        answer = WindowAnswer(list(rows), more, **{"date": self.date, **more_of})
        return self.answer(read or self.window(), answer)

    def settle(self, state: Observed[str] | None, read: ReadOne | None = None) -> list[str]:
        return self.answer(read or self.one(), Missing() if state is None else OneAnswer(state))

    def waited(self) -> list[str]:
        """What is given when messages that were under way had their time; reads due then are forgotten."""
        self.later(self.policy.grace).reads()
        return self.gives()

    # --- what came ---

    def gives(self) -> list[str]:
        """What is given, in words: action, id and core, origin unless live; a gap with its count."""
        return [_word(item) for item in self.t.take()]


def _word(item: Give | Note) -> str:
    if isinstance(item, Note):
        return f"gap {item.recovered}"
    what = item.id if item.observed is None else item.observed.alarm
    return f"{item.action} {what}" + ("" if item.origin == "live" else f" {item.origin}")
