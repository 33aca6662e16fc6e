"""A server on a local socket whose answers a function makes; it keeps what it was asked."""

import asyncio
import json
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    raw: bytes

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> str:
        return urlsplit(self.target).query

    @property
    def body(self) -> Any:
        return json.loads(self.raw) if self.raw else {}


@dataclass
class Answer:
    """What to say."""

    status: int = 200
    body: Any = None
    raw: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        return self.raw if self.raw is not None else json.dumps(self.body).encode()


Handler = Callable[[Asked], Answer]


@dataclass
class Server:
    url: str = ""
    seen: list[Asked] = field(default_factory=list)

    @property
    def last(self) -> Asked:
        return self.seen[-1]


Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def listening(talk: Connected, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[str]:
    """Runs a server in a thread; `talk` handles one request and its answer. Gives the server's address."""
    loop = asyncio.new_event_loop()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    running = loop.run_until_complete(asyncio.start_server(connected, host, 0, ssl=tls))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        named = f"[{host}]" if ":" in host else host
        yield f"{'http' if tls is None else 'https'}://{named}:{running.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(running.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
            loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.run_until_complete(asyncio.sleep(0.01))  # transports close in the loop's next rounds
        loop.close()


@contextmanager
def serving(handler: Handler) -> Iterator[Server]:
    """Serves what a function answers. An error in it is an answer of 599, which no client takes for good."""
    server = Server()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await read_request(reader)
        server.seen.append(asked)
        try:
            answer = handler(asked)
        except Exception as error:
            answer = Answer(599, {"error": {"message": f"{type(error).__name__}: {error}"}})
        head = {"content-type": "application/json", **answer.headers, "content-length": str(len(answer.data))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        writer.write(f"HTTP/1.1 {answer.status} X\r\n{lines}\r\n".encode() + answer.data)
        await writer.drain()

    with listening(talk) as server.url:
        yield server


async def read_request(reader: asyncio.StreamReader) -> Asked:
    """One request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    raw = await reader.readexactly(int(headers.get("content-length", 0)))
    method, target, _ = head[0].split(" ")
    return Asked(method, target, headers, raw)
