"""Candidates measured in turns, and a table of ratios.

A machine drifts by a factor of two within a minute. So every candidate runs once a round, each round in
another order, and what counts is the ratio of two candidates within the same round.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

__all__ = ["Candidate", "Result", "interleave", "options", "run", "table"]


@dataclass(frozen=True)
class Candidate:
    """One way to do the work.

    Attributes:
        name: What the table calls it.
        work: Does it once, and returns how many items it did; plain or async.
        prepare: Called before each round, unmeasured.
    """

    name: str
    work: Callable[[], int | Awaitable[int]]
    prepare: Callable[[], None] = lambda: None


@dataclass
class Result:
    """What was measured of one candidate: CPU seconds an item, a round each."""

    name: str
    seconds: list[float] = field(default_factory=list)

    def ratios(self, reference: Result) -> list[float]:
        """Its time over the reference's, round by round."""
        return [mine / theirs for mine, theirs in zip(self.seconds, reference.seconds, strict=True)]


async def interleave(
    candidates: Sequence[Candidate], rounds: int, *, clock: Callable[[], float] = time.process_time
) -> list[Result]:
    """Measure all candidates, in turns, after one round that warms up.

    Args:
        candidates: The first one is what the others are compared with.
        rounds: How often each one is measured.
        clock: Seconds; by default the CPU time of this process.
    """
    results = [Result(candidate.name) for candidate in candidates]
    for index in range(rounds + 1):
        for place in range(len(candidates)):
            number = (place + index) % len(candidates)
            seconds = await _measure(candidates[number], clock)
            if index:
                results[number].seconds.append(seconds)
    return results


async def _measure(candidate: Candidate, clock: Callable[[], float]) -> float:
    candidate.prepare()
    gc.collect()
    started = clock()
    done = candidate.work()
    items = await done if isinstance(done, Awaitable) else done
    spent = clock() - started
    return max(spent, 1e-9) / items


def table(title: str, results: Sequence[Result], unit: str) -> str:
    """The results as text: the best time an item, and the ratios to the first candidate."""
    reference = results[0]
    width = max(len(result.name) for result in results)
    lines = [
        title,
        f"  {'':{width}}  {'best us / ' + unit:>16}   CPU time / {reference.name}: min median max",
    ]
    for result in results:
        ratios = result.ratios(reference)
        lines.append(
            f"  {result.name:{width}}  {min(result.seconds) * 1e6:16.2f}"
            f"   {min(ratios):6.2f} {statistics.median(ratios):6.2f} {max(ratios):6.2f}"
        )
    return "\n".join(lines)


def options(text: str | None, size: int, rounds: int, argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line that all benchmarks share."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--size", type=int, default=size, help=f"items a round (default {size})")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"rounds (default {rounds})")
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio")
    return parser.parse_args(argv)


def run(main: Callable[[argparse.Namespace], Coroutine[Any, Any, None]], asked: argparse.Namespace) -> None:
    """Run an async benchmark on the event loop that was asked for."""
    anyio.run(main, asked, backend=asked.backend)
