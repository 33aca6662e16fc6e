"""Makes the events that a provider still owes when its stream breaks."""

from typing import Any

from turnout_adapters.types.base import Open, opened
from turnout_adapters.types.events import LifecycleEvent, StreamEvent
from turnout_adapters.types.items import make_item
from turnout_adapters.types.response import Response, Usage


class StreamRecorder:
    """Watches the events of a passed-through stream as cheaply as can be, by keeping references to them.

    Its memory is bounded by the output itself: the pieces of an item are let go when the item is done.
    """

    __slots__ = ("_last", "_open", "_response", "items")

    def __init__(self) -> None:
        self._response: Response | None = None
        self.items: dict[int, Any] = {}
        self._open: dict[int, list[StreamEvent]] = {}
        self._last = -1

    def observe(self, event: StreamEvent) -> None:
        """Notes one event that is handed on."""
        self._last = max(event.sequence_number, self._last + 1)
        kind = event.type
        if isinstance(event, LifecycleEvent):
            self._response = event.response
        elif kind == "response.output_item.added":
            if isinstance(event.get("item"), Open):
                self._open[_index(event, "output_index", len(self.items))] = [event]
        elif kind == "response.output_item.done":
            if isinstance(event.get("item"), Open):
                index = _index(event, "output_index", len(self.items))
                self._open.pop(index, None)
                self.items[index] = event.get("item")
        elif (pieces := self._open.get(_index(event, "output_index", -1))) is not None:
            pieces.append(event)

    def failed(self, code: str, message: str, usage: Usage | None = None) -> list[StreamEvent]:
        """The `response.failed` event: what was delivered, items that were open as incomplete, and the error."""
        output = {**self.items, **{index: _unfinished(pieces) for index, pieces in self._open.items()}}
        snapshot = {} if self._response is None else self._response.to_dict()
        snapshot |= {
            "id": snapshot.get("id", ""),
            "status": "failed",
            "error": {"code": code, "message": message},
            "output": [opened_dict(output[index]) for index in sorted(output)],
        }
        if usage is not None:
            snapshot["usage"] = usage.model_dump()
        response = Response.model_validate(snapshot)
        event = LifecycleEvent(type="response.failed", sequence_number=self._last + 1, response=response)
        self._open.clear()
        return [event]


def _index(event: StreamEvent, name: str, default: int = 0) -> int:
    """A place in a list, if the event tells one: those of unknown types may hold anything."""
    value: object = event.get(name)
    return value if isinstance(value, int) else default


def _said(event: StreamEvent, name: str) -> str:
    value: object = event.get(name)
    return value if isinstance(value, str) else ""


def _unfinished(pieces: list[StreamEvent]) -> Any:
    """The item as far as its pieces go."""
    item: dict[str, Any] = pieces[0].get("item").to_dict()
    content: dict[tuple[int, int], dict[str, Any]] = {}
    for piece in pieces[1:]:
        _apply(piece, item, content)
    if content and item.get("type") == "reasoning":
        for where, kind in (("summary", "summary_text"), ("content", "reasoning_text")):
            parts = [content[index] for index in sorted(content) if content[index].get("type") == kind]
            item[where] = parts or item.get(where) or []
    elif content:
        item["content"] = [content[index] for index in sorted(content)]
    item["status"] = "incomplete"
    return make_item(item)


_FIELDS = {
    "response.function_call_arguments": "arguments",
    "response.mcp_call_arguments": "arguments",
    "response.custom_tool_call_input": "input",
    "response.code_interpreter_call_code": "code",
}
_PARTS = {
    "response.output_text": ("output_text", "text"),
    "response.refusal": ("refusal", "refusal"),
    "response.reasoning_text": ("reasoning_text", "text"),
    "response.reasoning_summary_text": ("summary_text", "text"),
}


def _apply(piece: StreamEvent, item: dict[str, Any], content: dict[tuple[int, int], dict[str, Any]]) -> None:
    stem, _, verb = piece.type.rpartition(".")
    index = (0, _index(piece, "summary_index")) if "summary" in piece.type else (1, _index(piece, "content_index"))
    if stem in _FIELDS:
        field = _FIELDS[stem]
        if verb == "delta":
            item[field] = _text(item, field) + _said(piece, "delta")
        else:
            item[field] = _said(piece, field) or item.get(field)
    elif stem in _PARTS:
        kind, field = _PARTS[stem]
        part = content.setdefault(index, {"type": kind, field: ""})
        if kind == "output_text":
            part.setdefault("annotations", [])
        part[field] = _text(part, field) + _said(piece, "delta") if verb == "delta" else _said(piece, field)
    elif stem in ("response.content_part", "response.reasoning_summary_part"):
        if isinstance(piece.get("part"), Open):
            content[index] = opened_dict(piece.get("part"))
    elif piece.type == "response.output_text.annotation.added":
        annotation: object = opened(piece.get("annotation"))
        part = content.setdefault(index, {"type": "output_text", "text": ""})
        if isinstance(annotation, Open) and isinstance(part.setdefault("annotations", []), list):
            part["annotations"].append(opened_dict(annotation))


def _text(fields: dict[str, Any], name: str) -> str:
    return fields[name] if isinstance(fields.get(name), str) else ""


def opened_dict(value: Any) -> dict[str, Any]:
    """A mutable copy of an open object."""
    return value.to_dict() if isinstance(value, Open) else dict(value or {})
