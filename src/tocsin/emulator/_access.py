"""Who may do what: users, roles, tokens, and the check of the `Authorization` header."""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from tocsin.emulator._errors import RefusedError, forbidden
from tocsin.emulator._settings import LoginSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from tocsin.emulator._clock import Clock

ALARM_READ: Final = "ROLE_ALARM_READ"
ALARM_ADMIN: Final = "ROLE_ALARM_ADMIN"
AUDIT_READ: Final = "ROLE_AUDIT_READ"
INVENTORY_READ: Final = "ROLE_INVENTORY_READ"
INVENTORY_ADMIN: Final = "ROLE_INVENTORY_ADMIN"
NOTIFICATION_ADMIN: Final = "ROLE_NOTIFICATION_2_ADMIN"
BOOTSTRAP: Final = "ROLE_APPLICATION_BOOTSTRAP"

_CHAIN: Final = re.compile(
    r"-----BEGIN CERTIFICATE----- [\w+/= ]+ -----END CERTIFICATE-----"
    r"( -----BEGIN CERTIFICATE----- [\w+/= ]+ -----END CERTIFICATE-----)*"
)
_MISSING: Final = "Full authentication is required to access this resource"

Kind = Literal["full", "read-only", "no-alarms", "bootstrap"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_ROLES: Final[Mapping[Kind, frozenset[str]]] = {
    "full": frozenset(
        {
            ALARM_READ,
            ALARM_ADMIN,
            AUDIT_READ,
            INVENTORY_READ,
            INVENTORY_ADMIN,
            NOTIFICATION_ADMIN,
        }
    ),
    "read-only": frozenset({ALARM_READ, AUDIT_READ, INVENTORY_READ}),
    "no-alarms": frozenset({INVENTORY_READ}),
    "bootstrap": frozenset({BOOTSTRAP}),
}


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in.

    Args:
        name: The user's name.
        password: The password; never shown.
        roles: Global roles.
        sources: Devices and groups whose alarms an inventory role lets the user read without the global
            role: theirs and those of all that is below them.
        writes: The same for creating and changing alarms.
        code: The second factor that a log-in needs besides; None: none.
    """

    name: str
    password: str = field(repr=False)
    roles: frozenset[str] = _ROLES["full"]
    sources: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    code: str | None = field(default=None, repr=False)

    def may(self, role: str) -> bool:
        """Whether the user has the role."""
        return role in self.roles

    def need(self, role: str) -> None:
        """Refuse with 403 unless the user has the role."""
        if role not in self.roles:
            raise forbidden()


class Access:
    """The tenant's users and their tokens.

    Args:
        tenant: The tenant's id.
        clock: The server's clock.
        rng: Where tokens come from.
        settings: How users log in.

    Attributes:
        subscriptions: Tenant, user and password of each service user that bootstrap users are told.
    """

    def __init__(self, tenant: str, clock: Clock, rng: Random, settings: LoginSettings | None = None) -> None:
        self.tenant = tenant
        self.settings = settings or LoginSettings()
        self.subscriptions: list[tuple[str, str, str]] = []
        self._devices: set[str] = set()
        self._sessions_at: dict[str, tuple[int, int]] = {}
        self._retired: deque[tuple[str, float]] = deque()
        self._spent: set[str] = set()
        self._xsrf: dict[str, str] = {}
        self._sessions: dict[str, list[str]] = {}
        self._clock = clock
        self._rng = rng
        self._users: dict[str, User] = {}
        self._tokens: dict[str, tuple[str, int | None]] = {}

    def add_user(
        self,
        name: str,
        password: str,
        kind: Kind = "full",
        *,
        sources: frozenset[str] = frozenset(),
        writes: frozenset[str] = frozenset(),
        code: str | None = None,
    ) -> User:
        """Add a user, or replace the one of that name.

        Args:
            name: The user's name, without the tenant.
            password: The password.
            kind: `full`, `read-only`, `no-alarms` (neither reads nor subscribes to alarms), or `bootstrap`
                (may ask for the subscriptions of a microservice and nothing else).
            sources: Devices and groups that an inventory role opens for reading to a user who lacks the
                global role.
            writes: The same for creating and changing alarms.
            code: The second factor that a log-in needs; None: none.
        """
        self._spent.discard(name)
        user = self._users[name] = User(name, password, _ROLES[kind], sources, writes, code)
        return user

    @property
    def users(self) -> Mapping[str, User]:
        """All users by name."""
        return self._users

    def add_device(self, name: str) -> User:
        """Register a device for its certificate, whose common name it is. It acts as `device_<name>`."""
        self._devices.add(name)
        return self.add_user(f"device_{name}", f"{self._rng.getrandbits(128):032x}")

    def device_token(self, peer: Mapping[str, Any] | None, chain: str | None) -> str:
        """Exchange a certificate that TLS has checked for a token.

        Whether authorities between are revoked or trusted is not looked at: that is the TLS context's part.

        Args:
            peer: The certificate; None or empty: none was shown.
            chain: The header with the chain, whose form alone is looked at.

        Raises:
            RefusedError: 400, 401 or 422.
        """
        if not peer:
            raise unauthorized("No certificate was shown")
        if chain is not None and _CHAIN.fullmatch(chain) is None:
            raise RefusedError(400, "security/BadRequest", "Unable to parse certificate chain")
        names = [value for part in peer.get("subject", ()) for key, value in part if key == "commonName"]
        if len(names) != 1 or names[0] not in self._devices:
            raise RefusedError(422, "security/Unprocessable", "The verification was not successful")
        return self.issue_token(f"device_{names[0]}", lifetime=self.settings.device_lifetime)

    def subscribe(self, name: str, password: str, *, tenant: str | None = None) -> None:
        """Add a service user, as when a tenant subscribes to a microservice.

        Args:
            name: The user's name.
            password: The password.
            tenant: The tenant; None: this one, where the user can then log in.
        """
        if tenant in {None, self.tenant}:
            self.add_user(name, password)
        self.subscriptions.append((tenant or self.tenant, name, password))

    def unsubscribe(self, tenant: str) -> None:
        """Take a tenant's service user away."""
        for entry in [entry for entry in self.subscriptions if entry[0] == tenant]:
            self.subscriptions.remove(entry)
            if tenant == self.tenant:
                self._users.pop(entry[1], None)

    def log_in(self, name: str, password: str, code: str | None) -> str:
        """Exchange credentials for a token; a user who has too many loses the oldest.

        Raises:
            RefusedError: 401.
        """
        tenant, slash, bare = name.partition("/")
        user = self._users.get(bare if slash else name)
        known = user is not None and (not slash or tenant == self.tenant)
        same = hmac.compare_digest(password.encode(), (user.password if user else "").encode())
        if user is None or not known or not same:
            raise unauthorized()
        if user.code is not None and not hmac.compare_digest((code or "").encode(), user.code.encode()):
            raise unauthorized("TFA TOTP code is required" if not code else "TFA TOTP code is invalid")
        token = self.issue_token(user.name, lifetime=self.settings.lifetime)
        self._xsrf[token] = f"{self._rng.getrandbits(96):024x}"
        now = self._clock.now_ms()
        self._sessions_at[token] = (now, now)
        sessions = self._sessions.setdefault(user.name, [])
        sessions.append(token)
        while len(sessions) > self.settings.sessions:
            self.log_out(sessions[0])
        return token

    def cookies(self, token: str) -> tuple[tuple[str, str], ...]:
        """The headers that give a token to a browser."""
        rest = f"Path=/; Max-Age={self.settings.lifetime:.0f}"
        return (
            ("Set-Cookie", f"authorization={token}; {rest}; HttpOnly"),
            ("Set-Cookie", f"XSRF-TOKEN={self.xsrf(token)}; {rest}"),
        )

    def prolong(self, token: str) -> tuple[tuple[str, str], ...]:
        """Replace a token that a request brought as a cookie, if it is old enough; the headers that say so.

        Replies of live channels do not come here: whether the platform prolongs by those is not known.
        """
        now, after = self._clock.now_ms(), self.settings.renew_after
        born, began = self._sessions_at.get(token, (now, now))
        if after is None or now < born + after * 1000 or token not in self._tokens:
            return ()
        name, expires = self._tokens[token]
        left = began / 1000 + self.settings.session_lifetime - now / 1000
        made = self.issue_token(name, lifetime=min(self.settings.lifetime, max(left, 0.0)))
        self._xsrf[made], self._sessions_at[made] = self._xsrf[token], (now, began)
        sessions = self._sessions[name]
        sessions[sessions.index(token)] = made
        del self._sessions_at[token]  # it is replaced once
        self._retired.append((token, now + self.settings.grace * 1000))
        while self._retired and self._retired[0][1] <= now:
            self.log_out(self._retired.popleft()[0])
        good_until = now + round(self.settings.grace * 1000)
        self._tokens[token] = (name, good_until if expires is None else min(expires, good_until))
        return self.cookies(made)

    def log_out(self, token: str) -> None:
        """End a token's session."""
        self._tokens.pop(token, None)
        self._xsrf.pop(token, None)
        self._sessions_at.pop(token, None)
        for sessions in self._sessions.values():
            if token in sessions:
                sessions.remove(token)

    def xsrf(self, token: str) -> str:
        """What a request that brings a token as a cookie has to bring as `X-XSRF-TOKEN`."""
        return self._xsrf.get(token, "")

    def issue_token(self, user: str, *, lifetime: float | None = None, token: str | None = None) -> str:
        """Make a bearer token.

        Args:
            user: Whose it is.
            lifetime: Seconds until it expires by itself; None: never.
            token: The token's text; None makes one that looks like a JWT.
        """
        expires = None if lifetime is None else self._clock.now_ms() + round(lifetime * 1000)
        if token is None:
            claims: dict[str, object] = {"sub": user, "ten": self.tenant}
            claims["jti"] = f"{self._rng.getrandbits(64):016x}"
            if expires is not None:
                claims["exp"] = expires // 1000
            token = ".".join(
                (_segment({"alg": "none"}), _segment(claims), f"{self._rng.getrandbits(128):032x}")
            )
        self._tokens[token] = (user, expires)
        return token

    def expire_tokens(self, token: str | None = None) -> None:
        """Let one token, or all of them, expire now."""
        if token is None:
            self._tokens.clear()
        else:
            self._tokens.pop(token, None)

    def check(
        self,
        authorization: str | None,
        *,
        cookie: str | None = None,
        xsrf: str | None = None,
        code: str | None = None,
        browser: bool = True,
    ) -> User:
        """The user of a request.

        Args:
            authorization: The header's value.
            cookie: The value of the cookie `authorization`; counts if there is no such header.
            xsrf: The value of `X-XSRF-TOKEN`, without which the cookie does not count.
            code: The value of `TFAToken`, which some users need with their password.
            browser: False asks for a challenge that makes browsers show no dialogue (`UseXBasic`).

        Raises:
            RefusedError: 401.
        """
        scheme, _, rest = (authorization or "").strip().partition(" ")
        user = None
        if scheme.lower() == "basic":
            user = self._basic(rest.strip())
            if user is not None and not self.settings.basic and BOOTSTRAP not in user.roles:
                raise unauthorized("Basic authentication is not allowed", browser=browser)
            if user is not None:
                self._second_factor(user, code)
        elif scheme.lower() == "bearer":
            user = self._bearer(rest.strip())
        elif not authorization and cookie:
            wanted = self.xsrf(cookie)
            if wanted and hmac.compare_digest((xsrf or "").encode(), wanted.encode()):
                user = self._bearer(cookie)
        if user is None:
            if not authorization and not cookie:
                raise unauthorized(_MISSING, browser=browser)
            raise unauthorized(browser=browser)
        return user

    def expire_codes(self, name: str) -> None:
        """Let a user's second factor expire, until `add_user` gives another."""
        self._spent.add(name)

    def _second_factor(self, user: User, code: str | None) -> None:
        if user.code is None:
            return
        if not code:
            raise unauthorized("TFA code is required")
        if not hmac.compare_digest(code.encode(), user.code.encode()):
            raise unauthorized("TFA code is invalid")
        if user.name in self._spent:
            raise RefusedError(
                401,
                "security/Unauthorized",
                "TFA code has expired",
                (("TFATokenExpired", "TFATokenExpired"),),
            )

    def _basic(self, text: str) -> User | None:
        try:
            name, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
        except ValueError:  # no base64, or no UTF-8 in it
            return None
        tenant, slash, bare = name.partition("/")
        if not colon or (slash and tenant != self.tenant):
            return None
        user = self._users.get(bare if slash else name)
        same = hmac.compare_digest(password.encode(), (user.password if user else "").encode())
        return user if same else None

    def _bearer(self, text: str) -> User | None:
        name, expires = self._tokens.get(text, (None, None))
        if name is None or (expires is not None and expires <= self._clock.now_ms()):
            return None
        return self._users.get(name)


def unauthorized(
    message: str = "Invalid credentials! : Bad credentials", *, browser: bool = True
) -> RefusedError:
    """401 as the platform words it."""
    challenge = "Basic" if browser else "XBasic"
    return RefusedError(
        401, "security/Unauthorized", message, (("WWW-Authenticate", f'{challenge} realm="Emulator"'),)
    )


def _segment(claims: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
