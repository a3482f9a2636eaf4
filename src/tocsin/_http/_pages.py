"""Lists that come in pages: await one for its first page, iterate over it for everything.

How a platform pages is known to its `Walk`; here is what all lists share: turning pages, some of them read
ahead (`_ahead`), handing out items one by one, and ending cleanly wherever the iteration is dropped.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from anyio.lowlevel import checkpoint

from tocsin._http._ahead import Ahead
from tocsin.errors import ConfigurationError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Hashable, Iterator, Sequence
    from typing import Self

__all__ = ["Batch", "Items", "Page", "PageIterator", "PageStatistics", "Pages", "Start", "Walk"]

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)


class Start(Protocol):
    """Starts a task that outlives the call, in the task group of a client that is open.

    Raises `ConfigurationError` if it is not.
    """

    def __call__(self, run: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Start `run`, which raises nothing but a cancellation."""


@dataclass(frozen=True, slots=True)
class PageStatistics:
    """What the server says about a page. Each may be None: platforms tell little unless asked.

    Attributes:
        current_page: The number of the page; for restricted users of Cumulocity an offset.
        page_size: The most rows that a page has.
        total_pages: How many pages there are.
        total_elements: How many rows there are.
    """

    current_page: int | None = None
    page_size: int | None = None
    total_pages: int | None = None
    total_elements: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """One answer of a list, not yet looked into.

    Attributes:
        rows: The raw JSON of each row in the server's order.
        statistics: What the server says about the page.
        context: What the walk needs to know when it accepts the batch.
        last: Whether nothing follows it.
    """

    rows: list[bytes]
    statistics: PageStatistics | None = None
    context: Any = None
    last: bool = False


class Walk(Protocol[A_co]):
    """One pass over a list, as the platform knows it.

    One reader uses it: `read` what `asks` says, then `accept` once every row of the batch before has been
    taken, then `take` for each row. What is read early may come to nothing: `read` changes nothing.
    """

    @property
    def more(self) -> bool:
        """Whether another request is due."""
        ...

    @property
    def noun(self) -> str:
        """What the list is of, for errors: ``alarms``."""
        ...

    def asks(self, most: int) -> Sequence[Hashable]:
        """The request that is due, and behind it those that follow if nothing surprising comes.

        It says the same until `accept` is called.

        Raises:
            TocsinError: There is no saying what to ask for.
        """
        ...

    async def read(self, ask: Any, *, early: bool) -> Batch:
        """Send one of the requests. Changes nothing: after a failure it can be called again.

        Args:
            ask: The request.
            early: Whether the batch in front of it has not come yet. It may be refused for less then: what
                raises a `ProtocolError` early is asked for again when it is due.
        """
        ...

    def accept(self, batch: Batch, *, early: bool) -> bool:
        """Move on past the batch that was due; False if it must be read again.

        Args:
            batch: What was read.
            early: Whether it was asked for before the one in front of it had come.
        """
        ...

    def take(self, raw: bytes) -> A_co | None:
        """Make an item of a row; None if it was given before."""
        ...


class _Turner(Generic[A]):
    """Turns the pages of one walk. It knows nothing of the iterator in front of it, which may be dropped."""

    def __init__(self, walk: Walk[A], start: Start | None) -> None:
        self._walk = walk
        self._ahead = Ahead(walk, start)
        self._rows: list[bytes] = []  # the next one last
        self._size = 0  # of the page at hand
        self._taken: list[A] = []
        self._busy = False
        self._closed = False
        self.statistics: PageStatistics | None = None
        self.turned = 0  # pages read
        self.given = 0  # pages handed out

    def take(self) -> A | None:
        """The next item of the page at hand; None when there is none left.

        Raises:
            ProtocolError: A row cannot be read. It is skipped; the next call goes on behind it.
        """
        rows, walk = self._rows, self._walk
        while rows:
            raw = rows.pop()
            try:
                item = walk.take(raw)
            except TocsinError as error:
                self._name(error, self.turned, row=self._size - len(rows))
                raise
            if item is not None:
                return item
        return None

    async def next_page(self) -> Page[A] | None:
        """The next page that has items. After an error the next call goes on with what is left."""
        while True:
            if not (self._rows or self._taken) and not await self.turn():
                return None
            while (item := self.take()) is not None:
                self._taken.append(item)
            items, self._taken = tuple(self._taken), []
            if items:
                self.given += 1
                return Page(items, self.statistics, self.given, self)

    async def turn(self) -> bool:
        """Go to the next page; False when there is none.

        Cancelling it loses nothing; after an error the same page is asked for again.
        """
        if self._busy:
            raise ConfigurationError("two tasks iterate over one list; give each its own")
        self._busy = True
        try:
            while not self._closed and self._walk.more:
                batch, early = await self._next()
                try:
                    accepted = self._walk.accept(batch, early=early)
                except TocsinError as error:
                    self._closed = True  # what the server says about its pages makes no sense
                    self._ahead.drop()
                    self._name(error, self.turned + 1)
                    raise
                if not accepted:
                    self._ahead.drop()
                    continue
                self._rows = batch.rows
                self._rows.reverse()
                self._size = len(self._rows)
                self.statistics = batch.statistics
                self.turned += 1
                if self._ahead.plan():
                    await checkpoint()  # so that it is on its way while this page is consumed
                return True
            await self._ahead.aclose()  # what was asked for beyond the end
            return False
        finally:
            self._busy = False

    async def _next(self) -> tuple[Batch, bool]:
        try:
            return await self._ahead.read()
        except TocsinError as error:
            self._name(error, self.turned + 1)
            raise

    def _name(self, error: TocsinError, page: int, *, row: int | None = None) -> None:
        """Say in the error's own text which page it was: notes are shown in tracebacks only."""
        where = f"page {page} of the {self._walk.noun}" + ("" if row is None else f", row {row}")
        error.args = (f"{where}: {error}", *error.args[1:])

    def abandon(self) -> None:
        """Cancel what is read ahead, because nobody wants it. Any thread may call it, at any moment."""
        self._ahead.abandon()

    async def aclose(self) -> None:
        """End the iteration and wait until nothing runs for it."""
        self._closed = True
        self._rows.clear()
        await self._ahead.aclose()


@dataclass(frozen=True, slots=True, repr=False)
class Page(Generic[A]):
    """One page of a list.

    Attributes:
        items: What it holds. It may be fewer than were asked for; rows that were given before are left out.
        statistics: What the server says about it.
        number: Its place among the pages that this list gave, from 1.
    """

    items: tuple[A, ...]
    statistics: PageStatistics | None
    number: int
    _turner: _Turner[A] = field(compare=False)

    def __iter__(self) -> Iterator[A]:
        return iter(self.items)

    def __repr__(self) -> str:
        return f"<Page {self.number}, {len(self.items)} items>"

    async def next_page(self) -> Page[A] | None:
        """Read the page after this one. Cancelling it loses nothing.

        Returns:
            The next page that has items; None if there is none.

        Raises:
            ConfigurationError: It has been asked for already: go on from the page that it gave.
            TocsinError: It could not be read; the error names the page. It may be asked for again.
        """
        if self._turner.given != self.number:
            raise ConfigurationError(f"page {self.number} has been left; go on from the one after it")
        return await self._turner.next_page()


class _Iteration(Generic[A]):
    """One pass over a list. Dropping it, as `break` does, ends what it reads ahead."""

    __slots__ = ("__weakref__", "_turner")

    def __init__(self, walk: Walk[A], start: Start | None) -> None:
        self._turner = _Turner(walk, start)
        weakref.finalize(self, self._turner.abandon).atexit = False

    def __aiter__(self) -> Self:
        return self

    async def aclose(self) -> None:
        """End the iteration and what it reads ahead. May be called twice."""
        await self._turner.aclose()


class Items(_Iteration[A]):
    """Iterates over all items of a list. Dropping it, as `break` does, ends what it reads ahead."""

    __slots__ = ()

    async def __anext__(self) -> A:
        """The next item.

        Cancelling it loses nothing. After an error the iteration can be gone on with: a page that could not
        be read is asked for again, a row that cannot be read is skipped.
        """
        turner = self._turner
        while True:
            item = turner.take()
            if item is not None:
                return item
            if not await turner.turn():
                raise StopAsyncIteration


class PageIterator(_Iteration[A]):
    """Iterates over the pages of a list that have items. Dropping it ends what it reads ahead."""

    __slots__ = ()

    async def __anext__(self) -> Page[A]:
        """The next page. Cancelling it loses nothing; after an error it can be called again."""
        page = await self._turner.next_page()
        if page is None:
            raise StopAsyncIteration
        return page


class Pages(Generic[A]):
    """A list: ``await`` it for the first page, ``async for`` over it for all items, `pages` for all pages.

    Nothing is sent before that. Each use begins anew. A row that cannot be read is an error that names it:
    an iterator that you hold goes on behind it, an `await` has nothing to go on from.

    Args:
        begin: Makes a new pass over the list.
        start: Where pages are read ahead; None: no page is read ahead.
    """

    __slots__ = ("_begin", "_start")

    def __init__(self, begin: Callable[[], Walk[A]], start: Start | None = None) -> None:
        self._begin = begin
        self._start = start

    def __repr__(self) -> str:
        return f"<Pages of {self._begin().noun}: await it, or iterate over it with async for>"

    def __await__(self) -> Generator[Any, Any, Page[A]]:
        return self._first().__await__()

    async def _first(self) -> Page[A]:
        turner = _Turner(self._begin(), None)
        return await turner.next_page() or Page((), turner.statistics, turner.given, turner)

    def __aiter__(self) -> Items[A]:
        return Items(self._begin(), self._start)

    def pages(self) -> PageIterator[A]:
        """Iterate over the pages instead of their items."""
        return PageIterator(self._begin(), self._start)
