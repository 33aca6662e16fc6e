"""The demonstration: generated conversations over three regions of which one dies and comes back."""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, cast

from turnout.errors import TurnoutError
from turnout.router import Router
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.region import FakeRegion
from turnout.sim.traffic import Arrival, arrivals
from turnout.streams import AsyncStream

REGIONS = (("eastus", 0.08), ("westus", 0.10), ("swedencentral", 0.14))
_TURNS = (1, 2, 3, 4)
_TOKENS_PER_WORD = 8
"""Answers are shortened by this, so that minutes of traffic fit into the demonstration."""
_DEADLINE = 20.0
_DIES, _RETURNS = 0.3, 0.6


@dataclass
class Tally:
    """What happened so far."""

    calls: int = 0
    failed: int = 0
    cut: int = 0
    """Streams that the dying region cut after their first words; their callers asked again."""
    follow_ups: int = 0
    right: int = 0
    """Follow-ups answered by the account that has the conversation, which proved it by knowing the turn."""
    attempts: int = 0
    seconds: list[float] = field(default_factory=list[float])
    errors: deque[str] = field(default_factory=lambda: deque[str](maxlen=5))

    @property
    def passed(self) -> bool:
        """No call failed that could have been served, and no follow-up reached a wrong account."""
        return self.calls > 0 and self.failed == 0 and self.right == self.follow_ups


class Demo:
    """Runs the scenario. `events` says what happened to the regions, newest last."""

    def __init__(self, *, seconds: float, rate: float, seed: int, interactive: bool) -> None:
        self.seconds = seconds
        self.interactive = interactive
        self.tally = Tally()
        self.active = 0
        self.events: deque[str] = deque(maxlen=6)
        self.elapsed = 0.0
        self.cloud = FakeCloud([FakeRegion(name, latency=delay, word_seconds=0.012) for name, delay in REGIONS])
        self._rng = random.Random(seed)
        self._rate = rate
        self._stopped = asyncio.Event()
        self.router: Router | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """The cloud and the Router, up for as long as the block; nothing of them is left behind."""
        with self.cloud:
            rows: list[dict[str, Any]] = [
                {
                    "model_name": "gpt",
                    "litellm_params": {"model": "azure/gpt-4o", "api_key": "demo", "api_base": self.cloud[name].url},
                    "model_info": {"id": name},
                }
                for name, _ in REGIONS
            ]
            secret = "a demonstration needs no secret"  # noqa: S105 (and so this is none)
            async with Router(rows, routing_strategy="least-busy", timeout=_DEADLINE, id_secret=secret) as self.router:
                yield

    def stop(self) -> None:
        """Ends the traffic; calls under way finish."""
        self._stopped.set()

    async def toggle(self, name: str) -> None:
        """Kills a region that is up, revives one that is down."""
        up = self.cloud.is_up(name)
        await asyncio.to_thread(self.cloud.kill if up else self.cloud.revive, name)
        self.events.append(f"{self.elapsed:5.1f} s  {name} {'died' if up else 'is back'}")

    async def run(self) -> None:
        """All traffic and, unless interactive, the scripted death."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with asyncio.TaskGroup() as tasks:
            if not self.interactive:
                tasks.create_task(self._script())
            for arrival in arrivals(self._rng, self._rate):
                if self.interactive or arrival.at < self.seconds:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(max(started + arrival.at - loop.time(), 0)):
                            await self._stopped.wait()
                self.elapsed = loop.time() - started
                if self._stopped.is_set() or (not self.interactive and arrival.at >= self.seconds):
                    break
                tasks.create_task(self._conversation(arrival, self._rng.choice(_TURNS)))

    async def _script(self) -> None:
        victim = "westus"
        await asyncio.sleep(self.seconds * _DIES)
        await self.toggle(victim)
        await asyncio.sleep(self.seconds * (_RETURNS - _DIES))
        await self.toggle(victim)

    async def _conversation(self, arrival: Arrival, turns: int) -> None:
        self.active += 1
        try:
            previous: str | None = None
            for turn in range(1, turns + 1):
                previous = await self._turn(arrival, turn, previous)
                if previous is None:
                    return
                await asyncio.sleep(self._rng.random() * 0.5)
        finally:
            self.active -= 1

    async def _turn(self, arrival: Arrival, turn: int, previous: str | None) -> str | None:
        """One turn, asked again if its stream is cut; returns the id to go on with."""
        if self.router is None:
            return None
        tally, loop = self.tally, asyncio.get_running_loop()
        asked: dict[str, Any] = {
            "model": "gpt",
            "input": "x" * (arrival.prompt_tokens * 4 % 40_000),
            "metadata": {"words": str(max(arrival.output_tokens // _TOKENS_PER_WORD, 5))},
            "previous_response_id": previous,
        }
        stream = self._rng.random() < 0.5
        while True:
            started = loop.time()
            tally.calls += 1
            try:
                response = await self._ask(asked, stream=stream)
            except TurnoutError as error:
                tally.failed += 1
                tally.errors.append(str(error))
                return None
            tally.attempts += len(response.route.attempts)
            if response.status == "failed":
                tally.cut += 1
                continue
            tally.seconds.append(loop.time() - started)
            if previous is not None:
                tally.follow_ups += 1
                tally.right += f" turn {turn}:" in response.output_text
            return response.id

    async def _ask(self, asked: dict[str, Any], *, stream: bool) -> Any:
        if self.router is None:
            raise RuntimeError("the demonstration is not running")
        if not stream:
            return await cast("Any", self.router).aresponses(**asked)
        events: AsyncStream = await cast("Any", self.router).aresponses(**asked, stream=True)
        async with events:
            async for _ in events:
                pass
        return events.response
