"""`@c8y/client` from npm, unmodified, against `tocsin emulator`: what it sees, what the server holds then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from interop.public_clients import EmulatorProcess, javascript, missing_node

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(90),
    pytest.mark.skipif(missing_node() is not None, reason=str(missing_node())),
]


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess() as emulator:
        yield emulator


@pytest.fixture
def seen(emulator: EmulatorProcess, request: pytest.FixtureRequest) -> Any:
    """What the client saw in the scenario of the test's name."""
    return javascript("c8y_client.js", emulator.url, request.node.name.removeprefix("test_"))


def test_login(seen: Any) -> None:
    assert (seen["tenant"], seen["user"]) == ("t1", "demo")
    for refusal in (seen["password"], seen["foreign"]):
        assert (refusal["status"], refusal["error"]) == (401, "security/Unauthorized")


def test_oauth(seen: Any) -> None:
    assert set(seen) == {"authenticateViaOAuthInternal", "authenticateViaOAuthInternalCookie"}
    for how in seen.values():
        assert how == {"user": "demo", "status": "ACTIVE", "wrong": 401}


def test_audit(seen: Any) -> None:
    changed, created = seen
    assert changed == {"user": "demo", "activity": "Alarm updated", "changes": 1, "same": True}
    assert created == {"user": "demo", "activity": "Alarm created", "changes": 0, "same": True}


def test_create(seen: Any, emulator: EmulatorProcess) -> None:
    first, again = seen["first"], seen["again"]
    assert seen["status"] == 201
    assert seen["location"] == first["self"] == f"{emulator.url}/alarm/alarms/{first['id']}"
    assert (first["status"], first["count"], first["js_Floor"]) == ("ACTIVE", 1, {"no": 3})
    assert first["source"]["name"] == "Door 7"
    assert (again["id"], again["count"], again["severity"]) == (first["id"], 2, "MAJOR")
    assert [alarm["count"] for alarm in emulator.alarms(seen["source"])] == [2]


def test_detail(seen: Any) -> None:
    assert seen["byId"] == seen["byObject"] == seen["listed"]


def test_update(seen: Any) -> None:
    assert seen["status"] == 200
    assert (seen["acknowledged"]["status"], seen["acknowledged"]["js_Note"]) == (
        "ACKNOWLEDGED",
        {"by": "ada"},
    )
    assert seen["cleared"]["status"] == "CLEARED"
    assert "js_Note" not in seen["cleared"]


def test_paging(seen: Any) -> None:
    expected = [f"js_{number}" for number in reversed(range(12))]
    assert [kind for page in seen["types"] for kind in page] == expected
    assert [len(page) for page in seen["types"]] == [5, 5, 2]
    assert seen["back"] == seen["types"][1]
    assert seen["bare"] == 5, "no pageSize means five"
    totals = {"pageSize": 5, "totalPages": 3, "totalElements": 12}
    assert seen["numbers"] == [
        {"currentPage": 1, "nextPage": 2, "prevPage": None, **totals},
        {"currentPage": 2, "nextPage": 3, "prevPage": 1, **totals},
        {"currentPage": 3, "nextPage": None, "prevPage": 2, **totals},
    ]


def test_filters(seen: Any) -> None:
    assert seen == {
        "several": 5, "joined": 5, "critical": 3, "resolved": 1, "type": 1, "later": 0, "offset": 6,
    }  # fmt: skip


def test_count(seen: Any) -> None:
    assert seen == {"status": 200, "minor": 3, "all": 6}


def test_bulk(seen: Any, emulator: EmulatorProcess) -> None:
    assert seen["status"] in {200, 202}
    assert emulator.statuses(seen["source"]) == {"CRITICAL": ["CLEARED"] * 3, "MINOR": ["ACTIVE"] * 3}
    assert emulator.statuses(seen["other"]) == {"CRITICAL": ["ACTIVE"], "MINOR": ["ACTIVE"]}
    assert seen["unfiltered"]["status"] == 422


def test_roles(emulator: EmulatorProcess) -> None:
    """A user with inventory roles alone: the vendor's client pages by places, as its comments say."""
    roles = emulator.control("add_user", name="eve", password="eve", kind="no-alarms", sources=["4711"])
    assert roles == ["ROLE_INVENTORY_READ"]
    seen = javascript("c8y_client.js", emulator.url, "roles")
    assert seen["sources"] == ["4711"]
    assert len(seen["ids"]) >= 4
    assert seen["ids"] == seen["open"], "each once, none left out"
    *turned, last = seen["places"]
    assert turned
    assert all(place == following for place, following in turned), "a place, not the number of a page"
    assert last[1] is None
    assert seen["totals"] is None
    assert seen["count"] == len(seen["open"])
    assert (seen["create"]["status"], seen["detail"]["status"], seen["subscribed"]) == (403, 403, False)


def test_throttled(emulator: EmulatorProcess) -> None:
    emulator.control("throttle", requests=4, queue=3)
    try:
        seen = javascript("c8y_client.js", emulator.url, "throttled")
    finally:
        emulator.control("throttle")
    assert set(seen["statuses"]) == {200, 429}


def test_errors(seen: Any) -> None:
    assert {name: refusal["status"] for name, refusal in seen.items()} == {
        "missing": 404, "incomplete": 422, "severity": 422, "paging": 422,
    }  # fmt: skip
    assert seen["missing"]["error"] == "alarm/Not Found"
    assert "time,text,severity" in seen["incomplete"]["message"]


def test_inventory(seen: Any) -> None:
    one = [seen["other"]]
    assert seen["found"] == {"quoted": one, "wildcard": one, "nested": one, "none": []}
    assert (seen["deleted"], seen["left"]) == (204, 0), "a deleted device takes its alarms with it"


def test_realtime(seen: Any) -> None:
    assert [(item["action"], item["status"]) for item in seen["seen"]] == [
        ("CREATE", "ACTIVE"), ("UPDATE", "ACKNOWLEDGED"), ("UPDATE", "CLEARED"),
    ]  # fmt: skip
    assert {(item["channel"], item["id"]) for item in seen["seen"]} == {
        (f"/alarms/{seen['source']}", seen["id"])
    }
    assert (seen["transport"], seen["disconnected"]) == ("long-polling", True)


def test_unsubscribe(seen: Any) -> None:
    source, other = (f"/alarms/{seen[name]}" for name in ("source", "other"))
    assert (seen["all"], seen["one"]) == ([source, source, other], 1)


def test_denied(seen: Any) -> None:
    assert seen == {"successful": False, "status": 401}


def test_websocket(seen: Any) -> None:
    """Where there is a WebSocket it is used, with the credentials in the handshake: all is delivered once."""
    assert seen["types"][:2] == ["websocket", "long-polling"]
    assert (seen["transport"], seen["early"], seen["late"]) == ("websocket", 1, 1)


def test_restricted(seen: Any) -> None:
    """With the transport `websocket` unregistered, what was subscribed at once is delivered."""
    assert seen["seen"] == ["CREATE"]
