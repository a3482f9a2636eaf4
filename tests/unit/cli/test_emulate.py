"""What `tocsin emulator` serves."""

import pytest

from tocsin.cli._emulate import Platform
from tocsin.emulator import RefusedError, XProtectEmulator


def test_no_account_of_an_emulated_vms_keeps_a_password_that_everybody_knows():
    made, _about = Platform(
        name="xprotect", user="me", password="mine", tenant="t1", profile="current"
    ).make()
    assert isinstance(made, XProtectEmulator)
    assert {account.login for account in made.access.accounts} == {"basic", "windows", "service"}
    for account in made.access.accounts:
        assert account.password == "mine"
    with pytest.raises(RefusedError):
        made.access.log_in("service", "service", "secret")
