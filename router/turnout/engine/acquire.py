"""Taking a deployment for one attempt: the current group, its fallbacks, a place in line, or another account.

Waits only through the port; who may take what, and what waiting is worth, is said by pure functions.
"""

from turnout.engine.blocked import together
from turnout.engine.fleet import Fleet
from turnout.engine.journey import Journey, Rules
from turnout.engine.leases import Blocked, Lease, Ticket
from turnout.engine.pins import pin_step
from turnout.engine.port import IO

_LONGEST_SLICE = 2.0
"""Seconds after which a waiting call looks at its fallbacks again."""


async def acquire(journey: Journey, fleet: Fleet, rules: Rules, io: IO) -> Lease:
    """A deployment for the next attempt. Raises the last attempt's error, or one that says why there is none."""
    while True:
        outcome = _choose(journey, fleet, rules, io, None)
        if isinstance(outcome, Lease):
            return outcome
        started = io.now()
        limit = min(journey.call.deadline, started + rules.wait.max_wait - journey.waited)
        if journey.call.pin is not None:
            movable = await journey.can_move(rules, io)
            step = pin_step(rules.pin_steps, outcome, limit, movable=movable)
            if step == "replay" and not journey.call.stateless:
                journey.move()
                continue
            if step != "wait":
                raise journey.unavailable(outcome, started)
        if limit <= started or _is_hopeless(outcome, limit):
            raise journey.unavailable(outcome, started)
        try:
            if outcome.private or journey.tries.made:
                outcome = await _wait_alone(journey, outcome, fleet, rules, io, limit)
            else:
                outcome = await _wait_in_line(journey, outcome, fleet, rules, io, limit)
        finally:
            journey.waited += io.now() - started
        if isinstance(outcome, Lease):
            return outcome


async def _wait_in_line(
    journey: Journey, blocked: Blocked, fleet: Fleet, rules: Rules, io: IO, limit: float
) -> Lease | Blocked:
    waiter = io.waiter()
    ticket = fleet.join(journey.chain[0], journey.call, waiter)
    try:
        while True:
            now = io.now()
            if now >= limit:
                raise journey.unavailable(blocked, now)
            wake_at = min(blocked.until, limit, now + _LONGEST_SLICE) if fleet.is_head(ticket) else limit
            await io.wait(waiter, max(wake_at - now, 0.0))
            outcome = _choose(journey, fleet, rules, io, ticket)
            if isinstance(outcome, Lease) or _is_other(journey, rules, outcome, limit):
                return outcome
            blocked = outcome
            if _is_hopeless(blocked, limit):
                raise journey.unavailable(blocked, io.now())
    finally:
        fleet.leave(ticket)


async def _wait_alone(
    journey: Journey, blocked: Blocked, fleet: Fleet, rules: Rules, io: IO, limit: float
) -> Lease | Blocked:
    """Waits for this call's own pause, or for word of how others fared."""
    group = journey.chain[0].group.name
    waiter = io.waiter()
    fleet.watch(group, waiter)
    try:
        while True:
            now = io.now()
            if now >= limit or _is_hopeless(blocked, limit):
                raise journey.unavailable(blocked, now)
            wake_at = min(blocked.until, limit, now + _LONGEST_SLICE)
            await io.wait(waiter, max(wake_at - now, 0.0))
            outcome = _choose(journey, fleet, rules, io, None)
            if isinstance(outcome, Lease) or _is_other(journey, rules, outcome, limit):
                return outcome
            blocked = outcome
    finally:
        fleet.unwatch(group, waiter)


def _is_hopeless(blocked: Blocked, limit: float) -> bool:
    """True if nothing that may happen until `limit` lets the call in."""
    return not blocked.waitable or blocked.never_before > limit


def _is_other(journey: Journey, rules: Rules, blocked: Blocked, limit: float) -> bool:
    """True if a call that waits for its account should do something else now."""
    pinned = journey.call.pin is not None and journey.moved is not None
    return pinned and pin_step(rules.pin_steps, blocked, limit, movable=True) != "wait"


def _choose(journey: Journey, fleet: Fleet, rules: Rules, io: IO, ticket: Ticket | None) -> Lease | Blocked:
    """The current group, else its fallbacks, else providers that are overloaded, else a probe of what is resting."""
    first = journey.chain[0]
    now, tries, call = io.now(), journey.tries, journey.call
    spares: list[Blocked] = []
    for last_resort in (False, True) if fleet.providers.ill else (False,):
        tries.last_resort = last_resort
        outcome = fleet.choose(first, call, tries, now, io.rng, ticket=ticket)
        if isinstance(outcome, Lease):
            return outcome
        spares.clear()
        for spare in journey.spares(rules, None):
            other = fleet.choose(spare, call, tries, now, io.rng)
            if isinstance(other, Lease):
                journey.visited.add(spare.group.name)
                free = call.pin is None and not last_resort
                put_off = free and fleet.providers.are_shunned(first.group.members, now)
                journey.chain = [spare, first] if put_off else [spare]
                journey.in_group = 0
                return other
            spares.append(other)
    probing = call.pin is None or "probe" in rules.pin_steps
    outcome = fleet.choose(first, call, tries, now, io.rng, ticket=ticket, panic=probing)
    return outcome if isinstance(outcome, Lease) else together(outcome, spares)
