"""What an attempt's end is held against: a timeout says more of a deployment that answers nobody."""

from typing import Any

import pytest

from tests.router.engine.test_fleet import Clock, row
from turnout.config import parse_model_list
from turnout.context import Call
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Destination, Lease, Tries
from turnout.engine.settling import settle_failure, settle_success
from turnout.errors import APITimeoutError
from turnout.policies import BudgetPolicy, CooldownPolicy, WaitPolicy
from turnout.strategies import Adaptive, SimpleShuffle


def opened(strategy: Any, *, answers_after: float | None, policy: CooldownPolicy | None = None) -> bool:
    """Whether six attempts that time out after 30 s open the breaker, with or without an answer to another one."""
    clock = Clock()
    fleet = Fleet(strategy, [], policy or CooldownPolicy(), BudgetPolicy(), WaitPolicy())
    one = fleet.add(parse_model_list([row("a")], {})[0], clock.time)

    def begin() -> Lease:
        call = Call("create", one.spec.model_group, {}, clock.time, clock.time + 600.0)
        lease = fleet.choose(Destination(fleet.groups[one.spec.model_group]), call, Tries(), clock.time, clock.rng)
        assert isinstance(lease, Lease)
        return lease

    other = begin()
    clock.time += 1.0
    late = [begin() for _ in range(6)]
    if answers_after is not None:
        clock.time += answers_after
        settle_success(other, fleet, clock.time, 10, 10)
    clock.time += 30.0 - (answers_after or 0.0)
    for lease in late:
        settle_failure(lease, APITimeoutError("x"), "deployment", fleet, clock)  # type: ignore[arg-type]
    return one.health.open_until is not None


@pytest.mark.parametrize("answers_after", [20.0, 10.0, None])
def test_a_timeout_of_one_that_answers_others_is_for_a_strategy_that_learns_to_judge(
    answers_after: float | None,
) -> None:
    """An answer soon after an attempt began may be to a call that was sent before the deployment fell silent."""
    assert opened(Adaptive(), answers_after=answers_after) is not (answers_after == 20.0)
    assert opened(SimpleShuffle(), answers_after=answers_after)


def test_failures_that_the_configuration_counts_are_all_counted() -> None:
    assert opened(Adaptive(), answers_after=20.0, policy=CooldownPolicy(allowed_fails=3))
