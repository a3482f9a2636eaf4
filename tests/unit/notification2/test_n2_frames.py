"""Frames taken apart exactly, and junk told as what it is."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.cumulocity._scope import Scope
from tocsin.cumulocity.notification2._frames import FrameError, parse_frame
from tocsin.cumulocity.notification2._names import check_name, topic_of, type_filter
from tocsin.errors import ConfigurationError, ProtocolError

LINE = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=30)
PART = st.text(st.characters(exclude_characters="\n/", exclude_categories=["Cs"]), min_size=1, max_size=10)
ACK = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@given(ACK, PART, PART, LINE, LINE, st.lists(LINE, max_size=3), st.binary(max_size=200))
def test_what_was_put_together_is_taken_apart(
    ack: str, tenant: str, api: str, source: str, action: str, more: list[str], body: bytes
) -> None:
    head = "\n".join([ack, f"/{tenant}/{api}/{source}", action, *more])
    told = parse_frame(head.encode() + b"\n\n" + body)
    assert told == (ack.encode(), tenant, api, source, action, body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'"90210"',
        '{"text":"one\u2028two\u0085three\u2029"}'.encode(),
        b'{"a":"\r\n\x0b\x0c\x1c\x1d\x1e"}\n\n{"b":1}\n',
        b'{"x":"' + b"y" * 5_000_000 + b'"}',
        b"\xff\xfe not UTF-8",
    ],
    ids=["empty", "an id", "line separators", "blank lines", "megabytes", "binary"],
)
def test_bodies_stay_as_they_are(body: bytes) -> None:
    told = parse_frame(b"CAkQFCAAMAE=\n/t1/alarms/4711\nUPDATE\n\n" + body)
    assert told.body == body
    assert told.source == "4711"


@pytest.mark.parametrize(
    ("frame", "ack"),
    [
        (b"", None),
        (b"\n\n", None),
        (b"junk", None),
        (b"abc\n/t1/alarms/1\nUPDATE", b"abc"),
        (b"abc\n\n{}", b"abc"),
        (b"abc\n/t1/alarms/1\n\n{}", b"abc"),
        (b"abc\nt1/alarms/1\nUPDATE\n\n{}", b"abc"),
        (b"abc\n/t1/alarms\nUPDATE\n\n{}", b"abc"),
        (b"abc\n//alarms/1\nUPDATE\n\n{}", b"abc"),
        (b"abc\n/t1/alarms/\xff\nUPDATE\n\n{}", b"abc"),
        (b"\xff\n/t1/alarms/1\nUPDATE\n\n{}", None),
        (b"x" * 70_000 + b"\n/t1/alarms/1\nUPDATE\n\n{}", None),
        ("abc\u2028/t1/alarms/1\u2028UPDATE\u2028\u2028{}".encode(), None),
    ],
)
def test_junk_is_one_typed_error_with_an_excerpt(frame: bytes, ack: bytes | None) -> None:
    with pytest.raises(FrameError) as caught:
        parse_frame(frame)
    assert isinstance(caught.value, ProtocolError)
    assert caught.value.ack == ack
    assert caught.value.detail is not None
    assert len(caught.value.detail) <= 120
    for other in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert (other.ack, str(other)) == (ack, str(caught.value))


@given(st.binary(max_size=300))
def test_nothing_else_is_raised_whatever_comes(frame: bytes) -> None:
    try:
        told = parse_frame(frame)
    except FrameError:
        return
    assert frame.endswith(told.body)
    assert frame.startswith(told.ack + b"\n/")


@pytest.mark.parametrize("name", ["", "a b", "a-b", "tür", "a\n", "٣", "x" * 300, 7, None])
def test_names_that_the_platform_does_not_take_are_refused(name: object) -> None:
    with pytest.raises(ConfigurationError, match="letters and digits"):
        check_name(name, "subscriber")


def test_the_topic_is_that_of_the_alarms_whatever_the_order_and_the_severity() -> None:
    assert topic_of(Scope()) == topic_of(Scope.of("*", severity="CRITICAL")) == "tocsinAlarms"
    one = topic_of(Scope.of(["1", "2"], type=["b", "a"]))
    assert one == topic_of(Scope.of(["2", "1"], type=["a", "b"]))
    others = {
        topic_of(Scope.of(["1", "2"])),
        topic_of(Scope.of(["1", "2"], children=True)),
        topic_of(Scope.of("*", type="a")),
        topic_of(Scope.of("12")),
    }
    assert len(others | {one}) == 5
    assert all(check_name(name, "topic") for name in others)


def test_types_that_cannot_be_quoted_are_not_filtered_by_the_platform() -> None:
    assert type_filter(frozenset({"b", "a"})) == "'a' or 'b'"
    assert type_filter(frozenset({"it's"})) is None
    assert topic_of(Scope.of("*", type="it's")) == "tocsinAlarms"
