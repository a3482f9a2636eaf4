"""Tokens of Notification 2.0: who may consume which topic, until when."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tocsin.emulator._broker import claims_of
from tocsin.emulator._errors import RefusedError
from tocsin.emulator._json import dump

if TYPE_CHECKING:
    from random import Random

    from tocsin.emulator._broker import Topic
    from tocsin.emulator._clock import Clock

_NAMESPACE: Final = "relnotif"
_LONGEST: Final = 4000


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows."""

    subscriber: str
    topic: Topic
    shared: bool


class BrokerTokens:
    """Makes tokens and reads them.

    Args:
        tenant: The tenant's id.
        clock: The server's clock.
        rng: Where the key and the ids come from.
    """

    def __init__(self, tenant: str, clock: Clock, rng: Random) -> None:
        self._tenant = tenant
        self._clock = clock
        self._rng = rng
        self._key = rng.randbytes(32)
        self._made = 0
        self._expired = 0

    def make(self, grant: Grant, minutes: float) -> str:
        """A token for so many minutes."""
        self._made += 1
        now = self._clock.now_ms() // 1000
        claims: dict[str, Any] = {
            "sub": grant.subscriber,
            "topic": f"{self._tenant}/{_NAMESPACE}/{grant.topic[0]}",
            "jti": f"{self._made:08x}-{self._rng.getrandbits(64):016x}",
            "iat": now,
            "exp": now + round(minutes * 60),
            "shared": str(grant.shared).lower(),  # as text: one public client reads nothing else
            "volatile": str(grant.topic[1]).lower(),
        }
        said = f"{_part(dump({'alg': 'HS256'}))}.{_part(dump(claims))}"
        return f"{said}.{self._sign(said)}"

    def expire_all(self) -> None:
        """Let every token that was made expire now. Sockets that are open stay open."""
        self._expired = self._made

    def read(self, token: str, *, expired: bool = False) -> Grant:
        """What a token allows.

        Args:
            token: The token.
            expired: One that has expired will do.

        Raises:
            RefusedError: 401.
        """
        said, _, signature = token.rpartition(".")
        if len(token) > _LONGEST or not hmac.compare_digest(signature.encode(), self._sign(said).encode()):
            raise _refused("The token is invalid")
        claims = claims_of(token)
        number = int(claims["jti"].partition("-")[0], 16)
        if not expired and (number <= self._expired or claims["exp"] <= self._clock.now_ms() / 1000):
            raise _refused("The token has expired")
        name = claims["topic"].rpartition("/")[2]
        return Grant(claims["sub"], (name, claims["volatile"] == "true"), claims["shared"] == "true")

    def _sign(self, said: str) -> str:
        return _part(hmac.digest(self._key, said.encode("utf-8", "replace"), hashlib.sha256))


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _refused(message: str) -> RefusedError:
    return RefusedError(401, "security/Unauthorized", message)
