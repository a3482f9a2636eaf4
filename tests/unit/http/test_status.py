"""Answers that are no success become one typed error in the server's own words."""

from datetime import UTC, datetime

import pytest
from http_fakes import answer, core

from tocsin._http._request import Request, Timeouts
from tocsin._http._retry import RetryPolicy
from tocsin.errors import (
    AuthenticationError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitError,
    ServerError,
    StatusError,
    UnprocessableError,
)

GET = Request("GET", "/alarm/alarms/9", (("token", "hunter2"),))


async def fail(step, **options):
    client, _ = core(step, retry=RetryPolicy.none(), **options)
    async with client:
        with pytest.raises((StatusError, ProtocolError)) as caught:
            await client.send(GET)
    return caught.value


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (402, StatusError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (405, StatusError),
        (409, ConflictError),
        (413, StatusError),
        (422, UnprocessableError),
        (429, RateLimitError),
        (499, StatusError),
        (500, ServerError),
        (503, ServerError),
        (599, ServerError),
    ],
)
async def test_each_status_has_its_class(code, cls):
    error = await fail(answer(code))
    assert type(error) is cls
    assert error.status == code
    assert (error.method, error.url) == ("GET", "http://localhost:8111/alarm/alarms/9")
    assert str(error).startswith(f"GET http://localhost:8111/alarm/alarms/9 failed with {code}")
    assert "hunter2" not in str(error) + repr(vars(error))


@pytest.mark.parametrize("code", [200, 201, 202, 204, 206])
async def test_every_2xx_is_a_success(code):
    client, _ = core(answer(code))
    async with client:
        assert (await client.send(GET)).status == code


async def test_the_platforms_own_words_are_in_the_error():
    body = {
        "error": "alarm/Not Found",
        "message": "Finding alarm 9 failed",
        "info": "https://cumulocity.com/guides",
    }
    error = await fail(answer(404, json=body))
    assert (error.error, error.message, error.info) == tuple(body.values())
    assert str(error).endswith("failed with 404 Not Found: alarm/Not Found: Finding alarm 9 failed")


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"", None, None),
        (b"  \r\n", None, None),
        (
            b'{"error":"invalid_grant","error_description":"Bad credentials"}',
            "invalid_grant",
            "Bad credentials",
        ),
        (b'{"title":"Forbidden","detail":"no role"}', None, "no role"),
        (b'{"error":{"code":"E7","message":"inner"}}', "E7", "inner"),
        (b'{"error":7,"message":["x"]}', None, '{"error":7,"message":["x"]}'),
        (b'[{"error":"a/b","message":"in a list"}]', "a/b", "in a list"),
        (b"[]", None, "[]"),
        (b'{"error":"cut', None, '{"error":"cut'),
        (b"null", None, "null"),
        (b"<html><head><title>502 Bad Gateway</title></head>", None, "502 Bad Gateway"),
        (b"<!doctype html><p>x", None, "<!doctype html><p>x"),
        (b"plain \x1b[31mwords\nof a proxy\xff", None, "plain [31mwords of a proxy\ufffd"),
        (b'{"message":"' + b"x" * 5000 + b'"}', None, "x" * 299 + "…"),
    ],
)
async def test_whatever_body_a_failure_has_it_reads_as_one_short_line(body, kind, message):
    error = await fail(answer(502, body=body))
    assert (error.error, error.message) == (kind, message)
    assert len(str(error).splitlines()) == 1
    assert len(str(error)) < 600


async def test_an_html_failure_shows_its_title_only():
    page = b"<html><head><style>body{}</style><title>502 Bad Gateway</title></head><body>" + b"<p>" * 9999
    error = await fail(answer(502, body=page, headers={"Content-Type": "text/html"}))
    assert error.reason == "a web page answered (HTTP 502)"
    assert str(error).endswith("502 Bad Gateway: an HTML page titled '502 Bad Gateway'")


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("5", None, 5.0),
        (" 0 ", None, 0.0),
        ("1.5", None, 1.5),
        ("9" * 20, None, float("9" * 20)),
        ("9" * 400, None, None),
        ("-5", None, None),
        ("soon", None, None),
        ("Sun, 06 Nov 1994 08:50:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", 60.0),
        ("Sun, 06 Nov 1994 08:48:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sun, 22 Nov 2026 00:01:30 GMT", None, 90.0),
        ("Sun, 22 Nov 2026 00:01:30 GMT", "garbage", 90.0),
    ],
)
async def test_retry_after_is_seconds_by_the_servers_clock(value, date, seconds):
    headers = {"Retry-After": value} | ({"Date": date} if date else {})
    error = await fail(answer(429, headers=headers), clock=lambda: datetime(2026, 11, 22, tzinfo=UTC))
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("location", "to"),
    [
        ("https://login.example.com/sso?token=hunter2", "https://login.example.com"),
        ("https://ada:hunter2@evil.example/", "https://evil.example"),
        ("/elsewhere?token=hunter2", "another path"),
        ("", "another path"),
        ("https://[::1/hunter2", "an unreadable address"),
    ],
)
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308, 304])
async def test_a_redirect_is_not_followed_and_says_where_to(location, to, code):
    client, wire = core(answer(code, headers={"Location": location}))
    async with client:
        with pytest.raises(ProtocolError, match="redirects are not followed") as caught:
            await client.send(GET)
    assert f"to {to} ({code})" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "base URL" in str(caught.value)
    assert wire.count["requests"] == 1


async def test_time_limits_reach_the_transport():
    client, wire = core(answer(json={}), timeouts=Timeouts(connect=1, read=2, write=3, pool=4))
    async with client:
        await client.send(GET)
        await client.send(Request("GET", "/", timeouts=Timeouts(connect=9, read=9, write=9, pool=9)))
    assert wire.requests[0].extensions["timeout"] == {"connect": 1, "read": 2, "write": 3, "pool": 4}
    assert set(wire.requests[1].extensions["timeout"].values()) == {9}
