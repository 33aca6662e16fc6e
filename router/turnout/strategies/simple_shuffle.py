"""simple-shuffle: at random, in proportion to weight."""

from collections.abc import Sequence

from turnout.context import Pick
from turnout.deployment import Deployment
from turnout.strategies.choose import weighted

_SLOW_START = 20.0


class SimpleShuffle:
    """A random deployment, in proportion to `weight`, else to `rpm`, else to `tpm`, as far as rows give them.

    A recovering deployment starts at a tenth of its weight. O(1) while all are equal.
    """

    def pick(self, candidates: Sequence[Deployment], pick: Pick) -> Deployment:
        """See Strategy."""
        drawn = candidates[int(pick.rng.random() * len(candidates))]
        if pick.uniform:
            return drawn
        return weighted(candidates, lambda one: one.share * one.pace(pick.now, _SLOW_START), pick.rng)
