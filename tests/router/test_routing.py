"""Choosing: strategies, order, weights, checks, limits, aliases, wildcards, ids, and changes while calls run."""

import asyncio
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from tests.conftest import in_flight, router_of, row
from turnout import (
    APIError,
    Call,
    ConfigError,
    DeadlineExceededError,
    Deployment,
    NoDeploymentAvailable,
    Pick,
    RateLimitError,
    Router,
    TurnoutError,
)
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import Fault, error_body, outage, throttle


def asked(router: Router, times: int, model: str = "gpt", **params: Any) -> Counter[str]:
    return Counter(router.responses(model, "hi", **params).route.deployment for _ in range(times))


def test_simple_shuffle_follows_weights(cloud: FakeCloud) -> None:
    rows = [row(cloud, "eastus", weight=8), row(cloud, "westus", weight=2), row(cloud, "swedencentral", weight=0)]
    with Router(rows, routing_strategy="simple-shuffle") as router:
        made = asked(router, 300)
    assert made["swedencentral"] == 0
    assert 200 < made["eastus"] < 280


def test_simple_shuffle_follows_rpm_where_no_weights_are_given(cloud: FakeCloud) -> None:
    rows = [row(cloud, "eastus", rpm=9000), row(cloud, "westus", rpm=1000)]
    with Router(rows, routing_strategy="simple-shuffle") as router:
        made = asked(router, 200)
    assert 150 < made["eastus"] < 198


def test_least_busy_spreads_calls_under_way(cloud: FakeCloud) -> None:
    for region in cloud.regions.values():
        region.latency = 0.1

    async def run() -> None:
        async with router_of(cloud, routing_strategy="least-busy") as router:
            await asyncio.gather(*[router.aresponses("gpt", "hi") for _ in range(30)])

    asyncio.run(run())
    assert [region.requests for region in cloud.regions.values()] == [10, 10, 10]


def test_latency_based_finds_the_fast_one_and_comes_back_to_one_that_recovered(cloud: FakeCloud) -> None:
    for name, latency in (("eastus", 0.01), ("westus", 0.06), ("swedencentral", 0.06)):
        cloud[name].latency = latency
    with router_of(cloud, routing_strategy="latency-based-routing") as router:
        assert asked(router, 40)["eastus"] >= 34


def test_cost_based_takes_the_cheapest(cloud: FakeCloud) -> None:
    price = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    dear = {"input_cost_per_token": 5e-7, "output_cost_per_token": 9e-6}
    rows = [row(cloud, "eastus", **dear), row(cloud, "westus", **price), row(cloud, "swedencentral")]
    with Router(rows, routing_strategy="cost-based-routing") as router:
        assert asked(router, 20) == {"westus": 20}
        cloud.kill("westus")
        assert router.responses("gpt", "hi").route.deployment == "eastus"


class Last:
    """A user's own strategy."""

    def pick(self, candidates: Sequence[Deployment], pick: Pick) -> Deployment:
        return max(candidates, key=lambda one: one.id)


class NotOnTuesdays:
    """A user's own pre-call check."""

    def reject(self, deployment: Deployment, call: Call) -> str | None:
        return "closed today" if deployment.id == "westus" else None


def test_a_strategy_and_a_check_of_ones_own(cloud: FakeCloud) -> None:
    with router_of(cloud, routing_strategy=Last(), optional_pre_call_checks=[NotOnTuesdays()]) as router:
        assert asked(router, 10) == {"swedencentral": 10}
        assert router.explain("gpt", "hi").rejected == {"westus": "closed today"}
    only_closed = router_of(cloud, "westus", optional_pre_call_checks=[NotOnTuesdays()])
    with only_closed as router, pytest.raises(NoDeploymentAvailable, match="closed today"):
        router.responses("gpt", "hi")


def test_a_strategy_that_invents_a_deployment_is_told_so(cloud: FakeCloud) -> None:
    class Wrong:
        def pick(self, candidates: Sequence[Deployment], pick: Pick) -> Deployment:
            return Deployment(candidates[0].spec)

    with router_of(cloud, routing_strategy=Wrong()) as router:
        with pytest.raises(TurnoutError, match="Wrong returned"):
            router.responses("gpt", "hi")
        assert in_flight(router) == 0


def test_order_levels_are_used_one_after_the_other(cloud: FakeCloud) -> None:
    rows = [row(cloud, "eastus", order=1), row(cloud, "westus", order=2), row(cloud, "swedencentral", order=3)]
    with Router(rows) as router:
        assert asked(router, 10) == {"eastus": 10}
        cloud["eastus"].set_fault(throttle({"retry-after": "60"}))
        assert asked(router, 10) == {"westus": 10}


def test_aliases_wildcards_and_deployment_ids(cloud: FakeCloud) -> None:
    rows = [row(cloud, "eastus"), row(cloud, "westus", "azure/*", model="azure/*")]
    with Router(rows, model_group_alias={"best": "gpt", "hidden": {"model": "gpt", "hidden": True}}) as router:
        for name in ("gpt", "best", "hidden", "eastus"):
            assert asked(router, 1, name) == {"eastus": 1}
        assert router.responses("azure/gpt-5-mini", "hi").model == "gpt-5-mini"
        assert cloud["westus"].journal[-1].body["model"] == "gpt-5-mini"


def test_regions_are_a_constraint(cloud: FakeCloud) -> None:
    rows = [
        row(cloud, "eastus", region_name="eastus"),
        row(cloud, "swedencentral", region_name="swedencentral"),
        row(cloud, "westus"),
    ]
    with Router(rows, fallbacks=[{"gpt": ["westus"]}]) as router:
        assert asked(router, 10, allowed_model_region="eu") == {"swedencentral": 10}
        cloud["swedencentral"].set_fault(outage())
        with pytest.raises(APIError):
            router.responses("gpt", "hi", allowed_model_region="eu")
        with pytest.raises(NoDeploymentAvailable, match="allowed is asia"):
            router.responses("gpt", "hi", allowed_model_region="asia")
    assert cloud["westus"].requests == cloud["eastus"].requests == 0


def test_tags(cloud: FakeCloud) -> None:
    rows = [row(cloud, "eastus", tags=["paid"]), row(cloud, "westus", tags=["free"]), row(cloud, "swedencentral")]
    with Router(rows, enable_tag_filtering=True) as router:
        assert asked(router, 5, tags=["paid"]) == {"eastus": 5}
        assert asked(router, 5, metadata={"tags": ["free"], "kept": "x"}) == {"westus": 5}
        assert cloud["westus"].journal[-1].body["metadata"] == {"kept": "x"}
        assert asked(router, 5) == {"swedencentral": 5}
        made = router.responses("gpt", "hi", tags=["paid"])
        assert router.get_responses(made.id).id == made.id


def test_a_fallback_group_is_tried_once(cloud: FakeCloud) -> None:
    rows = [row(cloud, one, group) for one, group in zip(cloud.regions, ("a", "b", "c"), strict=True)]
    for region in cloud.regions:
        cloud[region].set_fault(outage())
    with Router(rows, num_retries=0) as router, pytest.raises(APIError) as raised:
        router.responses("a", "hi", fallbacks=["a", "b", "c"])
    assert [one.model_group for one in raised.value.attempts] == ["a", "b", "c"]
    with Router(rows, num_retries=0, max_fallbacks=1) as router, pytest.raises(APIError) as raised:
        router.responses("a", "hi", fallbacks=["b", "c"])
    assert [one.model_group for one in raised.value.attempts] == ["a", "b"]


def test_a_fallback_group_whose_deployments_are_gone_is_passed_over(cloud: FakeCloud) -> None:
    rows = [row(cloud, "eastus", "a"), row(cloud, "westus", "b"), row(cloud, "swedencentral", "c")]
    cloud["eastus"].set_fault(outage())
    with Router(rows, num_retries=0, fallbacks=[{"a": ["b", "c"]}]) as router:
        router.delete_deployment("westus")
        assert router.responses("a", "hi").route.deployment == "swedencentral"


def test_the_context_window_check(cloud: FakeCloud) -> None:
    rows = [row(cloud, "eastus", max_input_tokens=10), row(cloud, "westus", max_input_tokens=100_000)]
    with Router(rows, enable_pre_call_checks=True) as router:
        assert {router.responses("gpt", "x" * 400).route.deployment for _ in range(8)} == {"westus"}


def test_rpm_is_a_limit(cloud: FakeCloud) -> None:
    rows = [row(cloud, "eastus", rpm=5), row(cloud, "westus", rpm=7)]

    async def run() -> list[object]:
        async with Router(rows, max_wait=0.2, num_retries=0) as router:
            calls = [router.aresponses("gpt", "hi") for _ in range(40)]
            return await asyncio.gather(*calls, return_exceptions=True)

    results = asyncio.run(run())
    refused = [one for one in results if isinstance(one, NoDeploymentAvailable)]
    assert (cloud["eastus"].requests, cloud["westus"].requests) == (5, 7)
    assert len(refused) == 28
    assert "rpm limit of 5 reached" in str(refused[0])
    assert 0 < (refused[0].retry_after or 0) <= 61


def test_tpm_is_a_limit_settled_by_what_was_used(cloud: FakeCloud) -> None:
    with Router([row(cloud, "eastus", tpm=1000)], max_wait=0.1) as router:
        # each call is estimated at about 420 tokens and uses about 10: reservations are given back
        for _ in range(20):
            router.responses("gpt", "hi", max_output_tokens=419)
        with pytest.raises(NoDeploymentAvailable, match="tpm limit of 1000"):
            router.responses("gpt", "hi", max_output_tokens=900)


def test_max_parallel_requests_waits_first_in_first_out(cloud: FakeCloud) -> None:
    cloud["eastus"].latency = 0.03
    finished: list[int] = []
    most = 0

    async def run() -> None:
        nonlocal most
        async with router_of(cloud, "eastus", default_max_parallel_requests=2) as router:

            async def one(number: int) -> None:
                await router.aresponses("gpt", "hi")
                finished.append(number)

            tasks = []
            for number in range(16):
                tasks.append(asyncio.create_task(one(number)))
                await asyncio.sleep(0.001)
            while not all(task.done() for task in tasks):
                most = max(most, cloud["eastus"].in_flight)
                await asyncio.sleep(0.002)

    asyncio.run(run())
    assert most == 2
    assert all(abs(number - place) <= 1 for place, number in enumerate(finished)), finished


def test_the_queue_is_bounded(cloud: FakeCloud) -> None:
    cloud["eastus"].latency = 0.1

    async def run() -> list[object]:
        async with router_of(cloud, "eastus", default_max_parallel_requests=1, max_queue=3) as router:
            return await asyncio.gather(*[router.aresponses("gpt", "hi") for _ in range(10)], return_exceptions=True)

    results = asyncio.run(run())
    assert sum(isinstance(one, NoDeploymentAvailable) for one in results) == 6
    assert cloud["eastus"].requests == 4


def test_threads_wait_too(cloud: FakeCloud) -> None:
    cloud["eastus"].latency = 0.02
    with router_of(cloud, "eastus", default_max_parallel_requests=1) as router:
        threads = [threading.Thread(target=router.responses, args=("gpt", "hi")) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert in_flight(router) == 0
    assert cloud["eastus"].served == 12


def test_timeouts_of_a_deployment_of_a_call_and_of_everything(cloud: FakeCloud) -> None:
    cloud["eastus"].latency = 1.0
    with Router([row(cloud, "eastus", timeout=0.1), row(cloud, "westus")], routing_strategy=First()) as router:
        response = router.responses("gpt", "hi")
        assert [one.error for one in response.route.attempts] == ["APITimeoutError", None]
    with Router([row(cloud, "eastus")], num_retries=0) as router:
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError):
            router.responses("gpt", "hi", timeout=0.2)
        assert time.monotonic() - started < 0.8


class First:
    def pick(self, candidates: Sequence[Deployment], pick: Pick) -> Deployment:
        return min(candidates, key=lambda one: one.id)


def test_retries_by_policy(cloud: FakeCloud) -> None:
    cloud["eastus"].set_fault(outage())
    never = router_of(cloud, "eastus", retry_policy={"InternalServerErrorRetries": 0})
    with never as router, pytest.raises(APIError):
        router.responses("gpt", "hi")
    assert cloud["eastus"].requests == 1
    with router_of(cloud, "eastus") as router, pytest.raises(APIError):
        router.responses("gpt", "hi", num_retries=1)
    assert cloud["eastus"].requests == 3


def test_allowed_fails_cooldown_time_and_disable_cooldowns(cloud: FakeCloud) -> None:
    cloud["eastus"].set_fault(outage())
    with router_of(cloud, "eastus", allowed_fails=1, cooldown_time=0.3, num_retries=0, max_wait=0) as router:
        for _ in range(2):
            with pytest.raises(APIError):
                router.responses("gpt", "hi")
        assert router.status()[0].state == "cooling down"
        cloud["eastus"].set_fault(None)
        time.sleep(0.35)
        assert router.responses("gpt", "hi").route.deployment == "eastus"
        assert router.status()[0].state == "ready"
    cloud["eastus"].set_fault(outage())
    with router_of(cloud, "eastus", disable_cooldowns=True, num_retries=0) as router:
        for _ in range(12):
            with pytest.raises(APIError):
                router.responses("gpt", "hi")
        assert router.status()[0].state == "ready"


def test_quota_is_not_retried_on_the_same_deployment(cloud: FakeCloud) -> None:
    body = error_body("You exceeded your current quota", "insufficient_quota", "insufficient_quota")
    cloud["eastus"].set_fault(Fault("status", 429, body))
    with router_of(cloud, "eastus") as router, pytest.raises(RateLimitError) as caught:
        router.responses("gpt", "hi")
    assert type(caught.value).__name__ == "QuotaExceededError"
    assert cloud["eastus"].requests == 1


def test_deployments_change_while_calls_run(cloud: FakeCloud) -> None:
    cloud["eastus"].latency = 0.2

    async def run() -> None:
        async with router_of(cloud, "eastus") as router:
            running = [asyncio.create_task(router.aresponses("gpt", "hi")) for _ in range(5)]
            await asyncio.sleep(0.05)
            router.add_deployment(row(cloud, "westus"))
            assert router.delete_deployment("eastus")
            assert not router.delete_deployment("eastus")
            assert (await router.aresponses("gpt", "hi")).route.deployment == "westus"
            assert {(await one).route.deployment for one in running} == {"eastus"}
            with pytest.raises(ConfigError, match="exists already"):
                router.add_deployment(row(cloud, "westus"))
            router.upsert_deployment(row(cloud, "westus", api_key="rotated", rpm=1000))
            router.set_model_list([row(cloud, "westus"), row(cloud, "swedencentral", "other")])
            assert [one.id for one in router.status()] == ["westus", "swedencentral"]
            assert in_flight(router) == 0

    asyncio.run(run())


def test_two_routers_know_nothing_of_each_other(cloud: FakeCloud) -> None:
    cloud["eastus"].set_fault(throttle({"retry-after": "60"}))
    with router_of(cloud, "eastus", num_retries=0, max_wait=0) as one, router_of(cloud, "eastus") as other:
        with pytest.raises(RateLimitError):
            one.responses("gpt", "hi")
        assert one.status()[0].state == "throttled"
        assert other.status()[0].state == "ready"


def test_one_router_serves_many_event_loops_and_threads(cloud: FakeCloud) -> None:
    with router_of(cloud) as router:

        async def some() -> None:
            await asyncio.gather(*[router.aresponses("gpt", "hi") for _ in range(10)])
            await router.aclose()

        threads = [threading.Thread(target=lambda: asyncio.run(some())) for _ in range(4)]
        for thread in threads:
            thread.start()
        asked(router, 10)
        for thread in threads:
            thread.join()
        assert in_flight(router) == 0
    assert sum(region.served for region in cloud.regions.values()) == 50


FORGETFUL = """
import asyncio, sys
from turnout import Router
params = {"model": "azure/x", "api_key": "k", "api_base": sys.argv[1]}
router = Router([{"model_name": "g", "litellm_params": params}])
for _ in range(3):
    print(asyncio.run(router.aresponses("g", "hi")).status, len(router._looping._pools))
"""


def test_an_event_loop_that_ends_without_aclose_leaves_no_pool_and_no_noise(cloud: FakeCloud) -> None:
    command = [sys.executable, "-c", FORGETFUL, cloud["eastus"].url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["completed 1"] * 3
    assert done.stderr == ""


def test_sync_calls_work_inside_a_running_loop(cloud: FakeCloud) -> None:
    async def run() -> str:
        with router_of(cloud) as router:
            return router.responses("gpt", "hi").output_text

    assert "turn 1" in asyncio.run(run())


def test_what_is_reported(cloud: FakeCloud) -> None:
    events: list[Any] = []
    cloud["eastus"].set_fault(outage())
    with Router(
        [row(cloud, "eastus"), row(cloud, "westus")], routing_strategy=First(), callbacks=[events.append]
    ) as router:
        response = router.responses("gpt", "hi")
        list(router.responses("gpt", "hi", stream=True))
    assert [type(event).__name__ for event in events[:3]] == ["AttemptFinished", "AttemptFinished", "CallFinished"]
    assert events[2].route == response.route
    assert events[2].output_tokens == response.usage.output_tokens
    assert events[0].attempt.error == "InternalServerError"
    assert events[-1].route.attempts[-1].outcome == "ok"


def test_callbacks_and_stores_that_fail_fail_no_call(cloud: FakeCloud, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def get(self, key: str) -> str | None:
            raise OSError("gone")

        def set(self, key: str, value: str, ttl: float) -> None:
            raise OSError("gone")

        def delete(self, key: str) -> None:
            raise OSError("gone")

    def callback(event: object) -> None:
        raise ValueError("a bug")

    with router_of(cloud, store=Broken(), callbacks=[callback]) as router:
        first = router.responses("gpt", "hi")
        second = router.responses("gpt", "hi", previous_response_id=first.id)
        assert second.route.affinity == "pinned"
        router.delete_responses(second.id)
    assert sum("the store fails" in record.message for record in caplog.records) == 1
    assert sum("a callback failed" in record.message for record in caplog.records) >= 4


def test_logs_hold_no_secret_and_no_content(cloud: FakeCloud) -> None:
    lines: list[str] = []

    class Logger:
        def debug(self, event: str, **facts: object) -> None:
            lines.append(f"{event} {facts}")

        warning = debug

    cloud["eastus"].set_fault(outage())
    with Router([row(cloud, "eastus"), row(cloud, "westus")], routing_strategy=First(), log=Logger()) as router:
        router.responses("gpt", "a private question")
        said = "\n".join([*lines, repr(router), repr(router.status()), repr(router._fleet.deployments)])
    assert "attempt failed" in said
    assert "call served" in said
    assert "key-of" not in said
    assert "private question" not in said


def test_errors_hold_no_secret(cloud: FakeCloud) -> None:
    cloud["eastus"].api_keys = {"another"}
    with router_of(cloud, "eastus", num_retries=0) as router, pytest.raises(APIError) as caught:
        router.responses("gpt", "hi")
    assert "key-of-eastus" not in f"{caught.value!r} {caught.value} {vars(caught.value)}"
    assert caught.value.deployment == "eastus"


def test_a_provider_that_repeats_the_key_does_not_give_it_away(cloud: FakeCloud) -> None:
    for status in (401, 500):
        body = error_body("Incorrect API key provided: key-of-eastus", "x", "invalid_api_key")
        cloud["eastus"].set_fault(Fault("status", status, body))
        for stream in (False, True):
            with router_of(cloud, "eastus", num_retries=0) as router, pytest.raises(APIError) as caught:
                router.responses("gpt", "hi", stream=stream)
            assert "provided: ***" in str(caught.value)
            assert "key-of-eastus" not in f"{caught.value!r} {vars(caught.value)}"


def test_a_provider_may_forbid_a_retry(cloud: FakeCloud) -> None:
    cloud["eastus"].set_fault(Fault("status", 500, {}, {"x-should-retry": "false"}))
    with router_of(cloud, "eastus") as router, pytest.raises(APIError):
        router.responses("gpt", "hi")
    assert cloud["eastus"].requests == 1


def test_a_token_is_asked_for_on_every_call(cloud: FakeCloud) -> None:
    tokens = iter(["token-1", "token-2", "token-3"])
    cloud["eastus"].api_keys = {"token-1", "token-2"}
    params = {"api_key": None, "azure_ad_token_provider": lambda: next(tokens)}
    with Router([row(cloud, "eastus", **params)], num_retries=0) as router:
        asked(router, 2)
        with pytest.raises(APIError) as caught:
            router.responses("gpt", "hi")
        assert caught.value.status == 401
        with pytest.raises(TurnoutError, match="azure_ad_token_provider"):
            router.responses("gpt", "hi")
