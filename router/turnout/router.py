"""The Router: composes the parts and forwards to them. No logic of its own."""

from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike, environ
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast, overload

from turnout.assembly import assemble
from turnout.config import DeploymentSpec, Settings, parse_model_list, parse_settings
from turnout.config.check import sensible
from turnout.conversations import Conversations
from turnout.engine.port import LoopIO, run_without_loop
from turnout.errors import ConfigError
from turnout.io.blocking import BlockingIO
from turnout.io.event_loop import EventLoopIO
from turnout.io.transport import Trust
from turnout.membership import Membership
from turnout.status import DeploymentStatus, Explanation, explain, status_of
from turnout.streams import AsyncStream, Stream, StreamCore
from turnout_adapters.adapter import Operation
from turnout_adapters.provider import Provider
from turnout_adapters.types import CompactedResponse, DeletedResponse, InputTokenCount, ItemList, Response, Result

Row = Mapping[str, Any]


def _by_name(providers: object) -> dict[str, Provider]:
    rows = list(cast("Sequence[Any]", providers)) if isinstance(providers, list | tuple) else None
    if rows is None or not all(isinstance(row, Provider) for row in rows):
        raise ConfigError("providers: must be a list of turnout.Provider", param="providers")
    return {row.name: row for row in rows}


class Router:
    """Calls LLMs through many deployments.

    `model_list` is LiteLLM's: rows of `model_name`, `litellm_params` (or `params`) and `model_info`, with
    `os.environ/NAME` for values from the environment. All other settings are keywords; docs/configuration.md lists
    them with units and defaults. Raises ConfigError, which names the field and the fix.

    Every method with an `a` in front has a twin without it that works in threads and needs no event loop. One Router
    may be used from many threads and event loops at once. Close it with `close()` or `aclose()`, or use it as a
    context manager.
    """

    def __init__(self, model_list: Sequence[Row], **settings: Any) -> None:
        with sensible():
            defaults = settings.pop("default_litellm_params", None)
            providers = _by_name(settings.pop("providers", ()))
            read = partial(self._read, defaults=defaults, providers=providers)
            specs = read(model_list)
            parsed = parse_settings(settings, specs, self._environment())
            self._blocking, self._looping = self._ports(parsed)
            parts = assemble(parsed, self._blocking)
        self._fleet = parts.fleet
        self._builder = parts.builder
        self._dispatcher = parts.dispatcher
        self._parts = parts
        self.conversations = Conversations(parts.talks, self._looping, self._blocking)
        """Conversations that are kept here."""
        self._membership = Membership(parts.fleet, self._blocking.now, parsed, read)
        self._membership.add_all(specs)

    @classmethod
    def from_yaml(cls, path: str | PathLike[str], **settings: Any) -> Self:
        """A Router from LiteLLM's config.yaml: its `model_list` and `router_settings`; keywords override the latter."""
        from turnout.yaml_config import read_config  # noqa: PLC0415 (PyYAML is loaded only for who reads YAML)

        rows, found = read_config(Path(path))
        try:
            return cls(rows, **{**found, **settings})
        except ConfigError as error:
            raise ConfigError(f"{path}: {error.message}", param=error.param) from error

    # --- responses

    @overload
    async def aresponses(
        self, model: str, input: Any = ..., *, stream: Literal[False] = ..., **params: Any
    ) -> Response: ...
    @overload
    async def aresponses(
        self, model: str, input: Any = ..., *, stream: Literal[True], **params: Any
    ) -> AsyncStream: ...
    async def aresponses(self, model: str, input: Any = None, **params: Any) -> Response | AsyncStream:
        """Creates a response: OpenAI's parameters, plus those of one call here.

        `timeout` (seconds for everything, default 600), `attempt_timeout`, `num_retries`, `fallbacks`, `tenant`,
        `tags`, `allowed_model_region`, `hedge`, `session_id`, `extra_headers`, `extra_body`, `drop_params`,
        `raise_on_content_filter`, and `text_format` (a pydantic model: the answer is in `output_parsed`). With
        `stream=True` it returns an AsyncStream once the first output has arrived. Raises a TurnoutError.
        """
        return cast("Response | AsyncStream", await self._run("create", model, None, {"input": input, **params}))

    @overload
    def responses(self, model: str, input: Any = ..., *, stream: Literal[False] = ..., **params: Any) -> Response: ...
    @overload
    def responses(self, model: str, input: Any = ..., *, stream: Literal[True], **params: Any) -> Stream: ...
    def responses(self, model: str, input: Any = None, **params: Any) -> Response | Stream:
        """Sync twin of `aresponses`."""
        return cast("Response | Stream", self._block("create", model, None, {"input": input, **params}))

    @overload
    async def aget_responses(self, response_id: str, *, stream: Literal[False] = ..., **params: Any) -> Response: ...
    @overload
    async def aget_responses(self, response_id: str, *, stream: Literal[True], **params: Any) -> AsyncStream: ...
    async def aget_responses(self, response_id: str, **params: Any) -> Response | AsyncStream:
        """Retrieves a response from the account that has it; `stream=True, starting_after=n` resumes its events."""
        return cast("Response | AsyncStream", await self._run("retrieve", None, response_id, params))

    @overload
    def get_responses(self, response_id: str, *, stream: Literal[False] = ..., **params: Any) -> Response: ...
    @overload
    def get_responses(self, response_id: str, *, stream: Literal[True], **params: Any) -> Stream: ...
    def get_responses(self, response_id: str, **params: Any) -> Response | Stream:
        """Sync twin of `aget_responses`."""
        return cast("Response | Stream", self._block("retrieve", None, response_id, params))

    async def adelete_responses(self, response_id: str, **params: Any) -> DeletedResponse:
        """Deletes a response where it is stored."""
        return cast("DeletedResponse", await self._run("delete", None, response_id, params))

    def delete_responses(self, response_id: str, **params: Any) -> DeletedResponse:
        """Sync twin of `adelete_responses`."""
        return cast("DeletedResponse", self._block("delete", None, response_id, params))

    async def acancel_responses(self, response_id: str, **params: Any) -> Response:
        """Cancels a background response."""
        return cast("Response", await self._run("cancel", None, response_id, params))

    def cancel_responses(self, response_id: str, **params: Any) -> Response:
        """Sync twin of `acancel_responses`."""
        return cast("Response", self._block("cancel", None, response_id, params))

    async def alist_input_items(self, response_id: str, **params: Any) -> ItemList:
        """Lists the input items of a response (`after`, `limit`, `order`, `include`)."""
        return cast("ItemList", await self._run("input_items", None, response_id, params))

    def list_input_items(self, response_id: str, **params: Any) -> ItemList:
        """Sync twin of `alist_input_items`."""
        return cast("ItemList", self._block("input_items", None, response_id, params))

    async def acompact_responses(self, model: str, input: Any = None, **params: Any) -> CompactedResponse:
        """Compacts a conversation into fewer items."""
        return cast("CompactedResponse", await self._run("compact", model, None, {"input": input, **params}))

    def compact_responses(self, model: str, input: Any = None, **params: Any) -> CompactedResponse:
        """Sync twin of `acompact_responses`."""
        return cast("CompactedResponse", self._block("compact", model, None, {"input": input, **params}))

    async def acount_input_tokens(self, model: str, input: Any = None, **params: Any) -> InputTokenCount:
        """Counts the tokens of an input at the provider."""
        return cast("InputTokenCount", await self._run("input_tokens", model, None, {"input": input, **params}))

    def count_input_tokens(self, model: str, input: Any = None, **params: Any) -> InputTokenCount:
        """Sync twin of `acount_input_tokens`."""
        return cast("InputTokenCount", self._block("input_tokens", model, None, {"input": input, **params}))

    # --- deployments, while calls run

    def add_deployment(self, row: Row) -> str:
        """Adds a row and returns its deployment id. Raises ConfigError if it is there already."""
        return self._membership.add(row)

    def upsert_deployment(self, row: Row) -> str:
        """Adds a row, or changes the deployment of this id in place; calls under way go on."""
        return self._membership.upsert(row)

    def delete_deployment(self, deployment_id: str) -> bool:
        """Takes a deployment out for new calls; those under way finish. False if there is none of this id."""
        return self._membership.remove(deployment_id)

    def set_model_list(self, model_list: Sequence[Row]) -> None:
        """Makes the deployments those of this list. What stays keeps its state."""
        self._membership.replace_all(model_list)

    # --- looking

    def status(self) -> list[DeploymentStatus]:
        """How every deployment is doing, in the order of model_list."""
        self._fleet.catch_up()
        now = self._blocking.now()
        return [status_of(one, now) for group in list(self._fleet.groups.values()) for one in list(group.members)]

    def explain(self, model: str, input: Any = None, **params: Any) -> Explanation:
        """Where this call would go now, and why not elsewhere. Sends nothing."""
        call, destination = self._builder.build("create", model, None, {"input": input, **params})
        return explain(self._fleet, call, destination, self._blocking.now())

    # --- what a simulation has another of

    def _environment(self) -> Mapping[str, str]:
        return environ

    def _ports(self, settings: Settings) -> tuple[BlockingIO, LoopIO]:
        trust, most = Trust(settings.trust_env), settings.max_response_bytes
        return (
            BlockingIO(trust_env=settings.trust_env, trust=trust, max_body=most),
            EventLoopIO(trust_env=settings.trust_env, trust=trust, max_body=most),
        )

    def _read(
        self, rows: Sequence[Row], defaults: Row | None, providers: Mapping[str, Provider]
    ) -> list[DeploymentSpec]:
        with sensible():
            return parse_model_list(rows, self._environment(), defaults, providers)

    # --- closing

    def close(self) -> None:
        """Closes the connections of the sync methods, and ends the threads that talk to shared stores.

        What was not written yet is, within a second for each store. A later call starts the threads again. Connections
        of event loops that are closed end too; those of loops that run are `aclose`'s.
        """
        self._blocking.close()
        self._looping.forget_closed()
        self._parts.close()

    async def aclose(self) -> None:
        """Closes the connections of the running event loop, and ends the threads as `close` does; other loops go on."""
        await self._looping.close()
        await self._looping.in_thread(self._parts.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
        self.close()

    def __repr__(self) -> str:
        return f"Router({len(self._fleet.groups)} model groups, {len(self._fleet.deployments)} deployments)"

    async def _run(
        self, operation: Operation, model: str | None, response_id: str | None, given: Row
    ) -> Result | AsyncStream:
        served = await self._dispatcher.run(self._looping, operation, model, response_id, given)
        return AsyncStream(served) if isinstance(served, StreamCore) else served

    def _block(self, operation: Operation, model: str | None, response_id: str | None, given: Row) -> Result | Stream:
        served = run_without_loop(self._dispatcher.run(self._blocking, operation, model, response_id, given))
        return Stream(served) if isinstance(served, StreamCore) else served
