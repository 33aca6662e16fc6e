"""Single calls without a Router: `turnout.responses(model="openai/o1-pro", input="...")`.

Keys and addresses come from the call or from the environment, under the names LiteLLM uses. Every call opens and closes
its own connection; a program that makes many has use for a Router.
"""

import hashlib
from collections.abc import Mapping
from os import environ
from typing import Any, Literal, cast, overload

from turnout.config import parse_model_list
from turnout.errors import ConfigError
from turnout.router import Router
from turnout.streams import AsyncStream, Stream
from turnout_adapters.providers import PROVIDERS
from turnout_adapters.types import DeletedResponse, Response

_CONNECTION = frozenset(
    """
    api_key api_base base_url api_version azure_ad_token azure_ad_token_provider organization project
    aws_access_key_id aws_secret_access_key aws_session_token aws_region_name aws_profile_name
    aws_bedrock_runtime_endpoint vertex_project vertex_location vertex_credentials watsonx_region_name project_id
    custom_llm_provider wire
    """.split()
)


@overload
def responses(model: str, input: Any = ..., *, stream: Literal[False] = ..., **params: Any) -> Response: ...
@overload
def responses(model: str, input: Any = ..., *, stream: Literal[True], **params: Any) -> Stream: ...
def responses(model: str, input: Any = None, **params: Any) -> Response | Stream:
    """Creates a response: OpenAI's parameters, `timeout`, `num_retries`, and where to send it.

    `api_key`, `api_base`, `api_version`, `azure_ad_token`, `azure_ad_token_provider`, `organization` and `project`
    default to the provider's environment variables. Raises a TurnoutError.
    """
    connection, rest = _split(params)
    router = _router([_row(model, connection)])
    try:
        answer = cast("Response | Stream", cast("Any", router).responses(model, input, **rest))
    except BaseException:
        router.close()
        raise
    if not isinstance(answer, Stream):
        router.close()
        return answer

    async def close() -> None:
        router.close()

    answer.after_close(close)
    return answer


@overload
async def aresponses(model: str, input: Any = ..., *, stream: Literal[False] = ..., **params: Any) -> Response: ...
@overload
async def aresponses(model: str, input: Any = ..., *, stream: Literal[True], **params: Any) -> AsyncStream: ...
async def aresponses(model: str, input: Any = None, **params: Any) -> Response | AsyncStream:
    """Async twin of `responses`."""
    connection, rest = _split(params)
    router = _router([_row(model, connection)])
    try:
        answer = cast("Response | AsyncStream", await cast("Any", router).aresponses(model, input, **rest))
    except BaseException:
        await router.aclose()
        raise
    if isinstance(answer, AsyncStream):
        answer.after_close(router.aclose)
    else:
        await router.aclose()
    return answer


def get_responses(response_id: str, **params: Any) -> Response:
    """Retrieves a response. The id says which of the accounts in the environment (or in the arguments) has it."""
    connection, rest = _split(params)
    with _router(_candidates(connection)) as router:
        return cast("Response", cast("Any", router).get_responses(response_id, **rest))


async def aget_responses(response_id: str, **params: Any) -> Response:
    """Async twin of `get_responses`."""
    connection, rest = _split(params)
    async with _router(_candidates(connection)) as router:
        return cast("Response", await cast("Any", router).aget_responses(response_id, **rest))


def delete_responses(response_id: str, **params: Any) -> DeletedResponse:
    """Deletes a response; see `get_responses` for where."""
    connection, rest = _split(params)
    with _router(_candidates(connection)) as router:
        return router.delete_responses(response_id, **rest)


async def adelete_responses(response_id: str, **params: Any) -> DeletedResponse:
    """Async twin of `delete_responses`."""
    connection, rest = _split(params)
    async with _router(_candidates(connection)) as router:
        return await router.adelete_responses(response_id, **rest)


def cancel_responses(response_id: str, **params: Any) -> Response:
    """Cancels a background response; see `get_responses` for where."""
    connection, rest = _split(params)
    with _router(_candidates(connection)) as router:
        return router.cancel_responses(response_id, **rest)


async def acancel_responses(response_id: str, **params: Any) -> Response:
    """Async twin of `cancel_responses`."""
    connection, rest = _split(params)
    async with _router(_candidates(connection)) as router:
        return await router.acancel_responses(response_id, **rest)


def _split(params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    connection = {name: value for name, value in params.items() if name in _CONNECTION}
    return connection, {name: value for name, value in params.items() if name not in _CONNECTION}


def _row(model: object, connection: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(model, str) or not model:
        raise ConfigError(
            f"model must be a provider and a model, such as 'openai/gpt-4o', got {model!r}", param="model"
        )
    return {"model_name": model, "litellm_params": {"model": model, **connection}}


def _candidates(connection: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each account that the arguments and the environment give access to."""
    named = connection.pop("custom_llm_provider", None)
    rows: list[dict[str, Any]] = []
    last: ConfigError | None = None
    keeping = [name for name, row in PROVIDERS.items() if "openai-responses" in row.wires[:1]]
    for name in [named] if named is not None else keeping:
        row = _row(f"{name}/any", connection)
        try:
            parse_model_list([row], environ)
        except ConfigError as error:
            last = error
        else:
            rows.append(row)
    if not rows:
        raise last or ConfigError("no provider's key is set")
    return rows


def _router(rows: list[dict[str, Any]]) -> Router:
    """A Router for one call; it keeps no transcript, which nobody could read.

    Without TURNOUT_ID_SECRET ids are signed with a key derived from the account's credentials, so that they can be
    used in the next call, by whoever has the same credentials, with nothing kept in between.
    """
    settings: dict[str, Any] = {"accept_raw_ids": True, "transcripts": False}
    if not environ.get("TURNOUT_ID_SECRET"):
        specs = parse_model_list(rows, environ)
        settings["id_secret"] = [_derived(f"{spec.domain}|{spec.target.headers}") for spec in specs]
    try:
        return Router(rows, **settings)
    except ConfigError as error:
        raise ConfigError(error.message.replace("model_list[0].litellm_params.", ""), param=error.param) from None


def _derived(material: str) -> str:
    return hashlib.blake2b(material.encode(), person=b"turnout single", digest_size=32).hexdigest()
