"""Channel names, wildcards, matching. Bayeux 1.0, sections Channels and Channel Globbing. No I/O."""

from __future__ import annotations

import re
from typing import Generic, TypeVar

from tocsin.errors import ConfigurationError

__all__ = ["ChannelIndex", "check_channel", "matches"]

T = TypeVar("T")

# The specification's characters, and those that CometD's own clients let through besides.
_SEGMENT = re.compile(r"[A-Za-z0-9\-_!~()$@ .#+{}]+")


def check_channel(channel: str) -> str:
    """Return the channel if it may be subscribed.

    Raises:
        ConfigurationError: It is no channel name, a meta channel, or has a wildcard that is not the whole
            last segment. Servers differ in what they do with those; one of them accepts the subscription and
            never delivers.
    """
    if not channel.startswith("/"):
        raise ConfigurationError(f"a Bayeux channel begins with a slash, not {channel!r}")
    *parents, last = channel[1:].split("/")
    for segment in (*parents, *(() if last in ("*", "**") else (last,))):
        if not _SEGMENT.fullmatch(segment):
            raise ConfigurationError(
                f"{channel!r} is no Bayeux channel: segments are letters, digits and -_!~()$@, "
                "and * or ** may only be the whole last segment"
            )
    if parents[:1] == ["meta"] or last == "meta":
        raise ConfigurationError(f"{channel!r} is a meta channel and cannot be subscribed")
    return channel


def matches(pattern: str, channel: str) -> bool:
    """Whether a concrete channel belongs to a pattern: ``*`` is one last segment, ``**`` one or more."""
    if pattern == channel:
        return True
    parent, _, last = pattern.rpartition("/")
    if last == "*":
        return channel.rpartition("/")[0] == parent and channel != f"{parent}/"
    return last == "**" and channel.startswith(f"{parent}/") and channel != f"{parent}/"


class ChannelIndex(Generic[T]):
    """Finds who listens to a channel without trying every pattern."""

    __slots__ = ("_by_pattern",)

    def __init__(self) -> None:
        self._by_pattern: dict[str, list[T]] = {}

    def add(self, pattern: str, listener: T) -> None:
        """Let the listener have what comes on channels of the pattern."""
        self._by_pattern.setdefault(pattern, []).append(listener)

    def discard(self, pattern: str, listener: T) -> None:
        """Undo one `add`; harmless where there was none."""
        listeners = self._by_pattern.get(pattern, [])
        if listener in listeners:
            listeners.remove(listener)
        if not listeners:
            self._by_pattern.pop(pattern, None)

    def find(self, channel: str) -> list[T]:
        """Return every listener that the channel concerns: each once, whatever number of patterns match."""
        found: list[T] = []
        for pattern in _patterns_of(channel):
            for listener in self._by_pattern.get(pattern, ()):
                if listener not in found:
                    found.append(listener)
        return found

    def __contains__(self, pattern: str) -> bool:
        return pattern in self._by_pattern


def _patterns_of(channel: str) -> list[str]:
    """All patterns that match a concrete channel."""
    patterns = [channel]
    parent, _, last = channel.rpartition("/")
    if last:
        patterns.append(f"{parent}/*")
        while True:
            patterns.append(f"{parent}/**")
            if not parent:
                break
            parent = parent.rpartition("/")[0]
    return patterns
