"""`doctor`: asks a tenant or site what its documents leave open, and reports it for people or programs."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

from anyio import CancelScope, move_on_after
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tocsin._doctor._probe import Verdict
from tocsin._doctor._visit import VisitOptions
from tocsin.cli._connect import make_client
from tocsin.cli._jsonl import event_line
from tocsin.cli._platforms import dialect_of
from tocsin.cli._run import DONE, complain
from tocsin.cli._text import counted, plain

if TYPE_CHECKING:
    from rich.status import Status

    from tocsin._doctor._examine import Examination, Progress
    from tocsin._doctor._probe import Finding
    from tocsin.cli._options import Connection
    from tocsin.cli._output import Output

__all__ = ["JsonReport", "TableReport", "doctor", "report_on"]

_LIMIT: Final = 240.0
_WRITING: Final = 5.0
"""Seconds that a report may take when it is written because somebody wants to go."""
_WORDS: Final = {Verdict.ASSUMED: "as_assumed", Verdict.DIFFERS: "differs", Verdict.UNTOLD: "untold"}
_STYLES: Final = {Verdict.ASSUMED: "green", Verdict.DIFFERS: "bold yellow", Verdict.UNTOLD: "dim"}


async def doctor(
    connection: Connection,
    output: Output,
    *,
    source: str | None,
    write: bool,
    hold: float,
    mask: bool,
    jsonl: bool,
) -> int:
    """Ask everything and write a report; interrupted, a report on what there is."""
    options = VisitOptions(source=source, write=write, hold=hold, mask=mask, limit=_LIMIT + hold)
    async with make_client(connection) as client:
        examination = dialect_of(connection.platform.value).examination(client, options)
        view = JsonReport if jsonl else TableReport
        await report_on(examination, view(output, examination, platform=connection.platform.value))
    return DONE


async def report_on(examination: Examination, report: JsonReport | TableReport) -> None:
    """Run an examination and write its report, whole or as far as it came."""
    reached = False

    def begin(progress: Progress) -> None:
        nonlocal reached
        reached = True
        report.begin(progress)

    try:
        with report.status:
            await examination.run(report.tell, begin)
    finally:
        for sentence in examination.left:
            complain(sentence)
        if reached:
            with CancelScope(shield=True), move_on_after(_WRITING):
                await report.end()


class JsonReport:
    """One JSON object a finding, as it is found, and one at the end.

    Args:
        output: Where to.
        examination: What is reported.
        platform: What is examined.
    """

    def __init__(self, output: Output, examination: Examination, *, platform: str) -> None:
        self._output = output
        self._examination = examination
        self._of = {"platform": platform, "site": examination.site}
        self.status = nullcontext()

    def begin(self, progress: Progress) -> None:
        """Nothing is said before there is something to say."""

    async def tell(self, finding: Finding) -> None:
        """Write a finding."""
        probe = finding.probe
        line = event_line(
            "finding",
            **self._of,
            name=probe.name,
            question=probe.question,
            assumes=probe.assumes,
            writes=probe.writes,
            verdict=_WORDS[finding.verdict],
            detail=plain(finding.detail),
            seconds=round(finding.seconds, 3),
        )
        await self._output.write(line)

    async def end(self) -> None:
        """Write how many of each there are."""
        seen = Counter(finding.verdict for finding in self._examination.findings)
        counts = {word: seen[verdict] for verdict, word in _WORDS.items()}
        line = event_line(
            "report",
            **self._of,
            **counts,
            skipped=len(self._examination.skipped),
            complete=self._examination.complete,
            left=self._examination.left,
        )
        await self._output.write(line)


class TableReport:
    """A table at the end; on a terminal, what is being asked meanwhile, on stderr."""

    def __init__(self, output: Output, examination: Examination, *, platform: str) -> None:
        self._output = output
        self._examination = examination
        self._title = f"{platform} {plain(examination.site)}"
        screen = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._status: Status | None = screen.status("reaching the server") if screen.is_terminal else None
        self.status: Any = self._status or nullcontext()

    def begin(self, progress: Progress) -> None:
        """Show what is asked."""
        if self._status is not None:
            self._status.update(f"{progress.number} of {progress.of}: {progress.probe.question}")

    async def tell(self, finding: Finding) -> None:
        """Nothing: the table comes at the end."""

    async def end(self) -> None:
        """Write the table."""
        console = Console(highlight=False, markup=False, emoji=False)
        with console.capture() as captured:
            console.print(Text(self._title, style="bold"))
            console.print(_table(self._examination.findings, console.width))
            for line in _footer(self._examination):
                console.print(Text(line))
        lines = (line.rstrip() for line in captured.get().splitlines())
        await self._output.write("".join(f"{line}\n" for line in lines).encode(errors="replace"))


def _table(findings: list[Finding], width: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim", expand=True)
    table.add_column("Question", width=44 if width >= 110 else min(30, width // 3))
    table.add_column("Verdict", width=10)
    table.add_column("Seen", ratio=1)
    for finding in findings:
        seen = Text(plain(finding.detail))
        if finding.verdict is Verdict.DIFFERS:
            seen.append(f" (assumed: {finding.probe.assumes})", "dim")
        verdict = "not told" if finding.verdict is Verdict.UNTOLD else finding.verdict.value
        table.add_row(Text(finding.probe.question), Text(verdict, style=_STYLES[finding.verdict]), seen)
    return table


def _footer(examination: Examination) -> list[str]:
    seen = Counter(finding.verdict for finding in examination.findings)
    differ = "1 differs" if seen[Verdict.DIFFERS] == 1 else f"{seen[Verdict.DIFFERS]} differ"
    lines = [f"{seen[Verdict.ASSUMED]} as assumed, {differ}, {seen[Verdict.UNTOLD]} could not be told"]
    if not examination.complete:
        lines[0] = f"interrupted: {lines[0]}"
    if examination.skipped:
        more = counted(len(examination.skipped), "more question")
        lines.append(f"a test alarm answers {more}: --write --source ID")
    return lines
