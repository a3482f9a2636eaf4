"""The token of a consumer: made by the client's own rights, renewed before it expires, never shown.

Source: Cumulocity OpenAPI "core", ``POST /notification2/token``; reference `cumulocity.md` 4.2.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from anyio import current_time

from tocsin._http._jwt import expiry
from tocsin._http._request import Request
from tocsin._http._retry import RetryPolicy
from tocsin.cumulocity._service import needing
from tocsin.cumulocity.notification2._names import ROLE
from tocsin.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tocsin._http._core import HttpCore

__all__ = ["ConsumerToken"]

_PATH: Final = "/notification2/token"
_MARGIN: Final = 60.0
"""Seconds before its end in which a token is not used any more."""
_MINUTES: Final = 1440


class ConsumerToken:
    """The right to consume one subscription as one subscriber.

    Args:
        core: Sends the requests.
        subscription: The topic.
        subscriber: The name under which the platform keeps what was acknowledged.
        shared: Whether several clients may consume at once.
        non_persistent: As the subscription says.
        clock: Aware UTC now, where the server does not tell the time.
    """

    __slots__ = ("_clock", "_core", "_good_until", "_terms", "_value")

    def __init__(
        self,
        core: HttpCore,
        *,
        subscription: str,
        subscriber: str,
        clock: Callable[[], datetime],
        shared: bool = False,
        non_persistent: bool = False,
    ) -> None:
        self._core = core
        self._terms = {
            "subscriber": subscriber,
            "subscription": subscription,
            "expiresInMinutes": _MINUTES,
            "type": "notification",
            "signed": True,
            "shared": shared,
            "nonPersistent": non_persistent,
        }
        self._clock = clock
        self._value: str | None = None
        self._good_until = 0.0

    @property
    def value(self) -> str | None:
        """The token that can be used now; None: one must be made."""
        if self._value is not None and current_time() >= self._good_until:
            self._value = None
        return self._value

    async def make(self) -> str:
        """Make a new one. Cancelling it is safe.

        Raises:
            PermissionDeniedError: The role is missing; it is named.
            TocsinError: There was no answer, or one without a token.
        """
        self._value = None
        body = json.dumps(self._terms).encode()
        request = Request("POST", _PATH, body=body, idempotent=True, retry=RetryPolicy.none())
        with needing(ROLE):
            response = await self._core.send(request)
        found = response.json()
        token = found.get("token") if isinstance(found, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise ProtocolError(f"the answer to POST {_PATH} has no token", reason="no token was given")
        self._core.hide(token)
        until = expiry(token)
        if until is None:
            left = _MINUTES * 60.0
        else:
            left = (until - (response.date or self._clock())).total_seconds()
        # A token that seems to be over is tried once all the same: one of both clocks may be wrong.
        self._good_until = current_time() + max(left - min(_MARGIN, left * 0.1), 1.0)
        self._value = token
        return token

    def drop(self) -> None:
        """Use it no more: it was refused."""
        self._value = None

    def __repr__(self) -> str:
        return f"<ConsumerToken of {self._terms['subscriber']!r}>"
