import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.cumulocity._payload import Told, read_payload
from tocsin.models import Action

ALARM = {"id": "90210", "type": "t", "text": "x"}


def told(data):
    return list(read_payload(data if isinstance(data, bytes) else json.dumps(data).encode()))


@pytest.mark.parametrize("action", list(Action)[:2])
def test_the_object_and_the_array_of_objects(action):
    wrapped = {"realtimeAction": action.value, "data": ALARM}
    for shape, count in ((wrapped, 1), ([wrapped], 1), ([wrapped, wrapped], 2)):
        found = told(shape)
        assert [(t.action, json.loads(t.raw)) for t in found] == [(action, ALARM)] * count


@pytest.mark.parametrize("gone", ["90210", 90210, {"id": "90210"}, {"id": 90210}, ALARM])
def test_a_deletion_brings_the_id_in_any_shape(gone):
    assert told({"realtimeAction": "DELETE", "data": gone}) == [Told(Action.DELETE, "90210")]
    assert told([{"realtimeAction": "DELETE", "data": gone}]) == [Told(Action.DELETE, "90210")]


def test_the_bytes_of_the_alarm_are_its_own():
    (found,) = told(b'{"realtimeAction":"UPDATE", "data": {"id" : "1", "n": 1.50} , "x":1}')
    assert found.raw == b'{"id" : "1", "n": 1.50}'


def test_an_unknown_or_missing_action_is_an_update():
    for action in ("create", "Create"):
        assert told({"realtimeAction": action, "data": ALARM})[0].action is Action.CREATE
    for action in ("UPSERT", "", None):
        assert told({"realtimeAction": action, "data": ALARM})[0].action is Action.UPDATE
    assert told({"data": ALARM})[0].action is Action.UPDATE


def test_an_alarm_without_envelope_is_read():
    (found,) = told(ALARM)
    assert (found.action, json.loads(found.raw)) == (Action.UPDATE, ALARM)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"7",
        b'"text"',
        b"{",
        b"{}",
        b'{"realtimeAction":"CREATE"}',
        b'{"realtimeAction":"DELETE","data":null}',
        b'{"realtimeAction":"DELETE","data":[1]}',
        b'{"realtimeAction":7}',
        b"[null]",
        b"[[]]",
        b'{"realtimeAction":"CREATE","data":true}',
        b"\xff",
        b"[" * 5000,
    ],
)
def test_what_cannot_be_read_is_told_once(data):
    assert told(data) == [Told(None)]


def test_an_unreadable_alarm_is_named_if_it_can_be():
    assert told({"realtimeAction": "CREATE", "data": "90210"}) == [Told(None, "90210")]


def test_a_broken_element_does_not_cost_its_neighbours():
    wrapped = {"realtimeAction": "UPDATE", "data": ALARM}
    found = told([wrapped, 7, wrapped, {"realtimeAction": 1, "data": 2}, wrapped])
    assert [t.action for t in found] == [Action.UPDATE, None, Action.UPDATE, None, Action.UPDATE]


def test_what_strict_parsers_refuse_is_rescued():
    (found,) = told(b'{"realtimeAction":"CREATE","data":{"id":"1","text":"\\ud800"}}')
    assert found.action is Action.CREATE
    assert json.loads(found.raw)["id"] == "1"
    (gone,) = told(b'{"realtimeAction":"DELETE","data":{"id":"1","text":"\\ud800"}}')
    assert gone == Told(Action.DELETE, "1")


def test_an_empty_array_tells_nothing():
    assert told([]) == []


@given(st.binary() | st.text().map(lambda s: json.dumps(s).encode()))
def test_any_bytes_are_survived(data):
    for found in read_payload(data):
        assert found.action is None or found.raw or found.id
