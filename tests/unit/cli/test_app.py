"""Wrong use is one sentence and exit code 2; help shows what there is."""

from __future__ import annotations

import pytest

from tocsin.cli._app import call


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("C8Y_BASEURL", "C8Y_TENANT", "C8Y_USER", "C8Y_PASSWORD", "C8Y_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "No such command"),
        (["watch", "--nothing"], "No such option"),
        (["watch", "--transport", "pigeon"], "pigeon"),
        (["list", "--severity", "LOUD"], "LOUD"),
        (["list", "--limit", "0"], "--limit"),
        (["raise", "--source", "1", "--text", "x"], "--type"),
        (["ack"], "ID"),
        (["clear", "--yes"], "ID"),
        (["history"], "ID"),
        (["demo", "--seconds", "1"], "--seconds"),
        (["emulator", "--port", "70000"], "--port"),
        (["doctor", "--hold", "0"], "--hold"),
    ],
)
def test_wrong_use_is_one_sentence(arguments, said, capsys):
    assert call(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("tocsin: ")
    assert "Value error" not in err
    assert said in err
    assert "--help" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list"], "--url"),
        (["watch", "--url", "https://x.example", "--user", "ada"], "no password for ada"),
        (["count", "--url", "https://x.example"], "no credentials"),
        (["count", "--url", "ftp://x.example", "--token", "abc"], "https://"),
        (["list", "--url", "https://x.example", "--token", "abc", "--children"], "--source"),
        (["ack", "5", "--source", "1", "--yes"], "not both"),
        (["ack", "--source", "", "--yes"], "source is the id"),
        (["ack", "--type", "a", "--yes"], "cannot filter by type"),
        (["clear", "--children", "--severity", "major", "--yes"], "--source"),
        (["clear", "--children", "--source", "1", "--source", "2", "--yes"], "share children"),
        (["watch", "--url", "https://x.example", "--transport", "notification2"], "--subscriber NAME"),
        (["watch", "--url", "https://x.example", "--subscriber", "a"], "--transport notification2"),
        (["unsubscribe", "pager"], "--url"),
        (["unsubscribe", "a b", "--url", "https://x.example", "--token", "abc"], "letters and digits"),
        (["doctor"], "--url"),
        (["doctor", "--url", "https://x.example", "--token", "abc", "--write"], "--source"),
        (["emulator", "--host", "0.0.0.0", "--port", "0"], "--allow-remote"),
        (["emulator", "--host", "0.0.0.0", "--port", "0", "--allow-remote"], "--password"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(arguments, said, capsys):
    assert call(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err.splitlines()[-1]


def test_help_names_every_command(capsys):
    assert call(["--help"]) == 0
    out = capsys.readouterr().out
    for name in (
        "demo",
        "emulator",
        "watch",
        "list",
        "count",
        "raise",
        "ack",
        "clear",
        "history",
        "doctor",
        "unsubscribe",
    ):
        assert f"  {name} " in out


def test_watch_has_the_options_of_the_contract(capsys):
    assert call(["watch", "--help"]) == 0
    out = capsys.readouterr().out
    for name in (
        "platform", "url", "tenant", "user", "password", "password-file", "token", "token-file", "ca",
        "source", "children", "severity", "type", "transport", "snapshot", "no-snapshot", "wait", "no-wait",
        "jsonl", "subscriber",
    ):  # fmt: skip
        assert f"--{name}" in out


def test_nothing_at_all_shows_the_help(capsys):
    assert call([]) == 2
    out, err = capsys.readouterr()
    assert "Usage: " in out
    assert err == ""
    assert "..." not in out.replace("[ARGS]...", "")


def test_version(capsys):
    assert call(["--version"]) == 0
    assert capsys.readouterr().out.startswith("tocsin ")
