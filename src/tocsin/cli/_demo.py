"""`tocsin demo`: emulators, a scenario, a network cut, a live view and the reckoning, all on this machine."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Final

import anyio

from tocsin._watch import watch
from tocsin.cli._emulate import quiet_server
from tocsin.cli._jsonl import event_line
from tocsin.cli._run import DONE, FAILED
from tocsin.cli._scenario import CUT_FROM, CUT_TO, STEPS
from tocsin.cli._tally import Counting
from tocsin.cli._text import counted
from tocsin.cli._views import choose_view
from tocsin.cli._watch import Following
from tocsin.emulator import serve
from tocsin.testing import ChaosProxy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin._watch import Watch
    from tocsin.cli._demo_sites import DemoSite
    from tocsin.cli._many import Part
    from tocsin.cli._output import Output
    from tocsin.cli._tally import Summary

__all__ = ["demo"]

SITES: Final = ("tocsin.cli._demo_cumulocity", "tocsin.cli._demo_xprotect")
"""Where each platform's `make_site` is."""
_WITHOUT_SWEEPS: Final = SITES[:1]
"""Where reads are not the channel itself, so that they can be switched off."""
_STORY: Final = 0.75
"""The share of the time that the scenario takes; the rest is for what comes back late."""
_EXTRA: Final = 10.0
"""Seconds beyond the time asked for that recovery is waited for on a slow machine."""


async def demo(output: Output, *, seconds: float, sweep: bool, jsonl: bool) -> int:
    """Play the demo.

    Returns:
        0; 1 if anything was lost or doubled although recovery was on.
    """
    quiet_server()
    sites: list[DemoSite] = [
        import_module(home).make_site(seconds, sweep=sweep) for home in (SITES if sweep else _WITHOUT_SWEEPS)
    ]
    visit = _Visit(output, sites, seconds=seconds, sweep=sweep, jsonl=jsonl)
    await visit.run()
    summary = visit.summary()
    if jsonl:
        await output.write(event_line("summary", **asdict(summary)))
    else:
        happened = [len(site.emulator.ledger) for site in sites]
        await output.write(_story(summary, happened, sweep=sweep).encode())
    return FAILED if sweep and (summary.lost or summary.duplicated) else DONE


class _Visit:
    """Emulators behind a network that can be cut, and clients that follow them as one stream."""

    def __init__(
        self, output: Output, sites: Sequence[DemoSite], *, seconds: float, sweep: bool, jsonl: bool
    ) -> None:
        several = len(sites) > 1
        title = f"tocsin demo: {'emulators' if several else 'an emulator'} on this machine"
        view = choose_view(output, title, jsonl=jsonl, several=several)
        self._sites = sites
        self._shown = Counting(view, {site.name: site.emulator.ledger for site in sites})
        self._seconds = seconds
        self._sweep = sweep
        self._scope = anyio.CancelScope()
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Play it to the end. Cancelled, it ends the clients first, while their servers are still there."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._pass_on_cancellation)
            with anyio.CancelScope(shield=True):
                await self._serve()
            tasks.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    def summary(self) -> Summary:
        """Count up."""
        return self._shown.summary()

    async def _pass_on_cancellation(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self._scope.cancel()

    async def _serve(self) -> None:
        async with AsyncExitStack() as stack:
            proxies: list[ChaosProxy] = []
            for site in self._sites:
                server = await stack.enter_async_context(serve(site.emulator))
                proxies.append(await stack.enter_async_context(ChaosProxy("127.0.0.1", server.port)))
            with self._scope:
                try:
                    await self._follow(proxies)
                except Exception as error:  # noqa: BLE001 - raised again by run, in no group
                    self._failure = error

    async def _follow(self, proxies: Sequence[ChaosProxy]) -> None:
        async with AsyncExitStack() as stack:
            parts: list[Part] = []
            for site, proxy in zip(self._sites, proxies, strict=True):
                part = site.part(proxy.url)
                await stack.enter_async_context(part.client)
                parts.append(part)
            stream = watch(*parts, snapshot=True)
            direction = _Direction(
                self._sites, proxies, stream, self._shown, seconds=self._seconds, sweep=self._sweep
            )
            await Following(stream, self._shown, patient=True, beside=direction.run).run()


class _Direction:
    """Plays the scenario with its network cut beside the stream, and ends the stream when all is told."""

    def __init__(
        self,
        sites: Sequence[DemoSite],
        proxies: Sequence[ChaosProxy],
        stream: Watch,
        shown: Counting,
        *,
        seconds: float,
        sweep: bool,
    ) -> None:
        self._sites = sites
        self._proxies = proxies
        self._stream = stream
        self._shown = shown
        self._seconds = seconds
        self._sweep = sweep

    async def run(self) -> None:
        """Play it to the end."""
        await self._stream.wait_state()
        start = anyio.current_time()
        for number, verb in enumerate(STEPS):
            await anyio.sleep_until(start + number * self._seconds * _STORY / len(STEPS))
            if number == CUT_FROM:
                for proxy in self._proxies:
                    proxy.refuse()
                await self._shown.note("the network is cut: nothing comes through, alarms go on")
            elif number == CUT_TO:
                for proxy in self._proxies:
                    proxy.heal()
                await self._shown.note("the network is back")
            for site in self._sites:
                site.play(verb, unseen=CUT_FROM <= number < CUT_TO)
        end = start + self._seconds
        with anyio.move_on_after(end + (_EXTRA if self._sweep else 0.0) - anyio.current_time()):
            await self._shown.wait_complete()
        await anyio.sleep_until(end)
        await self._stream.aclose()


def _story(summary: Summary, happened: Sequence[int], *, sweep: bool) -> str:
    """Give the reckoning for people."""
    gaps = counted(summary.gaps, "gap")
    wrote = "The emulator wrote" if len(happened) == 1 else "The emulators wrote"
    counts = " and ".join(str(number) for number in happened)
    lines = [
        f"{wrote} {counts} changes down, one network cut in the middle.",
        f"The stream gave {summary.seen}, {summary.recovered} of them read back, and told {gaps}.",
        f"lost {summary.lost}, duplicated {summary.duplicated}",
    ]
    if not sweep:
        lines.append("Recovery reads were off: what is lost here is what they are worth.")
    return "\n".join(lines) + "\n"
