"""Who may log in to an XProtect, with which rights, and the tokens that were given out."""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from tocsin.emulator._clock import to_text
from tocsin.emulator._json import dump
from tocsin.emulator._xprotect_errors import ApiError, TokenError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from tocsin.emulator._clock import Clock
    from tocsin.emulator._xprotect_settings import XProtectSettings

Login = Literal["basic", "windows", "service"]
Role = Literal["full", "read-only", "no-alarms"]
ROLES: Final[Mapping[str, frozenset[str]]] = {
    "full": frozenset({"view", "manage"}),
    "read-only": frozenset({"view"}),
    "no-alarms": frozenset(),
}
_KEPT: Final = 100_000  # tokens


@dataclass(frozen=True, slots=True)
class Account:
    """Someone who can log in.

    Attributes:
        name: The name; of a Windows user with the domain, of a service its client id.
        password: The password, or the client's secret.
        login: How it logs in.
        rights: `view` and `manage`, of alarms.
        cameras: The cameras that it sees; None: all.
    """

    name: str
    password: str = field(repr=False)
    login: Login = "basic"
    rights: frozenset[str] = ROLES["full"]
    cameras: frozenset[str] | None = None

    def sees(self, camera: str) -> bool:
        """Whether it sees what a camera brings about; what no camera did, everybody sees."""
        return self.cameras is None or camera in self.cameras or not camera.strip("0-")


@dataclass(slots=True)
class _Token:
    account: Account
    until: int


class XProtectAccess:
    """All accounts and tokens of one VMS. May be used from any thread.

    Args:
        clock: Whose milliseconds tokens live by.
        rng: Where tokens come from.
        settings: For how long, and after how many wrong passwords an account is locked.
    """

    def __init__(self, clock: Clock, rng: Random, settings: XProtectSettings) -> None:
        self._clock = clock
        self._rng = rng
        self._settings = settings
        self._accounts: dict[tuple[str, str], Account] = {}
        self._wrong: dict[str, int] = {}
        self._tokens: dict[str, _Token] = {}

    def add_user(
        self,
        name: str,
        password: str,
        role: Role = "full",
        *,
        login: Login = "basic",
        cameras: frozenset[str] | None = None,
    ) -> Account:
        r"""Add an account, or replace the one of that name.

        Args:
            name: The name, for Windows as `DOMAIN\user`.
            password: The password, or the client's secret.
            role: `full` (Administrators), `read-only`, or `no-alarms`.
            login: `basic`, `windows`, or `service` (client credentials).
            cameras: Ids of the cameras that it sees; None: all.

        Raises:
            ValueError: A Windows user's name or password has what pyspnego cannot take.
        """
        if login == "windows" and any(sign in name + password for sign in ":\r\n"):
            raise ValueError("no colon and no line break in a Windows user's name or password")
        account = Account(name, password, login, ROLES[role], cameras)
        self._accounts[login, name.casefold()] = account
        self.unlock(name)
        return account

    def find(self, login: Login, name: str) -> Account | None:
        """The account of that name."""
        return self._accounts.get((login, name.casefold()))

    @property
    def accounts(self) -> list[Account]:
        """All of them."""
        return list(self._accounts.values())

    def lock(self, name: str) -> None:
        """Lock an account out."""
        self._wrong[name.casefold()] = 1_000_000_000

    def unlock(self, name: str) -> None:
        """Let an account log in again, as an administrator would."""
        self._wrong.pop(name.casefold(), None)

    def locked(self, name: str) -> bool:
        """Whether an account is locked out."""
        limit = self._settings.lock_after
        wrong = self._wrong.get(name.casefold(), 0)
        return wrong >= (1_000_000_000 if limit is None else limit)

    def wrong(self, account: Account) -> None:
        """Count a wrong password."""
        key = account.name.casefold()
        self._wrong[key] = self._wrong.get(key, 0) + 1

    def right(self, account: Account) -> None:
        """Forget wrong passwords."""
        self._wrong.pop(account.name.casefold(), None)

    def log_in(self, login: Login, name: str, password: str) -> Account:
        """Check a password.

        Raises:
            TokenError: 400, it is wrong, or the account is locked.
        """
        account = self.find(login, name)
        if account is not None and self.locked(name):
            raise TokenError("invalid_grant", "invalid_username_or_password", "LockedOut")
        if account is None or not hmac.compare_digest(
            account.password.encode("utf-8", "replace"), password.encode("utf-8", "replace")
        ):
            if account is not None:
                self.wrong(account)
            if login == "service":
                raise TokenError("invalid_client")
            raise TokenError("invalid_grant", "invalid_username_or_password", "InvalidCredential")
        self.right(account)
        return account

    def issue(self, account: Account, lifetime: float | None = None) -> str:
        """Give out a token.

        Args:
            account: Whose.
            lifetime: Seconds for which it is good; None: as set.
        """
        seconds = self._settings.token_lifetime if lifetime is None else lifetime
        until = self._clock.now_ms() + round(seconds * 1000)
        claims = {"sub": account.name, "exp": until // 1000, "jti": f"{self._rng.getrandbits(64):016x}"}
        parts = [{"alg": "RS256", "typ": "at+jwt"}, claims]
        head = ".".join(base64.urlsafe_b64encode(dump(part)).decode().rstrip("=") for part in parts)
        token = f"{head}.{self._rng.getrandbits(256):064x}"
        while len(self._tokens) >= _KEPT:
            del self._tokens[next(iter(self._tokens))]
        self._tokens[token] = _Token(account, until)
        return token

    def issue_token(self, name: str, *, login: Login = "basic", lifetime: float | None = None) -> str:
        """Give out a token without a log-in.

        Args:
            name: Whose.
            login: Which of the accounts of that name.
            lifetime: Seconds for which it is good; None: as set.

        Raises:
            KeyError: There is no such account.
        """
        return self.issue(self._accounts[login, name.casefold()], lifetime)

    def expire_tokens(self, token: str | None = None) -> int:
        """Let a token expire, or all; how many there were.

        Raises:
            KeyError: There is no such token.
        """
        now = self._clock.now_ms()
        chosen = self._tokens.values() if token is None else [self._tokens[token]]
        for each in list(chosen):
            each.until = min(each.until, now)
        return len(chosen)

    def revoke_tokens(self) -> int:
        """Forget all tokens, as after a change of the signing key; how many there were."""
        count = len(self._tokens)
        self._tokens.clear()
        return count

    def check(self, authorization: str | None) -> Account:
        """Who asks.

        Args:
            authorization: The header `Authorization`, or what a WebSocket's `authenticate` sends.

        Raises:
            ApiError: 401.
        """
        scheme, _, text = (authorization or "").partition(" ")
        token = self._tokens.get(text.strip())
        if scheme.lower() != "bearer":
            raise _unauthorized("A bearer token is required", "Bearer")
        if token is None:
            raise _unauthorized("The token is invalid: its signature could not be checked")
        if token.until <= self._clock.now_ms():
            raise _unauthorized(f"The token is expired since '{to_text(token.until)}'")
        return token.account


def _unauthorized(text: str, challenge: str = 'Bearer error="invalid_token"') -> ApiError:
    return ApiError(401, text, headers=(("WWW-Authenticate", challenge),))
