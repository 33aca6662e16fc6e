"""Why no deployment can take a call, and whether and how long waiting would help. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import inf
from typing import Literal, NamedTuple

from turnout.context import Call, size_of
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
    never_before: float = 0.0
    scarce: bool = False


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
    if tries.size is None and any(one.limits is not None for one in members):
        tries.size = size_of(call)
    looks = {
        one.id: _bounded(
            _look(one, checks, call, tries, now, over_budget=over_budget, next_panic=next_panic), one, tries, now
        )
        for one in members
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
    fit = [look for look in looks.values() if look.standing != "unfit"]
    return Blocked(
        until,
        {name: look.reason for name, look in looks.items()},
        waitable=private or shared or evidence or pinned_retry,
        resting=waits.keys() <= {"resting"},
        private=(private and not shared) or pinned_retry,
        never_before=min((look.never_before for look in fit), default=inf),
        scarce=bool(fit) and all(look.scarce for look in fit),
    )


def in_line(
    group: str, members: Sequence[Deployment], checks: Sequence[PreCallCheck], call: Call, tries: Tries, now: float
) -> Blocked:
    """What a call is told while others are waiting before it: the same, and more only if its own turn cannot help."""
    if any(_earliest(one, tries, now) <= now and _unfit(one, checks, call, tries) is None for one in members):
        return Blocked(waitable=True, reasons={group: "other calls are waiting"})
    found = why_blocked(members, checks, call, tries, now, over_budget=False, next_panic=inf)
    return replace(found, until=inf, waitable=True, resting=False, private=False)


def together(blocked: Blocked, others: Iterable[Blocked]) -> Blocked:
    """A call that waits for its group, and may be served by other groups meanwhile."""
    every = (blocked, *others)
    if len(every) == 1:
        return blocked
    return replace(
        blocked,
        reasons={name: why for one in every for name, why in one.reasons.items()},
        never_before=min(one.never_before for one in every),
        scarce=any(one.scarce for one in every) and all(one.scarce or one.never_before == inf for one in every),
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
    reason = _unfit(one, checks, call, tries)
    if reason is not None:
        return _Look("unfit", inf, reason)
    if one.limits is not None and tries.size is not None and one.limits.room_at(tries.size, now) == inf:
        return _Look("used up", inf, one.limits.why(tries.size, now))
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


def _unfit(one: Deployment, checks: Sequence[PreCallCheck], call: Call, tries: Tries) -> str | None:
    """Why the deployment is nothing for this call at any time, None if it is."""
    reason = next((why for check in checks if (why := check.reject(one, call)) is not None), None)
    return "failed this call" if reason is None and one.id in tries.barred else reason


def _bounded(look: _Look, one: Deployment, tries: Tries, now: float) -> _Look:
    """The same with what only time can change, and whether it is for lack of capacity."""
    if look.standing in ("unfit", "over budget"):
        return look
    limits, size = one.limits, tries.size
    full = limits is not None and size is not None and limits.room_at(size, now) > now
    scarce = full or one.health.throttled_until > now
    return look._replace(never_before=_earliest(one, tries, now), scarce=scarce)


def _earliest(one: Deployment, tries: Tries, now: float) -> float:
    """Before then nothing that others do can let the call in; the past if something can at any time.

    A throttle ends by its time, and so does the call's own pause. A window has room before its time only if somebody
    gives back what they took: a call under way, another deployment or another process. A rest can end with any probe,
    and a place is free when any call ends.
    """
    at = max(one.health.throttled_until, tries.again_at.get(one.id, 0.0))
    limits, size = one.limits, tries.size
    if limits is None or size is None:
        return at
    room = limits.room_at(size, now)
    firm = room > now + _LONGEST_WAIT or (not one.in_flight and limits.alone)
    return max(at, room) if firm and room > now else at


def _full(one: Deployment, size: Usage | None, now: float) -> Standing:
    """A limit of a day or a month, once used up, is nothing to wait for; nor is one that the call is larger than."""
    if one.limits is None:
        return "full"
    at = one.limits.ready_at(now) if size is None else one.limits.room_at(size, now)
    return "used up" if at > now + _LONGEST_WAIT else "full"


def _evidence_pending(members: Sequence[Deployment], tries: Tries) -> bool:
    """True if a call under way elsewhere may yet prove its deployment healthy, which makes retries there free."""
    return any(one.in_flight > 0 and one.health.failures == 0 and one.id not in tries.again_at for one in members)
