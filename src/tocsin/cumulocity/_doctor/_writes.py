"""What writes do: judged of one trial with a test alarm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tocsin._doctor._probe import Judgement, Probe, assumed, differs, explain, untold
from tocsin._doctor._visit import field, texts
from tocsin.cumulocity._doctor._page import moment
from tocsin.cumulocity._doctor._trial import Trial, look_at_trial
from tocsin.cumulocity._observe import alarm_id, observe
from tocsin.errors import StatusError
from tocsin.models import Action

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WRITES"]

_LONG: Final = 90.0
_SKEW: Final = 5.0
_DERIVED: Final = frozenset({"self", "history", "firstOccurrenceTime", "firstOccurenceTime", "creationTime"})


def judge_live(trial: Trial) -> Judgement:
    """Whether a new alarm is told at once."""
    if trial.made is None:
        return explain(trial.failure)
    if trial.told is None and trial.deaf is not None:
        return explain(trial.deaf, "ROLE_ALARM_READ")
    if trial.told is None:
        return differs("nothing came within 10 s: only sweeps will find it")
    word = trial.told.action.value
    told = f"{word}, {trial.told.seconds:.1f} s after the answer to the POST"
    return assumed(told) if trial.told.action is Action.CREATE else differs(told)


def judge_form(trial: Trial) -> Judgement:
    """Whether a notification has the alarm as REST has it."""
    if trial.made is None:
        return explain(trial.failure)
    if trial.told is None or trial.told.alarm is None:
        return untold("no notification came")
    rest, live = trial.made, trial.told.alarm
    missing = sorted(name for name in rest if name not in live and name not in _DERIVED)
    more = sorted(name for name in live if name not in rest and name not in _DERIVED)
    odd = [f"without {texts(missing)}"] * bool(missing) + [f"with {texts(more)}"] * bool(more)
    ours, theirs = observe(rest, b""), observe(live, b"")
    if ours.core != theirs.core or ours.rest != theirs.rest:
        odd.append("of another content")
    return differs("; ".join(odd)) if odd else assumed("the same content, with lastUpdated")


def judge_stamp(trial: Trial) -> Judgement:
    """Whether lastUpdated and Date are of one clock: recovery goes by the lesser."""
    if trial.made is None:
        return explain(trial.failure)
    stamp = moment(trial.made.get("lastUpdated"))
    if stamp is None or trial.date is None:
        return differs("there is no " + ("Date" if stamp else "lastUpdated"))
    ahead = (stamp - trial.date).total_seconds()
    told = f"lastUpdated is {ahead:+.1f} s from the answer's Date"
    return assumed(told) if -_SKEW <= ahead <= _SKEW else differs(told)


def judge_repeat(trial: Trial) -> Judgement:
    """Whether a second POST of a type is counted on the open alarm."""
    made, again = trial.made, trial.repeated
    if made is None or again is None:
        return explain(trial.failure)
    if alarm_id(again) != alarm_id(made):
        return differs(f"a second alarm was made (HTTP {trial.status})")
    counts = f"count {made.get('count')} to {again.get('count')}, HTTP {trial.status}"
    moved = "time moved" if moment(again.get("time")) != moment(made.get("time")) else "time did not move"
    good = again.get("count") == 2 and moved == "time moved"
    return assumed(f"{counts}, {moved}") if good else differs(f"{counts}, {moved}")


def judge_repeat_stamp(trial: Trial) -> Judgement:
    """Whether a repeat can be found by a sweep."""
    made, again = trial.made, trial.repeated
    if made is None or again is None:
        return explain(trial.failure)
    first, second = moment(made.get("lastUpdated")), moment(again.get("lastUpdated"))
    if first is None or second is None:
        return untold("there is no lastUpdated")
    if second > first:
        return assumed(f"by {(second - first).total_seconds():.1f} s")
    return differs("a repeat that live did not bring is found by the next reconcile only")


def judge_no_op(trial: Trial) -> Judgement:
    """Whether a change to the same is none."""
    if trial.same is None or trial.repeated is None:
        return explain(trial.failure)
    if trial.told_same is not None:
        return differs(f"{trial.told_same.action.value} is notified")
    if trial.same.get("lastUpdated") != trial.repeated.get("lastUpdated"):
        return differs("lastUpdated moves, though nothing changed")
    if (deaf := _deaf(trial)) is not None:
        return deaf
    return assumed("neither is it notified nor does lastUpdated move")


def judge_upsert(trial: Trial) -> Judgement:
    """Whether an upsert changes the open alarm and counts nothing."""
    if isinstance(trial.upserted, StatusError) and trial.upserted.status in {404, 405}:
        return differs(f"there is none (HTTP {trial.upserted.status}): upsert() sends a POST instead")
    if not isinstance(trial.upserted, tuple) or trial.made is None or trial.same is None:
        return explain(trial.upserted if isinstance(trial.upserted, Exception) else trial.failure)
    status, alarm = trial.upserted
    if alarm_id(alarm) != alarm_id(trial.made):
        return differs(f"another alarm was made (HTTP {status})")
    if field(alarm, "count") != trial.same.get("count"):
        return differs(f"it was counted: {trial.same.get('count')} to {field(alarm, 'count')}, HTTP {status}")
    if field(alarm, "text") == trial.same.get("text"):
        return differs(f"its text was not taken (HTTP {status})")
    return assumed(f"text taken, count stays, HTTP {status}")


def judge_bare(trial: Trial) -> Judgement:
    """Whether a write needs an Accept header to be answered."""
    if trial.bare is None:
        return explain(trial.failure)
    if trial.bare:
        return differs(f"{trial.bare} bytes come without one too; sending it does no harm")
    return assumed("without one the answer is empty")


def judge_clear(trial: Trial) -> Judgement:
    """Whether a change is read and told at once."""
    if trial.cleared is None:
        return explain(trial.failure)
    if trial.cleared == float("inf"):
        return differs("it was not read back as CLEARED within 10 s")
    told = f"read back after {trial.cleared:.1f} s"
    if trial.told_cleared is None:
        if _deaf(trial) is not None:
            return untold(f"{told}; nothing could be heard live")
        return differs(f"{told}, but not notified within 3 s")
    return assumed(f"{told}, and {trial.told_cleared.action.value} was notified")


def judge_audit(trial: Trial) -> Judgement:
    """Whether changes leave audit records."""
    if isinstance(trial.audit, int):
        if trial.audit:
            return assumed(f"{trial.audit} of the test alarm")
        return differs("none of the test alarm: history() will be empty")
    return explain(trial.audit or trial.failure, "ROLE_AUDIT_READ")


def judge_deletion(trial: Trial) -> Judgement:
    """Whether a deletion is told."""
    if not isinstance(trial.deleted, bool):
        return explain(trial.deleted or trial.failure, "ROLE_ALARM_ADMIN")
    if trial.told_deleted is not None:
        return differs(f"{trial.told_deleted.action.value} is notified")
    if not trial.deleted:
        return untold("it was not deleted within 3 s")
    if (deaf := _deaf(trial)) is not None:
        return deaf
    return assumed("nothing is notified; it is found by the next reconcile")


def _deaf(trial: Trial) -> Judgement | None:
    """Silence says nothing where nothing could be heard."""
    if trial.deaf is not None:
        return explain(trial.deaf, "ROLE_ALARM_READ")
    return untold("no notification ever came") if trial.told is None else None


def _trial(name: str, question: str, assumes: str, judge: Callable[[Trial], Judgement]) -> Probe[Any]:
    return Probe(name, question, assumes, look_at_trial, judge, "ROLE_ALARM_ADMIN", writes=True, limit=_LONG)


WRITES: Final[tuple[Probe[Any], ...]] = (
    _trial("live", "How soon is a new alarm notified?", "within 10 s", judge_live),
    _trial("live-form", "Has a notification the alarm as REST has it?", "yes, with lastUpdated", judge_form),
    _trial("stamp", "Are lastUpdated and Date of one clock?", "within 5 s", judge_stamp),
    _trial("repeat", "Is a repeat counted on the open alarm?", "yes, and time moves", judge_repeat),
    _trial("repeat-stamp", "Does a repeat move lastUpdated?", "yes", judge_repeat_stamp),
    _trial("no-op", "Is a change to the same notified?", "no", judge_no_op),
    _trial("upsert", "Does an upsert change the open alarm?", "yes, and counts nothing", judge_upsert),
    _trial("put-accept", "Does a PUT need an Accept header?", "yes; always sent", judge_bare),
    _trial("clear", "How soon is a change seen?", "at once", judge_clear),
    _trial("audit-record", "Do changes leave audit records?", "yes", judge_audit),
    _trial("deletion", "Is a deletion notified?", "no", judge_deletion),
)
