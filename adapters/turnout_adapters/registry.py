"""Finds the provider, the wire, the address and the account that a deployment's parameters mean."""

import difflib
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from turnout_adapters.adapter import Adapter, Target
from turnout_adapters.azure import azure_address, is_version
from turnout_adapters.errors import ConfigError
from turnout_adapters.openai_compatible import PROVIDERS, Provider

_OPENAI_NAMES = re.compile(r"^(gpt-|chatgpt-|o\d|codex-|computer-use|text-embedding-|\*)")
_FULL_URL = re.compile(r"/responses(/.*)?$")


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


def split_model(model: str, provider: str | None = None) -> tuple[Provider, str]:
    """Provider and upstream model of "azure/gpt-4o". Names that OpenAI is known by need no prefix."""
    prefix, slash, rest = model.partition("/")
    if provider is not None:
        name, upstream = provider, rest if slash and prefix == provider else model
    elif slash and prefix in PROVIDERS:
        name, upstream = prefix, rest
    elif not slash and _OPENAI_NAMES.match(model):
        name, upstream = "openai", model
    else:
        name, upstream = prefix, rest
    row = PROVIDERS.get(name)
    if row is None or not upstream:
        raise ConfigError(
            f"model: {model!r} names no provider Turnout knows; write it as provider/model; {nearest(name, PROVIDERS)}",
            param="model",
        )
    return row, upstream


def adapter_for(provider: Provider, wire: str | None = None) -> Adapter:
    """The adapter of a provider's default wire, or of the one asked for."""
    from turnout_adapters.responses import ResponsesWire  # noqa: PLC0415 (loads pydantic models, wanted only now)

    if wire is not None and wire not in provider.wires:
        raise ConfigError(
            f"wire: {provider.name} does not speak {wire!r}; {nearest(wire, provider.wires)}", param="wire"
        )
    return ResponsesWire()


def place_of(provider: Provider, params: Mapping[str, Any], account: str | None, env: Mapping[str, str]) -> Place:
    """Address, credentials and account. Raises ConfigError naming the parameter."""
    base, query, resource = _address(provider, params, env)
    headers, token_provider, key = _credentials(provider, params, env)
    organization = _param(
        params, env, "organization", "OPENAI_ORG_ID", "OPENAI_ORGANIZATION", only=provider.name == "openai"
    )
    project = _param(params, env, "project", "OPENAI_PROJECT_ID", only=provider.name == "openai")
    if organization:
        headers.append(("openai-organization", organization))
    if project:
        headers.append(("openai-project", project))
    target = Target(provider.name, base, tuple(headers), query, token_provider)
    owner = _owner(provider, account, organization, project, key)
    family = "azure" if provider.azure else provider.name
    return Place(target, owner, f"{family}|{resource}|{owner}")


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


def _address(provider: Provider, params: Mapping[str, Any], env: Mapping[str, str]) -> tuple[str, str, str]:
    """Base URL, query and resource."""
    given = params.get("api_base", params.get("base_url"))
    base = _text(given, "api_base") or next(
        (env[name] for name in provider.base_url_env if env.get(name)), provider.base_url
    )
    if base is None:
        raise ConfigError(
            f"api_base: {provider.name} needs the address of your resource; set api_base or {provider.base_url_env[0]}",
            param="api_base",
        )
    _check_url(base)
    if provider.azure:
        version = _text(params.get("api_version"), "api_version")
        if version is None and provider.name == "azure" and "api-version=" not in base:
            version = env.get("AZURE_API_VERSION") or env.get("OPENAI_API_VERSION")
        if version is not None and not is_version(version):
            raise ConfigError(
                f"api_version: must be a date such as 2025-04-01-preview, or 'v1', got {version!r}", param="api_version"
            )
        address = azure_address(base, version)
        return address.base_url, address.query, address.resource
    parts = urlsplit(base)
    path = _FULL_URL.sub("", parts.path).rstrip("/")
    plain = f"{parts.scheme.lower()}://{parts.netloc.lower()}{path}"
    return plain, parts.query, plain


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or re.search(r"\s", url):
        raise ConfigError(f"api_base: must be a URL such as https://host/path, got {url!r}", param="api_base")
    try:
        parts.port  # noqa: B018 (reading it checks it)
    except ValueError:
        raise ConfigError(f"api_base: the port of {url!r} is not a number", param="api_base") from None
    if parts.username or parts.password:
        raise ConfigError("api_base: must not contain a user name or password; use api_key", param="api_base")


def _credentials(
    provider: Provider, params: Mapping[str, Any], env: Mapping[str, str]
) -> tuple[list[tuple[str, str]], Callable[[], str] | None, str | None]:
    key = _text(params.get("api_key"), "api_key")
    token = _text(params.get("azure_ad_token"), "azure_ad_token")
    token_provider = params.get("azure_ad_token_provider")
    named = {"api_key": key, "azure_ad_token": token, "azure_ad_token_provider": token_provider}
    explicit = [name for name, value in named.items() if value is not None]
    if len(explicit) > 1:
        raise ConfigError(f"{explicit[0]} and {explicit[1]} are both given; give one of them", param=explicit[1])
    if token_provider is not None and not callable(token_provider):
        raise ConfigError(
            "azure_ad_token_provider: must be a function that returns a token", param="azure_ad_token_provider"
        )
    if (token is not None or token_provider is not None) and not provider.azure:
        raise ConfigError(f"{explicit[0]}: is for Azure; {provider.name} takes api_key", param=explicit[0])
    if token_provider is not None:
        return [], cast("Callable[[], str]", token_provider), None
    if key is None and token is None:
        key = next((env[name] for name in provider.key_env if env.get(name)), None)
        if key is None and provider.azure:
            token = env.get("AZURE_OPENAI_AD_TOKEN") or env.get("AZURE_AD_TOKEN")
    if token is not None:
        return [("authorization", f"Bearer {_clean(token, 'azure_ad_token')}")], None, None
    if key is None:
        alternatives = " or ".join(("api_key", *provider.key_env))
        raise ConfigError(f"api_key: {provider.name} needs a key; set {alternatives}", param="api_key")
    _clean(key, "api_key")
    return [("api-key", key) if provider.auth == "api-key" else ("authorization", f"Bearer {key}")], None, key


def _clean(secret: str, name: str) -> str:
    if not secret or not secret.isascii() or not secret.isprintable():
        raise ConfigError(f"{name}: is empty or has characters that a header cannot carry (a line break?)", param=name)
    return secret


def _param(params: Mapping[str, Any], env: Mapping[str, str], name: str, *names: str, only: bool) -> str | None:
    given = _text(params.get(name), name)
    if given is None and only:
        given = next((env[one] for one in names if env.get(one)), None)
    return given


def _text(value: object, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{name}: must be a string, got {type(value).__name__}", param=name)
    return value
