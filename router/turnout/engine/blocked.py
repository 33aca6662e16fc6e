"""Why no deployment can take a call, and whether and how long waiting would help. Pure."""

from collections.abc import Sequence
from math import inf
from typing import Literal, NamedTuple

from turnout.context import Call
from turnout.deployment import Deployment
from turnout.engine import cooldown
from turnout.engine.leases import Blocked, Tries
from turnout.engine.probing import has_time
from turnout.limits.quota import Usage
from turnout.protocols import PreCallCheck

_EVIDENCE_SLICE = 1.0
"""Seconds after which a call that waits for budget looks again."""

_LONGEST_WAIT = 62.0
"""Seconds until a window of a minute has room again, and a little more."""

Standing = Literal["unfit", "resting", "paused", "full", "used up", "over budget"]


class _Look(NamedTuple):
    """How one deployment stands to one call."""

    standing: Standing
    at: float
    reason: str


def why_blocked(
    members: Sequence[Deployment],
    checks: Sequence[PreCallCheck],
    call: Call,
    tries: Tries,
    now: float,
    *,
    over_budget: bool,
    next_panic: float,
) -> Blocked:
    """The reasons by deployment, and what to wait for.

    `next_panic` is when a resting deployment may be probed for want of any other.
    """
    looks = {
        one.id: _look(one, checks, call, tries, now, over_budget=over_budget, next_panic=next_panic) for one in members
    }
    waits: dict[Standing, float] = {}
    for look in looks.values():
        waits[look.standing] = min(waits.get(look.standing, inf), look.at)
    waits.pop("unfit", None)
    waits.pop("over budget", None)
    private = "paused" in waits
    shared = "full" in waits or "resting" in waits
    evidence = over_budget and not private and _evidence_pending(members, tries)
    pinned_retry = over_budget and call.pin is not None
    until = min(waits.values(), default=inf)
    if evidence or pinned_retry:
        until = min(until, now + _EVIDENCE_SLICE)
    return Blocked(
        until,
        {name: look.reason for name, look in looks.items()},
        waitable=private or shared or evidence or pinned_retry,
        resting=waits.keys() <= {"resting"},
        private=(private and not shared) or pinned_retry,
    )


def _look(
    one: Deployment,
    checks: Sequence[PreCallCheck],
    call: Call,
    tries: Tries,
    now: float,
    *,
    over_budget: bool,
    next_panic: float,
) -> _Look:
    reason = next((why for check in checks if (why := check.reject(one, call)) is not None), None)
    if reason is not None or one.id in tries.barred:
        return _Look("unfit", inf, reason or "failed this call")
    at = cooldown.available_at(one, now)
    again_at = tries.again_at.get(one.id, 0.0)
    if one.health.open_until is not None and not one.health.probing and not has_time(call, now):
        return _Look("resting", inf, "cooling down, and this call has too little time left to be its probe")
    if cooldown.is_resting(one, now):
        probed_at = at if one.health.probing else min(at, next_panic)
        probed_at = max(probed_at, again_at, cooldown.room_at(one, tries.size, now))
        return _Look("resting", probed_at, cooldown.why_unavailable(one, now))
    if again_at > now:
        why = "failed this call a moment ago" if at <= now else cooldown.why_unavailable(one, now)
        return _Look("paused", max(at, again_at), why)
    if at > now:
        return _Look(_full(one, None, now), at, cooldown.why_unavailable(one, now))
    if one.limits is not None and not (over_budget and tries.made):
        at = one.limits.ready_at(now) if tries.size is None else one.limits.room_at(tries.size, now)
        return _Look(_full(one, tries.size, now), at, one.limits.why(tries.size, now))
    return _Look("over budget", inf, "the retry budget of the model group is used up")


def _full(one: Deployment, size: Usage | None, now: float) -> Standing:
    """A limit of a day or a month, once used up, is nothing to wait for."""
    if one.limits is None:
        return "full"
    at = one.limits.ready_at(now) if size is None else one.limits.room_at(size, now)
    return "used up" if at > now + _LONGEST_WAIT else "full"


def _evidence_pending(members: Sequence[Deployment], tries: Tries) -> bool:
    """True if a call under way elsewhere may yet prove its deployment healthy, which makes retries there free."""
    return any(one.in_flight > 0 and one.health.failures == 0 and one.id not in tries.again_at for one in members)
