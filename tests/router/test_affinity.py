"""Affinity through a Router: calls of one key stay together, go on elsewhere when they must, and come back."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from math import ceil
from typing import Any

import pytest

from tests.conftest import router_of, row
from turnout import ConfigError, Deployment, Pick, Router
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import throttle

LONG = "You are a careful assistant. " * 200
REASONING = {"reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"], "store": False}


def sticky(cloud: FakeCloud, *checks: str, **settings: object) -> Router:
    return router_of(cloud, optional_pre_call_checks=list(checks), **settings)


def went(router: Router, times: int = 1, **params: Any) -> Counter[tuple[str, str]]:
    routes = [router.responses("gpt", params.get("input", "hi"), **params).route for _ in range(times)]
    return Counter((route.deployment, route.affinity) for route in routes)


def first_choice(router: Router, **params: Any) -> str:
    return router.explain("gpt", "hi", **params).candidates[0]


def preferring(router: Router, deployment: str, field: str, **more: Any) -> str:
    """A value of the field whose calls prefer this deployment."""
    values = (f"{field}-{number}" for number in range(200))
    return next(one for one in values if first_choice(router, **{field: one}, **more) == deployment)


def await_ready(router: Router, deployment: str) -> None:
    for _ in range(500):
        if any(one.id == deployment and one.state == "ready" for one in router.status()):
            return
        time.sleep(0.01)
    raise AssertionError(f"{deployment} does not come back")


def test_a_session_stays_goes_on_where_it_ranks_next_and_comes_back(cloud: FakeCloud) -> None:
    with sticky(cloud, "session_affinity", disable_cooldowns=True) as router:
        home, second, third = router.explain("gpt", "hi", session_id="s").candidates
        assert went(router, 10, session_id="s") == {(home, "session"): 10}
        cloud.kill(home)
        assert went(router, 10, session_id="s") == {(second, "session"): 10}
        cloud.kill(second)
        assert went(router, 3, session_id="s") == {(third, "session"): 3}
        cloud.revive(home)
        assert went(router, 10, session_id="s") == {(home, "session"): 10}


def test_a_session_waits_out_a_throttle_elsewhere(cloud: FakeCloud) -> None:
    with sticky(cloud, "session_affinity") as router:
        home, second, _ = router.explain("gpt", "hi", session_id="s").candidates
        cloud[home].set_fault(throttle({"retry-after-ms": "200"}, times=1))
        assert went(router, 3, session_id="s") == {(second, "session"): 3}
        assert cloud[home].requests == 1  # the others were not sent to a deployment known to be throttled
        await_ready(router, home)
        assert went(router, 3, session_id="s") == {(home, "session"): 3}


def test_two_routers_agree_without_a_store(cloud: FakeCloud) -> None:
    names = list(cloud.regions)
    checks = {"optional_pre_call_checks": ["session_affinity"]}
    with router_of(cloud, *names, **checks) as one, router_of(cloud, *reversed(names), **checks) as other:
        sessions = [f"s{number}" for number in range(30)]
        places = [first_choice(one, session_id=session) for session in sessions]
        assert [first_choice(other, session_id=session) for session in sessions] == places
        assert set(places) == set(names)


def test_tenants_with_the_same_session_id_are_independent(cloud: FakeCloud) -> None:
    with sticky(cloud, "session_affinity") as router:
        tenants = [f"t{number}" for number in range(30)]
        places = {tenant: first_choice(router, session_id="s", tenant=tenant) for tenant in tenants}
        assert set(places.values()) == set(cloud.regions)
        for tenant in tenants[:5]:
            assert went(router, 2, session_id="s", tenant=tenant) == {(places[tenant], "session"): 2}


def test_calls_without_a_key_are_the_strategys(cloud: FakeCloud) -> None:
    with sticky(cloud, "session_affinity", routing_strategy="simple-shuffle") as router:
        made = went(router, 60)
    assert set(made) == {(region, "none") for region in cloud.regions}


def test_the_callers_key_and_the_tenant_keep_to_a_deployment(cloud: FakeCloud) -> None:
    with sticky(cloud, "deployment_affinity", deployment_affinity_ttl_seconds=600) as router:
        for caller in ({"tenant": "acme"}, {"litellm_metadata": {"user_api_key_hash": "88dc28d0f030"}}):
            [(_, affinity)] = went(router, 10, **caller)
            assert affinity == "deployment"


def test_calls_with_a_common_beginning_share_a_deployment(cloud: FakeCloud) -> None:
    with sticky(cloud, "prompt_caching", routing_strategy="simple-shuffle") as router:
        assert len(went(router, 10, instructions=LONG)) == 1
        beginnings = [f"Project {number}. {LONG}" for number in range(30)]
        made = Counter(router.responses("gpt", "hi", instructions=one).route.deployment for one in beginnings)
        assert set(made) == set(cloud.regions)
        assert set(went(router, 40)) == {(region, "none") for region in cloud.regions}


def test_session_ids_are_not_sent_upstream(cloud: FakeCloud) -> None:
    with sticky(cloud, "session_affinity") as router:
        router.responses("gpt", "hi", session_id="secret-a")
        router.responses("gpt", "hi", litellm_session_id="secret-b")
        router.responses("gpt", "hi", litellm_metadata={"session_id": "secret-c"})
    assert sum(len(region.journal) for region in cloud.regions.values()) == 3
    assert not any("secret" in repr(entry) for region in cloud.regions.values() for entry in region.journal)


def test_a_session_id_that_is_too_long_is_refused_before_anything_is_sent(cloud: FakeCloud) -> None:
    with sticky(cloud, "session_affinity") as router, pytest.raises(ConfigError, match="session_id may have 1024"):
        router.responses("gpt", "hi", session_id="x" * 1025)
    assert not any(region.requests for region in cloud.regions.values())


# --- the order of precedence, pair by pair


def test_a_pin_comes_before_a_session(cloud: FakeCloud) -> None:
    with sticky(cloud, "session_affinity") as router:
        for session, region in ((preferring(router, one, "session_id"), one) for one in cloud.regions):
            first = router.responses("gpt", "hi")
            second = router.responses("gpt", "more", previous_response_id=first.id, session_id=session)
            assert (second.route.deployment, second.route.affinity) == (first.route.deployment, "pinned"), region


def test_a_session_chooses_among_the_deployments_of_a_pin(cloud: FakeCloud) -> None:
    """Both deployments are on the account; the one that made the response is gone."""
    rows = [row(cloud, "eastus", model=f"azure/gpt-{number}") for number in range(4)]
    for number, one in enumerate(rows):
        one["model_info"] = {"id": f"peer-{number}"}
    with Router(rows, optional_pre_call_checks=["session_affinity"]) as router:
        first = router.responses("gpt", "hi", session_id="s")
        router.delete_deployment(first.route.deployment)
        expected = first_choice(router, session_id="s")
        for _ in range(5):
            made = router.responses("gpt", "more", previous_response_id=first.id, session_id="s")
            assert (made.route.deployment, made.route.affinity) == (expected, "peer")


def test_the_home_of_encrypted_reasoning_comes_before_a_session(cloud: FakeCloud) -> None:
    with sticky(cloud, "session_affinity", "encrypted_content_affinity") as router:
        for region in cloud.regions:
            first = router.responses(region, "hi", **REASONING)
            items = [*[item.to_dict() for item in first.output], {"role": "user", "content": "go on"}]
            for other in cloud.regions:
                session = preferring(router, other, "session_id")
                made = router.responses("gpt", items, session_id=session, **REASONING)
                assert (made.route.deployment, made.route.affinity) == (region, "pinned")
                assert router.explain("gpt", items, session_id=session).candidates[0] == region


def test_a_session_comes_before_the_caller(cloud: FakeCloud) -> None:
    with sticky(cloud, "deployment_affinity", "session_affinity") as router:
        tenant = preferring(router, "eastus", "tenant")
        session = preferring(router, "westus", "session_id", tenant=tenant)
        assert went(router, 3, tenant=tenant, session_id=session) == {("westus", "session"): 3}
        assert went(router, 3, tenant=tenant) == {("eastus", "deployment"): 3}


def test_the_caller_comes_before_the_prompt(cloud: FakeCloud) -> None:
    with sticky(cloud, "prompt_caching", "deployment_affinity") as router:
        tenant = preferring(router, "eastus", "tenant")
        prompt = preferring(router, "westus", "prompt_cache_key")
        assert went(router, 3, tenant=tenant, prompt_cache_key=prompt) == {("eastus", "deployment"): 3}
        assert went(router, 3, prompt_cache_key=prompt) == {("westus", "prompt_cache"): 3}


class Last:
    def pick(self, candidates: Sequence[Deployment], pick: Pick) -> Deployment:
        return max(candidates, key=lambda one: one.id)


def test_a_prompt_comes_before_the_strategy(cloud: FakeCloud) -> None:
    with sticky(cloud, "prompt_caching", routing_strategy=Last()) as router:
        prompt = preferring(router, "eastus", "prompt_cache_key")
        assert went(router, 3, prompt_cache_key=prompt) == {("eastus", "prompt_cache"): 3}
        assert went(router, 3) == {("westus", "none"): 3}


def test_order_and_checks_come_before_every_key(cloud: FakeCloud) -> None:
    rows = [
        row(cloud, "eastus", order=1, region_name="eu"),
        row(cloud, "westus", order=1),
        row(cloud, "swedencentral", order=2),
    ]
    with Router(rows, optional_pre_call_checks=["session_affinity"]) as router:
        sessions = [f"s{number}" for number in range(30)]
        assert {first_choice(router, session_id=one) for one in sessions} == {"eastus", "westus"}
        assert {first_choice(router, session_id=one, allowed_model_region="eu") for one in sessions} == {"eastus"}
        made = Counter(router.responses("gpt", "hi", session_id=one).route.deployment for one in sessions)
        assert set(made) == {"eastus", "westus"}
        assert went(router, 3, session_id="s1", allowed_model_region="eu") == {("eastus", "session"): 3}


def test_a_group_may_have_affinities_of_its_own(cloud: FakeCloud) -> None:
    rows = [row(cloud, region, group) for group in ("gpt", "chat") for region in ("eastus", "westus")]
    for number, one in enumerate(rows):
        one["model_info"] = {"id": f"d{number}"}
    own = {"chat": ["session_affinity"]}
    with Router(rows, optional_pre_call_checks=["prompt_caching"], model_group_affinity_config=own) as router:
        call = {"session_id": "s", "prompt_cache_key": "k"}
        assert router.explain("gpt", "hi", **call).affinity == "prompt_cache"
        assert router.explain("chat", "hi", **call).affinity == "session"
        assert router.explain("chat", "hi", prompt_cache_key="k").affinity is None


# --- load


def at_once(cloud: FakeCloud, calls: int, check: str, **params: Any) -> list[int]:
    """The calls that each region got, of so many that were all under way at the same time."""
    for region in cloud.regions.values():
        region.latency = 0.3

    async def run() -> None:
        async with sticky(cloud, check) as router:
            await asyncio.gather(*[router.aresponses("gpt", "hi", **params) for _ in range(calls)])

    asyncio.run(run())
    return sorted(region.requests for region in cloud.regions.values())


def test_one_prompt_does_not_overload_a_deployment(cloud: FakeCloud) -> None:
    made = at_once(cloud, 60, "prompt_caching", prompt_cache_key="everybody's")
    assert sum(made) == 60
    assert max(made) <= ceil(1.25 * 60 / 3) + 1
    assert min(made) < 60 // 3  # still a preference: not spread evenly


def test_one_session_stays_together_under_load(cloud: FakeCloud) -> None:
    assert at_once(cloud, 30, "session_affinity", session_id="s") == [0, 0, 30]
