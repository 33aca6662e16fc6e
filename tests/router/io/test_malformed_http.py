"""Whatever bytes come instead of HTTP: a typed error that counts against who sent them, and the call goes elsewhere."""

import asyncio
import contextlib
import gzip
import struct
from collections.abc import Iterator
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import in_flight
from tests.router.io.conftest import GOOD, STREAM, chunk, events, router_at, whole
from tests.servers import listening, read_request
from turnout import APIError

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
PACKED = gzip.compress(GOOD)
READABLE = {
    "a header of 9 KB": whole(GOOD, "set-cookie: " + "a" * 9_000),
    "a header of 80 KB": whole(GOOD, "x-a: " + "a" * 80_000),
    "100 headers": whole(GOOD, *[f"x-{number}: 1" for number in range(100)]),
    "header values that are no ASCII": whole(GOOD, "x-a: grüße €", "x-request-id: ü"),
    "trailers": CHUNKED + chunk(GOOD) + b"0\r\nx-a: b\r\n\r\n",
    "chunk extensions": CHUNKED + b"%x;a=b;c\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD),
    "1xx before the answer": b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 3 + whole(GOOD),
    "HTTP/1.0 to the end": b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n" + GOOD,
    "gzip": whole(PACKED, "content-encoding: gzip"),
    "gzip in chunks": CHUNKED.replace(b"transfer", b"content-encoding: gzip\r\ntransfer")
    + b"".join(chunk(PACKED[at : at + 7]) for at in range(0, len(PACKED), 7))
    + b"0\r\n\r\n",
}
UNREADABLE = {
    "nothing": b"",
    "one byte": b"H",
    "no HTTP": b"220 mail.example ESMTP\r\n",
    "HTML without a head": b"<html>it works</html>\r\n\r\n",
    "a status that is no number": b"HTTP/1.1 OK 200\r\n\r\n",
    "status 0": b"HTTP/1.1 0 X\r\ncontent-length: 0\r\n\r\n",
    "status 99": b"HTTP/1.1 99 X\r\ncontent-length: 0\r\n\r\n",
    "status 1000": b"HTTP/1.1 1000 X\r\ncontent-length: 0\r\n\r\n",
    "HTTP/9": b"HTTP/9.9 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    "a header without a colon": OK + b"no colon here\r\ncontent-length: 2\r\n\r\n{}",
    "a header without a name": OK + b": value\r\ncontent-length: 2\r\n\r\n{}",
    "NUL in a header": OK + b"x-a: a\0b\r\ncontent-length: 2\r\n\r\n{}",
    "two lengths": whole(GOOD, "content-length: 3"),
    "a negative length": OK + b"content-length: -5\r\n\r\n" + GOOD,
    "a length that is no number": OK + b"content-length: many\r\n\r\n" + GOOD,
    "a head of a megabyte": OK + b"x-a: " + b"a" * 2**20 + b"\r\n\r\n",
    "ten thousand headers": OK + b"x-a: b\r\n" * 10_000 + b"\r\n",
    "a head that is cut": OK + b"content-type: appl",
    "a body that is cut": whole(GOOD)[:-20],
    "a chunk that is cut": CHUNKED + b"%x\r\n" % len(GOOD) + GOOD[:50],
    "chunks without an end": CHUNKED + chunk(GOOD),
    "a chunk size that is none": CHUNKED + b"zz\r\nrubbish\r\n",
    "a negative chunk": CHUNKED + b"-5\r\nrubbish\r\n",
    "a huge chunk": CHUNKED + b"ffffffffffffffffff\r\nrubbish\r\n",
    "more in a chunk than it says": CHUNKED + b"3\r\nrubbish\r\n0\r\n\r\n",
    "gzip that is none": whole(GOOD, "content-encoding: gzip"),
    "gzip that is cut": whole(PACKED[:-10], "content-encoding: gzip"),
    "a packing nobody knows": whole(GOOD, "content-encoding: br"),
    "a 204 with a body": b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n{}",
    "a 304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "101 and silence": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
    "an end in 1xx": b"HTTP/1.1 102 Processing\r\n\r\n" * 5,
}


DOUBTFUL = {
    "the same length twice": whole(GOOD, f"content-length: {len(GOOD)}"),
    "an encoding nobody knows": OK + b"transfer-encoding: rot13\r\n\r\n" + GOOD,
    "bare line feeds": whole(GOOD).replace(b"\r\n", b"\n"),
    "a line that goes on in the next": whole(GOOD, "x-a: b\r\n c"),
    "blanks before a colon": whole(GOOD, "x-a : b"),
    "a length with a sign": whole(GOOD).replace(b"content-length: ", b"content-length: +"),
}
"""HTTP libraries differ on these: an answer or a failure, nothing in between."""


@contextlib.contextmanager
def saying(data: bytes, end: bytes = b"", *, reset: bool = False) -> Iterator[str]:
    """A server that answers every request with these bytes, a moment later with those at the end, and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(data)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        await asyncio.sleep(0.01)
        if end:
            writer.write(end)
            await asyncio.sleep(0.01)
        if reset:
            writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionResetError

    with listening(talk) as url:
        yield url


@pytest.fixture(scope="module")
def healthy() -> Iterator[str]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await read_request(reader)
        streamed = STREAM + b"".join(map(chunk, events())) + b"0\r\n\r\n"
        writer.write(streamed if asked.body.get("stream") else whole(GOOD))

    with listening(talk) as url:
        yield url


@pytest.mark.parametrize("kind", READABLE)
def test_what_can_be_read_is_read(api: Any, kind: str) -> None:
    with saying(READABLE[kind]) as url, api(url) as call:
        assert call(timeout=5).output_text == "hi"
        assert call.router.status()[0].consecutive_failures == 0


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_what_is_doubtful_is_read_or_counts(api: Any, kind: str) -> None:
    with saying(DOUBTFUL[kind]) as url, api(url) as call:
        try:
            assert call(timeout=5).output_text == "hi"
        except APIError:
            assert call.router.status()[0].consecutive_failures == 1
        else:
            assert call.router.status()[0].consecutive_failures == 0


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_cannot_counts_against_its_sender_and_the_call_goes_elsewhere(
    api: Any, healthy: str, kind: str, reset: bool
) -> None:
    with saying(UNREADABLE[kind], reset=reset) as url:
        with api(url) as call:
            with pytest.raises(APIError):
                call(timeout=5)
            assert (call.router.status()[0].consecutive_failures, in_flight(call.router)) == (1, 0)
        with api(url, spare=healthy, num_retries=1) as call:
            assert call(timeout=5).route.deployment == "spare"
            assert call(timeout=5, stream=True)[-1].type == "response.completed"
            assert [one.consecutive_failures for one in call.router.status()] == [2, 0]
            assert in_flight(call.router) == 0


ENDS = {
    "closed": b"",
    "rubbish": b"zz\r\nrubbish\r\n",
    "half a chunk": b"400\r\nevent: resp",
    "an end without the last event": b"0\r\n\r\n",
    "no JSON": chunk(b"data: {\n\n"),
    "no text": chunk(b"\xff\xfe\xfd: \xff\n\n") + b"0\r\n\r\n",
    "an array": chunk(b"data: []\n\n"),
}


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("end", ENDS)
def test_a_stream_that_breaks_after_its_first_words_ends_in_one_failed_event(api: Any, end: str, reset: bool) -> None:
    data = STREAM + b"".join(map(chunk, events(ended=False)))
    with saying(data, ENDS[end], reset=reset) as url, api(url) as call:
        told = call(timeout=5, stream=True)
        assert [one.type for one in told].count("response.failed") == 1
        assert told[-1].type == "response.failed"
        assert told[-1].response.output_text == "hihi"
        assert (call.router.status()[0].consecutive_failures, in_flight(call.router)) == (1, 0)


@settings(max_examples=40)
@given(st.sampled_from([b"", b"HTTP/1.1 ", OK, OK + b"\r\n", CHUNKED, STREAM]), st.binary(max_size=200), st.booleans())
def test_any_bytes_at_all(start: bytes, data: bytes, reset: bool) -> None:
    async def both(url: str) -> None:
        for fast in (True, False):
            async with router_at(url, fast) as router:
                for stream in (False, True):
                    with contextlib.suppress(APIError):
                        answer = await router.aresponses("g", "hello", timeout=5, stream=stream)
                        if stream:
                            _ = [event async for event in answer]
                assert in_flight(router) == 0

    with saying(start + data, reset=reset) as url:
        asyncio.run(both(url))
        with router_at(url, fast=False) as router:
            for stream in (False, True):
                with contextlib.suppress(APIError):
                    answer = router.responses("g", "hello", timeout=5, stream=stream)
                    _ = list(answer) if stream else None
            assert in_flight(router) == 0
