"""What must hold of a circuit breaker after every attempt, by the policy that the world has configured."""

from tests.simulation.watching import Violation
from turnout.deployment import Deployment
from turnout.policies import CooldownPolicy

_IF_SLOW = 2
"""How many times as many timeouts in a row open the breaker of a deployment that answers late."""


def check_breaker(one: Deployment, policy: CooldownPolicy, now: float, *, failed: bool, slow: bool) -> None:
    """`failed`: the attempt counted as a failure; `slow`: it was a timeout at a deployment that answers late.

    Raises Violation.
    """
    health = one.health
    if not policy.enabled:
        if health.open_until is not None or health.throttled_until > now:
            raise Violation(f"{one.id} rests although nothing may")
        return
    plain = failed and policy.allowed_fails is None and not policy.allowed_fails_by_kind
    row = policy.consecutive * (_IF_SLOW if slow else 1)
    if plain and health.failures >= row and health.open_until is None:
        raise Violation(f"{one.id} has failed {health.failures} times in a row, and its breaker is closed")
    low = health.samples >= policy.min_samples and health.success < policy.success_rate
    if plain and low and not slow and health.open_until is None:
        raise Violation(f"{one.id} answers {health.success:.0%} of its calls, and its breaker is closed")
    longest = max(policy.cap, policy.auth_pause, one.spec.cooldown_time or 0.0)
    if health.open_until is not None and health.open_until > now + longest + 1e-6:
        raise Violation(f"{one.id} rests until {health.open_until:.3f}, longer than {longest} s")
