"""Where credentials come from, and what is said when they do not."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tocsin._http._auth import BasicAuth, BearerAuth
from tocsin.cli._connect import credentials, make_client
from tocsin.cli._options import Connection
from tocsin.errors import ConfigurationError

USER = {"url": "https://acme.example.com", "user": "ada", "tenant": "t1"}


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "secret"
    path.write_text("hunter2\nsecond line\n", encoding="utf-8")
    return path


def password_of(auth):
    assert isinstance(auth, BasicAuth)
    return auth.secrets[0]


def test_the_password_is_the_first_line_of_its_file(secret_file):
    assert password_of(credentials(Connection(**USER, password_file=secret_file), {})) == "hunter2"


def test_a_password_keeps_its_blanks(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b" with blanks \r\n")
    assert password_of(credentials(Connection(**USER, password_file=path), {})) == " with blanks "


def test_a_dash_is_stdin(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("from stdin\n"))
    assert password_of(credentials(Connection(**USER, password_file=Path("-")), {})) == "from stdin"


def test_the_command_line_wins_over_the_environment(secret_file):
    environ = {"C8Y_PASSWORD": "other", "C8Y_TOKEN": "abc.def"}
    assert password_of(credentials(Connection(**USER, password_file=secret_file), environ)) == "hunter2"


def test_a_token_in_the_environment_wins_over_a_password_there():
    auth = credentials(Connection(**USER), {"C8Y_PASSWORD": "other", "C8Y_TOKEN": "abc.def"})
    assert isinstance(auth, BearerAuth)
    assert auth.secrets == ("abc.def",)


@pytest.mark.parametrize("name", ["password", "token"])
def test_a_secret_on_the_command_line_works_and_is_warned_of(name, capsys):
    auth = credentials(Connection(**USER, **{name: "visible"}), {})
    assert auth is not None
    said = capsys.readouterr().err
    assert f"--{name} shows in the list of processes" in said
    assert "visible" not in said


def test_half_of_the_credentials_are_none():
    with pytest.raises(ConfigurationError, match="no password for ada"):
        credentials(Connection(**USER), {})
    with pytest.raises(ConfigurationError, match="give --user"):
        credentials(Connection(url="https://x.example"), {"C8Y_PASSWORD": "p"})


def test_no_credentials_at_all():
    with pytest.raises(ConfigurationError, match="no credentials"):
        make_client(Connection(url="https://x.example"), environ={})


@pytest.mark.parametrize("content", [b"", b"\nsecond\n", b"\xff\xfe"])
def test_a_file_without_a_secret_is_named(tmp_path, content):
    path = tmp_path / "empty"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="empty"):
        credentials(Connection(**USER, token_file=path), {})
    with pytest.raises(ConfigurationError, match="No such file"):
        credentials(Connection(**USER, token_file=tmp_path / "absent"), {})


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="C8Y_BASEURL"):
        make_client(Connection(), environ={})
    with pytest.raises(ConfigurationError, match="there is no file"):
        make_client(Connection(**USER, ca=tmp_path / "ca.pem"), environ={"C8Y_PASSWORD": "p"})


def test_options_do_not_show_their_secrets():
    assert "visible" not in repr(Connection(password="visible", token="visible"))
