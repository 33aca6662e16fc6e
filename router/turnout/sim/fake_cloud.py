"""Serves fake regions, of any provider, over real sockets, from an event loop in a thread of its own.

    with FakeCloud([FakeRegion("eastus"), FakeRegion("westus")]) as cloud:
        cloud["eastus"].url
        cloud.kill("eastus")

Leaving the `with` block closes every socket and ends the thread, whatever happened inside.
"""

import asyncio
import contextlib
import json
import socket
import struct
import threading
from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from turnout.sim.faults import Fault
from turnout.sim.upstream import CREDENTIALS, Answer, Entry, Upstream

_RESET = struct.pack("ii", 1, 0)
_GARBLED = b'event: response.output_text.delta\ndata: {"type": "response.outp\n\n'


class FakeCloud:
    """A set of regions, each with an address of its own on 127.0.0.1."""

    def __init__(self, regions: Sequence[Upstream]) -> None:
        self.regions = {region.name: region for region in regions}
        self._servers: dict[str, asyncio.Server] = {}
        self._ports: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-cloud", daemon=True)

    def __getitem__(self, name: str) -> Upstream:
        return self.regions[name]

    def __enter__(self) -> Self:
        self._thread.start()
        for region in self.regions.values():
            self._do(self._listen(region))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def kill(self, name: str) -> None:
        """The region refuses connections, and drops those it has."""
        self._do(self._close(self.regions[name]))

    def revive(self, name: str) -> None:
        """The region is back, at the same address."""
        if name not in self._servers:
            self._do(self._listen(self.regions[name]))

    def is_up(self, name: str) -> bool:
        """True unless it was killed."""
        return name in self._servers

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self, region: Upstream) -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                self._tasks.add(task)
                task.set_name(region.name)
            region.connections += 1
            try:
                await _Connection(region, reader, writer).serve()
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, TimeoutError):
                pass
            finally:
                region.connections -= 1
                if task is not None:
                    self._tasks.discard(task)
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", self._ports.get(region.name, 0), backlog=1024)
        self._servers[region.name] = server
        self._ports[region.name] = server.sockets[0].getsockname()[1]
        region.url = f"http://127.0.0.1:{self._ports[region.name]}"

    async def _close(self, region: Upstream) -> None:
        server = self._servers.pop(region.name, None)
        if server is None:
            return
        server.close()
        mine = [task for task in self._tasks if task.get_name() == region.name]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)

    async def _shut(self) -> None:
        for region in self.regions.values():
            await self._close(region)
        left = asyncio.all_tasks() - {asyncio.current_task()}  # connections that were accepted and not yet served
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0.01)  # transports close in the loop's next rounds


class _Connection:
    """One connection: requests one after another, as long as the client keeps it."""

    def __init__(self, region: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.region = region
        self.reader = reader
        self.writer = writer

    async def serve(self) -> None:
        while True:
            head = await self.reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            method, target, _ = lines[0].split(" ", 2)
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
            }
            raw = await self._body(headers)
            region = self.region
            region.requests += 1
            region.in_flight += 1
            try:
                await self._respond(method, target, headers, json.loads(raw) if raw else {})
            finally:
                region.in_flight -= 1

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            parts: list[bytes] = []
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                parts.append(await self.reader.readexactly(size))
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
            return b"".join(parts)
        return await self.reader.readexactly(int(headers.get("content-length", 0)))

    async def _respond(self, method: str, target: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> None:
        region, parts = self.region, urlsplit(target)
        kept = {name: value for name, value in headers.items() if name not in CREDENTIALS}
        region.journal.append(Entry(method, target, body, kept))
        fault = region.next_fault()
        if fault is not None and fault.kind == "black_hole":
            await self._until_gone()
        if region.latency:
            await asyncio.sleep(region.latency)
        if fault is not None and fault.kind == "status":
            extra = fault.headers() if callable(fault.headers) else fault.headers
            await self._whole(Answer(fault.status, region.fault_body(fault), headers=extra), None)
            return
        answer = region.answer(method, parts.path, dict(parse_qsl(parts.query)), headers, body)
        if answer.stream and answer.status == 200:
            await self._events(answer, fault)
        else:
            await self._whole(answer, fault)

    async def _until_gone(self) -> None:
        while await self.reader.read(4096):
            pass
        raise ConnectionResetError

    def _head(self, answer: Answer, kind: str, length: int | None) -> bytes:
        size = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
        extra = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        request_id = f"{self.region.request_id_header}: req_{self.region.name}_{self.region.requests}"
        return f"HTTP/1.1 {answer.status} X\r\ncontent-type: {kind}\r\n{request_id}\r\n{extra}{size}\r\n\r\n".encode()

    async def _whole(self, answer: Answer, fault: Fault | None) -> None:
        body = json.dumps(answer.body).encode()
        message = self._head(answer, "application/json", len(body)) + body
        if fault is not None and fault.kind == "cut":
            self.writer.write(message[: -len(body) // 2])
            await self._cut(fault)
        if fault is not None and fault.kind == "drip":
            for index in range(len(message)):
                self.writer.write(message[index : index + 1])
                await self.writer.drain()
                await asyncio.sleep(0.05)
            return
        self.writer.write(message)
        await self.writer.drain()

    async def _events(self, answer: Answer, fault: Fault | None) -> None:
        self.writer.write(self._head(answer, "text/event-stream", None))
        for index, frame in enumerate(self.region.frames(answer), start=answer.skip):
            if fault is not None and index == fault.events:
                await self._spoil(fault, index, answer)
                if fault.kind != "malformed":
                    return
            self._chunk(frame.data)
            if self.region.word_seconds and frame.paced:
                await self.writer.drain()
                await asyncio.sleep(self.region.word_seconds)
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def _spoil(self, fault: Fault, index: int, answer: Answer) -> None:
        if fault.kind == "cut":
            await self._cut(fault)
        elif fault.kind == "malformed":
            self._chunk(_GARBLED)
        elif fault.kind == "error_event":
            for event in self.region.failing(answer, fault, index):
                self._chunk(event)
            self.writer.write(b"0\r\n\r\n")
            await self.writer.drain()
        elif fault.kind == "drip":
            await asyncio.sleep(3600)

    def _chunk(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))

    async def _cut(self, fault: Fault) -> None:
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()
        sock = self.writer.get_extra_info("socket")
        if fault.reset and sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        raise ConnectionResetError
