"""Every store of facts of ours keeps the rules of the conformance kit."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.router.cache.stores import Clock, redis_at
from turnout.cache.guarded import GuardedStore
from turnout.cache.memory import MemoryStore
from turnout.cache.redis_client import RedisClient
from turnout.cache.shared import SharedState
from turnout.cache.shared_facts import SharedFacts
from turnout.protocols import Store
from turnout.testing import STORE_RULES, Opener


@pytest.fixture(params=["memory", "guarded", "redis", "cluster"])
def stores(request: pytest.FixtureRequest) -> Iterator[Opener[Store]]:
    clock = Clock()
    with ExitStack() as stack:

        def shared() -> Store:
            state = SharedState(RedisClient(redis_at(request.param, request)), interval=0.05)
            facts = SharedFacts(MemoryStore(), state)
            state.ensure()
            stack.callback(state.close, 1)
            return facts

        yield {
            "memory": Opener[Store](lambda: MemoryStore(timer=clock), clock.advance, 3600.0),
            "guarded": Opener[Store](lambda: GuardedStore(MemoryStore(timer=clock)), clock.advance, 3600.0),
        }.get(request.param) or Opener[Store](shared)


@pytest.mark.parametrize("rule", STORE_RULES)
def test_our_own(stores: Opener[Store], rule: str) -> None:
    STORE_RULES[rule](stores)
