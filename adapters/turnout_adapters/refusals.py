"""Reads a refused request: which kind of failure, what the provider said, when to come back.

Order of evidence: structured code, then status, then the wording of the message, the last only inside refused
requests (400, 413, 422), where no code tells a too long input from any other mistake.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from pydantic_core import from_json

from turnout_adapters import errors
from turnout_adapters.adapter import HTTPReply
from turnout_adapters.errors import APIError
from turnout_adapters.kinds import Kind
from turnout_adapters.measures import amount, count, duration, moment

_LONGEST_RETRY_AFTER = 24 * 3600.0

_BY_CODE: dict[str, Kind] = {
    # OpenAI and Azure
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
    "string_above_max_length": Kind.BAD_REQUEST,
    "too_many_prompt_tokens": Kind.CONTEXT_WINDOW,
    # Anthropic
    "authentication_error": Kind.AUTHENTICATION,
    "permission_error": Kind.PERMISSION,
    "billing_error": Kind.QUOTA,
    "not_found_error": Kind.NOT_FOUND,
    "rate_limit_error": Kind.RATE_LIMIT,
    "timeout_error": Kind.TIMEOUT,
    "overloaded_error": Kind.OVERLOADED,
    "api_error": Kind.INTERNAL,
    # Google
    "unauthenticated": Kind.AUTHENTICATION,
    "permission_denied": Kind.PERMISSION,
    "not_found": Kind.NOT_FOUND,
    "resource_exhausted": Kind.RATE_LIMIT,
    "deadline_exceeded": Kind.TIMEOUT,
    "unavailable": Kind.UNAVAILABLE,
    "internal": Kind.INTERNAL,
    # AWS
    "throttlingexception": Kind.RATE_LIMIT,
    "toomanyrequestsexception": Kind.RATE_LIMIT,
    "servicequotaexceededexception": Kind.QUOTA,
    "accessdeniedexception": Kind.PERMISSION,
    "unrecognizedclientexception": Kind.AUTHENTICATION,
    "expiredtokenexception": Kind.AUTHENTICATION,
    "invalidsignatureexception": Kind.AUTHENTICATION,
    "incompletesignatureexception": Kind.AUTHENTICATION,
    "missingauthenticationtokenexception": Kind.AUTHENTICATION,
    "resourcenotfoundexception": Kind.NOT_FOUND,
    "modeltimeoutexception": Kind.TIMEOUT,
    "modelnotreadyexception": Kind.UNAVAILABLE,
    "serviceunavailableexception": Kind.UNAVAILABLE,
    "internalserverexception": Kind.INTERNAL,
    "modelerrorexception": Kind.INTERNAL,
    "modelstreamerrorexception": Kind.INTERNAL,
}

_BY_STATUS: dict[int, Kind] = {
    401: Kind.AUTHENTICATION,
    402: Kind.QUOTA,
    403: Kind.PERMISSION,
    404: Kind.NOT_FOUND,
    407: Kind.CONNECTION,  # a proxy in between, which the caller knows nothing of
    408: Kind.TIMEOUT,
    409: Kind.UNAVAILABLE,
    424: Kind.INTERNAL,
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
            r"maximum context length|context window|context limit|model.s context|prompt is too long"
            r"|input (?:is )?too long|maximum number of tokens allowed|available context size|too many input tokens"
            r"|input tokens exceeds?"
            r"|expected maxlength:|exceed model maximum|maximum input length is|max_new_tokens. must be"
            r"|current length is \d+ while limit is",
            re.IGNORECASE,
        ),
    ),
    (
        Kind.CONTENT_POLICY,
        re.compile(
            r"content management policy|content filter|usage policy|safety system|the response was blocked",
            re.IGNORECASE,
        ),
    ),
    (
        Kind.AUTHENTICATION,
        re.compile(
            r"incorrect api key|api key not valid|invalid api key|api key expired|security token included"
            r"|invalid token|api token provided is invalid",
            re.IGNORECASE,
        ),
    ),
    (Kind.DEPLOYMENT_NOT_FOUND, re.compile(r"model identifier is invalid|on-demand throughput isn.t", re.IGNORECASE)),
)

_CLASSES: dict[Kind, type[APIError]] = {
    Kind.BAD_REQUEST: errors.BadRequestError,
    Kind.UNSUPPORTED: errors.UnsupportedParameterError,
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
    """Reads the error bodies in use: {"error": {...}}, flat, a list of one, {"error": "text"}, {"detail": [...]}."""
    if isinstance(body, list) and body:
        body = cast("list[object]", body)[0]
    if not isinstance(body, Mapping):
        return Refusal(str(cast("object", body))[:500] if body else "no error body", body=body)
    outer = cast("Mapping[str, Any]", body)
    inner: object = outer.get("error") or outer
    if isinstance(inner, str):
        return Refusal(inner, code=_text(outer.get("code")), body=body)
    fields = cast("Mapping[str, Any]", inner if isinstance(inner, Mapping) else outer)
    told = _message(fields) or _message(outer) or "the provider gave no message"
    return Refusal(told, _code(fields), _text(fields.get("type")), _text(fields.get("param")), body)


def _message(fields: Mapping[str, Any]) -> str | None:
    for name in ("message", "Message", "detail", "errors"):
        value: object = fields.get(name)
        listed = cast("list[object]", value) if isinstance(value, list) else []
        if listed and isinstance(listed[0], Mapping):
            first = cast("Mapping[str, Any]", listed[0])
            told: object = first.get("msg") or first.get("message")
            return str(told)
        if value and not listed:
            return str(cast("object", value))
    return None


def _code(fields: Mapping[str, Any]) -> str | None:
    """The provider's code: Google's status and AWS's exception are codes; Azure's is sometimes inside."""
    code: object = fields.get("code")
    for other in (fields.get("innererror"), fields.get("status"), fields.get("__type")):
        value: object = cast("Mapping[str, Any]", other).get("code") if isinstance(other, Mapping) else other
        if isinstance(value, str) and (_text(code) or "").lower() not in _BY_CODE:
            code = value.rpartition("#")[2]
    return _text(code)


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
    if status < 400:
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
    amazon = reply.headers.get("x-amzn-errortype")
    if amazon:
        refusal = refusal._replace(code=amazon.partition(":")[0])
    if 300 <= reply.status < 400:
        refusal = refusal._replace(message="the address redirects elsewhere; set api_base to the final address")
    kind = Kind.QUOTA if _is_daily_quota(body) else kind_of(reply.status, refusal)
    error = error_for(kind, refusal, provider=provider, status=reply.status)
    error.request_id = request_id_of(reply.headers)
    error.retry_after = retry_after_of(reply.headers, now, body)
    error.headers = reply.headers
    return error


def stream_error(body: Mapping[str, Any], provider: str) -> APIError:
    """The typed error that a frame of a stream reports; where no code says otherwise, it is the provider's trouble."""
    refusal = refusal_of(body)
    words = {(refusal.code or "").lower(), (refusal.type or "").lower()}
    refused = words & {"invalid_request_error", "invalid_argument", "failed_precondition", "validationexception"}
    status = 400 if refused else 500
    for word in words:
        told = count(word)
        if told is not None and 400 <= told < 600:
            status = told
    return error_for(kind_of(status, refusal), refusal, provider=provider, status=200)


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The provider's request id, under any of the names in use."""
    own = headers.get("x-request-id") or headers.get("apim-request-id")
    return own or headers.get("request-id") or headers.get("x-amzn-requestid")


def retry_after_of(headers: Mapping[str, str], now: float, body: object = None) -> float | None:
    """Seconds until the provider wants to be asked again.

    In this order: `retry-after-ms`, `retry-after` (seconds or a date), Google's RetryInfo in the body, the reset time
    of the limit that is used up. A date is measured from the answer's own Date header where there is one, so that a
    wrong local clock does no harm.
    """
    milliseconds = amount(headers.get("retry-after-ms"))
    sent = moment(headers.get("date"))
    here = now if sent is None else sent
    seconds = _until(headers.get("retry-after"), here) if milliseconds is None else milliseconds / 1000
    if seconds is None:
        delays = (duration(one.get("retryDelay")) for one in _details(body))
        seconds = next((one for one in delays if one is not None), None)
    if seconds is None:
        seconds = next(filter(None, (_reset(headers, name, here) for name in ("requests", "tokens"))), None)
    return None if seconds is None else min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)


def _until(value: str | None, here: float) -> float | None:
    """Seconds until what is told as a number of them, or as a date."""
    seconds, at = amount(value), moment(value)
    return at - here if seconds is None and at is not None else seconds


def _reset(headers: Mapping[str, str], what: str, here: float) -> float | None:
    """When a used-up limit begins anew: a duration such as 6m0s, or a time (OpenAI's and Anthropic's headers)."""
    for remaining, reset in (
        (f"x-ratelimit-remaining-{what}", f"x-ratelimit-reset-{what}"),
        (f"anthropic-ratelimit-{what}-remaining", f"anthropic-ratelimit-{what}-reset"),
    ):
        if count(headers.get(remaining)) == 0:
            seconds, at = duration(headers.get(reset)), moment(headers.get(reset))
            return seconds if at is None else at - here
    return None


def _details(body: object) -> list[Mapping[str, Any]]:
    """`error.details` of a Google error."""
    if isinstance(body, list) and body:
        body = cast("list[object]", body)[0]
    error: object = cast("Mapping[str, Any]", body).get("error") if isinstance(body, Mapping) else None
    found: object = cast("Mapping[str, Any]", error).get("details") if isinstance(error, Mapping) else None
    listed = cast("list[object]", found) if isinstance(found, list) else []
    return [cast("Mapping[str, Any]", one) for one in listed if isinstance(one, Mapping)]


def _is_daily_quota(body: object) -> bool:
    """True for Google's QuotaFailure of a limit per day, which a retry does not cure."""
    failures = [one for one in _details(body) if str(one.get("@type")).endswith("QuotaFailure")]
    return any("PerDay" in str(one.get("violations")) for one in failures)
