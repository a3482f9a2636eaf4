"""`tocsin watch --config FILE`: several sources as one stream."""

from __future__ import annotations

from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from anyio.lowlevel import checkpoint

from tocsin._watch import watch
from tocsin.cli._config import read_config
from tocsin.cli._connect import make_client
from tocsin.cli._platforms import dialect_of
from tocsin.cli._run import DONE
from tocsin.cli._secrets import read_secret
from tocsin.cli._views import choose_view
from tocsin.cli._watch import Following, is_trouble
from tocsin.errors import ConfigurationError, ConnectError
from tocsin.models import StreamState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tocsin._watch import Watch
    from tocsin.cli._config import SourceConfig
    from tocsin.cli._output import Output

__all__ = ["Part", "watch_config"]

_FIRST_LOOK: Final = 10.0
"""Seconds that what the first sources give is held back for those that neither answer nor fail."""


async def watch_config(path: Path, output: Output, *, snapshot: bool, wait: bool, jsonl: bool) -> int:
    """Follow all sources of a file and show them until interrupted.

    Raises:
        ConfigurationError: Something in the file makes no sense.
        TocsinError: No source is left; with `wait` off also: the first connection to one of them failed.
    """
    sources = read_config(path)
    parts = [await _part(source) for source in sources]
    async with AsyncExitStack() as stack:
        for part in parts:
            with part.placed():
                await stack.enter_async_context(part.client)
        stream = watch(*parts, snapshot=snapshot, open_timeout=_FIRST_LOOK)
        title = ", ".join(source.name for source in sources)
        view = choose_view(output, title, jsonl=jsonl, several=len(sources) > 1)
        beside = checkpoint if wait else partial(_until_all_are_there, stream)
        await Following(stream, view, patient=True, beside=beside).run()
    return DONE


async def _until_all_are_there(stream: Watch) -> None:
    """Raise the first trouble before each source was connected once."""
    missing = set(stream.sites)
    async for change in stream.states():
        if change.state is StreamState.CONNECTED:
            missing.discard(change.site)
        elif change.site in missing and is_trouble(change):
            raise ConnectError(f"no connection to {change.site}: {change.cause}")
        if not missing:
            return


async def _part(source: SourceConfig) -> Part:
    """Make a source's client, and say with it which of its alarms are wanted."""
    dialect = dialect_of(source.connection.platform.value)
    found: dict[str, str] = {}
    if source.secret is not None:
        secret = await read_secret(source.secret, source.place)
        found[dialect.variables.get(source.secret.kind, source.secret.kind)] = secret
    with _placed(source.place):
        client = make_client(source.connection, name=source.name, anonymous=True, environ=found)
        scoped = dialect.changes(source.scope, transport=source.transport.value, subscriber=source.subscriber)
        return Part(client, scoped, source.place)


@contextmanager
def _placed(place: str) -> Iterator[None]:
    """Say of a mistake where in the file it is."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error}" if place else str(error)) from None


class Part:
    """A client, of whose alarms a watch is to follow some: what `watch` takes for a client.

    Args:
        client: The client.
        scoped: What `changes` is given besides.
        place: The file and the source, for messages.
    """

    def __init__(self, client: Any, scoped: dict[str, Any], place: str = "") -> None:
        self.client = client
        self._scoped = scoped
        self._place = place

    def placed(self) -> AbstractContextManager[None]:
        """Say of a mistake where in the file it is."""
        return _placed(self._place)

    @property
    def site(self) -> str:
        """The client's name."""
        site: str = self.client.site
        return site

    @property
    def alarms(self) -> Part:
        """What makes the streams."""
        return self

    def changes(self, **options: Any) -> Any:
        """Make a stream of some of the client's alarms."""
        if self._scoped.get("subscriber") is not None:
            del options["checkpoint"]  # the platform itself keeps what was not handled
        with self.placed():
            return self.client.alarms.changes(**self._scoped, **options)
