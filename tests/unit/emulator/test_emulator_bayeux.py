"""The Bayeux server: messages and sessions, as bayeux.md §1 and §2 tell it."""

import json

import pytest
from emulator_talk import Talk, client, events, inner, talking

from tocsin.emulator import BayeuxSettings, Emulator
from tocsin.testing import in_process


@pytest.fixture
def emulator():
    made = Emulator()
    for number in ("1", "2"):
        made.store.add_device(id=number)
    return made


async def test_handshake(emulator):
    async with talking(emulator) as talk:
        reply = await talk.handshake(id=17)
        assert reply["successful"] is True
        assert reply["id"] == 17
        assert reply["version"] == "1.0"
        assert "smartrest-long-polling" in reply["supportedConnectionTypes"]
        assert reply["advice"] == {"reconnect": "retry", "interval": 0, "timeout": 5_400_000}
        assert talk.http.cookies["BAYEUX_BROWSER"]
        first = talk.client_id
        assert (await talk.handshake())["clientId"] != first


async def test_a_handshake_goes_alone_and_needs_a_common_type(emulator):
    async with talking(emulator) as talk:
        both = await talk.raw(
            {"channel": "/meta/handshake", "supportedConnectionTypes": ["long-polling"]},
            {"channel": "/meta/subscribe", "subscription": "/alarms/*"},
        )
        assert (both.status_code, both.content) == (400, b"")
        reply = await talk.handshake(supportedConnectionTypes=["callback-polling"])
        assert reply["successful"] is False
        assert reply["advice"]["reconnect"] == "none"


@pytest.mark.parametrize("body", [b"", b"[]", b"[1]", b"nonsense", b'"text"', b"[[]]"])
async def test_what_is_no_batch_is_400(emulator, body):
    async with talking(emulator) as talk:
        assert (await talk.http.post(talk.path, content=body)).status_code == 400


async def test_a_bare_object_is_taken_and_no_accept_is_needed_unless_so_set(emulator):
    shake = {"channel": "/meta/handshake", "supportedConnectionTypes": ["long-polling"]}
    async with talking(emulator) as talk:
        del talk.http.headers["accept"]  # as CometD's client under Node.js
        assert (await talk.http.post(talk.path, json=shake)).json()[0]["successful"]
    async with talking(Emulator(bayeux=BayeuxSettings(needs_accept=True))) as talk:
        assert (await talk.http.post(talk.path, json=shake)).json()[0]["successful"]
        del talk.http.headers["accept"]
        reply = await talk.http.post(talk.path, json=shake)
        assert (reply.status_code, reply.content) == (200, b"")


async def test_events_come_before_the_reply_with_the_concrete_channel(emulator):
    async with talking(emulator) as talk:
        await talk.attach("/alarms/*")
        one = emulator.store.create({"source": "1", "severity": "MINOR"})
        emulator.store.update(one["id"], {"severity": "MAJOR"})
        two = emulator.store.create({"source": "2"})
        reply = await talk.connect()
        assert events(reply) == [("CREATE", one["id"]), ("UPDATE", one["id"]), ("CREATE", two["id"])]
        assert [m["channel"] for m in reply] == ["/alarms/1", "/alarms/1", "/alarms/2", "/meta/connect"]
        assert reply[0]["id"] != reply[1]["id"]
        assert reply[-1]["data"] is None
        live = reply[0]["data"]["data"]
        assert live["lastUpdated"] == one["lastUpdated"]
        assert live["source"].keys() == {"id", "self"}
        assert events(await talk.connect()) == []


async def test_live_payloads_may_lack_last_updated():
    emulator = Emulator(bayeux=BayeuxSettings(live_last_updated=False))
    async with talking(emulator) as talk:
        await talk.attach()
        assert "lastUpdated" in emulator.store.create({"source": "1"})
        assert "lastUpdated" not in (await talk.connect())[0]["data"]["data"]


async def test_only_what_was_subscribed_comes(emulator):
    async with talking(emulator) as talk:
        await talk.attach("/alarms/1")
        one = emulator.store.create({"source": "1"})
        emulator.store.create({"source": "2"})
        assert events(await talk.connect()) == [("CREATE", one["id"])]
        [reply] = await talk.bayeux({"channel": "/meta/unsubscribe", "subscription": "/alarms/1"})
        assert reply["successful"]
        emulator.store.update(one["id"], {"text": "x"})
        assert events(await talk.connect()) == []
        assert (await talk.bayeux({"channel": "/meta/unsubscribe", "subscription": "/alarms/never"}))[0][
            "successful"
        ]


async def test_children_reach_whoever_follows_their_parents(emulator):
    emulator.store.add_device(id="1a", parent="1")
    emulator.store.add_device(id="1ab", parent="1a")
    async with talking(emulator) as talk:
        await talk.attach("/alarmsWithChildren/1", "/alarms/1")
        deep = emulator.store.create({"source": "1ab"})
        own = emulator.store.create({"source": "1"})
        emulator.store.create({"source": "2"})
        reply = await talk.connect()
        assert [(m["channel"], inner(m)) for m in reply[:-1]] == [
            ("/alarmsWithChildren/1", deep["id"]),
            ("/alarms/1", own["id"]),
            ("/alarmsWithChildren/1", own["id"]),
        ]


@pytest.mark.parametrize(("each", "copies"), [(False, 1), (True, 3)])
async def test_overlapping_subscriptions(each, copies):
    emulator = Emulator(bayeux=BayeuxSettings(copy_per_subscription=each))
    async with talking(emulator) as talk:
        await talk.attach("/alarms/1", "/alarms/*", "/alarms/**")
        emulator.store.create({"source": "1"})
        assert len(events(await talk.connect())) == copies


async def test_queued_events_ride_on_other_replies(emulator):
    async with talking(emulator) as talk:
        await talk.attach()
        one = emulator.store.create({"source": "1"})
        reply = await talk.bayeux({"channel": "/meta/subscribe", "subscription": "/alarms/2"})
        assert events(reply) == [("CREATE", one["id"])]
        assert reply[-1]["subscription"] == "/alarms/2"
        assert events(await talk.connect()) == []


@pytest.mark.parametrize(
    ("channel", "code"),
    [("/meta/connect", "403"), ("/nonsense/*", "403"), ("alarms", "405"), ("/alarms/*/x", "405"), (7, "405"),
     ("/alarms/1/2", "403"), (["/alarms/1", "/bad"], "403")],
)  # fmt: skip
async def test_channels_that_are_refused(emulator, channel, code):
    async with talking(emulator) as talk:
        await talk.handshake()
        reply = await talk.subscribe(channel)
        assert reply["successful"] is False
        assert reply["error"].startswith(code)
        assert reply["subscription"] == channel
        assert emulator.subscriptions == [[]]


async def test_a_list_of_channels_is_all_or_nothing(emulator):
    async with talking(emulator) as talk:
        await talk.handshake()
        assert (await talk.subscribe(["/alarms/1", "/alarms/2"]))["successful"]
        assert emulator.subscriptions == [["/alarms/1", "/alarms/2"]]


async def test_without_the_role_subscribing_is_refused(emulator):
    emulator.access.add_user("eve", "pw", "no-alarms")
    async with talking(emulator, "eve", "pw") as talk:
        await talk.handshake()
        reply = await talk.subscribe("/alarms/*")
        assert reply["successful"] is False
        assert reply["error"].startswith("403")
        assert (await talk.subscribe("/managedobjects/*"))["successful"]


@pytest.mark.parametrize("text", ["402::Unknown client", "402::session_unknown"])
async def test_an_unknown_session(text):
    emulator = Emulator(bayeux=BayeuxSettings(unknown_session=text))
    async with talking(emulator) as talk:
        talk.client_id = "nobody"
        [connect] = await talk.connect()
        assert connect["error"] == text
        assert connect["advice"]["reconnect"] == "handshake"
        subscribe = await talk.subscribe()
        assert subscribe["error"] == text
        assert "subscription" not in subscribe
        assert "advice" not in subscribe


async def test_a_session_belongs_to_its_cookie_and_user(emulator):
    emulator.access.add_user("other", "pw")
    async with in_process(emulator) as server, client(server) as one, client(server, "other", "pw") as two:
        await one.attach()
        one.http.cookies.clear()
        assert (await one.connect())[0]["error"].startswith("402")
        await one.attach()
        two.client_id = one.client_id
        two.http.cookies = one.http.cookies
        assert (await two.connect())[0]["error"].startswith("402")
        assert (await one.connect())[0]["successful"]


async def test_disconnect_ends_the_session(emulator):
    async with talking(emulator) as talk:
        await talk.attach()
        [reply] = await talk.bayeux({"channel": "/meta/disconnect"})
        assert reply["successful"]
        assert emulator.sessions == 0
        assert (await talk.connect())[0]["advice"]["reconnect"] == "handshake"


async def test_publishing_is_denied_and_odd_messages_answered(emulator):
    async with talking(emulator) as talk:
        await talk.attach()
        replies = await talk.bayeux(
            {"channel": "/alarms/1", "data": {}}, {"channel": "/meta/nonsense"}, {"data": 1}
        )
        assert [reply["successful"] for reply in replies] == [False] * 3
        assert (await talk.connect(connectionType="carrier-pigeon"))[0]["successful"] is False


async def test_connect_with_company_is_not_held(emulator):
    async with talking(emulator) as talk:
        await talk.attach()
        one = emulator.store.create({"source": "1"})
        replies = await talk.bayeux(
            {"channel": "/meta/connect", "connectionType": "long-polling"},
            {"channel": "/meta/subscribe", "subscription": "/alarms/2"},
        )
        assert events(replies) == [("CREATE", one["id"])]
        assert [m["channel"] for m in replies[1:]] == ["/meta/connect", "/meta/subscribe"]


async def test_advice_is_given_once_and_again_when_asked_for(emulator):
    async with talking(emulator) as talk:
        await talk.attach()
        emulator.store.create({"source": "1"})
        assert "advice" not in (await talk.connect(None))[-1]
        assert "advice" in (await talk.connect(0))[-1]


async def test_the_client_proposes_a_timeout_in_the_handshake(emulator):
    async with talking(emulator) as talk:
        reply = await talk.handshake(advice={"timeout": 60_000, "interval": 0})
        assert reply["advice"]["timeout"] == 60_000
        for nonsense in (-1, "x", True, None, 1e300):
            assert (await talk.handshake(advice={"timeout": nonsense}))["advice"]["timeout"] == 5_400_000
        assert (await talk.handshake(advice=[]))["successful"]


@pytest.mark.parametrize(
    ("profile", "shape", "expected"),
    [
        ("current", "string", []),
        ("seed", "string", ["101"]),
        ("seed", "number", [101]),
        ("seed", "object", ["101"]),
    ],
)
async def test_only_the_seed_profile_tells_of_deletions(profile, shape, expected):
    emulator = Emulator(profile=profile, bayeux=BayeuxSettings(delete_shape=shape))
    async with talking(emulator) as talk:
        made = emulator.store.create({"source": "1"})
        assert made["id"] == "101"
        await talk.attach("/alarms/1")
        await talk.http.delete("/alarm/alarms?source=1")
        reply = await talk.connect()
        assert [inner(m) for m in reply[:-1]] == expected
        assert [m["data"]["realtimeAction"] for m in reply[:-1]] == ["DELETE"] * len(expected)
        if shape == "object":
            assert reply[0]["data"]["data"] == {"id": "101"}
    assert emulator.ledger[-1].action == "DELETE"


async def test_deleting_a_device_deletes_its_alarms(emulator):
    emulator = Emulator(profile="seed")
    emulator.store.add_device(id="p")
    emulator.store.add_device(id="c", parent="p")
    made = emulator.store.create({"source": "c"})
    async with talking(emulator) as talk:
        await talk.attach("/alarmsWithChildren/p")
        assert (await talk.http.delete("/inventory/managedObjects/c")).status_code == 204
        assert events(await talk.connect()) == [("DELETE", made["id"])]
        assert await talk.alarms() == []


async def test_array_data_is_grouped_by_channel():
    emulator = Emulator(bayeux=BayeuxSettings(array_data=True))
    async with talking(emulator) as talk:
        await talk.attach()
        for source in "1121":
            emulator.store.create({"source": source, "type": f"t{emulator.store.count}"})
        reply = await talk.connect()
        assert [(m["channel"], len(m["data"])) for m in reply[:-1]] == [
            ("/alarms/1", 2),
            ("/alarms/2", 1),
            ("/alarms/1", 1),
        ]
        assert reply[0]["data"][1]["realtimeAction"] == "CREATE"


@pytest.mark.parametrize("gone", ["notification_path", "cep_path"])
async def test_each_path_can_be_missing(gone):
    emulator = Emulator(bayeux=BayeuxSettings(**{gone: False}))
    paths = {"notification_path": "/notification/realtime", "cep_path": "/cep/realtime"}
    async with talking(emulator) as talk:
        for name, path in paths.items():
            there = Talk(talk.http, path)
            reply = await there.raw(
                {"channel": "/meta/handshake", "supportedConnectionTypes": ["long-polling"]}
            )
            assert reply.status_code == (404 if name == gone else 200)


async def test_both_paths_serve_one_session(emulator):
    async with talking(emulator) as talk:
        await talk.attach()
        talk.path = "/cep/realtime"
        assert (await talk.connect())[0]["successful"]


async def test_anything_can_be_published(emulator):
    async with talking(emulator) as talk:
        await talk.attach("/alarms/1")
        emulator.publish("/alarms/1", [1, {"a": None}])
        reply = await talk.connect()
        assert json.loads(json.dumps(reply[0]["data"])) == [1, {"a": None}]


async def test_clients_of_cometd_append_the_command_to_the_path(emulator):
    async with talking(emulator) as talk:
        for path in ("/notification/realtime/", "/cep/realtime/handshake", "/cep/realtime/connect"):
            there = Talk(talk.http, path)
            assert (await there.handshake())["successful"]
        assert emulator.requests.channels["/meta/handshake"] == 3
