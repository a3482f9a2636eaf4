"""Bayeux over WebSockets, as bayeux.md §3 tells it, in process and on sockets."""

import base64
import json

import anyio
import httpx
import pytest
from emulator_socket import BayeuxLine, Closed, RefusedUpgrade, bayeux, connect, dialled
from emulator_talk import events, talking
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from tocsin.emulator import BayeuxSettings, Emulator, Fault, Limits, serve

TOKEN = base64.b64encode(b"t1/demo:demo").decode()
AUTHN = "com.cumulocity.authn"


@pytest.fixture
def emulator():
    made = Emulator()
    made.store.add_device(id="4711")
    return made


def alarm(emulator: Emulator, kind: str = "t") -> tuple[str, str]:
    return "/alarms/4711", emulator.store.create({"source": "4711", "type": kind})["id"]


async def test_events_come_at_any_time(emulator):
    async with talking(emulator) as talk, bayeux(talk.http) as line:
        assert line.headers["date"] == emulator.clock.http_date()
        shaken = await line.handshake()
        assert "websocket" in shaken["supportedConnectionTypes"]
        await line.subscribe()
        first = alarm(emulator, "before the first connect")
        assert await line.event() == first
        assert (await line.connect())["successful"]
        await line.tell(connect(30))
        await emulator.until(lambda: emulator.held_polls == 1)
        sent = [alarm(emulator, f"{n}") for n in range(3)]
        assert [await line.event() for _ in range(3)] == sent
        assert emulator.held_polls == 1


@pytest.mark.virtual_time
async def test_a_connect_is_held_as_a_sign_of_life(emulator):
    async with talking(emulator) as talk, bayeux(talk.http) as line:
        await line.attach()
        begun = anyio.current_time()
        assert (await line.connect(30))["successful"]
        assert anyio.current_time() - begun == pytest.approx(30)
        await anyio.sleep(9)
        assert (await line.connect())["successful"]
        await anyio.sleep(11)  # longer than max_interval, though the socket is open
        reply = await line.connect()
        assert reply["error"].startswith("402")
        assert reply["advice"]["reconnect"] == "handshake"


@pytest.mark.virtual_time
async def test_an_expired_session_gets_no_events(emulator):
    async with talking(emulator) as talk, bayeux(talk.http) as line:
        await line.attach()
        await anyio.sleep(11)
        alarm(emulator)
        assert await line.quiet(5)


async def test_a_session_outlives_its_socket(emulator):
    async with talking(emulator) as talk:
        async with bayeux(talk.http) as line:
            await line.attach()
            await line.tell(connect(30))
            await emulator.until(lambda: emulator.held_polls == 1)
        await emulator.until(lambda: emulator.sockets == 0)
        assert emulator.held_polls == 0
        missed = [alarm(emulator, f"{n}") for n in range(2)]
        async with bayeux(talk.http) as again:
            again.client_id = line.client_id
            await again.tell(connect(0))
            batch = await again.told()
            assert [message["channel"] for message in batch] == ["/alarms/4711"] * 2 + ["/meta/connect"]
            assert [message["data"]["data"]["id"] for message in batch[:-1]] == [
                name for _channel, name in missed
            ]
            later = alarm(emulator, "later")
            assert await again.event() == later


@pytest.mark.virtual_time
async def test_after_max_interval_it_does_not(emulator):
    async with talking(emulator) as talk:
        async with bayeux(talk.http) as line:
            await line.attach()
        await anyio.sleep(10.5)
        async with bayeux(talk.http) as again:
            again.client_id = line.client_id
            assert (await again.connect())["error"].startswith("402")


async def test_a_new_socket_takes_over_from_one_that_hangs(emulator):
    async with talking(emulator) as talk, bayeux(talk.http) as old, bayeux(talk.http) as new:
        await old.attach()
        await old.tell(connect(30))
        await emulator.until(lambda: emulator.held_polls == 1)
        new.client_id = old.client_id
        assert (await new.connect())["successful"]
        one = alarm(emulator)
        assert await new.event() == one
        assert await old.quiet()


async def test_a_session_can_move_between_polling_and_a_socket():
    emulator = Emulator(bayeux=BayeuxSettings(require_cookie=False))
    async with talking(emulator) as talk, bayeux(talk.http) as line:
        await talk.attach()
        line.client_id = talk.client_id
        assert (await line.connect())["successful"]
        one = emulator.store.create({"source": "1"})
        assert await line.event() == ("/alarms/1", one["id"])
        await talk.connect()
        two = emulator.store.create({"source": "1", "type": "two"})
        assert await line.quiet()
        assert events(await talk.connect()) == [("CREATE", two["id"])]


@pytest.mark.parametrize("answered", [False, True])
async def test_disconnect(answered):
    emulator = Emulator(bayeux=BayeuxSettings(disconnect_reply=answered))
    async with talking(emulator) as talk, bayeux(talk.http) as line:
        await line.attach()
        await line.tell(connect(30))
        await emulator.until(lambda: emulator.held_polls == 1)
        await line.tell({"channel": "/meta/disconnect"})
        if answered:
            assert (await line.told())[0]["channel"] == "/meta/disconnect"
            [released] = await line.told()
            assert released["advice"] == {"reconnect": "none"}
        else:
            assert await line.quiet()
        assert (emulator.sessions, emulator.held_polls) == (0, 0)


@pytest.mark.parametrize(
    "ext",
    [
        {"token": TOKEN},
        {"token": "BEARER"},
        {"xsrfToken": "XSRF"},
    ],
)
async def test_credentials_in_the_handshake(emulator, ext):
    bearer = emulator.access.issue_token("demo")
    session = emulator.access.log_in("demo", "demo", None)
    given = json.loads(
        json.dumps(ext).replace("BEARER", bearer).replace("XSRF", emulator.access.xsrf(session))
    )
    async with talking(emulator) as talk:
        talk.http.auth = None
        async with bayeux(talk.http, headers={"Cookie": f"authorization={session}"}) as line:
            reply = await line.handshake()
            assert (reply["successful"], reply["error"]) == (False, "403::Handshake denied")
            assert "advice" not in reply
            wrong = {name: value[:-4] + "xxxx" for name, value in given.items()}
            assert not (await line.handshake(ext={AUTHN: wrong}))["successful"]
            await line.attach(ext={AUTHN: given})
            one = alarm(emulator)
            assert await line.event() == one


async def test_a_second_factor_goes_into_the_handshake(emulator):
    emulator.access.add_user("ann", "pw", code="123456")
    token = base64.b64encode(b"ann:pw").decode()
    async with talking(emulator) as talk:
        talk.http.auth = None
        async with bayeux(talk.http) as line:
            assert not (await line.handshake(ext={AUTHN: {"token": token}}))["successful"]
            assert (await line.handshake(ext={AUTHN: {"token": token, "tfa": "123456"}}))["successful"]


async def test_wrong_credentials_in_the_upgrade_are_refused(emulator):
    async with talking(emulator, password="wrong") as talk:
        with pytest.raises(RefusedUpgrade) as refused:
            async with bayeux(talk.http):
                pass
    assert (refused.value.status, json.loads(refused.value.body)["error"]) == (401, "security/Unauthorized")
    assert "www-authenticate" in refused.value.headers


async def test_somebody_elses_session_is_unknown(emulator):
    emulator.access.add_user("eve", "pw")
    async with talking(emulator) as talk, bayeux(talk.http) as line:
        await line.attach()
        talk.http.auth = ("eve", "pw")
        async with bayeux(talk.http) as foreign:
            foreign.client_id = line.client_id
            assert (await foreign.connect())["error"].startswith("402")


async def test_rights_hold_on_sockets_too(emulator):
    emulator.access.add_user("eve", "pw", "no-alarms")
    async with talking(emulator, "eve", "pw") as talk, bayeux(talk.http) as line:
        await line.handshake()
        assert (await line.subscribe())["error"].startswith("403")


@pytest.mark.parametrize(
    ("settings", "path", "status"),
    [
        (BayeuxSettings(web_socket=False), "/notification/realtime", 405),
        (BayeuxSettings(notification_path=False), "/notification/realtime", 404),
        (BayeuxSettings(), "/alarm/alarms", 400),
        (BayeuxSettings(), "/nowhere", 404),
    ],
)
async def test_where_there_is_no_web_socket(settings, path, status):
    async with talking(Emulator(bayeux=settings)) as talk:
        with pytest.raises(RefusedUpgrade) as refused:
            async with dialled(talk.http, path):
                pass
        assert refused.value.status == status
        if status == 404:
            return
        offered = (await talk.handshake())["supportedConnectionTypes"]
        assert ("websocket" in offered) == settings.web_socket


async def test_the_old_address_serves_too():
    emulator = Emulator(bayeux=BayeuxSettings(notification_path=False))
    async with talking(emulator) as talk, bayeux(talk.http, "/cep/realtime") as line:
        await line.attach()


@pytest.mark.parametrize(
    "nonsense", ["", "nonsense", "17", "[]", "[1]", "[[]]", '"x"', "{", "[" * 9000, "NaN"]
)
async def test_nonsense_is_passed_over(emulator, nonsense):
    async with talking(emulator) as talk, bayeux(talk.http) as line:
        await line.say(nonsense)
        await line.stream.write(Frame(Opcode.BINARY, b"\0\xff").serialize(mask=True))
        await line.attach()


@given(st.lists(st.text(max_size=30) | st.dictionaries(st.sampled_from(
    ["channel", "clientId", "id", "subscription", "connectionType", "ext", "advice", "data"]),
    st.none() | st.integers() | st.sampled_from(["/meta/connect", "/meta/subscribe", "/meta/handshake", "/x"])
    | st.dictionaries(st.sampled_from(["ack", AUTHN, "timeout"]), st.integers() | st.just({"token": 1})),
).map(json.dumps), max_size=5))  # fmt: skip
async def test_whatever_is_said_the_next_good_message_is_answered(said):
    emulator = Emulator()
    async with talking(emulator) as talk, bayeux(talk.http) as line:
        for text in said:
            await line.say(text)
        await line.say(
            json.dumps(
                {"channel": "/meta/handshake", "id": "last", "supportedConnectionTypes": ["websocket"]}
            )
        )
        while (reply := json.loads(await line.hear())[0]).get("id") != "last":
            pass
        assert reply["successful"]


async def test_a_bare_object_is_taken(emulator):
    async with talking(emulator) as talk, bayeux(talk.http) as line:
        shake = {"channel": "/meta/handshake", "supportedConnectionTypes": ["websocket"]}
        await line.say(json.dumps(shake))
        assert (await line.told())[0]["successful"]


async def test_text_that_is_none_ends_the_socket(emulator):
    async with talking(emulator) as talk, bayeux(talk.http) as line:
        await line.say(b"\xff\xfe")
        with pytest.raises(Closed) as closed:
            await line.hear()
    assert closed.value.code == 1007


async def test_limits():
    emulator = Emulator(limits=Limits(frame=1000, sockets=1))
    async with talking(emulator) as talk:
        async with bayeux(talk.http) as line:
            with pytest.raises(RefusedUpgrade) as refused:
                async with bayeux(talk.http):
                    pass
            assert refused.value.status == 503
            await line.say("x" * 1001)
            with pytest.raises(Closed) as closed:
                await line.hear()
            assert closed.value.code == 1009
        await emulator.until(lambda: emulator.sockets == 0)
        async with bayeux(talk.http) as line:
            await line.attach()


async def test_a_client_that_does_not_read_is_forgotten_in_the_end():
    emulator = Emulator(limits=Limits(queue=50))
    async with talking(emulator) as talk, bayeux(talk.http) as line:
        await line.attach()
        for n in range(400):
            emulator.store.create({"source": "1", "type": f"{n}", "text": "x" * 2000})
            if n % 40 == 0:
                await anyio.sleep(0)
        await emulator.until(lambda: emulator.sessions == 0)


class TestAck:
    async def test_it_is_confirmed_to_who_asks(self, emulator):
        async with talking(emulator) as talk:
            assert "ext" not in await talk.handshake()
            assert (await talk.handshake(ext={"ack": True}))["ext"] == {"ack": True}
            assert (await talk.connect(ext={"ack": 0}))[-1]["ext"] == {"ack": 1}

    async def test_it_can_be_switched_off(self):
        async with talking(Emulator(bayeux=BayeuxSettings(ack=False))) as talk:
            assert "ext" not in await talk.handshake(ext={"ack": True})

    async def polled(self, talk, number):
        *batch, reply = await talk.connect(ext={"ack": number})
        return [m["data"]["data"]["id"] for m in batch], reply["ext"]["ack"]

    async def test_what_is_not_confirmed_comes_again(self, emulator):
        async with talking(emulator) as talk:
            await talk.handshake(ext={"ack": True})
            await talk.subscribe()
            _none, zero = await self.polled(talk, 0)
            _channel, a = alarm(emulator, "a")
            got, one = await self.polled(talk, zero)
            assert got == [a]
            _channel, b = alarm(emulator, "b")
            again, two = await self.polled(talk, zero)  # the reply with `a` was lost
            assert again == [a, b]
            assert await self.polled(talk, two) == ([], two + 1)
            assert one < two

    async def test_a_poll_with_an_old_number_is_answered_at_once(self, emulator):
        async with talking(emulator) as talk:
            await talk.handshake(ext={"ack": True})
            await talk.subscribe()
            await self.polled(talk, 0)
            alarm(emulator)
            await self.polled(talk, 1)
            reply = await talk.connect(30, ext={"ack": 1})
            assert [m["channel"] for m in reply] == ["/alarms/4711", "/meta/connect"]

    async def test_no_events_ride_on_other_replies(self, emulator):
        async with talking(emulator) as talk:
            await talk.handshake(ext={"ack": True})
            await talk.subscribe()
            alarm(emulator)
            assert (await talk.subscribe("/alarms/1"))["channel"] == "/meta/subscribe"
            assert len(await talk.connect(ext={"ack": 0})) == 2

    async def test_a_lost_poll_loses_nothing(self, emulator):
        emulator.faults.add(Fault("drop", channel="/meta/connect", when="reply", skip=1))
        async with talking(emulator) as talk:
            await talk.handshake(ext={"ack": True})
            await talk.subscribe()
            await self.polled(talk, 0)
            _channel, a = alarm(emulator)
            with pytest.raises(httpx.TransportError):
                await self.polled(talk, 1)
            assert (await self.polled(talk, 1))[0] == [a]

    async def test_on_a_socket_too(self, emulator):
        async with talking(emulator) as talk:
            async with bayeux(talk.http) as line:
                await line.handshake(ext={"ack": True})
                await line.subscribe()
                assert (await line.connect(ext={"ack": 0}))["ext"] == {"ack": 1}
                sent = alarm(emulator)
                assert await line.quiet()  # events leave with replies to connects only
                await line.tell(connect(30, ext={"ack": 1}))
                batch = await line.told()
                assert [m["channel"] for m in batch] == ["/alarms/4711", "/meta/connect"]
                assert batch[-1]["ext"] == {"ack": 2}
            async with bayeux(talk.http) as again:
                again.client_id = line.client_id
                await again.connect(ext={"ack": 1})
                assert again.events == [sent]
                await again.tell(connect(30, ext={"ack": 3}))
                later = alarm(emulator, "later")
                assert (await again.told())[0]["data"]["data"]["id"] == later[1]

    @pytest.mark.parametrize("number", [None, True, "1", 10**9, -1, 1.5, [1]])
    async def test_strange_numbers_do_not_hurt(self, emulator, number):
        async with talking(emulator) as talk:
            await talk.handshake(ext={"ack": True})
            await talk.subscribe()
            alarm(emulator)
            assert len(await talk.connect(ext={"ack": 0})) == 2
            assert (await talk.connect(ext={"ack": number}))[-1]["successful"]

    async def test_what_is_kept_is_limited(self):
        emulator = Emulator(limits=Limits(queue=5))
        async with talking(emulator) as talk:
            await talk.handshake(ext={"ack": True})
            await talk.subscribe()
            for n in range(6):
                emulator.store.create({"source": "1", "type": f"{n}"})
                if emulator.sessions:
                    await talk.connect(ext={"ack": 0})
            assert emulator.sessions == 0


class TestOnLoopback:
    @pytest.fixture
    async def http(self, emulator):
        async with (
            serve(emulator) as server,
            httpx.AsyncClient(base_url=server.url, auth=("demo", "demo"), trust_env=False, timeout=5) as http,
        ):
            yield http

    async def test_events_and_resumption(self, emulator, http):
        async with bayeux(http) as line:
            assert line.headers.get_list("date")[1:] == []
            assert line.headers["date"].endswith("GMT")
            await line.attach()
            sent = alarm(emulator)
            assert await line.event() == sent
            await line.ping()
            while not line.pongs:
                await line.read()
        await emulator.until(lambda: emulator.sockets == 0)
        missed = alarm(emulator, "missed")
        async with bayeux(http) as again:
            again.client_id = line.client_id
            assert (await again.connect())["successful"]
            assert again.events == [missed]

    @pytest.mark.parametrize("reset", [False, True])
    async def test_sockets_can_be_dropped(self, emulator, http, reset):
        async with bayeux(http) as line:
            await line.attach()
            assert emulator.drop_sockets(reset=reset) == 1
            with pytest.raises(Closed) as closed:
                await line.hear()
            assert closed.value.code is None

    async def test_restart(self, emulator, http):
        async with bayeux(http) as line:
            await line.attach()
            emulator.restart()
            with pytest.raises(Closed):
                await line.hear()
        async with bayeux(http) as again:
            again.client_id = line.client_id
            assert (await again.connect())["error"].startswith("402")

    async def test_silence_answers_no_ping(self, emulator, http):
        async with bayeux(http) as line:
            await line.attach()
            assert emulator.silence_sockets() == 1
            alarm(emulator)
            await line.ping()
            assert await line.quiet(0.2)
            assert line.pongs == []
        await emulator.until(lambda: emulator.sockets == 0)

    async def test_a_message_is_cut_to_the_byte(self, emulator, http):
        async with bayeux(http) as line:
            await line.attach()
            emulator.faults.add(Fault("cut", method="FRAME", size=40))
            await line.tell(connect(0))
            line.got = b""
            with pytest.raises(Closed):
                await line.hear()
            assert len(line.got) == 40 + (2 if len(line.got) == 42 else 4)

    async def test_messages_drip(self, emulator, http):
        emulator.faults.add(Fault("drip", method="GET", size=5, seconds=0.001))
        async with bayeux(http) as line:
            await line.attach()

    @pytest.mark.parametrize("status", [401, 403, 503])
    async def test_refused_upgrades(self, emulator, http, status):
        emulator.faults.add(Fault("status", method="GET", status=status, retry_after="7"))
        with pytest.raises(RefusedUpgrade) as refused:
            async with bayeux(http):
                pass
        assert (refused.value.status, refused.value.headers["retry-after"]) == (status, "7")

    async def test_too_large_a_message(self, http):
        async with bayeux(http) as line:
            frame = Frame(Opcode.TEXT, bytes(1024 * 1024 + 1)).serialize(mask=True)
            await line.stream.write(frame[:100])
            with pytest.raises(Closed) as closed:
                await line.hear()
            assert closed.value.code == 1009

    async def test_the_server_ends_with_sockets_open(self, caplog, capfd):
        emulator = Emulator()
        async with (
            serve(emulator) as server,
            httpx.AsyncClient(base_url=server.url, auth=("demo", "demo"), trust_env=False) as http,
            bayeux(http) as line,
        ):
            await line.attach()
            await line.say(b"\xff")
        assert (caplog.text, *capfd.readouterr()) == ("", "", "")


def test_lines_are_made_of_streams():
    assert BayeuxLine(None).client_id is None
