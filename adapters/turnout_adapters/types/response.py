"""The results of the Responses API's operations."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field, FiniteFloat, PlainValidator, SerializeAsAny

from turnout_adapters.types.base import Count, Node, Open, Result, as_mapping, opened
from turnout_adapters.types.items import AnyItem, OutputItem


class JsonSchemaFormat(Open):
    """The JSON schema that the text follows. Some providers leave its name out of their answer."""

    type: str = "json_schema"
    name: str = "response"


def _make_text(value: Any) -> Any:
    fields = as_mapping(value)
    given = None if fields is None else as_mapping(fields.get("format"))
    text = opened(value)
    if given is not None and given.get("type") == "json_schema":
        text.format = JsonSchemaFormat.model_validate({name: opened(inner) for name, inner in given.items()})
    return text


TextConfig = Annotated[SerializeAsAny[Any], PlainValidator(_make_text)]


class InputTokensDetails(Open):
    """Of the input tokens."""

    cached_tokens: Count = 0
    cache_write_tokens: Count = 0


class OutputTokensDetails(Open):
    """Of the output tokens."""

    reasoning_tokens: Count = 0


class Usage(Open):
    """Tokens used."""

    input_tokens: Count = 0
    input_tokens_details: InputTokensDetails = Field(default_factory=InputTokensDetails)
    output_tokens: Count = 0
    output_tokens_details: OutputTokensDetails = Field(default_factory=OutputTokensDetails)
    total_tokens: Count = 0


class Response(Result):
    """A model response, with the attribute names of the OpenAI SDK."""

    essential: ClassVar[frozenset[str]] = frozenset({"id", "output"})
    id: str
    object: str = "response"
    created_at: FiniteFloat = 0
    status: str | None = None
    model: str = ""
    output: list[OutputItem] = []
    error: Node = None
    incomplete_details: Node = None
    instructions: Node = None
    metadata: dict[str, Any] | None = None
    parallel_tool_calls: bool | None = True
    temperature: FiniteFloat | None = None
    tool_choice: Node = "auto"
    tools: list[Node] | None = []
    top_p: FiniteFloat | None = None
    max_output_tokens: int | None = None
    previous_response_id: str | None = None
    reasoning: Node = None
    service_tier: str | None = None
    text: TextConfig = None
    truncation: str | None = None
    usage: Usage | None = None
    user: str | None = None

    @property
    def output_parsed(self) -> Any:
        """The text as the `text_format` given to the call; None without one, or if the answer is not complete.

        Raises pydantic's ValidationError if the text is not what the model describes.
        """
        model, text = self.about.text_format, self.output_text
        return model.model_validate_json(text) if model is not None and self.status == "completed" and text else None

    @property
    def output_text(self) -> str:
        """All text of the output messages, joined."""
        texts: list[Any] = [
            part.get("text")
            for item in self.output
            if item.get("type") == "message"
            for part in item.get("content") or ()
            if part.get("type") == "output_text"
        ]
        return "".join(text for text in texts if isinstance(text, str))


class CompactedResponse(Result):
    """A conversation in fewer items, to be sent as the input of the next call."""

    essential: ClassVar[frozenset[str]] = frozenset({"id", "output"})
    id: str
    object: str = "response.compaction"
    created_at: int = 0
    output: list[OutputItem] = []
    usage: Usage | None = None


class DeletedResponse(Result):
    """The word that a response is gone."""

    essential: ClassVar[frozenset[str]] = frozenset({"deleted"})
    id: str = ""
    object: str = "response"
    deleted: bool = True


class Conversation(Result):
    """A conversation that calls can add to, by `conversation=` its id."""

    id: str
    object: str = "conversation"
    created_at: int = 0
    metadata: dict[str, Any] = {}


class DeletedConversation(Result):
    """The word that a conversation is gone."""

    id: str
    object: str = "conversation.deleted"
    deleted: bool = True


class ItemList(Result):
    """Input items of a response, a page of them. Iterates over the items."""

    essential: ClassVar[frozenset[str]] = frozenset({"data"})
    object: str = "list"
    data: list[AnyItem] = []
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


class InputTokenCount(Result):
    """How many tokens an input has."""

    essential: ClassVar[frozenset[str]] = frozenset({"input_tokens"})
    object: str = "response.input_tokens"
    input_tokens: Count
