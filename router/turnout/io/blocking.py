"""The port for threads. Its `async def` methods block instead of suspending, so `run_without_loop` can step them."""

import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from random import Random
from typing import Any

import httpx2

from turnout.engine.port import ByteStream, Opened, Waiter
from turnout.errors import APITimeoutError
from turnout.io.transport import (
    LIMITS,
    Timeouts,
    fetch,
    lower,
    origin_of,
    outgoing,
    proxy_for,
    raise_typed,
    ssl_context,
    timeouts,
)
from turnout_adapters.adapter import Auth, HTTPReply, HTTPRequest


class BlockingWaiter:
    """A thread's place to wait at."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def wake(self) -> None:
        """Ends the wait."""
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Waits to be woken; ready for the next wait afterwards."""
        self._event.wait(seconds)
        self._event.clear()


class BlockingBody:
    """The body of an answer, read piece by piece."""

    __slots__ = ("_limits", "_parts", "_response", "_url")

    def __init__(self, response: httpx2.Response, url: str, limits: Timeouts) -> None:
        self._response = response
        self._parts: Iterator[bytes] = response.iter_bytes()
        self._url = url
        self._limits = limits

    async def read(self) -> bytes:
        """The next bytes, b"" at the end."""
        try:
            return next(self._parts, b"")
        except httpx2.HTTPError as error:
            raise_typed(error, self._url)

    async def close(self) -> None:
        """Releases the connection."""
        self._response.close()

    def abandon(self) -> None:
        """Closes from a finalizer."""
        self._response.close()


class BlockingIO:
    """Sockets, clock and chance for the sync API. Safe for threads."""

    races: bool = False

    def __init__(self, *, seed: int | None = None, trust_env: bool = True) -> None:
        self.rng = Random(seed)
        self._trust_env = trust_env
        self._pools: dict[str, httpx2.BaseTransport] = {}
        self._lock = threading.Lock()

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def unix(self) -> float:
        """Seconds since 1970."""
        return time.time()

    async def send(self, request: HTTPRequest, timeout: float) -> HTTPReply:
        """Sends and reads the whole answer; the deadline is checked with every piece that arrives."""
        give_up = time.monotonic() + timeout
        opened = await self.open(request, timeout, timeout)
        parts = list[bytes]()
        try:
            while part := await opened.body.read():
                parts.append(part)
                if time.monotonic() > give_up:
                    raise APITimeoutError(f"the answer from {origin_of(request.url)} was not complete in time")
        finally:
            await opened.body.close()
        return HTTPReply(opened.status, opened.headers, b"".join(parts))

    async def open(self, request: HTTPRequest, timeout: float, idle: float) -> Opened:
        """Sends and waits for the head of the answer."""
        limits = timeouts(timeout)
        try:
            response = self._pool(origin_of(request.url)).handle_request(outgoing(request, limits))
        except httpx2.HTTPError as error:
            raise_typed(error, request.url)
        limits["read"] = idle
        return Opened(response.status_code, lower(response.headers), BlockingBody(response, request.url, limits))

    async def read(self, body: ByteStream, timeout: float) -> bytes:
        """The next bytes; a pause longer than the body's idle time ends it, and the timeout is checked after."""
        give_up = time.monotonic() + timeout
        data = await body.read()
        if time.monotonic() > give_up:
            raise APITimeoutError("the answer paused for too long")
        return data

    async def refresh(self, auth: Auth, timeout: float) -> None:  # noqa: ARG002 (bounded by fetch)
        """Renews credentials in this thread."""
        auth.refresh(partial(fetch, trust_env=self._trust_env), self.unix())

    def waiter(self) -> BlockingWaiter:
        """A thread's place to wait at."""
        return BlockingWaiter()

    async def wait(self, waiter: Waiter, seconds: float) -> None:
        """Blocks until woken."""
        if isinstance(waiter, BlockingWaiter):
            waiter.wait(seconds)

    async def race(
        self,
        first: Coroutine[Any, Any, bool],
        after: float,  # noqa: ARG002 (a thread does one thing at a time)
        second: Callable[[], Coroutine[Any, Any, bool] | None],  # noqa: ARG002
    ) -> None:
        """Runs the first alone."""
        await first

    def close(self) -> None:
        """Closes all connections."""
        with self._lock:
            pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            pool.close()

    def _pool(self, origin: str) -> httpx2.BaseTransport:
        pool = self._pools.get(origin)
        if pool is None:
            with self._lock:
                pool = self._pools.get(origin)
                if pool is None:
                    proxy = proxy_for(origin, self._trust_env)
                    verify = ssl_context() if origin.startswith("https") else False
                    pool = httpx2.HTTPTransport(verify=verify, limits=LIMITS, proxy=proxy)
                    self._pools[origin] = pool
        return pool
