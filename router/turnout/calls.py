"""From the caller's keyword arguments to one immutable Call."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, cast

from turnout.config import check
from turnout.config.residency import regions
from turnout.context import Call
from turnout.continuity.affinity import Continuity
from turnout.continuity.stickiness import affinity_key
from turnout.deployment import Budget, Deployment, ModelGroup
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Destination
from turnout.engine.names import Names
from turnout.errors import BadRequestError, ConfigError, TurnoutError, unknown_response
from turnout.policies import AffinityPolicy, ResidencyPolicy
from turnout_adapters import headers
from turnout_adapters.adapter import Operation
from turnout_adapters.schemas import strict_schema
from turnout_adapters.types.request import (
    COMPACT_PARAMS,
    CREATE_PARAMS,
    INPUT_ITEMS_PARAMS,
    INPUT_TOKENS_PARAMS,
    RETRIEVE_PARAMS,
)

_PARAMS: dict[Operation, frozenset[str]] = {
    "create": CREATE_PARAMS,
    "compact": COMPACT_PARAMS,
    "input_tokens": INPUT_TOKENS_PARAMS,
    "retrieve": RETRIEVE_PARAMS,
    "input_items": INPUT_ITEMS_PARAMS,
    "delete": frozenset(),
    "cancel": frozenset(),
}
_LONGEST = 1e9
"""Seconds that a call may take: some thirty years, which every clock can take."""
_PATIENT = 1.0
"""Seconds of its own that a caller must give for a timeout to count against a deployment."""
OPTIONS = frozenset(
    {
        "timeout",
        "attempt_timeout",
        "num_retries",
        "max_retries",
        "fallbacks",
        "tenant",
        "whole_chain",
        "tags",
        "allowed_model_region",
        "hedge",
        "extra_headers",
        "extra_body",
        "drop_params",
        "litellm_metadata",
        "session_id",
        "litellm_session_id",
        "raise_on_content_filter",
        "text_format",
        "wire",
    }
)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the Router's settings give a call."""

    timeout: float
    attempt_timeout: float | None
    explicit_timeout: bool
    raise_on_content_filter: bool = False
    affinity: AffinityPolicy = field(default_factory=AffinityPolicy)
    residency: ResidencyPolicy = field(default_factory=ResidencyPolicy)


class CallBuilder:
    """Checks arguments and builds calls. Raises ConfigError, UnknownModelError or NotFoundError before anything is
    sent."""

    def __init__(
        self, fleet: Fleet, names: Names, continuity: Continuity, defaults: Defaults, now: Callable[[], float]
    ) -> None:
        self._fleet = fleet
        self._names = names
        self._continuity = continuity
        self._defaults = defaults
        self._now = now

    def build(
        self, operation: Operation, model: str | None, response_id: str | None, given: Mapping[str, Any]
    ) -> tuple[Call, Destination]:
        """The call, and where it may go."""
        try:
            return self._built(operation, model, response_id, given)
        except TurnoutError:
            raise
        except Exception as error:
            name = type(error).__name__
            raise BadRequestError(f"the arguments of the call make no sense ({name})") from error

    def _built(
        self, operation: Operation, model: str | None, response_id: str | None, given: Mapping[str, Any]
    ) -> tuple[Call, Destination]:
        body, options = _split(operation, given)
        if operation in ("create", "compact", "input_tokens"):
            return self._on_model(operation, model, body, options)
        return self._on_response(operation, model, response_id, body, options)

    def _on_model(
        self, operation: Operation, model: object, body: dict[str, Any], options: Mapping[str, Any]
    ) -> tuple[Call, Destination]:
        if not isinstance(model, str) or not model:
            raise ConfigError(f"model must be the name of a model group, got {check.told(model)}", param="model")
        destination = self._names.resolve(model)
        _check_body(operation, body)
        stream = bool(body.pop("stream", False))
        tags = _tags(options, body)
        members = destination.only or destination.group.members
        tenant = _text(options, "tenant") or ""
        origin = self._continuity.locate(body, tenant, lambda: {one.domain for one in members})
        call = self._call(
            operation,
            model,
            origin.body,
            options,
            stream=stream,
            tags=tags,
            pin=origin.domain,
            prefer=origin.prefer,
            home=origin.home,
            owners=origin.owners,
            draft=origin.draft,
            regions=self._regions(destination.group.name, options),
            affinity=affinity_key(
                self._defaults.affinity, destination.group.name, operation, tenant, origin.body, options
            ),
            extra_body=dict(_mapping(options, "extra_body")),
            text_format=options.get("text_format"),
        )
        return call, destination

    def _on_response(
        self,
        operation: Operation,
        model: str | None,
        response_id: object,
        body: dict[str, Any],
        options: Mapping[str, Any],
    ) -> tuple[Call, Destination]:
        if not isinstance(response_id, str) or not response_id:
            raise ConfigError(
                f"response_id must be the id of a response, got {check.told(response_id)}", param="response_id"
            )
        stream = bool(body.pop("stream", False))
        tenant = _text(options, "tenant") or ""
        members = list(self._names.resolve(model).group.members) if model else list(self._fleet.deployments.values())
        origin = self._continuity.find(response_id, tenant, lambda: {one.domain for one in members}, body)
        on_account: tuple[Deployment, ...] = tuple(self._fleet.domains.get(origin.domain or "", ()))
        if on_account:
            group = self._fleet.groups[on_account[0].spec.model_group]
        elif origin.draft is not None:
            group = ModelGroup("", Budget(0.0, 0.0))
        else:
            raise unknown_response("response_id")
        draft = origin.draft
        if _flag(options, "whole_chain"):
            if draft is None or operation != "delete":
                raise ConfigError(
                    "whole_chain is for deleting responses of a Router with transcripts", param="whole_chain"
                )
            draft = draft._replace(whole_chain=True)
        call = self._call(
            operation,
            "",
            origin.body,
            options,
            stream=stream,
            pin=origin.domain,
            prefer=origin.prefer,
            response_id=origin.response_id,
            regions=self._regions(None, options),
            stateless=True,
            draft=draft,
        )
        return call, Destination(group, only=on_account)

    def _call(
        self, operation: Operation, model: str, body: Mapping[str, Any], options: Mapping[str, Any], **more: Any
    ) -> Call:
        defaults, now = self._defaults, self._now()
        timeout, attempt_timeout = _seconds(options, "timeout"), _seconds(options, "attempt_timeout")
        retries = options.get("num_retries", options.get("max_retries"))
        if retries is not None and (isinstance(retries, bool) or not isinstance(retries, int) or retries < 0):
            raise ConfigError(
                f"num_retries must be a whole number, 0 or more, got {check.told(retries)}", param="num_retries"
            )
        return Call(
            operation=operation,
            model=model,
            body=body,
            started=now,
            deadline=now + (defaults.timeout if timeout is None else timeout),
            open_ended=timeout is None and not defaults.explicit_timeout,
            tenant=_text(options, "tenant") or "",
            attempt_timeout=attempt_timeout or defaults.attempt_timeout,
            impatient=min(attempt_timeout or inf, timeout or inf) < _PATIENT,
            retries=retries,
            fallbacks=self._fallbacks(options.get("fallbacks")),
            extra_headers=headers.checked(options.get("extra_headers"), "extra_headers"),
            wire=_text(options, "wire"),
            hedge=bool(_flag(options, "hedge", default=True)),
            drop_params=_flag(options, "drop_params"),
            raise_on_content_filter=bool(_flag(options, "raise_on_content_filter", defaults.raise_on_content_filter)),
            **more,
        )

    def _regions(self, group: str | None, options: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
        own = regions(options.get("allowed_model_region"), "allowed_model_region")
        return self._defaults.residency.of(group, own)

    def _fallbacks(self, given: object) -> tuple[str, ...] | None:
        if given is None:
            return None
        listed = cast("list[object]", given) if isinstance(given, list | tuple) else None
        if listed is None:
            raise ConfigError("fallbacks must be a list of model group names", param="fallbacks")
        names = [cast("Mapping[str, Any]", one).get("model") if isinstance(one, Mapping) else one for one in listed]
        for name in names:
            if not isinstance(name, str):
                raise ConfigError(
                    f"fallbacks must be a list of model group names, got {check.told(name)}", param="fallbacks"
                )
            self._names.resolve(name)
        return tuple(str(name) for name in names)


def _split(operation: Operation, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    params = _PARAMS[operation]
    body, options = dict[str, Any](), dict[str, Any]()
    for name, value in given.items():
        if name in params:
            if value is not None:
                body[name] = value
        elif name in OPTIONS:
            options[name] = value
        else:
            near = difflib.get_close_matches(name, [*params, *OPTIONS], n=1, cutoff=0.6)
            hint = f"did you mean {near[0]!r}?" if near else "put it in extra_body to send it as it is"
            raise ConfigError(f"unknown keyword {check.told(name)}; {hint}", param=name)
    if operation in ("create", "compact", "input_tokens"):
        _add_format(body, options.get("text_format"))
    else:
        body.update(_mapping(options, "extra_body"))
    return body, options


def _add_format(body: dict[str, Any], model: object) -> None:
    """`text_format=SomeModel` as the JSON schema it stands for."""
    if model is None:
        return
    schema_of = getattr(model, "model_json_schema", None)
    if not isinstance(model, type) or not callable(schema_of):
        raise ConfigError(f"text_format must be a pydantic model class, got {check.shown(model)}", param="text_format")
    text: object = body.get("text") or {}
    if not isinstance(text, Mapping):
        raise ConfigError(f"text must be an object, got {type(text).__name__}", param="text")
    fields = cast("Mapping[str, Any]", text)
    if fields.get("format"):
        raise ConfigError("text_format and text.format are both given; give one of them", param="text_format")
    schema = strict_schema(cast("Callable[[], dict[str, Any]]", schema_of)())
    form = {"type": "json_schema", "name": model.__name__, "schema": schema, "strict": True}
    body["text"] = {**fields, "format": form}


def _check_body(operation: Operation, body: Mapping[str, Any]) -> None:
    given = body.get("input")
    if given is not None and not isinstance(given, str | list | tuple):
        raise ConfigError(f"input must be text or a list of items, got {type(given).__name__}", param="input")
    sources = ("input", "prompt", "previous_response_id", "conversation")
    if operation == "create" and not any(name in body for name in sources):
        raise ConfigError("input is missing: give text or a list of items", param="input")
    if not isinstance(body.get("stream", False), bool):
        raise ConfigError(f"stream must be True or False, got {check.told(body['stream'])}", param="stream")


def _tags(options: Mapping[str, Any], body: dict[str, Any]) -> tuple[str, ...]:
    """Tags by our name, or where LiteLLM's callers put them; the provider never sees those."""
    found: object = options.get("tags")
    if found is None:
        found = _mapping(options, "litellm_metadata").get("tags")
    metadata: object = body.get("metadata")
    if found is None and _lists_tags(metadata):
        rest = dict(cast("Mapping[str, Any]", metadata))
        found = rest.pop("tags")
        body["metadata"] = rest
    if found is None:
        return ()
    listed = cast("list[object]", found) if isinstance(found, list | tuple) else None
    if listed is None or not all(isinstance(tag, str) for tag in listed):
        raise ConfigError(f"tags must be a list of strings, got {check.shown(cast('object', found))}", param="tags")
    return tuple(str(tag) for tag in listed)


def _lists_tags(metadata: object) -> bool:
    return isinstance(metadata, Mapping) and isinstance(cast("Mapping[str, Any]", metadata).get("tags"), list)


def _seconds(options: Mapping[str, Any], name: str) -> float | None:
    value = options.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LONGEST:
        problem = f"{name} must be a positive number of seconds (up to {_LONGEST:.0e}), got {check.told(value)}"
        raise ConfigError(problem, param=name)
    return float(value)


def _flag(options: Mapping[str, Any], name: str, default: bool | None = None) -> bool | None:
    value = options.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be True or False, got {check.told(value)}", param=name)
    return value


def _text(options: Mapping[str, Any], name: str) -> str | None:
    value = options.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{name} must be a string, got {check.told(value)}", param=name)
    return None if value is None else str.__str__(value)


def _mapping(options: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = options.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} must be a mapping, got {type(value).__name__}", param=name)
    return cast("Mapping[str, Any]", value)
