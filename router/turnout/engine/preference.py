"""Which deployment a call's affinity key prefers. Pure: nothing is remembered, so every process prefers the same one.

Weighted rendezvous hashing (Thaler and Ravishankar 1998; weights by the logarithm method of Schindelhauer and
Schomaker 2005): each key ranks the deployments in an order of its own. A deployment that leaves takes only its own keys
along, and gets the same ones back. Keys of beginnings of prompts are held to a bounded load (Mirrokni, Thorup and
Zadimoghaddam 2018), since one of them may stand for most of the traffic.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from math import ceil, log

from turnout.context import AffinityKey
from turnout.deployment import Deployment, ModelGroup

BALANCE = 1.25
"""A bounded key gives a deployment at most this many times its share of the calls under way, and one more."""
_FAVOURITES = 16
"""Deployments remembered per key; only when none of them can serve are all candidates ranked."""
_KEYS = 4096
"""Keys remembered per model group; the one used longest ago goes first."""
_LEAST_CAPACITY = 2
"""What every deployment may carry, however little the others do."""
_STEPS = 2.0**52


def preferred(candidates: Sequence[Deployment], key: AffinityKey, group: ModelGroup) -> Deployment | None:
    """The first in the key's rank that is among the candidates and, for a bounded key, has room.

    None if those in question have no room: the choice is then the strategy's.
    """
    near = [one for one in _favourites(group, key.digest) if _is_among(one, candidates)]
    if not near:
        near = ranked(candidates, key.digest)
    if not key.bounded:
        return near[0]
    bound = Bound(candidates)
    return next((one for one in near if bound.has_room(one)), None)


def ranked(deployments: Sequence[Deployment], digest: bytes) -> list[Deployment]:
    """The deployments in the key's order, first choice first. O(n)."""
    return [one for *_, one in sorted(_scored(deployments, digest), reverse=True)]


def in_order(candidates: Sequence[Deployment], key: AffinityKey) -> list[Deployment]:
    """The candidates as the key would take them now: in its rank, for a bounded key those without room last."""
    order = ranked(candidates, key.digest)
    if not key.bounded:
        return order
    bound = Bound(order)
    return sorted(order, key=lambda one: not bound.has_room(one))


class Bound:
    """How many calls each of some deployments may carry: `BALANCE` times its share of all that are under way, plus one.

    Counted are the calls of this Router, the one that asks included; the share follows the weights.
    """

    __slots__ = ("_among", "_calls", "_shares")

    def __init__(self, among: Sequence[Deployment]) -> None:
        self._among = among
        self._calls = 0
        self._shares = 0.0

    def has_room(self, deployment: Deployment) -> bool:
        """True if one more call stays within the bound. Looks at the others only if there are calls to compare."""
        return deployment.in_flight < _LEAST_CAPACITY or deployment.in_flight < self.capacity(deployment)

    def capacity(self, deployment: Deployment) -> int:
        """The most calls it may carry now."""
        if self._calls == 0:
            self._calls = 1 + sum(one.in_flight for one in self._among)
            self._shares = sum(one.share for one in self._among)
        part = deployment.share / self._shares if self._shares else 1 / len(self._among)
        return ceil(BALANCE * self._calls * part) + 1


def _scored(deployments: Iterable[Deployment], digest: bytes) -> Iterator[tuple[float, float, str, Deployment]]:
    """What a key thinks of each: its score, more is better; at no weight the drawn number decides, at last the id."""
    begun = blake2b(digest, digest_size=8)
    for one in deployments:
        state = begun.copy()
        state.update(one.id.encode())
        drawn = ((int.from_bytes(state.digest()) >> 12) + 0.5) / _STEPS
        yield -one.share / log(drawn), drawn, one.id, one


def _favourites(group: ModelGroup, digest: bytes) -> Sequence[Deployment]:
    """The key's first choices in the group, remembered until the group changes."""
    known = group.favourites.get(digest)
    if known is None:
        known = [one for *_, one in heapq.nlargest(_FAVOURITES, _scored(group.members, digest))]
        group.favourites[digest] = known
        if len(group.favourites) > _KEYS:
            group.favourites.popitem(last=False)
    else:
        group.favourites.move_to_end(digest)
    return known


def _is_among(deployment: Deployment, candidates: Sequence[Deployment]) -> bool:
    """Membership, at once where the candidates are the group's own list of ready ones."""
    at = deployment.position
    return (0 <= at < len(candidates) and candidates[at] is deployment) or deployment in candidates
