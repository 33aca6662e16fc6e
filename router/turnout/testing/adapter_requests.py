"""Rules for the requests that an adapter makes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args
from urllib.parse import unquote

from pydantic_core import from_json

from turnout.errors import BadRequestError, UnsupportedParameterError
from turnout.testing.exchanges import QUESTION, Line, texts_in
from turnout.testing.rules import API_KEY, need
from turnout_adapters.adapter import HTTPRequest, Operation, WireCall

_FRESH = "fresh-of-the-conformance-kit-0123456789"
_PARAMS: Mapping[str, Any] = {
    "temperature": 0.25,
    "top_p": 0.25,
    "max_output_tokens": 77,
    "presence_penalty": 0.25,
    "frequency_penalty": 0.25,
    "truncation": "auto",
    "service_tier": "flex",
    "top_logprobs": 2,
    "max_tool_calls": 3,
    "background": True,
    "reasoning": {"effort": "low"},
    "text": {"verbosity": "low"},
    "previous_response_id": "resp_1",
    "conversation": "conv_1",
}
"""Parameters that change what is answered."""


def asks_in_json(line: Line) -> None:
    """A POST below the deployment's address; its body is a JSON object with the question, whatever its script."""
    for stream in (False, True):
        request = line.request(stream=stream)
        need(request.method == "POST", f"the method is {request.method}")
        need(request.url.startswith(line.target.base_url), f"{request.url} is not below {line.target.base_url}")
        body: Any = request.body
        need(isinstance(body, bytes), f"the body is {type(body).__name__}, not bytes")
        asked = any(QUESTION in text for text in texts_in(_body(request)))
        need(asked, "the question is not in the body")
        kinds = [value for name, value in request.headers if name == "content-type"]
        need(kinds and all("json" in kind for kind in kinds), f"the content-type is {kinds}")
        upper = [name for name, _ in request.headers if name != name.lower()]
        need(not upper, f"names of headers are in lower case, not {upper}")


def names_the_model(line: Line) -> None:
    """The upstream model is in the URL or in the body."""
    request, model = line.request(), line.exchange.model
    named = model in unquote(request.url) or any(text == model for text in texts_in(_body(request)))
    need(named, f"the model {model!r} is neither in the URL nor in the body")


def keeps_credentials_in_headers(line: Line) -> None:
    """The deployment's headers are sent, a fresh token too; neither is in the URL, the body or the repr."""
    target = replace(line.target, token_provider=lambda: _FRESH)
    for request in (line.request(), line.adapter.request(line.call(), target)):
        missing = [name for name, value in line.target.headers if (name, value) not in list(request.headers)]
        need(not missing, f"headers of the deployment are not sent: {missing}")
        for secret in (API_KEY, _FRESH):
            shown = f"{request.url} {request.body.decode(errors='replace')} {request!r} {request.warnings}"
            need(secret not in shown, "a credential is in the URL, the body, a warning or the repr of the request")
    sent = any(_FRESH in value for _, value in line.adapter.request(line.call(), target).headers)
    need(sent, "the token of `target.token_provider` is not sent")


def sends_what_the_caller_adds(line: Line) -> None:
    """`extra_headers` and `extra_body` go out as they are, over what the deployment and the encoder say."""
    extra = {"x_turnout_kit": {"a": [1, None]}}
    call = replace(line.call(), extra_headers={"X-Kit": "1", "Accept": "x/y"}, extra_body=extra)
    request = line.adapter.request(call, line.target)
    sent = [(name.lower(), value) for name, value in request.headers]
    need(("x-kit", "1") in sent, "extra_headers are not sent")
    need(
        [value for name, value in sent if name == "accept"] == ["x/y"],
        "extra_headers do not replace the header there is",
    )
    need(_body(request).get("x_turnout_kit") == extra["x_turnout_kit"], "extra_body is not in the body")


def leaves_no_parameter_out_in_silence(line: Line) -> None:
    """What the provider cannot honour is an UnsupportedParameterError that names it; with `drop_params`, a warning.

    Content is never dropped: a BadRequestError under `drop_params` is allowed.
    """
    bare = line.request()
    for name, value in _PARAMS.items():
        try:
            request = line.request(**{name: value})
        except BadRequestError as error:
            _need_named(error, name)
            if isinstance(error, UnsupportedParameterError):
                _need_warned(line, name, value)
            continue
        changed = (request.url, request.body, list(request.headers)) != (bare.url, bare.body, list(bare.headers))
        need(changed or request.warnings, f"{name} was left out in silence; raise UnsupportedParameterError")


def _need_named(error: BadRequestError, name: str) -> None:
    need((error.param or "").startswith(name), f"the error about {name} has param={error.param!r}")
    need(name in error.message, f"the error about {name} does not name it: {error.message}")


def _need_warned(line: Line, name: str, value: Any) -> None:
    try:
        request = line.request(drop_params=True, **{name: value})
    except BadRequestError as error:
        _need_named(error, name)
        return
    need(any(name in warning for warning in request.warnings), f"with drop_params, no warning names {name}")


def makes_or_refuses_other_operations(line: Line) -> None:
    """Retrieve, delete and the others are requests below the address, or an UnsupportedParameterError."""
    for operation in get_args(Operation):
        call = replace(line.call(), operation=operation, response_id="resp_1/..%")
        try:
            request = line.adapter.request(call, line.target)
        except UnsupportedParameterError:
            continue
        need(request.url.startswith(line.target.base_url), f"{operation} goes to {request.url}")
        need("resp_1/.." not in request.url, f"the id is not quoted in the URL of {operation}")


def refuses_what_is_no_json(line: Line) -> None:
    """A body that cannot be written as JSON is the caller's mistake: BadRequestError."""
    call = replace(line.call(), extra_body={"x": object()})
    try:
        line.adapter.request(call, line.target)
    except BadRequestError:
        return
    raise AssertionError("an object in extra_body that is no JSON was accepted; raise BadRequestError")


def asks_the_same_again(line: Line) -> None:
    """A pure function: the same call is the same request again, and the call is not changed."""
    call: WireCall = line.call(stream=True, metadata={"a": "b"}, temperature=0.5, drop_params=True)
    before = repr(call.body)
    first, second = line.adapter.request(call, line.target), line.adapter.request(call, line.target)
    need(repr(call.body) == before, "the call's body was changed")
    need((first.url, first.body) == (second.url, second.body), "the same call made another request the second time")
    need(list(first.headers) == list(second.headers), "the same call made other headers the second time")


def _body(request: HTTPRequest) -> Mapping[str, Any]:
    try:
        body = from_json(request.body)
    except ValueError as error:
        raise AssertionError(f"the body is no JSON: {error}") from None
    need(isinstance(body, dict), f"the body is a JSON {type(body).__name__}, not an object")
    return body
