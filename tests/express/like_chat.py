"""Requests of Cohere, Ollama and watsonx as the chat requests that mean the same."""

import json
from typing import Any

from tests.express import Json


def of_cohere(body: Json) -> Json:
    """Cohere's own words for a tool choice and a schema; text as a list of parts."""
    out = {
        name: value for name, value in body.items() if name not in ("tool_choice", "response_format", "strict_tools")
    }
    out["messages"] = [_joined(message) for message in body["messages"]]
    if "p" in out:
        out["top_p"] = out.pop("p")
    if body.get("tool_choice"):
        out["tool_choice"] = body["tool_choice"].lower()
    form = body.get("response_format")
    if form:
        schema = form.get("json_schema") or form.get("schema")
        out["response_format"] = {"type": "json_object"}
        if schema:
            out["response_format"] = {"type": "json_schema", "json_schema": {"name": "response", "schema": schema}}
    return out


def of_ollama(body: Json) -> Json:
    """Options beside the messages, arguments as objects, outputs in the order of the calls."""
    dropped = ("options", "messages", "format", "keep_alive", "think", "images")
    out = {name: value for name, value in body.items() if name not in dropped}
    options = body.get("options") or {}
    if "temperature" in options:
        out["temperature"] = options["temperature"]
    waiting: list[str] = []
    out["messages"] = []
    for message in body["messages"]:
        calls: list[Any] = []
        for call in message.get("tool_calls") or []:
            function = call["function"]
            call_id = call.get("id") or f"call_{len(waiting)}_{function['name']}"
            waiting.append(call_id)
            arguments = json.dumps(function["arguments"], sort_keys=True)
            calls.append(
                {"id": call_id, "type": "function", "function": {"name": function["name"], "arguments": arguments}}
            )
        kept = {name: message[name] for name in ("role", "content") if name in message}
        if message["role"] == "tool":
            kept["tool_call_id"] = message.get("tool_call_id") or (waiting.pop(0) if waiting else "")
        out["messages"].append({**kept, **({"tool_calls": calls} if calls else {})})
    return out


def _joined(message: Json) -> Json:
    content = message.get("content")
    if isinstance(content, list) and all(part["type"] == "text" for part in content):
        content = "".join(part["text"] for part in content)
    return {**message, "content": content}
