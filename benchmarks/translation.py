"""What translating costs: CPU per stream event and per request, against the SDKs' own reading of the same bytes.

    python -m benchmarks.translation

Prints microseconds and ratios to the peer in the same run. The peer of a decoder is the provider's SDK (anthropic,
openai) or its types (google-genai) building its own objects from the same stream; ours builds Responses events.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from turnout_adapters.adapter import Target, WireCall
from turnout_adapters.providers import PROVIDERS
from turnout_adapters.registry import adapter_for

EVENTS = 2000
ROUNDS = 7
PIECE = 400
"""Bytes in a piece, as a network might cut them."""
Json = dict[str, Any]


def sse(events: list[Json]) -> bytes:
    return b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in events)


def anthropic_stream() -> bytes:
    message = {"id": "m", "type": "message", "role": "assistant", "model": "claude", "content": [], "stop_reason": None,
               "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "token "}}
    return sse([
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *[delta] * EVENTS,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": EVENTS}},
        {"type": "message_stop"},
    ])  # fmt: skip


def chat_stream() -> bytes:
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    delta = {**base, "choices": [{"index": 0, "delta": {"content": "token "}, "finish_reason": None}]}
    last = {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return sse([*[delta] * EVENTS, last])


def gemini_stream() -> bytes:
    part = {"content": {"role": "model", "parts": [{"text": "token "}]}, "index": 0}
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
    chunk = {"candidates": [part], "usageMetadata": usage, "modelVersion": "g"}
    return sse([*[chunk] * EVENTS, {**chunk, "candidates": [{**part, "finishReason": "STOP"}]}])


def ours(model: str, wire: str, raw: bytes) -> int:
    provider = PROVIDERS[model.partition("/")[0]]
    decoder = adapter_for(provider, wire).decoder(WireCall("create", "m", {"input": "x"}, stream=True, nonce="0"))
    found = 0
    for start in range(0, len(raw), PIECE):
        found += len(decoder.feed(raw[start : start + PIECE]))
    return found + len(decoder.close())


def lines_of(raw: bytes) -> list[bytes]:
    return [line[6:] for line in raw.split(b"\n") if line.startswith(b"data: ")]


def anthropic_sdk(raw: bytes) -> int:
    from anthropic._models import construct_type
    from anthropic.types import RawMessageStreamEvent

    return len([construct_type(type_=RawMessageStreamEvent, value=json.loads(line)) for line in lines_of(raw)])


def openai_sdk(raw: bytes) -> int:
    from openai._models import construct_type
    from openai.types.chat import ChatCompletionChunk

    return len([construct_type(type_=ChatCompletionChunk, value=json.loads(line)) for line in lines_of(raw)])


def google_types(raw: bytes) -> int:
    from google.genai.types import GenerateContentResponse

    return len([GenerateContentResponse.model_validate_json(line) for line in lines_of(raw)])


def timed(action: Callable[[], Any]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


def decoding() -> None:
    cases: list[tuple[str, str, bytes, str, Callable[[bytes], int]]] = [
        ("anthropic/m", "anthropic-messages", anthropic_stream(), "anthropic SDK", anthropic_sdk),
        ("hosted_vllm/m", "openai-chat", chat_stream(), "openai SDK", openai_sdk),
        ("gemini/m", "gemini", gemini_stream(), "google-genai types", google_types),
    ]
    print(f"decoding, CPU microseconds per event ({EVENTS} events, medians of {ROUNDS})")
    for model, wire, raw, peer, read in cases:
        assert ours(model, wire, raw) > EVENTS
        pairs = [(timed(lambda: ours(model, wire, raw)), timed(lambda: read(raw))) for _ in range(ROUNDS)]  # noqa: B023
        mine, theirs = (statistics.median(column) / EVENTS * 1e6 for column in zip(*pairs, strict=True))
        print(f"  {wire:20} {mine:6.1f}   {peer:20} {theirs:6.1f}   ratio {mine / theirs:.2f}")


def encoding() -> None:
    """A conversation of twenty turns with tools, to each wire; the peer is writing the same request as JSON."""
    items: list[Json] = []
    for turn in range(20):
        call = {"type": "function_call", "call_id": f"call_{turn}", "name": "look", "arguments": '{"at": "A"}'}
        output = {"type": "function_call_output", "call_id": f"call_{turn}", "output": "seen " * 40}
        items += [
            {"role": "user", "content": "Look at A. " * 20},
            call,
            output,
            {"role": "assistant", "content": "Done."},
        ]
    tools = [
        {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}
    ]
    body = {"input": items, "tools": tools, "instructions": "Be brief."}
    repeat = 200
    print(f"encoding, CPU microseconds per request ({len(items)} items)")
    models = {
        "anthropic/claude-sonnet-4-6": "anthropic-messages",
        "gemini/gemini-3-pro": "gemini",
        "bedrock/us.amazon.nova-2-lite-v1:0": "bedrock-converse",
        "openai/gpt-5": "openai-chat",
    }
    for model, wire in models.items():
        name, _, upstream = model.partition("/")
        adapter, target = adapter_for(PROVIDERS[name], wire), Target(name, "https://host")
        call = WireCall("create", upstream, body)

        def encode() -> None:
            for _ in range(repeat):
                adapter.request(call, target)  # noqa: B023

        def dump() -> None:
            for _ in range(repeat):
                json.dumps(body)

        pairs = [(timed(encode), timed(dump)) for _ in range(ROUNDS)]
        mine, theirs = (statistics.median(column) / repeat * 1e6 for column in zip(*pairs, strict=True))
        print(f"  {wire:20} {mine:6.0f}   json.dumps           {theirs:6.0f}   ratio {mine / theirs:.1f}")


if __name__ == "__main__":
    decoding()
    encoding()
