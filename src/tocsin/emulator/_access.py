"""Who may do what: users, roles, tokens, and the check of the `Authorization` header."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from tocsin.emulator._errors import RefusedError, forbidden

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from tocsin.emulator._clock import Clock

ALARM_READ: Final = "ROLE_ALARM_READ"
ALARM_ADMIN: Final = "ROLE_ALARM_ADMIN"
AUDIT_READ: Final = "ROLE_AUDIT_READ"
INVENTORY_READ: Final = "ROLE_INVENTORY_READ"
INVENTORY_ADMIN: Final = "ROLE_INVENTORY_ADMIN"

Kind = Literal["full", "read-only", "no-alarms"]
_ROLES: Final[Mapping[Kind, frozenset[str]]] = {
    "full": frozenset({ALARM_READ, ALARM_ADMIN, AUDIT_READ, INVENTORY_READ, INVENTORY_ADMIN}),
    "read-only": frozenset({ALARM_READ, AUDIT_READ, INVENTORY_READ}),
    "no-alarms": frozenset({INVENTORY_READ}),
}


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in.

    Args:
        name: The user's name.
        password: The password; never shown.
        roles: Global roles.
        sources: Devices whose alarms an inventory role lets the user read without the global role.
    """

    name: str
    password: str = field(repr=False)
    roles: frozenset[str] = _ROLES["full"]
    sources: frozenset[str] = frozenset()

    def may(self, role: str) -> bool:
        """Whether the user has the role."""
        return role in self.roles

    def need(self, role: str) -> None:
        """Refuse with 403 unless the user has the role."""
        if role not in self.roles:
            raise forbidden()


class Access:
    """The tenant's users and their tokens."""

    def __init__(self, tenant: str, clock: Clock, rng: Random) -> None:
        self.tenant = tenant
        self._clock = clock
        self._rng = rng
        self._users: dict[str, User] = {}
        self._tokens: dict[str, tuple[str, int | None]] = {}

    def add_user(
        self, name: str, password: str, kind: Kind = "full", *, sources: frozenset[str] = frozenset()
    ) -> User:
        """Add a user, or replace the one of that name.

        Args:
            name: The user's name, without the tenant.
            password: The password.
            kind: `full`, `read-only`, or `no-alarms` (neither reads nor subscribes to alarms).
            sources: Devices that an inventory role opens to a user who lacks the global role.
        """
        user = self._users[name] = User(name, password, _ROLES[kind], sources)
        return user

    def issue_token(self, user: str, *, lifetime: float | None = None, token: str | None = None) -> str:
        """Make a bearer token.

        Args:
            user: Whose it is.
            lifetime: Seconds until it expires by itself; None: never.
            token: The token's text; None makes one that looks like a JWT.
        """
        expires = None if lifetime is None else self._clock.now_ms() + round(lifetime * 1000)
        if token is None:
            claims = {"sub": user, "ten": self.tenant, "jti": f"{self._rng.getrandbits(64):016x}"}
            if expires is not None:
                claims["exp"] = str(expires // 1000)
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

    def check(self, authorization: str | None, *, browser: bool = True) -> User:
        """The user of a request.

        Args:
            authorization: The header's value.
            browser: False asks for a challenge that makes browsers show no dialogue (`UseXBasic`).

        Raises:
            RefusedError: 401.
        """
        scheme, _, rest = (authorization or "").strip().partition(" ")
        user = None
        if scheme.lower() == "basic":
            user = self._basic(rest.strip())
        elif scheme.lower() == "bearer":
            user = self._bearer(rest.strip())
        if user is None:
            raise unauthorized(missing=not authorization, browser=browser)
        return user

    def _basic(self, text: str) -> User | None:
        try:
            name, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
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


def unauthorized(*, missing: bool = False, browser: bool = True) -> RefusedError:
    """401 as the platform words it."""
    message = (
        "Full authentication is required to access this resource"
        if missing
        else "Invalid credentials! : Bad credentials"
    )
    challenge = "Basic" if browser else "XBasic"
    return RefusedError(
        401, "security/Unauthorized", message, (("WWW-Authenticate", f'{challenge} realm="Emulator"'),)
    )


def _segment(claims: Mapping[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
