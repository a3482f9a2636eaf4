"""Secrets out of texts, and texts fit to be shown.

Everything that came from a server, or that may hold a credential, passes a `Redactor` before it gets into
an error, a log line or a repr.
"""

from __future__ import annotations

import base64
import logging
import re
from typing import TYPE_CHECKING
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
_MOST = 64

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
    (re.compile(r"\bTlRMTVNTUA[\w+/-]*=*"), HIDDEN),  # a message of NTLM: passwords can be guessed from it
    (re.compile(r"(://)[^/\s@'\"<>]+@"), rf"\1{HIDDEN}@"),  # user information in a URL
    (
        re.compile(
            r"((?:access_|id_|refresh_|xsrf[-_]|tfa_?)?token|password|passwd|client_secret|tfa_code)"
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

    __slots__ = ("__weakref__", "_given", "_known", "_learnt")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # What the settings hold stays for good; of what comes later, such as tokens, the latest are enough.
        self._given = dict.fromkeys(secret for secret in secrets if secret)
        self._learnt: dict[str, None] = {}
        self._known: re.Pattern[str] | None = None

    def learn(self, secrets: Iterable[str]) -> None:
        """Hide these from now on too. Beyond 64 the oldest of these are forgotten."""
        new = [s for s in secrets if s and s not in self._given and s not in self._learnt]
        if new:
            self._learnt |= dict.fromkeys(new)
            while len(self._learnt) > _MOST:
                del self._learnt[next(iter(self._learnt))]
            self._known = None

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
        if self._known is None:
            if not self._given and not self._learnt:
                return text
            # The longest first: a token may hold the password as a part.
            secrets = sorted({*self._given, *self._learnt}, key=len, reverse=True)
            self._known = re.compile("|".join(_pattern(secret) for secret in secrets))
        return self._known.sub(HIDDEN, text)

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


def _pattern(secret: str) -> str:
    """What finds a secret in each way that servers and libraries write texts, also mixed."""
    found = "".join(_spelled(part) for part in _PARTS.findall(secret))
    if len(secret) < _SHORT:
        return rf"(?<!\w){found}(?!\w)"
    coded = base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode("ascii").rstrip("=")
    return found + "|" + coded.replace("+", "[+-]").replace("/", "[/_]")


def _spelled(part: str) -> str:
    """One character, or several blanks, as they stand in plain text, JSON, URLs, forms and HTML."""
    if part[0].isspace():  # several become one when a text is cleaned
        return r"(?:\s|\+|%[0-2][0-9a-fA-F]|\\+[nrtfv]|\\+u00[0-2][0-9a-fA-F])+"
    if part.isascii() and (part.isalnum() or part in "-_~."):
        return re.escape(part)
    if part == "\\":
        return r"(?:\\+|(?i:%5c|&\#x0*5c;)|&\#0*92;)"
    coded = "".join(f"%{byte:02x}" for byte in part.encode("utf-8", "surrogatepass"))
    units = part.encode("utf-16-be", "surrogatepass").hex()
    # JSON within JSON doubles each backslash.
    escaped = "".join(rf"\\+u{units[at : at + 4]}" for at in range(0, len(units), 4))
    ways = [rf"(?i:{coded}|{escaped}|&\#x0*{ord(part):x};)", rf"&\#0*{ord(part)};"]
    ways += [f"&{name};" for name in _ENTITIES.get(part, ())]
    shown = f"(?:{'|'.join(ways)}|" + r"\\*" + re.escape(part) + ")"
    return f"{shown}?" if _INVISIBLE.fullmatch(part) else shown


_PARTS = re.compile(r"\s+|\S", re.DOTALL)
_ENTITIES = {"&": ("amp",), "<": ("lt",), ">": ("gt",), '"': ("quot",), "'": ("apos",)}


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
    "spnego._negotiate",
    "spnego._ntlm",
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
