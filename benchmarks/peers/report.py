"""The tables, as Markdown."""

from __future__ import annotations

import os
import platform
import statistics
import textwrap
from importlib import metadata
from typing import TYPE_CHECKING, Final

from benchmarks.peers.candidates import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.peers.rows import Row
    from benchmarks.peers.run import Measured

__all__ = ["facts", "memory", "ratios", "settings", "subscribers"]

PACKAGES: Final = (
    "tocsin", "httpx", "httptools", "pydantic", "msgspec", "pyc8y", "c8y_api", "aiocometd-ng", "aiohttp",
    "orjson", "requests", "tenacity",
)  # fmt: skip
MEMORY_BAR: Final = 100
KB_BAR: Final = 60
RECOVERY_BAR: Final = 2.0


def facts(how: str) -> str:
    """The machine, its load, and the versions; then how it was measured."""
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{name} missing")
    load = os.getloadavg()[0]
    return textwrap.fill(
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, load {load:.1f} at the end; {', '.join(versions)}. {how}",
        125,
        break_on_hyphens=False,
    )


def settings(names: Iterable[str]) -> str:
    """What the candidates are."""
    wanted = set(names)
    return "\n".join(f"- `{name}`: {SETTINGS[name]}" for name in SETTINGS if name in wanted)


def ratios(results: Sequence[tuple[Row, Mapping[str, Measured]]]) -> str:
    """The table of speeds: the time of the first candidate over that of each, in the same round."""
    lines = [
        "| row | candidate | best | speed, min/**median**/max | CPU, min/**median**/max | bar | best peer |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row, measured in results:
        title = row.title
        for name, one in measured.items():
            lines.append(f"| {title} | {name} | {_cells(row, measured, name, one)} |")
            title = ""
    return "\n".join(lines)


def _cells(row: Row, measured: Mapping[str, Measured], name: str, one: Measured) -> str:
    if one.trouble is not None or not one.wall:
        return f"{one.trouble or '-'} | - | - | - | -"
    first = measured.get(row.reference)
    if first is None or first.trouble is not None:
        return f"{_best(row, one)} | - | - | - | -"
    if one is first:
        return f"{_best(row, one)} | 1 | 1 | | "
    speed, cpu = _quotients(first.wall, one.wall), _quotients(first.cpu, one.cpu)
    bars = [_bar("", row.bars.get(name), speed), _bar("CPU ", row.cpu_bars.get(name), cpu)]
    return (
        f"{_best(row, one)} | {_spread(speed)} | {_spread(cpu)} | "
        f"{', '.join(bar for bar in bars if bar)} | {_best_peer(measured, name, one)}"
    )


def _quotients(reference: Sequence[float], mine: Sequence[float]) -> list[float]:
    return [theirs / own for theirs, own in zip(reference, mine, strict=True)]


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):.2f}/**{statistics.median(values):.2f}**/{max(values):.2f}"


def _bar(word: str, bar: float | None, values: Sequence[float]) -> str:
    if bar is None:
        return ""
    return f"{word}≥ {bar:.2f}: {'met' if statistics.median(values) >= bar else '**behind**'}"


def _best_peer(measured: Mapping[str, Measured], name: str, one: Measured) -> str:
    if not name.startswith("tocsin"):
        return ""
    peers = {
        peer: statistics.median(_quotients(theirs.wall, one.wall))
        for peer, theirs in measured.items()
        if not peer.startswith(("tocsin", "bare", "wire")) and theirs.trouble is None
    }
    if not peers:
        return "-"
    best = min(peers, key=lambda peer: peers[peer])
    text = f"{peers[best]:.2f} x {best}"
    return text if peers[best] >= 1 else f"**{text}**"


def _best(row: Row, one: Measured) -> str:
    seconds = min(one.wall)
    if row.kind == "import":
        return f"{seconds * 1e3:.0f} ms"
    if row.kind == "retry":
        return f"{seconds * 1e6:.1f} µs"
    unit = {"list": "alarms", "events": "events"}.get(row.kind, "requests")
    rate = 1 / seconds
    return f"{rate / 1000:.0f} k {unit}/s" if rate >= 10_000 else f"{rate:.0f} {unit}/s"


def memory(row: Row, measured: Mapping[str, Measured], size: int) -> str:
    """The table of resident sizes."""
    lines = [
        f"| {size} alarms, {row.title} | peak MB | of them after the first fifth | seconds | bar |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, one in measured.items():
        if one.trouble is not None:
            lines.append(f"| {name} | {one.trouble} | - | - | - |")
            continue
        peak = one.facts["peak"]
        verdict = (
            f"≤ {MEMORY_BAR}: {'met' if peak <= MEMORY_BAR else '**behind**'}" if "tocsin" in name else ""
        )
        grown = peak - one.facts["early"]
        lines.append(f"| {name} | {peak:.0f} | {grown:.1f} | {one.facts['wall']:.1f} | {verdict} |")
    return "\n".join(lines)


def subscribers(row: Row, measured: Mapping[str, Measured], size: int) -> str:
    """The table of idle subscribers."""
    lines = [
        f"| {size} {row.title} | set-up s | kB each | sockets each | all back after a restart, s | bars |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in measured.items():
        if not one.facts:
            lines.append(f"| {name} | {one.trouble} | - | - | - | - |")
            continue
        got = one.facts
        back = got.get("recovery")
        verdict = ""
        if "tocsin" in name:
            met = got["kb"] <= KB_BAR and got["sockets"] <= 1 + 2 / size and (back or 99) <= RECOVERY_BAR
            verdict = f"≤ {KB_BAR} kB, 1 socket, {RECOVERY_BAR:.0f} s: {'met' if met else '**behind**'}"
        lines.append(
            f"| {name} | {got['wall']:.2f} | {got['kb']:.0f} | {got['sockets']:.2f} "
            f"| {one.trouble if back is None else f'{back:.2f}'} | {verdict} |"
        )
    return "\n".join(lines)
