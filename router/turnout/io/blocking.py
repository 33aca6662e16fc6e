"""The port for threads. Its `async def` methods block instead of suspending, so `run_without_loop` can step them."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from math import inf
from random import Random
from typing import Any

import httpcore2

from turnout.engine.port import ByteStream, Opened, Waiter
from turnout.errors import InvalidReplyError, TurnoutError
from turnout.io.deadlines import Patience, Sockets
from turnout.io.transport import (
    CONNECT_TIMEOUT,
    KEPT_FOR,
    KEPT_IDLE,
    MAX_BODY,
    Trust,
    Urls,
    bounded,
    head_of,
    lower,
    origin_of,
    proxy_for,
    proxy_of,
    raise_typed,
)
from turnout.io.unpacking import Unpacker, Whole, read_unpacked, unpacker_for
from turnout_adapters.adapter import Auth, HTTPReply, HTTPRequest
from turnout_adapters.forks import Guard, in_forked_children

Pool = httpcore2.ConnectionPool


class BlockingWaiter:
    """A thread's place to wait at: a lock that is free when there is something to look at.

    Not an Event, whose own lock a finalizer that wakes somebody may find held by its own thread.
    """

    __slots__ = ("_woken",)

    gone: bool = False

    def __init__(self) -> None:
        self._woken = threading.Lock()
        self._woken.acquire()

    def wake(self) -> None:
        """Ends the wait."""
        with suppress(RuntimeError):  # woken already
            self._woken.release()

    def wait(self, seconds: float) -> None:
        """Waits to be woken; ready for the next wait afterwards."""
        self._woken.acquire(timeout=bounded(seconds))


class BlockingBody:
    """The body of an answer, read piece by piece."""

    __slots__ = ("_fresh", "_io", "_parts", "_response", "_url", "patience", "unpacker")

    def __init__(
        self, io: "BlockingIO", response: httpcore2.Response, url: str, patience: Patience, fresh: Pool | None
    ) -> None:
        self._io = io
        self._response = response
        self._parts: Iterator[bytes] = response.iter_stream()
        self._url = url
        self._fresh = fresh
        self.patience = patience
        self.unpacker: Unpacker | None = None
        """How the content is packed, None if it is not."""

    async def read(self) -> bytes:
        """The next bytes of the content, b"" at the end."""
        return await (self._raw() if self.unpacker is None else read_unpacked(self.unpacker, self._raw))

    async def _raw(self) -> bytes:
        try:
            with self._io.inside():
                return next(self._parts, b"")
        except Exception as error:  # noqa: BLE001 (a peer may cause anything)
            raise_typed(error, self._url)

    async def close(self) -> None:
        """Releases the connection; from a finalizer in the middle of this port, soon."""
        if self._io.is_inside:
            self.abandon()
        else:
            with self._io.inside():
                self.release()

    def release(self) -> None:
        """Gives the connection back to its pool."""
        with suppress(Exception):  # it is being thrown away, in whatever state it is
            self._response.close()
        if self._fresh is not None:
            self._fresh.close()

    def abandon(self, then: Callable[[], None] | None = None) -> None:  # noqa: ARG002 (there is no event loop)
        """From a finalizer: hangs up, and leaves the rest to whoever uses this port next."""
        if self.patience.socket is not None:
            self.patience.socket.hang_up()
        self._io.left_behind.append(self)


class BlockingIO:
    """Sockets, clock and chance for the sync API. Safe for threads and forks.

    `max_body` bounds a complete answer, in bytes.
    """

    races: bool = False

    def __init__(
        self, *, seed: int | None = None, trust_env: bool = True, trust: Trust | None = None, max_body: int = MAX_BODY
    ) -> None:
        self.rng = Random(seed)
        self.left_behind: deque[BlockingBody] = deque()
        """Bodies that nobody will read on."""
        self._trust_env = trust_env
        self._trust = trust or Trust(trust_env)
        self._max_body = max_body
        self._pools: dict[str, Pool] = {}
        self._sockets = Sockets()
        self._urls = Urls()
        self._lock = Guard()
        self._inside: set[int] = set()
        in_forked_children(self._begin_anew)

    def _begin_anew(self) -> None:
        """In a forked child: connections are the parent's, and so is every number that chance would give."""
        self._sockets.inherited = True
        self._sockets = Sockets()
        self._pools, self.left_behind, self._inside = {}, deque(), set()
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

    # --- no pool may be entered by a thread that is in the middle of one

    @property
    def is_inside(self) -> bool:
        """True in a finalizer that the garbage collector runs in the middle of this port."""
        return threading.get_ident() in self._inside

    @contextmanager
    def inside(self) -> Generator[None]:
        """While a connection pool is used. Raises TurnoutError where `is_inside`."""
        if self.is_inside:
            raise TurnoutError("called from a finalizer in the middle of another call of this thread")
        thread, inside = threading.get_ident(), self._inside
        try:
            inside.add(thread)
            yield
        finally:
            inside.discard(thread)

    def _tidy(self) -> None:
        """Closes what finalizers left."""
        while self.left_behind:
            with suppress(IndexError):
                self.left_behind.popleft().release()

    # --- requests

    async def send(self, request: HTTPRequest, timeout: float) -> HTTPReply:
        """Sends and reads the whole answer by one deadline."""
        opened, body = self._open(request, Patience(time.monotonic() + timeout))
        whole = Whole(self._max_body)
        try:
            while part := await body.read():
                whole.add(part)
        finally:
            await body.close()
        return HTTPReply(opened.status, opened.headers, whole.content)

    async def open(self, request: HTTPRequest, timeout: float, idle: float) -> Opened:
        """Sends and waits for the head of the answer."""
        opened, body = self._open(request, Patience(time.monotonic() + timeout))
        body.patience.until, body.patience.pause = inf, idle
        return opened

    def _open(self, request: HTTPRequest, patience: Patience) -> tuple[Opened, BlockingBody]:
        """The head of the answer. A connection that was used before and turns out to be dead is replaced, once."""
        origin = origin_of(request.url)
        fresh: Pool | None = None
        try:
            with self.inside():
                self._tidy()
                try:
                    response = self._pool(origin).handle_request(self._outgoing(request, patience))
                except (httpcore2.NetworkError, httpcore2.RemoteProtocolError):
                    if not patience.reused or patience.heard or not request.repeatable:
                        raise
                    patience.socket, fresh = None, self._new_pool(origin)
                    response = fresh.handle_request(self._outgoing(request, patience))
                headers = lower(response.headers)
                body = BlockingBody(self, response, request.url, patience, fresh)
                try:
                    body.unpacker = unpacker_for(headers)
                except InvalidReplyError:
                    body.release()
                    raise
        except Exception as error:  # noqa: BLE001 (a peer may cause anything)
            raise_typed(error, request.url)
        return Opened(response.status, headers, body), body

    def _outgoing(self, request: HTTPRequest, patience: Patience) -> httpcore2.Request:
        url = self._urls[request.url]
        connecting = Patience(min(patience.until, time.monotonic() + CONNECT_TIMEOUT))
        timeouts: dict[str, Any] = {"connect": connecting, "read": patience, "write": patience}
        return httpcore2.Request(
            request.method, url, headers=head_of(request, url), content=request.body, extensions={"timeout": timeouts}
        )

    async def read(self, body: ByteStream, timeout: float) -> bytes:
        """The next bytes, within the timeout and the body's own pause."""
        if not isinstance(body, BlockingBody):
            return await body.read()
        body.patience.until = time.monotonic() + timeout
        try:
            return await body.read()
        finally:
            body.patience.until = inf

    async def refresh(self, auth: Auth, timeout: float) -> None:
        """Renews credentials in this thread."""
        auth.refresh(partial(self.fetch, timeout=timeout), self.unix())

    def fetch(self, request: HTTPRequest, timeout: float = CONNECT_TIMEOUT) -> HTTPReply:
        """One request over a connection of its own, blocking: for credentials, which are renewed once an hour."""
        patience = Patience(time.monotonic() + min(timeout, CONNECT_TIMEOUT))
        origin = origin_of(request.url)
        try:
            with self._new_pool(origin) as pool:
                response = pool.handle_request(self._outgoing(request, patience))
                whole = Whole(self._max_body)
                for part in response.iter_stream():
                    whole.add(part)
                response.close()
        except Exception as error:  # noqa: BLE001 (a peer may cause anything)
            raise_typed(error, request.url)
        return HTTPReply(response.status, lower(response.headers), whole.content)

    # --- waiting

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

    # --- connections

    def close(self) -> None:
        """Closes all connections."""
        with self._lock():
            pools, self._pools = list(self._pools.values()), {}
        with self.inside():
            self._tidy()
            for pool in pools:
                pool.close()

    def _pool(self, origin: str) -> Pool:
        pool = self._pools.get(origin)
        if pool is None:
            with self._lock():
                pool = self._pools.get(origin)
                if pool is None:
                    pool = self._pools[origin] = self._new_pool(origin)
        return pool

    def _new_pool(self, origin: str) -> Pool:
        proxy = proxy_for(origin, self._trust_env)
        return httpcore2.ConnectionPool(
            ssl_context=self._trust.for_origin(origin),
            proxy=None if proxy is None else proxy_of(proxy, self._trust),
            max_connections=None,
            max_keepalive_connections=KEPT_IDLE,
            keepalive_expiry=KEPT_FOR,
            network_backend=self._sockets,
        )
