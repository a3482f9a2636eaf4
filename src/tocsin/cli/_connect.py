"""From connection options to a client, whatever its platform."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tocsin.cli._credentials import credentials, secret_from
from tocsin.cli._options import Login, Platform
from tocsin.cli._platforms import dialect_of
from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tocsin.cli._options import Connection
    from tocsin.cumulocity import Cumulocity

__all__ = ["completed", "credentials", "make_client", "make_cumulocity", "secret_from"]


def make_client(
    options: Connection,
    *,
    open_timeout: float | None = 60.0,
    name: str | None = None,
    anonymous: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Any:
    """Make a client, not yet open.

    Args:
        options: What the command line said.
        open_timeout: Seconds that entering a stream may take; None is for ever.
        name: What its alarms are marked with; None: as the client chooses.
        anonymous: Whether to go on, with a remark, where there are no credentials at all.
        environ: What the command line left open, and secrets.

    Raises:
        ConfigurationError: Something is missing, or makes no sense.
    """
    options = completed(options, environ)
    dialect = dialect_of(options.platform.value)
    if not options.url:
        raise ConfigurationError(
            f"which platform? give --url (or {dialect.variables['url']}), such as {dialect.example}"
        )
    if options.ca is not None and not options.ca.is_file():
        raise ConfigurationError(f"--ca: there is no file {options.ca}")
    return dialect.make_client(
        options,
        environ,
        anonymous=anonymous,
        name=name,
        verify=True if options.ca is None else str(options.ca),
        open_timeout=open_timeout,
    )


def make_cumulocity(options: Connection, what: str) -> Cumulocity:
    """Make a client for what only Cumulocity has; `what` is called so in the refusal.

    Raises:
        ConfigurationError: It is another platform, or as for `make_client`.
    """
    if options.platform is not Platform.CUMULOCITY:
        raise ConfigurationError(f"{what} is for --platform cumulocity only")
    client: Cumulocity = make_client(options)
    return client


def completed(options: Connection, environ: Mapping[str, str] = os.environ) -> Connection:
    """Fill in what the command line left open from the platform's own environment variables.

    Raises:
        ConfigurationError: A variable is none of the words that it may be.
    """
    variables = dialect_of(options.platform.value).variables
    found: dict[str, Any] = {}
    for name in ("url", "tenant", "user", "auth"):
        value = environ.get(variables.get(name, "")) or None
        if value is not None and getattr(options, name) is None:
            found[name] = value
    if "auth" in found:
        try:
            found["auth"] = Login(found["auth"].lower())
        except ValueError:
            raise ConfigurationError(
                f"{variables['auth']} is {found['auth']!r}: give basic or windows"
            ) from None
    return replace(options, **found)
