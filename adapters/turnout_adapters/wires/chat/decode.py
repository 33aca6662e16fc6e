"""Chat completions to a ResponseBuilder. A complete message is told as one delta."""

import re
from collections.abc import Mapping
from typing import Any, cast

from pydantic_core import to_json

from turnout_adapters.blocks import BlockOrder
from turnout_adapters.builder import ResponseBuilder
from turnout_adapters.decoding import an_object, number, objects, place, said, string, strings, the_object
from turnout_adapters.envelope import seal
from turnout_adapters.errors import InternalServerError
from turnout_adapters.refusals import stream_error
from turnout_adapters.request import object_in

_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter", "max_tokens": "max_output_tokens"}
_READ = frozenset("id object created model choices usage p obfuscation".split())
_MARK = re.compile(r"\[(\d+)\]")


class ChatTeller:
    """Reads one answer."""

    def __init__(self, provider: str, nonce: str) -> None:
        self._provider = provider
        self._family = f"chat:{provider}"
        self._nonce = nonce
        self._thought: dict[str, list[str]] = {}
        """Reasoning text by the field it came in."""
        self._details: list[dict[str, Any]] = []
        self._thinking = False
        self._order = BlockOrder()
        self._calls: dict[object, dict[str, Any]] = {}
        self._last: object = None
        self._reason = ""
        self._is_whole = False
        """A complete answer has a message. (Perplexity's chunks have one too, beside the delta, of all so far.)"""
        self._text: list[str] = []
        self._sources: list[str] = []
        self._titles: dict[str, str] = {}

    def whole(self, body: Mapping[str, Any], builder: ResponseBuilder) -> None:
        """A complete answer; one without a finish reason ended all the same."""
        self._is_whole = True
        self.tell(None, body, builder)
        if objects(body.get("choices")):
            self._reason = self._reason or "stop"
        self.end(builder)

    def tell(self, name: str | None, fields: Mapping[str, Any], builder: ResponseBuilder) -> None:
        """One chunk, or a complete answer."""
        if fields.get("error") or name == "error" or ("detail" in fields and "choices" not in fields):
            raise stream_error(fields, self._provider)
        builder.start(string(fields.get("model")) or None)
        builder.keep(fields, _READ)
        usage = an_object(fields.get("usage")) or an_object(an_object(fields.get("x_groq")).get("usage"))
        if usage:
            count(usage, builder)
        self._sources = strings(fields.get("citations")) or self._sources
        for found in objects(fields.get("search_results")):
            self._titles[string(found.get("url"))] = string(found.get("title"))
        for choice in objects(fields.get("choices"))[:1]:
            given = choice.get("message" if self._is_whole else "delta")
            delta = the_object(given, "message") if self._is_whole or given is not None else an_object(None)
            self._delta(delta, an_object(choice.get("logprobs")), builder)
            if choice.get("finish_reason"):
                self._finished(choice, builder)

    def end(self, builder: ResponseBuilder, *, marked: bool = False) -> None:
        """Finishes, if the model said that it did, or the server (Snowflake sends [DONE] and no finish reason)."""
        if not self._reason and not (marked and builder.started):
            return
        self._end_thought(builder)
        self._order.stop_all()
        for slot in self._calls.values():
            if slot["custom"]:
                self._begin(slot, None, builder)
        self._cite_marks(builder)
        builder.finish(_REASONS.get(self._reason))

    def _finished(self, choice: Mapping[str, Any], builder: ResponseBuilder) -> None:
        self._reason = string(choice.get("finish_reason"))
        builder.extra["native_stop_reason"] = self._reason
        if self._reason == "error":
            told = an_object(choice.get("error"))
            if told:
                raise stream_error({"error": told}, self._provider)
            raise InternalServerError(f"{self._provider}: the model stopped with an error", provider=self._provider)

    # --- one delta

    def _delta(self, delta: Mapping[str, Any], logprobs: Mapping[str, Any], builder: ResponseBuilder) -> None:
        self._reasoning(delta, builder)
        self._content(delta.get("content"), objects(logprobs.get("content")), builder)
        refusal = string(delta.get("refusal"))
        if refusal:
            self._end_thought(builder)
            builder.refusal(refusal)
        audio = an_object(delta.get("audio"))
        if any(audio.values()):
            self._say(string(audio.get("transcript")), [], builder)
            builder.extra["audio"] = {**builder.extra.get("audio", {}), **audio}
        for found in objects(delta.get("annotations")):
            inner = an_object(found.get(string(found.get("type"))))
            bounds = {"start_index": number(inner.get("start_index")), "end_index": number(inner.get("end_index"))}
            fields = {"url": string(inner.get("url")), "title": string(inner.get("title"))}
            builder.annotate({"type": "url_citation", **inner, **fields, **bounds})
        for call in objects(delta.get("tool_calls")):
            self._call(call, builder)
        legacy = an_object(delta.get("function_call"))
        if any(legacy.values()):
            self._call({"index": 0, "function": legacy}, builder)

    def _reasoning(self, delta: Mapping[str, Any], builder: ResponseBuilder) -> None:
        details = objects(delta.get("reasoning_details"))
        for name in ("reasoning_content", "reasoning"):
            text = string(delta.get(name))
            if text:
                self._thinking = True
                self._thought.setdefault(name, []).append(text)
                builder.thought(text)
                break
        else:
            for detail in details:
                builder.thought(string(detail.get("text")))
                builder.summary(string(detail.get("summary")))
        for detail in details:
            self._thinking = True
            _merge(self._details, detail)

    def _content(self, content: object, logprobs: list[Any], builder: ResponseBuilder) -> None:
        """Text; or chunks (Mistral); or, of structured output, the object itself (Snowflake)."""
        if isinstance(content, str):
            if content or logprobs:
                self._say(content, logprobs, builder)
        elif isinstance(content, list):
            for chunk in objects(cast("list[Any]", content)):
                if chunk.get("type") == "thinking":
                    self._thinking = True
                    text = "".join(string(part.get("text")) for part in objects(chunk.get("thinking")))
                    self._thought.setdefault("chunks", []).append(text)
                    builder.thought(text)
                else:
                    self._say(string(chunk.get("text")), [], builder)
        elif isinstance(content, dict):
            self._say(to_json(content).decode(), [], builder)
        else:
            said(content)

    def _say(self, text: str, logprobs: list[Any], builder: ResponseBuilder) -> None:
        if text:
            self._end_thought(builder)
            self._text.append(text)
        builder.text(text, logprobs)

    def _end_thought(self, builder: ResponseBuilder) -> None:
        """Seals the reasoning in the fields it came in: they go back in the same."""
        if not self._thinking:
            return
        block: dict[str, Any] = {name: "".join(pieces) for name, pieces in self._thought.items()}
        if "chunks" in block:
            text = {"type": "text", "text": block["chunks"]}
            block["chunks"] = [{"type": "thinking", "thinking": [text]}]
        if self._details:
            block["reasoning_details"] = self._details
        builder.seal(seal(self._family, [block]))
        builder.close()
        self._thinking, self._thought, self._details = False, {}, []

    # --- calls

    def _call(self, call: Mapping[str, Any], builder: ResponseBuilder) -> None:
        self._end_thought(builder)
        key = self._slot(call)
        slot = self._calls[key]
        custom = an_object(call.get("custom")) if call.get("type") == "custom" else an_object(None)
        function = an_object(call.get("function")) or custom
        if not slot["name"]:
            slot["name"] = string(function.get("name"))
            slot["id"] = string(call.get("id")) or f"call_{self._nonce}{len(self._calls):02x}"
            slot["custom"] = bool(custom)
            signed = call.get("extra_content")
            if not custom:
                self._order.put(key, lambda: self._begin(slot, signed, builder))
        given: object = function.get("input") if custom else function.get("arguments")
        piece = to_json(given).decode() if isinstance(given, dict) else said(given)
        if piece:
            slot["text"] += piece
            if not slot["custom"]:
                self._order.put(key, lambda: builder.arguments(piece))

    def _slot(self, call: Mapping[str, Any]) -> object:
        """Which call a piece belongs to: by index, else by id, else the last one. A new one ends those before it."""
        key: object = place(call.get("index"))
        call_id = string(call.get("id"))
        if key is None:
            key = call_id or self._last
        known = self._calls.get(key)
        if known is not None and call_id and known["id"] != call_id and an_object(call.get("function")).get("name"):
            key = (key, call_id)
        if key not in self._calls:
            self._calls[key] = {"id": "", "name": "", "text": "", "custom": False}
            if self._order.open is not None and object_in(self._calls[self._order.open]["text"]) is not None:
                self._order.stop(self._order.open)
        self._last = key
        return key

    def _begin(self, slot: dict[str, Any], signed: Any, builder: ResponseBuilder) -> None:
        builder.close()
        if signed:
            builder.seal(seal(self._family, [{"extra_content": signed}], to_next=True))
        builder.call(slot["id"], slot["name"])
        if slot["custom"]:
            builder.arguments(to_json({"input": slot["text"]}).decode())

    def _cite_marks(self, builder: ResponseBuilder) -> None:
        """Perplexity lists its sources beside the text, which refers to them as [1]."""
        for mark in _MARK.finditer("".join(self._text)) if self._sources else ():
            index = int(mark[1]) - 1
            if 0 <= index < len(self._sources):
                url = self._sources[index]
                bounds = {"start_index": mark.start(), "end_index": mark.end()}
                builder.annotate({"type": "url_citation", "url": url, "title": self._titles.get(url, ""), **bounds})


def count(usage: Mapping[str, Any], builder: ResponseBuilder) -> None:
    """Tokens. Some count the reasoning beside the completion: then the total says so."""
    given, made = number(usage.get("prompt_tokens")), number(usage.get("completion_tokens"))
    before, after = an_object(usage.get("prompt_tokens_details")), an_object(usage.get("completion_tokens_details"))
    reasoning = number(after.get("reasoning_tokens"))
    if reasoning and number(usage.get("total_tokens")) == given + made + reasoning:
        made += reasoning
    builder.count(
        input=given,
        output=made,
        cached=number(before.get("cached_tokens")) or number(usage.get("prompt_cache_hit_tokens")),
        written=number(before.get("cache_write_tokens")),
        reasoning=reasoning,
        native=dict(usage),
    )


def _merge(details: list[dict[str, Any]], piece: Mapping[str, Any]) -> None:
    """Pieces of one detail, which come one after another, into one."""
    last = details[-1] if details else None
    if last is None or last.get("type") != piece.get("type") or last.get("index") != piece.get("index"):
        details.append(dict(piece))
        return
    for name, value in piece.items():
        if name in ("text", "summary", "data", "signature") and isinstance(value, str) and string(last.get(name)):
            last[name] += value
        elif value is not None:
            last[name] = value
