"""Any server against the session: whatever it says, the rules hold and nothing is raised."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.bayeux.bayeux_player import Player, bad, event, handshaken, messages, ok
from tocsin.bayeux._outputs import Alive, Closed, Dropped, Kind, Lost, Send
from tocsin.bayeux._state import State
from tocsin.errors import ConnectError, RateLimitError, ServerError, TransportError

CHANNELS = ("/a", "/b", "/c/*")

pytestmark = pytest.mark.usefixtures("way")


class Rules:
    """What must hold whatever happens; told of each exchange as it starts and ends."""

    def __init__(self, player: Player) -> None:
        self.player = player

    def check(self) -> None:
        flying = [s for s in self.player.flying if s.link == self.link()]
        kinds = [s.kind for s in flying]
        assert kinds.count(Kind.CONNECT) <= 1
        assert kinds.count(Kind.COMMAND) <= 1
        assert kinds.count(Kind.HANDSHAKE) <= 1
        if Kind.HANDSHAKE in kinds:
            assert len(kinds) == 1, "a handshake goes alone"
        for send in flying:
            assert 0 < send.silence <= 45
            assert 0 < send.total <= 200
            if send.kind is not Kind.COMMAND:
                assert len(messages(send)) == 1

    def link(self) -> int:
        return self.player.session._course.link


def answer(rng: random.Random, player: Player, send: Send) -> None:
    """One of the ways in which servers and networks answer."""
    requests = messages(send)
    roll = rng.random()
    events = [event("/a", n, id=rng.choice(send.ids)) for n in range(rng.choice((0, 0, 1, 3)))]
    if roll < 0.12:
        player.fail(send, rng.choice([TransportError("cut"), ConnectError("no"), ServerError("", status=502),
                                      RateLimitError("", status=429, retry_after=3)]))  # fmt: skip
    elif roll < 0.16:
        player.body(send, rng.choice([b"", b"<html>", b"[", b"[]", b"[1]", b'{"channel":"/meta/connect"}']))
    elif roll < 0.20:
        player.reply(send, *events)
    elif roll < 0.25:
        player.reply(
            send, *(bad(m, "402::session_unknown", advice={"reconnect": "handshake"}) for m in requests)
        )
    elif roll < 0.28:
        player.reply(send, *(bad(m, "402::Unknown client") for m in requests))
    elif roll < 0.30:
        player.reply(send, {"channel": "/meta/disconnect", "successful": True}, *(ok(m) for m in requests))
    else:
        replies = [
            handshaken(send, f"c{rng.random()}") if m["channel"] == "/meta/handshake" else ok(m)
            for m in requests
        ]
        mixed = [*events, *replies]
        rng.shuffle(mixed)
        player.reply(send, *mixed)


@pytest.mark.parametrize("seed", range(4))
def test_a_thousand_cycles_of_random_failures_never_hold_two_connects(seed: int) -> None:
    """bayeux.md 6.10, 6.44: and nothing grows."""
    rng = random.Random(seed)
    player = Player(*CHANNELS)
    rules = Rules(player)
    cycles = 0
    for _ in range(20_000):
        player.jitter = rng.random()
        player.go()
        rules.check()
        player.flying = [s for s in player.flying if s.link == rules.link()]
        if player.flying and rng.random() < 0.8:
            send = rng.choice(player.flying)
            cycles += send.kind is Kind.CONNECT
            player.now += rng.random() * 5
            answer(rng, player, send)
        elif player.session.deadline() is not None:
            player.wait()
        elif rng.random() < 0.3:
            player.session.renew(player.now, "random", rng.random())
        if rng.random() < 0.1:
            player.session.want("/d")
            player.session.unwant("/d")
        player.collect()
        rules.check()
        if cycles >= 1000:
            break
    assert cycles >= 1000
    assert not player.seen(Closed)
    assert len(player.seen(Alive)) > 100
    assert len(player.seen(Dropped)) > 20
    assert len(player.session._channels._entries) == len(CHANNELS)
    # and it works in the end
    for _ in range(20):
        if player.session.state is State.CONNECTED and not player.session._channels.to_subscribe():
            break
        player.now += 100
        for send in (*player.flying, *player.go()):
            if send.link == rules.link():
                player.reply(send, *(handshaken(send) if m["channel"] == "/meta/handshake" else ok(m)
                                     for m in messages(send)))  # fmt: skip
    assert player.session.state is State.CONNECTED
    assert player.seen(Lost)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats() | st.text(max_size=5)
    | st.sampled_from(["none", "retry", "handshake", "402::Unknown client", "403::no", "/a", "c1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["reconnect", "interval", "timeout", "long-polling", "ack", "x"]), inner, max_size=4),
    max_leaves=6,
)  # fmt: skip
ELEMENT = st.dictionaries(
    st.sampled_from(["id", "successful", "error", "advice", "clientId", "subscription", "data", "version",
                     "supportedConnectionTypes", "ext"]),
    VALUES, max_size=6,
)  # fmt: skip
META = st.sampled_from(
    ["/meta/handshake", "/meta/connect", "/meta/subscribe", "/meta/disconnect", "/a", "/meta/x"]
)


@given(st.data())
@settings(max_examples=60)
def test_no_answer_makes_the_session_raise_or_break_its_rules(data: Any) -> None:
    """bayeux.md 6.20: hostile values in every field, ids guessed right."""
    player = Player("/a", "/b")
    rules = Rules(player)
    for _ in range(data.draw(st.integers(1, 15))):
        player.go()
        rules.check()
        player.flying = [s for s in player.flying if s.link == rules.link()]
        if not player.flying:
            if player.session.deadline() is None:
                return
            player.wait()
            continue
        send = player.flying[0]
        if data.draw(st.booleans()):
            player.reply(send, *(handshaken(send) if m["channel"] == "/meta/handshake" else ok(m)
                                 for m in messages(send)))  # fmt: skip
            continue
        elements = data.draw(st.lists(ELEMENT, max_size=3))
        for element in elements:
            element["channel"] = data.draw(META)
            if data.draw(st.booleans()):
                element["id"] = send.ids[0]
            if data.draw(st.booleans()):
                element["successful"] = data.draw(st.booleans())
        player.body(send, json.dumps(elements).encode())
        rules.check()


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=10))
def test_no_bytes_make_the_session_raise(bodies: list[bytes]) -> None:
    """bayeux.md 6.20."""
    player = Player("/a")
    for body in bodies:
        sends = player.go()
        if sends:
            player.body(sends[0], body)
        player.wait()
    assert player.session.state is State.HANDSHAKING
