"""The port for asyncio. Connections belong to the event loop that opened them: each loop has its own pools."""

import asyncio
import contextlib
import time
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable
from functools import partial
from importlib.util import find_spec
from random import Random

import httpx2

from turnout.engine.port import ByteStream, Opened, Waiter, run_without_loop
from turnout.errors import APITimeoutError, AsyncHookInSyncCall
from turnout.io.racing import Attempt, race
from turnout.io.transport import (
    LIMITS,
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

_UNLIMITED = httpx2.Limits(max_connections=0, keepalive_expiry=30.0)
"""aiohttp's zero means no limit, and so does our None, which it would read as 100."""

Pools = dict[str, httpx2.AsyncBaseTransport]


def _decoded(response: httpx2.Response) -> AsyncIterable[bytes]:
    """The body's bytes; straight from the transport unless they are compressed, which nobody asked for."""
    stream = response.stream
    if "content-encoding" in response.headers or not isinstance(stream, httpx2.AsyncByteStream):
        return response.aiter_bytes()
    return stream


class LoopWaiter:
    """A task's place to wait at."""

    __slots__ = ("_event", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Ends the wait, from any thread; a loop that is gone has nobody waiting."""
        if self._loop is _running_loop():
            self._event.set()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, seconds: float) -> None:
        """Waits to be woken; ready for the next wait afterwards."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return
        finally:
            self._event.clear()


class LoopBody:
    """The body of an answer, read piece by piece."""

    __slots__ = ("_loop", "_parts", "_response", "_url")

    def __init__(self, response: httpx2.Response, url: str) -> None:
        self._response = response
        self._parts: AsyncIterator[bytes] = aiter(_decoded(response))
        self._url = url
        self._loop = asyncio.get_running_loop()

    async def read(self) -> bytes:
        """The next bytes, b"" at the end."""
        try:
            return await anext(self._parts, b"")
        except httpx2.HTTPError as error:
            raise_typed(error, self._url)

    async def close(self) -> None:
        """Releases the connection, cancelled or not."""
        await self._response.aclose()

    def abandon(self) -> None:
        """Closes from a finalizer, in the loop that owns the connection."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._close_later)

    def _close_later(self) -> None:
        task = self._loop.create_task(self._response.aclose())
        _KEPT.add(task)
        task.add_done_callback(_KEPT.discard)


_KEPT: "set[asyncio.Task[None]]" = set()
"""Closing tasks: an event loop keeps only weak references to its tasks."""


class EventLoopIO:
    """Sockets, clock and chance for the async API. Works from any number of event loops."""

    races: bool = True

    def __init__(self, *, seed: int | None = None, trust_env: bool = True, fast: bool = True) -> None:
        self.rng = Random(seed)
        self._trust_env = trust_env
        self._fast = fast and find_spec("httpx_aiohttp") is not None
        self._pools: dict[asyncio.AbstractEventLoop, Pools] = {}
        weakref.finalize(self, _discard_closed, self._pools)

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def unix(self) -> float:
        """Seconds since 1970."""
        return time.time()

    async def send(self, request: HTTPRequest, timeout: float) -> HTTPReply:
        """Sends and reads the whole answer."""
        try:
            async with asyncio.timeout(timeout):
                response = await self._pool(request.url).handle_async_request(outgoing(request, timeouts(timeout)))
                try:
                    body = b"".join([part async for part in _decoded(response)])
                finally:
                    await response.aclose()
        except TimeoutError:
            raise APITimeoutError(f"no complete answer from {origin_of(request.url)} in {timeout:.1f} s") from None
        except httpx2.HTTPError as error:
            raise_typed(error, request.url)
        return HTTPReply(response.status_code, lower(response.headers), body)

    async def open(self, request: HTTPRequest, timeout: float, idle: float) -> Opened:
        """Sends and waits for the head of the answer."""
        try:
            async with asyncio.timeout(timeout):
                wanted = outgoing(request, timeouts(timeout, idle))
                response = await self._pool(request.url).handle_async_request(wanted)
        except TimeoutError:
            raise APITimeoutError(f"no answer from {origin_of(request.url)} in {timeout:.1f} s") from None
        except httpx2.HTTPError as error:
            raise_typed(error, request.url)
        return Opened(response.status_code, lower(response.headers), LoopBody(response, request.url))

    async def read(self, body: ByteStream, timeout: float) -> bytes:
        """The next bytes within the timeout."""
        try:
            async with asyncio.timeout(timeout):
                return await body.read()
        except TimeoutError:
            raise APITimeoutError("the answer paused for too long") from None

    async def refresh(self, auth: Auth, timeout: float) -> None:
        """Renews credentials in a thread of the loop's executor."""
        try:
            async with asyncio.timeout(timeout):
                await asyncio.to_thread(auth.refresh, partial(fetch, trust_env=self._trust_env), self.unix())
        except TimeoutError:
            raise APITimeoutError("the credentials were not renewed in time") from None

    def waiter(self) -> LoopWaiter:
        """A task's place to wait at."""
        return LoopWaiter(asyncio.get_running_loop())

    async def wait(self, waiter: Waiter, seconds: float) -> None:
        """Suspends until woken."""
        if isinstance(waiter, LoopWaiter):
            await waiter.wait(seconds)

    async def race(self, first: Attempt, after: float, second: Callable[[], Attempt | None]) -> None:
        """Two tasks of the running event loop."""
        await race(first, after, second)

    async def in_thread(self, work: Callable[[], None]) -> None:
        """Waits for something that blocks."""
        await asyncio.to_thread(work)

    async def close(self) -> None:
        """Closes the connections of the running event loop."""
        for pool in self._pools.pop(asyncio.get_running_loop(), {}).values():
            await pool.aclose()

    def _pool(self, url: str) -> httpx2.AsyncBaseTransport:
        loop = asyncio.get_running_loop()
        pools = self._pools.get(loop)
        if pools is None:
            _discard_closed(self._pools)
            pools = self._pools[loop] = {}
        origin = origin_of(url)
        pool = pools.get(origin)
        if pool is None:
            pool = pools[origin] = self._new_pool(origin)
        return pool

    def _new_pool(self, origin: str) -> httpx2.AsyncBaseTransport:
        proxy = proxy_for(origin, self._trust_env)
        verify = ssl_context() if origin.startswith("https") else False
        if self._fast and proxy is None:
            from httpx_aiohttp.httpx2 import AiohttpTransport  # noqa: PLC0415 (aiohttp takes long to import)

            return AiohttpTransport(verify=verify, limits=_UNLIMITED, trust_env=False)
        return httpx2.AsyncHTTPTransport(verify=verify, limits=LIMITS, proxy=proxy)


def _discard_closed(by_loop: dict[asyncio.AbstractEventLoop, Pools]) -> None:
    """Lets go of the pools of event loops that are gone.

    Nothing can be awaited there any more: the sockets close with the objects. aiohttp's connector is told, or it would
    report itself as forgotten.
    """
    for loop in [one for one in list(by_loop) if one.is_closed()]:
        for pool in by_loop.pop(loop, {}).values():
            connector = getattr(getattr(pool, "client", None), "connector", None)
            if connector is not None:
                with contextlib.suppress(AsyncHookInSyncCall, RuntimeError):
                    run_without_loop(connector.close())


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
