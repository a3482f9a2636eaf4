"""Who asks: from connection options to credentials. Secrets are read here and go nowhere else."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING, Final

import anyio.to_thread

from tocsin._http._auth import BasicAuth, BearerAuth
from tocsin.cli._options import Login
from tocsin.cli._run import complain
from tocsin.cumulocity._certificate import DeviceCertificate
from tocsin.cumulocity._login import OAuthInternal
from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tocsin._http._auth import Auth
    from tocsin.cli._options import Connection

__all__ = ["ASK", "credentials", "from_file", "secret_from", "warn_of_shown"]

ASKED: Final = "ask"
ASK: Final = "give --user and --password-file (or C8Y_USER and C8Y_PASSWORD), or --token-file (or C8Y_TOKEN)"


def credentials(options: Connection, environ: Mapping[str, str]) -> Auth | None:
    """Give the credentials, None if there are none; the command line wins over the environment.

    Raises:
        ConfigurationError: There is only half of them, or they do not go together.
    """
    warn_of_shown(options, {"password": "C8Y_PASSWORD", "token": "C8Y_TOKEN"})
    if options.auth is Login.WINDOWS:
        raise ConfigurationError("--auth windows is XProtect's: give basic, oauth or certificate")
    if options.auth is Login.CERTIFICATE or options.cert is not None:
        return _certificate(options)
    token = options.token or from_file(options.token_file)
    if token and options.auth is not None:
        raise ConfigurationError(
            f"--auth {options.auth.value} does not go with a token: leave one of them out"
        )
    if token:
        return BearerAuth(token)
    password = options.password or from_file(options.password_file)
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


def warn_of_shown(options: Connection, variables: Mapping[str, str]) -> None:
    """Say how a secret on the command line is hidden from who can list processes."""
    for name in ("password", "token"):
        if getattr(options, name):
            instead = f"--{name}-file" + (f" or {variables[name]}" if name in variables else "")
            complain(f"--{name} shows in the list of processes; {instead} does not")


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
    password = options.password or from_file(options.password_file)
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


def from_file(path: Path | None) -> str | None:
    """Give the secret in a file, None without one."""
    return None if path is None else secret_from(path)
