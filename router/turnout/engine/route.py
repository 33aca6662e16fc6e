"""The one loop: take a deployment, send, judge the outcome, and return, try again, move, fall back or raise.

`route` is plain `async def` and waits only through the port: it is awaited under an event loop, stepped without one by
the sync API, and run in virtual time by the simulator. `try/finally` gives back what was taken on every exit.
"""

from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from turnout.context import AttemptFinished, Call
from turnout.engine.acquire import acquire
from turnout.engine.decide import Verdict, pause_before_same, verdict
from turnout.engine.fleet import Fleet
from turnout.engine.journey import Journey, Rules, attempt_of
from turnout.engine.leases import Destination, Lease
from turnout.engine.port import IO
from turnout.engine.settling import settle_failure
from turnout.errors import APIError, APITimeoutError, NotFoundError, unknown_response
from turnout_adapters.kinds import Kind
from turnout_adapters.types.route import Route

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)

_ROUNDING = 0.005
"""Seconds by which a timer may fire early."""
_MOST_ANNOUNCED = 8
_LOST = "previous_response_not_found"
"""The account's word that it does not have the response before (any more)."""


class Send(Protocol[A_co]):
    """One attempt: sends the call to a deployment within so many seconds. Raises APIError."""

    async def __call__(self, call: Call, lease: Lease, io: IO, timeout: float) -> A_co:
        """See the class."""
        ...


@dataclass(frozen=True, slots=True)
class Served(Generic[A]):
    """A successful attempt. The lease is still held: the caller gives it back with the outcome."""

    answer: A
    lease: Lease
    route: Route
    call: Call


async def route(call: Call, destination: Destination, fleet: Fleet, rules: Rules, io: IO, send: Send[A]) -> Served[A]:
    """Serves one call. Raises the last attempt's error, or one that says why none could be made."""
    journey = Journey(call, destination, [destination])
    journey.visited.add(destination.group.name)
    while True:
        lease = await acquire(journey, fleet, rules, io)
        try:
            timeout = _attempt_timeout(journey, lease, rules, io.now())
            if timeout <= 0:
                raise journey.too_late()
            answer = await send(journey.call, lease, io, timeout)
        except APIError as error:
            _note_failure(journey, lease, error, fleet, rules, io)
            await _decide(journey, error, rules, io)
        except BaseException:
            fleet.release(lease, io.now(), None, None)
            raise
        else:
            return Served(answer, lease, journey.route(lease, io.now()), journey.call)


def _attempt_timeout(journey: Journey, lease: Lease, rules: Rules, now: float) -> float:
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
    if journey.chain[1:] or journey.fallbacks(rules, None):
        return True
    if journey.in_group >= journey.retry_policy(rules).retries or lease.destination.only is not None:
        return False
    ready = sum(len(level) for level in lease.destination.group.ready.values())
    return ready > (lease.deployment.position >= 0)


# --- judging a failure


def _note_failure(journey: Journey, lease: Lease, error: APIError, fleet: Fleet, rules: Rules, io: IO) -> None:
    now, deployment = io.now(), lease.deployment
    journey.last_verdict = what = verdict(error)
    journey.last_error = error
    if now >= journey.call.deadline - _ROUNDING and isinstance(error, APITimeoutError):
        what = replace(what, retry=False, fallback=False)
        journey.last_verdict = what
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


async def _decide(journey: Journey, error: APIError, rules: Rules, io: IO) -> None:
    """Returns if the loop may go on; raises the error if not."""
    what, call = journey.last_verdict, journey.call
    if what is None:
        raise error
    if io.now() >= call.deadline - _ROUNDING:
        raise journey.too_late() from error
    kind = error.kind or Kind.INTERNAL
    allowed = journey.retry_policy(rules).retries_for(kind, retryable=what.retry)
    if _should_move(journey, error, what, allowed) and await journey.can_move(rules, io):
        if call.stateless:
            raise error
        journey.move()
        return
    if (error.code == _LOST and call.pin is not None) or (kind is Kind.NOT_FOUND and call.stateless):
        raise _unknown(error) from None
    if journey.in_group <= allowed:
        return
    persistent = call.pin is not None and what.retry and what.same and allowed > 0
    if persistent:
        return
    spare = [*journey.chain[1:], *journey.fallbacks(rules, kind)] if what.fallback else []
    if not spare:
        raise error
    journey.chain = spare
    journey.visited.add(spare[0].group.name)
    journey.in_group = 0


def _unknown(error: APIError) -> NotFoundError:
    """The account does not have the response: told in our words, since its own name the id that only it knows."""
    told = unknown_response()
    told.provider, told.request_id = error.provider, error.request_id
    told.deployment, told.model_group, told.attempts = error.deployment, error.model_group, error.attempts
    return told


def _should_move(journey: Journey, error: APIError, what: Verdict, allowed: int) -> bool:
    """True if a pinned call should rather be continued elsewhere, if it can be, than be tried again on its account.

    An account that has lost the response is left at once; one that failed or dropped the connection gets a second try,
    if there is retry budget for it; one that is throttled as many as it takes.
    """
    if journey.call.pin is None:
        return False
    if error.code == _LOST:
        return True
    down = what.retry and what.outcome in ("deployment", "provider", "throttle")
    return down and journey.in_group > (allowed if what.outcome == "throttle" else min(allowed, 1))
