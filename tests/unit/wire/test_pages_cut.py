from __future__ import annotations

import json

import pytest

from tocsin._wire import cut_page, excerpt, parse_object
from tocsin.errors import ProtocolError


def test_rows_keep_their_bytes_and_order() -> None:
    body = b'{ "next":"u", "alarms" : [ {"id":"1", "x": 1.10} , {"id":"2"}],"statistics":{"pageSize":5}}'
    page = cut_page(body, "alarms")
    assert page.items == [b'{"id":"1", "x": 1.10}', b'{"id":"2"}']
    assert all(type(item) is bytes for item in page.items)
    assert page.rest == {"next": "u", "statistics": {"pageSize": 5}}


def test_an_empty_list_is_a_page() -> None:
    assert cut_page(b'{"alarms":[]}', "alarms").items == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"<html><title>Login</title></html>",
        b"[]",
        b'"alarms"',
        b'{"status":"ok"}',
        b'{"alarms":null}',
        b'{"alarms":{"0":{}}}',
        b'{"alarms":[{"id":"1"}',
        b'{"alarms":[{"id":"1"}]} trailing',
        b'{"alarms":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}",
        b'{"alarms":[{"a":NaN,"b":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}",
    ],
)
def test_what_is_no_page_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        cut_page(body, "alarms")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("odd", [b'"\\ud800"', b"NaN", b"-Infinity", b'"\xff"'])
def test_one_odd_row_does_not_cost_the_others(odd: bytes) -> None:
    page = cut_page(b'{"alarms":[{"id":"1"},{"id":"2","x":' + odd + b'}],"next":"u"}', "alarms")
    assert [json.loads(item.decode("utf-8", "replace"))["id"] for item in page.items] == ["1", "2"]
    assert page.rest["next"] == "u"


def test_a_key_that_cannot_be_read_is_left_out() -> None:
    deep = b"[" * 300 + b"]" * 300
    assert cut_page(b'{"alarms":[],"odd":' + deep + b',"next":"u"}', "alarms").rest == {"next": "u"}


def test_an_excerpt_is_one_short_clean_line() -> None:
    assert excerpt(b"a\x1b[31m\r\nb\xe2\x80\xaec \xff") == "a [31m b c �"
    assert len(excerpt(b"x" * 10_000)) == 121


def test_parse_object_forgives_what_a_strict_parser_refuses() -> None:
    assert parse_object(b'{"a":"\\ud800x"}') == {"a": "�x"}
    assert parse_object(b'\xef\xbb\xbf{"a":1}') == {"a": 1}
    assert parse_object(b'{"a":' + b"9" * 5000 + b"}") == {"a": float("inf")}
    with pytest.raises(ProtocolError, match="not a JSON object"):
        parse_object(b"[1]")
