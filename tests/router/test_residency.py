"""Regions that data may not leave: whatever a call goes through, nothing reaches a deployment outside of them."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.conftest import row
from turnout import ConfigError, Deployment, NoDeploymentAvailable, PinnedUnavailable, Router, TurnoutError
from turnout.checks.region import is_within
from turnout.context import Pick
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import Fault, outage, throttle
from turnout.sim.history import HistoryRegion

INSIDE, OUTSIDE = "swedencentral", "eastus"
EU = {"allowed_model_region": "eu"}
MEMBERS = "westeurope swedencentral West_Europe EU eu-west-1 eu-central-1 europe-west4 europe-west12 eu-de"
STRANGERS = "uksouth switzerlandnorth norwayeast eu-west-2 eu-central-2 europe-west2 europe-west6 eu-gb eastus europe"


@pytest.fixture
def accounts() -> Iterator[FakeCloud]:
    """Accounts that hold conversations, one inside and one outside."""
    with FakeCloud([HistoryRegion(INSIDE), HistoryRegion(OUTSIDE)]) as cloud:
        yield cloud


def placed(cloud: FakeCloud, region: str, group: str = "gpt", **params: Any) -> dict[str, Any]:
    return dict(row(cloud, region, group, region_name=region, **params))


def named(one: dict[str, Any], name: str, region: str) -> dict[str, Any]:
    """The row as another deployment on the same account."""
    params = {**one["litellm_params"], "region_name": region, "model": "azure/gpt-5"}
    return {**one, "litellm_params": params, "model_info": {"id": name}}


def test_what_the_european_union_is() -> None:
    assert all(is_within(one.replace("_", " "), ["eu"]) for one in MEMBERS.split())
    assert not any(is_within(one, ["eu"]) for one in STRANGERS.split())


@pytest.mark.parametrize(
    ("region", "allowed", "within"),
    [
        ("eastus2", ["us"], True),
        ("us-gov-west-1", ["us"], True),
        ("us-central1", ["us"], True),
        ("australiaeast", ["us"], False),
        ("uksouth", ["eu", "uksouth"], True),
        ("eu-west-2", ["eu-west"], True),
        ("westus", ["west"], False),
        ("eu", ["eu-west-1"], False),
        (None, ["eu"], False),
    ],
)
def test_regions_and_names_for_several_of_them(region: str | None, allowed: Sequence[str], within: bool) -> None:
    assert is_within(region, allowed) is within


FAULTS: dict[str, Callable[[], Fault]] = {
    "down": outage,
    "throttled": lambda: throttle({"retry-after": "30"}),
    "overloaded": lambda: outage(529),
}
ROUTERS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "of the call": ("gpt", {}, EU),
    "of the Router": ("gpt", EU, {}),
    "of the model group": ("gpt", {"model_group_region": {"gpt": ["eu"]}}, {}),
    "of an alias": ("best", {"model_group_region": {"gpt": "eu"}, "model_group_alias": {"best": "gpt"}}, {}),
    "of the call to a default fallback": ("gpt", {"fallbacks": [], "default_fallbacks": ["spare"]}, EU),
    "of the call, which narrows the Router's": ("gpt", {"allowed_model_region": ["eu", "us"]}, EU),
    "of the Router, which a call cannot widen": ("gpt", EU, {"allowed_model_region": ["eu", "us"]}),
    "of a deployment by its id": (INSIDE, EU, {}),
    "of a wildcard": ("azure/gpt-4o", {**EU, "fallbacks": [{"azure/*": ["spare"]}]}, {}),
    "of a call with fallbacks": ("gpt", {"fallbacks": []}, {**EU, "fallbacks": ["spare", OUTSIDE]}),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", ROUTERS)
def test_no_retry_fallback_or_probe_leaves_them(cloud: FakeCloud, case: str, fault: str) -> None:
    model, settings, given = ROUTERS[case]
    rows = [
        placed(cloud, INSIDE),
        placed(cloud, OUTSIDE),
        named(placed(cloud, INSIDE, "azure/*"), "star", INSIDE),
        named(placed(cloud, "westus", "spare"), "spare", "westus"),
        named(placed(cloud, OUTSIDE, "spare"), "spare2", OUTSIDE),
    ]
    with Router(rows, max_wait=0.05, **{"fallbacks": [{"gpt": ["spare"]}], **settings}) as router:
        assert {router.responses(model, "hi", **given).route.deployment for _ in range(6)} <= {INSIDE, "star"}
        cloud[INSIDE].set_fault(FAULTS[fault]())
        for _ in range(8):
            with pytest.raises(TurnoutError):
                router.responses(model, "hi", **given)
    assert cloud[OUTSIDE].requests == cloud["westus"].requests == 0


def test_a_call_for_one_region_does_not_take_its_turn_elsewhere(cloud: FakeCloud) -> None:
    cloud[INSIDE].latency = 0.05

    async def run() -> None:
        rows = [placed(cloud, INSIDE, max_parallel_requests=1), placed(cloud, OUTSIDE)]
        async with Router(rows) as router:
            served = await asyncio.gather(*[router.aresponses("gpt", "hi", **EU) for _ in range(5)])
            assert {one.route.deployment for one in served} == {INSIDE}

    asyncio.run(run())
    assert cloud[OUTSIDE].requests == 0


def test_a_pinned_call_does_not_go_to_a_peer_outside(cloud: FakeCloud) -> None:
    home = placed(cloud, INSIDE)
    with Router([home, named(home, "peer", OUTSIDE)], max_wait=0.05, num_retries=0) as router:
        first = router.responses("gpt", "hi", **EU)
        assert first.route.deployment == INSIDE
        cloud[INSIDE].set_fault(throttle({"retry-after": "30"}, times=1))
        for _ in range(3):
            with pytest.raises(TurnoutError):
                router.responses("gpt", "more", previous_response_id=first.id, **EU)
        assert router.responses("gpt", "more", previous_response_id=first.id).route.deployment == "peer"


def test_a_conversation_that_began_outside_goes_on_inside_or_not_at_all(accounts: FakeCloud) -> None:
    rows = [placed(accounts, OUTSIDE, order=1), placed(accounts, INSIDE, order=2)]
    with Router(rows, transcripts=True) as router:
        first = router.responses("gpt", "ask-1")
        second = router.responses("gpt", "ask-2", previous_response_id=first.id, **EU)
        assert (first.route.deployment, second.route.deployment) == (OUTSIDE, INSIDE)
        assert second.route.affinity == "replayed"
        accounts.kill(INSIDE)
        with pytest.raises(TurnoutError):
            router.responses("gpt", "ask-3", previous_response_id=second.id, timeout=1, **EU)
    with Router(rows) as router:
        first = router.responses("gpt", "ask-1")
        with pytest.raises(PinnedUnavailable, match="its region is eastus"):
            router.responses("gpt", "ask-2", previous_response_id=first.id, **EU)
    assert accounts[OUTSIDE].requests == 2


def test_stored_responses_outside_are_not_asked_for(accounts: FakeCloud) -> None:
    rows = [placed(accounts, OUTSIDE, order=1), placed(accounts, INSIDE, order=2)]
    with Router(rows, transcripts=True) as router:
        first = router.responses("gpt", "ask-1")
        second = router.responses("gpt", "ask-2", previous_response_id=first.id, **EU)
        before = accounts[OUTSIDE].requests
        with contextlib.suppress(TurnoutError):  # what of the chain lies outside is not deleted there
            router.delete_responses(second.id, whole_chain=True, **EU)
        for ask in (router.get_responses, router.list_input_items, router.cancel_responses, router.delete_responses):
            with contextlib.suppress(TurnoutError):  # what the transcript knows is told from it
                ask(first.id, **EU)
    assert accounts[OUTSIDE].requests == before


class Stubborn:
    """A strategy that returns what it was not offered."""

    def __init__(self) -> None:
        self.outside: Deployment | None = None

    def pick(self, candidates: Sequence[Deployment], pick: Pick) -> Deployment:
        assert self.outside is not None
        return self.outside


def test_no_strategy_leaves_them_among_any_number_of_deployments(cloud: FakeCloud) -> None:
    inside = placed(cloud, INSIDE)
    rows = [placed(cloud, OUTSIDE), *(named(inside, f"d{number}", INSIDE) for number in range(80))]
    strategy = Stubborn()
    with Router(rows, routing_strategy=strategy) as router:
        strategy.outside = router._fleet.deployments[OUTSIDE]
        with pytest.raises(TurnoutError, match="not one of the candidates"):
            router.responses("gpt", "hi", **EU)
    assert cloud[OUTSIDE].requests == 0


def test_a_region_that_nothing_is_in_says_so(cloud: FakeCloud) -> None:
    with Router([row(cloud, "eastus")], **EU) as router:
        with pytest.raises(NoDeploymentAvailable, match="its region is not stated, allowed is eu"):
            router.responses("gpt", "hi")
        assert "eastus" in router.explain("gpt", "hi").rejected
        with pytest.raises(ConfigError, match="allowed_model_region"):
            router.responses("gpt", "hi", allowed_model_region=[])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model_group_region": {"gtp": "eu"}}, ["model_group_region.gtp", "'gpt'"]),
        ({"model_group_region": {"gpt": [1]}}, ["model_group_region.gpt[0]", "string"]),
        ({"allowed_model_region": 3}, ["allowed_model_region", "list"]),
        ({"allowed_model_region": []}, ["allowed_model_region", "no region"]),
    ],
)
def test_bad_settings(cloud: FakeCloud, settings: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Router([row(cloud, "eastus")], **settings)
    for word in words:
        assert word in str(caught.value)
