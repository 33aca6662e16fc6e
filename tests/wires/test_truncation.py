"""A stream cut at any byte ends in one terminal event, or in a typed error; never in silence, never in a hang."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

import turnout
from tests import grammar
from tests.recorded import RESPONSES_WIRE, Recording, Replay, all_recordings, replaying
from tests.wire_answers import Said, answer
from tests.wiring import exchange_of, router_for

TERMINAL = ("response.completed", "response.incomplete", "response.failed")
SAID = Said(text="Hello wörld", thought="hm", signature="c2ln", calls=[("call_1", "look", {"at": "Zürich"})])
OWN = [
    Recording(f"own {api}", api, url, {"model": "m"}, 200, {}, answer(wire, SAID, stream=True), stream=True)
    for api, wire, url in (
        ("anthropic_messages", "anthropic-messages", "https://x/v1/messages"),
        ("bedrock_invoke_anthropic", "invoke", "https://x/model/claude/invoke-with-response-stream"),
        ("gemini_generate", "gemini", "https://x/v1beta/models/gemini-3-pro:streamGenerateContent"),
        ("bedrock_converse_stream", "bedrock-converse", "https://x/model/us.amazon.nova-2-lite-v1:0/converse-stream"),
        ("openai_chat", "openai-chat", "https://x/v1/chat/completions"),
    )
]
RECORDED = [one for one in all_recordings() if one.stream and one.status == 200 and one.api not in RESPONSES_WIRE]


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    with replaying() as running:
        yield running


def cut(recording: Recording, length: int, replay: Replay) -> list[Any] | turnout.TurnoutError:
    """The events of a stream of which only so many bytes arrive, or the error."""
    exchange = exchange_of(recording)
    object.__setattr__(exchange, "content", recording.raw[:length])
    replay.exchange, replay.piece = exchange, 0
    with router_for(recording, replay.url) as router:
        try:
            return list(router.responses("m", "hello", stream=True, timeout=20))
        except turnout.TurnoutError as error:
            return error


def ends_well(recording: Recording, length: int, replay: Replay) -> bool:
    """True if the cut stream ended in one terminal event or a typed error; says what is wrong if not."""
    events = cut(recording, length, replay)
    if isinstance(events, turnout.TurnoutError):
        return isinstance(events, turnout.APIError)
    kinds = [event.type for event in events]
    assert sum(kind in TERMINAL for kind in kinds) == 1
    assert kinds[-1] in TERMINAL
    final = events[-1].response
    told = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert final.output_text == told, "what was delivered stands"
    if kinds != ["response.failed"]:
        grammar.check([event.model_dump(mode="json") for event in events])
    return True


def cuts(recording: Recording, number: int) -> list[int]:
    rng = random.Random(recording.id)
    size = len(recording.raw)
    return sorted({0, 1, size - 1, size - 2, *(rng.randrange(size) for _ in range(number))})


@pytest.mark.parametrize("recording", OWN, ids=[one.id for one in OWN])
def test_every_cut_of_our_own(recording: Recording, replay: Replay) -> None:
    for length in range(0, len(recording.raw), 7 if len(recording.raw) > 1500 else 3):
        assert ends_well(recording, length, replay)


@pytest.mark.parametrize("recording", RECORDED, ids=[one.id for one in RECORDED])
def test_cuts_of_recordings(recording: Recording, replay: Replay) -> None:
    for length in cuts(recording, 10):
        assert ends_well(recording, length, replay)
