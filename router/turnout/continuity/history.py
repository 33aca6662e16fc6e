"""The history of a conversation as input items, and what of it only its account can use. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from turnout.continuity.turns import Turn

_REFERENCES = ("file_id", "container_id", "vector_store_id", "file_ids", "vector_store_ids")
"""Fields, at any depth, that name what a provider keeps."""
_LEFT_OUT = frozenset("web_search_call file_search_call mcp_call mcp_list_tools tool_search_call".split())
"""Records of what a provider's own tool did; their result is in the text that follows."""
_IMMOVABLE: Mapping[str, str] = {
    "code_interpreter_call": "a code interpreter's container",
    "image_generation_call": "an image that the account generated",
    "compaction": "a compaction that only the account can read",
}
_SIMPLE = ("output_text", "refusal")


class History(NamedTuple):
    """What was said before, as input items."""

    items: list[Any]
    domains: list[str]
    """For each item the state domain that made it; "" for what the caller said, or what any account may be given."""
    notes: tuple[str, ...]
    """What was left out."""


def history(turns: Sequence[Turn]) -> History:
    """Input and output items of the turns, oldest turn first.

    Items of an account's own responses lose the ids that other accounts do not know, also where the caller gave them
    back; reasoning keeps its own, and is marked with the account that can read it.
    """
    items: list[Any] = []
    domains: list[str] = []
    notes: dict[str, None] = {}
    outputs: dict[str, Any] = {}
    for turn in turns:
        for item in turn.given:
            items.append(_given(_resolved(item, outputs)))
            domains.append("")
        for item in turn.output:
            if isinstance(item.get("id"), str):
                outputs[item["id"]] = item
            said = _portable(item) if turn.native else item
            if said is not None:
                items.append(said)
                domains.append(turn.domain if turn.native else "")
            elif item.get("type") not in ("compaction", "message"):
                notes[f"{item.get('type')} items of the account that was left are not in the input"] = None
    return History(items, domains, tuple(notes))


def hosted_state(body: Mapping[str, Any], items: Sequence[Any]) -> tuple[str, ...]:
    """What the input, the tools or the prompt of a call name that only its account has, one phrase each."""
    found: dict[str, None] = {}
    if body.get("prompt") is not None:
        found["a stored prompt"] = None
    if body.get("conversation") is not None:
        found["a conversation that the provider keeps"] = None
    tools: object = body.get("tools")
    for tool in cast("Sequence[Any]", tools) if isinstance(tools, list | tuple) else ():
        found |= dict.fromkeys(_references(tool))
    for item in items:
        if isinstance(item, Mapping):
            found |= dict.fromkeys(_held(cast("Mapping[str, Any]", item)))
    return tuple(found)


def _held(item: Mapping[str, Any]) -> Iterator[str]:
    kind = str(item.get("type"))
    if kind in _IMMOVABLE:
        yield _IMMOVABLE[kind]
    elif kind == "item_reference":
        yield f"item {str(item.get('id'))[:64]!r}, which is not in the transcript"
    elif item.get("role") != "assistant":
        yield from _references(item)


def _resolved(item: Any, outputs: Mapping[str, Any]) -> Any:
    """What an item_reference refers to, if it is an item of an earlier turn."""
    if isinstance(item, Mapping):
        fields = cast("Mapping[str, Any]", item)
        if fields.get("type") in ("item_reference", None) and "role" not in fields and fields.get("id") in outputs:
            referred = outputs[fields["id"]]
            return _portable(referred) or referred
    return cast("Any", item)


def _given(item: Any) -> Any:
    """An input item without the id that only the account knows where it was made, if it can be without."""
    if not isinstance(item, Mapping) or "id" not in item:
        return cast("Any", item)
    fields = cast("Mapping[str, Any]", item)
    kind = fields.get("type")
    if kind in ("reasoning", "item_reference", *_IMMOVABLE) or fields.keys() <= {"id", "type"}:
        return fields
    if fields.get("role") == "assistant" and isinstance(fields.get("content"), list):
        return _simple_message(fields) or fields
    return {name: value for name, value in fields.items() if name not in ("id", "status")}


def _portable(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """An output item as any account may be given it; None for what means nothing elsewhere."""
    kind = item.get("type")
    if kind == "message":
        return _simple_message(item)
    if kind == "reasoning":
        return item if item.get("encrypted_content") else None
    if kind in _LEFT_OUT or kind == "compaction":
        return None
    return {name: value for name, value in item.items() if name not in ("id", "status")}


def _simple_message(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    parts = [part for part in item.get("content") or () if part.get("type") in _SIMPLE]
    text = "".join(str(part.get("text") or part.get("refusal") or "") for part in parts)
    phase = {} if item.get("phase") is None else {"phase": item["phase"]}
    return {"role": "assistant", "content": text, **phase} if text else None


def _references(value: Any) -> Iterator[str]:
    """Phrases for every file, container and vector store that is named somewhere inside."""
    if isinstance(value, Mapping):
        for name, inner in cast("Mapping[str, Any]", value).items():
            if name in _REFERENCES or (name == "container" and isinstance(inner, str)):
                named = cast("list[Any]", inner) if isinstance(inner, list) else [inner]
                kind = name.removesuffix("s").removesuffix("_id").replace("_", " ")
                yield from (f"{kind} {one[:64]!r}" for one in named if isinstance(one, str))
            else:
                yield from _references(inner)
    elif isinstance(value, list | tuple):
        for inner in cast("Sequence[Any]", value):
            yield from _references(inner)
