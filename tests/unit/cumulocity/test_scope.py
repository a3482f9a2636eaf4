import pytest

from tocsin._stream._answers import ReadWindow
from tocsin.cumulocity._scope import Scope
from tocsin.errors import ConfigurationError


def window(partition=None, **fields):
    blank = {"updated_from": None, "created_from": None, "created_to": None, "resolved": None}
    return ReadWindow(ticket=1, r0=1, partition=partition, page=1, page_size=5, **{**blank, **fields})


def test_every_device():
    scope = Scope.of("*")
    assert scope.channels == ("/alarms/*",)
    assert scope.partitions == (None,)
    assert scope.query(window()) == ()
    assert scope.follows_type("any")


def test_sources_are_texts_each_once():
    scope = Scope.of([4711, "4712", "4711"])
    assert scope.channels == ("/alarms/4711", "/alarms/4712")
    assert scope.partitions == ("4711", "4712")
    assert scope.query(window("4711")) == (("source", "4711"),)


def test_children_have_a_channel_and_a_query_of_their_own():
    scope = Scope.of(4711, children=True)
    assert scope.channels == ("/alarmsWithChildren/4711",)
    assert scope.query(window("4711")) == (
        ("source", "4711"),
        ("withSourceAssets", "true"),
        ("withSourceDevices", "true"),
    )


def test_types_are_asked_for_where_they_can_be():
    scope = Scope.of("*", type=["b", "a"])
    assert scope.query(window()) == (("type", "a,b"),)
    assert scope.follows_type("a")
    assert not scope.follows_type("c")
    assert not scope.follows_type(None)
    assert Scope.of("*", type=["b", "a,c"]).query(window()) == ()


def test_severity_is_never_asked_for():
    scope = Scope.of("*", severity=["major", "CRITICAL"])
    assert scope.severities == {"MAJOR", "CRITICAL"}
    assert scope.query(window()) == ()


def test_ranges_are_written_in_milliseconds():
    read = window(updated_from=1772355600711, created_from=0, created_to=1772355600000, resolved=False)
    assert Scope().query(read) == (
        ("lastUpdatedFrom", "2026-03-01T09:00:00.711Z"),
        ("createdFrom", "1970-01-01T00:00:00.000Z"),
        ("createdTo", "2026-03-01T09:00:00.000Z"),
        ("resolved", "false"),
    )
    assert Scope().query(window(resolved=True)) == (("resolved", "true"),)


@pytest.mark.parametrize("source", ["", " ", "a b", "a/b", "a*", "1,2", [], ["1", "*"], "\n"])
def test_what_is_no_source_is_refused(source):
    with pytest.raises(ConfigurationError):
        Scope.of(source)
