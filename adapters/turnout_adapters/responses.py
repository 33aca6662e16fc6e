"""The openai-responses wire: bodies and events pass through, only the address, credentials and model are ours."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from pydantic import ValidationError

from turnout_adapters.adapter import Follow, HTTPReply, HTTPRequest, Operation, Target, WireCall
from turnout_adapters.crossing import at_home
from turnout_adapters.errors import (
    APIConnectionError,
    APIError,
    InvalidReplyError,
)
from turnout_adapters.paths import segment
from turnout_adapters.provider import Provider
from turnout_adapters.refusals import error_from_reply, request_id_of
from turnout_adapters.sending import headers_for
from turnout_adapters.sse import SSESplitter
from turnout_adapters.types import (
    TERMINAL_EVENTS,
    CompactedResponse,
    DeletedResponse,
    InputTokenCount,
    ItemList,
    Response,
    Result,
    StreamEvent,
    parse_event,
)
from turnout_adapters.types.lenient import read
from turnout_adapters.writing import json_bytes

_ROUTES: dict[Operation, tuple[str, str]] = {
    "create": ("POST", "/responses"),
    "retrieve": ("GET", "/responses/{id}"),
    "delete": ("DELETE", "/responses/{id}"),
    "cancel": ("POST", "/responses/{id}/cancel"),
    "input_items": ("GET", "/responses/{id}/input_items"),
    "compact": ("POST", "/responses/compact"),
    "input_tokens": ("POST", "/responses/input_tokens"),
}

_RESULTS: dict[Operation, type[Result]] = {
    "create": Response,
    "retrieve": Response,
    "delete": DeletedResponse,
    "cancel": Response,
    "input_items": ItemList,
    "compact": CompactedResponse,
    "input_tokens": InputTokenCount,
}

_JSON = ("content-type", "application/json")


class ResponsesWire:
    """Adapter of the wire that OpenAI, Azure and others speak natively. Stateless."""

    wire = "openai-responses"
    two_steps = False

    @classmethod
    def for_provider(cls, provider: Provider) -> "ResponsesWire":  # noqa: ARG003 (the same for all)
        """The adapter as a provider's row wants it."""
        return cls()

    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        """The bytes to send. Raises BadRequestError if the body cannot be written as JSON."""
        method, path = _ROUTES[call.operation]
        if call.response_id is not None:
            path = path.replace("{id}", segment(call.response_id, "response_id"))
        query = target.query
        own: list[tuple[str, str]] = []
        body = b""
        if method == "GET":
            query = "&".join(part for part in (query, _query(call.body, stream=call.stream)) if part)
        notes: tuple[str, ...] = ()
        if call.operation in ("create", "compact", "input_tokens"):
            call, notes = at_home(call, target.provider)
            body = _encode(call)
            own.append(_JSON)
        headers = headers_for(target, own, call.extra_headers, stream=call.stream)
        url = f"{target.base_url}{path}?{query}" if query else f"{target.base_url}{path}"
        return HTTPRequest(method, url, headers, body, notes=notes)

    def follow(self, call: WireCall, target: Target, reply: HTTPReply) -> Follow | None:  # noqa: ARG002
        """One answer is all there is."""
        return None

    def response(self, call: WireCall, reply: HTTPReply) -> Result:
        """The typed result of a successful answer. Raises InvalidReplyError if it is no such thing."""
        model = _RESULTS[call.operation]
        try:
            result = read(model, reply.body)
        except ValueError as error:
            raise InvalidReplyError(
                f"the answer is not a {model.__name__}: {_why(error)}",
                status=reply.status,
                request_id=request_id_of(reply.headers),
            ) from None
        result.about.request_id = request_id_of(reply.headers)
        return result

    def decoder(self, call: WireCall) -> "ResponsesDecoder":  # noqa: ARG002 (the protocol's signature)
        """A decoder for one stream."""
        return ResponsesDecoder()

    def error(self, reply: HTTPReply, provider: str, now: float) -> APIError:
        """The typed error of a refused request."""
        return error_from_reply(reply, provider, now)


def _why(error: ValueError) -> str:
    """What is wrong, without the answer's own words."""
    return error.errors(include_url=False, include_input=False)[0]["msg"] if isinstance(error, ValidationError) else "?"


class ResponsesDecoder:
    """Bytes of one event stream to events; unknown events pass through."""

    __slots__ = ("_last", "_splitter", "_terminated")

    failure = None
    """Events of this wire report failures themselves."""
    usage = None

    def __init__(self) -> None:
        self._splitter = SSESplitter()
        self._terminated = False
        self._last = -1

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Events completed by these bytes. Raises InvalidReplyError on data that is not an event."""
        events: list[StreamEvent] = []
        for name, payload in self._splitter.feed(data):
            try:
                event = parse_event(name, payload, self._last + 1)
            except ValueError:
                raise InvalidReplyError(f"an event of the stream makes no sense: {payload[:80]!r}") from None
            self._last = max(event.sequence_number, self._last + 1)
            if event.type in TERMINAL_EVENTS:
                self._terminated = True
            events.append(event)
        return events

    def cut(self) -> list[StreamEvent]:
        """None: the provider's stream stays as it came."""
        return []

    def close(self) -> list[StreamEvent]:
        """The end of the bytes. Raises APIConnectionError if no terminal event came."""
        if not self._terminated:
            raise APIConnectionError("the stream ended before its last event")
        return []


def _encode(call: WireCall) -> bytes:
    body = {**call.body, **call.extra_body}
    if call.model:
        body["model"] = call.model
    if call.stream:
        body["stream"] = True
    return json_bytes(body)


def _query(params: Mapping[str, Any], *, stream: bool) -> str:
    pairs: list[tuple[str, object]] = [
        (f"{name}[]" if isinstance(value, list | tuple) else name, value)
        for name, value in params.items()
        if value is not None
    ]
    if stream:
        pairs.append(("stream", "true"))
    return urlencode([(name, _plain(value)) for name, value in pairs], doseq=True)


def _plain(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value
