"""What a consumer does next after each failure, without I/O and clock."""

from __future__ import annotations

import pytest

from tocsin._stream._backoff import ReconnectPolicy
from tocsin._stream._channel_terms import ChannelClosedError
from tocsin.cumulocity.notification2._course import Course, Step
from tocsin.errors import (
    AuthenticationError,
    ConflictError,
    ConnectError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    StatusError,
    TocsinError,
    TransportError,
    UnprocessableError,
)


def refused(kind: type[StatusError], status: int, retry_after: float | None = None) -> StatusError:
    return kind("no", status=status, retry_after=retry_after)


def opened(*, policy: ReconnectPolicy | None = None) -> Course:
    course = Course(policy or ReconnectPolicy())
    course.subscribed()
    course.got_token()
    course.opened(0.0)
    return course


def opening(course: Course, *, fresh: bool) -> Course:
    course.failed(ChannelClosedError("bye", code=1006), 100.0, 0.5)
    assert course.step is Step.OPEN
    if fresh:
        course.expired()
        course.got_token()
    return course


@pytest.mark.parametrize("code", [None, 1000, 1001, 1002, 1006, 1011, 4000])
def test_whatever_the_close_code_it_connects_again_with_the_same_token(code: int | None) -> None:
    course = opened()
    course.failed(ChannelClosedError("bye", code=code), 100.0, 0.5)
    assert course.step is Step.OPEN
    assert 100.0 < course.at <= 101.0


def test_waits_grow_until_a_socket_has_lasted() -> None:
    course = opened()
    waits = []
    now = 0.0
    for _ in range(12):
        course.failed(ChannelClosedError("bye", code=1000), now, 0.999)
        waits.append(course.at - now)
        now = course.at
        course.opened(now)
    assert waits == sorted(waits)
    assert waits[-1] > 30
    course.failed(ChannelClosedError("bye", code=1000), now + 60, 0.999)
    assert course.at - now - 60 < 1.0


def test_a_token_that_is_refused_is_made_anew_at_once_and_once() -> None:
    course = opening(opened(), fresh=False)
    course.failed(refused(AuthenticationError, 401), 200.0, 0.9)
    assert (course.step, course.at) == (Step.TOKEN, 200.0)
    course.got_token()
    course.failed(refused(AuthenticationError, 401), 200.0, 0.9)
    assert course.step is Step.TOKEN
    assert course.at > 200.0
    for _ in range(2):
        course.got_token()
        course.failed(refused(AuthenticationError, 401), 300.0, 0.9)
    assert course.step is Step.OVER
    assert isinstance(course.error, AuthenticationError)


@pytest.mark.parametrize(
    "error",
    [
        refused(AuthenticationError, 401),
        refused(PermissionDeniedError, 403),
        refused(NotFoundError, 404),
        refused(UnprocessableError, 422),
        TransportError("certificate", permanent=True),
    ],
)
def test_what_can_never_work_ends_it_before_it_ever_did(error: TocsinError) -> None:
    course = Course(ReconnectPolicy())
    course.subscribed()
    course.failed(error, 0.0, 0.5)
    assert course.step is Step.OVER
    assert course.error is error


@pytest.mark.parametrize(
    ("error", "step"),
    [
        (refused(PermissionDeniedError, 403), Step.TOKEN),
        (refused(NotFoundError, 404), Step.SUBSCRIBE),
        (refused(UnprocessableError, 422), Step.SUBSCRIBE),
        (refused(ServerError, 503), Step.TOKEN),
        (ConnectError("refused"), Step.TOKEN),
    ],
)
def test_a_consumer_that_was_connected_goes_on(error: TocsinError, step: Step) -> None:
    course = opening(opened(), fresh=False)
    course.expired()
    course.failed(error, 200.0, 0.5)
    assert course.step is step
    assert course.at > 200.0


def test_a_consumer_that_is_held_elsewhere_is_waited_for() -> None:
    course = Course(ReconnectPolicy())
    course.subscribed()
    course.got_token()
    for n in range(50):
        now = course.at
        course.failed(refused(ConflictError, 409), now, n / 50)
        assert course.step is Step.OPEN
        assert 5.0 <= course.at - now <= 10.0
    assert "another connection" in course.cause


def test_retry_after_and_the_number_of_attempts_are_obeyed() -> None:
    course = opened(policy=ReconnectPolicy(attempts=2))
    course.failed(ConnectError("refused"), 100.0, 0.0)
    course.failed(refused(RateLimitError, 429, 40.0), 101.0, 0.0)
    assert course.at >= 141.0
    assert course.step is Step.OVER


def test_a_new_socket_that_was_asked_for_looks_at_the_subscription_again() -> None:
    course = opened()
    course.failed(ChannelClosedError("given up"), 100.0, 0.0)
    course.renewed()
    assert course.step is Step.SUBSCRIBE
    course.subscribed()
    assert course.step is Step.TOKEN
