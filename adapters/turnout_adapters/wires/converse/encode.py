"""A Responses request to the body of Converse."""

from pydantic_core import to_json

from turnout_adapters.claude import budget, claude
from turnout_adapters.params import check_params
from turnout_adapters.request import Request, Tool, ToolCall
from turnout_adapters.schemas import closed
from turnout_adapters.tools import TEXT_TOOL
from turnout_adapters.wires.converse.content import Block, cache_point, messages, system_blocks

MAPPED = frozenset("temperature top_p service_tier prompt_cache_options".split())
_TIERS = ("default", "priority", "flex")
_SYSTEM_TOOLS = {"web_search": "nova_grounding", "code_interpreter": "nova_code_interpreter"}


def is_claude(model: str) -> bool:
    """True for Anthropic's models, whatever profile or ARN names them."""
    return "claude" in model


def is_nova(model: str, generation: str = "") -> bool:
    """True for Amazon's Nova."""
    return f"nova-{generation}" in model


def needs_text_tool(model: str) -> bool:
    """True if a schema is followed by way of a forced tool: Claude before 4.5, and the first Nova."""
    return not claude(model).structured if is_claude(model) else is_nova(model) and not is_nova(model, "2")


def encode(request: Request, family: str) -> Block:
    """The body."""
    check_params(request, MAPPED)
    model = request.call.model
    body: Block = {"messages": messages(request, family)}
    system = system_blocks(request)
    if system:
        body["system"] = system
    inference = _inference(request)
    if inference:
        body["inferenceConfig"] = inference
    config = _tools(request)
    if config:
        body["toolConfig"] = config
    _format(request, body)
    _thinking(request, model, body)
    tier = request.get("service_tier")
    if tier in _TIERS:
        body["serviceTier"] = {"type": tier}
    elif tier not in (None, "auto"):
        request.draft.unsupported("service_tier", "it has default, priority and flex")
    return body


def _inference(request: Request) -> Block:
    config: Block = {}
    if request.get("max_output_tokens") is not None:
        config["maxTokens"] = request.get("max_output_tokens")
    rejects = is_claude(request.call.model) and not claude(request.call.model).samples
    for ours, theirs in (("temperature", "temperature"), ("top_p", "topP")):
        value = request.get(ours)
        if value is None:
            continue
        if rejects:
            request.draft.unsupported(ours, f"{request.call.model} does not take it")
            continue
        if value > 1:
            request.draft.unsupported(ours, "it goes from 0 to 1")
        config[theirs] = min(value, 1)
    return config


def _tools(request: Request) -> Block:
    """The tools. A history of calls wants them declared, even when none is offered any more."""
    called = {part.name for turn in request.turns for part in turn.parts if isinstance(part, ToolCall)}
    choice = request.choice
    if choice.mode == "none" and (request.tools or request.hosted):
        if called:
            request.draft.refuse("tool_choice", "'none' is not possible there while the input has tool calls")
        return {}
    tools = [_system_tool(request, dict(tool)) for tool in request.hosted]
    for tool in request.offered:
        tools.extend(_tool(request, tool))
    if not tools:
        stub = {"inputSchema": {"json": {"type": "object"}}}
        tools = [{"toolSpec": {"name": name, **stub}} for name in sorted(called)]
    if not tools:
        return {}
    chosen: Block = {}
    if choice.mode == "tool":
        chosen = {"tool": {"name": choice.name}}
    elif choice.given and choice.mode != "none":
        chosen = {"any": {}} if choice.mode == "required" else {"auto": {}}
    return {"tools": tools, **({"toolChoice": chosen} if chosen else {})}


def _tool(request: Request, tool: Tool) -> list[Block]:
    spec: Block = {"name": tool.name, "inputSchema": {"json": dict(tool.parameters)}}
    if tool.description:
        spec["description"] = tool.description
    if tool.strict:
        spec["strict"] = True
    return [{"toolSpec": spec}] if tool.cache is None else [{"toolSpec": spec}, cache_point(request, tool.cache)]


def _system_tool(request: Request, tool: Block) -> Block:
    kind = str(tool.get("type"))
    name = _SYSTEM_TOOLS.get("web_search" if kind.startswith("web_search") else kind)
    if name is None or not is_nova(request.call.model):
        request.draft.refuse("tools", f"{request.call.model} has no tool of type {kind!r} there")
    return {"systemTool": {"name": name}}


def _format(request: Request, body: Block) -> None:
    form = request.format
    if form is None:
        return
    if form.kind == "json_object":
        request.draft.unsupported("text.format", "it has no JSON mode without a schema; give a json_schema")
        return
    if needs_text_tool(request.call.model):
        if request.tools:
            request.draft.refuse("text.format", f"{request.call.model} cannot follow a schema and call tools at once")
        spec = {"name": TEXT_TOOL, "description": "Gives the answer.", "inputSchema": {"json": dict(form.schema)}}
        body["toolConfig"] = {"tools": [{"toolSpec": spec}], "toolChoice": {"tool": {"name": TEXT_TOOL}}}
        return
    told: set[str] = set()
    schema = closed(form.schema, told) if is_claude(request.call.model) else dict(form.schema)
    if told:
        request.draft.warn(f"text.format.schema: {', '.join(sorted(told))} are told to the model but not enforced")
    given: Block = {"schema": to_json(schema).decode(), "name": form.name}
    if form.description:
        given["description"] = form.description
    structure = {"jsonSchema": given}
    body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": structure}}


def _thinking(request: Request, model: str, body: Block) -> None:
    effort, summary = request.effort, request.summary
    if effort is None and summary is None:
        return
    more: Block = {}
    if is_claude(model):
        more = _claude_thinking(request, body)
    elif effort in (None, "none"):
        if summary is not None:
            request.draft.unsupported("reasoning.summary", f"{model} has no summaries")
    elif is_nova(model, "2"):
        level = {"minimal": "low", "xhigh": "high", "max": "high"}.get(effort, effort)
        more = {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": level}}
    elif "gpt-oss" in model:
        more = {"reasoning_effort": {"minimal": "low", "xhigh": "high", "max": "high"}.get(effort, effort)}
    else:
        request.draft.unsupported("reasoning.effort", f"{model} has no such setting there")
    if more:
        body["additionalModelRequestFields"] = more


def _claude_thinking(request: Request, body: Block) -> Block:
    about, effort = claude(request.call.model), request.effort
    display = "omitted" if request.summary is None else "summarized"
    if effort == "none":
        return {"thinking": {"type": "disabled"}} if about.adaptive else {}
    if about.adaptive:
        if effort is not None:
            body.setdefault("outputConfig", {})["effort"] = about.effort(effort)
        return {"thinking": {"type": "adaptive", "display": display}}
    most = request.get("max_output_tokens") or about.default_max_tokens
    tokens = budget(effort or "medium", most) if about.thinks else None
    forced = {"any", "tool"} & set(body.get("toolConfig", {}).get("toolChoice", {}))
    if tokens is None or forced:
        why = "it cannot reason and be made to call a tool in one request" if forced else "there is no room for it"
        request.draft.unsupported("reasoning.effort", why)
        return {}
    body.setdefault("inferenceConfig", {}).setdefault("maxTokens", most)
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}
