"""The adapter: addresses and bodies of the platforms that serve Claude."""

from typing import Self

from turnout_adapters.adapter import Target, WireCall
from turnout_adapters.decoding import WholeTeller
from turnout_adapters.eventstream import EventStreamSplitter
from turnout_adapters.framing import Framing
from turnout_adapters.paths import segment
from turnout_adapters.provider import Provider
from turnout_adapters.reading import read
from turnout_adapters.tools import TEXT_TOOL, wants_schema
from turnout_adapters.translated import Encoded, ToldWire
from turnout_adapters.wires.anthropic.decode import FAMILY, MessagesTeller
from turnout_adapters.wires.anthropic.encode import MAPPED, Platform, encode, needs_text_tool

_VERSIONS = {"vertex_ai": "vertex-2023-10-16", "bedrock": "bedrock-2023-05-31"}


class AnthropicWire(ToldWire):
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
            return f"/model/{segment(call.model, safe=':')}/{verb}"
        verb = "streamRawPredict" if call.stream else "rawPredict"
        return f"/publishers/anthropic/models/{segment(call.model, safe='@')}:{verb}"

    def teller(self, call: WireCall) -> WholeTeller:  # noqa: ARG002
        """A reader for one answer."""
        return MessagesTeller(self.provider)

    def text_tool(self, call: WireCall) -> str | None:
        """See `needs_text_tool`."""
        return TEXT_TOOL if wants_schema(call.body) and needs_text_tool(call.model) else None

    def framing(self) -> Framing:
        """Server-sent events; inside AWS's frames on Bedrock."""
        return EventStreamSplitter(self.provider, inner="bytes") if self._platform == "bedrock" else super().framing()
