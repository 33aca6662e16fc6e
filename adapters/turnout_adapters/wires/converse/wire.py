"""The adapter of Converse and ConverseStream."""

from typing import Any
from urllib.parse import quote

from turnout_adapters.adapter import HTTPReply, Target, WireCall
from turnout_adapters.builder import ResponseBuilder
from turnout_adapters.decoding import TranslatedDecoder, body_of, finished
from turnout_adapters.eventstream import EventStreamSplitter
from turnout_adapters.reading import read
from turnout_adapters.translated import Encoded, TranslatedWire
from turnout_adapters.types import Response
from turnout_adapters.wires.converse.decode import ConverseTeller
from turnout_adapters.wires.converse.encode import MAPPED, TEXT_TOOL, encode, is_claude, uses_text_tool


class ConverseWire(TranslatedWire):
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
        return Encoded(f"/model/{quote(call.model, safe=':')}/{verb}", body, request.draft)

    def decode(self, call: WireCall, reply: HTTPReply) -> Response:
        """A complete answer."""
        builder = ResponseBuilder(call, quiet=True, text_tool=_text_tool(call))
        ConverseTeller(self.provider, _family(call)).whole(body_of(reply), builder)
        return finished(builder, reply)

    def decoder(self, call: WireCall) -> TranslatedDecoder:
        """A decoder for one stream."""
        builder = ResponseBuilder(call, text_tool=_text_tool(call))
        teller = ConverseTeller(self.provider, _family(call))
        return TranslatedDecoder(teller, builder, EventStreamSplitter(self.provider))


def _family(call: WireCall) -> str:
    return "anthropic" if is_claude(call.model) else "bedrock"


def _text_tool(call: WireCall) -> str | None:
    text: Any = call.body.get("text") or {}
    return TEXT_TOOL if uses_text_tool(text.get("format"), call.model) else None
