"""Pages for users who may not see every alarm: short ones, with a place where others have a page number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.emulator._alarms import Alarm
    from tocsin.emulator._query import Paging


class Cut(NamedTuple):
    """One page.

    Attributes:
        rows: What is on it.
        place: What the reply calls `currentPage`: the place of the next alarm that was not looked at.
        following: `currentPage` of the link to what follows; None if nothing does.
    """

    rows: list[Alarm]
    place: int
    following: int | None


def restricted_page(
    found: Sequence[Alarm], page: Paging, sees: Callable[[str], bool], how: Literal["offset", "page"]
) -> Cut:
    """Cut a page out of what a query finds.

    Args:
        found: Everything that it finds.
        page: Which page is asked for.
        sees: Whether the alarms of a device are shown.
        how: See `Behaviour.restricted_pages`. Places count from 1, as pages do, so that the first page and
            the first place are asked for alike.
    """
    if how == "page":
        end = min(page.page * page.size, len(found))
        part = found[(page.page - 1) * page.size : end]
        rows = [alarm for alarm in part if sees(alarm.source)]
        return Cut(rows, end + 1, page.page + 1 if end < len(found) else None)
    rows = []
    place = page.page - 1
    last = min(len(found), place + 10 * max(page.size, 100))
    while place < last and len(rows) < page.size:
        if sees(found[place].source):
            rows.append(found[place])
        place += 1
    return Cut(rows, place + 1, place + 1 if place < len(found) else None)
