"""What Milestone does not describe in public: read where it can be, kept in any case, never in the way."""

import json

import pytest

from tocsin._http._request import Headers, Response
from tocsin.errors import ProtocolError
from tocsin.xprotect.alarms import Alarms


class Answers:
    """A gateway that always gives the same."""

    def __init__(self, body):
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def send(self, request):
        return Response(200, Headers(), self.body, method=request.method, url=request.path)


async def history(*entries):
    return [entry async for entry in Alarms(Answers({"array": entries})).history("a1")]


async def test_the_history_is_read_in_the_spelling_of_either_api():
    rest = {"time": "2026-01-05T10:11:12.1234567Z", "author": "ada", "comment": "x", "state": {"name": "New"}}
    soap = {"Time": "2026-01-05T10:11:12.1234567Z", "Author": "ada", "Text": "x", "State": "New"}
    one, other = await history(rest, soap)
    assert (one.time, one.author, one.text, one.state) == (other.time, other.author, other.text, other.state)
    assert (one.author, one.text, one.state, one.priority) == ("ada", "x", "New", None)
    assert one.wire == rest


async def test_odd_entries_cost_nothing_else():
    found = await history({}, {"time": 5, "state": {"level": 4}, "author": []}, {"state": 11, "time": "soon"})
    assert [entry.state for entry in found] == [None, "4", "11"]
    assert all(entry.time is None for entry in found)


async def test_lists_that_nobody_describes_may_be_named_as_objects_are():
    alarms = Alarms(Answers({"data": [{"text": "x"}]}))
    assert (await alarms.history("a1")).items[0].text == "x"
    assert await alarms.snapshots("a1") == ({"text": "x"},)


async def test_what_is_no_entry_is_told_and_passed_over():
    entries = aiter(Alarms(Answers({"array": [5, {"text": "x"}]})).history("a1"))
    with pytest.raises(ProtocolError, match="row 1"):
        await anext(entries)
    assert (await anext(entries)).text == "x"


async def test_statistics_are_counted_by_level():
    rows = [
        {"type": "State", "number": 1, "value": 3},
        {"type": "priority", "number": 2, "value": 5},
        {"type": "Mood", "number": 2, "value": 5},
        {"type": "State", "number": "1", "value": None},
        7,
    ]
    found = await Alarms(Answers({"array": rows})).statistics()
    assert (found.states, found.priorities) == ({1: 3}, {2: 5})
    assert found.wire == {"array": rows}
    assert (await Alarms(Answers({"data": {"new": 4}})).statistics()).states == {}


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"<html>", b'{"array":5}'])
async def test_what_is_no_list_is_refused(body):
    alarms = Alarms(Answers(body))
    with pytest.raises(ProtocolError):
        await alarms.history("a1")
    with pytest.raises(ProtocolError):
        await alarms.snapshots("a1")
    with pytest.raises(ProtocolError):
        await alarms.list()


@pytest.mark.parametrize(
    "body", [{"data": {"id": "B2"}}, {"data": {}}, {"data": {"id": 5}}, [], {"data": None}]
)
async def test_an_answer_that_is_another_alarm_is_refused(body):
    with pytest.raises(ProtocolError):
        await Alarms(Answers(body)).get("A1")


@pytest.mark.parametrize("body", [{"data": {"id": "a1", "data": {}}}, {"id": "A1", "data": {"x": 1}}])
async def test_an_alarm_comes_in_its_envelope_or_without(body):
    assert (await Alarms(Answers(body)).get("A1")).id.upper() == "A1"
