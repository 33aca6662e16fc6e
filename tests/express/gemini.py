"""generateContent requests."""

import json
from typing import Any

from tests.express import Inexpressible, Json
from turnout_adapters.envelope import seal

_CONFIG = {"maxOutputTokens": "max_output_tokens", "temperature": "temperature", "topP": "top_p"}


def camel(value: Any) -> Any:
    """Names as the REST API documents them: some clients send snake_case."""
    if isinstance(value, list):
        return [camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for name, inner in value.items():
        head, *rest = name.split("_")
        key = head + "".join(part.title() for part in rest)
        opaque = key in ("args", "response", "parameters", "parametersJsonSchema", "responseJsonSchema")
        out[key] = inner if opaque else camel(inner)
    return out


def express(body: Json) -> Json:
    body = camel(body)
    out: Json = {"input": [], "extra_body": {}}
    system = body.get("systemInstruction")
    if system:
        parts = system["parts"] if isinstance(system["parts"], list) else [system["parts"]]
        content = [{"type": "input_text", "text": part["text"]} for part in parts]
        out["input"].append({"role": "developer", "content": content})
    calls: list[tuple[str, str]] = []
    for content in body["contents"]:
        for part in content["parts"]:
            out["input"].extend(_part(content.get("role", "user"), part, calls))
    config = dict(body.get("generationConfig") or {})
    for theirs, ours in _CONFIG.items():
        if theirs in config:
            out[ours] = config.pop(theirs)
    if config.get("responseMimeType") == "application/json":
        config.pop("responseMimeType")
        form: Json = {"type": "json_object"}
        if "responseJsonSchema" in config:
            schema = config.pop("responseJsonSchema")
            form = {"type": "json_schema", "name": "response", "schema": schema}
        out["text"] = {"format": form}
    if config:
        out["extra_body"]["generationConfig"] = config
    _tools(body, out)
    for name in ("safetySettings", "cachedContent", "labels"):
        if name in body:
            out["extra_body"][name] = body[name]
    return out


def _tools(body: Json, out: Json) -> None:
    tools: list[Json] = []
    for tool in body.get("tools") or []:
        for declared in tool.get("functionDeclarations") or []:
            schema = declared.get("parametersJsonSchema") or declared.get("parameters") or {"type": "object"}
            about = {"name": declared["name"], "description": declared.get("description")}
            tools.append({"type": "function", **about, "parameters": schema, "strict": None})
        if "googleSearch" in tool:
            tools.append({"type": "web_search"})
    if tools:
        out["tools"] = tools
    mode = ((body.get("toolConfig") or {}).get("functionCallingConfig") or {}).get("mode")
    if mode:
        out["tool_choice"] = {"AUTO": "auto", "NONE": "none", "ANY": "required"}[mode.upper()]


def _part(role: str, part: Json, calls: list[tuple[str, str]]) -> list[Json]:
    signature = part.get("thoughtSignature")
    sealed: list[Json] = []
    own = {"text": "", "thoughtSignature": signature}
    if part.get("thought") or ("text" in part and not part["text"] and signature):
        whole = part if part.get("thought") else own
        return [{"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": seal("gemini", [whole])}]
    if signature:
        envelope = seal("gemini", [{"thoughtSignature": signature}], to_next=True)
        sealed = [{"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": envelope}]
    if "functionCall" in part:
        call = part["functionCall"]
        call_id = call.get("id") or f"call_{len(calls)}"
        calls.append((call["name"], call_id))
        arguments = json.dumps(call.get("args") or {})
        return [*sealed, {"type": "function_call", "call_id": call_id, "name": call["name"], "arguments": arguments}]
    if "functionResponse" in part:
        answer = part["functionResponse"]
        found = next((pair for pair in calls if pair[0] == answer["name"]), None)
        if found is None:
            raise Inexpressible("an answer to no call")
        calls.remove(found)
        output = json.dumps(answer["response"])
        return [{"type": "function_call_output", "call_id": answer.get("id") or found[1], "output": output}]
    return [*sealed, {"role": "assistant" if role == "model" else "user", "content": [_content(role, part)]}]


def _content(role: str, part: Json) -> Json:
    if "text" in part:
        return {"type": "output_text" if role == "model" else "input_text", "text": part["text"]}
    if "inlineData" in part:
        data = part["inlineData"]
        url = f"data:{data['mimeType']};base64,{data['data']}"
        if data["mimeType"].startswith("image/"):
            return {"type": "input_image", "image_url": url, "detail": "auto"}
        if data["mimeType"].startswith("audio/"):
            form = {"audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/wav": "wav"}[data["mimeType"]]
            return {"type": "input_audio", "input_audio": {"data": data["data"], "format": form}}
        return {"type": "input_file", "file_data": url}
    if "fileData" in part:
        data = part["fileData"]
        if data["mimeType"].startswith("image/"):
            return {"type": "input_image", "image_url": data["fileUri"], "detail": "auto"}
        if data["mimeType"] != "application/pdf":
            raise Inexpressible("a file of this type at a URL that does not say so")
        return {"type": "input_file", "file_url": data["fileUri"]}
    raise Inexpressible(str(list(part)))


def meaning(body: Json, *, ids: bool) -> Json:
    body = camel(body)
    out: Json = {name: value for name, value in body.items() if name in ("safetySettings", "cachedContent")}
    out["generationConfig"] = dict(body.get("generationConfig") or {})
    system = body.get("systemInstruction")
    if system:
        parts = system["parts"] if isinstance(system["parts"], list) else [system["parts"]]
        out["system"] = [part["text"] for part in parts if part["text"]]
    out["contents"] = []
    for content in body["contents"]:
        role = "model" if content.get("role") == "model" else "user"
        parts = [_meaning_of(part, ids=ids) for part in content["parts"]]
        if out["contents"] and out["contents"][-1][0] == role:
            out["contents"][-1][1].extend(parts)
        else:
            out["contents"].append((role, parts))
    out["functions"] = [
        (one["name"], one.get("description") or "", _schema(one.get("parametersJsonSchema") or one.get("parameters")))
        for tool in body.get("tools") or []
        for one in tool.get("functionDeclarations") or []
    ]
    out["hosted"] = sorted(n for tool in body.get("tools") or [] for n in tool if n != "functionDeclarations")
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    out["mode"] = calling.get("mode", "AUTO").upper()
    return {name: value for name, value in out.items() if value not in (None, [], {})}


def _schema(schema: Any) -> str:
    found = dict(schema or {})
    found.setdefault("type", "object")
    found.setdefault("properties", {})
    return json.dumps(found, sort_keys=True)


def _meaning_of(part: Json, *, ids: bool) -> Any:
    part = json.loads(json.dumps(part))
    for name in ("functionCall", "functionResponse"):
        if name in part and not ids:
            part[name].pop("id", None)
    if "functionCall" in part:
        part["functionCall"].setdefault("args", {})
    if "inlineData" in part and part["inlineData"]["mimeType"] == "audio/mp3":
        part["inlineData"]["mimeType"] = "audio/mpeg"
    return json.dumps(part, sort_keys=True)
