"""One pass over a list that changes while it is read, by page numbers that begin at 0.

Alarms arrive at the top meanwhile and push the others on; those that go, or leave the filter, pull the
others up. So pages overlap (`_http/_paging.py`), and what was given is remembered by its id. The time by
which alarms are sorted never changes, so none jumps from the unread part to what was read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from tocsin._http._pages import Batch
from tocsin._http._paging import PagePosition, Seen
from tocsin._wire import WireModel, id_of
from tocsin.errors import ConfigurationError, ProtocolError
from tocsin.xprotect._window import Window, read_rows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from tocsin._http._paging import Ask
    from tocsin.xprotect._selection import Selection
    from tocsin.xprotect._window import Sender

__all__ = ["LARGEST", "PAGE_SIZE", "RowWalk", "WholeWalk", "check_size"]

M = TypeVar("M", bound=WireModel)
A = TypeVar("A")

LARGEST = 2000
"""The most rows that the platform gives at a time."""
PAGE_SIZE = 1000
"""Rows of a page where nobody says otherwise."""
_LIGHT = 4_000_000
"""Bytes that a page may have in any case before it is due; else twice as many as the one at hand."""
_HEAVY = 8_000_000
"""Bytes of a page behind which one is read ahead and not more."""


class RowWalk(Generic[M]):
    """One pass over a collection. It is a `Walk`.

    Args:
        gateway: Sends the requests.
        path: Where the collection is.
        kind: What its rows are.
        noun: What they are called, for errors: ``alarms``.
        page_size: Rows of a page.
        select: Finds out what to ask for, and what to keep.
    """

    def __init__(
        self,
        gateway: Sender,
        path: str,
        kind: type[M],
        noun: str,
        *,
        page_size: int,
        select: Callable[[], Awaitable[Selection]],
    ) -> None:
        self.noun = noun
        self._gateway = gateway
        self._path = path
        self._kind = kind
        self._select = select
        self._selection: Selection | None = None
        self._position: PagePosition[Window] = PagePosition(page_size, noun=noun)
        self._seen = Seen()
        self._fresh = 0  # rows of the page at hand that were not read before
        self._weight = 0  # bytes of the page at hand

    @property
    def more(self) -> bool:
        """Whether another request is due."""
        return self._position.more

    def asks(self, most: int) -> list[Ask]:
        """The request that is due, and behind it those that follow if nothing surprising comes."""
        return self._position.asks(most if self._weight <= _HEAVY else 1)

    async def read(self, ask: Ask, *, early: bool) -> Batch:
        """Send one of the requests."""
        selection = self._selection or await self._select()
        window = await read_rows(
            self._gateway,
            self._path,
            selection.query,
            page_size=ask.size,
            page=ask.page - 1,
            max_bytes=max(_LIGHT, 2 * self._weight) if early else None,
        )
        return Batch(window.rows, None, (ask, window, selection), not window.more)

    def accept(self, batch: Batch, *, early: bool) -> bool:
        """Move on past the batch that was due; False if it must be read again, or another one instead."""
        ask, window, selection = batch.context
        position = self._position
        if early and position.pages and not position.joins_early(ask, window):
            return False
        fresh, self._fresh = self._fresh, 0
        if not position.accept(
            ask, window, fresh=fresh, joins=lambda: early or any(map(self._knows, batch.rows))
        ):
            return False
        self._selection = selection
        self._weight = sum(map(len, batch.rows))
        return True

    def take(self, raw: bytes) -> M | None:
        """Make an object of a row; None if it was given before, or is not wanted."""
        row = self._kind.from_raw(raw)
        if not self._seen.add(id_of(row).lower()):
            return None
        self._fresh += 1
        return row if self._keeps(row) else None

    def _keeps(self, row: Any) -> bool:
        return self._selection is None or self._selection.keeps(row)

    def _knows(self, raw: bytes) -> bool:
        try:
            return id_of(self._kind.from_raw(raw)).lower() in self._seen
        except ProtocolError:
            return False  # told when its turn comes


class WholeWalk(Generic[A]):
    """A list that comes in one answer. It is a `Walk`.

    Args:
        read: Reads the raw rows.
        make: Makes an item of one.
        noun: What they are called, for errors.
    """

    def __init__(
        self, read: Callable[[], Awaitable[list[bytes]]], make: Callable[[bytes], A], noun: str
    ) -> None:
        self.noun = noun
        self.more = True
        self._read = read
        self._make = make

    def asks(self, most: int) -> list[int]:  # noqa: ARG002 - there is but one
        """The request that is due."""
        return [0]

    async def read(self, ask: int, *, early: bool) -> Batch:  # noqa: ARG002 - there is but one
        """Send the request."""
        return Batch(await self._read(), last=True)

    def accept(self, batch: Batch, *, early: bool) -> bool:  # noqa: ARG002 - all was read
        """Move on past it."""
        self.more = False
        return True

    def take(self, raw: bytes) -> A | None:
        """Make an item of a row."""
        return self._make(raw)


def check_size(page_size: object) -> None:
    """Refuse a page size that the platform does not take.

    Raises:
        ConfigurationError: It is not 1 to 2000.
    """
    if type(page_size) is not int or not 1 <= page_size <= LARGEST:
        raise ConfigurationError(f"page_size is 1 to {LARGEST}, not {page_size!r:.80}")
