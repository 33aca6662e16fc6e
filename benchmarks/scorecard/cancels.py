"""Scenario 17: callers that give up, at any moment of a call. Nothing of theirs may stay behind."""

import asyncio
import random
from collections import Counter
from typing import Any

from benchmarks.scorecard.correctness_result import CorrectnessResult
from benchmarks.scorecard.witness import GROUP, Witness, held_by, lines_of, other_tasks, region, row
from turnout import Router
from turnout.errors import TurnoutError
from turnout.sim.clock import run
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import Fault, throttle
from turnout.sim.region import FakeRegion
from turnout.sim.service import ServiceModel
from turnout.sim.simulated_router import SimulatedRouter

CANCELS = 2_000
"""Of each seed: five make ten thousand."""
SOCKET_CANCELS = 200
_AT_ONCE = 250
_LONGEST = 12.0
"""Virtual seconds of a caller's patience, at most; most of them have less."""
_MOST_CALLS = 4
"""Calls for each cancel that is wanted: many are over before."""
_HEDGED = {"after": 1.0, "budget": 1.0}
"""For half of the calls: what shows no answer within a second is sent elsewhere too."""
_NARROW = "narrow"
"""The model group with room for two calls at a time."""
_SETTLING = 300
"""Hundredths of a second in which the servers notice that their clients are gone."""


def cancels(seed: int, wanted: int = CANCELS, over_sockets: int = SOCKET_CANCELS) -> CorrectnessResult:
    """Scenario 17: in virtual time, and some over real sockets."""
    count: Counter[str] = Counter()
    for hedge in (None, _HEDGED):
        run(_virtual(count, random.Random(f"cancels:{seed}:{hedge}"), wanted // 2, hedge))
    asyncio.run(_sockets(count, random.Random(f"cancels over sockets:{seed}"), over_sockets))
    kinds = ("cancelled", "in_stream", "longest_line", "cancelled_over_sockets", "calls", "completed")
    zero = ("held", "under_way", "tasks", "unserved_afterwards", "connections", "untyped_errors")
    measured = {name: count[name] for name in (*kinds, *zero)}
    enough = count["cancelled"] >= 2 * (wanted // 2) and count["cancelled_over_sockets"] >= over_sockets
    happened = count["in_stream"] > 0 and count["longest_line"] > 0
    gate = "0 held, 0 in line, 0 at the servers, 0 connections, 0 tasks; all deployments still serve"
    passed = enough and happened and not any(measured[name] for name in zero)
    return CorrectnessResult(17, "callers that give up", measured, gate, passed)


async def _virtual(count: Counter[str], rng: random.Random, wanted: int, hedge: Any) -> None:
    model, seed = ServiceModel(), rng.getrandbits(32)
    network = Witness([
        region("few-slots", ServiceModel(concurrency=4), seed=seed),
        region("low-limit", ServiceModel(rpm=120, burst=10), seed=seed),
        region("breaking", model, seed=seed),
        region("silent", model, seed=seed),
        region("two-at-once", model, seed=seed),
    ])  # fmt: skip
    network.services["breaking"].change("cut", 0.4)
    network.services["silent"].change("silent", value=True)
    rows = [row(name) for name in network.plain if name != "two-at-once"]
    rows.append(row("two-at-once", group=_NARROW, max_parallel_requests=2))
    async with SimulatedRouter(rows, network, seed=seed, attempt_timeout=8, hedge=hedge) as router:
        cancelled, most = count["cancelled"] + wanted, count["calls"] + _MOST_CALLS * wanted
        while count["cancelled"] < cancelled and count["calls"] < most:
            await asyncio.gather(*[_give_up(router, count, rng) for _ in range(_AT_ONCE)])
        count["tasks"] += other_tasks()
        count["held"] += held_by(router)
        count["under_way"] += network.left_under_way()
        await _look_after(router, network, count)


async def _give_up(router: SimulatedRouter, count: Counter[str], rng: random.Random) -> None:
    """A call, its caller's patience, and where it ended."""
    await asyncio.sleep(rng.uniform(0.0, 2.0))
    group = _NARROW if rng.random() < 0.2 else GROUP
    at: list[str] = []
    task = asyncio.create_task(_call(router, group, at, stream=rng.random() < 0.5))
    await asyncio.sleep(rng.choice((0.0, 0.01, rng.uniform(0.0, 3.0), rng.uniform(0.0, _LONGEST))))
    count["longest_line"] = max(count["longest_line"], *lines_of(router), 0)
    await _cancel(task, count, "cancelled")
    count["in_stream"] += task.cancelled() and at == ["stream"]


async def _cancel(task: asyncio.Task[None], count: Counter[str], name: str) -> None:
    count["calls"] += 1
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        count[name] += 1
    except TurnoutError:
        pass
    except Exception:  # noqa: BLE001 (whatever a router raises is counted)
        count["untyped_errors"] += 1
    else:
        count["completed"] += 1


async def _call(router: Any, group: str, at: list[str], *, stream: bool) -> None:
    answer = await router.aresponses(group, "hello", stream=stream, timeout=30)
    if stream:
        at.append("stream")
        async for _ in answer:
            await asyncio.sleep(0)


async def _look_after(router: SimulatedRouter, network: Witness, count: Counter[str]) -> None:
    """Once the regions are well, each of them serves."""
    network.services["breaking"].change("cut", 0.0)
    network.services["silent"].change("silent", value=False)
    await asyncio.sleep(120.0)
    for name in network.plain:
        try:
            await router.aresponses(name, "hello", timeout=60)
        except TurnoutError:
            count["unserved_afterwards"] += 1


async def _sockets(count: Counter[str], rng: random.Random, wanted: int) -> None:
    names = ("eastus", "westus", "northeurope")
    regions = [FakeRegion(name, latency=0.004, word_seconds=0.002) for name in names]
    with FakeCloud(regions) as cloud:
        cloud["westus"].set_fault(throttle({"retry-after-ms": "5"}))
        cloud["northeurope"].set_fault(Fault("cut", events=6, share=0.3))
        rows = [
            {
                "model_name": GROUP,
                "litellm_params": {"model": "azure/gpt-5", "api_key": "k", "api_base": one.url},
                "model_info": {"id": one.name},
            }
            for one in regions
        ]
        before = other_tasks()
        async with Router(rows, id_secret="a secret of the benchmark", max_wait=1) as router:
            limit = count["calls"] + 3 * _MOST_CALLS * wanted
            while count["cancelled_over_sockets"] < wanted and count["calls"] < limit:
                await asyncio.gather(*[_hang_up(router, count, rng) for _ in range(30)])
            count["held"] += held_by(router)
        for _ in range(_SETTLING):
            await asyncio.sleep(0.01)
            if not any(one.connections or one.in_flight for one in regions):
                break
        count["connections"] += sum(one.connections for one in regions)
        count["under_way"] += sum(one.in_flight for one in regions)
        count["tasks"] += max(other_tasks() - before, 0)


async def _hang_up(router: Router, count: Counter[str], rng: random.Random) -> None:
    task = asyncio.create_task(_call(router, GROUP, [], stream=rng.random() < 0.5))
    await asyncio.sleep(rng.random() * 0.03)
    await _cancel(task, count, "cancelled_over_sockets")
