"""The error taxonomy: what each provider says, as the class that routing decides on.

Bodies without a recording (5xx, 529, throttles, exceptions inside streams) are made from the providers' published
error schemas.
"""

import json
from typing import Any

import pytest

import turnout
from tests.servers import Answer, Asked, serving
from tests.wire_answers import Said, anthropic, anthropic_events, chat_chunks, event_frame, frame, gemini_chunks, sse
from tests.wires.tools import adapter_of, read_stream
from turnout import Router
from turnout_adapters.adapter import HTTPReply
from turnout_adapters.kinds import Kind

Json = dict[str, Any]
OPENAI, CLAUDE, GEMINI, NOVA, CHAT = (
    "openai/gpt-5",
    "anthropic/claude-sonnet-4-6",
    "gemini/gemini-3-pro",
    "bedrock/us.amazon.nova-2-lite-v1:0",
    "deepinfra/x",
)


def openai(code: str | None, message: str = "m", kind: str = "invalid_request_error") -> Json:
    return {"error": {"message": message, "type": kind, "code": code, "param": None}}


def claude(kind: str, message: str = "m") -> Json:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def google(code: int, status: str, message: str = "m", details: list[Json] | None = None) -> Json:
    return {"error": {"code": code, "message": message, "status": status, **({"details": details} if details else {})}}


def amazon(name: str) -> dict[str, str]:
    return {"x-amzn-errortype": f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/"}


DAILY = [
    {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}],
    }
]
RETRY = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}]
CASES: list[tuple[str, int, dict[str, str], Any, Kind, float | None]] = [
    (OPENAI, 401, {}, openai("invalid_api_key"), Kind.AUTHENTICATION, None),
    (OPENAI, 403, {}, openai(None), Kind.PERMISSION, None),
    (OPENAI, 404, {}, openai("DeploymentNotFound"), Kind.DEPLOYMENT_NOT_FOUND, None),
    (OPENAI, 400, {}, openai("context_length_exceeded"), Kind.CONTEXT_WINDOW, None),
    (OPENAI, 400, {}, openai(None, "This model's maximum context length is 4097 tokens. However, your messages resulted in 4301 tokens"), Kind.CONTEXT_WINDOW, None),
    (OPENAI, 400, {}, openai("string_above_max_length", "Invalid 'user': maximum context length"), Kind.BAD_REQUEST, None),
    (OPENAI, 400, {}, openai("content_filter"), Kind.CONTENT_POLICY, None),
    (OPENAI, 400, {}, {"error": {"code": "BadRequest", "message": "m", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}, Kind.CONTENT_POLICY, None),
    (OPENAI, 429, {"retry-after-ms": "1500", "retry-after": "9"}, openai("rate_limit_exceeded"), Kind.RATE_LIMIT, 1.5),
    (OPENAI, 429, {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, openai(None, "Request too large for tokens per min"), Kind.RATE_LIMIT, 360.0),
    (OPENAI, 429, {"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "6m0s"}, openai(None), Kind.RATE_LIMIT, None),
    (OPENAI, 429, {}, openai("insufficient_quota"), Kind.QUOTA, None),
    (OPENAI, 500, {}, openai(None, "IndexError: list index out of range"), Kind.INTERNAL, None),
    (OPENAI, 503, {"retry-after": "Wed, 21 Oct 2015 07:28:10 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, openai(None), Kind.UNAVAILABLE, 10.0),
    (CLAUDE, 401, {}, claude("authentication_error"), Kind.AUTHENTICATION, None),
    (CLAUDE, 402, {}, claude("billing_error"), Kind.QUOTA, None),
    (CLAUDE, 403, {}, claude("permission_error"), Kind.PERMISSION, None),
    (CLAUDE, 404, {}, claude("not_found_error"), Kind.DEPLOYMENT_NOT_FOUND, None),
    (CLAUDE, 400, {}, claude("invalid_request_error", "prompt is too long: 209353 tokens > 199999 maximum"), Kind.CONTEXT_WINDOW, None),
    (CLAUDE, 400, {}, claude("invalid_request_error", "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"), Kind.CONTEXT_WINDOW, None),
    (CLAUDE, 400, {}, claude("invalid_request_error", "Output blocked by content filtering policy"), Kind.CONTENT_POLICY, None),
    (CLAUDE, 413, {}, claude("request_too_large"), Kind.BAD_REQUEST, None),
    (CLAUDE, 429, {"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "2015-10-21T07:29:00Z", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, claude("rate_limit_error"), Kind.RATE_LIMIT, 60.0),
    (CLAUDE, 500, {}, claude("api_error"), Kind.INTERNAL, None),
    (CLAUDE, 504, {}, claude("timeout_error"), Kind.TIMEOUT, None),
    (CLAUDE, 529, {}, claude("overloaded_error"), Kind.OVERLOADED, None),
    (GEMINI, 400, {}, google(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."), Kind.AUTHENTICATION, None),
    (GEMINI, 400, {}, google(400, "INVALID_ARGUMENT", "Function call is missing a thought_signature in functionCall parts"), Kind.BAD_REQUEST, None),
    (GEMINI, 400, {}, google(400, "INVALID_ARGUMENT", "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."), Kind.CONTEXT_WINDOW, None),
    (GEMINI, 401, {}, google(401, "UNAUTHENTICATED"), Kind.AUTHENTICATION, None),
    (GEMINI, 403, {}, google(403, "PERMISSION_DENIED"), Kind.PERMISSION, None),
    (GEMINI, 404, {}, google(404, "NOT_FOUND"), Kind.DEPLOYMENT_NOT_FOUND, None),
    (GEMINI, 429, {}, google(429, "RESOURCE_EXHAUSTED", details=RETRY), Kind.RATE_LIMIT, 34.4),
    (GEMINI, 429, {}, google(429, "RESOURCE_EXHAUSTED", details=[*DAILY, *RETRY]), Kind.QUOTA, 34.4),
    (GEMINI, 500, {}, google(500, "INTERNAL"), Kind.INTERNAL, None),
    (GEMINI, 503, {}, [google(503, "UNAVAILABLE", "The model is overloaded.")], Kind.UNAVAILABLE, None),
    (GEMINI, 504, {}, google(504, "DEADLINE_EXCEEDED"), Kind.TIMEOUT, None),
    (NOVA, 403, amazon("UnrecognizedClientException"), {"message": "The security token included in the request is invalid."}, Kind.AUTHENTICATION, None),
    (NOVA, 403, amazon("ExpiredTokenException"), {"message": "The security token included in the request is expired"}, Kind.AUTHENTICATION, None),
    (NOVA, 403, amazon("AccessDeniedException"), {"message": "You don't have access to the model."}, Kind.PERMISSION, None),
    (NOVA, 404, amazon("ResourceNotFoundException"), {"message": "m"}, Kind.DEPLOYMENT_NOT_FOUND, None),
    (NOVA, 400, amazon("ValidationException"), {"message": "The provided model identifier is invalid."}, Kind.DEPLOYMENT_NOT_FOUND, None),
    (NOVA, 400, amazon("ValidationException"), {"message": "Invocation of model ID x with on-demand throughput isn\u2019t supported."}, Kind.DEPLOYMENT_NOT_FOUND, None),
    (NOVA, 400, amazon("ValidationException"), {"message": "Input is too long for requested model."}, Kind.CONTEXT_WINDOW, None),
    (NOVA, 400, {}, {"__type": "ValidationException", "message": "expected maxLength: 1000, actual: 2000"}, Kind.CONTEXT_WINDOW, None),
    (NOVA, 429, amazon("ThrottlingException"), {"message": "Too many requests"}, Kind.RATE_LIMIT, None),
    (NOVA, 400, amazon("ServiceQuotaExceededException"), {"message": "m"}, Kind.QUOTA, None),
    (NOVA, 408, amazon("ModelTimeoutException"), {"message": "m"}, Kind.TIMEOUT, None),
    (NOVA, 424, amazon("ModelErrorException"), {"message": "m", "originalStatusCode": 500}, Kind.INTERNAL, None),
    (NOVA, 429, amazon("ModelNotReadyException"), {"message": "m"}, Kind.UNAVAILABLE, None),
    (NOVA, 500, amazon("InternalServerException"), {"message": "m"}, Kind.INTERNAL, None),
    (NOVA, 503, amazon("ServiceUnavailableException"), {"message": "m"}, Kind.UNAVAILABLE, None),
    (CHAT, 422, {}, {"detail": [{"loc": ["body", "messages"], "msg": "field required", "type": "value_error.missing"}]}, Kind.BAD_REQUEST, None),
    (CHAT, 400, {}, {"error": "the request exceeds the available context size"}, Kind.CONTEXT_WINDOW, None),
    (CHAT, 422, {}, {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096", "error_type": "validation"}, Kind.CONTEXT_WINDOW, None),
    (CHAT, 400, {}, {"message": "Current length is 9000 while limit is 8192", "type": "invalid_request_error"}, Kind.CONTEXT_WINDOW, None),
    (CHAT, 400, {}, openai(None, "This endpoint's maximum context length is 32768 tokens. However, you requested about 42832 tokens"), Kind.CONTEXT_WINDOW, None),
    (CHAT, 502, {}, "<html>Bad gateway</html>", Kind.INTERNAL, None),
    (CHAT, 401, {}, {}, Kind.AUTHENTICATION, None),
]  # fmt: skip


@pytest.mark.parametrize(
    "case", range(len(CASES)), ids=[f"{c[0].partition('/')[0]} {c[1]} {c[4].value} {n}" for n, c in enumerate(CASES)]
)
def test_a_refused_request(case: int) -> None:
    model, status, headers, body, kind, retry_after = CASES[case]
    adapter, _ = adapter_of(model, "openai-chat" if model == CHAT else None)
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    error = adapter.error(HTTPReply(status, {**headers, "request-id": "req_7"}, raw), model.partition("/")[0], 0.0)
    assert error.kind is kind
    assert (error.status, error.request_id) == (status, "req_7")
    assert error.retry_after == retry_after
    assert error.message.startswith(model.partition("/")[0])
    if isinstance(body, dict) and body:
        assert error.body == body
        assert "the provider gave no message" not in error.message


def exception(name: str, message: str = "m") -> bytes:
    return frame(
        {":message-type": "exception", ":exception-type": name, ":content-type": "application/json"},
        {"message": message},
    )


START = event_frame("messageStart", {"role": "assistant"})
HALF = event_frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "half"}})
MESSAGE = sse(anthropic_events(Said(text="half"))[:4], named=True)
STREAMS: list[tuple[str, bytes, type[turnout.APIError], Kind]] = [
    (NOVA, START + exception("throttlingException"), turnout.RateLimitError, Kind.RATE_LIMIT),
    (NOVA, START + HALF + exception("modelStreamErrorException"), turnout.InternalServerError, Kind.INTERNAL),
    (NOVA, START + exception("validationException", "Input is too long"), turnout.ContextWindowExceededError, Kind.CONTEXT_WINDOW),
    (NOVA, START + exception("serviceUnavailableException"), turnout.ServiceUnavailableError, Kind.UNAVAILABLE),
    (NOVA, START + HALF + HALF[:-9], turnout.APIConnectionError, Kind.CONNECTION),
    (NOVA, START + HALF + HALF[:20] + b"xx" + HALF[22:], turnout.InvalidReplyError, Kind.INVALID_REPLY),
    (CLAUDE, sse([claude("overloaded_error", "Overloaded")], named=True), turnout.ServiceUnavailableError, Kind.OVERLOADED),
    (CLAUDE, MESSAGE + sse([claude("api_error")], named=True), turnout.InternalServerError, Kind.INTERNAL),
    (CLAUDE, MESSAGE + sse([{"type": "message_start", "message": anthropic(Said())}], named=True), turnout.InvalidReplyError, Kind.INVALID_REPLY),
    (CLAUDE, MESSAGE, turnout.APIConnectionError, Kind.CONNECTION),
    (CLAUDE, MESSAGE + b"data: not json\n\n", turnout.InvalidReplyError, Kind.INVALID_REPLY),
    (GEMINI, sse([google(503, "UNAVAILABLE", "The model is overloaded.")]), turnout.ServiceUnavailableError, Kind.UNAVAILABLE),
    (GEMINI, sse([*gemini_chunks(Said(text="half"))[:1], google(429, "RESOURCE_EXHAUSTED")]), turnout.RateLimitError, Kind.RATE_LIMIT),
    (GEMINI, sse(gemini_chunks(Said(text="half"))[:1]), turnout.APIConnectionError, Kind.CONNECTION),
    ("groq/x", sse([*chat_chunks(Said(text="half"))[:2], openai(None, "The server had an error", "server_error")]), turnout.InternalServerError, Kind.INTERNAL),
    ("openrouter/x", sse([{"error": {"code": 429, "message": "Provider returned error"}}]), turnout.RateLimitError, Kind.RATE_LIMIT),
]  # fmt: skip


@pytest.mark.parametrize(
    "case", range(len(STREAMS)), ids=[f"{c[0].partition('/')[0]} {c[3].value} {n}" for n, c in enumerate(STREAMS)]
)
def test_a_failure_inside_a_stream(case: int) -> None:
    model, raw, kind_of_error, kind = STREAMS[case]
    wire = "openai-chat" if model.startswith(("groq", "openrouter")) else None
    with pytest.raises(kind_of_error) as caught:
        read_stream(model, raw, wire=wire)
    assert type(caught.value) is kind_of_error
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    "case", range(len(STREAMS)), ids=[f"{c[0].partition('/')[0]} {c[3].value} {n}" for n, c in enumerate(STREAMS)]
)
def test_before_the_first_output_it_is_tried_elsewhere_and_after_it_told(case: int) -> None:
    model, raw, _, kind = STREAMS[case]
    half = b"half" in raw

    def handler(asked: Asked) -> Answer:
        if asked.path.startswith("/spare"):
            return Answer(raw=sse(chat_chunks(Said(text="spare")), done=True))
        return Answer(raw=raw)

    with serving(handler) as server:
        params: Json = {"model": model, "api_key": "k", "api_base": server.url}
        if model.startswith(("groq", "openrouter")):
            params["wire"] = "openai-chat"
        if model == NOVA:
            params["aws_region_name"] = "eu-west-1"
        rows = [
            {"model_name": "m", "litellm_params": params},
            {"model_name": "spare", "litellm_params": {"model": "hosted_vllm/x", "api_base": f"{server.url}/spare"}},
        ]
        special = "context_window_fallbacks" if kind is Kind.CONTEXT_WINDOW else "fallbacks"
        with Router(rows, **{special: [{"m": ["spare"]}]}, num_retries=0) as router:
            stream = router.responses("m", "hello", stream=True)
            events = list(stream)
    final = events[-1].response
    if half:
        assert (final.status, final.output_text) == ("failed", "half")
        assert final.error.code == ("rate_limit_exceeded" if kind is Kind.RATE_LIMIT else "server_error")
        assert stream.error is not None
        assert events[-2].item.status == "incomplete", "what was open is closed first"
    else:
        assert (final.output_text, stream.route.fallback) == ("spare", "spare")
