"""A Responses request to the body of generateContent."""

import re

from turnout_adapters.params import check_params, wants_logprobs
from turnout_adapters.request import Request, all_system, mapping
from turnout_adapters.wires.gemini.content import Block, contents

MAPPED = frozenset("temperature top_p top_logprobs service_tier presence_penalty frequency_penalty".split())
_NAME = re.compile(r"gemini-(\d+)(?:\.(\d+))?-?(pro|flash)?")
_BUDGETS = {"minimal": 1024, "low": 4096, "medium": 8192, "high": 24576}
_LEVELS = ("minimal", "low", "medium", "high", "xhigh", "max")
_TIERS = {"default": "standard", "flex": "flex", "priority": "priority"}


def model_version(model: str) -> tuple[int, int]:
    """(2, 5) for gemini-2.5-flash; an unknown name counts as the newest."""
    found = _NAME.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else (99, 0)


def encode(request: Request, *, vertex: bool) -> tuple[Block, list[tuple[str, str]]]:
    """The body, and headers that parameters turn into."""
    check_params(request, MAPPED)
    version = model_version(request.call.model)
    body: Block = {}
    system = [{"text": part.text} for part in all_system(request)]
    if system:
        body["systemInstruction"] = {"parts": system}
    newest = version >= (3, 0)
    body["contents"] = contents(request, ids=not vertex, media_in_results=newest, signed=newest)
    _tools(request, body, version, vertex=vertex)
    config = _config(request, version, has_tools="tools" in body)
    if config:
        body["generationConfig"] = config
    return body, _tier(request, body, vertex=vertex)


def _tools(request: Request, body: Block, version: tuple[int, int], *, vertex: bool) -> None:
    tools: list[Block] = [_hosted(request, dict(tool)) for tool in request.hosted]
    declared: list[Block] = []
    for tool in request.tools:
        block: Block = {"name": tool.name, "description": tool.description} if tool.description else {"name": tool.name}
        declared.append({**block, "parametersJsonSchema": dict(tool.parameters)})
    if declared:
        if tools and version < (3, 0):
            request.draft.refuse("tools", f"{request.call.model} cannot have functions and hosted tools in one request")
        tools.append({"functionDeclarations": declared})
    if not tools:
        return
    body["tools"] = tools
    config: Block = {}
    if declared:
        calling = _calling(request)
        if calling:
            config["functionCallingConfig"] = calling
        if len(tools) > 1 and not vertex:
            config["includeServerSideToolInvocations"] = True
    if config:
        body["toolConfig"] = config


def _hosted(request: Request, tool: Block) -> Block:
    kind = str(tool.get("type"))
    if kind.startswith("web_search"):
        if mapping(tool.get("filters"), "tools.filters").get("allowed_domains"):
            request.draft.refuse("tools.filters", "its web search cannot be held to domains")
        for name in ("user_location", "search_context_size"):
            if tool.get(name) not in (None, "medium"):
                request.draft.unsupported(f"tools.{name}", "there is no such setting")
        return {"googleSearch": {}}
    if kind == "code_interpreter":
        container: object = tool.get("container")
        if isinstance(container, str) or mapping(container, "tools.container").get("file_ids"):
            request.draft.refuse("tools.container", "its code execution takes no files")
        return {"codeExecution": {}}
    return request.draft.refuse("tools", f"it has no tool of type {kind!r}")


def _calling(request: Request) -> Block:
    choice = request.choice
    if choice.mode == "tool":
        return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    if choice.mode == "none":
        return {"mode": "NONE"}
    strict = any(tool.strict for tool in request.tools)
    if choice.allowed is not None:
        mode = "ANY" if choice.mode == "required" else "VALIDATED"
        return {"mode": mode, "allowedFunctionNames": list(choice.allowed)}
    if choice.mode == "required":
        return {"mode": "ANY"}
    if strict:
        return {"mode": "VALIDATED"}
    return {"mode": "AUTO"} if choice.given else {}


def _config(request: Request, version: tuple[int, int], *, has_tools: bool) -> Block:
    config: Block = {}
    for ours, theirs in (
        ("max_output_tokens", "maxOutputTokens"),
        ("temperature", "temperature"),
        ("top_p", "topP"),
        ("presence_penalty", "presencePenalty"),
        ("frequency_penalty", "frequencyPenalty"),
    ):
        if request.get(ours) is not None:
            config[theirs] = request.get(ours)
    if wants_logprobs(request):
        config["responseLogprobs"] = True
        if request.get("top_logprobs"):
            config["logprobs"] = request.get("top_logprobs")
    if request.format is not None:
        if has_tools and version < (3, 0):
            request.draft.refuse("text.format", f"{request.call.model} cannot follow a schema and have tools at once")
        config["responseMimeType"] = "application/json"
        if request.format.kind == "json_schema":
            config["responseJsonSchema"] = dict(request.format.schema)
    thinking = _thinking(request, version)
    if thinking:
        config["thinkingConfig"] = thinking
    resolution = _resolution(request)
    if resolution:
        config["mediaResolution"] = f"MEDIA_RESOLUTION_{resolution}"
    return config


def _thinking(request: Request, version: tuple[int, int]) -> Block:
    effort, summary = request.effort, request.summary
    if effort is None and summary is None:
        return {}
    if version < (2, 5):
        request.draft.unsupported("reasoning", f"{request.call.model} does not reason")
        return {}
    config: Block = {"includeThoughts": True} if summary is not None else {}
    if effort is None:
        return config
    is_pro = "pro" in request.call.model
    if version >= (3, 0):
        return config | {"thinkingLevel": _level(request, effort, version, is_pro=is_pro)}
    if effort == "none":
        if is_pro:
            request.draft.unsupported("reasoning.effort", f"{request.call.model} cannot stop reasoning")
            return config
        return config | {"thinkingBudget": 0}
    top = 32768 if is_pro else 24576
    return config | {"thinkingBudget": min(_BUDGETS.get(effort, top), top)}


def _level(request: Request, effort: str, version: tuple[int, int], *, is_pro: bool) -> str:
    """The nearest level: a Pro has no minimal one, and the first of them no medium."""
    level = "minimal" if effort == "none" else effort if effort in _LEVELS else "high"
    if effort == "none":
        request.draft.warn(f"reasoning.effort 'none': {request.call.model} reasons as little as it can")
    if level == "minimal" and (is_pro or version >= (3, 7)):
        level = "low"
    if level == "medium" and is_pro and version == (3, 0):
        level = "high"
    if level in ("xhigh", "max"):
        request.draft.warn(f"reasoning.effort {effort!r} was sent as 'high', the highest there is")
        level = "high"
    return level


def _resolution(request: Request) -> str | None:
    """One for all images: the highest that any asks for."""
    wanted = {part.detail for part in request.media if part.detail is not None}
    if not wanted:
        return None
    return "HIGH" if wanted & {"high", "original"} else "LOW"


def _tier(request: Request, body: Block, *, vertex: bool) -> list[tuple[str, str]]:
    tier = request.get("service_tier")
    if tier in (None, "auto"):
        return []
    if tier not in _TIERS:
        request.draft.unsupported("service_tier", "it has default, flex and priority")
    elif not vertex:
        body["serviceTier"] = _TIERS[tier]
    elif tier != "default":
        return [("x-vertex-ai-llm-shared-request-type", tier)]
    return []
