"""No credential that a provider repeats gets into anything that is told: places times spellings, over sockets."""

import asyncio
import base64
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest

from tests.servers import Answer, Asked, Server, listening, read_request, serving
from turnout import APIError, ConfigError, Router, TurnoutError
from turnout.yaml_config import read_yaml

KEY = 'sk-SECRET/SECRET+1"3456'
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda key: key,
    "url": lambda key: quote(key, safe=""),
    "base64": lambda key: base64.b64encode(f":{key}".encode()).decode(),
    "json": lambda key: json.dumps(key)[1:-1],
}
WIRES = {
    "native": {"model": "openai/gpt-4o"},
    "chat": {"model": "hosted_vllm/m"},
    "anthropic": {"model": "anthropic/claude-x"},
    "gemini": {"model": "gemini/gemini-x"},
    "cohere": {"model": "cohere_chat/command-r"},
}
NATIVE = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "output": []}


def event(fields: dict[str, Any]) -> bytes:
    return f"event: {fields['type']}\ndata: {json.dumps(fields)}\n\n".encode()


STARTED = event({"type": "response.created", "sequence_number": 0, "response": {**NATIVE, "status": "in_progress"}})
ADDED = event(
    {
        "type": "response.output_item.added",
        "sequence_number": 1,
        "output_index": 0,
        "item": {"type": "message", "id": "msg_1", "status": "in_progress", "role": "assistant", "content": []},
    }
)
CHAT = b'data: {"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":"well"}}]}\n\n'


def failed(told: str, code: str) -> dict[str, Any]:
    return {**NATIVE, "status": "failed", "error": {"code": code, "message": told}}


def of_error(told: str) -> dict[str, Any]:
    return {"error": {"message": told, "code": told, "param": told, "type": told, "inner": {told: [told]}}}


PLACES: dict[str, Callable[[str], Answer]] = {
    "refusal": lambda told: Answer(401, of_error(told)),
    "bad request": lambda told: Answer(400, of_error(told)),
    "server error": lambda told: Answer(500, raw=told.encode()),
    "throttle": lambda told: Answer(429, of_error(told), headers={"retry-after": "0"}),
    "text instead of JSON": lambda told: Answer(200, raw=f"upstream rejected {told}".encode()),
    "text, cut off": lambda told: Answer(200, raw=f"{'x' * (80 - 12)}{told}".encode()),
    "request id": lambda told: Answer(400, of_error("no"), headers={"x-request-id": told}),
    "header": lambda told: Answer(500, of_error("no"), headers={"x-debug": told}),
}
STREAMS: dict[str, Callable[[str], list[bytes]]] = {
    "error event": lambda told: [event({"type": "error", "code": "invalid_api_key", "message": told})],
    "error event, nested": lambda told: [event({"type": "error", **of_error(told)})],
    "failed": lambda told: [STARTED, event({"type": "response.failed", "response": failed(told, "server_error")})],
    "no JSON": lambda told: [STARTED, f"data: {told}\n\n".encode()],
    "late error event": lambda told: [STARTED, ADDED, event({"type": "error", "code": "x", "message": told})],
    "late failed": lambda told: [STARTED, ADDED, event({"type": "response.failed", "response": failed(told, "x")})],
    "late no JSON": lambda told: [STARTED, ADDED, f"data: {told}\n\n".encode()],
}


def said(caplog: pytest.LogCaptureFixture) -> str:
    """What the library logged; what those below it log at their debug level is theirs."""
    return "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("turnout"))


def told_by(error: BaseException | None) -> str:
    """All that an error tells, in every way in which it can be told."""
    if error is None:
        return ""
    chain = "".join(traceback.format_exception(error))
    causes = [told_by(one) for one in (error.__cause__, error.__context__) if one is not None]
    return "\n".join((chain, repr(error), str(error), repr(vars(error)), *causes))


def holds(text: str) -> bool:
    """True if the key is in there, in any spelling."""
    return (
        any(say(KEY) in text for say in SPELLINGS.values())
        or KEY[:12] in text
        or base64.b64encode(KEY.encode())[:-4].decode() in text
    )


@contextmanager
def dripping(*parts: bytes) -> Iterator[Server]:
    """A server that streams its answer in these parts, with a pause between them."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.seen.append(await read_request(reader))
        lines = "content-type: text/event-stream\r\nconnection: close\r\nx-request-id: " + KEY
        writer.write(f"HTTP/1.1 200 OK\r\n{lines}\r\n\r\n".encode())
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.03)
        raise ConnectionError("the answer ends here")

    server = Server()
    with listening(talk) as server.url:
        yield server


@contextmanager
def routing(
    answer: Callable[[Asked], Answer] | list[bytes], caplog: pytest.LogCaptureFixture, **params: Any
) -> Iterator[Any]:
    """A Router with one deployment, all that its sinks are told, and the server."""
    caplog.set_level(logging.DEBUG)
    events: list[Any] = []
    place = dripping(*answer) if isinstance(answer, list) else serving(answer)
    with place as server:
        given = {"api_key": KEY, "api_base": server.url, **params}
        given["api_base"] = given["api_base"].replace("URL", server.url)
        row = {"model_name": "g", "litellm_params": given, "model_info": {"id": "a"}}
        with Router([row], num_retries=0, callbacks=[events.append], log=True) as router:
            yield router, events, server


def call(router: Router, *, stream: bool, run_async: bool, **more: Any) -> tuple[str, TurnoutError | None]:
    """What the caller sees, as text, and the error."""

    async def ask() -> tuple[str, TurnoutError | None]:
        try:
            if not stream:
                answer = await router.aresponses("g", "x", **more)
                return f"{answer.to_json()} {answer.request_id} {answer.route}", None
            async with await router.aresponses("g", "x", stream=True, **more) as events:
                seen = [f"{one!r} {one.to_json()} {one.to_dict()}" async for one in events]
                return "\n".join([*seen, str(events.request_id)]), events.error
        finally:
            await router.aclose()

    try:
        if run_async:
            return asyncio.run(ask())
        if not stream:
            answer = router.responses("g", "x", **more)
            return f"{answer.to_json()} {answer.request_id} {answer.route}", None
        with router.responses("g", "x", stream=True, **more) as events:
            seen = [f"{one!r} {one.to_json()} {one.to_dict()}" for one in events]
            return "\n".join([*seen, str(events.request_id)]), events.error
    except TurnoutError as error:
        return "", error


def assert_silent(router: Router, events: list[Any], seen: str, error: TurnoutError | None, log: str, out: str) -> None:
    for text in (seen, told_by(error), repr(events), log, out, repr(router), repr(router.status())):
        assert not holds(text), text
    assert not holds(repr(router.explain("g", "x")))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("wire", WIRES)
def test_what_a_provider_repeats(
    place: str, spelling: str, wire: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    told = SPELLINGS[spelling](KEY)
    with routing(lambda _: PLACES[place](told), caplog, **WIRES[wire]) as (router, events, server):
        for stream in (False, True):
            seen, error = call(router, stream=stream, run_async=stream, max_output_tokens=5)
            assert error is not None or place.startswith("text")
            assert_silent(router, events, seen, error, said(caplog), "".join(capfd.readouterr()))
        assert server.seen, "it was asked"
        assert any(KEY in value for value in server.last.headers.values())


@pytest.mark.parametrize("place", STREAMS)
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("run_async", [False, True])
def test_what_a_stream_repeats(
    place: str, spelling: str, run_async: bool, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    parts = STREAMS[place](f"no such key: {SPELLINGS[spelling](KEY)}")
    with routing(parts, caplog, model="openai/gpt-4o") as (router, events, _):
        seen, error = call(router, stream=True, run_async=run_async)
        assert error is not None
        assert place.startswith("late") == bool(seen)
        assert_silent(router, events, seen, error, said(caplog), "".join(capfd.readouterr()))
        if place != "no JSON" and "no JSON" not in place:
            assert "***" in f"{seen}{error}"


def test_what_a_translated_stream_repeats_after_its_output(caplog: pytest.LogCaptureFixture) -> None:
    for told in (f"data: {json.dumps(of_error(KEY))}\n\n", f"data: {KEY}\n\n"):
        with routing([CHAT, told.encode()], caplog, model="hosted_vllm/m") as (router, events, _):
            seen, error = call(router, stream=True, run_async=False)
            assert "response.failed" in seen
            assert_silent(router, events, seen, error, said(caplog), "")


def test_a_response_that_failed_for_the_callers_reasons_is_struck_too(caplog: pytest.LogCaptureFixture) -> None:
    answer = Answer(200, failed(f"no such key: {KEY}", "invalid_prompt"), headers={"x-request-id": KEY})
    with routing(lambda _: answer, caplog, model="openai/gpt-4o") as (router, events, _):
        seen, error = call(router, stream=False, run_async=False)
        assert "no such key: ***" in seen
        assert_silent(router, events, seen, error, said(caplog), "")


HIDDEN: dict[str, dict[str, Any]] = {
    "header of the row": {"extra_headers": {"Ocp-Apim-Subscription-Key": KEY}},
    "unnamed header of the row": {"extra_headers": {"X-Whatever": KEY}},
    "Basic of the row": {
        "extra_headers": {"Authorization": f"Basic {base64.b64encode(f'me:{KEY}'.encode()).decode()}"}
    },
    "query": {"api_base": f"URL/v1?subscription-key={quote(KEY, safe='')}&api-version=2024-10-21"},
    "code in the query": {"api_base": f"URL/v1?code={quote(KEY, safe='')}"},
    "body of the row": {"extra_body": {"proxy": {"api_key": KEY}}},
}


@pytest.mark.parametrize("where", HIDDEN)
@pytest.mark.parametrize("stream", [False, True])
def test_credentials_that_are_no_api_key(where: str, stream: bool, caplog: pytest.LogCaptureFixture) -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(404, {"error": {"message": f"no route {asked.target} for {asked.headers} {asked.body}: {KEY}"}})

    given = {"model": "openai/x", "api_key": "another-key", **HIDDEN[where]}
    with routing(answer, caplog, **given) as (router, events, _):
        seen, error = call(router, stream=stream, run_async=stream)
        assert isinstance(error, APIError)
        assert "another-key" not in told_by(error)
        assert_silent(router, events, seen, error, said(caplog), "")


@pytest.mark.parametrize(
    "given",
    [
        {"extra_headers": {"X-Api-Key": KEY}},
        {"extra_headers": {"Authorization": f"Bearer {KEY}"}},
        {"extra_headers": {"X-Any": KEY}},
        {"tools": [{"type": "mcp", "server_label": "a", "server_url": "https://x", "authorization": KEY}]},
        {"tools": [{"type": "mcp", "server_label": "a", "server_url": "https://x", "headers": {"Authorization": KEY}}]},
    ],
)
def test_a_callers_own_credentials(given: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    answer = Answer(400, of_error(f"{KEY} is of no use, trace 4711-4712"))
    with routing(lambda _: answer, caplog, model="openai/x", api_key="another-key") as (router, events, _):
        seen, error = call(router, stream=False, run_async=False, **given)
        assert_silent(router, events, seen, error, said(caplog), "")


def test_a_callers_other_headers_stay(caplog: pytest.LogCaptureFixture) -> None:
    answer = Answer(400, of_error("no"), headers={"x-request-id": "trace-4711-4712"})
    with routing(lambda _: answer, caplog, model="openai/x") as (router, _, _):
        _, error = call(router, stream=False, run_async=False, extra_headers={"x-client-request-id": "trace-4711-4712"})
    assert error is not None
    assert error.request_id == "trace-4711-4712"


def test_signatures_are_struck(caplog: pytest.LogCaptureFixture) -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(403, {"message": f"the signature {asked.headers['authorization']} does not match"})

    given = {
        "model": "bedrock/anthropic.claude-x", "aws_region_name": "us-east-1", "aws_access_key_id": "AKIDEXAMPLE99",
        "aws_secret_access_key": "wJalrXUtnFEMIexample", "aws_session_token": "session-token-example",
    }  # fmt: skip
    with serving(answer) as server:
        row = {"model_name": "g", "litellm_params": {**given, "api_base": server.url}, "model_info": {"id": "a"}}
        with Router([row], num_retries=0) as router:
            _, error = call(router, stream=False, run_async=False, max_output_tokens=5)
    assert isinstance(error, APIError)
    sent = server.last.headers["authorization"]
    signature = sent.rpartition("Signature=")[2]
    for secret in ("AKIDEXAMPLE99", "wJalrXUtnFEMIexample", "session-token-example", signature):
        assert secret not in told_by(error)
    assert "AWS4-HMAC-SHA256 ***" in str(error)


def test_short_keys_are_ordinary_words(caplog: pytest.LogCaptureFixture) -> None:
    answer = Answer(400, of_error("openai is no model"))
    with routing(lambda _: answer, caplog, model="openai/x", api_key="openai") as (router, _, _):
        _, error = call(router, stream=False, run_async=False)
    assert "openai is no model" in str(error)


@pytest.mark.parametrize(
    "params",
    [
        {"api_base": KEY},
        {"api_base": f"ftp://host/?key={KEY}"},
        {"api_base": f"https://host:port/?key={KEY}"},
        {"api_base": f"https://me:{KEY}@host"},
        {"api_base": f"https://[{KEY}/"},
        {"api_base": "https://host", "api_version": KEY},
        {"api_base": f"https://ho st/?key={KEY}"},
    ],
)
def test_configuration_errors_repeat_no_address(params: dict[str, Any]) -> None:
    row = {"model_name": "g", "litellm_params": {"model": "azure/x", "api_key": "k", **params}}
    with pytest.raises(ConfigError) as caught:
        Router([row])
    assert not holds(told_by(caught.value))
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"redis_url": f"http://:{KEY}@host"},
        {"redis_url": f"redis://:{KEY}@host:port"},
        {"redis_host": "host", "redis_port": KEY},
        {"transcripts": f"mysql://me:{KEY}@host/db"},
        {"transcripts": f"postgresql+other://me:{KEY}@host/db"},
    ],
)
def test_addresses_of_stores_are_not_repeated(settings: dict[str, Any]) -> None:
    row = {"model_name": "g", "litellm_params": {"model": "openai/x", "api_key": "k"}}
    with pytest.raises(ConfigError) as caught:
        Router([row], **settings)
    assert "SECRET" not in str(caught.value)


def test_a_line_of_the_configuration_is_not_repeated(tmp_path: Any) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"model_list:\n  - litellm_params: {{api_key: {KEY}, ]\n")
    with pytest.raises(ConfigError, match=r"not valid YAML.* in line 2") as caught:
        read_yaml(path)
    assert "SECRET" not in told_by(caught.value)
