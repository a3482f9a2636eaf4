"""The identity provider of XProtect and the discovery of its services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from tocsin.emulator._http import Exchange, Reply, Routes
from tocsin.emulator._json import dump
from tocsin.emulator._xprotect_errors import ApiError, TokenError

if TYPE_CHECKING:
    from tocsin.emulator._xprotect_access import Account, XProtectAccess
    from tocsin.emulator._xprotect_ntlm import NtlmGate
    from tocsin.emulator._xprotect_settings import XProtectSettings

GATEWAY_LOGIN: Final = "/API/IDP/connect/token"
LOGIN: Final = "/IDP/connect/token"
URIS: Final = "/api/.well-known/uris"
OPENID: Final = "/.well-known/openid-configuration"
_CLIENT: Final = "GrantValidatorClient"
_INTERNAL: Final = "http://vms-inside.example"


class Identity:
    """Log-ins. Handlers are called with the store's lock held, and without an account.

    Args:
        access: The accounts.
        gate: Lets Windows users in; None: they cannot log in.
        settings: The VMS's behaviour.
        version: Its version.
    """

    def __init__(
        self, access: XProtectAccess, gate: NtlmGate | None, settings: XProtectSettings, version: str
    ) -> None:
        self._access = access
        self._gate = gate
        self._settings = settings
        self._version = version

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        routes.add(LOGIN.lower(), POST=self.token)
        routes.add("/idp" + OPENID, GET=self.openid)
        if self._settings.gateway:
            routes.add(GATEWAY_LOGIN.lower(), POST=self.token)
            routes.add("/api/idp" + OPENID, GET=self.openid)
            if self._settings.discovery != "absent":
                routes.add(URIS, GET=self.uris)

    def uris(self, exchange: Exchange) -> Reply:
        """Where the services are."""
        host = self._host(exchange)
        secure = f"{host}/" if host.startswith("https:") else ""
        plain = "" if secure else f"{host}/"
        return Reply(200, dump({
            "ProductVersion": self._version,
            "UnsecureManagementServer": plain,
            "SecureManagementServer": secure,
            "IdentityProvider": f"{host}/IDP",
            "ApiGateways": [f"{host}/API/"],
        }))  # fmt: skip

    def openid(self, exchange: Exchange) -> Reply:
        """The identity provider's metadata."""
        issuer = f"{self._host(exchange)}/IDP"
        return Reply(200, dump({
            "issuer": issuer,
            "token_endpoint": f"{issuer}/connect/token",
            "authorization_endpoint": f"{issuer}/connect/authorize",
            "external_providers_uri": f"{issuer}/api/v1/externalproviders",
            "server_version": self._version,
            "grant_types_supported": ["password", "windows_credentials", "client_credentials"],
        }))  # fmt: skip

    def token(self, exchange: Exchange) -> Reply:
        """A token for who shows that he is who he says."""
        kind = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise TokenError("invalid_request")
        try:
            form = dict(parse_qsl(exchange.body.decode(), keep_blank_values=True, max_num_fields=100))
        except ValueError:
            raise TokenError("invalid_request") from None
        grant = form.get("grant_type")
        if grant == "client_credentials":
            account = self._access.log_in("service", form.get("client_id", ""), form.get("client_secret", ""))
        elif form.get("client_id") != _CLIENT:
            raise TokenError("invalid_client")
        elif grant == "password":
            account = self._access.log_in("basic", form.get("username", ""), form.get("password", ""))
        elif grant == "windows_credentials":
            return self._windows(exchange)
        else:
            raise TokenError("unsupported_grant_type")
        return self._granted(account)

    def _windows(self, exchange: Exchange) -> Reply:
        if self._gate is None:
            raise TokenError("unsupported_grant_type")
        if exchange.path.lower() != LOGIN.lower():  # the gateway hands no handshake through
            raise ApiError(401, "Unauthorized")
        return self._granted(self._gate.step(exchange.client, exchange.headers.get("authorization")))

    def _granted(self, account: Account) -> Reply:
        lifetime = self._settings.token_lifetime
        return Reply(
            200,
            dump({
                "access_token": self._access.issue(account),
                "expires_in": int(lifetime),
                "token_type": "Bearer",
                "scope": "managementserver",
            }),
            headers=(("Cache-Control", "no-store"),),
        )  # fmt: skip

    def _host(self, exchange: Exchange) -> str:
        return _INTERNAL if self._settings.discovery == "internal" else exchange.base
