"""Whatever bytes a deployment answers, every wire ends in a result or in an error with a type.

Good answers of every wire are made wrong in some places: values replaced, left out, doubled, wrapped; or cut, or any
bytes at all. What comes through is whole: it can be read, written, recorded and ended like any other.
"""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.wire_answers import Said, answer, event_frame
from tests.wires.tools import adapter_of
from turnout.engine.send import failure_of
from turnout.errors import APIError, TurnoutError
from turnout.limits.upstream import remaining
from turnout_adapters.adapter import HTTPReply, Target, WireCall
from turnout_adapters.recorder import StreamRecorder
from turnout_adapters.refusals import request_id_of, retry_after_of
from turnout_adapters.registry import _ADAPTERS

Json = dict[str, Any]
SAID = Said(text="Hello wörld", thought="hm", signature="c2ln", calls=[("call_1", "look", {"at": "Zürich"})])
DEEP: Any = "x"
for _ in range(150):
    DEEP = [DEEP]
JUNK: list[Any] = [
    None, True, 0, -1, 3.7, 10**400, 2**63, 1e308, float("nan"), float("inf"), "", "junk", "²", "٣", "1.2.3s", "\ud800",
    "\x00", "http://[", [], {}, ["junk"], [None], [[]], {"junk": 1}, {"_fields_set": 1, "cls": 2, "self": 3, "_x": 4},
    {"type": ["x"]}, {"type": "message", "content": ["junk"]}, {"type": None, "text": 5}, DEEP,
]  # fmt: skip


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(found for name, one in inner if len(way) < 20 for found in places(one, (*way, name)))]


def odd(rng: random.Random, value: Any) -> Any:
    """The JSON with some places in it made wrong."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        way = rng.choice(places(value))
        if not way:
            continue
        holder = value
        for step in way[:-1]:
            holder = holder[step]
        inner, act = holder[way[-1]], rng.randrange(6)
        if act == 0:
            del holder[way[-1]]
        elif act == 1:
            holder[way[-1]] = [inner, inner]
        elif act == 2:
            holder[way[-1]] = {"junk": inner}
        else:
            holder[way[-1]] = copy.deepcopy(rng.choice(JUNK))
    return value


# --- good answers of every wire


def native(*, done: bool = True) -> Json:
    text = {"type": "output_text", "text": "Hello", "annotations": [{"type": "file_citation", "index": 1}]}
    output = [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", "arguments": "{}"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}},
    ]
    details = {"input_tokens_details": {"cached_tokens": 1}, "output_tokens_details": {"reasoning_tokens": 1}}
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed" if done else "in_progress",
        "model": "m", "output": output if done else [], "error": None, "metadata": {"a": "b"}, "temperature": 1.0,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}, "tools": [{"type": "x"}],
        "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, **details} if done else None,
    }  # fmt: skip


def native_events() -> list[Json]:
    whole, told = native(), list[Json]()
    for kind in ("created", "in_progress"):
        told.append({"type": f"response.{kind}", "response": native(done=False)})
    for index, item in enumerate(whole["output"]):
        where: Json = {"item_id": item["id"], "output_index": index}
        told.append({"type": "response.output_item.added", "item": {**item, "status": "in_progress"}, **where})
        at = {**where, "content_index": 0}
        if item["type"] == "message":
            part = item["content"][0]
            told.append({"type": "response.content_part.added", "part": {**part, "text": ""}, **at})
            told += [{"type": "response.output_text.delta", "delta": piece, **at} for piece in ("Hel", "lo")]
            note = {"annotation": part["annotations"][0], "annotation_index": 0}
            told.append({"type": "response.output_text.annotation.added", **note, **at})
            told.append({"type": "response.output_text.done", "text": part["text"], **at})
            told.append({"type": "response.content_part.done", "part": part, **at})
        if item["type"] == "reasoning":
            at = {**where, "summary_index": 0}
            told.append({"type": "response.reasoning_summary_part.added", "part": item["summary"][0], **at})
            told.append({"type": "response.reasoning_summary_text.delta", "delta": "hm", **at})
        if item["type"] == "function_call":
            told.append({"type": "response.function_call_arguments.delta", "delta": "{}", **where})
            told.append({"type": "response.function_call_arguments.done", "arguments": "{}", **where})
        told.append({"type": "response.made_up.delta", "delta": {"x": 1}, **where})
        told.append({"type": "response.output_item.done", "item": item, **where})
    last = random.Random(len(told)).choice(("completed", "failed", "incomplete"))
    told.append({"type": f"response.{last}", "response": whole})
    return [{**one, "sequence_number": number} for number, one in enumerate(told)]


COHERE = {
    "id": "x", "finish_reason": "COMPLETE",
    "message": {
        "role": "assistant", "tool_plan": "hm", "content": [{"type": "text", "text": "Hello"}],
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
        "citations": [{"start": 0, "end": 2, "sources": [{"id": "s", "document": {"url": "http://x", "title": "t"}}]}],
    },
    "usage": {"tokens": {"input_tokens": 1, "output_tokens": 2}, "cached_tokens": 1},
}  # fmt: skip
COHERE_EVENTS: list[Json] = [
    {"type": "message-start"},
    {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "hm"}}},
    {"type": "content-start", "delta": {"message": {"content": {"type": "text", "text": ""}}}},
    {"type": "content-delta", "delta": {"message": {"content": {"text": "Hello"}}}},
    {"type": "citation-start", "delta": {"message": {"citations": COHERE["message"]["citations"][0]}}},  # type: ignore[index]
    {"type": "tool-call-start", "delta": {"message": {"tool_calls": COHERE["message"]["tool_calls"][0]}}},  # type: ignore[index]
    {"type": "tool-call-delta", "delta": {"message": {"tool_calls": {"function": {"arguments": "{}"}}}}},
    {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": COHERE["usage"]}},
]
OLLAMA = {
    "model": "m", "done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 4, "eval_duration": 5,
    "message": {
        "role": "assistant", "content": "Hello", "thinking": "hm",
        "tool_calls": [{"function": {"name": "look", "arguments": {"a": 1}}}],
    },
}  # fmt: skip
WATSONX = {
    "model_id": "m",
    "results": [{"generated_text": "Hello", "generated_token_count": 2, "input_token_count": 3, "stop_reason": "eos"}],
    "system": {"warnings": [{"message": "old"}]},
}
REPLICATE = {
    "id": "x", "status": "succeeded", "output": ["Hel", "lo"],
    "urls": {"get": "https://api.replicate.com/v1/x", "stream": "https://stream.replicate.com/x"},
    "metrics": {"input_token_count": 1, "output_token_count": 2},
}  # fmt: skip
GROUNDED = {
    "groundingChunks": [{"web": {"uri": "http://x", "title": "t"}}], "webSearchQueries": ["q"],
    "groundingSupports": [{"segment": {"startIndex": 0, "endIndex": 5, "text": "Hello"}, "groundingChunkIndices": [0]}],
}  # fmt: skip
EXTRAS: dict[str, Json] = {
    "openai-chat": {"citations": ["http://x"], "search_results": [{"url": "http://x", "title": "t"}]},
    "gemini": {"promptFeedback": {}},
}


def lines(events: list[Any], **_: Any) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in events)


def as_sse(events: list[Any]) -> bytes:
    named = [(one.get("type") if isinstance(one, dict) else None, one) for one in events]
    return b"".join(
        (f"event: {name}\n" if isinstance(name, str) and name.isprintable() else "").encode(errors="replace")
        + f"data: {json.dumps(one)}\n\n".encode()
        for name, one in named
    )


def as_frames(events: list[Any]) -> bytes:
    found = [next(iter(one.items())) if isinstance(one, dict) and one else ("junk", one) for one in events]
    return b"".join(event_frame(name if name.isascii() else "junk", body) for name, body in found)


def converse_events() -> list[Json]:
    return [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Hello"}}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"citation": {"title": "t", "location": {"web": {}}}}}},
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"reasoningContent": {"text": "hm"}}}},
        {"contentBlockStop": {"contentBlockIndex": 1}},
        {"contentBlockStart": {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t", "name": "look"}}}},
        {"contentBlockDelta": {"contentBlockIndex": 2, "delta": {"toolUse": {"input": "{}"}}}},
        {"contentBlockStop": {"contentBlockIndex": 2}},
        {"messageStop": {"stopReason": "end_turn"}},
        {"metadata": {"usage": {"inputTokens": 1, "outputTokens": 2}}},
    ]


def stream_json(wire: str) -> list[Json]:
    """The events of a good stream whose frames are server-sent events."""
    raw = answer(wire, SAID, stream=True).decode()
    found = [json.loads(line[6:]) for line in raw.splitlines() if line.startswith("data: ") and "[DONE]" not in line]
    return [{**one, **EXTRAS.get(wire, {})} for one in found]


def plain_json(wire: str) -> Json:
    body = {**json.loads(answer(wire, SAID, stream=False)), **EXTRAS.get(wire, {})}
    if wire == "gemini":
        body["candidates"][0]["groundingMetadata"] = GROUNDED
    return body


CHAT, CHUNKS = plain_json("openai-chat"), stream_json("openai-chat")
WIRES: dict[str, tuple[str, Json, list[Json], Callable[[list[Any]], bytes]]] = {
    "openai-responses": ("openai/gpt-5", native(), native_events(), as_sse),
    "openai-chat": ("deepinfra/x", CHAT, CHUNKS, as_sse),
    "anthropic-messages": (
        "anthropic/claude-sonnet-4-6", plain_json("anthropic-messages"), stream_json("anthropic-messages"), as_sse,
    ),
    "gemini": ("gemini/gemini-3-pro", plain_json("gemini"), stream_json("gemini"), as_sse),
    "bedrock-converse": (
        "bedrock/us.amazon.nova-2-lite-v1:0", plain_json("bedrock-converse"), converse_events(), as_frames,
    ),
    "cohere-chat": ("cohere/command-a", COHERE, COHERE_EVENTS, as_sse),
    "ollama-chat": ("ollama/llama3", OLLAMA, [{**OLLAMA, "done": False}, OLLAMA], lines),
    "watsonx-chat": ("watsonx/ibm/granite", CHAT, CHUNKS, as_sse),
    "watsonx-text": ("watsonx/ibm/granite", WATSONX, [WATSONX], as_sse),
    "sagemaker": (
        "sagemaker/x", CHAT, CHUNKS, lambda events: event_frame_raw(as_sse(events)),
    ),
    "replicate": ("replicate/meta/x", REPLICATE, [{"type": "output"}, {"type": "done"}], as_sse),
    "nlp-cloud": ("nlp_cloud/x", {"response": "Hello"}, [{"response": "Hello"}], lines),
}  # fmt: skip
"""Model, complete answer, events of a stream, and how these become bytes."""


def event_frame_raw(data: bytes) -> bytes:
    """Frames whose payloads are pieces of another stream."""
    return b"".join(framed(data[at : at + 40]) for at in range(0, len(data), 40))


def framed(payload: bytes) -> bytes:
    import binascii
    import struct

    prelude = struct.pack(">II", 16 + len(payload), 0)
    start = prelude + struct.pack(">I", binascii.crc32(prelude)) + payload
    return start + struct.pack(">I", binascii.crc32(start))


def test_every_wire_is_here() -> None:
    assert WIRES.keys() == _ADAPTERS.keys()


# --- what must hold


def call_of(model: str, *, stream: bool = False) -> WireCall:
    return WireCall("create", model, {"input": "x"}, stream=stream, nonce="0" * 24, now=1.0)


def read_whole(wire: str, body: bytes, headers: dict[str, str] | None = None) -> Any:
    """The result of a complete answer, or the error; whatever it is, it can be told."""
    adapter, upstream = adapter_of(WIRES[wire][0], wire)
    call, reply = call_of(upstream), HTTPReply(200, headers or {}, body)
    try:
        adapter.follow(call, Target("x", "https://host"), reply)
        result = adapter.response(call, reply)
    except TurnoutError as error:
        assert str(error)
        return error
    sound(result)
    return result


def sound(response: Any) -> None:
    assert isinstance(response.output_text, str)
    json.dumps([response.to_dict(), response.model_dump(mode="json")])
    response.to_json()
    assert all(isinstance(item.get("type"), str) for item in response.output)
    if response.usage is not None:
        told = (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens)
        assert all(type(one) is int and 0 <= one < 2**54 for one in told)


def read_stream(wire: str, raw: bytes, *, cut: bool) -> list[Any]:
    """The events up to the end or the error; the stream can always be ended with what it owes."""
    adapter, upstream = adapter_of(WIRES[wire][0], wire)
    decoder, recorder = adapter.decoder(call_of(upstream, stream=True)), StreamRecorder()
    events: list[Any] = []

    def noted(found: list[Any]) -> None:
        for event in found:
            recorder.observe(event)
            json.dumps([event.to_dict(), event.model_dump(mode="json")])
            assert failure_of(event, "x") is None or str(failure_of(event, "x"))
        events.extend(found)

    try:
        for start in range(0, len(raw), 700):
            noted(decoder.feed(raw[start : start + 700]))
        noted(decoder.cut() if cut else decoder.close())
    except TurnoutError as error:
        assert str(error)
    assert decoder.failure is None or isinstance(decoder.failure, APIError)
    (failed,) = recorder.failed("server_error", "cut", decoder.usage)
    sound(failed.response)
    assert not events or failed.sequence_number > events[-1].sequence_number
    return events


quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
every_wire = pytest.mark.parametrize("wire", sorted(WIRES))


@every_wire
def test_the_good_answers_are_good(wire: str) -> None:
    _, body, events, frames = WIRES[wire]
    assert read_whole(wire, json.dumps(body).encode()).output_text
    assert read_stream(wire, frames(events), cut=False)[-1].type.startswith("response.")


@every_wire
@quick
@given(seed=st.integers(0, 2**32))
def test_complete_answers_of_the_right_outline(wire: str, seed: int) -> None:
    read_whole(wire, json.dumps(odd(random.Random(seed), WIRES[wire][1])).encode())


@every_wire
@quick
@given(seed=st.integers(0, 2**32))
def test_streams_of_the_right_outline(wire: str, seed: int) -> None:
    rng, (_, _, events, frames) = random.Random(seed), WIRES[wire]
    read_stream(wire, frames(odd(rng, events)), cut=rng.random() < 0.5)


@every_wire
@quick
@given(seed=st.integers(0, 2**32))
def test_streams_with_broken_bytes(wire: str, seed: int) -> None:
    rng = random.Random(seed)
    raw = bytearray(WIRES[wire][3](WIRES[wire][2]))
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(raw))
        raw[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(6))
    read_stream(wire, bytes(raw), cut=rng.random() < 0.5)


@every_wire
@quick
@given(data=st.binary(max_size=200))
def test_any_bytes(wire: str, data: bytes) -> None:
    assert isinstance(read_whole(wire, data), TurnoutError)
    for raw in (data, b"data: " + data + b"\n\n", data + b"\n"):
        read_stream(wire, raw, cut=False)


ERROR = {
    "error": {
        "message": "no", "type": "x", "code": "y", "param": "z", "status": "S", "innererror": {"code": "c"},
        "details": [{"@type": "QuotaFailure", "retryDelay": "34s", "violations": [{"quotaId": "PerDay"}]}],
    },
    "detail": [{"msg": "m"}], "errors": [{"message": "m"}], "__type": "a#b",
}  # fmt: skip
NAMES = [
    "retry-after", "retry-after-ms", "date", "x-request-id", "apim-request-id", "x-amzn-errortype",
    *(f"x-ratelimit-{what}-{unit}" for what in ("remaining", "reset") for unit in ("requests", "tokens")),
    *(f"anthropic-ratelimit-{unit}-{what}" for what in ("remaining", "reset") for unit in ("requests", "tokens")),
]  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["0", "-1", "9" * 400, "1e999", "nan", "²", "٣", "1.2.3s", "6m0s", "Tue, 99 Foo 2026 1:2:3 GMT"]),
    st.from_regex(
        r"(Tue|Tuesday), ?[0-9]{1,3}[ -](Nov|Foo)[ -][0-9]{1,12} [0-9]{1,3}:[0-9]{2}:[0-9]{2} [+-]?[0-9A-Z]{3,9}"
    ),
    st.from_regex(r"[0-9]{1,6}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})"),
)


@every_wire
@quick
@given(headers=st.dictionaries(st.sampled_from(NAMES), VALUES), seed=st.integers(0, 2**32), data=st.binary(max_size=60))
def test_refusals(wire: str, headers: dict[str, str], seed: int, data: bytes) -> None:
    rng = random.Random(seed)
    body = data if rng.random() < 0.2 else json.dumps(odd(rng, ERROR)).encode()
    adapter, _ = adapter_of(WIRES[wire][0], wire)
    error = adapter.error(HTTPReply(rng.choice([302, 400, 404, 429, 500, 999]), headers, body), "x", 1e9)
    assert isinstance(error, APIError)
    assert str(error)
    for seconds in (error.retry_after, retry_after_of(headers, 1e9)):
        assert seconds is None or 0 <= seconds <= 86_400
    assert request_id_of(headers) == error.request_id
    assert all(one.amount >= 0 and one.until > 5 for one in remaining(headers, 5.0, 1e9).values())
