"""Cancellation at random points, 10,000 times: nothing stays behind."""

import asyncio
import contextlib
import ctypes
import gc
import random
import resource
import threading
import time

import pytest

from tests.conftest import in_flight, router_of
from turnout import Router, TurnoutError
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import Fault, throttle

ASYNC_ROUNDS = 7_000
SYNC_ROUNDS = 3_000


def settle(cloud: FakeCloud) -> None:
    """Gives the servers a moment to notice closed connections."""
    for _ in range(100):
        if not any(region.in_flight or region.connections for region in cloud.regions.values()):
            return
        time.sleep(0.05)


def unruly(cloud: FakeCloud) -> None:
    """Regions in which a call is at any stage when it is cancelled: waiting, sending, reading, retrying."""
    cloud["eastus"].latency, cloud["eastus"].word_seconds = 0.002, 0.001
    cloud["westus"].set_fault(throttle({"retry-after-ms": "5"}))
    cloud["swedencentral"].set_fault(Fault("cut", events=6, share=0.3))


async def consume(router: Router, stream: bool) -> None:
    answer = await router.aresponses("gpt", "hello", stream=stream)
    if stream:
        async for _ in answer:
            pass


@pytest.mark.parametrize("fast", [True, False], ids=["aiohttp", "httpx2"])
def test_async(cloud: FakeCloud, fast: bool) -> None:
    unruly(cloud)
    rng = random.Random(7)
    rounds = ASYNC_ROUNDS // 2

    async def one(router: Router) -> None:
        task = asyncio.create_task(consume(router, rng.random() < 0.5))
        await asyncio.sleep(rng.random() * 0.02)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, TurnoutError):
            await task

    async def run() -> None:
        router = router_of(cloud, max_wait=1)
        router._looping._fast = fast
        for row_id in ("eastus", "westus"):
            router.status()
            assert row_id in {one.id for one in router.status()}
        await batch(router, rounds // 4)
        gc.collect()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await batch(router, rounds - rounds // 4)
        assert in_flight(router) == 0
        assert not router._fleet._queues.waiting
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 20_000, f"memory grew by {grown} KiB over {rounds} cancellations"
        await router.aclose()

    async def batch(router: Router, count: int) -> None:
        for _ in range(0, count, 50):
            await asyncio.gather(*[one(router) for _ in range(50)])

    asyncio.run(run())
    settle(cloud)
    assert sum(region.in_flight for region in cloud.regions.values()) == 0
    assert sum(region.connections for region in cloud.regions.values()) == 0


class Stop(Exception):
    """Raised into a thread from outside, as a signal handler would."""


def test_sync(cloud: FakeCloud) -> None:
    """Streams left early, calls cut by their deadline, and exceptions raised into threads from outside."""
    unruly(cloud)
    router = router_of(cloud, max_wait=0.2)

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for number in range(SYNC_ROUNDS // 10):
            with contextlib.suppress(TurnoutError, Stop):
                if number % 3 == 0:
                    router.responses("gpt", "hello", timeout=0.001 + rng.random() * 0.01)
                else:
                    with router.responses("gpt", "hello", stream=True, timeout=1) as stream:
                        for _ in range(rng.randrange(12)):
                            next(stream, None)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert in_flight(router) == 0
    router.close()
    settle(cloud)
    assert sum(region.connections for region in cloud.regions.values()) == 0


def test_an_exception_from_outside_gives_everything_back(cloud: FakeCloud) -> None:
    cloud["eastus"].latency = 0.05
    router = router_of(cloud, "eastus")
    for _ in range(30):
        caught = threading.Event()

        def call(caught: threading.Event = caught) -> None:
            try:
                for _ in range(20):
                    router.responses("gpt", "hello")
            except Stop:
                caught.set()

        thread = threading.Thread(target=call)
        thread.start()
        time.sleep(0.02)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Stop))
        thread.join()
        assert caught.is_set()
        assert in_flight(router) == 0
    router.close()


def test_streams_that_are_dropped_give_their_place_back(cloud: FakeCloud) -> None:
    router = router_of(cloud, "eastus", num_retries=0)
    for _ in range(20):
        router.responses("gpt", "hello", stream=True)
    gc.collect()
    assert in_flight(router) == 0

    async def run() -> None:
        for _ in range(20):
            await router.aresponses("gpt", "hello", stream=True)
        gc.collect()
        await asyncio.sleep(0.1)
        assert in_flight(router) == 0
        await router.aclose()

    asyncio.run(run())


def test_waiting_calls_can_be_cancelled(cloud: FakeCloud) -> None:
    cloud["eastus"].latency = 0.05

    async def run() -> None:
        router = router_of(cloud, "eastus", default_max_parallel_requests=1)
        tasks = [asyncio.create_task(router.aresponses("gpt", "hello")) for _ in range(30)]
        await asyncio.sleep(0.02)
        for task in tasks[1:29:2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        served = [result for result in results if not isinstance(result, BaseException)]
        assert len(served) == 16
        assert cloud["eastus"].requests == 16
        assert in_flight(router) == 0
        await router.aclose()

    asyncio.run(run())
