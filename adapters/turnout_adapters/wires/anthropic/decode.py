"""Anthropic's answers to a ResponseBuilder. A complete one is told as the stream that it could have been."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from turnout_adapters.builder import ResponseBuilder
from turnout_adapters.decoding import an_object, number, objects, parsed, said, string, the_objects
from turnout_adapters.envelope import seal
from turnout_adapters.errors import InvalidReplyError
from turnout_adapters.refusals import stream_error
from turnout_adapters.wires.anthropic import hosted

FAMILY = "anthropic"
_READ = frozenset("id type role model content stop_reason usage".split())
_REASONS = {
    "max_tokens": "max_output_tokens",
    "model_context_window_exceeded": "max_output_tokens",
    "refusal": "content_filter",
}


class MessagesTeller:
    """Reads one answer."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._block: dict[str, Any] = {}
        self._json: list[str] = []
        self._thinking: list[str] = []
        self._begin = 0
        self._citations: list[Mapping[str, Any]] = []
        self._usage: dict[str, Any] = {}
        self._delta: Mapping[str, Any] = {}
        self._waiting: dict[str, dict[str, Any]] = {}
        """Calls of hosted tools, until their results come."""

    def whole(self, body: Mapping[str, Any], builder: ResponseBuilder) -> None:
        """A complete answer."""
        self._start(body, builder)
        for block in the_objects(body.get("content"), "content"):
            self._open(block, builder)
            self._stop(builder)
        self._delta = body
        self._count(body, builder)
        self._finish(builder)

    def tell(self, name: str | None, fields: Mapping[str, Any], builder: ResponseBuilder) -> None:
        """One event."""
        kind = fields.get("type", name)
        if kind == "message_start":
            if builder.started:
                raise InvalidReplyError("a second message began inside the stream", provider=self._provider)
            self._start(an_object(fields.get("message")), builder)
        elif kind == "content_block_start":
            self._open(an_object(fields.get("content_block")), builder)
        elif kind == "content_block_delta":
            self._more(an_object(fields.get("delta")), builder)
        elif kind == "content_block_stop":
            self._stop(builder)
        elif kind == "message_delta":
            self._delta = an_object(fields.get("delta"))
            builder.keep(self._delta, _READ)
            self._count(fields, builder)
        elif kind == "message_stop":
            self._finish(builder)
        elif kind == "error":
            raise stream_error(fields, self._provider)

    def end(self, builder: ResponseBuilder, *, marked: bool = False) -> None:  # noqa: ARG002
        """The bytes are at their end; without a stop reason the answer is not whole."""
        if self._delta.get("stop_reason"):
            self._finish(builder)

    # --- blocks

    def _start(self, message: Mapping[str, Any], builder: ResponseBuilder) -> None:
        builder.start(string(message.get("model")) or None)
        builder.keep(message, _READ)
        self._count(message, builder)

    def _open(self, block: Mapping[str, Any], builder: ResponseBuilder) -> None:
        self._block, self._json, self._citations = dict(block), [], objects(block.get("citations"))
        self._thinking = [string(block.get("thinking"))]
        kind = block.get("type")
        if kind == "text":
            self._begin = builder.text_length()
            builder.text(said(block.get("text")))
        elif kind == "thinking":
            builder.close()
            builder.summary(string(block.get("thinking")))
        elif kind == "redacted_thinking":
            builder.close()
            builder.seal(seal(FAMILY, [block]))
        elif kind == "tool_use":
            builder.call(string(block.get("id")), string(block.get("name")))
            if block.get("input"):
                builder.arguments(to_json(block["input"]).decode())

    def _more(self, delta: Mapping[str, Any], builder: ResponseBuilder) -> None:
        kind = delta.get("type")
        if kind == "text_delta":
            builder.text(said(delta.get("text")))
        elif kind == "thinking_delta":
            piece = string(delta.get("thinking"))
            self._thinking.append(piece)
            builder.summary(piece)
        elif kind == "signature_delta":
            self._block["signature"] = string(self._block.get("signature")) + string(delta.get("signature"))
        elif kind == "citations_delta":
            self._citations.append(an_object(delta.get("citation")))
        elif kind == "input_json_delta":
            piece = said(delta.get("partial_json"))
            if self._block.get("type") == "tool_use":
                builder.arguments(piece)
            else:
                self._json.append(piece)

    def _stop(self, builder: ResponseBuilder) -> None:
        block = self._block
        kind = string(block.get("type"))
        if kind == "text":
            for citation in self._citations:
                builder.annotate(annotation(citation, self._begin, builder.text_length()))
        elif kind == "thinking":
            block["thinking"] = "".join(self._thinking)
            if block.get("signature"):
                builder.seal(seal(FAMILY, [block]))
            builder.close()
        elif kind in ("tool_use", "redacted_thinking"):
            builder.close()
        elif kind in ("server_tool_use", "mcp_tool_use"):
            if self._json:
                block["input"] = parsed("".join(self._json))
            self._waiting[string(block.get("id"))] = block
        elif kind:
            use = self._waiting.pop(string(block.get("tool_use_id")), None)
            item, fields = hosted.item_of(use, block)
            blocks = [one for one in (use, block) if one is not None]
            builder.item(item, {**fields, "encrypted_content": seal(FAMILY, blocks)})
        self._block = {}

    # --- the end

    def _count(self, source: Mapping[str, Any], builder: ResponseBuilder) -> None:
        found = an_object(source.get("usage"))
        self._usage |= {name: value for name, value in found.items() if value is not None}
        usage = self._usage
        cached, written = number(usage.get("cache_read_input_tokens")), number(usage.get("cache_creation_input_tokens"))
        builder.count(
            input=number(usage.get("input_tokens")) + cached + written,
            output=number(usage.get("output_tokens")),
            cached=cached,
            written=written,
            reasoning=number(an_object(usage.get("output_tokens_details")).get("thinking_tokens")),
            native=dict(usage),
        )

    def _finish(self, builder: ResponseBuilder) -> None:
        for use in self._waiting.values():
            item, fields = hosted.item_of(use, None)
            builder.item(item, {**fields, "encrypted_content": seal(FAMILY, [use])})
        reason = string(self._delta.get("stop_reason"))
        if reason == "refusal":
            details = an_object(self._delta.get("stop_details"))
            builder.refusal(string(details.get("explanation")))
        builder.extra["native_stop_reason"] = reason or None
        builder.finish(_REASONS.get(reason), incomplete=reason == "pause_turn")


def annotation(citation: Mapping[str, Any], begin: int, end: int) -> dict[str, Any]:
    """A citation of the text between two offsets. What Responses has no name for is kept under `native`."""
    kind = string(citation.get("type"))
    url = string(citation.get("url")) or string(citation.get("source"))
    if kind in ("web_search_result_location", "search_result_location") and url:
        bounds = {"start_index": begin, "end_index": end}
        title = string(citation.get("title"))
        return {"type": "url_citation", "url": url, "title": title, **bounds, "native": dict(citation)}
    return {
        "type": "file_citation",
        "file_id": string(citation.get("file_id")),
        "filename": string(citation.get("document_title")),
        "index": end,
        "native": dict(citation),
    }
