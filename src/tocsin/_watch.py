"""One stream over any number of clients, whatever their platforms.

Each source is followed by a task of its own (`WatchedSource`) and hands over one item at a time; the consumer
takes from those that have one in the order in which they came, so that a busy one never starves another.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from anyio import CancelScope, Event, move_on_after
from anyio.lowlevel import checkpoint

from tocsin._http._entered import EnteredClient
from tocsin._http._retry import JITTER
from tocsin._stream._backoff import ReconnectPolicy
from tocsin._stream._joined_states import JoinedStates, StatesOfAll
from tocsin._stream._owner import TaskOwner
from tocsin._stream._selection import Selection
from tocsin._stream._stream import ChangesOnly
from tocsin._stream._watched import Terms, WatchedSource
from tocsin.errors import ConfigurationError
from tocsin.models import StreamState

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
    from typing import Literal

    from tocsin._stream._buffer import Overflow
    from tocsin._stream._states import StateChange
    from tocsin._stream._watched import AlarmClient
    from tocsin.models import AlarmLike, Change, Gap, Level, Phase, StreamHealth, StreamStats

__all__ = ["Watch", "watch"]

_LONGEST: Final = 10.0
"""Seconds that `aclose` waits at most; the clients' own `close_timeout` is far below it."""


def watch(
    *clients: AlarmClient,
    level: Level | str | Iterable[Level | str] | None = None,
    phase: Phase | str | Iterable[Phase | str] | None = None,
    snapshot: bool | Literal["all"] = False,
    overflow: Overflow = "recover",
    buffer: int = 5000,
    reconnect: ReconnectPolicy = ReconnectPolicy(),  # noqa: B008 - frozen
    refused: float | None = 900.0,
    open_timeout: float | None = 60.0,
    clock: Callable[[], datetime] | None = None,
    rng: random.Random | None = None,
) -> Watch:
    """Follow the alarms of several tenants and sites, of any platform, as one stream.

    Nothing is sent before it is entered with ``async with``.

    Args:
        clients: Open clients, such as `Cumulocity` and `XProtect`; their sites (`name=`) must differ.
        level: Only alarms of these levels; one that leaves them is given once more.
        phase: Only alarms in these phases; likewise.
        snapshot: Begin with what is there: True for the open alarms, "all" for all; False for neither.
        overflow: What happens when a source's `buffer` is full: see `Alarms.changes`. With "drop_oldest" a
            source that had to begin anew says by a `Gap` what it cannot read back.
        buffer: Changes of each source that may wait for the consumer.
        reconnect: When a source whose stream ended is tried again.
        refused: Seconds until a source is tried again that refused the credentials, or where something else
            is wrong that only somebody can mend; None: never, it is over.
        open_timeout: Seconds for which entering waits for sources that neither answer nor fail; None: for
            as long as that takes. It is no error: they go on being tried.
        clock: Aware UTC now.
        rng: Draws the jitter.

    Returns:
        An async context manager and async iterator of `Change[AlarmLike] | Gap`.

    Raises:
        ConfigurationError: No client, two of one site, or arguments that make no sense.
    """
    if not clients:
        raise ConfigurationError("watch() needs a client at least, such as Cumulocity(…)")
    if open_timeout is not None and not open_timeout > 0:
        raise ConfigurationError("open_timeout must be above 0 seconds, or None")
    if refused is not None and not refused > 0:
        raise ConfigurationError("refused must be above 0 seconds, or None")
    selection = Selection(level, phase)
    terms = Terms(selection, snapshot, overflow, buffer, reconnect, refused, rng or JITTER)
    return Watch(clients, terms, open_timeout=open_timeout, clock=clock or _utc_now)


class Watch(EnteredClient):
    """One stream of the changes of several sites. Enter it with ``async with``, and leave it in that task.

    Entering returns once every source is attached or has said why not. A source that is down, or fails for
    good, is told by its state, tried again, and by a `Gap` once it is back; the others go on meanwhile.
    Leaving ends all its streams; the clients stay open. An error in the block leaves as itself.

    As with a `ChangeStream`, an item is handled when the next one is asked for. Made by `watch`.
    """

    def __init__(
        self,
        clients: Iterable[AlarmClient],
        terms: Terms,
        *,
        open_timeout: float | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._sources: dict[str, WatchedSource] = {}
        for client in clients:
            if client.site in self._sources:
                raise ConfigurationError(
                    f"two clients have the site {client.site!r}, and alarms are told apart by it: "
                    "give them different name="
                )
            self._sources[client.site] = WatchedSource(client, terms, ready=self._came)
        self._owner = TaskOwner("watch")
        self._states = JoinedStates({site: source.platform for site, source in self._sources.items()}, clock)
        self._open_timeout = open_timeout
        self._waiting: deque[WatchedSource] = deque()
        self._given: WatchedSource | None = None
        self._arrived: Event | None = None
        self._taking = False
        self._entered = False
        self._closed = False
        self._told = False

    def __repr__(self) -> str:
        now = ", ".join(f"{site}: {change.state}" for site, change in self._states.current.items())
        return f"<Watch of {now}>"

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        if self._entered or self._closed:
            raise ConfigurationError("the watch is closed: make a new one")
        self._entered = True
        async with self._owner.open():
            try:
                began = self._states.now()
                for source in self._sources.values():
                    self._owner.start(partial(source.run, self._owner, self._states), f"watch {source.site}")
                await self._settle(began)
                yield self
                await self._end(handled=True)
            finally:
                self._stop(handled=False)

    async def _settle(self, began: datetime) -> None:
        """Wait until every source is attached or has said why not."""
        with move_on_after(self._open_timeout):
            for source in self._sources.values():
                await source.settled.wait()
        for source in self._sources.values():
            if source.misused and source.failure is not None:
                raise source.failure
            source.unseen(began)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change[AlarmLike] | Gap:
        """Wait for the next change or gap of any source. Cancelling it loses nothing.

        Raises:
            StopAsyncIteration: The watch was closed, or has raised its error.
            TocsinError: No source is left, because their clients were closed or `refused` is None: why the
                first of them ended.
            ConfigurationError: The watch is not open, or another task is iterating.
        """
        if not self._entered:
            raise ConfigurationError("the watch is not open: use `async with`")
        if self._taking:
            raise ConfigurationError("another task is iterating over this watch: make one for each")
        self._handle()
        self._taking = True
        try:
            source = await self._next()
        finally:
            self._taking = False
        if source is None:
            raise StopAsyncIteration
        self._given = source
        return source.fetch()

    async def _next(self) -> WatchedSource | None:
        if self._waiting and not self._closed:
            await checkpoint()
        while not (self._closed or self._waiting):
            if self._states.all_closed:
                self._raise_last()
                return None
            self._arrived = Event()
            try:
                await self._arrived.wait()
            finally:
                self._arrived = None
        return self._waiting.popleft() if self._waiting and not self._closed else None

    def _raise_last(self) -> None:
        """All sources are over: say why, once."""
        failure = next((one.failure for one in self._sources.values() if one.failure is not None), None)
        if failure is not None and not self._told:
            self._told = True
            raise failure

    def _came(self, source: WatchedSource | None) -> None:
        if source is not None:
            self._waiting.append(source)
        if self._arrived is not None:
            self._arrived.set()

    def _handle(self) -> None:
        """What was given last is handled."""
        source, self._given = self._given, None
        if source is not None:
            source.handled()

    def only_changes(self) -> ChangesOnly[AlarmLike]:
        """Iterate over the changes alone.

        Returns:
            An async iterator of `Change[AlarmLike]`. It raises `GapError` where changes of a site were lost
            for good; iterating on afterwards goes on after the gap.
        """
        return ChangesOnly(self)

    async def aclose(self) -> None:
        """End all its streams. Any task may call it, also while another one iterates, and more than once.

        It takes a client's `close_timeout` or little more. Cancelling it does not keep the watch open.
        """
        await self._end(handled=False)

    def _stop(self, *, handled: bool) -> None:
        self._closed = True
        given, self._given = self._given, None
        for source in self._sources.values():
            source.stop(handled=handled and source is given)
        self._waiting.clear()
        self._came(None)

    async def _end(self, *, handled: bool) -> None:
        self._stop(handled=handled)
        if not self._owner.is_open:
            for site in self._sources:
                self._states.post(site, StreamState.CLOSED, None)
            return
        with CancelScope(shield=True), move_on_after(_LONGEST):
            for source in self._sources.values():
                await source.ended.wait()

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites, in the order in which their clients were given."""
        return tuple(self._sources)

    @property
    def state(self) -> Mapping[str, StateChange]:
        """What each site's source does now, since when, and why."""
        return dict(self._states.current)

    def states(self) -> StatesOfAll:
        """Watch what the sources do, from any task, beginning with the present state of each.

        It can be called before the watch is entered. A source whose stream ended for good is
        `RECONNECTING` with the cause until it is tried again. It ends once all are `StreamState.CLOSED`.
        """
        return StatesOfAll(self._states)

    async def wait_state(self, *states: StreamState) -> None:
        """Wait until every source is in one of the given states.

        Args:
            states: The states to wait for; without any, `StreamState.CONNECTED`.

        Raises:
            TocsinError: A source has ended, and `CLOSED` was not among the states.
        """
        await self._states.wait_for(states or (StreamState.CONNECTED,))

    @property
    def stats(self) -> Mapping[str, StreamStats]:
        """The counters of each site so far, before the filters by level and phase."""
        return {site: source.stats for site, source in self._sources.items()}

    def health(self) -> Mapping[str, StreamHealth]:
        """What a readiness probe asks for, of each site: cheap, from any task of the event loop."""
        return {site: source.health(self._states) for site, source in self._sources.items()}


def _utc_now() -> datetime:
    return datetime.now(UTC)
