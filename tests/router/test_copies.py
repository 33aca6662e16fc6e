"""What a Router returns or raises can be copied and pickled: into a cache, a queue, another process."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from tests.conftest import router_of
from turnout import Router, TurnoutError
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import throttle
from turnout_adapters import errors
from turnout_adapters.types.base import Result

COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {number}": lambda one, number=number: pickle.loads(pickle.dumps(one, number)) for number in (2, 4, 5)},
}


ERRORS = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, TurnoutError)]


class Weather(BaseModel):
    """For `text_format`."""

    city: str


def results(router: Router) -> list[Any]:
    made = router.responses("gpt", "hello", metadata={"a": "b"}, text_format=Weather)
    stream = router.responses("gpt", "and a stream", stream=True, previous_response_id=made.id)
    events = list(stream)
    return [
        made,
        *events,
        router.get_responses(made.id),
        router.list_input_items(made.id),
        router.count_input_tokens("gpt", "hello"),
        router.compact_responses("gpt", "hello"),
        router.delete_responses(made.id),
        router.status(),
        router.explain("gpt", "hello"),
        made.route,
        made.usage,
        made.output,
    ]


@pytest.mark.parametrize("how", COPIES)
def test_results_equal_their_copies(cloud: FakeCloud, how: str) -> None:
    with router_of(cloud, transcripts=True) as router:
        for original in results(router):
            copied = COPIES[how](original)
            assert copied == original, type(original)
            assert type(copied) is type(original)
            assert repr(copied) == repr(original)
            if isinstance(original, Result):
                assert copied.to_dict() == original.to_dict()
                assert copied.about == original.about
                assert copied.about is not original.about or how == "copy"


def test_a_copy_of_a_response_knows_how_it_was_made(cloud: FakeCloud) -> None:
    with router_of(cloud) as router:
        original = router.responses("gpt", "hello", text_format=Weather)
    for how in (*COPIES.values(), lambda one: one.model_copy(), lambda one: one.model_copy(deep=True)):
        copied = how(original)
        assert copied.route == original.route
        assert copied.output_text == original.output_text
        assert (copied.warnings, copied.request_id) == (original.warnings, original.request_id)
        assert copied.about.text_format is Weather
    changed = copy.deepcopy(original)
    changed.about.warnings = ("other",)
    assert changed != original
    assert not original.warnings


def shown(error: BaseException) -> dict[str, Any]:
    return {**vars(error), "text": str(error), "args": error.args}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("kind", ERRORS)
def test_errors_keep_what_they_say(kind: type[TurnoutError], how: str) -> None:
    """Every class of the tree, with everything an error may carry."""
    error = kind("the message")
    for field, value in vars(error).items():
        if value is None:
            setattr(error, field, f"some {field}")
    copied = COPIES[how](error)
    assert type(copied) is kind
    assert shown(copied) == shown(error)


def test_errors_of_real_calls_keep_their_attempts(cloud: FakeCloud) -> None:
    cloud["eastus"].set_fault(throttle({"retry-after": "60"}))
    with router_of(cloud, "eastus", num_retries=0, max_wait=0) as router:
        for call in (
            lambda: router.responses("gpt", "hello"),
            lambda: router.responses("gpt", "hello"),
            lambda: router.responses("no such group", "hello"),
            lambda: router.responses("gpt", "hello", temprature=1),
            lambda: router.get_responses("resp_x"),
        ):
            with pytest.raises(TurnoutError) as caught:
                call()
            for how in COPIES.values():
                copied = how(caught.value)
                assert shown(copied) == shown(caught.value)
