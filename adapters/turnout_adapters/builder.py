"""The ResponseBuilder: the one maker of events and responses for every translated wire.

It owns ids, order, sequence numbers, usage and the snapshot. A streaming decoder takes the events it makes, a unary
one only the response at the end, so the two cannot differ. The event grammar:

    created in_progress item* (completed | incomplete)
    item = output_item.added body output_item.done         one open item at a time
"""

from collections.abc import Mapping
from typing import Any

from turnout_adapters.adapter import WireCall
from turnout_adapters.request import object_in
from turnout_adapters.tools import ToolNames, tool_names
from turnout_adapters.types import SHAPES, Response, StreamEvent, Usage
from turnout_adapters.types.base import opened

ECHOED = (
    "instructions", "metadata", "max_output_tokens", "max_tool_calls", "parallel_tool_calls", "reasoning",
    "safety_identifier", "service_tier", "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p",
    "truncation", "user",
)  # fmt: skip
_PREFIXES = {
    "message": "msg", "reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc", "web_search_call": "ws",
    "code_interpreter_call": "ci", "image_generation_call": "ig", "mcp_call": "mcp", "compaction": "cmp",
}  # fmt: skip


class ResponseBuilder:
    """Builds one response. The methods are told what the provider said, in its order."""

    def __init__(self, call: WireCall, *, quiet: bool = False, text_tool: str | None = None) -> None:
        self._call = call
        self._quiet = quiet
        self._text_tool = text_tool
        """Calls of this tool are the text: structured output on models that have no other."""
        self._names: ToolNames | None = None
        self._events: list[StreamEvent] = []
        self._sequence = 0
        self._items: list[dict[str, Any]] = []
        self._open: dict[str, Any] | None = None
        self._part: dict[str, Any] | None = None
        self._pieces: list[str] = []
        self._length = 0
        self._as_text = False
        self._held: list[Mapping[str, Any]] = []
        self.model = call.model
        self.usage: Usage | None = None
        self.response: Response | None = None
        """Set by finish()."""
        self.extra: dict[str, Any] = {}
        """Further fields of the response."""
        self._native: dict[str, Any] = {}
        self.started = False

    def take(self) -> list[StreamEvent]:
        """The events made since the last time."""
        events, self._events = self._events, []
        return events

    # --- the response

    def start(self, model: str | None = None) -> None:
        """The provider began to answer. Only the first time counts, but for the model's name, which may come later."""
        self.model = model or self.model
        if self.started:
            return
        self.started = True
        for kind in ("response.created", "response.in_progress"):
            if not self._quiet:
                self._emit(kind, response=self._snapshot("in_progress"))

    def keep(self, fields: Mapping[str, Any], read: frozenset[str]) -> None:
        """What the provider said besides what was read: it is on the response, under `native`, as it came."""
        self._native |= {name: value for name, value in fields.items() if name not in read and value is not None}

    def count(
        self, *, input: int, output: int, cached: int = 0, written: int = 0, reasoning: int = 0, native: Any = None
    ) -> None:
        """Tokens so far; the last word counts. The provider's own figures are kept beside ours."""
        fields: dict[str, Any] = {
            "input_tokens": input,
            "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": reasoning},
            "total_tokens": input + output,
        }
        if native is not None:
            fields["native"] = opened(native)
        self.usage = Usage.model_validate(fields)

    def finish(self, reason: str | None = None, *, incomplete: bool = False) -> None:
        """The end: completed, or incomplete for `reason` (max_output_tokens, content_filter)."""
        if self.response is not None:
            return
        self.start()
        incomplete = incomplete or reason is not None
        self.close(cut=incomplete)
        status = "incomplete" if incomplete else "completed"
        self.response = Response.model_validate(self._snapshot(status, reason))
        if not self._quiet:
            self._emit(f"response.{status}", response=self.response)

    def _snapshot(self, status: str, reason: str | None = None) -> dict[str, Any]:
        body = self._call.body
        done = status != "in_progress"
        return {
            "id": f"resp_tn_{self._call.nonce}",
            "object": "response",
            "created_at": int(self._call.now),
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None if reason is None else {"reason": reason},
            "model": self.model,
            "output": list(self._items),
            "previous_response_id": None,
            "store": False,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "temperature": None,
            "top_p": None,
            "metadata": {},
            **{name: body[name] for name in ECHOED if body.get(name) is not None},
            **({"completed_at": int(self._call.now)} if status == "completed" else {}),
            **(self.extra if done else {}),
            **({"native": opened(dict(self._native))} if done and self._native else {}),
            "usage": self.usage.model_dump() if done and self.usage is not None else None,
        }

    # --- text

    def text(self, delta: str, logprobs: list[Any] | None = None) -> None:
        """More text of the answer."""
        if not delta and not logprobs:
            return
        self._open_part("message", "output_text", {"text": "", "annotations": [], "logprobs": []})
        self._pieces.append(delta)
        self._length += len(delta)
        if logprobs and self._part is not None:
            self._part["logprobs"].extend(logprobs)
        self._emit_in("response.output_text.delta", delta=delta, logprobs=logprobs or [], **self._at_part())
        held, self._held = self._held, []
        for annotation in held:
            self.annotate(annotation)

    def text_length(self) -> int:
        """Characters of the open text part: offsets of annotations count from its beginning."""
        is_text = self._part is not None and self._part["type"] == "output_text"
        return self._length if is_text else 0

    def annotate(self, annotation: Mapping[str, Any]) -> None:
        """A citation of the open text, or of the next one if none is open."""
        if self._part is None or self._part["type"] != "output_text":
            self._held.append(annotation)
            return
        found = self._part["annotations"]
        found.append(dict(annotation))
        index = {"annotation": dict(annotation), "annotation_index": len(found) - 1}
        self._emit_in("response.output_text.annotation.added", **index, **self._at_part())

    def refusal(self, delta: str) -> None:
        """More of the model's refusal."""
        if delta:
            self._open_part("message", "refusal", {"refusal": ""})
            self._pieces.append(delta)
            self._emit_in("response.refusal.delta", delta=delta, **self._at_part())

    # --- reasoning

    def summary(self, delta: str) -> None:
        """More of a summary of the reasoning."""
        if delta:
            self._open_part("reasoning", "summary_text", {"text": ""})
            self._pieces.append(delta)
            self._emit_in("response.reasoning_summary_text.delta", delta=delta, **self._at_part())

    def thought(self, delta: str) -> None:
        """More of the reasoning itself, as open models give it."""
        if delta:
            self._open_part("reasoning", "reasoning_text", {"text": ""})
            self._pieces.append(delta)
            self._emit_in("response.reasoning_text.delta", delta=delta, **self._at_part())

    def seal(self, envelope: str) -> None:
        """What the provider wants back of this reasoning. Opens a reasoning item if none is open."""
        if self._open is None or self._open["type"] != "reasoning":
            self._open_item("reasoning", {"summary": []})
        if self._open is not None:
            self._open["encrypted_content"] = envelope

    # --- calls

    def call(self, call_id: str, name: str) -> None:
        """The model calls a tool."""
        if name == self._text_tool:
            self._as_text = True
            return
        if self._names is None:
            self._names = tool_names(self._call.body)
        fields: dict[str, Any] = {"call_id": call_id, "name": name}
        if name in self._names.spaces:
            fields["namespace"], fields["name"] = self._names.spaces[name]
        if name in self._names.custom:
            self._open_item("custom_tool_call", {**fields, "input": ""})
        else:
            self._open_item("function_call", {**fields, "arguments": ""})
        self._pieces = []

    def arguments(self, delta: str) -> None:
        """More of the open call's arguments."""
        if self._as_text:
            self.text(delta)
        elif delta and self._open is not None:
            self._pieces.append(delta)
            if self._open["type"] == "function_call":
                self._emit_in("response.function_call_arguments.delta", delta=delta, **self._at_item())

    def item(self, kind: str, fields: Mapping[str, Any]) -> None:
        """A whole item of what the provider did itself: a search, a run of code, an image."""
        self._open_item(kind, dict(fields))
        self.close()

    # --- opening and closing

    def close(self, *, cut: bool = False) -> None:
        """Ends the open item; `cut` if the answer broke off inside it."""
        self._as_text = False
        item = self._open
        if item is None:
            return
        self._close_part()
        if item["type"] in ("function_call", "custom_tool_call"):
            self._close_call(item, cut=cut)
        elif item["type"] != "reasoning" and item.get("status") == "in_progress":
            item["status"] = "incomplete" if cut else "completed"
        self._emit_in("response.output_item.done", item=dict(item), output_index=len(self._items))
        self._items.append(item)
        self._open = None

    def _close_call(self, item: dict[str, Any], *, cut: bool) -> None:
        text = "".join(self._pieces)
        if item["type"] == "custom_tool_call":
            item["input"], whole = _input_of(text)
            self._emit_in("response.custom_tool_call_input.delta", delta=item["input"], **self._at_item())
            self._emit_in("response.custom_tool_call_input.done", input=item["input"], **self._at_item())
        else:
            if not text and not cut:
                text = "{}"
                self._emit_in("response.function_call_arguments.delta", delta=text, **self._at_item())
            item["arguments"], whole = text, object_in(text) is not None
            done = {"arguments": text, "name": item["name"]}
            self._emit_in("response.function_call_arguments.done", **done, **self._at_item())
        item["status"] = "completed" if whole else "incomplete"
        self._pieces = []

    def _open_item(self, kind: str, fields: dict[str, Any]) -> None:
        self.start()
        self.close()
        item_id = f"{_PREFIXES.get(kind, 'it')}_tn_{self._call.nonce}{len(self._items):02x}"
        item: dict[str, Any] = {"id": item_id, "type": kind, **fields}
        if kind != "reasoning":
            item.setdefault("status", "in_progress")
        self._open = item
        self._emit_in("response.output_item.added", item=dict(item), output_index=len(self._items))

    def _open_part(self, item: str, kind: str, fields: dict[str, Any]) -> None:
        if self._open is None or self._open["type"] != item:
            extra: dict[str, Any] = {"role": "assistant", "content": []} if item == "message" else {"summary": []}
            self._open_item(item, extra)
        if self._part is not None and self._part["type"] != kind:
            self._close_part()
        if self._part is None:
            self._part = {"type": kind, **fields}
            self._pieces = []
            self._length = 0
            stem = "reasoning_summary_part" if kind == "summary_text" else "content_part"
            self._emit_in(f"response.{stem}.added", part=_copied(self._part), **self._at_part())

    def _close_part(self) -> None:
        part, item = self._part, self._open
        if part is None or item is None:
            return
        kind, where, text = part["type"], self._at_part(), "".join(self._pieces)
        name = "refusal" if kind == "refusal" else "text"
        part[name] = text
        extra = {"logprobs": part["logprobs"]} if kind == "output_text" else {}
        stems = {"summary_text": "reasoning_summary_text", "reasoning_text": "reasoning_text"}
        self._emit_in(f"response.{stems.get(kind, kind)}.done", **{name: text}, **extra, **where)
        stem = "reasoning_summary_part" if kind == "summary_text" else "content_part"
        self._emit_in(f"response.{stem}.done", part=_copied(part), **where)
        field = "summary" if kind == "summary_text" else "content"
        item[field] = [*item.get(field, ()), part]
        self._part = None
        self._pieces = []

    def _at_item(self) -> dict[str, Any]:
        return {"item_id": self._open["id"] if self._open else "", "output_index": len(self._items)}

    def _at_part(self) -> dict[str, Any]:
        item, part = self._open or {}, self._part or {}
        summary = part.get("type") == "summary_text"
        index = len(item.get("summary" if summary else "content", ()))
        return {**self._at_item(), "summary_index" if summary else "content_index": index}

    def _emit_in(self, kind: str, **fields: Any) -> None:
        if not self._quiet:
            self._emit(kind, **fields)

    def _emit(self, kind: str, **fields: Any) -> None:
        shape = SHAPES.get(kind, StreamEvent)
        self._events.append(shape.model_validate({"type": kind, "sequence_number": self._sequence, **fields}))
        self._sequence += 1


def _copied(part: dict[str, Any]) -> dict[str, Any]:
    """A part whose lists go on growing."""
    return {name: [*value] if name in ("annotations", "logprobs") else value for name, value in part.items()}


def _input_of(text: str) -> tuple[str, bool]:
    """A custom tool's input from the shim's arguments, and whether they are whole."""
    found = (object_in(text) or {}).get("input")
    return (found, True) if isinstance(found, str) else (text, False)
