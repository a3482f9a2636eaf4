"""The rules of Events and State sessions, without a socket."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.emulator._errors import RefusedError
from tocsin.emulator._xprotect_commands import Link, MalformedError, read_command
from tocsin.emulator._xprotect_event_sessions import Feed, SessionRules, Sessions
from tocsin.emulator._xprotect_filters import LiveEvent, passes, read_filters

ALL = [{"modifier": "include", "resourceTypes": ["*"], "sourceIds": ["*"], "eventTypes": ["*"]}]
MOTION = "6eb95dd6-7ccc-4bce-99f8-af0d0b582d77"
STILL = "6f55a7a7-d21c-4629-ac18-af1975e395a2"
GROUP = "0c1d8f0e-0000-4000-8000-000000000001"


def event(number: int, *, source: str = "cameras/C1", kind: str = MOTION, group: str = "") -> LiveEvent:
    body = json.dumps({"id": f"e{number}", "source": source, "type": kind}).encode()
    return LiveEvent(f"e{number}", source, kind, group, body)


@dataclass(frozen=True)
class Viewer:
    name: str
    hidden: str = ""

    def sees(self, camera: str) -> bool:
        return camera != self.hidden


ADA = Viewer("ada")


def check(authorization: str) -> Viewer:
    if authorization != "Bearer good":
        raise RefusedError(401, "", "no such token")
    return Viewer("ada")


class Site:
    """Sessions, and connections to them."""

    def __init__(self, **rules: Any) -> None:
        numbers = count(1)
        self.rules = SessionRules(**rules)
        self.feed = Feed(self.rules.kept)
        self.sessions = Sessions(self.feed, self.rules, lambda: f"guid-{next(numbers)}")
        self.struck: dict[str, frozenset[str]] = {}

    def connect(self, owner: Viewer | None = ADA) -> Client:
        return Client(self, owner)

    def subscribed(self, filters: Any = ALL) -> Client:
        client = self.connect()
        client.say("startSession", sessionId="", eventId="")
        client.say("addSubscription", filters=filters)
        return client

    def raise_events(self, *numbers: int) -> None:
        for number in numbers:
            self.sessions.publish(event(number))


class Client:
    """One connection."""

    def __init__(self, site: Site, owner: Viewer | None) -> None:
        self.rung = 0
        self.numbers = count()
        self.link = Link(
            site.sessions, owner=owner, ring=self.ring, check=check,
            strike=lambda source: site.struck.get(source, frozenset()),
        )  # fmt: skip

    def ring(self) -> None:
        self.rung += 1

    def say(self, name: str, now: float = 0.0, **more: Any) -> dict[str, Any]:
        *early, reply = self.frames(name, now, **more)
        assert not early
        return reply

    def frames(self, name: str, now: float = 0.0, **more: Any) -> list[dict[str, Any]]:
        number = next(self.numbers)
        text = json.dumps({"command": name, "commandId": number, **more})
        frames = [json.loads(frame) for frame in self.link.answer(read_command(text), now)]
        assert [frame["commandId"] for frame in frames if "commandId" in frame] == [number]
        return frames

    def pushed(self) -> list[str]:
        return [item.get("id", "?") for frame in self.link.push() for item in json.loads(frame)["events"]]

    @property
    def session_id(self) -> str:
        assert self.link.session is not None
        return self.link.session.id


def filters(**lists: Any) -> list[dict[str, Any]]:
    return [{**ALL[0], **lists}]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (ALL, True),
        (None, False),
        ([], False),
        (filters(resourceTypes=[]), False),
        (filters(sourceIds=[]), False),
        (filters(eventTypes=None), False),
        (filters(modifier="Include", resourceTypes=["Cameras"], sourceIds=["c1"]), True),
        (filters(resourceTypes=["outputs"]), False),
        (filters(sourceIds=["cameras/C1"]), False),
        (filters(eventTypes=[STILL]), False),
        (filters(eventTypes=[STILL, MOTION.upper()]), True),
        ([*filters(modifier="exclude", sourceIds=["C1"]), *ALL], False),
        ([*filters(modifier="exclude", sourceIds=["C2"]), *ALL], True),
        (filters(modifier="exclude", sourceIds=["C2"]), False),
    ],
)
def test_filters_let_through_what_is_included_and_not_excluded(given: Any, expected: bool) -> None:
    assert passes(read_filters(given), event(1)) is expected


@pytest.mark.parametrize(
    "given",
    ["*", {}, [1], [{}], filters(modifier="only"), filters(modifier=1), filters(sourceIds="*"),
     filters(eventTypes=[1])],
)  # fmt: skip
def test_filters_that_are_none_are_refused_and_the_connection_stays(given: Any) -> None:
    client = Site().connect()
    client.say("startSession")
    reply = client.say("addSubscription", filters=given)
    assert reply["status"] == 400
    assert reply["error"]["errorText"]
    assert client.say("addSubscription", filters=ALL)["status"] == 200


def test_a_session_gets_what_it_subscribed_to_from_then_on_each_event_once() -> None:
    site = Site(batch=2)
    client = site.connect()
    assert client.say("startSession", sessionId="", eventId="")["status"] == 201
    site.raise_events(1)
    assert client.say("addSubscription", filters=ALL)["subscriptionId"]
    client.say("addSubscription", filters=ALL)
    site.raise_events(2, 3, 4)
    assert client.rung == 4
    assert [len(json.loads(frame)["events"]) for frame in client.link.push()] == [2, 1]
    site.raise_events(5)
    assert client.pushed() == ["e5"]
    assert client.pushed() == []


def test_an_unsubscribed_session_gets_nothing() -> None:
    site = Site()
    client = site.connect()
    client.say("startSession")
    given = client.say("addSubscription", filters=ALL)["subscriptionId"]
    assert client.say("removeSubscription", subscriptionId=given.upper())["status"] == 200
    assert client.say("removeSubscription", subscriptionId=given)["status"] == 404
    site.raise_events(1)
    assert client.pushed() == []


@pytest.mark.parametrize(("after", "missed"), [("e2", ["e3", "e4", "e5"]), ("E4", ["e5"]), ("", "all")])
def test_a_resumed_session_gets_what_came_after_the_event_that_the_client_names(
    after: str, missed: Any
) -> None:
    site = Site()
    client = site.subscribed()
    site.raise_events(1, 2, 3, 4)
    assert client.pushed() == ["e1", "e2", "e3", "e4"]
    session = client.session_id
    client.link.leave(10.0)
    site.raise_events(5)
    again = site.connect()
    assert again.say("startSession", 40.0, sessionId=session, eventId=after) == {
        "commandId": 0, "status": 200, "sessionId": session,
    }  # fmt: skip
    assert again.pushed() == (["e1", "e2", "e3", "e4", "e5"] if missed == "all" else missed)


@pytest.mark.parametrize("case", ["late", "unknown session", "unknown event", "somebody else", "forgotten"])
def test_a_session_that_cannot_be_resumed_is_a_new_one_without_subscriptions(case: str) -> None:
    site = Site()
    client = site.subscribed()
    site.raise_events(1)
    session, event_id = client.session_id, "e1"
    client.link.leave(10.0)
    if case == "forgotten":
        site.sessions.forget_all()
    again = site.connect(Viewer("bob") if case == "somebody else" else ADA)
    reply = again.say(
        "startSession",
        40.1 if case == "late" else 11.0,
        sessionId="other" if case == "unknown session" else session,
        eventId="other" if case == "unknown event" else event_id,
    )
    assert reply["status"] == 201
    assert reply["sessionId"] != session
    site.raise_events(2)
    assert again.pushed() == []


def test_a_session_is_taken_over_from_a_connection_whose_end_nobody_noticed() -> None:
    site = Site()
    client = site.subscribed()
    session = client.session_id
    again = site.connect()
    assert again.say("startSession", sessionId=session, eventId="")["status"] == 200
    assert client.link.ended
    assert client.rung
    client.link.leave(1.0)
    site.raise_events(1)
    assert (client.pushed(), again.pushed()) == ([], ["e1"])


def test_an_eager_server_sends_what_was_missed_before_the_reply() -> None:
    site = Site(eager=True)
    client = site.subscribed()
    session = client.session_id
    client.link.leave(0.0)
    site.raise_events(1)
    frames = site.connect().frames("startSession", sessionId=session, eventId="")
    assert ["events" in frame for frame in frames] == [True, False]


def test_a_session_that_is_further_behind_than_events_are_kept_is_gone() -> None:
    site = Site(kept=3)
    client = site.subscribed()
    site.raise_events(1, 2, 3)
    assert client.pushed() == ["e1", "e2", "e3"]
    site.raise_events(4, 5, 6, 7)
    assert client.pushed() == []
    assert client.link.ended
    assert len(site.sessions) == 0


def test_states_are_the_latest_that_subscriptions_let_through() -> None:
    site = Site()
    site.feed.set_state(event(1, kind=STILL, group=GROUP))
    site.feed.set_state(event(2, source="outputs/O1", kind=STILL, group=GROUP))
    client = site.subscribed(filters(resourceTypes=["cameras"]))
    site.sessions.publish(event(3, group=GROUP.upper()))
    site.sessions.publish(event(4))
    assert [state["id"] for state in client.say("getState")["states"]] == ["e3"]
    site.feed.drop_source("cameras/c1")
    assert client.say("getState")["states"] == []


def test_commands_out_of_order_are_refused_by_their_replies() -> None:
    client = Site(sessions=1).connect(None)
    assert client.say("startSession")["status"] == 401
    assert client.say("authenticate", token="good")["status"] == 401
    assert client.say("authenticate", token="Bearer bad")["status"] == 401
    assert client.say("authenticate", token="Bearer good")["status"] == 200
    assert client.say("authenticate", token="Bearer good")["status"] == 400
    assert client.say("getState")["status"] == 400
    assert client.say("addSubscription", filters=ALL)["status"] == 400
    assert client.say("startSession", sessionId=7)["status"] == 400
    assert client.say("noSuchCommand")["status"] == 400
    assert client.say("startSession", sessionId=None)["status"] == 201
    assert client.say("startSession")["status"] == 400


def test_nobody_is_told_of_cameras_that_they_may_not_see() -> None:
    site = Site()
    client = site.connect(Viewer("ada", hidden="c1"))
    client.say("startSession")
    client.say("addSubscription", filters=ALL)
    site.sessions.publish(event(1, group=GROUP))
    site.sessions.publish(event(2, source="cameras/C2", group=GROUP))
    site.sessions.publish(event(3, source="outputs/c1"))
    assert client.pushed() == ["e2", "e3"]
    assert [state["id"] for state in client.say("getState")["states"]] == ["e2"]


def test_sessions_and_subscriptions_are_capped() -> None:
    site = Site(sessions=1, subscriptions=1)
    client = site.subscribed()
    assert client.say("addSubscription", filters=ALL)["status"] == 400
    assert site.connect().say("startSession")["status"] == 503
    client.link.leave(0.0)
    assert site.connect().say("startSession", 31.0)["status"] == 201


def test_faults_lose_repeat_garble_and_reorder_events() -> None:
    site = Site()
    client = site.subscribed()
    for kind in ("lose", "duplicate", "garble", "reorder"):
        site.struck["cameras/C1"] = frozenset({kind})
        site.raise_events(1)
        found = client.pushed()
        site.struck.clear()
        site.sessions.publish(event(2, source="cameras/C2"))
        found += client.pushed()
        assert found == {
            "lose": ["e2"], "duplicate": ["e1", "e1", "e2"], "garble": ["?", "e2"], "reorder": ["e2", "e1"],
        }[kind]  # fmt: skip


def test_a_session_forgotten_without_a_word_leaves_a_deaf_connection() -> None:
    site = Site()
    client = site.subscribed()
    assert site.sessions.forget_all(tell=False) == 1
    site.raise_events(1)
    assert client.pushed() == []
    assert not client.link.ended
    assert client.say("getState")["status"] == 400


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "1", "null", "{}", '{"command":"getState"}', '{"command":"getState","commandId":"1"}',
     '{"command":"getState","commandId":true}', '{"command":"getState","commandId":1.0}',
     '{"command":7,"commandId":1}', '{"command":"getState","commandId":1' + "0" * 5000 + "}",
     '{"a":' + "[" * 5000, "\udc80"],
)  # fmt: skip
def test_what_is_no_command_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        read_command(text)


_junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["*", "include"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(list(ALL[0])) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
_names = st.sampled_from(
    ["authenticate", "startSession", "addSubscription", "removeSubscription", "getState", "x"]
)
_keys = st.sampled_from(["token", "sessionId", "eventId", "filters", "subscriptionId"])


@given(st.lists(st.tuples(_names, st.dictionaries(_keys, _junk, max_size=3)), max_size=8))
def test_whatever_a_command_brings_it_gets_one_reply_with_a_status(
    said: list[tuple[str, dict[str, Any]]],
) -> None:
    site = Site()
    client = site.connect()
    client.say("startSession")
    for name, more in said:
        reply = client.say(name, **more)
        assert ("error" in reply) is (not 200 <= reply["status"] < 300)


@given(
    st.lists(st.sampled_from(["event", "hear", "miss", "return", "return late"]), max_size=40), st.booleans()
)
def test_a_client_that_resumes_after_its_last_event_gets_all_of_them_once(
    steps: list[str], eager: bool
) -> None:
    """Whatever is lost on the way: `miss` is a push that never arrives, and the end of its connection."""
    site = Site(eager=eager)
    client, now, numbers = site.subscribed(), 0.0, count(1)
    wanted: list[str] = []
    got: list[str] = []
    for step in [*steps, "return", "hear"]:
        if step == "event":
            site.raise_events(number := next(numbers))
            wanted.append(f"e{number}")
        elif step == "hear":
            got += client.pushed()
        else:
            if step == "miss":
                client.pushed()
            session = client.session_id
            client.link.leave(now)
            now += 31.0 if step == "return late" else 30.0
            client = site.connect()
            last = got[-1] if got else ""
            *early, reply = client.frames("startSession", now, sessionId=session, eventId=last)
            assert reply["status"] == (201 if step == "return late" else 200)
            got += [item["id"] for frame in early for item in frame["events"]]
            if reply["status"] == 201:
                client.say("addSubscription", now, filters=ALL)
                wanted, got = [], []
        assert got == wanted[: len(got)]
    assert got == wanted
