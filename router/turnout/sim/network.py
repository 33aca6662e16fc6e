"""A network that is no more than code: carries requests to fake regions in virtual time, with no socket."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from turnout.engine.port import Opened
from turnout.io.simulated import EPOCH
from turnout.sim.service import Plan, Service
from turnout.sim.serving import Serving, refusal_of
from turnout.sim.upstream import Answer, Upstream
from turnout_adapters.adapter import HTTPReply, HTTPRequest

_HOST = ".simulated"


class VirtualNetwork:
    """Regions with services, each at an address of its own. The network of a `SimulatedIO`."""

    def __init__(self, regions: Sequence[Upstream]) -> None:
        self.regions = {region.name: region for region in regions}
        for region in regions:
            region.url = f"http://{quote(region.name, safe='')}{_HOST}"
        self._by_origin = {region.url: region for region in regions}

    @property
    def services(self) -> Mapping[str, Service]:
        """What can be changed by a schedule of faults."""
        return {name: region.service for name, region in self.regions.items() if region.service is not None}

    async def send(self, request: HTTPRequest) -> HTTPReply:
        """The whole answer. Raises ConnectionError."""
        call = _Exchange(self._region(request), request)
        try:
            await call.begin()
            plan = call.plan
            if plan.cut is not None:
                await asyncio.sleep(plan.first + plan.cut * (plan.total - plan.first))
                raise ConnectionResetError("the connection was reset in the middle of the answer")
            await asyncio.sleep(plan.total)
            answer = call.answer()
            return HTTPReply(answer.status, call.headers(answer), json.dumps(answer.body).encode())
        finally:
            call.end()

    async def open(self, request: HTTPRequest) -> Opened:
        """The head of the answer, when the first output is there. Raises ConnectionError."""
        call = _Exchange(self._region(request), request)
        try:
            await call.begin()
            await asyncio.sleep(call.plan.first)
            answer = call.answer()
            return Opened(answer.status, call.headers(answer), VirtualBody(call, answer))
        except BaseException:
            call.end()
            raise

    def _region(self, request: HTTPRequest) -> Upstream:
        parts = urlsplit(request.url)
        region = self._by_origin.get(f"{parts.scheme}://{parts.netloc}")
        if region is None:
            raise ConnectionRefusedError(f"nobody is at {parts.netloc}")
        return region


class _Exchange:
    """One request and its answer."""

    __slots__ = ("body", "open", "plan", "region", "request", "serving")

    def __init__(self, region: Upstream, request: HTTPRequest) -> None:
        self.region = region
        self.request = request
        self.plan = Plan()
        self.body: Mapping[str, Any] = {}
        self.serving: Serving | None = None
        self.open = False

    async def begin(self) -> None:
        """Waits for the region to take the request up."""
        region = self.region
        region.requests += 1
        region.in_flight += 1
        self.open = True
        self.body = json.loads(self.request.body) if self.request.body else {}
        service = region.service
        if service is None:
            self.plan = Plan(first=region.latency, total=region.latency)
            return
        now = asyncio.get_running_loop().time()
        self.serving = Serving(service)
        self.plan = service.plan(region.work(self.request.method, self.body), now, EPOCH + now)
        if self.plan.status == 0:
            raise ConnectionRefusedError(f"{region.name} refuses connections")
        await self.serving.begin(self.plan)

    def end(self) -> None:
        """Gives back what it holds, once."""
        if self.serving is not None:
            self.serving.end()
        if self.open:
            self.open = False
            self.region.in_flight -= 1

    def answer(self) -> Answer:
        """What the region says."""
        if self.plan.status != 200:
            fault = refusal_of(self.plan)
            return Answer(self.plan.status, self.region.fault_body(fault), headers=self.plan.headers)
        parts = urlsplit(self.request.url)
        query = dict(parse_qsl(parts.query)) if parts.query else {}
        headers = {name.lower(): value for name, value in self.request.headers}
        return self.region.answer(self.request.method, parts.path, query, headers, self.body)

    def headers(self, answer: Answer) -> dict[str, str]:
        """The answer's headers, those of the limits among them."""
        region = self.region
        region.statuses[answer.status] += 1
        kind = "text/event-stream" if answer.stream and answer.status == 200 else "application/json"
        request_id = f"req_{region.name}_{region.requests}"
        return {"content-type": kind, region.request_id_header: request_id, **self.plan.headers, **answer.headers}


class VirtualBody:
    """The body of an answer in virtual time: its first output is there, the rest comes when it would."""

    __slots__ = ("_call", "_parts")

    def __init__(self, call: _Exchange, answer: Answer) -> None:
        self._call = call
        self._parts = _parts(call, answer)
        self._parts.reverse()

    async def read(self) -> bytes:
        """The next piece, b"" at the end. Raises ConnectionResetError where the answer is cut."""
        if not self._parts:
            self._call.end()
            return b""
        pause, data = self._parts[-1]
        if pause:
            await asyncio.sleep(pause)
        self._parts.pop()
        if data is None:
            self._call.end()
            raise ConnectionResetError("the connection was reset in the middle of the answer")
        return data

    async def close(self) -> None:
        """Closes the connection."""
        self._call.end()

    def abandon(self, then: Callable[[], None] | None = None) -> None:  # noqa: ARG002 (in here nobody waits for it)
        """As close()."""
        self._call.end()


def _parts(call: _Exchange, answer: Answer) -> list[tuple[float, bytes | None]]:
    """The pieces of an answer, and the seconds that pass before each; None where the connection breaks."""
    if not answer.stream or answer.status != 200:
        return [(0.0, json.dumps(answer.body).encode())]
    frames = list(call.region.frames(answer))
    shown = next((at + 1 for at, frame in enumerate(frames) if frame.paced), len(frames))
    first, last = (b"".join(frame.data for frame in part) for part in (frames[:shown], frames[shown:]))
    rest = call.plan.total - call.plan.first
    if call.plan.cut is not None:
        return [(0.0, first), (rest * call.plan.cut, None)]
    return [(0.0, first), (rest, last)] if last else [(0.0, first)]
