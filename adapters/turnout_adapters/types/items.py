"""Output items and content parts. What is not modelled here passes through as an Item or Open with all its fields."""

from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import Field, PlainValidator, SerializeAsAny, ValidationError

from turnout_adapters.types.base import Node, Open, as_mapping, opened


class OutputText(Open):
    """Text that the model wrote."""

    type: str = "output_text"
    text: str
    annotations: list[Node] = []
    logprobs: Node = None


class Refusal(Open):
    """The model's refusal."""

    type: str = "refusal"
    refusal: str


class ReasoningText(Open):
    """A piece of reasoning, or of its summary."""

    type: str
    text: str


_PARTS: dict[str, type[Open]] = {
    "output_text": OutputText,
    "refusal": Refusal,
    "reasoning_text": ReasoningText,
    "summary_text": ReasoningText,
}


def make_part(value: Any) -> Any:
    """The typed content part, or an open object if it is of no known type or shape.

    Raises ValueError for what is no object, and for a text that is none: it is what the answer says.
    """
    fields = _fields_of(value, "a content part")
    if fields is None:
        return value
    model = _PARTS.get(fields.get("type", ""))
    if model is None:
        return opened(value)
    try:
        return model.model_validate(value)
    except ValidationError:
        said = fields.get("refusal" if model is Refusal else "text")
        if said is not None and not isinstance(said, str):
            raise ValueError("the text of a content part is not a string") from None
        return opened(value)


def _fields_of(value: Any, what: str) -> Mapping[str, Any] | None:
    """The fields of a JSON object with a type, if it says one; None for an object that is made already."""
    fields = as_mapping(value)
    if fields is None and not isinstance(value, Open):
        raise ValueError(f"{what} is not an object")
    if fields is not None and not isinstance(fields.get("type", ""), str):
        raise ValueError(f"the type of {what} is not a string")
    return fields


ContentPart = Annotated[SerializeAsAny[Any], PlainValidator(make_part)]


class Item(Open):
    """An item of a type that is not modelled: everything it came with, readable by attribute."""

    type: str = ""


class OutputMessage(Item):
    """A message of the model."""

    type: str = "message"
    id: str
    role: str = "assistant"
    status: str | None = "completed"
    content: list[ContentPart]


class Reasoning(Item):
    """Reasoning: a summary, and content that only the account that made it can read."""

    type: str = "reasoning"
    id: str
    summary: list[ContentPart] = []
    content: list[ContentPart] | None = None
    """The reasoning itself, from models that show it."""


class FunctionCall(Item):
    """A call of one of the caller's functions. `arguments` is JSON text."""

    type: str = "function_call"
    call_id: str
    name: str
    arguments: str


class CustomToolCall(Item):
    """A call of one of the caller's custom tools. `input` is free text."""

    type: str = "custom_tool_call"
    call_id: str
    name: str
    input: str


class McpApprovalRequest(Item):
    """Asks whether a tool of an MCP server may be called; answered by an `mcp_approval_response` item."""

    type: str = "mcp_approval_request"
    id: str
    name: str
    server_label: str
    arguments: str


class McpCall(Item):
    """A tool of an MCP server was called."""

    type: str = "mcp_call"
    id: str
    name: str
    server_label: str
    arguments: str


class WebSearchCall(Item):
    """The provider searched the web. Some streams announce it before its action is known."""

    type: str = "web_search_call"
    id: str
    status: str = "in_progress"
    action: Node = Field(default_factory=lambda: Open.model_validate({"type": "search", "query": ""}))


_ITEMS: dict[str, type[Item]] = {
    "message": OutputMessage,
    "reasoning": Reasoning,
    "function_call": FunctionCall,
    "custom_tool_call": CustomToolCall,
    "mcp_approval_request": McpApprovalRequest,
    "mcp_call": McpCall,
    "web_search_call": WebSearchCall,
}


def make_item(value: Any) -> Any:
    """The typed item; an Item with everything kept if it is of no known type or shape.

    Raises ValueError for what is no object with a type.
    """
    fields = _fields_of(value, "an item")
    if fields is None:
        return value
    model = _ITEMS.get(fields.get("type", ""))
    if model is not None:
        try:
            return model.model_validate(value)
        except ValidationError:
            pass
    return Item.model_validate({name: opened(inner) for name, inner in fields.items()})


def make_output_item(value: Any) -> Any:
    """As `make_item`, of what a model made: a message must consist of content parts."""
    item, fields = make_item(value), as_mapping(value)
    if fields is not None and type(item) is Item and item.type == "message" and fields.get("content") is not None:
        parts: object = fields["content"]
        if not isinstance(parts, list):
            raise ValueError("the content of a message is not a list")
        return Item.model_validate({**dict(item), "content": [make_part(part) for part in cast("list[object]", parts)]})
    return item


OutputItem = Annotated[SerializeAsAny[Any], PlainValidator(make_output_item)]
AnyItem = Annotated[SerializeAsAny[Any], PlainValidator(make_item)]
