"""The session as a pure function: subscriptions, dispatch, leaving."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol.bayeux.bayeux_player import RETRY, Player, bad, event, handshaken, messages, ok
from tocsin.bayeux._outputs import (
    Alive,
    Arrived,
    Closed,
    Dropped,
    Kind,
    Lost,
    Stands,
    Unreadable,
)
from tocsin.bayeux._state import State
from tocsin.errors import (
    AuthenticationError,
)

HANDSHAKE = {"reconnect": "handshake", "interval": 0}
NONE = {"reconnect": "none"}

pytestmark = pytest.mark.usefixtures("way")


# ── subscriptions ──────────────────────────────────────────────────────────────────────────────────────


def test_one_channel_is_subscribed_once_and_unsubscribed_after_the_last() -> None:
    """bayeux.md 6.35."""
    p = Player("/a", "/a", "/b")
    p.shake()
    assert [m["subscription"] for m in messages(p.subscribe())] == ["/a", "/b"]
    p.connect()
    p.one(Kind.CONNECT)
    p.session.unwant("/a")
    assert p.go() == []
    p.session.unwant("/a")
    (message,) = messages(p.subscribe())
    assert (message["channel"], message["subscription"]) == ("/meta/unsubscribe", "/a")
    assert not p.session.holds("/a")


def test_what_is_let_go_during_a_handshake_is_not_subscribed() -> None:
    """bayeux.md 6.36."""
    p = Player("/a", "/b")
    p.up()
    p.session.renew(p.now, "x", 0.5)
    send = p.one(Kind.HANDSHAKE)
    p.session.unwant("/b")
    p.reply(send, handshaken(send, "c2"))
    assert [m["subscription"] for m in messages(p.subscribe())] == ["/a"]


def test_let_go_and_wanted_again_while_the_command_is_out() -> None:
    p = Player("/a", "/keep")
    p.shake()
    send = p.one()
    p.session.unwant("/a")
    p.reply(send, *(ok(m) for m in messages(send)))
    p.connect()
    p.session.want("/a")
    p.one(Kind.CONNECT)  # it stands, and is wanted: nothing to do
    p.session.unwant("/a")
    out = p.one(Kind.COMMAND)
    p.session.want("/a")
    p.reply(out, *(ok(m) for m in messages(out)))
    assert [m["channel"] for m in messages(p.subscribe())] == ["/meta/subscribe"]


def test_an_event_with_the_id_of_a_request_resolves_nothing() -> None:
    """bayeux.md 6.37."""
    p = Player("/a")
    p.up()
    send = p.one()
    p.session.want("/b")
    command = p.one(Kind.COMMAND)
    p.reply(
        command, event("/a", 1, id=send.ids[0]), event("/a", 2, id=command.ids[0]), ok(messages(command)[0])
    )
    (arrived,) = p.seen(Arrived)
    assert len(arrived.events) == 2
    assert not arrived.ordered
    assert p.go() == []
    p.reply(send, event("/a", 3, id=send.ids[0]), ok(messages(send)[0]))
    assert len(p.seen(Alive)) == 2


def test_a_reply_with_our_id_on_another_channel_is_not_ours() -> None:
    """bayeux.md 6.37."""
    p = Player("/a")
    p.up()
    send = p.one()
    p.reply(send, {**bad(messages(send)[0], "402::x", advice=HANDSHAKE), "channel": "/meta/subscribe"})
    assert p.session.state is State.RETRYING
    assert p.session.number == 1


def test_a_command_is_answered_on_its_own_channel_only() -> None:
    """bayeux.md 6.37."""
    p = Player("/a")
    p.shake()
    send = p.one()
    p.reply(send, {**ok(messages(send)[0], subscription="/a"), "channel": "/meta/unsubscribe"})
    assert p.seen(Stands) == []
    p.wait()
    p.subscribe()


def test_what_an_old_link_still_brings_is_ignored() -> None:
    """bayeux.md 2.6: it was told as a loss already."""
    p = Player("/a")
    p.up()
    held = p.one()
    p.session.renew(p.now, "x", 0.5)
    p.reply(held, event("/a", 1), ok(messages(held)[0]))
    p.body(held, b"<html>")
    assert p.seen(Arrived) == []
    assert len(p.seen(Lost)) == 1


def test_a_refused_channel_is_asked_for_again_by_the_next_who_wants_it() -> None:
    p = Player("/a", "/b")
    p.shake()
    send = p.one()
    p.reply(send, ok(messages(send)[0]), bad(messages(send)[1], "403::not yet"))
    p.connect()
    p.one(Kind.CONNECT)
    p.session.want("/b")
    p.subscribe()
    assert [o.channel for o in p.seen(Stands)] == ["/a", "/b"]


def test_what_was_let_go_in_an_outage_is_forgotten_with_the_session() -> None:
    p = Player("/a", "/b")
    p.up()
    p.fail(p.one())
    p.session.unwant("/b")
    assert p.session.holds("/b")
    p.session.renew(p.now, "x", 0.5)
    assert not p.session.holds("/b")


def test_unreadable_elements_are_told() -> None:
    """bayeux.md 6.40."""
    p = Player("/a")
    p.up()
    p.connect(event("/a", 1), {"channel": "/a"})
    assert [json.loads(o.raw) for o in p.seen(Unreadable)] == [{"channel": "/a"}]
    assert len(p.seen(Arrived)) == 1


def test_commands_wait_for_one_another() -> None:
    """bayeux.md 6.57: one poll and one command make two connections, never three."""
    p = Player("/a")
    p.up()
    p.one(Kind.CONNECT)
    p.session.want("/b")
    send = p.one(Kind.COMMAND)
    p.session.want("/c")
    p.session.want("/d")
    assert p.go() == []
    p.reply(send, *(ok(m) for m in messages(send)))
    assert len(messages(p.one(Kind.COMMAND))) == 2


def test_events_may_bring_advice() -> None:
    p = Player("/a")
    p.up()
    p.connect(event("/a", 1, advice={"interval": 4000}))
    assert p.wait() == 4


# ── leaving ────────────────────────────────────────────────────────────────────────────────────────────


def test_leaving_disconnects_beside_the_held_connect() -> None:
    """bayeux.md 6.48, 6.49: the released connect, with `retry` as faye gives it, starts nothing."""
    p = Player("/a")
    p.up()
    held = p.one(Kind.CONNECT)
    p.session.unwant("/a")
    send = p.one(Kind.COMMAND)
    assert messages(send)[0]["channel"] == "/meta/disconnect"
    p.reply(held, ok(messages(held)[0], advice=RETRY))
    assert p.go() == []
    p.reply(send, ok(messages(send)[0]))
    assert p.session.state is State.CLOSED
    assert p.seen(Closed) == [Closed(None)]
    assert p.go() == []


@pytest.mark.parametrize("outcome", ["402", "lost", "silence", "empty"])
def test_leaving_ends_whatever_the_server_does(outcome: str) -> None:
    """bayeux.md 6.48, 6.52."""
    p = Player("/a", close_timeout=2)
    p.up()
    p.one(Kind.CONNECT)
    p.session.close(p.now)
    send = p.one(Kind.COMMAND)
    assert send.total == 2
    if outcome == "402":
        p.reply(send, bad(messages(send)[0], "402::session_unknown", advice=HANDSHAKE))
    elif outcome == "lost":
        p.fail(send)
    elif outcome == "empty":
        p.reply(send)
    else:
        assert p.wait() == 2
        p.go()
    assert p.session.state is State.CLOSED
    p.session.close(p.now)  # twice is harmless
    assert p.go() == []


def test_leaving_waits_for_the_command_that_is_out() -> None:
    p = Player("/a")
    p.up()
    p.one(Kind.CONNECT)
    p.session.want("/b")
    command = p.one(Kind.COMMAND)
    p.session.close(p.now)
    assert p.go() == []
    p.reply(command, *(ok(m) for m in messages(command)))
    p.reply(p.one(Kind.COMMAND), {"channel": "/meta/disconnect", "successful": True})
    assert p.session.state is State.CLOSED


def test_a_handshake_that_is_answered_while_leaving_leaves_no_session_behind() -> None:
    """Design §2, promise 7."""
    p = Player("/a")
    send = p.one()
    p.session.close(p.now)
    assert p.go() == []
    p.reply(send, handshaken(send, "late"))
    assert messages(p.one())[0]["clientId"] == "late"


def test_wanted_again_while_leaving_begins_anew() -> None:
    p = Player("/a")
    p.up()
    p.one(Kind.CONNECT)
    p.session.unwant("/a")
    send = p.one()
    p.session.want("/a")
    assert p.go() == []
    p.reply(send, ok(messages(send)[0]))
    p.up()
    assert p.session.number == 2


def test_let_go_and_wanted_in_one_breath_keeps_the_session() -> None:
    p = Player("/a")
    p.up()
    p.one(Kind.CONNECT)
    p.session.unwant("/a")
    p.session.want("/a")
    assert p.go() == []
    assert p.session.state is State.CONNECTED


@pytest.mark.parametrize(
    ("advice", "state"), [(None, State.HANDSHAKING), (NONE, State.CLOSED), (RETRY, State.HANDSHAKING)]
)
def test_a_server_that_ends_the_session_is_obeyed(advice: Any, state: State) -> None:
    """bayeux.md 6.53: by default a new handshake, with backoff."""
    p = Player("/a")
    p.up()
    send = p.one()
    extra = {"advice": advice} if advice else {}
    p.reply(send, {"channel": "/meta/disconnect", "successful": True, **extra}, ok(messages(send)[0]))
    assert p.session.state is state
    if state is State.HANDSHAKING:
        assert p.wait() == 0.5


def test_a_renewed_session_says_goodbye_to_the_old_one() -> None:
    p = Player("/a")
    p.up()
    p.one(Kind.CONNECT)
    p.session.renew(p.now, "it seems deaf", 0.5)
    p.collect()
    (dropped,) = p.seen(Dropped)
    assert json.loads(dropped.farewell or b"")[0]["clientId"] == "c1"
    (lost,) = p.seen(Lost)
    assert (lost.cause, lost.session_lost) == ("it seems deaf", True)
    p.shake("c2")


def test_a_fatal_end_can_be_followed_by_a_new_wish() -> None:
    p = Player("/a")
    p.fail(p.one(), AuthenticationError("no", status=401))
    p.session.want("/a")
    p.up()
    assert p.session.state is State.CONNECTED


def test_a_handshake_that_is_refused_while_leaving_ends_it() -> None:
    p = Player("/a")
    send = p.one()
    p.session.close(p.now)
    p.reply(send, bad(messages(send)[0], "500::busy"))
    assert p.session.state is State.CLOSED
    assert p.seen(Closed) == [Closed(None)]


def test_what_a_late_subscribe_brings_while_leaving_starts_nothing() -> None:
    p = Player("/a", "/b")
    p.up()
    p.one(Kind.CONNECT)
    p.session.want("/c")
    command = p.one(Kind.COMMAND)
    p.session.close(p.now)
    p.reply(command, bad(messages(command)[0], "402::session_unknown", advice={"reconnect": "handshake"}))
    assert p.session.state is State.DISCONNECTING
    assert messages(p.one())[0]["channel"] == "/meta/disconnect"
