"""Whatever a caller passes, in whatever place: an answer or a typed error, and nobody else pays for it."""

import asyncio
import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import in_flight
from tests.servers import Answer, Asked, serving
from turnout import Router, TurnoutError
from turnout.calls import OPTIONS
from turnout_adapters.types.request import CREATE_PARAMS

HUGE = -(10**5_000)
DEEP: list[Any] = []
for _ in range(5_000):
    DEEP = [DEEP]
ROUND: dict[str, Any] = {"role": "user"}
ROUND["content"] = [ROUND]


class Rude(str):
    """A string that refuses to be looked at."""

    __slots__ = ()

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


class RudeDict(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        raise RuntimeError("no")

    __iter__ = keys = values = items


SCALARS = [
    None, True, False, 0, -1, 1.5, 10**30, 10**400, HUGE, math.nan, math.inf, -math.inf, 1e300, 1e-300, "",
    "text", "\ud800", "a\0b", "x" * 10_000, b"\xff\xfe", {1, 2}, object(), int, len, Rude("x"), RudeDict(a=1), DEEP,
    ROUND, (1, 2), range(3), [None], [ROUND], {"type": ["message"]}, {"role": 5, "content": {}},
    [{"type": "function_call"}],
]  # fmt: skip
PRINTABLE = [one for one in SCALARS if not isinstance(one, Rude | RudeDict) and one is not DEEP and one != HUGE]
"""What hypothesis can show, should it fail."""
KEYS = ["type", "role", "content", "text", "id", "name", "input", "\udfff", "x"]
CHECKS = ["session_affinity", "prompt_caching", "context_window", "tags"]
VALUES = st.recursive(
    st.sampled_from(PRINTABLE) | st.text(max_size=5) | st.integers() | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "role", "content", "text", "id", "name", "input", "\udfff", "x"]), inner
        )
    ),
    max_leaves=6,
)
NAMES = sorted({*CREATE_PARAMS, *OPTIONS, "input"} - {"stream"})
WIRES = {"native": "openai/gpt-4o", "claude": "anthropic/claude-x", "gemini": "gemini/gemini-2.5-pro"}


def answer(asked: Asked) -> Answer:
    """A good one, whichever wire asks; nothing in it depends on the question."""
    if "/messages" in asked.path:
        text = [{"type": "text", "text": "hi"}]
        body: Any = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": text}
        body |= {"stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}
    elif ":generateContent" in asked.path:
        content = {"role": "model", "parts": [{"text": "hi"}]}
        body = {"candidates": [{"content": content, "finishReason": "STOP"}], "responseId": "r"}
    else:
        body = {"id": "resp_" + "0" * 32, "object": "response", "status": "completed", "output": [], "created_at": 1}
    return Answer(body=body)


@pytest.fixture(params=WIRES, scope="module")
def router(request: pytest.FixtureRequest) -> Iterator[Router]:
    with serving(answer) as server:
        params = {"model": WIRES[request.param], "api_base": server.url, "api_key": "key-of-mine", "rpm": 10**6}
        row = {"model_name": "g", "litellm_params": params, "model_info": {"id": "one"}}
        with Router([row], transcripts=True, optional_pre_call_checks=CHECKS, drop_params=True, max_wait=0) as made:
            yield made


def harmless(router: Router, given: dict[str, Any]) -> None:
    """The call ends well or in an error of ours, and the deployment is as it was."""
    given = {"input": "hello", **given, "num_retries": 0} if "num_retries" not in given else {"input": "hello", **given}
    for call in (lambda: router.responses("g", **given), lambda: asyncio.run(router.aresponses("g", **given))):
        try:
            call()
        except TurnoutError as error:
            assert f"{error}{error.message}".encode()  # a log in UTF-8 can hold it
    (one,) = router.status()
    assert (one.in_flight, one.state, one.consecutive_failures, one.success_rate) == (0, "ready", 0, 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_any_odd_value_of_any_keyword(router: Router, name: str) -> None:
    for value in SCALARS:
        harmless(router, {name: value})
    assert in_flight(router) == 0


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3))
def test_any_values_together(router: Router, given: dict[str, Any]) -> None:
    harmless(router, given)


@pytest.mark.parametrize("value", SCALARS, ids=lambda one: type(one).__name__)
def test_any_model_and_any_id(router: Router, value: Any) -> None:
    for call in (
        lambda: router.responses(value, "hello"),
        lambda: router.get_responses(value),
        lambda: router.delete_responses(value, whole_chain=value),
        lambda: router.list_input_items(value, limit=value, after=value, order=value),
        lambda: router.count_input_tokens("g", value),
        lambda: router.compact_responses("g", value),
        lambda: router.explain("g", value),
        lambda: router.conversations.create(items=value, metadata=value),
        lambda: router.conversations.get(value),
    ):
        try:
            call()
        except TurnoutError:
            continue
    assert in_flight(router) == 0


def test_who_gives_no_time_benches_nobody() -> None:
    """Five timeouts in a row open a breaker, but not those of a caller who would not wait a second."""

    def slow(asked: Asked) -> Answer:
        time.sleep(0.02)
        return answer(asked)

    with serving(slow) as server:
        row = {"model_name": "g", "litellm_params": {"model": "openai/x", "api_base": server.url, "api_key": "mine"}}
        with Router([row], routing_strategy="simple-shuffle", num_retries=0) as router:
            for given in ({"timeout": 0.005}, {"attempt_timeout": 0.005}):
                for _ in range(8):
                    with pytest.raises(TurnoutError):
                        router.responses("g", "hello", **given)
            (one,) = router.status()
            assert (one.state, one.consecutive_failures) == ("ready", 0)
            assert router.responses("g", "hello", timeout=5).status == "completed"
