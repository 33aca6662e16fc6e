"""The garbage collector may run a finalizer in the middle of any line, also of one that holds a lock."""

import ast
import asyncio
import contextlib
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import turnout
import turnout_adapters
from tests.conftest import in_flight, router_of
from turnout import Router, TurnoutError
from turnout.sim.fake_cloud import FakeCloud
from turnout_adapters.forks import Guard

PACKAGES = [Path(str(package.__file__)).parent for package in (turnout, turnout_adapters)]
FINALIZERS = {
    "streams.py: core.abandon": "leaves the lease with the fleet, and the body with its port",
    "io/event_loop.py: _leave": "has the event loops that still run close their connections",
    "io/aiohttp_pool.py: __del__": "does nothing",  # in two classes of aiohttp's, instead of theirs
    "forks.py: forget": "takes a number out of a dict",
}
"""Every one there is, and what it does: none of it takes a lock, waits, or calls what a user wrote."""


def finalizers() -> Iterator[str]:
    """`__del__` methods, and what is called when something is gone: finalize, ref, proxy, WeakMethod."""
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            name = str(path.relative_to(package))
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef) and node.name == "__del__":
                    yield f"{name}: __del__"
                if isinstance(node, ast.Call):
                    called = ast.unparse(node.func).rpartition(".")[2]
                    if called in ("finalize", "ref", "proxy", "WeakMethod") and len(node.args) > 1:
                        yield f"{name}: {ast.unparse(node.args[1])}"


def test_every_finalizer_of_the_package_is_known() -> None:
    assert set(finalizers()) == set(FINALIZERS)


class Cycle:
    """What only the garbage collector finds."""

    def __init__(self, held: Any) -> None:
        self.held = held
        self.me = self


def without_hanging(work: Callable[[], None]) -> None:
    """Runs work in a thread; a thread that waits for itself is a failure, not a test that never ends."""
    problems: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "the thread waits for itself"
    for problem in problems:
        raise problem


def collected_inside(router: Router, make: Callable[[], Any]) -> None:
    """Makes something, drops it in a cycle, and collects it in the middle of the fleet and of the sync port."""

    def work() -> None:
        made = make()
        gone = weakref.ref(made)
        Cycle(made)
        del made
        with router._fleet._lock(), router._blocking.inside():
            gc.collect()
            assert gone() is None
        assert in_flight(router) == 0

    gc.collect()
    gc.disable()
    try:
        without_hanging(work)
    finally:
        gc.enable()


def half_read(router: Router) -> Any:
    stream = router.responses("gpt", "hello", stream=True)
    next(stream)
    return stream


def left_in_a_generator(router: Router) -> Any:
    """Its `finally` closes the stream while it is being collected."""

    def events() -> Iterator[Any]:
        with router.responses("gpt", "hello", stream=True) as stream:
            yield from stream

    generator = events()
    next(generator)
    return generator


@pytest.mark.parametrize("make", [half_read, left_in_a_generator])
def test_a_stream_that_is_collected_anywhere_gives_everything_back(
    cloud: FakeCloud, make: Callable[[Router], Any]
) -> None:
    cloud["eastus"].word_seconds = 0.01
    with router_of(cloud, "eastus") as router:
        collected_inside(router, lambda: make(router))
        assert router.responses("gpt", "hello").status == "completed"
        assert not router._blocking.left_behind
        assert [str(pool).count("0 active") for pool in router._blocking._pools.values()] == [2]


def test_an_async_stream_that_is_collected_in_another_thread_closes_in_its_loop(cloud: FakeCloud) -> None:
    cloud["eastus"].word_seconds = 0.01

    async def run() -> None:
        async with router_of(cloud, "eastus") as router:
            for _ in range(3):
                stream = await router.aresponses("gpt", "hello", stream=True)
                await anext(stream)
                held = [Cycle(stream)]
                del stream
                await asyncio.to_thread(collected_inside, router, held.pop)
            for _ in range(200):
                if not cloud["eastus"].connections:
                    return
                await asyncio.sleep(0.01)
            pytest.fail("the connections are still open")

    asyncio.run(run())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_call_that_nobody_will_finish_leaves_its_place_in_line(cloud: FakeCloud) -> None:
    """A task that is destroyed with its event loop runs its `finally` blocks while it is collected."""
    cloud["eastus"].latency = 0.3
    with router_of(cloud, "eastus", default_max_parallel_requests=1) as router:

        def work() -> None:
            loop = asyncio.new_event_loop()
            loop.set_exception_handler(lambda *_: None)  # it would say that a pending task was destroyed
            tasks = [loop.create_task(router.aresponses("gpt", "hello")) for _ in range(3)]
            loop.run_until_complete(asyncio.sleep(0.1))
            assert len(router._fleet._queues.waiting) == 1
            loop.close()
            Cycle(tasks)
            tasks.clear()
            del loop
            with router._fleet._lock():
                gc.collect()

        without_hanging(work)
        later = threading.Thread(target=lambda: asyncio.run(router.aresponses("gpt", "hello", timeout=10)), daemon=True)
        later.start()
        while later.is_alive():
            later.join(0.1)
            gc.collect()
        assert in_flight(router) == 0
        assert not router._fleet._queues.waiting
        assert cloud["eastus"].requests == 2


def test_a_call_from_a_finalizer_is_refused_and_not_waited_for(cloud: FakeCloud) -> None:
    with router_of(cloud, "eastus") as router:
        told: list[str] = []

        class Farewell:
            def __del__(self) -> None:
                with contextlib.suppress(AttributeError):
                    try:
                        router.responses("gpt", "goodbye")
                    except TurnoutError as error:
                        told.append(str(error))

        def work() -> None:
            with router._fleet._lock():
                Farewell()
            with router._blocking.inside():
                Farewell()

        without_hanging(work)
        assert len(told) == 2
        assert all("finalizer" in text for text in told)
        assert router.responses("gpt", "hello").status == "completed"


def test_a_waiter_can_be_woken_by_the_thread_that_is_about_to_wait(cloud: FakeCloud) -> None:
    """Also in the middle of its own wait, where an Event would hold its lock."""
    with router_of(cloud, "eastus") as router:
        waiter = router._blocking.waiter()
        waiter.wake()
        waiter.wake()
        without_hanging(lambda: waiter.wait(60))
        waiter.wait(0)  # nobody has woken it again


def test_a_guard_is_new_in_a_child_and_known_to_its_holder() -> None:
    guard = Guard()
    with guard():
        assert guard.held
        with pytest.raises(TurnoutError, match="finalizer"):
            guard()
        seen: list[bool] = []
        thread = threading.Thread(target=lambda: seen.append(guard.held))
        thread.start()
        thread.join()
        assert seen == [False]
    assert not guard.held
    guard.before_fork()
    assert guard.held
    guard.in_parent()
    assert not guard.held
