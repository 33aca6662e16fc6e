"""The one loop: take a deployment, send, judge the outcome, and return, try again, fall back or raise.

`route` is plain `async def` and waits only through the port: it is awaited under an event loop, stepped without one by
the sync API, and run in virtual time by the simulator. `try/finally` gives back what was taken on every exit.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from turnout.context import AttemptFinished, Call, Sink
from turnout.engine.decide import Verdict, pause_before_same, verdict
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Blocked, Destination, Lease, Ticket, Tries
from turnout.engine.port import IO
from turnout.engine.settling import settle_failure
from turnout.errors import (
    APIError,
    APITimeoutError,
    DeadlineExceededError,
    NoDeploymentAvailable,
    PinnedUnavailable,
    TurnoutError,
)
from turnout.policies import FallbackPolicy, RetryPolicy, WaitPolicy
from turnout_adapters.kinds import Kind
from turnout_adapters.types.route import Affinity, Attempt, Outcome, Route

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)

_ROUNDING = 0.005
"""Seconds by which a timer may fire early."""
_MOST_ANNOUNCED = 8
_LONGEST_SLICE = 2.0
"""Seconds after which a waiting call looks at its fallbacks again."""


class Send(Protocol[A_co]):
    """One attempt: sends the call to a deployment within so many seconds. Raises APIError."""

    async def __call__(self, call: Call, lease: Lease, io: IO, timeout: float) -> A_co:
        """See the class."""
        ...


@dataclass(frozen=True, slots=True)
class Rules:
    """The policies of one Router, as the loop needs them."""

    retry: RetryPolicy
    group_retry: dict[str, RetryPolicy]
    fallbacks: FallbackPolicy
    wait: WaitPolicy
    resolve: Callable[[str], Destination]
    """Finds a fallback group by name; raises UnknownModelError."""
    sinks: tuple[Sink, ...] = ()
    min_retry_delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Served(Generic[A]):
    """A successful attempt. The lease is still held: the caller gives it back with the outcome."""

    answer: A
    lease: Lease
    route: Route
    call: Call


@dataclass(slots=True)
class _Journey:
    """Where one call stands."""

    call: Call
    origin: str
    """The model group asked for."""
    chain: list[Destination]
    """The group now in use, and the fallbacks still to come."""
    tries: Tries = field(default_factory=Tries)
    in_group: int = 0
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    last_error: APIError | None = None
    last_verdict: Verdict | None = None
    announced: int = 0
    """Throttles that said when to come back; they use up no retry."""
    waited: float = 0.0
    visited: set[str] = field(default_factory=set[str])


async def route(call: Call, destination: Destination, fleet: Fleet, rules: Rules, io: IO, send: Send[A]) -> Served[A]:
    """Serves one call. Raises the last attempt's error, or one that says why none could be made."""
    journey = _Journey(call, destination.group.name, [destination])
    journey.visited.add(destination.group.name)
    while True:
        lease = await _acquire(journey, fleet, rules, io)
        try:
            spare = journey.in_group < _retry_policy(journey, rules).retries
            timeout = attempt_timeout(journey.call, lease, io.now(), spare=spare)
            if timeout <= 0:
                raise _deadline(journey)
            answer = await send(journey.call, lease, io, timeout)
        except APIError as error:
            _note_failure(journey, lease, error, fleet, rules, io)
            _decide(journey, error, rules, io)
        except BaseException:
            fleet.release(lease, io.now(), None, None)
            raise
        else:
            return Served(answer, lease, _route(journey, lease, io.now()), journey.call)


def attempt_timeout(call: Call, lease: Lease, now: float, *, spare: bool) -> float:
    """Seconds this attempt may take: its own limit, within what is left of the deadline.

    Without a limit of its own, an attempt gets half of what is left while another deployment stands ready and a retry
    is `spare`, so that a silent one cannot use up the whole call.
    """
    left = call.deadline - now
    spec = lease.deployment.spec
    own = call.attempt_timeout or (spec.stream_timeout if call.stream else None) or spec.timeout
    if own is not None:
        return min(own, left)
    if spare and call.pin is None and lease.destination.only is None:
        ready = sum(len(level) for level in lease.destination.group.ready.values())
        if ready > (lease.deployment.position >= 0):
            return left / 2
    return left


# --- taking a deployment


async def _acquire(journey: _Journey, fleet: Fleet, rules: Rules, io: IO) -> Lease:
    blocked = _choose(journey, fleet, rules, io, None)
    if isinstance(blocked, Lease):
        return blocked
    started = io.now()
    limit = min(journey.call.deadline, started + rules.wait.max_wait - journey.waited)
    if not blocked.waitable or limit <= started:
        raise _unavailable(journey, blocked, started)
    try:
        if blocked.private or journey.tries.made:
            return await _wait_alone(journey, blocked, fleet, rules, io, limit)
        return await _wait_in_line(journey, blocked, fleet, rules, io, limit)
    finally:
        journey.waited += io.now() - started


async def _wait_in_line(journey: _Journey, blocked: Blocked, fleet: Fleet, rules: Rules, io: IO, limit: float) -> Lease:
    waiter = io.waiter()
    ticket = fleet.join(journey.chain[0], journey.call, waiter)
    try:
        while True:
            now = io.now()
            if now >= limit:
                raise _unavailable(journey, blocked, now)
            wake_at = min(blocked.until, limit, now + _LONGEST_SLICE) if fleet.is_head(ticket) else limit
            await io.wait(waiter, max(wake_at - now, 0.0))
            outcome = _choose(journey, fleet, rules, io, ticket)
            if isinstance(outcome, Lease):
                return outcome
            blocked = outcome
            if not blocked.waitable:
                raise _unavailable(journey, blocked, io.now())
    finally:
        fleet.leave(ticket)


async def _wait_alone(journey: _Journey, blocked: Blocked, fleet: Fleet, rules: Rules, io: IO, limit: float) -> Lease:
    """Waits for this call's own pause, or for word of how others fared."""
    group = journey.chain[0].group.name
    waiter = io.waiter()
    fleet.watch(group, waiter)
    try:
        while True:
            now = io.now()
            if now >= limit or not blocked.waitable:
                raise _unavailable(journey, blocked, now)
            wake_at = min(blocked.until, limit, now + _LONGEST_SLICE)
            await io.wait(waiter, max(wake_at - now, 0.0))
            outcome = _choose(journey, fleet, rules, io, None)
            if isinstance(outcome, Lease):
                return outcome
            blocked = outcome
    finally:
        fleet.unwatch(group, waiter)


def _choose(journey: _Journey, fleet: Fleet, rules: Rules, io: IO, ticket: Ticket | None) -> Lease | Blocked:
    """The current group, else its fallbacks, else a probe of what is resting."""
    first = journey.chain[0]
    now, tries, call = io.now(), journey.tries, journey.call
    outcome = fleet.choose(first, call, tries, now, io.rng, ticket=ticket)
    if isinstance(outcome, Lease):
        return outcome
    for spare in [*journey.chain[1:], *_fallbacks(journey, rules, None)]:
        other = fleet.choose(spare, call, tries, now, io.rng)
        if isinstance(other, Lease):
            journey.visited.add(spare.group.name)
            journey.chain = [spare]
            journey.in_group = 0
            return other
    return fleet.choose(first, call, tries, now, io.rng, ticket=ticket, panic=True)


def _fallbacks(journey: _Journey, rules: Rules, kind: Kind | None) -> list[Destination]:
    call = journey.call
    if len(journey.visited) > rules.fallbacks.limit or call.stateless:
        return []
    listed = call.fallbacks
    if listed is None:
        listed = rules.fallbacks.chain((call.model, journey.origin), kind)
    found = [rules.resolve(name) for name in listed]
    return [one for one in found if one.group.name not in journey.visited]


# --- judging a failure


def _note_failure(journey: _Journey, lease: Lease, error: APIError, fleet: Fleet, rules: Rules, io: IO) -> None:
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


def _is_announced(journey: _Journey, what: Verdict, error: APIError, rules: Rules) -> bool:
    """A throttle with a Retry-After: the deployment rests until then, so asking the next one, or waiting, costs little.

    Three throttled deployments would otherwise use up a call that a second of waiting serves.
    """
    told = what.outcome == "throttle" and what.same and error.retry_after is not None
    return told and journey.announced < _MOST_ANNOUNCED and _retry_policy(journey, rules).retries > 0


def attempt_of(lease: Lease, outcome: Outcome, now: float, error: APIError | None = None) -> Attempt:
    """The record of one attempt."""
    return Attempt(
        deployment=lease.deployment.id,
        model_group=lease.deployment.spec.model_group,
        outcome=outcome,
        seconds=now - lease.started,
        status=200 if error is None else None if error.kind in (Kind.CONNECTION, Kind.UNSUPPORTED) else error.status,
        error=None if error is None else type(error).__name__,
        request_id=None if error is None else error.request_id,
    )


def _decide(journey: _Journey, error: APIError, rules: Rules, io: IO) -> None:
    """Returns if the loop may go on; raises the error if not."""
    what, call = journey.last_verdict, journey.call
    if what is None:
        raise error
    now = io.now()
    if now >= call.deadline - _ROUNDING:
        raise _deadline(journey) from error
    kind = error.kind or Kind.INTERNAL
    allowed = _retry_policy(journey, rules).retries_for(kind, retryable=what.retry)
    persistent = call.pin is not None and what.retry and what.same and allowed > 0
    if journey.in_group <= allowed or persistent:
        return
    spare = [*journey.chain[1:], *_fallbacks(journey, rules, kind)] if what.fallback else []
    if not spare:
        raise error
    journey.chain = spare
    journey.visited.add(spare[0].group.name)
    journey.in_group = 0


def _retry_policy(journey: _Journey, rules: Rules) -> RetryPolicy:
    own = journey.call.retries
    return rules.group_retry.get(journey.chain[0].group.name, rules.retry) if own is None else RetryPolicy(own)


# --- telling


def _unavailable(journey: _Journey, blocked: Blocked, now: float) -> TurnoutError:
    """The error of a call that got no (further) deployment."""
    call = journey.call
    if journey.last_error is not None:
        return journey.last_error
    if now >= call.deadline:
        return _deadline(journey)
    told = "; ".join(f"{name}: {why}" for name, why in list(blocked.reasons.items())[:5])
    more = f"; and {len(blocked.reasons) - 5} more" if len(blocked.reasons) > 5 else ""
    retry_after = max(blocked.until - now, 0.0) if blocked.until != float("inf") else None
    group = journey.chain[0].group.name
    if call.pin is not None:
        text = (
            f"the account that holds this conversation is not available in {group!r}: {told or 'it is not configured'}"
        )
        return PinnedUnavailable(f"{text}{more}", reasons=blocked.reasons, retry_after=retry_after)
    text = f"no deployment of model group {group!r} can take this call: {told or 'it has none'}{more}"
    return NoDeploymentAvailable(text, reasons=blocked.reasons, retry_after=retry_after)


def _deadline(journey: _Journey) -> DeadlineExceededError:
    call, last = journey.call, journey.last_error
    tried = f"{len(journey.attempts)} attempts" if journey.attempts else "no attempt could be made"
    because = f", the last: {last.message}" if last is not None else ""
    error = DeadlineExceededError(f"no answer within {call.deadline - call.started:.1f} s ({tried}{because})")
    error.attempts = tuple(journey.attempts)
    error.__cause__ = last
    return error


def _route(journey: _Journey, lease: Lease, now: float) -> Route:
    call, deployment = journey.call, lease.deployment
    affinity: Affinity = "none"
    if (call.pin or call.home) == deployment.domain:
        affinity = "pinned" if call.prefer in (None, deployment.id) else "peer"
    elif lease.by_key and call.affinity is not None:
        affinity = call.affinity.kind
    group = deployment.spec.model_group
    return Route(
        deployment=deployment.id,
        model_group=group,
        attempts=(*journey.attempts, attempt_of(lease, "ok", now)),
        fallback=None if call.stateless or group == journey.origin else group,
        affinity=affinity,
        waited=journey.waited,
        notes=(*call.notes, *lease.notes),
    )
