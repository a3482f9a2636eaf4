"""The examination of a site: which questions are asked, and what the first request is."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

from tocsin._doctor._examine import Examination as AnyExamination
from tocsin._doctor._examine import alone, utc_now
from tocsin.errors import ConfigurationError
from tocsin.xprotect._doctor._lists import LISTS
from tocsin.xprotect._doctor._server import SERVER, SiteVisit
from tocsin.xprotect._doctor._trial import WRITES
from tocsin.xprotect._gateway import Gateway

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from tocsin._doctor._probe import Probe
    from tocsin._doctor._visit import VisitOptions
    from tocsin.xprotect.client import XProtect

__all__ = ["PROBES", "Examination"]

PROBES: Final[tuple[Probe[Any], ...]] = (*SERVER, *LISTS, *WRITES)


class Examination(AnyExamination):
    """One examination of a site.

    Args:
        client: Open; its retries are not used.
        options: How it goes.
        probes: The questions.
        wall: Aware UTC now.
        rng: Draws the name of the test alarm.

    Raises:
        ConfigurationError: The options make no sense.
    """

    def __init__(
        self,
        client: XProtect,
        options: VisitOptions,
        *,
        probes: Sequence[Probe[Any]] = PROBES,
        wall: Callable[[], datetime] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        if options.write and not options.source:
            raise ConfigurationError("--write needs --source: the camera on which a test alarm may be raised")
        rng = rng or random.Random()  # noqa: S311 - a name, not a secret
        gateway = Gateway(alone(client._core), client._following.gateway.site)
        super().__init__(SiteVisit(gateway, options, wall=wall or utc_now, rng=rng), client.site, probes)

    async def _knock(self) -> None:
        await self._visit.get("/alarmStates")
