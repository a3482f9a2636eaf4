"""A Bayeux (CometD) client: follows channels over long polling, and tells what it may have missed.

It knows nothing of alarms and works against any Bayeux 1.0 server.
"""

from tocsin._stream._backoff import ReconnectPolicy
from tocsin.bayeux._client import BayeuxClient
from tocsin.bayeux._messages import Event
from tocsin.bayeux._subscription import Interruption, Subscription

__all__ = ["BayeuxClient", "Event", "Interruption", "ReconnectPolicy", "Subscription"]
