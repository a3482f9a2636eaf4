"""`tocsin demo`: emulator, scenario, network cut, live view and reckoning, all on this machine."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final

import anyio

from tocsin._http._auth import BasicAuth
from tocsin._http._retry import RetryPolicy
from tocsin._stream._backoff import ReconnectPolicy
from tocsin._stream._policy import RecoveryPolicy
from tocsin.cli._emulate import quiet_server
from tocsin.cli._jsonl import event_line
from tocsin.cli._run import DONE, FAILED
from tocsin.cli._scenario import CUT_FROM, CUT_TO, STEPS, Player
from tocsin.cli._tally import Counting
from tocsin.cli._text import counted
from tocsin.cli._views import choose_view
from tocsin.cli._watch import Following
from tocsin.cumulocity import Cumulocity
from tocsin.cumulocity.changes import follow
from tocsin.emulator import BayeuxSettings, Emulator, serve
from tocsin.testing import ChaosProxy

if TYPE_CHECKING:
    from tocsin._stream._stream import ChangeStream
    from tocsin.cli._output import Output
    from tocsin.cli._tally import Summary
    from tocsin.cumulocity import Alarm

__all__ = ["demo"]

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
    # The server forgets its session during the cut, as a platform does after some seconds: nothing is queued.
    emulator = Emulator(bayeux=BayeuxSettings(max_interval=seconds / 20))
    visit = _Visit(output, emulator, seconds=seconds, sweep=sweep, jsonl=jsonl)
    await visit.run()
    summary = visit.summary()
    if jsonl:
        await output.write(event_line("summary", **asdict(summary)))
    else:
        await output.write(_story(summary, happened=len(emulator.ledger), sweep=sweep).encode())
    return FAILED if sweep and (summary.lost or summary.duplicated) else DONE


class _Visit:
    """The emulator behind a network that can be cut, and a client that follows it."""

    def __init__(
        self, output: Output, emulator: Emulator, *, seconds: float, sweep: bool, jsonl: bool
    ) -> None:
        view = choose_view(output, "tocsin demo: an emulator on this machine", jsonl=jsonl)
        self._emulator = emulator
        self._shown = Counting(view, emulator.ledger)
        self._seconds = seconds
        self._sweep = sweep
        self._scope = anyio.CancelScope()
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Play it to the end. Cancelled, it ends the client first, while its server is still there."""
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
        async with serve(self._emulator) as server, ChaosProxy("127.0.0.1", server.port) as proxy:
            with self._scope:
                try:
                    await self._follow(proxy)
                except Exception as error:  # noqa: BLE001 - raised again by run, in no group
                    self._failure = error

    async def _follow(self, proxy: ChaosProxy) -> None:
        seconds = self._seconds
        player = Player(self._emulator.store)
        async with Cumulocity(
            proxy.url,
            BasicAuth("demo", "demo", tenant=self._emulator.tenant),
            trust_env=False,
            recovery=_recovery(seconds),
            reconnect=ReconnectPolicy(initial=0.2, maximum=seconds / 20),
            retry=RetryPolicy(wait_initial=0.1, wait_max=seconds / 20),
        ) as client:
            stream = follow(replace(client._following, sweeps=self._sweep), snapshot=True)
            direction = _Direction(player, proxy, stream, self._shown, seconds=seconds, sweep=self._sweep)
            await Following(stream, self._shown, patient=True, beside=direction.run).run()


def _recovery(seconds: float) -> RecoveryPolicy:
    """Give the usual recovery with its periods shortened: minutes do not fit into a demo."""
    return RecoveryPolicy(
        overlap=seconds / 4,
        verify_first=seconds / 20,
        verify_every=seconds / 8,
        reconcile_every=seconds / 6,
        grace=seconds / 10,
        retry_first=0.1,
        retry_max=seconds / 20,
        check_share=1.0,
    )


class _Direction:
    """Plays the scenario with its network cut beside the stream, and ends the stream when all is told."""

    def __init__(
        self,
        player: Player,
        proxy: ChaosProxy,
        stream: ChangeStream[Alarm],
        shown: Counting,
        *,
        seconds: float,
        sweep: bool,
    ) -> None:
        self._player = player
        self._proxy = proxy
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
                self._proxy.refuse()
                await self._shown.note("the network is cut: nothing comes through, alarms go on")
            elif number == CUT_TO:
                self._proxy.heal()
                await self._shown.note("the network is back")
            self._player.play(verb, unseen=CUT_FROM <= number < CUT_TO)
        end = start + self._seconds
        with anyio.move_on_after(end + (_EXTRA if self._sweep else 0.0) - anyio.current_time()):
            await self._shown.wait_complete()
        await anyio.sleep_until(end)
        await self._stream.aclose()


def _story(summary: Summary, *, happened: int, sweep: bool) -> str:
    """Give the reckoning for people."""
    gaps = counted(summary.gaps, "gap")
    lines = [
        f"The emulator wrote {happened} changes down, one network cut in the middle.",
        f"The stream gave {summary.seen}, {summary.recovered} of them read back, and told {gaps}.",
        f"lost {summary.lost}, duplicated {summary.duplicated}",
    ]
    if not sweep:
        lines.append("Recovery reads were off: what is lost here is what they are worth.")
    return "\n".join(lines) + "\n"
