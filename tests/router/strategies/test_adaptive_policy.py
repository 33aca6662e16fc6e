"""The values of AdaptivePolicy: each does what it says, and its rule is gone without it."""

from math import inf

import pytest

from tests.router.strategies.world import LATE, World, times_on, warm
from turnout.policies import AdaptivePolicy

PATIENCE = AdaptivePolicy().patience


def test_without_silence_only_answers_count() -> None:
    world = warm("a", "b", policy=AdaptivePolicy(silence=inf))
    usual = world.badness("b")
    world.begin_on("b")
    world.advance(3 * world.group.unary.typical)
    assert world.badness("b") == pytest.approx(usual, rel=0.2)
    # many that are under way for long show in their sum all the same
    for _ in range(20):
        world.begin_on("b")
    world.advance(10 * world.group.unary.typical)
    assert world.badness("b") > 3 * usual


def test_without_an_error_weight_failures_are_left_to_the_breaker() -> None:
    world = warm("a", "b", policy=AdaptivePolicy(error_weight=0.0), enabled=False)
    usual = world.badness("b")
    for _ in range(4):
        world.fail(world.begin_on("b"))
    assert world.badness("b") == pytest.approx(usual, rel=0.05)


def test_without_patience_a_bad_one_is_tried_again_when_its_past_is_forgotten() -> None:
    counts: dict[float, int] = {}
    for patience in (PATIENCE, inf):
        world = warm("a", "b", "c", policy=AdaptivePolicy(patience=patience, look_calls=10**9, forgotten=1e9))
        world.natures["b"].factor = 10.0
        world.run(40, 0.5)
        while world["b"].in_flight:
            world.run(1, 0.5)
        counts[patience] = len(times_on(world, "b", 600))
    assert counts[inf] == 0
    assert counts[PATIENCE] >= 300 / (LATE * PATIENCE) * 0.75


def test_with_a_least_exponent_of_one_load_always_counts_in_full() -> None:
    counts: dict[float, int] = {}
    for least in (AdaptivePolicy().least_exponent, 1.0):
        world = World("quick", "slow", policy=AdaptivePolicy(least_exponent=least))
        world.natures["slow"].factor = 1.4
        world.run(300, 0.2)
        counts[least] = world.run(300, 0.2).count("slow")
    assert counts[1.0] > 90 > 2 * counts[AdaptivePolicy().least_exponent]


def test_with_a_most_exponent_of_next_to_nothing_load_hardly_counts() -> None:
    world = World("quick", "slow", policy=AdaptivePolicy(most_exponent=0.04))
    world.natures["slow"].factor = 1.4
    world.run(300, 0.2)
    world.group.exponent = 1.0
    assert world.run(300, 0.2).count("slow") < 60


@pytest.mark.parametrize(("noise", "answers", "both"), [(2.0, 7.0, True), (2.0, 400.0, False), (0.0, 7.0, False)])
def test_a_difference_within_two_standard_errors_is_none(noise: float, answers: float, both: bool) -> None:
    world = warm("a", "b", policy=AdaptivePolicy(noise=noise))
    world.advance(60.0)
    world.group.spread = 0.15
    for name, ratio in (("a", 1.0), ("b", 1.06)):
        known = world.known(name)
        known.answers, known.ratios, known.updated = answers, answers * ratio, world.time
    found = set()
    for _ in range(40):
        lease = world.begin()
        found.add(lease.deployment.id)
        world.cancel(lease)
    assert found == ({"a", "b"} if both else {"a"})


def test_without_slow_start_who_joins_gets_its_share_at_once() -> None:
    counts: dict[float, int] = {}
    for slow_start in (60.0, 1e-9):
        world = warm("a", "b", policy=AdaptivePolicy(slow_start=slow_start))
        world.join("c")
        world.advance(0.001)
        counts[slow_start] = len(times_on(world, "c", 10))
    assert counts[1e-9] >= 3 > 1 >= counts[60.0]


def test_while_five_calls_hang_at_a_silent_one_the_next_look_waits_twice_as_long() -> None:
    first: dict[int, float] = {}
    for hanging in (2, 4, 5, 8):
        world = warm("a", "b", "c", policy=AdaptivePolicy(look_calls=10**9))
        world.natures["b"].silent = True
        for _ in range(hanging):
            world.begin_on("b")
        world.advance(30.0)
        first[hanging] = 30.0 + times_on(world, "b", 600)[0]
    least, most = PATIENCE / 1.25, LATE * PATIENCE / 0.75 + 1.0
    assert all(least <= first[few] <= most for few in (2, 4))
    assert all(2 * least <= first[many] <= 2 * most for many in (5, 8))
