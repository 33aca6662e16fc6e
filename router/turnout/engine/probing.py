"""Which call finds out whether a deployment that rested has recovered. Pure.

A probe says something only if it can last: one that its caller's deadline cuts off would neither close the breaker nor
be a reason to keep it open, and with calls waiting in line the next in turn is always the one with the least time left.
"""

from collections.abc import Iterable

from turnout.context import Call
from turnout.deployment import Deployment
from turnout.engine import cooldown
from turnout.engine.leases import Tries

_LEAST_LEFT = 0.25
"""Part of its time that a call must have left to be a probe."""


def has_time(call: Call, now: float) -> bool:
    """True if the call has at least a quarter of its time left."""
    return call.deadline - now >= _LEAST_LEFT * (call.deadline - call.started)


def cut_short(call: Call, started: float, now: float) -> bool:
    """True if an attempt that ended with its call's deadline had less than a quarter of the call's time."""
    return now - started < _LEAST_LEFT * (call.deadline - call.started)


def may_probe(one: Deployment, tries: Tries, now: float) -> bool:
    """True for a deployment whose breaker is open, with no probe on its way, that has not just failed this call.

    What its provider or its limits forbid for now is forbidden to probes too.
    """
    health = one.health
    if health.open_until is None or health.probing or one.id in tries.barred:
        return False
    return tries.again_at.get(one.id, 0.0) <= now and cooldown.room_at(one, tries.size, now) <= now


def first_due(members: Iterable[Deployment], tries: Tries, now: float) -> Deployment | None:
    """The one whose pause ends first, or ended first."""
    return min((one for one in members if may_probe(one, tries, now)), key=_opens, default=None)


def is_half_open(one: Deployment, now: float) -> bool:
    """True if its pause is over."""
    return one.health.open_until is not None and one.health.open_until <= now


def without_probes(candidates: Iterable[Deployment]) -> list[Deployment]:
    """Those that another probe vouches for, or that need none."""
    return [one for one in candidates if one.health.open_until is None or one.health.probing]


def _opens(deployment: Deployment) -> float:
    return deployment.health.open_until or 0.0
