"""Priority levels (`order`): reserved capacity first, the rest spills to the next level at once, and comes back."""

import asyncio
import time
from collections import Counter
from math import inf
from random import Random
from typing import Any

import pytest

from tests.conftest import in_flight, row
from turnout import Router
from turnout.config import parse_model_list
from turnout.context import Call
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Destination, Lease, Tries
from turnout.engine.settling import settle_success
from turnout.policies import BudgetPolicy, CooldownPolicy, WaitPolicy
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import Fault, error_body, outage, throttle
from turnout.strategies import STRATEGIES
from turnout_adapters.types.route import Route

PTU, PAYG, LAST = "eastus", "westus", "swedencentral"
WORDLESS = Fault("status", 429, error_body("Rate limit reached", "requests", "rate_limit_exceeded"), times=1)


def levels(cloud: FakeCloud, settings: dict[str, Any] | None = None, **ptu: Any) -> Router:
    """Reserved capacity, pay as you go, and a last resort."""
    rows = [row(cloud, PTU, order=1, **ptu), row(cloud, PAYG, order=2), row(cloud, LAST, order=3)]
    return Router(rows, **(settings or {}))


def ask(router: Router, *, stream: bool) -> Route:
    if not stream:
        return router.responses("gpt", "hi").route
    with router.responses("gpt", "hi", stream=True) as events:
        list(events)
    return events.route


def asked(router: Router, times: int = 5) -> Counter[str]:
    return Counter(router.responses("gpt", "hi").route.deployment for _ in range(times))


def back(router: Router) -> None:
    """Waits until the first level takes calls again."""
    for _ in range(300):
        if router.status()[0].available_in == 0:
            return
        time.sleep(0.01)
    raise AssertionError("it does not come back")


@pytest.mark.parametrize("stream", [False, True])
def test_a_throttled_level_spills_within_the_call_and_is_used_again_when_the_throttle_is_over(
    cloud: FakeCloud, stream: bool
) -> None:
    with levels(cloud) as router:
        assert ask(router, stream=stream).deployment == PTU
        cloud[PTU].set_fault(throttle({"retry-after-ms": "400"}, times=1))
        spilled = ask(router, stream=stream)
        assert [(one.deployment, one.outcome) for one in spilled.attempts] == [(PTU, "throttle"), (PAYG, "ok")]
        assert spilled.waited == 0.0
        before = cloud[PTU].requests
        assert [ask(router, stream=stream).deployment for _ in range(3)] == [PAYG] * 3
        assert cloud[PTU].requests == before  # nobody asks while it rests
        back(router)
        assert [ask(router, stream=stream).deployment for _ in range(3)] == [PTU] * 3
        assert router.status()[0].success_rate == 1.0


def test_a_throttle_that_says_nothing_of_its_end_spills_too(cloud: FakeCloud) -> None:
    with levels(cloud) as router:
        cloud[PTU].set_fault(WORDLESS)
        assert asked(router, 3) == {PAYG: 3}


def test_any_number_of_throttles_spill_without_a_retry_budget(cloud: FakeCloud) -> None:
    cloud[PTU].set_fault(throttle({"retry-after-ms": "1"}))

    async def run() -> Counter[str]:
        async with levels(cloud) as router:
            served = await asyncio.gather(*[router.aresponses("gpt", "hi") for _ in range(60)])
            assert in_flight(router) == 0
            return Counter(one.route.deployment for one in served)

    assert asyncio.run(run()) == {PAYG: 60}


def test_two_throttled_levels_spill_to_the_third(cloud: FakeCloud) -> None:
    for name in (PTU, PAYG):
        cloud[name].set_fault(throttle({"retry-after": "20"}))
    with levels(cloud) as router:
        assert asked(router) == {LAST: 5}
    assert cloud[PTU].requests == cloud[PAYG].requests == 1


def test_calls_beyond_what_a_level_may_have_under_way_spill(cloud: FakeCloud) -> None:
    cloud[PTU].latency = cloud[PAYG].latency = 0.1

    async def run() -> None:
        async with levels(cloud, max_parallel_requests=2) as router:
            for _ in range(2):
                served = await asyncio.gather(*[router.aresponses("gpt", "hi") for _ in range(6)])
                assert Counter(one.route.deployment for one in served) == {PTU: 2, PAYG: 4}
                assert {one.route.waited for one in served} == {0.0}

    asyncio.run(run())


def test_a_level_that_is_down_is_used_again_when_it_recovers(cloud: FakeCloud) -> None:
    cloud[PTU].set_fault(outage())
    with levels(cloud, {"allowed_fails": 0, "cooldown_time": 0.3}) as router:
        assert asked(router) == {PAYG: 5}
        assert cloud[PTU].requests == 1
        cloud[PTU].set_fault(None)
        back(router)
        assert asked(router) == {PTU: 5}


@pytest.mark.parametrize("limits", [{"rpm": 3}, {"tpm": 900}, {"rpd": 3}], ids=str)
def test_a_level_whose_limit_is_reached_spills_until_its_window_moves_on(limits: dict[str, int]) -> None:
    fleet = Fleet(STRATEGIES["least-busy"](), [], CooldownPolicy(), BudgetPolicy(), WaitPolicy())
    for level, one in enumerate((PTU, PAYG), 1):
        given = {"model": "azure/gpt", "api_key": "k", "api_base": f"https://{one}.openai.azure.com", "order": level}
        params = {**given, **(limits if level == 1 else {})}
        spec = {"model_name": "gpt", "litellm_params": params, "model_info": {"id": one}}
        fleet.add(parse_model_list([spec], {})[0], 0.0)

    def served(now: float) -> str:
        call = Call("create", "gpt", {"input": "hi", "max_output_tokens": 290}, now, inf)
        lease = fleet.choose(Destination(fleet.groups["gpt"]), call, Tries(), now, Random(1))
        assert isinstance(lease, Lease)
        lease.sent = True
        settle_success(lease, fleet, now, 1, 290)
        return lease.deployment.id

    assert [served(float(second)) for second in range(6)] == [PTU] * 3 + [PAYG] * 3
    again = 90_000.0 if "rpd" in limits else 70.0
    assert [served(again + second) for second in range(4)] == [PTU] * 3 + [PAYG]
