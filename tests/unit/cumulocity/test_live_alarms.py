import json
from datetime import UTC, datetime

from tocsin.bayeux._messages import Event
from tocsin.cumulocity._live import LiveAlarms
from tocsin.cumulocity._scope import Scope
from tocsin.errors import ProtocolError, SubscriptionRefusedError


class Inlet:
    """Writes down what it is told."""

    def __init__(self):
        self.heard = []

    def connected(self, *, session, date):
        self.heard.append(("connected", session, date))

    def alive(self, proved):
        self.heard.append("alive")

    def disconnected(self, cause):
        self.heard.append(("disconnected", cause))

    def live(self, messages, *, session, ordered):
        self.heard.append([(action.value, key, seen and seen.wanted) for action, key, seen in messages])
        assert (session, ordered) == (3, True)

    def unreadable(self, key):
        self.heard.append(("unreadable", key))

    def failed(self, error):
        self.heard.append(error)


def tell(*data, scope=None):
    inlet = Inlet()
    events = [Event("/alarms/1", json.dumps(one).encode(), None) for one in data]
    LiveAlarms(inlet, scope or Scope()).on_events(events, session=3, ordered=True)
    return inlet.heard


def created(key, **fields):
    return {"realtimeAction": "CREATE", "data": {"id": key, **fields}}


def test_one_batch_whatever_the_shape_and_in_order():
    gone = {"realtimeAction": "DELETE", "data": "3"}
    assert tell(created("1"), [created("2"), gone], created("4")) == [
        [("CREATE", "1", True), ("CREATE", "2", True), ("DELETE", "3", None), ("CREATE", "4", True)]
    ]


def test_what_cannot_be_read_keeps_its_place_and_its_neighbours():
    assert tell(created("1"), 7, created(None), {"realtimeAction": "CREATE", "data": "9"}, created("2")) == [
        [("CREATE", "1", True)],
        ("unreadable", None),
        ("unreadable", None),
        ("unreadable", "9"),
        [("CREATE", "2", True)],
    ]


def test_other_types_are_dropped_and_a_partial_alarm_is_asked_for():
    scope = Scope.of("*", type="a", severity="MAJOR")
    found = tell(
        created("1", type="a", severity="MAJOR"),
        created("2", type="b"),
        created("3", type="a", severity="MINOR"),
        created("4"),
        {"realtimeAction": "DELETE", "data": "2"},
        scope=scope,
    )
    assert found == [
        [("CREATE", "1", True), ("CREATE", "3", False)],
        ("unreadable", "4"),
        [("DELETE", "2", None)],
    ]


def test_nothing_of_ours_is_no_input():
    assert tell(created("2", type="b"), scope=Scope.of("*", type="a")) == []
    assert tell([]) == []


def test_what_the_session_says_is_passed_on():
    inlet = Inlet()
    live = LiveAlarms(inlet, Scope())
    refused, ended = SubscriptionRefusedError("no", channel="/x"), ProtocolError("none")
    live.on_attached(session=1, date=datetime(2026, 3, 1, tzinfo=UTC))
    live.on_attached(session=2, date=None)
    live.on_alive(7.0)
    live.on_lost(cause="cut", session_lost=False)
    live.on_unreadable(b"{")
    live.on_refused("/x", refused)
    live.on_closed(ended)
    live.on_closed(None)
    assert inlet.heard == [
        ("connected", 1, 1772323200000),
        ("connected", 2, None),
        "alive",
        ("disconnected", "cut"),
        ("unreadable", None),
        refused,
        ended,
    ]
