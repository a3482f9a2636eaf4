"""Filters of XProtect: as they are spelled, and those that cannot work."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tocsin._http._url import encode_query
from tocsin.errors import ConfigurationError
from tocsin.xprotect._query import AlarmFilter, Order, after, before, contains, equals, not_equals
from tocsin.xprotect.models import AlarmState, Camera

CAMERA = "1111aaaa-0000-4000-8000-000000000001"
TEN = datetime(2026, 3, 1, 10, tzinfo=UTC)


def spelled(**filters):
    query = dict(AlarmFilter(**filters).fixed())
    assert query.pop("orderBy") == "desc:'time'"
    return query


def test_values_are_quoted_and_quotes_doubled():
    assert equals("O'Brien") == "'O''Brien'"
    assert not_equals("Closed") == "notEquals:'Closed'"
    assert contains("50% & more") == "contains:'50% & more'"
    assert spelled(message="it's, gone") == {"message": "'it''s, gone'"}
    assert spelled(text_contains="door", name="x") == {"message": "contains:'door'", "name": "'x'"}


def test_everything_is_percent_encoded():
    text = encode_query(AlarmFilter(message="a+b 'c' ü&=", source=CAMERA).fixed())
    assert text == (
        "message=%27a%2Bb%20%27%27c%27%27%20%C3%BC%26%3D%27"
        f"&cameraId=%27{CAMERA}%27&orderBy=desc%3A%27time%27"
    )


def test_a_range_takes_its_first_moment_and_not_its_last():
    assert spelled(date_from=TEN, date_to=TEN + timedelta(hours=1)) == {
        "time": "gt:'2026-03-01T09:59:59.9999999Z',lt:'2026-03-01T11:00:00.0000000Z'"
    }
    berlin = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=1)))
    assert before(berlin) == "lt:'2026-03-01T11:00:00.0000000Z'"
    assert after(berlin) == "gt:'2026-03-01T10:59:59.9999999Z'"


@pytest.mark.parametrize("source", [CAMERA, CAMERA.upper(), f"cameras/{CAMERA}", Camera(id=CAMERA)])
def test_a_camera_is_given_in_any_form(source):
    assert spelled(source=source) == {"cameraId": f"'{CAMERA}'"}


def test_what_is_no_camera_is_not_asked_for():
    assert spelled(source=f"hardware/{CAMERA}") == {}
    assert spelled(source=[CAMERA, CAMERA[:-1] + "2"]) == {}


def test_the_order_can_be_turned():
    assert AlarmFilter(order=Order.OLDEST).fixed() == (("orderBy", "asc:'time'"),)
    assert AlarmFilter(order="asc").order is Order.OLDEST


def test_filters_are_merged_and_shown():
    both = AlarmFilter(state=[4, "New", AlarmState("s")]).merged({"message": "x"})
    assert both.state == (4, "New", AlarmState("s"))
    assert repr(AlarmFilter(message="x")) == "AlarmFilter(message='x')"


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"date_from": datetime(2026, 3, 1)}, "aware datetime"),  # noqa: DTZ001 - that is what is refused
        ({"date_to": "2026-03-01"}, "aware datetime"),
        ({"date_from": TEN, "date_to": TEN}, "nothing could match"),
        ({"date_from": datetime.min.replace(tzinfo=UTC)}, "calendar"),
        ({"state": True}, "a name, a level or an id"),
        ({"state": ""}, "not empty"),
        ({"state": []}, "empty"),
        ({"state": 1.5}, "a name, a level"),
        ({"state": [{}]}, "a name, a level"),
        ({"priority": AlarmState("s")}, "priority"),
        ({"state": 1, "resolved": True}, "exclude each other"),
        ({"resolved": "yes"}, "resolved is True"),
        ({"source": "Front door"}, "the id of a camera"),
        ({"source": "*"}, "the id of a camera"),
        ({"source": 4711}, "the id of a camera"),
        ({"source": "00000000-0000-0000-0000-000000000000"}, "empty GUID"),
        ({"source": []}, "empty"),
        ({"message": "a", "text_contains": "b"}, "exclude each other"),
        ({"message": " "}, "not empty"),
        ({"name": "a\x00b"}, "control character"),
        ({"name": "\ud800"}, "surrogates"),
        ({"order": "sideways"}, "Order.NEWEST"),
    ],
)
def test_what_cannot_work_is_refused(filters, words):
    with pytest.raises(ConfigurationError, match=words):
        AlarmFilter(**filters)
