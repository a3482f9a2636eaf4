"""The retry decision as a table, and the calls that are really repeated, under a clock that jumps."""

import random
import sys

import anyio
import httpx
import pytest
from http_fakes import answer, core

from tocsin._http._request import Request, Timeouts
from tocsin._http._retry import RetryPolicy, wait_before_retry
from tocsin.errors import (
    ConfigurationError,
    ConnectError,
    ProtocolError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    StatusError,
    TransportError,
)

POLICY = RetryPolicy(attempts=4, total=45, wait_initial=1, wait_max=8, retry_after_max=60)
GET, PUT, POST = (Request(method, "/alarm/alarms", body=b"{}") for method in ("GET", "PUT", "POST"))


def decide(error, *, attempt=1, elapsed=0.0, limit=60.0, idempotent=True, draw=1.0, policy=POLICY):
    return wait_before_retry(
        policy, error, attempt=attempt, elapsed=elapsed, limit=limit, idempotent=idempotent, draw=draw
    )


def status(code, retry_after=None):
    return StatusError("x", status=code, retry_after=retry_after)


@pytest.mark.parametrize(
    ("error", "repeatable", "other"),
    [
        (ConnectError("refused"), True, True),
        (TransportError("broke", maybe_applied=True), True, False),
        (TransportError("broke", maybe_applied=False), True, True),
        (RequestTimeoutError("silent", maybe_applied=True), True, False),
        (ConnectError("bad certificate", permanent=True), False, False),
        (status(429), True, True),
        (status(429, 3), True, True),
        (status(503), True, False),
        (status(503, 3), True, True),
        (status(500), True, False),
        (status(500, 3), True, False),
        (status(502), True, False),
        (status(504), True, False),
        (status(408), True, False),
        (status(501), False, False),
        (status(505), False, False),
        (status(400), False, False),
        (status(401), False, False),
        (status(403), False, False),
        (status(404), False, False),
        (status(409), False, False),
        (status(413), False, False),
        (status(422), False, False),
        (ProtocolError("redirect"), False, False),
        (ConfigurationError("misuse"), False, False),
        (KeyError("a bug"), False, False),
    ],
)
def test_what_is_worth_another_attempt(error, repeatable, other):
    assert (decide(error) is not None) is repeatable
    assert (decide(error, idempotent=False) is not None) is other


@pytest.mark.parametrize(
    ("attempt", "draw", "wait"),
    [(1, 1.0, 1), (2, 1.0, 2), (3, 1.0, 4), (3, 0.5, 2), (3, 0.0, 0), (20, 1.0, 8), (5000, 1.0, 8)],
)
def test_waits_double_up_to_the_greatest_and_are_drawn_in_full(attempt, draw, wait):
    policy = RetryPolicy(attempts=10_000, total=45, wait_initial=1, wait_max=8)
    assert decide(status(500), attempt=attempt, draw=draw, policy=policy) == wait


@pytest.mark.parametrize(
    ("retry_after", "draw", "wait"),
    [(0, 0.0, 0), (0, 1.0, 1), (7, 0.0, 7), (7, 1.0, 8), (44, 0.5, 44.5), (45, 0.0, None), (61, 0.0, None)],
)
def test_retry_after_is_obeyed_up_to_the_cap(retry_after, draw, wait):
    assert decide(status(429, retry_after), draw=draw) == wait


def test_more_than_the_cap_is_not_waited_for():
    patient = RetryPolicy(total=1000, retry_after_max=60)
    assert decide(status(503, 60), limit=1000, draw=0.0, policy=patient) == 60
    assert decide(status(503, 60.1), limit=1000, draw=0.0, policy=patient) is None


@pytest.mark.parametrize(
    ("attempt", "elapsed", "limit", "again"),
    [
        (3, 0, 60, True),
        (4, 0, 60, False),
        (1, 43.9, 60, True),
        (1, 44, 60, False),
        (1, 4, 5, False),
        (1, 3.9, 5, True),
    ],
)
def test_attempts_and_both_total_times_are_limits(attempt, elapsed, limit, again):
    found = decide(status(500), attempt=attempt, elapsed=elapsed, limit=limit, draw=1.0 / 2 ** (attempt - 1))
    assert (found is not None) is again


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": "3"},
        {"attempts": True},
        {"total": None},
        {"total": -1},
        {"wait_initial": -1},
        {"wait_max": float("nan")},
        {"retry_after_max": -1},
    ],
)
def test_policies_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


class Draws(random.Random):
    """Always the same draw."""

    def __init__(self, value):
        super().__init__(0)
        self.value = value

    def random(self):
        return self.value


@pytest.mark.virtual_time
async def test_a_get_is_repeated_until_it_succeeds_with_growing_waits():
    client, wire = core(
        answer(500), httpx.ReadError("gone"), answer(429), answer(json={"ok": True}), rng=Draws(1.0)
    )
    async with client:
        response = await client.send(GET)
    assert response.json() == {"ok": True}
    assert response.attempts == 4
    assert [b - a for a, b in zip(wire.at, wire.at[1:], strict=False)] == pytest.approx([0.5, 1.0, 2.0])
    assert all(r.closed == 1 for r in (a.stream for a in wire.answers))


@pytest.mark.virtual_time
async def test_the_last_error_is_raised_as_itself_with_its_count():
    client, wire = core(
        httpx.ReadError("first"), answer(502), answer(503, body=b"third"), answer(500, body=b"fourth")
    )
    async with client:
        with pytest.raises(ServerError, match=r"500 Internal Server Error: fourth \(4 attempts\)$") as caught:
            await client.send(GET)
    assert wire.count["requests"] == 4
    assert caught.value.attempts == 4
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.virtual_time
async def test_a_post_that_may_have_been_applied_is_not_repeated():
    client, wire = core(httpx.ReadError("gone"))
    async with client:
        with pytest.raises(TransportError, match="may have been applied") as caught:
            await client.send(POST)
    assert wire.count["requests"] == 1
    assert caught.value.maybe_applied is True
    assert type(caught.value) is TransportError


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    "fault",
    [httpx.ConnectError("x"), httpx.ConnectTimeout("x"), httpx.PoolTimeout("x"), httpx.ProxyError("502 x")],
)
async def test_a_post_that_never_left_is_repeated(fault):
    client, wire = core(fault, answer(201, json={"id": "1"}))
    async with client:
        assert (await client.send(POST)).status == 201
    assert wire.count["requests"] == 2
    assert wire.bodies == [b"{}", b"{}"]


@pytest.mark.virtual_time
async def test_a_put_that_failed_in_doubt_stays_in_doubt():
    client, _ = core(httpx.ReadError("gone"), httpx.ConnectError("refused"))
    async with client:
        with pytest.raises(ConnectError, match="may have been applied") as caught:
            await client.send(PUT)
    assert caught.value.maybe_applied is True
    assert caught.value.attempts == 4


@pytest.mark.virtual_time
async def test_a_get_is_never_said_to_have_been_applied():
    client, _ = core(httpx.ReadError("gone"))
    async with client:
        with pytest.raises(TransportError) as caught:
            await client.send(GET)
    assert caught.value.maybe_applied is False
    assert "applied" not in str(caught.value)


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:47 GMT", "Date": "Sun, 06 Nov 1994 08:49:37 GMT"}, 10),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:27 GMT", "Date": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0),
    ],
)
async def test_a_refused_post_waits_as_the_server_says(headers, waited):
    client, wire = core(answer(503, headers=headers), answer(201, json={}), rng=Draws(0.0))
    async with client:
        await client.send(POST)
    assert wire.at[1] - wire.at[0] == pytest.approx(waited)


@pytest.mark.virtual_time
async def test_more_than_the_cap_is_not_waited_for_but_told():
    client, wire = core(answer(429, headers={"Retry-After": "3600"}))
    async with client:
        with pytest.raises(RateLimitError) as caught:
            await client.send(GET)
    assert caught.value.retry_after == 3600
    assert wire.count["requests"] == 1


@pytest.mark.virtual_time
async def test_no_retries_means_one_request():
    client, wire = core(answer(500), retry=RetryPolicy.none())
    async with client:
        with pytest.raises(ServerError):
            await client.send(GET)
        with pytest.raises(ServerError):
            await client.send(Request("GET", "/x", retry=RetryPolicy(attempts=3)))
    assert wire.count["requests"] == 1 + 3


@pytest.mark.virtual_time
async def test_the_total_time_ends_a_call_that_only_waits():
    """Attempts of 9 s each: the policy's 20 s let a third one begin, the call's 22 s cut it."""

    async def slow():
        await anyio.sleep(9)
        return answer(500)()

    client, wire = core(
        slow, retry=RetryPolicy(attempts=9, total=20), timeouts=Timeouts(total=22), rng=Draws(0.0)
    )
    async with client:
        started = anyio.current_time()
        with pytest.raises(
            RequestTimeoutError, match=r"within 22 s \(3 attempts\); the request may have been"
        ) as caught:
            await client.send(PUT)
        assert anyio.current_time() - started == pytest.approx(22)
    assert caught.value.maybe_applied is True
    assert wire.count["requests"] == 3


@pytest.mark.virtual_time
@pytest.mark.parametrize("cancel_at", [0.25, 1.0])
async def test_cancelling_in_a_wait_or_in_an_attempt_ends_the_call_as_cancelled(cancel_at):
    async def first_fails_then_hangs():
        if wire.count["requests"] > 1:
            await anyio.sleep_forever()
        return answer(500)()

    client, wire = core(first_fails_then_hangs, rng=Draws(1.0), timeouts=Timeouts(total=None))
    async with client:
        with anyio.move_on_after(cancel_at) as scope:
            await client.send(GET)
    assert scope.cancelled_caught
    assert wire.in_flight == 0


async def test_errors_that_are_not_ours_pass_the_retries():
    client, wire = core(answer(500), RuntimeError("a bug"), rng=Draws(0.0))
    async with client:
        with pytest.raises(RuntimeError, match="a bug"):
            await client.send(GET)
    assert wire.count["requests"] == 2


def test_a_call_that_succeeds_does_not_load_tenacity():
    import subprocess

    script = """if True:
        import anyio, sys
        sys.path.insert(0, {folder!r})
        from http_fakes import answer, core
        from tocsin._http._request import Request
        async def main():
            client, _ = core(answer(json=1))
            async with client:
                await client.send(Request("GET", "/"))
            print("tenacity" in sys.modules)
            client, _ = core(answer(503), answer(json=1))
            async with client:
                await client.send(Request("GET", "/"))
            print("tenacity" in sys.modules)
        anyio.run(main)
    """
    folder = __file__.rpartition("/")[0]
    done = subprocess.run(
        [sys.executable, "-c", script.format(folder=folder)],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stdout.split() == ["False", "True"]
