"""Hedging over sockets: a second attempt where the first shows no answer, its budget, and what becomes of the loser."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import in_flight, row
from turnout import AttemptFinished, BadRequestError, ConfigError, InternalServerError, Router
from turnout.engine.hedging import NOT_HEDGED
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import Fault, error_body, outage
from turnout_adapters.types.route import Route

NOW = {"after": 0.05, "budget": 1.0}
"""Hedges each call that shows nothing within 50 ms."""
MISTAKE = Fault("status", 400, error_body("no such thing", "invalid_request_error", "invalid_value"))


def levels(cloud: FakeCloud, *regions: str, **settings: Any) -> Router:
    """A Router that asks the regions in this order."""
    rows = [row(cloud, one, order=level) for level, one in enumerate(regions, 1)]
    return Router(rows, **{"hedge": NOW, **settings})


async def ask(router: Router, *, stream: bool, **params: Any) -> Route:
    """One call to its end."""
    if not stream:
        return (await router.aresponses("gpt", "hello", **params)).route
    async with await router.aresponses("gpt", "hello", stream=True, **params) as events:
        async for _ in events:
            pass
    assert events.response is not None
    assert events.response.status == "completed", events.error
    return events.route


def asked(router: Router, *, stream: bool = False, fast: bool = True, **params: Any) -> Route:
    """One call in an event loop of its own, in which it leaves no task."""

    async def call() -> Route:
        router._looping._fast = fast
        try:
            route = await ask(router, stream=stream, **params)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            return route
        finally:
            await router.aclose()

    return asyncio.run(call())


def outcomes(route: Route) -> list[tuple[str, str]]:
    return [(one.deployment, one.outcome) for one in route.attempts]


def until(is_so: Callable[[], bool]) -> None:
    """Gives a server a moment to notice."""
    for _ in range(100):
        if is_so():
            return
        time.sleep(0.02)
    raise AssertionError("it never was so")


@pytest.fixture(params=[False, True], ids=["unary", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.mark.parametrize("fast", [True, False], ids=["aiohttp", "httpx2"])
def test_the_second_answers_and_the_first_is_cut(cloud: FakeCloud, stream: bool, fast: bool) -> None:
    events: list[AttemptFinished] = []
    cloud["eastus"].set_fault(Fault("black_hole"))
    cloud["westus"].word_seconds = 0.01
    sinks = [lambda event: events.append(event) if isinstance(event, AttemptFinished) else None]
    router = levels(cloud, "eastus", "westus", callbacks=sinks)
    route = asked(router, stream=stream, fast=fast)
    assert (route.deployment, route.hedged) == ("westus", True)
    assert outcomes(route) == [("eastus", "cancelled"), ("westus", "ok")]
    assert route.attempts[0].status is None
    assert [event.attempt for event in events] == list(route.attempts)
    assert in_flight(router) == 0
    until(lambda: cloud["eastus"].connections == 0)
    first = router.status()[0]
    assert (first.state, first.consecutive_failures, first.success_rate) == ("ready", 0, 1.0)


def test_who_answers_in_time_is_not_hedged(cloud: FakeCloud, stream: bool) -> None:
    route = asked(levels(cloud, "eastus", "westus"), stream=stream)
    assert (outcomes(route), route.hedged) == ([("eastus", "ok")], False)
    assert cloud["westus"].requests == 0


def test_a_stream_is_hedged_before_its_first_output_only(cloud: FakeCloud) -> None:
    cloud["eastus"].word_seconds = 0.03
    route = asked(levels(cloud, "eastus", "westus"), stream=True)
    assert (outcomes(route), route.hedged) == ([("eastus", "ok")], False)
    assert cloud["westus"].requests == 0


def test_the_first_may_still_win(cloud: FakeCloud, stream: bool) -> None:
    cloud["eastus"].latency = 0.2
    cloud["westus"].set_fault(Fault("black_hole"))
    router = levels(cloud, "eastus", "westus")
    route = asked(router, stream=stream)
    assert (route.deployment, route.hedged) == ("eastus", True)
    assert outcomes(route) == [("westus", "cancelled"), ("eastus", "ok")]
    assert in_flight(router) == 0
    until(lambda: cloud["westus"].connections == 0)


@pytest.mark.parametrize(("broken", "sound"), [("eastus", "westus"), ("westus", "eastus")])
def test_when_one_fails_the_other_is_waited_for(cloud: FakeCloud, stream: bool, broken: str, sound: str) -> None:
    cloud[broken].latency, cloud[sound].latency = 0.1, 0.3
    cloud[broken].set_fault(outage())
    router = levels(cloud, "eastus", "westus", num_retries=0)
    route = asked(router, stream=stream)
    assert outcomes(route) == [(broken, "deployment"), (sound, "ok")]
    failures = {one.id: one.consecutive_failures for one in router.status()}
    assert failures == {broken: 1, sound: 0}


def test_two_failures_are_judged_like_two_attempts(cloud: FakeCloud, stream: bool) -> None:
    for name in ("eastus", "westus"):
        cloud[name].latency = 0.1
        cloud[name].set_fault(outage())
    router = levels(cloud, "eastus", "westus", "swedencentral", num_retries=2)
    assert outcomes(asked(router, stream=stream)) == [
        ("eastus", "deployment"),
        ("westus", "deployment"),
        ("swedencentral", "ok"),
    ]
    with pytest.raises(InternalServerError) as caught:
        asked(levels(cloud, "eastus", "westus", "swedencentral", num_retries=1), stream=stream)
    assert [one.deployment for one in caught.value.attempts] == ["eastus", "westus"]
    assert in_flight(router) == 0


def test_a_callers_mistake_ends_both(cloud: FakeCloud, stream: bool) -> None:
    cloud["eastus"].latency = 0.1
    cloud["eastus"].set_fault(MISTAKE)
    cloud["westus"].set_fault(Fault("black_hole"))
    router = levels(cloud, "eastus", "westus")
    with pytest.raises(BadRequestError) as caught:
        asked(router, stream=stream, timeout=5)
    assert [(one.deployment, one.outcome) for one in caught.value.attempts] == [
        ("eastus", "caller"),
        ("westus", "cancelled"),
    ]
    assert in_flight(router) == 0


def test_the_budget_bounds_second_attempts(cloud: FakeCloud) -> None:
    cloud["eastus"].latency = 0.02

    async def run() -> list[Route]:
        async with levels(cloud, "eastus", "westus", hedge={"after": 0.002, "budget": 0.125}) as router:
            return [await ask(router, stream=False) for _ in range(40)]

    hedged = sum(route.hedged for route in asyncio.run(run()))
    assert hedged == cloud["westus"].requests == 5


def test_a_model_group_without_retries_in_hand_is_not_hedged(cloud: FakeCloud) -> None:
    cloud["eastus"].latency = 0.1
    router = levels(cloud, "eastus", "westus")
    router._fleet.groups["gpt"].budget.tokens = -5.0
    assert not asked(router).hedged
    assert cloud["westus"].requests == 0


def test_nothing_is_hedged_where_nobody_stands_ready(cloud: FakeCloud) -> None:
    cloud["eastus"].latency = 0.2
    assert not asked(levels(cloud, "eastus")).hedged
    rows = [row(cloud, "eastus", order=1), row(cloud, "westus", order=2, max_parallel_requests=1)]
    router = Router(rows, hedge=NOW)

    async def run() -> list[Route]:
        async with router:
            busy = asyncio.create_task(router.aresponses("westus", "hello"))
            await asyncio.sleep(0.01)
            routes = [await ask(router, stream=False)]
            await busy
            return routes

    cloud["westus"].latency = 0.5
    assert [route.hedged for route in asyncio.run(run())] == [False]
    assert in_flight(router) == 0


def test_a_conversation_is_hedged_on_its_own_account_only(cloud: FakeCloud) -> None:
    home = row(cloud, "eastus", order=1)
    peer = {**row(cloud, "eastus", model="azure/gpt-5", order=2), "model_info": {"id": "peer"}}
    for rows, hedged in (([home, row(cloud, "westus", order=2)], False), ([home, peer], True)):
        router = Router(rows, hedge=NOW)
        first = router.responses("gpt", "hello")
        cloud["eastus"].latency = 0.2
        route = asked(router, previous_response_id=first.id)
        cloud["eastus"].latency = 0.0
        assert (first.route.deployment, route.hedged) == ("eastus", hedged)
    assert cloud["westus"].requests == 0
    assert cloud["eastus"].foreign_ids == 0


SINGLE: dict[str, dict[str, Any]] = {
    "background": {"background": True},
    "stored because it was asked for": {"store": True},
    "tools at others' servers": {"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://x.test"}]},
    "in the body as it is": {"extra_body": {"background": True}},
    "told so": {"hedge": False},
}


@pytest.mark.parametrize("case", SINGLE)
def test_what_must_not_happen_twice_is_sent_once(cloud: FakeCloud, case: str) -> None:
    cloud["eastus"].latency = 0.15
    route = asked(levels(cloud, "eastus", "westus"), **SINGLE[case])
    assert (route.deployment, route.hedged) == ("eastus", False)
    assert cloud["westus"].requests == 0


def test_a_deployment_whose_row_says_background_is_no_second(cloud: FakeCloud) -> None:
    cloud["eastus"].latency = 0.15
    rows = [row(cloud, "eastus", order=1), row(cloud, "westus", order=2, background=True)]
    router = Router(rows, hedge=NOW)
    assert not asked(router).hedged
    assert cloud["westus"].requests == in_flight(router) == 0


def test_the_sync_api_sends_once_and_says_so(cloud: FakeCloud) -> None:
    cloud["eastus"].latency = 0.1
    with levels(cloud, "eastus", "westus") as router:
        response = router.responses("gpt", "hello")
        with router.responses("gpt", "hello", stream=True) as events:
            list(events)
    assert response.route.notes == events.route.notes == (NOT_HEDGED,)
    assert cloud["westus"].requests == 0


def test_it_is_off_unless_asked_for_and_may_be_off_for_a_group(cloud: FakeCloud) -> None:
    cloud["eastus"].latency = 0.15
    for settings in ({"hedge": None}, {"model_group_hedge": {"gpt": False}}):
        route = asked(levels(cloud, "eastus", "westus", **settings))
        assert (route.hedged, route.notes) == (False, ())
    assert asked(levels(cloud, "eastus", "westus", hedge=None, model_group_hedge={"gpt": NOW})).hedged


def test_the_delay_is_learnt_from_the_group(cloud: FakeCloud) -> None:
    async def run() -> list[Route]:
        async with levels(cloud, "eastus", "westus", hedge={"after": "p90", "budget": 1.0}) as router:
            routes = [await ask(router, stream=False) for _ in range(20)]
            cloud["eastus"].set_fault(Fault("black_hole"))
            return [*routes, await ask(router, stream=False, timeout=10)]

    *before, last = [route.hedged for route in asyncio.run(run())]
    assert not any(before)
    assert last


def test_the_loser_counts_against_its_limits(cloud: FakeCloud) -> None:
    cloud["eastus"].set_fault(Fault("black_hole"))
    rows = [row(cloud, one, order=level, rpm=10, tpm=5000) for level, one in enumerate(("eastus", "westus"), 1)]
    router = Router(rows, hedge=NOW)
    asked(router, max_output_tokens=100)
    used = {one.id: {name: value for name, (value, _) in one.used.items()} for one in router.status()}
    assert used["eastus"]["rpm"] == used["westus"]["rpm"] == 1
    assert used["eastus"]["tpm"] > 100  # what it used is not known: the estimate stays
    assert used["westus"]["tpm"] < 100


def test_cancelled_calls_leave_nothing(cloud: FakeCloud) -> None:
    rng = random.Random(5)
    for region in cloud.regions.values():
        region.latency, region.word_seconds = 0.06, 0.005
    cloud["westus"].set_fault(Fault("cut", events=3, share=0.3))

    async def one(router: Router) -> None:
        task = asyncio.create_task(ask(router, stream=rng.random() < 0.5))
        await asyncio.sleep(rng.random() * 0.3)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def run() -> None:
        often = {"after": 0.02, "budget": 1.0}
        router = levels(cloud, "eastus", "westus", hedge=often, disable_cooldowns=True)
        for _ in range(6):
            router._fleet.groups["gpt"].budget.tokens = 100.0
            await asyncio.gather(*[one(router) for _ in range(50)])
        assert cloud["westus"].requests > 10
        assert in_flight(router) == 0
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await router.aclose()

    asyncio.run(run())
    until(lambda: not any(region.in_flight or region.connections for region in cloud.regions.values()))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hedge": "p95"}, ["hedge", "mapping"]),
        ({"hedge": {"afer": 1}}, ["hedge.afer", "'after'"]),
        ({"hedge": {"after": "95"}}, ["hedge.after", '"p95"']),
        ({"hedge": {"after": "p100"}}, ["hedge.after", '"p95"']),
        ({"hedge": {"after": -1}}, ["hedge.after", "0 or more"]),
        ({"hedge": {"budget": 2}}, ["hedge.budget", "0.02"]),
        ({"hedge": {"budget": 0}}, ["hedge.budget", "positive"]),
        ({"model_group_hedge": {"gtp": True}}, ["model_group_hedge.gtp", "'gpt'"]),
    ],
)
def test_bad_settings(cloud: FakeCloud, settings: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        levels(cloud, "eastus", **settings)
    for word in words:
        assert word in str(caught.value)
