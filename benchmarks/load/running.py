"""Runs a plan against its targets: starts calls when they are due, within the bounds, and keeps their outcomes."""

import asyncio
import dataclasses
import random
import time
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from benchmarks.load.calling import call, limit_of
from benchmarks.load.plan import Plan
from benchmarks.load.targets import Target
from turnout.sim.record import Outcome
from turnout.sim.traffic import Arrival

LATE = 0.1
"""Seconds after which the start of a call counts as late."""
INTERRUPTED = "interrupted"
_RECENT = 500


class Due(NamedTuple):
    """A call to be made."""

    number: int
    arrival: Arrival
    target: int
    """Index of the target that it goes to."""


class LoadTest:
    """One run. What it shows may be read at any time; it is all there when `run` returns, however that ended."""

    def __init__(self, plan: Plan, targets: Sequence[Target]) -> None:
        self.plan = plan
        self.targets = targets
        self.outcomes: list[list[Outcome]] = [[] for _ in targets]
        self.recent: deque[Outcome] = deque(maxlen=_RECENT)
        self.started = 0
        self.ok = 0
        self.late = 0
        """Calls of an open loop that this process could not start in time."""
        self.latest = 0.0
        """Seconds by which the latest of them was late."""
        self.broken_off = 0
        """Calls that were still under way when the run ended, and were cancelled."""
        self.spent = 0.0
        self.ended = ""
        """Why the run ended."""
        self._begun = time.monotonic()
        self._took: float | None = None
        self._reserved = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._feeder: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._due = self._dealt(plan.calls())

    @property
    def elapsed(self) -> float:
        """Seconds since the start, to the end at most."""
        return time.monotonic() - self._begun if self._took is None else self._took

    @property
    def done(self) -> int:
        """Calls that have ended."""
        return sum(map(len, self.outcomes))

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return self.started - self.done - self.broken_off

    async def run(self) -> None:
        """All of it. Raises what is no error of a call: a mistake of the test itself."""
        loop = asyncio.get_running_loop()
        self._begun = time.monotonic()
        seconds = self.plan.bounds.seconds
        timer = None if seconds == float("inf") else loop.call_later(seconds, self.stop, "time is up")
        self._feeder = loop.create_task(self._feed() if self.plan.users is None else self._employ(self.plan.users))
        try:
            await asyncio.wait([self._feeder])
            if not self._feeder.cancelled():
                self._feeder.result()
            self.ended = self.ended or "all calls were made"
            if self._tasks and self.ended != INTERRUPTED:
                await asyncio.wait(set(self._tasks), timeout=self.plan.drain)
        finally:
            if timer is not None:
                timer.cancel()
            self._feeder.cancel()
            await self._give_up()
            self._took = time.monotonic() - self._begun
        if self._failure is not None:
            raise self._failure

    def stop(self, reason: str = INTERRUPTED) -> None:
        """Starts no more calls. Those under way are cancelled if the run was interrupted, else they have a while."""
        if reason == INTERRUPTED or not self.ended:
            self.ended = reason
        if self._feeder is not None:
            self._feeder.cancel()
        if reason == INTERRUPTED:
            for task in self._tasks:
                task.cancel()

    async def _feed(self) -> None:
        """Open loop: each call starts when it is due, whatever became of those before it."""
        for due in self._due:
            pause = self._begun + due.arrival.at - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            if not self._affordable(due):
                return
            lateness = time.monotonic() - self._begun - due.arrival.at
            self.late += lateness > LATE
            self.latest = max(self.latest, lateness)
            self._begin(self._one(due))

    async def _employ(self, users: int) -> None:
        """Closed loop: each user makes one call after another."""
        for _ in range(users):
            self._begin(self._user())
        await asyncio.wait(set(self._tasks))

    async def _user(self) -> None:
        while not self.ended and (due := next(self._due, None)) is not None and self._affordable(due):
            await self._one(due._replace(arrival=dataclasses.replace(due.arrival, at=self.elapsed)))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failure = self._failure or failure
            self.stop()

    async def _one(self, due: Due) -> None:
        target = self.targets[due.target]
        reserved = self._price(due)
        self._reserved += reserved
        self.started += 1
        try:
            outcome = await call(target, due.arrival, due.number, self._begun, stream=self.plan.stream)
        except asyncio.CancelledError:
            self.broken_off += 1
            raise
        finally:
            self._reserved -= reserved
        self.outcomes[due.target].append(outcome)
        self.recent.append(outcome)
        self.ok += outcome.ok
        self.spent += outcome.cost

    def _affordable(self, due: Due) -> bool:
        """False, which ends the run, if the call and those under way might cost more than is left."""
        if self.spent + self._reserved + self._price(due) <= self.plan.bounds.cost:
            return True
        self.stop("the money is spent")
        return False

    def _price(self, due: Due) -> float:
        """Dollars that one attempt of the call may cost."""
        return self.targets[due.target].dearest(due.arrival.prompt_tokens, limit_of(due.arrival))

    async def _give_up(self) -> None:
        left = set(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _dealt(self, calls: Iterable[Arrival]) -> Iterator[Due]:
        """Who gets which call. Two targets get one each of every two calls, in random order and of the same size."""
        rng = random.Random(f"targets:{self.plan.seed}")
        order, twin = [0], None
        for number, arrival in enumerate(calls):
            if len(self.targets) == 1:
                yield Due(number, arrival, 0)
            elif twin is None:
                order, twin = rng.sample((0, 1), 2), arrival
                yield Due(number, arrival, order[0])
            else:
                yield Due(number, dataclasses.replace(twin, at=arrival.at), order[1])
                twin = None
