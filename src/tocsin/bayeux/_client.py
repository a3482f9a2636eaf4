"""A Bayeux client of its own, for any server that speaks the protocol."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import urlsplit

from tocsin._http._core import HttpCore
from tocsin._http._entered import EnteredClient
from tocsin._stream._backoff import ReconnectPolicy
from tocsin._stream._owner import TaskOwner
from tocsin.bayeux._channels import check_channel
from tocsin.bayeux._line import MAX_MESSAGE_BYTES, BayeuxTransport, Line
from tocsin.bayeux._settings import SessionSettings
from tocsin.bayeux._subscription import Subscription
from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    import random
    import ssl
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from tocsin._http._auth import Auth
    from tocsin._http._transport import Certificate, TransportFactory
    from tocsin._http._wire import Middleware
    from tocsin.bayeux._subscriber import Subscriber

__all__ = ["BayeuxClient"]


class BayeuxClient(EnteredClient):
    """Follows channels of a Bayeux server; an async context manager, left in the task that entered it.

    One session serves all subscriptions. It is opened by the first one and ended with the last; when it is
    lost, a new one is made and every channel subscribed again. After it is left it may be entered again, also
    on another event loop.

    ::

        async with BayeuxClient("https://example.com/cometd") as client:
            async with client.subscribe("/news/*") as news:
                async for item in news:
                    match item:
                        case Event(): print(item.channel, item.json())
                        case Interruption(): print("may have missed", item.since, item.until)

    Args:
        url: Where the server speaks Bayeux: scheme, host, path; no query.
        auth: Gives requests their credentials.
        advice_timeout: Seconds for which the server is asked to hold a poll.
        liveness: Seconds of silence after which the peer of a held poll counts as dead.
        allowance: Seconds that the network may take.
        reconnect: When a broken connection is tried again.
        transport: ``websocket``, ``long-polling``, or ``auto``: a WebSocket where there is one to be had.
        handshake_ext: Called for each handshake, also automatic ones: what goes into its `ext`.
        open_timeout: Seconds after which entering a subscription gives up on a server that cannot be reached;
            None waits for ever.
        close_timeout: Seconds that leaving may take, whatever the server does.
        max_message_bytes: The largest answer that is read, decompressed.
        headers: Sent with each request.
        user_agent: Instead of ``tocsin/<version>``.
        verify: True, False, a file or folder of authorities, or an `ssl.SSLContext`.
        cert: A client certificate.
        proxy: The URL of a proxy; None: as the environment says.
        trust_env: Whether the environment's proxies are obeyed.
        transport_factory: Makes httpx transports instead of us.
        middleware: Called for each request.
        rng: Draws the jitter.
        clock: Aware UTC now, for the times of interruptions.

    Raises:
        ConfigurationError: An argument makes no sense.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: Auth | None = None,
        advice_timeout: float = 30.0,
        liveness: float = 45.0,
        allowance: float = 10.0,
        reconnect: ReconnectPolicy = ReconnectPolicy(),  # noqa: B008 - frozen
        transport: BayeuxTransport = "auto",
        handshake_ext: Callable[[], Mapping[str, Any]] | None = None,
        open_timeout: float | None = 60.0,
        close_timeout: float = 2.0,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        headers: Mapping[str, str] | None = None,
        user_agent: str | None = None,
        verify: bool | str | Path | ssl.SSLContext = True,
        cert: Certificate | None = None,
        proxy: str | None = None,
        trust_env: bool = True,
        transport_factory: TransportFactory | None = None,
        middleware: Sequence[Middleware] = (),
        rng: random.Random | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        origin, self._path = _split(url)
        self._make_core = partial(
            HttpCore,
            origin,
            auth=auth,
            headers=headers,
            user_agent=user_agent,
            verify=verify,
            cert=cert,
            proxy=proxy,
            trust_env=trust_env,
            transport_factory=transport_factory,
            middleware=middleware,
            rng=rng,
            clock=clock,
        )
        self._core: HttpCore | None = self._make_core()  # so that wrong settings show here
        self._settings = SessionSettings(
            advice_timeout=advice_timeout,
            liveness=liveness,
            allowance=allowance,
            close_timeout=close_timeout,
            reconnect=reconnect,
            handshake_ext=handshake_ext,
        )
        if transport not in get_args(BayeuxTransport):
            known = ", ".join(repr(name) for name in get_args(BayeuxTransport))
            raise ConfigurationError(f"transport={transport!r} is unknown: use one of {known}")
        self._transport: BayeuxTransport = transport
        self._open_timeout = open_timeout
        self._max_bytes = max_message_bytes
        self._rng = rng
        self._wall = clock or _utc_now
        self._owner = TaskOwner("Bayeux client")
        self._subscriber: Subscriber | None = None

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        core, self._core = self._core or self._make_core(), None
        line = Line(core, [self._path], self._settings, self._rng, self._transport, max_bytes=self._max_bytes)
        async with core, self._owner.open():
            line.start(self._owner)
            self._subscriber = line.subscriber
            try:
                yield self
            finally:
                self._subscriber = None

    def subscribe(self, *channels: str, buffer: int = 1000, unique: bool = False) -> Subscription:
        """Listen to channels: names, or patterns that end in ``*`` or ``**``.

        Args:
            channels: At least one.
            buffer: How many messages may wait for the consumer.
            unique: Give equal messages that come within a second once: some servers send a copy for each
                pattern that matches.

        Returns:
            What is entered with `async with` and then iterated.

        Raises:
            ConfigurationError: A name is no channel, or there is none.
        """
        if not channels:
            raise ConfigurationError("subscribe() needs at least one channel")
        return Subscription(
            self._open_subscriber,
            tuple(check_channel(channel) for channel in channels),
            buffer=buffer,
            unique=unique,
            open_timeout=self._open_timeout,
            wall=self._wall,
        )

    def _open_subscriber(self) -> Subscriber:
        self._owner.check_open()
        assert self._subscriber is not None  # noqa: S101 - check_open has just said so
        return self._subscriber

    def __repr__(self) -> str:
        return f"<BayeuxClient {self._path}, {'open' if self._owner.is_open else 'closed'}>"


def _split(url: str) -> tuple[str, str]:
    """Cut a URL into the server and the path; what else is wrong with it `HttpCore` says."""
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ConfigurationError("a Bayeux server's URL has no query and no fragment")
    return f"{parts.scheme}://{parts.netloc}", parts.path or "/"


def _utc_now() -> datetime:
    return datetime.now(UTC)
