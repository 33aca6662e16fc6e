"""The events of a response stream: a table from type to one of a dozen shapes.

Types that are not in the table, and data that lacks some of the shape, pass through as a StreamEvent with all fields.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import PrivateAttr, ValidationError
from pydantic_core import from_json

from turnout_adapters.measures import is_count
from turnout_adapters.types.base import Count, Node, Open, as_mapping
from turnout_adapters.types.items import ContentPart, OutputItem, make_output_item, make_part
from turnout_adapters.types.lenient import result_of
from turnout_adapters.types.response import Response


class StreamEvent(Open):
    """One event. `type` says which."""

    type: str
    sequence_number: Count = 0


class LifecycleEvent(StreamEvent):
    """The response as a whole: created, queued, in_progress, completed, incomplete, failed."""

    response: Response


class ItemEvent(StreamEvent):
    """An output item was added, or is done."""

    item: OutputItem
    output_index: Count


class PartEvent(StreamEvent):
    """A content part was added, or is done."""

    item_id: str
    output_index: Count
    content_index: Count
    part: ContentPart


class TextDelta(StreamEvent):
    """More text."""

    item_id: str
    output_index: Count
    content_index: Count
    delta: str
    logprobs: Node = []


class TextDone(StreamEvent):
    """The whole text of a part."""

    item_id: str
    output_index: Count
    content_index: Count
    text: str
    logprobs: Node = []


class Delta(StreamEvent):
    """More of something: arguments, code, input, reasoning, a refusal."""

    item_id: str
    output_index: Count
    delta: str


class ArgumentsDone(StreamEvent):
    """The whole arguments of a call."""

    item_id: str
    output_index: Count
    arguments: str
    name: str = ""


class SummaryPart(StreamEvent):
    """A part of a reasoning summary was added, or is done."""

    item_id: str
    output_index: Count
    summary_index: Count
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


def parse_event(name: str | None, data: bytes, number: int = 0) -> StreamEvent:
    """One event from its data; the data's own `type` wins over the `event:` line.

    `number` takes the place of a sequence number that is none. Raises ValueError if the data is not a JSON object with
    a type, or if what the type is for (the item, the text, its place) is not what it should be.
    """
    leading = _TYPE.match(data)
    kind = leading.group(1).decode() if leading else name
    shape = SHAPES.get(kind or "", StreamEvent)
    if shape is not ErrorEvent:
        try:
            event = shape.model_validate_json(data)
        except ValidationError:
            return _parse_slowly(name, data, number)
        if event.type == kind or kind is None:
            known = event.type not in SHAPES or shape is not StreamEvent
            return event if known else _parse_slowly(name, data, number)
    return _parse_slowly(name, data, number)


def _parse_slowly(name: str | None, data: bytes, number: int) -> StreamEvent:
    fields = as_mapping(from_json(data))
    if fields is None:
        raise ValueError("not a JSON object")
    kind = fields.get("type", name)
    if not isinstance(kind, str):
        raise ValueError("an event without a type")
    whole: dict[str, Any] = {**fields, "type": kind}
    if "sequence_number" in fields and not is_count(fields["sequence_number"]):
        whole["sequence_number"] = number
    if kind == "error":
        return _error_event(fields, whole.get("sequence_number", 0))
    shape = SHAPES.get(kind, StreamEvent)
    for used, read in _USED.items():
        if used in shape.model_fields and whole.get(used) is not None:
            whole[used] = read(whole[used])
    try:
        return shape.model_validate(whole)
    except ValidationError:
        if kind in TERMINAL_EVENTS:
            raise
        return StreamEvent.model_validate(whole)


def _index(value: Any) -> int:
    if not is_count(value):
        raise ValueError("a place in a list is not a whole number")
    return value


def _said(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("what an event says is not a string")
    return value


def _response(value: Any) -> Response:
    fields = as_mapping(value)
    if fields is None:
        raise ValueError("the response is not an object")
    try:
        return result_of(Response, fields)
    except ValidationError:
        if fields.get("error") is None:
            raise
        # it failed, and says why: that is worth more than what it lacks
        told = {name: value for name, value in fields.items() if name not in Response.essential}
        return result_of(Response, {"id": "", **told})


_USED: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("output_index", "content_index", "summary_index"), _index),
    **dict.fromkeys(("delta", "text", "arguments"), _said),
    "item": make_output_item,
    "part": make_part,
    "response": _response,
}
"""The fields that make an event what it is, and how each is read; the others may be odd."""


def _error_event(fields: Mapping[str, Any], number: int) -> ErrorEvent:
    nested = as_mapping(fields.get("error"))
    source = fields if nested is None else nested
    code = source.get("code") or (source.get("type") if nested is not None else None)
    param = source.get("param")
    event = ErrorEvent(
        type="error",
        sequence_number=number,
        message=str(source.get("message") or ""),
        code=None if code is None else str(code),
        param=None if param is None else str(param),
    )
    event._sent = dict(fields)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return event
