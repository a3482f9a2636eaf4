"""Whatever arrives, the answer is one of XProtect's, and what follows it is served."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tocsin.emulator import XProtectEmulator, XProtectSettings

GUID = "11111111-2222-4333-8444-555555555555"
MOTION = "6eb95dd6-7ccc-4bce-99f8-af0d0b582d77"
HIGH = "8188ff24-b5da-4c19-9ebf-c1d8fc2caa75"
BASE = "/api/rest/v1"
plain = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


async def ask(
    emulator: XProtectEmulator, method: str, path: str, body: Any = None, query: bytes = b""
) -> tuple[int, Any]:
    waiting = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive():
        return waiting.pop()

    async def send(message):
        sent.append(message)

    token = emulator.access.issue_token("service", login="service").encode()  # may trigger any event
    headers = [(b"authorization", b"Bearer " + token), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": headers}
    await emulator.app(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(message["body"] for message in sent[1:]) or b"null")


bodies = st.dictionaries(
    st.sampled_from([
        "name", "message", "source", "time", "priority", "category", "state", "data", "description", "tag",
        "comment", "assignedTo.displayName", "reasonForClosing", "eventType", "sourceList", "enabled", "type",
        "events", "image", "relations", "id", "description",
    ]),
    values
    | st.sampled_from([
        GUID, f"cameras/{GUID}", f"CAMERAS/{GUID.upper()}", MOTION, HIGH, "2026-03-01", "/", "\ud800",
        "9999-12-31T23:59:59-14:00", [{"type": MOTION, "source": f"cameras/{GUID}"}],
    ]),
    max_size=6,
)  # fmt: skip


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["alarms", "events", "bulk", "define", "patch", "picture"]), bodies | values
        )
    )
)
async def test_any_write_is_taken_or_refused_and_everything_can_be_read(writes):
    emulator = XProtectEmulator(settings=XProtectSettings(null_clears=True))
    emulator.store.add_camera(id=GUID)
    first = emulator.store.create()["id"]
    paths = {
        "alarms": ("POST", "/alarms"),
        "events": ("POST", "/events"),
        "bulk": ("POST", "/events/bulk"),
        "define": ("POST", "/alarmDefinitions"),
        "patch": ("PATCH", f"/alarms/{first}"),
        "picture": ("POST", f"/alarms/{first}/snapshots"),
    }
    for kind, body in writes:
        method, path = paths[kind]
        status, answer = await ask(emulator, method, BASE + path, body)
        assert status in {201, 202, 207, 400}, answer
        assert ("error" in answer) == (status == 400)
    emulator.store.raise_event(MOTION, f"cameras/{GUID}")
    status, page = await ask(
        emulator, "GET", f"{BASE}/alarms", query=b"size=2000&orderBy=desc:'priority.level'"
    )
    assert status == 200
    assert emulator.ledger.lost({alarm["id"]: alarm for alarm in page["array"]}) == []
    for path in ("events", "alarmDefinitions", f"alarms/{first}/history", f"alarms/{first}/snapshots"):
        assert (await ask(emulator, "GET", f"{BASE}/{path}", query=b""))[0] == 200


@given(
    st.sampled_from(["GET", "PUT", "DELETE", "HEAD", "BREW"]),
    st.sampled_from(
        [BASE + "/alarms", BASE + "/events", BASE + "/cameras", BASE + f"/alarms/{GUID}", "/IDP", "/api/ws/"]
    )
    | st.text(max_size=20),
    st.binary(max_size=30)
    | st.tuples(
        st.sampled_from(
            ["time", "page", "size", "name", "id", "state.level", "orderBy", "include", "source"]
        ),
        st.text(max_size=12) | st.text("'gtl:,19oneOf-", max_size=12),
    ).map(lambda pair: "=".join(pair).encode("utf-8", "replace")),
)
async def test_any_request_has_one_of_the_platforms_answers(method, path, query):
    status, _answer = await ask(XProtectEmulator(), method, path, {}, query)
    assert status in {200, 400, 404, 405}
