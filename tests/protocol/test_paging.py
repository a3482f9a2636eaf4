"""A listing over a collection that changes between any two of its requests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin._http._pages import PageStatistics
from tocsin.cumulocity._paging import Ask, Position
from tocsin.cumulocity._window import Window
from tocsin.errors import ProtocolError

LIMIT = 2000


@dataclass
class Server:
    """Rows by their ids, the first one newest."""

    rows: list[int]
    largest: int = 2000
    tells: bool = True
    asked: list[Ask] = field(default_factory=list)

    def answer(self, ask: Ask) -> Window:
        self.asked.append(ask)
        size = min(ask.size, self.largest)
        start = (ask.page - 1) * size
        rows = self.rows[start : start + size]
        return Window(
            [json.dumps({"id": str(row)}).encode() for row in rows],
            start + size < len(self.rows),
            None,
            f"http://elsewhere/alarm/alarms?pageSize={size}&currentPage={ask.page + 1}",
            PageStatistics(ask.page, size) if self.tells else None,
        )


def read_all(server: Server, position: Position, between: list[object], given: list[int]) -> None:
    """Drive a position as the walk does; before each request but the first something happens."""
    seen: set[int] = set()
    fresh = 0
    for turn in range(LIMIT):
        if turn and turn - 1 < len(between):
            between[turn - 1](server)  # type: ignore[operator]
        ask = position.ask()
        window = server.answer(ask)
        rows = [int(json.loads(raw)["id"]) for raw in window.rows]
        if not position.accept(ask, window, fresh=fresh, joins=lambda rows=rows: bool(seen & set(rows))):
            fresh = 0
            continue
        new = [row for row in rows if row not in seen]
        seen.update(rows)
        given += new
        fresh = len(new)
        if not position.more:
            return
    pytest.fail("it never ends")


def read(server: Server, size: int, between: list[object] | None = None) -> list[int]:
    given: list[int] = []
    read_all(server, Position(size), between or [], given)
    return given


@pytest.mark.parametrize("size", [1, 2, 3, 5, 19, 20, 37, 100, 199, 2000])
@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 100, 2000, 2001, 4500])
def test_a_collection_at_rest_is_read_whole_in_order(size: int, count: int) -> None:
    if size < 5 and count > 100:
        count = 100
    server = Server(list(range(count)))
    assert read(server, size) == list(range(count))
    least = max(1, -(-count // size))
    assert least <= len(server.asked) <= max(1, least * (1.5 if size < 100 else 1.2) + 1)
    assert all(0 < ask.size <= size for ask in server.asked)


def test_large_collections_cost_few_requests_more() -> None:
    server = Server(list(range(200_000)))
    given: list[int] = []
    read_all(server, Position(2000), [], given)
    assert len(given) == 200_000
    assert len(server.asked) <= 106


operations = st.one_of(
    st.tuples(st.just("insert"), st.integers(0, 60)),
    st.tuples(st.just("remove"), st.lists(st.floats(0, 0.999), max_size=150)),
    st.tuples(st.just("remove top"), st.integers(0, 400)),
    st.tuples(st.just("raise"), st.lists(st.floats(0, 0.999), max_size=30)),
)


@settings(max_examples=100, deadline=None)
@given(
    size=st.integers(20, 120),
    count=st.integers(0, 700),
    script=st.lists(operations, max_size=25),
    tells=st.booleans(),
)
def test_whatever_happens_meanwhile_no_row_that_stays_is_lost(
    size: int, count: int, script: list[tuple[str, object]], tells: bool
) -> None:
    server = Server(list(range(count)), tells=tells)
    moved: set[int] = set()
    numbers = iter(range(10_000, 10_000_000))

    def happen(kind: str, what: object) -> object:
        def now(server: Server) -> None:
            rows = server.rows
            if kind == "insert":
                rows[:0] = [next(numbers) for _ in range(what)]  # type: ignore[call-overload]
                return
            if kind == "remove top":
                chosen = rows[:what]  # type: ignore[misc]
            else:
                chosen = list({rows[int(part * len(rows))] for part in what if rows})  # type: ignore[attr-defined]
            moved.update(chosen)
            rows[:] = [row for row in rows if row not in chosen]
            if kind == "raise":
                rows[:0] = chosen

        return now

    given = read(server, size, [happen(kind, what) for kind, what in script])
    assert len(given) == len(set(given)), "no row twice"
    assert set(range(count)) - moved <= set(given), "no row that stayed where it was is lost"


def test_a_bulk_removal_above_costs_few_requests() -> None:
    def clear(server: Server) -> None:
        del server.rows[:30_000]

    server = Server(list(range(60_000)))
    given: list[int] = []
    read_all(server, Position(2000), [lambda _: None] * 19 + [clear], given)
    assert set(range(30_000, 60_000)) <= set(given)
    assert len(server.asked) < 50


def test_a_server_that_trims_pages_is_read_whole() -> None:
    for tells in (True, False):
        server = Server(list(range(4500)), largest=1000, tells=tells)
        assert read(server, 2000) == list(range(4500))


class Restricted(Server):
    """Filters after paging, counts in offsets."""

    def answer(self, ask: Ask) -> Window:
        self.asked.append(ask)
        start = (ask.page - 1) * ask.size
        rows = [row for row in self.rows[start : start + ask.size] if row % 7 == 0]
        return Window(
            [json.dumps({"id": str(row)}).encode() for row in rows],
            start + ask.size < len(self.rows),
            None,
            f"/x?status=EVIL&token=a+b&currentPage={ask.page + 1}&pageSize={ask.size}",
            PageStatistics(start, ask.size),
        )


def test_links_of_restricted_users_are_followed() -> None:
    server = Restricted(list(range(1000)))
    given: list[int] = []
    read_all(server, Position(100, frozenset({"status"})), [], given)
    assert given == list(range(0, 1000, 7))
    assert [ask.page for ask in server.asked] == list(range(1, 11))
    assert server.asked[-1].extra == (("token", "a b"),)


class Liar(Server):
    """Always the same page, and always a next one."""

    def answer(self, ask: Ask) -> Window:
        self.asked.append(ask)
        rows = [json.dumps({"id": str(row)}).encode() for row in self.rows]
        return Window(rows, True, None, "http://x/alarms?currentPage=2", None)


@pytest.mark.parametrize("count", [5, 20, 25])
def test_the_same_page_again_and_again_ends_in_an_error(count: int) -> None:
    server = Liar(list(range(count)))
    with pytest.raises(ProtocolError, match=r"nothing new|very same page|rows more than"):
        read(server, 20)
    assert len(server.asked) < 20


def test_empty_pages_for_ever_end_in_an_error() -> None:
    class Empty(Liar):
        def answer(self, ask: Ask) -> Window:
            window = super().answer(ask)
            link = f"?currentPage={ask.page + 1}&pageSize={ask.size}"
            return Window(window.rows if ask.page == 1 else [], True, None, link, None)

    for count in (0, 5, 20):
        server = Empty(list(range(count)))
        with pytest.raises(ProtocolError, match="nothing"):
            read(server, 20)
        assert len(server.asked) < 150


def test_a_page_that_names_itself_as_the_next_one_is_an_error() -> None:
    class Same(Liar):
        def answer(self, ask: Ask) -> Window:
            window = super().answer(ask)
            return Window(window.rows, True, None, f"?currentPage={ask.page}&pageSize={ask.size}", None)

    with pytest.raises(ProtocolError, match="very same page"):
        read(Same([1, 2, 3]), 20)


def test_pages_that_never_overlap_are_taken_as_they_come(caplog: pytest.LogCaptureFixture) -> None:
    class Rigid(Server):
        """Knows one page size only, and does not say which."""

        def answer(self, ask: Ask) -> Window:
            window = super().answer(Ask(ask.page, 100))
            return Window(window.rows, window.more, None, None, None)

    server = Rigid(list(range(450)))
    assert read(server, 100) == list(range(450))
    assert "do not overlap" in caplog.text
    assert len(server.asked) < 40


def test_a_junk_link_is_not_believed() -> None:
    class Junk(Restricted):
        def answer(self, ask: Ask) -> Window:
            window = super().answer(ask)
            link = "http://[?currentPage=-5&pageSize=9e9" if ask.page == 2 else "?currentPage=٣&pageSize="
            return Window(window.rows, window.more, None, link, window.statistics)

    server = Junk(list(range(1000)))
    assert read(server, 100) == list(range(0, 1000, 7))
