"""Every recorded exchange on the responses wire, served back over sockets: what went in comes out."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openai.types.responses import Response as OpenAIResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter, ValidationError

import turnout
from tests.recorded import Exchange, Replay, fixtures, need_data, recordings, replaying
from turnout import Router
from turnout_adapters.types import SHAPES
from turnout_adapters.types.request import CREATE_PARAMS

SDK_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
ALL = [*fixtures(), *recordings()]
PLAIN = [one for one in ALL if one.status == 200 and one.sse is None]
STREAMS = [one for one in ALL if one.status == 200 and one.sse is not None]
ERRORS = [one for one in ALL if one.status != 200]
PIECES = (1, 7, 65536)
NOT_IN_SDK = ("response.hologram", "response.apply_patch_call_operation_diff")
ROWS = {
    "openrouter_responses": ("openrouter/m", "/api/v1"),
    "bedrock_mantle_responses": ("bedrock_mantle/m", ""),
    "xai_responses": ("xai/m", "/v1"),
    "deepseek_responses": ("deepseek/m", ""),
    "azure_openai_responses": ("azure/m", ""),
    "azure_ai_responses": ("azure_ai/m", ""),
}


def named(exchanges: list[Exchange]) -> Any:
    return pytest.mark.parametrize("exchange", exchanges, ids=[one.id for one in exchanges])


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    with replaying() as running:
        yield running


def test_the_corpus_is_where_it_is_looked_for() -> None:
    need_data()
    origins = {one.origin for one in recordings()}
    assert len(recordings()) >= 50
    assert len(origins) == 7


def router_for(exchange: Exchange, replay: Replay) -> Router:
    model, path = ROWS.get(exchange.origin, ("openai/m", "/v1"))
    params: dict[str, Any] = {"model": model, "api_key": "k", "api_base": replay.url + path}
    if exchange.origin == "bedrock_mantle_responses":
        params["aws_region_name"] = "us-east-1"
    if "api-version=2" in exchange.url:
        params["api_version"] = exchange.url.partition("api-version=")[2]
    return Router([{"model_name": "m", "litellm_params": params}], num_retries=0)


def arguments(exchange: Exchange) -> dict[str, Any]:
    """The recorded request as keyword arguments; ids that only the recording account knows are left out."""
    left_out = ("model", "stream", "previous_response_id", "conversation")
    known = {name: value for name, value in exchange.request.items() if name not in left_out}
    own = {name: known.pop(name) for name in list(known) if name not in CREATE_PARAMS}
    return {"input": "hello", **known, **({"extra_body": own} if own else {})}


def without_ids(value: Any) -> Any:
    """The value with the ids left out that are wrapped: responses', and those of private items."""
    if isinstance(value, list):
        return [without_ids(one) for one in value]
    if not isinstance(value, dict):
        return value
    private = value.get("type") in ("reasoning", "compaction") or value.get("object") in (
        "response",
        "response.compaction",
    )
    hidden = {"id"} if private else set()
    if str(value.get("type", "")).startswith(("response.reasoning", "response.content_part")):
        hidden = {"item_id"}
    return {name: without_ids(inner) for name, inner in value.items() if name not in hidden | {"previous_response_id"}}


def ask(exchange: Exchange, replay: Replay, **more: Any) -> Any:
    with router_for(exchange, replay) as router:
        answer = router.responses("m", **arguments(exchange), **more)
        return list(answer) if more.get("stream") else answer


def ask_async(exchange: Exchange, replay: Replay, **more: Any) -> Any:
    async def call() -> Any:
        async with router_for(exchange, replay) as router:
            answer = await router.aresponses("m", **arguments(exchange), **more)
            return [event async for event in answer] if more.get("stream") else answer

    return asyncio.run(call())


both = pytest.mark.parametrize("asking", [ask, ask_async])
in_pieces = pytest.mark.parametrize("piece", PIECES)


@both
@in_pieces
@named(PLAIN)
def test_a_unary_answer_is_the_recording(
    exchange: Exchange, replay: Replay, piece: int, asking: Callable[..., Any]
) -> None:
    replay.exchange, replay.piece = exchange, piece
    response = asking(exchange, replay)
    assert without_ids(response.to_dict()) == without_ids(exchange.body)
    assert response.id != exchange.body["id"]
    checked = OpenAIResponse.model_validate(response.model_dump(mode="json"))
    assert checked.output_text == response.output_text
    assert response.route.attempts[-1].outcome == "ok"


@named(PLAIN)
def test_the_request_goes_out_as_it_came_in(exchange: Exchange, replay: Replay) -> None:
    replay.exchange, replay.piece = exchange, 65536
    ask(exchange, replay)
    sent = replay.seen[-1]
    given = arguments(exchange)
    given |= given.pop("extra_body", {})
    assert {name: value for name, value in sent.items() if name not in ("model", "input")} == {
        name: value for name, value in given.items() if name != "input" and value is not None
    }
    assert sent["input"] == given["input"]
    assert replay.paths[-1].partition("?")[0].endswith("/responses")


@both
@in_pieces
@named(STREAMS)
def test_a_stream_is_the_recording(exchange: Exchange, replay: Replay, piece: int, asking: Callable[..., Any]) -> None:
    replay.exchange, replay.piece = exchange, piece
    events = asking(exchange, replay, stream=True)
    assert [event.type for event in events] == [event["type"] for event in exchange.events]
    for event, sent in zip(events, exchange.events, strict=True):
        assert without_ids(event.to_dict()) == without_ids(sent)
        if not event.type.startswith(NOT_IN_SDK):
            SDK_EVENT.validate_python(event.model_dump(mode="json"))
    lifecycle = {event.response.id for event in events if event.type in SHAPES and hasattr(event, "response")}
    assert len(lifecycle) == 1, "one response, one id"


@named(STREAMS)
def test_stream_and_retrieval_give_the_same_ids(exchange: Exchange, replay: Replay) -> None:
    replay.exchange, replay.piece = exchange, 65536
    final = ask(exchange, replay, stream=True)[-1].response
    recorded = exchange.events[-1]["response"]
    replay.exchange = Exchange("as json", exchange.url, exchange.request, 200, {}, recorded, None, exchange.origin)
    again = ask(exchange, replay)
    assert again.id == final.id
    assert [item.get("id") for item in again.output] == [item.get("id") for item in final.output]


@both
@named(ERRORS)
def test_a_recorded_error_has_its_class(exchange: Exchange, replay: Replay, asking: Callable[..., Any]) -> None:
    replay.exchange, replay.piece = exchange, 7
    with pytest.raises(turnout.APIError) as caught:
        asking(exchange, replay)
    error = caught.value
    assert error.status == exchange.status
    assert error.request_id == exchange.headers.get("x-request-id")
    assert type(error) is expected_class(exchange)
    assert error.retry_after == (1.5 if exchange.headers.get("retry-after-ms") else None)
    assert error.body == exchange.body
    assert error.attempts[-1].error == type(error).__name__


def expected_class(exchange: Exchange) -> type[turnout.APIError]:
    error = exchange.body["error"]
    code = error.get("code") if isinstance(error, dict) else None
    text = error if isinstance(error, str) else error["message"]
    if code == "insufficient_quota":
        return turnout.QuotaExceededError
    if code in ("invalid_api_key",) or "Incorrect API key" in text:
        return turnout.AuthenticationError
    if code == "model_not_found":
        return turnout.NotFoundError
    by_status = {400: turnout.BadRequestError, 429: turnout.RateLimitError, 500: turnout.InternalServerError}
    return by_status[exchange.status]


def test_a_fixture_that_is_wrong_would_be_noticed() -> None:
    event = {**STREAMS[0].events[0], "response": {**STREAMS[0].events[0]["response"], "id": None}}
    with pytest.raises(ValidationError):
        SDK_EVENT.validate_python(event)
