"""One attempt: encode, send, decode. What comes back is a result, or a stream whose first output has arrived."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from turnout.context import Call
from turnout.engine.leases import Lease
from turnout.engine.port import IO, ByteStream, Opened
from turnout.errors import APIError, APITimeoutError, BadRequestError, ContentPolicyViolationError
from turnout.limits.upstream import remaining
from turnout_adapters.adapter import Adapter, HTTPReply, HTTPRequest, StreamDecoder, Target, WireCall
from turnout_adapters.kinds import Kind
from turnout_adapters.refusals import error_for, kind_of, refusal_of, request_id_of
from turnout_adapters.types import PREAMBLE_EVENTS, Result, StreamEvent

_LONGEST_ERROR_BODY = 1 << 20
_SHORTEST_CREDENTIAL = 8
"""Characters; striking out anything shorter would strike out ordinary words."""
_CREDENTIALS = ("api-key", "authorization", "x-api-key", "x-goog-api-key")
IDLE = 600.0
"""Seconds a stream may pause once it has begun, unless the deployment's stream_timeout says otherwise."""

_NOTHING: Mapping[str, Any] = {}
_NONE = frozenset[int]()


@dataclass(slots=True)
class Begun:
    """A stream that has shown its first output."""

    events: list[StreamEvent]
    """What has arrived so far, preamble first."""
    decoder: StreamDecoder
    body: ByteStream
    idle: float
    request_id: str | None = None
    ended: bool = False
    """The body is at its end already."""
    headers: dict[str, str] = field(default_factory=dict[str, str])


def wire_call(call: Call, lease: Lease, io: IO) -> WireCall:
    """The call as the wire sees it: deployment defaults under the caller's body, the upstream model's name."""
    spec = lease.deployment.spec
    body = call.body
    makes = call.operation in ("create", "compact", "input_tokens")
    translated = spec.adapter.wire != "openai-responses" or call.wire is not None
    if makes and spec.defaults:
        body = {**spec.defaults, **body}
    if translated and call.draft is not None and "store" in body:
        body = {name: value for name, value in body.items() if name != "store"}
    headers = {**spec.extra_headers, **call.extra_headers} if spec.extra_headers else call.extra_headers
    foreign = (
        frozenset(index for index, domain in call.owners.items() if domain != spec.domain) if call.owners else _NONE
    )
    extra_body = call.extra_body if makes else _NOTHING
    if makes and spec.extra_body:
        extra_body = {**spec.extra_body, **extra_body}
    return WireCall(
        call.operation,
        lease.upstream_model,
        body,
        call.response_id,
        call.stream,
        headers,
        extra_body=extra_body,
        drop_params=bool(spec.drop_params if call.drop_params is None else call.drop_params),
        now=io.unix() if translated else 0.0,
        nonce=io.nonce()[:24] if translated else "",
        foreign=foreign,
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """Where one attempt goes."""

    adapter: Adapter
    target: Target
    provider: str
    io: IO
    give_up: float
    lease: Lease

    @property
    def left(self) -> float:
        """Seconds until the attempt's timeout."""
        return max(self.give_up - self.io.now(), 0.0)


def _line(call: Call, lease: Lease, io: IO, timeout: float) -> _Line:
    spec = lease.deployment.spec
    adapter, target = spec.on(call.wire)
    return _Line(adapter, target, spec.provider, io, io.now() + timeout, lease)


def _encoded(wired: WireCall, lease: Lease, line: _Line) -> HTTPRequest:
    request = line.adapter.request(wired, line.target)
    lease.notes, lease.warnings = request.notes, request.warnings
    return request


def _hear(line: _Line, headers: Mapping[str, str]) -> None:
    """Keeps what an answer, good or bad, says is left of the provider's own limits."""
    told = remaining(headers, line.io.now(), line.io.unix())
    if told:
        line.lease.upstream = told


async def _let_in(request: HTTPRequest, line: _Line) -> HTTPRequest:
    """The request with credentials that expire or sign, renewed if need be."""
    auth = line.target.auth
    if auth is None:
        return request
    if not auth.ready(line.io.unix()):
        await line.io.refresh(auth, line.left)
    return auth.apply(request)


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
    wired, line = wire_call(call, lease, io), _line(call, lease, io, timeout)
    try:
        return await _unary(wired, call, lease, line)
    except BadRequestError as error:
        again = _without_reasoning(wired, error)
        if again is None:
            raise
    return await _unary(again, call, lease, line)


async def _unary(wired: WireCall, call: Call, lease: Lease, line: _Line) -> Result:
    adapter, io = line.adapter, line.io
    reply = await _answered(_encoded(wired, lease, line), line)
    while (more := adapter.follow(wired, line.target, reply)) is not None:
        if more.pause:
            await io.wait(io.waiter(), min(more.pause, line.left))
        reply = await _answered(more.request, line)
    result = adapter.response(wired, reply)
    if call.operation == "create":
        failure = _failure_worth_a_retry(result, line.provider) or _filtered(result, call, line.provider)
        if failure is not None:
            failure.request_id = request_id_of(reply.headers)
            raise failure
    return result


async def _answered(request: HTTPRequest, line: _Line) -> HTTPReply:
    """One request and its good answer. Credentials that were refused are renewed once, if they can be."""
    left = line.left
    if left <= 0:
        raise APITimeoutError("no answer before the attempt's timeout")
    ready = await _let_in(request, line)
    line.lease.sent = True
    reply = await line.io.send(ready, left)
    _hear(line, reply.headers)
    if not 200 <= reply.status < 300:
        _check_renewal(line, reply, ready)
        ready = await _let_in(request, line)
        reply = await line.io.send(ready, line.left)
        _hear(line, reply.headers)
    if not 200 <= reply.status < 300:
        raise _refused(line, reply, ready)
    return reply


def _check_renewal(line: _Line, reply: HTTPReply, request: HTTPRequest) -> None:
    """Returns if fresh credentials may help; raises the error that the answer is, if not."""
    error, auth = _refused(line, reply, request), line.target.auth
    if auth is None or error.kind is not Kind.AUTHENTICATION:
        raise error
    auth.forget()


def _refused(line: _Line, reply: HTTPReply, request: HTTPRequest) -> APIError:
    return line.adapter.error(without_credentials(reply, request), line.provider, line.io.unix())


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
    wired, line = wire_call(call, lease, io), _line(call, lease, io, timeout)
    idle = lease.deployment.spec.stream_timeout or IDLE
    try:
        return await _begin(wired, call, lease, line, idle)
    except BadRequestError as error:
        again = _without_reasoning(wired, error)
        if again is None:
            raise
    return await _begin(again, call, lease, line, idle)


async def _begin(wired: WireCall, call: Call, lease: Lease, line: _Line, idle: float) -> Begun:
    adapter = line.adapter
    request = _encoded(wired, lease, line)
    if adapter.two_steps:
        more = adapter.follow(wired, line.target, await _answered(request, line))
        request = request if more is None else more.request
    opened = await _opened(request, line, idle)
    try:
        begun = Begun([], adapter.decoder(wired), opened.body, idle, request_id_of(opened.headers))
        await _until_first_output(begun, call, line, eager=bool(wired.body.get("background")))
    except BaseException:
        await opened.body.close()
        raise
    return begun


async def _opened(request: HTTPRequest, line: _Line, idle: float) -> Opened:
    """A good answer whose body is still arriving. Credentials that were refused are renewed once, if they can be."""
    ready = await _let_in(request, line)
    line.lease.sent = True
    opened = await line.io.open(ready, line.left, idle)
    _hear(line, opened.headers)
    if not 200 <= opened.status < 300:
        _check_renewal(line, await _read_all(opened, line), ready)
        ready = await _let_in(request, line)
        opened = await line.io.open(ready, line.left, idle)
        _hear(line, opened.headers)
    if not 200 <= opened.status < 300:
        raise _refused(line, await _read_all(opened, line), ready)
    return opened


async def _read_all(opened: Opened, line: _Line) -> HTTPReply:
    """The whole of an answer that is an error."""
    try:
        return HTTPReply(opened.status, opened.headers, await _error_body(opened.body, line.io, line.give_up))
    finally:
        await opened.body.close()


def without_credentials(reply: HTTPReply, request: HTTPRequest) -> HTTPReply:
    """The reply with the request's credentials struck out of its body: some providers repeat the key they refuse."""
    body = reply.body
    for name, value in request.headers:
        secret = value.removeprefix("Bearer ").removeprefix("Token ").encode()
        if name in _CREDENTIALS and len(secret) >= _SHORTEST_CREDENTIAL:
            body = body.replace(secret, b"***")
    return reply if body == reply.body else replace(reply, body=body)


async def _error_body(body: ByteStream, io: IO, give_up: float) -> bytes:
    parts, size = list[bytes](), 0
    while size < _LONGEST_ERROR_BODY and (part := await io.read(body, max(give_up - io.now(), 0.0))):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


async def _until_first_output(begun: Begun, call: Call, line: _Line, *, eager: bool) -> None:
    replay, io, give_up, provider = call.operation == "retrieve", line.io, line.give_up, line.provider
    while True:
        left = give_up - io.now()
        if left <= 0:
            raise APITimeoutError("no output before the attempt's timeout")
        data = await io.read(begun.body, left)
        fresh = begun.decoder.feed(data) if data else begun.decoder.close()
        for event in () if replay else fresh:
            failure = failure_of(event, provider)
            if failure is None and event.type == "response.incomplete":
                failure = _filtered(getattr(event, "response", None), call, provider)
            if failure is not None:
                failure.request_id = begun.request_id
                raise failure
        begun.events.extend(fresh)
        shown = bool(begun.events) and begun.events[-1].type not in PREAMBLE_EVENTS
        if begun.decoder.failure is not None and not shown:
            begun.decoder.failure.request_id = begun.request_id
            raise begun.decoder.failure
        if not data:
            begun.ended = True
            return
        if begun.events and (eager or replay or shown):
            return


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
