"""Affinity keys: the same choice everywhere, in proportion to weights, with no more movement than there must be."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from math import ceil, sqrt
from random import Random

from turnout.config import parse_model_list
from turnout.context import AffinityKey, Call
from turnout.deployment import Deployment
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Destination, Lease, Tries
from turnout.engine.preference import BALANCE, Bound, in_order, preferred, ranked
from turnout.policies import AffinityKind, BudgetPolicy, CooldownPolicy, WaitPolicy
from turnout.strategies import STRATEGIES


def key(number: int, kind: AffinityKind = "session") -> AffinityKey:
    return AffinityKey(kind, blake2b(str(number).encode(), digest_size=16).digest())


KEYS = [key(number) for number in range(4000)]
"""Fewer than are remembered per group."""


class Running:
    """A fleet whose calls the test begins and ends."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.fleet = Fleet(STRATEGIES["simple-shuffle"](), [], CooldownPolicy(), BudgetPolicy(), WaitPolicy())
        self.rng = Random(5)
        for name, weight in weights.items():
            self.put(name, weight)

    def put(self, name: str, weight: float) -> None:
        params = {"model": "azure/g", "api_key": "k", "api_base": f"https://{name}.openai.azure.com", "weight": weight}
        row = {"model_name": "gpt", "litellm_params": params, "model_info": {"id": name}}
        for spec in parse_model_list([row], {}, None, {}):
            self.fleet.add(spec, 0.0)

    @property
    def members(self) -> Sequence[Deployment]:
        return self.fleet.groups["gpt"].members

    def take(self, affinity: AffinityKey) -> Lease:
        call = Call("create", "gpt", {"input": "x"}, 0.0, 60.0, affinity=affinity)
        lease = self.fleet.choose(Destination(self.fleet.groups["gpt"]), call, Tries(), 1.0, self.rng)
        assert isinstance(lease, Lease)
        return lease

    def give_back(self, lease: Lease) -> None:
        self.fleet.release(lease, 1.0, None, None)

    def places(self, keys: Sequence[AffinityKey]) -> list[str]:
        """Where a call with each of the keys goes, one at a time."""
        found: list[str] = []
        for one in keys:
            lease = self.take(one)
            found.append(lease.deployment.id)
            self.give_back(lease)
        return found


def assert_shared_by(weights: Mapping[str, float], places: Sequence[str]) -> None:
    """Every deployment has its share of the keys, within four standard deviations."""
    counts, total = Counter(places), sum(weights.values())
    for name, weight in weights.items():
        share = weight / total
        assert abs(counts[name] - len(places) * share) <= 4 * sqrt(len(places) * share * (1 - share)), name


def test_keys_are_shared_out_by_weight() -> None:
    weights = {"a": 1.0, "b": 2.0, "c": 4.0, "d": 0.5, "e": 0.0}
    assert_shared_by(weights, Running(weights).places(KEYS))


def test_a_deployment_that_leaves_takes_only_its_own_keys_along_and_gets_them_back() -> None:
    weights = {"a": 1.0, "b": 2.0, "c": 3.0}
    running = Running(weights)
    before = running.places(KEYS)
    running.fleet.remove("b", 1.0)
    without = running.places(KEYS)
    assert all(now == was for now, was in zip(without, before, strict=True) if was != "b")
    assert_shared_by({"a": 1.0, "c": 3.0}, [now for now, was in zip(without, before, strict=True) if was == "b"])
    running.put("b", 2.0)
    assert running.places(KEYS) == before


def test_a_new_weight_moves_keys_to_or_from_that_deployment_only() -> None:
    running = Running({"a": 1.0, "b": 1.0, "c": 1.0})
    before = running.places(KEYS)
    running.put("a", 3.0)
    after = running.places(KEYS)
    moved = [(was, now) for was, now in zip(before, after, strict=True) if was != now]
    assert moved
    assert {now for _, now in moved} == {"a"}
    assert_shared_by({"a": 3.0, "b": 1.0, "c": 1.0}, after)


def test_without_any_weight_keys_are_shared_out_evenly() -> None:
    weights = {"a": 0.0, "b": 0.0, "c": 0.0}
    assert_shared_by(dict.fromkeys(weights, 1.0), Running(weights).places(KEYS))


RANKS = """
import sys
from tests.router.engine.test_preference import Running, key
from turnout.engine.preference import ranked
names = sys.argv[1].split(",")
members = Running({name: 1.0 + len(name) for name in names}).members
print([[one.id for one in ranked(members, key(number).digest)] for number in range(50)])
"""


def test_every_process_ranks_alike_whatever_its_hash_seed_and_its_order_of_rows() -> None:
    orders = (["eastus", "westus", "swedencentral", "japaneast"], ["japaneast", "swedencentral", "eastus", "westus"])
    said = [
        subprocess.run(
            [sys.executable, "-c", RANKS, ",".join(names)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout
        for seed, names in zip(("1", "2"), orders, strict=True)
    ]  # fmt: skip
    assert said[0] == said[1]
    assert said[0].count("eastus") == 50


def test_ranks_are_those_of_earlier_releases() -> None:
    """Processes of two releases serve side by side during an upgrade: the hash is part of what they agree on."""
    members = Running({"eastus": 1.0, "westus": 1.0, "swedencentral": 2.0, "japaneast": 0.5}).members
    assert [[one.id for one in ranked(members, key(number).digest)] for number in range(3)] == [
        ["swedencentral", "westus", "eastus", "japaneast"],
        ["japaneast", "westus", "swedencentral", "eastus"],
        ["swedencentral", "japaneast", "eastus", "westus"],
    ]


def test_the_first_in_rank_of_the_candidates_is_found_however_few_they_are() -> None:
    running = Running({f"region-{number}": 1.0 + number % 3 for number in range(60)})
    group = running.fleet.groups["gpt"]
    for number in range(60):
        few = running.rng.sample(group.members, 1 + number % 7)
        assert preferred(few, key(number), group) is ranked(few, key(number).digest)[0]


def test_a_bounded_key_never_gives_a_deployment_more_than_its_bound() -> None:
    """One key for all calls, of which any number are under way at once."""
    weights = {"a": 1.0, "b": 1.0, "c": 2.0, "d": 4.0}
    running, total = Running(weights), sum(weights.values())
    held: list[Lease] = []
    most = 0
    for step in range(3000):
        grows = 0.7 if step < 1500 else 0.3
        if not held or running.rng.random() < grows:
            lease = running.take(key(1, "prompt_cache"))
            held.append(lease)
            taken = lease.deployment
            assert lease.by_key
            assert taken.in_flight <= ceil(BALANCE * len(held) * weights[taken.id] / total) + 1
            most = max(most, len(held))
        else:
            running.give_back(held.pop(running.rng.randrange(len(held))))
    assert most > 400


def test_a_bounded_key_goes_on_down_its_rank_and_back() -> None:
    running = Running({"a": 1.0, "b": 1.0, "c": 1.0})
    first, second, third = in_order(running.members, key(7, "prompt_cache"))
    held = [running.take(key(7, "prompt_cache")) for _ in range(3)]
    assert [one.deployment for one in held] == [first, first, first]  # a few at once are no load
    assert in_order(running.members, key(7, "prompt_cache")) == [second, third, first]
    held.append(running.take(key(7, "prompt_cache")))
    assert held[-1].deployment is second
    for lease in held:
        running.give_back(lease)
    assert running.take(key(7, "prompt_cache")).deployment is first


def test_an_unbounded_key_keeps_to_its_deployment() -> None:
    running = Running({"a": 1.0, "b": 1.0, "c": 1.0})
    assert len({running.take(key(7)).deployment.id for _ in range(100)}) == 1


def test_where_all_of_a_keys_favourites_are_crowded_the_strategy_chooses() -> None:
    running = Running({f"region-{number}": 1.0 for number in range(40)})
    affinity = key(3, "prompt_cache")
    for one in ranked(running.members, affinity.digest)[:16]:
        one.in_flight = 50
    leases = [running.take(affinity) for _ in range(20)]
    assert not any(lease.by_key for lease in leases)
    assert len({lease.deployment.id for lease in leases}) > 5


def test_what_is_remembered_of_keys_is_bounded() -> None:
    running = Running({"a": 1.0, "b": 1.0})
    group = running.fleet.groups["gpt"]
    keys = [key(number) for number in range(6000)]
    places = running.places(keys)
    assert len(group.favourites) == 4096
    assert running.places(keys) == places


def test_room_is_counted_over_the_candidates() -> None:
    a, b = Running({"a": 1.0, "b": 3.0}).members
    a.in_flight, b.in_flight = 4, 3
    bound = Bound([a, b])
    assert (bound.capacity(a), bound.capacity(b)) == (ceil(1.25 * 8 / 4) + 1, ceil(1.25 * 8 * 3 / 4) + 1)
    assert (bound.has_room(a), bound.has_room(b)) == (False, True)
