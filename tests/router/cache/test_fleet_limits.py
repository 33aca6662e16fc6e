"""Four replicas share one limit through a real Valkey, in virtual time."""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any

import pytest

from tests.router.engine.test_fleet import row
from tests.valkey import ValkeyServer
from turnout.cache.fleet_limits import FleetLimits
from turnout.config import parse_model_list
from turnout.context import Call, estimate_tokens
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Destination, Lease, Tries
from turnout.limits.allowance import LeasePolicy
from turnout.limits.book import LimitBook
from turnout.policies import BudgetPolicy, CooldownPolicy, WaitPolicy
from turnout.strategies import STRATEGIES

LIMIT = 60_000
START = 1_800_000_000_000
POLICY = LeasePolicy()


@dataclass
class World:
    """Virtual time: what happens when, and what was let through."""

    rng: Random
    client: Any
    now: float = 1000.0
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    counter: int = 0
    used: list[list[float]] = field(default_factory=list)
    """Of every call: when it was let through, its tokens, and by how many they are more than was estimated."""
    starts: list[float] = field(default_factory=list)
    crashes: list[tuple[float, float]] = field(default_factory=list)

    def at(self, when: float, what: Callable[[], None]) -> None:
        self.counter += 1
        heapq.heappush(self.events, (when, self.counter, what))

    def run(self, until: float) -> None:
        while self.events and self.events[0][0] <= until:
            self.now, _, what = heapq.heappop(self.events)
            what()
        self.now = until

    def server_time(self) -> int:
        return START + int(self.now * 1000)


class Replica:
    """A process: its fleet with one deployment, its part in the shared limits, and more calls than there is room for."""

    def __init__(self, world: World, name: str, backlog: int = 30, **params: Any) -> None:
        self.world = world
        self.alive = True
        self.offset = world.rng.uniform(0, 1e6)
        book = LimitBook()
        self.fleet = Fleet(STRATEGIES["least-busy"](), [], CooldownPolicy(), BudgetPolicy(), WaitPolicy(), book)
        self.limits = FleetLimits(self.fleet.update, self.clock, replica=name, server_time=world.server_time)
        self.limits.wake = self.wanted
        book.shares = self.limits
        (spec,) = parse_model_list([row("a", **(params or {"tpm": LIMIT}))], {})
        self.fleet.add(spec, self.clock())
        self.waiting: deque[Call] = deque()
        self.backlog = backlog
        self.soon = False
        self.look_at = inf
        self.open: set[Lease] = set()
        world.starts.append(world.now)
        world.at(world.now, self.serve)
        world.at(world.now + world.rng.uniform(0, 0.3), self.tick)

    def clock(self) -> float:
        """Monotonic clocks of different machines have nothing to do with each other."""
        return self.world.now + self.offset

    def wanted(self) -> None:
        if not self.soon:
            self.soon = True
            self.world.at(self.world.now + self.world.rng.uniform(0.001, 0.02), self.exchange)

    def tick(self) -> None:
        if self.alive:
            self.exchange()
            self.world.at(self.world.now + 0.3, self.tick)

    def exchange(self) -> None:
        if self.alive:
            self.soon = False
            self.limits.exchange(self.world.client)
            self.serve()

    def serve(self) -> None:
        """Sends as many waiting calls as there is room for, first come first served."""
        while self.alive:
            while len(self.waiting) < self.backlog:
                size = self.world.rng.choice([100, 400, 1500, 6000])
                self.waiting.append(Call("create", "gpt", {"input": "x" * (4 * size)}, 0, inf))
            call = self.waiting[0]
            group = Destination(self.fleet.groups["gpt"])
            outcome = self.fleet.choose(group, call, Tries(), self.clock(), self.world.rng)
            if not isinstance(outcome, Lease):
                self.later(outcome.until - self.offset)
                return
            self.waiting.popleft()
            self.send(outcome, call)

    def later(self, when: float) -> None:
        if when < inf and not self.world.now < self.look_at <= when:
            self.look_at = when
            self.world.at(max(when, self.world.now), self.serve)

    def send(self, lease: Lease, call: Call) -> None:
        estimate = sum(estimate_tokens(call))
        actual = int(estimate * self.world.rng.choice([0.6, 0.9, 1.0, 1.02]))
        record = [self.world.now, float(estimate), 0.0]
        self.world.used.append(record)
        lease.sent = True
        self.open.add(lease)

        def finish() -> None:
            if self.alive:
                self.open.discard(lease)
                record[1:] = [actual, max(actual - estimate, 0)]
                self.fleet.release(lease, self.clock(), None, type(estimate_tokens(call))(actual, 0))

        self.world.at(self.world.now + self.world.rng.uniform(0.2, 8), finish)

    def crash(self) -> None:
        self.alive = False
        key = self.limits._keys["deployment:a"]
        self.world.crashes.append((self.world.now, float(max(part.block for part in key.parts))))


def worst_excess(world: World) -> tuple[float, float]:
    """Over all stretches of 60 s: the most that was used, and the most by which the stated bound was exceeded."""
    most, excess = 0.0, -inf
    block = POLICY.block * LIMIT
    used = sorted(world.used)
    first, total, over = 0, 0.0, 0.0
    for when, tokens, more in used:
        total += tokens
        over += more
        while used[first][0] <= when - 60:
            total -= used[first][1]
            over -= used[first][2]
            first += 1
        replicas = 4 + sum(when - 60 < crash <= when for crash, _ in world.crashes)
        lost = sum(lease for crash, lease in world.crashes if when - 60 < crash <= when)
        bound = LIMIT + replicas * block + lost + over
        most, excess = max(most, total), max(excess, total - bound)
    return most, excess


@pytest.mark.parametrize("seed", [1, 2])
def test_four_replicas_share_a_limit_for_five_minutes(valkey: ValkeyServer, seed: int) -> None:
    with valkey.client() as client:
        world = World(Random(seed), client)
        replicas = [Replica(world, f"r{number}") for number in range(4)]
        begun = world.now
        for number in range(1, 11):
            world.run(begun + 30 * number - 13)
            victim = world.rng.randrange(4)
            replicas[victim].crash()
            replicas[victim] = Replica(world, f"r{victim}-{number}")
            world.run(begun + 30 * number)
        most, excess = worst_excess(world)
        served = sum(tokens for when, tokens, _ in world.used if when > begun + 60)
        print(
            f"most in 60 s {most / LIMIT:.3f} of the limit, within the bound by {-excess:.0f}, "
            f"throughput {served / (LIMIT * 4):.3f}, {len(world.used)} calls, "
            f"{client.info('commandstats')}"
        )
        assert excess <= 0
        assert served >= 0.9 * LIMIT * 4
