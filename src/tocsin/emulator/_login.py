"""How users and microservices get in: OAI-Secure by token and by cookies, log-in options, subscriptions."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qs

from tocsin.emulator._access import BOOTSTRAP, Access, unauthorized
from tocsin.emulator._errors import RefusedError
from tocsin.emulator._http import Exchange, Reply, Routes
from tocsin.emulator._json import dump

PUBLIC: Final = frozenset({
    ("GET", "/tenant/loginOptions"),
    ("POST", "/tenant/oauth"),
    ("POST", "/tenant/oauth/token"),
    ("POST", "/devicecontrol/deviceAccessToken"),
    ("POST", "/notification2/unsubscribe"),
})  # fmt: skip
"""What is answered to everybody."""


class LoginApi:
    """Answers `/tenant/oauth…`, `/tenant/loginOptions`, `/user/logout` and the bootstrap users."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        routes.add("/tenant/loginOptions", GET=self.options)
        if self._access.settings.internal:
            routes.add("/tenant/oauth/token", POST=self.token)
            routes.add("/tenant/oauth", POST=self.cookies)
        if self._access.settings.certificates:
            routes.add("/devicecontrol/deviceAccessToken", POST=self.device)
        routes.add("/user/logout", POST=self.logout)
        routes.add("/application/currentApplication/subscriptions", GET=self.subscriptions)

    def options(self, exchange: Exchange) -> Reply:
        """The kinds of log-in."""
        settings = self._access.settings
        kinds = (["OAUTH2_INTERNAL"] if settings.internal else []) + (["BASIC"] if settings.basic else [])
        url = f"{exchange.base}/tenant/loginOptions"
        options: list[dict[str, Any]] = [
            {
                "id": kind,
                "self": f"{url}/{kind}",
                "type": kind,
                "userManagementSource": "INTERNAL",
                "visibleOnLoginPage": True,
                "grantType": "PASSWORD",
            }
            for kind in kinds
        ]
        return Reply(200, dump({"self": url, "loginOptions": options}), "loginOptionCollection")

    def token(self, exchange: Exchange) -> Reply:
        """A token in the body."""
        return Reply(200, dump({"access_token": self._log_in(exchange)}), "accessToken")

    def cookies(self, exchange: Exchange) -> Reply:
        """A token as a cookie that scripts cannot read, and one that they must repeat as a header."""
        token = self._log_in(exchange)
        return Reply(200, b"", "", self._access.cookies(token))

    def device(self, exchange: Exchange) -> Reply:
        """A token for the certificate that the client has shown."""
        token = self._access.device_token(exchange.peer, exchange.headers.get("x-ssl-cert-chain"))
        return Reply(200, dump({"accessToken": token}), "accessToken")

    def logout(self, exchange: Exchange) -> Reply:
        """End the session of the token that the request brings."""
        scheme, _, token = exchange.headers.get("authorization", "").partition(" ")
        bearer = token.strip() if scheme.lower() == "bearer" else ""
        self._access.log_out(bearer or exchange.cookies.get("authorization", ""))
        return Reply(200)

    def subscriptions(self, exchange: Exchange) -> Reply:
        """The service user of each tenant that is subscribed."""
        exchange.user.need(BOOTSTRAP)
        users = [
            {"tenant": tenant, "name": name, "password": password}
            for tenant, name, password in self._access.subscriptions
        ]
        return Reply(200, dump({"users": users}), "applicationUserCollection")

    def _log_in(self, exchange: Exchange) -> str:
        kind = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise RefusedError(415, "general/unsupportedMediaType", "A log-in is a form")
        try:
            form = parse_qs(exchange.body.decode("ascii"), keep_blank_values=True, max_num_fields=20)
        except ValueError:
            raise RefusedError(400, "general/malformedRequest", "The form cannot be read") from None
        field = {name: values[-1] for name, values in form.items()}
        if field.get("grant_type", "").upper() != "PASSWORD":
            raise RefusedError(400, "security/BadRequest", "Only the grant type PASSWORD is known")
        tenants = exchange.params.get("tenant_id", [self._access.tenant])
        if tenants[-1] != self._access.tenant:
            raise unauthorized()
        code = field.get("tfa_code") or field.get("tfa_token")  # the second is what Python clients send
        if code == "undefined":  # what a known client sends when it has none
            code = None
        return self._access.log_in(field.get("username", ""), field.get("password", ""), code)
