"""What a routed call costs: CPU per call and per stream event, as ratios of medians against other clients.

    python -m benchmarks.overhead [--rounds 7] [--calls 400] [--without litellm]

All contenders run interleaved in one process against one upstream in another, each round in a new random order; a
figure is CPU time (user and system) of this process. Absolute figures differ between machines; ratios are the result.
"""

import argparse
import asyncio
import json
import logging
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2

from benchmarks.upstream import EVENTS, Upstream

BODY = {"model": "m", "input": "What is the capital of France? Answer in one word."}
Call = Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class Contender:
    """One way to make the same call."""

    name: str
    unary: Call
    stream: Call | None
    close: Call


async def _nothing() -> None:
    return


def bare(urls: list[str]) -> Contender:
    client = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None), timeout=60)
    raw = json.dumps(BODY).encode()
    streaming = json.dumps({**BODY, "stream": True}).encode()
    headers = {"content-type": "application/json", "authorization": "Bearer k"}
    turn = iter(range(10**9))

    async def unary() -> None:
        answer = await client.post(f"{urls[next(turn) % 2]}/v1/responses", content=raw, headers=headers)
        answer.json()

    async def stream() -> None:
        async with client.stream(
            "POST", f"{urls[next(turn) % 2]}/v1/responses", content=streaming, headers=headers
        ) as answer:
            async for _ in answer.aiter_lines():
                pass

    return Contender("bare httpx2", unary, stream, client.aclose)


def openai_sdk(urls: list[str]) -> Contender:
    from openai import AsyncOpenAI

    clients = [AsyncOpenAI(api_key="k", base_url=f"{url}/v1", max_retries=0) for url in urls]
    turn = iter(range(10**9))

    async def unary() -> None:
        await clients[next(turn) % 2].responses.create(**BODY)

    async def stream() -> None:
        async for _ in await clients[next(turn) % 2].responses.create(**BODY, stream=True):
            pass

    async def close() -> None:
        for client in clients:
            await client.close()

    return Contender("openai SDK", unary, stream, close)


def rows(urls: list[str], count: int) -> list[dict[str, Any]]:
    return [
        {
            "model_name": "m",
            "litellm_params": {"model": "openai/m", "api_key": "k", "api_base": f"{urls[index % len(urls)]}/v1"},
            "model_info": {"id": f"d{index}"},
        }
        for index in range(count)
    ]


def litellm_router(urls: list[str]) -> Contender:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    logging.getLogger("LiteLLM").setLevel(logging.ERROR)
    router = litellm.Router(model_list=rows(urls, 2))

    async def unary() -> None:
        await router.aresponses(**BODY)

    async def stream() -> None:
        async for _ in await router.aresponses(**BODY, stream=True):
            pass

    return Contender("litellm Router", unary, stream, _nothing)


def turnout_router(urls: list[str], count: int, strategy: str = "simple-shuffle", *, fast: bool = True) -> Contender:
    from turnout import Router

    router = Router(rows(urls, count), routing_strategy=strategy, id_secret="a secret for the benchmark")
    router._looping._fast = fast and router._looping._fast

    async def unary() -> None:
        await router.aresponses(**BODY)

    async def stream() -> None:
        async for _ in await router.aresponses(**BODY, stream=True):
            pass

    kind = "aiohttp" if router._looping._fast else "httpx2"
    return Contender(f"turnout, {count} deployments, {strategy} ({kind})", unary, stream, router.aclose)


async def cpu(call: Call, concurrency: int, calls: int) -> float:
    """CPU seconds per call."""
    each = max(calls // concurrency, 1)

    async def worker() -> None:
        for _ in range(each):
            await call()

    before = time.process_time()
    await asyncio.gather(*[worker() for _ in range(concurrency)])
    return (time.process_time() - before) / (each * concurrency)


async def measure(contenders: list[Contender], rounds: int, calls: int) -> dict[tuple[str, str], float]:
    """Medians by contender and mode."""
    modes = [("unary, 1 at a time", 1, False), ("unary, 64 at a time", 64, False), ("per stream event", 8, True)]
    samples: dict[tuple[str, str], list[float]] = {}
    jobs = [(one, mode) for one in contenders for mode in modes if not (mode[2] and one.stream is None)]
    for number in range(-1, rounds):
        random.shuffle(jobs)
        for one, (mode, concurrency, streaming) in jobs:
            call = one.stream if streaming else one.unary
            if call is None:
                continue
            taken = await cpu(call, concurrency, max(calls // 25, 8) if streaming else calls)
            if number >= 0:
                samples.setdefault((one.name, mode), []).append(taken / (EVENTS if streaming else 1))
        print(f"round {number + 1}/{rounds}", end="\r", file=sys.stderr, flush=True)
    for one in contenders:
        await one.close()
    return {key: statistics.median(values) for key, values in samples.items()}


def import_seconds(statement: str) -> float:
    """CPU seconds of a fresh interpreter that runs the statement, less those of one that does nothing."""

    def run(code: str) -> float:
        script = f"import time; {code}; print(time.process_time())"
        return float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)

    return statistics.median(run(statement) for _ in range(5)) - statistics.median(run("pass") for _ in range(5))


def table(medians: dict[tuple[str, str], float]) -> None:
    modes = list(dict.fromkeys(mode for _, mode in medians))
    for mode in sorted(modes):
        print(f"\n{mode}: CPU microseconds (and ratio to bare httpx2)")
        base = medians["bare httpx2", mode]
        for (name, found), value in sorted(medians.items(), key=lambda one: one[1]):
            if found == mode:
                print(f"  {name:58s} {value * 1e6:9.1f}  {value / base:6.2f}")


def verdicts(medians: dict[tuple[str, str], float]) -> None:
    mode = "unary, 64 at a time"
    print(f"\ntargets ({mode})")
    kinds = sorted({name.rpartition("(")[2].rstrip(")") for name, _ in medians if name.startswith("turnout")})
    for kind in kinds:
        few = medians[f"turnout, 2 deployments, simple-shuffle ({kind})", mode]
        many = medians.get((f"turnout, 1000 deployments, simple-shuffle ({kind})", mode))
        lines = [("of bare httpx2", few / medians["bare httpx2", mode], 1.3)]
        lines += [("of the openai SDK", few / medians["openai SDK", mode], 0.6)]
        if ("litellm Router", mode) in medians:
            lines.append(("of litellm's Router", few / medians["litellm Router", mode], 0.2))
        if many is not None:
            lines.append(("1,000 deployments, of 2", many / few, 1.5))
        for what, ratio, limit in lines:
            print(f"  {kind:8s} {what:28s} {ratio:5.2f}  (target <= {limit})  {'ok' if ratio <= limit else 'MISSED'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--without", nargs="*", default=[], choices=["litellm", "openai"])
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with Upstream() as upstream:
        contenders = [bare(upstream.urls)]
        for fast in (False, True):
            contenders.append(turnout_router(upstream.urls, 2, fast=fast))
            contenders.append(turnout_router(upstream.urls, 1000, fast=fast))
        contenders.append(turnout_router(upstream.urls, 1000, "least-busy"))
        contenders.append(turnout_router(upstream.urls, 1000, "latency-based-routing"))
        if "openai" not in options.without:
            contenders.append(openai_sdk(upstream.urls))
        if "litellm" not in options.without:
            contenders.append(litellm_router(upstream.urls))
        medians = asyncio.run(measure(contenders, options.rounds, options.calls))
    table(medians)
    verdicts(medians)
    ours = import_seconds("import turnout")
    router = import_seconds("from turnout import Router")
    peer = import_seconds("import httpx2, pydantic")
    print(f"\nimport, CPU ms: httpx2 and pydantic {peer * 1e3:.0f}; turnout {ours * 1e3:.0f} ({ours / peer:.2f}); "
          f"from turnout import Router {router * 1e3:.0f} ({router / peer:.2f})")  # fmt: skip


if __name__ == "__main__":
    main()
