"""A Responses request to the body of Anthropic's Messages API."""

from collections.abc import Mapping
from typing import Any, Literal, cast

from turnout_adapters.claude import Claude, budget, claude
from turnout_adapters.params import check_params
from turnout_adapters.request import Native, Request, ToolCall, mapping
from turnout_adapters.schemas import closed
from turnout_adapters.tools import TEXT_TOOL
from turnout_adapters.wires.anthropic.content import Block, cache_control, messages, system_blocks

Platform = Literal["anthropic", "vertex_ai", "bedrock"]
MAPPED = frozenset("parallel_tool_calls temperature top_p max_tool_calls prompt_cache_options service_tier".split())
_FILES = "files-api-2025-04-14"
_MCP = "mcp-client-2025-11-20"


def encode(request: Request, platform: Platform) -> tuple[Block, list[str]]:
    """The body, and the beta features it needs."""
    check_params(request, MAPPED)
    _check_platform(request, platform)
    model = claude(request.call.model)
    body: Block = {"model": request.call.model, "max_tokens": _max_tokens(request, model)}
    betas: list[str] = []
    system = system_blocks(request)
    if system:
        body["system"] = system
    body["messages"] = messages(request)
    _tools(request, body, betas, strict=model.structured and platform != "bedrock")
    _choice(request, body)
    _format(request, model, body)
    _thinking(request, model, body)
    _sampling(request, model, body)
    _others(request, body)
    if any(part.file_id for part in request.media):
        betas.append(_FILES)
    if betas and platform != "anthropic":
        request.draft.refuse("input", f"this needs Anthropic's own API ({', '.join(betas)})")
    return body, betas


def _check_platform(request: Request, platform: Platform) -> None:
    """What Anthropic's own API has and the clouds have not."""
    if platform == "bedrock":
        for part in request.media:
            if part.url is not None:
                request.draft.refuse(part.where, "it fetches no URLs; send the data itself (data: URL, file_data)")
    allowed = {"anthropic": ("",), "vertex_ai": ("web_search",), "bedrock": ()}[platform]
    for tool in request.hosted:
        kind = str(tool.get("type"))
        if not kind.startswith(allowed):
            request.draft.refuse("tools", f"it has no tool of type {kind!r}; Anthropic's own API may")


def needs_text_tool(model: str) -> bool:
    """True if a schema is followed by way of a forced tool."""
    return not claude(model).structured


def _max_tokens(request: Request, model: Claude) -> int:
    given = request.get("max_output_tokens")
    if given is not None:
        return given
    if not model.known:
        request.draft.warn(f"max_output_tokens is {model.default_max_tokens}: it is required and was not given")
    return model.default_max_tokens


def _tools(request: Request, body: Block, betas: list[str], *, strict: bool) -> None:
    tools: list[Block] = []
    for tool in request.offered:
        block: Block = {"name": tool.name, "input_schema": dict(tool.parameters)}
        if tool.description:
            block["description"] = tool.description
        if tool.strict and strict:
            block |= {"strict": True, "input_schema": _closed(request, tool.parameters, f"tool {tool.name}")}
        elif tool.strict:
            request.draft.warn(f"{request.call.model} does not hold tool arguments to their schema (strict)")
        if tool.cache is not None:
            block["cache_control"] = cache_control(request, tool.cache)
        tools.append(block)
    for tool in request.hosted:
        _hosted(request, dict(tool), tools, body, betas)
    if tools:
        body["tools"] = tools


def _hosted(request: Request, tool: Block, tools: list[Block], body: Block, betas: list[str]) -> None:
    kind = str(tool.get("type"))
    if kind.startswith("web_search"):
        tools.append(_web_search(request, tool))
    elif kind == "code_interpreter":
        container: object = tool.get("container")
        if isinstance(container, str) or mapping(container, "tools.container").get("file_ids"):
            request.draft.refuse("tools", "code_interpreter works with a container of type auto without files only")
        tools.append({"type": "code_execution_20250825", "name": "code_execution"})
    elif kind == "mcp":
        _mcp(request, tool, tools, body, betas)
    else:
        request.draft.refuse("tools", f"it has no tool of type {kind!r}")


def _web_search(request: Request, tool: Block) -> Block:
    block: Block = {"type": "web_search_20250305", "name": "web_search"}
    domains = mapping(tool.get("filters"), "tools.filters").get("allowed_domains")
    if domains:
        block["allowed_domains"] = list(domains)
    place = mapping(tool.get("user_location"), "tools.user_location")
    if place:
        block["user_location"] = {"type": "approximate", **{k: v for k, v in place.items() if v is not None}}
    if tool.get("search_context_size") not in (None, "medium"):
        request.draft.unsupported("tools.search_context_size", "there is no such setting")
    if tool.get("external_web_access") is False:
        request.draft.refuse("tools.external_web_access", "its web search always looks at the web")
    if request.get("max_tool_calls") is not None and len(request.hosted) == 1:
        block["max_uses"] = request.get("max_tool_calls")
    return block


def _mcp(request: Request, tool: Block, tools: list[Block], body: Block, betas: list[str]) -> None:
    for name in ("headers", "connector_id", "tunnel_id"):
        if tool.get(name):
            request.draft.refuse(f"tools.{name}", "it connects to MCP servers by server_url and authorization only")
    if tool.get("require_approval") != "never":
        request.draft.refuse("tools.require_approval", "it asks for no approval of MCP calls; set it to 'never'")
    label = tool.get("server_label")
    server: Block = {"type": "url", "name": label, "url": tool.get("server_url")}
    if tool.get("authorization"):
        server["authorization_token"] = tool["authorization"]
    body.setdefault("mcp_servers", []).append(server)
    toolset: Block = {"type": "mcp_toolset", "mcp_server_name": label}
    allowed: Any = tool.get("allowed_tools")
    names: Any = cast("Any", allowed).get("tool_names") if isinstance(allowed, Mapping) else allowed
    if names is not None:
        toolset["default_config"] = {"enabled": False}
        toolset["configs"] = {name: {"enabled": True} for name in names}
    tools.append(toolset)
    if _MCP not in betas:
        betas.append(_MCP)


def _choice(request: Request, body: Block) -> None:
    choice = request.choice
    block: Block | None = None
    if choice.mode == "tool":
        block = {"type": "tool", "name": choice.name}
    elif choice.given:
        block = {"type": {"auto": "auto", "none": "none", "required": "any"}[choice.mode]}
    if request.get("parallel_tool_calls") is False and "tools" in body and choice.mode != "none":
        block = {**(block or {"type": "auto"}), "disable_parallel_tool_use": True}
    if block is not None and "tools" in body:
        body["tool_choice"] = block


def _format(request: Request, model: Claude, body: Block) -> None:
    form = request.format
    if form is None:
        return
    if form.kind == "json_object":
        request.draft.unsupported("text.format", "it has no JSON mode without a schema; give a json_schema")
        return
    schema = _closed(request, form.schema, "text.format.schema")
    if model.structured:
        body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": schema}
        return
    if request.tools or request.hosted:
        request.draft.refuse(
            "text.format", f"{request.call.model} cannot follow a schema and call tools in one request"
        )
    body["tools"] = [{"name": TEXT_TOOL, "description": "Gives the answer.", "input_schema": dict(form.schema)}]
    body["tool_choice"] = {"type": "tool", "name": TEXT_TOOL}


def _closed(request: Request, schema: Any, where: str) -> Block:
    told: set[str] = set()
    out = closed(schema, told)
    if told:
        request.draft.warn(f"{where}: {', '.join(sorted(told))} are told to the model but not enforced")
    return out


def _thinking(request: Request, model: Claude, body: Block) -> None:
    effort, summary = request.effort, request.summary
    if effort is None and summary is None:
        return
    display = "omitted" if summary is None else "summarized"
    if effort == "none":
        if model.adaptive:
            body["thinking"] = {"type": "disabled"}
        return
    if not model.thinks:
        request.draft.unsupported("reasoning", f"{request.call.model} does not reason")
    elif model.adaptive:
        body["thinking"] = {"type": "adaptive", "display": display}
        if effort is not None:
            body.setdefault("output_config", {})["effort"] = model.effort(effort)
    elif _can_think(request, body):
        tokens = budget(effort or "medium", body["max_tokens"])
        if tokens is None:
            request.draft.unsupported(
                "reasoning.effort", "max_output_tokens leaves no room for reasoning (1,024 tokens)"
            )
        else:
            body["thinking"] = {"type": "enabled", "budget_tokens": tokens, "display": display}


def _can_think(request: Request, body: Block) -> bool:
    """With a budget, thinking excludes forced tools, and the last tool calls must come with theirs."""
    if body.get("tool_choice", {}).get("type") in ("any", "tool"):
        request.draft.unsupported("reasoning.effort", "it cannot reason and be made to call a tool in one request")
        return False
    last = next((turn for turn in reversed(request.turns) if turn.role == "assistant"), None)
    if last is None or request.turns[-1].role != "tool" or isinstance(last.parts[0], Native):
        return True
    if any(isinstance(part, ToolCall) and part.made_here for part in last.parts):
        request.draft.unsupported("reasoning.effort", "the last tool calls came back without their reasoning items")
    else:
        request.draft.note("reasoning is off for this turn: its tool calls were made by another model")
    return False


def _sampling(request: Request, model: Claude, body: Block) -> None:
    temperature, top_p = request.get("temperature"), request.get("top_p")
    thinking = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
    if temperature is not None:
        if not model.samples:
            request.draft.unsupported("temperature", f"{request.call.model} does not take it")
        elif thinking and temperature != 1:
            request.draft.unsupported("temperature", "it does not go with reasoning")
        elif temperature > 1:
            request.draft.unsupported("temperature", "it goes from 0 to 1")
            body["temperature"] = 1
        else:
            body["temperature"] = temperature
    if top_p is None:
        return
    if not model.samples:
        request.draft.unsupported("top_p", f"{request.call.model} does not take it")
    elif "temperature" in body and model.version >= (4, 5):
        request.draft.unsupported("top_p", "it does not go with temperature")
    else:
        body["top_p"] = top_p


def _others(request: Request, body: Block) -> None:
    user = request.get("safety_identifier") or request.get("user")
    if user:
        body["metadata"] = {"user_id": user}
    tier = request.get("service_tier")
    if tier in ("auto", "default"):
        body["service_tier"] = "auto" if tier == "auto" else "standard_only"
    elif tier is not None:
        request.draft.unsupported("service_tier", "it has auto and default")
    if mapping(request.get("prompt_cache_options"), "prompt_cache_options").get("mode") == "implicit":
        body["cache_control"] = cache_control(request, "")
    calls = request.get("max_tool_calls")
    if calls is not None and not any("max_uses" in tool for tool in body.get("tools", ())):
        request.draft.unsupported("max_tool_calls", "it can be set for web search as the only hosted tool")
