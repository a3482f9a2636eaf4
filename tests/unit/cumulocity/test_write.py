from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import BaseModel

from tocsin._http._request import Headers, Response
from tocsin.cumulocity._write import alteration, answer, creation, judge, to_body
from tocsin.cumulocity.models import Alarm, Created, Outcome, Severity, Source, Status
from tocsin.errors import ConfigurationError, ProtocolError
from tocsin.models import UNSET

TIME = datetime(2026, 3, 1, 10, 0, 0, 250_999, timezone(timedelta(hours=1)))
GOOD: dict[str, Any] = {
    "type": "acme_DoorForced",
    "text": "Door 7 forced",
    "severity": Severity.MAJOR,
    "source": "4711",
    "time": TIME,
    "status": UNSET,
    "fragments": None,
}
NOTHING: dict[str, Any] = {"status": UNSET, "severity": UNSET, "text": UNSET, "fragments": None, "remove": ()}


def reply(body: object = b"", *, location: str | None = None, status: int = 201) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, Headers([("Location", location)] if location else []), raw)


def test_what_is_raised() -> None:
    assert creation(**GOOD) == {
        "type": "acme_DoorForced",
        "time": "2026-03-01T10:00:00.250+01:00",
        "text": "Door 7 forced",
        "severity": "MAJOR",
        "source": {"id": "4711"},
    }


def test_fragments_may_be_anything_that_is_json_in_the_end() -> None:
    class Door(BaseModel):
        no: int

    @dataclass
    class Gate:
        at: datetime

    wire = creation(
        **{
            **GOOD,
            "text": "",
            "status": "acknowledged",
            "severity": Severity("Odd"),
            "source": Source("1", "x"),
            "fragments": {
                "acme_Door": Door(no=7),
                "acme_Gate": Gate(datetime(2026, 3, 1, tzinfo=UTC)),
                "ü-1": [None],
            },
        }
    )
    assert wire["acme_Door"] == {"no": 7}
    assert wire["acme_Gate"] == {"at": "2026-03-01T00:00:00Z"}
    assert (wire["status"], wire["severity"], wire["text"], wire["source"]) == (
        "ACKNOWLEDGED",
        "Odd",
        "",
        {"id": "1"},
    )
    assert json.loads(to_body(wire)) == wire


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"type": ""}, "needs a type"),
        ({"type": None}, "needs a type"),
        ({"text": None}, "text is a text"),
        ({"severity": "HUGE"}, "severity is one of"),
        ({"severity": None}, "severity is one of"),
        ({"status": None}, "status is one of"),
        ({"source": " "}, "source is the id"),
        ({"source": {"id": "1"}}, "source is the id"),
        ({"source": True}, "source is the id"),
        ({"time": datetime(2026, 3, 1)}, "aware datetime"),  # noqa: DTZ001
        ({"time": "2026-03-01T10:00:00Z"}, "aware datetime"),
        ({"fragments": [("a", 1)]}, "mapping"),
        ({"fragments": {"a": object()}}, "cannot be written as JSON"),
        ({"fragments": {"severity": "MINOR"}}, "'severity' is a field of the alarm itself"),
        ({"fragments": {"id": "1"}}, "'id' is a field"),
    ],
)
def test_what_could_not_be_stored_is_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        creation(**{**GOOD, **change})


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    with pytest.raises(ConfigurationError, match="JSON"):
        creation(**{**GOOD, "fragments": {"acme_Loop": loop}})


@pytest.mark.parametrize("value", [math.nan, math.inf, "\ud800"])
def test_what_json_has_no_word_for_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match="JSON"):
        to_body(creation(**{**GOOD, "fragments": {"acme_X": value}}))
    with pytest.raises(ConfigurationError, match="JSON"):
        to_body(creation(**{**GOOD, "text": "\ud800"}))


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a.b", "a,b", "a*", "[a", "a]", "(a", "a)", "@a", "$a", "a/b", "a'", "a\n"]
)
def test_names_of_fragments_are_checked(name: str) -> None:
    with pytest.raises(ConfigurationError, match="fragment's name"):
        creation(**{**GOOD, "fragments": {name: 1}})
    with pytest.raises(ConfigurationError, match="fragment's name"):
        alteration(**{**NOTHING, "remove": [name]})


@pytest.mark.parametrize(
    ("change", "wire"),
    [
        ({"status": Status.CLEARED}, {"status": "CLEARED"}),
        ({"severity": "minor"}, {"severity": "MINOR"}),
        ({"text": ""}, {"text": ""}),
        ({"fragments": {"acme_X": None}}, {"acme_X": None}),
        ({"fragments": {"acme_X": 0}, "remove": "acme_Y"}, {"acme_X": 0, "acme_Y": None}),
        ({"remove": (name for name in ("a", "b"))}, {"a": None, "b": None}),
    ],
)
def test_an_update_sends_what_is_named_and_nothing_else(change: dict[str, Any], wire: dict[str, Any]) -> None:
    assert alteration(**{**NOTHING, **change}) == wire


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, "has nothing to change"),
        ({"fragments": {}, "remove": []}, "has nothing to change"),
        ({"status": None}, "status is one of"),
        ({"severity": None}, "severity is one of"),
        ({"text": None}, "text is a text"),
        ({"fragments": {"a": 1}, "remove": ["a"]}, "both set and removed"),
        ({"remove": ["text"]}, "'text' is a field"),
        ({"remove": [5]}, "fragment's name"),
    ],
)
def test_an_update_that_could_not_work_is_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        alteration(**{**NOTHING, **change})


ASKED = {
    "type": "t",
    "text": "Fire",
    "severity": "CRITICAL",
    "status": "ACTIVE",
    "acme_X": 1,
    "acme_Y": {"a": 1.0},
}


def test_a_new_alarm() -> None:
    created = answer(ASKED, reply({"id": "1", "count": 1, "severity": "CRITICAL"}))
    assert (created.outcome, created.id, created.ignored) == (Outcome.CREATED, "1", ())
    assert answer(ASKED, reply({"id": 1})).outcome is Outcome.CREATED


def test_a_repeat_tells_what_was_not_taken() -> None:
    old = {
        "id": "1",
        "count": 2,
        "text": "fire",
        "severity": "MINOR",
        "status": "acknowledged",
        "acme_Y": {"a": 1},
    }
    created = answer(ASKED, reply(old))
    assert created.outcome is Outcome.REPEATED
    assert created.id == "1"
    assert created.alarm == Alarm.from_wire(old)
    # Words in letters of another size are the platform's own work (a text is not), and 1 is 1.0.
    assert created.ignored == ("severity", "status", "text", "acme_X")


def test_a_repeat_whose_answer_leaves_fields_out_claims_nothing_about_them() -> None:
    assert judge(ASKED, Alarm.from_wire({"id": "1", "count": 2})).ignored == ("acme_X", "acme_Y")


@pytest.mark.parametrize(
    "response",
    [
        reply({"self": "https://t/alarm/alarms/null", "type": "t"}),
        reply({"self": "https://t/alarm/alarms/null/", "id": None}),
        reply({"id": "null", "self": "http://[/alarm/alarms/null"}),
        reply({"type": "t", "severity": "MAJOR"}),
        reply({"severity": "MAJOR"}, location="https://t/alarm/alarms/null"),
        reply(b"", location="https://t/alarm/alarms/null?x=1"),
    ],
)
def test_a_suppressed_alarm(response: Response) -> None:
    assert answer(ASKED, response) == Created(Outcome.SUPPRESSED, None)


@pytest.mark.parametrize("body", [b"", b" \n", b"{}"])
def test_where_only_the_address_is_told(body: bytes) -> None:
    told = answer(ASKED, reply(body, location="http://internal:8111/alarm/alarms/9%300"))
    assert told == Created(Outcome.CREATED, None, "900")


def test_where_nothing_is_told() -> None:
    assert answer(ASKED, reply(b"")) == Created(Outcome.CREATED, None)


@pytest.mark.parametrize("status", [200, 202, 204])
@pytest.mark.parametrize("location", [None, "https://proxy/login", "https://t/alarm/alarms"])
def test_an_empty_answer_that_is_not_the_platforms_is_no_raised_alarm(
    status: int, location: str | None
) -> None:
    with pytest.raises(ProtocolError, match="empty body"):
        answer(ASKED, reply(b"", status=status, location=location))


def test_an_address_that_is_no_alarms_is_not_its_id() -> None:
    assert answer(ASKED, reply(b"", location="https://proxy/login")).id is None


@pytest.mark.parametrize("odd", [rb'"text":"\ud800"', rb'"text":"x","acme_F":NaN', b'"text":"\xff"'])
def test_an_odd_alarm_that_is_counted_up_is_no_failure(odd: bytes) -> None:
    told = answer(ASKED, reply(b'{"id":"1","count":2,' + odd + b"}"))
    assert told.outcome is Outcome.REPEATED
    assert told.id == "1"


def test_a_text_in_other_letters_was_not_taken() -> None:
    old = {"id": "1", "count": 2, "text": ASKED["text"].upper(), "severity": ASKED["severity"].lower()}
    assert "text" in answer(ASKED, reply(old)).ignored
    assert "severity" not in answer(ASKED, reply(old)).ignored


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{", b'{"status":"ok"}', b"12"])
def test_an_answer_that_is_no_alarm(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        answer(ASKED, reply(body))
