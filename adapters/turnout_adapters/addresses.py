"""Where a deployment's calls go: base URLs from parameters, environment and the provider's row."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from turnout_adapters.auth.aws import profile_region
from turnout_adapters.azure import azure_address, is_version
from turnout_adapters.errors import ConfigError
from turnout_adapters.paths import host_label, place
from turnout_adapters.provider import Provider

Params = Mapping[str, Any]
_PLACE = re.compile(r"\{(\w+)\}")
_REGION_IN_ARN = re.compile(r"^arn:aws[\w-]*:\w+:([a-z0-9-]+):")
_OPERATIONS = re.compile(r"/(responses|chat/completions)(/.*)?$")
_MODEL_INFERENCE = "api-version=2024-05-01-preview"


class Address(NamedTuple):
    """Where a deployment is."""

    base_url: str
    query: str
    resource: str
    """What names the account's place, for its state domain."""


def address_of(provider: Provider, params: Params, env: Mapping[str, str], model: str, wire: str) -> Address:
    """The address. Raises ConfigError naming the parameter that is missing or wrong."""
    names = ("api_base", "base_url", "aws_bedrock_runtime_endpoint")
    given = text(next((params[name] for name in names if params.get(name)), None), "api_base")
    base = given or next((env[name] for name in provider.base_url_env if env.get(name)), None)
    if base is not None:
        check_url(base)
    if provider.azure:
        return _azure(provider, params, env, base, wire)
    if provider.name == "vertex_ai":
        return _vertex(params, env, base, wire)
    if provider.auth == "aws":
        return _amazon(provider, params, env, base, model, wire)
    if base is None:
        if provider.base_url is None:
            raise ConfigError(
                f"api_base: {provider.name} needs the address of your account; set api_base or "
                f"{provider.base_url_env[0]}",
                param="api_base",
            )
        base = _PLACE.sub(lambda place: _filled(place[1], params, env), provider.base_url)
    parts = urlsplit(base)
    path = _path(provider, parts.path, wire)
    plain = f"{parts.scheme.lower()}://{parts.netloc.lower()}{path}"
    return Address(plain, parts.query, plain)


def _path(provider: Provider, path: str, wire: str) -> str:
    """The path up to the operation. People paste full addresses; a bare host gets the provider's own path."""
    path = _OPERATIONS.sub("", path).rstrip("/")
    if wire == "anthropic-messages":
        return re.sub(r"/v1(/messages)?$", "", path)
    if wire == "cohere-chat":
        return re.sub(r"/v2(/chat)?$", "", path)
    if wire == "ollama-chat":
        return re.sub(r"(/v1|/api/chat|/api)$", "", path)
    if wire == "openai-chat" and provider.name == "gemini":
        return (path or "/v1beta") + ("" if path.endswith("/openai") else "/openai")
    native = wire not in ("openai-responses", "openai-chat")
    return path or (urlsplit(provider.base_url or "").path if native else "")


def _filled(name: str, params: Params, env: Mapping[str, str]) -> str:
    value = text(params.get(name), name) or env.get(name)
    if not value and name == "watsonx_region_name":
        value = env.get("WATSONX_REGION") or "us-south"
    if not value:
        raise ConfigError(f"{name}: is needed for the address; set it as a parameter or in the environment", param=name)
    return host_label(value, name) if name.endswith("region_name") else place(value, name)


def _azure(provider: Provider, params: Params, env: Mapping[str, str], base: str | None, wire: str) -> Address:
    if base is None:
        raise ConfigError(
            f"api_base: {provider.name} needs the address of your resource; set api_base or {provider.base_url_env[0]}",
            param="api_base",
        )
    version = text(params.get("api_version"), "api_version")
    if version is None and provider.name == "azure" and "api-version=" not in base:
        version = env.get("AZURE_API_VERSION") or env.get("OPENAI_API_VERSION")
    if version is not None and not is_version(version):
        raise ConfigError("api_version: must be a date such as 2025-04-01-preview, or 'v1'", param="api_version")
    parts = urlsplit(base)
    host = f"{parts.scheme.lower()}://{parts.netloc.lower()}"
    if wire == "anthropic-messages":
        before = re.sub(r"/(anthropic|openai|models)(/.*)?$", "", parts.path.rstrip("/"))
        return Address(f"{host}{before}/anthropic", "", f"{host}{before}")
    if is_model_inference(base):
        before = parts.path.partition("/models")[0]
        query = f"api-version={version}" if version else parts.query or _MODEL_INFERENCE
        return Address(f"{host}{before}/models", query, f"{host}{before}")
    address = azure_address(base, version)
    return Address(address.base_url, address.query, address.resource)


def is_model_inference(base: str) -> bool:
    """True for the address of Azure's model inference API, which has chat completions only."""
    return bool(re.search(r"/models(/chat/completions)?/?$", urlsplit(base).path))


def _vertex(params: Params, env: Mapping[str, str], base: str | None, wire: str) -> Address:
    location = _first(params, env, "vertex_location", "VERTEXAI_LOCATION", "GOOGLE_CLOUD_LOCATION", "CLOUD_ML_REGION")
    project = _first(params, env, "vertex_project", "VERTEXAI_PROJECT", "GOOGLE_CLOUD_PROJECT")
    if project is None:
        from turnout_adapters.auth.google import credentials_info  # noqa: PLC0415 (reads a file)

        project = (credentials_info(_vertex_credentials(params, env)) or {}).get("project_id")
    if not project:
        raise ConfigError(
            "vertex_project: vertex_ai needs a project; set vertex_project or VERTEXAI_PROJECT", param="vertex_project"
        )
    location = host_label(location or "us-central1", "vertex_location")
    place(project, "vertex_project")
    path = f"/v1/projects/{project}/locations/{location}"
    if base is None:
        host = f"{location}-aiplatform.googleapis.com"
        if location == "global":
            host = "aiplatform.googleapis.com"
        elif location in ("us", "eu"):
            host = f"aiplatform.{location}.rep.googleapis.com"
        base = f"https://{host}"
    base = base.rstrip("/")
    if "/projects/" not in base:
        base = re.sub(r"/v1(beta1)?$", "", base) + path
    if wire == "openai-chat":
        base += "/endpoints/openapi"
    return Address(base, "", f"{project}/{location}")


def _vertex_credentials(params: Params, env: Mapping[str, str]) -> Any:
    return params.get("vertex_credentials") or env.get("GOOGLE_APPLICATION_CREDENTIALS") or None


def _amazon(
    provider: Provider, params: Params, env: Mapping[str, str], base: str | None, model: str, wire: str
) -> Address:
    region = aws_region(params, env, model)
    if base is None:
        if region is None:
            raise ConfigError(
                f"aws_region_name: {provider.name} needs a region; set aws_region_name or AWS_REGION",
                param="aws_region_name",
            )
        host_label(region, "aws_region_name")
        domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        template = provider.base_url or "https://bedrock-runtime.{aws_region_name}." + domain
        base = template.replace("{aws_region_name}", region)
    parts = urlsplit(base)
    path = parts.path.rstrip("/")
    if provider.name == "bedrock_mantle":
        path = re.sub(r"/(openai/)?v1(/.*)?$", "", path)
        path += "/openai/v1" if wire == "openai-responses" and "gpt-oss" not in model else "/v1"
    elif wire in ("openai-responses", "openai-chat") and not path.endswith("/openai/v1"):
        path += "/openai/v1"
    host = f"{parts.scheme.lower()}://{parts.netloc.lower()}"
    return Address(f"{host}{path}", parts.query, f"{host}|{region or ''}")


def aws_region(params: Params, env: Mapping[str, str], model: str) -> str | None:
    """The region: parameter, the model's ARN, environment, profile. There is no default: it would be the wrong one."""
    arn = _REGION_IN_ARN.match(model)
    named = text(params.get("aws_region_name"), "aws_region_name")
    return (
        named
        or (arn[1] if arn else None)
        or _first(params, env, "", "AWS_REGION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION")
        or profile_region(text(params.get("aws_profile_name"), "aws_profile_name") or env.get("AWS_PROFILE"))
    )


def _first(params: Params, env: Mapping[str, str], name: str, *names: str) -> str | None:
    given = text(params.get(name), name) if name else None
    return given or next((env[one] for one in names if env.get(one)), None)


def check_url(url: str) -> None:
    """Raises ConfigError, without a word of the URL, unless this is one of a server: it may hold a key."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise ConfigError(
            "api_base: cannot be read as a URL; give one such as https://host/path", param="api_base"
        ) from None
    if parts.scheme.lower() not in ("http", "https") or not host or re.search(r"\s", url) or not url.isprintable():
        raise ConfigError("api_base: must be a URL such as https://host/path, without spaces", param="api_base")
    try:
        parts.port  # noqa: B018 (reading it checks it)
    except ValueError:
        raise ConfigError("api_base: its port is not a number", param="api_base") from None
    if parts.username or parts.password:
        raise ConfigError("api_base: must not contain a user name or password; use api_key", param="api_base")


def text(value: object, name: str) -> str | None:
    """A parameter that must be a string."""
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{name}: must be a string, got {type(value).__name__}", param=name)
    return value
