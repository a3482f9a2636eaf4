"""`transport="auto"`: a WebSocket where there is one, long polling where there is none, and back."""

from __future__ import annotations

import base64
import json

import anyio
import pytest

from tocsin._http._auth import BasicAuth
from tocsin._http._core import HttpCore
from tocsin._stream._channel_terms import ChannelSettings
from tocsin.bayeux import Event, Interruption
from tocsin.bayeux._failures import WornOutError
from tocsin.bayeux._ways import Ways
from tocsin.bayeux._web_socket import WebSocket
from tocsin.errors import (
    AuthenticationError,
    ConnectError,
    PermissionDeniedError,
    ProtocolError,
    SubscriptionRefusedError,
)
from tocsin.testing import in_process
from unit.bayeux.bayeux_http import Web, web_client
from unit.bayeux.bayeux_peer import Server, subscriber_of

pytestmark = pytest.mark.virtual_time


async def events(news, count):
    """The next events; interruptions are skipped."""
    found = []
    with anyio.fail_after(2000):
        while len(found) < count:
            item = await anext(news)
            if isinstance(item, Event):
                found.append(item.json())
    return found


def speaking(web):
    """What the last connect spoke."""
    connects = [m for batch in web.server.requests for m in batch if m["channel"] == "/meta/connect"]
    return connects[-1]["connectionType"]


def no_sockets(web):
    web.web_socket = False


def refused(status):
    def refuse(web):
        web.sockets.refusal = status

    return refuse


def hung_up(web):
    web.sockets.hangs_up_at = "/meta/handshake"


def swallowed(web):
    web.sockets.mute = "/meta/handshake"


def denied(web):
    web.server.rewrite = lambda requests, answers: (
        [{**answers[-1], "successful": False, "error": "403::Handshake denied"}]
        if requests[0].get("supportedConnectionTypes") == ["websocket"]
        else answers
    )


def unknown(web):
    web.server.way = "long-polling"


@pytest.mark.parametrize(
    "without",
    [no_sockets, refused(404), refused(400), refused(502), hung_up, swallowed, denied, unknown],
    ids=lambda f: f.__name__,
)
async def test_without_a_web_socket_it_polls_and_loses_no_subscription(without):
    """bayeux.md 6.61: the subscriptions were made before it turned."""
    web = Web(Server("auto"))
    web.web_socket = True
    web.server.rude = True
    without(web)
    async with web_client(web, transport="auto") as (client, _):
        begun = anyio.current_time()
        async with client.subscribe("/a/*") as one, client.subscribe("/b") as two:
            assert anyio.current_time() - begun < (12 if without is swallowed else 0.1)
            assert speaking(web) == "long-polling"
            web.server.publish("/a/1", 1)
            web.server.publish("/b", 2)
            assert (await events(one, 1), await events(two, 1)) == ([1], [2])


async def test_a_web_socket_is_preferred_and_tried_again_when_it_breaks():
    """bayeux.md 6.62: also after a restart in which nobody can be reached for a while."""
    web = Web(Server("auto"))
    web.web_socket = True
    async with web_client(web, transport="auto") as (client, process), client.subscribe("/a") as news:
        assert speaking(web) == "websocket"
        await anyio.sleep(20)
        process.refusing = True
        web.server.restart()
        await anyio.sleep(300)
        process.refusing = False
        await anyio.sleep(100)
        web.server.publish("/a", 1)
        assert await events(news, 1) == [1]
        assert speaking(web) == "websocket"
    assert not any(s["method"] == "POST" for s in web.seen)


@pytest.mark.parametrize("session", ["alive", "forgotten"])
async def test_a_web_socket_that_has_gone_is_given_up_and_found_again(session):
    """bayeux.md 6.62: after three failures it polls; ten minutes later it looks back."""
    web = Web(Server("auto"))
    web.web_socket = True
    async with web_client(web, transport="auto") as (client, _), client.subscribe("/a") as news:
        await anyio.sleep(20)
        web.sockets.refusal = 502
        if session == "forgotten":
            web.server.restart()
        else:
            web.server.reset()
        await anyio.sleep(30)
        assert speaking(web) == "long-polling"
        assert web.tried <= 1 + 6
        web.server.publish("/a", 1)
        assert await events(news, 1) == [1]
        before = web.tried
        web.sockets.refusal = None
        await anyio.sleep(620)
        assert web.tried == before + 2  # a look, and the session itself
        assert speaking(web) == "websocket"
        web.server.publish("/a", 2)
        assert await events(news, 1) == [2]


async def test_a_web_socket_that_breaks_at_every_connect_is_given_up():
    """A middlebox that lets the handshake through and nothing that takes longer."""
    web = Web(Server("auto"))
    web.web_socket = True
    web.sockets.hangs_up_at = '"timeout":30000'
    async with web_client(web, transport="auto") as (client, _), client.subscribe("/a") as news:
        await anyio.sleep(60)
        assert speaking(web) == "long-polling"
        web.server.publish("/a", 1)
        assert await events(news, 1) == [1]


async def test_looking_back_in_vain_gets_rarer_and_costs_nothing():
    web = Web(Server("auto"))
    async with web_client(web, transport="auto") as (client, _), client.subscribe("/a") as news:
        await anyio.sleep(0)
        before = web.tried
        await anyio.sleep(3000)
        assert web.tried == before + 2
        web.server.publish("/a", 1)
        assert await anext(news) == Event("/a", b"1")  # no interruption before it


@pytest.mark.parametrize("refusing", [True, False])
async def test_a_refusal_is_final_on_both(refusing):
    """bayeux.md 6.6, 6.31."""
    web = Web(Server("auto"))
    web.web_socket = True
    if refusing:
        web.sockets.refusal = web.status = 403
    web.server.denied = {"/a"}
    async with web_client(web, transport="auto") as (client, _):
        with pytest.raises(PermissionDeniedError if refusing else SubscriptionRefusedError):
            async with client.subscribe("/a"):
                pass


async def test_an_interruption_is_told_when_it_turns():
    web = Web(Server("auto"))
    web.web_socket = True
    async with web_client(web, transport="auto") as (client, _), client.subscribe("/a") as news:
        await anyio.sleep(20)
        web.web_socket = False
        web.server.reset()
        await anyio.sleep(60)
        assert isinstance(await anext(news), Interruption)


def test_which_way_is_next():
    ways = Ways("fast", "safe", back_after=100)
    refused = ProtocolError("no WebSocket")
    assert ways.choose(None, 0) == "fast"
    assert ways.choose(ConnectError("down"), 0) == "fast"
    assert ways.choose(refused, 0) == "safe"
    assert ways.choose(refused, 99) == "safe"
    assert ways.choose(None, 100) == "fast"
    ways.worked()
    assert [ways.choose(refused, 200) for _ in range(3)] == ["fast", "fast", "safe"]
    assert ways.back_at == 300
    ways.go_back()
    ways.worked()
    assert ways.choose(WornOutError("x"), 400) == "safe"
    assert ways.back_at == 500
    ways.stay(500)
    ways.stay(700, looked=False)
    assert ways.back_at == 1100
    ways.stay(1100)
    assert ways.back_at == 1500


class Fresh:
    """Stands in for a session whose log-in can be renewed."""

    def __init__(self, good):
        self.good = good
        self.token = 1

    def ext(self, _http):
        return {"token": self.token}

    async def renew(self):
        await anyio.lowlevel.checkpoint()
        self.token += 1
        return True


@pytest.mark.parametrize("way", ["long-polling", "websocket", "auto"])
async def test_what_a_server_echoes_of_a_handshake_is_not_shown(way, caplog):
    """The credentials of the client, and what the user puts into the `ext`."""
    caplog.set_level("DEBUG")
    web = Web(Server("auto"))
    web.web_socket = web.server.rude = True
    basic = base64.b64encode(b"ada:hunter2hunter2").decode()
    web.server.rewrite = lambda requests, answers: [
        {**answers[-1], "successful": False, "advice": {"reconnect": "none"},
         "error": f"403:{requests[0]['ext']['mine'][0]['key']}:{basic} is not welcome"}
    ]  # fmt: skip
    ext = {"mine": [{"key": "sesame-opens"}]}
    auth = BasicAuth("ada", "hunter2hunter2")
    async with web_client(web, transport=way, auth=auth, handshake_ext=lambda: ext) as (client, _):
        with pytest.raises(PermissionDeniedError, match="not welcome") as caught:
            async with client.subscribe("/a"):
                pass
    told = f"{caught.value!r} {vars(caught.value)} {caplog.text}"
    for secret in ("sesame-opens", "hunter2hunter2", basic):
        assert secret not in told


@pytest.mark.parametrize(("good", "fatal"), [(2, False), (9, True)])
async def test_credentials_refused_in_a_handshake_are_renewed_once(good, fatal):
    """bayeux.md 6.6, 6.8: in the reply, where no status says so."""
    server, fresh = Server("websocket"), Fresh(good)
    server.rude = True
    seen = []

    def rewrite(requests, answers):
        (message, *_) = requests
        if message["channel"] != "/meta/handshake":
            return answers
        seen.append(message["ext"])
        if message["ext"]["token"] == fresh.good:
            return answers
        return [{**answers[0], "successful": False, "error": "401::Unauthorized"}]

    server.rewrite = rewrite
    web = Web(server)
    web.web_socket = True
    async with (
        in_process(web) as process,
        HttpCore(process.url, transport_factory=process.transport_factory) as core,
    ):

        def connect(_error):
            def session():
                http = core.session()
                return Renewing(http, fresh)

            return WebSocket(session, "/bayeux", ChannelSettings(), ext=fresh.ext)

        subscriber = subscriber_of(server, connect)
        await following(subscriber, fatal)
    assert seen == [{"ack": True, "token": 1}, {"ack": True, "token": 2}]


class Renewing:
    """An HTTP session with a log-in that is known to be renewable."""

    def __init__(self, http, fresh):
        self.http = http
        self.renew_credentials = fresh.renew

    async def __aenter__(self):
        await self.http.__aenter__()
        return self

    async def __aexit__(self, *what):
        await self.http.__aexit__(*what)

    async def upgrade(self, request, **options):
        return await self.http.upgrade(request, **options)


async def following(subscriber, fatal):
    from tocsin._stream._owner import TaskOwner
    from unit.bayeux.bayeux_peer import Ear

    ear, owner = Ear(), TaskOwner("test")
    async with owner.open():
        owner.start(subscriber.run, "subscriber")
        subscriber.add(ear, ["/a"])
        await ear.hears("closed" if fatal else "attached")
    if fatal:
        assert isinstance(ear.told[0][1], AuthenticationError)
    else:
        json.dumps(len(ear.told))
