"""Every error a call can end with.

    TurnoutError
      ConfigError                     the configuration or an argument is wrong; nothing was sent
        UnknownModelError             no such model group, alias, wildcard or deployment id
      APIError                        an attempt failed; `kind` says how
        BadRequestError               400, 413, 422
          ContextWindowExceededError
          ContentPolicyViolationError
          UnsupportedParameterError   refused before the call
        AuthenticationError           401
        PermissionDeniedError         403
        NotFoundError                 404
        RateLimitError                429
          QuotaExceededError          429 that waiting does not cure
          NoCapacityError             nothing was free in time: also a NoDeploymentAvailable
        InternalServerError           500, 502 and other 5xx
        ServiceUnavailableError       503, 529
        APITimeoutError               408, 504, no answer in time
        APIConnectionError            refused, reset, cut before the end
        InvalidReplyError             an answer that is not what the wire promises
      RoutingError                    no attempt could be made
        NoDeploymentAvailable
        PinnedUnavailable             the account that holds the conversation cannot answer
      DeadlineExceededError           the call's seconds are used up
      AsyncHookInSyncCall             a hook that awaits, under the sync API

No message, attribute or repr ever contains a credential.
"""

from collections.abc import Mapping

from turnout_adapters.kinds import Kind
from turnout_adapters.types.route import Attempt


class TurnoutError(Exception):
    """Base of all errors raised by Turnout.

    Attributes carry what is known: `status` (HTTP), `provider`, `deployment` (its id), `model_group`,
    `request_id` (the provider's), `retry_after` (seconds), `attempts` (all that were made), `code` and `param`
    (the provider's words), `body` (the provider's parsed error body).
    """

    status: int | None = None
    kind: Kind | None = None

    def __init__(  # noqa: PLR0913 (an error carries what is known)
        self,
        message: str,
        *,
        kind: Kind | None = None,
        status: int | None = None,
        provider: str | None = None,
        code: str | None = None,
        param: str | None = None,
        body: object = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        message = _writable(message)
        super().__init__(message)
        self.message = message
        if status is not None:
            self.status = status
        if kind is not None:
            self.kind = kind
        self.provider = provider
        self.code = code
        self.param = param
        self.body = body
        self.request_id = request_id
        self.retry_after = retry_after
        self.headers: Mapping[str, str] = headers or {}
        self.deployment: str | None = None
        self.model_group: str | None = None
        self.attempts: tuple[Attempt, ...] = ()

    @property
    def status_code(self) -> int | None:
        """The HTTP status under the name other SDKs use."""
        return self.status

    def __str__(self) -> str:
        told = [("status", self.status), ("deployment", self.deployment), ("request id", self.request_id)]
        facts = ", ".join(f"{name} {value}" for name, value in told if value is not None)
        return _writable(f"{self.message} ({facts})" if facts else self.message)


def _writable(text: str) -> str:
    """The text with half a surrogate pair spelled out: JSON can carry one, a log or a terminal in UTF-8 cannot."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


class ConfigError(TurnoutError, ValueError):
    """The configuration or an argument is wrong. The message names the field and the fix."""


class UnknownModelError(ConfigError):
    """No model group, alias, wildcard or deployment id has this name."""

    status = 404


class APIError(TurnoutError):
    """An attempt failed. `kind` is the class of failure that routing decides on."""

    kind: Kind | None = Kind.INTERNAL


class BadRequestError(APIError):
    """The provider refused the request; sending it again would not help."""

    kind = Kind.BAD_REQUEST
    status = 400


class ContextWindowExceededError(BadRequestError):
    """The input is too long for the model."""

    kind = Kind.CONTEXT_WINDOW


class ContentPolicyViolationError(BadRequestError):
    """The provider's content policy blocked the input or the output."""

    kind = Kind.CONTENT_POLICY


class UnsupportedParameterError(BadRequestError):
    """This provider cannot honour the parameter named in `param`. Raised before any network call.

    Deployments of other providers in the model group, and its fallbacks, are asked before it is raised.
    """

    kind = Kind.UNSUPPORTED


class AuthenticationError(APIError):
    """The provider does not accept the deployment's credentials."""

    kind = Kind.AUTHENTICATION
    status = 401


class PermissionDeniedError(APIError):
    """The credentials are valid but may not do this."""

    kind = Kind.PERMISSION
    status = 403


class NotFoundError(APIError):
    """The response, model or deployment named does not exist (or is none of the caller's business)."""

    kind = Kind.NOT_FOUND
    status = 404


class RateLimitError(APIError):
    """The deployment is throttled; `retry_after` says for how long, if the provider told."""

    kind = Kind.RATE_LIMIT
    status = 429


class QuotaExceededError(RateLimitError):
    """The account's quota or credit is used up; waiting does not cure it."""

    kind = Kind.QUOTA


class InternalServerError(APIError):
    """The provider failed."""

    kind = Kind.INTERNAL
    status = 500


class ServiceUnavailableError(APIError):
    """The provider is overloaded or down."""

    kind = Kind.UNAVAILABLE
    status = 503


class APITimeoutError(APIError):
    """No answer, or no further byte of it, within the attempt's timeout."""

    kind = Kind.TIMEOUT
    status = 504


class APIConnectionError(APIError):
    """No connection, or the connection broke before the answer was complete."""

    kind = Kind.CONNECTION


class InvalidReplyError(APIError):
    """The answer is not what the wire promises (malformed JSON or events)."""

    kind = Kind.INVALID_REPLY
    status = 502


class RoutingError(TurnoutError):
    """No attempt could be made. `reasons` says why, by deployment id."""

    status = 503

    def __init__(
        self, message: str, *, reasons: Mapping[str, str] | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.reasons: Mapping[str, str] = reasons or {}


class NoDeploymentAvailable(RoutingError):
    """Every deployment of the model group (and of its fallbacks) is cooling down, full or unfit for this call."""


class NoCapacityError(RateLimitError, NoDeploymentAvailable):
    """Throttles and limits keep every deployment out for longer than the call may wait, or it is too large for them.

    Raised at once, without waiting for the deadline. `retry_after` is the time until the first of them can take the
    call, None if none ever can; `reasons` says why, by deployment id. `__cause__` is the last failed attempt, if there
    was one.
    """


class PinnedUnavailable(RoutingError):
    """What holds this conversation's state cannot answer; no other account was asked.

    `hosted` names what kept the conversation from being continued elsewhere: files, containers, vector stores ...
    """

    def __init__(
        self,
        message: str,
        *,
        reasons: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        hosted: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, reasons=reasons, retry_after=retry_after)
        self.hosted = hosted


class DeadlineExceededError(TurnoutError):
    """The call's deadline passed. `__cause__` is the last failed attempt, if there was one."""

    status = 504


class AsyncHookInSyncCall(TurnoutError, TypeError):
    """A hook awaited something while called through the sync API. Use the async method, or a plain function."""
