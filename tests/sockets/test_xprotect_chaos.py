"""Chaos on real sockets around XProtect ends with what the emulator has: nothing lost, nothing twice."""

from __future__ import annotations

import pytest

from sockets.xprotect_chaos import run_seeds, table

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.limit(60)]


@pytest.mark.parametrize(("anyio_backend", "seeds"), [("asyncio", (0, 4, 18)), ("trio", (3, 7, 19))])
async def test_converges(anyio_backend: str, seeds: tuple[int, ...]) -> None:
    runs = await run_seeds(seeds, anyio_backend)
    told = table(runs)
    print(told)
    for run in runs:
        assert run.seconds is not None, f"seed {run.seed} never converged\n{told}\n{run.lost[:5]}"
        assert run.good, f"seed {run.seed}\n{told}\n{run.ended}"
    assert sum(len(run.gaps) for run in runs) > 0, f"no fault mattered\n{told}"
    assert sum(len(run.event_gaps) for run in runs) > 0, f"no fault mattered\n{told}"
