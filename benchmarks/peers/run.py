"""Starts the server and the candidates, and lets them take turns."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Self

from benchmarks.peers.core import CORE
from benchmarks.peers.worker import control

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.peers.rows import Row, Scale

__all__ = ["Measured", "Served", "measure", "serving"]

ROOT: Final = Path(__file__).parents[2]
IMPORTS: Final = {
    "pyc8y": "from pyc8y.client import CumulocityClient",
    "c8y_api": "from c8y_api import CumulocityApi",
    "aiocometd-ng": "from aiocometd_ng import Client",
    "tocsin": "from tocsin import Cumulocity",
}
_OUTAGE: Final = 1.3  # seconds; no multiple of what clients wait


@dataclass
class Measured:
    """What was measured of one candidate in one row.

    Attributes:
        wall: Seconds an item, a round each.
        cpu: CPU seconds an item, a round each.
        facts: What is no ratio, such as megabytes.
        trouble: Why there is nothing, or not all.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)
    trouble: str | None = None


@dataclass(frozen=True)
class Served:
    """A server that is up: its addresses, and the authority behind the one that speaks TLS."""

    url: str
    tls_url: str | None = None
    ca: str | None = None


class _Process:
    """A child that is asked by lines of JSON. It is killed if it does not answer in time."""

    def __init__(self, *arguments: str, core: int) -> None:
        environ = {**os.environ, CORE: str(core)}
        self._child = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("BENCHMARK_VERBOSE") else subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=environ,
        )

    def hear(self, seconds: float = 60.0) -> dict[str, Any]:
        """The next answer."""
        assert self._child.stdout is not None
        timer = threading.Timer(seconds, self._child.kill)
        timer.start()
        try:
            line = self._child.stdout.readline()
        finally:
            timer.cancel()
        answer: dict[str, Any] = json.loads(line) if line else {"failed": f"no answer within {seconds:.0f} s"}
        return answer

    def tell(self, **order: object) -> None:
        """Order something."""
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # what it has to say about that is heard next
            self._child.stdin.write(json.dumps(order) + "\n")
            self._child.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        with suppress(BrokenPipeError):
            self._child.stdin.close()
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child.stdout.close()


@contextmanager
def serving() -> Iterator[Served]:
    """Have a server, with TLS if trustme is installed to make a certificate."""
    with TemporaryDirectory() as folder:
        chain, ca = _certificates(Path(folder))
        with _Process("benchmarks.peers.server", *([chain] if chain else []), core=1) as server:
            ports = server.hear()["ports"]
            yield Served(
                f"http://127.0.0.1:{ports[0]}",
                f"https://127.0.0.1:{ports[1]}" if len(ports) > 1 else None,
                ca,
            )


def _certificates(folder: Path) -> tuple[str | None, str | None]:
    try:
        import trustme
    except ImportError:
        return None, None
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "chain.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return str(folder / "chain.pem"), str(folder / "ca.pem")


def measure(
    row: Row, served: Served, *, rounds: int, scale: Scale, only: Sequence[str] = ()
) -> dict[str, Measured]:
    """Measure all candidates of a row, in turns, after one round that warms up.

    Args:
        row: The row.
        served: The server.
        rounds: How often each one is measured.
        scale: How much is done in a round.
        only: The candidates that take part; all, if empty.
    """
    names = [name for name in row.candidates if not only or name in only]
    if row.tls and served.tls_url is None:
        return {name: Measured(trouble="trustme is not installed") for name in names}
    if row.kind == "import":
        return _imports(names, rounds)
    if row.kind in {"memory", "subscribers"}:
        return {name: _alone(name, row, served, row.size(scale)) for name in names}
    measured = {name: Measured() for name in names}
    with ExitStack() as stack:
        workers = {name: stack.enter_context(_worker(name, row, served)) for name in names}
        for name in names:
            _told(measured[name], workers[name].hear())
        for index in range(rounds + 1):
            for place in range(len(names)):
                name = names[(place + index) % len(names)]
                if measured[name].trouble is None:
                    workers[name].tell(size=row.size(scale), serial=1 + index * len(names) + place)
                    answer = workers[name].hear()
                    if _told(measured[name], answer) and index:
                        measured[name].wall.append(answer["wall"] / answer["items"])
                        measured[name].cpu.append(max(answer["cpu"], 1e-9) / answer["items"])
    return measured


def _worker(name: str, row: Row, served: Served) -> _Process:
    place = [str(served.tls_url), str(served.ca)] if row.tls else [served.url]
    return _Process("benchmarks.peers.worker", name, row.name, *place, core=0)


def _told(measured: Measured, answer: dict[str, Any]) -> bool:
    """Note whether an answer is a good one."""
    if "missing" in answer:
        measured.trouble = "not installed"
    elif "failed" in answer:
        measured.trouble = str(answer["failed"])
    return measured.trouble is None


def _alone(name: str, row: Row, served: Served, size: int) -> Measured:
    """A candidate that is measured once, with nobody beside it."""
    measured = Measured()
    with _worker(name, row, served) as worker:
        if not _told(measured, worker.hear()):
            return measured
        worker.tell(size=size, serial=1)
        answer = worker.hear(120)
        if not _told(measured, answer):
            return measured
        if row.kind == "subscribers":
            control(served.url, "held", subscriptions=size + 1)
            ready = control(served.url, "outage", seconds=_OUTAGE)["ready"]
            try:
                answer["recovery"] = control(served.url, "held", subscriptions=size + 1)["at"] - ready
            except TimeoutError:
                measured.trouble = "not all back within 120 s"
            control(served.url, "outage", seconds=0)  # nobody waits for polls that are held
            worker.tell(end=True)
        measured.facts = answer
    return measured


def _imports(names: Sequence[str], rounds: int) -> dict[str, Measured]:
    measured = {name: Measured() for name in names}
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with TemporaryDirectory() as cache:  # compiled in the round that warms up, all in the same place
        for index in range(rounds + 1):
            for place in range(len(names)):
                name = names[(place + index) % len(names)]
                command = [sys.executable, "-X", f"pycache_prefix={cache}", "-c", IMPORTS[name]]
                cpu, began = _children(), time.perf_counter()
                done = subprocess.run(command, check=False, cwd=ROOT, env=environ, stderr=subprocess.DEVNULL)
                took, spent = time.perf_counter() - began, _children() - cpu
                if done.returncode:
                    measured[name].trouble = "not installed"
                elif index:
                    measured[name].wall.append(took)
                    measured[name].cpu.append(spent)
    return measured


def _children() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
