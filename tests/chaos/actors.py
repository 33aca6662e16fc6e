"""What goes on at the same time: each actor does one small, random thing after another until it is told to stop."""

import asyncio
import contextlib
import gc
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from turnout import Router, TurnoutError

LIMIT = 3.0
"""Seconds that a call may take: its deadline."""
LATE = 20.0
"""Seconds after which a child is held to hang: it makes four calls, on a machine that is busy."""


class Stage:
    """One Router, what happened on it, and whether it goes on."""

    def __init__(self, router: Router, url: str, seed: int) -> None:
        self.router = router
        self.url = url
        self.seed = seed
        self.over = threading.Event()
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []

    def note(self, error: BaseException) -> None:
        """Typed errors are what a caller reckons with; anything else is a fault."""
        if isinstance(error, TurnoutError):
            self.counts[type(error).__name__] += 1
        elif not isinstance(error, asyncio.CancelledError):
            self.faults.append("".join(traceback.format_exception(error)))


def row(url: str, number: int) -> dict[str, Any]:
    """A deployment: native or translated."""
    model = "anthropic/claude-x" if number % 4 == 0 else "openai/gpt-4o"
    params = {"model": model, "api_base": f"{url}/{number}", "api_key": f"key-number-{number}"}
    return {"model_name": "g", "litellm_params": params, "model_info": {"id": f"d{number}"}}


class Cycle:
    """What only the garbage collector finds."""

    def __init__(self, held: Any) -> None:
        self.held = held
        self.me = self


def acting(stage: Stage, step: Callable[[Stage, random.Random], None], number: int) -> threading.Thread:
    """A thread that takes such steps."""

    def run() -> None:
        rng = random.Random(f"{stage.seed} {step.__name__} {number}")
        while not stage.over.is_set():
            try:
                step(stage, rng)
            except BaseException as error:
                stage.note(error)

    return threading.Thread(target=run, name=f"{step.__name__} {number}")


def options(rng: random.Random) -> dict[str, Any]:
    given: dict[str, Any] = {"timeout": rng.choice([0.001, 0.05, LIMIT, LIMIT]), "num_retries": rng.randrange(4)}
    wrong = {"temperature": "warm", "extra_headers": {"x-a": "a\r\nb"}, "input": "\ud800", "timeout": -1, "tags": 3}
    if rng.random() < 0.1:
        name = rng.choice(list(wrong))
        given[name] = wrong[name]
    return {"input": "hello", **given}


def sync_calls(stage: Stage, rng: random.Random) -> None:
    """Unary calls and streams, read whole, left, or dropped where only the collector finds them."""
    router, what = stage.router, rng.randrange(6)
    if what < 2:
        router.responses("g", **options(rng))
        stage.counts["answers"] += 1
        return
    stream = router.responses("g", stream=True, **options(rng))
    if what == 2:
        stage.counts["streams"] += len(list(stream)) > 0
    elif what == 3:
        next(stream, None)
        Cycle(stream)
    elif what == 4:
        generator = _reading(stream)
        next(generator, None)
        Cycle(generator)
    else:
        with stream:
            next(stream, None)


def _reading(stream: Any) -> Any:
    with stream:
        yield from stream


def event_loops(stage: Stage, rng: random.Random) -> None:
    """An event loop for a moment: calls at once, cancelled, polled and dropped; sometimes never closed."""

    async def one() -> None:
        try:
            if rng.random() < 0.5:
                await stage.router.aresponses("g", **options(rng))
                stage.counts["async answers"] += 1
                return
            stream = await stage.router.aresponses("g", stream=True, **options(rng))
            with contextlib.suppress(TimeoutError, StopAsyncIteration):
                for _ in range(rng.randrange(8)):
                    await asyncio.wait_for(anext(stream), rng.choice([0.001, 1.0]))
            Cycle(stream)
        except TurnoutError as error:
            stage.note(error)

    async def some() -> None:
        for _ in range(5):
            tasks = [asyncio.create_task(one()) for _ in range(8)]
            await asyncio.sleep(rng.random() * 0.05)
            for task in tasks:
                if rng.random() < 0.3:
                    task.cancel()
            for task in tasks:
                try:
                    await task
                except BaseException as error:
                    stage.note(error)
        if rng.random() < 0.7:
            await stage.router.aclose()

    asyncio.run(some())


def membership(stage: Stage, rng: random.Random) -> None:
    """Deployments come, change and go."""
    router, number = stage.router, rng.randrange(12)
    what = rng.randrange(4)
    if what == 0 and number > 2:
        router.delete_deployment(f"d{number}")
    elif what == 1:
        router.upsert_deployment(row(stage.url, number))
    elif what == 2:
        router.set_model_list([row(stage.url, one) for one in range(3 + rng.randrange(9))])
    else:
        router.status()
        router.explain("g", "hello")
    time.sleep(0.02)


def collector(stage: Stage, rng: random.Random) -> None:
    """The garbage collector at any moment, and threads that change places often."""
    gc.set_threshold(rng.randrange(1, 50))
    sys.setswitchinterval(rng.choice([1e-5, 1e-4, 5e-3]))
    time.sleep(0.05)
    if rng.random() < 0.2:
        gc.set_threshold(700, 10, 10)
        gc.collect()


def forks(stage: Stage, rng: random.Random) -> None:
    """A child in the middle of everything: it calls with and without an event loop, and must come to an end."""
    child = os.fork()
    if child == 0:
        _in_child(stage)
    until = time.monotonic() + LATE
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if status:
                stage.faults.append(f"a forked child ended with {status}")
            stage.counts["children"] += 1
            time.sleep(0.3)
            return
        time.sleep(0.02)
    os.kill(child, signal.SIGABRT)  # its faulthandler shows where it stands
    os.waitpid(child, 0)
    stage.faults.append(f"a forked child hung for {LATE:.0f} s")


def _in_child(stage: Stage) -> None:
    gc.set_threshold(700, 10, 10)
    sys.setswitchinterval(5e-3)
    code = 0
    try:
        router = stage.router
        for _ in range(2):
            with contextlib.suppress(TurnoutError):
                router.responses("g", "hello from a child", timeout=LIMIT)

            async def call() -> None:
                with contextlib.suppress(TurnoutError):
                    await router.aresponses("g", "hello from a child", timeout=LIMIT)
                await router.aclose()

            asyncio.run(call())
        if any(one.in_flight for one in router.status()):
            print("a child has calls in flight", file=sys.stderr, flush=True)
            code = 3
    except BaseException:
        traceback.print_exc()
        code = 2
    os._exit(code)
