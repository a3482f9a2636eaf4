"""What must hold for any time, page and alarm."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tocsin._wire import cut_page, parse_time, write_time
from tocsin.cumulocity.models import Alarm
from tocsin.errors import ProtocolError

zones = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda m: timezone(timedelta(minutes=m)))
# Away from the ends of the calendar, where another zone has no date.
moments = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31), timezones=zones)  # noqa: DTZ001
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
rows = st.dictionaries(st.text(), values, max_size=5)
fields = st.sampled_from(sorted(Alarm._spellings.keys() - {"id"}))


@given(moments)
def test_a_written_time_is_read_back_to_the_millisecond(moment: datetime) -> None:
    back = parse_time(write_time(moment))
    assert back == moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert back.utcoffset() == moment.utcoffset()


@given(moments, st.integers(0, 9), st.booleans())
def test_any_number_of_digits_is_read(moment: datetime, digits: int, colon: bool) -> None:
    fraction = f"{moment.microsecond:06}000"[:digits]
    zone = moment.strftime("%z")
    text = moment.strftime("%m-%dT%H:%M:%S") + (f".{fraction}" if digits else "")
    text = f"{moment.year:04}-{text}{zone[:3]}:{zone[3:]}" if colon else f"{moment.year:04}-{text}{zone}"
    cut = int(fraction.ljust(6, "0")[:6] or 0)
    assert parse_time(text) == moment.replace(microsecond=cut)
    read = Alarm.from_raw(json.dumps({"id": "1", "time": text}).encode())
    assert read.time == parse_time(text)


@given(st.text())
def test_any_other_text_is_a_value_error_or_a_time(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_time(text).utcoffset() is not None


@given(st.lists(rows, max_size=4), rows)
def test_a_page_is_cut_into_its_rows(items: list[dict[str, Any]], rest: dict[str, Any]) -> None:
    page = cut_page(json.dumps({**rest, "alarms": items}).encode(), "alarms")
    assert [json.loads(item) for item in page.items] == items
    rest.pop("alarms", None)
    assert page.rest.keys() <= rest.keys()


@given(st.binary() | st.text().map(str.encode) | values.map(lambda value: json.dumps(value).encode()))
@example(b'{"alarms":[1,"x",null]}')
def test_any_bytes_are_a_page_or_a_protocol_error(body: bytes) -> None:
    try:
        items = cut_page(body, "alarms").items
    except ProtocolError:
        return
    for item in items:
        try:
            Alarm.from_raw(item)
        except ProtocolError:
            continue


@given(st.lists(rows, min_size=1, max_size=3), st.integers(min_value=0))
def test_a_page_cut_short_is_a_protocol_error(items: list[dict[str, Any]], at: int) -> None:
    whole = json.dumps({"alarms": items}).encode()
    with pytest.raises(ProtocolError):
        cut_page(whole[: at % len(whole)], "alarms")


@given(st.dictionaries(fields, values, max_size=6), rows)
def test_any_alarm_with_an_id_is_read_and_kept(known: dict[str, Any], unknown: dict[str, Any]) -> None:
    wire = {**unknown, **known, "id": "90210"}
    raw = json.dumps(wire).encode()
    alarm = Alarm.from_raw(raw)
    assert alarm.id == "90210"
    assert alarm.raw == raw
    assert {name: alarm[name] for name in wire} == json.loads(raw)
    assert alarm.fragments.keys() == wire.keys() - Alarm._spellings.keys() - Alarm._silent
    assert pickle.loads(pickle.dumps(alarm)) == alarm == copy.deepcopy(alarm) == Alarm.from_wire(wire)
    json.loads(alarm.model_dump_json())
    assert repr(alarm)
