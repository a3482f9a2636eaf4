"""`python -m benchmarks.peers`: measure, and print the tables of docs/performance.md."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from benchmarks.peers import report
from benchmarks.peers.candidates import SETTINGS
from benchmarks.peers.rows import ROWS, chosen
from benchmarks.peers.run import measure, serving

if TYPE_CHECKING:
    from collections.abc import Sequence


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    names = ", ".join(row.name for row in ROWS)
    parser.add_argument("--rows", default="", help=f"of {names}; list, get and so on stand for several")
    parser.add_argument("--only", default="", help=f"candidates: {', '.join(SETTINGS)}")
    parser.add_argument("--rounds", type=int, default=9, help="times that each is measured (default 9)")
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument("--quick", dest="scale", action="store_const", const="quick", help="less in a round")
    scale.add_argument("--tiny", dest="scale", action="store_const", const="tiny", help="to see that it runs")
    parser.set_defaults(scale="full")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run it."""
    asked = _options(argv)
    only = [name for name in asked.only.split(",") if name]
    try:
        rows = chosen([name for name in asked.rows.split(",") if name])
    except ValueError as error:
        sys.exit(str(error))
    table, others = [], []
    with serving() as served:
        for row in rows:
            print(f"{row.name} …", file=sys.stderr, flush=True)
            measured = measure(row, served, rounds=asked.rounds, scale=asked.scale, only=only)
            if not measured:
                continue
            if row.kind in {"memory", "subscribers"}:
                others.append(getattr(report, row.kind)(row, measured, row.size(asked.scale)))
            else:
                table.append((row, measured))
    print(report.facts(f"{asked.rounds} rounds, {asked.scale}.") + "\n")
    print(report.settings(name for row in rows for name in row.candidates if not only or name in only))
    for part in [report.ratios(table)] * bool(table) + others:
        print(f"\n{part}")


if __name__ == "__main__":
    main()
