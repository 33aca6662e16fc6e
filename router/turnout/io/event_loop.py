"""The port for asyncio. Connections belong to the event loop that opened them: each loop has its own pools."""

import asyncio
import os
import time
import weakref
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from random import Random
from typing import Any

from turnout.engine.port import ByteStream, Opened, Waiter
from turnout.errors import APITimeoutError
from turnout.io.blocking import BlockingIO
from turnout.io.loop_pools import Answering, Exchange, HttpcorePool, LoopPool
from turnout.io.racing import Attempt, race
from turnout.io.transport import MAX_BODY, Trust, bounded, origin_of, proxy_for, raise_typed
from turnout.io.unpacking import Unpacker, Whole, read_unpacked, unpacker_for
from turnout_adapters.adapter import Auth, HTTPReply, HTTPRequest
from turnout_adapters.forks import importing, in_forked_children

Pools = dict[str, LoopPool]


class LoopWaiter:
    """A task's place to wait at."""

    __slots__ = ("_event", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()

    @property
    def gone(self) -> bool:
        """True once the loop is closed."""
        return self._loop.is_closed()

    def wake(self) -> None:
        """Ends the wait, from any thread; a loop that is gone has nobody waiting."""
        if self._loop is _running_loop():
            self._event.set()
        else:
            _call_in(self._loop, self._event.set)

    async def wait(self, seconds: float) -> None:
        """Waits to be woken; ready for the next wait afterwards."""
        try:
            async with asyncio.timeout(bounded(seconds)):
                await self._event.wait()
        except TimeoutError:
            return
        finally:
            self._event.clear()


class LoopBody:
    """The body of an answer, read piece by piece."""

    __slots__ = ("_answer", "_fresh", "_idle", "_loop", "_unpacker", "_url")

    def __init__(self, answer: Answering, url: str, idle: float | None, fresh: LoopPool | None) -> None:
        self._answer = answer
        self._url = url
        self._idle = idle
        self._fresh = fresh
        self._loop = asyncio.get_running_loop()
        self._unpacker: Unpacker | None = None

    def unpack(self) -> None:
        """Looks how the content is packed. Raises InvalidReplyError."""
        self._unpacker = unpacker_for(self._answer.headers)

    async def read(self) -> bytes:
        """The next bytes of the content, b"" at the end, after the body's own pause at most."""
        return await self.content(self._idle)

    async def content(self, timeout: float | None) -> bytes:
        """The next bytes of the content within so many seconds."""
        read = self._answer.read
        try:
            async with asyncio.timeout(timeout):
                return await (read() if self._unpacker is None else read_unpacked(self._unpacker, read))
        except TimeoutError:
            raise APITimeoutError("the answer paused for too long") from None
        except Exception as error:  # noqa: BLE001 (a peer may cause anything)
            raise_typed(error, self._url)

    async def close(self) -> None:
        """Releases the connection, cancelled or not."""
        try:
            with suppress(Exception):  # it is being thrown away, in whatever state it is
                await self._answer.close()
        finally:
            if self._fresh is not None:
                await self._fresh.close()

    def abandon(self, then: Callable[[], None] | None = None) -> None:
        """Closes from a finalizer: soon, in the loop that owns the connection."""
        if then is not None:
            _call_in(self._loop, then)
        _call_in(self._loop, partial(_begin, self._loop, self.close))


class EventLoopIO:
    """Sockets, clock and chance for the async API. Works from any number of event loops, and after forks.

    `max_body` bounds a complete answer, in bytes.
    """

    races: bool = True

    def __init__(
        self,
        *,
        seed: int | None = None,
        trust_env: bool = True,
        fast: bool = True,
        trust: Trust | None = None,
        max_body: int = MAX_BODY,
    ) -> None:
        self.rng = Random(seed)
        self._trust_env = trust_env
        self._trust = trust or Trust(trust_env)
        self._max_body = max_body
        self._fast = fast and find_spec("aiohttp") is not None
        self._pools: dict[asyncio.AbstractEventLoop, Pools] = {}
        weakref.finalize(self, _leave, self._pools)
        in_forked_children(self._begin_anew)

    def _begin_anew(self) -> None:
        """In a forked child: event loops and their connections are the parent's."""
        for pools in self._pools.values():
            _let_go(pools.values())
        self._pools.clear()
        self.rng.seed()

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def unix(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def nonce(self) -> str:
        """From the system's randomness."""
        return os.urandom(16).hex()

    async def send(self, request: HTTPRequest, timeout: float) -> HTTPReply:
        """Sends and reads the whole answer."""
        try:
            async with asyncio.timeout(bounded(timeout)):
                opened, body = await self._open(request, None)
                whole = Whole(self._max_body)
                try:
                    while part := await body.content(None):
                        whole.add(part)
                finally:
                    await body.close()
        except TimeoutError:
            raise APITimeoutError(f"no complete answer from {origin_of(request.url)} in {timeout:.1f} s") from None
        return HTTPReply(opened.status, opened.headers, whole.content)

    async def open(self, request: HTTPRequest, timeout: float, idle: float) -> Opened:
        """Sends and waits for the head of the answer."""
        try:
            async with asyncio.timeout(bounded(timeout)):
                opened, _ = await self._open(request, bounded(idle))
        except TimeoutError:
            raise APITimeoutError(f"no answer from {origin_of(request.url)} in {timeout:.1f} s") from None
        return opened

    async def _open(self, request: HTTPRequest, idle: float | None) -> tuple[Opened, LoopBody]:
        """The head of the answer. A connection that was used before and turns out to be dead is replaced, once."""
        origin = origin_of(request.url)
        pool, exchange, fresh = self._pool(origin), Exchange(), None
        try:
            try:
                answer = await pool.send(request, exchange)
            except pool.broken:
                if not exchange.reused or exchange.heard or not request.repeatable:
                    raise
                fresh = self._new_pool(origin)
                answer = await _alone(fresh, request, exchange)
            body = LoopBody(answer, request.url, idle, fresh)
            try:
                body.unpack()
            except BaseException:
                await body.close()
                raise
        except TimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 (a peer may cause anything)
            raise_typed(error, request.url)
        return Opened(answer.status, answer.headers, body), body

    async def read(self, body: ByteStream, timeout: float) -> bytes:
        """The next bytes within the timeout."""
        try:
            async with asyncio.timeout(bounded(timeout)):
                return await body.read()
        except TimeoutError:
            raise APITimeoutError("the answer paused for too long") from None

    async def refresh(self, auth: Auth, timeout: float) -> None:
        """Renews credentials in a thread of the loop's executor."""
        blocking = BlockingIO(trust_env=self._trust_env, trust=self._trust)
        try:
            async with asyncio.timeout(bounded(timeout)):
                await asyncio.to_thread(auth.refresh, partial(blocking.fetch, timeout=timeout), self.unix())
        except TimeoutError:
            raise APITimeoutError("the credentials were not renewed in time") from None

    def waiter(self) -> LoopWaiter:
        """A task's place to wait at."""
        self.forget_closed()  # what they hold may be what this call waits for
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
        await _close_all(self._pools.pop(asyncio.get_running_loop(), {}).values())

    def _pool(self, origin: str) -> LoopPool:
        loop = asyncio.get_running_loop()
        pools = self._pools.get(loop)
        if pools is None:
            self.forget_closed()
            pools = self._pools[loop] = {}
        pool = pools.get(origin)
        if pool is None:
            pool = pools[origin] = self._new_pool(origin)
        return pool

    def forget_closed(self) -> None:
        """Lets go of the connections of event loops that were closed before their connections were."""
        for loop in [one for one in list(self._pools) if one.is_closed()]:
            _let_go(self._pools.pop(loop, {}).values())

    def _new_pool(self, origin: str) -> LoopPool:
        proxy = proxy_for(origin, self._trust_env)
        if self._fast and proxy is None:
            with importing():
                from turnout.io.aiohttp_pool import AiohttpPool  # noqa: PLC0415 (an extra, which takes long to import)

            return AiohttpPool(origin, self._trust)
        return HttpcorePool(origin, self._trust, proxy)


async def _alone(pool: LoopPool, request: HTTPRequest, exchange: Exchange) -> Answering:
    """The answer to the only request of a pool, which is closed if there is none."""
    try:
        return await pool.send(request, exchange)
    except BaseException:
        await pool.close()
        raise


async def _close_all(pools: Iterable[LoopPool]) -> None:
    for pool in list(pools):
        await pool.close()


def _let_go(pools: Iterable[LoopPool]) -> None:
    for pool in list(pools):
        pool.let_go()


def _leave(by_loop: dict[asyncio.AbstractEventLoop, Pools]) -> None:
    """Finalizer of a port that was never closed: its connections close in their event loops, if those still run."""
    for loop, pools in list(by_loop.items()):
        if loop.is_closed():
            _let_go(pools.values())
        else:
            _call_in(loop, partial(_begin, loop, partial(_close_all, list(pools.values()))))


_KEPT: "set[asyncio.Task[None]]" = set()
"""Closing tasks: an event loop keeps only weak references to its tasks."""


def _begin(loop: asyncio.AbstractEventLoop, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    task = loop.create_task(close())
    _KEPT.add(task)
    task.add_done_callback(_KEPT.discard)


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """Has a loop call something soon, from any thread and any finalizer: asyncio takes no lock for it."""
    with suppress(RuntimeError):  # the loop is closed: nobody is there any more
        loop.call_soon_threadsafe(call)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
