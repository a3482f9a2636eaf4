"""Secrets out of texts, and texts fit to be shown.

Everything that came from a server, or that may hold a credential, passes a `Redactor` before it gets into
an error, a log line or a repr.
"""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["NOTHING_SECRET", "SENSITIVE_HEADERS", "Redactor", "guard_logs", "header_secrets"]

HIDDEN = "***"

SENSITIVE_HEADERS = frozenset(
    {
        "authorization",
        "cookie",
        "proxy-authorization",
        "set-cookie",
        "tfatoken",
        "x-xsrf-token",
    }
)

# A shorter secret is hidden only where it stands alone: hiding each "a" would leave no text to read.
_SHORT = 4
_MOST = 256

# Line breaks and tabs become spaces; other control characters, bidirectional marks, zero-width characters,
# lone surrogates and tags vanish: they can reorder or forge what a terminal or a log shows.
_BLANKS = re.compile(r"[\s\x1c-\x1f\x85\u2028\u2029]+")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)

_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    # A scheme and its credentials. "Basic authentication failed" is to stay: the word must be long or padded.
    (
        re.compile(r"\b(Basic|Bearer|Negotiate|NTLM)(\s+)(?:[\w+/.~-]{16,}=*|[\w+/.~-]+=+)", re.IGNORECASE),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), HIDDEN),  # a JSON web token
    (re.compile(r"(://)[^/\s@'\"<>]+@"), rf"\1{HIDDEN}@"),  # user information in a URL
    (
        re.compile(
            r"((?:access_|id_|refresh_|xsrf[-_])?token|password|passwd|client_secret)"
            r"(=|[\"']\s*:\s*[\"'])[^\s\"'&;,]+",
            re.IGNORECASE,
        ),
        rf"\1\2{HIDDEN}",
    ),
)

_HEADER_IN_LOG = re.compile(
    r"(b?['\"](?:" + "|".join(sorted(SENSITIVE_HEADERS)) + r")['\"]\s*[,:]\s*)"
    r"(?:b?'(?:[^'\\]|\\.)*'|b?\"(?:[^\"\\]|\\.)*\")",
    re.IGNORECASE,
)


class Redactor:
    """Hides known secrets, and what looks like one, in any text.

    Args:
        secrets: The texts that must never be shown. Empty ones are ignored.
    """

    __slots__ = ("__weakref__", "_known", "_secrets")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: dict[str, None] = {}
        self._known: re.Pattern[str] | None = None
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Hide these from now on too. The oldest are forgotten when there are more than 256."""
        new = [secret for secret in secrets if secret and secret not in self._secrets]
        if not new:
            return
        self._secrets |= dict.fromkeys(new)
        while len(self._secrets) > _MOST:
            del self._secrets[next(iter(self._secrets))]
        # The longest first: a token may hold the password as a part.
        known = sorted({way for secret in self._secrets for way in _spellings(secret)}, key=len, reverse=True)
        words = [
            re.escape(word) if len(word) >= _SHORT else rf"(?<!\w){re.escape(word)}(?!\w)" for word in known
        ]
        self._known = re.compile("|".join(words))

    def __repr__(self) -> str:
        return "<Redactor>"

    def __reduce__(self) -> tuple[type[Redactor], tuple[()]]:
        # Pickled with an answer it leaves this process, and the secrets must not.
        return Redactor, ()

    def __copy__(self) -> Redactor:
        return self

    def __deepcopy__(self, memo: object) -> Redactor:
        return self

    def hide_known(self, text: str) -> str:
        """Hide only the secrets that were given, nothing that merely looks like one."""
        return text if self._known is None else self._known.sub(HIDDEN, text)

    def hide(self, text: str) -> str:
        """Hide the secrets that were given, and what looks like one."""
        text = self.hide_known(text)
        for shape, replacement in _SHAPES:
            text = shape.sub(replacement, text)
        return text

    def clean(self, text: str, *, limit: int = 300) -> str:
        """Make a foreign text fit for an error: one line, no control characters, no secrets, cut.

        Args:
            text: Any text.
            limit: The greatest length in characters.
        """
        # Before hiding: a control character inside a secret would hide it from us and not from a reader.
        text = _BLANKS.sub(" ", _INVISIBLE.sub("", text)).strip()
        text = self.hide(text)
        return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _spellings(secret: str) -> tuple[str, ...]:
    """A secret as it is, and as an echo in JSON, in a URL or of a form has it."""
    return (
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe="", errors="replace"),
        quote_plus(secret, errors="replace"),
    )


NOTHING_SECRET = Redactor()


class _LogGuard(logging.Filter):
    """Rewrites records of the HTTP libraries, which log cookies and credentials at DEBUG."""

    def __init__(self) -> None:
        super().__init__()
        self.redactors: WeakSet[Redactor] = WeakSet()

    def filter(self, record: logging.LogRecord) -> bool:
        """Hide secrets in the record; always let it pass."""
        text = record.getMessage()
        shown = _HEADER_IN_LOG.sub(rf"\1'{HIDDEN}'", text)
        for redactor in tuple(self.redactors):
            shown = redactor.hide_known(shown)
        shown = NOTHING_SECRET.hide(shown)
        if shown != text:
            record.msg, record.args = shown, None
        return True


_GUARD = _LogGuard()

# A filter sees only what is logged on its own logger, not what its children pass up.
_LOGGERS = (
    "httpx",
    "httpcore",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)


def guard_logs(redactor: Redactor) -> None:
    """Have the HTTP libraries' loggers hide what `redactor` knows, for as long as it lives."""
    _GUARD.redactors.add(redactor)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_GUARD)  # adding it twice does nothing


def header_secrets(headers: Mapping[str, str]) -> tuple[str, ...]:
    """What headers hold that nobody may see: the values of the sensitive ones, and their longer words."""
    found = [value for name, value in headers.items() if name.lower() in SENSITIVE_HEADERS]
    return (*found, *(part for value in found for part in value.split() if len(part) > 8))
