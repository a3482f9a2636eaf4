"""`changes(checkpoint=…)`: a consumer that is started again goes on where it had handled."""

# ruff: noqa: SIM117 - the stream is what is tested, it stands on its own line

import json

import anyio
import pytest

from emulated.following import following, tenant
from emulated.restarting import run
from tocsin import Action, AuthenticationError, Change, CheckpointError, ConfigurationError, Gap, StreamState
from tocsin.emulator import Fault
from tocsin.testing import MemoryCheckpoint

pytestmark = [pytest.mark.virtual_time, pytest.mark.limit(20_000)]


def add(site, number=1, **fields):
    return str(site.emulator.store.create({"type": f"acme_{number}", "source": "4711", **fields})["id"])


def told(seen):
    return sorted((c["action"], c["id"], str(o)) for c, o in zip(seen.changes, seen.origins, strict=True))


class Failing(MemoryCheckpoint):
    """Refuses from some write on."""

    def __init__(self, after, **options):
        super().__init__(**options)
        self.after = after
        self.closed = 0

    async def save(self, records):
        if self.saves >= self.after:
            raise OSError(28, "No space left on device")
        await super().save(records)

    async def aclose(self):
        self.closed += 1


async def test_one_store_for_two_streams_is_refused_and_the_first_goes_on():
    store = Failing(after=1000)
    async with tenant() as site, site.client() as client:
        before = add(site)
        async with client.alarms.changes(snapshot=True, checkpoint=store) as first:
            assert (await anext(first)).id == before
            with pytest.raises(CheckpointError, match="in use by another stream"):
                async with client.alarms.changes(snapshot=True, checkpoint=store):
                    pytest.fail("it was let in")
            assert store.closed == 0
            after = add(site, 2)
            assert (await anext(first)).id == after
            await first.commit()
        async with client.alarms.changes(snapshot=True, checkpoint=store) as again:
            assert isinstance(await anext(again), Gap)  # and neither alarm is told again


@pytest.mark.parametrize("transport", ["auto", "polling"])
@pytest.mark.parametrize("snapshot", [False, True, "all"])
async def test_a_restart_tells_what_changed_meanwhile_and_nothing_else(snapshot, transport):
    store = MemoryCheckpoint()
    taste = {"snapshot": snapshot, "transport": transport, "checkpoint": store}
    async with tenant() as site:
        quiet, cleared, deleted = (add(site, number) for number in range(3))
        await anyio.sleep(100)
        async with site.client() as client, following(client.alarms.changes(**taste)) as seen:
            await anyio.sleep(100)
            for alarm in (cleared, deleted):
                site.emulator.store.update(alarm, {"text": "live"})
            await anyio.sleep(100)
            assert len(seen.changes) == (5 if snapshot else 2)
        left = site.wall()
        await anyio.sleep(7200)
        site.emulator.store.update(cleared, {"status": "CLEARED"})
        site.emulator.store.remove(deleted)
        new, gone = add(site, 3), add(site, 4)
        site.emulator.store.update(gone, {"status": "CLEARED"})
        await anyio.sleep(7200)
        async with site.client() as client, following(client.alarms.changes(**taste)) as seen:
            await anyio.sleep(100)
            site.emulator.store.update(quiet, {"text": "live"})
            await anyio.sleep(100)
        expected = [
            ("UPDATE", cleared, "recovered"), ("DELETE", deleted, "recovered"), ("CREATE", new, "recovered"),
            ("CREATE", gone, "recovered"), ("UPDATE", quiet, "live"),
        ]  # fmt: skip
        assert told(seen) == sorted(expected)
        (gap,) = seen.gaps
        assert (left - gap.since).total_seconds() <= 120  # a sweep is a minute old, its last proof two polls
        assert gap.recovered == 3  # what the sweep found; the deletion takes the pass after it


async def test_what_was_given_but_not_handled_comes_again():
    store = MemoryCheckpoint()
    async with tenant() as site:
        ids = [add(site, number) for number in range(6)]
        with pytest.raises(KeyError):  # noqa: PT012
            async with site.client() as client:
                async with client.alarms.changes(snapshot=True, checkpoint=store) as stream:
                    first = [(await anext(stream)).id for _ in range(3)]
                    raise KeyError
        async with site.client() as client:
            async with following(client.alarms.changes(snapshot=True, checkpoint=store)) as seen:
                await anyio.sleep(60)
        assert sorted(first[:2] + [change["id"] for change in seen.changes]) == ids


async def test_commit_waits_for_the_store():
    store = MemoryCheckpoint(every=3600)
    async with tenant() as site, site.client() as client:
        one = add(site)
        async with client.alarms.changes(snapshot=True, checkpoint=store) as stream:
            item = await anext(stream)
            assert isinstance(item, Change)
            assert f"alarm/{one}" not in store.records
            await stream.commit()
            assert f"alarm/{one}" in store.records


async def test_a_commit_after_the_stream_has_failed_says_why():
    store = MemoryCheckpoint()
    async with tenant() as site, site.client() as client:
        one, two = add(site, 1), add(site, 2)
        async with client.alarms.changes(snapshot=True, checkpoint=store) as stream:
            first = await anext(stream)
            site.emulator.access.add_user("demo", "another")
            site.emulator.restart()
            await stream.wait_state(StreamState.CLOSED)
            second = await anext(stream)  # what waits is given all the same
            assert {first.id, second.id} == {one, two}
            with pytest.raises(AuthenticationError):
                await stream.commit()
            assert [item async for item in stream] == []
    assert f"alarm/{second.id}" not in store.records


async def test_writes_are_bounded_and_an_idle_stream_writes_once_a_minute():
    store = MemoryCheckpoint(every=10)
    async with tenant() as site, site.client() as client:
        async with following(client.alarms.changes(checkpoint=store)):
            await anyio.sleep(100)
            before = store.saves
            for number in range(500):
                add(site, number)
                await anyio.sleep(0.2)
            assert store.saves - before <= 12
            before = store.saves
            await anyio.sleep(600)
            assert store.saves - before <= 12


@pytest.mark.parametrize("after", [0, 1, 2, 3])
async def test_a_store_that_fails_ends_the_stream_with_one_error(after):
    store = Failing(after)
    caught = []
    async with tenant() as site, site.client() as client:
        add(site)
        stream = client.alarms.changes(snapshot=True, checkpoint=store)
        try:
            async with stream:
                for number in range(2, 9):
                    await anyio.sleep(20)
                    add(site, number)
                    await anext(stream)
        except CheckpointError as error:
            caught.append(error)
        assert "No space left" in str(caught[0])
        assert stream.state is StreamState.CLOSED
        assert store.closed == 1
        await stream.aclose()


async def test_what_cannot_be_written_at_the_end_is_told_by_leaving():
    async with tenant() as site, site.client() as client:
        add(site)
        store = Failing(100, every=3600)
        stream = await client.alarms.changes(snapshot=True, checkpoint=store).__aenter__()
        await anext(stream)
        store.after = 0
        with pytest.raises(CheckpointError):
            await stream.__aexit__(None, None, None)


@pytest.mark.parametrize(
    "change",
    [{"severity": "MAJOR"}, {"type": "acme_1"}, {"source": "4711"}, {"snapshot": "all"}],
    ids=lambda change: next(iter(change)),
)
async def test_a_checkpoint_of_another_stream_is_refused_or_put_aside(change):
    store = MemoryCheckpoint()
    async with tenant() as site, site.client() as client:
        add(site, 1)
        taste = {"snapshot": True, "checkpoint": store}
        async with following(client.alarms.changes(**taste)):
            await anyio.sleep(10)
        with pytest.raises(CheckpointError, match=next(iter(change))) as caught:
            await client.alarms.changes(**{**taste, **change}).__aenter__()
        assert caught.value.mismatch
        store.on_mismatch = "fresh"
        async with following(client.alarms.changes(**{**taste, **change})) as seen:
            await anyio.sleep(10)
        assert len(seen.changes) == 1
        assert seen.gaps == []


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("scope", "{"), ("scope", None), ("mark", None), ("mark", '{"at": 3}'), ("alarm/101", "x"),
        ("scope", '{"version": 99}'),
    ],
)  # fmt: skip
async def test_a_damaged_or_newer_checkpoint_is_refused(key, text):
    store = MemoryCheckpoint()
    async with tenant() as site, site.client() as client:
        add(site)
        async with following(client.alarms.changes(snapshot=True, checkpoint=store)):
            await anyio.sleep(10)
        await store.save({key: text})
        with pytest.raises(CheckpointError) as caught:
            await client.alarms.changes(snapshot=True, checkpoint=store).__aenter__()
        assert caught.value.mismatch


async def test_nothing_secret_and_no_text_of_an_alarm_is_kept():
    store = MemoryCheckpoint()
    async with tenant() as site, site.client() as client:
        add(site, text="who is there")
        async with following(client.alarms.changes(snapshot=True, checkpoint=store)):
            await anyio.sleep(10)
    assert "who is there" not in str(store.records)
    assert "demo" not in str(store.records)


async def test_a_store_that_another_stream_uses_is_refused_and_not_closed():
    store = Failing(100)
    async with tenant() as site, site.client() as client:
        for closed in range(2):
            async with following(client.alarms.changes(checkpoint=store)):
                with pytest.raises(CheckpointError, match="another stream") as caught:
                    await client.alarms.changes(checkpoint=store).__aenter__()
                assert not caught.value.mismatch
                assert store.closed == closed


@pytest.mark.parametrize("options", [{"checkpoint": "file"}, {"overflow": "drop_oldest"}], ids=str)
async def test_what_makes_no_sense_is_refused(options):
    async with tenant() as site, site.client() as client:
        with pytest.raises(ConfigurationError):
            client.alarms.changes(**{"checkpoint": MemoryCheckpoint(), **options})


async def test_the_first_answer_may_be_that_an_alarm_in_doubt_is_gone():
    store = MemoryCheckpoint()
    taste = {"snapshot": True, "checkpoint": store, "transport": "polling"}
    async with tenant() as site:
        one = add(site)
        async with site.client() as client, following(client.alarms.changes(**taste)):
            await anyio.sleep(100)
        await store.save({"mark": json.dumps({**json.loads(store.records["mark"]), "dirty": [one]})})
        site.emulator.store.remove(one)
        site.emulator.faults.add(Fault("delay", path="/alarm/alarms", seconds=3))
        async with site.client() as client, following(client.alarms.changes(**taste)) as seen:
            await anyio.sleep(100)
        assert told(seen) == [("DELETE", one, "recovered")]
        assert [gap.recovered is None for gap in seen.gaps] == [False]


async def test_a_deletion_that_was_told_is_not_told_again():
    store = MemoryCheckpoint()
    async with tenant() as site:
        one = add(site)
        for life in range(3):
            async with site.client() as client:
                async with client.alarms.changes(snapshot=True, checkpoint=store) as stream:
                    with anyio.move_on_after(1200):
                        async for item in stream:
                            assert isinstance(item, Gap) or (life, item.action) in (
                                (0, Action.CREATE),
                                (1, Action.DELETE),
                            )
            if life == 0:
                site.emulator.store.remove(one)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "loop"), [(3, "asyncio"), (26, "asyncio"), (10, "trio"), (58, "trio")])
def test_lives_that_end_in_every_way_lose_nothing_and_repeat_only_what_was_not_kept(seed, loop):
    result = run(seed, loop)
    assert result.error is None
    assert result.lives > 2
    assert result.changes > 20
    assert result.lost == []
    assert result.forgotten == []
    assert result.duplicated == []
