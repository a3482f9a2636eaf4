"""Event streams over a real text channel to a site in memory, under a clock that jumps."""

from __future__ import annotations

import gc
import logging
import random

import anyio
import pytest

from tocsin.errors import (
    AuthenticationError,
    ConfigurationError,
    RequestTimeoutError,
    ServerError,
    SubscriptionRefusedError,
)
from tocsin.models import Gap, StreamState
from tocsin.xprotect.events import EventFilter, StateEvent
from tocsin.xprotect.models import Event
from unit.xprotect_events.events_site import (
    CAMERA,
    GROUP,
    MOTION,
    SECRET,
    Site,
    cause_of,
    follow,
    guid,
    until,
)

pytestmark = pytest.mark.virtual_time


def short(item) -> object:
    if isinstance(item, Gap):
        return "gap"
    kind = "state" if isinstance(item, StateEvent) else "event"
    return kind, int(item.id[-12:], 16)


async def take(stream, count: int) -> list[object]:
    with anyio.fail_after(600):
        return [short(await anext(stream)) for _ in range(count)]


async def test_states_then_events():
    site = Site()
    await site.raise_event(group=GROUP)
    async with follow(site) as live, live.live(resource_types="cameras", event_types=[MOTION]) as stream:
        item = await anext(stream)
        assert isinstance(item, StateEvent)
        assert (item.source, item.state_group_id, item.type) == (CAMERA, GROUP, MOTION)
        assert item.time is not None
        assert stream.state is StreamState.CONNECTED
        await site.raise_event(data={"a": 1})
        item = await anext(stream)
        assert type(item) is Event
        assert item.data == {"a": 1}
        assert item["specversion"] == "1.0"
        assert (stream.stats.delivered, stream.stats.buffered) == (2, 0)
    assert site.told("addSubscription")[0]["filters"][0]["resourceTypes"] == ["cameras"]
    assert [sent["command"] for sent in site.commands] == ["startSession", "addSubscription", "getState"]


async def test_without_states_none_are_asked_for():
    site = Site()
    async with follow(site) as live, live.live(state=False) as stream:
        await site.raise_event()
        assert await take(stream, 1) == [("event", 1)]
    assert not site.told("getState")


async def test_a_short_break_loses_nothing_and_says_nothing():
    site = Site()
    async with follow(site) as live, live.live(state=False) as stream:
        for _ in range(3):
            await site.raise_event()
        assert await take(stream, 2) == [("event", 1), ("event", 2)]  # the second is in hand: not handled yet
        site.cut()
        await until(lambda: not site.wires)
        await site.raise_event()
        await until(lambda: site.wires)
        await site.raise_event()
        assert await take(stream, 3) == [("event", 3), ("event", 4), ("event", 5)]
        assert stream.stats.reconnects == 1
        assert stream.stats.gaps == 0
    start = site.told("startSession")[1]
    assert (start["sessionId"], start["eventId"]) == (next(iter(site.sessions)), guid(1))
    assert len(site.told("addSubscription")) == 1


async def test_a_restart_is_a_gap_and_the_states_anew():
    site = Site()
    async with follow(site) as live, live.live() as stream:
        await site.raise_event(group=GROUP)
        assert await take(stream, 1) == [("event", 1)]
        site.restart()
        await site.raise_event(group=GROUP)  # nobody hears it
        gap = await anext(stream)
        assert isinstance(gap, Gap)
        assert (gap.recovered, gap.platform, gap.site) == (None, "xprotect", "yard")
        assert gap.since <= gap.until
        assert await take(stream, 1) == [("state", 2)]
        await site.raise_event()
        assert await take(stream, 1) == [("event", 3)]
    assert len(site.told("addSubscription")) == len(site.told("getState")) == 2


async def test_a_long_outage_is_a_gap_too():
    site = Site()
    async with follow(site) as live, live.live(state=False) as stream:
        await site.raise_event()
        assert await take(stream, 1) == [("event", 1)]
        site.gate = anyio.Event()
        before = stream._reader._clock()
        site.cut()
        await until(lambda: not site.wires)
        await anyio.sleep(60)
        await site.raise_event()
        site.gate.set()
        gap = await anext(stream)
        assert isinstance(gap, Gap)
        assert gap.since <= before
        assert (gap.until - gap.since).total_seconds() >= 60
        assert gap.cause


async def test_every_connection_has_a_fresh_token():
    """xprotect.md 5.5: the token is checked when connecting, and a live connection outlives it."""
    site = Site()
    site.token_lifetime = 300
    async with follow(site) as live, live.live(state=False) as stream:
        for _ in range(5):
            await anyio.sleep(200)
            await site.raise_event()
        assert len(site.tokens) == 1
        site.cut()
        await until(lambda: len(site.tokens) == 2)
        await site.raise_event()
        await take(stream, 1)
    assert len(set(site.tokens)) == 2


async def test_a_large_state_that_takes_minutes_comes_and_events_meanwhile():
    """xprotect.md 5.5: 4 MB in one frame, a server too busy for pings."""
    site = Site()
    for number in range(40):
        await site.raise_event(source=f"cameras/{guid(500 + number)}", group=GROUP)
    site.padding, site.state_takes = 250_000, 175.0
    async with follow(site) as live, live.live() as stream:
        assert stream.state is StreamState.RECOVERING
        await until(lambda: site.told("getState"))
        await site.raise_event()
        assert await take(stream, 1) == [("event", 41)]
        await stream.wait_state(StreamState.CONNECTED)
        assert [kind for kind, _ in await take(stream, 40)] == ["state"] * 40
        assert stream.stats.reconnects == 0


async def test_a_server_too_busy_for_pings_while_it_tells_the_state_is_not_given_up():
    site = Site()
    site.mute = {"getState"}
    async with follow(site) as live, live.live() as stream:
        site.wires[0].silence()  # nor pongs
        await anyio.sleep(200)
        assert stream.stats.reconnects == 0
        site.mute.clear()
        await until(lambda: stream.stats.reconnects == 1)  # then it is
        await stream.wait_state(StreamState.CONNECTED)
        assert not isinstance(await take_or_none(stream), Gap)


async def take_or_none(stream):
    with anyio.move_on_after(1):
        return await anext(stream)


async def test_a_dead_peer_is_noticed_within_45_seconds():
    site = Site()
    async with follow(site) as live, live.live(state=False) as stream:
        site.wires[0].silence()
        begun = anyio.current_time()
        await stream.wait_state(StreamState.RECONNECTING)
        assert anyio.current_time() - begun <= 45
        await stream.wait_state(StreamState.CONNECTED)
        await site.raise_event()
        told = await take(stream, 1)
        assert (told if told != ["gap"] else await take(stream, 1)) == [("event", 1)]


@pytest.mark.parametrize("command", ["startSession", "addSubscription"])
async def test_a_command_that_is_not_answered_costs_the_connection_and_no_more(command):
    site = Site()
    site.mute = {command}
    async with follow(site) as live, anyio.create_task_group() as tasks:

        async def mend() -> None:
            await until(lambda: site.told(command))
            site.mute.clear()

        tasks.start_soon(mend)
        async with live.live(state=False) as stream:
            await site.raise_event()
            assert await take(stream, 1) == [("event", 1)]


@pytest.mark.parametrize(
    ("prepare", "error"),
    [
        ({"refusal": 404}, ConfigurationError),
        ({"refusal": 401}, AuthenticationError),
        ({"replies": {"addSubscription": 400}}, SubscriptionRefusedError),
    ],
)
async def test_what_cannot_be_mended_is_raised_on_entering(prepare, error):
    site = Site()
    for name, value in prepare.items():
        setattr(site, name, value)
    async with follow(site) as live:
        with pytest.raises(error) as caught:
            async with live.live():
                pytest.fail("entered")
        assert SECRET not in cause_of(caught.value)
        assert "token-" not in cause_of(caught.value)


async def test_a_server_that_is_down_is_waited_for_and_named():
    site = Site()
    site.refusal = 503
    async with follow(site, open_timeout=20.0) as live:
        with pytest.raises(RequestTimeoutError, match="503"):
            async with live.live():
                pytest.fail("entered")
        assert 2 <= len(site.tokens) <= 30
        stream = live.live(state=False)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.__aenter__)
            await anyio.sleep(3)
            site.refusal = None
        await stream.aclose()


async def test_a_server_that_comes_and_goes_is_not_hammered():
    site = Site()
    async with follow(site) as live, live.live(state=False) as stream:
        for _ in range(40):
            with anyio.move_on_after(30):
                await until(lambda: site.wires)
            site.restart()
            await until(lambda: not site.wires)
        assert anyio.current_time() > 100
        await stream.wait_state(StreamState.CONNECTED)


async def test_after_it_has_worked_refused_credentials_are_believed_at_the_third_time():
    site = Site()
    async with follow(site) as live, live.live(state=False) as stream:
        site.refusal = 401
        site.cut()
        with pytest.raises(AuthenticationError):
            await anext(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    assert len(site.tokens) <= 1 + 2 * 3


async def test_a_slow_consumer_loses_the_oldest_hears_of_it_and_gets_the_states_anew():
    site = Site()
    async with follow(site) as live, live.live(buffer=5) as stream:
        await until(lambda: stream.state is StreamState.CONNECTED)
        for _ in range(20):
            await site.raise_event(group=GROUP)
        await until(lambda: stream.stats.received == 20)
        assert await take(stream, 6) == ["gap", *(("event", n) for n in range(16, 21))]
        assert stream.stats.dropped == 15
        assert await take(stream, 1) == [("state", 20)]


async def test_cancelling_a_step_loses_nothing():
    site = Site()
    async with follow(site) as live, live.live(state=False) as stream:
        told = []
        rng = random.Random(3)
        for number in range(60):
            await site.raise_event()
            with anyio.move_on_after(rng.choice([0, 0, 0.001])):
                told.append(short(await anext(stream)))
            if number == 30:
                site.cut()
        while len(told) < 60:
            told += await take(stream, 1)
    assert told == [("event", n) for n in range(1, 61)]


@pytest.mark.parametrize("after", [0.0, 0.001, 0.01, 0.5, 3.0, 20.0])
async def test_cancelling_at_any_moment_leaves_nothing_behind(after):
    site = Site()
    site.state_takes = 2.0
    site.mute = {"getState"} if after > 5 else set()
    async with follow(site) as live:
        with anyio.move_on_after(after):
            async with live.live() as stream:
                async for _ in stream:
                    pass
        await until(lambda: not site.wires, within=5)


async def test_leaving_the_client_ends_the_stream():
    site = Site()
    async with follow(site) as live:
        stream = live.live(state=False)
        await stream.__aenter__()
    with pytest.raises(ConfigurationError):
        await anext(stream)


async def test_a_dropped_stream_ends_its_connection():
    site = Site()
    async with follow(site) as live:
        stream = live.live(state=False)
        await stream.__aenter__()
        del stream
        gc.collect()
        await until(lambda: not site.wires, within=15)


async def test_a_stream_that_another_thread_dropped_ends_when_it_next_wakes():
    site = Site()
    async with follow(site) as live:
        stream = live.live(state=False)
        await stream.__aenter__()
        stream._reader.abandoned = True  # all that `abandon` does outside of its event loop
        await until(lambda: not site.wires, within=15)


async def test_errors_of_the_body_leave_as_themselves():
    site = Site()
    with pytest.raises(KeyError):
        async with follow(site) as live, live.live():
            raise KeyError


async def test_two_streams_do_not_disturb_each_other():
    site = Site()
    async with follow(site) as live, live.live(state=False) as one:
        async with live.live(state=False):
            await until(lambda: len(site.wires) == 2)
        await site.raise_event()
        assert await take(one, 1) == [("event", 1)]


async def test_nothing_secret_is_logged(caplog):
    caplog.set_level(logging.DEBUG)
    site = Site()
    async with follow(site) as live, live.live() as stream:
        site.replies["getState"] = 500
        site.restart()
        await until(lambda: stream.stats.reconnects)
        await stream.wait_state(StreamState.RECOVERING)
        site.refusal = 401
        site.cut()
        with pytest.raises(AuthenticationError):
            async for _ in stream:
                pass
    assert SECRET not in caplog.text
    assert "token-" not in caplog.text


async def test_arguments_are_checked_at_once():
    async with follow(Site()) as live:
        for wrong in ({"buffer": 0}, {"sources": []}, {"filters": [EventFilter(exclude=True)]}):
            with pytest.raises(ConfigurationError):
                live.live(**wrong)
        with pytest.raises(ConfigurationError):
            live.live(sources=CAMERA, filters=[EventFilter()])


async def test_a_state_that_the_server_fails_to_tell_is_no_reason_to_give_up_the_events():
    site = Site()
    site.replies["getState"] = 500
    async with follow(site) as live, live.live() as stream:
        await site.raise_event(group=GROUP)
        assert await take(stream, 1) == [("event", 1)]
        del site.replies["getState"]
        assert await take(stream, 1) == [("state", 1)]
        assert stream.stats.reconnects == 0


async def test_a_server_error_on_subscribing_is_tried_again():
    site = Site()
    site.replies["addSubscription"] = 500
    async with follow(site, open_timeout=30.0) as live:
        with pytest.raises(RequestTimeoutError) as caught:
            async with live.live():
                pytest.fail("entered")
    assert not isinstance(caught.value, ServerError)
