"""`tocsin emulator`: the emulator on a socket until interrupted."""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio

from tocsin.cli._run import DONE, complain
from tocsin.emulator import Emulator, XProtectEmulator, serve
from tocsin.errors import ConfigurationError, TransportError

if TYPE_CHECKING:
    from typing import Literal

    from tocsin.cli._output import Output

__all__ = ["Address", "Platform", "emulate", "is_loopback", "quiet_server"]

DEVICES: Final = {"4711": "Door 7", "4712": "Pump 3", "4713": "Cold store"}
"""Devices that are there from the start, so that an alarm can be raised at once."""

CAMERAS: Final = 3


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the emulator listens.

    Attributes:
        host: The address.
        port: The port; 0 picks a free one.
        allow_remote: Whether other machines may reach it.
        control: Whether faults can be ordered over HTTP.
    """

    host: str
    port: int
    allow_remote: bool
    control: bool


@dataclass(frozen=True, kw_only=True)
class Platform:
    """What is emulated.

    Attributes:
        name: The platform.
        user: Its only user.
        password: The user's password.
        tenant: The only tenant, where there are tenants.
        profile: How old it is, where that matters.
    """

    name: Literal["cumulocity", "xprotect"]
    user: str
    password: str = field(repr=False)
    tenant: str
    profile: Literal["current", "seed"]

    def make(self) -> tuple[Emulator | XProtectEmulator, str]:
        """The emulator, and what to tell of it."""
        if self.name == "xprotect":
            domain = f"DOMAIN\\{self.user}"
            vms = XProtectEmulator(
                user=self.user, password=self.password, windows_user=domain, client_secret=self.password,
                cameras=CAMERAS,
            )  # fmt: skip
            return vms, f"XProtect {vms.version}, users {self.user} and {domain}, {CAMERAS} cameras"
        tenant = Emulator(tenant=self.tenant, user=self.user, password=self.password, profile=self.profile)
        for number, name in DEVICES.items():
            tenant.store.add_device(name, id=number)
        return tenant, f"tenant {self.tenant}, user {self.user}, devices {', '.join(DEVICES)}"


async def emulate(output: Output, address: Address, platform: Platform) -> int:
    """Serve until interrupted; the first line on stdout tells where, and is the only one.

    Raises:
        ConfigurationError: Others could reach it, and nobody said that they may.
        TransportError: The address cannot be had.
    """
    host, port = address.host, address.port
    if not is_loopback(host):
        if not address.allow_remote:
            raise ConfigurationError(f"other machines can reach {host}: add --allow-remote if they may")
        if platform.password == "demo":  # noqa: S105 - the default that everybody knows
            raise ConfigurationError("with --allow-remote the emulator needs a --password of your own")
    quiet_server()
    emulator, about = platform.make()
    token = emulator.enable_control(hosts=[host]) if address.control else None
    try:
        async with serve(emulator, host=host, port=port) as server:
            await output.write(f"listening on {server.url}\n".encode())
            complain(f"{about}; Ctrl-C ends it")
            if token is not None:
                complain(f"faults are ordered under {server.url}/__emulator__/ with the bearer token {token}")
            await anyio.sleep_forever()
    except OSError as error:
        raise TransportError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None
    return DONE


def quiet_server() -> None:
    """Keep the server's log of requests that were cut by the end, or by bad input, off the terminal."""
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
