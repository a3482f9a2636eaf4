"""The examination of a tenant: which questions are asked, and what the first request is."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

from tocsin._doctor._examine import Examination as AnyExamination
from tocsin._doctor._examine import alone, utc_now
from tocsin._doctor._visit import Visit, VisitOptions
from tocsin.cumulocity._doctor._access import ACCESS
from tocsin.cumulocity._doctor._forms import FORMS
from tocsin.cumulocity._doctor._lists import LISTS
from tocsin.cumulocity._doctor._live import LIVE
from tocsin.cumulocity._doctor._page import PAGE
from tocsin.cumulocity._doctor._writes import WRITES
from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from tocsin._doctor._probe import Probe
    from tocsin.cumulocity.client import Cumulocity

__all__ = ["PROBES", "Examination"]

PROBES: Final[tuple[Probe[Any], ...]] = (*ACCESS, *PAGE, *LISTS, *FORMS, *LIVE, *WRITES)

_SESSION: Final = frozenset(probe.name for probe in (*LIVE, *WRITES))


class Examination(AnyExamination):
    """One examination of a tenant.

    Args:
        client: Open; its retries are not used.
        options: How it goes.
        probes: The questions.
        wall: Aware UTC now.
        rng: Draws the type of the test alarms.

    Raises:
        ConfigurationError: The options make no sense.
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
        visit = Visit(
            alone(client._core),
            options,
            wall=wall or utc_now,
            rng=rng or random.Random(),  # noqa: S311 - a name, not a secret
        )
        super().__init__(visit, client.site, probes)

    async def _knock(self) -> None:
        await self._visit.get("/tenant/currentTenant")

    def _limit(self, probe: Probe[Any]) -> float:
        return probe.limit + (self._visit.options.hold if probe.name in _SESSION else 0.0)
