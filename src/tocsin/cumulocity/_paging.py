"""Where a listing of Cumulocity stands: which page to ask for next.

Users with inventory roles alone get short pages and numbers of another kind (reference 2.10). Their links are
followed as they come; for everybody else pages are numbered as `PagePosition` has it.

No I/O, no clock.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from tocsin._http._paging import Ask, PagePosition
from tocsin.cumulocity._window import Window
from tocsin.errors import ProtocolError

__all__ = ["Ask", "Position", "next_page"]

_LINK: Final = 8192
"""The longest query of a link that is followed: it is sent back."""


class Position(PagePosition[Window]):
    """The place of one pass over a collection; see `PagePosition`.

    Args:
        size: The most rows to ask for at a time.
        ours: The parameters that a link cannot change.
        noun: What the pages are of, for the log.
    """

    def __init__(self, size: int, ours: frozenset[str] = frozenset(), *, noun: str = "alarms") -> None:
        super().__init__(size, noun=noun)
        self._ours = ours | {"pageSize", "currentPage"}

    def _is_named(self, ask: Ask, window: Window, size: int) -> bool:
        told = window.statistics.current_page if window.statistics is not None else None
        return len(window.rows) < size or (told is not None and told != ask.page)

    def _named(self, ask: Ask, window: Window) -> Ask:
        link = _link(window)
        extra = tuple((name, value) for name, value in link.items() if name not in self._ours)
        page, size = _number(link.get("currentPage")), _number(link.get("pageSize"))
        following = Ask(page or ask.page + 1, min(size or ask.size, self._size), extra)
        if following == ask:
            raise ProtocolError("the server names the very same page as the next one")
        return following


def next_page(window: Window) -> int | None:
    """The page number in the link to what comes next; None where it names none.

    Users with inventory roles alone must take it from there: theirs is a place, not the number of a page.
    """
    return _number(_link(window).get("currentPage"))


def _link(window: Window) -> dict[str, str]:
    # Only what follows the "?": the host may be an internal one, or no host at all.
    told = (window.next or "").partition("?")[2].partition("#")[0]
    if len(told) > _LINK:
        raise ProtocolError(f"the server's link to the next page has {len(told)} characters")
    return dict(parse_qsl(told))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 19 else None
