"""What must change in the input when a conversation comes to the Responses wire from elsewhere.

Reasoning that another account or another provider made cannot be read: it is left out, and the caller is told. Ids of
items that a translation made are known to no provider: they are left out too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from turnout_adapters.adapter import WireCall
from turnout_adapters.decoding import objects
from turnout_adapters.envelope import PREFIX, is_made_here
from turnout_adapters.errors import BadRequestError

_REASONING = "reasoning that {} cannot read was left out of the input"
_HOSTED = "{} items that another provider made were left out of the input"


def at_home(call: WireCall, provider: str) -> tuple[WireCall, tuple[str, ...]]:
    """The call with an input that its account can read, and what to tell. The same object if nothing changes.

    Raises BadRequestError for a compaction of another account: without it the question is another.
    """
    items: object = call.body.get("input")
    if not isinstance(items, list | tuple):
        return call, ()
    listed = cast("Sequence[object]", items)
    if not call.foreign and not any(_is_ours(item) for item in listed):
        return call, ()
    notes: list[str] = []
    kept: list[object] = []
    for index, item in enumerate(listed):
        if not isinstance(item, Mapping):
            kept.append(item)
            continue
        fields = cast("Mapping[str, Any]", item)
        note = _why_not(fields, provider, foreign=index in call.foreign)
        if note is None:
            kept.append(_without_id(fields, all_ids=bool(call.foreign)))
        elif note not in notes:
            notes.append(note)
    return replace(call, body={**call.body, "input": kept}), tuple(notes)


def _is_ours(item: object) -> bool:
    if not isinstance(item, Mapping):
        return False
    fields = cast("Mapping[str, Any]", item)
    return is_made_here(fields.get("id")) or str(fields.get("encrypted_content") or "").startswith(PREFIX)


def _why_not(item: Mapping[str, Any], provider: str, *, foreign: bool) -> str | None:
    """Why an item cannot come along, None if it can."""
    kind = str(item.get("type"))
    if kind == "compaction" and (foreign or _is_ours(item)):
        raise BadRequestError(f"input: {provider} cannot read a compaction that another account made", param="input")
    if kind == "reasoning" and (foreign or _is_ours(item)):
        return _REASONING.format(provider)
    if kind not in ("message", "None") and kind.endswith("_call") and _is_hosted(kind) and _is_ours(item):
        return _HOSTED.format(kind)
    return None


def _is_hosted(kind: str) -> bool:
    return kind not in ("function_call", "custom_tool_call")


def _without_id(item: Mapping[str, Any], *, all_ids: bool) -> Mapping[str, Any]:
    """The item without an id that the account does not know. An assistant message without one is a simple message."""
    item_id = item.get("id")
    if item_id is None or not (is_made_here(item_id) or all_ids) or item.get("type") in ("reasoning", "compaction"):
        return item
    rest = {name: value for name, value in item.items() if name != "id"}
    content: object = item.get("content")
    if item.get("role") == "assistant" and isinstance(content, list):
        texts = [str(part.get("text") or part.get("refusal") or "") for part in objects(cast("object", content))]
        return {"role": "assistant", "content": "".join(texts)}
    rest.pop("status", None)
    return rest
