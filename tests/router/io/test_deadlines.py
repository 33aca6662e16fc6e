"""A call ends by its deadline whatever the server does, to three tenths of a second. These bounds are the promise."""

import asyncio
import gzip
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.router.io.conftest import GOOD, STREAM, chunk, events, router_at, whole
from tests.router.io.tls import Authority
from tests.servers import Connected, listening, read_request
from turnout import DeadlineExceededError, TurnoutError

TIMEOUT = 1.0
PROMISE = 0.3
BUSY = 0.4
"""Seconds that forty calls at once on a busy machine may add."""
GAP = 0.2
WAYS = ("sync", "aiohttp", "httpcore2")

OK = b"HTTP/1.1 200 OK\r\n"
JSON = OK + b"content-type: application/json\r\n"
PACKED = gzip.compress(GOOD)
DRIPS: dict[str, tuple[bytes, Sequence[bytes]]] = {
    "nothing": (b"", ()),
    "the head, byte by byte": (OK, [b"x"] * 100),
    "header lines": (OK, [b"x-a: b\r\n"] * 100),
    "1xx answers": (b"", [b"HTTP/1.1 102 Processing\r\n\r\n"] * 100),
    "the body": (JSON + b"content-length: 5000\r\n\r\n", [b" "] * 100),
    "a chunk's extension": (JSON + b"transfer-encoding: chunked\r\n\r\n1;a=", [b"x"] * 100),
    "chunks": (JSON + b"transfer-encoding: chunked\r\n\r\n", [chunk(b" ")] * 100),
    "a packed body": (
        JSON + b"content-encoding: gzip\r\ncontent-length: 5000\r\n\r\n",
        [PACKED[at : at + 1] for at in range(len(PACKED))],
    ),
    "the body of an error": (b"HTTP/1.1 500 X\r\ncontent-length: 5000\r\n\r\n", [b" "] * 100),
    "comments": (STREAM, [chunk(b": still here\n\n")] * 100),
    "comments after words": (STREAM + b"".join(map(chunk, events(ended=False))), [chunk(b": still here\n\n")] * 100),
}


def dripping(start: bytes, pieces: Sequence[bytes]) -> Connected:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(start)
        for piece in pieces:
            await asyncio.sleep(GAP)
            writer.write(piece)
            await writer.drain()
        await asyncio.sleep(60)

    return talk


def seconds_of(way: str, url: str, *, stream: bool = False, text: str = "hello") -> tuple[float, object]:
    """How long a call took, and how it ended."""
    started = time.monotonic()
    given: dict[str, Any] = {"timeout": TIMEOUT, "stream": stream, "input": [{"role": "user", "content": text}]}
    if way == "sync":
        with router_at(url, fast=False) as router:
            started = time.monotonic()
            try:
                answer = router.responses("g", **given)
                end: object = list(answer)[-1].type if stream else answer
            except TurnoutError as error:
                end = error
            return time.monotonic() - started, end

    async def run() -> tuple[float, object]:
        async with router_at(url, way == "aiohttp") as router:
            started = time.monotonic()
            try:
                answer = await router.aresponses("g", **given)
                end: object = [event async for event in answer][-1].type if stream else answer
            except TurnoutError as error:
                end = error
            return time.monotonic() - started, end

    return asyncio.run(run())


def together(calls: Sequence[Callable[[], tuple[str, float, object]]]) -> list[tuple[str, float, object]]:
    """All calls at once, each in a thread."""
    found: list[tuple[str, float, object]] = []
    threads = [threading.Thread(target=lambda call=call: found.append(call())) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(calls)
    return found


def keeps(found: Sequence[tuple[str, float, object]]) -> None:
    late = [one for one in found if one[1] > TIMEOUT + PROMISE + BUSY]
    assert not late
    wrong = [one for one in found if not isinstance(one[2], DeadlineExceededError) and one[2] != "response.failed"]
    assert not wrong


@pytest.mark.parametrize("way", WAYS)
def test_whatever_drips(way: str) -> None:
    def one(kind: str, stream: bool) -> tuple[str, float, object]:
        with listening(dripping(*DRIPS[kind])) as url:
            return (f"{kind}, {stream=}", *seconds_of(way, url, stream=stream))

    keeps(together([lambda kind=kind, stream=stream: one(kind, stream) for kind in DRIPS for stream in (False, True)]))


@pytest.mark.parametrize("way", WAYS)
def test_over_tls(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake that never ends, and bodies that drip inside it."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))

    def inside(kind: str, stream: bool) -> tuple[str, float, object]:
        with listening(dripping(*DRIPS[kind]), tls=authority.server) as url:
            return (f"{kind}, {stream=}", *seconds_of(way, url, stream=stream))

    def handshake(pieces: Sequence[bytes]) -> tuple[str, float, object]:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(GAP)
            await asyncio.sleep(60)

        with listening(talk) as url:
            return (f"a handshake of {len(pieces)} pieces", *seconds_of(way, url.replace("http:", "https:")))

    kinds = ("the head, byte by byte", "the body", "a packed body", "comments after words")
    calls = [lambda kind=kind, stream=stream: inside(kind, stream) for kind in kinds for stream in (False, True)]
    record = b"\x16\x03\x03\x40\x00" + b"\x02" * 100
    keeps(together([*calls, lambda: handshake(()), lambda: handshake([record[at : at + 1] for at in range(100)])]))


@pytest.mark.parametrize("way", WAYS)
def test_who_does_not_read(way: str) -> None:
    """A request of many megabytes that is never taken."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        keeps([("a large request", *seconds_of(way, url, text="x" * 30_000_000))])


def test_a_good_answer_just_in_time_is_one() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        data = whole(GOOD)
        for at in range(0, len(data), 200):
            writer.write(data[at : at + 200])
            await asyncio.sleep(0.05)

    with listening(talk) as url:
        for way in WAYS:
            seconds, answer = seconds_of(way, url)
            assert getattr(answer, "output_text", answer) == "hi"
            assert seconds < TIMEOUT
