"""The promises in worlds that nobody thought of: any mixture of faults."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.tracker.tracker_sim import Faults, Simulation


def chance(most: float) -> st.SearchStrategy[float]:
    return st.one_of(st.just(0.0), st.floats(0.0, most))


worlds = st.builds(
    Faults,
    lose=chance(0.5),
    double=chance(0.5),
    late=chance(0.5),
    strip=chance(1.0),
    strip_rest=st.booleans(),
    silent=chance(0.4),
    fail=chance(0.5),
    cuts=chance(0.3),
    resume=chance(1.0),
    lag=chance(5.0),
    skew=st.sampled_from([0, 0, -4000, 4000]),
    date=st.booleans(),
    bump=st.booleans(),
    deaf=chance(2.0),
    drops_delete=chance(1.0),
    unreadable=chance(0.2),
    bursts=chance(0.05),
    restricted=st.booleans(),
    slow=st.booleans(),
    live=st.sampled_from([True, True, True, False]),
    looks=st.sampled_from([False, False, True]),
    back=chance(0.5),
    hints=chance(1.0),
    filtered=st.booleans(),
    snapshot=st.sampled_from([False, True, "all"]),
    partitions=st.sampled_from([(None,), ("0", "1")]),
    seconds=st.just(40.0),
)


@settings(max_examples=50, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(faults=worlds, seed=st.integers(0, 2**16))
def test_any_mixture_of_faults(faults: Faults, seed: int) -> None:
    Simulation(seed, faults).run()
