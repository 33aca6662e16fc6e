"""What a fake region answers: complete Response objects and streams, built from the published schema."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_WORDS = "the train left on time and every signal along the line was green as far as anyone could see from here".split()


def new_id(prefix: str, rng: random.Random) -> str:
    """An id as the provider makes them."""
    return f"{prefix}_{rng.getrandbits(192):048x}"


def response_object(
    request: Mapping[str, Any], region: str, turn: int, words: int, rng: random.Random
) -> dict[str, Any]:
    """The finished response to a request. Its text says which region wrote it and how many turns it has seen."""
    return response_with(request, _output(request, region, turn, words, rng), words, rng)


def response_with(
    request: Mapping[str, Any], output: list[dict[str, Any]], words: int, rng: random.Random
) -> dict[str, Any]:
    """The finished response with this output."""
    size = len(json.dumps(request.get("input", ""))) // 4 + 1
    return {
        "id": new_id("resp", rng),
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "completed",
        "background": bool(request.get("background")),
        "error": None,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "max_output_tokens": request.get("max_output_tokens"),
        "model": request.get("model", "unknown"),
        "output": output,
        "parallel_tool_calls": request.get("parallel_tool_calls", True),
        "previous_response_id": request.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "store": request.get("store", True),
        "temperature": request.get("temperature", 1.0),
        "text": {"format": {"type": "text"}},
        "tool_choice": request.get("tool_choice", "auto"),
        "tools": list(request.get("tools") or ()),
        "top_p": request.get("top_p", 1.0),
        "truncation": request.get("truncation", "disabled"),
        "usage": {
            "input_tokens": size,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": words,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": size + words,
        },
        "user": None,
        "metadata": request.get("metadata") or {},
    }


def _output(request: Mapping[str, Any], region: str, turn: int, words: int, rng: random.Random) -> list[dict[str, Any]]:
    tools: Sequence[Mapping[str, Any]] = request.get("tools") or ()
    output: list[dict[str, Any]] = []
    if request.get("reasoning"):
        include = request.get("include") or ()
        output.append(reasoning_item(f"sealed-by-{region}" if "reasoning.encrypted_content" in include else None, rng))
    if request.get("tool_choice") == "required" and tools:
        output.append(call_item(tools[0].get("name", "tool"), {"turn": turn}, rng))
    else:
        filler = " ".join(_WORDS[index % len(_WORDS)] for index in range(max(words - 4, 0)))
        output.append(message_item(f"{region} turn {turn}: {filler}".rstrip(), rng))
    return output


def reasoning_item(sealed: str | None, rng: random.Random) -> dict[str, Any]:
    """Reasoning whose text is not told."""
    return {"id": new_id("rs", rng), "type": "reasoning", "summary": [], "encrypted_content": sealed}


def call_item(name: str, arguments: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    """A call of a function."""
    return {
        "id": new_id("fc", rng),
        "type": "function_call",
        "status": "completed",
        "call_id": f"call_{rng.getrandbits(96):024x}",
        "name": name,
        "arguments": json.dumps(arguments),
    }


def message_item(text: str, rng: random.Random) -> dict[str, Any]:
    """What the assistant says."""
    return {
        "id": new_id("msg", rng),
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": text}],
    }


def stream_events(response: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of a response, in the order OpenAI sends them, numbered."""
    for number, event in enumerate(_events(response)):
        yield {**event, "sequence_number": number}


def _events(response: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    begun: dict[str, Any] = {**response, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(response["output"]):
        where = {"output_index": index, "item_id": item["id"]}
        if item["type"] == "reasoning":
            yield {"type": "response.output_item.added", "output_index": index, "item": item}
        elif item["type"] == "function_call":
            fresh = {**item, "status": "in_progress", "arguments": ""}
            yield {"type": "response.output_item.added", "output_index": index, "item": fresh}
            yield {"type": "response.function_call_arguments.delta", **where, "delta": item["arguments"]}
            done = {"arguments": item["arguments"], "name": item["name"]}
            yield {"type": "response.function_call_arguments.done", **where, **done}
        else:
            yield from _message(index, item, where)
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": dict(response)}


def _message(index: int, item: Mapping[str, Any], where: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    part = item["content"][0]
    here = {**where, "content_index": 0}
    fresh: dict[str, Any] = {**item, "status": "in_progress", "content": []}
    yield {"type": "response.output_item.added", "output_index": index, "item": fresh}
    yield {"type": "response.content_part.added", **here, "part": {**part, "text": ""}}
    words = part["text"].split(" ")
    for number, word in enumerate(words):
        delta = word if number == len(words) - 1 else word + " "
        yield {"type": "response.output_text.delta", **here, "delta": delta, "logprobs": []}
    yield {"type": "response.output_text.done", **here, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **here, "part": part}


def failed_events(response: Mapping[str, Any], number: int, *, then_failed: bool) -> Iterator[dict[str, Any]]:
    """The events of a stream that fails before event `number`."""
    told = {"type": "server_error", "code": "server_error", "message": "The model is overloaded", "param": None}
    yield {"type": "error", "sequence_number": number, "error": told}
    if then_failed:
        failed = {**response, "status": "failed", "error": {"code": "server_error", "message": "overloaded"}}
        yield {"type": "response.failed", "sequence_number": number + 1, "response": failed}


def encode_event(event: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"event: %s\ndata: %s\n\n" % (str(event["type"]).encode(), json.dumps(event).encode())
