"""cost-based-routing: the cheapest deployment."""

from collections.abc import Sequence

from turnout.context import Pick, estimate_input_tokens
from turnout.deployment import Deployment

_TYPICAL_OUTPUT = 256


class CostBased:
    """The deployment whose prices make this call cheapest; among equals the least busy, then at random.

    Prices are `input_cost_per_token` and `output_cost_per_token` of the row (currency does not matter as long as it is
    the same everywhere). A deployment without prices counts as dearest.
    """

    def pick(self, candidates: Sequence[Deployment], pick: Pick) -> Deployment:
        """See Strategy."""
        wanted = pick.call.body.get("max_output_tokens")
        output = wanted if isinstance(wanted, int) else _TYPICAL_OUTPUT
        tokens = estimate_input_tokens(pick.call.body)

        def cost(deployment: Deployment) -> tuple[float, int, float]:
            spec = deployment.spec
            if spec.input_cost_per_token is None and spec.output_cost_per_token is None:
                return float("inf"), deployment.in_flight, pick.rng.random()
            price = tokens * (spec.input_cost_per_token or 0.0) + output * (spec.output_cost_per_token or 0.0)
            return price, deployment.in_flight, pick.rng.random()

        return min(candidates, key=cost)
