"""A Responses request to the body of chat completions."""

from typing import Any

from turnout_adapters.dialect import Dialect
from turnout_adapters.params import check_params, wants_logprobs
from turnout_adapters.request import Request, Tool, mapping
from turnout_adapters.wires.chat.content import Block, messages

_MAPPED = frozenset("temperature top_p parallel_tool_calls top_logprobs presence_penalty frequency_penalty".split())
_OPENAI = frozenset(
    """
    store metadata service_tier prompt_cache_key prompt_cache_retention prompt_cache_options safety_identifier user
    text.verbosity moderation
    """.split()
)


def mapped_in(dialect: Dialect) -> frozenset[str]:
    """The parameters that a dialect honours."""
    mapped = _MAPPED | _OPENAI if dialect.openai else _MAPPED
    return mapped - dialect.refused - (frozenset() if dialect.parallel else {"parallel_tool_calls"})


def encode(request: Request, dialect: Dialect) -> Block:
    """The body."""
    mapped = mapped_in(dialect)
    check_params(request, mapped)
    body: Block = {"model": request.call.model, "messages": messages(request, dialect)}
    if request.get("max_output_tokens") is not None:
        body[dialect.max_tokens] = request.get("max_output_tokens")
    for name in sorted(mapped - {"top_logprobs", "text.verbosity", "parallel_tool_calls"}):
        if request.get(name) is not None:
            body[name] = request.get(name)
    if body.get("prompt_cache_options", {}).get("ttl") == "12h":
        request.draft.unsupported("prompt_cache_options.ttl", "chat completions keep a cache for 30m only")
        body["prompt_cache_options"] = {**body["prompt_cache_options"], "ttl": "30m"}
    _tools(request, dialect, body)
    _format(request, dialect, body)
    _reasoning(request, dialect, body)
    if wants_logprobs(request):
        body["logprobs"] = True
        if request.get("top_logprobs"):
            body["top_logprobs"] = request.get("top_logprobs")
    verbosity = mapping(request.get("text"), "text").get("verbosity")
    if dialect.openai and verbosity is not None:
        body["verbosity"] = verbosity
    if request.call.stream:
        body["stream"] = True
        if dialect.stream_usage:
            body["stream_options"] = {"include_usage": True}
    return body


def _tools(request: Request, dialect: Dialect, body: Block) -> None:
    for tool in request.hosted:
        _hosted(request, dict(tool), dialect, body)
    offered = request.tools if dialect.openai else request.offered
    tools = [_tool(request, tool, dialect) for tool in offered]
    if not tools:
        return
    body["tools"] = tools
    choice = _choice(request, dialect)
    if choice is not None:
        body["tool_choice"] = choice
    if request.get("parallel_tool_calls") is not None and dialect.parallel:
        body["parallel_tool_calls"] = request.get("parallel_tool_calls")


def _tool(request: Request, tool: Tool, dialect: Dialect) -> Block:
    about: Block = {"name": tool.name, "description": tool.description} if tool.description else {"name": tool.name}
    if dialect.openai and tool.custom:
        form = mapping(tool.raw.get("format"), "tools.format")
        if form.get("type") == "grammar":
            grammar = {name: form[name] for name in ("definition", "syntax") if name in form}
            about["format"] = {"type": "grammar", "grammar": grammar}
        return {"type": "custom", "custom": about}
    about["parameters"] = dict(tool.parameters)
    if tool.strict is not None:
        if dialect.strict:
            about["strict"] = tool.strict
        elif tool.strict:
            request.draft.warn(f"{request.draft.provider} does not hold tool arguments to their schema (strict)")
    return {"type": "function", "function": about}


def _hosted(request: Request, tool: Block, dialect: Dialect, body: Block) -> None:
    kind = str(tool.get("type"))
    searches = dialect.web_search or (dialect.openai and "search" in request.call.model)
    if not kind.startswith("web_search") or not searches:
        request.draft.refuse("tools", f"{request.call.model} has no tool of type {kind!r} in chat completions")
    options: Block = {}
    if tool.get("search_context_size"):
        options["search_context_size"] = tool["search_context_size"]
    place = mapping(tool.get("user_location"), "tools.user_location")
    if place:
        rest = {name: value for name, value in place.items() if name != "type" and value is not None}
        options["user_location"] = {"type": "approximate", "approximate": rest}
    domains = mapping(tool.get("filters"), "tools.filters").get("allowed_domains")
    if domains and not dialect.web_search:
        request.draft.refuse("tools.filters", "web search in chat completions cannot be held to domains")
    if domains:
        body["search_domain_filter"] = list(domains)
    body["web_search_options"] = options


def _choice(request: Request, dialect: Dialect) -> Any:
    choice = request.choice
    if choice.mode == "tool":
        chosen = next(tool for tool in request.tools if tool.name == choice.name)
        kind = "custom" if chosen.custom and dialect.openai else "function"
        return {"type": kind, kind: {"name": choice.name}}
    if choice.allowed is not None and dialect.openai:
        allowed = [{"type": "function", "function": {"name": name}} for name in choice.allowed]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": allowed}}
    if not choice.given:
        return None
    return dialect.required if choice.mode == "required" else choice.mode


def _format(request: Request, dialect: Dialect, body: Block) -> None:
    form = request.format
    if form is None:
        return
    if form.kind == "json_object":
        body["response_format"] = {"type": "json_object"}
        return
    if not dialect.json_schema:
        request.draft.refuse("text.format", "it cannot follow a schema; ask for json_object and describe it in words")
    schema: Block = {"name": form.name, "schema": dict(form.schema)}
    if form.strict is not None:
        schema["strict"] = form.strict
    if form.description is not None:
        schema["description"] = form.description
    body["response_format"] = {"type": "json_schema", "json_schema": schema}


def _reasoning(request: Request, dialect: Dialect, body: Block) -> None:
    if request.summary is not None:
        request.draft.unsupported("reasoning.summary", "chat completions have no summaries")
    effort = request.effort
    if effort is None:
        return
    word = dialect.efforts.get(effort, effort)
    if not dialect.effort or not word:
        request.draft.unsupported("reasoning.effort", f"there is no effort {effort!r}")
    elif dialect.effort == "reasoning":
        body["reasoning"] = {"effort": word}
    elif dialect.effort == "thinking":
        body["thinking"] = {"type": "disabled" if effort == "none" else "enabled"}
        if effort != "none":
            body["reasoning_effort"] = word
    else:
        body["reasoning_effort"] = word
