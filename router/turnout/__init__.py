"""Turnout: calls LLMs through many deployments, and keeps conversations on the account that holds their state."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from turnout.context import AttemptFinished, Call, CallFinished, Pick
    from turnout.deployment import Deployment, ModelGroup
    from turnout.errors import (
        APIConnectionError,
        APIError,
        APITimeoutError,
        AsyncHookInSyncCall,
        AuthenticationError,
        BadRequestError,
        ConfigError,
        ContentPolicyViolationError,
        ContextWindowExceededError,
        DeadlineExceededError,
        InternalServerError,
        InvalidReplyError,
        NoCapacityError,
        NoDeploymentAvailable,
        NotFoundError,
        PermissionDeniedError,
        PinnedUnavailable,
        QuotaExceededError,
        RateLimitError,
        RoutingError,
        ServiceUnavailableError,
        TurnoutError,
        UnknownModelError,
        UnsupportedParameterError,
    )
    from turnout.router import Router
    from turnout.single import (
        acancel_responses,
        adelete_responses,
        aget_responses,
        aresponses,
        cancel_responses,
        delete_responses,
        get_responses,
        responses,
    )
    from turnout.streams import AsyncStream, Stream
    from turnout_adapters.dialect import Dialect
    from turnout_adapters.provider import Provider
    from turnout_adapters.types import Attempt, Response, Route, StreamEvent

_HOMES: dict[str, str] = {
    "turnout.context": "AttemptFinished Call CallFinished Pick",
    "turnout.deployment": "Deployment ModelGroup",
    "turnout.errors": """
        APIConnectionError APIError APITimeoutError AsyncHookInSyncCall AuthenticationError BadRequestError ConfigError
        ContentPolicyViolationError ContextWindowExceededError DeadlineExceededError InternalServerError
        InvalidReplyError NoCapacityError NoDeploymentAvailable NotFoundError PermissionDeniedError PinnedUnavailable
        QuotaExceededError RateLimitError RoutingError ServiceUnavailableError TurnoutError UnknownModelError
        UnsupportedParameterError
    """,
    "turnout.router": "Router",
    "turnout.single": """
        acancel_responses adelete_responses aget_responses aresponses cancel_responses delete_responses get_responses
        responses
    """,
    "turnout.streams": "AsyncStream Stream",
    "turnout_adapters.dialect": "Dialect",
    "turnout_adapters.provider": "Provider",
    "turnout_adapters.types": "Attempt Response Route StreamEvent",
}

__all__ = [
    "APIConnectionError",
    "APIError",
    "APITimeoutError",
    "AsyncHookInSyncCall",
    "AsyncStream",
    "Attempt",
    "AttemptFinished",
    "AuthenticationError",
    "BadRequestError",
    "Call",
    "CallFinished",
    "ConfigError",
    "ContentPolicyViolationError",
    "ContextWindowExceededError",
    "DeadlineExceededError",
    "Deployment",
    "Dialect",
    "InternalServerError",
    "InvalidReplyError",
    "ModelGroup",
    "NoCapacityError",
    "NoDeploymentAvailable",
    "NotFoundError",
    "PermissionDeniedError",
    "Pick",
    "PinnedUnavailable",
    "Provider",
    "QuotaExceededError",
    "RateLimitError",
    "Response",
    "Route",
    "Router",
    "RoutingError",
    "ServiceUnavailableError",
    "Stream",
    "StreamEvent",
    "TurnoutError",
    "UnknownModelError",
    "UnsupportedParameterError",
    "__version__",
    "acancel_responses",
    "adelete_responses",
    "aget_responses",
    "aresponses",
    "cancel_responses",
    "delete_responses",
    "get_responses",
    "responses",
]


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first used, which keeps `import turnout` cheap."""
    for home, names in _HOMES.items():
        if name in names.split():
            found = getattr(import_module(home), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
