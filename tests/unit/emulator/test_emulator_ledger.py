"""The ledger, and how a consumer's view is held against it."""

import copy

import pytest

from tocsin.emulator import Emulator, Ledger, essence


@pytest.fixture
def emulator():
    return Emulator()


def change(action, alarm):
    gone = action == "DELETE"
    return {"event": "change", "action": action, "id": alarm["id"], "alarm": None if gone else alarm}


def test_every_stored_state_has_its_entry(emulator):
    store, ledger = emulator.store, emulator.ledger
    made = store.create({"source": "1"})
    store.update(made["id"], {"text": ""})
    store.create({"source": "1"})
    store.update(made["id"], {"severity": "MINOR"}, silent=True)
    store.set_maintenance("1", on=True)
    store.create({"source": "1", "type": "suppressed"})
    store.remove(made["id"])
    assert [(e.seq, e.action, e.silent) for e in ledger] == [
        (1, "CREATE", False),
        (2, "UPDATE", False),
        (3, "UPDATE", True),
        (4, "DELETE", True),
    ]
    assert ledger[0].alarm == made
    assert ledger[-1].alarm is None
    assert ledger[0].at.utcoffset().total_seconds() == 0
    assert ledger.truth() == {}
    assert [e.seq for e in ledger.after(2)] == [3, 4]
    assert [e.seq for e in ledger.of(made["id"])] == [1, 2, 3, 4]


def test_a_true_fold_has_lost_nothing_whatever_its_spelling(emulator):
    made = emulator.store.create({"source": "1", "time": "2026-03-01T10:00:00.250+01:00", "x": {"y": [1]}})
    other = copy.deepcopy(made)
    other["time"] = "2026-03-01T09:00:00.250Z"
    other["source"] = {"id": 1}
    for key in ("self", "lastUpdated", "creationTime", "history"):
        other.pop(key)
    assert emulator.ledger.lost({made["id"]: other}) == []
    assert essence(made) == essence(other)


@pytest.mark.parametrize(
    "spoil", [{"text": "x"}, {"count": 2}, {"x": 1}, {"time": "2026-03-01"}, {"status": "CLEARED"}]
)
def test_a_differing_state_is_lost(emulator, spoil):
    made = emulator.store.create({"source": "1"})
    [wrong] = emulator.ledger.lost({made["id"]: {**made, **spoil}})
    assert (wrong.id, wrong.expected) == (made["id"], made)


def test_absent_and_undead_alarms_are_lost(emulator):
    store = emulator.store
    kept, gone = store.create({"source": "1", "type": "a"}), store.create({"source": "1", "type": "b"})
    store.remove(gone["id"])
    assert [w.id for w in emulator.ledger.lost({})] == [kept["id"]]
    assert [w.id for w in emulator.ledger.lost({kept["id"]: kept, gone["id"]: gone})] == [gone["id"]]
    assert emulator.ledger.lost({kept["id"]: kept, gone["id"]: None}) == []


def test_closed_alarms_count_only_where_the_consumer_can_know_them(emulator):
    store = emulator.store
    old = store.create({"source": "1", "type": "old", "status": "CLEARED"})
    seq = emulator.ledger.seq
    new = store.create({"source": "1", "type": "new", "status": "CLEARED"})
    assert emulator.ledger.lost({}) == []
    assert [w.id for w in emulator.ledger.lost({old["id"]: {**old, "text": "x"}})] == [old["id"]]
    assert [w.id for w in emulator.ledger.lost({}, since=seq)] == [new["id"]]
    assert emulator.ledger.lost({new["id"]: new}, since=seq) == []


def test_there_and_back_is_three_changes_and_a_repeat_is_a_duplicate(emulator):
    store, duplicates = emulator.store, emulator.ledger.duplicates
    a = store.create({"source": "1"})
    b = store.update(a["id"], {"text": "b"})
    a2 = store.update(a["id"], {"text": ""})
    store.remove(a["id"])
    whole = [change("CREATE", a), change("UPDATE", b), change("UPDATE", a2), change("DELETE", a)]
    assert duplicates(whole) == []
    assert duplicates([{"event": "gap"}, *whole[::3]]) == []
    assert duplicates([whole[0], whole[0]]) == []  # the first and third state are alike
    assert duplicates([whole[1], whole[1]]) == [whole[1]]
    assert duplicates([whole[1], whole[0], whole[1]]) == [whole[1]]
    assert duplicates([whole[3], whole[3]]) == [whole[3]]
    never = change("UPDATE", {**a, "text": "never"})
    assert duplicates([never]) == [never]
    stranger = change("CREATE", {**a, "id": "999"})
    assert duplicates([stranger]) == [stranger]


def test_a_full_ledger_drops_its_oldest_and_says_so():
    from datetime import UTC, datetime

    ledger = Ledger(10)
    for number in range(35):
        assert ledger.append(datetime.now(UTC), "CREATE", str(number), {}, silent=False) == number + 1
    assert len(ledger) <= 10
    assert ledger.seq == 35
    assert ledger.dropped == 35 - len(ledger)
    assert [e.seq for e in ledger.after(33)] == [34, 35]
    assert ledger.after(0)[0].seq == ledger.dropped + 1
