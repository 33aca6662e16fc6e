"""Native answers with odd fields: what nobody needs is set aside and the answer kept; what is no answer is refused."""

import json
from typing import Any

import pytest

from turnout_adapters.adapter import HTTPReply, Operation, WireCall
from turnout_adapters.errors import InvalidReplyError
from turnout_adapters.measures import count
from turnout_adapters.recorder import StreamRecorder
from turnout_adapters.responses import ResponsesDecoder, ResponsesWire
from turnout_adapters.types import StreamEvent

MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
ANSWER: dict[str, Any] = {"id": "resp_1", "status": "completed", "output": [MESSAGE], "model": "m"}
HUGE = 10**400


def read(fields: Any, operation: Operation = "create") -> Any:
    return ResponsesWire().response(WireCall(operation), HTTPReply(200, {}, json.dumps(fields).encode()))


def heard(*events: Any) -> list[StreamEvent]:
    return ResponsesDecoder().feed(b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in events))


ODD_FIELDS: list[tuple[str, Any, Any]] = [
    ("usage", "many", None),
    ("usage", ["many"], None),
    ("usage", 5, None),
    ("metadata", [], None),
    ("status", 5, None),
    ("created_at", "noon", 0),
    ("created_at", HUGE, 0),
    ("model", ["m"], ""),
    ("temperature", "warm", None),
    ("parallel_tool_calls", "perhaps", True),
    ("tools", "none", []),
    ("previous_response_id", 5, None),
    ("text", {"format": {"type": "json_schema", "name": 5}}, None),
]


@pytest.mark.parametrize(("name", "odd", "default"), ODD_FIELDS)
def test_an_odd_field_does_not_cost_the_answer(name: str, odd: Any, default: Any) -> None:
    result = read({**ANSWER, name: odd})
    assert result.output_text == "Hi"
    assert getattr(result, name) == default
    assert repr(result.to_dict()["native"][name]) == repr(odd)
    assert name not in result.to_dict()


@pytest.mark.parametrize(("name", "odd", "default"), ODD_FIELDS)
def test_nor_in_a_stream(name: str, odd: Any, default: Any) -> None:
    last = heard({"type": "response.completed", "sequence_number": 1, "response": {**ANSWER, name: odd}})[0]
    assert last.response.output_text == "Hi"
    assert getattr(last.response, name) == default
    assert repr(last.to_dict()["response"]["native"][name]) == repr(odd)


@pytest.mark.parametrize("odd", [-1, 1.5, HUGE, 10**16, "many", None, True, [], {}])
def test_of_the_tokens_what_makes_sense_is_read(odd: Any) -> None:
    usage = {"input_tokens": 5, "output_tokens": odd, "total_tokens": 7, "input_tokens_details": {"cached_tokens": odd}}
    found = read({**ANSWER, "usage": usage})
    if count(odd) is None:
        assert found.usage is None, "what is not known is not nothing"
        assert found.to_dict()["native"]["usage"]["input_tokens"] == 5
    else:
        assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.total_tokens) == (5, count(odd), 7)


@pytest.mark.parametrize("odd", [-1, HUGE, "many", [], {}])
def test_a_detail_of_the_tokens_that_is_odd_is_nothing(odd: Any) -> None:
    usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": odd, "input_tokens_details": {"cached_tokens": odd}}
    found = read({**ANSWER, "usage": usage})
    assert (found.usage.total_tokens, found.usage.input_tokens_details.cached_tokens) == (7, 0)


def test_what_was_under_native_stays_there() -> None:
    assert read({**ANSWER, "usage": "many", "native": {"a": 1}}).native.to_dict() == {"usage": "many", "a": 1}
    assert read({**ANSWER, "usage": "many", "native": "a"}).native.to_dict() == {"usage": "many", "native": "a"}


def test_no_output_is_an_empty_one() -> None:
    assert read({**ANSWER, "status": "in_progress", "output": None}).output == []
    with pytest.raises(InvalidReplyError):
        read({**ANSWER, "output": None})


NO_ANSWERS: list[Any] = [
    {**ANSWER, "output": ["junk"]},
    {**ANSWER, "output": "junk"},
    {**ANSWER, "output": {}},
    {**ANSWER, "output": [None]},
    {**ANSWER, "output": [[MESSAGE]]},
    {**ANSWER, "output": [{"type": 5}]},
    {**ANSWER, "output": [{"type": []}]},
    {**ANSWER, "output": [{**MESSAGE, "content": "Hi"}]},
    {**ANSWER, "output": [{**MESSAGE, "content": ["Hi"]}]},
    {**ANSWER, "output": [{**MESSAGE, "content": [{"type": []}]}]},
    {**ANSWER, "id": 5},
    {**ANSWER, "id": None},
    {**ANSWER, "output": [{**MESSAGE, "content": [{"type": "output_text", "text": 5}]}]},
    {"output": [MESSAGE]},
    [],
    None,
    5,
    "x",
]


@pytest.mark.parametrize("fields", NO_ANSWERS)
def test_what_is_no_answer_is_refused(fields: Any) -> None:
    with pytest.raises(InvalidReplyError):
        read(fields)


@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        ("input_items", {"data": ["junk"]}),
        ("input_items", {"data": 5}),
        ("compact", {"id": "c", "output": ["junk"]}),
        ("input_tokens", {"input_tokens": "many"}),
        ("input_tokens", {"input_tokens": HUGE}),
        ("input_tokens", {}),
    ],
)
def test_nor_of_another_operation(operation: Operation, fields: Any) -> None:
    with pytest.raises(InvalidReplyError):
        read(fields, operation)


@pytest.mark.parametrize(
    "fields", [one for one in NO_ANSWERS if isinstance(one, dict) and one.get("id", 1) is not None][:-1]
)
def test_what_is_no_answer_does_not_complete_a_stream(fields: Any) -> None:
    with pytest.raises(InvalidReplyError):
        heard({"type": "response.completed", "response": fields})


AT: dict[str, Any] = {"output_index": 0, "item_id": "msg_1", "content_index": 0}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.completed"},
        {"type": "response.completed", "response": ["junk"]},
        {"type": "response.output_item.done", "output_index": 0, "item": "x"},
        {"type": "response.output_item.added", "output_index": [], "item": MESSAGE},
        {"type": "response.output_text.delta", **AT, "delta": 5},
        {"type": "response.output_text.delta", **AT, "delta": "x", "content_index": {}},
        {"type": "response.content_part.added", **AT, "part": "x"},
        {"type": "response.function_call_arguments.done", **AT, "arguments": {}},
    ],
)
def test_what_an_event_is_about_has_to_make_sense(event: Any) -> None:
    with pytest.raises(InvalidReplyError):
        heard(event)


@pytest.mark.parametrize("number", ["many", None, [], 1.5, float("nan")])
def test_an_odd_number_does_not_cost_an_event(number: Any) -> None:
    told = [
        {"type": "response.hologram"},
        {"type": "response.output_text.delta", **AT, "delta": "x"},
        {"type": "error", "message": "m"},
    ]
    assert [one.sequence_number for one in heard(*({**one, "sequence_number": number} for one in told))] == [0, 1, 2]


def test_an_error_event_tells_what_it_can() -> None:
    event = heard({"type": "error", "error": {"message": ["m"], "code": 5, "param": {}}})[0]
    assert (event.get("message"), event.get("code"), event.get("param")) == ("['m']", "5", "{}")


def test_names_that_are_ours_may_be_the_providers_too() -> None:
    own = {"_fields_set": 1, "cls": 2, "self": 3, "model": 4}
    item = {"type": "hologram", **own}
    assert read({**ANSWER, "output": [item], "reasoning": own}).to_dict() == {
        **ANSWER,
        "output": [item],
        "reasoning": own,
    }


ODD_PIECES: list[dict[str, Any]] = [
    {"type": "response.mcp_call_arguments.done", "arguments": 5},
    {"type": "response.refusal.done", "content_index": []},
    {"type": "response.refusal.done", "content_index": 0, "refusal": {}},
    {"type": "response.reasoning_text.done", "text": None},
    {"type": "response.output_text.annotation.added", "annotation": 5},
    {"type": "response.hologram_part", "part": "x"},
    {"type": "response.hologram", "output_index": {}},
    {"type": "response.hologram", "output_index": "x"},
    {"type": "response.output_item.added", "item": {"type": "function_call", "arguments": {}}},
    {"type": "response.output_text.delta", "delta": "x"},
    {"type": "response.content_part.added"},
]


@pytest.mark.parametrize("piece", ODD_PIECES)
def test_a_stream_with_odd_pieces_can_be_ended_properly(piece: dict[str, Any]) -> None:
    recorder = StreamRecorder()
    added = {"type": "response.output_item.added", "output_index": 0, "item": {**MESSAGE, "content": []}}
    for event in heard(
        {"type": "response.created", "response": {**ANSWER, "output": []}}, added, {"output_index": 0, **piece}, piece
    ):
        recorder.observe(event)
    failed = recorder.failed("server_error", "cut")[0].get("response")
    assert (failed.status, failed.error.code) == ("failed", "server_error")
    assert failed.output[0].status == "incomplete"
