"""Runs the probes, one after the other, each within its time, and tidies up whatever happens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from anyio import CancelScope, move_on_after

from tocsin._doctor._probe import Finding, Judgement, Probe, explain, untold
from tocsin._doctor._visit import Stopwatch
from tocsin._http._retry import RetryPolicy
from tocsin.errors import AuthenticationError, ServerError, StatusError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tocsin._doctor._visit import Visit
    from tocsin._http._core import HttpCore

__all__ = ["ANSWER", "Examination", "Progress", "alone", "utc_now"]

_TIDYING: Final = 10.0
ANSWER: Final = 15.0


@dataclass(frozen=True, slots=True)
class Progress:
    """What is being asked.

    Attributes:
        number: Which one, from 1.
        of: How many there are.
        probe: The question.
    """

    number: int
    of: int
    probe: Probe[Any]


class Examination(ABC):
    """One examination of a tenant or site.

    Args:
        visit: How it goes, and what sends the requests.
        site: What the client's changes are marked with.
        probes: The questions.

    Attributes:
        findings: What was found so far.
        skipped: Questions that were not to be asked.
        left: What could not be tidied up, as sentences.
        complete: Whether every question was gone through.
    """

    def __init__(self, visit: Visit, site: str, probes: Sequence[Probe[Any]]) -> None:
        self._visit = visit
        self._visit.name(site)
        self._site = site
        self._asked = [probe for probe in probes if visit.options.write or not probe.writes]
        self.skipped = [probe for probe in probes if probe not in self._asked]
        self.findings: list[Finding] = []
        self.left: list[str] = []
        self.complete = False

    @property
    def site(self) -> str:
        """The client's site, as it may be shown."""
        return self._visit.clean(self._site)

    async def run(
        self,
        tell: Callable[[Finding], Awaitable[None]],
        begin: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        """Ask everything. Cancelling it ends the session, clears the test alarm, and stops.

        Args:
            tell: Called with each finding.
            begin: Called before each question.

        Raises:
            TocsinError: The tenant cannot be reached, or the credentials are refused.
        """
        await self._arrive()
        end = Stopwatch()
        try:
            for number, probe in enumerate(self._asked, 1):
                begin(Progress(number, len(self._asked), probe))
                finding = await self._ask(probe, self._visit.options.limit - end.seconds)
                self.findings.append(finding)
                await tell(finding)
            self.complete = True
        finally:
            await self._tidy()

    async def _arrive(self) -> None:
        """Be answered by somebody who accepts the credentials."""
        watch = Stopwatch()
        try:
            await self._knock()
        except (AuthenticationError, ServerError):
            raise
        except StatusError:
            pass  # not everybody may look at that
        self._visit.arrived = watch.seconds

    @abstractmethod
    async def _knock(self) -> None:
        """Send the first request."""

    def _limit(self, probe: Probe[Any]) -> float:
        return probe.limit

    async def _ask(self, probe: Probe[Any], left: float) -> Finding:
        watch = Stopwatch()
        limit = self._limit(probe)
        judgement = untold("the time for all questions had run out")
        if left > 0:
            judgement = untold(f"it took longer than {min(limit, left):.0f} s")
            with move_on_after(min(limit, left)):
                judgement = await self._judged(probe)
        return Finding(probe, judgement.verdict, self._visit.clean(judgement.detail), watch.seconds)

    async def _judged(self, probe: Probe[Any]) -> Judgement:
        try:
            return probe.judge(await probe.look(self._visit))
        except TocsinError as error:
            return explain(error, probe.needs)
        except Exception as error:  # noqa: BLE001 - an answer of any form may come, and the rest is to be asked
            return explain(error)

    async def _tidy(self) -> None:
        with CancelScope(shield=True):
            for tidy in self._visit.tidying:
                left: str | None = "tidying up took too long: a test alarm may still be open"
                try:
                    with move_on_after(_TIDYING):
                        left = await tidy()
                except Exception as error:  # noqa: BLE001 - it must not hide why we are here
                    left = f"tidying up failed ({type(error).__name__}): a test alarm may still be open"
                if left:
                    self.left.append(self._visit.clean(left))


def alone(core: HttpCore) -> HttpCore:
    """A view of a client's core that repeats nothing and waits for nothing for long."""
    return core.with_options(
        retry=RetryPolicy.none(), timeouts=replace(core.timeouts, total=ANSWER, read=ANSWER)
    )


def utc_now() -> datetime:
    return datetime.now(UTC)
