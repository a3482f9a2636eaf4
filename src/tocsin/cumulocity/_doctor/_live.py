"""What the realtime endpoint does: the ground on which streams notice changes, and their own deafness."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tocsin._doctor._probe import Judgement, Probe, assumed, differs, explain, untold
from tocsin._doctor._visit import texts
from tocsin.bayeux._advice import Advice, Reconnect
from tocsin.bayeux._messages import error_code
from tocsin.cumulocity._doctor._line import Said, opened
from tocsin.cumulocity._doctor._talk import HELD, Talk, best_path, look_at_door, look_at_talk
from tocsin.cumulocity._realtime import PATHS
from tocsin.errors import NotFoundError, RequestTimeoutError, StatusError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin._doctor._visit import Visit

__all__ = ["LIVE"]

_SLACK: Final = 5.0
"""Seconds that a poll may be answered later than it should and still be held as asked."""
_LONG: Final = 120.0

Seen = Said | TocsinError | None


def judge_door(seen: Said | TocsinError) -> Judgement:
    """Whether Bayeux is spoken at an address."""
    if isinstance(seen, Said):
        return assumed("a session begins there")
    if isinstance(seen, NotFoundError):
        return differs("there is nothing (HTTP 404)")
    if isinstance(seen, StatusError) and seen.status < 500 and seen.status != 429:
        return differs(f"it is answered with {seen.reason}")
    return explain(seen)


def judge_version(talk: Talk) -> Judgement:
    """Whether we speak the same language."""
    seen = talk.handshake
    if not isinstance(seen, Said):
        return explain(seen)
    version, types = seen.answer.version or "none", seen.answer.connection_types or ()
    told = f"version {version}, {texts(types) or 'no connection types'}"
    good = version.startswith("1.") and "long-polling" in types
    return assumed(told) if good else differs(told)


def judge_advice(talk: Talk) -> Judgement:
    """Whether the advice is what sessions are planned by."""
    seen = talk.hello
    if not isinstance(seen, Said):
        return explain(seen)
    wire = seen.answer.advice or (talk.handshake.answer.advice if isinstance(talk.handshake, Said) else None)
    if wire is None:
        return differs("none is given: our own times hold")
    advice = Advice.read(wire, "long-polling")
    told = f"reconnect {advice.reconnect.value if advice.reconnect else 'not given'}"
    told += f", interval {advice.interval:g} s"
    told += ", no timeout" if advice.timeout is None else f", timeout {advice.timeout:g} s"
    good = advice.reconnect in {Reconnect.RETRY, None} and 0 <= advice.interval <= 1
    if not seen.answer.successful or advice.multiple_clients:
        good = False
        told += ", as to one of two clients" if advice.multiple_clients else ", and a connect was refused"
    return assumed(told) if good else differs(told)


def judge_held(talk: Talk) -> Judgement:
    """Whether a poll is held for as long as we ask."""
    seen = talk.held
    if isinstance(seen, RequestTimeoutError):
        return differs(f"asked for {HELD:g} s, it was held for longer than {HELD + 10:g} s")
    if not isinstance(seen, Said):
        return explain(seen)
    told = f"asked for {HELD:g} s, it was held for {seen.seconds:.1f} s"
    if not seen.answer.successful:
        return differs(f"a connect was refused: {seen.answer.error or 'without a word'}")
    if seen.seconds < HELD / 2:
        return differs(f"{told}: polls come in quick succession")
    if seen.seconds > HELD + _SLACK:
        return differs(f"{told}: silence cannot be told from a dead peer as soon")
    return assumed(told)


def judge_survival(talk: Talk) -> Judgement:
    """Whether a session outlives a poll that was cut off."""
    seen = talk.again
    if not isinstance(seen, Said):
        return explain(seen)
    if not talk.hung_up:
        return untold("the poll that was to be cut off was not held long enough")
    if seen.answer.successful:
        return assumed("it was gone on with by the next poll")
    return differs(f"it was lost with the connection: {seen.answer.error or 'without a word'}")


def judge_heartbeats(talk: Talk) -> Judgement:
    """Whether blanks come while a poll is held."""
    seen = talk.patient
    if isinstance(seen, RequestTimeoutError):
        return differs(f"asked for {talk.hold:g} s, it was held for longer than {talk.hold + 10:g} s")
    if not isinstance(seen, Said):
        return explain(seen)
    if seen.seconds < talk.hold / 2:
        return untold(f"the poll was held for {seen.seconds:.1f} s only")
    if seen.blanks:
        return assumed(f"{seen.blanks} in {seen.seconds:.0f} s")
    return untold(f"none came within {seen.seconds:.0f} s; a longer --hold may tell")


def judge_cookies(talk: Talk) -> Judgement:
    """Whether a session has a cookie."""
    if not isinstance(talk.handshake, Said):
        return explain(talk.handshake)
    if "BAYEUX_BROWSER" in talk.cookies:
        return assumed(texts(talk.cookies))
    return differs(f"no BAYEUX_BROWSER, but {texts(talk.cookies)}" if talk.cookies else "none")


def judge_binding(talk: Talk) -> Judgement:
    """Whether a session needs its cookie."""
    seen = talk.stranger
    if not isinstance(seen, Said):
        return explain(seen)
    if not seen.answer.successful:
        return assumed(f"without it the session is not known ({seen.answer.error or 'without a word'})")
    return differs("it goes on without its cookie; keeping cookies does no harm")


def judge_subscription(seen: Seen, channel: str) -> Judgement:
    """Whether a channel is delivered."""
    if seen is None:
        return untold("no device is known; name one by --source")
    if not isinstance(seen, Said):
        return explain(seen)
    if seen.answer.successful:
        return assumed(f"{channel} is accepted")
    code = error_code(seen.answer.error)
    why = " (is ROLE_ALARM_READ missing?)" if code == 403 else ""
    return differs(f"{channel} is refused: {seen.answer.error or 'without a word'}{why}")


def judge_everything(talk: Talk) -> Judgement:
    """Whether all devices can be followed by one channel."""
    if not isinstance(talk.handshake, Said):
        return explain(talk.handshake)
    return judge_subscription(talk.everything, "/alarms/*")


def judge_children(talk: Talk) -> Judgement:
    """Whether a device can be followed with its children."""
    if not isinstance(talk.handshake, Said):
        return explain(talk.handshake)
    return judge_subscription(talk.children, "/alarmsWithChildren/ID")


async def look_for_ack(visit: Visit) -> Any:
    """What the server says to a client that offers to acknowledge; a session of its own."""
    async with opened(visit, await best_path(visit)) as line:
        said = await line.shake_hands(hold=HELD, ext={"ack": True})
        return None if said is None else said.answer.ext.get("ack")


def judge_ack(ack: Any) -> Judgement:
    """Whether messages could be acknowledged."""
    if ack in (None, False):
        return assumed("not offered: what a broken poll lost is read back")
    return differs("offered: what a broken poll lost could be sent again, within a session")


async def look_without_accept(visit: Visit) -> bool:
    """Whether a handshake without an Accept header has an answer."""
    async with opened(visit, await best_path(visit)) as line:
        return await line.shake_hands(hold=HELD, accept="") is not None


def judge_accept(answered: bool) -> Judgement:
    """Whether the header is needed."""
    if answered:
        return differs("it is answered without one too; sending it does no harm")
    return assumed("without one the answer is empty")


def _door(path: str) -> Callable[[Visit], Any]:
    return partial(look_at_door, path=path)


def _talk(name: str, question: str, assumes: str, judge: Callable[[Talk], Judgement]) -> Probe[Any]:
    return Probe(name, question, assumes, look_at_talk, judge, "ROLE_ALARM_READ", limit=_LONG)


LIVE: Final[tuple[Probe[Any], ...]] = (
    Probe("realtime-path", f"Is Bayeux at {PATHS[0]}?", "yes", _door(PATHS[0]), judge_door),
    Probe("cep-path", f"Is Bayeux at {PATHS[1]}?", "yes", _door(PATHS[1]), judge_door),
    _talk("bayeux", "Which Bayeux does it speak?", "1.0 by long polling", judge_version),
    _talk("advice", "What does it advise?", "connect again at once", judge_advice),
    _talk("held-poll", "Is a poll held for as long as we ask?", "yes", judge_held),
    _talk("heartbeats", "Do blanks come while it is held?", "they may", judge_heartbeats),
    _talk("survival", "Does a session outlive a broken poll?", "yes", judge_survival),
    _talk("cookies", "Which cookies does a session have?", "BAYEUX_BROWSER", judge_cookies),
    _talk("cookie-binding", "Does a session need its cookie?", "yes", judge_binding),
    _talk("all-devices", "Can all devices be followed at once?", "by /alarms/*", judge_everything),
    _talk("children", "Can a device be followed with its children?", "by /alarmsWithChildren/ID",
          judge_children),
    Probe("ack", "Can messages be acknowledged?", "no; not used", look_for_ack, judge_ack),
    Probe("accept", "Does realtime need an Accept header?", "yes; always sent", look_without_accept,
          judge_accept),
)  # fmt: skip
