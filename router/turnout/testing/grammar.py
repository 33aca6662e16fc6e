"""The one grammar of response streams, as a checker that says what is wrong.

created in_progress item* (completed | incomplete | failed)
item      = output_item.added body output_item.done
message   = (content_part.added (output_text.delta | annotation.added)* output_text.done content_part.done
          |  content_part.added refusal.delta+ refusal.done content_part.done)*
reasoning = (reasoning_summary_part.added reasoning_summary_text.delta+ ...done ...part.done
          |  content_part.added reasoning_text.delta+ reasoning_text.done content_part.done)*
call      = arguments.delta+ arguments.done      (custom tools: input.delta+ input.done)
"""

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]
TERMINAL = ("response.completed", "response.incomplete", "response.failed")
_CALLS = {
    "function_call": ("response.function_call_arguments", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input", "input"),
}
_PARTS = {
    "output_text": ("content", "response.content_part", "response.output_text", "text"),
    "refusal": ("content", "response.content_part", "response.refusal", "refusal"),
    "reasoning_text": ("content", "response.content_part", "response.reasoning_text", "text"),
    "summary_text": ("summary", "response.reasoning_summary_part", "response.reasoning_summary_text", "text"),
}


class Ungrammatical(AssertionError):
    """The events break the grammar."""


class _Reader:
    def __init__(self, events: Sequence[Json]) -> None:
        self.events = events
        self.at = 0
        self.items: list[Json] = []
        self.ids: set[str] = set()

    def need(self, right: bool, problem: str) -> None:
        if not right:
            kind = self.events[self.at]["type"] if self.at < len(self.events) else "the end"
            raise Ungrammatical(f"event {self.at} ({kind}): {problem}")

    def peek(self) -> str:
        return self.events[self.at]["type"] if self.at < len(self.events) else ""

    def take(self, kind: str) -> Json:
        self.need(self.peek() == kind, f"expected {kind}")
        event = self.events[self.at]
        self.need(event.get("sequence_number") == self.at, "sequence numbers must count from 0 without gaps")
        self.at += 1
        return event

    def same(self, event: Json, expected: Json) -> None:
        for name, value in expected.items():
            self.need(event.get(name) == value, f"{name} must be {value!r}, is {event.get(name)!r}")

    def stream(self) -> None:
        first = self.take("response.created")["response"]
        second = self.take("response.in_progress")["response"]
        for response in (first, second):
            self.same(response, {"status": "in_progress", "output": [], "id": first["id"]})
        while self.peek() not in TERMINAL:
            self.item()
        last = self.take(self.peek())
        final = last["response"]
        self.same(final, {"id": first["id"], "status": last["type"].removeprefix("response.")})
        self.need(final["output"] == self.items, "the snapshot must hold the items as they were done")
        self.need(self.at == len(self.events), "nothing may follow the terminal event")
        usage = final.get("usage")
        if usage:
            total = usage["input_tokens"] + usage["output_tokens"]
            self.need(usage["total_tokens"] == total, "the total must be input plus output")

    def item(self) -> None:
        added = self.take("response.output_item.added")
        item = added["item"]
        self.same(added, {"output_index": len(self.items)})
        self.need(bool(item.get("id")) and item["id"] not in self.ids, "every item needs an id of its own")
        self.ids.add(item["id"])
        where = {"item_id": item["id"], "output_index": len(self.items)}
        kind = item["type"]
        built: Json = {}
        if kind in ("message", "reasoning"):
            built = self.parts(item, where)
        elif kind in _CALLS:
            self.need(bool(item.get("call_id")) and bool(item.get("name")), "a call is added with its id and name")
            built = self.call(kind, where)
        done = self.take("response.output_item.done")
        self.same(done, {"output_index": len(self.items)})
        self.same(done["item"], {"id": item["id"], "type": kind})
        for name in ("call_id", "name", "role"):
            if name in item:
                self.same(done["item"], {name: item[name]})
        self.same(done["item"], built)
        self.items.append(done["item"])

    def call(self, kind: str, where: Json) -> Json:
        stem, field = _CALLS[kind]
        pieces: list[str] = []
        while self.peek() == f"{stem}.delta":
            event = self.take(f"{stem}.delta")
            self.same(event, where)
            pieces.append(event["delta"])
        done = self.take(f"{stem}.done")
        self.same(done, {**where, field: "".join(pieces)})
        return {field: done[field]}

    def parts(self, item: Json, where: Json) -> Json:
        built: dict[str, list[Json]] = {}
        while self.peek() in ("response.content_part.added", "response.reasoning_summary_part.added"):
            added = self.events[self.at]
            kind = added["part"]["type"]
            field, part_stem, text_stem, name = _PARTS[kind]
            self.need(
                (item["type"] == "reasoning") == (kind in ("reasoning_text", "summary_text")), "part of another item"
            )
            index = "summary_index" if field == "summary" else "content_index"
            here = {**where, index: len(built.get(field, ()))}
            self.same(self.take(f"{part_stem}.added"), here)
            self.need(added["part"][name] == "", "a part begins empty")
            part = self.text(here, text_stem, name, empty_allowed=kind == "output_text")
            done = self.take(f"{part_stem}.done")
            self.same(done, here)
            self.same(done["part"], {"type": kind, **part})
            built.setdefault(field, []).append(done["part"])
        return built if item["type"] == "reasoning" else {"content": built.get("content", [])}

    def text(self, here: Json, stem: str, name: str, *, empty_allowed: bool) -> Json:
        pieces: list[str] = []
        annotations: list[Json] = []
        noted = "response.output_text.annotation.added"
        while self.peek() in (f"{stem}.delta", noted):
            event = self.take(self.peek())
            self.same(event, here)
            if event["type"] == noted:
                self.same(event, {"annotation_index": len(annotations)})
                annotations.append(event["annotation"])
            else:
                pieces.append(event["delta"])
        self.need(bool(pieces) or empty_allowed, "a part has text")
        text = "".join(pieces)
        self.same(self.take(f"{stem}.done"), {**here, name: text})
        return {name: text, **({"annotations": annotations} if stem == "response.output_text" else {})}


def check_grammar(events: Sequence[Json]) -> None:
    """Raises Ungrammatical if the events are not one well-formed stream."""
    _Reader(events).stream()
