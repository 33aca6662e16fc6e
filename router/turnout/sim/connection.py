"""One connection to a fake region: HTTP/1.1 requests, one after another, for as long as the client keeps it."""

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from math import inf
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlsplit

from turnout.sim.faults import Fault
from turnout.sim.service import Plan
from turnout.sim.serving import Serving, refusal_of
from turnout.sim.upstream import CREDENTIALS, Answer, Entry, Upstream

_RESET = struct.pack("ii", 1, 0)
_GARBLED = b'event: response.output_text.delta\ndata: {"type": "response.outp\n\n'
_STEP = 0.05
"""Seconds of a stream that may be sent at once, so that many streams cost few wake-ups."""


class WatchedReader(asyncio.StreamReader):
    """Cancels the task that works on a request when the client goes away meanwhile."""

    working: "asyncio.Task[Any] | None" = None

    def feed_eof(self) -> None:
        """The client has closed the connection."""
        super().feed_eof()
        self._gone()

    def set_exception(self, exc: BaseException) -> None:  # the base's type is narrower than what it is given
        """The connection broke."""
        super().set_exception(exc)  # pyright: ignore[reportArgumentType]
        self._gone()

    def _gone(self) -> None:
        if self.working is not None:
            self.working.cancel()


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    target: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


class Connection:
    """Reads requests, and has the region answer them."""

    def __init__(self, region: Upstream, reader: WatchedReader, writer: asyncio.StreamWriter) -> None:
        self.region = region
        self.reader = reader
        self.writer = writer

    async def serve(self) -> None:
        """Until the client or a fault ends it. Raises ConnectionError or IncompleteReadError then."""
        while True:
            request = await self._read()
            region = self.region
            region.requests += 1
            region.in_flight += 1
            self.reader.working = asyncio.current_task()
            try:
                await self._respond(request)
            finally:
                self.reader.working = None
                region.in_flight -= 1

    async def _read(self) -> _Request:
        head = await self.reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        raw = await self._body(headers)
        return _Request(method, target, headers, json.loads(raw) if raw else {})

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            parts: list[bytes] = []
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                parts.append(await self.reader.readexactly(size))
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
            return b"".join(parts)
        return await self.reader.readexactly(int(headers.get("content-length", 0)))

    async def _respond(self, request: _Request) -> None:
        region = self.region
        kept = {name: value for name, value in request.headers.items() if name not in CREDENTIALS}
        region.journal.append(Entry(request.method, request.target, request.body, kept))
        fault = region.next_fault()
        if fault is not None and fault.kind == "black_hole":
            await asyncio.sleep(inf)
        if region.latency:
            await asyncio.sleep(region.latency)
        if fault is not None and fault.kind == "status":
            await self._refuse(fault)
        elif region.service is not None:
            await self._work(request, fault)
        else:
            await self._tell(self._answer(request), fault, None)

    async def _work(self, request: _Request, fault: Fault | None) -> None:
        """Answers as the region's service has room, time and limits for it."""
        region = self.region
        service = region.service
        if service is None:
            return
        serving = Serving(service)
        try:
            size = region.work(request.method, request.body)
            plan = service.plan(size, asyncio.get_running_loop().time(), time.time())
            if plan.status == 0:
                self._reset()
            await serving.begin(plan)
            await asyncio.sleep(plan.first)
            if plan.status != 200:
                await self._refuse(refusal_of(plan))
                return
            answer = self._answer(request)
            await self._tell(replace(answer, headers={**plan.headers, **answer.headers}), fault, plan)
        finally:
            serving.end()

    async def _refuse(self, fault: Fault) -> None:
        extra = fault.headers() if callable(fault.headers) else fault.headers
        await self._whole(Answer(fault.status, self.region.fault_body(fault), headers=extra), None, None)

    def _answer(self, request: _Request) -> Answer:
        parts = urlsplit(request.target)
        query = dict(parse_qsl(parts.query))
        return self.region.answer(request.method, parts.path, query, request.headers, request.body)

    async def _tell(self, answer: Answer, fault: Fault | None, plan: Plan | None) -> None:
        if answer.stream and answer.status == 200:
            await self._events(answer, fault, plan)
        else:
            await self._whole(answer, fault, plan)

    def _head(self, answer: Answer, kind: str, length: int | None) -> bytes:
        region = self.region
        region.statuses[answer.status] += 1
        told = {"content-type": kind, region.request_id_header: f"req_{region.name}_{region.requests}"}
        if region.service is not None:
            told["date"] = formatdate(time.time() + region.service.conditions.skew, usegmt=True)
        told |= answer.headers
        told |= {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        return f"HTTP/1.1 {answer.status} X\r\n{lines}\r\n".encode()

    async def _whole(self, answer: Answer, fault: Fault | None, plan: Plan | None) -> None:
        body = json.dumps(answer.body).encode()
        message = self._head(answer, "application/json", len(body)) + body
        if plan is not None:
            await asyncio.sleep((plan.total - plan.first) * (1.0 if plan.cut is None else plan.cut))
        if plan is not None and plan.cut is not None:
            self.writer.write(message[: -len(body) // 2])
            await self._drained()
            self._reset()
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

    async def _events(self, answer: Answer, fault: Fault | None, plan: Plan | None) -> None:
        frames = list(self.region.frames(answer))
        pace = _Pace(self.region.word_seconds, sum(frame.paced for frame in frames), plan)
        self.writer.write(self._head(answer, "text/event-stream", None))
        for index, frame in enumerate(frames, start=answer.skip):
            if fault is not None and index == fault.events:
                await self._spoil(fault, index, answer)
                if fault.kind != "malformed":
                    return
            self._chunk(frame.data)
            if frame.paced and (pause := pace.next_pause()):
                await self.writer.drain()
                await asyncio.sleep(pause)
                if pace.broken:
                    self._reset()
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
            await asyncio.sleep(inf)

    def _chunk(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))

    async def _drained(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def _cut(self, fault: Fault) -> None:
        await self._drained()
        if fault.reset:
            self._reset()
        self.writer.close()
        raise ConnectionResetError

    def _reset(self) -> NoReturn:
        """Ends the connection with a TCP reset."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.writer.close()
        raise ConnectionResetError


class _Pace:
    """Spreads the words of a stream over its time, until its connection breaks if that is planned."""

    def __init__(self, word_seconds: float, words: int, plan: Plan | None) -> None:
        self._step = word_seconds if plan is None else (plan.total - plan.first) / max(words, 1)
        self._least = 0.0 if plan is None else _STEP
        self._breaks_at = inf if plan is None or plan.cut is None else (plan.total - plan.first) * plan.cut
        self._words = words
        self._owed = 0.0
        self._passed = 0.0
        self.broken = False
        """The time has come to break the connection."""

    def next_pause(self) -> float:
        """Seconds to wait after a word: some of them are put together."""
        self._owed += self._step
        self._words -= 1
        if self._passed + self._owed >= self._breaks_at:
            self.broken = True
            return self._breaks_at - self._passed
        if self._owed < self._least and self._words > 0:
            return 0.0
        pause, self._owed = self._owed, 0.0
        self._passed += pause
        return pause
