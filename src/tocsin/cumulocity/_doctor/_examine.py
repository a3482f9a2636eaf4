"""Runs the probes, one after the other, each within its time, and tidies up whatever happens."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from anyio import CancelScope, move_on_after

from tocsin._http._retry import RetryPolicy
from tocsin.cumulocity._doctor._access import ACCESS
from tocsin.cumulocity._doctor._forms import FORMS
from tocsin.cumulocity._doctor._lists import LISTS
from tocsin.cumulocity._doctor._live import LIVE
from tocsin.cumulocity._doctor._page import PAGE
from tocsin.cumulocity._doctor._probe import Finding, Judgement, Probe, explain, untold
from tocsin.cumulocity._doctor._visit import Stopwatch, Visit, VisitOptions
from tocsin.cumulocity._doctor._writes import WRITES
from tocsin.errors import AuthenticationError, ConfigurationError, ServerError, StatusError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tocsin._http._core import HttpCore
    from tocsin.cumulocity.client import Cumulocity

__all__ = ["PROBES", "Examination"]

PROBES: Final[tuple[Probe[Any], ...]] = (*ACCESS, *PAGE, *LISTS, *FORMS, *LIVE, *WRITES)

_TIDYING: Final = 10.0
_ANSWER: Final = 15.0
_SESSION: Final = frozenset(probe.name for probe in (*LIVE, *WRITES))


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


class Examination:
    """One examination of a tenant.

    Args:
        client: Open; its retries are not used.
        options: How it goes.
        probes: The questions.
        wall: Aware UTC now.
        rng: Draws the type of the test alarms.

    Raises:
        ConfigurationError: The options make no sense.

    Attributes:
        findings: What was found so far.
        skipped: Questions that were not to be asked.
        left: What could not be tidied up, as sentences.
        complete: Whether every question was gone through.
    """

    def __init__(
        self,
        client: Cumulocity,
        options: VisitOptions,
        *,
        probes: Sequence[Probe[Any]] = PROBES,
        wall: Callable[[], datetime] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        if options.write and not options.source:
            raise ConfigurationError("--write needs --source: the device on which a test alarm may be raised")
        core: HttpCore = client._core
        limits = replace(core.timeouts, total=_ANSWER, read=_ANSWER)
        core = core.with_options(retry=RetryPolicy.none(), timeouts=limits)
        self._visit = Visit(
            core,
            options,
            wall=wall or _utc_now,
            rng=rng or random.Random(),  # noqa: S311 - a name, not a secret
        )
        self._visit.name(client.site)
        self._site = client.site
        self._asked = [probe for probe in probes if options.write or not probe.writes]
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
            await self._visit.get("/tenant/currentTenant")
        except (AuthenticationError, ServerError):
            raise
        except StatusError:
            pass  # not everybody may look at the tenant
        self._visit.arrived = watch.seconds

    async def _ask(self, probe: Probe[Any], left: float) -> Finding:
        watch = Stopwatch()
        limit = probe.limit + (self._visit.options.hold if probe.name in _SESSION else 0.0)
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


def _utc_now() -> datetime:
    return datetime.now(UTC)
