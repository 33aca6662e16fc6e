"""What is seen of a run, without a hook in the product: requests at the network, steps of the event loop, and what the
fleet is asked and told (its public methods, wrapped on the one object under test)."""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

from turnout.deployment import Deployment
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Lease, Tries
from turnout.engine.port import Opened
from turnout.io.simulated import EPOCH
from turnout.sim.clock import VirtualLoop
from turnout.sim.network import VirtualNetwork
from turnout_adapters.adapter import HTTPReply, HTTPRequest

CALL: ContextVar[int] = ContextVar("call", default=-1)
"""The number of the call that a task works for."""
_LATEST = 60

End = Literal["answered", "refused", "broken", "given up"]
"""answered: a complete good answer. refused: an error answer, or no connection. broken: cut in the middle. given up:
the router let go of it first, after a timeout or because its caller left."""


class Violation(AssertionError):
    """An invariant does not hold."""


@dataclass(slots=True, eq=False)
class Exchange:
    """One request on its way, as the network sees it."""

    call: int
    deployment: Deployment
    at: float
    body: Mapping[str, Any]
    probe: bool
    """Its deployment's breaker was not closed when it was sent."""
    end: End | None = None
    ended_at: float = 0.0
    status: int | None = None
    retry_after: float | None = None
    """Seconds to wait, where the answer says so in seconds."""
    announced: bool = False
    """It says when to come back, in whatever form."""
    tokens: tuple[int, int] | None = None
    """Input and output, as a complete answer says."""


@dataclass(slots=True)
class Log:
    """Everything that happens, as a running hash, and the last of it as text."""

    latest: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=_LATEST))
    all: list[tuple[float, str]] | None = None
    """With everything that happened, if it is to be kept."""
    hashed: Any = field(default_factory=lambda: blake2b(digest_size=16))
    count: int = 0
    closed: bool = False
    """What follows is cleaning up."""

    def add(self, now: float, text: str) -> None:
        if self.closed:
            return
        entry = (now, text)
        self.latest.append(entry)
        self.hashed.update(f"{now!r} {text}\n".encode())
        self.count += 1
        if self.all is not None:
            self.all.append(entry)

    @property
    def digest(self) -> str:
        return self.hashed.hexdigest()


def lines(entries: Sequence[tuple[float, str]]) -> str:
    return "\n".join(f"{at:10.3f}  {text}" for at, text in entries)


class WatchedLoop(VirtualLoop):
    """Virtual time that looks at the world after every step."""

    def __init__(self, after: Callable[[bool], None], log: Log, most: int) -> None:
        self._after: Callable[[bool], None] | None = after
        self._log = log
        self._most = most
        self._steps = 0
        super().__init__()

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]
        if self._after is None:
            return
        self._steps += 1
        try:
            if self._steps > self._most:
                raise Violation(f"{self._steps} steps, and no end: somebody asks again and again")
            self._after(not self._ready)  # type: ignore[attr-defined]
        except BaseException:
            self.rest()
            raise

    def rest(self) -> None:
        """Looks no more: what follows is cleaning up."""
        self._after = None
        self._log.closed = True


class Observer:
    """What is told of a run; the invariants override it."""

    def sent(self, region: str, request: HTTPRequest, body: Mapping[str, Any]) -> Exchange:
        raise NotImplementedError

    def ended(self, exchange: Exchange, end: End) -> None:
        raise NotImplementedError


class WatchedNetwork(VirtualNetwork):
    """Tells of every request when it is sent and when it is over: its answer complete, broken off or given up."""

    observer: Observer

    async def send(self, request: HTTPRequest) -> HTTPReply:
        exchange = self._sent(request)
        try:
            reply = await super().send(request)
        except ConnectionError as error:
            self.observer.ended(exchange, "broken" if isinstance(error, ConnectionResetError) else "refused")
            raise
        except BaseException:
            self.observer.ended(exchange, "given up")
            raise
        _note_head(exchange, reply.status, reply.headers)
        if reply.status == 200:
            exchange.tokens = _tokens(json.loads(reply.body))
        self.observer.ended(exchange, "answered" if reply.status == 200 else "refused")
        return reply

    async def open(self, request: HTTPRequest) -> Opened:
        exchange = self._sent(request)
        try:
            opened = await super().open(request)
        except ConnectionError:
            self.observer.ended(exchange, "refused")
            raise
        except BaseException:
            self.observer.ended(exchange, "given up")
            raise
        _note_head(exchange, opened.status, opened.headers)
        return Opened(opened.status, opened.headers, _WatchedBody(opened.body, exchange, self.observer))

    def _sent(self, request: HTTPRequest) -> Exchange:
        body = json.loads(request.body) if request.body else {}
        return self.observer.sent(self._region(request).name, request, body)


class _WatchedBody:
    """A body that tells when the last piece of the answer has arrived."""

    __slots__ = ("_body", "_exchange", "_observer")

    def __init__(self, body: Any, exchange: Exchange, observer: Observer) -> None:
        self._body, self._exchange, self._observer = body, exchange, observer

    async def read(self) -> bytes:
        try:
            data = await self._body.read()
        except ConnectionError:
            self._over("broken")
            raise
        except BaseException:
            self._over("given up")
            raise
        if self._exchange.status != 200:
            if not data:
                self._over("refused")
        elif b"event: response.completed" in data:
            completed = data.partition(b"event: response.completed\ndata: ")[2].partition(b"\n")[0]
            self._exchange.tokens = _tokens(json.loads(completed)["response"])
            self._over("answered")
        return data

    async def close(self) -> None:
        self._over("given up")
        await self._body.close()

    def abandon(self, then: Any = None) -> None:
        self._over("given up")
        self._body.abandon(then)

    def _over(self, end: End) -> None:
        if self._exchange.end is None:
            self._observer.ended(self._exchange, end)


def _tokens(answer: Mapping[str, Any]) -> tuple[int, int] | None:
    usage = answer.get("usage")
    return (usage["input_tokens"], usage["output_tokens"]) if usage else None


def _note_head(exchange: Exchange, status: int, headers: Mapping[str, str]) -> None:
    """What the service's own headers say, read apart from the product; a date is left to the product's reading."""
    exchange.status = status
    told = headers.get("retry-after")
    exchange.announced = told is not None or "retry-after-ms" in headers
    if "retry-after-ms" in headers:
        exchange.retry_after = int(headers["retry-after-ms"]) / 1000
    elif told is not None and told.isdigit():
        exchange.retry_after = float(told)


class WatchedFleet:
    """Wraps the methods of one fleet, and tells before and after."""

    def __init__(self, fleet: Fleet, watch: Any) -> None:
        self._watch = watch
        choose, release, join = fleet.choose, fleet._release, fleet.join

        def chosen(destination: Any, call: Any, tries: Tries, now: float, rng: Any, **how: Any) -> Any:
            before = watch.before_choice(destination, call, tries, now, how.get("ticket"))
            found = choose(destination, call, tries, now, rng, **how)
            watch.after_choice(before, found, now, panic=bool(how.get("panic")))
            return found

        def released(lease: Lease, now: float, record: Any, *more: Any) -> None:
            before = watch.before_release(lease, now, record)
            release(lease, now, record, *more)  # at once, or when what a finalizer left is given back
            watch.after_release(lease, before, now)

        def joined(destination: Any, call: Any, waiter: Any) -> Any:
            ticket = join(destination, call, waiter)
            watch.joined(ticket, destination, call)
            return ticket

        fleet.choose, fleet._release, fleet.join = chosen, released, joined  # type: ignore[method-assign]


__all__ = ["CALL", "EPOCH", "End", "Exchange", "Log", "Observer", "Violation", "WatchedFleet", "WatchedLoop",
           "WatchedNetwork", "lines"]  # fmt: skip
