"""From connection options to an open client: secrets are read here and go nowhere else."""

from __future__ import annotations

import getpass
import os
import sys
from typing import TYPE_CHECKING, Final

import anyio.to_thread

from tocsin._http._auth import BasicAuth, BearerAuth
from tocsin.cli._options import Login
from tocsin.cli._platforms import CLIENTS
from tocsin.cli._run import complain
from tocsin.cumulocity._certificate import DeviceCertificate
from tocsin.cumulocity._login import OAuthInternal
from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tocsin._http._auth import Auth
    from tocsin.cli._options import Connection
    from tocsin.cumulocity import Cumulocity

__all__ = ["credentials", "make_client", "secret_from"]

ASKED: Final = "ask"
ASK = "give --user and --password-file (or C8Y_USER and C8Y_PASSWORD), or --token-file (or C8Y_TOKEN)"


def make_client(
    options: Connection,
    *,
    open_timeout: float | None = 60.0,
    anonymous: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Cumulocity:
    """Make a client, not yet open.

    Args:
        options: What the command line and the environment said.
        open_timeout: Seconds that entering a stream may take; None is for ever.
        anonymous: Whether to go on, with a remark, where there are no credentials at all.
        environ: Where secrets may stand.

    Raises:
        ConfigurationError: Something is missing, or makes no sense.
    """
    if not options.url:
        raise ConfigurationError(
            "which platform? give --url (or C8Y_BASEURL), such as https://acme.example.com"
        )
    if options.ca is not None and not options.ca.is_file():
        raise ConfigurationError(f"--ca: there is no file {options.ca}")
    auth = credentials(options, environ)
    if auth is None:
        if not anonymous:
            raise ConfigurationError(f"no credentials: {ASK}")
        complain(f"no credentials were given, trying without: {ASK}")
    return CLIENTS[options.platform.value](
        options.url,
        auth,
        tenant=options.tenant,
        application_key=environ.get("APPLICATION_KEY") or None,
        verify=True if options.ca is None else str(options.ca),
        open_timeout=open_timeout,
    )


def credentials(options: Connection, environ: Mapping[str, str]) -> Auth | None:
    """Give the credentials, None if there are none; the command line wins over the environment.

    Raises:
        ConfigurationError: There is only half of them, or they do not go together.
    """
    for name in ("password", "token"):
        if getattr(options, name):
            complain(f"--{name} shows in the list of processes; --{name}-file or C8Y_{name.upper()} does not")
    if options.auth is Login.CERTIFICATE or options.cert is not None:
        return _certificate(options)
    token = options.token or _from_file(options.token_file)
    if token and options.auth is not None:
        raise ConfigurationError(
            f"--auth {options.auth.value} does not go with a token: leave one of them out"
        )
    if token:
        return BearerAuth(token)
    password = options.password or _from_file(options.password_file)
    if password is None and options.auth is None and (token := environ.get("C8Y_TOKEN")):
        return BearerAuth(token)
    password = password or environ.get("C8Y_PASSWORD")
    if not options.user:
        if password or options.auth is not None:
            raise ConfigurationError("a password, but whose? give --user (or C8Y_USER)")
        return None
    if not password:
        raise ConfigurationError(f"no password for {options.user}: give --password-file, or set C8Y_PASSWORD")
    return _by_password(options, options.user, password)


def _by_password(options: Connection, user: str, password: str) -> Auth:
    code = options.tfa_code or None
    if options.auth is Login.OAUTH:
        given = _asked if code == ASKED else code
        return OAuthInternal(user, password, tenant=options.tenant, tfa_code=given)
    if code == ASKED:
        code = _ask()
    return BasicAuth(user, password, tenant=options.tenant, tfa_code=code)


def _certificate(options: Connection) -> DeviceCertificate:
    if options.cert is None:
        raise ConfigurationError("which certificate? give --cert, and --key if its key is in another file")
    if options.auth not in {None, Login.CERTIFICATE}:
        raise ConfigurationError("--cert goes with --auth certificate only")
    password = options.password or _from_file(options.password_file)
    return DeviceCertificate(options.cert, options.key, password=password)


async def _asked() -> str:
    """Ask for a code while everything else goes on; one who gives up leaves the question standing."""
    return await anyio.to_thread.run_sync(_ask, abandon_on_cancel=True)


def _ask(read: Callable[..., str] = getpass.getpass) -> str:
    """Ask for a code on the terminal, on stderr and unseen.

    Raises:
        ConfigurationError: There is no terminal, or no answer.
    """
    if not sys.stdin.isatty():
        raise ConfigurationError("--tfa-code ask needs a terminal; give the code itself")
    try:
        code = read("two-factor code: ", sys.stderr).strip()
    except EOFError:
        code = ""
    if not code:
        raise ConfigurationError("no two-factor code was given")
    return code


def secret_from(path: Path) -> str:
    """Give the first line of a file, or of stdin for ``-``.

    Raises:
        ConfigurationError: It cannot be read or is empty.
    """
    try:
        if str(path) == "-":
            line = sys.stdin.readline()
        else:
            with path.open(encoding="utf-8") as file:
                line = file.readline()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigurationError(f"cannot read {path}: {reason}") from None
    secret = line.rstrip("\r\n")
    if not secret:
        name = "stdin" if str(path) == "-" else path
        raise ConfigurationError(f"{name} holds no secret: its first line is empty")
    return secret


def _from_file(path: Path | None) -> str | None:
    return None if path is None else secret_from(path)
