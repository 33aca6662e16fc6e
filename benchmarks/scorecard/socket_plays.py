"""Short versions of scenarios over real sockets, played with any router that has `aresponses`, LiteLLM's or ours.

Times are a tenth of the scorecard's: answers take tenths of a second, an attempt may take 3 s and a caller waits 6.
What a router does on its own clock, such as LiteLLM's cooldown of 5 s or our pauses of 5 to 60 s, is as it is.
"""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.scorecard.forgeries import litellm_id
from turnout.errors import TurnoutError
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import Fault, throttle
from turnout.sim.plain_region import PlainRegion
from turnout.sim.service import Service, ServiceModel

GROUP = "gpt"
DEADLINE, ATTEMPT_TIMEOUT, RETRIES = 6.0, 3.0, 2
_GRACE = 0.5
"""Seconds after the deadline at which a caller hangs up on a router that has none."""
FACTORS = {"eastus": 1.0, "westus": 1.3, "swedencentral": 1.8}
"""How slow each region is, compared with the first, which is the one that things happen to."""
_LOAD_RATE, _WELL, _ILL = 12.0, 4.0, 12.0
"""Calls a second, seconds before a fault, and of the fault."""
_RETRY_AFTER = 4
Figures = dict[str, float]
MakeRouter = Callable[[list[dict[str, Any]]], Any]


class Ended(NamedTuple):
    """One call as its caller saw it; seconds since the start of the play."""

    begun: float
    seconds: float
    error: Exception | None


@dataclass
class Stage:
    """A cloud of its own, a router over it, and the calls so far."""

    cloud: FakeCloud
    router: Any
    rng: random.Random
    calls: list[Ended] = field(default_factory=list)
    begun: float = 0.0

    @property
    def regions(self) -> list[PlainRegion]:
        """In the order of FACTORS."""
        return [one for one in self.cloud.regions.values() if isinstance(one, PlainRegion)]

    @property
    def requests(self) -> int:
        """Of all regions."""
        return sum(one.requests for one in self.regions)

    def change(self, name: str, condition: str, value: float | bool) -> None:
        """Something ails a region, or no longer does."""
        service = self.cloud[name].service
        assert service is not None
        service.change(condition, value)

    async def call(self, model: str = GROUP, **params: Any) -> Any:
        """One call within the deadline; None if it failed. It is written down."""
        clock = asyncio.get_running_loop().time
        started, answer, error = clock(), None, None
        words = {"words": str(self.rng.randint(20, 200))}
        params["metadata"] = words | params.get("metadata", {})
        try:
            async with asyncio.timeout(DEADLINE + _GRACE):
                answer = await self.router.aresponses(model=model, input="How are the signals?", **params)
        except Exception as failure:  # noqa: BLE001 (whatever a router raises is how the call ended)
            error = failure
        self.calls.append(Ended(started - self.begun, clock() - started, error))
        return answer

    async def load(self, rate: float, seconds: float, **params: Any) -> None:
        """So many calls a second, whether or not they are answered; returns when all have ended."""
        loop = asyncio.get_running_loop()
        until, calls = loop.time() + seconds, list[asyncio.Task[Any]]()
        while loop.time() < until:
            calls.append(loop.create_task(self.call(**params)))
            await asyncio.sleep(self.rng.expovariate(rate))
        await asyncio.gather(*calls)


# --- what is played


async def callers_mistakes(stage: Stage) -> Figures:
    """20 calls a second for 15 s, a tenth of which get a 404 that is their caller's own fault."""
    wrong = asyncio.create_task(stage.load(2.0, 15.0, metadata={"mistake": "yes"}))
    good = Stage(stage.cloud, stage.router, stage.rng, begun=stage.begun)
    await good.load(18.0, 15.0)
    await wrong
    failed = sum(one.error is not None for one in good.calls)
    return {"good calls failed, %": 100.0 * failed / len(good.calls)}


async def outage(stage: Stage) -> Figures:
    """60 calls while every region answers 503."""
    for one in stage.regions:
        stage.change(one.name, "unavailable", value=True)
    await stage.load(20.0, 3.0)
    return {"requests per call": stage.requests / len(stage.calls)}


async def throttled_origin(stage: Stage) -> Figures:
    """20 conversations go on while their origin answers 429 with a Retry-After of 4 s."""
    begun = [one for _ in range(20) if (one := await stage.call("eastus")) is not None]
    clock = asyncio.get_running_loop().time
    over = clock() + _RETRY_AFTER
    told = throttle(lambda: {"retry-after": str(max(1, math.ceil(over - clock())))})
    stage.cloud["eastus"].set_fault(told)
    asyncio.get_running_loop().call_later(_RETRY_AFTER, stage.cloud["eastus"].set_fault, None)
    stage.calls.clear()

    async def follow(response_id: str, pause: float) -> Any:
        await asyncio.sleep(pause)
        return await stage.call(previous_response_id=response_id)

    answers = await asyncio.gather(*[follow(one.id, stage.rng.uniform(0.0, 2.0)) for one in begun])
    return {
        "misrouted": float(sum(one.foreign_ids for one in stage.regions)),
        "served, %": 100.0 * sum(one is not None for one in answers) / len(answers),
    }


async def forged_ids(stage: Stage) -> Figures:
    """Ids made by hand name a region and a response that their maker was never given; others are the region's own."""
    await stage.call("eastus")
    victim = next(iter(stage.regions[0].turns))
    before, accepted = stage.requests, 0
    for token in [litellm_id("eastus", victim)] * 10 + [victim] * 10:
        accepted += await stage.call(previous_response_id=token) is not None
    return {"accepted of 20": float(accepted), "requests sent": float(stage.requests - before)}


async def broken_streams(stage: Stage) -> Figures:
    """20 streams that are cut in the middle of the words."""
    for one in stage.regions:
        one.set_fault(Fault("cut", events=8))
    ends: Counter[str] = Counter()
    for _ in range(20):
        stream = await stage.call(stream=True)
        ends["refused" if stream is None else await _end_of(stream)] += 1
    begun = 20 - ends["refused"]
    return {
        "sent again": float(stage.requests - begun),
        "told as response.failed": float(ends["response.failed"]),
        "untyped exceptions": float(ends["untyped"]),
    }


async def _end_of(stream: Any) -> str:
    """The last event of a stream, or how else it ended."""
    last = ""
    try:
        async for event in stream:
            last = str(getattr(event.type, "value", event.type))
    except Exception as error:  # noqa: BLE001 (whatever a router raises is how the stream ended)
        known = isinstance(error, TurnoutError) or type(error).__module__.startswith("litellm")
        return "typed" if known else "untyped"
    return last


async def cancels(stage: Stage) -> Figures:
    """300 callers that give up, some too late, half of them of a stream; then one call to each region."""
    landed = 0
    for _ in range(10):
        tasks = [asyncio.create_task(_patient(stage, number)) for number in range(30)]
        await asyncio.gather(*[_give_up(task, stage.rng.uniform(0.0, 0.15)) for task in tasks])
        landed += sum(task.cancelled() for task in tasks)
    await asyncio.sleep(1.0)
    left = sum(one.in_flight for one in stage.regions)
    served = [await stage.call(name) is not None for name in FACTORS]
    return {"cancelled": float(landed), "under way at servers": float(left), "regions that serve": float(sum(served))}


async def _patient(stage: Stage, number: int) -> None:
    answer = await stage.router.aresponses(model=GROUP, input="hello", stream=number % 2 == 0)
    if number % 2 == 0:
        async for _ in answer:
            pass


async def _give_up(task: asyncio.Task[None], after: float) -> None:
    await asyncio.sleep(after)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def under_fault(condition: str, value: float | bool) -> Callable[[Stage], Awaitable[Figures]]:
    """12 calls a second; after 4 s something ails the first of three regions for 12. Judged are the calls meanwhile."""

    async def play(stage: Stage) -> Figures:
        stage.begun = asyncio.get_running_loop().time()
        well = asyncio.create_task(stage.load(_LOAD_RATE, _WELL))
        await asyncio.sleep(_WELL)
        before = [(one.requests, one.served) for one in stage.regions]
        stage.change("eastus", condition, value)
        await stage.load(_LOAD_RATE, _ILL)
        await well
        calls = [one for one in stage.calls if one.begun >= _WELL]
        unanswered = sum(
            one.requests - asked - (one.served - served)
            for one, (asked, served) in zip(stage.regions, before, strict=True)
        )
        seconds = sorted(one.seconds for one in calls)
        return {
            "ok, %": 100.0 * sum(one.error is None for one in calls) / len(calls),
            **{f"p{level}, s": seconds[math.ceil(level / 100 * len(seconds)) - 1] for level in (50, 90, 99)},
            "failed requests per 1000": 1000.0 * max(unanswered, 0) / len(calls),
        }

    return play


@dataclass(frozen=True)
class Play:
    """One row of the table."""

    title: str
    run: Callable[[Stage], Awaitable[Figures]]
    regions: int = 3
    load: bool = False
    """What counts is where calls go: played with each of LiteLLM's strategies."""


PLAYS = (
    Play("caller's 404s, 10 % of 20 calls/s", callers_mistakes),
    Play("total outage, one deployment", outage, regions=1),
    Play("total outage, three deployments", outage),
    Play("origin throttled for 4 s, 20 follow-ups", throttled_origin),
    Play("forged ids", forged_ids),
    Play("20 streams cut in the middle", broken_streams),
    Play("300 callers that give up", cancels),
    Play("black hole, one of three", under_fault("silent", value=True), load=True),
    Play("brown-out of 20 %, one of three", under_fault("errors", 0.2), load=True),
    Play("ten times slower, one of three", under_fault("slowdown", 10.0), load=True),
)


async def act(play: Play, make: MakeRouter, seed: int) -> Figures:
    """Plays one of them on a cloud of its own."""
    regions = [
        PlainRegion(Service(name, ServiceModel(0.05, 0.0, 0.001, factor=factor), seed=seed), seed=seed)
        for name, factor in list(FACTORS.items())[: play.regions]
    ]
    with FakeCloud(regions) as cloud:
        router = make([_row(one) for one in regions])
        try:
            return await play.run(Stage(cloud, router, random.Random(f"{play.title}:{seed}")))
        finally:
            if hasattr(router, "aclose"):  # LiteLLM's has nothing of the kind
                await router.aclose()
                router.close()


def _row(region: PlainRegion) -> dict[str, Any]:
    params: Mapping[str, Any] = {"model": "azure/gpt-5", "api_version": "2025-04-01-preview", "api_key": "k"}
    return {
        "model_name": GROUP,
        "litellm_params": {**params, "api_base": region.url},
        "model_info": {"id": region.name},
    }
