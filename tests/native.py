"""What recorded answers say, read without the library: streams put together as the providers document it."""

import json
from collections.abc import Callable
from typing import Any

from botocore.eventstream import EventStreamBuffer

Json = dict[str, Any]


def sse(raw: bytes) -> list[Json]:
    """The JSON data of server-sent events."""
    lines = [line[5:].strip() for line in raw.decode().splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line and line != "[DONE]"]


def frames(raw: bytes) -> list[tuple[str, Json]]:
    """The frames of an AWS event stream, by botocore."""
    buffer = EventStreamBuffer()
    buffer.add_data(raw)
    found = []
    for message in buffer:
        parsed = message.to_response_dict()
        found.append((parsed["headers"].get(":event-type", ""), json.loads(parsed["body"])))
    return found


# --- streams to complete answers


def anthropic_message(events: list[Json]) -> Json:
    message: Json = {}
    for event in events:
        kind = event["type"]
        if kind == "message_start":
            message = json.loads(json.dumps(event["message"]))
        elif kind == "content_block_start":
            message["content"].append(dict(event["content_block"]))
        elif kind == "content_block_delta":
            _anthropic_delta(message["content"][event["index"]], event["delta"])
        elif kind == "content_block_stop":
            block = message["content"][event["index"]]
            if "partial" in block:
                block["input"] = json.loads(block.pop("partial") or "{}")
        elif kind == "message_delta":
            message |= event["delta"]
            message["usage"] |= {name: value for name, value in event["usage"].items() if value is not None}
    return message


def _anthropic_delta(block: Json, delta: Json) -> None:
    kind = delta["type"]
    if kind == "text_delta":
        block["text"] += delta["text"]
    elif kind == "thinking_delta":
        block["thinking"] += delta["thinking"]
    elif kind == "signature_delta":
        block["signature"] = (block.get("signature") or "") + delta["signature"]
    elif kind == "input_json_delta":
        block["partial"] = block.get("partial", "") + delta["partial_json"]
    elif kind == "citations_delta":
        block.setdefault("citations", []).append(delta["citation"])


def invoke_events(raw: bytes) -> list[Json]:
    """Anthropic's events out of InvokeModel's frames."""
    import base64

    return [json.loads(base64.b64decode(body["bytes"])) for _, body in frames(raw)]


def gemini_answer(chunks: list[Json]) -> Json:
    answer: Json = {"candidates": [{"content": {"role": "model", "parts": []}}]}
    candidate = answer["candidates"][0]
    for chunk in chunks:
        answer |= {name: value for name, value in chunk.items() if name != "candidates"}
        for found in chunk.get("candidates", []):
            candidate |= {name: value for name, value in found.items() if name != "content"}
            for part in found.get("content", {}).get("parts", []):
                parts = candidate["content"]["parts"]
                last = parts[-1] if parts else {}
                plain = "text" in part and "thoughtSignature" not in part and part["text"]
                if (
                    plain
                    and "text" in last
                    and "thoughtSignature" not in last
                    and last.get("thought") == part.get("thought")
                ):
                    last["text"] += part["text"]
                else:
                    parts.append(dict(part))
    return answer


def converse_answer(found: list[tuple[str, Json]]) -> Json:
    blocks: dict[int, Json] = {}
    answer: Json = {}
    for name, body in found:
        index = body.get("contentBlockIndex", -1)
        if name == "contentBlockStart":
            blocks[index] = json.loads(json.dumps(body["start"]))
        elif name == "contentBlockDelta":
            _converse_delta(blocks.setdefault(index, {}), body["delta"])
        elif name == "messageStop":
            answer["stopReason"] = body["stopReason"]
        elif name == "metadata":
            answer |= {name: value for name, value in body.items() if name != "p"}
    content = [_converse_block(blocks[index]) for index in sorted(blocks)]
    return {"output": {"message": {"role": "assistant", "content": content}}, **answer}


def _converse_delta(block: Json, delta: Json) -> None:
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    elif "toolUse" in delta:
        block["toolUse"]["partial"] = block["toolUse"].get("partial", "") + delta["toolUse"]["input"]
    elif "toolResult" in delta:
        block["toolResult"].setdefault("content", []).extend(delta["toolResult"])
    elif "reasoningContent" in delta:
        inner = block.setdefault("reasoningContent", {}).setdefault("reasoningText", {"text": ""})
        for name, value in delta["reasoningContent"].items():
            inner[name] = inner.get(name, "") + value
    elif "citation" in delta:
        block.setdefault("citations", []).append(delta["citation"])


def _converse_block(block: Json) -> Json:
    use = block.get("toolUse")
    if use is not None:
        use["input"] = json.loads(use.pop("partial", None) or "{}")
    if "citations" in block:
        content = [{"text": block.pop("text", "")}]
        return {"citationsContent": {"content": content, "citations": block["citations"]}}
    return block


def chat_answer(chunks: list[Json]) -> Json:
    message: Json = {"role": "assistant", "content": ""}
    calls: dict[Any, Json] = {}
    answer: Json = {"choices": [{"index": 0, "message": message, "finish_reason": None}]}
    for chunk in chunks:
        answer |= {
            n: v for n, v in chunk.items() if n in ("model", "usage", "citations", "x_groq", "search_results") and v
        }
        for choice in chunk.get("choices", []):
            delta = choice.get("delta") or {}
            message.setdefault("annotations", []).extend(delta.get("annotations") or [])
            answer["choices"][0].setdefault("logprobs", {"content": []})["content"].extend(
                (choice.get("logprobs") or {}).get("content") or []
            )
            for name in ("reasoning_content", "reasoning", "refusal"):
                if delta.get(name):
                    message[name] = (message.get(name) or "") + delta[name]
            for detail in delta.get("reasoning_details") or []:
                _chat_detail(message.setdefault("reasoning_details", []), detail)
            content = delta.get("content")
            if isinstance(content, list):
                for part in content:
                    if part["type"] == "thinking":
                        text = "".join(one.get("text", "") for one in part["thinking"])
                        message["thinking"] = message.get("thinking", "") + text
                    else:
                        message["content"] += part["text"]
            elif content:
                message["content"] += content
            for call in delta.get("tool_calls") or []:
                _chat_call(calls, call)
            answer["choices"][0]["finish_reason"] = choice.get("finish_reason") or answer["choices"][0]["finish_reason"]
    if calls:
        message["tool_calls"] = list(calls.values())
    if "thinking" in message:
        inner = [{"type": "text", "text": message.pop("thinking")}]
        message["content"] = [{"type": "thinking", "thinking": inner}, {"type": "text", "text": message["content"]}]
    return answer


def _chat_detail(details: list[Json], piece: Json) -> None:
    last = details[-1] if details else {}
    if (last.get("type"), last.get("index")) != (piece.get("type"), piece.get("index")):
        details.append(dict(piece))
        return
    for name, value in piece.items():
        grows = name in ("text", "summary", "data", "signature") and last.get(name) and value
        last[name] = last[name] + value if grows else value if value is not None else last.get(name)


def _chat_call(calls: dict[Any, Json], call: Json) -> None:
    known = calls.get(call.get("index"))
    if known is None:
        calls[call.get("index")] = json.loads(json.dumps(call))
        calls[call.get("index")]["function"].setdefault("arguments", "")
    else:
        known["function"]["arguments"] += call["function"].get("arguments") or ""


def cohere_answer(events: list[Json]) -> Json:
    message: Json = {"role": "assistant", "content": [], "tool_calls": [], "citations": []}
    answer: Json = {"message": message}
    for event in events:
        kind, delta = event["type"], event.get("delta", {})
        inner = delta.get("message", {})
        if kind == "content-start":
            message["content"].append(dict(inner["content"]))
        elif kind == "content-delta":
            for name, value in inner["content"].items():
                message["content"][-1][name] = message["content"][-1].get(name, "") + value
        elif kind == "tool-call-start":
            message["tool_calls"].append(json.loads(json.dumps(inner["tool_calls"])))
        elif kind == "tool-call-delta":
            message["tool_calls"][-1]["function"]["arguments"] += inner["tool_calls"]["function"]["arguments"]
        elif kind == "citation-start":
            message["citations"].append(inner["citations"])
        elif kind == "tool-plan-delta":
            message["tool_plan"] = message.get("tool_plan", "") + inner["tool_plan"]
        elif kind == "message-end":
            answer |= delta
    return answer


def ollama_answer(raw: bytes) -> Json:
    message: Json = {"role": "assistant", "content": "", "thinking": "", "tool_calls": []}
    answer: Json = {}
    for line in raw.decode().splitlines():
        if line.strip():
            chunk = json.loads(line)
            answer |= {name: value for name, value in chunk.items() if name != "message"}
            for name in ("content", "thinking"):
                message[name] += chunk["message"].get(name) or ""
            message["tool_calls"] += chunk["message"].get("tool_calls") or []
    return {**answer, "message": message}


# --- what complete answers say


def _calls(found: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [(name, json.loads(given) if isinstance(given, str) and given else given or {}) for name, given in found]


def said_anthropic(message: Json) -> Json:
    blocks = message["content"]
    usage = message["usage"]
    given = sum(usage.get(n) or 0 for n in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"))
    return {
        "text": "".join(block["text"] for block in blocks if block["type"] == "text"),
        "calls": _calls([(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"]),
        "reasoning": "".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        "signatures": [block["signature"] for block in blocks if block["type"] == "thinking"],
        "citations": [one for block in blocks for one in block.get("citations") or []],
        "hosted": sum(block["type"] == "server_tool_use" for block in blocks),
        "usage": (given, usage["output_tokens"], usage.get("cache_read_input_tokens") or 0),
        "stop": message["stop_reason"],
    }


def said_gemini(answer: Json) -> Json:
    candidate = (answer.get("candidates") or [{}])[0]
    parts = candidate.get("content", {}).get("parts", [])
    usage = answer.get("usageMetadata", {})
    grounding = candidate.get("groundingMetadata", {})
    cited = [
        (grounding["groundingChunks"][index]["web"]["uri"], support["segment"]["text"])
        for support in grounding.get("groundingSupports", [])
        for index in support["groundingChunkIndices"]
    ]
    return {
        "text": "".join(part["text"] for part in parts if "text" in part and not part.get("thought")),
        "calls": [
            (part["functionCall"]["name"], part["functionCall"].get("args", {}))
            for part in parts
            if "functionCall" in part
        ],
        "reasoning": "".join(part.get("text", "") for part in parts if part.get("thought")),
        "signatures": [part["thoughtSignature"] for part in parts if "thoughtSignature" in part],
        "citations": cited,
        "hosted": bool(grounding.get("webSearchQueries")) + 0,
        "usage": (
            usage.get("promptTokenCount", 0) + usage.get("toolUsePromptTokenCount", 0),
            usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0),
            usage.get("cachedContentTokenCount", 0),
        ),
        "stop": candidate.get("finishReason") or answer.get("promptFeedback", {}).get("blockReason"),
    }


def said_converse(answer: Json) -> Json:
    blocks = answer["output"]["message"]["content"]
    usage = answer["usage"]
    cached, written = usage.get("cacheReadInputTokens") or 0, usage.get("cacheWriteInputTokens") or 0
    texts = [[block["text"]] if "text" in block else [p["text"] for p in block["citationsContent"]["content"]]
             for block in blocks if "text" in block or "citationsContent" in block]  # fmt: skip
    thoughts = [block["reasoningContent"]["reasoningText"] for block in blocks if "reasoningContent" in block]
    uses = [block["toolUse"] for block in blocks if "toolUse" in block]
    return {
        "text": "".join(text for found in texts for text in found),
        "calls": [(use["name"], use["input"]) for use in uses if "type" not in use or use["type"] == "tool_use"],
        "reasoning": "".join(thought["text"] for thought in thoughts),
        "signatures": [thought["signature"] for thought in thoughts if "signature" in thought],
        "citations": [one for block in blocks for one in block.get("citationsContent", {}).get("citations", [])],
        "hosted": sum(use.get("type") == "server_tool_use" for use in uses),
        "usage": (usage["inputTokens"] + cached + written, usage["outputTokens"], cached),
        "stop": answer["stopReason"],
    }


def said_chat(answer: Json) -> Json:
    choice = answer["choices"][0]
    message = choice["message"]
    content = message.get("content")
    thinking = ""
    if isinstance(content, list):
        thinking = "".join(t["text"] for part in content if part["type"] == "thinking" for t in part["thinking"])
        content = "".join(part["text"] for part in content if part["type"] == "text")
    elif isinstance(content, dict):
        content = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    usage = answer.get("usage") or answer.get("x_groq", {}).get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    calls = [call["custom" if call["type"] == "custom" else "function"] for call in message.get("tool_calls") or []]
    if (message.get("function_call") or {}).get("name"):
        calls.append(message["function_call"])
    text = content or (message.get("audio") or {}).get("transcript") or ""
    detailed = "".join(one.get("text") or "" for one in message.get("reasoning_details") or [])
    return {
        "text": text,
        "refusal": message.get("refusal") or "",
        "calls": _calls([(call["name"], call.get("arguments", call.get("input"))) for call in calls]),
        "reasoning": message.get("reasoning_content") or message.get("reasoning") or thinking or detailed,
        "citations": [one["url_citation"]["url"] for one in message.get("annotations") or []],
        "usage": (usage.get("prompt_tokens", 0), _completion(usage), details.get("cached_tokens") or 0),
        "stop": choice.get("finish_reason"),
    }


def _completion(usage: Json) -> int:
    """Some count the reasoning beside the completion; the total tells."""
    made, given = usage.get("completion_tokens", 0), usage.get("prompt_tokens", 0)
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return made + reasoning if reasoning and usage.get("total_tokens") == given + made + reasoning else made


def said_cohere(answer: Json) -> Json:
    message = answer["message"]
    parts = message.get("content") or []
    tokens = answer["usage"]["tokens"]
    return {
        "text": "".join(part.get("text") or "" for part in parts),
        "calls": _calls([(c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or []]),
        "reasoning": (message.get("tool_plan") or "") + "".join(part.get("thinking") or "" for part in parts),
        "citations": list(message.get("citations") or []),
        "usage": (tokens["input_tokens"], tokens["output_tokens"], answer["usage"].get("cached_tokens") or 0),
        "stop": answer["finish_reason"],
    }


def said_ollama(answer: Json) -> Json:
    message = answer["message"]
    calls = [call["function"] for call in message.get("tool_calls") or []]
    return {
        "text": message["content"],
        "calls": [(call["name"], call["arguments"]) for call in calls],
        "reasoning": message.get("thinking") or "",
        "usage": (answer["prompt_eval_count"], answer["eval_count"], 0),
        "stop": answer["done_reason"],
    }


def said_watsonx(chunks: list[Json]) -> Json:
    results = [chunk["results"][0] for chunk in chunks]
    given = max(result["input_token_count"] for result in results)
    return {
        "text": "".join(result["generated_text"] for result in results),
        "calls": [],
        "usage": (given, results[-1]["generated_token_count"], 0),
        "stop": results[-1]["stop_reason"],
    }


Reader = tuple[Callable[[bytes], Any], Callable[[Any], Json]]

READERS: dict[str, Reader] = {
    "anthropic": (lambda raw: anthropic_message(sse(raw)), said_anthropic),
    "bedrock_invoke_anthropic": (lambda raw: anthropic_message(invoke_events(raw)), said_anthropic),
    "gemini": (lambda raw: gemini_answer(sse(raw)), said_gemini),
    "converse": (lambda raw: converse_answer(frames(raw)), said_converse),
    "chat": (lambda raw: chat_answer(sse(raw)), said_chat),
    "cohere": (lambda raw: cohere_answer(sse(raw)), said_cohere),
    "ollama": (ollama_answer, said_ollama),
}
