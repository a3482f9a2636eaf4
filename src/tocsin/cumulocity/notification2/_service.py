"""Notification 2.0 of one tenant: what feeds topics, and how consumers end for good.

Source: Cumulocity OpenAPI "core", "Notification 2.0"; reference `cumulocity.md` 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tocsin._http._request import Request
from tocsin.cumulocity._scope import Scope
from tocsin.cumulocity.notification2._names import check_name, topic_of
from tocsin.cumulocity.notification2._subscriptions import NotificationSubscriptions
from tocsin.cumulocity.notification2._tokens import ConsumerToken
from tocsin.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from tocsin._http._core import HttpCore

__all__ = ["Notification2"]

_UNSUBSCRIBE: Final = "/notification2/unsubscribe"


class Notification2:
    """Notification 2.0 of one tenant. Made by `Cumulocity.notification2`.

    Changes are followed by ``alarms.changes(transport="notification2", subscriber="…")``; here is what goes
    before and after. All of it needs ``ROLE_NOTIFICATION_2_ADMIN``, and whoever has that sees the changes of
    all devices: inventory roles do not count.
    """

    __slots__ = ("_clock", "_core")

    def __init__(self, core: HttpCore, clock: Callable[[], datetime]) -> None:
        self._core = core
        self._clock = clock

    @property
    def subscriptions(self) -> NotificationSubscriptions:
        """What feeds topics."""
        return NotificationSubscriptions(self._core)

    def topic(
        self,
        source: str | int | Iterable[str | int] = "*",
        *,
        children: bool = False,
        type: str | Iterable[str] | None = None,  # noqa: A002 - the platform's word
    ) -> str:
        """The name of the subscription that `changes` makes for these alarms.

        Args:
            source: As for `changes`.
            children: As for `changes`.
            type: As for `changes`.

        Raises:
            ConfigurationError: The arguments make no sense.
        """
        return topic_of(Scope.of(source, children=children, type=type))

    async def unsubscribe(
        self, subscriber: str, subscription: str | None = None, *, shared: bool = False
    ) -> bool:
        """End a consumer for good: what waits for it is thrown away, and nothing is kept for it any more.

        Nobody should be connected as it: close its streams first, and delete its subscriptions afterwards, if
        no other consumer wants them. Cancelling it leaves unknown whether it took effect.

        Args:
            subscriber: The consumer.
            subscription: The topic; None: that of all alarms, as `topic()` names it.
            shared: Whether it was a shared consumer.

        Returns:
            False if there was no such consumer.

        Raises:
            ConfigurationError: The platform takes no such name.
            PermissionDeniedError: ``ROLE_NOTIFICATION_2_ADMIN`` is missing.
        """
        token = ConsumerToken(
            self._core,
            subscriber=check_name(subscriber, "a subscriber's name"),
            subscription=self.topic() if subscription is None else check_name(subscription, "subscription"),
            shared=shared,
            clock=self._clock,
        )
        query = (("token", await token.make()),)
        try:
            # DONE and SCHEDULED both mean that it is, or will be, gone.
            await self._core.send(Request("POST", _UNSUBSCRIBE, query, idempotent=True))
        except NotFoundError:
            return False
        return True

    def __repr__(self) -> str:
        return f"<Notification2 of {self._core.base_url}>"
