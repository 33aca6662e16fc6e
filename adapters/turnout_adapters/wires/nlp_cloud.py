"""The nlp-cloud wire: a chatbot that is given the history as pairs. It does not stream; a stream comes in one piece."""

from collections.abc import Mapping
from typing import Any

from turnout_adapters.adapter import Target, WireCall
from turnout_adapters.builder import ResponseBuilder
from turnout_adapters.decoding import WholeTeller, string
from turnout_adapters.errors import InvalidReplyError
from turnout_adapters.framing import Framing, Whole
from turnout_adapters.paths import segments
from turnout_adapters.request import wrong
from turnout_adapters.translated import Encoded, ToldWire
from turnout_adapters.wires.plain_text import read_text, said


class NLPCloudWire(ToldWire):
    """POST /gpu/{model}/chatbot. Stateless."""

    wire = "nlp-cloud"

    def encode(self, call: WireCall, target: Target) -> Encoded:  # noqa: ARG002 (the base's signature)
        """Path and body."""
        request = read_text(call, self.provider, frozenset())
        if request.get("max_output_tokens") is not None:
            request.draft.unsupported("max_output_tokens", "there is no such setting")
        turns = [turn for turn in request.turns if turn.role != "system"]
        if not turns or turns[-1].role != "user":
            raise wrong("input", "the last message must be the user's")
        body: dict[str, Any] = {"input": said(turns[-1])}
        if request.system:
            body["context"] = "\n\n".join(part.text for part in request.system)
        history: list[dict[str, str]] = []
        for turn in turns[:-1]:
            if turn.role == "user":
                history.append({"input": said(turn), "response": ""})
            elif history:
                history[-1]["response"] += said(turn)
        if history:
            body["history"] = history
        return Encoded(f"/gpu/{segments(call.model)}/chatbot", body, request.draft)

    def teller(self, call: WireCall) -> WholeTeller:  # noqa: ARG002
        """A reader for one answer."""
        return _Teller()

    def framing(self) -> Framing:
        """It does not stream."""
        return Whole()


class _Teller:
    def whole(self, body: Mapping[str, Any], builder: ResponseBuilder) -> None:
        self.tell(None, body, builder)

    def tell(self, name: str | None, fields: Mapping[str, Any], builder: ResponseBuilder) -> None:  # noqa: ARG002
        if not isinstance(fields.get("response"), str):
            raise InvalidReplyError("the answer has no `response`")
        builder.text(string(fields.get("response")))
        builder.finish()

    def end(self, builder: ResponseBuilder, *, marked: bool = False) -> None:
        """Nothing more comes."""
