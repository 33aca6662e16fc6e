"""How to choose by a load: a full scan with random ties, or the better of two at random when there are many.

A load metric and a choice are separate values that compose: `least(candidates, in_flight, rng)`.
"""

from collections.abc import Callable, Sequence
from random import Random

from turnout.deployment import Deployment

SCAN = 48
"""Up to this many candidates all are looked at."""


def least(candidates: Sequence[Deployment], load: Callable[[Deployment], float], rng: Random) -> Deployment:
    """The candidate with the least load, ties broken at random.

    Above `SCAN` candidates the less loaded of two random ones (Mitzenmacher's power of two choices), so that the cost
    of a choice does not grow with the fleet.
    """
    if len(candidates) > SCAN:
        first = candidates[int(rng.random() * len(candidates))]
        second = candidates[int(rng.random() * len(candidates))]
        return first if load(first) <= load(second) else second
    best: list[Deployment] = []
    lowest = float("inf")
    for candidate in candidates:
        value = load(candidate)
        if value < lowest:
            lowest, best = value, [candidate]
        elif value == lowest:
            best.append(candidate)
    return best[int(rng.random() * len(best))] if best else candidates[0]


def weighted(candidates: Sequence[Deployment], weight: Callable[[Deployment], float], rng: Random) -> Deployment:
    """One candidate at random, in proportion to its weight; uniformly if no weight is positive.

    Above `SCAN` candidates by rejection against the heaviest of a sample, else by a running sum.
    """
    point = rng.random() * sum(map(weight, candidates))
    for candidate in candidates:
        point -= weight(candidate)
        if point < 0:
            return candidate
    return candidates[int(rng.random() * len(candidates))]
