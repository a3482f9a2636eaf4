"""Whose alarms a user may see and change: by global roles, by inventory roles, as owner of a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.emulator._access import ALARM_ADMIN, ALARM_READ
from tocsin.emulator._errors import forbidden

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tocsin.emulator._access import User
    from tocsin.emulator._devices import Devices


class Rights:
    """What one user may do with the alarms of which device.

    An inventory role on a device or group holds for all that is below it. The owner of a device may do
    everything with its alarms.

    Args:
        user: Who asks.
        devices: The inventory.
    """

    def __init__(self, user: User, devices: Devices) -> None:
        self._user = user
        self._devices = devices
        self._known: dict[str, bool] = {}
        self.reads_all = user.may(ALARM_READ)
        self.writes_all = user.may(ALARM_ADMIN)

    def reads(self, source: str) -> bool:
        """Whether the alarms of a device are shown."""
        if self.reads_all:
            return True
        found = self._known.get(source)
        if found is None:
            found = self._known[source] = self._opened(source, self._user.sources)
        return found

    def need_read(self, source: str) -> None:
        """Refuse with 403 unless the alarms of a device are shown."""
        if not self.reads(source):
            raise forbidden()

    def need_write(self, source: str) -> None:
        """Refuse with 403 unless the alarms of a device may be changed."""
        if not self.writes_all and not self._opened(source, self._user.writes):
            raise forbidden()

    @property
    def reads_any(self) -> bool:
        """Whether there is a device whose alarms are shown."""
        return self.reads_all or bool(self._user.sources) or self._owns_any()

    @property
    def writes_any(self) -> bool:
        """Whether there is a device whose alarms may be changed."""
        return self.writes_all or bool(self._user.writes) or self._owns_any()

    def _opened(self, source: str, roles: frozenset[str]) -> bool:
        device = self._devices.find(source)
        if device is None:
            return source in roles
        return device.owner == self._user.name or not roles.isdisjoint(self._devices.ancestors(source))

    def _owns_any(self) -> bool:
        return any(device.owner == self._user.name for device in self._devices.all())


def sees(users: Mapping[str, User], name: str, devices: Devices) -> Callable[[str], bool]:
    """A test of whether a user is shown the alarms of a device, as roles and devices are at that moment."""

    def test(source: str) -> bool:
        user = users.get(name)
        return user is not None and Rights(user, devices).reads(source)

    return test
