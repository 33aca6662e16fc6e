"""Small models of what the Router must keep to, written apart from its code: budgets, limits, who may serve whom."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.plans import REGIONS, Place, PlannedCall
from tests.simulation.watching import Exchange, Violation
from turnout.context import Call, size_of
from turnout.deployment import Deployment
from turnout.engine.leases import Destination, Lease, Tries
from turnout.limits.meter import Meter
from turnout.limits.quota import NOTHING_USED, Usage, amount_of
from turnout.policies import BudgetPolicy

RECENT = 10.0
"""Seconds for which a good answer makes retries at its deployment free."""
_ROUNDING = 1e-6


# --- who may serve whom


def fits(place: Place, planned: PlannedCall, regions: Sequence[Sequence[str]], *, tags: bool) -> bool:
    """True if the caller's constraints allow this deployment: where it is, and with which tags."""
    params = place.row["litellm_params"]
    names = REGIONS[params["region_name"]]
    if not all(any(name in allowed for name in names) for allowed in regions):
        return False
    own, wanted = params.get("tags", []), planned.options.get("tags", [])
    if not tags or planned.operation != "create":
        return True
    return "default" in own or bool(set(own) & set(wanted)) or not (own or wanted)


def has_time(call: Call, now: float) -> bool:
    """A call with less than a quarter of its time left is no probe: it could not tell a slow answer from none."""
    return call.deadline - now >= 0.25 * (call.deadline - call.started)


def has_room(one: Deployment, call: Call, tries: Tries, now: float) -> bool:
    """Neither its own limits nor its provider's word stand in the way."""
    parallel = one.spec.max_parallel_requests
    if one.removed or one.health.throttled_until > now or (parallel is not None and one.in_flight >= parallel):
        return False
    if one.limits is None:
        return True
    size = tries.size or size_of(call)
    return one.limits.room_at(size, now) <= now and one.limits.ready_at(now) <= now


def open_to(one: Deployment, tries: Tries, now: float) -> bool:
    """This call has not failed there, or may try again."""
    return one.id not in tries.barred and tries.again_at.get(one.id, 0.0) <= now


def why_not(one: Deployment, call: Call, tries: Tries, now: float) -> str:
    """What stands in the way, for the message of a violation."""
    told = {name: value for name, value in shown(one.health).items() if value}
    full = f"{one.in_flight} of {one.spec.max_parallel_requests}"
    again = {name: round(at - now, 3) for name, at in tries.again_at.items()}
    limits = "" if one.limits is None else one.limits.why(tries.size or size_of(call), now)
    state = f"probing={one.health.probing} removed={one.removed} in flight {full}"
    return f"{told} {state} {limits} barred={tries.barred} again in {again}"


def is_free(one: Deployment, now: float) -> bool:
    """A retry there costs no budget: the reason is in `engine/budget.py`, the rule is written down here again."""
    health = one.health
    lately = health.last_success is not None and now - health.last_success < RECENT
    return health.failures == 0 and (lately or one.in_flight == 0)


# --- retry budgets


@dataclass
class Bucket:
    """The retries that one model group has earned."""

    policy: BudgetPolicy
    tokens: float
    updated: float = 0.0
    paid: int = 0

    def earn(self, now: float, calls: int = 0) -> None:
        most = max(self.policy.per_second * self.policy.ttl, self.policy.initial)
        if self.tokens < most:
            self.tokens = min(most, self.tokens + (now - self.updated) * self.policy.per_second)
        self.updated = now
        self.tokens += calls * self.policy.ratio

    def pay(self, now: float, why: str) -> None:
        self.earn(now)
        if self.tokens < 1.0 - _ROUNDING:
            raise Violation(f"an attempt that the retry budget does not cover ({self.tokens:.3f} in hand): {why}")
        self.tokens -= 1.0
        self.paid += 1


@dataclass
class Budgets:
    """Every attempt is a call's first in a model group, or free for a reason that is named, or paid for.

    first: the call has not failed in this group yet; it earns `ratio` of a retry. announced: the last failure was a
    throttle that said when to come back, up to eight times a call, or the call has just been moved to another account.
    free: at a deployment that has answered within ten seconds and not failed since, or at an idle one of which nothing
    bad is known. panic: a probe of last resort, at most one each `panic_interval` per group and account. hedge: paid
    for like a retry, and one in fifty calls (`hedge.budget`) besides. All others are paid for out of the bucket.
    """

    policy: BudgetPolicy
    buckets: dict[str, Bucket] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def of(self, group: str) -> Bucket:
        if group not in self.buckets:
            self.buckets[group] = Bucket(self.policy, self.policy.initial)
        return self.buckets[group]

    def attempt(self, kind: str, group: str, now: float, why: str) -> None:
        self.counts[kind] += 1
        bucket = self.of(group)
        if kind == "first":
            bucket.earn(now, 1)
        elif kind in ("paid", "hedge"):
            bucket.pay(now, why)
        else:
            bucket.earn(now)

    def refunded(self, group: str, now: float) -> None:
        """A hedge was not sent."""
        bucket = self.of(group)
        bucket.earn(now)
        bucket.tokens += 1.0

    def renewed(self, group: str, now: float) -> None:
        """The group may have been made anew, with the retries of a new one."""
        bucket = self.of(group)
        bucket.earn(now, 1)
        bucket.tokens += self.policy.initial


# --- limits


class Ledger:
    """What every meter of requests, tokens and money must show."""

    def __init__(self) -> None:
        self._booked: dict[Meter, dict[int, int]] = {}

    def reserved(self, lease: Lease, now: float) -> None:
        held = lease.reservation
        if held is None:
            return
        for meter, bucket, amount in held.parts:
            booked = self._booked.setdefault(meter, defaultdict(int))
            booked[bucket] += amount
            window, limit = meter.window, meter.quota.limit
            if window.used > limit and window.used - amount > 0:
                raise Violation(f"{meter.quota} is overdrawn at {lease.deployment.id}: {window.used} of {limit}")
        self.check(lease, now)

    def settled(self, lease: Lease, exchange: Exchange | None, now: float, *, stream: bool) -> None:
        held = lease.reservation
        if held is None:
            return
        for meter, bucket, amount in held.parts:
            self._booked[meter][bucket] += _used(lease, exchange, meter, amount, stream=stream) - amount
        self.check(lease, now)

    def check(self, lease: Lease, now: float) -> None:
        held = lease.reservation
        for meter, *_ in held.parts if held is not None else ():
            self._check(meter, lease.deployment.id, now)

    def check_all(self, now: float) -> None:
        for meter in self._booked:
            self._check(meter, "the end", now)

    def _check(self, meter: Meter, where: str, now: float) -> None:
        buckets, booked = meter.window.buckets, self._booked[meter]
        if meter.window.used != sum(buckets.values()):
            raise Violation(f"{meter.quota} at {where}: its sum {meter.window.used} is not that of {buckets}")
        for index, amount in buckets.items():
            if booked[index] != amount:
                raise Violation(
                    f"{meter.quota} at {where} {now:.3f}: {amount} counted in {index}, {booked[index]} used"
                )


def _used(lease: Lease, exchange: Exchange | None, meter: Meter, amount: int, *, stream: bool) -> int:
    """What an attempt used of a meter in truth: nothing if nothing was sent, the estimate where nobody can know."""
    held = lease.reservation
    assert held is not None
    if exchange is None:
        return 0
    if held.usage == NOTHING_USED:
        return amount
    unit, prices = meter.quota.unit, held.limits.prices
    if exchange.end == "answered" and exchange.tokens is not None:
        return amount_of(unit, Usage(*exchange.tokens), prices)
    if exchange.end == "refused" or (exchange.end == "broken" and not stream):
        return amount_of(unit, NOTHING_USED, prices)
    return amount


# --- who waits


@dataclass(frozen=True, slots=True)
class Waiting:
    """A call with a place in line."""

    number: int
    joined: int
    """How many had joined any line before."""
    destination: Destination
    call: Call


def ids(destination: Destination) -> tuple[str, ...] | None:
    """The deployments that a call was addressed to; None for a whole group."""
    return None if destination.only is None else tuple(one.id for one in destination.only)


def shown(health: Any) -> Mapping[str, object]:
    """Everything that a breaker knows, for comparing before and after."""
    return {
        "failures": health.failures,
        "success": health.success,
        "samples": health.samples,
        "trips": health.trips,
        "open_until": health.open_until,
        "throttled_until": health.throttled_until,
        "auth_failures": health.auth_failures,
        "minute": len(health.minute),
        "last_success": health.last_success,
    }
