"""What is known of one attempt before and after it is made: how long it may take, and what its failure changes."""

from dataclasses import replace
from typing import Protocol, TypeVar

from turnout.context import AttemptFinished, Call
from turnout.engine.decide import Verdict, pause_before_same, verdict
from turnout.engine.fleet import Fleet
from turnout.engine.journey import Journey, Rules, attempt_of
from turnout.engine.leases import Lease
from turnout.engine.port import IO
from turnout.engine.probing import cut_short
from turnout.engine.settling import settle_failure
from turnout.errors import APIError, APITimeoutError
from turnout_adapters.kinds import Kind

A_co = TypeVar("A_co", covariant=True)

ROUNDING = 0.005
"""Seconds by which a timer may fire early."""
_MOST_ANNOUNCED = 8


class Send(Protocol[A_co]):
    """One attempt: sends the call to a deployment within so many seconds. Raises APIError."""

    async def __call__(self, call: Call, lease: Lease, io: IO, timeout: float) -> A_co:
        """See the class."""
        ...


def attempt_timeout(journey: Journey, lease: Lease, rules: Rules, now: float) -> float:
    """Seconds this attempt may take: its own limit, within what is left of the deadline.

    Without a limit of its own, an attempt gets half of what is left while the call could be served elsewhere, so that a
    silent deployment cannot use up the whole call.
    """
    call, spec = journey.call, lease.deployment.spec
    left = call.deadline - now
    own = call.attempt_timeout or (spec.stream_timeout if call.stream else None) or spec.timeout
    if own is not None:
        return min(own, left)
    return left / 2 if _elsewhere(journey, lease, rules) else left


def _elsewhere(journey: Journey, lease: Lease, rules: Rules) -> bool:
    """True if, should this attempt fail, a retry on another ready deployment or a fallback group is left to try."""
    call = journey.call
    if call.pin is not None and not journey.may_move(rules):
        return False
    if journey.spares(rules, None):
        return True
    if journey.in_group >= journey.retry_policy(rules).retries or lease.destination.only is not None:
        return False
    ready = sum(len(level) for level in lease.destination.group.ready.values())
    return ready > (lease.deployment.position >= 0)


def note_failure(journey: Journey, lease: Lease, error: APIError, fleet: Fleet, rules: Rules, io: IO) -> None:
    """Notes a failed attempt on the call, on the deployment's health and with the sinks, and gives the lease back."""
    now, deployment = io.now(), lease.deployment
    journey.last_verdict = what = verdict(error)
    journey.last_error = error
    if now >= journey.call.deadline - ROUNDING and isinstance(error, APITimeoutError):
        what = replace(what, retry=False, fallback=False)
        if cut_short(journey.call, lease.started, now):
            what = replace(what, outcome="cancelled")
        journey.last_verdict = what
    if journey.call.impatient and isinstance(error, APITimeoutError):
        journey.last_verdict = what = replace(what, outcome="cancelled")
    error.deployment, error.model_group = deployment.id, deployment.spec.model_group
    error.provider = error.provider or deployment.spec.provider
    tries = journey.tries
    tries.announced = _is_announced(journey, what, error, rules)
    if tries.announced:
        journey.announced += 1
    else:
        journey.in_group += 1
    tries.made += 1
    tries.groups.add(deployment.spec.model_group)
    tries.failures[deployment.id] = tries.failures.get(deployment.id, 0) + 1
    pause = pause_before_same(tries.failures[deployment.id], error.retry_after, rules.min_retry_delay, io.rng)
    tries.again_at[deployment.id] = now + pause
    if not what.same or error.headers.get("x-should-retry") == "false":
        tries.barred.add(deployment.id)
    if what.outcome == "provider" or error.kind is Kind.UNSUPPORTED:
        tries.providers.add(deployment.spec.provider)
    settle_failure(lease, error, what.outcome, fleet, io)
    attempt = attempt_of(lease, what.outcome, now, error)
    journey.attempts.append(attempt)
    error.attempts = tuple(journey.attempts)
    for sink in rules.sinks:
        sink(AttemptFinished(attempt, journey.call.operation, journey.call.stream))


def _is_announced(journey: Journey, what: Verdict, error: APIError, rules: Rules) -> bool:
    """A throttle with a Retry-After: the deployment rests until then, so asking the next one, or waiting, costs little.

    Three throttled deployments would otherwise use up a call that a second of waiting serves.
    """
    told = what.outcome == "throttle" and what.same and error.retry_after is not None
    return told and journey.announced < _MOST_ANNOUNCED and journey.retry_policy(rules).retries > 0
