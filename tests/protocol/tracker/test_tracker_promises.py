"""The promises of a change stream, kept by the tracker against a model server that does what servers do."""

from __future__ import annotations

import pytest

from protocol.tracker.tracker_sim import Faults, Simulation

WORLDS = {
    "clean": Faults(told=True),
    "snapshot": Faults(snapshot=True, told=True),
    "everything": Faults(snapshot="all", before=30),
    "cuts": Faults(cuts=0.08, before=25, told=True),
    "cuts, snapshot": Faults(cuts=0.08, snapshot=True, told=True),
    "sessions survive": Faults(cuts=0.1, resume=0.5, snapshot=True, told=True),
    "cuts, nothing deleted": Faults(cuts=0.08, deletes=0.0),
    "lagging, nothing deleted": Faults(lag=5.0, lose=0.2, cuts=0.05, deletes=0.0),
    "lossy": Faults(lose=0.2, snapshot=True),
    "doubled and late": Faults(double=0.3, late=0.2, snapshot=True),
    "partial messages": Faults(strip=0.5, strip_rest=True, late=0.1, double=0.1, snapshot=True),
    "silent writes": Faults(silent=0.2, drops_delete=1.0, snapshot=True),
    "lagging reads": Faults(lag=4.0, lose=0.1, cuts=0.05, snapshot=True),
    "failing reads and cuts": Faults(fail=0.4, cuts=0.08, told=True),
    "failing reads": Faults(fail=0.4, cuts=0.05, lose=0.05, snapshot=True),
    "no Date": Faults(date=False, cuts=0.05, lose=0.1, snapshot=True),
    "skewed clocks": Faults(skew=-4000, cuts=0.05, lose=0.1, snapshot=True),
    "no lastUpdated": Faults(stamps=False, ranges=False, cuts=0.05, lose=0.1, snapshot=True),
    "deaf at first": Faults(deaf=0.8, cuts=0.05, snapshot=True),
    "slow consumer": Faults(slow=True, cuts=0.03, writes=4.0, snapshot=True),
    "polling": Faults(live=False, fail=0.1, snapshot=True),
    "filtered": Faults(filtered=True, cuts=0.05, lose=0.1, late=0.1, snapshot=True),
    "two partitions": Faults(partitions=("0", "1"), cuts=0.05, lose=0.1, snapshot=True),
    "repeats do not move lastUpdated": Faults(bump=False, lose=0.1, cuts=0.05, strip=0.5, snapshot=True),
    "unreadable messages": Faults(unreadable=0.2, cuts=0.03, snapshot=True),
    "bursts": Faults(bursts=0.15, cuts=0.05, lose=0.1, snapshot=True, before=20),
    "flood": Faults(bursts=0.2, late=0.5, strip=1.0, snapshot=True),
    "restricted user": Faults(restricted=True, cuts=0.05, lose=0.1, snapshot=True, before=30),
    "changing rights": Faults(hides=0.1, cuts=0.03, snapshot=True),
    "lagging replicas": Faults(replica=3.0, late=0.2, strip=0.2, cuts=0.05, snapshot=True),
    "looks": Faults(looks=True, snapshot=True, hints=0.5),
    "looks, no snapshot": Faults(looks=True, fail=0.1),
    "looks, all": Faults(looks=True, snapshot="all", fail=0.1, lag=2.0),
    "looks, failing reads": Faults(looks=True, fail=0.4, snapshot=True),
    "looks, dated back": Faults(looks=True, back=0.4, fail=0.1, snapshot=True),
    "looks, no Date": Faults(looks=True, date=False, fail=0.1, snapshot=True),
    "looks, server behind": Faults(looks=True, skew=-3_600_000, fail=0.1, snapshot=True),
    "looks, no lastUpdated": Faults(looks=True, stamps=False, fail=0.1, snapshot=True),
    "looks, slow consumer": Faults(looks=True, slow=True, writes=4.0, snapshot=True),
    "looks, filtered": Faults(looks=True, filtered=True, fail=0.1, snapshot=True),
    "looks, bursts": Faults(looks=True, bursts=0.15, snapshot=True, before=20),
    "looks, changing rights": Faults(looks=True, hides=0.1, snapshot=True),
    "all at once": Faults(
        lose=0.1,
        double=0.2,
        late=0.2,
        strip=0.3,
        cuts=0.05,
        fail=0.2,
        lag=3.0,
        drops_delete=0.5,
        snapshot=True,
    ),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("seed", range(4))
def test_the_promises_hold(world: str, seed: int) -> None:
    Simulation(seed, WORLDS[world]).run()
