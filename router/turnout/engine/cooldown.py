"""When a deployment is benched and when it comes back: the circuit breaker, as pure functions on its Health.

closed -> open on failures (CooldownPolicy); open -> half-open when its pause has passed; half-open lets one probe
through, whose outcome closes or re-opens it. Sources: Finagle's FailureAccrualFactory (conditions, jittered growing
pauses, probing), Envoy's slow start.
"""

from math import inf
from random import Random
from typing import NamedTuple

from turnout.deployment import Deployment, Health
from turnout.limits.quota import Usage
from turnout.limits.upstream import LONGEST_WORD
from turnout.policies import CooldownPolicy
from turnout_adapters.kinds import Kind
from turnout_adapters.types.route import Outcome

_ALPHA = 0.1
_LATENCY_ALPHA = 0.2
_TYPICAL_OVERHEAD_TOKENS = 50
_DEFAULT_THROTTLE = 5.0
_QUOTA_PAUSE = 60.0
_MINUTE = 60.0
_JITTER = 0.5
"""Part of a pause that is up to chance, so that breakers that opened together do not probe together."""
_GOOD_NEWS = 1.0
"""Seconds that a probe must last at least to be good news."""
_AUTH = (Kind.AUTHENTICATION, Kind.PERMISSION, Kind.DEPLOYMENT_NOT_FOUND)


def available_at(deployment: Deployment, now: float) -> float:
    """When the deployment can take a call: `now` if it can, inf if only another call's end can tell."""
    health = deployment.health
    opens = health.proven_at if health.open_until is not None and health.probing else health.open_until or 0.0
    return max(room_at(deployment, None, now), opens)


def room_at(deployment: Deployment, size: Usage | None, now: float) -> float:
    """When its limits and its provider let a call through, whatever the breaker says; a probe has to keep to them."""
    parallel, limits = deployment.spec.max_parallel_requests, deployment.limits
    if deployment.removed or (parallel is not None and deployment.in_flight >= parallel):
        return inf
    at = max(deployment.health.throttled_until, now)
    if limits is None:
        return at
    return max(at, limits.ready_at(now) if size is None else limits.room_at(size, now))


def has_room(deployment: Deployment, size: Usage | None, now: float) -> bool:
    """True if a call of this size fits the deployment's limits."""
    return deployment.limits is None or size is None or deployment.limits.room_at(size, now) <= now


def is_resting(deployment: Deployment, now: float) -> bool:
    """True if the breaker keeps the deployment out: open, or half-open with its probe on the way."""
    health = deployment.health
    if health.open_until is None:
        return False
    return health.proven_at > now if health.probing else health.open_until > now


def is_throttled(deployment: Deployment, now: float) -> bool:
    """True if it is the provider's word that keeps the deployment out, rather than the breaker."""
    health = deployment.health
    if health.throttled_until <= now:
        return False
    return health.throttled_until >= (health.open_until or 0.0) or not is_resting(deployment, now)


def why_unavailable(deployment: Deployment, now: float) -> str:
    """One phrase for an error message."""
    health, parallel = deployment.health, deployment.spec.max_parallel_requests
    if deployment.removed:
        return "removed"
    if is_throttled(deployment, now):
        return f"throttled by the provider for {health.throttled_until - now:.1f} s"
    if is_resting(deployment, now):
        left = max((health.open_until or now) - now, 0.0)
        return f"cooling down after {health.failures or health.auth_failures} failures, probed in {left:.1f} s"
    if parallel is not None and deployment.in_flight >= parallel:
        return f"max_parallel_requests of {parallel} reached"
    return "" if deployment.limits is None else deployment.limits.why(None, now)


def begin(deployment: Deployment, *, probe: bool, now: float) -> bool:
    """Notes that an attempt begins, and says whether it is a probe.

    A probe that has outlived the failures before it by far is good news: the breaker closes on trial while the probe
    is still on its way. Answers may take half a minute, and the calls that wait could be served meanwhile.
    """
    health = deployment.health
    if health.open_until is None:
        return False
    if health.probing and not probe:
        health.open_until = None
        health.recovered_at = now
        return False
    health.probing = True
    health.proven_at = now + max(_GOOD_NEWS, 3 * health.failed_in)
    return True


def record_success(deployment: Deployment, *, probe: bool, now: float, started: float | None = None) -> None:
    """A complete answer to an attempt that began at `started` (None: just now).

    It says how the deployment was when the attempt began: a long answer that ends during an outage is no sign of life.
    """
    health = deployment.health
    if started is None or started > health.failed_start:
        health.failures = health.auth_failures = 0
    health.last_success = now
    health.samples += 1
    health.success += (1.0 - health.success) * _ALPHA
    if probe and health.open_until is not None:
        _close(deployment, now)
    elif health.samples >= 2 / _ALPHA:
        health.trips = 0


class Failure(NamedTuple):
    """A failed attempt, as the breaker sees it."""

    outcome: Outcome
    kind: Kind
    seconds: float
    """How long it took to fail."""
    retry_after: float | None = None
    calls: int = 0
    """How many the model group has had so far, from which follows how often a probe is due."""


def record_failure(
    deployment: Deployment, failure: Failure, *, probe: bool, now: float, policy: CooldownPolicy, rng: Random
) -> None:
    """A failed attempt. The caller's mistakes and throttles prove that the deployment lives."""
    outcome, kind, health = failure.outcome, failure.kind, deployment.health
    if outcome in ("caller", "throttle") and probe:
        _close(deployment, now)
    if outcome == "throttle" and policy.enabled:
        pause = _QUOTA_PAUSE if kind is Kind.QUOTA else _DEFAULT_THROTTLE
        until = now + (failure.retry_after if failure.retry_after is not None else pause)
        health.throttled_until = max(health.throttled_until, until)
        _doubt(health, now)
    elif outcome in ("deployment", "provider"):
        _count(deployment, failure, now)
        health.failed_in = max(failure.seconds, health.failed_in / 2)
        health.failed_start = max(now - failure.seconds, health.failed_start)
        if policy.enabled and (probe or _should_open(deployment, kind, policy)):
            _open(deployment, failure, policy, now, rng)


def _doubt(health: Health, now: float) -> None:
    """A provider's word on when to come back is believed for an hour; after that a probe finds out."""
    latest = now + LONGEST_WORD
    if health.throttled_until > latest:
        health.throttled_until = latest
        health.open_until = max(health.open_until or 0.0, latest)


def take_hint(deployment: Deployment, now: float, throttled: float, rest: float | None, policy: CooldownPolicy) -> None:
    """What another process found out: seconds of the provider's throttle and of the breaker's rest.

    A rest of 0 says that the breaker closed, None nothing of it.
    """
    health = deployment.health
    if not policy.enabled:
        return
    if throttled > 0:
        health.throttled_until = max(health.throttled_until, now + throttled)
        _doubt(health, now)
    if rest is None:
        return
    if rest > 0:
        until = now + min(rest, max(policy.cap, policy.auth_pause))
        if health.open_until is None or (not health.probing and health.open_until < until):
            health.open_until = until
    elif health.open_until is not None and not health.probing:
        health.open_until = now


def _count(deployment: Deployment, failure: Failure, now: float) -> None:
    health = deployment.health
    if health.failures == 0:
        health.failing_since = now
        _pace(health, failure.calls, now)
    health.failures += 1
    health.samples += 1
    health.success -= health.success * _ALPHA
    health.auth_failures = health.auth_failures + 1 if failure.kind in _AUTH else 0
    health.minute.append(now)
    while health.minute and health.minute[0] <= now - _MINUTE:
        health.minute.popleft()


def _should_open(deployment: Deployment, kind: Kind, policy: CooldownPolicy) -> bool:
    health = deployment.health
    allowed = policy.allowed(kind)
    if allowed is not None:
        return len(health.minute) > allowed
    if health.auth_failures >= 2 or health.failures >= policy.consecutive:
        return True
    return health.samples >= policy.min_samples and health.success < policy.success_rate


def _open(deployment: Deployment, failure: Failure, policy: CooldownPolicy, now: float, rng: Random) -> None:
    health = deployment.health
    fixed = deployment.spec.cooldown_time
    if fixed is not None or policy.base >= policy.cap:
        pause = policy.base if fixed is None else fixed
    elif failure.kind in _AUTH:
        pause = policy.auth_pause
    else:
        pause = _pause(deployment, failure, policy, now) * (1.0 - _JITTER * rng.random())
    _pace(health, failure.calls, now)
    health.trips += 1
    health.proven_at = inf  # a probe from before vouches for nothing any more
    health.open_until = now + max(pause, min(failure.retry_after or 0.0, policy.cap))
    health.minute.clear()


def _pause(deployment: Deployment, failure: Failure, policy: CooldownPolicy, now: float) -> float:
    """Twice as long with every trip, and no shorter than the deployment has been failing already.

    But no longer than the group takes for `probe_calls` calls: what probes cost its callers is a share of the calls,
    whatever their rate. A probe that hangs for half a minute is a pause too, so half of what the attempt took is taken
    off; unless nobody has been answered of late: then whoever is sent will hang as long, and the pause is no shorter.
    """
    health, took = deployment.health, failure.seconds
    lasted = now - health.failing_since - health.failures * health.failed_in
    silent = took if health.failures >= policy.consecutive else 0.0
    calls = max(failure.calls - health.paced_calls, 1)
    enough = max((now - health.paced_at) * policy.probe_calls / calls, policy.base)
    longest = min(policy.cap, enough, max(policy.base * 2.0 ** min(health.trips, 16), lasted, silent))
    return longest if silent else max(longest - took / 2, min(policy.base, longest))


def _pace(health: Health, calls: int, now: float) -> None:
    health.paced_at = now
    health.paced_calls = calls


def _close(deployment: Deployment, now: float) -> None:
    health = deployment.health
    health.open_until = None
    health.failures = health.auth_failures = health.samples = 0
    health.success = 1.0
    health.recovered_at = now


def record_latency(
    deployment: Deployment, seconds: float, output_tokens: int | None, *, first_event: bool, now: float
) -> None:
    """Feeds the moving averages.

    Answers differ in length about a hundredfold, so seconds are divided by the size of the answer; the constant stands
    for the time that a short answer takes anyway, without which short answers would look slow.
    """
    latency = deployment.latency
    latency.updated = now
    if first_event:
        latency.first_event = _moved(latency.first_event, seconds)
    else:
        latency.unary = _moved(latency.unary, seconds / ((output_tokens or 0) + _TYPICAL_OVERHEAD_TOKENS))


def _moved(average: float | None, sample: float) -> float:
    return sample if average is None else average + (sample - average) * _LATENCY_ALPHA
