"""Whether there is a REST API at all behind an address: a bare Bayeux server has none.

Where there is none, nothing can be read back and every outage is a gap for good. To believe that wrongly
would be worse than to ask once more: only an address that never answered as the platform does is doubted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tocsin._http._retry import RetryPolicy
from tocsin.cumulocity._window import read_window
from tocsin.errors import ConnectError, RequestTimeoutError, StatusError, TocsinError

if TYPE_CHECKING:
    from tocsin._http._core import HttpCore

__all__ = ["ONCE", "RestProof"]

ONCE: Final = RetryPolicy.none()
"""Recovery repeats what failed by itself, and shows meanwhile that it does."""

_ABSENT: Final = frozenset({404, 405, 410, 501})
_ENOUGH: Final = 3
_SILENCE: Final = 10.0
_PATIENCE: Final = 300.0


class RestProof:
    """What is known of the REST API of one client; shared by its streams.

    Attributes:
        proved: It has answered as the platform does.
    """

    __slots__ = ("_oddities", "proved")

    def __init__(self) -> None:
        self.proved = False
        self._oddities = 0

    def view(self, core: HttpCore) -> HttpCore:
        """The core for a read: nothing is repeated, and an API that is in doubt has 10 s to answer.

        No read may go on for ever, even where the user's own calls may: it would stop recovery in silence.
        """
        limits = core.timeouts
        most = _PATIENCE if self.proved else _SILENCE
        if limits.total is None or not self.proved:
            limits = replace(limits, total=most if limits.total is None else min(limits.total, most))
        return core.with_options(retry=ONCE, timeouts=limits)

    async def look(self, core: HttpCore) -> bool:
        """Ask for next to nothing, and note whether the answer is the platform's."""
        try:
            await read_window(self.view(core), (), page_size=1)
        except TocsinError:
            return False
        self.proved = True
        return True

    async def is_missing(self, core: HttpCore, error: TocsinError, *, live: bool) -> bool:
        """Whether a failed read shows that there is no such API.

        Args:
            core: Sends a second, tiny request where the first failure could have other reasons.
            error: How the read failed.
            live: Whether a live channel works at that address: then a REST API that is silent, or answers
                with something else, is taken as missing after a few tries. Otherwise only its word counts.
        """
        if self.proved:
            return False
        if isinstance(error, StatusError):
            return _denies(error)
        if not live or isinstance(error, ConnectError):
            return False
        try:
            await read_window(self.view(core), (), page_size=1)
        except StatusError as second:
            return _denies(second)
        except ConnectError:
            return False
        except TocsinError as second:
            silent = isinstance(error, RequestTimeoutError) and isinstance(second, RequestTimeoutError)
            self._oddities += _ENOUGH if silent else 1
            return self._oddities >= _ENOUGH
        self.proved = True
        return False


def _denies(error: StatusError) -> bool:
    """Whether a status says that there is nothing like it here. The platform's own errors have a code."""
    return error.status in _ABSENT or (error.status == 400 and error.error is None)
