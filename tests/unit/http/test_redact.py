"""Secrets vanish from texts and from the HTTP libraries' logs; what remains is fit to be shown."""

import base64
import gc
import html
import json
import logging
import pickle
import re
from pathlib import Path
from urllib.parse import quote, quote_plus, urlencode

import httpcore
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin._http import _redact
from tocsin._http._redact import NOTHING_SECRET, Redactor, guard_logs


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password hunter2 is wrong", "password *** is wrong"),
        ("hunter2hunter2", "******"),
        ("a short pw here, not in pwd", "a short *** here, not in pwd"),
        ("token and its part: a.hunter2.b", "token and its part: ***"),
    ],
)
def test_known_secrets_are_hidden_the_longest_first(text, shown):
    assert Redactor(["hunter2", "pw", "a.hunter2.b", ""]).hide(text) == shown


@pytest.mark.parametrize(
    "shown", ['{"pw":"hun\\"ter/\\u00e4 2"}', '{"pw":"hun\\"ter/ä 2"}', "/x?pw=hun%22ter%2F%C3%A4%202&a=1"]
)
def test_a_secret_is_known_as_json_and_urls_spell_it(shown):
    hidden = Redactor(['hun"ter/ä 2']).hide_known(shown)
    assert "***" in hidden
    assert "hun" not in hidden
    assert "ter" not in hidden


ODD = "p\u00e4\\s/ \"<&'+%\U0001f511  w\u200bd"


@pytest.mark.parametrize(
    "write",
    [
        lambda s: json.dumps(s),
        lambda s: json.dumps(s).replace("/", "\\/"),
        lambda s: json.dumps(json.dumps(s, ensure_ascii=False), ensure_ascii=False),
        quote,
        quote_plus,
        lambda s: quote(s, safe="").lower(),
        lambda s: urlencode({"p": s}),
        html.escape,
        lambda s: html.escape(s).replace("&quot;", "&#34;"),
        lambda s: base64.b64encode(s.encode()).decode(),
        lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
        repr,
        str,
    ],
)
def test_a_secret_is_known_however_it_is_written(write):
    redactor = Redactor([ODD, "token-abc"])
    text = f"before {write(ODD)} after"
    for shown in (redactor.hide_known(text), redactor.clean(text)):
        assert re.fullmatch(r"before [\"']*(p=)?\\?[\"']?\*\*\*=*\\?[\"']* after", shown), shown


def test_a_pickled_redactor_has_forgotten_its_secrets():
    pickled = pickle.dumps(Redactor(["hunter2"]))
    assert b"hunter2" not in pickled
    assert pickle.loads(pickled).hide("hunter2") == "hunter2"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Basic dDEvYWRhOnNlY3JldA==", "Authorization: Basic ***"),
        ("Bearer abcdefghijklmnop.qrst", "Bearer ***"),
        ("Basic authentication required", "Basic authentication required"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc is expired", "*** is expired"),
        ("at https://ada:secret@host/x", "at https://***@host/x"),
        ("GET /x?access_token=abc&page=1", "GET /x?access_token=***&page=1"),
        ('{"access_token":"abc","a":1}', '{"access_token":"***","a":1}'),
        ("Invalid token: expired", "Invalid token: expired"),
    ],
)
def test_what_looks_like_a_credential_is_hidden_and_prose_is_not(text, shown):
    assert NOTHING_SECRET.hide(text) == shown


def test_texts_become_one_plain_line_and_are_cut():
    text = "line one\r\n\tline\u2028two \x1b[31mred\x1b[0m \u202eesrever\u202c a\u200bb \ud800 \U000e0041 end"
    assert NOTHING_SECRET.clean(text) == "line one line two [31mred[0m esrever ab end"
    assert NOTHING_SECRET.clean("x" * 1000, limit=10) == "x" * 9 + "…"


def test_a_secret_split_by_invisible_characters_is_found():
    assert Redactor(["hunter2"]).clean("hun\u200bter\x002") == "***"


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=80))
def test_cleaned_text_is_one_line_and_printable(text):
    shown = NOTHING_SECRET.clean(text)
    assert len(shown.splitlines()) <= 1
    assert not any(ord(ch) < 32 or 0x7F <= ord(ch) < 0xA0 or 0x202A <= ord(ch) <= 0x202E for ch in shown)


def test_secrets_learnt_later_are_hidden_and_their_number_is_bounded():
    redactor = Redactor(["first-secret"])
    for begin in range(0, 400, 40):
        redactor.learn([f"token-number-{n}" for n in range(begin, begin + 40)])
    assert redactor.hide("token-number-399") == "***"
    assert redactor.hide("token-number-1") == "token-number-1"
    assert redactor.hide("first-secret") == "***"  # it stands in the settings: however many tokens there were
    assert len(redactor._learnt) == 64


def test_the_guard_stands_on_every_logger_that_the_http_libraries_name():
    guard_logs(NOTHING_SECRET)
    names = set()
    for package in (httpx, httpcore):
        for file in Path(package.__file__).parent.rglob("*.py"):
            names |= set(re.findall(r"getLogger\(\"([\w.]+)\"\)", file.read_text()))
    assert {"httpx", "httpcore.http11"} <= names
    for name in names:
        assert _redact._GUARD in logging.getLogger(name).filters, name


@pytest.mark.parametrize(
    ("line", "args", "shown"),
    [
        (
            "headers=[(b'Set-Cookie', b'sid=abc; Path=/'), (b'X', b'y')]",
            (),
            "headers=[(b'Set-Cookie', '***'), (b'X', b'y')]",
        ),
        ("%r", ([(b"authorization", b'Digest it\'s "x"')],), "[(b'authorization', '***')]"),
        ("%s %s", ("GET", "https://u:p@h/?token=1"), "GET https://***@h/?token=***"),
        ("plain %d", (1,), "plain 1"),
    ],
)
def test_log_lines_of_the_http_libraries_are_rewritten(caplog, line, args, shown):
    guard_logs(NOTHING_SECRET)
    with caplog.at_level(logging.DEBUG, logger="httpcore.http11"):
        logging.getLogger("httpcore.http11").debug(line, *args)
    assert caplog.messages == [shown]


def test_the_guard_forgets_secrets_with_their_client():
    redactor = Redactor(["hunter2"])
    guard_logs(redactor)
    guard_logs(redactor)
    assert redactor in _redact._GUARD.redactors
    gc.collect()  # other tests' garbage
    before = len(_redact._GUARD.redactors)
    del redactor
    gc.collect()
    assert len(_redact._GUARD.redactors) == before - 1
    assert logging.getLogger("httpx").filters.count(_redact._GUARD) == 1
