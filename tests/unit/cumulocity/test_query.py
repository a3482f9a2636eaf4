from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tocsin.cumulocity._query import FILTER_NAMES, AlarmFilter
from tocsin.cumulocity.models import Severity, Source, Status
from tocsin.errors import ConfigurationError
from tocsin.models import UNSET

TEN = datetime(2026, 3, 1, 10, tzinfo=UTC)
WEST = timezone(timedelta(hours=-5))


def test_nothing_given_asks_for_everything() -> None:
    assert AlarmFilter().query() == ()


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"status": Status.ACTIVE}, {"status": "ACTIVE"}),
        ({"status": "active"}, {"status": "ACTIVE"}),
        ({"status": ["ACTIVE", Status.ACKNOWLEDGED, "active"]}, {"status": "ACTIVE,ACKNOWLEDGED"}),
        ({"status": Status("Odd")}, {"status": "Odd"}),
        ({"severity": {Severity.MAJOR}}, {"severity": "MAJOR"}),
        ({"severity": (word for word in ("major", "minor"))}, {"severity": "MAJOR,MINOR"}),
        ({"type": "acme door + 1&2"}, {"type": "acme door + 1&2"}),
        ({"type": ["a", "b", "a"]}, {"type": "a,b"}),
        ({"source": "4711"}, {"source": "4711"}),
        ({"source": 4711}, {"source": "4711"}),
        ({"source": Source("4711", "Gate")}, {"source": "4711"}),
        ({"resolved": False}, {"resolved": "false"}),
        ({"resolved": True}, {"resolved": "true"}),
        ({"date_from": TEN}, {"dateFrom": "2026-03-01T10:00:00.000Z"}),
        ({"date_to": TEN.astimezone(WEST)}, {"dateTo": "2026-03-01T10:00:00.000Z"}),
        ({"created_from": TEN, "created_to": TEN + timedelta(milliseconds=1)},
         {"createdFrom": "2026-03-01T10:00:00.000Z", "createdTo": "2026-03-01T10:00:00.001Z"}),
        ({"updated_from": TEN}, {"lastUpdatedFrom": "2026-03-01T10:00:00.000Z"}),
        ({"updated_to": TEN}, {"lastUpdatedTo": "2026-03-01T10:00:00.000Z"}),
        ({"source": "1", "with_assets": True}, {"source": "1", "withSourceAssets": "true"}),
        ({"source": "1", "with_devices": True}, {"source": "1", "withSourceDevices": "true"}),
        ({"source": "1", "with_children": True}, {"source": "1", "withSourceChildren": "true"}),
        ({"source": "1", "with_additions": True}, {"source": "1", "withSourceAdditions": "true"}),
        ({"source": "1", "with_additions": False}, {"source": "1"}),
    ],
)  # fmt: skip
def test_filters_are_spelt_as_the_platform_has_them(given: dict[str, Any], sent: dict[str, str]) -> None:
    query = AlarmFilter(**given).query()
    assert dict(query) == sent
    assert len(query) == len(sent)
    assert sent.keys() <= FILTER_NAMES


def test_bounds_are_rounded_up_to_the_millisecond_so_that_half_open_ranges_keep_their_meaning() -> None:
    # Stored are milliseconds v: v >= 10:00:00.0001 is v >= 10:00:00.001, and the same with <.
    moment = TEN.replace(microsecond=100)
    sent = dict(AlarmFilter(date_from=moment).query())
    assert sent == {"dateFrom": "2026-03-01T10:00:00.001Z"}
    assert dict(AlarmFilter(date_to=TEN.replace(microsecond=999_999)).query()) == {
        "dateTo": "2026-03-01T10:00:01.000Z"
    }


NO_BOOLS = [0, 1, "", "false", None, UNSET, []]


@pytest.mark.parametrize("name", ["with_assets", "with_devices", "with_children", "with_additions"])
@pytest.mark.parametrize("value", NO_BOOLS)
def test_nothing_makes_an_empty_filter_look_full(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError):
        AlarmFilter(**{name: value}).check_updatable()


def test_a_filter_shows_what_was_given_and_nothing_else() -> None:
    assert repr(AlarmFilter()) == "AlarmFilter()"
    shown = repr(AlarmFilter(source=4711, resolved=False, type="a", with_assets=True))
    assert shown == "AlarmFilter(type=('a',), source='4711', resolved=False, with_assets=True)"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"status": "ACTIV"},
            r"status is one of ACTIVE, ACKNOWLEDGED, CLEARED, or Status\(\"…\"\), not 'ACTIV'",
        ),
        ({"status": 5}, "status is a text or several"),
        ({"status": []}, "status is empty"),
        ({"status": ["ACTIVE", None]}, "not None"),
        ({"status": Status("A,B")}, "without commas"),
        ({"status": Status("")}, "without commas"),
        ({"severity": "HUGE"}, "severity is one of CRITICAL"),
        ({"severity": Status.ACTIVE}, "severity is one of"),
        ({"type": "a,b"}, "a type with a comma cannot be looked for"),
        ({"type": ["a", "b,c"]}, "comma"),
        ({"type": ""}, "not empty"),
        ({"type": [" "]}, "not empty"),
        ({"type": []}, "type is empty"),
        ({"type": 5}, "type is a text or several"),
        ({"source": ""}, "source is the id of one"),
        ({"source": "1,2"}, "source is the id of one"),
        ({"source": ["1"]}, "source is the id of one"),
        ({"source": True}, "source is the id of one"),
        ({"source": "*"}, "leave source out for every device"),
        ({"source": "\ud800"}, "a source has no lone surrogates"),
        ({"type": "\ud800"}, "a type has no lone surrogates"),
        *(({name: UNSET}, f"{name} is ") for name in ("status", "type", "source", "resolved", "date_to")),
        ({"resolved": "yes"}, "resolved is True, False"),
        ({"resolved": False, "status": "ACTIVE"}, "exclude each other"),
        ({"date_from": datetime(2026, 3, 1)}, "date_from is an aware datetime"),  # noqa: DTZ001
        ({"created_to": "2026-03-01"}, "created_to is an aware datetime"),
        ({"updated_to": TEN.date()}, "updated_to is an aware datetime"),
        ({"date_from": TEN, "date_to": TEN - timedelta(seconds=1)}, "date_from is not before date_to"),
        ({"updated_from": TEN, "updated_to": TEN}, "half-open, from ≤ time < to"),
        ({"created_from": TEN.replace(microsecond=1), "created_to": TEN.replace(microsecond=9)}, "half-open"),
        ({"date_to": datetime.max.replace(tzinfo=UTC)}, "outside of the calendar"),
        ({"date_from": datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))}, "outside of the calendar"),
        ({"with_children": True}, "with_children needs a source"),
        *(({"source": "1", "with_assets": value}, "with_assets is True or False") for value in NO_BOOLS),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        AlarmFilter(**given)


def test_a_long_value_does_not_flood_the_error() -> None:
    with pytest.raises(ConfigurationError) as caught:
        AlarmFilter(status="x" * 10_000)
    assert len(str(caught.value)) < 250


def test_filters_are_merged_and_checked_again() -> None:
    base = AlarmFilter(status=["ACTIVE", "CLEARED"], date_from=TEN, type=["a", "b"])
    assert base.merged({}) is base
    assert dict(base.merged({"type": "c"}).query()) == {**dict(base.query()), "type": "c"}
    assert base.types == ("a", "b")
    with pytest.raises(ConfigurationError, match="exclude"):
        base.merged({"resolved": True})


@pytest.mark.parametrize("name", ["created_from", "created_to", "updated_from", "updated_to"])
def test_what_the_platform_would_ignore_cannot_be_counted_by(name: str) -> None:
    AlarmFilter(date_from=TEN, type="a").check_countable()
    with pytest.raises(ConfigurationError, match=f"cannot count by {name}"):
        AlarmFilter(**{name: TEN}).check_countable()  # type: ignore[arg-type]
