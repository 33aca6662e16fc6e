"""least-busy: the fewest calls in flight."""

from collections.abc import Sequence

from turnout.context import Pick
from turnout.deployment import Deployment
from turnout.strategies.choose import least


class LeastBusy:
    """The deployment with the fewest calls of this Router in flight, per unit of weight; ties at random."""

    def pick(self, candidates: Sequence[Deployment], pick: Pick) -> Deployment:
        """See Strategy."""
        return least(candidates, _busyness, pick.rng)


def _busyness(deployment: Deployment) -> float:
    weight = deployment.spec.weight
    return deployment.in_flight / (1.0 if weight is None else weight or 1e-9)
