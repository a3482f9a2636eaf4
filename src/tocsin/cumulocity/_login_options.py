"""What kinds of log-in a tenant offers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tocsin._http._core import HttpCore
from tocsin._http._request import Request, Timeouts
from tocsin.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

    from tocsin._http._transport import Certificate, Verify

__all__ = ["LoginOption", "login_options"]


@dataclass(frozen=True, slots=True)
class LoginOption:
    """One kind of log-in.

    Attributes:
        type: ``BASIC``, ``OAUTH2_INTERNAL`` (`OAuthInternal`), ``OAUTH2`` (single sign-on in a browser), or
            what the server calls it, in capitals.
        id: The option's id, or None.
        provider: Who logs users in, or None.
        visible: Whether the platform shows it on its log-in page; None: it does not say.
        raw: The option as the server sent it.
    """

    type: str
    id: str | None = None
    provider: str | None = None
    visible: bool | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


async def login_options(
    base_url: str,
    *,
    tenant: str | None = None,
    timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
    verify: Verify = True,
    cert: Certificate | None = None,
    proxy: str | None = None,
    trust_env: bool = True,
    transport_factory: Callable[[], httpx.AsyncBaseTransport] | None = None,
) -> tuple[LoginOption, ...]:
    """Ask a tenant which kinds of log-in it offers. Needs no credentials and no client.

    Cancelling it closes its connection.

    Source: Cumulocity OpenAPI "core", ``GET /tenant/loginOptions``.

    Args:
        base_url: Where the tenant is.
        tenant: The tenant's id, where the host name does not tell it.
        timeouts: Time limits.
        verify: As for `Cumulocity`.
        cert: As for `Cumulocity`.
        proxy: As for `Cumulocity`.
        trust_env: As for `Cumulocity`.
        transport_factory: As for `Cumulocity`.

    Raises:
        TocsinError: There was no answer, or another one than this.
    """
    core = HttpCore(
        base_url,
        timeouts=timeouts,
        verify=verify,
        cert=cert,
        proxy=proxy,
        trust_env=trust_env,
        transport_factory=transport_factory,
    )
    query = (("tenantId", tenant),) if tenant else ()
    async with core:
        response = await core.send(Request("GET", "/tenant/loginOptions", query=query))
    body = response.json()
    found = body.get("loginOptions") if isinstance(body, dict) else None
    if not isinstance(found, list):
        raise ProtocolError("the answer to GET /tenant/loginOptions has no list loginOptions")
    return tuple(_option(option) for option in found if isinstance(option, dict))


def _option(raw: dict[str, Any]) -> LoginOption:
    visible = raw.get("visibleOnLoginPage")
    return LoginOption(
        type=(_text(raw, "type") or "").upper(),  # their case varies
        id=_text(raw, "id"),
        provider=_text(raw, "providerName"),
        visible=visible if isinstance(visible, bool) else None,
        raw=raw,
    )


def _text(raw: dict[str, Any], name: str) -> str | None:
    value = raw.get(name)
    return value if isinstance(value, str) else None
