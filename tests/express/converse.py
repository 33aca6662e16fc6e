"""Converse requests."""

import json
from typing import Any

from tests.express import Inexpressible, Json
from turnout_adapters.envelope import seal

_MIMES = {
    "pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown", "csv": "text/csv", "html": "text/html",
}  # fmt: skip


def express(body: Json, model: str) -> Json:
    family = "anthropic" if "claude" in model else "bedrock"
    out: Json = {"input": [], "extra_body": {}}
    parts = _marked(body.get("system") or [], lambda block: {"type": "input_text", "text": block["text"]})
    if parts:
        out["input"].append({"role": "developer", "content": parts})
    for message in body["messages"]:
        out["input"].extend(_message(message, family))
    config = dict(body.get("inferenceConfig") or {})
    for theirs, ours in (("maxTokens", "max_output_tokens"), ("temperature", "temperature"), ("topP", "top_p")):
        if theirs in config:
            out[ours] = config.pop(theirs)
    if config:
        out["extra_body"]["inferenceConfig"] = config
    _tools(body, out)
    form = (body.get("outputConfig") or {}).get("textFormat")
    if form:
        given = form["structure"]["jsonSchema"]
        schema = json.loads(given["schema"])
        out["text"] = {"format": {"type": "json_schema", "name": given.get("name"), "schema": schema}}
    for name in ("additionalModelRequestFields", "guardrailConfig"):
        if name in body:
            out["extra_body"][name] = body[name]
    return out


def _tools(body: Json, out: Json) -> None:
    config = body.get("toolConfig") or {}
    tools = config.get("tools") or []
    if any("systemTool" in tool for tool in tools):
        out["extra_body"]["toolConfig"] = config
        return
    found: list[Json] = []
    for tool in tools:
        if "cachePoint" in tool:
            found[-1]["prompt_cache_breakpoint"] = {"mode": "explicit"}
            continue
        spec = tool["toolSpec"]
        about = {"name": spec["name"], "description": spec.get("description"), "strict": spec.get("strict")}
        found.append({"type": "function", **about, "parameters": spec["inputSchema"]["json"]})
    if found:
        out["tools"] = found
    choice = config.get("toolChoice")
    if choice:
        kinds: Json = {"auto": "auto", "any": "required"}
        kind = next(iter(choice))
        out["tool_choice"] = kinds.get(kind) or {"type": "function", "name": choice[kind]["name"]}


def _marked(blocks: list[Json], make: Any) -> list[Json]:
    found: list[Json] = []
    for block in blocks:
        if "cachePoint" in block:
            ttl = {"ttl": "30m"} if block["cachePoint"].get("ttl") == "1h" else {}
            found[-1]["prompt_cache_breakpoint"] = {"mode": "explicit", **ttl}
        else:
            found.append(make(block))
    return found


def _message(message: Json, family: str) -> list[Json]:
    role = message["role"]
    items: list[Json] = []
    for block in message["content"]:
        if "cachePoint" in block:
            items[-1]["content"][-1]["prompt_cache_breakpoint"] = {"mode": "explicit"}
            continue
        item = _item(role, block, family)
        if items and "role" in item and "role" in items[-1]:
            items[-1]["content"].extend(item["content"])
        else:
            items.append(item)
    return items


def _item(role: str, block: Json, family: str) -> Json:
    if "toolUse" in block and "type" not in block["toolUse"]:
        use = block["toolUse"]
        arguments = json.dumps(use["input"])
        return {"type": "function_call", "call_id": use["toolUseId"], "name": use["name"], "arguments": arguments}
    if "toolResult" in block and "type" not in block["toolResult"]:
        result = block["toolResult"]
        status = {"status": "incomplete"} if result.get("status") == "error" else {}
        return {"type": "function_call_output", "call_id": result["toolUseId"], "output": _output(result), **status}
    if "reasoningContent" in block:
        native = block
        if family == "anthropic":
            text = block["reasoningContent"]["reasoningText"]
            native = {"type": "thinking", "thinking": text["text"], "signature": text["signature"]}
        return {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": seal(family, [native])}
    if "toolUse" in block or "toolResult" in block:
        return {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": seal(family, [block])}
    return {"role": role, "content": [_part(role, block)]}


def _output(result: Json) -> Any:
    content = result["content"]
    if len(content) == 1 and "json" in content[0]:
        return json.dumps(content[0]["json"])
    return [_part("user", block) for block in content]


def _part(role: str, block: Json) -> Json:
    if "text" in block:
        return {"type": "output_text" if role == "assistant" else "input_text", "text": block["text"]}
    if "image" in block:
        source = block["image"]["source"]
        mime = f"image/{block['image']['format']}"
        url = source["s3Location"]["uri"] if "s3Location" in source else f"data:{mime};base64,{source['bytes']}"
        return {"type": "input_image", "image_url": url, "detail": "auto"}
    if "document" in block:
        document = block["document"]
        if "bytes" not in document["source"]:
            raise Inexpressible("a document in pieces")
        url = f"data:{_MIMES[document['format']]};base64,{document['source']['bytes']}"
        extra = {name: document[name] for name in ("citations", "context") if name in document}
        return {"type": "input_file", "file_data": url, "filename": document["name"], **extra}
    raise Inexpressible(str(list(block)))


def meaning(body: Json) -> Json:
    out: Json = {name: value for name, value in body.items() if name not in ("messages", "toolConfig", "outputConfig")}
    out["inferenceConfig"] = {k: v for k, v in (body.get("inferenceConfig") or {}).items() if v != []}
    out["messages"] = []
    for message in body["messages"]:
        said = [block for block in message["content"] if block.get("text", "x").strip()]
        blocks = [json.dumps(_plain(block), sort_keys=True) for block in said]
        if out["messages"] and out["messages"][-1][0] == message["role"]:
            out["messages"][-1][1].extend(blocks)
        else:
            out["messages"].append((message["role"], blocks))
    config = body.get("toolConfig") or {}
    out["tools"] = [json.dumps(tool, sort_keys=True) for tool in config.get("tools") or []]
    out["choice"] = config.get("toolChoice")
    form = (body.get("outputConfig") or {}).get("textFormat")
    if form:
        given = form["structure"]["jsonSchema"]
        out["format"] = (given.get("name"), json.loads(given["schema"]))
    return {name: value for name, value in out.items() if value not in (None, [], {})}


def _plain(block: Json) -> Json:
    """Some clients send a status of success, which is the default."""
    result = block.get("toolResult")
    if result and result.get("status") == "success" and "type" not in result:
        return {"toolResult": {name: value for name, value in result.items() if name != "status"}}
    return block
