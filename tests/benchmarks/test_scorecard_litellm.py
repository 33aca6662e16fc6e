"""The models of LiteLLM's strategies: each rule on a case small enough to see it."""

from random import Random

import pytest

from benchmarks.scorecard.engine import Call
from benchmarks.scorecard.litellm_models import Cooldown, Count, LeastBusy, LiteLLM
from benchmarks.scorecard.play import play
from benchmarks.scorecard.scenario import ATTEMPT_TIMEOUT
from tests.benchmarks.small_scenarios import (
    LATENCY,
    LEAST_BUSY,
    SHUFFLE,
    STEADY,
    USAGE,
    WithMistakes,
    asked,
    scenario,
    shares,
)
from turnout.sim.service import ServiceModel, Size


@pytest.mark.parametrize("strategy", [SHUFFLE, LEAST_BUSY, LATENCY, USAGE])
def test_a_404_cools_its_deployment_at_once_and_good_calls_find_nobody(strategy: str) -> None:
    outcomes = play(scenario(calls=12, every=0.5, kind=WithMistakes, mistakes=3), strategy, 0)
    assert [one.error for one in outcomes[:3]] == ["NotFoundError"] * 3
    assert {one.tries[0].deployment for one in outcomes[:3]} == {"r1", "r2", "r3"}
    assert all(len(one.tries) == 1 and one.blame == "caller" for one in outcomes[:3])
    # the mistakes ended at 0.05, 0.55 and 1.05 s: until 5.05 s nobody is left
    assert [(one.error, one.tries, one.seconds) for one in outcomes[3:11]] == [("RouterRateLimitError", (), 0.0)] * 8
    assert outcomes[11].ok


def test_connection_errors_never_cool() -> None:
    outcomes = play(scenario("r1,r2,r3 down 0s-1h", calls=40, every=0.2), LEAST_BUSY, 0)
    assert asked(outcomes) == [["r1"] * 3] * 40
    assert {one.error for one in outcomes} == {"APIConnectionError"}


def test_five_failures_cool_if_they_are_more_than_half_of_the_minute() -> None:
    outcomes = play(scenario("r1 unavailable 0s-1h", calls=8, every=0.7, regions=2), LEAST_BUSY, 0)
    assert asked(outcomes)[:3] == [["r1"] * 3, ["r1", "r1", "r2"], ["r2"]]
    assert [one.ok for one in outcomes[:3]] == [False, True, True]
    assert asked(outcomes)[7] == ["r2"]
    later = play(scenario("r1 unavailable 0s-1h", calls=8, every=1.0, regions=2), LEAST_BUSY, 0)
    assert asked(later)[7] == ["r1", "r2"], "one more failure of the same minute cools it again"


def test_a_timeout_does_not_cool_at_once() -> None:
    outcomes = play(scenario("r1 black-hole 0s-1h", calls=1, regions=2), LEAST_BUSY, 0)
    assert asked(outcomes) == [["r1", "r1"]]
    assert [(one.error, one.seconds) for one in outcomes] == [("DeadlineExceededError", 2 * ATTEMPT_TIMEOUT)]


def test_a_429_cools_for_as_long_as_it_says_and_others_are_tried() -> None:
    outcomes = play(scenario("r1 throttled 0s-1h", calls=9, every=1.0, regions=2), LEAST_BUSY, 0)
    with_throttle = [at for at, tries in enumerate(asked(outcomes)) if "r1" in tries]
    assert with_throttle == [0, 7], "its Retry-After is 6 s"
    assert all(one.ok for one in outcomes)


def test_a_401_is_tried_elsewhere_and_cools() -> None:
    outcomes = play(scenario("all auth-expired 0s-1h", calls=2, every=1.0), LEAST_BUSY, 0)
    assert asked(outcomes) == [["r1", "r2", "r3"], []]
    assert [one.error for one in outcomes] == ["AuthenticationError", "RouterRateLimitError"]


def test_a_single_deployment_gets_three_calls_per_request_in_an_outage() -> None:
    outcomes = play(scenario("r1 unavailable 0s-1h", calls=30, every=2.0, regions=1), SHUFFLE, 0)
    assert sum(len(one.tries) for one in outcomes) / len(outcomes) == 3.0
    for one in outcomes:
        first, second, third = one.tries
        assert 0.5 <= second.at - first.at - first.seconds <= 1.25
        assert 1.0 <= third.at - second.at - second.seconds <= 1.75
        assert 3.5 + 0.15 <= one.seconds <= 5.75 + 0.15, "it waits after the last failure as well"


def test_a_single_deployment_is_cooled_by_a_404_nevertheless() -> None:
    outcomes = play(scenario(calls=2, regions=1, kind=WithMistakes, mistakes=1), SHUFFLE, 0)
    assert [one.error for one in outcomes] == ["NotFoundError", "RouterRateLimitError"]


def test_least_busy_never_ties_to_the_last() -> None:
    assert shares(play(scenario(calls=45, every=3.0), LEAST_BUSY, 0)) == {"r1": 45}
    assert shares(play(scenario(calls=46, every=2.0), LEAST_BUSY, 0)) == {"r1": 23, "r2": 23}


def test_least_busy_counts_calls_that_were_given_up_for_an_hour() -> None:
    strategy = LeastBusy()
    peer = LiteLLM(strategy, Random(0))
    for name in ("r1", "r2"):
        peer.join(name)
    call = Call(0.0, 60.0, Size(1, 1), mistaken=False, peer=peer)
    assert peer.pick(call, 0.0) == "r1"
    peer.cancelled(call, 60.0)
    assert strategy.choose(["r1", "r2"], call, 3599.0) == "r2"
    assert strategy.choose(["r1", "r2"], call, 3601.0) == "r1"


def test_the_lowest_latency_takes_all() -> None:
    models = {"slow": ServiceModel(factor=1.8), "fast": ServiceModel(factor=1.0), "middle": ServiceModel(factor=1.3)}
    got = shares(play(scenario(calls=400, every=0.5, model=models), LATENCY, 0))
    assert got["fast"] > 0.9 * 400


def test_latency_does_not_return_to_a_region_after_a_timeout() -> None:
    models = {"best": ServiceModel(jitter=0.0), "other": ServiceModel(jitter=0.0, factor=1.5)}
    outcomes = play(scenario("best black-hole 100s-110s", calls=1500, every=1.0, model=models), LATENCY, 0)
    assert shares(outcomes[50:100])["best"] == 50
    assert shares(outcomes[150:]) == {"other": 1350}


def test_usage_takes_the_fewest_tokens_of_the_clock_minute_whatever_the_speed() -> None:
    models = {"fast": STEADY, "slow": ServiceModel(jitter=0.0, factor=8.0)}
    got = shares(play(scenario(calls=240, every=5.0, model=models), USAGE, 0))
    assert 80 < got["slow"] < 160


def test_usage_fails_the_call_if_all_are_over_what_is_configured() -> None:
    limited = ServiceModel(jitter=0.0, tpm=1000.0)
    outcomes = play(scenario(calls=40, every=3.0, regions=2, model=limited, configured=True), USAGE, 0)
    assert [(one.error, one.tries) for one in outcomes if not one.ok] == [("RateLimitError", ())] * 20
    unconfigured = play(scenario(calls=40, every=3.0, regions=2, model=limited), USAGE, 0)
    assert "throttle" in {attempt.outcome for one in unconfigured for attempt in one.tries}


def test_shuffle_is_proportional_to_the_configured_tokens_per_minute() -> None:
    models = {name: ServiceModel(tpm=1e6 * part) for name, part in (("one", 1), ("two", 2), ("five", 5))}
    got = shares(play(scenario(calls=1600, every=0.5, model=models, configured=True), SHUFFLE, 0))
    assert [got[name] / 1600 for name in models] == pytest.approx([0.125, 0.25, 0.625], abs=0.04)
    even = shares(play(scenario(calls=1600, every=0.5, model=models), SHUFFLE, 0))
    assert [even[name] / 1600 for name in models] == pytest.approx([1 / 3] * 3, abs=0.05)


def test_counts_are_forgotten_a_minute_after_the_first() -> None:
    count = Count(60.0)
    for at in (0.0, 50.0):
        count.add(1, at)
    assert [count.get(at) for at in (60.0, 60.1)] == [2, 0]


def test_a_failure_while_cooling_prolongs_nothing() -> None:
    cooldown = Cooldown()
    cooldown.begin(5.0, 0.0)
    cooldown.begin(5.0, 3.0)
    assert [cooldown.active(at) for at in (4.9, 5.1)] == [True, False]
