"""Four replicas share one limit through a real Valkey, in virtual time."""

import contextlib
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any

import pytest

from tests.router.engine.test_fleet import row
from tests.valkey import ValkeyServer
from turnout.cache.fleet_limits import FleetLimits, ask_all
from turnout.config import parse_model_list
from turnout.context import Call, estimate_tokens
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Destination, Lease, Tries
from turnout.limits.allowance import LeasePolicy
from turnout.limits.book import LimitBook
from turnout.limits.ledger import Answer, Request, Wish
from turnout.limits.quota import Usage
from turnout.policies import BudgetPolicy, CooldownPolicy, WaitPolicy
from turnout.strategies import STRATEGIES

LIMIT = 60_000
START = 1_800_000_000_000
POLICY = LeasePolicy()
SIZES = (50, 200, 800, 3000)
LARGEST = max(SIZES) + 1 + 256
"""Tokens of the largest call, as it is estimated."""


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
    crashes: list[float] = field(default_factory=list)

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
    """A process: its fleet of one deployment, its part in the shared limits, and more calls than there is room for."""

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
            with contextlib.suppress(ConnectionError):
                self.limits.exchange(self.world.client)
            self.serve()

    def serve(self) -> None:
        """Sends as many waiting calls as there is room for, first come first served."""
        while self.alive:
            while len(self.waiting) < self.backlog:
                size = self.world.rng.choice(SIZES)
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
            self.world.at(max(when, self.world.now) + 1e-6, self.serve)  # clocks are sums of floats

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
                self.fleet.release(lease, self.clock(), None, Usage(actual, 0))

        self.world.at(self.world.now + self.world.rng.uniform(0.2, 8), finish)

    def crash(self) -> None:
        self.alive = False
        self.world.crashes.append(self.world.now)


def worst(world: World, begin: float = 0.0, end: float = inf) -> tuple[float, float]:
    """Of the calls between two times, over all stretches of 60 s: the most tokens, and the most above the stated bound.

    The bound: the limit, a block for every replica, what a crashed one held and never reported (a block, or the call
    that its lease was for), and what calls used above their estimates.
    """
    block, lease = POLICY.block * LIMIT, max(POLICY.block * LIMIT, LARGEST)
    most, excess, first, total, over = 0.0, -inf, 0, 0.0, 0.0
    used = sorted(one for one in world.used if begin < one[0] <= end)
    for when, tokens, more in used:
        total += tokens
        over += more
        while used[first][0] <= when - 60:
            total -= used[first][1]
            over -= used[first][2]
            first += 1
        crashed = sum(when - 60 < crash <= when for crash in world.crashes)
        most = max(most, total)
        excess = max(excess, total - (LIMIT + (4 + crashed) * block + crashed * lease + over))
    return most, excess


@pytest.mark.parametrize("seed", [1, 2])
def test_four_replicas_share_a_limit_for_five_minutes(valkey: ValkeyServer, seed: int) -> None:
    with valkey.client() as client:
        world = World(Random(seed), client)
        replicas = [Replica(world, f"r{number}") for number in range(4)]
        begun = world.now
        for number in range(10):
            world.run(begun + 30 * number + 17)
            victim = world.rng.randrange(4)
            replicas[victim].crash()
            replicas[victim] = Replica(world, f"r{victim}-{number}")
        world.run(begun + 300)
        _, excess = worst(world)
        served = sum(tokens for when, tokens, _ in world.used if when > begun + 60)
        assert excess <= 0
        assert served >= 0.9 * LIMIT * 4
        nothing_leaks(world, client)


def nothing_leaks(world: World, client: Any) -> None:
    """Once all replicas are gone and the window has passed, a new one may borrow the whole limit."""
    world.events.clear()
    world.now += 70
    wish = Wish("tokens:60000", 1000, LIMIT, 0, LIMIT, LIMIT)
    request = Request("new", "", 1, 5000, 4000, [wish])
    (answer,) = ask_all(client, "turnout", [("deployment:a", request)], world.server_time)
    assert isinstance(answer, Answer)
    assert list(answer.granted) == [LIMIT]


class Outage:
    """A store that nobody can reach."""

    def pipeline(self, **options: Any) -> Any:
        raise ConnectionError("refused")


def test_the_store_loses_its_memory_and_is_away(valkey: ValkeyServer) -> None:
    with valkey.client() as client:
        world = World(Random(3), client)
        for number in range(4):
            Replica(world, f"r{number}")
        flushed, away, back = world.now + 90, world.now + 150, world.now + 270
        world.run(flushed)
        client.flushall()
        world.run(away)
        world.client = Outage()
        world.run(back)
        world.client = client
        client.flushall()
        world.run(back + 140)
        most, _ = worst(world)
        assert most <= (2 - 1 / 4) * LIMIT
        alone, excess = worst(world, away, back)
        assert excess <= 0
        assert alone >= 0.85 * LIMIT, "calls go on"
        _, excess = worst(world, back + POLICY.grace)
        assert excess <= 0
        nothing_leaks(world, client)


def test_what_is_removed_or_forked_gives_up_its_leases(valkey: ValkeyServer) -> None:
    with valkey.client(decode_responses=True) as client:
        world = World(Random(1), client)
        one = Replica(world, "one", tpm=LIMIT, rpm=1000)
        world.run(world.now + 2)
        (key,) = client.scan_iter("*")

        def leases() -> dict[str, list[str]]:
            return {name: packed.split()[3::2] for name, packed in client.hgetall(key).items() if name[:2] == "l:"}

        (before,) = leases().values()
        assert before != ["0", "0"]
        one.alive = False
        one.limits._begin_anew()
        (meter, _) = one.fleet.deployments["a"].limits.meters
        assert meter.window.used == 0, "the parent reports what the parent used"
        one.alive = True
        world.run(world.now + 2)
        assert len(leases()) == 2
        one.fleet.remove("a", one.clock())
        one.limits.exchange(client)
        assert list(leases().values())[-1] == ["0", "0"]
        assert one.limits._keys == {}
