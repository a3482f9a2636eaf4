import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.cumulocity._observe import alarm_id, observe, read_alarm
from tocsin.errors import ProtocolError

REST = {
    "id": "90210",
    "self": "https://t.example/alarm/alarms/90210",
    "type": "acme_DoorForced",
    "time": "2026-03-01T10:00:00.250+01:00",
    "creationTime": "2026-03-01T09:00:00.611Z",
    "lastUpdated": "2026-03-01T09:00:00.711Z",
    "text": "Door 7 forced",
    "severity": "MAJOR",
    "status": "ACTIVE",
    "count": 1,
    "source": {"id": "4711", "name": "Gate", "self": "https://t.example/inventory/4711"},
    "history": {"auditRecords": [], "self": "https://t.example/audit/auditRecords"},
    "acme_Door": {"no": 7, "level": 1.0, "parts": [{"a": 1, "b": 2}]},
}


def seen(alarm, **options):
    raw = json.dumps(alarm).encode()
    return observe(read_alarm(raw), raw, **options)


def but(**changes):
    return {key: value for key, value in {**REST, **changes}.items() if value is not ...}


@pytest.mark.parametrize(
    "spelling",
    [
        but(lastUpdated=...),
        but(self=..., history=..., source={"id": "4711"}),
        but(source={"id": 4711}),
        but(source="4711"),
        but(id=90210),
        but(status="active", severity="major"),
        but(time="2026-03-01T09:00:00.25Z"),
        but(time="2026-03-01T09:00:00.250"),
        but(time="2026-03-01T10:00:00.250000+0100"),
        but(count=...),
        but(firstOccurrence=True, severityOrdinal=2, statusOrdinal=1),
        but(firstOccurenceTime="2026-03-01T09:00:00Z"),
        but(creationTime=..., gone=None),
        but(acme_Door={"parts": [{"b": 2, "a": 1}], "level": 1, "no": 7.0}),
        dict(reversed(REST.items())),
    ],
    ids=lambda alarm: (
        ",".join(k for k in sorted(REST.keys() | alarm.keys()) if REST.get(k, 0) != alarm.get(k, 0))
        or "order"
    ),
)
def test_one_state_in_the_spelling_of_both_channels_is_the_same(spelling):
    one, other = seen(REST), seen(spelling)
    assert other.id == "90210"
    assert (other.core, other.rest) == (one.core, one.rest)


@pytest.mark.parametrize(
    "changed",
    [
        but(type="acme_Other"),
        but(status="ACKNOWLEDGED"),
        but(severity="CRITICAL"),
        but(text="Door 8 forced"),
        but(time="2026-03-01T10:00:00.251+01:00"),
        but(count=2),
        but(source={"id": "4712"}),
    ],
    ids=lambda alarm: next(k for k in REST if REST[k] != alarm.get(k)),
)
def test_what_users_see_is_in_the_core(changed):
    assert seen(changed).core != seen(REST).core
    assert seen(changed).rest == seen(REST).rest


@pytest.mark.parametrize(
    "changed",
    [
        but(acme_Door={"no": 8}),
        but(acme_Door=...),
        but(acme_Note="x"),
        but(acme_Door={"no": 7, "level": 1.5}),
    ],
    ids=["value", "removed", "added", "fraction"],
)
def test_every_fragment_is_in_the_rest(changed):
    assert seen(changed).core == seen(REST).core
    assert seen(changed).rest != seen(REST).rest


def test_times_are_the_servers_milliseconds():
    found = seen(REST)
    assert found.updated == 1772355600711
    assert found.created == 1772355600611
    bare = seen({"id": "1"})
    assert (bare.updated, bare.created) == (None, None)
    odd = seen({"id": "1", "lastUpdated": "soon", "creationTime": 7})
    assert (odd.updated, odd.created) == (None, None)


@pytest.mark.parametrize(
    ("status", "is_open"),
    [
        ("ACTIVE", True),
        ("ACKNOWLEDGED", True),
        ("CLEARED", False),
        ("cleared", False),
        ("CUSTOM", True),
        (None, True),
    ],
)
def test_only_what_is_cleared_is_not_open(status, is_open):
    assert seen(but(status=status)).open is is_open


def test_the_severity_filter():
    wanted = frozenset({"MAJOR", "CRITICAL"})
    assert seen(REST).wanted
    assert seen(REST, severities=wanted).wanted
    assert seen(but(severity="major"), severities=wanted).wanted
    assert not seen(but(severity="MINOR"), severities=wanted).wanted
    assert not seen(but(severity=...), severities=wanted).wanted


@pytest.mark.parametrize(
    "raw", [b"7", b'"x"', b"[]", b"{", b"", b"null", b"{}", b'{"id":null}', b'{"id":true}', b'{"id":""}']
)
def test_what_is_no_alarm_says_so(raw):
    with pytest.raises(ProtocolError):
        observe(read_alarm(raw), raw)


def test_what_strict_parsers_refuse_is_read():
    raw = b'{"id":"1","text":"\\ud800","x":NaN,"n":123456789012345678901234567890}'
    found = observe(read_alarm(raw), raw)
    assert found.id == "1"
    assert found.rest == observe(read_alarm(raw), raw).rest


def test_the_bytes_are_kept_as_they_came():
    raw = b'{ "id" : "1" }'
    assert observe(read_alarm(raw), raw).alarm == raw


@pytest.mark.parametrize(
    ("value", "identity"),
    [
        ("1", "1"),
        (1, "1"),
        ({"id": "1"}, "1"),
        ({"id": 1}, "1"),
        ("", None),
        (None, None),
        ({}, None),
        (True, None),
        ([1], None),
        ({"id": {}}, None),
    ],
)
def test_ids_in_all_their_shapes(value, identity):
    assert alarm_id(value) == identity


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text() | st.sampled_from(sorted(REST)), json_values), json_values)
def test_any_object_either_is_an_alarm_or_says_that_it_is_none(alarm, identity):
    raw = json.dumps({**alarm, "id": identity}).encode()
    try:
        found = observe(read_alarm(raw), raw)
    except ProtocolError:
        assert alarm_id(identity) is None
    else:
        assert found == observe(read_alarm(raw), raw)
        assert len(found.core) == len(found.rest) == 16
