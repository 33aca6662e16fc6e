"""The cohere-chat wire: Cohere's own API, version 2. Requests are like chat completions, answers are not."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from turnout_adapters.adapter import Target, WireCall
from turnout_adapters.builder import ResponseBuilder
from turnout_adapters.decoding import WholeTeller, an_object, number, objects, said, string, the_object, the_objects
from turnout_adapters.dialect import Dialect
from turnout_adapters.envelope import seal
from turnout_adapters.errors import InternalServerError
from turnout_adapters.params import check_params
from turnout_adapters.reading import read
from turnout_adapters.request import Request
from turnout_adapters.translated import Encoded, ToldWire
from turnout_adapters.wires.chat.content import Block, messages

_FAMILY = "cohere"
_DIALECT = Dialect(effort="", parallel=False, stream_usage=False)
_MAPPED = frozenset("temperature top_p presence_penalty frequency_penalty".split())
_NAMES = {"max_output_tokens": "max_tokens", "top_p": "p"}
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384}
_READ = frozenset("id message usage finish_reason".split())
_REASONS = {"MAX_TOKENS": "max_output_tokens"}


class CohereWire(ToldWire):
    """POST /v2/chat. Stateless."""

    wire = "cohere-chat"
    mapped = _MAPPED

    def encode(self, call: WireCall, target: Target) -> Encoded:  # noqa: ARG002 (the base's signature)
        """Path and body."""
        request = read(call, self.provider, _FAMILY)
        check_params(request, _MAPPED)
        body: Block = {"model": call.model, "messages": messages(request, _DIALECT)}
        for name in ("max_output_tokens", *sorted(_MAPPED)):
            if request.get(name) is not None:
                body[_NAMES.get(name, name)] = request.get(name)
        _tools(request, body)
        _format(request, body)
        _thinking(request, body)
        if call.stream:
            body["stream"] = True
        return Encoded("/v2/chat", body, request.draft)

    def teller(self, call: WireCall) -> WholeTeller:  # noqa: ARG002
        """A reader for one answer."""
        return _Teller(self.provider)


def _tools(request: Request, body: Block) -> None:
    if request.hosted:
        request.draft.refuse("tools", f"it has no tool of type {request.hosted[0].get('type')!r}")
    offered = request.offered
    if request.choice.mode == "tool":
        offered = [tool for tool in offered if tool.name == request.choice.name]
    if not offered:
        return
    about = [{"name": one.name, "description": one.description, "parameters": dict(one.parameters)} for one in offered]
    body["tools"] = [{"type": "function", "function": one} for one in about]
    if any(tool.strict for tool in offered):
        body["strict_tools"] = True
    choice = {"required": "REQUIRED", "tool": "REQUIRED", "none": "NONE"}.get(request.choice.mode)
    if choice is not None:
        body["tool_choice"] = choice


def _format(request: Request, body: Block) -> None:
    if request.format is not None:
        schema = {"json_schema": dict(request.format.schema)} if request.format.kind == "json_schema" else {}
        body["response_format"] = {"type": "json_object", **schema}


def _thinking(request: Request, body: Block) -> None:
    if request.summary is not None:
        request.draft.unsupported("reasoning.summary", "it has no summaries")
    if request.effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif request.effort is not None:
        body["thinking"] = {"type": "enabled", "token_budget": _BUDGETS.get(request.effort, 31000)}


class _Teller:
    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._thought = ""
        self._field = ""
        self._citations: list[Mapping[str, Any]] = []

    def whole(self, body: Mapping[str, Any], builder: ResponseBuilder) -> None:
        message = the_object(body.get("message"), "message")
        content = message.get("content")
        builder.start()
        self._think("tool_plan", string(message.get("tool_plan")), builder)
        for part in [] if content is None else the_objects(content, "content"):
            self._content(part, builder)
        self._citations = objects(message.get("citations"))
        for call in objects(message.get("tool_calls")):
            self._call(call, builder)
        self._end(body, builder)

    def tell(self, name: str | None, fields: Mapping[str, Any], builder: ResponseBuilder) -> None:
        kind, delta = fields.get("type", name), an_object(fields.get("delta"))
        message = an_object(delta.get("message"))
        if kind == "message-start":
            builder.start()
        elif kind in ("content-start", "content-delta"):
            self._content(an_object(message.get("content")), builder)
        elif kind == "tool-plan-delta":
            self._think("tool_plan", string(message.get("tool_plan")), builder)
        elif kind == "tool-call-start":
            self._call(an_object(message.get("tool_calls")), builder)
        elif kind == "tool-call-delta":
            function = an_object(an_object(message.get("tool_calls")).get("function"))
            builder.arguments(said(function.get("arguments")))
        elif kind == "citation-start":
            self._citations.append(an_object(message.get("citations")))
        elif kind == "message-end":
            self._end(delta, builder)

    def end(self, builder: ResponseBuilder, *, marked: bool = False) -> None:
        """Only message-end ends an answer."""

    def _content(self, part: Mapping[str, Any], builder: ResponseBuilder) -> None:
        self._think("thinking", string(part.get("thinking")), builder)
        text = said(part.get("text"))
        if text:
            self._end_thought(builder)
            builder.text(text)

    def _think(self, field: str, text: str, builder: ResponseBuilder) -> None:
        if text:
            self._field = field
            self._thought += text
            builder.thought(text)

    def _end_thought(self, builder: ResponseBuilder) -> None:
        if self._thought:
            block = {"type": "thinking", "thinking": self._thought}
            sealed = {"tool_plan": self._thought} if self._field == "tool_plan" else {"chunks": [block]}
            builder.seal(seal(_FAMILY, [sealed]))
            builder.close()
            self._thought = ""

    def _call(self, call: Mapping[str, Any], builder: ResponseBuilder) -> None:
        self._end_thought(builder)
        self._cite(builder)
        function = an_object(call.get("function"))
        builder.call(string(call.get("id")), string(function.get("name")))
        builder.arguments(said(function.get("arguments")))

    def _cite(self, builder: ResponseBuilder) -> None:
        for citation in self._citations:
            sources = objects(citation.get("sources"))
            source = an_object(dict(sources[0])) if sources else an_object(None)
            output = an_object(source.get("tool_output")) or an_object(source.get("document"))
            begin, end = number(citation.get("start")), number(citation.get("end"))
            native = dict(citation)
            title, url = string(output.get("title")), string(output.get("url"))
            if url:
                bounds = {"start_index": begin, "end_index": end}
                builder.annotate({"type": "url_citation", "url": url, "title": title, **bounds, "native": native})
            else:
                file = {"file_id": string(source.get("id")), "filename": title, "index": end}
                builder.annotate({"type": "file_citation", **file, "native": native})
        self._citations = []

    def _end(self, last: Mapping[str, Any], builder: ResponseBuilder) -> None:
        self._end_thought(builder)
        self._cite(builder)
        builder.keep(last, _READ)
        usage = an_object(last.get("usage"))
        tokens = an_object(usage.get("tokens"))
        builder.count(
            input=number(tokens.get("input_tokens")),
            output=number(tokens.get("output_tokens")),
            cached=number(usage.get("cached_tokens")),
            reasoning=number(tokens.get("reasoning_tokens")),
            native=dict(usage),
        )
        reason = string(last.get("finish_reason"))
        if reason in ("ERROR", "TIMEOUT"):
            told = to_json(last.get("error")).decode() if last.get("error") else reason
            raise InternalServerError(f"{self._provider}: {told}", provider=self._provider, code=reason)
        builder.extra["native_stop_reason"] = reason or None
        builder.finish(_REASONS.get(reason))
