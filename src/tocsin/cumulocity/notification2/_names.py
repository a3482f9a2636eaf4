"""The names of Notification 2.0: what may be one, and which ones tocsin makes itself. No I/O."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from tocsin.cumulocity._scope import Scope

__all__ = ["ROLE", "check_name", "topic_of", "type_filter"]

ROLE: Final = "ROLE_NOTIFICATION_2_ADMIN"

_NAME: Final = re.compile(r"[a-zA-Z0-9]+", re.ASCII)
_LONGEST: Final = 200


def check_name(name: object, what: str) -> str:
    """Give the name back if the platform takes it.

    Args:
        name: What was given.
        what: What it names, for the error.

    Raises:
        ConfigurationError: It does not.
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None or len(name) > _LONGEST:
        raise ConfigurationError(
            f"{what} is made of letters and digits alone (a-z, A-Z, 0-9), not {name!r:.80}"
        )
    return name


def type_filter(types: frozenset[str] | None) -> str | None:
    """The platform's filter for some types; None where it cannot say it, and for all types."""
    if not types or any("'" in kind or "\\" in kind for kind in types):
        return None
    return " or ".join(f"'{kind}'" for kind in sorted(types))


def topic_of(scope: Scope) -> str:
    """The topic that carries a scope: the same for the same alarms, in each process."""
    if not scope.sources and type_filter(scope.types) is None:
        return "tocsinAlarms"
    said = repr((sorted(scope.sources), scope.children, type_filter(scope.types)))
    return "tocsinAlarms" + blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
