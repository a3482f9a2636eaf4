"""Where a listing stands: which page to ask for next, and whether it joins what was read before.

Page numbers over a living collection drift. Rows that arrive at the top push the others down, which only
repeats some. Rows that leave it (cleared, deleted) pull the others up past the page edge, where nobody would
see them. So each page is asked for a few rows too early: if it holds a row that was read before, nothing
slipped through; if not, it is thrown away and a step back is made. That needs no belief about how the
platform sorts.

A page that has a next one is full, so the pages behind it can be asked for before it has come. One that was
asked for so early joins only if it has a row in common with the page before it that is the same to the byte.
Such a row did not move between the two readings, whichever came first, so those that did not move either lie
on the same side of it in both, and none slipped through. That a row was seen before would not do: it may have
been seen where it went after this page was read.

No platform is known here; no I/O, no clock.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from tocsin.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin._http._pages import PageStatistics

__all__ = ["Ask", "PagePosition", "Seen"]

_STALE: Final = 10
"""Pages in a row that bring nothing but what was read before, beyond the furthest place reached."""
_EMPTY: Final = 100
"""Empty pages in a row. For a restricted user of Cumulocity each may stand for 20 000 alarms of others."""
_STEP: Final = 8
"""How much further each step back goes than the one before."""
_SETBACKS: Final = 8
"""Steps back without anything new. Then the pages do not overlap as asked, and are taken as they come."""
_SEARCHED: Final = 200
"""Page sizes that are looked at for the one that begins nearest to where a page should begin."""
_PATIENCE: Final = 10
"""After so many wrong guesses the pages up to the next one are as many as there will ever be: 1024."""
_SMALL: Final = 20
"""Pages smaller than that do not overlap: their reader wants so many rows, not all of them."""

_REMEMBERED: Final = 100_000

_log = logging.getLogger("tocsin.http")


class _Window(Protocol):
    """What came for an ask."""

    @property
    def rows(self) -> Sequence[bytes]:
        """The raw rows, in the server's order."""
        ...

    @property
    def more(self) -> bool:
        """Whether there is more behind them."""
        ...

    @property
    def statistics(self) -> PageStatistics | None:
        """What the server says about the page."""
        ...


W = TypeVar("W", bound=_Window)


class Seen:
    """Remembers the last `size` ids at least, twice as many at most."""

    __slots__ = ("_new", "_old", "_size")

    def __init__(self, size: int = _REMEMBERED) -> None:
        self._size = size
        self._new: set[str] = set()
        self._old: set[str] = set()

    def __contains__(self, identity: str) -> bool:
        return identity in self._new or identity in self._old

    def add(self, identity: str) -> bool:
        """Remember an id; False if it was known."""
        if identity in self._new or identity in self._old:
            return False
        self._new.add(identity)
        if len(self._new) >= self._size:
            self._old, self._new = self._new, set()
        return True


@dataclass(frozen=True, slots=True)
class Ask:
    """What to ask for.

    Attributes:
        page: The page number, from 1.
        size: The rows of a page.
        extra: Further parameters of a link that is followed.
    """

    page: int
    size: int
    extra: tuple[tuple[str, str], ...] = ()


class PagePosition(Generic[W]):
    """The place of one pass over a collection.

    Use it so: `ask`, then `accept` with the answer, when all rows before it have been looked at.

    Args:
        size: The most rows to ask for at a time.
        noun: What the pages are of, for the log.
    """

    def __init__(self, size: int, *, noun: str = "alarms") -> None:
        self._size = size
        self._noun = noun
        self._overlap = max(1, size // 100) if size >= _SMALL else 0
        self._back = self._overlap
        self._end = 0  # how many rows from the top lie behind us
        self._far = 0  # the furthest that was reached
        self._link: Ask | None = None
        self._last: tuple[Ask, W] | None = None
        self._setbacks = 0
        self._surplus = 0
        self._stale = 0
        self._empty = 0
        self._last_rows: int | None = None  # of the last page beyond what had been reached
        self._edge: frozenset[bytes] = frozenset()  # the last rows of the page before
        self._wrong = 0  # guesses that were
        self._alone = 0  # pages to be asked for one at a time
        self.pages = 0
        self.more = True

    def ask(self) -> Ask:
        """The page that is due.

        Raises:
            ProtocolError: The page before shows that the server numbers its pages by a size of its own.
        """
        if self._surplus:
            raise ProtocolError(
                f"the server gave {self._surplus} rows more than were asked for, so what its page numbers "
                "mean cannot be known: some rows would be lost"
            )
        if self._link is not None:
            return self._link
        return _beginning(self._end - self._back, self._size)

    def asks(self, most: int) -> list[Ask]:
        """The page that is due, and those behind it if each comes full.

        Args:
            most: How many to tell.

        Raises:
            ProtocolError: As `ask`.
        """
        asks = [self.ask()]
        if not self._overlap or self._link is not None or self._alone or self._setbacks or not self.pages:
            return asks
        while len(asks) < most:
            asks.append(_beginning(asks[-1].page * asks[-1].size - self._overlap, self._size))
        return asks

    def joins_early(self, ask: Ask, window: W) -> bool:
        """Whether a page that was asked for before the one in front of it had come can be taken.

        If not, ask for it again: it was a wrong guess, and for a while there will be no other.
        """
        told, rows = window.statistics, window.rows
        if (
            (len(rows) == ask.size or not window.more)
            and len(rows) <= ask.size
            and (told is None or told.current_page in (None, ask.page))
            and (told is None or told.page_size in (None, ask.size))
            and not self._edge.isdisjoint(rows)
        ):
            return True
        self._wrong = min(self._wrong + 1, _PATIENCE)
        self._alone = 2**self._wrong
        return False

    def accept(self, ask: Ask, window: W, *, fresh: int, joins: Callable[[], bool]) -> bool:
        """Move on past a page.

        Args:
            ask: What was asked for.
            window: What came.
            fresh: How many rows of the page before were new.
            joins: Whether the page holds a row that was read before; called only if it matters.

        Returns:
            False if rows may lie between it and what was read before: throw it away and ask again.

        Raises:
            ProtocolError: The server never comes to an end.
        """
        self._check_progress(fresh)
        start, size = self._place(ask, window)
        named = window.more and self._is_named(ask, window, size)
        if self._link is None and start > 0 and self._overlap and not joins():
            return self._step_back(named=named)
        self.pages += 1
        self._alone = max(0, self._alone - 1)
        self._edge = frozenset(window.rows[-self._overlap :]) if self._overlap else frozenset()
        self.more = window.more
        self._surplus = max(0, len(window.rows) - ask.size)
        self._back = self._overlap
        self._end = start + len(window.rows)
        beyond = self._link is not None or self._end > self._far or not window.rows
        self._last_rows = len(window.rows) if beyond else None
        self._far = max(self._far, self._end)
        self._last = (ask, window)
        if named or (self._link is not None and window.more):
            self._link = self._named(ask, window)
        return True

    def _step_back(self, *, named: bool) -> bool:
        if named and self._last is not None:
            self._link = self._named(*self._last)  # the numbers mean something else to this server
            return False
        self._setbacks += 1
        self._back = min(self._end, max(self._back * _STEP, self._size))
        if self._setbacks > _SETBACKS:
            _log.warning(
                "the pages of the %s do not overlap as asked; some may be missing in the list", self._noun
            )
            self._overlap = self._back = 0
        return False

    def _place(self, ask: Ask, window: W) -> tuple[int, int]:
        """Where the page begins, and the size that the server gave it: it may trim what was asked for."""
        told = window.statistics
        size = ask.size
        if told is not None and told.current_page == ask.page and told.page_size and told.page_size < size:
            size = told.page_size
            self._size = min(self._size, size)
        return (ask.page - 1) * size, size

    def _is_named(self, ask: Ask, window: W, size: int) -> bool:  # noqa: ARG002 - a platform's word
        """Whether the next page is to be asked for as the server names it, for its numbers mislead."""
        return False

    def _named(self, ask: Ask, window: W) -> Ask:  # noqa: ARG002 - a platform's word
        """The next page as the server names it."""
        return Ask(ask.page + 1, ask.size)

    def _check_progress(self, fresh: int) -> None:
        rows, self._last_rows = self._last_rows, None
        if fresh:
            self._stale = self._empty = self._setbacks = 0
        elif rows is None:
            return
        elif rows:
            self._stale += 1
        else:
            self._empty += 1
        if self._stale > _STALE or self._empty > _EMPTY:
            what = "nothing new" if self._stale > _STALE else "nothing"
            raise ProtocolError(f"the server gives page after page with {what} and always promises another")


@lru_cache(maxsize=64)
def _beginning(target: int, size: int) -> Ask:
    """The page that begins at a row or a little before it.

    Pages begin at multiples of their size: the best size brings the most rows beyond the target.
    """
    sizes = range(size, max(size // 2, size - _SEARCHED), -1)
    best = max(sizes, key=lambda size: size - target % size)
    before = target // best
    return Ask(before + 1, best) if before > 0 else Ask(1, size)
