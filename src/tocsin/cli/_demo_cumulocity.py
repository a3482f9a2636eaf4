"""Cumulocity in the demo."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tocsin._http._auth import BasicAuth
from tocsin.cli._demo_sites import hasty
from tocsin.cli._many import Part
from tocsin.cli._scenario import Player
from tocsin.cumulocity import Cumulocity
from tocsin.cumulocity.changes import follow
from tocsin.emulator import BayeuxSettings, Emulator

if TYPE_CHECKING:
    from tocsin.cli._demo_sites import DemoSite

__all__ = ["make_site"]


class _Tenant:
    def __init__(self, seconds: float, *, sweep: bool) -> None:
        # It forgets its session during the cut, as a platform does after some seconds: nothing is queued.
        self.emulator = Emulator(bayeux=BayeuxSettings(max_interval=seconds / 20))
        self.name = self.emulator.tenant
        self.play = Player(self.emulator.store).play
        self._seconds = seconds
        self._sweep = sweep

    def part(self, url: str) -> Part:
        auth = BasicAuth("demo", "demo", tenant=self.name)
        client = Cumulocity(url, auth, **hasty(self._seconds))
        return Part(client, {}) if self._sweep else _Unswept(client)


class _Unswept(Part):
    """A part whose streams do not read, to show what the reads are worth."""

    def __init__(self, client: Cumulocity) -> None:
        super().__init__(client, {})

    def changes(self, **options: Any) -> Any:
        del options["checkpoint"]  # without reads there is nothing to go on from
        return follow(replace(self.client._following, sweeps=False), **options)


def make_site(seconds: float, *, sweep: bool) -> DemoSite:
    """Furnish a tenant."""
    return _Tenant(seconds, sweep=sweep)
