"""What the demo needs of a platform: an emulator, a player of its story, and a client that follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tocsin._http._retry import RetryPolicy
from tocsin._stream._backoff import ReconnectPolicy
from tocsin._stream._policy import RecoveryPolicy

if TYPE_CHECKING:
    from tocsin.cli._many import Part
    from tocsin.cli._scenario import Verb

__all__ = ["DemoSite", "hasty"]


class DemoSite(Protocol):
    """One platform of the demo.

    Attributes:
        name: What its alarms are marked with.
        emulator: Its server, with a ledger.
    """

    name: str
    emulator: Any

    def play(self, verb: Verb, *, unseen: bool) -> None:
        """Play one step; `unseen`: while the network is cut."""

    def part(self, url: str) -> Part:
        """Make a client, and say how it follows."""


def hasty(seconds: float) -> dict[str, Any]:
    """Give a client's settings with their periods shortened: minutes do not fit into a demo."""
    recovery = RecoveryPolicy(
        overlap=seconds / 4,
        verify_first=seconds / 20,
        verify_every=seconds / 8,
        reconcile_every=seconds / 6,
        grace=seconds / 10,
        retry_first=0.1,
        retry_max=seconds / 20,
        check_share=1.0,
    )
    return {
        "trust_env": False,
        "recovery": recovery,
        "reconnect": ReconnectPolicy(initial=0.2, maximum=seconds / 20),
        "retry": RetryPolicy(wait_initial=0.1, wait_max=seconds / 20),
        "open_timeout": None,
    }
