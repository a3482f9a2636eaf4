"""Makes the consumer of one stream."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tocsin.cumulocity.notification2._aside import SetAside
from tocsin.cumulocity.notification2._names import check_name, topic_of, type_filter
from tocsin.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from datetime import datetime

    from tocsin._http._core import HttpCore
    from tocsin._stream._channel_terms import ChannelSettings
    from tocsin._stream._owner import TaskOwner
    from tocsin._stream._platform import Inlet
    from tocsin.bayeux._settings import SessionSettings
    from tocsin.cumulocity._scope import Scope
    from tocsin.cumulocity.notification2._consumer import Consumer

__all__ = ["Durable", "Feed", "Notifications"]

log = logging.getLogger("tocsin.cumulocity")

_LARGEST: Final = 32 * 2**20
"""Bytes of a message. One that is refused comes again for ever; the platform keeps none above 25 MiB."""

_LOOK: Final = 60.0
"""Seconds between two looks at what feeds a shared consumer. No read proves that it works."""


@dataclass(frozen=True, slots=True)
class Durable:
    """As whom a stream consumes.

    Attributes:
        subscriber: The name under which the platform keeps what was not handled.
        shared: Several clients share what comes; each device's alarms go to one of them.
        consumer: The name of this client among them.
    """

    subscriber: str
    shared: bool = False
    consumer: str | None = None

    def __post_init__(self) -> None:
        check_name(self.subscriber, "subscriber")
        if self.consumer is not None:
            check_name(self.consumer, "consumer")
            if not self.shared:
                raise ConfigurationError("consumer= names one client among several: it needs shared=True")


@dataclass(frozen=True, slots=True)
class Notifications:
    """What a client lends its consumers.

    Attributes:
        owner: Runs them.
        settings: Times of the client's live channels.
        rng: Draws the jitter.
        clock: Aware UTC now.
        aside: What no stream of this client is to give again.
    """

    owner: TaskOwner
    settings: SessionSettings
    rng: random.Random
    clock: Callable[[], datetime]
    aside: SetAside = field(default_factory=SetAside)

    def listen(self, inlet: Inlet[bytes], core: HttpCore, scope: Scope, durable: Durable) -> Consumer:
        """Start consuming.

        Args:
            inlet: Where it goes.
            core: Gives the connections.
            scope: Which alarms.
            durable: As whom.

        Raises:
            ConfigurationError: The client is not open.
        """
        # Loaded when somebody consumes: the client itself is to be cheap to import.
        from tocsin.cumulocity.notification2._consumer import Consumer, ConsumerSettings
        from tocsin.cumulocity.notification2._live import LiveNotifications
        from tocsin.cumulocity.notification2._tokens import ConsumerToken

        self.owner.check_open()
        topic = topic_of(scope)
        token = ConsumerToken(
            core,
            subscription=topic,
            subscriber=durable.subscriber,
            shared=durable.shared,
            clock=self.clock,
        )
        live = LiveNotifications(inlet, scope, self.aside, self.clock)
        settings = ConsumerSettings(
            channel=self._channel(),
            reconnect=self.settings.reconnect,
            close_timeout=self.settings.close_timeout,
            client=durable.consumer,
            look_every=_LOOK if durable.shared else None,
        )
        feed = Feed(core, topic, scope)
        consumer = Consumer(core, token, feed.ensure, live, settings, self.rng)
        live.acknowledge = consumer.acknowledge
        self.owner.start(consumer.run, f"notification2 consumer {durable.subscriber}")
        return consumer

    def _channel(self) -> ChannelSettings:
        """A peer that is dead is noticed within `liveness`; no socket is idle for its limit."""
        from tocsin._stream._channel_terms import ChannelSettings

        settings = self.settings
        return ChannelSettings(
            open_within=settings.allowance,
            ping_every=min(settings.liveness * 0.45, 120.0),
            pong_within=settings.liveness * 0.25,
            send_within=settings.allowance,
            close_within=settings.close_timeout,
            max_bytes=_LARGEST,
        )


class Feed:
    """What feeds a topic with a scope: one subscription of the tenant, or one of each source.

    Args:
        core: Sends the requests.
        topic: The topic.
        scope: Which alarms.
    """

    def __init__(self, core: HttpCore, topic: str, scope: Scope) -> None:
        self._core = core
        self._topic = topic
        self._scope = scope
        self._made: set[str | None] = set()

    async def ensure(self) -> bool:
        """See to it that all of it is there.

        A source that is gone after it was there takes its own subscription along, not those of others.

        Returns:
            Whether one was missing that had been there: what it would have fed is lost.

        Raises:
            NotFoundError: There never was such a source.
            TocsinError: There was no answer, or a refusal.
        """
        from tocsin.cumulocity.notification2._subscriptions import NotificationSubscriptions

        subscriptions, scope = NotificationSubscriptions(self._core), self._scope
        types = scope.types if type_filter(scope.types) is not None else None
        api = "alarmsWithChildren" if scope.children else "alarms"
        missing = False
        for source in scope.sources or (None,):
            apis = ("alarms",) if source is None else (api,)
            try:
                made = await subscriptions.ensure(self._topic, source=source, apis=apis, types=types)
            except NotFoundError:
                if source is None or source not in self._made:
                    raise
                log.warning(
                    "Notification 2.0: device %s is gone, and what fed %s with it", source, self._topic
                )
                continue
            missing |= made and source in self._made
            self._made.add(source)
        return missing
