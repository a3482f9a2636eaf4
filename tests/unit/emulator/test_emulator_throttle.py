"""The limit on requests: at once, then queued in order, then 429."""

from itertools import pairwise

import anyio
import pytest
from emulator_talk import client, talking
from hypothesis import given
from hypothesis import strategies as st

from tocsin.emulator import Emulator, RefusedError, ThrottleSettings
from tocsin.emulator._throttle import Throttle
from tocsin.testing import in_process

pytestmark = pytest.mark.virtual_time


async def test_what_exceeds_the_rate_waits_in_order_and_the_rest_is_refused():
    emulator = Emulator(throttle=ThrottleSettings(requests=4, queue=3, retry_after=1.5))
    done: list[tuple[int, float]] = []
    async with in_process(emulator) as server, client(server) as talk:
        start = anyio.current_time()

        async def ask():
            reply = await talk.get("/alarm/alarms")
            done.append((reply.status_code, round(anyio.current_time() - start, 3)))
            if reply.status_code == 429:
                assert reply.headers["retry-after"] == "2"
                assert set(reply.json()) == {"error", "message", "info"}

        async with anyio.create_task_group() as tasks:
            for _ in range(9):
                tasks.start_soon(ask)
        served = sorted(at for status, at in done if status == 200)
        assert served == [0, 0, 0, 0, 0.25, 0.5, 0.75]
        assert [status for status, at in done if status != 200] == [429, 429]
        assert (emulator.throttle.delayed, emulator.throttle.refused) == (3, 2)
        await anyio.sleep(5)
        assert (await talk.get("/alarm/alarms")).status_code == 200


@pytest.mark.parametrize("half", [{"requests": 1}, {"queue": 0}])
async def test_one_limit_alone_does_nothing(half):
    async with talking(Emulator(throttle=ThrottleSettings(**half))) as talk:
        assert {(await talk.get("/alarm/alarms")).status_code for _ in range(5)} == {200}


async def test_it_can_be_set_over_http_and_does_not_bind_the_control():
    emulator = Emulator()
    token = emulator.enable_control()
    async with talking(emulator) as talk:
        bearer = {"headers": {"Authorization": f"Bearer {token}"}, "auth": None}

        async def do(**body):
            return await talk.http.post("/__emulator__/actions", json={"do": "throttle", **body}, **bearer)

        for wrong in (
            {"requests": "1"}, {"requests": 0, "queue": 1}, {"requests": 1, "queue": 1.5},
            {"requests": 1, "queue": -1}, {"requests": True}, {"retryAfter": -1},
        ):  # fmt: skip
            assert (await do(**wrong)).status_code == 422
        assert (await do(requests=1, queue=0)).status_code == 200
        replies = [await talk.get("/alarm/alarms") for _ in range(3)]
        assert [reply.status_code for reply in replies] == [200, 429, 429]
        assert "retry-after" not in replies[1].headers
        state = (await talk.http.get("/__emulator__/state", **bearer)).json()["throttle"]
        assert state == {"requests": 1, "queue": 0, "retryAfter": None, "delayed": 0, "refused": 2}
        assert (await do()).status_code == 200  # off again
        assert (await talk.get("/alarm/alarms")).status_code == 200


@given(st.floats(0.1, 50), st.integers(0, 20), st.lists(st.floats(0, 2), min_size=1, max_size=60))
def test_no_second_lets_through_more_than_twice_the_rate_and_nobody_overtakes(rate, room, pauses):
    throttle = Throttle(ThrottleSettings(requests=rate, queue=room))
    now, passed = 0.0, []
    for pause in pauses:
        now += pause
        try:
            wait = throttle.admit(now)
        except RefusedError:
            continue
        assert wait <= room / rate + 1e-6
        passed.append(now + wait)
    assert all(one <= later + 1e-6 for one, later in pairwise(passed))
    for at in passed:
        assert sum(at <= other < at + 1 for other in passed) <= max(1, rate) + rate + 1
    assert len(passed) + throttle.refused == len(pauses)


@pytest.mark.parametrize(
    "wrong", [{"requests": 0}, {"queue": -1}, {"requests": float("nan")}, {"retry_after": -1}]
)
def test_what_is_no_limit_is_refused(wrong):
    with pytest.raises(ValueError, match="0"):
        ThrottleSettings(**wrong)
