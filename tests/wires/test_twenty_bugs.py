"""Bugs that other libraries had in this work, by their numbers in the list that we keep: each must be impossible here."""

import json
from typing import Any

import pytest

import turnout
from tests.servers import Answer, Asked, serving
from tests.wire_answers import Said, anthropic, anthropic_events, chat_chunks, event_frame, gemini, gemini_chunks, sse
from tests.wires.tools import body_for, read_plain, read_stream, request_for
from turnout import Router
from turnout_adapters.envelope import open_envelope

Json = dict[str, Any]
CLAUDE, GEMINI, CHAT = "anthropic/claude-sonnet-4-6", "gemini/gemini-3-pro", "hosted_vllm/m"
NOVA = "bedrock/us.amazon.nova-2-lite-v1:0"
LOOK = Said(calls=[("call_1", "look", {"at": "A"})])
TOOLS = [
    {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}
]


def kinds(events: list[Any]) -> list[str]:
    return [event.type.removeprefix("response.") for event in events]


def back(response: Any) -> list[Json]:
    """The items as a client sends them back: through JSON, with nothing of ours added."""
    return [json.loads(item.to_json()) for item in response.output]


@pytest.mark.parametrize(
    ("model", "raw"),
    [(CHAT, sse(chat_chunks(LOOK), done=True)), (CLAUDE, sse(anthropic_events(LOOK), named=True)), (GEMINI, sse(gemini_chunks(LOOK)))],
)  # fmt: skip
def test_bug_1_a_call_without_text_has_no_message_item(model: str, raw: bytes) -> None:
    events = read_stream(model, raw)
    assert [item.type for item in events[-1].response.output] == ["function_call"]
    assert not any("content_part" in kind or "output_text" in kind for kind in kinds(events))
    assert events[0].response.id.startswith("resp_")
    assert "chatcmpl" not in json.dumps([event.to_dict() for event in events])


def test_bug_2_every_lifecycle_event_is_there_with_stable_ids() -> None:
    events = read_stream(CHAT, sse(chat_chunks(Said(text="Hello", calls=LOOK.calls)), done=True))
    assert kinds(events)[:3] == ["created", "in_progress", "output_item.added"]
    assert kinds(events)[-1] == "completed"
    by_index: dict[int, set[str]] = {}
    for event in events:
        where = event.get("output_index")
        if where is not None:
            assert where >= 0
            by_index.setdefault(where, set()).add(event.get("item_id") or event.item.id)
    assert [len(ids) for ids in by_index.values()] == [1, 1]


def test_bug_3_a_streamed_call_is_added_with_id_and_name() -> None:
    events = read_stream(CHAT, sse(chat_chunks(LOOK), done=True))
    added = next(event.item for event in events if event.type == "response.output_item.added")
    assert (added.call_id, added.name) == ("call_1", "look")


@pytest.mark.parametrize(
    "model", [CLAUDE, "bedrock/eu.anthropic.claude-sonnet-4-6", "bedrock/converse/eu.anthropic.claude-sonnet-4-6"]
)
def test_bug_4_reasoning_items_come_back_as_they_were(model: str) -> None:
    response = read_plain(CLAUDE, anthropic(Said(thought="hm", signature="c2ln", text="yes")))
    body = body_for(model, [{"role": "user", "content": "q"}, *back(response), {"role": "user", "content": "and?"}])
    first = body["messages"][1]["content"][0]
    whole = first.get("reasoningContent", {}).get("reasoningText") or first
    assert (whole.get("thinking", whole.get("text")), whole["signature"]) == ("hm", "c2ln")


@pytest.mark.parametrize("model", [CLAUDE, GEMINI, CHAT, NOVA])
@pytest.mark.parametrize("item", [
    {"type": "reasoning", "id": "rs_1", "summary": []},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "t"}], "encrypted_content": None},
    {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "t"}], "status": "completed"},
])  # fmt: skip
def test_bug_5_an_input_with_any_reasoning_item_is_accepted(model: str, item: Json) -> None:
    request = request_for(
        model,
        [
            {"role": "user", "content": "q"},
            item,
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "b"},
        ],
    )
    assert bool(request.notes) == bool(item["summary"] or item.get("content"))


def test_bug_6_raw_reasoning_is_kept_as_reasoning_text() -> None:
    events = read_stream(CHAT, sse(chat_chunks(Said(thought="step by step", text="42")), done=True))
    reasoning = events[-1].response.output[0]
    assert [(part.type, part.text) for part in reasoning.content] == [("reasoning_text", "step by step")]
    assert reasoning.summary == []


def test_bug_7_a_streamed_signature_is_sealed_in_the_item() -> None:
    said = Said(thought="hm", signature="c2lnbmF0dXJl", calls=LOOK.calls)
    events = read_stream(CLAUDE, sse(anthropic_events(said), named=True), piece=3)
    sealed = open_envelope(events[-1].response.output[0].encrypted_content)
    assert sealed is not None
    assert sealed.blocks == ({"type": "thinking", "thinking": "hm", "signature": "c2lnbmF0dXJl"},)


def test_bug_8_a_streamed_gemini_signature_goes_back_on_its_part() -> None:
    said = Said(thought="hm", signature="c2ln", calls=LOOK.calls)
    events = read_stream(GEMINI, sse(gemini_chunks(said)))
    output = [{"type": "function_call_output", "call_id": events[-1].response.output[-1].call_id, "output": "x"}]
    body = body_for(GEMINI, [{"role": "user", "content": "q"}, *back(events[-1].response), *output], tools=TOOLS)
    call = next(part for part in body["contents"][1]["parts"] if "functionCall" in part)
    assert call["thoughtSignature"] == "c2ln"


@pytest.mark.parametrize("part", [
    {"text": "thinking", "thought": True, "thoughtSignature": "c2ln"},
    {"text": "", "thoughtSignature": "c2ln"},
    {"text": "said", "thoughtSignature": "c2ln"},
])  # fmt: skip
def test_bug_9_a_signature_is_captured_from_any_part(part: Json) -> None:
    native = gemini(Said())
    native["candidates"][0]["content"]["parts"] = [
        {"text": "before "},
        part,
        {"functionCall": {"name": "look", "args": {}}},
    ]
    body = body_for(
        GEMINI, [{"role": "user", "content": "q"}, *back(read_plain(GEMINI, native)), {"role": "user", "content": "b"}]
    )
    assert json.dumps(body).count("c2ln") == 1


def test_bug_10_only_the_first_of_parallel_calls_gets_the_placeholder() -> None:
    calls = [{"type": "function_call", "call_id": f"c{n}", "name": "look", "arguments": "{}"} for n in range(3)]
    outputs = [{"type": "function_call_output", "call_id": f"c{n}", "output": "x"} for n in range(3)]
    request = request_for(GEMINI, [{"role": "user", "content": "q"}, *calls, *outputs], tools=TOOLS)
    parts = json.loads(request.body)["contents"][1]["parts"]
    assert ["thoughtSignature" in part for part in parts] == [True, False, False]
    assert any("another model" in note for note in request.notes)
    older = body_for("gemini/gemini-2.5-flash", [{"role": "user", "content": "q"}, *calls, *outputs], tools=TOOLS)
    assert "thoughtSignature" not in json.dumps(older)


def test_bug_11_call_ids_stay_clean() -> None:
    said = Said(signature="c2ln" * 30, calls=LOOK.calls)
    response = read_plain(GEMINI, gemini(said))
    call = response.output[-1]
    assert len(call.call_id) < 64
    assert "c2ln" not in call.call_id


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER"])
def test_bug_12_a_malformed_call_is_a_failure_that_is_tried_again(reason: str) -> None:
    answers = [gemini(Said()), gemini(Said(text="fine"))]
    answers[0]["candidates"][0] |= {"finishReason": reason, "finishMessage": "print(look"}
    with serving(lambda asked: Answer(body=answers.pop(0))) as server:
        row = {"model_name": "m", "litellm_params": {"model": GEMINI, "api_key": "k", "api_base": server.url}}
        with Router([row], num_retries=1) as router:
            response = router.responses("m", "q")
    assert response.output_text == "fine"
    assert response.route.attempts[0].error == "InternalServerError"
    failing = gemini(Said())
    failing["candidates"][0] |= {"finishReason": reason, "finishMessage": "print(look"}
    with pytest.raises(turnout.InternalServerError, match=f"{reason}: print"):
        read_plain(GEMINI, failing)


def test_bug_13_a_stop_with_calls_is_complete_and_has_them() -> None:
    response = read_plain(GEMINI, gemini(LOOK))
    assert response.status == "completed"
    assert [item.type for item in response.output] == ["function_call"]


@pytest.mark.parametrize(("reason", "told"), [("MAX_TOKENS", "max_output_tokens"), ("SAFETY", "content_filter")])
def test_bug_14_the_finish_reason_counts_with_content_and_without(reason: str, told: str) -> None:
    for said in (LOOK, Said(), Said(text="half")):
        native = gemini(said)
        native["candidates"][0]["finishReason"] = reason
        response = read_plain(GEMINI, native)
        assert (response.status, response.incomplete_details.reason) == ("incomplete", told)
    blocked = read_plain(
        GEMINI, {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3}}
    )
    assert (blocked.status, blocked.output) == ("incomplete", [])


def test_bug_15_streamed_gemini_calls_have_their_arguments() -> None:
    said = Said(calls=[("", "look", {"at": "Zürich", "n": [1, 2]}), ("", "look", {})])
    events = read_stream(GEMINI, sse(gemini_chunks(said)))
    calls = [json.loads(item.arguments) for item in events[-1].response.output]
    assert calls == [{"at": "Zürich", "n": [1, 2]}, {}]
    found = kinds(events)
    first_done = found.index("function_call_arguments.done")
    assert "function_call_arguments.delta" in found[:first_done]


def test_bug_16_an_incomplete_answer_may_hold_reasoning_only() -> None:
    native = anthropic(Said(thought="so long", signature="c2ln"))
    native["stop_reason"] = "max_tokens"
    response = read_plain(CLAUDE, native)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    chunks = chat_chunks(Said(thought="so long"))
    chunks[-2]["choices"][0]["finish_reason"] = "length"
    streamed = read_stream(CHAT, sse(chunks, done=True))[-1].response
    assert (streamed.status, [item.type for item in streamed.output]) == ("incomplete", ["reasoning"])


def test_bug_17_interleaved_bedrock_blocks_are_kept_apart() -> None:
    def block(index: int, name: str, body: Json) -> bytes:
        return event_frame(name, {"contentBlockIndex": index, **body})

    def use(index: int, call_id: str, name: str) -> bytes:
        return block(index, "contentBlockStart", {"start": {"toolUse": {"toolUseId": call_id, "name": name}}})

    def more(index: int, piece: str) -> bytes:
        return block(index, "contentBlockDelta", {"delta": {"toolUse": {"input": piece}}})

    raw = b"".join([
        event_frame("messageStart", {"role": "assistant"}),
        block(0, "contentBlockDelta", {"delta": {"text": "I look"}}),
        use(1, "a", "look"), use(2, "b", "find"), more(1, '{"at":'), more(2, '{"what":'), more(1, '"A"}'), more(2, '"B"}'),
        block(0, "contentBlockDelta", {"delta": {"text": " now."}}),
        block(2, "contentBlockStop", {}), block(1, "contentBlockStop", {}), block(0, "contentBlockStop", {}),
        event_frame("messageStop", {"stopReason": "tool_use"}),
        event_frame("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}}),
    ])  # fmt: skip
    response = read_stream(NOVA, raw)[-1].response
    assert response.output_text == "I look now."
    calls = [(item.call_id, item.name, item.arguments) for item in response.output if item.type == "function_call"]
    assert calls == [("a", "look", '{"at":"A"}'), ("b", "find", '{"what":"B"}')]


def test_bug_18_no_empty_description_and_no_empty_arguments() -> None:
    tools = [{**TOOLS[0], "description": ""}]
    spec = body_for(NOVA, "q", tools=tools)["toolConfig"]["tools"][0]["toolSpec"]
    assert "description" not in spec
    for model, raw in (
        (CLAUDE, sse(anthropic_events(Said(calls=[("c", "look", {})])), named=True)),
        (CHAT, sse(chat_chunks(Said(calls=[("c", "look", {})])), done=True).replace(b'"{}"', b'""')),
    ):
        events = read_stream(model, raw)
        assert [event.delta for event in events if event.type.endswith("arguments.delta")] == ["{}"]
        assert events[-1].response.output[0].arguments == "{}"


def test_bug_19_usage_counts_the_cache() -> None:
    native = anthropic(Said(text="x"))
    native["usage"] = {
        "input_tokens": 10, "cache_read_input_tokens": 300, "cache_creation_input_tokens": 20, "output_tokens": 5,
        "output_tokens_details": {"thinking_tokens": 2},
    }  # fmt: skip
    usage = read_plain(CLAUDE, native).usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (330, 5, 335)
    assert (usage.input_tokens_details.cached_tokens, usage.input_tokens_details.cache_write_tokens) == (300, 20)
    assert usage.output_tokens_details.reasoning_tokens == 2


def test_bug_20_reasoning_of_another_account_is_left_out_and_a_poll_asks_for_none() -> None:
    """The failover half is in test_crossing.py; here: a stored response is polled without asking for encrypted content."""

    def handler(asked: Asked) -> Answer:
        if "include" in asked.query:
            return Answer(400, {"error": {"message": "include is not allowed", "code": "invalid_include"}})
        return Answer(body={"id": "resp_0123456789abcdef", "object": "response", "status": "completed", "output": []})

    with serving(handler) as server:
        defaults = {"include": ["reasoning.encrypted_content"]}
        params = {"model": "openai/gpt-5", "api_key": "k", "api_base": server.url, **defaults}
        with Router([{"model_name": "m", "litellm_params": params}], accept_raw_ids=True, num_retries=0) as router:
            assert router.get_responses("resp_0123456789abcdef").status == "completed"
            assert server.last.query == ""


def test_reserve_a_stream_that_ends_early_is_never_a_success() -> None:
    raw = b"".join([
        event_frame("messageStart", {"role": "assistant"}),
        event_frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "half"}}),
    ])  # fmt: skip
    with pytest.raises(turnout.APIConnectionError):
        read_stream(NOVA, raw)


def test_reserve_tools_are_never_dropped() -> None:
    with pytest.raises(turnout.UnsupportedParameterError, match="tools"):
        request_for("replicate/meta/llama", "q", tools=TOOLS, drop=True)
    with pytest.raises(turnout.UnsupportedParameterError, match="computer_use_preview"):
        request_for(CLAUDE, "q", tools=[{"type": "computer_use_preview"}], drop=True)


def test_reserve_call_ids_may_repeat_from_turn_to_turn() -> None:
    """GPT on Bedrock's newer endpoint begins with call_0 in every answer."""
    call = {"type": "function_call", "call_id": "call_0", "name": "look", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "call_0", "output": "x"}
    body = body_for(CHAT, [{"role": "user", "content": "q"}, call, output, call, output])
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "assistant", "tool"]


def test_what_the_clouds_lack_is_refused_before_the_call() -> None:
    search = [{"type": "web_search"}]
    assert "tools" in body_for("vertex_ai/claude-sonnet-4-6", "q", tools=search)
    image = {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "auto"}
    call = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": [image]}
    file = {"type": "input_file", "file_id": "file_1"}
    for model, given, more in (
        ("bedrock/eu.anthropic.claude-sonnet-4-6", "q", {"tools": search}),
        ("bedrock/eu.anthropic.claude-sonnet-4-6", [{"role": "user", "content": "q"}, call, output], {}),
        ("vertex_ai/claude-sonnet-4-6", "q", {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}),
        ("vertex_ai/claude-sonnet-4-6", [{"role": "user", "content": [file]}], {}),
    ):
        with pytest.raises(turnout.UnsupportedParameterError):
            request_for(model, given, **more)
    assert ("anthropic-beta", "files-api-2025-04-14") in request_for(
        CLAUDE, [{"role": "user", "content": [file]}]
    ).headers
    strict = [{**TOOLS[0], "strict": True}]
    assert "strict" not in body_for("bedrock/eu.anthropic.claude-sonnet-4-6", "q", tools=strict)["tools"][0]
    assert body_for(CLAUDE, "q", tools=strict)["tools"][0]["strict"] is True


def test_what_responses_has_no_name_for_is_kept_under_native() -> None:
    native = gemini(Said(text="x"))
    native["candidates"][0] |= {
        "groundingMetadata": {"searchEntryPoint": {"renderedContent": "<b>"}},
        "safetyRatings": [],
    }
    response = read_plain(GEMINI, native)
    assert response.native.responseId == "r"
    assert response.native.groundingMetadata.searchEntryPoint.renderedContent == "<b>"
    message = anthropic(Said(text="x")) | {"container": {"id": "container_1"}}
    assert read_plain(CLAUDE, message).native.container.id == "container_1"
    streamed = read_stream(
        CHAT, sse([{**chunk, "system_fingerprint": "fp_1"} for chunk in chat_chunks(Said(text="x"))])
    )
    assert streamed[-1].response.native.system_fingerprint == "fp_1"
