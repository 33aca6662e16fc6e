"""Deployments with a behaviour each, under the Router's own fleet and `adaptive`, in time that the test moves."""

import heapq
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Any

from turnout.config import parse_model_list
from turnout.context import AffinityKey, Call
from turnout.deployment import Deployment
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Destination, Lease, Tries
from turnout.engine.settling import settle_failure, settle_success
from turnout.errors import InternalServerError
from turnout.policies import AdaptivePolicy, BudgetPolicy, CooldownPolicy, WaitPolicy
from turnout.strategies import Adaptive
from turnout.strategies.standing import Standing

TOKENS = (500, 200)
SECONDS = 4.5
"""What a call takes on a deployment that does nothing else, but for its luck."""
SMALL = (20, 10)
SMALL_SECONDS = 0.5
LATE = 1.15
"""When no call is small, the time between two looks is longer, but not by more."""
PASSED = 20
"""Nor by more calls."""
DEADLINE = 600.0
_SPREAD = 0.1
"""So little that chance alone makes no deployment look a tenth worse than another."""


@dataclass
class Nature:
    """How a deployment behaves."""

    factor: float = 1.0
    exponent: float = 0.0
    """Answers take so much longer with the calls it carries: load ^ exponent."""
    errors: float = 0.0
    """Share of the calls that fail after 50 ms."""
    silent: bool = False
    """Calls begin and never end."""


class World:
    """Calls on a model group. Also the part of the port that settling uses."""

    def __init__(self, *names: str, policy: AdaptivePolicy | None = None, enabled: bool = True, seed: int = 1) -> None:
        self.strategy = Adaptive(policy)
        cooldown = CooldownPolicy(enabled=enabled)
        self.fleet = Fleet(self.strategy, [], cooldown, BudgetPolicy(), WaitPolicy())
        self.rng = Random(seed)
        self._luck = Random(seed)
        self.time = 1000.0
        self.natures: dict[str, Nature] = {}
        self._under_way: list[tuple[float, int, Lease, bool, tuple[int, int]]] = []
        self._begun = 0
        for name in names:
            self.join(name)

    def now(self) -> float:
        return self.time

    def join(self, name: str, **params: Any) -> Deployment:
        given = {"model": "azure/gpt", "api_key": "k", "api_base": f"https://{name}.openai.azure.com", **params}
        row = {"model_name": "gpt", "litellm_params": given, "model_info": {"id": name}}
        self.natures[name] = Nature()
        return self.fleet.add(parse_model_list([row], {})[0], self.time)

    def __getitem__(self, name: str) -> Deployment:
        return self.fleet.deployments[name]

    def known(self, name: str) -> Standing:
        return self[name].learned

    @property
    def group(self) -> Any:
        """What the strategy knows of the model group."""
        return self.strategy._groups["gpt"]

    def badness(self, name: str) -> float:
        return self.strategy.badness(self[name], self.group, self.time)

    # --- single calls, which the test ends

    def begin(
        self, *, stream: bool = False, affinity: AffinityKey | None = None, tokens: tuple[int, int] = TOKENS
    ) -> Lease:
        body = {"input": "word" * tokens[0], "max_output_tokens": tokens[1]}
        call = Call("create", "gpt", body, self.time, self.time + DEADLINE, stream=stream, affinity=affinity)
        lease = self.fleet.choose(Destination(self.fleet.groups["gpt"]), call, Tries(), self.time, self.rng)
        assert isinstance(lease, Lease), lease.reasons
        return lease

    def begin_on(self, name: str, *, stream: bool = False) -> Lease:
        """A call to that deployment alone, as by its id."""
        call = Call("create", "gpt", {}, self.time, self.time + DEADLINE, stream=stream)
        found = Destination(self.fleet.groups["gpt"], [self[name]])
        lease = self.fleet.choose(found, call, Tries(), self.time, self.rng)
        assert isinstance(lease, Lease), lease.reasons
        return lease

    def first_output(self, lease: Lease) -> None:
        lease.first_event = self.time - lease.started
        self.fleet.answering(lease, self.time)

    def answer(self, lease: Lease, tokens: tuple[int, int] = TOKENS) -> None:
        settle_success(lease, self.fleet, self.time, *tokens)

    def fail(self, lease: Lease) -> None:
        settle_failure(lease, InternalServerError("x"), "deployment", self.fleet, self)  # type: ignore[arg-type]

    def cancel(self, lease: Lease) -> None:
        self.fleet.release(lease, self.time, None, None)

    # --- traffic, which ends by the nature of who serves it

    def call(self, *, small: bool = False) -> str:
        """Begins a call that ends by itself."""
        tokens = SMALL if small else TOKENS
        lease = self.begin(tokens=tokens)
        name = lease.deployment.id
        nature = self.natures[name]
        seconds = (SMALL_SECONDS if small else SECONDS) * nature.factor * lease.deployment.in_flight**nature.exponent
        seconds *= self._luck.lognormvariate(0.0, _SPREAD)
        fails = self._luck.random() < nature.errors
        self._begun += 1
        ends = self.time + (inf if nature.silent else 0.05 if fails else seconds)
        heapq.heappush(self._under_way, (ends, self._begun, lease, fails, tokens))
        return name

    def advance(self, seconds: float) -> None:
        until = self.time + seconds
        while self._under_way and self._under_way[0][0] <= until:
            self.time, _, lease, fails, tokens = heapq.heappop(self._under_way)
            if fails:
                self.fail(lease)
            else:
                self.answer(lease, tokens)
        self.time = until

    def run(self, calls: int, every: float) -> list[str]:
        """So many calls, one each `every` seconds: where they went."""
        places: list[str] = []
        for _ in range(calls):
            places.append(self.call())
            self.advance(every)
        return places

    def alone(self, calls: int) -> list[str]:
        """So many calls, each after the end of the one before."""
        places: list[str] = []
        for _ in range(calls):
            places.append(self.call())
            self.advance(self._under_way[0][0] - self.time)
        return places


def warm(*names: str, **more: Any) -> World:
    """Deployments that have answered for a while, all alike."""
    world = World(*names, **more)
    world.run(400, 0.5)
    return world


def times_on(world: World, name: str, calls: int, every: float = 0.5) -> list[float]:
    """When calls went to it, in seconds from now."""
    begun, found = world.time, []
    for _ in range(calls):
        if world.call() == name:
            found.append(world.time - begun)
        world.advance(every)
    return found
