"""Upstreams that answer from their history: they show what is wrong with it, and refuse what the real ones refuse."""

import copy
import json
import random
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsBase
from google.genai import types as google
from openai.types.responses import Response as OpenAIResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tests.router.sim.talking import AnthropicTalk, GeminiTalk, Json, ResponsesTalk, Talk, ask, events
from turnout.sim import anthropic_region, gemini_region
from turnout.sim.account import Account
from turnout.sim.anthropic_region import AnthropicRegion
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import Fault, outage, throttle
from turnout.sim.gemini_region import GeminiRegion
from turnout.sim.history import HistoryRegion
from turnout.sim.stateless import StatelessRegion
from turnout.sim.words import read_answer

OPENAI_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
ANTHROPIC_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
TALKS: dict[str, type[Talk]] = {"responses": ResponsesTalk, "anthropic": AnthropicTalk, "gemini": GeminiTalk}
WIRES = list(TALKS)


@pytest.fixture
def regions() -> Iterator[FakeCloud]:
    """One account on each wire, and another one of each."""
    kinds = (HistoryRegion, AnthropicRegion, GeminiRegion)
    both = [kind(prefix + wire) for wire, kind in zip(WIRES, kinds, strict=True) for prefix in ("", "other ")]
    with FakeCloud(both) as running:
        yield running


def streamed(wire: str, talk: Talk) -> bytes:
    """The answer to a talk's body, as a stream."""
    if wire == "gemini":
        path = talk.path.replace(":generateContent", ":streamGenerateContent?alt=sse")
        status, raw = ask(talk.url, path, talk.body)
    else:
        status, raw = ask(talk.url, talk.path, {**talk.body, "stream": True})
    assert status == 200, raw
    return raw


def told(wire: str, raw: bytes) -> str:
    """The text of a streamed answer, put together from its pieces; checks every piece against the schema."""
    found = events(raw)
    if wire == "responses":
        for number, event in enumerate(found):
            assert OPENAI_EVENT.validate_python(event).sequence_number == number
        return "".join(one["delta"] for one in found if one["type"].endswith(".delta"))
    if wire == "anthropic":
        for event in found:
            if event["type"] != "ping":
                ANTHROPIC_EVENT.validate_python(event)
        deltas = [event["delta"] for event in found if event["type"] == "content_block_delta"]
        return "".join(delta.get("text", "") + delta.get("partial_json", "") for delta in deltas)
    parts: list[Json] = []
    for chunk in found:
        google.GenerateContentResponse.model_validate(chunk)
        parts += chunk["candidates"][0]["content"]["parts"]
    assert found[-1]["candidates"][0]["finishReason"] == "STOP"
    calls = [json.dumps(part["functionCall"]["args"]) for part in parts if "functionCall" in part]
    return "".join([*calls, *(part["text"] for part in parts if "text" in part and not part.get("thought"))])


@pytest.mark.parametrize("wire", WIRES)
def test_answers_follow_the_published_schemas_and_name_the_whole_history(regions: FakeCloud, wire: str) -> None:
    talk = TALKS[wire](regions[wire].url).turns(4, tool_at=2)
    assert len(talk.record) == 10
    assert len(set(talk.record)) == 10
    talk.say("Please look_up ask-000000000001.")
    status, raw = ask(talk.url, talk.path, talk.body)
    assert status == 200
    if wire == "responses":
        OpenAIResponse.model_validate_json(raw)
    elif wire == "anthropic":
        assert Message.model_validate_json(raw).stop_reason == "tool_use"
    else:
        google.GenerateContentResponse.model_validate_json(raw)
    called = read_answer(json.loads(told(wire, streamed(wire, talk)))["note"])
    assert called is not None
    assert called[1] == [*talk.record, "ask-000000000001"]
    assert regions[wire].refused.total() == 0


def test_fields_are_those_of_the_sdks() -> None:
    sampling = {"temperature", "top_p", "top_k"}  # until Opus 4.7; no longer among the SDK's types
    beta = {"stream", "mcp_servers", "context_management"}
    assert anthropic_region.FIELDS - sampling - beta == set(MessageCreateParamsBase.__annotations__)
    aliases = {one.alias for one in google.Part.model_fields.values()} | {"text", "thought"}
    assert aliases >= gemini_region.PART_FIELDS


# --- what is wrong shows in the next answer


def turns_of(wire: str, body: Json) -> list[Any]:
    return body[{"responses": "input", "anthropic": "messages", "gemini": "contents"}[wire]]


def say_again(talk: Talk) -> list[str]:
    """What the upstream says it was given, with one more question."""
    talk.say("Well, ask-00000000000f.")
    status, raw = ask(talk.url, talk.path, talk.body)
    assert status == 200, raw
    text, _ = talk.take(json.loads(raw))
    read = read_answer(text)
    assert read is not None
    return read[1][:-1]


@pytest.mark.parametrize("wire", WIRES)
def test_a_lost_doubled_moved_or_foreign_turn_is_seen_at_once(regions: FakeCloud, wire: str) -> None:
    talk = TALKS[wire](regions[wire].url).turns(3)
    size = len(turns_of(wire, talk.body)) // 3  # items of a turn: the question and what answers it
    first, second, third = talk.record[:2], talk.record[2:4], talk.record[4:]
    cases: list[tuple[Callable[[list[Any]], list[Any]], list[str]]] = [
        (lambda turns: turns, first + second + third),
        (lambda turns: turns[:size] + turns[2 * size :], first + third),
        (lambda turns: turns[size : 2 * size] + turns[:size] + turns[2 * size :], second + first + third),
    ]
    if wire != "responses":  # there, an item with an id cannot be given twice
        cases.append((lambda turns: turns[:size] + turns, first + first + second + third))
    for change, expected in cases:
        changed = copy.deepcopy(talk)
        turns = turns_of(wire, changed.body)
        turns[:] = change(turns)
        assert say_again(changed) == expected
    foreign = copy.deepcopy(talk)
    turns_of(wire, foreign.body)[0] = json.loads(
        json.dumps(turns_of(wire, talk.body)[0]).replace(talk.record[0], "no word")
    )
    assert say_again(foreign)[0] == "?"


def test_a_chain_is_the_history_of_a_response(regions: FakeCloud) -> None:
    url = regions["responses"].url
    said: list[str] = []
    previous: str | None = None
    for number in range(3):
        body = {"input": f"Well, ask-{number:012x}.", "previous_response_id": previous, "reasoning": {"effort": "low"}}
        made = json.loads(ask(url, "/v1/responses", body)[1])
        read = read_answer(made["output"][-1]["content"][0]["text"])
        assert read is not None
        assert read[1] == [*said, f"ask-{number:012x}"]
        said += [f"ask-{number:012x}", read[0]]
        previous = made["id"]


# --- what is refused

Change = Callable[[Json, Json], Any]
"""Spoils a body; the second one is of a talk with another account."""


def at(body: Json, wire: str, kind: str) -> Json:
    """The first item, block or part of a kind."""
    found: list[Json] = []
    for turn in turns_of(wire, body):
        found += {"responses": [turn], "anthropic": turn.get("content"), "gemini": turn.get("parts")}[wire]
    return next(one for one in found if kind in (one.get("type"), one.get("role")) or kind in one)


def put(kind: str, **fields: Any) -> Callable[[str], Change]:
    return lambda wire: lambda body, other: at(body, wire, kind).update(fields)


def become(kind: str, **fields: Any) -> Callable[[str], Change]:
    def changed(wire: str) -> Change:
        def change(body: Json, other: Json) -> None:
            one = at(body, wire, kind)
            one.clear()
            one.update(fields)

        return change

    return changed


def steal(kind: str, field: str) -> Callable[[str], Change]:
    """The same field of the other account's."""
    return lambda wire: lambda body, other: at(body, wire, kind).update({field: at(other, wire, kind)[field]})


def drop(kind: str) -> Callable[[str], Change]:
    """The turn that has the kind is left out."""

    def changed(wire: str) -> Change:
        def change(body: Json, other: Json) -> None:
            turns = turns_of(wire, body)
            turns.remove(next(one for one in turns if kind in json.dumps(one)))

        return change

    return changed


def body_with(**fields: Any) -> Callable[[str], Change]:
    return lambda wire: lambda body, other: body.update(fields)


def mention(wire: str) -> Change:
    """An id of the other account, somewhere in the body."""
    return lambda body, other: body.update(metadata={"user_id": f"see {at(other, wire, 'assistant')['id']}"})


def doubled(wire: str) -> Change:
    return lambda body, other: turns_of(wire, body).insert(0, copy.deepcopy(at(body, wire, "function_call")))


def alone(wire: str) -> Change:
    """Reasoning at the end, without what it led to."""
    return lambda body, other: turns_of(wire, body).append({**at(body, wire, "reasoning"), "id": None})


def without_first(wire: str) -> Change:
    return lambda body, other: turns_of(wire, body).pop(0)


def unsigned(wire: str) -> Change:
    """The running turn's call has lost its signature."""

    def change(body: Json, other: Json) -> None:
        turns = turns_of(wire, body)
        del turns[next(i for i, one in enumerate(turns) if "functionResponse" in json.dumps(one)) + 1 :]
        at(body, wire, "functionCall").pop("thoughtSignature")

    return change


def thoughtless(wire: str) -> Change:
    """The running turn's call has lost its thinking."""

    def change(body: Json, other: Json) -> None:
        turns = turns_of(wire, body)
        place = next(i for i, one in enumerate(turns) if "tool_result" in json.dumps(one))
        del turns[place + 1 :]
        turns[place - 1]["content"].pop(0)

    return change


REFUSED: list[tuple[str, str, bool, Callable[[str], Change]]] = [
    ("responses", "foreign id", True, put("function_call", id="fc_0000000000000001")),
    ("responses", "foreign id", True, steal("reasoning", "id")),
    ("responses", "foreign id", True, mention),
    ("responses", "foreign id", True, body_with(metadata={"about": "msg_tn_0123456789"})),
    ("responses", "foreign reasoning", True, steal("reasoning", "encrypted_content")),
    ("responses", "foreign reasoning", True, put("reasoning", encrypted_content="gAAAAA")),
    ("responses", "not stored", False, put("reasoning", encrypted_content=None)),
    ("responses", "reasoning alone", False, alone),
    ("responses", "orphaned result", False, put("function_call_output", call_id="call_none")),
    ("responses", "call without result", False, drop("function_call_output")),
    ("responses", "given twice", False, doubled),
    ("responses", "empty", False, body_with(input=[])),
    ("responses", "role", False, put("user", role="model")),
    ("responses", "role", False, put("user", content=[{"type": "output_text", "text": "ask-000000000001"}])),
    ("responses", "unknown item", False, put("user", type="item_of_another_wire")),
    ("anthropic", "foreign id", True, body_with(metadata={"user_id": "resp_0123456789abcdef"})),
    ("anthropic", "foreign reasoning", True, steal("thinking", "signature")),
    ("anthropic", "foreign reasoning", True, put("thinking", signature="")),
    ("anthropic", "foreign reasoning", True, put("thinking", type="redacted_thinking", data="turnout")),
    ("anthropic", "thinking missing", False, thoughtless),
    ("anthropic", "orphaned result", False, put("tool_result", tool_use_id="toolu_1")),
    ("anthropic", "call without result", False, become("tool_result", type="text", text="ask-000000000001")),
    ("anthropic", "role", False, without_first),
    ("anthropic", "role", False, drop("tool_use\"")),
    ("anthropic", "role", False, put("tool_use", type="tool_result")),
    ("anthropic", "unknown field", False, body_with(store=True)),
    ("anthropic", "unknown field", False, body_with(previous_response_id=None)),
    ("anthropic", "unknown field", False, put("tool_use", status="completed")),
    ("anthropic", "empty", False, put("text", text=" ")),
    ("anthropic", "required", False, lambda wire: lambda body, other: body.pop("max_tokens")),
    ("anthropic", "budget", False, body_with(thinking={"type": "enabled", "budget_tokens": 8000})),
    ("anthropic", "forced", False, body_with(tool_choice={"type": "any"})),
    ("gemini", "foreign id", True, put("text", text="ask-000000000001, as rs_0123456789 says")),
    ("gemini", "foreign reasoning", True, steal("functionCall", "thoughtSignature")),
    ("gemini", "foreign reasoning", True, put("functionCall", thoughtSignature="c2lnbmVk")),
    ("gemini", "unsigned call", False, unsigned),
    ("gemini", "orphaned result", False, become("functionCall", text="say")),
    ("gemini", "call without result", False, become("functionResponse", text="got")),
    ("gemini", "role", False, without_first),
    ("gemini", "role", False, lambda wire: lambda body, other: body["contents"][1].update(role="assistant")),
    ("gemini", "unknown field", False, body_with(store=True)),
    ("gemini", "unknown field", False, put("functionCall", encrypted_content="x")),
    ("gemini", "empty", False, lambda wire: lambda body, other: body["contents"][1].update(parts=[])),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "rule", "foreign", "spoil"), REFUSED, ids=[f"{w}-{r}" for w, r, _, _ in REFUSED])
def test_what_the_real_ones_refuse_is_refused(
    regions: FakeCloud, wire: str, rule: str, foreign: bool, spoil: Callable[[str], Change]
) -> None:
    region = regions[wire]
    talk = TALKS[wire](region.url).turns(2, tool_at=1)
    other = TALKS[wire](regions[f"other {wire}"].url).turns(2, tool_at=1)
    talk.say("Well, ask-00000000000f.")
    assert ask(talk.url, talk.path, talk.body)[0] == 200
    spoil(wire)(talk.body, other.body)
    status, raw = ask(talk.url, talk.path, talk.body)
    assert status == 400, raw
    assert json.loads(raw)["error"]["message"]
    assert dict(region.refused) == {rule: 1}
    assert region.foreign_ids == foreign


def test_state_of_another_account_or_that_was_not_stored_is_refused(regions: FakeCloud) -> None:
    here, there = regions["responses"], regions["other responses"]

    def say(url: str, **more: Any) -> tuple[int, Json]:
        status, raw = ask(url, "/v1/responses", {"input": "Well, ask-000000000001.", **more})
        return status, json.loads(raw)

    theirs, unstored = say(there.url)[1], say(here.url, store=False)[1]
    for previous in (theirs, unstored):
        status, body = say(here.url, previous_response_id=previous["id"])
        assert (status, body["error"]["code"]) == (400, "previous_response_not_found")
    assert (here.foreign_ids, dict(here.refused)) == (1, {"not stored": 1})


def test_an_account_opens_only_what_it_sealed() -> None:
    mine, yours = Account("mine", random.Random(1)), Account("yours", random.Random(1))
    sealed = mine.seal()
    assert mine.opens(sealed)
    assert not yours.opens(sealed)
    for other in (sealed[:-4], sealed[4:], "", "not base64!", None, sealed.swapcase()):
        assert not mine.opens(other)


def test_headers_and_paths_are_checked(regions: FakeCloud) -> None:
    for wire in ("anthropic", "gemini"):
        region, talk = regions[wire], TALKS[wire](regions[wire].url)
        assert isinstance(region, StatelessRegion)
        talk.say("Well, ask-000000000001.")
        assert ask(talk.url, "/v1/responses", talk.body)[0] == 404
        region.api_keys = {"right"}
        assert ask(talk.url, talk.path, talk.body)[0] == 401
        assert ask(talk.url, talk.path, talk.body, **{region.key_header: "right"})[0] == 200
    request = b"POST /v1/messages HTTP/1.1\r\nx-api-key: right\r\ncontent-length: 2\r\n\r\n{}"
    with socket.create_connection(("127.0.0.1", int(regions["anthropic"].url.rpartition(":")[2])), 5) as client:
        client.sendall(request)
        assert b"anthropic-version: header is required" in client.recv(4096)


# --- faults


@pytest.mark.parametrize("wire", WIRES)
def test_faults_have_the_form_of_the_wire(regions: FakeCloud, wire: str) -> None:
    region, talk = regions[wire], TALKS[wire](regions[wire].url)
    talk.say("Well, ask-000000000001.")
    codes = {
        "responses": ({"code": "rate_limit_exceeded"}, {"code": "server_error"}),
        "anthropic": ({"type": "rate_limit_error"}, {"type": "api_error"}),
        "gemini": ({"status": "RESOURCE_EXHAUSTED"}, {"status": "UNAVAILABLE"}),
    }[wire]
    for fault, status, code in ((throttle({"retry-after": "3"}), 429, codes[0]), (outage(503), 503, codes[1])):
        region.set_fault(fault)
        found, raw = ask(talk.url, talk.path, talk.body)
        assert found == status
        assert code.items() <= json.loads(raw)["error"].items()
    region.set_fault(Fault("error_event", events=3))
    last = events(streamed(wire, talk))[-1]
    assert "overloaded" in json.dumps(last).lower() or "server had an error" in json.dumps(last)
    assert "error" in last
    region.set_fault(Fault("cut", events=4))
    with pytest.raises(Exception, match=r"IncompleteRead|reset"):
        streamed(wire, talk)
    region.set_fault(Fault("black_hole"))
    with pytest.raises(OSError, match="timed out"):
        urlopen_briefly(talk)
    region.set_fault(None)
    regions.kill(wire)
    with pytest.raises(OSError, match="refused"):
        ask(talk.url, talk.path, talk.body)
    regions.revive(wire)
    assert ask(talk.url, talk.path, talk.body)[0] == 200


def urlopen_briefly(talk: Talk) -> None:
    with socket.create_connection(("127.0.0.1", int(talk.url.rpartition(":")[2])), 5) as client:
        client.settimeout(0.2)
        client.sendall(f"POST {talk.path} HTTP/1.1\r\ncontent-length: 2\r\n\r\n{{}}".encode())
        client.recv(1)
