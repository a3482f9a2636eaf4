"""Whatever arrives, the answer is one of the platform's, and the next good request is served."""

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tocsin.emulator import BayeuxSettings, Emulator

AUTH = b"Basic " + base64.b64encode(b"t1/demo:demo")

plain = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


async def ask(
    emulator: Emulator, method: str, path: str, body: bytes = b"", query: bytes = b""
) -> tuple[int, bytes]:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive():
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    headers = [(b"authorization", AUTH), (b"accept", b"*/*"), (b"host", b"x")]
    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": headers}
    await emulator.app(scope, receive, send)
    if not sent:
        return 0, b""  # a connect was held until the client left
    return sent[0]["status"], b"".join(message["body"] for message in sent[1:])


def field(name: str, *likely: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.just({}) | (st.sampled_from(likely) | values).map(lambda value: {name: value})


def joined(parts: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    return {key: value for part in parts for key, value in part.items()}


messages = st.tuples(
    field(
        "channel",
        *(f"/meta/{word}" for word in ("handshake", "connect", "subscribe", "unsubscribe", "disconnect")),
    ),
    field("clientId", "SESSION"),
    field("id", "1", 1),
    field("subscription", "/alarms/*", "/alarms/1", ["/alarms/1"]),
    field("supportedConnectionTypes", ["long-polling"]),
    field("connectionType", "long-polling"),
    field("advice", {"timeout": 0}, {"timeout": -1, "interval": "x"}),
).map(joined)


@given(st.lists(messages | values, max_size=4) | values)
async def test_any_batch_has_an_answer(batch):
    emulator = Emulator(bayeux=BayeuxSettings(require_cookie=False))
    shake = {"channel": "/meta/handshake", "supportedConnectionTypes": ["long-polling"]}
    _status, body = await ask(emulator, "POST", "/cep/realtime", json.dumps([shake]).encode())
    session = json.loads(body)[0]["clientId"]
    body = json.dumps(batch).replace("SESSION", session).encode()
    status, body = await ask(emulator, "POST", "/cep/realtime", body)
    assert status in {200, 400} or (status == 0 and "/meta/connect" in json.dumps(batch))
    if status == 200:
        assert len(json.loads(body)) == (len(batch) if isinstance(batch, list) else 1)
    emulator.store.create({"source": "1"})
    assert emulator.held_polls == 0


alarms = st.tuples(
    field("type", "t"),
    field("time", "2026-03-01T10:00:00Z", "2026-03-01"),
    field("text", "x"),
    field("severity", "MAJOR", "minor"),
    field("status", "ACTIVE", "cleared"),
    field("source", {"id": "1"}, {"id": 1}),
    field("acme_Extra", {"a": [1]}),
).map(joined)


@given(st.lists(st.tuples(st.sampled_from(["POST", "PUT", "bulk"]), alarms | values), max_size=6))
async def test_any_write_is_taken_or_refused_and_the_list_can_be_read(writes):
    emulator = Emulator()
    made = emulator.store.create({"source": "1"})["id"]
    for verb, body in writes:
        path = f"/alarm/alarms/{made}" if verb == "PUT" else "/alarm/alarms"
        query = b"source=1" if verb == "bulk" else b""
        status, answer = await ask(
            emulator, "PUT" if verb == "bulk" else verb, path, json.dumps(body).encode(), query
        )
        assert status in {200, 201, 422}
        assert json.loads(answer or b"{}") is not None
    status, page = await ask(emulator, "GET", "/alarm/alarms", query=b"pageSize=2000")
    assert status == 200
    listed = {alarm["id"]: alarm for alarm in json.loads(page)["alarms"]}
    assert listed == emulator.ledger.truth()
    assert emulator.ledger.lost(listed) == []


@given(
    st.sampled_from(["GET", "PUT", "DELETE", "HEAD", "BREW"]),
    st.sampled_from(
        ["/alarm/alarms", "/alarm/alarms/count", "/inventory/managedObjects", "/alarm/alarms/1", "/"]
    )
    | st.text(max_size=20),
    st.binary(max_size=30)
    | st.tuples(st.sampled_from(["dateFrom", "pageSize", "resolved", "ids"]), st.text(max_size=12)).map(
        lambda pair: f"{pair[0]}={pair[1]}".encode()
    ),
)
async def test_any_request_has_one_of_the_platforms_answers(method, path, query):
    status, _body = await ask(Emulator(), method, path, b"{}", query)
    assert status in {200, 204, 404, 405, 422}


subscriptions = st.tuples(
    field("context", "mo", "tenant"),
    field("source", {"id": "1"}, {"id": [1]}),
    field("subscription", "acme"),
    field("subscriber", "me"),
    field("subscriptionFilter", {"apis": ["*"]}, {"apis": [[]]}, {"typeFilter": "'a' or 'b'"}),
    field("fragmentsToCopy", ["a"]),
    field("expiresInMinutes", 1, 1e300, -1),
    field("nonPersistent", True),
).map(joined)


@given(st.sampled_from(["/notification2/subscriptions", "/notification2/token"]), subscriptions | values)
async def test_any_subscription_has_an_answer(path, body):
    emulator = Emulator()
    emulator.store.add_device(id="1")
    for _ in range(2):
        status, _answer = await ask(emulator, "POST", path, json.dumps(body).encode())
        assert status in {200, 201, 404, 409, 422}
    emulator.store.create({"source": "1"})
    for method, query in (("GET", b"context=mo"), ("DELETE", b"context=tenant"), ("DELETE", b"source=1")):
        status, _answer = await ask(emulator, method, "/notification2/subscriptions", query=query)
        assert status in {200, 204}


async def play(scope: dict[str, Any], *received: dict[str, Any]) -> list[dict[str, Any]]:
    waiting, sent = list(received), []

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    await Emulator().app(scope, receive, send)
    return sent


async def test_other_scopes_of_asgi():
    lifespan = await play({"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    assert [message["type"] for message in lifespan] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    scope = {"type": "websocket", "path": "/x", "query_string": b"", "headers": []}
    start, _body = await play(scope, {"type": "websocket.connect"}, {"type": "websocket.disconnect"})
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)


async def test_a_client_that_leaves_while_it_sends_is_forgotten():
    scope = {"type": "http", "method": "POST", "path": "/alarm/alarms", "query_string": b"", "headers": []}
    part = {"type": "http.request", "body": b"{", "more_body": True}
    assert await play(scope, part, {"type": "http.disconnect"}) == []
