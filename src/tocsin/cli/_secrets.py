"""Reads the secrets that a configuration file names. None is shown, none is kept."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Final

import anyio

from tocsin.cli._credentials import secret_from
from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tocsin.cli._config import Secret

__all__ = ["read_secret"]

_LONGEST: Final = 60.0
"""Seconds that a command may take: it may ask somebody on the terminal."""


async def read_secret(secret: Secret, place: str, environ: Mapping[str, str] = os.environ) -> str:
    """Give a secret.

    Args:
        secret: Where it is.
        place: The file and the source, for messages.
        environ: The environment.

    Raises:
        ConfigurationError: It is not there.
    """
    key = f"{place}: '{secret.kind}{secret.way}'"
    match secret.way:
        case "_env":
            found = environ.get(secret.value)
            if not found:
                raise ConfigurationError(f"{key} names {secret.value}, which is not set in the environment")
            return found
        case "_file":
            try:
                return secret_from(secret.value)
            except ConfigurationError as error:
                raise ConfigurationError(f"{key}: {error}") from None
        case "_command":
            return await _said_by(secret.value, key)
        case _:
            return str(secret.value)


async def _said_by(command: Sequence[str], key: str) -> str:
    """Give the first line that a command writes. Its arguments and its output are in no message."""
    name = command[0]
    try:
        with anyio.fail_after(_LONGEST):
            # On the terminal it may ask, and complain: a secret is asked for there, and comes by the pipe.
            ran = await anyio.run_process(command, stdin=None, stderr=None, check=False)
    except TimeoutError:
        raise ConfigurationError(f"{key}: {name} gave no answer within {_LONGEST:g} s") from None
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it cannot be run"
        raise ConfigurationError(f"{key}: cannot run {name}: {reason}") from None
    if ran.returncode != 0:
        raise ConfigurationError(f"{key}: {name} ended with code {ran.returncode}")
    try:
        lines = ran.stdout.decode().splitlines()
    except UnicodeDecodeError:
        lines = []
    if not lines or not lines[0]:
        raise ConfigurationError(f"{key}: {name} wrote no secret: its first line is empty")
    return lines[0]
