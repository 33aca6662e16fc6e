"""The frame of every wire that is translated: one operation, a body to encode, an answer to decode."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self, cast

from turnout_adapters.adapter import Follow, HTTPReply, HTTPRequest, StreamDecoder, Target, WireCall
from turnout_adapters.builder import ECHOED, ResponseBuilder
from turnout_adapters.decoding import TranslatedDecoder, WholeTeller, body_of, finished
from turnout_adapters.errors import APIError, UnsupportedParameterError
from turnout_adapters.framing import Framing
from turnout_adapters.kinds import Kind
from turnout_adapters.provider import Provider
from turnout_adapters.refusals import error_from_reply
from turnout_adapters.request import Draft
from turnout_adapters.sending import headers_for
from turnout_adapters.sse import SSESplitter
from turnout_adapters.types import Response
from turnout_adapters.writing import check_echo, json_bytes

_JSON = ("content-type", "application/json")


class Encoded(NamedTuple):
    """One encoded call."""

    path: str
    """Appended to the deployment's base URL."""
    body: dict[str, Any]
    draft: Draft
    headers: Sequence[tuple[str, str]] = ()
    query: str = ""


class TranslatedWire(ABC):
    """Base of the adapters. A wire says `encode`, `decode` and `decoder`."""

    wire = ""
    two_steps = False
    mapped: frozenset[str] = frozenset()
    """Parameters that this wire honours besides input, instructions, tools, text, reasoning and max_output_tokens."""

    def __init__(self, provider: str) -> None:
        self.provider = provider

    @classmethod
    def for_provider(cls, provider: Provider) -> Self:
        """The adapter as a provider's row wants it."""
        return cls(provider.name)

    @abstractmethod
    def encode(self, call: WireCall, target: Target) -> Encoded:
        """Path and native body. Raises BadRequestError or UnsupportedParameterError naming the parameter."""

    @abstractmethod
    def decode(self, call: WireCall, reply: HTTPReply) -> Response:
        """The response in a complete answer."""

    @abstractmethod
    def decoder(self, call: WireCall) -> StreamDecoder:
        """A decoder for one stream."""

    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        """The bytes to send."""
        if call.operation != "create":
            text = f"{self.provider} keeps no responses: {call.operation} is not possible there"
            raise UnsupportedParameterError(text, provider=self.provider, param="model")
        encoded = self.encode(call, target)
        check_echo({name: call.body[name] for name in ECHOED if call.body.get(name) is not None})
        body = json_bytes(merged({**encoded.body, **dict(target.body)}, call.extra_body))
        query = "&".join(part for part in (target.query, encoded.query) if part)
        url = f"{target.base_url}{encoded.path}?{query}" if query else f"{target.base_url}{encoded.path}"
        headers = headers_for(target, [*encoded.headers, _JSON], call.extra_headers, stream=call.stream)
        draft = encoded.draft
        return HTTPRequest("POST", url, headers, body, tuple(draft.warnings), tuple(draft.notes))

    def follow(self, call: WireCall, target: Target, reply: HTTPReply) -> Follow | None:  # noqa: ARG002
        """One answer is all there is."""
        return None

    def response(self, call: WireCall, reply: HTTPReply) -> Response:
        """The typed result of a successful answer."""
        return self.decode(call, reply)

    def error(self, reply: HTTPReply, provider: str, now: float) -> APIError:
        """The typed error of a refused request.

        Nothing but the model is named in such a request, so what is not found is the deployment.
        """
        error = error_from_reply(reply, provider, now)
        if error.kind is Kind.NOT_FOUND:
            error.kind = Kind.DEPLOYMENT_NOT_FOUND
        return error


class ToldWire(TranslatedWire):
    """Base of the wires whose answers, complete or streamed, one teller reads."""

    @abstractmethod
    def teller(self, call: WireCall) -> WholeTeller:
        """A reader for one answer."""

    def framing(self) -> Framing:
        """How a stream is cut: server-sent events."""
        return SSESplitter()

    def text_tool(self, call: WireCall) -> str | None:  # noqa: ARG002
        """The tool whose calls are the text, if the request was encoded so."""
        return None

    def decode(self, call: WireCall, reply: HTTPReply) -> Response:
        """A complete answer."""
        builder = ResponseBuilder(call, quiet=True, text_tool=self.text_tool(call))
        self.teller(call).whole(body_of(reply), builder)
        return finished(builder, reply)

    def decoder(self, call: WireCall) -> TranslatedDecoder:
        """A decoder for one stream."""
        builder = ResponseBuilder(call, text_tool=self.text_tool(call))
        return TranslatedDecoder(self.teller(call), builder, self.framing())


def merged(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """`extra` over the body, objects within objects; lists are replaced."""
    out = dict(body)
    for name, value in extra.items():
        inner = out.get(name)
        both = isinstance(inner, dict) and isinstance(value, dict)
        out[name] = merged(cast("dict[str, Any]", inner), cast("dict[str, Any]", value)) if both else value
    return out
