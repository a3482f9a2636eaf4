"""Simulated trouble ends right: nothing lost, nothing late, nothing twice. More seeds: `simulation.py`."""

from __future__ import annotations

import pytest

from emulated.simulation import simulate

pytestmark = [pytest.mark.virtual_time, pytest.mark.limit(20_000), pytest.mark.slow]


@pytest.mark.parametrize("seed", range(6))
async def test_a_bad_quarter_of_an_hour_ends_right(seed: int) -> None:
    outcome = await simulate(seed)
    assert outcome.error is None
    assert outcome.lost == []
    assert outcome.late == []
    assert outcome.duplicated == []
    assert outcome.gaps > 3, "nothing happened that mattered"
    assert outcome.requests < 2500
