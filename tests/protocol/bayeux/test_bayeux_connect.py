"""The session as a pure function: the connect loop."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol.bayeux.bayeux_player import RETRY, Player, bad, event, messages, ok
from tocsin.bayeux._failures import HeldTooLongError
from tocsin.bayeux._outputs import (
    Alive,
    Arrived,
    Closed,
    Kind,
    Lost,
    Notice,
)
from tocsin.bayeux._state import State
from tocsin.errors import (
    ProtocolError,
    ServerError,
)

HANDSHAKE = {"reconnect": "handshake", "interval": 0}
NONE = {"reconnect": "none"}

pytestmark = pytest.mark.usefixtures("way")


# ── connect loop ───────────────────────────────────────────────────────────────────────────────────────


def test_the_first_connect_and_those_after_a_failure_are_answered_at_once() -> None:
    """bayeux.md 6.11."""
    p = Player("/a")
    p.shake()
    p.subscribe()
    asked = []
    for outcome in ("good", "good", "fail", "good", "good"):
        send = p.one(Kind.CONNECT)
        asked.append(messages(send)[0]["advice"]["timeout"])
        assert send.held == asked[-1] / 1000
        if outcome == "fail":
            p.fail(send)
            p.wait()
        else:
            p.reply(send, ok(messages(send)[0]))
    assert asked == [0, 30000, 30000, 0, 30000]


@pytest.mark.parametrize(("interval", "wait"), [(0, 0), (1000, 1), (3000, 3), (50, 0.05)])
def test_the_interval_is_milliseconds(interval: int, wait: float) -> None:
    """bayeux.md 6.12."""
    p = Player("/a")
    p.shake()
    p.subscribe()
    p.connect(advice={**RETRY, "interval": interval})
    assert p.session.deadline() == p.now + wait
    if wait:
        p.now += wait * 0.99
        assert p.go() == []
    p.wait()
    p.one(Kind.CONNECT)


def test_a_negative_interval_ends_it_aloud() -> None:
    """bayeux.md 6.12: never connect again; a stream that is deaf says so."""
    p = Player("/a")
    p.shake()
    p.subscribe()
    p.connect(advice={**RETRY, "interval": -1})
    assert isinstance(p.seen(Closed)[0].error, ProtocolError)
    p.now += 10**6
    assert p.go() == []


def test_a_long_interval_is_obeyed_and_told() -> None:
    p = Player("/a")
    p.shake()
    p.subscribe()
    p.connect(advice={**RETRY, "interval": 90_000})
    (lost,) = p.seen(Lost)
    assert not lost.session_lost
    assert p.wait() == 90


def test_advice_holds_until_replaced_and_the_transports_own_section_wins() -> None:
    """bayeux.md 6.13."""
    p = Player("/a")
    p.shake(advice={"interval": 1000, "long-polling": {"interval": 2000}})
    p.subscribe()
    waits = []
    for advice in (None, None, {"interval": 500}, None, {"reconnect": "retry"}):
        p.connect(event("/a", 1), advice=advice)
        waits.append(p.wait())
    assert waits == [2, 2, 0.5, 0.5, 0]


def test_limits_of_each_exchange() -> None:
    """bayeux.md 6.14, 6.15: silence and the whole are limited; 0 or missing never means no limit."""
    p = Player("/a")
    handshake = p.shake(advice={"timeout": 5_400_000})
    command, first = p.subscribe(), p.connect(advice={"timeout": 0})
    held = p.one()
    assert (handshake.total, command.total, first.total) == (10, 10, 10)
    assert (first.silence, held.silence, held.total) == (10, 45, 40)


def test_a_server_that_holds_longer_than_asked_is_given_its_time() -> None:
    """It heartbeats, so it is alive: one failure teaches, instead of one every 40 s."""
    p = Player("/a")
    p.shake()
    p.subscribe()
    p.connect(advice={**RETRY, "timeout": 100_000})
    p.fail(p.one(), HeldTooLongError("still there"))
    p.wait()
    p.connect()
    assert p.one().total == 110


def test_a_late_reply_of_an_old_connect_is_ignored() -> None:
    """bayeux.md 6.16."""
    p = Player("/a")
    p.up()
    old = p.one(Kind.CONNECT)
    p.fail(old)
    p.wait()
    new = p.one(Kind.CONNECT)
    p.seen(Lost)
    p.body(old, json.dumps([bad(messages(old)[0], "402::x", advice=HANDSHAKE)]).encode())
    p.fail(old, ServerError("", status=500))
    assert p.seen(Lost) == []
    assert p.go() == []
    p.reply(new, ok(messages(new)[0]))
    assert p.session.state is State.CONNECTED


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_reply_may_stand_anywhere_among_the_events(place: int) -> None:
    """bayeux.md 6.17: CometD puts it last, faye first."""
    p = Player("/a/*")
    p.up()
    send = p.one()
    answers = [event("/a/1", 1), event("/a/2", 2)]
    answers.insert(place, ok(messages(send)[0]))
    p.reply(send, *answers)
    (arrived,) = p.seen(Arrived)
    assert [e.data for e in arrived.events] == [b"1", b"2"]
    assert arrived.ordered
    p.one(Kind.CONNECT)


@pytest.mark.parametrize("way", ["polls"], indirect=True)  # else they wait for no reply
def test_events_without_a_connect_reply_go_on_after_the_least_delay() -> None:
    """bayeux.md 6.18."""
    p = Player("/a/*")
    p.up()
    p.seen(Lost)
    p.reply(p.one(), event("/a/1", 1))
    assert len(p.seen(Arrived)) == 1
    assert p.seen(Lost) == []
    assert p.wait() == 1.0
    p.one(Kind.CONNECT)


@pytest.mark.parametrize(
    "shape",
    ["bare", "spaces", "null", "no id", "int id"],
)
def test_odd_spellings_of_a_good_reply(shape: str) -> None:
    """bayeux.md 6.19."""
    p = Player("/a")
    p.shake()
    p.subscribe()
    send = p.one()
    answer: dict[str, Any] = ok(messages(send)[0])
    if shape == "null":
        answer.update(data=None, error="")
    if shape == "no id":
        del answer["id"]
    if shape == "int id":
        answer["id"] = int(answer["id"])
    raw = json.dumps(answer if shape == "bare" else [answer]).encode()
    p.body(send, b"      " + raw if shape == "spaces" else raw)
    assert p.session.state is State.CONNECTED
    assert len(p.seen(Alive)) == 1


@pytest.mark.parametrize(
    "body", [b"", b"<html>502</html>", b'[{"channel":"/meta/co', b'"hello"', b"[]", b"[17]", b"null"]
)
def test_junk_is_a_failure_that_is_told_and_tried_again(body: bytes) -> None:
    """bayeux.md 6.20, 6.28."""
    p = Player("/a")
    p.up()
    p.body(p.one(), body)
    (lost,) = p.seen(Lost)
    assert not lost.session_lost
    assert p.session.state is State.RETRYING
    assert p.wait() == 0.5
    assert messages(p.one(Kind.CONNECT))[0]["clientId"] == "c1"


def test_advice_on_a_success_is_obeyed() -> None:
    """bayeux.md 6.21."""
    p = Player("/a")
    p.up()
    p.connect(advice=HANDSHAKE)
    assert p.seen(Lost)[-1].session_lost
    p.shake("c2")
    p.subscribe()
    p.connect(advice=NONE)
    assert isinstance(p.seen(Closed)[0].error, ProtocolError)
    assert p.go() == []


def test_multiple_clients_is_obeyed_and_noted_once() -> None:
    p = Player("/a")
    p.shake()
    p.subscribe()
    for _ in range(3):
        p.connect(advice={"reconnect": "retry", "interval": 2000, "multiple-clients": True})
        assert p.wait() == 2
    assert len(p.seen(Notice)) == 1


def test_a_server_that_does_not_hold_connects_is_not_spun_on() -> None:
    """Design §2, promise 6."""
    p = Player("/a")
    p.up()
    begun = p.now
    for _ in range(100):
        p.connect()
        p.wait()
    assert p.now - begun > 400
    p.connect(event("/a", 1))  # but events are fetched as fast as they come
    assert p.wait() == 0


# ── what a good connect proves ─────────────────────────────────────────────────────────────────────────


def test_a_good_connect_proves_all_that_was_written_until_it_was_sent_and_no_more() -> None:
    """Its answer may have been on the way for any time: what was written meanwhile is behind it."""
    p = Player("/a")
    p.up()
    p.seen(Alive)
    send, sent = p.one(Kind.CONNECT), p.now
    p.now += 35
    p.reply(send, ok(messages(send)[0]))
    assert p.seen(Alive) == [Alive(sent)]


def test_it_proves_nothing_while_a_command_is_out_whose_answer_may_bring_what_was_queued_before() -> None:
    p = Player("/a")
    p.up()
    (proved,) = p.seen(Alive)
    p.now += 3
    p.session.want("/b")
    command, send = p.go()
    p.now += 1
    p.reply(send, ok(messages(send)[0]))
    assert p.seen(Alive) == [proved]
    send, sent = p.one(Kind.CONNECT), p.now
    p.reply(command, event("/a", 1), ok(messages(command)[0], subscription="/b"))
    p.now += 1
    p.reply(send, ok(messages(send)[0]))
    assert p.seen(Alive) == [Alive(sent)]
