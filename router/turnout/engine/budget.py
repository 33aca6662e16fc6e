"""The retry budget of a model group (Finagle's RetryBudget as a token bucket). Pure."""

from turnout.deployment import Budget, Deployment
from turnout.policies import BudgetPolicy

_FRESH = 10.0


def new_budget(policy: BudgetPolicy, now: float) -> Budget:
    """A budget with its initial retries."""
    return Budget(tokens=policy.initial, updated=now)


def _accrue(budget: Budget, policy: BudgetPolicy, now: float) -> float:
    cap = max(policy.per_second * policy.ttl, policy.initial)
    if budget.tokens < cap:
        budget.tokens = min(cap, budget.tokens + (now - budget.updated) * policy.per_second)
    budget.updated = now
    return cap


def deposit(budget: Budget, policy: BudgetPolicy, now: float) -> None:
    """One call was made: a fraction of a retry is earned, up to ten seconds of calls' worth at any rate."""
    _accrue(budget, policy, now)
    budget.calls += 1
    budget.tokens = min(budget.tokens + policy.ratio, 1000.0)


def withdraw(budget: Budget, policy: BudgetPolicy, now: float) -> bool:
    """Takes one retry; False if there is none."""
    _accrue(budget, policy, now)
    if budget.tokens < 1.0:
        return False
    budget.tokens -= 1.0
    return True


def may_retry(budget: Budget, policy: BudgetPolicy, deployment: Deployment, now: float) -> bool:
    """True if a retry on the deployment is free, or paid for hereby."""
    return is_free(deployment, now) or withdraw(budget, policy, now)


def is_free(deployment: Deployment, now: float) -> bool:
    """True if a retry there costs no budget.

    Its last answer was a good one, and recent; or nothing bad is known of it and it is idle, so that one call at a time
    finds out how it does.
    """
    health = deployment.health
    if health.failures:
        return False
    recent = health.last_success is not None and now - health.last_success < _FRESH
    return recent or deployment.in_flight == 0
