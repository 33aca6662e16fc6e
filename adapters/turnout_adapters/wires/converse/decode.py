"""Converse's answers to a ResponseBuilder. State is kept by contentBlockIndex: blocks may interleave."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from turnout_adapters.blocks import BlockOrder
from turnout_adapters.builder import ResponseBuilder
from turnout_adapters.decoding import an_object, number, objects, parsed, place, said, string, the_object, the_objects
from turnout_adapters.envelope import seal
from turnout_adapters.errors import InternalServerError

_REASONS = {
    "max_tokens": "max_output_tokens",
    "model_context_window_exceeded": "max_output_tokens",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
_READ = frozenset("output stopReason usage p".split())
_FAILURES = ("malformed_model_output", "malformed_tool_use")
Fields = Mapping[str, Any]


class ConverseTeller:
    """Reads one answer."""

    def __init__(self, provider: str, family: str) -> None:
        self._provider = provider
        self._family = family
        self._order = BlockOrder()
        self._blocks: dict[object, dict[str, Any]] = {}
        self._reason = ""
        self._waiting: dict[str, dict[str, Any]] = {}
        """Calls of Amazon's own tools, until their results come."""

    # --- complete answers

    def whole(self, body: Fields, builder: ResponseBuilder) -> None:
        """A complete answer, told as the stream that it could have been."""
        builder.start()
        message = the_object(the_object(body.get("output"), "output").get("message"), "message")
        content = the_objects(message.get("content"), "content")
        for index, block in enumerate(content):
            self._whole_block(index, block, builder)
        self.tell("messageStop", body, builder)
        self.tell("metadata", body, builder)

    def _whole_block(self, index: int, block: Fields, builder: ResponseBuilder) -> None:
        reasoning, cited = an_object(block.get("reasoningContent")), an_object(block.get("citationsContent"))
        if "toolUse" in block or "toolResult" in block:
            self._begin(index, block, builder)
            use = an_object(block.get("toolUse"))
            if use.get("input"):
                self._delta(index, {"toolUse": {"input": to_json(use["input"]).decode()}}, builder)
        elif reasoning:
            text = an_object(reasoning.get("reasoningText"))
            self._delta(index, {"reasoningContent": {**text, **reasoning}}, builder)
        elif cited:
            for part in objects(cited.get("content")):
                self._delta(index, part, builder)
            for citation in objects(cited.get("citations")):
                self._delta(index, {"citation": citation}, builder)
        else:
            self._delta(index, block, builder)
        self._stop(index, builder)

    # --- streams

    def tell(self, name: str | None, fields: Fields, builder: ResponseBuilder) -> None:
        """One event."""
        index = place(fields.get("contentBlockIndex"))
        if name == "messageStart":
            builder.start()
        elif name == "contentBlockStart":
            self._begin(index, an_object(fields.get("start")), builder)
        elif name == "contentBlockDelta":
            self._delta(index, an_object(fields.get("delta")), builder)
        elif name == "contentBlockStop":
            self._stop(index, builder)
        elif name == "messageStop":
            self._reason = string(fields.get("stopReason")) or "end_turn"
            builder.extra["native_stop_reason"] = self._reason
            if self._reason in _FAILURES:
                text = f"{self._provider}: the model stopped with {self._reason}"
                raise InternalServerError(text, provider=self._provider, code=self._reason)
        elif name == "metadata":
            self._count(an_object(fields.get("usage")), builder)
            builder.keep(fields, _READ)
            self.end(builder)

    def end(self, builder: ResponseBuilder, *, marked: bool = False) -> None:  # noqa: ARG002
        """Finishes, if the model said that it did."""
        if not self._reason:
            return
        self._order.stop_all()
        for use in self._waiting.values():
            self._hosted(use, None, builder)
        self._waiting = {}
        builder.finish(_REASONS.get(self._reason))

    # --- blocks

    def _block(self, index: object) -> dict[str, Any]:
        return self._blocks.setdefault(index, {"text": "", "signature": "", "redacted": "", "citations": []})

    def _begin(self, index: object, start: Fields, builder: ResponseBuilder) -> None:
        block = self._block(index)
        use, result = an_object(start.get("toolUse")), an_object(start.get("toolResult"))
        if use.get("type") == "server_tool_use" or result:
            block["native"] = {"toolUse": dict(use)} if use else {"toolResult": dict(result)}
            block["content"] = []
        elif use:
            block["call"] = True
            call_id, tool = string(use.get("toolUseId")), string(use.get("name"))
            self._order.put(index, lambda: builder.call(call_id, tool))

    def _delta(self, index: object, delta: Fields, builder: ResponseBuilder) -> None:
        block = self._block(index)
        reasoning = an_object(delta.get("reasoningContent"))
        if reasoning:
            self._reasoning(index, block, reasoning, builder)
        elif "toolUse" in delta:
            piece = said(an_object(delta.get("toolUse")).get("input"))
            if "native" in block:
                block["text"] += piece
            else:
                self._order.put(index, lambda: builder.arguments(piece))
        elif "toolResult" in delta and "native" in block:
            block["content"].extend(objects(delta.get("toolResult")))
        elif "citation" in delta:
            block["citations"].append(an_object(delta.get("citation")))
        elif "image" in delta:
            data = string(an_object(an_object(delta.get("image")).get("source")).get("bytes"))
            fields = {"result": data, "status": "completed"}
            self._order.put(index, lambda: builder.item("image_generation_call", fields))
        elif "text" in delta:
            self._say(index, block, said(delta.get("text")), builder)

    def _say(self, index: object, block: dict[str, Any], text: str, builder: ResponseBuilder) -> None:
        def action() -> None:
            block.setdefault("begin", builder.text_length())
            builder.text(text)

        self._order.put(index, action)

    def _reasoning(self, index: object, block: dict[str, Any], delta: Fields, builder: ResponseBuilder) -> None:
        text = string(delta.get("text"))
        first = "reasoning" not in block
        block["reasoning"] = True
        block["text"] += text
        block["signature"] += string(delta.get("signature"))
        block["redacted"] += string(delta.get("redactedContent"))
        if first:
            self._order.put(index, builder.close)
        self._order.put(index, lambda: builder.summary(text))

    def _stop(self, index: object, builder: ResponseBuilder) -> None:
        block = self._block(index)

        def action() -> None:
            if "native" in block:
                self._native(block, builder)
            elif "reasoning" in block:
                self._seal(block, builder)
                builder.close()
            elif "begin" in block or block["citations"]:
                begin = block.get("begin", builder.text_length())
                for citation in block["citations"]:
                    builder.annotate(annotation(citation, begin, builder.text_length()))
            elif "call" in block:
                builder.close()

        self._order.put(index, action)
        self._order.stop(index)

    def _seal(self, block: dict[str, Any], builder: ResponseBuilder) -> None:
        """The exact block, in the form of Anthropic's API where it is Claude's; unsigned reasoning is not kept."""
        claude = self._family == "anthropic"
        if block["redacted"]:
            data = block["redacted"]
            native = {"type": "redacted_thinking", "data": data}
            builder.seal(seal(self._family, [native if claude else {"reasoningContent": {"redactedContent": data}}]))
        elif block["signature"] or not claude:
            text, signature = block["text"], block["signature"]
            signed: dict[str, Any] = {"text": text, "signature": signature} if signature else {"text": text}
            native = {"type": "thinking", "thinking": text, "signature": signature}
            builder.seal(seal(self._family, [native if claude else {"reasoningContent": {"reasoningText": signed}}]))

    def _native(self, block: dict[str, Any], builder: ResponseBuilder) -> None:
        native = block["native"]
        if "toolUse" in native:
            if block["text"]:
                native["toolUse"]["input"] = parsed(block["text"])
            self._waiting[string(native["toolUse"].get("toolUseId"))] = native
            return
        if block["content"]:
            native["toolResult"]["content"] = block["content"]
        use = self._waiting.pop(string(native["toolResult"].get("toolUseId")), None)
        self._hosted(use, native, builder)

    def _hosted(self, use: Fields | None, result: Fields | None, builder: ResponseBuilder) -> None:
        called, answered = an_object((use or {}).get("toolUse")), an_object((result or {}).get("toolResult"))
        given = an_object(called.get("input"))
        blocks = [one for one in (use, result) if one is not None]
        status = "incomplete" if result is None else "failed" if answered.get("status") == "error" else "completed"
        fields: dict[str, Any] = {"status": status, "encrypted_content": seal(self._family, blocks)}
        if "grounding" in string(called.get("name")):
            query = string(given.get("query"))
            builder.item("web_search_call", {**fields, "action": {"type": "search", "query": query}})
            return
        logs = to_json(objects(answered.get("content"))).decode()
        code = string(given.get("snippet")) or string(given.get("code")) or to_json(given).decode()
        ran = {"code": code, "container_id": "", "outputs": [{"type": "logs", "logs": logs}]}
        builder.item("code_interpreter_call", {**fields, **ran})

    def _count(self, usage: Fields, builder: ResponseBuilder) -> None:
        cached, written = number(usage.get("cacheReadInputTokens")), number(usage.get("cacheWriteInputTokens"))
        builder.count(
            input=number(usage.get("inputTokens")) + cached + written,
            output=number(usage.get("outputTokens")),
            cached=cached,
            written=written,
            native=dict(usage),
        )


def annotation(citation: Fields, begin: int, end: int) -> dict[str, Any]:
    """A citation of the text between two offsets. What Responses has no name for is kept under `native`."""
    location = an_object(citation.get("location"))
    web = an_object(location.get("web"))
    title = string(citation.get("title"))
    if web or "searchResultLocation" in location:
        url = string(web.get("url")) or string(citation.get("source"))
        bounds = {"start_index": begin, "end_index": end}
        return {"type": "url_citation", "url": url, "title": title, **bounds, "native": dict(citation)}
    return {"type": "file_citation", "file_id": "", "filename": title, "index": end, "native": dict(citation)}
