"""One log-in for all calls: what is sent, what is adopted, what is hidden, what a hostile server can do."""

import base64
import gc
import json
import logging
import pickle
import traceback
import weakref
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qs

import anyio
import httpx
import pytest
from http_fakes import answer, core, of_request
from http_servers import replying, serving
from hypothesis import given
from hypothesis import strategies as st

from tocsin._http._core import HttpCore
from tocsin._http._jwt import expiry
from tocsin._http._request import Request, Timeouts
from tocsin._http._retry import RetryPolicy
from tocsin.cumulocity import OAuthInternal
from tocsin.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    InsecureTransportWarning,
    ProtocolError,
    RequestTimeoutError,
    TocsinError,
    TransportError,
)

GET = Request("GET", "/x")
POST = Request("POST", "/x", body=b"{}")
PASSWORD = "hunter2 Pässword/:%&+"
OPAQUE = "opaque-3f9a2c7e5b1d"
XSRF = "xsrf-77aa55cc"
CODE = "918273"
SECRETS = [PASSWORD, OPAQUE, XSRF, CODE, "hunter2+P", "hunter2%20P", "P%C3%A4ssword"]


def jwt(**claims):
    parts = ({"alg": "none"}, claims)
    made = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join((*made, "c2ln"))


def token(text=OPAQUE, **headers):
    return answer(json={"access_token": text}, headers=headers)


def cookies(text=OPAQUE, xsrf=XSRF):
    given = f"authorization={text}; Path=/; Expires=Wed, 21 Oct 2037 07:28:00 GMT; HttpOnly"
    return answer(headers={"Set-Cookie": given + (f", XSRF-TOKEN={xsrf}; Path=/" if xsrf else "")})


def oauth(**options):
    return OAuthInternal("ada", PASSWORD, tenant="t07007007", **options)


def told_by(error):
    """Everything that a log or a crash report would show of an error."""
    shown = [str(error), repr(error), repr(vars(error)), repr(error.__cause__)]
    return "".join((*shown, *traceback.format_exception(error), pickle.dumps(error).decode("latin-1")))


async def test_the_log_in_is_a_form_without_credentials_of_its_own():
    client, wire = core(token(), answer(json={}), auth=oauth(tfa_code=CODE), headers={"X-Key": "k"})
    async with client:
        await client.send(GET)
    login, call = wire.requests
    assert (login.method, login.url.path, login.url.query) == (
        "POST",
        "/tenant/oauth/token",
        b"tenant_id=t07007007",
    )
    assert login.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in login.headers
    assert login.headers["x-key"] == call.headers["x-key"] == "k"
    assert login.headers["user-agent"] == call.headers["user-agent"]  # sessions can be bound to it
    assert parse_qs(wire.bodies[0].decode(), strict_parsing=True) == {
        "grant_type": ["PASSWORD"],
        "username": ["ada"],
        "password": [PASSWORD],
        "tfa_code": [CODE],
    }
    assert call.headers["authorization"] == f"Bearer {OPAQUE}"


async def test_cookies_are_sent_with_their_header_and_adopted_when_the_server_renews_them():
    renewed = answer(headers={"Set-Cookie": "authorization=tok-two; Path=/, XSRF-TOKEN=xsrf-two; Path=/"})
    refused = answer(403, headers={"Set-Cookie": "authorization=evil-three"})
    steps = (cookies(), renewed, refused, answer(json={}))
    client, wire = core(*steps, auth=oauth(cookies=True), retry=RetryPolicy.none())
    async with client:
        await client.send(GET)
        with pytest.raises(TocsinError):
            await client.send(GET)
        await client.send(GET)
    assert wire.requests[0].url.path == "/tenant/oauth"
    sent = [(r.headers["cookie"], r.headers["x-xsrf-token"]) for r in wire.requests[1:]]
    assert sent == [
        (f"authorization={OPAQUE}; XSRF-TOKEN={XSRF}", XSRF),
        ("authorization=tok-two; XSRF-TOKEN=xsrf-two", "xsrf-two"),
        ("authorization=tok-two; XSRF-TOKEN=xsrf-two", "xsrf-two"),
    ]
    assert all("authorization" not in request.headers for request in wire.requests)


async def test_a_sessions_own_cookies_stand_beside_those_of_the_log_in():
    sets = answer(headers={"Set-Cookie": "BAYEUX_BROWSER=b1; Path=/"})
    client, wire = core(cookies(), sets, answer(json={}), auth=oauth(cookies=True))
    async with client, client.session() as session:
        await session.send(POST)
        await session.send(POST)
    assert (
        wire.requests[-1].headers["cookie"] == f"authorization={OPAQUE}; XSRF-TOKEN={XSRF}; BAYEUX_BROWSER=b1"
    )


@pytest.mark.virtual_time
@pytest.mark.parametrize("ours", [datetime(1999, 1, 1, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)])
async def test_the_servers_clock_counts_and_not_ours(ours):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    step = token(jwt(exp=int(now.timestamp()) + 600), Date=format_datetime(now, usegmt=True))

    @of_request
    def reply(request):
        return step() if "oauth" in request.url.path else answer(json={})()

    client, wire = core(reply, auth=oauth(), clock=lambda: ours)
    async with client:
        for pause in (500, 45, 1, 1):
            await client.send(GET)
            await anyio.sleep(pause)
    asked = zip(wire.requests, wire.at, strict=True)
    logins = [moment for request, moment in asked if "oauth" in request.url.path]
    assert len(logins) == 2
    assert 540 <= logins[1] - logins[0] <= 560


@pytest.mark.virtual_time
@pytest.mark.parametrize("exp", [1, "soon", None, True, -5, 1e300, [2]])
async def test_an_expiry_that_makes_no_sense_brings_no_storm(exp):
    @of_request
    def reply(request):
        return token(jwt(exp=exp))() if "oauth" in request.url.path else answer(json={})()

    client, wire = core(reply, auth=oauth())
    async with client:
        for _ in range(20):
            await client.send(GET)
            await anyio.sleep(100)
    assert sum("oauth" in str(request.url) for request in wire.requests) == 1


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: f"a.{base64.b64encode(b).decode()}.c"))
def test_any_text_can_be_asked_for_its_expiry(text):
    assert expiry(text) is None or expiry(text).tzinfo is UTC


@pytest.mark.parametrize(
    "step",
    [
        answer(json={}),
        answer(json=[]),
        answer(json={"access_token": None}),
        answer(json={"access_token": ""}),
        answer(json={"access_token": f"{OPAQUE}\r\nX-Evil: 1"}),
        answer(body=b"<html><title>Hotel WLAN</title>"),
        answer(body=f'{{"access_token":"{OPAQUE}'.encode()),
        answer(302, headers={"Location": f"https://evil.example/{OPAQUE}"}),
        answer(body=b"x" * 70_000_000),
    ],
)
async def test_an_answer_without_a_token_is_told_as_that(step):
    client, wire = core(step, auth=oauth(), retry=RetryPolicy.none())
    async with client:
        with pytest.raises(ProtocolError) as caught:
            await client.send(GET)
    assert len(wire.requests) == 1
    assert OPAQUE not in told_by(caught.value)


async def test_a_log_in_by_cookies_needs_the_cookie():
    client, _ = core(answer(headers={"Set-Cookie": "other=1"}), auth=oauth(cookies=True))
    async with client:
        with pytest.raises(ProtocolError, match="authorization"):
            await client.send(GET)


@pytest.mark.parametrize("failure", [httpx.ReadError("reset"), httpx.ReadTimeout("late")])
async def test_a_write_whose_log_in_broke_was_not_applied(failure):
    client, wire = core(failure, auth=oauth(), retry=RetryPolicy.none())
    async with client:
        with pytest.raises(TransportError) as caught:
            await client.send(POST)
    assert caught.value.maybe_applied is False
    assert "may have been applied" not in str(caught.value)
    assert len(wire.requests) == 1


@pytest.mark.virtual_time
async def test_who_waits_for_a_log_in_has_his_own_time_limit():
    @of_request
    async def reply(request):
        if "oauth" in request.url.path:
            await anyio.sleep(20)
            return token()()
        return answer(json={})()

    client, wire = core(reply, auth=oauth())
    async with client:
        with pytest.raises(RequestTimeoutError) as caught:
            await client.send(Request("POST", "/x", body=b"{}", timeouts=Timeouts(total=5)))
        assert caught.value.maybe_applied is False
        await client.send(GET)
    assert [request.url.path for request in wire.requests] == ["/tenant/oauth/token", "/x"]


async def test_what_one_client_was_given_stays_with_it():
    auth = oauth()
    first, _ = core(token("token-of-one"), answer(json={}), auth=auth)
    second, wire = core(token("token-of-two"), answer(json={}), auth=auth)
    async with first, second:
        await first.send(GET)
        await second.send(GET)
    assert [r.headers.get("authorization") for r in wire.requests] == [None, "Bearer token-of-two"]
    assert "token-of" not in "".join(auth.secrets)


def test_it_warns_of_plain_http_to_another_machine():
    with pytest.warns(InsecureTransportWarning):
        core(url="http://acme.example.com", auth=oauth())


@pytest.mark.parametrize(
    "build",
    [
        lambda: OAuthInternal("", PASSWORD),
        lambda: OAuthInternal("ada", ""),
        lambda: OAuthInternal("ada", PASSWORD, tenant=""),
        lambda: OAuthInternal("ada", PASSWORD + "\udcff"),
        lambda: OAuthInternal("ada", PASSWORD.encode()),
        lambda: OAuthInternal("ada", PASSWORD, tfa_code=918273),
        lambda: OAuthInternal("ada", PASSWORD, tfa_code=CODE + "\udcff"),
    ],
)
def test_misuse_is_told_without_repeating_it(build):
    with pytest.raises(ConfigurationError, match="OAuthInternal") as caught:
        build()
    assert not any(secret in str(caught.value) for secret in SECRETS)


@pytest.mark.parametrize("by_cookies", [False, True], ids=["token", "cookies"])
async def test_no_secret_of_a_log_in_is_shown(caplog, by_cookies, transport):
    """On a real connection, with the libraries' own logs at DEBUG, and a server that repeats all it knows."""
    said = " ".join(SECRETS)
    body = json.dumps({"access_token": OPAQUE}).encode()
    error = json.dumps({"error": "security/Unauthorized", "message": f"no: {said}"}).encode()
    set_cookies = f"Set-Cookie: authorization={OPAQUE}; Path=/\r\nSet-Cookie: XSRF-TOKEN={XSRF}; Path=/\r\n"
    head = "HTTP/1.1 200 OK\r\n" + (set_cookies if by_cookies else "")
    replies = [
        f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body,
        f"HTTP/1.1 403 No\r\nContent-Length: {len(error)}\r\n\r\n".encode() + error,
    ]

    auth = oauth(tfa_code=CODE, cookies=by_cookies)
    known = [PASSWORD, OPAQUE, CODE, *([XSRF] if by_cookies else [])]
    with caplog.at_level(logging.DEBUG):
        async with (
            serving(replying(*replies)) as server,
            HttpCore(server.url, auth=auth, retry=RetryPolicy.none()) as client,
        ):
            with pytest.raises(TocsinError) as caught:
                await client.send(GET)
            shown = told_by(caught.value) + repr(client) + repr(auth) + repr(client._shared.route.auth)
    assert caught.value.message.startswith("no: ***")
    assert any(record.name == "httpcore.http11" for record in caplog.records) is (transport == "httpx")
    for secret in known:
        assert secret not in shown
        assert secret not in caplog.text


@pytest.mark.parametrize("by_cookies", [False, True], ids=["token", "cookies"])
async def test_a_refusal_that_repeats_the_log_in_shows_nothing(by_cookies):
    @of_request
    def reply(request):
        return answer(401, json={"message": f"TOTP {CODE} of ada with {PASSWORD} is wrong"})()

    client, _ = core(reply, auth=oauth(tfa_code=lambda: CODE, cookies=by_cookies))
    async with client:
        with pytest.raises(AuthenticationError, match="the code was not accepted") as caught:
            await client.send(GET)
    assert not any(secret in told_by(caught.value) for secret in SECRETS)
    assert caught.value.status == 401


async def test_a_server_that_cannot_be_reached_is_told_as_that():
    client, _ = core(httpx.ConnectError("refused"), auth=oauth(), retry=RetryPolicy.none())
    async with client:
        with pytest.raises(ConnectError):
            await client.send(GET)


@pytest.mark.parametrize("entered", [False, True])
async def test_the_secrets_of_a_client_go_with_it(entered):
    def made():
        return core(token(), answer(json={}), answer(401), auth=oauth(tfa_code=CODE))

    gc.collect()
    gc.disable()
    try:
        client, wire = made()
        if entered:
            async with client:
                await client.send(GET)
                with pytest.raises(AuthenticationError):
                    await client.send(GET)
        kept = weakref.ref(client._shared.route.redactor)
        del client, wire
        await anyio.sleep(0)
        assert kept() is None
    finally:
        gc.enable()
