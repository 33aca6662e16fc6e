"""What affinity costs per call, and what it is worth: warm prompts, and the load of the fullest deployment.

    python -m benchmarks.affinity

Costs are CPU microseconds of taking and giving back a deployment, beyond those of a call without a key (the least of
several runs). Worth is a simulation in virtual time with the real fleet: calls of Zipf-distributed prompts, each under
way for a while; a prompt is warm where the same one was sent within the last five minutes.
"""

import argparse
import heapq
import random
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from turnout.config import parse_model_list
from turnout.context import AffinityKey, Call
from turnout.continuity.stickiness import affinity_key
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Destination, Lease, Tries
from turnout.policies import AffinityKind, AffinityPolicy, BudgetPolicy, CooldownPolicy, WaitPolicy
from turnout.strategies import STRATEGIES

WARM_SECONDS = 300.0


def fleet_of(size: int) -> Fleet:
    """A fleet of one model group."""
    fleet = Fleet(STRATEGIES["simple-shuffle"](), [], CooldownPolicy(), BudgetPolicy(), WaitPolicy())
    rows = [
        {
            "model_name": "gpt",
            "litellm_params": {"model": "azure/g", "api_key": "k", "api_base": f"https://r{one}.openai.azure.com"},
            "model_info": {"id": f"region-{one}"},
        }
        for one in range(size)
    ]
    for spec in parse_model_list(rows, {}, None, {}):
        fleet.add(spec, 0.0)
    return fleet


def key_of(number: int, kind: AffinityKind) -> AffinityKey:
    """A key as calls have it."""
    return AffinityKey(kind, blake2b(str(number).encode(), digest_size=16).digest())


def take(fleet: Fleet, key: AffinityKey | None, now: float, rng: random.Random) -> Lease:
    """One call's deployment."""
    call = Call("create", "gpt", {"input": "x"}, now, now + 60.0, affinity=key)
    lease = fleet.choose(Destination(fleet.groups["gpt"]), call, Tries(), now, rng)
    assert isinstance(lease, Lease)
    return lease


def micros(work: Callable[[], Any], times: int) -> float:
    """Microseconds of one run, the least of seven tries."""
    return min(timeit.repeat(work, number=times, repeat=7)) / times * 1e6


def costs(size: int) -> list[float]:
    """What a key adds: known, new, and a prompt's while every deployment is busy."""
    fleet, rng = fleet_of(size), random.Random(1)
    fresh = iter(range(1, 1_000_000))

    def one(key: AffinityKey | None) -> None:
        fleet.release(take(fleet, key, 1.0, rng), 1.0, None, None)

    plain = micros(lambda: one(None), 2000)
    known = micros(lambda: one(key_of(0, "session")), 2000) - plain
    new = micros(lambda: one(key_of(next(fresh), "session")), 4000 // size + 20) - plain
    for deployment in fleet.groups["gpt"].members:
        deployment.in_flight = 10
    busy = micros(lambda: one(key_of(0, "prompt_cache")), 500) - plain
    return [known, new, busy]


@dataclass(frozen=True)
class Worth:
    """What a simulation found."""

    warm: float
    """Share of calls whose prompt was warm where they went."""
    fullest: float
    """Calls under way at the fullest deployment over the average, at the 99th percentile of time."""


def worth(kind: AffinityKind | None, deployments: int, prompts: int, exponent: float) -> Worth:
    """Half an hour of virtual time at 20 calls a second, each under way for five seconds on average."""
    fleet, rng = fleet_of(deployments), random.Random(7)
    members = fleet.groups["gpt"].members
    shares = [1 / (rank + 1) ** exponent for rank in range(prompts)]
    running: list[tuple[float, int, Lease]] = []
    last: dict[tuple[str, int], float] = {}
    warm, peaks, now = 0, list[float](), 0.0
    drawn = rng.choices(range(prompts), shares, k=36_000)
    for index, prompt in enumerate(drawn):
        now += rng.expovariate(20.0)
        while running and running[0][0] <= now:
            fleet.release(heapq.heappop(running)[2], now, None, None)
        lease = take(fleet, None if kind is None else key_of(prompt, kind), now, rng)
        heapq.heappush(running, (now + rng.expovariate(0.2), index, lease))
        place = (lease.deployment.id, prompt)
        warm += now - last.get(place, -WARM_SECONDS) < WARM_SECONDS
        last[place] = now
        peaks.append(max(one.in_flight for one in members) * deployments / len(running))
    return Worth(warm / len(drawn), sorted(peaks[1000:])[int(len(peaks[1000:]) * 0.99)])


def main() -> None:
    """Prints both tables."""
    argparse.ArgumentParser(description="What affinity costs per call, and what it is worth.").parse_args()
    print("| deployments | known key, us | new key, us | prompt, all busy, us |\n|---|---|---|---|")
    for size in (3, 16, 100, 1000):
        print(f"| {size} | " + " | ".join(f"{value:.1f}" for value in costs(size)) + " |")
    tools = [{"type": "function", "name": f"f{one}", "description": "Looks it up. " * 10} for one in range(40)]
    policy = AffinityPolicy(("session", "prompt_cache"))
    for name, body, options in (
        ("key of a session", {"input": "hi"}, {"session_id": "a-session-of-some-length"}),
        ("key of a prompt in one text", {"input": "word " * 20_000}, {}),
        ("key of a prompt that begins with 40 tools", {"tools": tools, "input": "hi"}, {}),
    ):
        print(
            f"{name}: {micros(lambda b=body, o=options: affinity_key(policy, 'gpt', 'create', 't', b, o), 500):.1f} us"
        )
    print("\n| prompts | kind of key | warm | fullest / average |\n|---|---|---|---|")
    for prompts, exponent in ((2000, 0.8), (50, 1.2)):
        for kind in (None, "prompt_cache", "session"):
            found = worth(kind, 10, prompts, exponent)
            print(f"| {prompts}, s={exponent} | {kind or 'none'} | {found.warm:.0%} | {found.fullest:.2f} |")


if __name__ == "__main__":
    main()
