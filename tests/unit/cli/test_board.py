"""The live table's memory: what it shows, in which order, and what it forgets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from tocsin.cli._board import LINGER, Board
from tocsin.cli._lines import Lines
from tocsin.cli._table import draw
from tocsin.cli._views import change_text, gap_text
from tocsin.models import Level
from unit.cli.examples import change, gap, state


def filled(*changes):
    board = Board()
    for number, item in enumerate(changes):
        board.add(item, float(number))
    return board


def picture(board, width=80, height=24):
    console = Console(width=width, height=height, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(draw(board, "a title", width, height))
    return captured.get()


def test_the_worst_stands_first_and_within_it_the_latest():
    board = filled(
        change(identity="1", severity="MINOR"),
        change(identity="2", severity="CRITICAL"),
        change(identity="3", severity="CRITICAL"),
        change(identity="4", severity="Unheard"),
    )
    assert [row.id for row in board.rows(10)] == ["3", "2", "1", "4"]
    assert [row.id for row in board.rows(2)] == ["3", "2"]


def test_an_escalated_alarm_moves_and_is_counted_once():
    board = filled(change(identity="1", severity="MINOR"), change("UPDATE", "1", severity="CRITICAL"))
    assert board.open_counts() == {Level.CRITICAL: 1}
    assert len(board) == 1


def test_what_is_cleared_or_deleted_lingers_and_goes():
    board = filled(change(identity="1"), change(identity="2"))
    board.add(change("UPDATE", "1", status="CLEARED"), 10.0)
    board.add(change("DELETE", "2"), 11.0)
    assert board.open_counts() == {}
    assert len(board) == 2
    assert not board.expire(10.0 + LINGER - 0.1)
    assert board.expire(10.0 + LINGER)
    assert [row.id for row in board.rows(9)] == ["2"]
    assert board.expire(11.0 + LINGER)
    assert len(board) == 0


def test_an_alarm_that_is_active_again_does_not_go():
    board = filled(change(identity="1"))
    board.add(change("UPDATE", "1", status="CLEARED"), 10.0)
    board.add(change("UPDATE", "1", status="ACTIVE"), 11.0)
    board.expire(100.0)
    assert board.open_counts() == {Level.MAJOR: 1}


def test_a_deletion_of_something_unknown_shows_nothing():
    board = filled(change("DELETE", "9"))
    assert len(board) == 0
    assert board.changes == 1


def test_counts():
    board = filled(change(), change("UPDATE", origin="recovered", text="x"), gap())
    assert (board.changes, board.recovered, board.gaps) == (2, 1, 1)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50), (40, 10), (20, 5), (1, 1)])
def test_the_picture_fits_the_terminal(width, height):
    board = filled(*(change(identity=str(number), text="word " * 50) for number in range(100)))
    board.set_state(state("reconnecting", "a very long cause " * 30))
    lines = picture(board, width, height).rstrip("\n").split("\n")
    assert all(len(line) <= width for line in lines)
    if height >= 10:
        assert len(lines) <= height


def test_markup_in_an_alarm_is_text():
    out = picture(filled(change(text="[red]Door[/red] :smile: [/]")), 120)
    assert "[red]Door[/red] :smile: [/]" in out


def test_control_characters_do_not_reach_the_terminal():
    item = change(text="\x1b[2Jgone\u202e", identity="1")
    assert "\x1b[2J" not in picture(filled(item))
    assert change_text(item).endswith("gone")
    line = Lines(Console(force_terminal=False)).alarm(item.alarm)
    assert b"\x1b" not in line
    assert "\u202e" not in line.decode()


def test_a_gap_says_whether_it_was_read_back():
    assert gap_text(gap(3)).endswith("session lost; 3 changes read back")
    assert gap_text(gap(1)).endswith("1 change read back")
    assert gap_text(gap(None)).endswith("what was missed cannot be read back")


def test_of_several_sites_each_is_named_with_what_it_does():
    other = replace(state("reconnecting", "connection \x1b[31mrefused"), site="vault\u202e")
    board = filled(change(identity="1"), replace(change(identity="1", severity="CRITICAL"), site="vault"))
    board.set_state(state())
    board.set_state(other)
    assert not board.is_attached
    shown = picture(board, width=120)
    assert "● t1  ○ vault reconnecting: connection refused" in shown
    assert [line.split()[3] for line in shown.splitlines() if "Door 7 forced" in line] == ["vault", "t1"]
    board.set_state(replace(state(), site=other.site))
    assert board.is_attached
