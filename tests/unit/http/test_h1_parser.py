"""Answers out of bytes: any split gives the same, and what is no answer is refused."""

import gc
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin._http._h1._parser import ResponseParser

H = b"HTTP/1.1 200 OK\r\n"
CHUNKED = H + b"Transfer-Encoding: chunked\r\n\r\n"


def parsed(data, method="GET", cuts=(), ended=True):
    """What comes of bytes that arrive in pieces: (status, body, keep, extra), or the word "refused"."""
    parser = ResponseParser(method)
    body = b""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    try:
        for start, stop in pairwise(edges):
            if start < stop:
                parser.feed(data[start:stop])
                body += parser.take()
        if ended and not parser.done:
            parser.end()
    except httpx.RemoteProtocolError:
        return "refused"
    if not parser.done:
        return "unfinished"
    return parser.status, parser.headers, body, parser.keep, parser.extra


ANSWERS = {
    "counted": H + b"Content-Length: 5\r\n\r\nhello",
    "counted, spaces": H + b"Content-Length:   5  \r\n\r\nhello",
    "nothing": H + b"Content-Length: 0\r\n\r\n",
    "chunked": CHUNKED + b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",
    "chunked, trailers": CHUNKED + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n",
    "until close": H + b"X: y\r\n\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.0 until close": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "HTTP/1.0 kept": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
    "no phrase": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}",
    "close": H + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    + H
    + b"Content-Length: 2\r\n\r\n{}",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "204 with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    "304 with a length": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "and another": H + b"Content-Length: 2\r\n\r\n{}" + H + b"Content-Length: 3\r\n\r\nxyz",
    "and junk": H + b"Content-Length: 2\r\n\r\n{}!",
    "chunked and junk": CHUNKED + b"2\r\n{}\r\n0\r\n\r\nSSH-2.0",
    "closed and junk": H + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}junk",
    "bad chunk": CHUNKED + b"zz\r\nabc",
    "chunk too long": CHUNKED + b"2\r\n{}x\r\n0\r\n\r\n",
    "half": H + b"Content-Length: 5\r\n\r\nhell",
    "half chunked": CHUNKED + b"5\r\nhel",
    "half head": H + b"Content-Le",
    "nothing at all": b"",
    "two lengths": H + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "lengths and chunks": H + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative": H + b"Content-Length: -2\r\n\r\nabc",
    "huge": H + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    "no number": H + b"Content-Length: two\r\n\r\nabc",
    "gzip coding": H + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "other coding": H + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a request": b"GET / HTTP/1.1\r\n\r\n",
    "blank name": H + b"Content-Length : 2\r\n\r\n{}",
    "NUL": H + b"X: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "many headers": H + b"".join(b"X-%d: y\r\n" % n for n in range(300)) + b"Content-Length: 0\r\n\r\n",
}
EXPECTED = {
    "counted": (200, b"hello", True, False),
    "counted, spaces": (200, b"hello", True, False),
    "nothing": (200, b"", True, False),
    "chunked": (200, b"hello world", True, False),
    "chunked, trailers": (200, b"hello", True, False),
    "until close": (200, b"hello\r\n0\r\n\r\n", False, False),
    "HTTP/1.0 until close": (200, b"hello", False, False),
    "HTTP/1.0 kept": (200, b"{}", True, False),
    "no phrase": (200, b"{}", True, False),
    "close": (200, b"{}", False, False),
    "interim": (200, b"{}", True, False),
    "204": (204, b"", True, False),
    "204 with a length": (204, b"", False, True),
    "304 with a length": (304, b"", False, False),
    "and another": (200, b"{}", True, True),
    "and junk": (200, b"{}", True, True),
    "chunked and junk": (200, b"{}", True, True),
    "closed and junk": (200, b"{}", False, True),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_read_or_refused(name):
    got = parsed(ANSWERS[name])
    if name in EXPECTED:
        status, _, *rest = got
        assert (status, *rest) == EXPECTED[name]
    else:
        assert got == "refused"


@pytest.mark.parametrize("name", ANSWERS)
def test_byte_by_byte_gives_the_same(name):
    data = ANSWERS[name]
    assert parsed(data, cuts=range(len(data))) == parsed(data)


@given(st.sampled_from(sorted(ANSWERS)), st.lists(st.integers(0, 5000), max_size=12))
def test_any_split_gives_the_same(name, cuts):
    assert parsed(ANSWERS[name], cuts=cuts) == parsed(ANSWERS[name])


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    st.lists(st.integers(0, 400), max_size=8),
    st.booleans(),
    st.binary(max_size=5),
)
def test_bodies_of_any_bytes_survive_any_split(pieces, cuts, chunked, extra):
    whole = b"".join(pieces)
    if chunked:
        data = CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
    else:
        data = H + b"Content-Length: %d\r\n\r\n" % len(whole) + whole
    status, _, body, keep, more = parsed(data + extra, cuts=cuts)
    assert (status, body, keep) == (200, whole, True)
    # Empty lines between answers mean nothing (RFC 9112 §2.2).
    assert more == bool(extra) or not extra.strip(b"\r\n")


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_no_bytes_raise_anything_else(data, cuts):
    for start in (b"", H, CHUNKED):
        whole = parsed(start + data, cuts=cuts)
        assert whole == "refused" or whole[0] >= 101


@pytest.mark.parametrize("length", [b"Content-Length: 5\r\n", b"", b"Transfer-Encoding: chunked\r\n"])
def test_an_answer_to_head_has_no_body(length):
    status, _, body, keep, _ = parsed(H + length + b"\r\n", method="HEAD", ended=False)
    assert (status, body, keep) == (200, b"", False)


def test_headers_keep_order_and_spelling():
    _, headers, *_ = parsed(H + b"Set-Cookie: a=1\r\nset-cookie: b=2\r\nX: \r\nContent-Length: 0\r\n\r\n")
    assert headers == [
        (b"Set-Cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"X", b""),
        (b"Content-Length", b"0"),
    ]


ENDLESS = {
    "a header": (H + b"X: ", b"x" * 1000),
    "headers": (H, b"X: y\r\n" * 100),
    "the phrase": (b"HTTP/1.1 200 ", b"O" * 1000),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 40),
    "a chunk's extension": (CHUNKED + b"1;a=", b"b" * 1000),
    "trailers": (CHUNKED + b"1\r\nx\r\n0\r\n", b"X: y\r\n" * 100),
    "a trailer": (CHUNKED + b"1\r\nx\r\n0\r\nX: ", b"y" * 1000),
    "empty lines": (b"", b"\r\n" * 500),
}


def feed_on(parser, more):
    for _ in range(100):
        parser.feed(more)


@pytest.mark.parametrize("what", ENDLESS)
@pytest.mark.parametrize("at_once", [1, 300])
def test_what_never_ends_is_refused_in_time(what, at_once):
    start, more = ENDLESS[what]
    parser = ResponseParser("GET")
    if start:
        parser.feed(start)
    with pytest.raises(httpx.RemoteProtocolError, match=r"too large|too many"):
        feed_on(parser, more * at_once)


def test_heartbeats_in_chunks_of_their_own_are_no_overhead():
    parser = ResponseParser("GET")
    parser.feed(CHUNKED)
    for _ in range(100_000):
        parser.feed(b"1\r\n \r\n")
    parser.feed(b"0\r\n\r\n")
    assert parser.done
    assert len(parser.take()) == 100_000


def test_a_switch_of_protocols_leaves_the_rest_alone():
    parser = ResponseParser("GET")
    parser.feed(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello")
    assert (parser.status, parser.done, parser.upgraded) == (101, True, b"\x81\x05hello")


@pytest.mark.parametrize("name", ["counted", "chunked", "until close", "half", "bad chunk"])
def test_a_parser_that_is_through_is_no_cycle(name):
    gc.collect()
    gc.disable()
    try:
        parsed(ANSWERS[name])
        assert gc.collect() == 0
    finally:
        gc.enable()
