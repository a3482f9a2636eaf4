"""What a watch makes of streams that end at the worst moments; they are of no platform, the clock jumps."""

from __future__ import annotations

import logging
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tocsin import Action, Change, ConfigurationError, Origin, ReconnectPolicy, StreamState, watch
from tocsin._stream._selection import Selection, Selector
from tocsin._stream._states import StateBoard, StateChanges
from tocsin.models import Phase, StreamStats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin import Watch

pytestmark = [pytest.mark.virtual_time, pytest.mark.limit(20_000)]

BEGAN = datetime(2026, 1, 5, tzinfo=UTC)


def clock() -> datetime:
    return BEGAN + timedelta(seconds=anyio.current_time() % 86_400)


class Client:
    """A client whose streams open after some seconds and then end by an error, or never."""

    def __init__(self, site: str, *, opens: float = 0.0, ends: Sequence[Exception | None] = (None,)) -> None:
        self.site = site
        self.alarms = self
        self.opens = opens
        self.ends = ends
        self.made: list[Stream] = []

    def changes(self, **options: Any) -> Any:
        self.made.append(Stream(self, self.ends[min(len(self.made), len(self.ends) - 1)]))
        return self.made[-1]


class Stream:
    platform = "fake"
    stats = StreamStats()

    def __init__(self, client: Client, end: Exception | None) -> None:
        self.client, self.end = client, end
        self.board = StateBoard(self.platform, client.site, clock)

    @property
    def state(self) -> StreamState:
        return self.board.current.state

    def states(self) -> StateChanges:
        return StateChanges(self.board)

    async def aclose(self) -> None:
        self.board.post(StreamState.CLOSED, None)

    async def __aenter__(self) -> Any:
        try:
            await anyio.sleep(self.client.opens)
        except BaseException:
            await self.aclose()
            raise
        self.board.post(StreamState.CONNECTED, None)

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def __anext__(self) -> Any:
        if self.end is not None:
            raise self.end
        await anyio.sleep_forever()


def watching(*clients: Any, **options: Any) -> Watch:
    return watch(*clients, clock=clock, rng=random.Random(9), **options)


async def test_one_that_opens_and_fails_again_and_again_is_tried_at_a_decent_pace() -> None:
    client = Client("a", ends=[ConfigurationError("no change of ours mends that")])
    async with watching(client):
        await anyio.sleep(600)
    assert 10 < len(client.made) < 60


async def test_one_that_fails_while_others_are_waited_for_has_missed_nothing() -> None:
    failing = Client("a", ends=[OSError("once"), None])
    slowly = ReconnectPolicy(initial=50, maximum=50)
    async with watching(failing, Client("b", opens=1), reconnect=slowly) as stream:
        assert len(failing.made) == 1
        with anyio.move_on_after(60):
            pytest.fail(f"nothing was missing before it had begun: {await stream.__anext__()}")
        assert len(failing.made) == 2


async def test_what_wakes_as_the_watch_is_left_begins_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def leave(after: float) -> None:
        async with watching(Client("a", ends=[OSError("again and again")])):
            await anyio.sleep(after)
            raise KeyError

    with caplog.at_level(logging.ERROR), pytest.raises(KeyError):
        await leave(random.Random(9).random())  # as the first wait is drawn, of a second at most
    assert caplog.records == []


async def test_what_was_closed_before_it_was_entered_is_not_entered() -> None:
    await (stream := watching(Client("a"))).aclose()
    with pytest.raises(ConfigurationError, match="make a new one"):
        await stream.__aenter__()


def test_what_seems_open_is_remembered_up_to_a_number() -> None:
    class Alarm:
        level, phase = None, Phase.ACTIVE

    selector = Selector(Selection(None, "ACTIVE"), most=5)
    for number in range(6):
        alarm: Any = Alarm()
        change = Change(Action.CREATE, str(number), alarm, Origin.LIVE, "fake", "a", BEGAN)
        assert selector.lets(change)
    assert [selector.lets(gone(number)) for number in (0, 1, 5)] == [False, True, True]


def gone(number: int) -> Change[Any]:
    return Change(Action.DELETE, str(number), None, Origin.LIVE, "fake", "a", BEGAN)
