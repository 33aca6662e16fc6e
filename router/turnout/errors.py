"""The error tree under the name users import it from; it is drawn in `turnout_adapters.errors`."""

from turnout_adapters.errors import (
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

__all__ = [
    "APIConnectionError",
    "APIError",
    "APITimeoutError",
    "AsyncHookInSyncCall",
    "AuthenticationError",
    "BadRequestError",
    "ConfigError",
    "ContentPolicyViolationError",
    "ContextWindowExceededError",
    "DeadlineExceededError",
    "InternalServerError",
    "InvalidReplyError",
    "NoCapacityError",
    "NoDeploymentAvailable",
    "NotFoundError",
    "PermissionDeniedError",
    "PinnedUnavailable",
    "QuotaExceededError",
    "RateLimitError",
    "RoutingError",
    "ServiceUnavailableError",
    "TurnoutError",
    "UnknownModelError",
    "UnsupportedParameterError",
]


def unknown_response(param: str | None = None) -> NotFoundError:
    """The one answer to every response id that is not the caller's, whatever the reason: it tells nothing."""
    return NotFoundError("no response with this id", code="response_not_found", param=param)


def unknown_conversation() -> NotFoundError:
    """The same for conversations."""
    return NotFoundError("no conversation with this id", code="conversation_not_found", param="conversation")
