"""What Anthropic's servers did themselves, as Responses items."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from turnout_adapters.decoding import an_object, objects, string

_CODE = ("code_execution", "bash_code_execution", "text_editor_code_execution")
Fields = dict[str, Any]


def item_of(use: Mapping[str, Any] | None, result: Mapping[str, Any] | None) -> tuple[str, Fields]:
    """Item type and fields of a hosted tool's call and its result; either may be missing.

    What is none of the known tools becomes a reasoning item without text: it is kept for the next turn.
    """
    use, result = use or {}, result or {}
    name = string(use.get("name")) or string(result.get("type")).removesuffix("_tool_result")
    given, content = an_object(use.get("input")), result.get("content")
    failed = "error_code" in an_object(content) or result.get("is_error") is True
    status = "incomplete" if not result else "failed" if failed else "completed"
    if use.get("type") == "mcp_tool_use":
        return "mcp_call", _mcp(use, result, failed=failed)
    if name == "web_search":
        found = [{"type": "url", "url": string(one.get("url"))} for one in objects(content) if one.get("url")]
        query = string(given.get("query"))
        action: Fields = {"type": "search", "query": query, "queries": [query], "sources": found}
        return "web_search_call", {"status": status, "action": action}
    if name == "web_fetch":
        return "web_search_call", {"status": status, "action": {"type": "open_page", "url": string(given.get("url"))}}
    if name in _CODE:
        output = an_object(content)
        logs = string(output.get("stdout")) + string(output.get("stderr"))
        code = string(given.get("code")) or string(given.get("command")) or to_json(given).decode()
        fields: Fields = {"code": code, "container_id": "", "outputs": [{"type": "logs", "logs": logs}]}
        return "code_interpreter_call", {"status": status, **fields}
    return "reasoning", {"summary": []}


def _mcp(use: Mapping[str, Any], result: Mapping[str, Any], *, failed: bool) -> Fields:
    text = "".join(string(part.get("text")) for part in objects(result.get("content")))
    return {
        "name": string(use.get("name")),
        "server_label": string(use.get("server_name")),
        "arguments": to_json(an_object(use.get("input"))).decode(),
        "output": None if failed else text,
        "error": text if failed else None,
    }
