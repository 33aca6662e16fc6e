"""How each recorded API is reached through a Router: its provider, its wire, its address on a local server."""

from typing import Any

from tests.recorded import Exchange, Recording
from turnout import Router
from turnout_adapters.providers import PROVIDERS

_NAMES = {
    "anthropic_messages": "anthropic", "vertex_anthropic": "vertex_ai", "bedrock_invoke_anthropic": "bedrock",
    "gemini_generate": "gemini", "vertex_gemini": "vertex_ai", "gemini_openai_compat": "gemini",
    "bedrock_converse": "bedrock", "bedrock_converse_stream": "bedrock", "cohere_v2_chat": "cohere",
    "azure_openai_chat": "azure", "ollama_openai_compat": "ollama", "ollama_native": "ollama",
    "llamacpp_server_chat": "llamacpp", "watsonx_legacy": "watsonx", "vercel_gateway_chat": "vercel_ai_gateway",
}  # fmt: skip
_WIRES = {
    "anthropic_messages": "anthropic-messages", "vertex_anthropic": "anthropic-messages",
    "bedrock_invoke_anthropic": "anthropic-messages", "gemini_generate": "gemini", "vertex_gemini": "gemini",
    "bedrock_converse": "bedrock-converse", "bedrock_converse_stream": "bedrock-converse",
    "cohere_v2_chat": "cohere-chat", "ollama_native": "ollama-chat", "watsonx_legacy": "watsonx-text",
}  # fmt: skip


def provider_of(api: str) -> str:
    """The row for a recorded API; servers that have none are OpenAI-compatible ones."""
    name = _NAMES.get(api) or api.removesuffix("_chat")
    return name if name in PROVIDERS else "hosted_vllm"


def wire_of(api: str) -> str:
    return _WIRES.get(api, "openai-chat")


def params_of(api: str, model: str, url: str) -> dict[str, Any]:
    """litellm_params of a deployment on a local server."""
    provider = provider_of(api)
    params: dict[str, Any] = {"model": f"{provider}/{model or 'm'}", "wire": wire_of(api), "api_base": url}
    params["api_key"] = "test-key-of-twenty-chars"
    if provider.startswith("bedrock"):
        params["aws_region_name"] = "us-east-1"
    elif provider == "vertex_ai":
        params |= {"vertex_project": "p", "vertex_location": "us-central1"}
    elif provider == "watsonx":
        params |= {"project_id": "p", "token": params.pop("api_key")}
    return params


def router_for(recording: Recording, url: str) -> Router:
    params = params_of(recording.api, recording.model, url)
    return Router([{"model_name": "m", "litellm_params": params}], num_retries=0)


def exchange_of(recording: Recording) -> Exchange:
    """The recording as the replay server wants it."""
    headers = dict(recording.headers)
    content = recording.raw if recording.stream else None
    return Exchange(
        recording.id, recording.url, recording.request, recording.status, headers, content=content or recording.raw
    )
