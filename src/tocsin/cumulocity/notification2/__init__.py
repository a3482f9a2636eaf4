"""Notification 2.0: changes that the platform keeps until they were handled."""

from tocsin.cumulocity.notification2._service import Notification2
from tocsin.cumulocity.notification2._subscriptions import (
    NotificationSubscription,
    NotificationSubscriptions,
)

__all__ = ["Notification2", "NotificationSubscription", "NotificationSubscriptions"]
