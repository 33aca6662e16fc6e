"""Reads a refused request: which kind of failure, what the provider said, when to come back.

Order of evidence: structured code, then status, then the wording of the message, the last only inside refused
requests (400, 413, 422), where no code tells a too long input from any other mistake.
"""

import email.utils
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from pydantic_core import from_json

from turnout_adapters import errors
from turnout_adapters.adapter import HTTPReply
from turnout_adapters.errors import APIError
from turnout_adapters.kinds import Kind

_LONGEST_RETRY_AFTER = 24 * 3600.0

_BY_CODE: dict[str, Kind] = {
    "context_length_exceeded": Kind.CONTEXT_WINDOW,
    "content_policy_violation": Kind.CONTENT_POLICY,
    "content_filter": Kind.CONTENT_POLICY,
    "responsibleaipolicyviolation": Kind.CONTENT_POLICY,
    "invalid_api_key": Kind.AUTHENTICATION,
    "insufficient_quota": Kind.QUOTA,
    "billing_hard_limit_reached": Kind.QUOTA,
    "rate_limit_exceeded": Kind.RATE_LIMIT,
    "deploymentnotfound": Kind.DEPLOYMENT_NOT_FOUND,
    "model_not_found": Kind.NOT_FOUND,
    "server_error": Kind.INTERNAL,
    "overloaded_error": Kind.OVERLOADED,
}

_BY_STATUS: dict[int, Kind] = {
    401: Kind.AUTHENTICATION,
    403: Kind.PERMISSION,
    404: Kind.NOT_FOUND,
    408: Kind.TIMEOUT,
    409: Kind.UNAVAILABLE,
    429: Kind.RATE_LIMIT,
    503: Kind.UNAVAILABLE,
    504: Kind.TIMEOUT,
    529: Kind.OVERLOADED,
}

_REFUSED = (400, 413, 422)

_BY_MESSAGE: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (
        Kind.CONTEXT_WINDOW,
        re.compile(
            r"maximum context length|context window|exceeds? the model.s context|prompt is too long"
            r"|input is too long|maximum number of tokens allowed|available context size",
            re.IGNORECASE,
        ),
    ),
    (
        Kind.CONTENT_POLICY,
        re.compile(r"content management policy|content filter|usage policy|safety system", re.IGNORECASE),
    ),
    (Kind.AUTHENTICATION, re.compile(r"incorrect api key|api key not valid|invalid api key", re.IGNORECASE)),
)

_CLASSES: dict[Kind, type[APIError]] = {
    Kind.BAD_REQUEST: errors.BadRequestError,
    Kind.CONTEXT_WINDOW: errors.ContextWindowExceededError,
    Kind.CONTENT_POLICY: errors.ContentPolicyViolationError,
    Kind.AUTHENTICATION: errors.AuthenticationError,
    Kind.PERMISSION: errors.PermissionDeniedError,
    Kind.NOT_FOUND: errors.NotFoundError,
    Kind.DEPLOYMENT_NOT_FOUND: errors.NotFoundError,
    Kind.RATE_LIMIT: errors.RateLimitError,
    Kind.QUOTA: errors.QuotaExceededError,
    Kind.INTERNAL: errors.InternalServerError,
    Kind.UNAVAILABLE: errors.ServiceUnavailableError,
    Kind.OVERLOADED: errors.ServiceUnavailableError,
    Kind.TIMEOUT: errors.APITimeoutError,
    Kind.CONNECTION: errors.APIConnectionError,
    Kind.INVALID_REPLY: errors.InvalidReplyError,
}


class Refusal(NamedTuple):
    """What an error body says, whatever its shape."""

    message: str
    code: str | None = None
    type: str | None = None
    param: str | None = None
    body: object = None


def refusal_of(body: object) -> Refusal:
    """Reads the error bodies in use: nested {"error": {...}}, flat, and {"error": "text"}."""
    if not isinstance(body, Mapping):
        return Refusal(str(body)[:500] if body else "no error body", body=body)
    outer = cast("Mapping[str, Any]", body)
    inner: object = outer.get("error", outer)
    if isinstance(inner, str):
        return Refusal(inner, code=_text(outer.get("code")), body=body)
    if not isinstance(inner, Mapping):
        inner = outer
    fields = cast("Mapping[str, Any]", inner)
    code = fields.get("code")
    nested = fields.get("innererror")
    if isinstance(nested, Mapping) and _text(code) not in _BY_CODE:
        code = cast("Mapping[str, Any]", nested).get("code", code)
    message = fields.get("message") or fields.get("detail") or outer.get("message") or outer.get("detail")
    return Refusal(
        _text(message) or "the provider gave no message",
        _text(code),
        _text(fields.get("type")),
        _text(fields.get("param")),
        body,
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def kind_of(status: int, refusal: Refusal) -> Kind:
    """The kind of failure that this status and body mean."""
    for word in (refusal.code, refusal.type):
        known = _BY_CODE.get((word or "").lower())
        if known is not None and not (known is Kind.INTERNAL and 400 <= status < 500):
            return known
    if status in _REFUSED:
        return next((kind for kind, words in _BY_MESSAGE if words.search(refusal.message)), Kind.BAD_REQUEST)
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 300 <= status < 400:
        return Kind.INVALID_REPLY
    return Kind.BAD_REQUEST if status < 500 else Kind.INTERNAL


def error_for(kind: Kind, refusal: Refusal, *, provider: str, status: int | None = None) -> APIError:
    """The typed error for a kind, with the provider's own words in it."""
    return _CLASSES[kind](
        f"{provider}: {refusal.message}",
        kind=kind,
        status=status,
        provider=provider,
        code=refusal.code,
        param=refusal.param,
        body=refusal.body,
    )


def error_from_reply(reply: HTTPReply, provider: str, now: float) -> APIError:
    """The typed error of a complete HTTP answer that is not a success."""
    try:
        body: object = from_json(reply.body) if reply.body else None
    except ValueError:
        body = reply.body.decode(errors="replace")
    refusal = refusal_of(body)
    if 300 <= reply.status < 400:
        refusal = refusal._replace(message="the address redirects elsewhere; set api_base to the final address")
    error = error_for(kind_of(reply.status, refusal), refusal, provider=provider, status=reply.status)
    error.request_id = request_id_of(reply.headers)
    error.retry_after = retry_after_of(reply.headers, now)
    error.headers = reply.headers
    return error


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The provider's request id, under any of the names in use."""
    return headers.get("x-request-id") or headers.get("apim-request-id") or headers.get("request-id")


def retry_after_of(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until the provider wants to be asked again: `retry-after-ms`, then `retry-after` (seconds or a date).

    A date is measured from the answer's own Date header where there is one, so that a wrong local clock does no harm.
    """
    seconds = _number(headers.get("retry-after-ms"))
    if seconds is not None:
        seconds /= 1000
    else:
        value = headers.get("retry-after")
        seconds = _number(value)
        if seconds is None and value:
            until, sent = _unix(value), _unix(headers.get("date"))
            seconds = None if until is None else until - (now if sent is None else sent)
    if seconds is None:
        return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value else None
    except ValueError:
        return None
    return None if number is None or number != number else number


def _unix(value: str | None) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(value).timestamp() if value else None
    except (TypeError, ValueError):
        return None
