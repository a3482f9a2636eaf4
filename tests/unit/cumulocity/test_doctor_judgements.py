"""What observations mean: those that no emulator shows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tocsin._doctor import _reach
from tocsin._doctor._probe import Verdict, explain
from tocsin.bayeux._messages import Answer
from tocsin.cumulocity._doctor import _access, _forms, _lists, _live, _page, _writes
from tocsin.cumulocity._doctor._ear import Notice
from tocsin.cumulocity._doctor._line import Said
from tocsin.cumulocity._doctor._talk import Talk
from tocsin.cumulocity._doctor._trial import Trial
from tocsin.errors import ConnectError, PermissionDeniedError
from tocsin.models import Action

ASSUMED, DIFFERS, UNTOLD = Verdict.ASSUMED, Verdict.DIFFERS, Verdict.UNTOLD
AT = "2026-01-01T00:00:00.500Z"
ALARM = {
    "id": "1", "type": "a", "text": "x", "severity": "MINOR", "status": "ACTIVE", "count": 1, "time": AT,
    "lastUpdated": AT, "source": {"id": "4711"},
}  # fmt: skip
AGAIN = {**ALARM, "count": 2, "time": "2026-01-01T00:00:01.500Z"}
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TOLD = Notice(Action.CREATE, ALARM, 0.1)
SAME = {"told": TOLD, "repeated": AGAIN, "same": AGAIN}
DEAF = ConnectError("no")


def page(rows=(), **more):
    given = {"said": 2000, "encoding": None, "size": 100, "host": "a", "links": frozenset({"a"}), **more}
    return _page.Page(list(rows), **given)


def said(*, seconds=2.0, blanks=0, cookies=(), **answer):
    given = {"channel": "/meta/connect", "successful": True, **answer}
    return Said(Answer(**given), (), seconds, blanks, cookies)


def talk(**steps):
    made = Talk("/notification/realtime", 20.0, handshake=said(client_id="x"))
    for name, step in steps.items():
        setattr(made, name, step)
    return made


def samples(*pairs):
    return [_reach.ClockSample(low, high) for low, high in pairs]


CASES = [
    ("reach", _reach.judge_address, _reach.Address("https", "acme.example.com", 0.1), ASSUMED),
    ("reach", _reach.judge_address, _reach.Address("http", "localhost:8111", 0.1), ASSUMED),
    ("reach", _reach.judge_address, _reach.Address("http", "acme.example.com", 0.1), DIFFERS),
    ("clock", _reach.judge_clocks, samples((-0.5, 0.6), (-0.2, 0.9)), ASSUMED),
    ("clock", _reach.judge_clocks, samples((4.0, 6.0)), ASSUMED),
    ("clock", _reach.judge_clocks, samples((5.1, 6.0)), DIFFERS),
    ("clock", _reach.judge_clocks, samples((-9.0, -5.1)), DIFFERS),
    ("clock", _reach.judge_clocks, samples((0.0, 1.0), (3.0, 4.0)), UNTOLD),
    ("clock", _reach.judge_clocks, samples((None, 0.0)), DIFFERS),
    ("websocket", _access.judge_websocket, 101, ASSUMED),
    ("websocket", _access.judge_websocket, 405, DIFFERS),
    ("page-size", _page.judge_size, page([ALARM] * 2001), DIFFERS),
    ("page-size", _page.judge_size, page(said=100), DIFFERS),
    ("page-size", _page.judge_size, page(said=None), UNTOLD),
    ("last-updated", _page.judge_last_updated, page([{"lastUpdated": "2026-01-01T00:00:00Z"}] * 3), DIFFERS),
    ("last-updated", _page.judge_last_updated, page([{"lastUpdated": "2026-01-01T00:00:00.000Z"}]), UNTOLD),
    ("gzip", _page.judge_gzip, page(encoding="gzip"), ASSUMED),
    ("gzip", _page.judge_gzip, page(size=5000), DIFFERS),
    ("paging", _lists.judge_paging, _lists.Pages(["1", "2"], [["1"], ["1"]], [1, 2], [True] * 2), DIFFERS),
    ("paging", _lists.judge_paging, _lists.Pages(["1", "2"], [["1"], ["2"]], [0, 1], [True] * 2), DIFFERS),
    ("paging", _lists.judge_paging, _lists.Pages(["1"], [["1"], []], [1, 2], [False] * 2), UNTOLD),
    ("ranges", _lists.judge_ranges, _lists.Ranges(True, False, False), ASSUMED),
    ("ranges", _lists.judge_ranges, _lists.Ranges(True, True, True), DIFFERS),
    ("ranges", _lists.judge_ranges, _lists.Ranges(True, False, True), DIFFERS),
    ("ranges", _lists.judge_ranges, _lists.Ranges(True, True, False), DIFFERS),
    ("filters", _lists.judge_filters, _lists.Counts((1, 2), (1, 2), 1), DIFFERS),
    ("filters", _lists.judge_filters, _lists.Counts((0, 0), (0, 0), 0), UNTOLD),
    ("missing-alarm", _forms.judge_missing, (200, None), DIFFERS),
    ("advice", _live.judge_advice, talk(hello=said()), DIFFERS),
    ("advice", _live.judge_advice, talk(hello=said(advice={"multiple-clients": True})), DIFFERS),
    ("advice", _live.judge_advice, talk(hello=said(advice={"reconnect": "none"})), DIFFERS),
    ("advice", _live.judge_advice, talk(hello=ConnectError("no")), UNTOLD),
    ("held-poll", _live.judge_held, talk(held=said(seconds=9.0)), DIFFERS),
    ("held-poll", _live.judge_held, talk(held=said(successful=False)), DIFFERS),
    ("held-poll", _live.judge_held, talk(), UNTOLD),
    ("survival", _live.judge_survival, talk(again=said()), UNTOLD),
    ("heartbeats", _live.judge_heartbeats, talk(patient=said(seconds=1.0, blanks=1)), UNTOLD),
    ("cookies", _live.judge_cookies, talk(cookies=("BAYEUX_BROWSER",)), ASSUMED),
    ("cookies", _live.judge_cookies, talk(cookies=("route",)), DIFFERS),
    ("cookies", _live.judge_cookies, talk(), DIFFERS),
    ("children", _live.judge_children, talk(), UNTOLD),
    ("live", _writes.judge_live, Trial(made=ALARM, told=Notice(Action.UPDATE, ALARM, 1.0)), DIFFERS),
    ("live-form", _writes.judge_form, Trial(made=ALARM, told=Notice(Action.CREATE, {"id": "1"}, 1)), DIFFERS),
    ("stamp", _writes.judge_stamp, Trial(made=ALARM, date=NOON), DIFFERS),
    ("repeat", _writes.judge_repeat, Trial(made=ALARM, repeated=AGAIN, status=201), ASSUMED),
    ("repeat", _writes.judge_repeat, Trial(made=ALARM, repeated={**AGAIN, "time": AT}, status=201), DIFFERS),
    ("repeat", _writes.judge_repeat, Trial(made=ALARM, repeated={**ALARM, "id": "2"}, status=201), DIFFERS),
    ("no-op", _writes.judge_no_op, Trial(**SAME), ASSUMED),
    ("no-op", _writes.judge_no_op, Trial(**SAME, told_same=TOLD), DIFFERS),
    ("no-op", _writes.judge_no_op, Trial(**{**SAME, "same": {**AGAIN, "lastUpdated": "z"}}), DIFFERS),
    ("no-op", _writes.judge_no_op, Trial(**SAME, deaf=DEAF), UNTOLD),
    ("upsert", _writes.judge_upsert, Trial(made=ALARM, same=AGAIN, upserted=(201, {"id": "2"})), DIFFERS),
    ("upsert", _writes.judge_upsert, Trial(made=ALARM, same=AGAIN, upserted=(200, AGAIN)), DIFFERS),
    ("upsert", _writes.judge_upsert, Trial(made=ALARM, same=AGAIN, upserted=(200, ALARM)), DIFFERS),
    ("put-accept", _writes.judge_bare, Trial(bare=40), DIFFERS),
    ("clear", _writes.judge_clear, Trial(cleared=float("inf")), DIFFERS),
    ("clear", _writes.judge_clear, Trial(cleared=0.1, told=TOLD, deaf=DEAF), UNTOLD),
    ("deletion", _writes.judge_deletion, Trial(deleted=False), UNTOLD),
    ("deletion", _writes.judge_deletion, Trial(deleted=True, told=TOLD, deaf=DEAF), UNTOLD),
]  # fmt: skip

JUDGED = {(name, verdict) for name, _, _, verdict in CASES}


@pytest.mark.parametrize(("name", "judge", "seen", "verdict"), CASES, ids=lambda one: str(one)[:16])
def test_what_an_observation_means(name, judge, seen, verdict):
    found = judge(seen)
    assert found.verdict is verdict, found.detail
    assert found.detail


def test_a_failure_names_the_role_that_is_missing():
    error = PermissionDeniedError("no", status=403)
    assert "ROLE_AUDIT_READ" in explain(error, "ROLE_AUDIT_READ").detail
    assert explain(KeyError("secret")).detail.endswith("(KeyError)")
    assert explain(None).verdict is UNTOLD
