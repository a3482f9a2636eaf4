"""What is measured: one row of the table each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ROWS", "Row", "chosen"]

Kind = Literal["list", "get", "post", "events", "retry", "import", "memory", "subscribers"]
Scale = Literal["full", "quick", "tiny"]


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        name: What it is called on the command line; its first word names its group.
        title: What it is called in the table.
        kind: What the candidates do.
        sizes: Items a round: in a full run, a quick one and a test.
        candidates: Who takes part; the others are compared with the first.
        bars: What a candidate's wall speed over the first's should be at least.
        cpu_bars: The same for CPU time.
        page_size: Alarms of a page.
        delay_ms: What the server takes for each answer.
        touch: Whether six fields of each alarm are read, one of them as a datetime.
        in_flight: Calls at a time.
        each: Events in an answer.
        tls: Whether the server speaks TLS.
    """

    name: str
    title: str
    kind: Kind
    sizes: tuple[int, int, int]
    candidates: tuple[str, ...]
    bars: Mapping[str, float] = field(default_factory=dict)
    cpu_bars: Mapping[str, float] = field(default_factory=dict)
    page_size: int = 2000
    delay_ms: int = 0
    touch: bool = False
    in_flight: int = 1
    each: int = 1
    tls: bool = False

    def size(self, scale: Scale) -> int:
        """Items a round."""
        return self.sizes[("full", "quick", "tiny").index(scale)]

    @property
    def reference(self) -> str:
        """Whom the others are compared with."""
        return self.candidates[0]


_REST: Final = ("pyc8y", "c8y_api", "tocsin", "tocsin-stock")
_LISTS: Final = ("pyc8y", "pyc8y-4", "c8y_api", "tocsin", "tocsin-stock")
_EVENTS: Final = ("aiocometd-ng", "tocsin", "tocsin-stock", "tocsin-bayeux", "tocsin-bayeux-stock")


def _list(
    name: str, title: str, sizes: tuple[int, int, int], bars: Mapping[str, float], **more: object
) -> Row:
    candidates = (*_LISTS, "wire") if name in {"list-2000", "list-100"} else _LISTS
    return Row(name, title, "list", sizes, candidates, bars, **more)  # type: ignore[arg-type]


def _calls(kind: Literal["get", "post"], in_flight: int, bar: float, *, tls: bool = False) -> Row:
    candidates = tuple(one for one in _REST if one != "c8y_api" or in_flight <= 16)
    if (kind, in_flight, tls) == ("get", 1, False):
        candidates += ("wire",)
    return Row(
        f"{'tls-' if tls else ''}{kind}-{in_flight}",
        f"{kind.upper()} one alarm, {in_flight} in flight{', TLS' if tls else ''}",
        kind,
        (1000, 400, 20),
        candidates,
        {"tocsin": bar},
        in_flight=in_flight,
        tls=tls,
    )


def _events(each: int, bar: float) -> Row:
    return Row(
        f"events-{each}",
        f"long-poll events, {each} in an answer",
        "events",
        {1: (1000, 500, 10), 10: (5000, 2000, 20)}.get(each, (10_000, 5000, 1000)),
        _EVENTS,
        {"tocsin": bar},
        each=each,
    )


_PAGES: Final = (20_000, 20_000, 200)

ROWS: Final = (
    _list("list-2000", "list, pages of 2000, unread", _PAGES, {"tocsin": 3.0, "tocsin-stock": 1.8}),
    _list(
        "list-2000-six",
        "list, pages of 2000, six fields read",
        _PAGES,
        {"tocsin": 1.2, "tocsin-stock": 1.0},
        cpu_bars={"tocsin": 1.25, "tocsin-stock": 1.25},
        touch=True,
    ),
    _list(
        "list-50ms",
        "the same, server takes 50 ms, unread",
        _PAGES,
        {"tocsin": 2.0, "tocsin-stock": 2.0},
        delay_ms=50,
    ),
    _list(
        "list-50ms-six",
        "the same, six fields read",
        _PAGES,
        {"tocsin": 2.0, "tocsin-stock": 2.0},
        delay_ms=50,
        touch=True,
    ),
    _list("list-100", "list, pages of 100, unread", (5000, 2500, 200), {"tocsin": 1.0}, page_size=100),
    _list(
        "list-100-six",
        "list, pages of 100, six fields read",
        (5000, 2500, 200),
        {"tocsin": 1.0},
        page_size=100,
        touch=True,
    ),
    _calls("get", 1, 0.9),
    _calls("get", 16, 0.9),
    _calls("get", 256, 0.9),
    _calls("post", 1, 0.9),
    _calls("post", 16, 0.9),
    _calls("post", 256, 0.9),
    _list(
        "tls-list", "list, pages of 2000, six fields read, TLS", _PAGES, {"tocsin": 1.0}, touch=True, tls=True
    ),
    _calls("get", 1, 0.9, tls=True),
    _calls("get", 16, 0.9, tls=True),
    _events(1, 0.9),
    _events(10, 1.5),
    _events(100, 2.5),
    _events(1000, 2.5),
    Row(
        "retry",
        "a call that does not fail",
        "retry",
        (20_000, 5000, 10),
        ("bare", "tocsin-retry", "tenacity"),
    ),
    Row(
        "import",
        "import in a fresh process",
        "import",
        (1, 1, 1),
        ("pyc8y", "c8y_api", "aiocometd-ng", "tocsin"),
        {"tocsin": 1 / 0.85},
    ),
    Row("memory", "list, pages of 2000, unread", "memory", (1_000_000, 200_000, 200), _LISTS),
    Row(
        "subscribers",
        "idle subscribers",
        "subscribers",
        (1000, 100, 3),
        ("aiocometd-ng", "tocsin-bayeux", "tocsin-bayeux-stock", "tocsin-changes"),
    ),
)


def chosen(names: Sequence[str]) -> list[Row]:
    """The rows of those names; a name that others begin with stands for all of them.

    Raises:
        ValueError: There is no such row.
    """
    for name in names:
        if not any(_matches(row.name, name) for row in ROWS):
            known = ", ".join(row.name for row in ROWS)
            raise ValueError(f"there is no row {name!r}; there are {known}")
    return [row for row in ROWS if not names or any(_matches(row.name, name) for name in names)]


def _matches(row: str, name: str) -> bool:
    return row == name or row.startswith(name + "-")
