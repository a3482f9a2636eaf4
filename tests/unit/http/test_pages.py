"""Lists that come in pages, over a walk in memory."""

from __future__ import annotations

import gc

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tocsin._http._pages import Batch, Pages, PageStatistics
from tocsin.errors import (
    ConfigurationError,
    ConnectError,
    NotFoundError,
    ProtocolError,
    RequestTimeoutError,
    TocsinError,
)


class FakeWalk:
    """Pages of numbers. A page that is an exception is raised, once; one that is None is rejected, once."""

    noun = "numbers"

    def __init__(self, *pages):
        self.pages = list(pages)
        self.reads = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.cancelled = 0
        self.gate = None
        self.turn = 0
        self.seen = set()

    @property
    def more(self):
        return self.turn < len(self.pages)

    def asks(self, most):
        return [self.turn]

    async def read(self, ask, *, early):
        assert not early
        self.reads += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await checkpoint()
            if self.gate is not None:
                await self.gate.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        page = self.pages[ask]
        if isinstance(page, BaseException):
            self.pages[ask] = []
            raise page
        return Batch([str(n).encode() for n in page or ()], PageStatistics(self.reads, 10), page)

    def accept(self, batch, *, early):
        page = batch.context
        self.turn += 1
        if page == [-1]:
            raise ProtocolError("the server lies")
        return page is not None

    def take(self, raw):
        number = int(raw)
        if number == 13:
            raise ProtocolError("13 is no number")
        if number in self.seen:
            return None
        self.seen.add(number)
        return number


class Client:
    """Starts tasks, as a client does while it is open."""

    def __init__(self, tasks):
        self.tasks = tasks
        self.started = 0

    def start(self, run, name):
        if self.tasks is None:
            raise ConfigurationError("the client is closed")
        self.started += 1
        self.tasks.start_soon(run, name=name)


def listing(*pages, start=None):
    walks = []

    def begin():
        walks.append(FakeWalk(*pages))
        return walks[-1]

    return Pages(begin, start), walks


async def collect(iterator):
    return [item async for item in iterator]


async def test_nothing_is_read_before_it_is_asked_for():
    pages, walks = listing([1])
    pages.pages()
    aiter(pages)
    assert [walk.reads for walk in walks] == [0, 0]


async def test_awaited_it_is_the_first_page_and_nothing_more_is_read():
    pages, walks = listing([1, 2], [3])
    page = await pages
    assert (page.items, page.number, list(page)) == ((1, 2), 1, [1, 2])
    assert page.statistics == PageStatistics(1, 10)
    assert walks[0].reads == 1


async def test_pages_follow_each_other():
    pages, _ = listing([1, 2], [3], [4, 4, 1])
    first = await pages
    second = await first.next_page()
    third = await second.next_page()
    assert [page.items for page in (first, second, third)] == [(1, 2), (3,), (4,)]
    assert await third.next_page() is None
    assert await third.next_page() is None


async def test_a_page_that_was_left_says_so():
    pages, _ = listing([1], [2], [3])
    first = await pages
    second = await first.next_page()
    with pytest.raises(ConfigurationError, match="page 1 has been left"):
        await first.next_page()
    assert (await second.next_page()).items == (3,)


async def test_iterated_it_gives_every_item_once_and_begins_anew_each_time():
    pages, walks = listing([1, 2], [], [2, 3], None, [4])
    assert await collect(pages) == await collect(pages) == [1, 2, 3, 4]
    assert [walk.reads for walk in walks] == [5, 5]


async def test_empty_pages_are_passed_over():
    pages, _ = listing([], [], [1], [1], [2], [])
    assert (await pages).items == (1,)
    assert [page.items async for page in pages.pages()] == [(1,), (2,)]
    assert [page.number async for page in pages.pages()] == [1, 2]


async def test_an_empty_list_is_one_empty_page():
    pages, _ = listing([])
    page = await pages
    assert page.items == ()
    assert page.statistics is not None
    assert await page.next_page() is None
    assert await collect(pages) == []
    assert [page async for page in pages.pages()] == []


ERRORS = {
    "connect": lambda: ConnectError("no connection", url="http://x", attempts=3),
    "timeout": lambda: RequestTimeoutError("too slow", method="GET"),
    "status": lambda: NotFoundError("gone", status=404),
    "protocol": lambda: ProtocolError("no page", detail="<html>"),
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("ahead", [False, True])
async def test_an_error_names_its_page_keeps_what_was_given_and_can_be_gone_on_from(name, ahead):
    error = ERRORS[name]()
    text, before = str(error), dict(vars(error))
    async with anyio.create_task_group() as tasks:
        pages, _ = listing([1, 2], [3], error, [4], start=Client(tasks).start if ahead else None)
        items = aiter(pages)
        assert [await anext(items) for _ in range(3)] == [1, 2, 3]
        with pytest.raises(type(error)) as caught:
            await anext(items)
        assert caught.value is error
        assert str(error) == f"page 3 of the numbers: {text}"
        assert vars(error) == before
        assert await collect(items) == [4]


async def test_an_unreadable_row_is_told_and_the_rest_is_intact():
    pages, _ = listing([1, 13, 2], [3])
    items = aiter(pages)
    assert await anext(items) == 1
    with pytest.raises(ProtocolError, match="page 1 of the numbers, row 2: 13 is no number"):
        await anext(items)
    assert await collect(items) == [2, 3]

    whole = pages.pages()
    with pytest.raises(ProtocolError, match="page 1 of the numbers, row 2:"):
        await anext(whole)
    assert [page.items async for page in whole] == [(1, 2), (3,)]


async def test_reprs_are_short():
    pages, _ = listing(range(1, 9))
    assert repr(pages) == "<Pages of numbers: await it, or iterate over it with async for>"
    assert repr(await pages) == "<Page 1, 8 items>"


async def test_a_list_that_makes_no_sense_ends_with_its_error():
    pages, walks = listing([1], [-1], [2])
    items = aiter(pages)
    assert await anext(items) == 1
    with pytest.raises(ProtocolError, match="page 2 of the numbers: the server lies"):
        await anext(items)
    assert await collect(items) == []
    assert walks[0].reads == 2


async def test_one_page_is_read_ahead_while_the_one_before_is_consumed():
    async with anyio.create_task_group() as tasks:
        client = Client(tasks)
        pages, walks = listing([1], [2], [3], start=client.start)
        given = []
        async for item in pages:
            given.append(item)
            assert walks[0].reads <= min(item + 1, 3)
            for _ in range(5):
                await checkpoint()
            assert walks[0].reads == min(item + 1, 3)
        assert given == [1, 2, 3]
        assert client.started == 2
        assert walks[0].most_in_flight == 1


async def test_nothing_is_read_ahead_behind_the_last_page_or_for_a_page_alone():
    async with anyio.create_task_group() as tasks:
        client = Client(tasks)
        pages, _ = listing([1], start=client.start)
        assert await collect(pages) == [1]
        pages, walks = listing([1], [2], start=client.start)
        await pages
        await checkpoint()
        assert walks[0].reads == 1
        assert client.started == 0


async def test_a_dropped_iterator_ends_what_it_reads_ahead():
    async with anyio.create_task_group() as tasks:
        pages, walks = listing([1, 2], [3], start=Client(tasks).start)
        async for _ in pages:
            walks[0].gate = anyio.Event()
            await checkpoint()
            break
        gc.collect()
        with anyio.fail_after(20):  # the group ends by itself, or the request would hold it for ever
            while walks[0].in_flight or not walks[0].cancelled:
                await checkpoint()


async def test_a_dropped_page_iterator_ends_what_it_reads_ahead():
    async with anyio.create_task_group() as tasks:
        pages, walks = listing([1, 2], [3], start=Client(tasks).start)
        async for _ in pages.pages():
            walks[0].gate = anyio.Event()
            await checkpoint()
            break
        gc.collect()
        with anyio.fail_after(20):
            while walks[0].in_flight or not walks[0].cancelled:
                await checkpoint()


async def test_dropped_in_another_thread_the_request_ends_by_itself():
    async with anyio.create_task_group() as tasks:
        pages, walks = listing([1], [2], start=Client(tasks).start)
        items = [aiter(pages)]
        assert await anext(items[0]) == 1
        walks[0].gate = gate = anyio.Event()
        await checkpoint()
        await anyio.to_thread.run_sync(items.clear)
        gate.set()
    assert (walks[0].reads, walks[0].in_flight) == (2, 0)


async def test_closing_ends_the_iteration_and_what_is_read_ahead():
    async with anyio.create_task_group() as tasks:
        pages, walks = listing([1, 2], [3], start=Client(tasks).start)
        items = aiter(pages)
        assert await anext(items) == 1
        walks[0].gate = anyio.Event()
        await checkpoint()
        await items.aclose()
        assert (walks[0].in_flight, walks[0].cancelled) == (0, 1)
        await items.aclose()
        assert await collect(items) == []
        whole = pages.pages()
        await anext(whole)
        await whole.aclose()
        assert [page async for page in whole] == []


@pytest.mark.parametrize("ahead", [False, True])
async def test_a_cancelled_next_loses_nothing(ahead):
    async with anyio.create_task_group() as tasks:
        pages, walks = listing([1], [2], [3], start=Client(tasks).start if ahead else None)
        items = aiter(pages)
        assert await anext(items) == 1
        walks[0].gate = gate = anyio.Event()
        for _ in range(3):
            with anyio.move_on_after(0.01) as scope:
                await anext(items)
            assert scope.cancelled_caught
        gate.set()
        assert await collect(items) == [2, 3]
        assert walks[0].most_in_flight == 1
        if ahead:
            assert walks[0].reads == 3


async def test_two_tasks_on_one_iterator_are_an_error():
    pages, walks = listing([1], [2])
    items = aiter(pages)
    assert await anext(items) == 1
    walks[0].gate = gate = anyio.Event()
    given = []

    async def one():
        given.append(await anext(items))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ConfigurationError, match="two tasks"):
            await anext(items)
        gate.set()
    assert given == [2]


async def test_a_client_that_closes_under_the_list_is_no_hang():
    client = Client(None)
    pages, walks = listing([1], [2], [3], start=client.start)
    items = aiter(pages)
    async with anyio.create_task_group() as tasks:
        client.tasks = tasks
        assert await anext(items) == 1
        walks[0].gate = anyio.Event()
        await checkpoint()
        tasks.cancel_scope.cancel()
    client.tasks = walks[0].gate = None
    assert walks[0].cancelled == 1
    assert await collect(items) == [2, 3]  # a real walk would say here that the client is closed


async def test_an_error_of_our_own_reaches_the_iterator_not_the_client():
    async with anyio.create_task_group() as tasks:
        pages, _ = listing([1], ZeroDivisionError("ours"), start=Client(tasks).start)
        items = aiter(pages)
        assert await anext(items) == 1
        with pytest.raises(ZeroDivisionError):
            await anext(items)
    assert issubclass(ProtocolError, TocsinError)
