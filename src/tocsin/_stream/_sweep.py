"""A read of many alarms: which windows it is made of, and when it is whole.

A window that does not fit into one response is split by creation time, which never changes: a row that is
updated meanwhile cannot leave its window, as it can leave a page. Where that is impossible, page numbers are
followed.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tocsin._stream._answers import Observed, WindowAnswer
    from tocsin._stream._policy import RecoveryPolicy

__all__ = ["Basis", "Plan", "Purpose", "Window"]


_STALE: Final = 10
"""A page that brings known rows only weighs as much as so many empty ones."""


class Purpose(Enum):
    """Why a read was made."""

    FIRST = "first"
    SWEEP = "sweep"
    PASS = "pass"  # noqa: S105
    SETTLE = "settle"


class Basis:
    """On what ground a row is judged.

    Attributes:
        purpose: Why it was read.
        r0: The tracker's count when that very request was sent.
        created_since: An alarm created at or after this (ms) that was never given is a new one. None: any.
        wire: The live message's word, where a live message led to the read.
        plan: The plan whose row it is, while the row may still wait for its message.
    """

    __slots__ = ("created_since", "plan", "purpose", "r0", "wire")

    def __init__(
        self,
        purpose: Purpose,
        r0: int,
        created_since: int | None,
        wire: Any = None,
        plan: Plan | None = None,
    ) -> None:
        self.purpose = purpose
        self.r0 = r0
        self.created_since = created_since
        self.wire = wire
        self.plan = plan


class Window:
    """One part of a plan: a partition, a status, and a range of creation times (half-open, ms)."""

    __slots__ = (
        "created_from",
        "created_to",
        "page",
        "partition",
        "resolved",
        "seen",
        "stale",
        "updated_from",
    )

    def __init__(
        self,
        partition: str | None,
        *,
        resolved: bool | None,
        updated_from: int | None,
        created: tuple[int | None, int | None] = (None, None),
    ) -> None:
        self.partition = partition
        self.resolved = resolved
        self.updated_from = updated_from
        self.created_from, self.created_to = created
        self.page = 1
        self.stale = 0
        self.seen: set[str] = set()

    def part(self, low: int | None, high: int | None) -> Window:
        """The part of it in a narrower range."""
        return Window(
            self.partition, resolved=self.resolved, updated_from=self.updated_from, created=(low, high)
        )

    def strays(self, rows: Sequence[Observed[Any]]) -> bool:
        """Whether a row lies outside the range: the server does not know these filters."""
        low, high = self.created_from, self.created_to
        return any(
            row.created is not None
            and ((low is not None and row.created < low) or (high is not None and row.created >= high))
            for row in rows
        )


class Plan:
    """The windows of one read of the scope, one request at a time.

    Attributes:
        purpose: Why it is made.
        seq: The tracker's count when it began.
        epoch: The attachment under which it began, None if there was none.
        attach: It is the first one of its attachment.
        late: It began when every subscription had surely taken effect.
        proves: It reads all that changed: what it finds, a message should have told.
        failed_ever: A request of it failed.
        created_since: See `Basis`.
        window: The window whose request is under way.
        began: When it began, UTC.
        due: No request before this (monotonic), after a failure.
        failures: Failed requests in a row.
        first_date: `Date` of the first response, in ms.
        largest: The largest ``lastUpdated`` of all rows; `first_largest` of the first response's.
        answers: Responses so far.
        rows, blank, unreadable: Rows that came, those without ``lastUpdated``, those nobody could read.
        paged: Page numbers were followed in a window of open alarms: a row may have slipped through.
        notices: Sentences for the log.
    """

    def __init__(self, purpose: Purpose, windows: list[Window], *, seq: int, epoch: int | None) -> None:
        self.purpose = purpose
        self.seq = seq
        self.epoch = epoch
        self.attach = self.late = self.failed_ever = False
        self.proves = purpose is Purpose.SWEEP
        self.created_since: int | None = None
        self.window: Window | None = None
        self.began: datetime | None = None
        self.due = 0.0
        self.failures = 0
        self.first_date: int | None = None
        self.largest: int | None = None
        self.first_largest: int | None = None
        self.rows = self.blank = self.unreadable = 0
        self.paged = False
        self.notices: list[str] = []
        self._todo = windows[::-1]
        self.answers = 0
        self._splits = True

    @property
    def whole(self) -> bool:
        """Whether every window was answered to its end."""
        return self.window is None and not self._todo

    def ready(self, now: float) -> bool:
        """Whether a request may be sent."""
        return self.window is None and bool(self._todo) and self.due <= now

    def begin(self) -> Window:
        """The window to ask for next; it is under way until `answered` or `failed`."""
        self.window = self._todo.pop()
        return self.window

    def failed(self, due: float) -> None:
        """The request failed: the same window again, later."""
        self.failures += 1
        self.failed_ever = True
        self.due = due
        if self.window is not None:
            self._todo.append(self.window)
            self.window = None

    def answered(self, answer: WindowAnswer[Any], policy: RecoveryPolicy) -> None:
        """The request was answered: the window ends here, or is split, or goes on with its next page."""
        window, self.window = self.window, None
        self.failures = 0
        self._account(answer)
        if window is None or not answer.more:
            return
        if self._splits and window.strays(answer.rows):
            self._splits = False
            self.notices.append("the server ignores creation time ranges: following page numbers instead")
        parts = self._split(window, answer.rows, policy)
        if parts:
            self._todo.extend(parts)
        else:
            self._follow(window, answer, policy)

    def _account(self, answer: WindowAnswer[Any]) -> None:
        stamps = [row.updated for row in answer.rows if row.updated is not None]
        newest = max(stamps, default=None)
        if self.answers == 0:
            self.first_date = answer.date
            self.first_largest = newest
        if newest is not None and (self.largest is None or newest > self.largest):
            self.largest = newest
        self.answers += 1
        self.rows += len(answer.rows)
        self.blank += len(answer.rows) - len(stamps)
        self.unreadable += answer.unreadable

    def _split(
        self, window: Window, rows: Sequence[Observed[Any]], policy: RecoveryPolicy
    ) -> list[Window] | None:
        """Halve a window at the median creation time of a full page; the newest part, read first, is last."""
        # A short page that offers more comes from a user who may see few of the rows scanned: halving finds
        # no end.
        if not self._splits or window.page > 1 or len(rows) < policy.page_size:
            return None
        times = sorted(row.created for row in rows if row.created is not None)
        if len(times) < len(rows):
            return None
        cut = times[len(times) // 2]
        if cut == times[0]:
            cut = next((t for t in times if t > cut), cut)
        low, high = window.created_from, window.created_to
        if cut > times[0]:
            return [window.part(low, cut), window.part(cut, high)]
        # One millisecond fills the page: it stands alone, what lies before and after is split further.
        if low == cut and high == cut + 1:
            self.notices.append(
                "more alarms than a page holds were created in one millisecond: following pages"
            )
            return None
        parts = [window.part(low, cut)] if low != cut else []
        parts.append(window.part(cut, cut + 1))
        return [*parts, window.part(cut + 1, high)] if high != cut + 1 else parts

    def _follow(self, window: Window, answer: WindowAnswer[Any], policy: RecoveryPolicy) -> None:
        """Ask for the next page, unless page after page brings nothing new."""
        fresh = {row.id for row in answer.rows} - window.seen
        window.seen |= fresh
        empty = not answer.rows and not answer.unreadable
        window.stale = 0 if fresh else window.stale + (1 if empty else _STALE)
        if window.stale >= policy.empty_pages * _STALE:
            self.notices.append("the server offers page after page without a new row: taken as the end")
            return
        self.paged |= window.updated_from is None
        # For users with inventory roles it is no number of a page but the place where the last one ended.
        told = answer.next_page
        window.page = told if told is not None and told > window.page else window.page + 1
        self._todo.append(window)

    def cursor(self, policy: RecoveryPolicy) -> int | None:
        """The server time (ms) up to which this complete plan has read every change, or None."""
        if self.first_date is None:
            return self.first_largest
        if self.purpose is Purpose.SWEEP:
            return None if self.largest is None else min(self.largest, self.first_date)
        # The first read sees open alarms only. The newest of them may be months old while closed ones changed
        # yesterday: without this floor the next sweep would read them all.
        floor = self.first_date - int(policy.skew * 1000)
        return min(self.first_date, max(self.largest or floor, floor))
