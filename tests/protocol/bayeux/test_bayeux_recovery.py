"""The session as a pure function: failures, lost sessions, waits."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.bayeux.bayeux_player import Player, bad, messages, ok
from tocsin._stream._backoff import ReconnectPolicy
from tocsin.bayeux._failures import Failure
from tocsin.bayeux._outputs import (
    Alive,
    Closed,
    Kind,
    Lost,
    Refused,
    Stands,
)
from tocsin.bayeux._state import State
from tocsin.errors import (
    ConfigurationError,
    ConnectError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    TransportError,
)

HANDSHAKE = {"reconnect": "handshake", "interval": 0}
NONE = {"reconnect": "none"}

pytestmark = pytest.mark.usefixtures("way")


# ── recovery ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("402::session_unknown", HANDSHAKE),
        ("401:c1:Unknown client", HANDSHAKE),
        ("403::Unknown client", HANDSHAKE),
        ("402::Unknown client", None),
        ("401:c1:Unknown client", None),
        ("403::Unknown client", None),
        ("Unknown session", None),
        ("403::Forbidden", None),
    ],
)
def test_a_lost_session_is_replaced_and_everything_subscribed_again(error: str, advice: Any) -> None:
    """bayeux.md 6.22, 6.23: handshake, subscribe all, connect, and nothing between."""
    p = Player("/a/1", "/b/*")
    p.up()
    p.log.clear()
    send = p.one()
    p.reply(send, bad(messages(send)[0], error, **({"advice": advice} if advice else {})))
    assert p.seen(Lost)[-1].session_lost
    p.shake("c2")
    batch = messages(p.subscribe())
    assert [m["subscription"] for m in batch] == ["/a/1", "/b/*"]
    assert {m["clientId"] for m in batch} == {"c2"}
    p.connect()
    assert p.log == [
        "/meta/connect",
        "/meta/handshake",
        "/meta/subscribe",
        "/meta/subscribe",
        "/meta/connect",
    ]
    assert p.session.number == 2


@pytest.mark.parametrize(
    ("breaks", "reconnect", "wait"),
    [
        (0, {}, 0.0),  # one session was lost, not a server: at once
        (1, {}, 1.5),
        (3, {}, 1.5),
        (4, {}, 0.0),  # waits of up to 3.4 s have spread the crowd already
        (1, {"spread": 0.0}, 0.0),
        (1, {"maximum": 2.0}, 1.0),
    ],
)
def test_a_session_that_went_with_its_connection_is_replaced_after_a_spread(
    breaks: int, reconnect: dict[str, float], wait: float
) -> None:
    """So a server's restart looks, and all who follow it see it in the same moment."""
    p = Player("/a", reconnect=ReconnectPolicy(**reconnect))
    p.up()
    for _ in range(breaks):
        p.fail(p.one(Kind.CONNECT))
        p.wait()
    send = p.one(Kind.CONNECT)
    p.reply(send, bad(messages(send)[0], "402::session_unknown", advice=HANDSHAKE))
    assert p.wait() == wait
    p.shake("c2")


def test_a_session_unknown_to_a_subscribe_is_replaced_once() -> None:
    """bayeux.md 6.24: 402 without advice and without subscription."""
    p = Player("/a")
    p.up()
    p.one(Kind.CONNECT)
    p.session.want("/b")
    send = p.one(Kind.COMMAND)
    p.reply(send, {"id": messages(send)[0]["id"], "channel": "/meta/subscribe", "successful": False,
                   "error": "402::session_unknown"})  # fmt: skip
    assert [type(o) for o in p.outputs if isinstance(o, Refused)] == []
    p.seen(Stands)
    p.shake("c2")
    p.subscribe()
    assert [o.channel for o in p.seen(Stands)] == ["/a", "/b"]


def test_a_session_lost_again_and_again_backs_off_from_the_second_time() -> None:
    """bayeux.md 6.25."""
    p = Player("/a", reconnect=ReconnectPolicy(multiplier=2))
    waits = []
    for n in range(5):
        p.shake(f"c{n}")
        send = p.one(Kind.COMMAND)
        p.reply(send, bad(messages(send)[0], "402::session_unknown"))
        waits.append(p.wait())
    assert waits == [0, 0.5, 1, 2, 4]


def test_after_an_outage_the_servers_word_is_followed_at_once() -> None:
    """bayeux.md 2.5: the waits of the outage do not delay the handshake after it."""
    p = Player("/a")
    p.up()
    for _ in range(8):
        p.fail(p.one(), ConnectError("down"))
        p.wait()
    send = p.one()
    p.reply(send, bad(messages(send)[0], "402::x", advice=HANDSHAKE))
    assert p.wait() == 0
    p.fail(p.one(Kind.HANDSHAKE), ConnectError("down again"))
    assert p.wait() == 0.5


def test_an_outage_shorter_than_the_servers_patience_keeps_the_session() -> None:
    """bayeux.md 6.26: the same clientId, no subscribe."""
    p = Player("/a")
    p.up()
    p.log.clear()
    for _ in range(3):
        p.fail(p.one(), TransportError("reset"))
        p.wait()
    p.connect()
    p.one()
    assert p.log == ["/meta/connect"] * 5
    assert p.session.number == 1
    assert [o.session_lost for o in p.seen(Lost)] == [False] * 3


def test_a_clean_poll_tells_no_loss() -> None:
    """bayeux.md 6.28."""
    p = Player("/a")
    p.up()
    for _ in range(20):
        p.now += 30
        p.connect()
    assert p.seen(Lost) == []
    assert len(p.seen(Alive)) == 21


def test_retry_after_is_honoured() -> None:
    """bayeux.md 2.5."""
    p = Player("/a")
    p.up()
    p.fail(p.one(), RateLimitError("slow", status=429, retry_after=17))
    assert p.wait() == 17.5
    p.fail(p.one(), ServerError("busy", status=503, retry_after=5))
    assert p.wait() == 5.5


def test_retry_after_is_honoured_also_before_another_transport_is_tried() -> None:
    player = Player("/a", connection_types=("websocket",), elsewhere="long-polling")
    send = player.one()
    asked = ServerError("503", status=503, retry_after=30)
    player.session.failed(send, Failure(asked, moved=True, retry_after=30), player.now, player.jitter)
    assert player.wait() >= 30
    assert player.session.worn is asked


def test_backoff_grows_and_forgets_after_a_success_that_lasts() -> None:
    """bayeux.md 6.29."""
    p = Player("/a", reconnect=ReconnectPolicy(multiplier=2))
    p.up()
    waits = []
    for _ in range(8):
        p.fail(p.one())
        waits.append(p.wait())
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]
    p.connect()
    p.fail(p.one())  # accepted and dropped at once: not forgotten
    assert p.wait() == 30
    p.connect()
    p.now += 30
    p.fail(p.one())
    assert p.wait() == 0.5


def test_none_during_a_retry_stops_it() -> None:
    """bayeux.md 6.30."""
    p = Player("/a")
    p.up()
    p.fail(p.one())
    p.wait()
    send = p.one()
    p.reply(send, bad(messages(send)[0], "403::no", advice=NONE))
    assert isinstance(p.seen(Closed)[0].error, PermissionDeniedError)
    assert p.session.deadline() is None


def test_closing_when_a_failure_is_told_stops_the_retry() -> None:
    """bayeux.md 6.30."""
    p = Player("/a")
    p.fail(p.one())
    p.session.close(p.now)
    assert p.session.state is State.CLOSED  # the server knows nothing of us
    assert p.go() == []
    assert p.session.deadline() is None


@pytest.mark.parametrize("advice", [None, NONE, {"reconnect": "retry"}])
def test_a_refused_channel_concerns_itself_alone(advice: Any) -> None:
    """bayeux.md 6.31."""
    p = Player("/a", "/secret", "/b")
    p.shake()
    send = p.one()
    first, second, third = messages(send)
    extra = {"advice": advice} if advice else {}
    denied = bad(second, "403::subscribe_denied", subscription="/secret", **extra)
    p.reply(send, ok(third, subscription="/b"), denied, ok(first, subscription="/a"))
    (refused,) = p.seen(Refused)
    assert refused.channel == refused.error.channel == "/secret"
    assert "403::subscribe_denied" in str(refused.error)
    assert {o.channel for o in p.seen(Stands)} == {"/a", "/b"}
    p.connect()
    p.one(Kind.CONNECT)
    p.session.renew(p.now, "again", 0.5)
    p.shake("c2")
    assert len(messages(p.subscribe())) == 3  # a new session asks again


def test_not_now_is_not_no() -> None:
    p = Player("/a", "/b")
    p.shake()
    send = p.one()
    first, second = messages(send)
    p.reply(send, ok(first), bad(second, "503::busy"))
    assert p.seen(Refused) == []
    p.connect()
    p.one(Kind.CONNECT)  # the others live meanwhile
    p.wait()
    assert [m["subscription"] for m in messages(p.subscribe())] == ["/b"]
    assert {o.channel for o in p.seen(Stands)} == {"/a", "/b"}


def test_a_message_of_a_batch_without_answer_is_sent_again() -> None:
    p = Player("/a", "/b")
    p.shake()
    send = p.one()
    p.reply(send, ok(messages(send)[1], subscription="/b"))
    assert p.wait() == 0.5
    assert [m["subscription"] for m in messages(p.subscribe())] == ["/a"]


@pytest.mark.parametrize("error", [TransportError("cut", maybe_applied=True), ServerError("", status=502)])
def test_a_failed_command_may_have_cost_events(error: Any) -> None:
    """bayeux.md 1.7: events come in any answer."""
    p = Player("/a")
    p.up()
    p.one(Kind.CONNECT)
    p.session.want("/b")
    p.fail(p.one(Kind.COMMAND), error)
    assert [o.session_lost for o in p.seen(Lost)] == [False]
    p.wait()
    p.subscribe()


def test_a_command_that_never_left_cost_nothing() -> None:
    p = Player("/a")
    p.up()
    p.one(Kind.CONNECT)
    p.session.want("/b")
    p.fail(p.one(Kind.COMMAND), ConnectError("refused"))
    assert p.seen(Lost) == []


def test_a_request_that_the_server_will_not_take_ends_the_session() -> None:
    p = Player("/a")
    p.up()
    p.fail(p.one(), NotFoundError("moved", status=404))
    assert p.seen(Lost)[-1].session_lost
    p.wait()
    p.shake("c2")


def test_a_session_that_cannot_be_kept_ends_with_the_attempts() -> None:
    """bayeux.md 6.5."""
    p = Player("/a", reconnect=ReconnectPolicy(attempts=3))
    for n in range(3):
        p.wait() if n else None
        p.shake(f"c{n}")
        send = p.one()
        p.reply(send, bad(messages(send)[0], "402::session_unknown"))
    assert "session_unknown" in str(p.seen(Closed)[0].error)


def test_what_cannot_work_ends_it_only_before_there_was_a_session() -> None:
    """A wrong port or CA is raised at once; a certificate that expires on a running server is waited out."""
    hopeless = ConnectError("no TLS", permanent=True)
    p = Player("/a")
    p.fail(p.one(Kind.HANDSHAKE), hopeless)
    assert p.seen(Closed)[0].error is hopeless
    p = Player("/a")
    p.shake()
    p.subscribe()
    p.fail(p.one(Kind.CONNECT), hopeless)
    assert not p.seen(Closed)
    assert p.session.state is State.RETRYING


def test_commands_that_fail_end_with_the_attempts() -> None:
    """bayeux.md 6.5."""
    p = Player("/a", reconnect=ReconnectPolicy(attempts=3))
    p.shake()
    for n in range(3):
        p.wait() if n else None
        p.fail(p.one(Kind.COMMAND), TransportError("cut"))
    assert str(p.seen(Closed)[0].error) == "cut"


def test_an_error_of_our_own_ends_it_at_every_stage() -> None:
    error = ConfigurationError("no such file")
    for stage in range(5):
        p = Player("/a")
        for step in (p.shake, p.subscribe, p.connect)[: min(stage, 3)]:
            step()
        if stage == 4:
            p.session.close(p.now)
        p.session.abort(error)
        p.collect()
        assert p.session.state in (State.NEW, State.CLOSED)
        assert p.go() == []
        assert p.session.deadline() is None
