"""Makes the consumer of one stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tocsin.cumulocity.notification2._aside import SetAside
from tocsin.cumulocity.notification2._names import check_name, topic_of, type_filter
from tocsin.errors import ConfigurationError

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

__all__ = ["Durable", "Notifications"]


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
        )
        consumer = Consumer(core, token, lambda: _feed(core, topic, scope), live, settings, self.rng)
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
        )


async def _feed(core: HttpCore, topic: str, scope: Scope) -> None:
    """See to it that a topic is fed with a scope: once for the tenant, or once for each source."""
    from tocsin.cumulocity.notification2._subscriptions import NotificationSubscriptions

    subscriptions = NotificationSubscriptions(core)
    types = scope.types if type_filter(scope.types) is not None else None
    if not scope.sources:
        await subscriptions.ensure(topic, types=types)
        return
    api = "alarmsWithChildren" if scope.children else "alarms"
    for source in scope.sources:
        await subscriptions.ensure(topic, source=source, apis=(api,), types=types)
