"""What a topic is fed with.

Source: Cumulocity OpenAPI "core", "Subscriptions" of Notification 2.0; reference `cumulocity.md` 4.1.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from tocsin._http._request import Request
from tocsin.cumulocity._observe import alarm_id, read_alarm
from tocsin.cumulocity._service import needing, retold
from tocsin.cumulocity._window import read_rows
from tocsin.cumulocity.notification2._names import ROLE, check_name, type_filter
from tocsin.errors import ConfigurationError, ConflictError, NotFoundError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tocsin._http._core import HttpCore

__all__ = ["NotificationSubscription", "NotificationSubscriptions"]

_PATH: Final = "/notification2/subscriptions"
_PAGE: Final = 2000
_MOST_PAGES: Final = 500
_TENANT: Final = "tenant"
_DEVICE: Final = "mo"


@dataclass(frozen=True, slots=True)
class NotificationSubscription:
    """One rule that feeds a topic. Several may feed the same one.

    Attributes:
        id: The platform's id.
        name: The topic.
        context: ``tenant``, or ``mo`` for one device or asset.
        source: The id of that; None for the tenant.
        apis: What is told, such as ``alarms``; empty for everything.
        type_filter: Which types, in the platform's words; None for all.
        non_persistent: What nobody is connected for is not kept.
    """

    id: str
    name: str
    context: str
    source: str | None = None
    apis: tuple[str, ...] = ()
    type_filter: str | None = None
    non_persistent: bool = False


class NotificationSubscriptions:
    """The subscriptions of a tenant: what is fed into which topic. Made by `Cumulocity.notification2`.

    A subscription is no consumer: deleting one stops the feeding, and leaves consumers with what waits for
    them. All methods need ``ROLE_NOTIFICATION_2_ADMIN``.
    """

    __slots__ = ("_core",)

    def __init__(self, core: HttpCore) -> None:
        self._core = core

    async def ensure(
        self,
        name: str,
        *,
        source: str | int | None = None,
        apis: Iterable[str] = ("alarms",),
        types: str | Iterable[str] | None = None,
        non_persistent: bool = False,
    ) -> bool:
        """See to it that a subscription is there. It takes effect some seconds later.

        Cancelling it leaves unknown whether it was made.

        Args:
            name: The topic: letters and digits.
            source: The id of a device or asset; None: the whole tenant.
            apis: What is told, such as ``alarms`` or, for a source, ``alarmsWithChildren``.
            types: Only of these types.
            non_persistent: Keep nothing for consumers that are not connected.

        Returns:
            Whether it was made; False if one with the same content was there.

        Raises:
            ConfigurationError: The platform takes no such name or filter.
            PermissionDeniedError: ``ROLE_NOTIFICATION_2_ADMIN`` is missing.
            NotFoundError: There is no such source, or the tenant has no Notification 2.0.
        """
        wanted = _content(name, source, apis, types, non_persistent=non_persistent)
        body = json.dumps(wanted).encode()
        try:
            with needing(ROLE):
                await self._core.send(Request("POST", _PATH, body=body, idempotent=True))
        except ConflictError:
            return False
        except NotFoundError as error:
            retold(error, "; there is no such source, or the tenant has no Notification 2.0")
            raise
        return True

    async def list(
        self, name: str | None = None, *, source: str | int | None = None
    ) -> tuple[NotificationSubscription, ...]:
        """Read all that are there.

        Args:
            name: Only those that feed this topic.
            source: Only those of this device or asset.

        Raises:
            PermissionDeniedError: ``ROLE_NOTIFICATION_2_ADMIN`` is missing.
            ProtocolError: The answer is no list of subscriptions.
        """
        query: list[tuple[str, str]] = []
        if name is not None:
            query.append(("subscription", check_name(name, "a subscription's name")))
        if source is not None:
            query += [("context", _DEVICE), ("source", str(source))]
        found: dict[str, NotificationSubscription] = {}
        for page in range(1, _MOST_PAGES + 1):
            with needing(ROLE):
                window = await read_rows(
                    self._core, _PATH, "subscriptions", tuple(query), page_size=_PAGE, page=page
                )
            before = len(found)
            found |= {one.id: one for one in map(_subscription, window.rows)}
            if not window.more or len(found) == before:
                break
        return tuple(found.values())

    async def delete(self, subscription: NotificationSubscription | str) -> bool:
        """Delete one: the topic is not fed by it any more. Consumers and what waits for them stay.

        Args:
            subscription: It, or its id.

        Returns:
            False if it was not there.

        Raises:
            PermissionDeniedError: ``ROLE_NOTIFICATION_2_ADMIN`` is missing.
        """
        found = subscription.id if isinstance(subscription, NotificationSubscription) else str(subscription)
        if not found.strip(" ."):
            raise ConfigurationError("a subscription's id is a text that is not empty")
        try:
            with needing(ROLE):
                await self._core.send(Request("DELETE", f"{_PATH}/{quote(found, safe='')}"))
        except NotFoundError:
            return False
        return True

    def __repr__(self) -> str:
        return f"<NotificationSubscriptions of {self._core.base_url}>"


def _content(
    name: str,
    source: str | int | None,
    apis: Iterable[str],
    types: str | Iterable[str] | None,
    *,
    non_persistent: bool,
) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "context": _TENANT if source is None else _DEVICE,
        "subscription": check_name(name, "a subscription's name"),
        "nonPersistent": non_persistent,
    }
    if source is not None:
        wanted["source"] = {"id": str(source)}
    chosen: dict[str, Any] = {"apis": [apis] if isinstance(apis, str) else list(apis)}
    if not chosen["apis"]:
        raise ConfigurationError("apis is empty: name at least one, such as 'alarms'")
    if types is not None:
        kinds = frozenset((types,)) if isinstance(types, str) else frozenset(types)
        chosen["typeFilter"] = type_filter(kinds)
        if chosen["typeFilter"] is None:
            raise ConfigurationError("types: at least one, and none with an apostrophe or a backslash")
    wanted["subscriptionFilter"] = chosen
    return wanted


def _subscription(raw: bytes) -> NotificationSubscription:
    row = read_alarm(raw)
    found, name = alarm_id(row), row.get("subscription")
    if found is None or not isinstance(name, str):
        raise ProtocolError("a subscription in the list has no id or no name")
    chosen = row.get("subscriptionFilter")
    chosen = chosen if isinstance(chosen, dict) else {}
    apis, kinds = chosen.get("apis"), chosen.get("typeFilter")
    return NotificationSubscription(
        found,
        name,
        str(row.get("context", _TENANT)).lower(),
        alarm_id(row.get("source")),
        tuple(str(api) for api in apis) if isinstance(apis, list) else (),
        kinds if isinstance(kinds, str) else None,
        row.get("nonPersistent") is True,
    )
