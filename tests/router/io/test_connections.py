"""Connections that are used again, and what one Router takes of an answer. Both APIs, both async transports."""

import asyncio
import gc
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import in_flight
from tests.router.io.conftest import GOOD, STREAM, chunk, events, response_body, router_at, whole
from tests.servers import listening, read_request
from tests.valkey import eventually
from turnout import InvalidReplyError, Router, TurnoutError

Call = Callable[..., Any]


class Hanging:
    """Answers some requests of each connection, and hangs up on the next without a byte; counts what it gets."""

    def __init__(self, served: int, last: bytes = b"", reset: bool = False) -> None:
        self.served, self.last, self.reset = served, last, reset
        self.requests = 0
        self.on: dict[Any, int] = {}

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await read_request(reader)
        self.requests += 1
        self.on[writer] = self.on.get(writer, 0) + 1
        if self.on[writer] > self.served:
            writer.write(self.last)
            if self.reset:
                writer.transport.abort()
            raise ConnectionResetError
        streamed = STREAM + b"".join(map(chunk, events())) + b"0\r\n\r\n"
        writer.write(streamed if asked.body.get("stream") else whole(GOOD))


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_a_dead_connection_that_was_used_before_is_replaced_and_nobody_is_charged(
    api: Any, stream: bool, reset: bool
) -> None:
    server = Hanging(1, reset=reset)
    with listening(server) as url, api(url) as call:
        for _ in range(5):
            answer = call(stream=stream)
            assert (answer[-1].type if stream else answer.status) in ("response.completed", "completed")
        (one,) = call.router.status()
        assert (one.state, one.consecutive_failures) == ("ready", 0)
        assert in_flight(call.router) == 0
    assert server.requests == 7, "every second call found a dead connection"
    assert len(server.on) == 5


def test_a_fresh_connection_that_dies_is_a_failure(api: Any) -> None:
    server = Hanging(0)
    with listening(server) as url, api(url) as call:
        with pytest.raises(TurnoutError):
            call()
        assert call.router.status()[0].consecutive_failures == 1
    assert server.requests == 1


def test_a_connection_that_had_begun_to_answer_is_not_replaced(api: Any) -> None:
    """The provider has worked on the request: doing it again is the retry policy's business."""
    server = Hanging(1, last=b"HTTP/1.1 200 OK\r\ncontent-le")
    with listening(server) as url, api(url) as call:
        call()
        with pytest.raises(TurnoutError):
            call()
        assert call.router.status()[0].consecutive_failures == 1
    assert server.requests == 2


@pytest.mark.parametrize("given", [{"background": True}, {"conversation": "conv_1"}, {"tools": [{"type": "mcp"}]}])
def test_what_would_do_something_twice_is_not_sent_twice(api: Any, given: dict[str, Any]) -> None:
    server = Hanging(1)
    with listening(server) as url, api(url, accept_raw_ids=True, transcripts=False) as call:
        call()
        with pytest.raises(TurnoutError):
            call(extra_body=given)
        assert call.router.status()[0].consecutive_failures == 1
    assert server.requests == 2


def test_an_answer_larger_than_the_router_takes_is_refused(api: Any) -> None:
    body = json.dumps(response_body("x" * 20_000)).encode()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(whole(body))

    with listening(talk) as url:
        with api(url, max_response_bytes=len(body)) as call:
            assert len(call().output_text) == 20_000
        with api(url, max_response_bytes=len(body) - 1) as call, pytest.raises(InvalidReplyError, match="larger than"):
            call()


def test_the_bound_is_a_setting_with_a_name() -> None:
    with pytest.raises(TurnoutError, match="max_response_bytes"):
        router_at("http://127.0.0.1:1", fast=True, max_response_bytes=0)


def test_the_caller_adds_nothing_that_was_not_asked_for(api: Any) -> None:
    """What is sent is what the adapter wrote, host, length and our name, whichever the transport."""
    seen: list[dict[str, str]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await read_request(reader)).headers)
        writer.write(whole(GOOD))

    with listening(talk) as url, api(url) as call:
        call()
    assert set(seen[0]) == {"host", "user-agent", "accept", "content-type", "authorization", "content-length"}
    assert seen[0]["user-agent"].startswith("turnout/")


@pytest.mark.parametrize("fast", [True, False], ids=["aiohttp", "httpcore2"])
def test_a_stream_that_is_looked_at_with_a_limit_never_seems_complete(fast: bool) -> None:
    """`wait_for(anext(stream))` cancels the read; what comes then is an error, not the end."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM + b"".join(map(chunk, events(ended=False))))
        await writer.drain()
        await asyncio.sleep(30)

    async def run(url: str) -> None:
        async with router_at(url, fast) as router:
            stream = await router.aresponses("g", "hello", stream=True)
            for _ in events(ended=False):
                await anext(stream)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 0.05)
            for _ in range(2):
                with pytest.raises(TurnoutError, match="cancelled"):
                    await anext(stream)
            assert in_flight(router) == 0

    with listening(talk) as url:
        asyncio.run(run(url))


@pytest.mark.parametrize("fast", [True, False], ids=["aiohttp", "httpcore2"])
def test_a_router_that_is_closed_keeps_no_connection_of_a_closed_event_loop(fast: bool) -> None:
    now_open: set[Any] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        now_open.add(writer)
        try:
            await read_request(reader)
        except (OSError, asyncio.IncompleteReadError):
            now_open.remove(writer)
            raise
        writer.write(whole(GOOD))

    async def eight(router: Router) -> None:
        await asyncio.gather(*(router.aresponses("g", "hello") for _ in range(8)))

    def are_closed() -> bool:
        gc.collect()
        return not now_open

    with listening(talk) as url:
        router = router_at(url, fast)
        asyncio.run(eight(router))
        assert len(now_open) == 8
        router.close()
        eventually(are_closed, "connections to end")
