"""Simulated trouble ends right: nothing lost, late, given twice or merged. More seeds: `simulation.py`."""

from __future__ import annotations

import pytest

from emulated.simulation import Outcome, run

pytestmark = pytest.mark.slow


def lived_through(seed: int, loop: str, *, transport: str = "long-polling", span: float = 900.0) -> Outcome:
    outcome = run(seed, loop, span=span, transport=transport)
    assert outcome.error is None
    assert outcome.lost == []
    assert outcome.late == []
    assert outcome.duplicated == []
    assert outcome.merged == []
    return outcome


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("seed", range(4))
def test_a_bad_quarter_of_an_hour_ends_right(seed: int, loop: str) -> None:
    outcome = lived_through(seed, loop)
    assert outcome.gaps > 1, "nothing happened that mattered"
    assert outcome.requests < 2500


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_seed_replays_exactly(loop: str) -> None:
    digests = [run(7, loop, span=300.0, transport="long-polling").digest for _ in range(2)]
    assert digests[0] == digests[1]
    assert digests[0] != run(8, loop, span=300.0, transport="long-polling").digest
