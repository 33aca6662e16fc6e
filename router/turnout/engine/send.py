"""One attempt: encode, send, decode. What comes back is a result, or a stream whose first output has arrived.

What an answer's bytes are made into passes through one funnel (`Line.read`), and what is told of a failure through
another (`Line.strike`).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from turnout.context import Call
from turnout.engine.leases import Lease
from turnout.engine.line import Line, wire_call
from turnout.engine.port import IO, ByteStream, Opened
from turnout.errors import (
    APIError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ContentPolicyViolationError,
    TurnoutError,
)
from turnout.limits.upstream import LONGEST_WORD, Remaining, remaining
from turnout_adapters.adapter import HTTPReply, HTTPRequest, StreamDecoder, WireCall
from turnout_adapters.kinds import Kind
from turnout_adapters.recorder import StreamRecorder
from turnout_adapters.refusals import error_for, kind_of, refusal_of, request_id_of
from turnout_adapters.types import PREAMBLE_EVENTS, Result, StreamEvent

T = TypeVar("T")

_LONGEST_ERROR_BODY = 1 << 20
IDLE = 600.0
"""Seconds a stream may pause once it has begun, unless the deployment's stream_timeout says otherwise."""


@dataclass(slots=True)
class Begun:
    """A stream that has shown its first output."""

    events: list[StreamEvent]
    """What has arrived so far, preamble first."""
    decoder: StreamDecoder
    body: ByteStream
    idle: float
    line: Line
    request_id: str | None = None
    ended: bool = False
    """The body is at its end already."""
    recorder: StreamRecorder = field(default_factory=StreamRecorder)

    @property
    def failure(self) -> APIError | None:
        """What the provider reported inside the stream in a form that is no event."""
        return self.line.read(getattr, self.decoder, "failure")

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Events completed by these bytes; none at all are the end. Raises APIError."""
        return self.line.read(self._fed, data)

    def _fed(self, data: bytes) -> list[StreamEvent]:
        return self._noted(self.decoder.feed(data) if data else self.decoder.close())

    def cut(self) -> list[StreamEvent]:
        """The stream broke: the events that close what is open, if they are the decoder's to make."""
        return self.line.read_or([], lambda: self._noted(self.decoder.cut()))

    def failed(self, code: str, message: str) -> list[StreamEvent]:
        """The event that ends a stream which broke; with nothing of the answer if that makes no sense."""
        usage = self.line.read_or(None, getattr, self.decoder, "usage")
        events = self.line.read_or([], self.recorder.failed, code, message, usage)
        return events or StreamRecorder().failed(code, message)

    def _noted(self, events: list[StreamEvent]) -> list[StreamEvent]:
        for event in events:
            self.recorder.observe(event)
        return events

    def strike(self, told: TurnoutError | StreamEvent) -> None:
        """Strikes the attempt's credentials out of an error, or out of an event that tells one."""
        if isinstance(told, TurnoutError):
            self.line.strike(told)
        else:
            self.line.secrets().strike_event(told)


def _hear(line: Line, headers: Mapping[str, str]) -> None:
    """Keeps what an answer, good or bad, says is left of the provider's own limits."""
    now = line.io.now()
    told = line.read(remaining, headers, now, line.io.unix())
    if told:
        latest = now + LONGEST_WORD
        line.lease.upstream = {unit: Remaining(one.amount, min(one.until, latest)) for unit, one in told.items()}


async def _let_in(request: HTTPRequest, line: Line) -> HTTPRequest:
    """The request, about to be sent, with credentials that expire or sign, renewed if need be.

    Whatever goes wrong with them is the deployment's: its credentials are no good.
    """
    auth = line.target.auth
    if auth is not None:
        try:
            if not auth.ready(line.io.unix()):
                await line.io.refresh(auth, line.left)
            request = auth.apply(request)
        except TurnoutError:
            raise
        except Exception as error:
            text = f"{line.provider}: the credentials cannot be used ({type(error).__name__})"
            raise AuthenticationError(text, provider=line.provider) from error
    line.sent.append((request.url, request.headers))
    line.lease.sent = True
    return request


def _without_reasoning(wired: WireCall, error: BadRequestError) -> WireCall | None:
    """The call as for an account that can read none of the reasoning in the input, if that is what it refused.

    Whose reasoning it is, is known only with an id_secret; without one, another account's is found out here.
    """
    if error.code != "invalid_encrypted_content" and "encrypted content" not in error.message.lower():
        return None
    items: object = wired.body.get("input")
    listed = cast("Sequence[object]", items) if isinstance(items, list | tuple) else ()
    every = frozenset(index for index, item in enumerate(listed) if _is_reasoning(item))
    return replace(wired, foreign=every) if every - wired.foreign else None


def _is_reasoning(item: object) -> bool:
    return isinstance(item, Mapping) and cast("Mapping[str, Any]", item).get("type") == "reasoning"


async def send_unary(call: Call, lease: Lease, io: IO, timeout: float) -> Result:
    """Sends and decodes a complete answer. Raises APIError."""
    return await _sent(_unary, call, lease, io, timeout)


async def _sent(send: Callable[[WireCall, Line], Awaitable[T]], call: Call, lease: Lease, io: IO, timeout: float) -> T:
    line = Line.of(call, lease, io, timeout)
    try:
        wired = wire_call(call, lease, io)
        try:
            return await send(wired, line)
        except BadRequestError as error:
            again = _without_reasoning(wired, error)
            if again is None:
                raise
        return await send(again, line)
    except TurnoutError as error:
        line.strike(error)
        raise


async def _unary(wired: WireCall, line: Line) -> Result:
    io = line.io
    reply = await _answered(line.encoded(wired), line)
    while (more := line.read(line.adapter.follow, wired, line.target, reply)) is not None:
        if more.pause:
            await io.wait(io.waiter(), min(more.pause, line.left))
        reply = await _answered(more.request, line)
    return line.read(_result_of, wired, line, reply)


def _result_of(wired: WireCall, line: Line, reply: HTTPReply) -> Result:
    result, call = line.adapter.response(wired, reply), line.call
    about = result.about
    about.request_id = line.told(about.request_id)
    if call.operation == "create":
        failure = _failure_worth_a_retry(result, line.provider) or _filtered(result, call, line.provider)
        if failure is not None:
            failure.request_id = request_id_of(reply.headers)
            raise failure
    if getattr(result, "status", None) == "failed":
        line.secrets().strike_failed(result)
    return result


async def _answered(request: HTTPRequest, line: Line) -> HTTPReply:
    """One request and its good answer. Credentials that were refused are renewed once, if they can be."""
    left = line.left
    if left <= 0:
        raise APITimeoutError("no answer before the attempt's timeout")
    ready = await _let_in(request, line)
    reply = await line.io.send(ready, left)
    _hear(line, reply.headers)
    if not 200 <= reply.status < 300:
        _check_renewal(line, reply)
        ready = await _let_in(request, line)
        reply = await line.io.send(ready, line.left)
        _hear(line, reply.headers)
    if not 200 <= reply.status < 300:
        raise _refused(line, reply)
    return reply


def _check_renewal(line: Line, reply: HTTPReply) -> None:
    """Returns if fresh credentials may help; raises the error that the answer is, if not."""
    error, auth = _refused(line, reply), line.target.auth
    if auth is None or error.kind is not Kind.AUTHENTICATION:
        raise error
    auth.forget()


def _refused(line: Line, reply: HTTPReply) -> APIError:
    return line.read(line.adapter.error, reply, line.provider, line.io.unix())


def _failure_worth_a_retry(result: Result, provider: str) -> APIError | None:
    """A response that failed for the provider's own reasons, inside a 200; others are the caller's to read."""
    if getattr(result, "status", None) != "failed":
        return None
    code = getattr(getattr(result, "error", None), "code", None)
    if code not in ("server_error", "rate_limit_exceeded"):
        return None
    refusal = refusal_of(result.model_dump(include={"error"}))
    return error_for(kind_of(500, refusal), refusal, provider=provider, status=200)


def _filtered(result: Any, call: Call, provider: str) -> APIError | None:
    """The error that `raise_on_content_filter` makes of an answer that a filter cut."""
    if not call.raise_on_content_filter or getattr(result, "status", None) != "incomplete":
        return None
    if getattr(getattr(result, "incomplete_details", None), "reason", None) != "content_filter":
        return None
    text = f"{provider}: the answer was stopped by a content filter"
    return ContentPolicyViolationError(text, provider=provider, status=200, code="content_filter")


async def send_stream(call: Call, lease: Lease, io: IO, timeout: float) -> Begun:
    """Opens a stream and reads up to its first output, so that an error before it can still be retried elsewhere.

    A background response is handed over at its first event: it lives on at the provider, and must not be made twice.
    """
    return await _sent(_begin, call, lease, io, timeout)


async def _begin(wired: WireCall, line: Line) -> Begun:
    adapter, idle = line.adapter, line.lease.deployment.spec.stream_timeout or IDLE
    request = line.encoded(wired)
    if adapter.two_steps:
        more = line.read(adapter.follow, wired, line.target, await _answered(request, line))
        request = request if more is None else more.request
    opened = await _opened(request, line, idle)
    try:
        decoder = line.read(adapter.decoder, wired)
        request_id = line.told(line.read(request_id_of, opened.headers))
        begun = Begun([], decoder, opened.body, idle, line, request_id)
        await _until_first_output(begun, line, eager=bool(wired.body.get("background")))
    except BaseException:
        await opened.body.close()
        raise
    return begun


async def _opened(request: HTTPRequest, line: Line, idle: float) -> Opened:
    """A good answer whose body is still arriving. Credentials that were refused are renewed once, if they can be."""
    ready = await _let_in(request, line)
    opened = await line.io.open(ready, line.left, idle)
    _hear(line, opened.headers)
    if not 200 <= opened.status < 300:
        _check_renewal(line, await _read_all(opened, line))
        ready = await _let_in(request, line)
        opened = await line.io.open(ready, line.left, idle)
        _hear(line, opened.headers)
    if not 200 <= opened.status < 300:
        raise _refused(line, await _read_all(opened, line))
    return opened


async def _read_all(opened: Opened, line: Line) -> HTTPReply:
    """The whole of an answer that is an error."""
    try:
        return HTTPReply(opened.status, opened.headers, await _error_body(opened.body, line.io, line.give_up))
    finally:
        await opened.body.close()


async def _error_body(body: ByteStream, io: IO, give_up: float) -> bytes:
    parts, size = list[bytes](), 0
    while size < _LONGEST_ERROR_BODY and (part := await io.read(body, max(give_up - io.now(), 0.0))):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


async def _until_first_output(begun: Begun, line: Line, *, eager: bool) -> None:
    replay, io = line.call.operation == "retrieve", line.io
    while True:
        left = line.left
        if left <= 0:
            raise APITimeoutError("no output before the attempt's timeout")
        data = await io.read(begun.body, left)
        fresh = begun.feed(data)
        for event in () if replay else fresh:
            failure = line.read(_failure_before_output, event, line)
            if failure is not None:
                failure.request_id = begun.request_id
                raise failure
        begun.events.extend(fresh)
        shown = bool(begun.events) and begun.events[-1].type not in PREAMBLE_EVENTS
        failure = begun.failure
        if failure is not None and not shown:
            failure.request_id = begun.request_id
            raise failure
        if not data:
            begun.ended = True
            return
        if begun.events and (eager or replay or shown):
            return


def _failure_before_output(event: StreamEvent, line: Line) -> APIError | None:
    failure = failure_of(event, line.provider)
    if failure is None and event.type == "response.incomplete":
        failure = _filtered(getattr(event, "response", None), line.call, line.provider)
    return failure


def failure_of(event: StreamEvent, provider: str) -> APIError | None:
    """The typed error inside an `error` or `response.failed` event, None for any other event."""
    if event.type == "error":
        refusal = refusal_of({"error": event.model_dump(exclude={"type", "sequence_number"})})
    elif event.type == "response.failed":
        response: Any = getattr(event, "response", None)
        error: Any = getattr(response, "error", None)
        body: object = error.model_dump() if hasattr(error, "model_dump") else error
        refusal = refusal_of({"error": body or {"message": "the response failed", "code": "server_error"}})
    else:
        return None
    return error_for(kind_of(_status_of(refusal.code), refusal), refusal, provider=provider, status=200)


def _status_of(code: str | None) -> int:
    """Inside a stream there is no status: the provider's own troubles are 500, what it says of the input is 400."""
    caller = ("invalid", "content", "image", "unsupported", "vector_store", "context", "empty", "failed_to_download")
    return 400 if code is not None and code.lower().startswith(caller) else 500
