"""litellm's real Router over a server on 127.0.0.1, next to its model in the same situation.

Calls come one after another and the strategy is least-busy, which then always asks the first deployment that does not
cool: so both sides are free of chance, and what they send can be compared request by request.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random
from typing import Any

from benchmarks.scorecard.engine import Call, Engine
from benchmarks.scorecard.litellm_models import LeastBusy, LiteLLM
from benchmarks.scorecard.scenario import ATTEMPT_TIMEOUT, Scenario
from turnout.sim.schedule import ScheduledFault
from turnout.sim.service import ServiceModel, Size
from turnout.sim.traffic import Arrival

_CALLS = 7
_PAUSE = 0.7
"""Seconds between the model's calls; both sides are done with all of them before a cooldown of 5 s is over."""
_MESSAGES = [{"role": "user", "content": "hello"}]
_GIVEN_UP = 0.3
_UNLIMITED = ServiceModel(jitter=0.0)

SITUATIONS: tuple[tuple[str, int, int, str], ...] = (
    ("connections refused", 2, 0, "down"),
    ("401", 3, 401, "auth-expired"),
    ("429 with Retry-After", 3, 429, "throttled"),
    ("500", 3, 500, "errors"),
    ("503", 3, 503, "unavailable"),
    ("529", 2, 529, "overloaded"),
    ("503, one deployment", 1, 503, "unavailable"),
)
"""What it is called, how many deployments there are, what they answer, and the fault that does it in the model."""


def router(ports: Sequence[int], strategy: Any = "simple-shuffle") -> Any:
    """litellm's Router over Azure deployments d0, d1 and so on."""
    from litellm.router import Router

    deployments: list[Any] = [
        {
            "model_name": "gpt",
            "litellm_params": {
                "model": "azure/gpt",
                "api_key": "unused",
                "api_base": f"http://127.0.0.1:{port}",
                "api_version": "2024-06-01",
            },
            "model_info": {"id": f"d{number}"},
        }
        for number, port in enumerate(ports)
    ]
    return Router(model_list=deployments, timeout=ATTEMPT_TIMEOUT, routing_strategy=strategy)


@asynccontextmanager
async def served(status: int, seen: list[str], name: str, seconds: float = 0.0) -> AsyncGenerator[int]:
    """The port of a server that answers everything with one status, and notes its name for each request."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(line for line in head.split("\r\n") if line.startswith("content-length"))
        await reader.readexactly(int(length.split(":")[1]))
        seen.append(name)
        await asyncio.sleep(seconds)
        with suppress(ConnectionError):
            writer.write(_reply(status))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def compare() -> list[tuple[str, object, object]]:
    """For each situation: what the model did, and what litellm did."""
    found: list[tuple[str, object, object]] = []
    for name, deployments, status, fault in SITUATIONS:
        calls = 1 if deployments == 1 else _CALLS
        found.append((name, _modelled(deployments, fault, calls), await _real(deployments, status, calls)))
    found.append(("404 of a caller", _modelled(3, None, _CALLS), await _real(3, 404, _CALLS)))
    found.append(("left counts of cancelled calls", *await _left_counts()))
    return found


async def _real(deployments: int, status: int, calls: int) -> tuple[list[list[str]], list[str]]:
    """Whom each call asked, and who cools in the end."""
    seen: list[str] = []
    asked: list[list[str]] = []
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(served(status, seen, f"d{at}")) for at in range(deployments)]
        if status == 0:
            await stack.aclose()
        real = router(ports, "least-busy")
        for _ in range(calls):
            before = len(seen)
            failures = _failures(real, deployments)
            with suppress(Exception):
                await real.acompletion(model="gpt", messages=_MESSAGES)
            if status:
                asked.append(seen[before:])
            else:
                asked.append(_increased(failures, _failures(real, deployments)))
            await asyncio.sleep(0.02)
        cooling = await _cooling(real, deployments)
    return asked, cooling


def _failures(real: Any, deployments: int) -> list[int]:
    store = real._core_ctx.health().store.in_memory_cache
    return [store.get_cache(f"d{at}:fails") or 0 for at in range(deployments)]


def _increased(before: list[int], after: list[int]) -> list[str]:
    return [f"d{at}" for at, (low, high) in enumerate(zip(before, after, strict=True)) for _ in range(high - low)]


async def _cooling(real: Any, deployments: int) -> list[str]:
    ids = [f"d{at}" for at in range(deployments)]
    active = await real._core_ctx.health().cooldowns.async_get_active_cooldowns(model_ids=ids, parent_otel_span=None)
    return sorted(name for name, _ in active)


def _modelled(deployments: int, fault: str | None, calls: int) -> tuple[list[list[str]], list[str]]:
    """The same of the model; without a fault the callers are in the wrong."""
    names = [f"d{at}" for at in range(deployments)]
    scenario = Scenario(
        0,
        "loopback",
        [Arrival(at * _PAUSE, 10, 10) for at in range(calls)],
        dict.fromkeys(names, _UNLIMITED),
        (0.0, 100.0),
        faults=() if fault is None else (ScheduledFault(("all",), fault, 0.0, 100.0),),
        mistakes=0.0 if fault is not None else 1.0,
    )
    engine = Engine(scenario, 0)
    peer = LiteLLM(LeastBusy(), Random(0))
    outcomes = engine.play([peer])
    asked = [[one.deployment for one in outcome.tries] for outcome in outcomes]
    healthy = peer.healthy(engine.now)
    return asked, [name for name in names if name not in healthy]


async def _left_counts() -> tuple[object, object]:
    """What least-busy still counts after calls that their callers gave up."""
    names = ["d0", "d1"]
    strategy = LeastBusy()
    peer = LiteLLM(strategy, Random(0))
    for name in names:
        peer.join(name)
    for _ in range(4):
        call = Call(0.0, Size(10, 10), mistaken=False, peer=peer)
        peer.pick(call, 0.0)
        peer.cancelled(call, _GIVEN_UP)
    async with served(200, [], "d0", seconds=2.0) as port:
        real = router([port, port], "least-busy")
        for _ in range(4):
            with suppress(TimeoutError):
                await asyncio.wait_for(real.acompletion(model="gpt", messages=_MESSAGES), _GIVEN_UP)
        await asyncio.sleep(2.5)
        store = real._core_ctx.health().store.in_memory_cache
        counted = [store.get_cache(f"gpt_request_count:{name}") for name in names]
    return [strategy.counts[name].get(0.0) for name in names], counted


def _reply(status: int) -> bytes:
    body: dict[str, Any] = {"error": {"message": "no", "type": "server_error", "code": str(status)}}
    if status == 200:
        choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
        used = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
        body = {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt",
            "choices": [choice],
            "usage": used,
        }
    data = json.dumps(body).encode()
    headers = ["content-type: application/json", f"content-length: {len(data)}", "connection: close"]
    headers += ["retry-after: 5"] if status == 429 else []
    head = "\r\n".join([f"HTTP/1.1 {status} X", *headers, "", ""])
    return head.encode() + data
