"""The adapter of Converse and ConverseStream."""

from turnout_adapters.adapter import Target, WireCall
from turnout_adapters.decoding import WholeTeller
from turnout_adapters.eventstream import EventStreamSplitter
from turnout_adapters.framing import Framing
from turnout_adapters.paths import segment
from turnout_adapters.reading import read
from turnout_adapters.tools import TEXT_TOOL, wants_schema
from turnout_adapters.translated import Encoded, ToldWire
from turnout_adapters.wires.converse.decode import ConverseTeller
from turnout_adapters.wires.converse.encode import MAPPED, encode, is_claude, needs_text_tool


class ConverseWire(ToldWire):
    """Bedrock's own API for all models. Stateless."""

    wire = "bedrock-converse"
    mapped = MAPPED

    def encode(self, call: WireCall, target: Target) -> Encoded:  # noqa: ARG002 (the base's signature)
        """Path and body."""
        family = _family(call)
        request = read(call, self.provider, family)
        body = encode(request, family)
        verb = "converse-stream" if call.stream else "converse"
        # a colon stays as it is: some HTTP clients undo its escape, which would break the signature
        return Encoded(f"/model/{segment(call.model, safe=':')}/{verb}", body, request.draft)

    def teller(self, call: WireCall) -> WholeTeller:
        """A reader for one answer."""
        return ConverseTeller(self.provider, _family(call))

    def text_tool(self, call: WireCall) -> str | None:
        """See `needs_text_tool`."""
        return TEXT_TOOL if wants_schema(call.body) and needs_text_tool(call.model) else None

    def framing(self) -> Framing:
        """AWS's frames."""
        return EventStreamSplitter(self.provider)


def _family(call: WireCall) -> str:
    return "anthropic" if is_claude(call.model) else "bedrock"
