"""What sessions of alarms answer: nobody has published it, so everything may come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin import ProtocolError
from tocsin.xprotect._alarm_sessions import read_session, read_told
from tocsin.xprotect._guids import is_guid

ONE, TWO = "6eb95dd6-7ccc-4bce-99f8-af0d0b582d77", "6F55A7A7-D21C-4629-AC18-AF1975E395A2"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([ONE, TWO]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["data", "id", "addedToSession", "updatedInSession", "deletedFromSession"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def all_of(_alarm):
    return True


@pytest.mark.parametrize(
    ("answer", "path"),
    [
        ({"data": {"id": ONE}}, ONE),
        ({"sessionId": f"alarmSessions/{ONE}"}, ONE),
        ({"data": {"Id": 17}}, "17"),
        ({"data": {"id": "a b?#"}}, "a%20b%3F%23"),
    ],
)
def test_the_id_of_a_session(answer, path):
    assert read_session(answer) == path


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "x",
        {},
        {"data": None, "id": ONE},
        *({"id": bad} for bad in ("", "..", "a/", True, "é", "x" * 201)),
    ],
    ids=str,
)
def test_no_id_of_a_session(answer):
    with pytest.raises(ProtocolError):
        read_session(answer)


@pytest.mark.parametrize("wrapped", [True, False])
def test_ids_out_of_objects_and_texts_each_once(wrapped):
    lists = {
        "AddedToSession": [{"id": "4577f552-765a-438c-bc7d-e5ff1f754bc3"}],
        "updatedInSession": [{"id": ONE}, {"id": 5}, {}, None, 7, ["x"], "no id", {"id": "../alarms"}],
        "deletedFromSession": [f"alarms/{TWO}", {"id": f"{{{ONE}}}"}, "00000000-0000-0000-0000-000000000000"],
    }
    told = read_told({"data": lists} if wrapped else lists, all_of)
    assert (told.added, told.doubtful) == (True, (ONE, TWO))


def test_what_is_out_of_scope_is_not_read_where_that_is_told():
    rows = [{"id": ONE, "source": "cameras/x"}, {"id": TWO}]
    assert read_told({"updatedInSession": rows}, lambda _alarm: False).doubtful == (TWO,)


def test_no_answer_makes_more_than_200_reads():
    ids = [f"00000000-0000-0000-0000-{number:012}" for number in range(1, 1000)]
    assert read_told({"updatedInSession": ids}, all_of).doubtful == tuple(ids[:200])


def test_nothing_happened():
    assert read_told({"data": {}}, all_of).doubtful == ()


@pytest.mark.parametrize(
    "answer",
    [None, [], "x", {"data": None}, {"data": [ONE]}, {"updatedInSession": ONE}, {"array": []}],
    ids=str,
)
def test_an_answer_of_another_shape(answer):
    with pytest.raises(ProtocolError):
        read_told(answer, all_of)


@given(JSON)
def test_hostile_answers(answer):
    for read in (read_session, lambda given: read_told(given, all_of)):
        try:
            found = read(answer)
        except ProtocolError:
            continue
        if not isinstance(found, str):
            assert all(is_guid(one) for one in found.doubtful)
