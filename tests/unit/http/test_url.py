"""The base URL: what is taken, what is refused and in which words, and how queries are written."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin._http._url import BaseUrl, encode_query, is_loopback
from tocsin.errors import ConfigurationError


@pytest.mark.parametrize(
    ("given_url", "text", "netloc", "address"),
    [
        ("https://acme.example.com", "https://acme.example.com", "acme.example.com", "acme.example.com:443"),
        ("https://acme.example.com/", "https://acme.example.com", "acme.example.com", "acme.example.com:443"),
        (
            "HTTPS://ACME.example.com:443",
            "https://acme.example.com",
            "acme.example.com",
            "acme.example.com:443",
        ),
        ("http://cumulocity:8111", "http://cumulocity:8111", "cumulocity:8111", "cumulocity:8111"),
        (" http://10.0.0.1/base/ \n", "http://10.0.0.1/base", "10.0.0.1", "10.0.0.1:80"),
        ("https://[::1]:8443/a/b", "https://[::1]:8443/a/b", "[::1]:8443", "[::1]:8443"),
        ("https://bücher.example", "https://xn--bcher-kva.example", "xn--bcher-kva.example", None),
        ("https://my_host.local.", "https://my_host.local.", "my_host.local.", None),
    ],
)
def test_base_urls_are_normalised(given_url, text, netloc, address):
    base = BaseUrl.parse(given_url)
    assert base.text == text
    assert base.netloc == netloc
    assert address is None or base.address == address


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("acme.example.com", "write https://acme.example.com"),
        ("acme.example.com:8111/x", "write https://acme.example.com:8111/x"),
        ("//acme.example.com", "write https://acme.example.com"),
        ("ftp://acme.example.com", "must begin with https://"),
        ("wss://acme.example.com", "must begin with https://"),
        ("https:/acme.example.com", "must begin with https://"),
        (None, "not NoneType"),
        (b"https://acme.example.com", "not bytes"),
        ("https://acme.example.com:0", "port"),
        ("https://", "has no host"),
        ("https:///path", "has no host"),
        ("https://ac me.example.com", "blanks"),
        ("https://acme.example.com\x00", "control"),
        ("https://acme.example.com:port", "port"),
        ("https://acme.example.com:99999", "port"),
        ("https://[::1", "host is malformed"),
        ("https://" + "a" * 64 + ".example", "not a host name"),
        ("https://a..b", "not a host name"),
        ("https://-a.example", "not a host name"),
        ("https://exa$mple", "not a host name"),
        ("https://acme.example.com/a/../b", "not a plain path"),
        ("https://acme.example.com/a/%2e%2e/b", "not a plain path"),
        ("https://acme.example.com/ä", "not a plain path"),
        ("https://acme.example.com/%zz", "not a plain path"),
        ("https://acme.example.com#top", "query or a fragment"),
        ("https://acme.example.com/?", "query or a fragment"),
    ],
)
def test_wrong_base_urls_say_what_is_wrong(wrong, says):
    with pytest.raises(ConfigurationError, match=says):
        BaseUrl.parse(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        "https://ada:hunter2@acme.example.com",
        "https://hunter2@acme.example.com",
        "https://ada:hunt/er2@acme.example.com",
        "https://ada:hunt#hunter2@acme.example.com",
        "https://ada:hunt?hunter2@acme.example.com",
        "ada:hunter2@acme.example.com",
        "hunter2://x@acme.example.com",
        "https://acme.example.com/?token=hunter2",
        "https://acme.example.com?hunter2",
        "https://acme.example.com:80@hunter2",
        "//ada:hunter2@acme.example.com",
    ],
)
def test_what_may_be_a_secret_is_refused_and_never_repeated(wrong):
    with pytest.raises(ConfigurationError) as caught:
        BaseUrl.parse(wrong)
    assert "hunter2" not in str(caught.value)
    assert "er2" not in str(caught.value).removeprefix("er")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@given(st.text(max_size=60))
def test_any_text_is_a_base_url_or_a_configuration_error(text):
    for candidate in (text, f"https://{text}", f"http://host/{text}"):
        try:
            base = BaseUrl.parse(candidate)
        except ConfigurationError:
            continue
        assert BaseUrl.parse(base.text) == base


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("notlocalhost", False),
        ("::2", False),
    ],
)
def test_loopback_is_this_machine_only(host, answer):
    assert is_loopback(host) is answer


def test_query_values_are_percent_encoded_as_rfc_3986_says():
    pairs = (("dateFrom", "2026-01-01T00:00:00+02:00"), ("type", "a,b c&d=e/ä"))
    assert encode_query(pairs) == (
        "dateFrom=2026-01-01T00%3A00%3A00%2B02%3A00&type=a%2Cb%20c%26d%3De%2F%C3%A4"
    )


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=5))
def test_any_query_reads_back_as_it_was(pairs):
    pairs = [(k, v) for k, v in pairs if not any("\ud800" <= ch <= "\udfff" for ch in k + v)]
    assert parse_qsl(encode_query(pairs), keep_blank_values=True) == pairs


def test_text_that_utf_8_cannot_write_is_refused_as_misuse():
    with pytest.raises(ConfigurationError, match="not text that can be sent"):
        encode_query([("text", "\ud800")])
