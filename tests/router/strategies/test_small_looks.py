"""Which call finds out whether a bad deployment still is: a small one, if one comes in time."""

from itertools import pairwise
from math import inf

import pytest

from tests.router.strategies.world import LATE, PASSED, SMALL, TOKENS, World, warm
from turnout.policies import AdaptivePolicy

PATIENCE = AdaptivePolicy().patience


def looks_of(world: World, calls: int, every: float, *, nth: int) -> list[tuple[float, bool]]:
    """When calls went to "b", and if they were small; of all calls each nth is."""
    found: list[tuple[float, bool]] = []
    for number in range(calls):
        small = number % nth == 0
        if world.call(small=small) == "b":
            found.append((world.time, small))
        world.advance(every)
    return found


def slow_world(policy: AdaptivePolicy | None = None) -> World:
    """One of three has been ten times as slow for a minute."""
    world = warm("a", "b", "c", policy=policy)
    world.natures["b"].factor = 10.0
    world.run(120, 0.5)
    return world


def test_looks_are_made_by_small_calls() -> None:
    looks = looks_of(slow_world(), 2400, 0.5, nth=8)
    assert len(looks) > 10
    assert all(small for _, small in looks)


def test_any_call_will_do_where_small_is_anything() -> None:
    looks = looks_of(slow_world(AdaptivePolicy(small=inf)), 2400, 0.5, nth=8)
    assert len(looks) > 10
    assert sum(small for _, small in looks) < len(looks) / 2


@pytest.mark.parametrize("every", [2.0, 0.4])
def test_a_small_call_is_waited_for_so_long_and_no_longer(every: float) -> None:
    """At a call in two seconds for 15 % of the time, at more of them for twenty calls."""
    looks = [at for at, _ in looks_of(slow_world(), int(1200 / every), every, nth=10**9)]
    between = [after - before for before, after in pairwise(looks)]
    least, most = PATIENCE / 1.25, PATIENCE / 0.75
    late = (PASSED + 1) * every
    assert len(between) > 8
    assert all(min(LATE * least, least + late) - every <= seconds for seconds in between)
    assert all(seconds <= min(LATE * most, most + late) + every for seconds in between)


@pytest.mark.parametrize(("tokens", "looks"), [((1, 100_000), True), ((100_000, 1), False)])
def test_of_streams_only_the_input_counts(tokens: tuple[int, int], looks: bool) -> None:
    """Their time is that until the first output."""
    world = World("a", "b", "c")
    for number in range(300):
        size = (500 if number % 2 else 20_000, 200)
        lease = world.begin(stream=True, tokens=size)
        world.advance((0.1 + size[0] / 10_000) * (10.0 if lease.deployment.id == "b" else 1.0))
        world.first_output(lease)
        world.answer(lease, size)
    known = world.known("b")
    assert world.badness("b") > AdaptivePolicy().bad
    known.tried, known.eagerness = world.time - 1.01 * PATIENCE, 1.0
    assert (world.begin(stream=True, tokens=tokens).deployment.id == "b") is looks


def rested(part: float, *others: str) -> World:
    """The breaker of "b" has opened, and so much of its pause is over."""
    world = warm("b", *others)
    while world["b"].health.open_until is None:
        world.fail(world.begin_on("b"))
    world.advance(part * (world["b"].health.open_until - world.time))
    return world


@pytest.mark.parametrize("part", [1.01, 1.14])
def test_a_probe_is_a_small_call_too(part: float) -> None:
    world = rested(part, "a", "c")
    assert all(world.begin(tokens=TOKENS).deployment.id != "b" for _ in range(5))
    assert world.begin(tokens=SMALL).deployment.id == "b"


def test_a_probe_waits_for_a_small_call_so_long_and_no_longer() -> None:
    assert rested(LATE + 0.01, "a", "c").begin(tokens=TOKENS).deployment.id == "b"


def test_a_probe_waits_for_so_many_calls_and_no_more() -> None:
    world = rested(1.01, "a", "c")
    assert all(world.begin(tokens=TOKENS).deployment.id != "b" for _ in range(PASSED))
    assert world.begin(tokens=TOKENS).deployment.id == "b"


def test_where_nobody_else_is_left_any_call_probes() -> None:
    assert rested(1.01).begin(tokens=TOKENS).deployment.id == "b"
