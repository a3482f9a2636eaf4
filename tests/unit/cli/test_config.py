"""`watch --config`: each mistake is one sentence that names the file, the source and the key."""

from __future__ import annotations

import sys

import pytest

from tocsin.cli._config import Secret, read_config
from tocsin.cli._connect import completed, make_client
from tocsin.cli._many import watch_config
from tocsin.cli._options import Connection, Login, Platform, Scope, Transport
from tocsin.cli._output import Output
from tocsin.cli._secrets import read_secret
from tocsin.errors import ConfigurationError
from tocsin.models import Level

WHOLE = """
[sources.north]
url = "https://north.example"
tenant = "t1"
user = "ada"
password_env = "NORTH"
severity = ["critical", "MAJOR"]
source = "4711"
transport = "long-polling"

[sources."the vault"]
platform = "XProtect"
url = "https://vms.example"
user = 'VAULT\\ada'
password_command = ["printf", "two words\\nrest"]
"""


@pytest.fixture
def file(tmp_path):
    def write(text, mode=0o600):
        path = tmp_path / "watch.toml"
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    return write


def test_a_whole_file(file):
    north, vault = read_config(file(WHOLE))
    assert (north.name, north.connection.platform, north.transport) == (
        "north", Platform.CUMULOCITY, Transport.LONG_POLLING,
    )  # fmt: skip
    assert north.scope == Scope(source=["4711"], severity=[Level.CRITICAL, Level.MAJOR])
    assert (vault.connection.platform, vault.connection.user) == (Platform.XPROTECT, r"VAULT\ada")
    assert vault.secret is not None
    assert vault.secret.value == ["printf", "two words\nrest"]


SOURCE = '[sources.north]\nurl = "https://x.example"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'sources' is missing"),
        ("[sources]", "'sources' is missing"),
        ("sources = 3", "'sources' is missing"),
        ('[north]\nurl = "x"', "'north' is unknown; a source is a table such as [sources.north]"),
        ("[sources.north", "is not TOML"),
        ('[sources]\nnorth = "x"', "source 'north' must be a table"),
        ("[sources.north]\nuser = 'ada'", "source 'north': 'url' is missing"),
        (SOURCE + 'pasword_env = "X"', "source 'north': 'pasword_env' is unknown"),
        (SOURCE + 'platform = "xprotekt"', "source 'north': 'platform' is 'xprotekt', and must be one of"),
        (SOURCE + 'platform = "xprotect"\ntenant = "t1"', "'tenant' is nothing that xprotect has"),
        (SOURCE + 'platform = "xprotect"\nauth = "oauth"', "'auth' must be basic or windows with xprotect"),
        (SOURCE + "severity = 3", "source 'north': 'severity' must be a text or a list of texts, not 3"),
        (SOURCE + 'severity = ["LOUD"]', "'severity' is 'LOUD', and must be one of CRITICAL"),
        (SOURCE + 'platform = "xprotect"', "'user' is missing"),
        (SOURCE.replace("north", '""'), "source '' needs a name"),
        (SOURCE + "children = 1", "'children' must be true or false"),
        (SOURCE + 'user = "ada"', "source 'north': 'password_env' is missing"),
        (SOURCE + 'password_env = "P"', "'user' is missing: whose is the password_env"),
        (SOURCE + 'user = "a"\npassword_env = "P"\ntoken_env = "T"', "and 'token_env' exclude each other"),
        (SOURCE + 'user = "a"\npassword_file = "absent"', "'password_file' names absent, and there is no"),
        (SOURCE + 'ca = "absent.pem"', "'ca' names absent.pem"),
        (SOURCE + 'user = "a"\npassword_command = "pass show"', "'password_command' must be a list"),
        (SOURCE + 'user = "a"\npassword = "hunter2"', "'password' is a secret in plain text"),
        (SOURCE + 'user = "a"\npassword = ["hunter2"]', "'password' is a secret in plain text"),
        ('allow_plaintext = "yes"\n' + SOURCE, "'allow_plaintext' must be true or false"),
        (
            "allow_plaintext = true\n" + SOURCE + 'user = "a"\npassword = ["hunter2"]',
            "'password' must be a text",
        ),
    ],
)
def test_a_mistake_is_named(file, text, said):
    path = file(text)
    with pytest.raises(ConfigurationError) as caught:
        read_config(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("children = true", "children=True"),
        ('transport = "notification2"', "subscriber="),
        ('ca = "{}"', "PEM"),
    ],
)
async def test_what_only_the_client_finds_is_placed_too(file, text, said):
    path = file(SOURCE)
    path = file(SOURCE + text.format(path))
    with pytest.raises(ConfigurationError) as caught:
        await watch_config(path, Output(), snapshot=True, wait=True, jsonl=True)
    assert str(caught.value).startswith(f"{path}: source 'north': ")
    assert said in str(caught.value)


def test_plain_text_needs_permission_and_a_file_of_ones_own(file):
    text = "allow_plaintext = true\n" + SOURCE + 'user = "a"\npassword = "hunter2"'
    (source,) = read_config(file(text))
    assert source.secret is not None
    assert source.secret.value == "hunter2"
    assert "hunter2" not in repr(source)
    with pytest.raises(ConfigurationError, match=r"source 'north': 'password' .*chmod 600"):
        read_config(file(text, mode=0o640))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigurationError, match=r"absent\.toml: No such file"):
        read_config(tmp_path / "absent.toml")


async def test_secrets_are_read_where_they_are(tmp_path):
    path = tmp_path / "secret"
    path.write_text("from a file\n")
    assert await read_secret(Secret("password", "_env", "P"), "here", {"P": "from there"}) == "from there"
    assert await read_secret(Secret("password", "_file", path), "here") == "from a file"
    command = [sys.executable, "-c", "print('a; $HOME `x`'); print('more')"]
    assert await read_secret(Secret("token", "_command", command), "here") == "a; $HOME `x`"


@pytest.mark.parametrize(
    ("way", "value", "said"),
    [
        ("_env", "ABSENT", "names ABSENT, which is not set"),
        ("_command", ["/absent/pass", "hunter2"], "cannot run /absent/pass: No such file"),
        ("_command", [sys.executable, "-c", "print(); print('hunter2')"], "wrote no secret"),
        ("_command", [sys.executable, "-c", "print('hunter2'); raise SystemExit(3)"], "ended with code 3"),
    ],
)
async def test_a_secret_that_is_not_there_is_named_and_not_shown(way, value, said):
    with pytest.raises(ConfigurationError) as caught:
        await read_secret(Secret("password", way, value), "watch.toml: source 'north'", {})
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"watch.toml: source 'north': 'password{way}'")
    assert "hunter2" not in str(caught.value)


def test_each_platform_has_variables_of_its_own():
    environ = {
        "C8Y_BASEURL": "https://c", "C8Y_USER": "carl", "C8Y_TENANT": "t1",
        "XPROTECT_URL": "https://x", "XPROTECT_USER": "xena", "XPROTECT_AUTH": "Windows",
    }  # fmt: skip
    theirs = completed(Connection(platform=Platform.XPROTECT), environ)
    assert (theirs.url, theirs.user, theirs.tenant, theirs.auth) == ("https://x", "xena", None, Login.WINDOWS)
    ours = completed(Connection(user="ada"), environ)
    assert (ours.url, ours.user, ours.tenant, ours.auth) == ("https://c", "ada", "t1", None)
    with pytest.raises(ConfigurationError, match="XPROTECT_AUTH is 'ldap'"):
        completed(Connection(platform=Platform.XPROTECT), {"XPROTECT_AUTH": "ldap"})
    with pytest.raises(ConfigurationError, match="XPROTECT_URL"):
        make_client(Connection(platform=Platform.XPROTECT), environ={})
