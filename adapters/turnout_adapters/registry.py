"""Finds the provider, the wire, the address and the account that a deployment's parameters mean."""

import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from turnout_adapters.adapter import Adapter, Target
from turnout_adapters.addresses import address_of, is_model_inference, text
from turnout_adapters.credentials import access_of, clean
from turnout_adapters.errors import ConfigError
from turnout_adapters.provider import Provider
from turnout_adapters.providers import ALIASES, GONE, PROVIDERS

_OPENAI_NAMES = re.compile(r"^(gpt-|chatgpt-|o\d|codex-|computer-use|text-embedding-|\*)")
_ADAPTERS: Mapping[str, tuple[str, str]] = {
    "openai-responses": ("responses", "ResponsesWire"),
    "openai-chat": ("wires.chat", "ChatWire"),
    "anthropic-messages": ("wires.anthropic", "AnthropicWire"),
    "gemini": ("wires.gemini", "GeminiWire"),
    "bedrock-converse": ("wires.converse", "ConverseWire"),
    "cohere-chat": ("wires.cohere", "CohereWire"),
    "ollama-chat": ("wires.ollama", "OllamaWire"),
    "watsonx-chat": ("wires.watsonx", "WatsonxChatWire"),
    "watsonx-text": ("wires.watsonx", "WatsonxTextWire"),
    "sagemaker": ("wires.sagemaker", "SageMakerWire"),
    "replicate": ("wires.replicate", "ReplicateWire"),
    "nlp-cloud": ("wires.nlp_cloud", "NLPCloudWire"),
}
_BEDROCK_ROUTES = {"converse": "bedrock-converse", "invoke": "anthropic-messages", "converse_like": "bedrock-converse"}


class Place(NamedTuple):
    """Where a deployment's calls go, and whose state they make."""

    target: Target
    account: str
    """Names the account: organisation, project, `account`, or a fingerprint of the key. Never a credential."""
    domain: str
    """The state domain."""


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint with the nearest valid name, or the valid names."""
    known = sorted(set(names))
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"valid are {', '.join(known[:12])}"


def split_model(
    model: str, provider: "str | Provider | None" = None, others: Mapping[str, Provider] | None = None
) -> tuple[Provider, str]:
    """Provider and upstream model of "azure/gpt-4o". Names that OpenAI is known by need no prefix.

    `provider` may be a row of one's own; `others` are further rows by name.
    """
    known = {**PROVIDERS, **(others or {})}
    prefix, slash, rest = model.partition("/")
    if isinstance(provider, Provider):
        return provider, rest if slash and prefix == provider.name else model
    if provider is not None:
        name, upstream = provider, rest if slash and prefix == provider else model
    elif slash and (prefix in known or prefix in ALIASES):
        name, upstream = prefix, rest
    elif not slash and _OPENAI_NAMES.match(model):
        name, upstream = "openai", model
    elif not slash and model.startswith(("claude-", "gemini-")):
        name, upstream = "anthropic" if model.startswith("claude-") else "gemini", model
    else:
        name, upstream = prefix, rest
    if name in GONE:
        raise ConfigError(f"model: {GONE[name]}", param="model")
    row = known.get(ALIASES.get(name, name))
    if row is None or not upstream:
        raise ConfigError(
            f"model: {model!r} names no provider Turnout knows; write it as provider/model; {nearest(name, known)}",
            param="model",
        )
    return row, upstream


def choose_wire(provider: Provider, model: str, params: Mapping[str, Any]) -> tuple[str, str]:
    """The wire for a model, and the model without a prefix that only says the wire (bedrock/converse/...)."""
    wire = text(params.get("wire"), "wire")
    if not provider.wires:
        raise ConfigError(f"model: {provider.name} has {provider.about}; it cannot answer", param="model")
    if provider.name == "bedrock":
        route, slash, rest = model.partition("/")
        if slash and route in _BEDROCK_ROUTES:
            model, wire = rest, wire or _BEDROCK_ROUTES[route]
    if wire is not None and wire not in provider.wires:
        raise ConfigError(
            f"wire: {provider.name} does not speak {wire!r}; {nearest(wire, provider.wires)}", param="wire"
        )
    return wire or default_wire(provider, model, params), model


def default_wire(provider: Provider, model: str, params: Mapping[str, Any]) -> str:
    """The row's first wire, but for models that have a better one there."""
    if "claude" in model and "anthropic-messages" in provider.wires:
        return "anthropic-messages"
    if provider.name == "bedrock" and re.search(r"(^|\.)openai\.", model):
        return "openai-responses"
    if provider.name == "vertex_ai" and "/" in model and not model.startswith(("endpoints/", "publishers/")):
        return "openai-chat"
    base = params.get("api_base", params.get("base_url"))
    if provider.name == "azure_ai" and isinstance(base, str) and is_model_inference(base):
        return "openai-chat"
    return provider.wires[0]


def adapter_for(provider: Provider, wire: str) -> Adapter:
    """The adapter of a wire, as this provider speaks it. Imported when a deployment needs it."""
    own = provider.adapters.get(wire)
    if own is not None:
        return own(provider)
    module, name = _ADAPTERS[wire]
    return getattr(import_module(f"turnout_adapters.{module}"), name).for_provider(provider)


def place_of(
    provider: Provider,
    params: Mapping[str, Any],
    account: str | None,
    env: Mapping[str, str],
    model: str = "",
    wire: str = "openai-responses",
) -> Place:
    """Address, credentials and account. Raises ConfigError naming the parameter."""
    address = address_of(provider, params, env, model, wire)
    access = access_of(provider, params, env, model, wire)
    headers = [*provider.headers, *access.headers]
    openai = provider.name == "openai"
    organization = _param(params, env, "organization", "OPENAI_ORG_ID", "OPENAI_ORGANIZATION", only=openai)
    project = _param(params, env, "project", "OPENAI_PROJECT_ID", only=openai)
    if organization:
        headers.append(("openai-organization", clean(organization, "organization")))
    if project:
        headers.append(("openai-project", clean(project, "project")))
    token, body = access.token_provider, _body(provider, params, env)
    target = Target(provider.name, address.base_url, tuple(headers), address.query, token, access.auth, body)
    owner = _owner(provider, account, organization, project, access.owner)
    family = "azure" if provider.azure else provider.name
    return Place(target, owner, f"{family}|{address.resource}|{owner}")


def _body(provider: Provider, params: Mapping[str, Any], env: Mapping[str, str]) -> tuple[tuple[str, Any], ...]:
    """watsonx wants the project, or the deployment space, in the body."""
    if provider.name != "watsonx":
        return ()
    for name, variable in (("project_id", "WATSONX_PROJECT_ID"), ("space_id", "WATSONX_DEPLOYMENT_SPACE_ID")):
        value = text(params.get(name), name) or env.get(variable)
        if value:
            return ((name, value),)
    raise ConfigError("project_id: watsonx needs a project; set project_id or WATSONX_PROJECT_ID", param="project_id")


def _owner(
    provider: Provider, account: str | None, organization: str | None, project: str | None, key: str | None
) -> str:
    if account is not None:
        return f"account:{account}"
    if provider.azure:
        return ""
    if organization or project:
        return f"organization:{organization or ''}/{project or ''}"
    return f"key:{hashlib.sha256(key.encode()).hexdigest()[:16]}" if key else ""


def _param(params: Mapping[str, Any], env: Mapping[str, str], name: str, *names: str, only: bool) -> str | None:
    given = text(params.get(name), name)
    if given is None and only:
        given = next((env[one] for one in names if env.get(one)), None)
    return given
