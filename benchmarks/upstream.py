"""The cheapest upstream there can be: fixed bytes, from a process of its own, so that its cost is not measured."""

import asyncio
import json
import multiprocessing
from multiprocessing.connection import Connection
from typing import Self

from turnout.sim.replies import encode_event, response_object, stream_events

EVENTS = 500


def _bodies() -> tuple[bytes, bytes]:
    import random

    rng = random.Random(1)
    unary = json.dumps(response_object({"model": "m"}, "bench", 1, 60, rng)).encode()
    long = response_object({"model": "m"}, "bench", 1, EVENTS, rng)
    chunks = [encode_event(event) for event in stream_events(long)]
    stream = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(unary)
    return (
        head + unary,
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" + stream,
    )


class _Server(asyncio.Protocol):
    def __init__(self, unary: bytes, stream: bytes) -> None:
        self._unary, self._stream, self._buffer = unary, stream, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            wants_stream = b'"stream":true' in body or b'"stream": true' in body
            self._transport.write(self._stream if wants_stream else self._unary)  # type: ignore[attr-defined]


def _serve(ready: Connection, servers: int) -> None:
    async def main() -> None:
        loop, (unary, stream) = asyncio.get_running_loop(), _bodies()
        started = [await loop.create_server(lambda: _Server(unary, stream), "127.0.0.1", 0) for _ in range(servers)]
        ready.send([server.sockets[0].getsockname()[1] for server in started])
        await asyncio.Event().wait()

    asyncio.run(main())


class Upstream:
    """Runs the servers; `urls` are their addresses."""

    def __init__(self, servers: int = 2) -> None:
        ours, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, servers), daemon=True)
        self._process.start()
        self.urls = [f"http://127.0.0.1:{port}" for port in ours.recv()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()
