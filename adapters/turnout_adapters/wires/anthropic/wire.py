"""The adapter: addresses and bodies of the platforms that serve Claude."""

from typing import Any, Self
from urllib.parse import quote

from turnout_adapters.adapter import HTTPReply, Target, WireCall
from turnout_adapters.builder import ResponseBuilder
from turnout_adapters.decoding import Teller, TranslatedDecoder, body_of, finished
from turnout_adapters.eventstream import EventStreamSplitter
from turnout_adapters.provider import Provider
from turnout_adapters.reading import read
from turnout_adapters.translated import Encoded, TranslatedWire
from turnout_adapters.types import Response
from turnout_adapters.wires.anthropic.decode import FAMILY, MessagesTeller
from turnout_adapters.wires.anthropic.encode import MAPPED, TEXT_TOOL, Platform, encode, uses_text_tool

_VERSIONS = {"vertex_ai": "vertex-2023-10-16", "bedrock": "bedrock-2023-05-31"}


class AnthropicWire(TranslatedWire):
    """Messages, on Anthropic's API and wherever else Claude is served. Stateless."""

    wire = "anthropic-messages"
    mapped = MAPPED

    def __init__(self, provider: str, platform: Platform = "anthropic") -> None:
        super().__init__(provider)
        self._platform: Platform = platform

    @classmethod
    def for_provider(cls, provider: Provider) -> Self:
        """Anthropic's own form, or its platform's."""
        platforms: dict[str, Platform] = {"vertex_ai": "vertex_ai", "bedrock": "bedrock"}
        return cls(provider.name, platforms.get(provider.name, "anthropic"))

    def encode(self, call: WireCall, target: Target) -> Encoded:  # noqa: ARG002 (the base's signature)
        """Path, body and headers."""
        request = read(call, self.provider, FAMILY)
        body, betas = encode(request, self._platform)
        headers: list[tuple[str, str]] = []
        if self._platform == "anthropic":
            headers.append(("anthropic-version", "2023-06-01"))
            path = "/v1/messages"
            if call.stream:
                body["stream"] = True
        else:
            body = {"anthropic_version": _VERSIONS[self._platform], **body}
            del body["model"]
            path = self._path(call)
            if call.stream and self._platform == "vertex_ai":
                body["stream"] = True
        if betas:
            headers.append(("anthropic-beta", ",".join(betas)))
        return Encoded(path, body, request.draft, headers)

    def _path(self, call: WireCall) -> str:
        if self._platform == "bedrock":
            verb = "invoke-with-response-stream" if call.stream else "invoke"
            return f"/model/{quote(call.model, safe=':')}/{verb}"
        verb = "streamRawPredict" if call.stream else "rawPredict"
        return f"/publishers/anthropic/models/{quote(call.model, safe='@')}:{verb}"

    def decode(self, call: WireCall, reply: HTTPReply) -> Response:
        """A complete answer."""
        builder = ResponseBuilder(call, quiet=True, text_tool=_text_tool(call))
        MessagesTeller(self.provider).whole(body_of(reply), builder)
        return finished(builder, reply)

    def decoder(self, call: WireCall) -> TranslatedDecoder:
        """A decoder for one stream."""
        teller: Teller = MessagesTeller(self.provider)
        builder = ResponseBuilder(call, text_tool=_text_tool(call))
        framing = EventStreamSplitter(self.provider, inner="bytes") if self._platform == "bedrock" else None
        return TranslatedDecoder(teller, builder, framing)


def _text_tool(call: WireCall) -> str | None:
    text: Any = call.body.get("text") or {}
    return TEXT_TOOL if uses_text_tool(text.get("format"), call.model) else None
