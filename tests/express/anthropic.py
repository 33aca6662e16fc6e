"""Messages requests."""

import base64
import json
from typing import Any

from tests.express import Inexpressible, Json
from turnout_adapters.envelope import seal

_EXTRA = ("thinking", "tools_native", "stop_sequences", "top_k", "container", "mcp_servers", "context_management")


def express(body: Json) -> Json:
    out: Json = {"input": _system(body.get("system")), "extra_body": {}}
    for message in body["messages"]:
        out["input"].extend(_message(message))
    for theirs, ours in (("max_tokens", "max_output_tokens"), ("temperature", "temperature"), ("top_p", "top_p")):
        if theirs in body:
            out[ours] = body[theirs]
    tools = body.get("tools") or []
    if all(tool.get("type", "custom") == "custom" for tool in tools):
        if tools:
            out["tools"] = [_tool(tool) for tool in tools]
        _choice(body.get("tool_choice"), out)
    else:
        out["extra_body"]["tools"] = tools
        if "tool_choice" in body:
            out["extra_body"]["tool_choice"] = body["tool_choice"]
    config = dict(body.get("output_config") or {})
    form = config.pop("format", None)
    if form:
        out["text"] = {"format": {"type": "json_schema", "name": "response", "schema": form["schema"]}}
    if config:
        out["extra_body"]["output_config"] = config
    for name in _EXTRA:
        if name in body:
            out["extra_body"][name] = body[name]
    if "metadata" in body:
        out["safety_identifier"] = body["metadata"]["user_id"]
    return out


def _mark(block: Json) -> Json:
    cache = block.get("cache_control")
    if not cache:
        return {}
    return {"prompt_cache_breakpoint": {"mode": "explicit", **({"ttl": "30m"} if cache.get("ttl") == "1h" else {})}}


def _system(system: Any) -> list[Json]:
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system or []
    parts = [{"type": "input_text", "text": block["text"], **_mark(block)} for block in blocks]
    return [{"role": "developer", "content": parts}] if parts else []


def _message(message: Json) -> list[Json]:
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    items: list[Json] = []
    for block in blocks:
        items.extend(_block(message["role"], block))
    joined: list[Json] = []
    for item in items:
        if joined and "role" in item and "role" in joined[-1]:
            joined[-1]["content"].extend(item["content"])
        else:
            joined.append(item)
    return joined


def _block(role: str, block: Json) -> list[Json]:
    kind = block["type"]
    if kind in ("text", "image", "document"):
        return [{"role": role, "content": [_part(role, block)]}]
    if kind == "tool_use":
        arguments = json.dumps(block["input"])
        return [{"type": "function_call", "call_id": block["id"], "name": block["name"], "arguments": arguments}]
    if kind == "tool_result":
        status = {"status": "incomplete"} if block.get("is_error") else {}
        return [{"type": "function_call_output", "call_id": block["tool_use_id"], "output": _output(block), **status}]
    if kind in ("thinking", "redacted_thinking") or kind == "server_tool_use" or kind.endswith("_tool_result"):
        sealed = seal("anthropic", [block])
        return [{"type": "reasoning", "id": "rs_x", "summary": [], "encrypted_content": sealed}]
    raise Inexpressible(kind)


def _output(block: Json) -> Any:
    content = block.get("content", "")
    if isinstance(content, str):
        return content
    return [_part("user", inner) for inner in content]


def _part(role: str, block: Json) -> Json:
    kind = block["type"]
    if kind == "text":
        return {"type": "output_text" if role == "assistant" else "input_text", "text": block["text"], **_mark(block)}
    if kind not in ("image", "document"):
        raise Inexpressible(kind)
    source = block["source"]
    extra = {name: block[name] for name in ("citations", "context", "title") if name in block}
    if kind == "image":
        url = source["url"] if source["type"] == "url" else f"data:{source['media_type']};base64,{source['data']}"
        return {"type": "input_image", "image_url": url, "detail": "auto", **_mark(block)}
    if source["type"] == "url":
        return {"type": "input_file", "file_url": source["url"], **extra, **_mark(block)}
    if source["type"] == "text":
        data = base64.b64encode(source["data"].encode()).decode()
        url = f"data:text/plain;base64,{data}"
        return {"type": "input_file", "file_data": url, **extra, **_mark(block)}
    url = f"data:{source['media_type']};base64,{source['data']}"
    return {"type": "input_file", "file_data": url, **extra, **_mark(block)}


def _tool(tool: Json) -> Json:
    out = {"type": "function", "name": tool["name"], "parameters": tool["input_schema"], "strict": tool.get("strict")}
    return {**out, "description": tool.get("description"), **_mark(tool)}


def _choice(choice: Json | None, out: Json) -> None:
    if not choice:
        return
    if choice.get("disable_parallel_tool_use"):
        out["parallel_tool_calls"] = False
    kinds: Json = {"auto": "auto", "any": "required", "none": "none"}
    out["tool_choice"] = kinds.get(choice["type"]) or {"type": "function", "name": choice.get("name")}


def meaning(body: Json) -> Json:
    """What a body says, however it says it."""
    out = {name: value for name, value in body.items() if name not in ("messages", "system", "stream", "tools")}
    if (out.get("tool_choice") or {}).get("disable_parallel_tool_use") is False:
        out["tool_choice"] = {"type": out["tool_choice"]["type"]}
    out["system"] = _texts(body.get("system"))
    out["messages"] = []
    for message in body["messages"]:
        blocks = [one for block in _listed(message["content"]) for one in _meaning_of(block)]
        if out["messages"] and out["messages"][-1][0] == message["role"]:
            out["messages"][-1][1].extend(blocks)
        else:
            out["messages"].append((message["role"], blocks))
    out["tools"] = [{k: v for k, v in tool.items() if (k, v) not in (("type", "custom"), ("description", ""))}
                    for tool in body.get("tools") or []]  # fmt: skip
    return {name: value for name, value in out.items() if value not in (None, [], {})}


def _listed(content: Any) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _texts(system: Any) -> Any:
    return [(block["text"], _cached(block)) for block in _listed(system)] if system else None


def _cached(block: Json) -> Any:
    """Five minutes are what a breakpoint has without saying so."""
    cache = block.get("cache_control")
    return {"type": "ephemeral"} if cache and cache.get("ttl") == "5m" else cache


def _meaning_of(block: Json) -> list[Any]:
    block = {name: value for name, value in block.items() if value is not None and name != "caller"}
    if block["type"] == "text":
        return [("text", block["text"], _cached(block))] if block["text"] else []
    if block["type"] == "tool_result":
        inner = [one for part in _listed(block.get("content", "")) for one in _meaning_of(part)]
        return [("result", block["tool_use_id"], bool(block.get("is_error")), inner)]
    if block["type"] == "tool_use":
        block.pop("cache_control", None)  # a call has no breakpoint in Responses
    return [tuple(sorted((name, json.dumps(value, sort_keys=True)) for name, value in block.items()))]
