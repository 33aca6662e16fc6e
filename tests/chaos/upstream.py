"""A server that mostly answers well, and else in every wrong way: any bytes, any pauses, any ends.

    python -m tests.chaos.upstream SEED

prints its port, and serves until its standard input ends.
"""

import asyncio
import json
import logging
import random
import sys
from collections.abc import Callable
from typing import Any

WELL = 0.7
"""Share of good answers: enough that deployments recover."""
NUMBERS: list[Any] = [0, -1, 1e308, 10**30, "many", None, [], {}, True, "1.2.3", "٣", "NaN"]


def response(text: str = "hi", **more: Any) -> dict[str, Any]:
    said = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": said}
    return {
        "id": f"resp_{random.getrandbits(128):032x}", "object": "response", "created_at": 1, "status": "completed",
        "model": "m", "output": [message],
        "usage": {
            "input_tokens": 1, "output_tokens": 2, "total_tokens": 3,
            "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
        },
        **more,
    }  # fmt: skip


def message() -> dict[str, Any]:
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "hi"}], "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip


def events(count: int) -> list[dict[str, Any]]:
    begun = {**response(""), "status": "in_progress", "output": [], "usage": None}
    where = {"item_id": "msg_1", "output_index": 0}
    item = {"type": "message", "id": "msg_1", "status": "in_progress", "role": "assistant", "content": []}
    told: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
    ]
    told += [{"type": "response.output_text.delta", **where, "content_index": 0, "delta": "hi"} for _ in range(count)]
    told.append({"type": "response.completed", "response": response("hi" * count)})
    return [{**one, "sequence_number": number} for number, one in enumerate(told)]


def sse(told: list[dict[str, Any]]) -> list[bytes]:
    return [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in told]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def complete(body: bytes, status: int = 200, *headers: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in headers)
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{lines}content-length: {len(body)}\r\n\r\n"
    return head.encode("utf-8", "surrogateescape") + body


STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def odd(rng: random.Random, value: Any) -> Any:
    """The value with something in it replaced by what does not belong there."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        return {**value, key: odd(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], odd(rng, value[at]), *value[at + 1 :]]
    return rng.choice([*NUMBERS, "junk", ["junk"], {"junk": 1}, "\ud800"])


class Upstream:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = head.partition("content-length:")[2].partition("\r\n")[0].strip() or "0"
                body = await reader.readexactly(int(length))
                await self._answer(head, body, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        streams, rng = b'"stream":true' in body, self.rng
        if rng.random() < WELL:
            await self._well(head, streams, writer)
        else:
            await rng.choice(self._wrongs(streams))(writer)
        await writer.drain()

    async def _well(self, head: str, streams: bool, writer: asyncio.StreamWriter) -> None:
        if streams and "/messages" not in head:
            writer.write(STREAM)
            for data in sse(events(self.rng.randrange(1, 20))):
                writer.write(chunk(data))
                if self.rng.random() < 0.2:
                    await asyncio.sleep(self.rng.random() * 0.005)
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(complete(json.dumps(message() if "/messages" in head else response()).encode()))

    def _wrongs(self, streams: bool) -> list[Callable[[asyncio.StreamWriter], Any]]:
        return [self._refuse, self._any_bytes, self._odd_json, self._hang_up, self._drip, self._cut, self._headers] + (
            [self._broken_stream] * 3 if streams else []
        )

    async def _refuse(self, writer: asyncio.StreamWriter) -> None:
        status = self.rng.choice([400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529, 599, 999])
        error = odd(self.rng, {"error": {"message": "no", "type": "x", "code": "y", "details": [{"retryDelay": "1s"}]}})
        after = self.rng.choice(["0", "0.01", "1.2.3", "-5", "²", "Tue, 99 Foo 2026", "nan", "1e999"])
        writer.write(complete(json.dumps(error).encode(), status, f"retry-after: {after}"))

    async def _any_bytes(self, writer: asyncio.StreamWriter) -> None:
        start = self.rng.choice([b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n", STREAM, b"HTTP/1.1 200 OK\r\n\r\n"])
        writer.write(start + self.rng.randbytes(self.rng.randrange(300)))
        raise ConnectionResetError

    async def _odd_json(self, writer: asyncio.StreamWriter) -> None:
        body = json.dumps(odd(self.rng, self.rng.choice([response(), message(), [], {}])))
        depth = self.rng.choice([0, 0, 0, 2_000])
        writer.write(complete(b"[" * depth + body.encode() + b"]" * depth))

    async def _hang_up(self, writer: asyncio.StreamWriter) -> None:
        if self.rng.random() < 0.5:
            writer.transport.abort()
        raise ConnectionResetError

    async def _drip(self, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nx-a: " + b"b" * 100:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)
        raise ConnectionResetError

    async def _cut(self, writer: asyncio.StreamWriter) -> None:
        whole = complete(json.dumps(response("x" * 1000)).encode())
        writer.write(whole[: self.rng.randrange(len(whole))])
        raise ConnectionResetError

    async def _headers(self, writer: asyncio.StreamWriter) -> None:
        junk = self.rng.choice(["x" * 9_000, "\x00", "ü€", "no colon", "a: b\r\nc: d", "content-length: 3"])
        name = self.rng.choice(
            ["x-junk: ", "x-ratelimit-remaining-requests: ", "content-encoding: ", "x-request-id: ", ""]
        )
        writer.write(complete(json.dumps(response()).encode(), 200, name + junk))
        raise ConnectionResetError

    async def _broken_stream(self, writer: asyncio.StreamWriter) -> None:
        told = events(5)[: self.rng.randrange(1, 8)]
        if self.rng.random() < 0.5:
            told = odd(self.rng, told)
        listed = told if isinstance(told, list) else []
        writer.write(STREAM)
        for data in sse([one for one in listed if isinstance(one, dict) and "type" in one]):
            writer.write(chunk(data))
        end = self.rng.choice(
            [b"", b"zz\r\nrubbish\r\n", b"0\r\n\r\n", chunk(b"data: {\n\n"), chunk(b"\xff\xfe: \n\n")]
        )
        writer.write(end)
        raise ConnectionResetError


async def main(seed: int) -> None:
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # clients that went away are its daily bread
    upstream = Upstream(seed)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
