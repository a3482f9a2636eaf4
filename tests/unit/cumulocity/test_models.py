from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from tocsin.cumulocity.models import Alarm, AuditRecord, Severity, Source, Status
from tocsin.errors import ProtocolError
from tocsin.models import AlarmLike, Level, Phase

if TYPE_CHECKING:
    from collections.abc import Callable

# The example of our reference, with the spelling of the old guide and an unknown key in `source`.
RAW = (
    b'{"id":"90210","self":"https://t.example/alarm/alarms/90210","type":"acme_DoorForced",'
    b'"time":"2026-03-01T10:00:00.250+01:00","creationTime":"2026-03-01T09:00:00.611Z",'
    b'"lastUpdated":"2026-03-01T09:00:00.611Z","text":"Door 7 forced","severity":"MAJOR","status":"ACTIVE",'
    b'"count":2,"firstOccurenceTime":"2026-03-01T09:59:00+0100","source":{"id":"4711","name":"Gate","x":1},'
    b'"history":{"auditRecords":[],"self":"u"},"severityOrdinal":2,"acme_Door":{"no":7, "ratio":1.10}}'
)


def test_every_field_is_read() -> None:
    alarm = Alarm.from_raw(RAW)
    assert alarm.id == "90210"
    assert alarm.self_ == "https://t.example/alarm/alarms/90210"
    assert alarm.type == "acme_DoorForced"
    assert alarm.time == datetime(2026, 3, 1, 10, 0, 0, 250_000, timezone(timedelta(hours=1)))
    assert alarm.creation_time == alarm.last_updated == datetime(2026, 3, 1, 9, 0, 0, 611_000, UTC)
    assert alarm.text == "Door 7 forced"
    assert alarm.source == Source("4711", "Gate")
    assert alarm.severity is Severity.MAJOR
    assert alarm.status is Status.ACTIVE
    assert alarm.count == 2
    assert alarm.first_occurrence_time == datetime(2026, 3, 1, 8, 59, tzinfo=UTC)
    assert alarm.history == {"auditRecords": [], "self": "u"}
    like: AlarmLike = alarm
    assert (like.level, like.phase, like.source_id) == (Level.MAJOR, Phase.ACTIVE, "4711")


def test_the_wire_spelling_of_first_occurrence_is_read_too() -> None:
    alarm = Alarm.from_raw(b'{"id":"1","firstOccurrenceTime":"2026-03-01T09:00:00Z"}')
    assert alarm.first_occurrence_time == datetime(2026, 3, 1, 9, tzinfo=UTC)
    assert alarm.fragments == {}


def test_what_is_unknown_is_kept() -> None:
    alarm = Alarm.from_raw(RAW)
    assert alarm.raw == RAW
    assert alarm.fragments == {"acme_Door": {"no": 7, "ratio": 1.1}}
    assert alarm["acme_Door"]["no"] == 7
    assert alarm["firstOccurenceTime"] == "2026-03-01T09:59:00+0100"
    assert "acme_Door" in alarm
    assert "acme_Window" not in alarm
    with pytest.raises(KeyError):
        alarm["acme_Window"]


def test_a_fragment_is_read_as_a_type() -> None:
    class Door(BaseModel):
        no: int

    alarm = Alarm.from_raw(RAW)
    assert alarm.fragment("acme_Door", Door) == Door(no=7)
    assert alarm.fragment("acme_Door", dict[str, float]) == {"no": 7, "ratio": 1.1}
    with pytest.raises(KeyError):
        alarm.fragment("acme_Window", Door)
    with pytest.raises(ProtocolError, match=r"'acme_Door' of alarm 90210 is not a list"):
        alarm.fragment("acme_Door", list[int])


def test_a_wire_name_of_a_fragment_cannot_pose_as_a_field() -> None:
    alarm = Alarm.from_raw(b'{"id":"1","creation_time":"2026-03-01T09:00:00Z","self_":"x"}')
    assert alarm.creation_time is None
    assert alarm.self_ is None
    assert alarm.fragments == {"creation_time": "2026-03-01T09:00:00Z", "self_": "x"}
    assert alarm.model_dump()["creation_time"] is None


@pytest.mark.parametrize(
    ("wire", "text"), [(b"90210", "90210"), (b'"90210"', "90210"), (b"1" * 30, "1" * 30)]
)
def test_ids_are_text(wire: bytes, text: str) -> None:
    alarm = Alarm.from_raw(b'{"id":' + wire + b',"source":{"id":' + wire + b"}}")
    assert alarm.id == alarm.source_id == text


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b'{"id":null}',
        b'{"id":""}',
        b'{"id":true}',
        b'{"id":{}}',
        b"[]",
        b'"x"',
        b"",
        b"<html>",
        b'{"id":"1"',
    ],
)
def test_an_unusable_id_is_a_protocol_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"no usable id|not JSON|not a JSON object"):
        Alarm.from_raw(raw)


@pytest.mark.parametrize(
    ("field", "attribute", "wire", "expected"),
    [
        ("severity", "severity", "5", None),
        ("severity", "severity", '"major"', Severity.MAJOR),
        ("severity", "severity", '"HUGE"', "HUGE"),
        ("status", "status", "{}", None),
        ("status", "status", '"custom"', "custom"),
        ("text", "text", "[1]", None),
        ("text", "text", "12", "12"),
        ("text", "text", '"a\\ud800b"', "a�b"),
        ("count", "count", '"many"', None),
        ("count", "count", '"3"', 3),
        ("count", "count", "1.5", None),
        ("time", "time", '"yesterday"', None),
        ("time", "time", "{}", None),
        ("time", "time", '"2026-03-01T10:00:00"', datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("lastUpdated", "last_updated", '"2026-03-01"', datetime(2026, 3, 1, tzinfo=UTC)),
        ("firstOccurenceTime", "first_occurrence_time", '"bad"', None),
        ("firstOccurrenceTime", "first_occurrence_time", '"2026-03-01"', datetime(2026, 3, 1, tzinfo=UTC)),
        ("source", "source_id", '"4711"', "4711"),
        ("source", "source_id", "4711", "4711"),
        ("source", "source_id", "[]", None),
        ("source", "source_id", "{}", None),
        ("source", "source_id", '{"id":"4711","name":{}}', "4711"),
        ("source", "source_id", '{"id":true}', None),
        ("self", "self_", "[]", None),
    ],
)
def test_one_odd_field_leaves_the_rest_intact(
    field: str, attribute: str, wire: str, expected: object
) -> None:
    raw = f'{{"id":"1","{field}":{wire},"type":"t","acme_X":1}}'.encode()
    alarm = Alarm.from_raw(raw)
    assert getattr(alarm, attribute) == expected
    assert (alarm.id, alarm.type, alarm.raw, alarm["acme_X"]) == ("1", "t", raw, 1)


def test_all_fields_odd_at_once() -> None:
    odd = {name: [None] for name in Alarm._spellings if name != "id"}
    alarm = Alarm.from_wire({"id": 7, **odd})
    assert alarm.id == "7"
    assert {value for name, value in alarm if name != "id"} == {None}


def test_unknown_words_are_words() -> None:
    status = Alarm.from_raw(b'{"id":"1","status":"CUSTOM"}').status
    assert status == "CUSTOM" == Status("CUSTOM")
    assert hash(status) == hash(Status("CUSTOM"))
    assert isinstance(status, Status)
    assert not status.is_known
    assert Status.ACTIVE.is_known
    assert "CUSTOM" not in list(Status)
    assert f"{status}" == "CUSTOM"
    assert pickle.loads(pickle.dumps(status)) == copy.deepcopy(status) == status
    with pytest.raises(ValueError, match="5"):
        Status(5)


def test_unknown_words_have_no_level() -> None:
    alarm = Alarm.from_raw(b'{"id":"1","status":"CUSTOM","severity":"HUGE"}')
    assert (alarm.level, alarm.phase, alarm.source_id) == (None, None, None)
    assert json.loads(alarm.model_dump_json())["severity"] == "HUGE"


COPIES: dict[str, Callable[[Alarm], Alarm]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "model_copy": Alarm.model_copy,
    "model_copy deep": lambda alarm: alarm.model_copy(deep=True),
    "pickle": lambda alarm: pickle.loads(pickle.dumps(alarm)),
    "raw": lambda alarm: Alarm.from_raw(alarm.raw),
    "dump": lambda alarm: Alarm.from_wire(json.loads(alarm.raw)),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_equal_and_whole(name: str) -> None:
    alarm = Alarm.from_raw(RAW)
    other = COPIES[name](alarm)
    assert other == alarm
    assert hash(other) == hash(alarm)
    assert other.fragments == alarm.fragments
    assert {other, alarm} == {alarm}
    if name != "dump":
        assert other.raw == RAW


def test_alarms_with_other_content_differ() -> None:
    alarm = Alarm.from_raw(RAW)
    assert alarm != Alarm.from_raw(RAW.replace(b'"no":7', b'"no":8'))
    assert alarm != alarm.model_copy(update={"text": "other"})
    assert alarm != "90210"


def test_model_copy_with_an_update_changes_the_raw_too() -> None:
    alarm = Alarm.from_raw(RAW)
    changed = alarm.model_copy(
        update={"text": "New", "first_occurrence_time": alarm.time, "severity": "MINOR", "acme_Door": None}
    )
    wire = json.loads(changed.raw)
    assert (changed.text, wire["text"]) == ("New", "New")
    assert changed.severity is Severity.MINOR
    assert changed.first_occurrence_time == alarm.time
    assert "firstOccurenceTime" not in wire
    assert changed["acme_Door"] is None
    assert alarm.raw == RAW


def test_an_alarm_is_frozen() -> None:
    alarm = Alarm.from_raw(RAW)
    with pytest.raises(ValidationError, match="frozen"):
        alarm.text = "x"  # type: ignore[misc]


def test_an_alarm_built_in_python_has_a_raw() -> None:
    alarm = Alarm(id="1", severity=Severity.MINOR, creation_time=datetime(2026, 3, 1, tzinfo=UTC))
    assert json.loads(alarm.raw) == {"id": "1", "severity": "MINOR", "creationTime": "2026-03-01T00:00:00Z"}
    assert Alarm.from_raw(alarm.raw) == alarm == copy.copy(alarm) == pickle.loads(pickle.dumps(alarm))


def test_a_dump_loses_nothing_unless_it_names_what_it_wants() -> None:
    alarm = Alarm.from_raw(RAW)
    dumped = alarm.model_dump(mode="json", by_alias=True)
    assert dumped["acme_Door"] == {"no": 7, "ratio": 1.1}
    assert dumped["history"] == {"auditRecords": [], "self": "u"}
    assert dumped["firstOccurrenceTime"] == "2026-03-01T09:59:00+01:00"
    assert "acme_Door" not in alarm.model_dump(exclude={"acme_Door"})
    assert alarm.model_dump(include={"id"}) == {"id": "90210"}


def test_validation_as_pydantic_does_it_keeps_the_fragments() -> None:
    wire: dict[str, Any] = json.loads(RAW)
    assert Alarm.model_validate(wire).fragments == Alarm.from_raw(RAW).fragments
    assert Alarm.model_validate_json(RAW).raw == RAW
    assert Alarm.model_validate_json(RAW.decode()) == Alarm.from_raw(RAW)
    with pytest.raises(ValidationError):
        Alarm.model_validate({"id": "1", "count": "many"})


def test_inside_of_another_model_the_fragments_survive() -> None:
    class Ticket(BaseModel):
        alarm: Alarm

    ticket = Ticket(alarm=Alarm.from_raw(RAW))
    assert ticket.alarm.raw == RAW
    again = Ticket.model_validate_json(ticket.model_dump_json(by_alias=True))
    assert again.alarm.fragments == ticket.alarm.fragments
    assert Ticket.model_validate(ticket.model_dump()).alarm.fragments == ticket.alarm.fragments
    listed = TypeAdapter(list[Alarm]).validate_python([json.loads(RAW)])
    assert listed[0]["acme_Door"] == {"no": 7, "ratio": 1.1}


def test_a_subclass_types_its_own_fragment() -> None:
    class DoorAlarm(Alarm):
        acme_Door: dict[str, float] | None = None  # noqa: N815 - the platform's spelling

    alarm = DoorAlarm.from_raw(RAW)
    assert alarm.acme_Door == {"no": 7, "ratio": 1.1}
    assert alarm.fragments == {}
    assert DoorAlarm.from_raw(b'{"id":"1","acme_Door":3}').acme_Door is None
    assert alarm != Alarm.from_raw(RAW)


def test_a_field_that_a_subclass_insists_on_is_a_protocol_error_where_it_is_unusable() -> None:
    class DoorAlarm(Alarm):
        acme_Door: dict[str, float]  # noqa: N815 - the platform's spelling

    for raw in (b'{"id":"1"}', b'{"id":"1","acme_Door":3}', b'{"id":"1","acme_Door":null,"severity":[]}'):
        with pytest.raises(ProtocolError, match="no usable acme_Door"):
            DoorAlarm.from_raw(raw)


def test_a_repr_is_one_short_line() -> None:
    wire = {"id": 1, "type": "t" * 500, "time": "2026-03-01T10:00:00+01:00", "status": "new", "x": "y" * 500}
    alarm = Alarm.from_wire({**wire, "source": {"id": "4711", "name": "Gate"}, "severity": "MAJOR"})
    assert repr(alarm) == (
        f"Alarm(id='1', type='{'t' * 60}…', source_id='4711', severity='MAJOR', status='new', "
        "time='2026-03-01T10:00:00+01:00')"
    )
    assert "4711" in str(alarm)
    record = AuditRecord.from_wire({"id": "2", "user": "ada", "activity": "Alarm created", "changes": [{}]})
    assert repr(record) == "AuditRecord(id='2', user='ada', activity='Alarm created')"
