"""`adaptive`: where calls go among deployments that are alike, slow, silent, faulty, crowded and new."""

from collections import Counter
from itertools import pairwise

import pytest

from tests.router.strategies.world import LATE, SECONDS, World, times_on, warm
from turnout.context import AffinityKey, Observation
from turnout.engine.preference import in_order
from turnout.policies import AdaptivePolicy

PATIENCE, SLOW_START = AdaptivePolicy().patience, AdaptivePolicy().slow_start


# Among equals


def test_calls_under_way_are_shared_evenly() -> None:
    world = World("a", "b", "c")
    for places in (world.run(600, 0.05), world.run(600, 0.05)):
        assert max(Counter(places).values()) < 1.2 * min(Counter(places).values())
    carried = [world[name].in_flight for name in "abc"]
    assert sum(carried) > 60
    assert max(carried) - min(carried) <= 10


def test_calls_at_once_go_round() -> None:
    """Not even two of six calls go to one of six deployments, before anything is known of any."""
    world = World(*"abcdef")
    for _ in range(4):
        assert sorted(world.begin().deployment.id for _ in range(6)) == list("abcdef")


def test_calls_under_way_are_shared_by_weight() -> None:
    world = World()
    for name, weight in (("a", 1.0), ("b", 2.0), ("c", 4.0), ("d", 0.0)):
        world.join(name, weight=weight)
    for _ in range(3):
        leases = [world.begin() for _ in range(70)]
        assert Counter(lease.deployment.id for lease in leases) == {"a": 10, "b": 20, "c": 40}
        for lease in leases:
            world.cancel(lease)
    counts = Counter(world.run(2100, 0.05))
    assert counts["d"] == 0, "what has no weight is there for want of any other"
    assert counts["a"] < counts["b"] < counts["c"]


def test_equals_without_any_load_are_drawn_by_chance() -> None:
    counts = Counter(World("a", "b", "c").alone(600))
    assert all(120 < counts[name] < 280 for name in "abc"), counts


# Faster and slower


@pytest.mark.parametrize("factor", [1.4, 1.8])
def test_the_faster_one_gets_nearly_all_calls_while_load_does_not_matter(factor: float) -> None:
    world = World("quick", "slow")
    world.natures["slow"].factor = factor
    counts = Counter(world.alone(400))
    assert counts["quick"] > 0.9 * 400
    assert counts["slow"] >= 5, "it stays tried"


def test_the_slower_one_is_found_out_when_it_gets_faster() -> None:
    world = World("quick", "slow")
    world.natures["slow"].factor = 1.8
    assert Counter(world.alone(200))["slow"] < 20
    world.natures["slow"].factor = 0.4
    assert Counter(world.alone(300))["slow"] > 150


def test_one_ten_times_as_slow_is_left_after_a_few_calls_and_tried_once_per_patience() -> None:
    world = warm("a", "b", "c")
    world.natures["b"].factor = 10.0
    at = times_on(world, "b", 1200)
    first = [one for one in at if one < 10.0]
    later = [one for one in at if one >= 10.0]
    assert len(first) <= 6
    least, most = PATIENCE / 1.25, LATE * PATIENCE / 0.75
    assert 600 / most - 1 <= len(later) <= 600 / least
    assert all(least <= after - before <= most + 0.5 for before, after in pairwise(later))
    assert len({round(after - before) for before, after in pairwise(later)}) > 4, "by chance sooner or later"
    assert world["b"].health.failures == 0, "no call has failed"


@pytest.mark.parametrize("every", [0.1, 0.01])
def test_what_looking_costs_is_a_share_of_the_calls(every: float) -> None:
    policy = AdaptivePolicy()
    world = warm("a", "b", "c")
    world.natures["b"].factor = 10.0
    times_on(world, "b", int(20.0 / every), every)
    looks = times_on(world, "b", int(300.0 / every), every)
    between = max(policy.look_calls * every, policy.least_patience)
    assert len(looks) == pytest.approx(300.0 / between, rel=0.2, abs=2)


def test_many_bad_ones_share_the_looks_of_two() -> None:
    looks: dict[int, int] = {}
    for bad in (2, 6):
        names = [f"bad{number}" for number in range(bad)]
        world = warm("a", "b", *names)
        for name in names:
            world.natures[name].factor = 10.0
        world.run(200, 0.5)
        looks[bad] = sum(name in names for name in world.run(2400, 0.5))
    assert looks[2] == pytest.approx(2 * 1200 / (LATE * PATIENCE), rel=0.2)
    assert looks[6] < 1.75 * looks[2], "three times as long makes up for most of it, though some are forgotten by then"


def test_answers_to_calls_from_its_bad_time_say_nothing_once_it_is_good_again() -> None:
    world = warm("a", "b", "c")
    world.natures["b"].factor = 10.0
    world.run(100, 0.5)
    late = [world.begin_on("b") for _ in range(3)]
    world.advance(40.0)
    world.natures["b"].factor = 1.0
    good = world.begin_on("b")
    assert world.badness("b") > 1.5
    world.advance(4.5)
    world.answer(good)
    badness = world.badness("b")
    assert badness < 1.5, "nor does it count that they have been under way for long"
    world.answer(late[0])
    world.fail(late[1])
    assert world.badness("b") == badness
    world.advance(30.0)
    assert world.badness("b") < 1.5 * world.badness("a")


def test_one_good_answer_brings_it_back_with_a_slow_start() -> None:
    world = warm("a", "b", "c")
    world.natures["b"].factor = 6.0
    times_on(world, "b", 200)
    while world["b"].in_flight == 0:
        world.run(1, 0.5)
    while world["b"].in_flight:  # the last slow answer comes well before the next try
        world.run(1, 0.5)
    world.natures["b"].factor = 1.0
    tried, answered, *_ = at = times_on(world, "b", 400)
    assert tried <= PATIENCE / 0.75
    assert answered - tried < 20.0, "it is in use again as soon as it has answered, not after another pause"
    early = sum(answered <= one < answered + SLOW_START / 2 for one in at)
    usual = sum(answered + SLOW_START <= one < answered + SLOW_START + 60.0 for one in at)
    assert early <= 5 < 20 <= usual
    assert usual == pytest.approx(120 / 3, rel=0.35)


def test_an_answer_that_is_nearer_to_the_usual_time_than_to_its_own_forgives() -> None:
    """Three times as long as usual is good news of one that took ten times as long, and of one that took four none."""
    for factor, forgiven in ((10.0, True), (4.0, False)):
        world = warm("a", "b", "c")
        world.advance(20.0)
        known = world.known("b")
        known.answers, known.ratios, known.updated = 20.0, 20.0 * factor, world.time
        lease = world.begin_on("b")
        world.advance(SECONDS * 2.8)
        world.answer(lease)
        assert (known.good_since == lease.started) is forgiven
        assert (world.badness("b") < 3.0) is forgiven


def test_an_answer_of_one_that_is_a_little_slow_forgives_only_if_it_is_nearer_to_the_usual_time() -> None:
    """Of one that takes 1.8 times as long every fourth answer takes less than 1.5 times as long, by luck."""
    for ratio, forgiven in ((1.45, False), (1.2, True)):
        world = warm("a", "b", "c")
        world.advance(20.0)
        known = world.known("b")
        known.answers, known.ratios, known.updated = 20.0, 20.0 * 1.8, world.time
        lease = world.begin_on("b")
        world.advance(SECONDS * ratio)
        world.answer(lease)
        assert (known.good_since == lease.started) is forgiven


def test_a_good_answer_forgives_however_long_ago_the_bad_ones_were() -> None:
    """What is old counts less for the next call; but once it is answered, what it brings is the new and the old."""
    world = warm("a", "b", "c")
    world.advance(20.0)
    known = world.known("b")
    known.answers, known.ratios, known.updated = 25.0, 25.0 * 3.5, world.time
    world.advance(150.0)
    assert world.badness("b") < 1.5
    lease = world.begin_on("b")
    world.advance(SECONDS)
    world.answer(lease)
    assert known.good_since == lease.started
    assert world.badness("b") == pytest.approx(1.0, abs=0.2)


def test_a_quick_answer_that_began_before_the_last_failure_forgives_nothing() -> None:
    world = warm("a", "b", enabled=False)
    early = world.begin_on("b")
    world.advance(1.0)
    for _ in range(6):
        world.fail(world.begin_on("b"))
    bad = world.badness("b")
    assert bad > 5.0
    world.advance(2.0)
    world.answer(early)
    assert world.badness("b") > 0.8 * bad
    assert world["b"].health.failures == 6
    late = world.begin_on("b")
    world.advance(3.0)
    world.answer(late)
    assert world.badness("b") == pytest.approx(world.badness("a"), rel=0.3)
    assert world.known("b").failures == 0.0


# Silence


def test_a_silent_one_is_left_before_any_call_has_failed() -> None:
    world = warm("a", "b", "c")
    world.natures["b"].silent = True
    at = times_on(world, "b", 200)
    assert len([one for one in at if one < 15.0]) <= 6
    assert len([one for one in at if one >= 15.0]) <= 100 / PATIENCE
    assert world["b"].health.failures == 0
    assert world.known("b").failures == 0.0
    assert world.badness("b") > 100.0


def test_an_answer_that_is_about_due_is_no_silence_and_one_that_is_long_overdue_is() -> None:
    world = warm("a", "b")
    world.advance(60.0)
    world.begin_on("a")
    world.advance(world.group.unary.typical)
    assert world.badness("a") == pytest.approx(world.badness("b"), rel=0.1)
    world.advance(3 * world.group.unary.typical)
    assert world.badness("a") > 3 * world.badness("b")


def test_all_that_are_silent_alike_still_get_calls() -> None:
    world = warm("a", "b")
    for name in "ab":
        world.natures[name].silent = True
    counts = Counter(world.run(60, 0.5))
    assert min(counts.values()) > 10


def test_streams_are_judged_by_their_first_output() -> None:
    """How long they are read afterwards is their caller's affair."""
    world, counts = World("a", "b", "c"), Counter[str]()
    for _ in range(300):
        lease = world.begin(stream=True)
        counts[lease.deployment.id] += 1
        world.advance(0.6 if lease.deployment.id == "a" else 0.2)
        world.first_output(lease)
        world.advance(5.0 if lease.deployment.id == "b" else 0.5)
        world.answer(lease)
    assert (world.group.streamed.fit.samples, world.group.unary.fit.samples) == (300, 0)
    assert counts["a"] < 0.15 * 300
    assert counts["b"] == pytest.approx(counts["c"], rel=0.3)


def test_a_stream_that_is_still_read_is_not_overdue_and_one_that_has_not_begun_is() -> None:
    world = World("a", "b")
    for _ in range(60):
        lease = world.begin(stream=True)
        world.advance(0.3)
        world.first_output(lease)
        world.answer(lease)
    for name in "ab":
        for _ in range(4):
            lease = world.begin_on(name, stream=True)
            if name == "a":
                world.first_output(lease)
    world.advance(20.0)
    assert world.known("a").streamed.count == 0
    assert world["a"].in_flight == world["b"].in_flight == 4
    assert world.badness("a") < 1.5
    assert world.badness("b") > 100.0


# Failures


def test_failures_in_a_row_multiply() -> None:
    world = warm("a", "b", enabled=False)
    usual = world.badness("b")
    seen: list[float] = []
    for _ in range(4):
        world.fail(world.begin_on("b"))
        seen.append(world.badness("b") / usual)
    rates = [one / (number + 1) for number, one in enumerate(seen)]
    assert rates == sorted(rates)
    assert seen[3] > 4.0
    assert seen[3] > 3 * seen[0]
    assert {world.begin().deployment.id for _ in range(5)} == {"a"}


def test_an_answer_after_a_single_failure_forgives_nothing_and_after_a_row_it_does() -> None:
    for row, forgiven in ((1, False), (3, True)):
        world = warm("a", "b", enabled=False)
        world.advance(30.0)
        known = world.known("b")
        known.failures, known.attempts = 3.0, 10.0
        for _ in range(row):
            world.advance(0.1)
            world.fail(world.begin_on("b"))
        assert world.badness("b") > 1.5
        world.advance(0.1)
        lease = world.begin_on("b")
        world.advance(SECONDS)
        world.answer(lease)
        assert (known.good_since == lease.started) is forgiven


def test_a_brown_out_costs_a_deployment_most_of_its_calls() -> None:
    world = World("a", "b", enabled=False)
    world.natures["b"].errors = 0.2
    world.run(200, 0.5)
    assert Counter(world.run(600, 0.5))["b"] < 0.2 * 600


def test_callers_mistakes_and_throttles_are_no_failures() -> None:
    world = warm("a", "b")
    for outcome in ("caller", "throttle", "cancelled", None):
        before = world.badness("a")
        lease = world.begin_on("a")
        seen = Observation(lease.started, world.time, outcome, token=lease.token)  # type: ignore[arg-type]
        world.fleet.release(lease, world.time, None, None, seen)
        assert world.badness("a") == pytest.approx(before, rel=0.01), outcome
    assert world.known("a").failures == 0.0


# Who joins


def test_who_joins_starts_slowly() -> None:
    world = warm("a", "b")
    world.join("c")
    at = times_on(world, "c", 120)
    assert len([one for one in at if one < SLOW_START / 2]) <= 4
    assert len([one for one in at if one >= SLOW_START]) == pytest.approx((60.0 - SLOW_START) * 2 / 3, rel=0.35)


def test_where_nobody_has_answered_yet_nobody_starts_slowly() -> None:
    world = World("a")
    world.cancel(world.begin())
    world.advance(SLOW_START / 2)
    world.join("b")
    assert Counter(world.begin().deployment.id for _ in range(6)) == {"a": 3, "b": 3}


# Load


def test_the_exponent_grows_where_load_slows_answers_down() -> None:
    found: dict[float, float] = {}
    for exponent in (0.0, 0.3, 0.6):
        world = World("a", "b", "c")
        for nature in world.natures.values():
            nature.exponent = exponent
        for turn in range(30):
            world.run(100, 4.0 if turn % 2 else 0.8)
        found[exponent] = world.group.exponent
    assert found == pytest.approx({0.0: 0.0, 0.3: 0.3, 0.6: 0.6}, abs=0.12)


def test_with_a_learned_exponent_load_outweighs_speed() -> None:
    world = warm("quick", "slow")
    world.natures["slow"].factor = 1.4
    world.alone(200)
    world.advance(20.0)

    def shares() -> Counter[str]:
        leases = [world.begin() for _ in range(40)]
        counts = Counter(lease.deployment.id for lease in leases)
        for lease in leases:
            world.cancel(lease)
        return counts

    world.group.exponent = 0.0
    assert shares()["quick"] > 34
    world.group.exponent = 1.0
    assert shares()["quick"] < 26


def test_where_load_slows_down_nothing_looks_worse_than_twice_as_bad() -> None:
    """Answers tell of a queue when it is over: who shuns a server for it sends the next queue elsewhere."""
    world = warm("a", "b", enabled=False)
    for _ in range(3):
        world.fail(world.begin_on("b"))
    assert world.badness("b") > 3.0
    world.group.exponent = 0.5
    assert world.badness("b") == AdaptivePolicy().worst
    leases = [world.begin() for _ in range(50)]
    counts = Counter(lease.deployment.id for lease in leases)
    assert counts["a"] == pytest.approx(50 * 4 / 5, abs=3), "two to the power of one over the exponent times as many"


# Many


def test_above_48_candidates_it_is_the_better_of_two() -> None:
    names = [f"d{number}" for number in range(60)]
    world = World(*names)
    world.natures["d0"].factor = 10.0
    world.run(2000, 0.05)
    counts = Counter(world.run(1200, 0.05))
    assert len(counts) >= 59
    assert max(counts.values()) < 3 * 1200 / 60
    assert counts["d0"] < 0.5 * 1200 / 60
    assert len(set(World(*names).alone(12))) > 6, "chance decides between equals"


# Affinity


def test_the_comparable_are_less_than_half_as_bad_again_as_the_best() -> None:
    world = warm("a", "b", "c")
    members = list(world.fleet.deployments.values())
    assert list(world.strategy.comparable(members, world.time)) == members
    for name, ratio in (("a", 1.0), ("b", 1.4), ("c", 1.6)):
        known = world.known(name)
        known.answers, known.ratios, known.updated = 1000.0, 1000.0 * ratio, world.time
    found = world.strategy.comparable(members, world.time)
    assert [one.id for one in found] == ["a", "b"]
    known = world.known("a")
    known.ratios *= 20
    assert [one.id for one in world.strategy.comparable(members, world.time)] == ["b", "c"]


def test_above_48_candidates_all_count_as_comparable() -> None:
    world = World(*[f"d{number}" for number in range(60)])
    members = list(world.fleet.deployments.values())
    assert world.strategy.comparable(members, world.time) is members


def test_a_prompt_cache_is_not_worth_a_slow_answer_and_a_session_is() -> None:
    world = warm("a", "b", "c")
    world.advance(60.0)
    cached, session = AffinityKey("prompt_cache", b"1" * 16), AffinityKey("session", b"1" * 16)
    first, second, _ = [one.id for one in in_order(list(world.fleet.deployments.values()), cached)]

    def goes(key: AffinityKey) -> tuple[str, bool]:
        lease = world.begin(affinity=key)
        world.cancel(lease)
        return lease.deployment.id, lease.by_key

    assert goes(cached) == goes(session) == (first, True)
    known = world.known(first)
    known.answers, known.ratios, known.updated = (
        20.0,
        20.0 * 1.6 * world.known(second).usual(world.group, 1.0),
        world.time,
    )
    assert goes(cached) == (second, True)
    assert goes(session) == (first, True)
    known.ratios *= 1.2 / 1.6
    assert goes(cached) == (first, True)
