"""What happens in the demo: a small site with its troubles, played against the emulator's store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin.emulator import Store

__all__ = ["CUT_FROM", "CUT_TO", "DEVICES", "STEPS", "Player", "Verb"]

Verb = Literal["raise", "again", "escalate", "acknowledge", "clear", "delete"]

DEVICES: Final = {
    "4711": "Door 7",
    "4712": "Pump 3",
    "4713": "Cold store",
    "4714": "Hall 2",
    "4715": "Gate north",
    "4716": "Generator",
}

_TROUBLES: Final = (
    ("demo_DoorForced", "Door forced open", "MAJOR"),
    ("demo_PressureLow", "Pressure below 2 bar", "MINOR"),
    ("demo_TooWarm", "Above -18 °C for 10 minutes", "WARNING"),
    ("demo_Smoke", "Smoke detected", "MAJOR"),
    ("demo_NoContact", "No contact since a minute", "MINOR"),
    ("demo_BatteryLow", "Battery at 12 %", "WARNING"),
)
_WORSE: Final = {"WARNING": "MINOR", "MINOR": "MAJOR", "MAJOR": "CRITICAL"}

_OPENING: Final[tuple[Verb, ...]] = (
    "raise", "raise", "raise", "raise", "raise", "escalate", "again", "raise",
)  # fmt: skip
_ROUND: Final[tuple[Verb, ...]] = (
    "raise", "escalate", "acknowledge", "raise", "again", "clear", "raise", "delete",
)  # fmt: skip
_CUT: Final[tuple[Verb, ...]] = (
    "raise", "escalate", "acknowledge", "clear", "delete", "raise", "again", "raise",
)  # fmt: skip

STEPS: Final[tuple[Verb, ...]] = (*_OPENING, *_ROUND, *_CUT, *_ROUND, *_ROUND)
"""The whole story; what happens between `CUT_FROM` and `CUT_TO` happens while the network is cut."""
CUT_FROM: Final = len(_OPENING) + len(_ROUND)
CUT_TO: Final = CUT_FROM + len(_CUT)


@dataclass
class Player:
    """Plays steps, one after the other.

    Args:
        store: Where they happen, as if devices and other people were at work.
    """

    store: Store
    _troubles: Iterator[tuple[str, str, str, str]] = field(init=False)
    _open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Furnish the site."""
        for number, name in DEVICES.items():
            self.store.add_device(name, id=number)
        self._troubles = _all_troubles()

    def play(self, verb: Verb, *, unseen: bool) -> None:
        """Play one step.

        Args:
            verb: What happens.
            unseen: The network is cut. An alarm that is raised now is not touched later, so that only a read
                can ever bring it.
        """
        if verb == "raise":
            source, kind, text, severity = next(self._troubles)
            body = {"type": kind, "text": text, "severity": severity, "source": {"id": source}}
            made = self.store.create(body)
            if not unseen:
                self._open.append(made["id"])
        else:
            self._apply(verb, self._pick(verb))

    def _pick(self, verb: Verb) -> dict[str, Any]:
        """Give an alarm that the verb changes: the oldest one for an end, a recent one for the rest."""
        alarms = [alarm for id in self._open if (alarm := self.store.get(id)) is not None]  # noqa: A001
        if verb == "escalate":
            alarms = [alarm for alarm in alarms if alarm["severity"] in _WORSE]
        elif verb == "acknowledge":
            alarms = [alarm for alarm in alarms if alarm["status"] == "ACTIVE"]
        return alarms[0] if verb in ("clear", "delete") else alarms[-1]

    def _apply(self, verb: Verb, alarm: dict[str, Any]) -> None:
        number = alarm["id"]
        match verb:
            case "again":
                self.store.create({key: alarm[key] for key in ("type", "text", "severity", "source")})
            case "escalate":
                self.store.update(number, {"severity": _WORSE[alarm["severity"]]})
            case "acknowledge":
                self.store.update(number, {"status": "ACKNOWLEDGED"})
            case "clear":
                self.store.update(number, {"status": "CLEARED"})
                self._open.remove(number)
            case "delete":
                self.store.remove(number)
                self._open.remove(number)


def _all_troubles() -> Iterator[tuple[str, str, str, str]]:
    """Every trouble at every device, so that no two alarms are the same."""
    for turn in range(len(_TROUBLES)):
        for place, source in enumerate(DEVICES):
            kind, text, severity = _TROUBLES[(place + turn) % len(_TROUBLES)]
            yield source, kind, text, severity
