"""What a forked child has of its parent's Router: everything it knows, and nothing that it is doing."""

import asyncio
import json
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import in_flight, router_of
from turnout import Router, TurnoutError
from turnout.sim.fake_cloud import FakeCloud

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def in_a_child(work: Callable[[], Any]) -> Any:
    """What `work` returns in a forked child, by way of JSON; what it raises is told."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told: Any = work()
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(writing, json.dumps(told).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = json.loads(pipe.read())
    os.waitpid(child, 0)
    return told


def test_ids_and_chance_are_its_own(cloud: FakeCloud) -> None:
    with router_of(cloud, "eastus") as router:

        def drawn() -> list[Any]:
            ports = router._blocking, router._looping
            return [[port.nonce(), port.rng.random()] for port in ports]  # type: ignore[attr-defined]

        seen = [in_a_child(drawn), in_a_child(drawn), drawn()]
        flat = [value for one in seen for pair in one for value in pair]
        assert len(set(flat)) == len(flat)


def test_calls_of_other_threads_are_not_the_childs(cloud: FakeCloud) -> None:
    """Their places, leases and queues are the parent's; the child begins with none, and calls at once."""
    cloud["eastus"].latency = 0.5
    with router_of(cloud, "eastus", default_max_parallel_requests=1) as router:
        threads = [threading.Thread(target=router.responses, args=("gpt", "hello")) for _ in range(3)]
        for thread in threads:
            thread.start()
        while not router._fleet._queues.waiting:
            pass

        def look() -> list[Any]:
            before = in_flight(router), len(router._fleet._queues.waiting), len(router._fleet._open)
            answer = router.responses("gpt", "hello from the child", timeout=5)
            return [*before, answer.status, in_flight(router)]

        assert in_a_child(look) == [0, 0, 0, "completed", 0]
        for thread in threads:
            thread.join()
        assert in_flight(router) == 0


def test_a_lock_that_another_thread_holds_is_free_in_the_child(cloud: FakeCloud) -> None:
    with router_of(cloud, "eastus") as router:
        router.responses("gpt", "hello")
        ended = threading.Event()

        def busy() -> None:
            while not ended.is_set():
                router.status()
                router._fleet.update(lambda: (), 0.0)

        threads = [threading.Thread(target=busy) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                assert in_a_child(lambda: router.responses("gpt", "hello", timeout=5).status) == "completed"
        finally:
            ended.set()
            for thread in threads:
                thread.join()


def test_a_stream_that_the_parent_reads_is_not_read_by_the_child(cloud: FakeCloud) -> None:
    cloud["eastus"].word_seconds = 0.02
    with router_of(cloud, "eastus") as router:
        stream = router.responses("gpt", "hello", stream=True)
        seen = [next(stream)]

        def read() -> str:
            for event in stream:
                if event.type == "response.failed":
                    return f"{event.type} {in_flight(router)}"
            return "read on"

        assert in_a_child(read) == "response.failed 0"
        assert in_a_child(lambda: stream.close() or in_flight(router)) == 0
        seen += list(stream)
        assert seen[-1].type == "response.completed"
        assert in_flight(router) == 0


def test_a_child_of_a_running_event_loop_has_connections_of_its_own(cloud: FakeCloud) -> None:
    """And leaves the parent's alone: they are used on, and their event loop still hears of them."""

    async def run(router: Router) -> None:
        await router.aresponses("gpt", "hello")

        def work() -> list[str]:
            asyncio._set_running_loop(None)  # as in a child that runs on its own
            own = asyncio.run(router.aresponses("gpt", "from the child", timeout=5)).status
            return [own, router.responses("gpt", "and without a loop", timeout=5).status]

        assert in_a_child(work) == ["completed", "completed"]
        before = cloud["eastus"].connections
        assert (await router.aresponses("gpt", "hello", timeout=5)).status == "completed"
        assert cloud["eastus"].connections <= before, "the parent's connection is used on"

    async def both() -> None:
        for fast in (True, False):
            async with router_of(cloud, "eastus") as router:
                router._looping._fast = fast  # type: ignore[attr-defined]
                await run(router)

    asyncio.run(both())


def test_a_waiting_parent_does_not_make_the_child_wait(cloud: FakeCloud) -> None:
    """An error in the child is its own, too."""
    with router_of(cloud, "eastus", num_retries=0) as router:
        cloud.kill("eastus")

        def fails() -> str:
            try:
                router.responses("gpt", "hello", timeout=5)
            except TurnoutError as error:
                return type(error).__name__
            return "served"

        assert in_a_child(fails) == "APIConnectionError"
        assert router.status()[0].state == "ready"
