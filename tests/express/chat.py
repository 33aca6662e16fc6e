"""Chat completion requests."""

from typing import Any

from tests.express import Inexpressible, Json
from turnout_adapters.envelope import seal

_SAME = (
    "temperature", "top_p", "parallel_tool_calls", "presence_penalty", "frequency_penalty", "top_logprobs", "store",
    "metadata", "service_tier", "prompt_cache_key", "safety_identifier", "user",
)  # fmt: skip
_EXTRA = (
    "stop", "n", "seed", "random_seed", "reasoning_format", "provider", "usage", "thinking", "reasoning", "modalities",
    "audio", "logprobs", "web_search_options", "max_tokens", "max_completion_tokens", "reasoning_effort", "plugins",
    "models", "transforms", "return_images", "search_mode", "options", "top_k", "extra_body", "user", "prompt_cache_key",
)  # fmt: skip


def express(body: Json, provider: str, *, openai: bool) -> Json:
    out: Json = {"input": [], "extra_body": {}}
    for message in body["messages"]:
        out["input"].extend(_message(message, provider))
    for name in _SAME:
        if body.get(name) is not None and (openai or name not in ("user", "prompt_cache_key")):
            out[name] = body[name]
    for name in _EXTRA:
        if body.get(name) is not None and name not in out:
            out["extra_body"][name] = body[name]
    tools = body.get("tools") or []
    if all(tool.get("type") == "function" and "function" in tool for tool in tools):
        if tools:
            out["tools"] = [_tool(tool) for tool in tools]
        choice = body.get("tool_choice")
        if isinstance(choice, dict):
            out["tool_choice"] = {"type": "function", "name": choice["function"]["name"]}
        elif choice:
            out["tool_choice"] = {"any": "required"}.get(choice, choice)
    else:
        out["extra_body"]["tools"] = tools
    form = body.get("response_format")
    if form:
        given = form.get("json_schema") or {}
        out["text"] = {"format": {"type": form["type"], **{k: v for k, v in given.items() if v is not None}}}
    return out


def _message(message: Json, provider: str) -> list[Json]:
    role, content = message["role"], message.get("content")
    if "name" in message and role != "tool":
        raise Inexpressible("named speakers")
    if role == "tool":
        if isinstance(content, list) and any(part["type"] != "text" for part in content):
            raise Inexpressible("images in the outputs of tools, which chat completions do not define")
        output = content if isinstance(content, str) else [_part("user", part) for part in content or []]
        return [{"type": "function_call_output", "call_id": message["tool_call_id"], "output": output}]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    thinking = [part for part in parts if part.get("type") == "thinking"]
    items: list[Json] = []
    block = {
        name: message[name] for name in ("reasoning_content", "reasoning", "reasoning_details") if message.get(name)
    }
    if thinking:
        block["chunks"] = thinking
    if block:
        sealed = seal(f"chat:{provider}", [block])
        items.append({"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": sealed})
    rest = [_part(role, part) for part in parts if part.get("type") != "thinking"]
    if rest and not (role == "assistant" and rest == [{"type": "output_text", "text": ""}]):
        items.append({"role": role, "content": rest})
    for call in message.get("tool_calls") or []:
        function = call["function"]
        about = {"call_id": call["id"], "name": function["name"], "arguments": function["arguments"]}
        items.append({"type": "function_call", **about})
    return items


def _part(role: str, part: Json) -> Json:
    mark = {"prompt_cache_breakpoint": {"mode": "explicit"}} if part.get("cache_control") else {}
    kind = part["type"]
    if kind == "text":
        return {"type": "output_text" if role == "assistant" else "input_text", "text": part["text"], **mark}
    if kind == "image_url":
        given = part["image_url"]
        url, detail = (given, "auto") if isinstance(given, str) else (given["url"], given.get("detail") or "auto")
        return {"type": "input_image", "image_url": url, "detail": detail, **mark}
    if kind == "input_audio":
        return {"type": "input_audio", "input_audio": part["input_audio"]}
    if kind == "file":
        file = part["file"]
        return {
            "type": "input_file",
            **{name: file[name] for name in ("file_id", "file_data", "filename") if name in file},
        }
    raise Inexpressible(kind)


def _tool(tool: Json) -> Json:
    function = tool["function"]
    about = {"name": function["name"], "description": function.get("description")}
    return {"type": "function", **about, "parameters": function.get("parameters"), "strict": function.get("strict")}


def meaning(body: Json) -> Json:
    dropped = ("messages", "stream", "stream_options", "tools", "tool_choice", "response_format")
    out: Json = {name: value for name, value in body.items() if name not in dropped}
    out["messages"] = [_meaning_of(message) for message in body["messages"]]
    found: list[Any] = []
    for message in out["messages"]:
        if found and message["role"] == found[-1]["role"] and message["role"] in ("system", "assistant"):
            found[-1]["parts"] += message["parts"]
            found[-1]["calls"] += message["calls"]
        else:
            found.append(message)
    out["messages"] = found
    out["tools"] = [_tool(tool) if "function" in tool else tool for tool in body.get("tools") or []]
    for tool in out["tools"]:
        tool.update({"description": tool.get("description") or "", "strict": tool.get("strict")})
        if not (tool.get("parameters") or {}).get("properties"):
            tool["parameters"] = {}
    choice = body.get("tool_choice")
    out["tool_choice"] = "required" if choice == "any" else choice
    form = body.get("response_format")
    if form:
        out["response_format"] = (
            form["type"],
            {"name": "response", **{k: v for k, v in (form.get("json_schema") or {}).items() if v is not None}},
        )
    return {name: value for name, value in out.items() if value not in (None, [], {})}


def _meaning_of(message: Json) -> Json:
    content = message.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    plain: list[Any] = []
    for part in parts:
        if part.get("type") == "image_url" and isinstance(part["image_url"], str):
            part = {"type": "image_url", "image_url": {"url": part["image_url"]}}
        if part.get("type") == "image_url" and part["image_url"].get("detail") == "auto":
            part = {"type": "image_url", "image_url": {"url": part["image_url"]["url"]}}
        if part != {"type": "text", "text": ""}:
            plain.append(part)
    calls = [
        (call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or []
    ]
    role = "system" if message["role"] == "developer" else message["role"]
    kept = {
        n: message[n] for n in ("reasoning_content", "reasoning", "reasoning_details", "tool_call_id") if message.get(n)
    }
    return {"role": role, "parts": plain, "calls": calls, **kept}
