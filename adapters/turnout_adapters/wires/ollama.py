"""The ollama-chat wire: Ollama's own API, for what its compatible one cannot set (num_ctx, by extra_body options)."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from turnout_adapters.adapter import Target, WireCall
from turnout_adapters.builder import ResponseBuilder
from turnout_adapters.decoding import WholeTeller, an_object, number, objects, said, string, the_object
from turnout_adapters.dialect import Dialect
from turnout_adapters.envelope import seal
from turnout_adapters.framing import Framing, Lines
from turnout_adapters.params import check_params
from turnout_adapters.reading import read
from turnout_adapters.refusals import stream_error
from turnout_adapters.request import Request, ToolCall, arguments_of
from turnout_adapters.translated import Encoded, ToldWire
from turnout_adapters.wires.chat.content import Block, messages

_FAMILY = "ollama"
_MAPPED = frozenset("temperature top_p presence_penalty frequency_penalty".split())
_LEVELS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "max", "max": "max"}


class OllamaWire(ToldWire):
    """POST /api/chat. Stateless."""

    wire = "ollama-chat"
    mapped = _MAPPED

    def encode(self, call: WireCall, target: Target) -> Encoded:  # noqa: ARG002 (the base's signature)
        """Path and body."""
        request = read(call, self.provider, _FAMILY)
        check_params(request, _MAPPED)
        body: Block = {"model": call.model, "messages": _messages(request), "stream": call.stream}
        options = {name: request.get(name) for name in sorted(_MAPPED) if request.get(name) is not None}
        if request.get("max_output_tokens") is not None:
            options["num_predict"] = request.get("max_output_tokens")
        if options:
            body["options"] = options
        if request.hosted:
            request.draft.refuse("tools", f"it has no tool of type {request.hosted[0].get('type')!r}")
        if request.choice.mode in ("required", "tool"):
            request.draft.refuse("tool_choice", "it cannot be made to call a tool")
        if request.offered and request.choice.mode != "none":
            body["tools"] = [_tool(tool) for tool in request.offered]
        if request.format is not None:
            body["format"] = "json" if request.format.kind == "json_object" else dict(request.format.schema)
        if request.effort is not None:
            body["think"] = False if request.effort == "none" else _LEVELS.get(request.effort, True)
        return Encoded("/api/chat", body, request.draft)

    def teller(self, call: WireCall) -> WholeTeller:
        """A reader for one answer."""
        return _Teller(self.provider, call.nonce)

    def framing(self) -> Framing:
        """A line for each piece."""
        return Lines()


def _tool(tool: Any) -> Block:
    about = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": about}


def _messages(request: Request) -> list[Block]:
    """Chat messages with images beside the text, arguments as objects, and the names of tools on their outputs."""
    names: dict[str, str] = {}
    given = iter([arguments_of(one) for turn in request.turns for one in turn.parts if isinstance(one, ToolCall)])
    found = messages(request, Dialect())
    for message in found:
        content = message.get("content")
        if isinstance(content, list):
            _split_media(request, message)
        elif content is None:
            message["content"] = ""
        for call in message.get("tool_calls", ()):
            names[call["id"]] = call["function"]["name"]
            call["function"]["arguments"] = next(given)
        if message["role"] == "tool":
            message["tool_name"] = names.get(message["tool_call_id"], "")
    return found


def _split_media(request: Request, message: Block) -> None:
    texts, images = list[str](), list[str]()
    for part in objects(message["content"]):
        if part.get("type") == "text":
            texts.append(string(part.get("text")))
            continue
        url = string(an_object(part.get("image_url")).get("url"))
        if not url.startswith("data:"):
            request.draft.refuse("input", "it takes images as data only")
        images.append(url.partition(",")[2])
    message["content"] = "\n".join(texts)
    if images:
        message["images"] = images


class _Teller:
    def __init__(self, provider: str, nonce: str) -> None:
        self._provider = provider
        self._nonce = nonce
        self._calls = 0
        self._thought = ""

    def whole(self, body: Mapping[str, Any], builder: ResponseBuilder) -> None:
        if not body.get("error"):
            the_object(body.get("message"), "message")
        self.tell(None, body, builder)

    def tell(self, name: str | None, fields: Mapping[str, Any], builder: ResponseBuilder) -> None:  # noqa: ARG002
        if fields.get("error"):
            raise stream_error(fields, self._provider)
        builder.start(string(fields.get("model")) or None)
        message = an_object(fields.get("message"))
        thinking = string(message.get("thinking"))
        self._thought += thinking
        builder.thought(thinking)
        text = said(message.get("content"))
        calls = objects(message.get("tool_calls"))
        if self._thought and (text or calls or fields.get("done")):
            builder.seal(seal(_FAMILY, [{"thinking": self._thought}]))
            builder.close()
            self._thought = ""
        builder.text(text)
        for call in calls:
            self._call(call, builder)
        if fields.get("done"):
            self._finish(fields, builder)

    def end(self, builder: ResponseBuilder, *, marked: bool = False) -> None:
        """Only `done` ends an answer."""

    def _call(self, call: Mapping[str, Any], builder: ResponseBuilder) -> None:
        self._calls += 1
        function = an_object(call.get("function"))
        call_id = string(call.get("id")) or f"call_{self._nonce}{self._calls:02x}"
        builder.call(call_id, string(function.get("name")))
        arguments = function.get("arguments")
        if arguments:
            builder.arguments(arguments if isinstance(arguments, str) else to_json(arguments).decode())
        builder.close()

    def _finish(self, fields: Mapping[str, Any], builder: ResponseBuilder) -> None:
        names = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
        native = {name: fields[name] for name in names if name in fields}
        builder.count(
            input=number(fields.get("prompt_eval_count")), output=number(fields.get("eval_count")), native=native
        )
        reason = string(fields.get("done_reason"))
        builder.extra["native_stop_reason"] = reason or None
        builder.finish("max_output_tokens" if reason == "length" else None)
