"""Milestone XProtect in the demo."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tocsin.cli._demo_sites import hasty
from tocsin.cli._many import Part
from tocsin.emulator import XProtectEmulator
from tocsin.xprotect import BasicUser, XProtect

if TYPE_CHECKING:
    from tocsin.cli._demo_sites import DemoSite
    from tocsin.cli._scenario import Verb

__all__ = ["VmsPlayer", "make_site"]

_CAMERAS: Final = ("Gate north", "Yard", "Vault", "Loading bay")
_TROUBLES: Final = (
    ("Line crossed", "Somebody crossed the line"),
    ("Loitering", "Somebody stays for longer than 2 minutes"),
    ("Camera covered", "The picture is dark"),
    ("Object left", "A bag was left behind"),
)
_WORKED_ON: Final = 4
"""The level of the state in which somebody is at work on an alarm."""


@dataclass
class VmsPlayer:
    """Plays the steps of the story as operators and cameras would.

    Args:
        emulator: Where they happen.
    """

    emulator: XProtectEmulator
    _raised: int = 0
    _cameras: list[str] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Furnish the site."""
        self._cameras = [self.emulator.store.add_camera(name)["id"] for name in _CAMERAS]

    def play(self, verb: Verb, *, unseen: bool) -> None:
        """Play one step.

        Args:
            verb: What happens.
            unseen: The network is cut. An alarm that is raised now is not touched later, so that only a read
                can ever bring it.
        """
        store = self.emulator.store
        if verb == "raise":
            name, message = _TROUBLES[self._raised % len(_TROUBLES)]
            camera = self._cameras[(self._raised + self._raised // 4) % len(self._cameras)]
            made = store.create({"name": name, "message": message, "source": f"cameras/{camera}"})
            self._raised += 1
            if not unseen:
                self._open.append(made["id"])
            return
        alarm = self._pick(verb)
        match verb:
            case "again":  # this platform counts nothing up: somebody else takes it over
                store.update(alarm["id"], {"assignedTo.displayName": f"guard {self._raised}"})
            case "escalate":
                store.update(alarm["id"], {"priority": alarm["priority"]["level"] - 1})
            case "acknowledge":
                store.update(alarm["id"], {"state": _WORKED_ON})
            case "clear":
                store.close(alarm["id"])
                self._open.remove(alarm["id"])
            case "delete":
                store.remove(alarm["id"])
                self._open.remove(alarm["id"])

    def _pick(self, verb: Verb) -> dict[str, Any]:
        """Give an alarm that the verb changes: the oldest one for an end, a recent one for the rest."""
        found = (self.emulator.store.get(alarm_id) for alarm_id in self._open)
        alarms = [alarm for alarm in found if alarm is not None]
        if verb == "escalate":
            alarms = [alarm for alarm in alarms if alarm["priority"]["level"] > 1]
        elif verb == "acknowledge":
            alarms = [alarm for alarm in alarms if alarm["state"]["level"] != _WORKED_ON]
        return alarms[0] if verb in ("clear", "delete") else alarms[-1]


class _Vms:
    def __init__(self, seconds: float) -> None:
        self.name = "vms"
        self.emulator = XProtectEmulator(cameras=0)
        self.play = VmsPlayer(self.emulator).play
        self._seconds = seconds

    def part(self, url: str) -> Part:
        client = XProtect(url, BasicUser("demo", "demo"), name=self.name, **hasty(self._seconds))
        # No event comes before these alarms: there is nothing that the WebSocket could tell of them.
        return Part(client, {"latency": self._seconds / 40, "period": self._seconds / 15, "wake": False})


def make_site(seconds: float, *, sweep: bool) -> DemoSite:
    """Furnish a site. Reads are its channel, and cannot be switched off."""
    del sweep
    return _Vms(seconds)
