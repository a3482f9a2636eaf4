"""The demo's story: it can be played on any store, and the cut hides what only a read can bring back."""

from __future__ import annotations

import pytest

from tocsin.cli._demo_xprotect import VmsPlayer
from tocsin.cli._scenario import CUT_FROM, CUT_TO, STEPS, Player
from tocsin.emulator import Emulator, XProtectEmulator


def tenant():
    emulator = Emulator()
    return emulator, Player(emulator.store)


def vms():
    emulator = XProtectEmulator(cameras=0)
    return emulator, VmsPlayer(emulator)


def test_the_story_has_everything_and_the_cut_too():
    assert {"raise", "again", "escalate", "acknowledge", "clear", "delete"} == set(STEPS)
    assert set(STEPS[CUT_FROM:CUT_TO]) == set(STEPS)


@pytest.mark.parametrize("make", [tenant, vms])
def test_each_step_is_one_write(make):
    emulator, player = make()
    for number, verb in enumerate(STEPS):
        player.play(verb, unseen=CUT_FROM <= number < CUT_TO)
        assert len(emulator.ledger) == number + 1


@pytest.mark.parametrize("make", [tenant, vms])
def test_what_was_raised_during_the_cut_is_never_touched_again(make):
    emulator, player = make()
    hidden = set()
    for number, verb in enumerate(STEPS):
        player.play(verb, unseen=CUT_FROM <= number < CUT_TO)
        if CUT_FROM <= number < CUT_TO and verb == "raise":
            hidden.add(emulator.ledger[-1].id)
    assert hidden
    assert all(len(emulator.ledger.of(identity)) == 1 for identity in hidden)
