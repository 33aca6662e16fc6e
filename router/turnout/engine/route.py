"""The one loop: take a deployment, send, judge the outcome, and return, try again, move, fall back or raise.

`route` is plain `async def` and waits only through the port: it is awaited under an event loop, stepped without one by
the sync API, and run in virtual time by the simulator. `try/finally` gives back what was taken on every exit.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from turnout.context import Call
from turnout.engine.acquire import acquire
from turnout.engine.attempt import ROUNDING, Send, attempt_timeout, note_failure
from turnout.engine.decide import Verdict
from turnout.engine.fleet import Fleet
from turnout.engine.hedging import Race, hedges_for
from turnout.engine.journey import Journey, Rules
from turnout.engine.leases import Destination, Lease
from turnout.engine.port import IO
from turnout.errors import APIError, NotFoundError, unknown_response
from turnout_adapters.kinds import Kind
from turnout_adapters.types.route import Route

A = TypeVar("A")

_LOST = "previous_response_not_found"
"""The account's word that it does not have the response before (any more)."""


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
        hedges = None if rules.hedging is None else hedges_for(journey, lease, rules.hedging, io)
        try:
            timeout = attempt_timeout(journey, lease, rules, io.now())
            if timeout <= 0:
                raise journey.too_late()
            if hedges is None:
                answer = await send(journey.call, lease, io, timeout)
            else:
                answer, lease = await Race(journey, hedges, fleet, rules, io, send).run(lease, timeout)
        except APIError as error:
            if hedges is None:
                note_failure(journey, lease, error, fleet, rules, io)
            await _decide(journey, error, rules, io)
        except BaseException:
            fleet.release(lease, io.now(), None, None)
            raise
        else:
            return Served(answer, lease, journey.route(lease, io.now()), journey.call)


# --- judging a failure


async def _decide(journey: Journey, error: APIError, rules: Rules, io: IO) -> None:
    """Returns if the loop may go on; raises the error if not."""
    what, call = journey.last_verdict, journey.call
    if what is None:
        raise error
    if io.now() >= call.deadline - ROUNDING:
        raise journey.too_late() from error
    kind = error.kind or Kind.INTERNAL
    allowed = journey.retry_policy(rules).retries_for(kind, retryable=what.retry)
    if _should_move(journey, error, what, allowed) and await journey.can_move(rules, io):
        if call.stateless:
            raise error
        journey.move()
        if error.code == _LOST:
            _forgive(journey, error)
        return
    if (error.code == _LOST and call.pin is not None) or (kind is Kind.NOT_FOUND and call.stateless):
        raise _unknown(error) from None
    if journey.in_group <= allowed:
        return
    persistent = call.pin is not None and what.retry and what.same and allowed > 0
    if persistent:
        return
    spare = journey.spares(rules, kind) if what.fallback else []
    if not spare:
        raise error
    journey.chain = spare
    journey.visited.add(spare[0].group.name)
    journey.in_group = 0


def _forgive(journey: Journey, error: APIError) -> None:
    """With its history in the call, the account that lost it can serve it too; its word names an id of its own."""
    journey.last_error = journey.last_verdict = None
    if error.deployment is not None:
        journey.tries.barred.discard(error.deployment)
        journey.tries.again_at.pop(error.deployment, None)


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
