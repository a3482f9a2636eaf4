"""What msgspec reads of a row is what pydantic would have read of it, and nobody can tell who it was."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from tocsin._rows import REFUSED, RowReader
from tocsin._wire import WireModel, id_of
from tocsin.cumulocity.models import Alarm, AuditRecord, Severity, Source
from tocsin.errors import ProtocolError

WIRE: dict[str, Any] = {
    "id": "90210",
    "self": "https://t.example/alarm/alarms/90210",
    "type": "acme_DoorForced",
    "time": "2026-03-01T10:00:00.250+01:00",
    "creationTime": "2026-03-01T09:00:00.611Z",
    "text": "Door 7 forced",
    "source": {"self": "https://t.example/4711", "id": "4711", "name": None, "x": [1]},
    "status": "acknowledged",
    "severity": "HUGE",
    "count": 2,
    "lastUpdated": None,
    "acme_Door": {"id": "not the alarm's"},
}
RAW = json.dumps(WIRE).encode()
FIELDS = sorted(Alarm._spellings)
words = st.sampled_from(
    [
        "",
        "1",
        "MAJOR",
        "cleared",
        "2026-03-01T10:00:00Z",
        "2026-03-01T10:00:00",
        "2026-03-01T10:00:00.1234567Z",
    ]
)
odd = words | st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats(allow_nan=False) | st.just([])
values = odd | st.dictionaries(st.sampled_from(["id", "name", "self"]), odd)


def is_unread(alarm: Alarm) -> bool:
    return getattr(alarm, "_row", None) is not None


def by_pydantic(raw: bytes) -> Alarm:
    return Alarm._from_odd(raw)


def test_the_usual_row_is_read_by_msgspec() -> None:
    alarm = Alarm.from_raw(RAW)
    assert is_unread(alarm)
    assert id_of(alarm) == "90210"
    assert is_unread(alarm), "id_of is for those who want nothing but the id"
    assert alarm.text == "Door 7 forced"
    assert not is_unread(alarm)
    assert id_of(alarm) == id_of(by_pydantic(RAW)) == "90210"


@given(st.dictionaries(st.sampled_from(FIELDS), values), st.booleans())
def test_both_ways_read_the_same(changed: dict[str, Any], whole: bool) -> None:
    wire = {**(WIRE if whole else {}), "id": "1", **changed}
    raw = json.dumps(wire).encode()
    try:
        reader = Alarm._reader
        assert reader is not None
        row = reader.decode(raw)
    except REFUSED:
        return
    read = by_pydantic(raw)
    seen = Alarm.from_raw(raw)
    assert {**vars(seen)} == vars(read)
    assert list(vars(seen)) == list(vars(read))
    assert seen.model_fields_set == read.model_fields_set
    assert id_of(Alarm.from_raw(raw)) == row.id == read.id


LOOKS: dict[str, Any] = {
    "vars": vars,
    "iter": list,
    "hash": hash,
    "set": lambda alarm: alarm.model_fields_set,
    "extra": lambda alarm: (alarm.model_extra, alarm.__pydantic_private__),
    "dump": lambda alarm: alarm.model_dump(),
    "dump json": lambda alarm: alarm.model_dump_json(by_alias=True),
    "dump what was sent": lambda alarm: alarm.model_dump(exclude_unset=True),
    "dump by an adapter": lambda alarm: TypeAdapter(Alarm).dump_json(alarm),
    "copy": lambda alarm: vars(copy.copy(alarm)),
    "deepcopy": lambda alarm: vars(copy.deepcopy(alarm)),
    "pickle": lambda alarm: vars(pickle.loads(pickle.dumps(alarm))),
    "model_copy": lambda alarm: vars(alarm.model_copy(update={"text": "x"})),
    "fragments": lambda alarm: dict(alarm.fragments),
    "last field": lambda alarm: alarm.first_occurrence_time,
    "level": lambda alarm: (alarm.level, alarm.phase, alarm.source_id),
    "validated": lambda alarm: vars(TypeAdapter(Alarm).validate_python(alarm)),
}


@pytest.mark.parametrize("name", LOOKS)
def test_the_first_look_at_an_alarm_sees_all_of_it(name: str) -> None:
    look = LOOKS[name]
    alarm = Alarm.from_raw(RAW)
    assert is_unread(alarm)
    assert look(alarm) == look(by_pydantic(RAW))
    assert vars(alarm) == vars(by_pydantic(RAW))
    assert alarm == by_pydantic(RAW)


def test_the_words_and_the_source_are_of_the_public_types() -> None:
    alarm = Alarm.from_raw(RAW)
    assert alarm.source == Source("4711", None, "https://t.example/4711")
    assert isinstance(alarm.severity, Severity)
    assert not alarm.severity.is_known
    assert repr(alarm).startswith("Alarm(id='90210', type='acme_DoorForced', source_id='4711'")


def test_what_is_no_attribute_is_an_attribute_error() -> None:
    for alarm in (Alarm.from_raw(RAW), by_pydantic(RAW), Alarm(id="1")):
        for name in ("acme_Door", "first_occurrence_time_0", "creationTime", "__x__"):
            with pytest.raises(AttributeError, match=name):
                getattr(alarm, name)


def test_times_finer_than_microseconds_are_cut_off_by_both() -> None:
    raw = b'{"id":"1","time":"2026-03-01T10:00:00.1234567Z","x":%s}'
    for deep in (1, 300):  # deeper than pydantic goes
        alarm = Alarm.from_raw(raw % (b"[" * deep + b"]" * deep))
        assert alarm.time is not None
        assert alarm.time.microsecond == 123_456


@pytest.mark.parametrize("depth", [100, 500, 900, 960, 990, 1_100, 100_000])
def test_reading_a_deep_alarm_raises_at_once_or_never(depth: int) -> None:
    raw = b'{"id":"1","severity":"MAJOR","x":' + b"[" * depth + b"]" * depth + b"}"
    try:
        alarm = Alarm.from_raw(raw)
    except ProtocolError:
        return

    def further_down(frames: int) -> str | None:
        return alarm.severity if not frames else further_down(frames - 1)

    assert further_down(300) == "MAJOR"


def test_who_looks_a_moment_after_another_thread_has_laid_it_out_sees_it_too() -> None:
    alarm = Alarm.from_raw(RAW)
    assert alarm.text == "Door 7 forced"
    missed: Any = alarm  # Python asks this way once it has not found the name, which may be a moment ago
    assert missed.__getattr__("text") == "Door 7 forced"
    with pytest.raises(AttributeError):
        missed.__getattr__("nothing")


def test_a_subclass_is_read_by_pydantic() -> None:
    class Shouting(Alarm):
        text: str = "?"

        def model_post_init(self, context: Any) -> None:
            assert self.text.isupper()

    assert Shouting._reader is AuditRecord._reader is None
    assert Shouting.from_raw(b'{"id":"1","text":"FIRE"}').text == "FIRE"


def test_fields_of_other_kinds_are_refused_when_the_class_is_made() -> None:
    class Inner(BaseModel):
        a: int

    class Outer(WireModel):
        inner: Inner | None = None

    with pytest.raises(TypeError):
        RowReader(Outer.model_fields)

    class Either(WireModel):
        value: int | str | None = None

    with pytest.raises(TypeError):
        RowReader(Either.model_fields)
