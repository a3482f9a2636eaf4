"""The session as a pure function: the handshake, and the table of states."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.bayeux.bayeux_player import RETRY, Player, bad, event, messages, ok
from tocsin._stream._backoff import ReconnectPolicy
from tocsin.bayeux._outputs import (
    Arrived,
    Closed,
    Dropped,
    Kind,
    Lost,
)
from tocsin.bayeux._state import TRANSITIONS, State, Trigger, after
from tocsin.errors import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
)

HANDSHAKE = {"reconnect": "handshake", "interval": 0}
NONE = {"reconnect": "none"}

pytestmark = pytest.mark.usefixtures("way")


# ── handshake ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_handshake_goes_alone_and_complete() -> None:
    """bayeux.md 6.1."""
    p = Player("/a/1", "/a/2")
    (send,) = p.go()
    (message,) = messages(send)
    assert send.kind is Kind.HANDSHAKE
    assert message["channel"] == "/meta/handshake"
    assert message["version"] == message["minimumVersion"] == "1.0"
    assert message["supportedConnectionTypes"] == ["long-polling"]
    assert isinstance(message["id"], str)
    assert "clientId" not in message
    assert message["ext"] == {"ack": True}  # bayeux.md 6.45


def test_the_first_of_our_types_that_the_server_has_is_used() -> None:
    """bayeux.md 6.2: unknown types in the reply are ignored."""
    p = Player("/a", connection_types=("websocket", "long-polling"))
    p.shake(supportedConnectionTypes=["smartrest-long-polling", 7, "long-polling", "websocket"])
    p.subscribe()
    assert messages(p.one())[0]["connectionType"] == "websocket"


def test_a_reply_that_names_no_types_is_taken_at_its_word() -> None:
    p = Player("/a")
    send = p.one()
    p.reply(send, ok(messages(send)[0], clientId="c"))
    assert p.session.state is State.SUBSCRIBING


def test_no_common_type_is_fatal_and_names_both() -> None:
    """bayeux.md 6.3: although the server calls it a success; faye's advice to handshake is not followed."""
    p = Player("/a")
    p.shake(supportedConnectionTypes=["callback-polling", "eventsource"], advice=HANDSHAKE)
    (closed,) = p.seen(Closed)
    assert isinstance(closed.error, ConfigurationError)
    assert "long-polling" in str(closed.error)
    assert "eventsource" in str(closed.error)
    assert p.go() == []


@pytest.mark.parametrize(
    ("error", "advice", "kind"),
    [
        ("403::handshake_denied", NONE, PermissionDeniedError),
        ("403::Handshake denied", None, PermissionDeniedError),
        ("401::Authentication invalid", NONE, AuthenticationError),
        ("401::Authentication invalid", None, AuthenticationError),
        ("Authentication failed", NONE, ProtocolError),
    ],
)
def test_a_refused_handshake_is_fatal(error: str, advice: dict[str, Any] | None, kind: type) -> None:
    """bayeux.md 6.4: one request, and the server's words reach the caller."""
    p = Player("/a")
    send = p.one()
    p.reply(send, bad(messages(send)[0], error, **({"advice": advice} if advice else {})))
    (closed,) = p.seen(Closed)
    assert type(closed.error) is kind
    assert error in str(closed.error)
    assert p.session.state is State.CLOSED
    assert p.go() == []
    assert p.session.deadline() is None
    assert p.log == ["/meta/handshake"]


@pytest.mark.parametrize("advice", [HANDSHAKE, RETRY, None])
def test_a_handshake_that_fails_for_now_is_tried_again_ever_slower_up_to_a_limit(advice: Any) -> None:
    """bayeux.md 6.5."""
    p = Player("/a", reconnect=ReconnectPolicy(attempts=5, multiplier=2))
    waits = []
    for _ in range(5):
        send = p.one(Kind.HANDSHAKE)
        p.reply(send, bad(messages(send)[0], "500::busy", **({"advice": advice} if advice else {})))
        if p.session.state is not State.CLOSED:
            waits.append(p.wait())
    assert waits == [0.5, 1, 2, 4]  # jitter ½ of 1, 2, 4, 8
    (closed,) = p.seen(Closed)
    assert "500::busy" in str(closed.error)


@pytest.mark.parametrize(
    "error", [AuthenticationError("no", status=401), PermissionDeniedError("no", status=403)]
)
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_http_401_or_403_is_fatal_at_every_stage(error: Any, stage: int) -> None:
    """bayeux.md 6.6: the authentication flow below has had its one renewal."""
    p = Player("/a")
    for step in (p.shake, p.subscribe, p.connect)[:stage]:
        step()
    p.fail(p.one(), error)
    (closed,) = p.seen(Closed)
    assert closed.error is error
    assert len(p.seen(Dropped)) == 1
    assert p.go() == []


def test_a_new_session_starts_without_the_old_ones_advice() -> None:
    """bayeux.md 6.7."""
    p = Player("/a")
    p.shake()
    p.subscribe()
    p.connect(advice={"reconnect": "retry", "interval": 7000})
    assert p.wait() == 7
    send = p.one()
    p.reply(send, bad(messages(send)[0], "402::Unknown client"))  # the 7 s are still in force here
    assert p.wait() == 7
    p.shake("c2")
    p.subscribe()
    p.connect()
    assert p.wait() == 0


def test_ext_is_made_anew_for_every_handshake() -> None:
    """bayeux.md 6.8: from current credentials, also in automatic handshakes."""
    tokens = iter("abc")
    p = Player("/a", handshake_ext=lambda: {"token": next(tokens)})
    assert messages(p.shake())[0]["ext"] == {"ack": True, "token": "a"}
    p.subscribe()
    send = p.one()
    p.reply(send, bad(messages(send)[0], "402::x", advice=HANDSHAKE))
    assert messages(p.one())[0]["ext"] == {"ack": True, "token": "b"}


def test_many_wishes_make_one_handshake() -> None:
    """bayeux.md 6.9."""
    p = Player("/a")
    p.go()
    p.session.want("/b")
    p.session.renew(p.now, "me too", 0.5)
    assert p.go() == []
    assert p.log == ["/meta/handshake"]


@pytest.mark.parametrize("version", ["0.9", "0", "0.9.1"])
def test_a_server_of_the_time_before_is_refused(version: str) -> None:
    """bayeux.md 1.8."""
    p = Player("/a")
    p.shake(version=version)
    assert version in str(p.seen(Closed)[0].error)


@pytest.mark.parametrize("version", ["1.0", "1.0beta", "1", "2.1", None, 1.0])
def test_other_versions_are_fine(version: Any) -> None:
    """bayeux.md 1.8."""
    p = Player("/a")
    p.shake(version=version)
    assert p.session.state is State.SUBSCRIBING


def test_a_handshake_without_client_id_or_answer_is_tried_again() -> None:
    p = Player("/a")
    send = p.one()
    p.reply(send, ok(messages(send)[0]))
    p.wait()
    p.reply(p.one(Kind.HANDSHAKE))
    p.wait()
    p.reply(p.one(Kind.HANDSHAKE), event("/a", 1))
    assert [o.session_lost for o in p.seen(Lost)] == [True] * 3
    assert len(p.seen(Arrived)) == 1  # whatever comes is passed on


def test_a_404_looks_for_another_address_at_once_but_only_once() -> None:
    p = Player("/a")
    p.fail(p.one(), NotFoundError("no", status=404))
    assert p.wait() == 0
    p.fail(p.one(Kind.HANDSHAKE), NotFoundError("no", status=404))
    assert p.wait() > 0


# ── the table ──────────────────────────────────────────────────────────────────────────────────────────


def test_every_state_is_in_the_table_and_can_be_left() -> None:
    assert set(TRANSITIONS) == set(State)
    reached = {state for moves in TRANSITIONS.values() for state in moves.values()}
    assert reached == set(State) - {State.NEW}
    assert all(
        Trigger.LEAVE in TRANSITIONS[s]
        for s in State
        if s not in (State.NEW, State.CLOSED, State.DISCONNECTING)
    )
    with pytest.raises(AssertionError):
        after(State.NEW, Trigger.GOOD)


def test_a_handshake_that_succeeds_and_forbids_to_connect_is_fatal() -> None:
    p = Player("/a")
    p.shake(advice=NONE)
    assert isinstance(p.seen(Closed)[0].error, ProtocolError)


def test_a_subscribe_that_succeeds_and_forbids_to_connect_is_fatal() -> None:
    p = Player("/a")
    p.shake()
    send = p.one()
    p.reply(send, ok(messages(send)[0], advice=NONE))
    assert isinstance(p.seen(Closed)[0].error, ProtocolError)
