"""Requests are checked when made; answers are read with a limit on what JSON may do."""

from datetime import UTC, datetime

import pytest

from tocsin._http._redact import Redactor
from tocsin._http._request import Headers, Request, Response, Timeouts, parse_http_date
from tocsin.errors import ConfigurationError, ProtocolError


def got(body, *, content_type="application/json", redactor=None, **headers):
    pairs = [("Content-Type", content_type), *headers.items()]
    extra = {} if redactor is None else {"redactor": redactor}
    return Response(200, Headers(pairs), body, 1, "https://h/alarm/alarms", "GET", **extra)


@pytest.mark.parametrize(
    "path",
    [
        "alarm",
        "",
        "/a b",
        "/ä",
        "/a?b=c",
        "/a#b",
        "/a/../b",
        "/..",
        "/a/%2e%2E/b",
        "/.",
        "/%zz",
        "/a\n",
        "//\\",
    ],
)
def test_paths_that_would_ask_for_something_else_are_refused(path):
    with pytest.raises(ConfigurationError, match="path"):
        Request("GET", path)


@pytest.mark.parametrize(
    "path", ["/", "/alarm/alarms/4711", "/a%20b/%C3%A4", "/a..b/...", "/x/a.b", "/a:b@c;d,e='f'"]
)
def test_ordinary_paths_are_taken(path):
    assert Request("GET", path).path == path


@pytest.mark.parametrize(
    "headers", [(("X-A", "a\r\nB: c"),), (("X A", "b"),), (("X", " hunter2"),), (("X", "\u20ac"),)]
)
def test_headers_that_would_break_the_message_are_refused_without_their_value(headers):
    with pytest.raises(ConfigurationError) as caught:
        Request("GET", "/", headers=headers)
    assert headers[0][1] not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "said", "may"),
    [
        ("GET", None, True),
        ("PUT", None, True),
        ("DELETE", None, True),
        ("POST", None, False),
        ("PATCH", None, False),
        ("POST", True, True),
        ("GET", False, False),
    ],
)
def test_what_may_be_repeated_follows_from_the_method_unless_said(method, said, may):
    assert Request(method, "/", idempotent=said).may_repeat is may


def test_replaced_headers_are_replaced_whatever_their_case():
    request = Request(
        "GET", "/", headers=(("authorization", "old"), ("X-B", "b")), query=(("a", "b"),), max_bytes=7
    )
    changed = request.with_headers((("Authorization", "new"),))
    assert changed.headers == (("X-B", "b"), ("Authorization", "new"))
    assert (changed.query, changed.max_bytes) == (request.query, 7)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"query": {"ab": "1"}}, "tuple of pairs of texts"),
        ({"query": {}}, "a dict gives them"),
        ({"query": [("a", "b")]}, "tuple of pairs"),
        ({"query": (("a", 1),)}, "tuple of pairs"),
        ({"query": ("ab", "cd")}, "tuple of pairs"),
        ({"body": '{"a":1}'}, "body is bytes, not str"),
        ({"body": {"a": 1}}, "body is bytes, not dict"),
    ],
)
def test_what_cannot_be_sent_is_refused_where_it_is_made(wrong, problem):
    with pytest.raises(ConfigurationError, match=problem):
        Request("POST", "/x", **wrong)


def test_reprs_show_no_values():
    request = Request(
        "POST", "/x", (("token", "hunter2"),), b"hunter2", (("Authorization", "Basic hunter2"),)
    )
    response = got(b'{"a":"hunter2"}', **{"Set-Cookie": "hunter2", "X-Y": "seen"})
    assert "hunter2" not in repr(request) + repr(response) + repr(response.headers)
    assert "token" in repr(request)
    assert "seen" in repr(response.headers)


@pytest.mark.parametrize("field", ["connect", "read", "write", "pool", "total"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), "5", True])
def test_time_limits_are_above_zero(field, value):
    with pytest.raises(ConfigurationError, match=field):
        Timeouts(**{field: value})


def test_every_time_limit_has_a_finite_default():
    limits = Timeouts()
    assert max(limits.connect, limits.read, limits.write, limits.pool, limits.total) <= 60


def test_headers_are_read_in_any_case_and_joined():
    headers = Headers([("X-A", "1"), ("x-a", "2"), ("Date", "d")])
    assert headers["X-a"] == "1, 2"
    assert "DATE" in headers
    assert "none" not in headers
    assert headers.get("none") is None
    assert len(headers) == 2
    assert headers == {"x-a": "1, 2", "date": "d"}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)),
        ("Sun Nov  6 08:49:37 1994", datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)),
        ("Sun, 06 Nov 1994 10:49:37 +0200", datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)),
        ("yesterday", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("", None),
        (None, None),
    ],
)
def test_http_dates_are_read_in_all_three_forms(text, moment):
    assert parse_http_date(text) == moment


def test_the_date_of_an_answer_is_the_servers_clock():
    assert got(b"", Date="Sun, 06 Nov 1994 08:49:37 GMT").date == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
    assert got(b"").date is None


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":[1,2.5,null,true,"\xc3\xa4"]}', {"a": [1, 2.5, None, True, "ä"]}),
        (b"\xef\xbb\xbf[]", []),
        (b" 7 ", 7),
        (b"[" * 150 + b"]" * 150, None),
    ],
)
def test_json_is_read(body, value):
    found = got(body).json()
    assert value is None or found == value


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "an empty body instead of JSON"),
        (b" \r\n", "an empty body instead of JSON"),
        (b'{"alarms":[{"id":"1","te', "cut off after 24 bytes"),
        (b'{"a":1}}', "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b'{"a":NaN}', "not JSON"),
        (b'{"a":"\xff"}', "not JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "not JSON.*recursion"),
        (b'{"a":' * 100_000, "not JSON.*recursion"),
        (b"busy, come back later", "not JSON"),
    ],
)
def test_what_is_not_json_is_one_clear_error(body, says):
    with pytest.raises(ProtocolError, match=says) as caught:
        got(body).json()
    assert str(caught.value).startswith("GET https://h/alarm/alarms answered 200")
    assert len(str(caught.value)) < 400
    assert caught.value.detail is None or len(caught.value.detail) <= 200


@pytest.mark.parametrize(
    ("page", "title"),
    [
        (b"<!DOCTYPE html><html><head><title>\n Sign&nbsp;in &amp; go</title>", "titled 'Sign in & go'"),
        (b"  <HTML><body><h1>Gateway <b>problem</b></h1>", "titled 'Gateway problem'"),
        (b"<html><p>hello", "an HTML page instead"),
        (b"<html><title>" + b"x" * 5000, "an HTML page instead"),
    ],
)
def test_an_html_page_is_named_by_its_title(page, title):
    with pytest.raises(ProtocolError, match=title):
        got(page, content_type="text/html").json()


def test_the_excerpt_of_what_is_not_json_holds_no_secret():
    with pytest.raises(ProtocolError) as caught:
        got(b"you sent hunter2 \x1b[31m!", redactor=Redactor(["hunter2"])).json()
    assert caught.value.detail == "you sent *** [31m!"
