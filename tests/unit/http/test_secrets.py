"""No secret is ever shown: not in logs, errors, causes, warnings, reprs, or URLs."""

import base64
import copy
import logging
import pickle
import re
import traceback
import warnings

import httpx
import pytest
from http_fakes import answer, core
from http_servers import replying, serving

from tocsin._http._auth import BasicAuth, BearerAuth
from tocsin._http._core import HttpCore
from tocsin._http._request import Request
from tocsin._http._retry import RetryPolicy
from tocsin.errors import ProtocolError, TocsinError

PASSWORD = "hunter2-Pässword/:%"
TOKEN = "tok-3f9a2c7e5b1d"
COOKIE = "cookie-9d1f7a"
PROXY = "proxy-secret-77"
QUERY = "query-secret-31"
BASIC = base64.b64encode(f"t1/ada:{PASSWORD}".encode()).decode()
SECRETS = [PASSWORD, TOKEN, COOKIE, PROXY, QUERY, BASIC, "hunter2"]
AUTHS = [BasicAuth("ada", PASSWORD, tenant="t1"), BearerAuth(TOKEN)]


def check(*texts):
    for text in texts:
        for secret in SECRETS:
            assert secret not in text, text


def told_by(error):
    """Everything that a log or a crash report would show of an error."""
    shown = [str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))]
    shown.append(pickle.dumps(error).decode("latin-1"))
    links, todo = set(), [error]
    while todo:
        link = todo.pop()
        if link is not None and id(link) not in links:
            links.add(id(link))
            shown += [str(link), repr(link)]
            todo += [link.__cause__, link.__context__]
    return shown


@pytest.fixture
def records(caplog):
    """All that tocsin and the HTTP libraries log, at DEBUG, is looked at in the end."""
    with caplog.at_level(logging.DEBUG):
        yield caplog
    check(*(record.getMessage() for record in caplog.records), caplog.text)


def echo(said):
    return {
        "error": f"security/{said}",
        "message": f"{said} is unknown",
        "info": f"https://docs/?token={QUERY}",
    }


STEPS = {
    "json": lambda said: answer(401, json=echo(said)),
    "html": lambda said: answer(500, body=f"<html><title>{said}</title>".encode()),
    "text": lambda said: answer(502, body=f"plain {said} Basic {BASIC} Bearer {TOKEN}-and-more".encode()),
    "redirect": lambda said: answer(
        302, headers={"Location": f"https://{TOKEN}@other.example/{TOKEN}?{QUERY}"}
    ),
    "too large": lambda said: answer(200, body=b"x" * 1000),
    "not gzip": lambda said: answer(200, body=said.encode(), headers={"Content-Encoding": "gzip"}),
    "broken": lambda said: httpx.ReadError(f"Illegal header value b'Basic {BASIC}' {said}"),
    "local": lambda said: httpx.LocalProtocolError(f"Illegal header value b'Basic {BASIC}' {said}"),
    "connect": lambda said: httpx.ConnectError(f"https://ada:{QUERY}@host {said}"),
}


@pytest.mark.parametrize("auth", AUTHS, ids=["basic", "bearer"])
@pytest.mark.parametrize("step", list(STEPS))
async def test_errors_hold_none(records, auth, step):
    client, _ = core(STEPS[step](" or ".join(auth.secrets)), auth=auth, retry=RetryPolicy.none())
    async with client:
        with pytest.raises(TocsinError) as caught:
            await client.send(Request("POST", "/x", (("token", QUERY),), b"{}", max_bytes=900))
    check(*told_by(caught.value))


@pytest.mark.parametrize("auth", AUTHS, ids=["basic", "bearer"])
async def test_an_answer_that_is_not_json_holds_none(records, auth):
    client, _ = core(answer(200, body=f"you are {' '.join(auth.secrets)}".encode()), auth=auth)
    async with client:
        response = await client.send(Request("GET", "/x", (("token", QUERY),)))
        with pytest.raises(TocsinError) as caught:
            response.json()
    check(*told_by(caught.value), repr(response), repr(client), repr(auth))


def refused(body):
    raise ProtocolError("that is no alarm", detail=body.decode())


@pytest.mark.parametrize("auth", AUTHS, ids=["basic", "bearer"])
async def test_an_echo_of_the_request_is_json_and_holds_none(records, auth):
    client, _ = core(answer(200, json={"headers": {"authorization": " ".join(auth.secrets)}}), auth=auth)
    async with client:
        response = await client.send(Request("GET", "/x", (("token", QUERY),)))
        with pytest.raises(ProtocolError, match=r"that is no alarm .*GET http.* answered 200") as caught:
            response.parsed(refused)
    assert caught.value.detail.startswith('{"headers"')
    check(*told_by(caught.value))
    assert copy.deepcopy(response).redactor is response.redactor  # a copy stays here and goes on hiding


@pytest.mark.parametrize("auth", AUTHS, ids=["basic", "bearer"])
async def test_the_libraries_logs_hold_none_on_a_real_connection(records, auth, transport):
    reply = (
        f"HTTP/1.1 200 OK\r\nSet-Cookie: sid={COOKIE}; Path=/\r\nX-Token: Bearer {TOKEN}-and-more\r\n"
        "Content-Length: 2\r\n\r\n{}"
    ).encode()
    async with serving(replying(reply)) as server, HttpCore(server.url, auth=auth) as client:
        await client.send(Request("GET", "/x", (("access_token", QUERY),)))
        async with client.session() as session:
            await session.send(Request("POST", "/x", body=b"[]"))
            await session.send(Request("POST", "/x", body=b"[]"))
        assert f"Cookie: sid={COOKIE}".encode() in server.requests[2][0]
    seen = {record.name for record in records.records}
    if transport == "httpx":
        assert {"tocsin.http", "httpcore.http11", "httpcore.connection"} <= seen
        assert any("***" in record.getMessage() for record in records.records)
    else:
        assert seen >= {"tocsin.http"}  # it logs nothing itself


async def test_a_header_given_as_an_option_is_a_secret_too(records):
    step = answer(403, body=f"no: {TOKEN} {COOKIE}".encode())
    client, _ = core(step, headers={"Authorization": f"Custom {TOKEN}"})
    async with client:
        view = client.with_options(headers={"X-XSRF-TOKEN": COOKIE})
        with pytest.raises(TocsinError) as caught:
            await view.send(Request("GET", "/"))
    check(str(caught.value))


def test_warnings_hold_none():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        core(url="http://acme.example.com", auth=AUTHS[0])
    assert len(seen) == 1
    check(str(seen[0].message))


@pytest.mark.parametrize(
    "build",
    [
        lambda: HttpCore(f"https://ada:{PASSWORD}@acme.example.com"),
        lambda: HttpCore(f"https://acme.example.com/?token={QUERY}"),
        lambda: HttpCore("https://acme.example.com", proxy=f"ftp://u:{PROXY}@proxy:3128"),
        lambda: HttpCore("https://acme.example.com", proxy=f"http://u:{PROXY}@proxy:port"),
        lambda: HttpCore("https://acme.example.com", headers={"Authorization": f"{TOKEN}\n"}),
        lambda: BearerAuth(f"{TOKEN} x"),
        lambda: BasicAuth("ada:x", PASSWORD),
        lambda: BasicAuth("ada", PASSWORD + "\n"),
        lambda: BasicAuth("ada", PASSWORD + "\udcff"),
        lambda: BearerAuth(TOKEN.encode()),
        lambda: HttpCore("https://acme.example.com", auth=("ada", PASSWORD)),
        lambda: Request("GET", f"/x?token={QUERY}"),
        lambda: Request("GET", "/x", headers=(("Cookie", f"{COOKIE}\n"),)),
    ],
)
def test_misuse_is_told_without_repeating_it(build):
    with pytest.raises(TocsinError) as caught:
        build()
    check(*told_by(caught.value)[:3], *(str(link) for link in (caught.value.__cause__,)))


async def test_our_log_lines_say_what_happened(records):
    client, _ = core(answer(503), answer(json={}))
    async with client:
        await client.send(Request("GET", "/alarm/alarms", (("token", QUERY),)))
    lines = [record.getMessage() for record in records.records if record.name == "tocsin.http"]
    assert re.fullmatch(r"GET http://localhost:8111/alarm/alarms: 503 in [\d.]+ ms, 0 bytes", lines[0])
    assert re.fullmatch(r"GET .* failed with 503 Service Unavailable; trying again in 0\.\d\d s", lines[1])
    assert len(lines) == 3
