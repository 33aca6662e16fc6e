"""One attempt: encode, send, decode. What comes back is a result, or a stream whose first output has arrived."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from turnout.context import Call
from turnout.engine.leases import Lease
from turnout.engine.port import IO, ByteStream
from turnout.errors import APIError, APITimeoutError
from turnout_adapters.adapter import Adapter, HTTPReply, HTTPRequest, StreamDecoder, WireCall
from turnout_adapters.refusals import error_for, kind_of, refusal_of, request_id_of
from turnout_adapters.types import PREAMBLE_EVENTS, Result, StreamEvent

_LONGEST_ERROR_BODY = 1 << 20
_SHORTEST_CREDENTIAL = 8
"""Characters; striking out anything shorter would strike out ordinary words."""
_CREDENTIALS = ("api-key", "authorization")
IDLE = 600.0
"""Seconds a stream may pause once it has begun, unless the deployment's stream_timeout says otherwise."""

WireBody = Callable[[Call, Lease], dict[str, Any]]


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


def wire_call(call: Call, lease: Lease) -> WireCall:
    """The call as the wire sees it: deployment defaults under the caller's body, the upstream model's name."""
    spec = lease.deployment.spec
    body = call.body
    if call.operation in ("create", "compact", "input_tokens") and (spec.defaults or spec.extra_body):
        body = {**spec.defaults, **body, **spec.extra_body}
    headers = {**spec.extra_headers, **call.extra_headers} if spec.extra_headers else call.extra_headers
    return WireCall(call.operation, lease.upstream_model, body, call.response_id, call.stream, headers)


async def send_unary(call: Call, lease: Lease, io: IO, timeout: float) -> Result:
    """Sends and decodes a complete answer. Raises APIError."""
    spec = lease.deployment.spec
    adapter: Adapter = spec.adapter
    wired = wire_call(call, lease)
    request = adapter.request(wired, spec.target)
    reply = await io.send(request, timeout)
    if not 200 <= reply.status < 300:
        raise adapter.error(without_credentials(reply, request), spec.provider, io.unix())
    result = adapter.response(wired, reply)
    if call.operation == "create":
        failure = _failure_worth_a_retry(result, spec.provider)
        if failure is not None:
            failure.request_id = request_id_of(reply.headers)
            raise failure
    return result


def _failure_worth_a_retry(result: Result, provider: str) -> APIError | None:
    """A response that failed for the provider's own reasons, inside a 200; others are the caller's to read."""
    if getattr(result, "status", None) != "failed":
        return None
    code = getattr(getattr(result, "error", None), "code", None)
    if code not in ("server_error", "rate_limit_exceeded"):
        return None
    refusal = refusal_of(result.model_dump(include={"error"}))
    return error_for(kind_of(500, refusal), refusal, provider=provider, status=200)


async def send_stream(call: Call, lease: Lease, io: IO, timeout: float) -> Begun:
    """Opens a stream and reads up to its first output, so that an error before it can still be retried elsewhere.

    A background response is handed over at its first event: it lives on at the provider, and must not be made twice.
    """
    spec = lease.deployment.spec
    adapter: Adapter = spec.adapter
    wired = wire_call(call, lease)
    give_up = io.now() + timeout
    idle = spec.stream_timeout or IDLE
    request = adapter.request(wired, spec.target)
    opened = await io.open(request, timeout, idle)
    try:
        if not 200 <= opened.status < 300:
            body = await _error_body(opened.body, io, give_up)
            reply = HTTPReply(opened.status, opened.headers, body)
            raise adapter.error(without_credentials(reply, request), spec.provider, io.unix())
        begun = Begun([], adapter.decoder(wired), opened.body, idle, request_id_of(opened.headers))
        replay, eager = call.operation == "retrieve", bool(wired.body.get("background"))
        await _until_first_output(begun, io, give_up, eager=eager, replay=replay, provider=spec.provider)
    except BaseException:
        await opened.body.close()
        raise
    return begun


def without_credentials(reply: HTTPReply, request: HTTPRequest) -> HTTPReply:
    """The reply with the request's credentials struck out of its body: some providers repeat the key they refuse."""
    body = reply.body
    for name, value in request.headers:
        secret = value.removeprefix("Bearer ").encode()
        if name in _CREDENTIALS and len(secret) >= _SHORTEST_CREDENTIAL:
            body = body.replace(secret, b"***")
    return reply if body == reply.body else replace(reply, body=body)


async def _error_body(body: ByteStream, io: IO, give_up: float) -> bytes:
    parts, size = list[bytes](), 0
    while size < _LONGEST_ERROR_BODY and (part := await io.read(body, max(give_up - io.now(), 0.0))):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


async def _until_first_output(
    begun: Begun, io: IO, give_up: float, *, eager: bool, replay: bool, provider: str
) -> None:
    while True:
        left = give_up - io.now()
        if left <= 0:
            raise APITimeoutError("no output before the attempt's timeout")
        data = await io.read(begun.body, left)
        fresh = begun.decoder.feed(data) if data else []
        for event in () if replay else fresh:
            failure = failure_of(event, provider)
            if failure is not None:
                failure.request_id = begun.request_id
                raise failure
        begun.events.extend(fresh)
        if not data:
            begun.decoder.close()
            begun.ended = True
            return
        if begun.events and (eager or replay or begun.events[-1].type not in PREAMBLE_EVENTS):
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
