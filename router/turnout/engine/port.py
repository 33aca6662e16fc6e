"""The port through which the engine meets the world, and the way to run it without an event loop."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol, TypeVar

from turnout.errors import AsyncHookInSyncCall
from turnout_adapters.adapter import Auth, HTTPReply, HTTPRequest

T = TypeVar("T")


class Waiter(Protocol):
    """One call's place to wait at."""

    @property
    def gone(self) -> bool:
        """True if nobody can be waiting there any more: its event loop was closed under it."""
        ...

    def wake(self) -> None:
        """Ends the wait. Safe from any thread, and before or after the wait."""
        ...


class ByteStream(Protocol):
    """The body of an answer that is still arriving."""

    async def read(self) -> bytes:
        """The next bytes, b"" at the end. Raises APIConnectionError or APITimeoutError."""
        ...

    async def close(self) -> None:
        """Releases the connection; closes it if the body was not read to its end."""
        ...

    def abandon(self, then: Callable[[], None] | None = None) -> None:
        """As close(), from a finalizer: takes no lock, waits for nothing, and may run in any thread.

        `then` is called soon, outside of it, where there is an event loop to do so.
        """
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer whose body has not been read."""

    status: int
    headers: Mapping[str, str]
    body: ByteStream


class IO(Protocol):
    """Everything that waits, and everything that is not a function of its arguments."""

    rng: Random
    races: bool
    """True if two attempts can be under way at once."""

    def now(self) -> float:
        """Seconds of a monotonic clock."""
        ...

    def unix(self) -> float:
        """Seconds since 1970, for dates in headers."""
        ...

    def nonce(self) -> str:
        """32 hex digits for ids: nobody can guess them, and no process draws them again, no fork of this one either."""
        ...

    async def send(self, request: HTTPRequest, timeout: float) -> HTTPReply:
        """Sends and reads the whole answer within `timeout` seconds.

        Raises APITimeoutError, APIConnectionError, or InvalidReplyError if it is larger than the Router takes, or is
        packed in a way that cannot be read.
        """
        ...

    async def open(self, request: HTTPRequest, timeout: float, idle: float) -> Opened:
        """Sends and waits `timeout` seconds for the head of the answer; its body may pause for `idle` seconds."""
        ...

    async def read(self, body: ByteStream, timeout: float) -> bytes:
        """The next bytes of a body within `timeout` seconds. Raises as `send` does."""
        ...

    async def refresh(self, auth: Auth, timeout: float) -> None:
        """Renews credentials, which may block: never on an event loop. Raises AuthenticationError, or as `send`."""
        ...

    def waiter(self) -> Waiter:
        """A new place to wait at."""
        ...

    async def wait(self, waiter: Waiter, seconds: float) -> None:
        """Waits until the waiter is woken, or for so many seconds."""
        ...

    async def race(
        self,
        first: Coroutine[Any, Any, bool],
        after: float,
        second: Callable[[], Coroutine[Any, Any, bool] | None],
    ) -> None:
        """Runs `first`, and if it has not ended `after` seconds later also what `second` returns, None for nothing.

        Ends when one of them returns True or raises, which cancels the other, or when both have ended. It waits for
        what it cancels, and raises what they raise. Where nothing can race (`races`), `first` runs alone.
        """
        ...


class LoopIO(IO, Protocol):
    """The port of the async API, whose connections belong to event loops."""

    async def in_thread(self, work: Callable[[], None]) -> None:
        """Waits for something that blocks."""
        ...

    async def close(self) -> None:
        """Closes the connections of the running event loop."""
        ...

    def forget_closed(self) -> None:
        """Lets go of the connections of event loops that were closed before their connections were."""
        ...


def run_without_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine whose port blocks, so that it never suspends; works inside a running event loop too.

    Raises AsyncHookInSyncCall if it suspends all the same, which only a user's awaiting hook can cause.
    """
    try:
        coroutine.send(None)
    except StopIteration as finished:
        return finished.value
    coroutine.close()
    raise AsyncHookInSyncCall(
        "something awaited inside a sync call; use the async method, or a hook that does not await"
    )
