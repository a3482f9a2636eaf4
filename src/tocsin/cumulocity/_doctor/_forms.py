"""The forms that single answers take: a count, the resource of the API, an alarm that is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tocsin._doctor._probe import Judgement, Probe, assumed, differs
from tocsin._doctor._visit import texts
from tocsin.cumulocity._window import ALARMS
from tocsin.errors import StatusError

if TYPE_CHECKING:
    from tocsin._doctor._visit import Visit

__all__ = ["FORMS"]

_NOBODY: Final = "999999999999999"
_TEMPLATES: Final = (
    "alarms",
    "alarmsForStatus",
    "alarmsForSource",
    "alarmsForSourceAndStatus",
    "alarmsForTime",
    "alarmsForStatusAndTime",
    "alarmsForSourceAndTime",
    "alarmsForSourceAndStatusAndTime",
)


async def look_at_count(visit: Visit) -> tuple[str, str]:
    """The body of a count, and what it says it is."""
    response = await visit.get(f"{ALARMS}/count")
    return response.body.decode("utf-8", "replace"), response.headers.get("content-type", "nothing")


def judge_count(seen: tuple[str, str]) -> Judgement:
    """Whether a count is a bare number."""
    body, kind = seen
    if body.strip().isdecimal():
        return assumed(f"{body.strip()}, as {kind.partition(';')[0]}")
    return differs(f"it is {body[:80]!r}, as {kind.partition(';')[0]}")


async def look_at_resource(visit: Visit) -> frozenset[str]:
    """The names in the resource of the alarm API."""
    body = (await visit.get("/alarm")).json()
    return frozenset(body) if isinstance(body, dict) else frozenset()


def judge_resource(names: frozenset[str]) -> Judgement:
    """Whether it has the templates of the documents."""
    missing = [name for name in _TEMPLATES if name not in names]
    more = sorted(names - {*_TEMPLATES, "self"})
    if missing:
        return differs(f"without {texts(missing)}")
    return assumed("as in the documents" + (f", and {texts(more)}" if more else ""))


async def look_at_missing(visit: Visit) -> tuple[int, str | None]:
    """The status and the error code of an alarm that is not there."""
    try:
        await visit.get(f"{ALARMS}/{_NOBODY}")
    except StatusError as error:
        if error.status in {401, 403, 429} or error.status >= 500:
            raise
        return error.status, error.error
    return 200, None


def judge_missing(seen: tuple[int, str | None]) -> Judgement:
    """Whether it can be believed that an alarm is gone."""
    status, code = seen
    if status == 404 and code:
        return assumed(f"HTTP 404, {code}")
    if status == 404:
        return differs("HTTP 404 without an error code, as a proxy answers: deletions are not believed then")
    return differs(f"HTTP {status}: deletions are not noticed then")


FORMS: Final[tuple[Probe[Any], ...]] = (
    Probe("count", "What is a count?", "a bare number", look_at_count, judge_count),
    Probe("resource", "Which lists does /alarm name?", "the documents'", look_at_resource, judge_resource,
          "ROLE_ALARM_READ"),
    Probe("missing-alarm", "What is said of an alarm that is not there?", "HTTP 404 and an error code",
          look_at_missing, judge_missing),
)  # fmt: skip
