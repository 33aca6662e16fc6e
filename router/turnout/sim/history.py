"""A region that answers from the history it is sent, and refuses what Azure and OpenAI refuse.

The history of a request is the stored chain of `previous_response_id` and the input after it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from turnout.sim.account import Account
from turnout.sim.faults import error_body
from turnout.sim.region import FakeRegion
from turnout.sim.replies import call_item, message_item, reasoning_item, response_with
from turnout.sim.upstream import Answer, Refused
from turnout.sim.words import Heard, reply_to

Item = Mapping[str, Any]
_INPUT = ("input_text", "input_image", "input_file")
_PARTS = {"user": _INPUT, "system": _INPUT, "developer": _INPUT, "assistant": ("output_text", "refusal")}


class HistoryRegion(FakeRegion):
    """A FakeRegion whose answers name every word of their history (see `words.py`).

    It refuses ids and encrypted reasoning of other accounts anywhere in a body, items of responses that were not
    stored, an item given twice, reasoning without what followed it, and tool calls and outputs without each other.
    """

    def __init__(self, name: str, *, latency: float = 0.0, word_seconds: float = 0.0, seed: int = 0) -> None:
        super().__init__(name, latency=latency, word_seconds=word_seconds, seed=seed)
        self.account = Account(name, self._rng)
        self._histories: dict[str, list[Item]] = {}
        """What was said up to and with a stored response."""
        self._kept: set[object] = set()
        """Ids of the items of stored responses."""

    def answer(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: Mapping[str, Any]
    ) -> Answer:
        """What the region says, refusals included."""
        try:
            return super().answer(method, path, query, headers, body)
        except Refused as refused:
            self.note_refusal(refused)
            error = error_body(refused.message, "invalid_request_error", refused.code, "input")
            return Answer(400, error)

    def _create(self, body: Mapping[str, Any]) -> Answer:
        previous = str(body.get("previous_response_id"))
        if self.account.knows(previous) and previous not in self.responses:
            text = f"Previous response with id '{previous}' not found."
            raise Refused("not stored", text, code="previous_response_not_found")
        return super()._create(body)

    def _made(self, body: Mapping[str, Any], turn: int, words: int) -> dict[str, Any]:  # noqa: ARG002 (the base's)
        self.account.check_ids(body)
        before = self._histories.get(str(body.get("previous_response_id")), [])
        given = _items(body.get("input"))
        history = [*before, *given]
        self._check_items(before, given)
        check_calls(history)
        turns = [heard for item in history if (heard := hear(item)) is not None]
        if not turns:
            raise Refused("empty", "One of 'input' or 'previous_response_id' must be provided.")
        tools = [str(tool.get("name")) for tool in body.get("tools") or () if tool.get("type") == "function"]
        choice: object = body.get("tool_choice", "auto")
        offered = [] if choice == "none" else tools
        reply = reply_to(turns, offered, self._rng, must_call=choice == "required")
        output = [self._reasoning(body)] if body.get("reasoning") else []
        if reply.tool is not None:
            output.append(call_item(reply.tool, {"note": reply.text}, self._rng))
        else:
            output.append(message_item(reply.text, self._rng))
        response = response_with(body, output, len(reply.text.split()), self._rng)
        self.account.know(response)
        if response["store"]:
            self._histories[response["id"]] = [*history, *output]
            self._kept.update(item["id"] for item in output)
        return response

    def _reasoning(self, body: Mapping[str, Any]) -> dict[str, Any]:
        wanted = "reasoning.encrypted_content" in (body.get("include") or ())
        return reasoning_item(self.account.seal() if wanted else None, self._rng)

    def _check_items(self, before: Sequence[Item], given: Sequence[Item]) -> None:
        seen = {item.get("id") for item in before}
        for index, item in enumerate(given):
            item_id = item.get("id")
            if item_id is not None and item_id in seen:
                raise Refused("given twice", f"Duplicate item found with id {item_id}.")
            seen.add(item_id)
            if item.get("type") == "reasoning":
                self._check_reasoning(item, given[index + 1] if index + 1 < len(given) else {})

    def _check_reasoning(self, item: Item, following: Item) -> None:
        sealed = item.get("encrypted_content")
        if sealed is not None and not self.account.opens(sealed):
            text = "The encrypted content could not be verified."
            raise Refused("foreign reasoning", text, foreign=True, code="invalid_encrypted_content")
        if sealed is None and item.get("id") not in self._kept:
            text = f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false."
            raise Refused("not stored", text)
        if following.get("role") != "assistant" and following.get("type") not in ("reasoning", "function_call"):
            text = f"Item '{item.get('id')}' of type 'reasoning' was provided without its required following item."
            raise Refused("reasoning alone", text)


def _items(given: object) -> list[Item]:
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    return [cast("Item", item) for item in cast("list[object]", given or []) if isinstance(item, Mapping)]


def hear(item: Item) -> Heard | None:
    """An item as a turn, None for reasoning and instructions. Refuses what is no valid item."""
    kind = item.get("type") or ("message" if "role" in item else None)
    if kind == "message":
        return _message(item)
    if kind == "function_call":
        return Heard("model", note_of(item.get("arguments")))
    if kind == "function_call_output":
        return Heard("tool", str(item.get("output")))
    if kind == "reasoning":
        return None
    raise Refused("unknown item", f"Invalid value: '{kind}'.", code="invalid_value")


def note_of(arguments: object) -> str:
    """What a call of one of our tools says."""
    try:
        found: object = json.loads(str(arguments))
    except ValueError:
        return ""
    return str(cast("Item", found).get("note", "")) if isinstance(found, Mapping) else ""


def _message(item: Item) -> Heard | None:
    role, content = str(item.get("role")), item.get("content")
    if role not in _PARTS:
        raise Refused("role", f"Invalid value: '{role}'. Supported values are: {', '.join(sorted(_PARTS))}.")
    texts = [content] if isinstance(content, str) else []
    for part in cast("list[Item]", content) if isinstance(content, list) else []:
        if part.get("type") not in _PARTS[role]:
            raise Refused("role", f"Invalid value: '{part.get('type')}'. Supported values are: {_PARTS[role]}.")
        texts.append(str(part.get("text") or part.get("refusal") or ""))
    if role in ("system", "developer"):
        return None
    return Heard("model" if role == "assistant" else "user", "".join(texts))


def check_calls(history: Sequence[Item]) -> None:
    """Every tool output answers a call before it, once; every call has its output."""
    waiting: set[object] = set()
    for item in history:
        call_id = item.get("call_id")
        if item.get("type") == "function_call":
            waiting.add(call_id)
        elif item.get("type") == "function_call_output":
            if call_id not in waiting:
                raise Refused("orphaned result", f"No tool call found for function call output with call_id {call_id}.")
            waiting.discard(call_id)
    if waiting:
        raise Refused("call without result", f"No tool output found for function call {min(map(str, waiting))}.")
