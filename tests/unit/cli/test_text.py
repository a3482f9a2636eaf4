"""Text from alarms is printed plain: nothing in it may steer a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.cli._text import plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Door 7 forced", "Door 7 forced"),
        (None, ""),
        ("a\x1b[31mred\x1b[0m", "ared"),
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jcleared", "cleared"),
        ("tx\u202egnp.exe", "txgnp.exe"),
        ("\u2066isolated\u2069 \u200eleft", "isolated left"),
        ("two\nlines\tand\r\nmore", "two lines and more"),
        ("line\u2028separator\x85next", "line separator next"),
        ("[bold]markup[/] stays", "[bold]markup[/] stays"),
        ("zero\u200bwidth", "zerowidth"),
        ("क्\u200dष", "क्\u200dष"),
        ("nul\x00 del\x7f bell\x07", "nul del bell"),
        ("half \ud800 pair", "half pair"),
    ],
)
def test_plain_keeps_what_is_text_and_nothing_else(text, shown):
    assert plain(text) == shown


def test_a_long_text_is_cut_and_says_so():
    assert plain("x" * 10, 5) == "xxxx…"
    assert plain("x" * 5, 5) == "xxxxx"


def test_a_huge_text_that_is_dropped_almost_whole_still_says_that_it_was_cut():
    assert plain("\u202e" * 1_000_000 + "end", 10).endswith("…")


@given(st.text())
def test_no_text_gets_a_control_character_through(text):
    shown = plain(text)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(c) for c in shown} & {
        "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN",
    } - ({"BN"} if "\u200c" in shown or "\u200d" in shown else set())  # fmt: skip
    assert len(shown) <= 300


@given(st.text())
def test_plain_text_is_plain_already(text):
    assert plain(plain(text)) == plain(text)
