"""Names that come and go, and Routers that are closed, leave nothing behind."""

import asyncio
import contextlib
import gc
import sys
import threading
import types
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import router_of, row
from tests.valkey import ValkeyServer
from turnout import Router, TurnoutError
from turnout.cache.memory import MemoryStore
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import Fault
from turnout_adapters import forks

NAMES = 400
MOST = 60
"""Objects that a Router may have more of after that many names than after half of them."""
SHARED = (type, types.ModuleType, types.FunctionType, types.CodeType, types.FrameType)


def size(root: object) -> int:
    """Objects that can be reached from here, code and classes aside."""
    gc.collect()
    seen = {id(root)}
    todo: list[object] = [root]
    while todo:
        for one in gc.get_referents(todo.pop()):
            if id(one) not in seen and not isinstance(one, SHARED):
                seen.add(id(one))
                todo.append(one)
    return len(seen)


def grown(router: Router, use: Callable[[int], object]) -> int:
    """How many objects the second half of the names adds."""
    for number in range(NAMES // 2):
        use(number)
    before = size(router)
    for number in range(NAMES // 2, NAMES):
        use(number)
    return size(router) - before


def quietly(call: Callable[..., object], *args: Any, **options: Any) -> None:
    with contextlib.suppress(TurnoutError):
        call(*args, **options)


def wildcard_rows(cloud: FakeCloud) -> list[dict[str, object]]:
    params = {"model": "azure/*", "api_key": "key-of-eastus", "api_base": cloud["eastus"].url}
    return [{"model_name": "any-*", "litellm_params": params, "model_info": {"id": "wild"}}]


def test_names_of_callers(cloud: FakeCloud) -> None:
    """Of users, sessions, tenants, tags, models under a wildcard, and ids that are nobody's."""
    with Router([*wildcard_rows(cloud), row(cloud, "eastus")], num_retries=0, store=MemoryStore(50)) as router:

        def use(number: int) -> None:
            name = f"name-{number}-" + "x" * 50
            quietly(router.responses, f"any-{name}", "hello", user=name, safety_identifier=name)
            quietly(router.responses, "gpt", "hello", session_id=name, tenant=name, metadata={name: name})
            quietly(router.responses, "gpt", "hello", tags=[name], fallbacks=[name])
            quietly(router.responses, name, "hello", allowed_model_region=name)
            quietly(router.responses, "gpt", "hello", previous_response_id=f"resp_{name}")
            quietly(router.get_responses, f"resp_{name}", tenant=name)

        assert grown(router, use) < MOST


def test_groups_and_deployments_that_come_and_go(cloud: FakeCloud) -> None:
    cloud["eastus"].set_fault(Fault("status", status=429, share=0.3, headers={"retry-after": "3000"}))
    with router_of(cloud, "westus", num_retries=0, max_wait=0, hedge=True, store=MemoryStore(50)) as router:

        def use(number: int) -> None:
            added = {**row(cloud, "eastus", f"group-{number}"), "model_info": {"id": f"d{number}"}}
            router.add_deployment(added)
            quietly(router.responses, f"group-{number}", "hello")
            router.upsert_deployment({**added, "model_name": "gpt"})
            quietly(router.responses, "gpt", "hello", session_id=str(number))
            router.delete_deployment(f"d{number}")

        assert grown(router, use) < MOST
        assert [one.id for one in router.status()] == ["westus"]


def opened_and_closed(make: Callable[[], Router]) -> None:
    """In threads, in an event loop, and not at all."""
    router = make()
    quietly(router.responses, "gpt", "hello")
    router.close()

    async def run() -> None:
        async with make() as again:
            with contextlib.suppress(TurnoutError):
                await again.aresponses("gpt", "hello")

    asyncio.run(run())


def held() -> dict[str, int]:
    """What the process has: objects of ours and of the transports by class, fork hooks, threads."""
    gc.collect()
    found = Counter(type(one).__qualname__ for one in gc.get_objects() if _is_ours(str(type(one).__module__)))
    return {**found, "hooks": len(forks._OWNERS) + len(forks._GUARDS), "threads": threading.active_count()}


def _is_ours(module: str) -> bool:
    roots = ("turnout", "turnout_adapters", "httpcore2", "aiohttp", "h11", "structlog", "redis")
    return module.partition(".")[0] in roots and not module.startswith("turnout.sim")


def left_by_routers(make: Callable[[], Router], count: int) -> dict[str, int]:
    """What the process has more of after so many Routers."""
    opened_and_closed(make)
    before = held()
    for _ in range(count):
        opened_and_closed(make)
    return {name: more for name, now in held().items() if (more := now - before.get(name, 0)) > 0}


def test_closed_routers(cloud: FakeCloud) -> None:
    assert left_by_routers(lambda: router_of(cloud, "eastus", transcripts=True, log=True), 25) == {}


def test_closed_routers_that_shared(cloud: FakeCloud, valkey: ValkeyServer) -> None:
    assert left_by_routers(lambda: router_of(cloud, "eastus", redis_url=valkey.url, transcripts="redis"), 5) == {}


@pytest.mark.parametrize("closed", [True, False])
def test_a_router_that_nobody_has_any_more_is_collected(cloud: FakeCloud, closed: bool) -> None:
    router = router_of(cloud, "eastus")
    router.responses("gpt", "hello")
    asyncio.run(router.aresponses("gpt", "hello"))
    if closed:
        router.close()
    gone = weakref.ref(router)
    fleet = weakref.ref(router._fleet._lock)
    del router
    gc.collect()
    assert gone() is None
    assert fleet() is None


def test_text_of_callers_is_not_interned(cloud: FakeCloud) -> None:
    with router_of(cloud, "eastus") as router:
        name = "".join(["a name ", "of a user"])
        router.responses("gpt", "hello", session_id=name, user=name, tenant=name)
    del router
    gc.collect()
    assert sys.getrefcount(name) <= 3
