"""latency-based-routing: the fastest answers."""

from collections.abc import Sequence

from turnout.context import Pick
from turnout.deployment import Deployment
from turnout.strategies.choose import least

_STALE = 10.0
_BAND = 0.1


class LatencyBased:
    """The deployment with the lowest moving average: seconds to the first output for streams, else seconds per answer
    relative to its length.

    Deployments never measured go first, each with one call at a time. Those within a tenth of the best share the
    load, so that the best is not swamped. An estimate older than 10 s fades towards zero, which makes the deployment
    be tried again: a region that was slow once is not shunned for ever.
    """

    def pick(self, candidates: Sequence[Deployment], pick: Pick) -> Deployment:
        """See Strategy."""
        best = least(candidates, lambda one: _seconds(one, pick), pick.rng)
        limit = _seconds(best, pick) * (1 + _BAND)
        near = [one for one in candidates if _seconds(one, pick) <= limit] if len(candidates) <= 48 else [best]
        return least(near, lambda one: one.in_flight, pick.rng)


def _seconds(deployment: Deployment, pick: Pick) -> float:
    latency = deployment.latency
    average = latency.first_event if pick.call.stream else latency.unary
    if average is None:
        return float(deployment.in_flight)
    age = pick.now - latency.updated
    if age > _STALE and deployment.in_flight == 0:
        average *= _STALE / age
    return average
