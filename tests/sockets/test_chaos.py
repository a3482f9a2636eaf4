"""Twenty seeds of chaos on real sockets end with what the emulator has: nothing lost, nothing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sockets.chaos import run_seeds, table

if TYPE_CHECKING:
    from tocsin.cumulocity.changes import Transport

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.limit(60)]


@pytest.mark.parametrize(
    ("anyio_backend", "transport", "seeds"),
    [
        ("asyncio", "long-polling", range(0, 20, 4)),
        ("trio", "long-polling", range(1, 20, 4)),
        ("asyncio", "websocket", range(2, 20, 4)),
        ("trio", "websocket", range(3, 20, 4)),
    ],
)
async def test_converges(anyio_backend: str, transport: Transport, seeds: range) -> None:
    runs = await run_seeds(seeds, anyio_backend, transport=transport)
    told = table(runs)
    print(told)
    for run in runs:
        assert run.seconds is not None, f"seed {run.seed} never converged\n{told}\n{run.lost[:5]}"
        assert not run.lost, f"seed {run.seed}\n{told}\n{run.lost[:5]}"
        assert not run.duplicated, f"seed {run.seed}\n{told}\n{run.duplicated[:5]}"
        assert len(run.merged) <= run.overtaken, f"seed {run.seed}\n{told}\n{run.merged[:5]}"
    assert sum(len(run.gaps) for run in runs) >= len(runs), f"no fault mattered\n{told}"
    assert sum(run.recovered for run in runs) > 20, f"no fault mattered\n{told}"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_without_sweeps_it_loses_alarms(anyio_backend: str) -> None:
    runs = await run_seeds(range(4), anyio_backend, sweeps=False)
    assert sum(len(run.lost) for run in runs) > 0, table(runs)
    assert not any(run.duplicated for run in runs), table(runs)
