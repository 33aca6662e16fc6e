"""The adapter: AI Studio and Vertex AI."""

from typing import Self

from turnout_adapters.adapter import Target, WireCall
from turnout_adapters.decoding import WholeTeller
from turnout_adapters.paths import segments
from turnout_adapters.provider import Provider
from turnout_adapters.reading import read
from turnout_adapters.translated import Encoded, ToldWire
from turnout_adapters.wires.gemini.decode import FAMILY, GeminiTeller
from turnout_adapters.wires.gemini.encode import MAPPED, encode


class GeminiWire(ToldWire):
    """generateContent and streamGenerateContent. Stateless."""

    wire = "gemini"
    mapped = MAPPED

    def __init__(self, provider: str, *, vertex: bool = False) -> None:
        super().__init__(provider)
        self._vertex = vertex

    @classmethod
    def for_provider(cls, provider: Provider) -> Self:
        """AI Studio's, or Vertex AI's."""
        return cls(provider.name, vertex=provider.name == "vertex_ai")

    def encode(self, call: WireCall, target: Target) -> Encoded:  # noqa: ARG002 (the base's signature)
        """Path, body and headers."""
        request = read(call, self.provider, FAMILY)
        body, headers = encode(request, vertex=self._vertex)
        verb = "streamGenerateContent" if call.stream else "generateContent"
        path = f"/models/{segments(call.model, safe='@')}:{verb}"
        if self._vertex:
            own = call.model.startswith("endpoints/")
            path = f"/{segments(call.model)}:{verb}" if own else f"/publishers/google{path}"
        return Encoded(path, body, request.draft, headers, "alt=sse" if call.stream else "")

    def teller(self, call: WireCall) -> WholeTeller:
        """A reader for one answer."""
        return GeminiTeller(self.provider, call.nonce)
