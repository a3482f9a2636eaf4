"""Alarms and events of XProtect, as servers write them and as they should not."""

import pickle
from datetime import UTC, datetime

import pytest

from tocsin._wire import cut_object
from tocsin.errors import ProtocolError
from tocsin.models import AlarmLike, Level, Phase
from tocsin.xprotect._guids import EMPTY, guid, path_of, same
from tocsin.xprotect.models import Alarm, AlarmState, Camera, Event, EventType

CAMERA = "1111aaaa-0000-4000-8000-000000000001"


def alarm(**fields):
    return Alarm.from_wire({"id": "a1", **fields})


def test_an_alarm_reads_as_every_platforms_does():
    like: AlarmLike = alarm(
        name="Door", message="Door 7 forced", source=f"cameras/{CAMERA.upper()}", time="2026-01-05T10:11:12Z",
        state={"id": "s", "level": 4, "name": "In Arbeit"}, priority={"id": "p", "level": 1, "name": "Hoch"},
    )  # fmt: skip
    assert (like.text, like.level, like.phase) == ("Door 7 forced", Level.CRITICAL, Phase.ACKNOWLEDGED)
    assert like.source_id == CAMERA
    assert like.time == datetime(2026, 1, 5, 10, 11, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("level", "phase"),
    [(1, Phase.ACTIVE), (4, Phase.ACKNOWLEDGED), (9, Phase.ACKNOWLEDGED), (11, Phase.CLEARED), (20, None)],
)
def test_a_state_is_known_by_its_level_whatever_it_is_called(level, phase):
    assert alarm(state={"id": "x", "level": level, "name": "Closed"}).phase is phase


@pytest.mark.parametrize(
    ("level", "word"), [(1, Level.CRITICAL), (2, Level.MAJOR), (3, Level.MINOR), (4, None)]
)
def test_a_priority_is_known_by_its_level(level, word):
    assert alarm(priority={"id": "x", "level": level, "name": "n"}).level is word


def test_what_is_missing_is_none():
    bare = alarm()
    values = (bare.text, bare.time, bare.level, bare.phase, bare.source_id, bare.assigned_to, bare.data)
    assert values == (None,) * 7


@pytest.mark.parametrize("message", [None, ""])
def test_the_text_is_the_name_if_there_is_no_message(message):
    assert alarm(name="Door", message=message).text == "Door"


def test_an_empty_guid_is_no_source():
    assert alarm(source=f"cameras/{EMPTY}", cameraId=EMPTY).source_id is None
    assert alarm(source="", cameraId=CAMERA.upper()).source_id == CAMERA
    assert alarm(source=EMPTY).source_id is None


def test_a_time_has_seven_digits_and_may_lack_its_zone():
    assert alarm(time="2026-01-05T10:11:12.1234567Z").time == datetime(
        2026, 1, 5, 10, 11, 12, 123456, tzinfo=UTC
    )
    assert alarm(time="2026-01-05T10:11:12").time == datetime(2026, 1, 5, 10, 11, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("s1", AlarmState("s1")),
        ({"level": "4"}, AlarmState("", 4)),
        ({"id": "s1", "level": {}, "name": 5}, AlarmState("s1")),
        ([], None),
        (None, None),
    ],
)
def test_an_odd_state_costs_nothing_else(sent, read):
    odd = alarm(state=sent, name="Door", localId="x")
    assert odd.state == read
    assert (odd.name, odd.local_id, odd["localId"]) == ("Door", None, "x")


def test_unknown_fields_and_metadata_are_kept():
    whole = alarm(reasonForClosing="r", data={"count": 2}, assignedTo={"displayName": "Ada", "more": 1})
    assert dict(whole.fragments) == {"reasonForClosing": "r"}
    assert (whole.data, whole.assigned_to) == ({"count": 2}, "Ada")
    again = pickle.loads(pickle.dumps(whole))
    assert again == whole
    assert again.data == {"count": 2}


def test_the_keys_of_an_event_are_read_in_both_spellings():
    rest = Event.from_wire({"id": "e", "stateGroupId": "g", "specVersion": "1.0", "data": [1]})
    live = Event.from_wire({"id": "e", "stategroupid": "g", "specversion": "1.0", "data": [1]})
    assert rest.state_group_id == live.state_group_id == "g"
    assert rest.spec_version == live.spec_version == "1.0"
    assert rest.data == [1]


def test_configured_things_keep_what_is_not_declared():
    camera = Camera.from_wire({"id": CAMERA.upper(), "enabled": True, "channel": 0, "relations": {}})
    assert (camera.path, camera.enabled, camera.channel) == (f"cameras/{CAMERA}", True, 0)
    assert "relations" in camera.fragments
    assert EventType.from_wire({"id": "t", "occursGlobally": "odd"}).occurs_globally is None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (CAMERA, CAMERA),
        (f"cameras/{CAMERA.upper()}", CAMERA),
        (f"{{{CAMERA}}}", CAMERA),
        (f"/api/cameras/{CAMERA}/", CAMERA),
        (EMPTY, None),
        (f"cameras/{EMPTY}", None),
        ("", None),
        (None, None),
        (5, None),
        ("services/Core", "Core"),
    ],
)
def test_guids_are_read_with_or_without_their_kind(written, read):
    assert guid(written) == read


def test_guids_are_compared_in_any_case():
    assert same(CAMERA, f"cameras/{CAMERA.upper()}")
    assert not same(EMPTY, EMPTY)
    assert path_of(CAMERA.upper()) == f"cameras/{CAMERA}"
    assert path_of(f"hardware/{CAMERA}") == f"hardware/{CAMERA}"


@pytest.mark.parametrize(
    ("body", "inner"),
    [
        (b'{"data": {"id":"1"}}', b'{"id":"1"}'),
        (b'{"result":{"id":"1"}}', b'{"id":"1"}'),
        (b'{"id":"1","data":{"x":2}}', b'{"id":"1","data":{"x":2}}'),
        (b'{"data":{"id":"1","v":NaN}}', b'{"id": "1", "v": NaN}'),
        (b"{}", b"{}"),
    ],
)
def test_an_object_is_taken_out_of_its_envelope(body, inner):
    assert cut_object(body) == inner


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"3", b'{"data":'])
def test_what_is_no_object_is_refused(body):
    with pytest.raises(ProtocolError):
        cut_object(body)
