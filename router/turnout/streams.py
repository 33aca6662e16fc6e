"""Streams of events, for tasks and for threads: two thin classes over one coroutine."""

import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from math import inf
from types import TracebackType
from typing import Any, Protocol, Self

from turnout.engine.decide import verdict
from turnout.engine.fleet import Fleet
from turnout.engine.port import IO, run_without_loop
from turnout.engine.route import Served
from turnout.engine.send import Begun, failure_of
from turnout.engine.settling import settle_failure, settle_success
from turnout.errors import APIError, DeadlineExceededError, TurnoutError
from turnout_adapters.kinds import Kind
from turnout_adapters.types import TERMINAL_EVENTS, Response, StreamEvent
from turnout_adapters.types.route import Route

_INTERRUPTED = (
    "reading this stream was cancelled, which closed it before its end; to look at it now and then, read it in a task "
    "of its own"
)
_DRAIN = 1.0
"""Seconds to wait for the end of the body after the last event, so that the connection can be used again."""


class Seals(Protocol):
    """What wraps the ids of an event."""

    def event(self, event: StreamEvent) -> None:
        """Changes the ids of the event in place."""
        ...


Keep = Callable[[Response], Awaitable[None]]
"""Writes a complete response to the transcript."""
Finished = Callable[[Served[Begun], TurnoutError | None, int | None, int | None], None]
"""Told at the end: what was served, the error if it broke, input and output tokens if known."""


class StreamCore:
    """The reading of one stream, whoever drives it."""

    def __init__(
        self,
        served: Served[Begun],
        fleet: Fleet,
        io: IO,
        seals: Seals,
        finished: Finished | None,
        keep: Keep | None = None,
    ) -> None:
        self.served = served
        self.pending: deque[StreamEvent] = deque()
        self.error: TurnoutError | None = None
        self.response: Response | None = None
        self.closed = False
        self.interrupted = False
        """Reading it was cancelled before its end: it is closed, and was not complete."""
        self.after: Callable[[], Awaitable[None]] | None = None
        """Awaited once the stream is closed."""
        self._fleet = fleet
        self._io = io
        self._seals = seals
        self._finished = finished
        self._keep = keep
        self._refusal: APIError | None = None
        self._terminated = False
        try:
            self._take(served.answer.events)
            failure = served.answer.failure
        except APIError as error:
            failure = error
        served.answer.events = []
        if failure is not None:
            self._break(failure)

    async def fill(self) -> None:
        """Reads until there is an event to hand out, or the end. Raises TurnoutError once reading was interrupted."""
        if self.interrupted:
            raise TurnoutError(_INTERRUPTED)
        while not self.pending and not self.closed:
            if self._terminated or self.served.answer.ended:
                await self._finish()
                return
            await self._read()
            await self.keep()

    async def keep_begun(self) -> None:
        """A background response outlives its stream: what is known of it at its first event is kept."""
        response = getattr(self.pending[0], "response", None) if self.pending else None
        if self._keep is not None and isinstance(response, Response) and not self._terminated:
            await self._keep(response)

    async def keep(self) -> None:
        """Writes the answer to the transcript once it is complete, and before its last event is handed out."""
        if self._terminated and self._keep is not None and self.response is not None:
            keep, self._keep = self._keep, None
            if self.error is None:
                await keep(self.response)
                self._attach(self.response)

    async def _read(self) -> None:
        call, begun, io = self.served.call, self.served.answer, self._io
        left = inf if call.open_ended else call.deadline - io.now()
        try:
            if left <= 0:
                self._break(
                    DeadlineExceededError(f"the stream was not complete in {call.deadline - call.started:.1f} s")
                )
                return
            data = await (begun.body.read() if left >= begun.idle else io.read(begun.body, left))
            if not data:
                begun.ended = True
            self._take(begun.feed(data))
            if (failure := begun.failure) is not None:
                self._break(failure)
        except APIError as error:
            if not call.open_ended and io.now() >= call.deadline:
                self._break(DeadlineExceededError("the stream was not complete before the call's deadline"))
            else:
                self._break(self._refusal or error)

    def _take(self, events: list[StreamEvent]) -> None:
        begun, line = self.served.answer, self.served.answer.line
        for event in events:
            if event.type == "error":
                begun.strike(event)
                self._refusal = line.read(failure_of, event, line.provider)
            line.read(self._seals.event, event)
            self.pending.append(event)
            if event.type in TERMINAL_EVENTS:
                self._end(event)

    def _end(self, event: StreamEvent) -> None:
        if self._terminated:
            return
        self._terminated = True
        begun, line = self.served.answer, self.served.answer.line
        if event.type == "response.failed":
            begun.strike(event)
        response: Any = getattr(event, "response", None)
        if isinstance(response, Response):
            self._attach(response)
            response.about.request_id = begun.request_id
            self.response = response
        failure = line.read_or(None, failure_of, event, line.provider)
        if self.served.call.operation == "retrieve":
            failure = None
        self._settle(failure)

    def _break(self, error: TurnoutError) -> None:
        """The stream broke after its first output: what was delivered stands, and the caller is told."""
        begun = self.served.answer
        begun.ended = True
        begun.strike(error)
        error.attempts = self.served.route.attempts
        error.deployment = self.served.lease.deployment.id
        self._take(begun.cut())
        for event in begun.failed(_code_of(error), error.message):
            self.pending.append(event)
            response = getattr(event, "response", None)
            if isinstance(response, Response):
                self._attach(response)
                self.response = response
        self._settle(error)

    def _attach(self, response: Response) -> None:
        served, about = self.served, response.about
        about.route, about.warnings = served.route, served.lease.warnings
        about.text_format = served.call.text_format

    def _settle(self, error: TurnoutError | None) -> None:
        self.error = error
        usage = getattr(self.response, "usage", None)
        tokens_in, tokens_out = getattr(usage, "input_tokens", None), getattr(usage, "output_tokens", None)
        lease, now = self.served.lease, self._io.now()
        if isinstance(error, APIError):
            settle_failure(lease, error, verdict(error).outcome, self._fleet, self._io, tokens_in, tokens_out)
        elif error is not None:
            self._fleet.release(lease, now, None, None)
        else:
            settle_success(lease, self._fleet, now, tokens_in, tokens_out)
        if self._finished is not None:
            self._finished(self.served, error, tokens_in, tokens_out)

    async def _finish(self) -> None:
        """The last event is out: reads the rest of the body, which should be nothing."""
        begun = self.served.answer
        try:
            if not begun.ended:
                while await self._io.read(begun.body, _DRAIN):
                    pass
        except APIError:
            begun.ended = True
        finally:
            await self.close()

    def interrupt(self) -> None:
        """Reading was cancelled from outside: what comes next must not look like the end."""
        self.interrupted |= not self._terminated and not self.closed

    async def close(self) -> None:
        """Gives everything back. A stream that is not at its end is cut, which counts for nobody's health."""
        if self.closed:
            return
        self.closed = True
        self._fleet.release(self.served.lease, self._io.now(), None, None)
        await self.served.answer.body.close()
        if self.after is not None:
            await self.after()

    def abandon(self) -> None:
        """As close(), from a finalizer: it leaves word with those who hold something, and takes no lock."""
        if not self.closed:
            self.closed = True
            self._fleet.abandon(self.served.lease, self._io.now())
            self.served.answer.body.abandon(self._fleet.catch_up)


class _Base:
    """What both kinds of stream tell."""

    def __init__(self, core: StreamCore) -> None:
        self._core = core
        self._finalizer = weakref.finalize(self, core.abandon)
        self._finalizer.atexit = False

    @property
    def route(self) -> Route:
        """How the stream was made."""
        return self._core.served.route

    @property
    def response(self) -> Response | None:
        """The response of the last event (completed, incomplete or failed), None before it came."""
        return self._core.response

    @property
    def error(self) -> TurnoutError | None:
        """Why the stream broke; None if it did not. A broken stream ends with a `response.failed` event."""
        return self._core.error

    def after_close(self, action: Callable[[], Awaitable[None]]) -> None:
        """Awaits `action` once the stream is closed."""
        self._core.after = action

    @property
    def request_id(self) -> str | None:
        """The provider's request id."""
        return self._core.served.answer.request_id


_CODES = frozenset({"server_error", "rate_limit_exceeded", "invalid_prompt"})


def _code_of(error: TurnoutError) -> str:
    """The error as one of the codes that Responses has."""
    if error.code in _CODES:
        return str(error.code)
    return "rate_limit_exceeded" if error.kind in (Kind.RATE_LIMIT, Kind.QUOTA) else "server_error"


class Stream(_Base, Iterator[StreamEvent]):
    """Events of one response. Iterate it, best inside `with`; leaving early closes the upstream connection."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamEvent:
        core = self._core
        if not core.pending:
            try:
                run_without_loop(core.fill())
            except BaseException:
                core.interrupt()
                self.close()
                raise
            if not core.pending:
                self._finalizer.detach()
                raise StopIteration
        return core.pending.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the connection and the deployment back. Safe to call twice."""
        self._finalizer.detach()
        run_without_loop(self._core.close())


class AsyncStream(_Base, AsyncIterator[StreamEvent]):
    """Events of one response. Iterate it, best inside `async with`; leaving early closes the upstream connection."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        core = self._core
        if not core.pending:
            try:
                await core.fill()
            except BaseException:
                core.interrupt()
                await self.aclose()
                raise
            if not core.pending:
                self._finalizer.detach()
                raise StopAsyncIteration
        return core.pending.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Gives the connection and the deployment back. Safe to call twice."""
        self._finalizer.detach()
        await self._core.close()
