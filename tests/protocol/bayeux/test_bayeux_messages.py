"""Wire shapes, channels, advice, backoff: tables and hostile input."""

from __future__ import annotations

import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin._stream._backoff import Backoff, ReconnectPolicy, delays
from tocsin.bayeux._advice import Advice, Reconnect
from tocsin.bayeux._channels import ChannelIndex, check_channel, matches
from tocsin.bayeux._failures import Failure, session_unknown
from tocsin.bayeux._messages import Event, clean, error_code, parse
from tocsin.bayeux._settings import SessionSettings
from tocsin.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConnectError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    TocsinError,
)

OK = '{"channel":"/meta/connect","successful":true,"id":"1"}'


@pytest.mark.parametrize(
    ("body", "events", "answers", "unreadable"),
    [
        ("[]", 0, 0, 0),
        (OK, 0, 1, 0),
        (f"   \r\n\t  [{OK}]", 0, 1, 0),
        (f"\ufeff[{OK}]  ", 0, 1, 0),
        ('[{"channel":"/meta/connect","successful":true,"data":null,"error":""}]', 0, 1, 0),
        ('[{"channel":"/meta/connect","successful":true,"data":{"x":1},"id":7}]', 0, 1, 0),
        ('[{"channel":"/a/1","data":{"x":1}}]', 1, 0, 0),
        ('[{"channel":"/a/1","data":[1],"successful":true,"error":"","clientId":"c"}]', 1, 0, 0),
        ('[{"channel":"/a/1","data":0}]', 1, 0, 0),
        ('[{"channel":"/a/1","successful":true}]', 0, 0, 0),  # answers a publish
        ('[{"channel":"/a/1","successful":true,"data":null}]', 0, 0, 0),
        ('[{"channel":"/a/1","data":null}]', 0, 0, 1),
        ('[{"channel":"/a/1"}]', 0, 0, 1),
        ('[{"channel":"a","data":1}]', 0, 0, 1),
        ('[{"channel":"a","successful":true}]', 0, 0, 1),
        ('[{"channel":"/meta/connect"}]', 0, 0, 1),
        ('[{"channel":"/meta/connect","successful":"true"}]', 0, 0, 1),
        ('[{"channel":"/meta/disconnect"}]', 0, 1, 0),
        ('[{"data":1}]', 0, 0, 1),
        ('[null,1,"x",[],{}]', 0, 0, 5),
        ('[{"channel":["/a"],"data":1}]', 0, 0, 1),
        ('[{"channel":"/a/1","data":1,"id":{},"advice":7,"ext":[]}]', 1, 0, 0),
    ],
)
def test_an_element_is_an_event_an_answer_or_unreadable(
    body: str, events: int, answers: int, unreadable: int
) -> None:
    """bayeux.md 6.19: never classified by having `data`."""
    batch = parse(body.encode())
    assert (len(batch.events), len(batch.answers), len(batch.unreadable)) == (events, answers, unreadable)


@pytest.mark.parametrize(
    "odd",
    [
        "17",
        '{"channel":5,"data":1}',
        '{"channel":"/a","data":NaN}',
        r'{"channel":"/a","data":{"text":"half a pair \ud83d"}}',
        '{"channel":"/a","data":"a raw\nline"}',
        '{"channel":"/a","data":{"deep":' + "[" * 20000 + "]" * 20000 + "}}",
        '{"channel":"/a","id":' + "9" * 5000 + ',"data":1}',
        '{"channel":"/a\xff","data":1}',
        r'{"channel":"/a","text":"a \" quote, ] and } inside","data":tru}',
    ],
)
def test_a_malformed_element_does_not_lose_its_neighbours(odd: str) -> None:
    """bayeux.md 6.40: also where the JSON itself is broken in the middle, as half an emoji does."""
    body = f'[{{"channel":"/a/1","data":{{"n":1}}}}, {odd} ,{{"channel":"/a/2","data":{{"n":2}}}},{OK}]'
    batch = parse(body.encode("latin-1"))
    assert [e.channel for e in batch.events] == ["/a/1", "/a/2"]
    assert len(batch.answers) == 1
    assert len(batch.unreadable) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   \n  ",
        b"null",
        b'"[]"',
        b"17",
        b"<html><body>502 Bad Gateway</body></html>",
        b"[",
        b'[{"channel":"/a","data":1}',
        b'[{"channel":"/a","data":"x',
        b'[{"channel":"/a"}] trailing',
        b"[" * 100_000,
        b'["' + b'\\"' * 100_000,
        b"\xff\xfe[\x00]\x00",
        b'[{"channel":"/a","data":1},{]}]',
    ],
)
def test_what_is_no_array_of_messages_is_a_protocol_error(body: bytes) -> None:
    """bayeux.md 6.20."""
    with pytest.raises(ProtocolError):
        parse(body)


def test_hostile_bodies_take_linear_time() -> None:
    for body in (b'["' + b'\\"' * 500_000, b'[{"a":"' + b"[{" * 500_000, b"[" + b'{},"' * 200_000):
        begun = time.process_time()
        with pytest.raises(ProtocolError):
            parse(body)
        assert time.process_time() - begun < 2


@given(st.binary(max_size=300) | st.text('[]{}",:\\ 0atrue/met', max_size=200).map(str.encode))
@settings(max_examples=200)
def test_any_bytes_parse_or_raise_a_protocol_error(body: bytes) -> None:
    """bayeux.md 6.20: no other exception leaves the parser, whatever comes."""
    try:
        batch = parse(body)
    except ProtocolError as error:
        detail = error.detail
    else:
        detail = None
        assert all(type(found.data) is bytes for found in batch.events)
    assert detail is None or detail.isprintable()


GOOD = json.dumps(
    [
        {"channel": "/a/1", "data": {"realtimeAction": "CREATE", "data": {"id": "1", "text": 'é"]}[{'}}},
        {"channel": "/meta/connect", "successful": True, "id": "3", "advice": {"timeout": 5}},
    ],
    ensure_ascii=False,
).encode()


def test_every_cut_and_every_flipped_byte_is_survived() -> None:
    """bayeux.md 6.20, byte by byte."""
    for end in range(len(GOOD)):
        with pytest.raises(ProtocolError):
            parse(GOOD[:end])
    for at in range(len(GOOD)):
        for flip in (0x01, 0x80, 0xFF):
            body = bytearray(GOOD)
            body[at] ^= flip
            try:
                parse(bytes(body))
            except ProtocolError:
                continue


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5), st.text())
def test_the_payload_leaves_as_it_came(data: object, text: str) -> None:
    payload = json.dumps({"d": data, "t": text})
    (found,) = parse(f'[ {{"channel":"/a" , "data" : {payload} }} ]'.encode()).events
    assert found.data == payload.encode()
    assert found.json() == {"d": data, "t": text}


def test_a_payload_keeps_nothing_of_the_body_alive() -> None:
    (found,) = parse(b'[{"channel":"/a","data":{"x":1}}]').events
    assert type(found.data) is bytes


def test_a_payload_that_is_not_utf8_is_a_protocol_error() -> None:
    (found,) = parse(b'[{"channel":"/a","data":"\xff"}]').events
    with pytest.raises(ProtocolError):
        found.json()


@pytest.mark.parametrize(
    ("error", "code", "unknown"),
    [
        ("402::Unknown client", 402, True),
        ("402::session_unknown", 402, True),
        ("401:9b2:Unknown client", 401, True),
        ("403::Unknown client", 403, True),
        ("402:a,b:Something", 402, True),
        ("Unknown session", None, True),
        ("403::subscribe_denied", 403, False),
        ("Authentication failed", None, False),
        ("", None, False),
        (None, None, False),
    ],
)
def test_error_texts(error: str | None, code: int | None, unknown: bool) -> None:
    """bayeux.md 1.5."""
    assert error_code(error) == code
    assert session_unknown(error) is unknown


def test_a_servers_words_are_one_short_line() -> None:
    assert clean("a\r\nb\x1b[31m\u202ec") == "a b [31m c"
    assert len(clean("x" * 9999) or "") == 200
    assert clean("") is None
    assert clean({"a": 1}) is None


@pytest.mark.parametrize(
    ("pattern", "channel", "found"),
    [
        ("/x/1", "/x/1", True),
        ("/x/*", "/x/1", True),
        ("/x/*", "/x/1/2", False),
        ("/x/*", "/x", False),
        ("/x/*", "/y/1", False),
        ("/x/**", "/x/1", True),
        ("/x/**", "/x/1/2", True),
        ("/x/**", "/x", False),
        ("/x/**", "/xy/1", False),
        ("/**", "/x", True),
        ("/**", "/x/1/2", True),
        ("/*", "/x", True),
        ("/*", "/x/1", False),
    ],
)
def test_patterns(pattern: str, channel: str, found: bool) -> None:
    """bayeux.md 6.34: both ways of matching agree."""
    assert matches(pattern, channel) is found
    index: ChannelIndex[str] = ChannelIndex()
    index.add(check_channel(pattern), "me")
    assert (index.find(channel) == ["me"]) is found


SEGMENT = st.sampled_from(["a", "b", "*", "**"])


@given(st.lists(SEGMENT, min_size=1, max_size=3), st.lists(st.sampled_from("ab"), min_size=1, max_size=4))
def test_the_index_finds_what_matches(pattern: list[str], channel: list[str]) -> None:
    name, concrete = "/" + "/".join(pattern), "/" + "/".join(channel)
    try:
        check_channel(name)
    except ConfigurationError:
        return
    index: ChannelIndex[str] = ChannelIndex()
    index.add(name, "me")
    assert (index.find(concrete) == ["me"]) is matches(name, concrete)


@pytest.mark.parametrize(
    "channel",
    ["", "x", "x/1", "/", "/x/", "//x", "/a/*/b", "/a*", "/a/b*", "/a/***", "/meta/connect", "/meta/*",
     "/meta", "/a\n/b", '/a"b', "/ä", "/a/**/b"],
)  # fmt: skip
def test_bad_patterns_are_refused_locally(channel: str) -> None:
    """bayeux.md 6.34."""
    with pytest.raises(ConfigurationError):
        check_channel(channel)


def test_an_index_gives_each_listener_once_and_forgets() -> None:
    index: ChannelIndex[str] = ChannelIndex()
    for pattern in ("/a/1", "/a/*", "/**"):
        index.add(pattern, "one")
    index.add("/a/*", "two")
    assert index.find("/a/1") == ["one", "two"]
    for pattern in ("/a/1", "/a/*", "/**", "/never"):
        index.discard(pattern, "one")
    assert index.find("/a/1") == ["two"]
    assert "/**" not in index


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ({}, Advice()),
        (
            {"reconnect": "retry", "interval": 1500, "timeout": 30000},
            Advice(Reconnect.RETRY, 1.5, 30.0),
        ),
        ({"interval": 0, "long-polling": {"interval": 2000}}, Advice(interval=2.0)),
        ({"interval": 5, "websocket": {"interval": 2000}}, Advice(interval=0.005)),
        ({"reconnect": "explode", "interval": "9", "timeout": True}, Advice()),
        ({"reconnect": ["none"], "interval": None, "timeout": -1, "long-polling": 3}, Advice()),
        ({"interval": -1}, Advice(interval=-0.001)),
        ({"interval": 10**400, "timeout": float("nan")}, Advice()),
        ({"multiple-clients": True}, Advice(multiple_clients=True)),
    ],
)
def test_advice(wire: dict[str, object], expected: Advice) -> None:
    """bayeux.md 6.13: milliseconds, the transport's own section wins, odd fields count as missing."""
    assert Advice.read(wire, "long-polling") == expected


@pytest.mark.parametrize(
    ("error", "fatal", "lossy", "rejected"),
    [
        (AuthenticationError("", status=401), True, True, True),
        (PermissionDeniedError("", status=403), True, True, True),
        (ConfigurationError("closed"), True, True, False),
        (ConnectError("refused"), False, False, False),
        (RequestTimeoutError("late"), False, True, False),
        (NotFoundError("", status=404), False, True, True),
        (BadRequestError("", status=400), False, True, True),
        (RateLimitError("", status=429), False, True, False),
        (ServerError("", status=502), False, True, False),
        (ProtocolError("html"), False, True, False),
    ],
)
def test_what_errors_mean(error: TocsinError, fatal: bool, lossy: bool, rejected: bool) -> None:
    failure = Failure.of(error)
    assert (failure.fatal, failure.lossy, failure.rejected) == (fatal, lossy, rejected)


def test_a_cause_is_short() -> None:
    error = RequestTimeoutError(
        "POST http://a/b: no whole answer within 5 s; the request may have been applied",
        method="POST", url="http://a/b", maybe_applied=True, reason="no answer within 5 s",
    )  # fmt: skip
    assert Failure.of(error).cause == "no answer within 5 s"
    assert Failure.of(ServerError("POST http://a/b failed with 503", status=503)).cause == "HTTP 503"
    assert Failure.of(ConnectError("")).cause == "ConnectError"


def test_a_web_page_is_told_from_messages() -> None:
    for page in (b"<!DOCTYPE html><title>Sign in</title>", b"\n <html><body>Sign in"):
        with pytest.raises(ProtocolError, match="a web page answered") as caught:
            parse(page)
        assert Failure.of(caught.value).cause == "a web page answered"


def test_an_untrusted_certificate_is_fatal_however_deep_it_sits() -> None:
    import ssl

    error = ConnectError("no")
    error.__cause__ = OSError("x")
    error.__cause__.__context__ = ssl.SSLCertVerificationError("self-signed")
    assert Failure.of(error).fatal
    ring = ConnectError("ring")
    ring.__cause__ = ring
    assert not Failure.of(ring).fatal


def test_backoff_grows_to_the_cap_with_full_jitter() -> None:
    """bayeux.md 6.29."""
    policy = ReconnectPolicy(initial=1, maximum=60, multiplier=2)
    assert [policy.bound(n) for n in (1, 2, 3, 7, 8, 10**6)] == [1, 2, 4, 60, 60, 60]
    assert policy.delay(3, 0.25) == 1.0
    assert policy.delay(3, 0.25, floor=2.5) == 2.5
    assert policy.delay(1, 0.5, retry_after=7) == 7.5
    assert policy.delay(1, 0.0, retry_after=10**9) == policy.retry_after_max
    assert policy.delay(0, 0.9) == 0
    # Doubling by default would miss a server for a good while after a short outage.
    assert [ReconnectPolicy().bound(n) for n in (1, 2, 3, 30)] == [1, 1.5, 2.25, 60]


def test_a_hundred_clients_do_not_come_back_together() -> None:
    """bayeux.md 6.29: not in the same 100 ms, whether told a Retry-After or not."""
    rng = random.Random(4)
    policy = ReconnectPolicy()
    for retry_after in (None, 5.0):
        first = sorted(policy.delay(1, rng.random(), retry_after=retry_after) for _ in range(100))
        assert max(sum(t <= u < t + 0.1 for u in first) for t in first) < 40


def test_failures_are_forgotten_after_a_success_that_lasts() -> None:
    """bayeux.md 6.29: a server that accepts and drops at once stays slow."""
    backoff = Backoff(ReconnectPolicy(quiet=10, multiplier=2))
    assert [backoff.failed(t, 1.0) for t in (0, 1, 2)] == [1, 2, 4]
    backoff.good(3)
    assert backoff.failed(4, 1.0) == 8
    backoff.good(5)
    assert backoff.failed(15, 1.0) == 1


def test_delays_end_with_the_attempts() -> None:
    waits = list(delays(ReconnectPolicy(attempts=4), random.Random(1)))
    assert len(waits) == 4
    assert all(0 <= w <= 8 for w in waits)


@pytest.mark.parametrize(
    "wrong",
    [{"initial": 0}, {"initial": 5, "maximum": 1}, {"multiplier": 0.5}, {"quiet": -1}, {"attempts": 0},
     {"maximum": float("inf")}, {"spread": -1}],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        ReconnectPolicy(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [{"liveness": 0}, {"close_timeout": float("inf")}, {"connection_types": ()}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        SessionSettings(**wrong)  # type: ignore[arg-type]


def test_the_answer_is_asked_for_within_liveness() -> None:
    assert SessionSettings().ask == 30
    assert SessionSettings(liveness=20).ask == 10
    assert SessionSettings(liveness=4).ask == 2


def test_settings_do_not_show_credentials() -> None:
    assert "secret" not in repr(SessionSettings(handshake_ext=lambda: {"token": "secret"}))


def test_events_are_values() -> None:
    assert len({Event("/a", b"1"), Event("/a", b"1"), Event("/a", b"1", "7")}) == 2
