"""Native answers on every wire, made from the providers' published schemas: plain, and as the stream of the same."""

import base64
import binascii
import json
import struct
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass
class Said:
    """What a model says in one answer."""

    text: str = ""
    thought: str = ""
    signature: str = ""
    calls: list[tuple[str, str, Json]] = field(default_factory=list)
    """Id, name, arguments."""
    tokens: tuple[int, int] = (11, 7)


def sse(events: list[Json], *, named: bool = False, done: bool = False) -> bytes:
    lines = [(f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


def frame(headers: dict[str, str], payload: Json | bytes) -> bytes:
    """One AWS event-stream frame."""
    packed = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in headers.items()
    )
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(packed) + len(body), len(packed))
    start = prelude + struct.pack(">I", binascii.crc32(prelude)) + packed + body
    return start + struct.pack(">I", binascii.crc32(start))


def event_frame(name: str, payload: Json | bytes) -> bytes:
    return frame({":event-type": name, ":content-type": "application/json", ":message-type": "event"}, payload)


# --- Anthropic


def anthropic(said: Said) -> Json:
    content: list[Json] = []
    if said.thought or said.signature:
        content.append({"type": "thinking", "thinking": said.thought, "signature": said.signature})
    if said.text:
        content.append({"type": "text", "text": said.text})
    content += [{"type": "tool_use", "id": i, "name": name, "input": given} for i, name, given in said.calls]
    usage = {"input_tokens": said.tokens[0], "output_tokens": said.tokens[1]}
    stop = "tool_use" if said.calls else "end_turn"
    about = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6"}
    return {**about, "content": content, "stop_reason": stop, "stop_sequence": None, "usage": usage}


def anthropic_events(said: Said) -> list[Json]:
    whole = anthropic(said)
    events: list[Json] = [
        {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}},
        {"type": "ping"},
    ]
    for index, block in enumerate(whole["content"]):
        empty = {"thinking": {"thinking": "", "signature": ""}, "text": {"text": ""}, "tool_use": {"input": {}}}
        events.append(
            {"type": "content_block_start", "index": index, "content_block": {**block, **empty[block["type"]]}}
        )
        for delta in _anthropic_deltas(block):
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": said.tokens[1]}})
    return [*events, {"type": "message_stop"}]


def _anthropic_deltas(block: Json) -> list[Json]:
    if block["type"] == "thinking":
        half = len(block["thinking"]) // 2
        pieces = [block["thinking"][:half], block["thinking"][half:]]
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces if piece]
        return [*deltas, {"type": "signature_delta", "signature": block["signature"]}]
    if block["type"] == "text":
        return [{"type": "text_delta", "text": block["text"]}]
    given = json.dumps(block["input"])
    return [
        {"type": "input_json_delta", "partial_json": piece} for piece in ("", given[:3], given[3:]) if block["input"]
    ]


def invoke_stream(said: Said) -> bytes:
    packed = [base64.b64encode(json.dumps(event).encode()).decode() for event in anthropic_events(said)]
    return b"".join(event_frame("chunk", {"bytes": text, "p": "abc"}) for text in packed)


# --- Gemini


def gemini(said: Said) -> Json:
    parts: list[Json] = []
    if said.thought:
        parts.append({"text": said.thought, "thought": True})
    if said.text:
        parts.append(
            {"text": said.text, **({"thoughtSignature": said.signature} if not said.calls and said.signature else {})}
        )
    for number, (_, name, given) in enumerate(said.calls):
        signed = {"thoughtSignature": said.signature} if said.signature and number == 0 else {}
        parts.append({"functionCall": {"name": name, "args": given}, **signed})
    given, made = said.tokens
    usage = {"promptTokenCount": given, "candidatesTokenCount": made, "totalTokenCount": given + made}
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-3-pro", "responseId": "r"}


def gemini_chunks(said: Said) -> list[Json]:
    whole = gemini(said)
    candidate = whole["candidates"][0]
    chunks = []
    for part in candidate["content"]["parts"]:
        chunks.append({**whole, "candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}]})
    last = {**whole, "candidates": [{**candidate, "content": {"role": "model", "parts": []}}]}
    return [*chunks, last]


# --- Converse


def converse(said: Said) -> Json:
    content: list[Json] = []
    if said.thought:
        text = {"text": said.thought, **({"signature": said.signature} if said.signature else {})}
        content.append({"reasoningContent": {"reasoningText": text}})
    if said.text:
        content.append({"text": said.text})
    content += [{"toolUse": {"toolUseId": i, "name": name, "input": given}} for i, name, given in said.calls]
    given, made = said.tokens
    usage = {"inputTokens": given, "outputTokens": made, "totalTokens": given + made}
    message = {"role": "assistant", "content": content}
    stop = "tool_use" if said.calls else "end_turn"
    return {"output": {"message": message}, "stopReason": stop, "usage": usage, "metrics": {"latencyMs": 1}}


def converse_stream(said: Said) -> bytes:
    whole = converse(said)
    found = [event_frame("messageStart", {"role": "assistant", "p": "ab"})]
    for index, block in enumerate(whole["output"]["message"]["content"]):
        found += [event_frame(name, {"contentBlockIndex": index, **body}) for name, body in _converse_events(block)]
        found.append(event_frame("contentBlockStop", {"contentBlockIndex": index}))
    found.append(event_frame("messageStop", {"stopReason": whole["stopReason"]}))
    found.append(event_frame("metadata", {"usage": whole["usage"], "metrics": whole["metrics"]}))
    return b"".join(found)


def _converse_events(block: Json) -> list[tuple[str, Json]]:
    name = "contentBlockDelta"
    if "text" in block:
        return [(name, {"delta": {"text": block["text"]}})]
    if "reasoningContent" in block:
        inner = block["reasoningContent"]["reasoningText"]
        return [(name, {"delta": {"reasoningContent": {key: value}}}) for key, value in inner.items()]
    use = block["toolUse"]
    start = {"start": {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}}
    text = json.dumps(use["input"]) if use["input"] else ""
    pieces = [piece for piece in (text[:4], text[4:]) if piece]
    return [("contentBlockStart", start), *((name, {"delta": {"toolUse": {"input": piece}}}) for piece in pieces)]


# --- chat completions


def chat(said: Said, field: str = "reasoning_content") -> Json:
    message: Json = {"role": "assistant", "content": said.text or None}
    if said.thought:
        message[field] = said.thought
    if said.signature:
        message["reasoning_details"] = [
            {"type": "reasoning.text", "index": 0, "text": said.thought, "signature": said.signature}
        ]
    if said.calls:
        message["tool_calls"] = [
            {"id": i, "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
            for i, name, given in said.calls
        ]
    given, made = said.tokens
    usage = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if said.calls else "stop"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


def chat_chunks(said: Said, field: str = "reasoning_content") -> list[Json]:
    whole = chat(said, field)
    message, reason = whole["choices"][0]["message"], whole["choices"][0]["finish_reason"]
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    if said.thought:
        deltas.append({field: said.thought, "reasoning_details": message.get("reasoning_details")})
    if said.text:
        deltas.append({"content": said.text})
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        deltas.append({"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]})
        pieces = (function["arguments"][:3], function["arguments"][3:])
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces]
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunks = [{**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    return [*chunks, {**base, "choices": [], "usage": whole["usage"]}]


# --- by wire


def answer(wire: str, said: Said, *, stream: bool) -> bytes:
    """The bytes of an answer on a wire."""
    if wire == "anthropic-messages":
        return sse(anthropic_events(said), named=True) if stream else json.dumps(anthropic(said)).encode()
    if wire == "invoke":
        return invoke_stream(said) if stream else json.dumps(anthropic(said)).encode()
    if wire == "gemini":
        return sse(gemini_chunks(said)) if stream else json.dumps(gemini(said)).encode()
    if wire == "bedrock-converse":
        return converse_stream(said) if stream else json.dumps(converse(said)).encode()
    return sse(chat_chunks(said), done=True) if stream else json.dumps(chat(said)).encode()
