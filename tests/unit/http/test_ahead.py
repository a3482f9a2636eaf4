"""Pages that are asked for before they are due, over a walk that guesses, by a clock that jumps."""

from __future__ import annotations

import gc

import anyio
import pytest
from anyio import current_time

from tocsin._http._pages import Batch, Pages
from tocsin.errors import ConnectError, ProtocolError

TAKES = 0.05
PAGES = 9
pytestmark = pytest.mark.virtual_time


class GuessingWalk:
    """Pages of three numbers. A wrong one, asked for early, holds what must not be given."""

    noun = "numbers"

    def __init__(self, *, wrong=(), errors=(), knows_its_end=True, guesses=99):
        self.wrong = set(wrong)
        self.errors = dict(errors)
        self.knows_its_end = knows_its_end
        self.guesses = guesses
        self.turn = 0
        self.reads = []
        self.in_flight = self.most = self.cancelled = 0

    @property
    def more(self):
        return self.turn < PAGES

    def asks(self, most):
        return [self.turn + n for n in range(min(most, self.guesses))]

    async def read(self, ask, *, early):
        self.reads.append(ask)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await anyio.sleep(TAKES)
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        if ask in self.errors:
            raise self.errors.pop(ask)
        junk = early and ask in self.wrong
        rows = [b"-1"] if junk or ask >= PAGES else [b"%d" % n for n in range(ask * 3, ask * 3 + 3)]
        return Batch(rows, None, (ask, junk), last=self.knows_its_end and ask == PAGES - 1)

    def accept(self, batch, *, early):
        ask, junk = batch.context
        assert ask == self.turn
        if junk:
            assert early
            return False
        self.turn += 1
        return True

    def take(self, raw):
        return int(raw)


class Reading:
    """A list over one such walk, in a task group that stands for the client's."""

    def __init__(self, tasks, **options):
        self.walk = GuessingWalk(**options)
        self.tasks = tasks
        self.pages = Pages(lambda: self.walk, lambda run, name: tasks.start_soon(run, name=name))

    async def rest(self, items=None):
        return [item async for item in items or self.pages]


ALL = list(range(PAGES * 3))


async def test_four_pages_are_under_way_at_a_time():
    async with anyio.create_task_group() as tasks:
        reading = Reading(tasks)
        began = current_time()
        assert await reading.rest() == ALL
        assert current_time() - began == pytest.approx(TAKES * (1 + (PAGES - 1) / 4))
        assert reading.walk.most == 4
        assert set(range(PAGES)) <= set(reading.walk.reads)
        assert len(reading.walk.reads) <= PAGES + 3


async def test_a_walk_that_does_not_guess_is_read_one_at_a_time():
    async with anyio.create_task_group() as tasks:
        reading = Reading(tasks, guesses=1)
        began = current_time()
        assert await reading.rest() == ALL
        assert current_time() - began == pytest.approx(TAKES * PAGES)
        assert reading.walk.most == 1


async def test_the_pages_are_on_their_way_while_one_is_consumed():
    async with anyio.create_task_group() as tasks:
        reading = Reading(tasks)
        began, given = current_time(), []
        async for item in reading.pages:
            given.append(item)
            await anyio.sleep(TAKES / 3)
        assert given == ALL
        assert current_time() - began == pytest.approx(TAKES * (1 + PAGES))


async def test_what_lies_beyond_an_end_that_came_as_a_surprise_is_cancelled():
    async with anyio.create_task_group() as tasks:
        reading = Reading(tasks, knows_its_end=False)
        assert await reading.rest() == ALL
        assert reading.walk.in_flight == 0
        assert max(reading.walk.reads) <= PAGES + 2


@pytest.mark.parametrize("wrong", [{1}, {2}, {3}, {8}, {1, 2}, {2, 5}, set(range(PAGES))])
async def test_a_wrong_guess_is_thrown_away_with_what_was_built_on_it(wrong):
    async with anyio.create_task_group() as tasks:
        reading = Reading(tasks, wrong=wrong)
        assert await reading.rest() == ALL
        assert reading.walk.in_flight == 0
        assert reading.walk.most <= 4 + 3  # those that are cancelled and have not gone yet are not waited for


@pytest.mark.parametrize("page", range(PAGES))
@pytest.mark.parametrize("pages", [False, True])
async def test_an_error_comes_after_the_items_before_it_and_drops_what_is_behind_it(page, pages):
    error = ConnectError("no connection", url="http://x", attempts=3)
    async with anyio.create_task_group() as tasks:
        reading = Reading(tasks, errors={page: error})
        items, given = reading.pages.pages() if pages else aiter(reading.pages), []

        async def take():
            async for item in items:
                given.extend(item.items if pages else [item])

        with pytest.raises(ConnectError, match=rf"^page {page + 1} of the numbers: no connection"):
            await take()
        assert given == ALL[: page * 3]
        await anyio.wait_all_tasks_blocked()
        assert reading.walk.in_flight == 0
        await take()
        assert given == ALL


async def test_an_error_beyond_the_end_is_nobodys():
    async with anyio.create_task_group() as tasks:
        reading = Reading(tasks, errors={PAGES: ConnectError("x", url="http://x")}, knows_its_end=False)
        assert await reading.rest() == ALL


async def test_what_makes_no_sense_early_is_asked_for_again_when_it_is_due():
    async with anyio.create_task_group() as tasks:
        reading = Reading(tasks, errors={3: ProtocolError("larger than may be held")})
        assert await reading.rest() == ALL
        assert reading.walk.reads.count(3) == 2


@pytest.mark.parametrize("after", range(20))
async def test_cancelling_at_any_moment_loses_nothing(after):
    async with anyio.create_task_group() as tasks:
        reading = Reading(tasks, wrong={2}, errors={5: ConnectError("x", url="http://x")})
        items, given = aiter(reading.pages), []
        with anyio.move_on_after(after * TAKES / 5):
            try:
                async for item in items:
                    given.append(item)
                    await anyio.sleep(TAKES / 10)
            except ConnectError:
                pass
        while len(given) < len(ALL):
            try:
                given += [await anext(items)]
            except ConnectError:
                continue
        assert given == ALL
        assert await reading.rest(items) == []
        assert reading.walk.in_flight == 0


@pytest.mark.parametrize("after", range(1, 12))
async def test_closing_at_any_moment_leaves_nothing(after):
    async with anyio.create_task_group() as tasks:
        reading = Reading(tasks, wrong={2})
        items = aiter(reading.pages)
        for _ in range(after):
            await anext(items)
        await items.aclose()
        assert reading.walk.in_flight == 0
        assert await reading.rest(items) == []


async def test_a_dropped_iterator_ends_all_that_is_under_way():
    async with anyio.create_task_group() as tasks:
        reading = Reading(tasks)
        async for _ in reading.pages:
            await anyio.wait_all_tasks_blocked()
            break
        assert reading.walk.in_flight == 4
        gc.collect()
        await anyio.wait_all_tasks_blocked()
        assert (reading.walk.in_flight, reading.walk.cancelled) == (0, 4)


async def test_a_client_that_is_cancelled_under_the_list_is_no_hang():
    async with anyio.create_task_group() as tasks:
        reading = Reading(tasks)
        items = aiter(reading.pages)
        assert await anext(items) == 0
        tasks.cancel_scope.cancel()
    assert reading.walk.in_flight == 0
