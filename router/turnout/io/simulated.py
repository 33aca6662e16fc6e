"""The port in virtual time: the clock is the event loop's, and requests go to a network that is no more than code."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import NoReturn, Protocol

from turnout.engine.port import ByteStream, Opened, Waiter
from turnout.errors import APIConnectionError, APITimeoutError, ConfigError
from turnout.io.blocking import BlockingIO
from turnout.io.deadlines import Patience
from turnout.io.event_loop import LoopWaiter
from turnout.io.racing import Attempt, race
from turnout.io.transport import origin_of
from turnout_adapters.adapter import Auth, HTTPReply, HTTPRequest

EPOCH = 1_790_000_000.0
"""Unix time at which virtual time begins."""

_TICK = 1e-6
"""Seconds that pass in the shortest wait: what waits for less than the clock can tell would wait for ever."""


class Network(Protocol):
    """What answers requests. ConnectionError means what it means on a socket."""

    async def send(self, request: HTTPRequest) -> HTTPReply:
        """The whole answer, once it would have arrived."""
        ...

    async def open(self, request: HTTPRequest) -> Opened:
        """The head of the answer."""
        ...


class SimulatedIO:
    """Clock, chance and requests of a Router that runs in virtual time (`turnout.sim.clock`).

    The sync API needs threads and real time; it does not work in here (`NoThreads`).
    """

    races: bool = True

    def __init__(self, network: Network, *, seed: int = 0) -> None:
        self.rng = Random(seed)
        self._network = network

    def now(self) -> float:
        """Virtual seconds; 0 outside the loop, where no time passes."""
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return 0.0

    def unix(self) -> float:
        """Seconds since 1970, in a world that begins in September 2026."""
        return EPOCH + self.now()

    def nonce(self) -> str:
        """From the seed, so that a run repeats exactly."""
        return f"{self.rng.getrandbits(128):032x}"

    async def send(self, request: HTTPRequest, timeout: float) -> HTTPReply:
        """Sends and reads the whole answer."""
        try:
            async with asyncio.timeout(timeout):
                return await self._network.send(request)
        except TimeoutError:
            raise APITimeoutError(f"no complete answer from {origin_of(request.url)} in {timeout:.1f} s") from None
        except ConnectionError as error:
            raise APIConnectionError(f"{origin_of(request.url)}: {error}") from None

    async def open(self, request: HTTPRequest, timeout: float, idle: float) -> Opened:
        """Sends and waits for the head of the answer."""
        try:
            async with asyncio.timeout(timeout):
                opened = await self._network.open(request)
        except TimeoutError:
            raise APITimeoutError(f"no answer from {origin_of(request.url)} in {timeout:.1f} s") from None
        except ConnectionError as error:
            raise APIConnectionError(f"{origin_of(request.url)}: {error}") from None
        return Opened(opened.status, opened.headers, _Body(opened.body, idle))

    async def read(self, body: ByteStream, timeout: float) -> bytes:
        """The next bytes within the timeout."""
        try:
            async with asyncio.timeout(timeout):
                return await body.read()
        except TimeoutError:
            raise APITimeoutError("the answer paused for too long") from None

    async def refresh(self, auth: Auth, timeout: float) -> None:  # noqa: ARG002 (there is nobody to ask)
        """Refuses: nobody in here gives out credentials."""
        raise APIConnectionError("credentials that are renewed cannot be used in a simulation; give an api_key")

    def waiter(self) -> LoopWaiter:
        """A task's place to wait at."""
        return LoopWaiter(asyncio.get_running_loop())

    async def wait(self, waiter: Waiter, seconds: float) -> None:
        """Suspends until woken."""
        if isinstance(waiter, LoopWaiter):
            await waiter.wait(max(seconds, _TICK))

    async def race(self, first: Attempt, after: float, second: Callable[[], Attempt | None]) -> None:
        """Two tasks of the running event loop."""
        await race(first, after, second)

    async def in_thread(self, work: Callable[[], None]) -> None:
        """Does it at once: in virtual time nothing takes long."""
        work()

    async def close(self) -> None:
        """There is nothing to close."""

    def forget_closed(self) -> None:
        """There is nothing to let go of."""


class _Body:
    """A body whose pauses are bounded, as by the read timeout of a connection."""

    __slots__ = ("_body", "_idle")

    def __init__(self, body: ByteStream, idle: float) -> None:
        self._body = body
        self._idle = idle

    async def read(self) -> bytes:
        """The next bytes, b"" at the end."""
        try:
            async with asyncio.timeout(self._idle):
                return await self._body.read()
        except TimeoutError:
            raise APITimeoutError("the answer paused for too long") from None
        except ConnectionError as error:
            raise APIConnectionError(f"the answer broke off: {error}") from None

    async def close(self) -> None:
        """Closes the connection."""
        await self._body.close()

    def abandon(self, then: Callable[[], None] | None = None) -> None:
        """As close()."""
        self._body.abandon(then)


class NoThreads(BlockingIO):
    """The port of the sync API in a simulation: it knows the time, and refuses to send."""

    def __init__(self, clock: SimulatedIO) -> None:
        super().__init__(trust_env=False)
        self._clock = clock

    def now(self) -> float:
        """Virtual seconds."""
        return self._clock.now()

    def unix(self) -> float:
        """Seconds since 1970."""
        return self._clock.unix()

    def _open(self, request: HTTPRequest, patience: Patience) -> NoReturn:  # noqa: ARG002 (never gets there)
        raise ConfigError("the sync methods need real time; a simulated Router has the async ones")
