"""Reads tools, tool choice and text format of a Responses request (see `request.py`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from turnout_adapters.request import Choice, Format, Request, Tool, cache_mark, mapping, mappings, text_of, wrong

TEXT_TOOL = "respond"
"""Models without structured output answer by calling this tool, whose arguments are the text."""
_SHIM = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
_NO_ARGUMENTS = {"type": "object", "properties": dict[str, Any]()}
_CLIENT_SIDE = ("local_shell", "shell", "apply_patch", "tool_search", "programmatic_tool_calling")


def flat_name(namespace: object, name: str) -> str:
    """The name under which a namespace's function is sent."""
    return f"{namespace}__{name}" if isinstance(namespace, str) and namespace else name


def read_tools(request: Request) -> None:
    """Fills `tools` and `hosted`."""
    for where, tool in mappings(request.get("tools"), "tools"):
        kind = tool.get("type")
        if kind == "namespace":
            space = text_of(tool, "name", where)
            for at, inner in mappings(tool.get("tools"), f"{where}.tools"):
                request.tools.append(_function(request, inner, at, space))
        elif kind in ("function", "custom"):
            request.tools.append(_function(request, tool, where, None))
        elif kind in _CLIENT_SIDE:
            request.draft.refuse(where, f"tools of type {kind!r} cannot be sent there; describe it as a function")
        elif isinstance(kind, str):
            request.hosted.append(tool)
        else:
            raise wrong(f"{where}.type", "a tool needs a type, such as 'function'")
    names = [tool.name for tool in request.tools]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise wrong(f"tools[{index}].name", f"{name!r} is the name of two tools")


def _function(request: Request, tool: Mapping[str, Any], where: str, space: str | None) -> Tool:
    if tool.get("defer_loading") or tool.get("allowed_callers"):
        request.draft.refuse(where, "defer_loading and allowed_callers are not available there")
    if tool.get("function"):
        tool = {**mapping(tool["function"], where), "type": "function"}
    name = flat_name(space, text_of(tool, "name", where))
    description = tool.get("description") or ""
    if tool.get("type") == "custom":
        form = mapping(tool.get("format"), f"{where}.format")
        if form.get("type", "text") != "text" and not request.custom_tools:
            request.draft.refuse(f"{where}.format", "it cannot hold a custom tool's input to a grammar")
        return Tool(name, description, _SHIM, custom=True, cache=cache_mark(tool), raw=tool)
    parameters = mapping(tool.get("parameters"), f"{where}.parameters") or _NO_ARGUMENTS
    strict = tool.get("strict")
    strict = strict if isinstance(strict, bool) else None
    return Tool(name, description, parameters, strict, cache=cache_mark(tool), raw=tool)


def read_choice(request: Request) -> Choice:
    """The tool choice. Raises if it names a tool that is not there."""
    given: object = request.get("tool_choice")
    if given is None:
        return Choice()
    if isinstance(given, str):
        return _mode(given)
    fields = mapping(given, "tool_choice")
    kind = fields.get("type")
    names = {tool.name for tool in request.tools}
    if kind in ("auto", "none", "required"):
        return _mode(kind)
    if kind in ("function", "custom"):
        name = flat_name(fields.get("namespace"), text_of(fields, "name", "tool_choice"))
        return Choice("tool", _known(name, names, "tool_choice.name"), given=True)
    if kind == "allowed_tools":
        allowed = [
            _known(flat_name(one.get("namespace"), text_of(one, "name", at)), names, f"{at}.name")
            for at, one in mappings(fields.get("tools"), "tool_choice.tools")
            if one.get("type") in ("function", "custom")
        ]
        mode: Literal["auto", "required"] = "required" if fields.get("mode") == "required" else "auto"
        return Choice(mode, allowed=tuple(allowed), given=True)
    return request.draft.refuse("tool_choice", f"it cannot be made to call {kind!r}")


def _mode(name: str) -> Choice:
    modes: dict[str, Literal["auto", "none", "required"]] = {"auto": "auto", "none": "none", "required": "required"}
    if name not in modes:
        raise wrong("tool_choice", f"must be auto, none, required or an object, got {name!r}")
    return Choice(modes[name], given=True)


def _known(name: str, names: set[str], where: str) -> str:
    if name not in names:
        raise wrong(where, f"no tool is called {name!r}")
    return name


def read_format(request: Request) -> Format | None:
    """The text format, None for plain text."""
    text = mapping(request.get("text"), "text")
    form = mapping(text.get("format"), "text.format")
    kind = form.get("type", "text")
    if kind == "text":
        return None
    if kind == "json_object":
        return Format("json_object")
    if kind != "json_schema":
        raise wrong("text.format.type", f"must be text, json_object or json_schema, got {kind!r}")
    schema = mapping(form.get("schema"), "text.format.schema")
    if not schema:
        raise wrong("text.format.schema", "is missing")
    return Format("json_schema", form.get("name") or "response", schema, form.get("strict"), form.get("description"))


def wants_schema(body: Mapping[str, Any]) -> bool:
    """True if the text of a request that was encoded before follows a JSON schema."""
    text: Any = body.get("text") or {}
    form: Any = text.get("format") or {}
    return form.get("type") == "json_schema"


@dataclass(frozen=True, slots=True)
class ToolNames:
    """What the names in an answer mean to the caller."""

    custom: frozenset[str] = frozenset()
    spaces: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """Flat name to namespace and function."""


def tool_names(body: Mapping[str, Any]) -> ToolNames:
    """The names of a request that was encoded before, hence valid."""
    custom: set[str] = set()
    spaces: dict[str, tuple[str, str]] = {}
    for _, tool in mappings(body.get("tools"), "tools"):
        kind, name = tool.get("type"), str(tool.get("name"))
        if kind == "custom":
            custom.add(name)
        elif kind == "namespace":
            for _, inner in mappings(tool.get("tools"), "tools"):
                flat = flat_name(name, str(inner.get("name")))
                spaces[flat] = (name, str(inner.get("name")))
                if inner.get("type") == "custom":
                    custom.add(flat)
    return ToolNames(frozenset(custom), spaces)
