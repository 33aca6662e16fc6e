"""The breaker, the budget, the table and the pauses, as pure functions."""

from random import Random
from typing import Any

import pytest

from tests.router.engine.test_fleet import row
from turnout.config import parse_model_list
from turnout.deployment import Deployment
from turnout.engine import budget, cooldown
from turnout.engine.decide import VERDICTS, pause_before_same
from turnout.engine.port import run_without_loop
from turnout.errors import AsyncHookInSyncCall
from turnout.policies import BudgetPolicy, CooldownPolicy
from turnout_adapters.kinds import Kind


def deployment(**params: Any) -> Deployment:
    return Deployment(parse_model_list([row("a", **params)], {})[0])


def fail(
    one: Deployment, now: float, *, kind: Kind = Kind.INTERNAL, probe: bool = False, calls: int = 0, **policy: Any
) -> None:
    failure = cooldown.Failure(VERDICTS[kind].outcome, kind, 0.1, calls=calls)
    cooldown.record_failure(one, failure, probe=probe, now=now, policy=CooldownPolicy(**policy), rng=Random(1))


def test_five_failures_in_a_row_open_the_breaker() -> None:
    one = deployment()
    for number in range(5):
        assert cooldown.available_at(one, 10.0) == 10.0, number
        fail(one, 10.0)
    assert 17.5 <= cooldown.available_at(one, 10.0) <= 20.0


def test_a_success_in_between_keeps_it_closed() -> None:
    one = deployment()
    for _ in range(3):
        for _ in range(4):
            fail(one, 10.0, min_samples=1000)
        cooldown.record_success(one, probe=False, now=10.0)
    assert cooldown.available_at(one, 10.0) == 10.0


def test_a_success_rate_below_the_limit_opens_it() -> None:
    one = deployment()
    for number in range(40):
        fail(one, 10.0) if number % 3 == 0 else cooldown.record_success(one, probe=False, now=10.0)
    assert one.health.open_until is not None


def test_pauses_grow_with_every_trip_up_to_the_cap_and_a_probe_closes() -> None:
    one, now, pauses = deployment(), 0.0, []
    for _ in range(5):
        fail(one, now)
    for _ in range(6):
        until = one.health.open_until or 0.0
        pauses.append(until - now)
        now = until
        assert cooldown.available_at(one, now) == now, "half-open"
        fail(one, now, probe=True)
    assert 5.0 <= pauses[0] <= 10.0
    assert pauses[1] > pauses[0]
    assert 46.0 <= pauses[-1] <= 92.0
    cooldown.record_success(one, probe=True, now=now)
    assert one.health.open_until is None
    assert one.pace(now, 20.0) == 0.1
    assert one.pace(now + 10.0, 20.0) == 0.5
    assert one.pace(now + 20.0, 20.0) == 1.0


def test_callers_and_throttles_do_not_count() -> None:
    one = deployment()
    for kind in (Kind.BAD_REQUEST, Kind.NOT_FOUND, Kind.RATE_LIMIT):
        for _ in range(20):
            fail(one, 10.0, kind=kind)
    assert (one.health.failures, one.health.success) == (0, 1.0)
    assert cooldown.available_at(one, 10.0) == 15.0


def test_credentials_refused_twice_rest_for_a_minute() -> None:
    one = deployment()
    fail(one, 10.0, kind=Kind.AUTHENTICATION)
    assert cooldown.available_at(one, 10.0) == 10.0
    fail(one, 10.0, kind=Kind.AUTHENTICATION)
    assert cooldown.available_at(one, 10.0) == 70.0


def test_every_kind_has_a_verdict() -> None:
    assert set(VERDICTS) == set(Kind)
    assert not any(VERDICTS[kind].retry for kind in (Kind.BAD_REQUEST, Kind.NOT_FOUND, Kind.CONTEXT_WINDOW))
    assert not VERDICTS[Kind.QUOTA].same


def test_the_budget() -> None:
    policy = BudgetPolicy()
    purse = budget.new_budget(policy, 0.0)
    assert [budget.withdraw(purse, policy, 0.0) for _ in range(3)] == [True, True, False]
    for _ in range(5):
        budget.deposit(purse, policy, 0.0)
    assert budget.withdraw(purse, policy, 0.0)
    assert not budget.withdraw(purse, policy, 0.0)
    assert sum(budget.withdraw(purse, policy, 1000.0) for _ in range(50)) == 10


def test_free_retries_need_a_recent_good_answer_or_an_idle_deployment() -> None:
    one = deployment()
    assert budget.is_free(one, 10.0)
    one.in_flight = 1
    assert not budget.is_free(one, 10.0)
    cooldown.record_success(one, probe=False, now=10.0)
    assert budget.is_free(one, 15.0)
    assert not budget.is_free(one, 21.0)
    one.in_flight = 0
    assert budget.is_free(one, 21.0)
    fail(one, 15.0)
    assert not budget.is_free(one, 15.0)


def test_pauses_before_the_same_deployment() -> None:
    rng = Random(1)
    assert all(0.125 <= pause_before_same(1, None, 0, rng) <= 0.25 for _ in range(50))
    assert all(2.5 <= pause_before_same(9, None, 0, rng) <= 5.0 for _ in range(50))
    assert pause_before_same(1, 7.0, 0, rng) == 7.0
    assert pause_before_same(1, None, 3.0, rng) == 3.0


def test_a_hook_that_awaits_is_refused_in_the_sync_api() -> None:
    class Suspends:
        def __await__(self) -> Any:
            yield

    async def hook() -> None:
        await Suspends()

    with pytest.raises(AsyncHookInSyncCall, match="use the async method"):
        run_without_loop(hook())


def open_for(one: Deployment, now: float, seconds: float, seed: int, *, calls: int = 0, **policy: Any) -> float:
    """How long it rests after a failed probe that took so long."""
    failure = cooldown.Failure("deployment", Kind.INTERNAL, seconds, calls=calls)
    cooldown.record_failure(one, failure, probe=True, now=now, policy=CooldownPolicy(**policy), rng=Random(seed))
    return (one.health.open_until or 0.0) - now


def test_a_pause_is_no_shorter_than_the_deployment_has_been_failing_up_to_the_cap() -> None:
    for lasted, least, most in ((0.0, 5.0, 10.0), (30.0, 15.0, 30.0), (40.0, 20.0, 40.0), (500.0, 46.0, 92.0)):
        pauses: list[float] = []
        for seed in range(200):
            one = deployment()
            fail(one, 1000.0, min_samples=1000)
            pauses.append(open_for(one, 1000.0 + lasted, 0.0, seed))
        assert least <= min(pauses) < least * 1.05
        assert most * 0.95 < max(pauses) <= most, "half of a pause is up to chance"


def test_a_pause_is_no_longer_than_the_group_takes_for_so_many_calls() -> None:
    """300 calls at 8 a second are 37.5 s; those at 100 a second would be 3 s, but 10 s are the least; up to chance."""
    for rate, most in ((1.0, 92.0), (8.0, 37.5), (100.0, 10.0)):
        pauses: list[float] = []
        for seed in range(200):
            one = deployment()
            fail(one, 1000.0, calls=5000)
            pauses.append(open_for(one, 1500.0, 0.0, seed, calls=5000 + int(500 * rate)))
            assert (one.health.paced_at, one.health.paced_calls) == (1500.0, 5000 + int(500 * rate))
        assert most * 0.95 < max(pauses) <= most, rate
    one = deployment()
    fail(one, 1000.0, calls=0)
    assert open_for(one, 2000.0, 0.0, 1, calls=8000) <= 37.5
    assert open_for(one, 2100.0, 0.0, 1, calls=8200) >= 46.0, "2 a second since the last pause"


def test_what_failures_took_does_not_count_as_time_that_it_has_been_failing() -> None:
    """A deployment that hangs fails for as long as its callers wait: that says nothing of how long it will."""
    one = deployment()
    failure = cooldown.Failure("deployment", Kind.TIMEOUT, 30.0)
    for now in (1030.0, 1031.0):
        cooldown.record_failure(one, failure, probe=False, now=now, policy=CooldownPolicy(), rng=Random(1))
    assert 5.0 <= open_for(one, 1061.0, 0.1, 1) <= 10.0


def test_a_probe_that_hangs_counts_half_and_a_pause_is_never_shorter_than_the_first() -> None:
    quick, hung, forever = deployment(), deployment(), deployment()
    for one in (quick, hung, forever):
        one.health.trips, one.health.failures, one.health.failing_since = 2, 1, 1000.0
    assert open_for(quick, 1000.0, 0.0, 1) == pytest.approx(open_for(hung, 1000.0, 30.0, 1) * 40.0 / 25.0)
    assert 5.0 <= open_for(forever, 1000.0, 600.0, 1) <= 10.0


def test_after_a_row_of_failures_a_pause_is_no_shorter_than_what_the_last_took_its_caller() -> None:
    """Nobody was answered of late: who is sent next will hang as long, and should not be sent as soon."""
    quick, hung, forever, seldom = deployment(), deployment(), deployment(), deployment()
    for one in (quick, hung, forever, seldom):
        one.health.failures, one.health.failing_since = 5, 1000.0
    assert 5.0 <= open_for(quick, 1000.0, 0.1, 1) <= 10.0
    assert 15.0 <= open_for(hung, 1000.0, 30.0, 1) <= 30.0
    assert 46.0 <= open_for(forever, 1000.0, 600.0, 1) <= 92.0, "but no longer than any pause"
    seldom.health.paced_at = 700.0
    assert open_for(seldom, 1000.0, 30.0, 1, calls=6000) <= 15.0, "nor than 300 calls, 20 a second"


def test_a_configured_pause_is_kept_to_the_second() -> None:
    one = deployment(cooldown_time=3.0)
    one.health.trips, one.health.failures, one.health.failing_since = 6, 9, 0.0
    assert open_for(one, 500.0, 30.0, 1) == 3.0


def test_an_answer_that_began_before_the_last_failure_resets_nothing() -> None:
    one = deployment()
    for now in (10.0, 11.0, 12.0):
        fail(one, now)  # each began a tenth of a second before
    for began_before in (5.0, 11.9):
        cooldown.record_success(one, probe=False, now=13.0, started=began_before)
        assert one.health.failures == 3
    assert one.health.last_success == 13.0
    cooldown.record_success(one, probe=False, now=14.0, started=11.95)
    assert one.health.failures == 0
    fail(one, 15.0)
    cooldown.record_success(one, probe=False, now=15.0)
    assert one.health.failures == 0


def test_an_attempt_that_began_early_and_fails_late_does_not_move_the_last_failure_back() -> None:
    one = deployment()
    fail(one, 50.0)
    late = cooldown.Failure("deployment", Kind.TIMEOUT, 30.0)
    cooldown.record_failure(one, late, probe=False, now=51.0, policy=CooldownPolicy(), rng=Random(1))
    cooldown.record_success(one, probe=False, now=52.0, started=40.0)
    assert one.health.failures == 2
