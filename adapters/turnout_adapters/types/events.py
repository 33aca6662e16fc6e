"""The events of a response stream: a table from type to one of a dozen shapes.

Types that are not in the table, and data that does not have the shape, pass through as a StreamEvent with all fields.
"""

import re
from typing import Any

from pydantic import PrivateAttr, ValidationError
from pydantic_core import from_json

from turnout_adapters.types.base import Node, Open, as_mapping
from turnout_adapters.types.items import ContentPart, OutputItem
from turnout_adapters.types.response import Response


class StreamEvent(Open):
    """One event. `type` says which."""

    type: str
    sequence_number: int = 0


class LifecycleEvent(StreamEvent):
    """The response as a whole: created, queued, in_progress, completed, incomplete, failed."""

    response: Response


class ItemEvent(StreamEvent):
    """An output item was added, or is done."""

    item: OutputItem
    output_index: int


class PartEvent(StreamEvent):
    """A content part was added, or is done."""

    item_id: str
    output_index: int
    content_index: int
    part: ContentPart


class TextDelta(StreamEvent):
    """More text."""

    item_id: str
    output_index: int
    content_index: int
    delta: str
    logprobs: Node = []


class TextDone(StreamEvent):
    """The whole text of a part."""

    item_id: str
    output_index: int
    content_index: int
    text: str
    logprobs: Node = []


class Delta(StreamEvent):
    """More of something: arguments, code, input, reasoning, a refusal."""

    item_id: str
    output_index: int
    delta: str


class ArgumentsDone(StreamEvent):
    """The whole arguments of a call."""

    item_id: str
    output_index: int
    arguments: str
    name: str = ""


class SummaryPart(StreamEvent):
    """A part of a reasoning summary was added, or is done."""

    item_id: str
    output_index: int
    summary_index: int
    part: ContentPart


class ErrorEvent(StreamEvent):
    """The provider reports an error inside the stream.

    On the wire it comes flat or nested under `error`; here `code`, `message` and `param` can be read either way, and
    `model_dump` is flat.
    """

    message: str = ""
    code: str | None = None
    param: str | None = None
    _sent: dict[str, Any] | None = PrivateAttr(None)

    def to_dict(self) -> dict[str, Any]:
        """What the provider sent, nested if it was."""
        return self.model_dump(mode="json", exclude_unset=True) if self._sent is None else self._sent


_R = "response."
_LIFECYCLE = ("created", "queued", "in_progress", "completed", "incomplete", "failed")
_DELTAS = (
    "function_call_arguments.delta",
    "mcp_call_arguments.delta",
    "custom_tool_call_input.delta",
    "code_interpreter_call_code.delta",
    "reasoning_text.delta",
    "reasoning_summary_text.delta",
    "refusal.delta",
)
SHAPES: dict[str, type[StreamEvent]] = {
    **{_R + name: LifecycleEvent for name in _LIFECYCLE},
    **{_R + name: Delta for name in _DELTAS},
    "response.output_item.added": ItemEvent,
    "response.output_item.done": ItemEvent,
    "response.content_part.added": PartEvent,
    "response.content_part.done": PartEvent,
    "response.output_text.delta": TextDelta,
    "response.output_text.done": TextDone,
    "response.function_call_arguments.done": ArgumentsDone,
    "response.reasoning_summary_part.added": SummaryPart,
    "response.reasoning_summary_part.done": SummaryPart,
    "error": ErrorEvent,
}
PREAMBLE_EVENTS = frozenset({"response.created", "response.queued", "response.in_progress"})
TERMINAL_EVENTS = frozenset({"response.completed", "response.incomplete", "response.failed"})

_TYPE = re.compile(rb'^\s*\{\s*"type"\s*:\s*"([^"\\]+)"')


def parse_event(name: str | None, data: bytes) -> StreamEvent:
    """One event from its data; the data's own `type` wins over the `event:` line.

    Raises ValueError if the data is not a JSON object with a type.
    """
    leading = _TYPE.match(data)
    kind = leading.group(1).decode() if leading else name
    shape = SHAPES.get(kind or "", StreamEvent)
    if shape is not ErrorEvent:
        try:
            event = shape.model_validate_json(data)
        except ValidationError:
            return _parse_slowly(name, data)
        if event.type == kind or kind is None:
            return event if event.type not in SHAPES or shape is not StreamEvent else _parse_slowly(name, data)
    return _parse_slowly(name, data)


def _parse_slowly(name: str | None, data: bytes) -> StreamEvent:
    fields = as_mapping(from_json(data))
    if fields is None:
        raise ValueError("not a JSON object")
    kind = fields.get("type", name)
    if not isinstance(kind, str):
        raise ValueError("an event without a type")
    if kind == "error":
        return _error_event(dict(fields))
    whole = {**fields, "type": kind}
    try:
        return SHAPES.get(kind, StreamEvent).model_validate(whole)
    except ValidationError:
        return StreamEvent.model_construct(None, **whole)


def _error_event(fields: dict[str, Any]) -> ErrorEvent:
    nested = as_mapping(fields.get("error"))
    source = fields if nested is None else nested
    code = source.get("code") or (source.get("type") if nested is not None else None)
    event = ErrorEvent(
        type="error",
        sequence_number=fields.get("sequence_number") or 0,
        message=str(source.get("message") or ""),
        code=None if code is None else str(code),
        param=source.get("param"),
    )
    event._sent = fields  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return event
