"""The session of the Events and State WebSocket, without I/O: tables, hostile frames, random courses."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import (
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    ProtocolError,
    RequestTimeoutError,
    ServerError,
    SubscriptionRefusedError,
)
from tocsin.xprotect.events._filters import EventFilter, wire_filters
from tocsin.xprotect.events._frames import read_frame
from tocsin.xprotect.events._outputs import Attached, Busy, HangUp, Happened, Missed, Send, Stand
from tocsin.xprotect.events._session import EventSession, SessionTimes

FILTERS = wire_filters([EventFilter()])
CAMERA = "cameras/11111111-1111-1111-1111-111111111111"
GROUP = "22222222-2222-2222-2222-222222222222"


def guid(number: int) -> str:
    return str(UUID(int=number))


def event(number: int, **more):
    return {
        "id": guid(number),
        "source": CAMERA,
        "type": guid(7),
        "time": f"2026-01-01T00:00:{number:02}Z",
        **more,
    }


def state_of(number: int, **more):
    return event(number, stategroupid=GROUP, **more)


class Talk:
    """A session and what came of it; answers are given by hand."""

    def __init__(self, *, state: bool = False, **times) -> None:
        times.setdefault("lag", 10.0)
        self.session = EventSession(FILTERS, state=state, times=SessionTimes(**times))
        self.out = []
        self.sent = []
        self.now = 100.0

    def look(self):
        for item in self.session.take():
            self.out.append(item)
            if isinstance(item, Send):
                self.sent.append(json.loads(item.command))
        return self

    def open(self):
        self.session.opened(self.now)
        return self.look()

    def says(self, **frame):
        self.session.received(json.dumps(frame).encode(), self.now)
        return self.look()

    def replies(self, status=200, **more):
        return self.says(commandId=self.sent[-1]["commandId"], status=status, **more)

    def attach(self, session="s1"):
        return self.open().replies(201, sessionId=session).replies(200, subscriptionId="x")

    def breaks(self, cause="cut"):
        self.session.closed(cause)
        return self.look()

    def at(self, now):
        self.now = now
        self.session.tick(now)
        return self.look()

    def all(self, kind):
        return [item for item in self.out if isinstance(item, kind)]

    @property
    def told(self):
        return [UUID(row.id).int for item in self.all(Happened) for row in item.events]

    @property
    def stands(self):
        return [UUID(row.id).int for item in self.all(Stand) for row in item.states]

    @property
    def commands(self):
        return [sent["command"] for sent in self.sent]


def test_a_session_is_started_and_subscribed_and_asks_for_the_state():
    talk = Talk(state=True).attach()
    assert talk.commands == ["startSession", "addSubscription", "getState"]
    assert talk.sent[0] | {"commandId": 0} == {
        "command": "startSession", "commandId": 0, "sessionId": "", "eventId": ""
    }  # fmt: skip
    assert talk.sent[1]["filters"] == [
        {"modifier": "include", "resourceTypes": ["*"], "sourceIds": ["*"], "eventTypes": ["*"]}
    ]
    assert talk.all(Attached) == [Attached(resumed=False, complete=False)]
    assert talk.all(Busy) == [Busy(340.0)]
    talk.replies(200, states=[state_of(1)])
    assert talk.stands == [1]
    assert talk.all(Attached)[-1].complete
    assert talk.all(Busy)[-1] == Busy(None)
    assert talk.session.deadline == 400.0  # then it has been silent for too long


def test_numbers_are_never_used_twice():
    talk = Talk().attach()
    talk.breaks().open()
    numbers = [sent["commandId"] for sent in talk.sent]
    assert len(set(numbers)) == len(numbers)


def test_events_flow_before_between_and_after_replies():
    talk = Talk(state=True).open()
    talk.says(events=[event(1)]).replies(201, sessionId="s1")
    talk.says(events=[event(2), event(3)]).replies(200)
    talk.says(events=[event(4)]).replies(200, states=[])
    talk.says(events=[event(5)])
    assert talk.told == [1, 2, 3, 4, 5]
    assert talk.all(Missed) == []


def test_an_event_that_comes_again_is_told_once_whatever_its_case():
    talk = Talk().attach().says(events=[event(171), event(171)])
    talk.says(events=[event(171) | {"id": guid(171).upper()}])
    assert talk.told == [171]
    assert talk.session.duplicates == 2


def test_what_is_remembered_is_bounded():
    talk = Talk(remembered=10).attach()
    talk.says(events=[event(n) for n in range(1, 60)])
    memory = talk.session._memory
    assert len(memory._seen) == len(memory._open) == 10


def test_a_session_is_resumed_after_the_last_event_that_was_handled():
    talk = Talk().attach().says(events=[event(1), event(2), event(3)])
    talk.session.handled(guid(2))
    talk.breaks().open()
    assert (talk.sent[-1]["sessionId"], talk.sent[-1]["eventId"]) == ("s1", guid(2))
    talk.says(events=[event(3), event(4)]).replies(200, sessionId="S1")
    talk.says(events=[event(5)])
    assert talk.told == [1, 2, 3, 4, 5]
    assert talk.all(Missed) == []
    assert talk.commands.count("addSubscription") == 1
    assert talk.all(Attached)[-1] == Attached(resumed=True, complete=True)


@pytest.mark.parametrize(
    ("handled", "later", "point"),
    [
        ((), 1, guid(3)),  # nothing handled: what is here is not asked for again, what came after it is
        ((1, 2, 3), 500, guid(3)),
        ((1,), 20, guid(1)),
        ((1,), 31, guid(3)),  # the consumer is too far behind for the server to remember
        ((1, 99), 20, guid(1)),
    ],
)
def test_where_a_session_is_resumed(handled, later, point):
    talk = Talk().attach().says(events=[event(1), event(2), event(3)])
    for number in handled:
        talk.session.handled(guid(number))
    talk.breaks()
    talk.now += later
    assert talk.open().sent[-1]["eventId"] == point


def test_a_session_that_the_server_forgot_is_a_new_one_and_a_gap():
    talk = Talk(state=True).attach().replies(200, states=[]).says(events=[event(1)])
    talk.at(130.0).says(events=[event(1)])  # not for the first time, but it came
    talk.at(150.0).breaks("cut")  # pings were answered until now: those prove nothing
    talk.now = 170.0
    talk.open().replies(201, sessionId="s2")
    assert talk.all(Missed) == []  # not before the new subscription stands
    talk.says(events=[event(2)]).replies(200)
    talk.says(events=[event(3)]).replies(200, states=[state_of(4)])
    assert talk.all(Missed) == [Missed(120.0, 170.0, "cut")]
    kinds = [type(item) for item in talk.out[-8:] if not isinstance(item, Send | Busy)]
    assert kinds[-4:] == [Attached, Happened, Stand, Attached]
    assert talk.told == [1, 2, 3]
    assert talk.stands == [4]
    talk.breaks().open()
    assert (talk.sent[-1]["sessionId"], talk.sent[-1]["eventId"]) == ("s2", guid(3))


def test_a_new_session_does_not_go_on_after_an_event_of_the_old_one():
    talk = Talk().attach().says(events=[event(1)])
    talk.session.handled(guid(1))
    talk.breaks().open().replies(201, sessionId="s2").replies(200)
    talk.session.handled(guid(1))
    assert talk.breaks().open().sent[-1]["eventId"] == ""


def test_another_id_with_200_is_a_new_session():
    talk = Talk().attach().breaks().open().replies(200, sessionId="other")
    assert talk.commands[-1] == "addSubscription"


def test_a_session_whose_subscription_did_not_stand_is_not_resumed():
    talk = Talk().open().replies(201, sessionId="s1").breaks().open()
    assert talk.sent[-1]["sessionId"] == ""
    talk.replies(201, sessionId="s2").replies(200)
    assert talk.all(Missed) == []  # nothing was promised yet


def test_an_outage_over_several_sockets_is_one_gap_from_its_beginning():
    talk = Talk().attach()
    talk.at(190.0).says(events=[event(1)])
    talk.at(200.0).breaks("first")
    for _ in range(3):
        talk.now += 50
        talk.open().replies(201, sessionId="s2").breaks("again")
    talk.open().replies(201, sessionId="s3").replies(200)
    assert talk.all(Missed) == [Missed(180.0, 350.0, "first")]


def test_a_session_that_brings_nothing_for_long_has_to_prove_itself():
    talk = Talk(quiet=60.0).attach().at(150.0).says(events=[event(1)])
    assert talk.session.deadline == 210.0
    assert talk.at(209.0).all(HangUp) == []
    [end] = talk.at(210.0).all(HangUp)
    assert not end.final
    talk.breaks().open().replies(200, sessionId="s1")
    assert talk.all(Missed) == []
    assert talk.session.deadline == 270.0
    talk.at(270.0).breaks("quiet").open().replies(201, sessionId="s2").replies(200)
    assert talk.all(Missed) == [Missed(200.0, 270.0, "quiet")]  # since when it was gone, nobody knows


@pytest.mark.parametrize("eager", [False, True])
def test_an_unreadable_event_that_is_replayed_happened_before_the_break_was_mended(eager):
    talk = Talk().attach().at(150.0).says(events=[event(1)]).at(151.0).breaks()
    talk.at(170.0).open()
    if not eager:
        talk.replies(200, sessionId="s1")
    talk.says(events=[{"time": 3}])
    if eager:
        talk.replies(200, sessionId="s1")
    assert talk.all(Missed)[0].since == 140.0


@pytest.mark.parametrize("status", [400, 401])
def test_a_state_that_is_refused_is_asked_for_once_more_in_another_session(status):
    talk = Talk(state=True).attach().replies(status)
    assert [end.final for end in talk.all(HangUp)] == [False]
    assert talk.breaks().open().sent[-1]["sessionId"] == ""
    talk.replies(201, sessionId="s2").replies(200).replies(status)
    assert talk.all(HangUp)[-1].final


def test_a_resume_that_is_refused_outright_begins_anew_on_the_same_socket():
    talk = Talk().attach().breaks().open().replies(404, error={"errorText": "no such session"})
    assert talk.sent[-1]["command"] == "startSession"
    assert talk.sent[-1]["sessionId"] == talk.sent[-1]["eventId"] == ""
    assert talk.all(HangUp) == []
    talk.replies(201, sessionId="s2").replies(200)
    assert len(talk.all(Missed)) == 1


@pytest.mark.parametrize(
    ("status", "error", "final"),
    [
        (400, SubscriptionRefusedError, True),
        (401, AuthenticationError, False),
        (403, PermissionDeniedError, False),
        (429, Exception, False),
        (500, ServerError, False),
        ("503", ServerError, False),
        (None, ProtocolError, False),
    ],
)
def test_a_subscription_that_is_refused(status, error, final):
    talk = Talk().open().replies(201, sessionId="s1").replies(status, error={"errorText": "no\x1b[31m way"})
    (hung_up,) = talk.all(HangUp)
    assert isinstance(hung_up.error, error)
    assert hung_up.final is final
    assert "\x1b" not in str(hung_up.error)
    assert talk.all(Attached) == []
    assert talk.breaks().open().sent[-1]["sessionId"] == ""


@pytest.mark.parametrize(
    "error",
    [
        "words",
        {"errorText": "words"},
        {"httpCode": 400, "details": [{"errorText": "words"}, 3]},
        {"message": "words"},
    ],
)
def test_the_words_of_an_error_whatever_its_form(error):
    talk = Talk().open().replies(400, error=error)
    assert "words" in str(talk.all(HangUp)[0].error)


def test_replies_that_do_not_come_are_found_overdue():
    talk = Talk(state=True).open()
    assert talk.session.deadline == 120.0
    assert talk.at(119.9).all(HangUp) == []
    assert isinstance(talk.at(120.0).all(HangUp)[0].error, RequestTimeoutError)
    talk = Talk(state=True).attach()
    assert talk.session.deadline == 340.0  # a minute or two is usual on a large site
    talk.at(339.0).says(events=[event(1)])
    assert "getState" in str(talk.at(340.0).all(HangUp)[0].error)
    talk.breaks().open().replies(200, sessionId="s1")
    assert talk.commands[-1] == "getState"  # it is still due


def test_a_state_that_cannot_be_had_now_is_asked_for_later_and_events_come_meanwhile():
    talk = Talk(state=True).attach().replies(503)
    assert talk.all(HangUp) == []
    assert talk.session.deadline == 160.0
    assert talk.says(events=[event(1)]).at(160.0).commands.count("getState") == 2
    talk.replies(200)  # and no states in it
    assert talk.at(220.0).commands.count("getState") == 3
    assert talk.replies(200, states=[]).all(Attached)[-1].complete
    assert Talk(state=True).attach().replies(403).all(HangUp)[0].final


def test_a_state_is_not_told_where_a_later_event_of_it_was():
    talk = Talk(state=True).attach()
    talk.says(events=[state_of(5), event(6)])
    other = {"source": "cameras/" + guid(9)}
    talk.replies(200, states=[state_of(4), state_of(3, **other), {"id": guid(8), "source": CAMERA}])
    assert talk.stands == [3, 8]
    talk = Talk(state=True).attach().says(events=[state_of(5)]).replies(200, states=[state_of(6)])
    assert talk.stands == [6]


def test_the_state_is_asked_for_again_after_something_was_dropped():
    talk = Talk(state=True).attach()
    talk.session.renew_state(talk.now)
    assert talk.commands.count("getState") == 1  # it is being asked for
    talk.replies(200, states=[])
    talk.session.renew_state(talk.now)
    assert talk.at(talk.now).commands.count("getState") == 2
    quiet = Talk().attach()
    quiet.session.renew_state(quiet.now)
    assert "getState" not in quiet.at(quiet.now).commands


@pytest.mark.parametrize(
    "frame",
    [
        b"", b"{", b"[]", b"null", b"3", b'"x"', b"\xff\xfe", b'{"events":5}', b'{"events":{"id":"1"}}',
        b'{"EVENTS":"x"}', b"[" * 100_000, b'{"a":' * 100_000, b'{"events":[{"id":""}]}',
        b'{"events":[7,null]}', b'{"events":[{"source":"x"}]}', b'{"commandId":99,"status":200,"states":9}',
    ],
)  # fmt: skip
def test_a_frame_that_cannot_be_read_is_a_gap_and_no_end(frame):
    talk = Talk().attach()
    talk.now = 105.0
    talk.session.received(frame, talk.now)
    talk.look().says(events=[event(1)])
    assert talk.told == [1]
    assert talk.all(HangUp) == []
    assert talk.all(Missed) == [Missed(100.0, 105.0, "a message could not be read")]
    assert talk.session.unreadable >= 1


def test_a_row_that_cannot_be_read_costs_none_of_its_neighbours():
    talk = Talk().attach().says(events=[event(1), {"time": 3}, event(2)])
    assert talk.told == [1, 2]
    assert len(talk.all(Missed)) == 1


@pytest.mark.parametrize(
    "frame", [{}, {"hello": 1}, {"commandId": 77, "status": 500}, {"commandId": 77}, {"events": None}]
)
def test_what_answers_nothing_changes_nothing(frame):
    talk = Talk().attach()
    before = len(talk.out)
    talk.says(**frame)
    assert talk.out[before:] == []
    assert talk.session.awaits is None


def test_a_complaint_about_no_command_in_particular_ends_the_connection():
    assert talk_hung_up(Talk().attach().says(status=400, error="malformed command"))


def talk_hung_up(talk):
    return [item for item in talk.all(HangUp) if not item.final]


def test_a_reply_counts_once():
    talk = Talk().open().replies(201, sessionId="s1")
    number = talk.sent[0]["commandId"]
    talk.says(commandId=number, status=201, sessionId="s9")
    assert talk.commands == ["startSession", "addSubscription"]


def test_odd_spellings_are_read():
    frame = read_frame(
        b'{"CommandId":"12","Status":"200","SessionId":"s","Events":[{"ID":"A1","Source":"C/1","stateGroupId":"G"}]}'
    )
    assert (frame.reply.command, frame.reply.status, frame.reply.session) == (12, 200, "s")
    assert (frame.events[0].id, frame.events[0].key) == ("a1", ("c/1", "g"))
    lone = read_frame(b'{"events":[{"id":"1","data":"\\ud800"},{"id":"2"}]}')
    assert [row.id for row in lone.events] == ["1", "2"]


@given(st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["commandId", "status", "events", "states", "id", "sessionId"]), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_no_frame_breaks_a_session(body):
    talk = Talk(state=True).attach()
    talk.session.received(body, talk.now)
    talk.look().says(events=[event(1)])
    assert talk.told[-1:] == [1]


class Server:
    """The other side, as the reference tells it: keeps what it sent of a session until that is given up."""

    def __init__(self) -> None:
        self.sessions: dict[str, list[int]] = {}
        self.subscribed: set[str] = set()
        self.numbers = 0
        self.current: str | None = None

    def answer(self, command):
        reply = {"commandId": command["commandId"], "status": 200}
        if command["command"] == "addSubscription":
            self.subscribed.add(self.current)
        if command["command"] != "startSession":
            return [reply | ({"states": []} if command["command"] == "getState" else {})]
        known = command["sessionId"]
        if known in self.sessions:
            self.current = known
            kept = self.sessions[known]
            after = UUID(command["eventId"]).int if command["eventId"] else 0
            again = [{"events": [event(n % 60, id=guid(n))]} for n in kept if n > after]
            return [*again[:1], reply | {"sessionId": known}, *again[1:]]
        self.numbers += 1
        self.current = f"s{self.numbers}"
        self.sessions[self.current] = []
        return [reply | {"status": 201, "sessionId": self.current}]

    def emit(self, number):
        for name in self.subscribed & self.sessions.keys():
            self.sessions[name].append(number)
        return self.current in self.subscribed


STEPS = st.lists(st.sampled_from(["emit", "emit", "handle", "deliver", "cut", "forget", "open"]), max_size=60)


@given(STEPS, st.booleans())
def test_whatever_happens_each_event_is_told_once_or_lies_in_a_gap(steps, state):
    talk, server = Talk(state=state), Server()
    wire, happened, up = [], {}, False
    whole = None

    def exchange():
        seen = 0
        while len(talk.sent) > seen or wire:
            for command in talk.sent[seen:]:
                wire.extend(server.answer(command))
            seen = len(talk.sent)
            if wire:
                talk.says(**wire.pop(0))

    for step in [*steps, "cut", "open", "deliver"]:
        talk.now += 1
        if step == "emit":
            number = len(happened) + 1
            happened[number] = talk.now
            if server.emit(number) and up:
                wire.append({"events": [event(number % 60, id=guid(number))]})
        elif step == "handle" and talk.told:
            talk.session.handled(guid(talk.told[len(talk.told) // 2]))
        elif step == "cut":
            talk.breaks()
            wire, up = [], False
        elif step == "forget":
            server.sessions.clear()
            talk.breaks()
            wire, up, server.current = [], False, None
        elif step == "open" and not up:
            up = True
            talk.sent.clear()
            talk.open()
            exchange()
            whole = whole or talk.now
        elif step == "deliver" and up:
            while wire:
                talk.says(**wire.pop(0))
    assert len(talk.told) == len(set(talk.told))
    lost = {n for n, at in happened.items() if at > whole} - set(talk.told)
    spans = [(gap.since, gap.until) for gap in talk.all(Missed)]
    assert all(any(since <= happened[n] <= until for since, until in spans) for n in lost)


@pytest.mark.parametrize(
    ("terms", "wire"),
    [
        ({"resource_types": "cameras"}, [(["cameras"], ["*"])]),
        ({"sources": [f"cameras/{guid(1)}", f"hardware/{guid(2)}", f"cameras/{guid(3)}"]},
         [(["cameras"], [guid(1), guid(3)]), (["hardware"], [guid(2)])]),
        ({"sources": guid(1), "resource_types": ["cameras", "outputs"]},
         [(["cameras", "outputs"], [guid(1)])]),
        ({"resource_types": ["cameras", "*"]}, [(["*"], ["*"])]),
    ],
)  # fmt: skip
def test_filters(terms, wire):
    assert [(part["resourceTypes"], part["sourceIds"]) for part in EventFilter(**terms).wire()] == wire


@pytest.mark.parametrize(
    "make",
    [
        lambda: EventFilter(resource_types=[]),
        lambda: EventFilter(sources=()),
        lambda: EventFilter(event_types=[3]),
        lambda: EventFilter(event_types="motion"),
        lambda: EventFilter(sources="cameras/../x"),
        lambda: EventFilter(resource_types="a b"),
        lambda: wire_filters([]),
        lambda: wire_filters([EventFilter(exclude=True)]),
    ],
)
def test_what_would_bring_nothing_cannot_be_asked_for(make):
    with pytest.raises(ConfigurationError):
        make()
