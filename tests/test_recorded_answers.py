"""Every recorded answer on every wire, served over sockets in pieces: the content is that of the recording."""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from openai.types.responses import Response as OpenAIResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

import turnout
from tests import grammar, native
from tests.recorded import RESPONSES_WIRE, Recording, Replay, all_recordings, need_data, replaying
from tests.wiring import exchange_of, params_of, provider_of, router_for, wire_of
from turnout_adapters.adapter import HTTPReply, WireCall
from turnout_adapters.envelope import open_envelope
from turnout_adapters.providers import PROVIDERS
from turnout_adapters.registry import adapter_for

Json = dict[str, Any]
SDK_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
ALL = [one for one in all_recordings() if one.api not in RESPONSES_WIRE]
GOOD = [one for one in ALL if one.status == 200]
BROKEN = "groq_chat--stream--81bcc387d6"
"""Its stream reports an error, with the arguments that failed."""
STREAMS = [one for one in GOOD if one.stream and one.id != BROKEN]
PLAIN = [one for one in GOOD if not one.stream]
ERRORS = [one for one in ALL if one.status != 200]


def named(recordings: list[Recording]) -> Any:
    return pytest.mark.parametrize("recording", recordings, ids=[one.id for one in recordings])


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    with replaying() as running:
        yield running


def reader(api: str) -> native.Reader:
    wires = {
        "anthropic-messages": "anthropic", "gemini": "gemini", "bedrock-converse": "converse", "openai-chat": "chat",
        "cohere-chat": "cohere", "ollama-chat": "ollama",
    }  # fmt: skip
    if api == "watsonx_legacy":
        return native.sse, native.said_watsonx
    return native.READERS[api if api in native.READERS else wires[wire_of(api)]]


def said_natively(recording: Recording) -> Json:
    """What the recording says, read without the library."""
    together, said = reader(recording.api)
    if recording.stream:
        return said(together(recording.raw))
    body = json.loads(recording.raw)
    return said([body] if recording.api == "watsonx_legacy" else body)


def said(response: Any) -> Json:
    """What a Response says, in the same words."""
    items = response.output
    thoughts = [item for item in items if item.type == "reasoning"]
    parts = [part for item in thoughts for part in [*item.summary, *(item.get("content") or [])]]
    texts = [part for item in items if item.type == "message" for part in item.content]
    usage = response.usage
    return {
        "text": response.output_text,
        "refusal": "".join(part.refusal for part in texts if part.type == "refusal"),
        "calls": [
            (item.name, item.input if item.type == "custom_tool_call" else json.loads(item.arguments))
            for item in items
            if item.type in ("function_call", "custom_tool_call")
        ],
        "reasoning": "".join(part.text for part in parts),
        "signatures": [one for item in items for one in signatures(item)],
        "citations": [one for part in texts for one in part.get("annotations") or []],
        "hosted": sum(item.type in ("web_search_call", "code_interpreter_call", "mcp_call") for item in items),
        "usage": usage and (usage.input_tokens, usage.output_tokens, usage.input_tokens_details.cached_tokens),
        "stop": response.get("native_stop_reason"),
    }


def signatures(item: Any) -> list[str]:
    """The provider's signatures in an item's envelope, byte for byte."""
    envelope = open_envelope(item.get("encrypted_content"))
    found = []
    for block in envelope.blocks if envelope else ():
        text = block.get("reasoningContent", {}).get("reasoningText", {})
        signature = block.get("signature") or block.get("thoughtSignature") or text.get("signature")
        if signature:
            found.append(signature)
    return found


def compare(response: Any, recording: Recording) -> None:
    ours, theirs = said(response), said_natively(recording)
    cited = theirs.pop("citations", [])
    found = ours.pop("citations")
    if recording.api == "perplexity_chat":
        assert len(found) == len(re.findall(r"\[\d\]", theirs["text"]))
    else:
        assert len(found) == len(cited)
    for annotation, citation in zip(found, cited, strict=False):
        if isinstance(citation, tuple):
            begin, end = annotation.start_index, annotation.end_index
            assert (annotation.url, ours["text"][begin:end]) == citation
        elif isinstance(citation, str):
            assert annotation.url == citation
        else:
            assert annotation.native.to_dict() == citation
    if theirs["stop"] in (1, None, ""):
        theirs["stop"] = ours["stop"]
    if theirs["usage"] == (0, 0, 0) and ours["usage"] is None:
        theirs["usage"] = None
    assert {name: ours[name] for name in theirs} == theirs


def arguments(recording: Recording) -> Json:
    """What the decoders need to know of the request: the custom tools."""
    custom = [tool["custom"] for tool in recording.request.get("tools") or [] if tool.get("type") == "custom"]
    return {"input": "hello", **({"tools": [{"type": "custom", **tool} for tool in custom]} if custom else {})}


def test_the_corpus_is_where_it_is_looked_for() -> None:
    need_data()
    assert len(PLAIN) >= 130
    assert len(STREAMS) >= 76
    assert len(ERRORS) >= 27


@named(PLAIN)
def test_a_plain_answer_says_what_the_recording_says(recording: Recording, replay: Replay) -> None:
    replay.exchange, replay.piece = exchange_of(recording), 0
    with router_for(recording, replay.url) as router:
        response = router.responses("m", **arguments(recording))
    compare(response, recording)
    checked = OpenAIResponse.model_validate(response.model_dump(mode="json"))
    assert checked.output_text == response.output_text
    assert response.status in ("completed", "incomplete")


@named(STREAMS)
def test_a_stream_says_what_the_recording_says(recording: Recording, replay: Replay) -> None:
    replay.exchange, replay.piece = exchange_of(recording), 0

    async def read() -> list[Any]:
        async with router_for(recording, replay.url) as router:
            stream = await router.aresponses("m", stream=True, **arguments(recording))
            found = [event async for event in stream]
            assert stream.error is None
            return found

    events = asyncio.run(read())
    compare(events[-1].response, recording)
    dumped = [event.model_dump(mode="json") for event in events]
    grammar.check(dumped)
    for event in dumped:
        SDK_EVENT.validate_python(event)


def events_of(recording: Recording, raw: bytes | None = None) -> list[Json]:
    """The events of a recorded stream, decoded without a server."""
    call = WireCall("create", recording.model, arguments(recording), stream=True, now=1.0, nonce="0" * 24)
    decoder = adapter_for(PROVIDERS[provider_of(recording.api)], wire_of(recording.api)).decoder(call)
    events = decoder.feed(recording.raw if raw is None else raw)
    return [event.model_dump(mode="json") for event in [*events, *decoder.close()]]


def test_the_grammar_checker_sees_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """At least 97 of 100 streams with an event lost or two events exchanged are told from good ones."""
    need_data()
    killed = total = 0
    for recording in STREAMS:
        events = events_of(recording)
        for mutant in grammar.mutants(events) if len(events) <= 120 else []:
            total += 1
            try:
                grammar.check(mutant)
            except grammar.Ungrammatical:
                killed += 1
    with capsys.disabled():
        print(f"\ngrammar checker: {killed} of {total} mutants killed ({killed / total:.1%})")
    assert total > 1000
    assert killed >= 0.97 * total


def whole(recording: Recording) -> Json:
    """The Response of a stream's last event."""
    return events_of(recording)[-1]["response"]


@named([one for one in STREAMS if one.api != "watsonx_legacy"])
def test_stream_and_complete_answer_give_the_same_response(recording: Recording) -> None:
    body = reader(recording.api)[0](recording.raw)
    call = WireCall("create", recording.model, arguments(recording), now=1.0, nonce="0" * 24)
    adapter = adapter_for(PROVIDERS[provider_of(recording.api)], wire_of(recording.api))
    unary = adapter.response(call, HTTPReply(200, {}, json.dumps(body).encode())).model_dump(mode="json")
    assert comparable(unary) == comparable(whole(recording))


def comparable(response: Json) -> Json:
    """Arguments are compared as JSON; which native fields a stream repeats is the provider's affair.

    OpenRouter sends encrypted reasoning after the text of a stream, and before it in a complete answer.
    """
    out = json.loads(json.dumps(response))
    (out.get("usage") or {}).pop("native", None)
    out.pop("native", None)
    for item in out["output"]:
        if item["type"] == "function_call":
            item["arguments"] = json.loads(item["arguments"])
        envelope = open_envelope(item.get("encrypted_content"))
        if envelope is not None:
            item["encrypted_content"] = json.dumps([{**b, "citations": None} for b in envelope.blocks], sort_keys=True)
    if out["output"] and out["output"][-1]["type"] == "reasoning" and not out["output"][-1].get("content"):
        out["output"].insert(0, out["output"].pop())
    for item in out["output"]:
        item["id"] = item["id"][:6]  # ids count the items in their order
    return out


def test_an_error_inside_a_stream(replay: Replay) -> None:
    need_data()
    recording = next(one for one in ALL if one.id == BROKEN)
    replay.exchange, replay.piece = exchange_of(recording), 0
    with router_for(recording, replay.url) as router:
        stream = router.responses("m", "hello", stream=True)
        events = list(stream)
    assert events[-1].type == "response.failed"
    assert isinstance(stream.error, turnout.BadRequestError)
    assert "Tool call validation failed" in stream.error.message


KINDS = {
    "anthropic_messages--error--84e8f228e7": turnout.NotFoundError,
    "anthropic_messages--error--90e5fa7e76": turnout.BadRequestError,
    "anthropic_messages--error--9fb1609fa1": turnout.NotFoundError,
    "azure_ai_chat--error--0b737e9484": turnout.AuthenticationError,
    "azure_openai_chat--error--011b47a010": turnout.NotFoundError,
    "bedrock_converse--error--5d6b016060": turnout.AuthenticationError,
    "bedrock_converse--error--b38b42d194": turnout.ContextWindowExceededError,
    "bedrock_converse_stream--error--fc5c86142c": turnout.NotFoundError,
    "bedrock_invoke_anthropic--error--5dcc01d5b0": turnout.BadRequestError,
    "gemini_generate--error--1437af7c5f": turnout.AuthenticationError,
    "cohere_v2_chat--error--02f3e19f54": turnout.AuthenticationError,
    "deepseek_chat--error--d396c5b43f": turnout.AuthenticationError,
}
BY_STATUS = {
    400: turnout.BadRequestError,
    401: turnout.AuthenticationError,
    404: turnout.NotFoundError,
    429: turnout.RateLimitError,
}


@named(ERRORS)
def test_a_recorded_error_has_its_class(recording: Recording, replay: Replay) -> None:
    replay.exchange, replay.piece = exchange_of(recording), 0
    with router_for(recording, replay.url) as router, pytest.raises(turnout.APIError) as caught:
        router.responses("m", "hello")
    error = caught.value
    assert error.status == recording.status
    assert isinstance(
        error, KINDS.get(recording.id, BY_STATUS.get(recording.status, turnout.APIError)) or turnout.APIError
    )
    assert error.body == json.loads(recording.raw)
    assert "test-key" not in str(error)
    assert error.message.partition(": ")[2] not in ("", "the provider gave no message")


def test_params_of_are_those_of_a_row() -> None:
    assert params_of("vertex_gemini", "g", "http://x")["vertex_project"] == "p"
