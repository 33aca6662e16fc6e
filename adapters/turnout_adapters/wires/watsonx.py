"""The wires of IBM watsonx: chat (like chat completions, at another address) and the older text generation."""

from collections.abc import Mapping
from typing import Any

from turnout_adapters.adapter import Target, WireCall
from turnout_adapters.builder import ResponseBuilder
from turnout_adapters.decoding import WholeTeller, an_object, number, objects, said, string
from turnout_adapters.params import check_params
from turnout_adapters.reading import read
from turnout_adapters.refusals import stream_error
from turnout_adapters.request import Text
from turnout_adapters.translated import Encoded, ToldWire
from turnout_adapters.wires.chat.wire import ChatWire

_VERSION = "version=2025-05-01"
_CUT = ("max_tokens", "token_limit")


class WatsonxChatWire(ChatWire):
    """POST /ml/v1/text/chat. Stateless. The project is a field of the deployment's `extra_body`."""

    wire = "watsonx-chat"

    def encode(self, call: WireCall, target: Target) -> Encoded:
        """Path and body."""
        encoded = super().encode(call, target)
        body = encoded.body
        body["model_id"] = body.pop("model")
        body.pop("stream", None)
        choice = body.pop("tool_choice", None)
        if choice is not None:
            body["tool_choice_option" if isinstance(choice, str) else "tool_choice"] = choice
        path = "/ml/v1/text/chat_stream" if call.stream else "/ml/v1/text/chat"
        return encoded._replace(path=path, query="" if "version=" in target.query else _VERSION)


class WatsonxTextWire(ToldWire):
    """POST /ml/v1/text/generation: one text in, one text out. Stateless."""

    wire = "watsonx-text"
    mapped = frozenset({"temperature", "top_p"})

    def encode(self, call: WireCall, target: Target) -> Encoded:
        """Path and body."""
        request = read(call, self.provider, "watsonx")
        check_params(request, self.mapped)
        if request.tools or request.hosted:
            request.draft.refuse("tools", "text generation has none; use the wire watsonx-chat")
        if request.format is not None:
            request.draft.refuse("text.format", "text generation follows no format; use the wire watsonx-chat")
        if request.effort is not None or request.summary is not None:
            request.draft.unsupported("reasoning", "text generation has no such setting")
        parts = [*request.system, *(part for turn in request.turns for part in turn.parts)]
        if not all(isinstance(part, Text) for part in parts):
            request.draft.refuse("input", "text generation takes text only; use the wire watsonx-chat")
        names = {"max_output_tokens": "max_new_tokens", "temperature": "temperature", "top_p": "top_p"}
        given = {theirs: request.get(ours) for ours, theirs in names.items() if request.get(ours) is not None}
        text = "\n\n".join(part.text for part in parts if isinstance(part, Text))
        body: dict[str, Any] = {"model_id": call.model, "input": text, **({"parameters": given} if given else {})}
        path = "/ml/v1/text/generation_stream" if call.stream else "/ml/v1/text/generation"
        return Encoded(path, body, request.draft, query="" if "version=" in target.query else _VERSION)

    def teller(self, call: WireCall) -> WholeTeller:  # noqa: ARG002
        """A reader for one answer."""
        return _TextTeller(self.provider)


class _TextTeller:
    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._reason = ""
        self._input = 0

    def whole(self, body: Mapping[str, Any], builder: ResponseBuilder) -> None:
        self.tell(None, body, builder)
        self.end(builder)

    def tell(self, name: str | None, fields: Mapping[str, Any], builder: ResponseBuilder) -> None:
        if fields.get("errors") or fields.get("error") or name == "error":
            raise stream_error(fields, self._provider)
        builder.start(string(fields.get("model_id")) or None)
        for result in objects(fields.get("results"))[:1]:
            builder.text(said(result.get("generated_text")))
            self._input = number(result.get("input_token_count")) or self._input
            builder.count(input=self._input, output=number(result.get("generated_token_count")))
            reason = string(result.get("stop_reason"))
            self._reason = "" if reason == "not_finished" else reason
        notices = objects(an_object(fields.get("system")).get("warnings"))
        if notices:
            builder.extra["system_warnings"] = [string(one.get("message")) for one in notices]

    def end(self, builder: ResponseBuilder, *, marked: bool = False) -> None:  # noqa: ARG002
        if self._reason:
            builder.extra["native_stop_reason"] = self._reason
            builder.finish("max_output_tokens" if self._reason in _CUT else None)
