"""`watch()` over two emulated tenants, under a clock that jumps: one stream, and no shared fate."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from emulated.following import Seen, Site, consuming, tenant, until
from tocsin import AuthenticationError, ConfigurationError, Gap, Level, StreamState, XProtect, watch
from tocsin.emulator import Fault, XProtectEmulator
from tocsin.testing import VirtualWallClock, in_process
from tocsin.xprotect import BasicUser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tocsin import Change, Cumulocity, Watch

pytestmark = [pytest.mark.virtual_time, pytest.mark.limit(20_000)]

NORTH, SOUTH = "north", "south"


@dataclass
class Pair:
    """Two tenants, a client of each."""

    north: Site
    south: Site
    clients: dict[str, Cumulocity] = field(default_factory=dict)

    def watch(self, **options: Any) -> Watch:
        settings: dict[str, Any] = {"clock": self.north.ours, "rng": random.Random(9), "snapshot": True}
        return watch(*self.clients.values(), **{**settings, **options})


@asynccontextmanager
async def pair(**options: Any) -> AsyncIterator[Pair]:
    async with tenant() as north, tenant() as south, AsyncExitStack() as stack:
        two = Pair(north, south)
        for name, site in ((NORTH, north), (SOUTH, south)):
            two.clients[name] = await stack.enter_async_context(site.client(name=name, **options))
        yield two


def add(site: Site, number: int = 1, **fields: Any) -> str:
    alarm = {"type": f"acme_{number}", "source": "4711", "severity": "MAJOR", **fields}
    return str(site.emulator.store.create(alarm)["id"])


class Both(Seen):
    """What a consumer of both sites was given, apart."""

    def __init__(self) -> None:
        super().__init__()
        self.of = {NORTH: Seen(), SOUTH: Seen()}

    def note(self, item: Change[Any] | Gap) -> None:
        self.of[item.site].take(item)


@asynccontextmanager
async def watching(stream: Watch, *, pause: float = 0.0) -> AsyncIterator[Both]:
    both = Both()
    async with stream, consuming(stream, pause=pause, log=both):
        yield both


async def test_changes_of_both_come_and_their_keys_tell_them_apart() -> None:
    async with pair() as two:
        first = [add(two.north), add(two.south)]
        keys = []
        async with two.watch() as stream:
            assert stream.sites == (NORTH, SOUTH)
            keys += [(await stream.__anext__()).key for _ in range(2)]
            second = add(two.south, 2)
            change = await stream.__anext__()
            await stream.wait_state()
            assert all(health.ready for health in stream.health().values())
        assert first[0] == first[1], "the ids are the same, or this test shows nothing"
        assert sorted(keys) == [(NORTH, first[0]), (SOUTH, first[1])]
        assert change.key == (SOUTH, second)
        assert {site: one.state for site, one in stream.state.items()} == dict.fromkeys(
            (NORTH, SOUTH), StreamState.CLOSED
        )


async def test_both_platforms_come_as_one_through_a_cut() -> None:
    wall = VirtualWallClock()
    vms = XProtectEmulator(clock=wall, rng=random.Random(4))
    async with tenant() as north, in_process(vms) as server, north.client(name=NORTH) as client:
        options: dict[str, Any] = {"clock": wall, "rng": random.Random(5), "name": SOUTH}
        basic = BasicUser("demo", "demo")
        async with (
            XProtect(server.url, basic, transport_factory=server.transport_factory, **options) as other,
            watching(stream := watch(client, other, snapshot=True, clock=north.ours)) as both,
        ):
            add(north)
            first = vms.store.create({"name": "one"})["id"]
            assert await until(lambda: both.of[NORTH].fold and first in both.of[SOUTH].fold, 60)
            server.refusing = True
            server.cut()
            vms.store.close(first)
            second = vms.store.create({"name": "two"})["id"]
            assert await until(lambda: stream.state[SOUTH].state is not StreamState.CONNECTED, 120)
            add(north, 2)
            await anyio.sleep(60)
            assert stream.state[NORTH].state is StreamState.CONNECTED
            server.refusing = False
            assert await until(lambda: second in both.of[SOUTH].fold, 300)
            await anyio.sleep(120)
            assert both.of[SOUTH].gaps
            assert both.of[NORTH].gaps == []
            assert vms.ledger.lost(both.of[SOUTH].fold) == []
            assert vms.ledger.duplicates(both.of[SOUTH].changes) == []
            assert north.wrong(both.of[NORTH]) == []


async def test_a_busy_source_starves_no_other() -> None:
    async with pair() as two, two.watch() as stream:
        for number in range(2000):
            add(two.north, number)
        await anyio.sleep(5)
        alone = add(two.south)
        await anyio.sleep(5)
        first = [(await stream.__anext__()).key for _ in range(3)]
        assert (SOUTH, alone) in first, "the quiet source waits behind the busy one"


async def test_one_that_is_down_at_the_start_is_told_and_comes_in_later() -> None:
    async with pair() as two:
        two.south.emulator.go_down()
        two.south.server.refusing = True
        add(two.south)
        async with watching(stream := two.watch()) as both:
            state = stream.state[SOUTH]
            assert state.state is StreamState.RECONNECTING
            assert state.cause
            add(two.north)
            assert await until(lambda: len(both.of[NORTH].changes) == 1, 10)
            assert both.of[NORTH].gaps == []
            await anyio.sleep(400)  # beyond the client's own open_timeout
            two.south.emulator.come_up()
            assert await until(lambda: len(both.of[SOUTH].changes) == 1, 120)
            (gap,) = both.of[SOUTH].gaps
            assert gap.recovered is None
            assert (gap.until - gap.since).total_seconds() >= 400
            assert both.of[NORTH].gaps == []
            assert two.south.wrong(both.of[SOUTH]) == []


@pytest.mark.parametrize("overflow", ["recover", "conflate", "drop_oldest"])
async def test_one_that_fails_for_good_is_tried_rarely_and_goes_on_where_it_was(overflow: Any) -> None:
    async with pair() as two, watching(stream := two.watch(overflow=overflow)) as both:
        kept, changed, deleted = (add(two.south, number) for number in range(3))
        await anyio.sleep(100)
        refusal = two.south.emulator.faults.add(Fault("status", status=401, times=None))
        two.south.emulator.restart()
        assert await until(lambda: stream.state[SOUTH].state is StreamState.RECONNECTING, 120)
        two.south.emulator.store.update(changed, {"severity": "CRITICAL"})
        two.south.emulator.store.remove(deleted)
        await anyio.sleep(200)
        assert "credentials" in str(stream.state[SOUTH].cause)
        before = two.south.requests()
        await anyio.sleep(600)
        assert two.south.requests() == before, "refused credentials are not tried again at once"
        add(two.north)
        refusal.remove()
        assert await until(lambda: stream.state[SOUTH].state is StreamState.CONNECTED, 1000)
        await anyio.sleep(1000)  # a comparison of all open alarms finds what was deleted
        assert both.of[SOUTH].gaps
        lost = any(gap.recovered is None for gap in both.of[SOUTH].gaps)
        assert lost == (overflow == "drop_oldest")
        assert len(both.of[NORTH].changes) == 1
        assert both.of[NORTH].gaps == []
        if overflow != "drop_oldest":
            assert two.south.wrong(both.of[SOUTH]) == []
            assert two.south.twice(both.of[SOUTH]) == []
            assert "credentials" in both.of[SOUTH].gaps[-1].cause
        assert kept in both.of[SOUTH].fold
        assert stream.stats[SOUTH].delivered >= len(both.of[SOUTH].changes)


@pytest.mark.parametrize("locks", [False, True])
async def test_a_password_that_was_changed_and_changed_back_needs_no_new_client(locks: bool) -> None:
    wall = VirtualWallClock()
    vms = XProtectEmulator(clock=wall, rng=random.Random(4))
    options: dict[str, Any] = {"clock": wall, "rng": random.Random(5), "name": SOUTH}
    async with (
        in_process(vms) as server,
        XProtect(
            server.url, BasicUser("demo", "demo"), transport_factory=server.transport_factory, **options
        ) as client,
        watching(stream := watch(client, clock=wall)) as both,
    ):
        vms.access.add_user("demo", "another")
        if locks:
            vms.access.lock("demo")
        vms.access.expire_tokens()
        assert await until(lambda: stream.state[SOUTH].state is StreamState.RECONNECTING, 120)
        vms.access.add_user("demo", "demo")
        missed = vms.store.create({"name": "one"})["id"]
        assert await until(lambda: missed in both.of[SOUTH].fold, 2000) is not locks


async def test_refused_for_ever_is_over_and_the_last_one_over_is_raised() -> None:
    async with pair() as two:
        for site in (two.north, two.south):
            site.emulator.faults.add(Fault("status", status=401, times=None))
        async with two.watch(refused=None) as stream:
            assert {one.state for one in stream.state.values()} == {StreamState.CLOSED}
            with pytest.raises(AuthenticationError):
                await stream.__anext__()
            with pytest.raises(StopAsyncIteration):
                await stream.__anext__()


async def test_what_leaves_a_filter_is_given_once_more() -> None:
    async with pair() as two:
        filters = {"level": [Level.CRITICAL], "phase": "ACTIVE"}
        async with watching(two.watch(**filters)) as both:
            store = two.north.emulator.store
            one, gone = add(two.north), add(two.north, 2, severity="CRITICAL")
            steps = (
                {"severity": "CRITICAL"}, {"text": "worse"}, {"severity": "MINOR"}, {"text": "unseen"},
                {"severity": "CRITICAL"}, {"status": "ACKNOWLEDGED"}, {"status": "CLEARED"},
            )  # fmt: skip
            for change in steps:
                await anyio.sleep(1)
                store.update(one, change)
            await anyio.sleep(1)
            store.remove(gone)
            await anyio.sleep(2000)
            told = [
                (change["alarm"] or {}).get("severity", "gone") + (change["alarm"] or {}).get("status", "")
                for change in both.of[NORTH].changes
                if change["id"] == one
            ]
            assert told == [
                "CRITICALACTIVE", "CRITICALACTIVE", "MINORACTIVE", "CRITICALACTIVE", "CRITICALACKNOWLEDGED",
            ]  # fmt: skip
            assert both.of[NORTH].fold[gone] is None


async def test_wrong_use_is_refused_at_once() -> None:
    async with tenant() as site, site.client(name="a") as client, site.client(name="a") as other:
        for wrong in (
            lambda: watch(),
            lambda: watch(client, other),
            lambda: watch(client, level="SEVERE"),
            lambda: watch(client, phase=[]),
            lambda: watch(client, overflow="block"),
            lambda: watch(client, refused=0),
        ):
            with pytest.raises(ConfigurationError):
                wrong()
        with pytest.raises(ConfigurationError, match="async with"):
            await watch(client).__anext__()
        closed = site.client(name="b")
        with pytest.raises(ConfigurationError, match="not open"):
            async with watch(client, closed):
                pytest.fail("a client that is not open was watched")
        async with watch(client, level=Level.MAJOR) as stream:
            pass
        with pytest.raises(ConfigurationError, match="make a new one"):
            await stream.__aenter__()


async def test_a_client_that_is_left_ends_its_source_and_no_other() -> None:
    async with tenant() as north, tenant() as south, anyio.create_task_group() as tasks:
        leave = anyio.Event()

        async def hold(*, task_status: Any) -> None:
            async with north.client(name=NORTH) as client:
                task_status.started(client)
                await leave.wait()

        client = await tasks.start(hold)
        async with south.client(name=SOUTH) as stays, watching(stream := watch(client, stays)) as both:
            leave.set()
            assert await until(lambda: stream.state[NORTH].state is StreamState.CLOSED, 60)
            one = add(south)
            assert await until(lambda: one in both.of[SOUTH].fold, 10)


async def test_an_error_of_the_body_leaves_as_itself() -> None:
    async with pair() as two:
        with pytest.raises(KeyError, match="mine"):
            async with two.watch():
                raise KeyError("mine")
        assert two.north.emulator.requests.total > 0


async def test_closing_ends_the_iteration_of_another_task() -> None:
    async with pair() as two, two.watch() as stream, anyio.create_task_group() as tasks:

        async def read() -> None:
            async for _ in stream:
                pass

        tasks.start_soon(read)
        await anyio.sleep(1)
        states = stream.states()
        await stream.aclose()
        await stream.aclose()
        assert {change.site async for change in states if change.state is StreamState.CLOSED} == {
            NORTH,
            SOUTH,
        }


async def test_cancelled_at_every_await_it_leaves_no_task_and_no_request() -> None:
    async with pair() as two:
        for steps in range(0, 160, 3):
            add(two.north, steps)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_use, two)
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            await anyio.sleep(5)
            for site in (two.north, two.south):
                assert site.server.in_flight == 0, f"cancelled after {steps} steps"


async def _use(two: Pair) -> None:
    async with two.watch() as stream:
        async for _ in stream:
            pass
