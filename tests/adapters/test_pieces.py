"""The pure parts: splitting, parsing, refusals, and the events a broken stream still owes."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tests.recorded import Exchange, fixtures, recordings
from turnout import InvalidReplyError
from turnout_adapters.adapter import HTTPReply
from turnout_adapters.kinds import Kind
from turnout_adapters.recorder import StreamRecorder
from turnout_adapters.refusals import error_from_reply, retry_after_of
from turnout_adapters.responses import ResponsesDecoder
from turnout_adapters.sse import SSESplitter
from turnout_adapters.types import parse_event

STREAMS = [one for one in [*fixtures(), *recordings()] if one.sse is not None]
ids = [one.id for one in STREAMS]
SDK = TypeAdapter(ResponseStreamEvent)


@given(st.data())
def test_events_do_not_depend_on_where_the_bytes_are_cut(data: st.DataObject) -> None:
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    events = data.draw(
        st.lists(st.tuples(st.sampled_from(["a", "response.x"]), st.text("abc\u00e9 :", max_size=8)), max_size=6)
    )
    text = "".join(f": ping{end}{end}event: {name}{end}data: {payload}{end}{end}" for name, payload in events)
    raw = text.encode() + b"x" * (end == "\r")
    splitter, found, start = SSESplitter(), [], 0
    while start < len(raw):
        size = data.draw(st.integers(1, 9))
        found += splitter.feed(raw[start : start + size])
        start += size
    assert found == [(name, payload.encode()) for name, payload in events]


def test_an_event_may_have_many_lines_and_a_bom() -> None:
    assert SSESplitter().feed(b"\xef\xbb\xbfdata: 1\ndata:2\n\ndata: [DONE]\n\n") == [(None, b"1\n2")]


def test_the_size_of_an_event_is_bounded() -> None:
    splitter = SSESplitter(longest=100)
    with pytest.raises(InvalidReplyError, match="longer than 100"):
        splitter.feed(b"data: " + b"x" * 200)


@pytest.mark.parametrize("stream", STREAMS, ids=ids)
def test_every_prefix_of_a_stream_can_be_ended_properly(stream: Exchange) -> None:
    events = ResponsesDecoder().feed(stream.raw)
    rng = random.Random(1)
    cuts = range(1, len(events)) if len(events) < 60 else sorted(rng.sample(range(1, len(events)), 60))
    for cut in cuts:
        recorder = StreamRecorder()
        for event in events[:cut]:
            recorder.observe(event)
        (failed,) = recorder.failed("server_error", "cut")
        assert failed.type == "response.failed"
        assert failed.sequence_number > max(event.sequence_number for event in events[:cut])
        SDK.validate_python(failed.model_dump(mode="json"))
        shown = "".join(event.delta for event in events[:cut] if event.type == "response.output_text.delta")
        assert failed.response.output_text == shown


def test_the_text_of_a_cut_stream_is_what_was_delivered() -> None:
    events = ResponsesDecoder().feed(fixtures()[1].raw)
    recorder, shown = StreamRecorder(), ""
    for event in events[:8]:
        recorder.observe(event)
        shown += event.get("delta", "")
    failed = recorder.failed("server_error", "cut")[0]
    assert shown
    assert failed.response.output_text == shown
    assert failed.response.output[0].status == "incomplete"
    assert failed.response.error.code == "server_error"


@pytest.mark.parametrize(
    ("name", "data"), [(None, b"[]"), ("x", b"nonsense"), (None, b"{}"), ("x", b'{"type": 5}'), (None, b'{"type"')]
)
def test_what_is_no_event_is_refused(name: str | None, data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_event(name, data)


def test_odd_events_pass_through() -> None:
    odd = {"type": "response.output_text.delta", "delta": "a", "item_id": 5, "new": {"deep": [{"x": 1}]}}
    event = parse_event("response.output_text.delta", json.dumps(odd).encode())
    assert event.to_dict() == odd
    late = {
        "sequence_number": 1,
        "type": "response.completed",
        "response": {"id": "resp_1", "output": [{"type": "hologram", "z": {"w": 1}}]},
    }
    event = parse_event("wrong.name", json.dumps(late).encode())
    assert event.type == "response.completed"
    assert event.response.output[0].z.w == 1
    assert event.to_dict() == late


@pytest.mark.parametrize("nested", [True, False])
def test_both_shapes_of_an_error_event(nested: bool) -> None:
    error = {"code": "insufficient_quota", "message": "You exceeded", "param": None}
    sent = {"type": "error", "sequence_number": 2, **({"error": error} if nested else error)}
    event = parse_event("error", json.dumps(sent).encode())
    assert (event.code, event.message, event.to_dict()) == ("insufficient_quota", "You exceeded", sent)
    SDK.validate_python(event.model_dump(mode="json"))


KINDS = {
    (400, "context_length_exceeded", "x"): Kind.CONTEXT_WINDOW,
    (400, None, "This model's maximum context length is 4097 tokens."): Kind.CONTEXT_WINDOW,
    (400, "content_filter", "x"): Kind.CONTENT_POLICY,
    (400, None, "The response was filtered due to Azure's content management policy"): Kind.CONTENT_POLICY,
    (500, None, "maximum context length"): Kind.INTERNAL,
    (404, "DeploymentNotFound", "x"): Kind.DEPLOYMENT_NOT_FOUND,
    (404, None, "x"): Kind.NOT_FOUND,
    (403, None, "x"): Kind.PERMISSION,
    (408, None, "x"): Kind.TIMEOUT,
    (422, None, "x"): Kind.BAD_REQUEST,
    (429, "insufficient_quota", "x"): Kind.QUOTA,
    (429, None, "x"): Kind.RATE_LIMIT,
    (500, "IndexError: list index out of range", "x"): Kind.INTERNAL,
    (502, None, "x"): Kind.INTERNAL,
    (503, None, "x"): Kind.UNAVAILABLE,
    (504, None, "x"): Kind.TIMEOUT,
    (529, None, "x"): Kind.OVERLOADED,
    (302, None, "x"): Kind.INVALID_REPLY,
}


@pytest.mark.parametrize(("case", "kind"), KINDS.items())
def test_kinds_of_refusal(case: tuple[int, str | None, str], kind: Kind) -> None:
    status, code, message = case
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    assert error_from_reply(HTTPReply(status, {}, body), "openai", 0).kind is kind


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'"text"', b'{"error": "text"}', b'{"detail": [1]}'])
def test_any_body_is_an_error(body: bytes) -> None:
    error = error_from_reply(HTTPReply(500, {"x-request-id": "r"}, body), "openai", 0)
    assert error.kind is Kind.INTERNAL
    assert error.request_id == "r"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 40.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT", "date": "Thu, 01 Jan 1970 00:01:30 GMT"}, 10.0),
        ({"retry-after": "99999999"}, 86400.0),
        ({}, None),
    ],
)
def test_when_to_come_back(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_of(headers, 60.0) == seconds
