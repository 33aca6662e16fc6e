"""A provider that is overloaded as a whole, over sockets: put last, still used where there is nobody else."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from tests.conftest import in_flight, row
from turnout import APIError, Deployment, Pick, Router
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import Fault, error_body, outage

AZURE = ("eastus", "westus")
OVERLOADED = Fault("status", 529, error_body("Overloaded", "overloaded_error", None))


class InTurn:
    """A strategy that takes one deployment after the other."""

    def __init__(self) -> None:
        self.asked = Counter[str]()

    def pick(self, candidates: Sequence[Deployment], pick: Pick) -> Deployment:
        chosen = min(candidates, key=lambda one: (self.asked[one.id], one.id))
        self.asked[chosen.id] += 1
        return chosen


def router_over(rows: list[dict[str, Any]], **settings: Any) -> Router:
    return Router(rows, routing_strategy=InTurn(), **settings)


def mixed(cloud: FakeCloud) -> list[dict[str, Any]]:
    """Two deployments of one provider, then one of another."""
    return [*(row(cloud, name, order=1) for name in AZURE), other(cloud, order=2)]


def shunned(router: Router) -> tuple[str, ...]:
    return router._fleet.providers.shunned(router._blocking.now())


def other(cloud: FakeCloud, group: str = "gpt", **params: Any) -> dict[str, Any]:
    """A deployment of another provider."""
    params = {"model": "openai/gpt-4o", "api_base": cloud["swedencentral"].url + "/v1", **params}
    return dict(row(cloud, "swedencentral", group, **params))


def overload(cloud: FakeCloud, fault: Fault = OVERLOADED) -> None:
    for name in AZURE:
        cloud[name].set_fault(fault)


def asked(router: Router, times: int = 20, model: str = "gpt") -> Counter[str]:
    return Counter(router.responses(model, "hi").route.deployment for _ in range(times))


def requests(cloud: FakeCloud) -> int:
    return sum(cloud[name].requests for name in AZURE)


def test_new_calls_avoid_all_of_its_deployments(cloud: FakeCloud) -> None:
    overload(cloud)
    with router_over(mixed(cloud)) as router:
        assert asked(router, 30) == {"swedencentral": 30}
        assert shunned(router) == ("azure",)
        assert in_flight(router) == 0
    assert requests(cloud) == 2  # each deployment had been asked once


def test_fallbacks_are_preferred_to_it(cloud: FakeCloud) -> None:
    overload(cloud)
    with router_over(
        [*(row(cloud, name) for name in AZURE), other(cloud, "spare")], fallbacks=[{"gpt": ["spare"]}]
    ) as router:
        assert asked(router) == {"swedencentral": 20}
    assert requests(cloud) == 2


def test_it_is_used_where_there_is_nobody_else(cloud: FakeCloud) -> None:
    overload(cloud)
    with router_over([row(cloud, name) for name in AZURE], num_retries=1) as router:
        with pytest.raises(APIError):
            router.responses("gpt", "hi")
        assert shunned(router) == ("azure",)
        overload(cloud, Fault("status", times=0))
        assert sum(asked(router, 5).values()) == 5


def test_it_is_used_when_the_others_fail(cloud: FakeCloud) -> None:
    overload(cloud)
    rows = [*mixed(cloud), other(cloud, "spare")]
    rows[-1]["model_info"] = {"id": "spare"}
    with router_over(rows, fallbacks=[{"gpt": ["spare"]}]) as router:
        assert asked(router, 3) == {"swedencentral": 3}
        overload(cloud, Fault("status", times=0))
        cloud.kill("swedencentral")
        assert set(asked(router, 5)) <= set(AZURE)


def test_a_fallback_of_the_same_provider_is_used_when_the_first_group_cannot(cloud: FakeCloud) -> None:
    overload(cloud)
    rows = [other(cloud), *(row(cloud, name, "spare") for name in AZURE)]
    with router_over(rows, fallbacks=[{"gpt": ["spare"]}], num_retries=1) as router:
        with pytest.raises(APIError):
            router.responses("spare", "hi")
        overload(cloud, Fault("status", times=0))
        cloud.kill("swedencentral")
        assert set(asked(router, 5)) <= set(AZURE)


def test_other_errors_of_several_deployments_eject_nobody(cloud: FakeCloud) -> None:
    overload(cloud, outage(503))
    with router_over(mixed(cloud)) as router:
        asked(router, 10)
        assert not router._fleet.providers.ill


def test_a_conversation_stays_where_it_is(cloud: FakeCloud) -> None:
    with router_over(mixed(cloud)) as router:
        first = router.responses("gpt", "hi")
        overload(cloud)
        asked(router, 2)
        assert shunned(router) == ("azure",)
        overload(cloud, Fault("status", times=0))
        again = router.responses("gpt", "more", previous_response_id=first.id)
        assert again.route.deployment == first.route.deployment


def test_streams_count_too(cloud: FakeCloud) -> None:
    overload(cloud)

    async def run() -> Counter[str]:
        async with router_over(mixed(cloud)) as router:
            went = Counter[str]()
            for _ in range(10):
                async with await router.aresponses("gpt", "hi", stream=True) as events:
                    async for _ in events:
                        pass
                went[events.route.deployment] += 1
            return went

    assert asyncio.run(run()) == {"swedencentral": 10}
    assert requests(cloud) == 2
