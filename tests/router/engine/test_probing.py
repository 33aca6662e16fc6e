"""Probes keep to what limits, providers and budgets allow, and a breaker that opens again holds."""

import asyncio
from math import inf
from random import Random
from typing import Any

import pytest

from tests.router.engine.test_queues import Bell, row
from turnout.config import parse_model_list
from turnout.context import Call
from turnout.deployment import Deployment, Health
from turnout.engine import cooldown, probing
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Blocked, Destination, Lease, Tries
from turnout.errors import TurnoutError
from turnout.limits.upstream import Remaining
from turnout.policies import BudgetPolicy, CooldownPolicy, WaitPolicy
from turnout.sim.clock import run
from turnout.sim.network import VirtualNetwork
from turnout.sim.plain_region import PlainRegion
from turnout.sim.service import Service, ServiceModel
from turnout.sim.simulated_router import SimulatedRouter
from turnout.strategies import SimpleShuffle
from turnout_adapters.kinds import Kind

CALL = Call("create", "gpt", {"input": "x"}, 0.0, 600.0)
POLICY = CooldownPolicy()
BUDGET = BudgetPolicy()


def fleet_of(budget: BudgetPolicy = BUDGET, **params: Any) -> tuple[Fleet, list[Deployment]]:
    fleet = Fleet(SimpleShuffle(), (), POLICY, budget, WaitPolicy())
    found = [fleet.add(spec, 0.0) for spec in parse_model_list([row("a", **params), row("b")], {})]
    return fleet, found


def choose(fleet: Fleet, now: float, tries: Tries | None = None, *, panic: bool = True) -> Lease | Blocked:
    found = Destination(fleet.groups["gpt"])
    return fleet.choose(found, CALL, tries or Tries(), now, Random(1), panic=panic)


def rest(fleet: Fleet, one: Deployment, until: float) -> None:
    def change() -> list[str]:
        one.health.open_until, one.health.failures = until, 5
        return [one.id]

    fleet.update(change, 0.0)


def test_a_probe_of_last_resort_keeps_to_what_the_provider_asked_for() -> None:
    fleet, (a, b) = fleet_of()
    for one in (a, b):
        rest(fleet, one, 30.0)
        one.health.throttled_until = 10.0
    blocked = choose(fleet, 1.0)
    assert isinstance(blocked, Blocked)
    assert blocked.until == 10.0
    assert isinstance(choose(fleet, 10.0), Lease)


def test_a_deployment_without_room_does_not_take_the_place_of_one_that_can_be_probed() -> None:
    fleet, (a, b) = fleet_of(max_parallel_requests=1)
    a.in_flight = 1
    rest(fleet, a, 20.0)
    rest(fleet, b, 30.0)
    lease = choose(fleet, 1.0)
    assert isinstance(lease, Lease)
    assert lease.deployment is b
    assert lease.probe


def test_a_retry_without_budget_is_a_probe_no_more_often_than_any_other() -> None:
    fleet, (a, b) = fleet_of(BudgetPolicy(ratio=0.0, per_second=0.0, initial=0.0))
    for one in (a, b):
        rest(fleet, one, 1.0)
        one.in_flight = 1
    failed = Tries(made=1, groups={"gpt"})
    assert isinstance(choose(fleet, 5.0, failed), Lease)
    assert isinstance(choose(fleet, 5.1, failed), Blocked)
    assert isinstance(choose(fleet, 5.0 + POLICY.panic_interval, failed), Lease)


def test_a_breaker_that_opens_again_holds_while_its_first_probe_is_still_on_its_way() -> None:
    _, (a, _) = fleet_of()
    failure, rng = cooldown.Failure("deployment", Kind.INTERNAL, 0.1), Random(1)
    a.health.open_until = 1.0
    assert cooldown.begin(a, probe=False, now=2.0)
    assert cooldown.available_at(a, 10.0) == 10.0
    assert not cooldown.begin(a, probe=False, now=10.0)
    for _ in range(POLICY.consecutive):
        cooldown.record_failure(a, failure, probe=False, now=11.0, policy=POLICY, rng=rng)
    assert a.health.open_until is not None
    assert cooldown.is_resting(a, 11.1)
    assert cooldown.available_at(a, 11.1) == inf


def test_those_who_wait_hear_of_room_that_an_answer_tells_of() -> None:
    fleet, (a, b) = fleet_of()
    rung: list[int] = []
    leases = [lease for _ in range(8) if isinstance(lease := choose(fleet, 0.0), Lease)]
    lease = next(one for one in leases if one.deployment is a)
    for one in (a, b):
        one.health.throttled_until = 100.0
    fleet.join(Destination(fleet.groups["gpt"]), CALL, Bell(0, rung))
    lease.upstream = {"requests": Remaining(5, 60.0)}
    fleet.answering(lease, 1.0)
    assert rung == [0]


def test_who_waits_for_a_probe_does_not_ask_again_before_there_can_be_one() -> None:
    fleet, (a, b) = fleet_of()
    rest(fleet, a, 30.0)
    rest(fleet, b, 40.0)
    for one in (a, b):
        one.health.probing = True
    blocked = choose(fleet, 1.0)
    assert isinstance(blocked, Blocked)
    assert blocked.until == inf
    a.health.probing = False
    failed = Tries(made=1, groups={"gpt"}, again_at={"a": 3.5})
    waits = choose(fleet, 1.0, failed)
    assert isinstance(waits, Blocked)
    assert waits.until == 3.5


def test_a_call_with_little_time_left_is_no_probe() -> None:
    call = Call("create", "gpt", {"input": "x"}, 100.0, 140.0)
    assert probing.has_time(call, 130.0)
    assert not probing.has_time(call, 130.1)
    assert not probing.cut_short(call, 120.0, 130.0)
    assert probing.cut_short(call, 130.1, 140.0)


@pytest.mark.parametrize(("throttled", "failures"), [(0.0, 1), (7.0, 1), (8.0, 0), (9.5, 0)])
def test_an_attempt_that_its_callers_deadline_cut_short_says_nothing(throttled: float, failures: int) -> None:
    """The deployment is silent, and free only so many seconds into a call of ten."""

    async def called() -> Health:
        region = PlainRegion(Service("a", ServiceModel()))
        assert region.service is not None
        region.service.change("silent", value=True)
        async with SimulatedRouter([row("a")], VirtualNetwork([region])) as router:
            router._fleet.hint("a", asyncio.get_running_loop().time(), throttled, None)
            with pytest.raises(TurnoutError) as told:
                await router.aresponses("gpt", "x", timeout=10.0)
            assert asyncio.get_running_loop().time() == pytest.approx(10.0, abs=0.1)
            (attempt,) = told.value.attempts
            assert attempt.outcome == ("deployment" if failures else "cancelled")
            return router._fleet.deployments["a"].health

    health = run(called())
    assert health.failures == failures
    assert (health.success == 1.0) == (failures == 0)
