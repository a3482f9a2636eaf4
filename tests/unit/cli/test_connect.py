"""Where credentials come from, and what is said when they do not."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tocsin._http._auth import BasicAuth, BearerAuth
from tocsin.cli._connect import credentials, make_client
from tocsin.cli._credentials import _ask
from tocsin.cli._options import Connection, Login
from tocsin.cumulocity import DeviceCertificate, OAuthInternal
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


def test_a_log_in_by_oauth_takes_the_code_along():
    auth = credentials(Connection(**USER, auth=Login.OAUTH, tfa_code="918273"), {"C8Y_PASSWORD": "hunter2"})
    assert isinstance(auth, OAuthInternal)
    assert (auth.user, auth.tenant, auth.secrets) == ("ada", "t1", ("hunter2", "918273"))


def test_a_kind_of_log_in_that_was_asked_for_wins_over_a_token_in_the_environment():
    environ = {"C8Y_PASSWORD": "hunter2", "C8Y_TOKEN": "abc.def"}
    assert isinstance(credentials(Connection(**USER, auth=Login.OAUTH), environ), OAuthInternal)
    basic = credentials(Connection(**USER, auth=Login.BASIC, tfa_code="918273"), environ)
    assert "918273" in basic.secrets


async def test_a_code_is_asked_for_on_the_terminal_and_not_without_one(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    options = Connection(**USER, auth=Login.OAUTH, tfa_code="ask")
    auth = credentials(options, {"C8Y_PASSWORD": "p"})
    monkeypatch.setattr("sys.stdin", io.StringIO("x\n"))
    with pytest.raises(ConfigurationError, match="needs a terminal"):
        await auth._next_code()
    with pytest.raises(ConfigurationError, match="needs a terminal"):
        credentials(Connection(**USER, tfa_code="ask"), {"C8Y_PASSWORD": "p"})
    monkeypatch.setattr("sys.stdin", Terminal())
    assert _ask(lambda prompt, stream: " 918273 ") == "918273"
    with pytest.raises(ConfigurationError, match="no two-factor code"):
        _ask(lambda prompt, stream: "")


def test_a_certificate(tmp_path, secret_file):
    cert = tmp_path / "device.pem"
    cert.write_text("x")
    auth = credentials(Connection(url="https://x.example", cert=cert, password_file=secret_file), {})
    assert isinstance(auth, DeviceCertificate)
    assert auth.secrets == ("hunter2",)
    with pytest.raises(ConfigurationError, match="give --cert"):
        credentials(Connection(url="https://x.example", auth=Login.CERTIFICATE), {})


@pytest.mark.parametrize(
    "given",
    [
        {"auth": Login.OAUTH, "token": "abc"},
        {"auth": Login.BASIC, "cert": Path(__file__)},
        {"auth": Login.OAUTH},
    ],
)
def test_what_does_not_go_together_is_refused(given):
    with pytest.raises(ConfigurationError):
        credentials(Connection(url="https://x.example", **given), {})


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
