"""The JSON lines are a contract: keys, their order, one object a line whatever the platform sent."""

from __future__ import annotations

import json

import pytest

from tocsin.cli._jsonl import alarm_line, change_line, event_line, gap_line, state_line
from tocsin.cumulocity.models import Alarm
from unit.cli.examples import alarm, change, gap, state


def test_a_change_has_the_keys_of_the_contract_in_order():
    line = change_line(change("UPDATE"))
    seen = json.loads(line)
    assert list(seen) == [
        "event", "platform", "site", "action", "origin", "id", "received_at", "level", "phase", "alarm",
    ]  # fmt: skip
    assert seen["event"] == "change"
    assert (seen["action"], seen["origin"], seen["id"]) == ("UPDATE", "live", "101")
    assert seen["received_at"] == "2026-01-05T12:00:00.123Z"
    assert (seen["level"], seen["phase"]) == ("MAJOR", "ACTIVE")


def test_a_deletion_has_no_alarm():
    seen = json.loads(change_line(change("DELETE", origin="recovered")))
    assert (seen["action"], seen["alarm"], seen["level"], seen["phase"]) == ("DELETE", None, None, None)


def test_the_platforms_own_json_comes_through_unchanged():
    raw = b'{"id":7,"acme_Odd":[1.0,1e2,{"x":null}],"severity":"Odd","source":{"id":"1"},"text":"\xc3\xa4"}'
    line = alarm_line(Alarm.from_raw(raw), platform="cumulocity", site="t1")
    assert raw in line
    assert json.loads(line)["level"] is None
    assert json.loads(line)["id"] == "7"


@pytest.mark.parametrize("between", ["\n", "\r\n", "\n\t  "])
def test_json_over_several_lines_becomes_one(between):
    raw = json.dumps({"id": "1", "text": "a\nb"}, indent=1).replace("\n", between).encode()
    line = alarm_line(Alarm.from_raw(raw), platform="cumulocity", site="t1")
    assert line.count(b"\n") == 1
    assert b"\r" not in line
    assert json.loads(line)["alarm"] == {"id": "1", "text": "a\nb"}


def test_what_some_readers_take_for_a_line_end_is_escaped():
    raw = json.dumps({"id": "1", "text": "a\u2028b\u2029c\x85d"}, ensure_ascii=False).encode()
    line = alarm_line(Alarm.from_raw(raw), platform="cumulocity", site="t1").decode()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["alarm"]["text"] == "a\u2028b\u2029c\x85d"


def test_gap_state_and_summary():
    assert json.loads(gap_line(gap(None))) == {
        "event": "gap", "platform": "cumulocity", "site": "t1", "since": "2026-01-05T12:00:00.123Z",
        "until": "2026-01-05T12:01:00.123Z", "cause": "session lost", "recovered": None,
    }  # fmt: skip
    assert json.loads(state_line(state("reconnecting", "refused"))) == {
        "event": "state", "platform": "cumulocity", "site": "t1", "at": "2026-01-05T12:00:00.123Z",
        "state": "reconnecting", "cause": "refused",
    }  # fmt: skip
    assert event_line("summary", seen=1, lost=0) == b'{"event":"summary","seen":1,"lost":0}\n'


def test_hostile_text_cannot_break_out_of_its_string():
    hostile = alarm(text='","event":"gap"}\n{"event":"summary"')
    line = alarm_line(hostile, platform="cumulocity", site='si"te\n')
    assert line.count(b"\n") == 1
    assert json.loads(line)["event"] == "alarm"
