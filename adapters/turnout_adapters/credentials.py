"""How a deployment is let in: keys, tokens and signers from parameters and environment."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple, cast

from turnout_adapters.adapter import Auth
from turnout_adapters.addresses import aws_region, text
from turnout_adapters.auth.aws import NEEDED as BOTOCORE_NEEDED
from turnout_adapters.auth.aws import AWSAuth
from turnout_adapters.auth.google import GoogleAuth, credentials_info
from turnout_adapters.auth.ibm import IBMAuth
from turnout_adapters.errors import ConfigError
from turnout_adapters.provider import Provider

Params = Mapping[str, Any]
_OF_ONE = {
    "azure_ad_token": "Azure", "azure_ad_token_provider": "Azure", "vertex_credentials": "vertex_ai",
    "vertex_project": "vertex_ai", "vertex_location": "vertex_ai", "aws_access_key_id": "AWS",
    "aws_secret_access_key": "AWS", "aws_session_token": "AWS", "aws_region_name": "AWS", "aws_profile_name": "AWS",
    "token": "watsonx",
}  # fmt: skip


class Access(NamedTuple):
    """What lets a deployment in."""

    headers: list[tuple[str, str]]
    owner: str | None = None
    """What the account is named after where nothing else names it; a credential, to be hashed."""
    token_provider: Callable[[], str] | None = None
    auth: Auth | None = None


def access_of(provider: Provider, params: Params, env: Mapping[str, str], model: str, wire: str) -> Access:
    """The credentials. Raises ConfigError naming the parameter that is missing or wrong."""
    _check_kind(provider, params)
    if provider.azure:
        return _azure(provider, params, env, wire)
    key = text(params.get("api_key"), "api_key")
    if provider.auth == "aws":
        return _amazon(provider, params, env, key, model)
    if provider.auth == "google":
        return _google(provider, params, env, key)
    token = text(params.get("token"), "token") or (env.get("WATSONX_TOKEN") if provider.auth == "ibm" else None)
    if token is not None and key is None:
        return Access([("authorization", f"Bearer {clean(token, 'token')}")], token)
    if key is None:
        key = next((env[name] for name in provider.key_env if env.get(name)), None)
    if key is None and provider.key_optional:
        return Access([])
    if key is None:
        alternatives = " or ".join(("api_key", *provider.key_env))
        raise ConfigError(f"api_key: {provider.name} needs a key; set {alternatives}", param="api_key")
    clean(key, "api_key")
    if provider.auth == "ibm":
        return Access([], key, auth=IBMAuth(key, provider.name, env.get("WATSONX_IAM_URL")))
    return Access([_header(provider.auth, key)], key)


def _header(scheme: str, key: str) -> tuple[str, str]:
    if scheme == "bearer":
        return "authorization", f"Bearer {key}"
    return ("authorization", f"Token {key}") if scheme == "token" else (scheme, key)


def _check_kind(provider: Provider, params: Params) -> None:
    kind = {"aws": "AWS", "google": "vertex_ai", "ibm": "watsonx"}.get(provider.auth, "Azure" if provider.azure else "")
    for name, owner in _OF_ONE.items():
        if params.get(name) is not None and owner != kind:
            raise ConfigError(f"{name}: is for {owner}; {provider.name} takes api_key", param=name)


def _azure(provider: Provider, params: Params, env: Mapping[str, str], wire: str) -> Access:
    key = text(params.get("api_key"), "api_key")
    token = text(params.get("azure_ad_token"), "azure_ad_token")
    token_provider = params.get("azure_ad_token_provider")
    named = {"api_key": key, "azure_ad_token": token, "azure_ad_token_provider": token_provider}
    explicit = [name for name, value in named.items() if value is not None]
    if len(explicit) > 1:
        raise ConfigError(f"{explicit[0]} and {explicit[1]} are both given; give one of them", param=explicit[1])
    if token_provider is not None and not callable(token_provider):
        raise ConfigError(
            "azure_ad_token_provider: must be a function that returns a token", param="azure_ad_token_provider"
        )
    if token_provider is not None:
        return Access([], token_provider=cast("Callable[[], str]", token_provider))
    if key is None and token is None:
        key = next((env[name] for name in provider.key_env if env.get(name)), None)
        if key is None:
            token = env.get("AZURE_OPENAI_AD_TOKEN") or env.get("AZURE_AD_TOKEN")
    if token is not None:
        return Access([("authorization", f"Bearer {clean(token, 'azure_ad_token')}")])
    if key is None:
        alternatives = " or ".join(("api_key", *provider.key_env))
        raise ConfigError(f"api_key: {provider.name} needs a key; set {alternatives}", param="api_key")
    clean(key, "api_key")
    headers = [("api-key", key)]
    if wire == "anthropic-messages":
        headers.append(("x-api-key", key))
    return Access(headers, key)


def _amazon(provider: Provider, params: Params, env: Mapping[str, str], key: str | None, model: str) -> Access:
    explicit = params.get("aws_access_key_id") or params.get("aws_profile_name")
    if key is not None and explicit:
        raise ConfigError("api_key and aws_access_key_id (or a profile) are both given; give one", param="api_key")
    if key is None and not explicit:
        key = next((env[name] for name in provider.key_env if env.get(name)), None)
    if key is not None:
        return Access([("authorization", f"Bearer {clean(key, 'api_key')}")], key)
    for name, other in (
        ("aws_access_key_id", "aws_secret_access_key"),
        ("aws_secret_access_key", "aws_access_key_id"),
    ):
        if params.get(name) and not params.get(other):
            raise ConfigError(f"{other}: is missing; it goes with {name}", param=other)
    region = aws_region(params, env, model)
    if region is None:
        raise ConfigError("aws_region_name: signing needs a region; set aws_region_name", param="aws_region_name")
    if find_spec("botocore") is None:
        raise ConfigError(BOTOCORE_NEEDED)
    service = {"sagemaker": "sagemaker", "bedrock_mantle": "bedrock-mantle"}.get(provider.name, "bedrock")
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_profile_name")
    given = {name: text(params.get(name), name) for name in names}
    owner = given["aws_access_key_id"] or given["aws_profile_name"] or env.get("AWS_ACCESS_KEY_ID")
    return Access([], owner, auth=AWSAuth(service, region, given, provider.name))


def _google(provider: Provider, params: Params, env: Mapping[str, str], key: str | None) -> Access:
    given = params.get("vertex_credentials")
    if key is not None and given is not None:
        raise ConfigError("api_key and vertex_credentials are both given; give one of them", param="vertex_credentials")
    if key is not None:
        return Access([("authorization", f"Bearer {clean(key, 'api_key')}")], key)
    info = credentials_info(given or env.get("VERTEXAI_CREDENTIALS"))
    owner = (info or {}).get("client_email")
    return Access([], owner, auth=GoogleAuth(info, provider.name))


def clean(secret: str, name: str) -> str:
    """The secret, if a header can carry it."""
    if not secret or not secret.isascii() or not secret.isprintable():
        raise ConfigError(f"{name}: is empty or has characters that a header cannot carry (a line break?)", param=name)
    return secret
