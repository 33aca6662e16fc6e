"""The limits of one deployment: all its quotas, reserved, settled and refunded together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from turnout.limits.quota import NANO, NOTHING_USED, Prices, Quota, Unit, Usage, amount_of
from turnout.limits.upstream import Remaining
from turnout.limits.window import Window, width_of

_UNITS: Mapping[Unit, str] = {
    "requests": "requests", "tokens": "tokens", "input": "input tokens", "output": "output tokens", "money": "dollars",
}  # fmt: skip


class Lent(Protocol):
    """How much of a window this process may use, if other processes use it too: see `allowance.py`."""

    def room_at(self, amount: int, now: float) -> float:
        """When `amount` may be used; `now` if it may already."""
        ...

    def ready_at(self, now: float) -> float:
        """When it is worth a call's while to come."""
        ...

    def taken(self, bucket: int, amount: int, now: float) -> None:
        """Notes a use."""
        ...

    def corrected(self, bucket: int, change: int) -> None:
        """Notes that a use was larger or smaller."""
        ...

    def ask(self, amount: int, now: float) -> None:
        """Says that `amount` is wanted and not there."""
        ...


class Meter:
    """One quota and what was used of it. A provider's budget is one meter of many deployments."""

    __slots__ = ("lent", "quota", "users", "window")

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self.window = Window(quota.limit, width_of(quota.period))
        self.users: dict[str, None] = {}
        """Ids of the deployments that it limits."""
        self.lent: Lent | None = None
        """None: the whole quota is this process's."""

    def configure(self, quota: Quota) -> None:
        """Another limit for the same unit and period; what was used stays counted."""
        self.quota = quota
        self.window.limit = quota.limit

    def room_at(self, amount: int, now: float) -> float:
        """When `amount` more fits: `now` if it does already."""
        return self.window.room_at(amount, now) if self.lent is None else self.lent.room_at(amount, now)

    def ready_at(self, now: float) -> float:
        """When the smallest call may come."""
        return self.window.room_at(1, now) if self.lent is None else self.lent.ready_at(now)

    def take(self, amount: int, now: float) -> int:
        """Counts an amount; returns its bucket."""
        bucket = self.window.take(amount, now)
        if self.lent is not None:
            self.lent.taken(bucket, amount, now)
        return bucket

    def correct(self, bucket: int, change: int) -> None:
        """Changes an amount counted before."""
        if change and bucket in self.window.buckets:
            self.window.correct(bucket, change)
            if self.lent is not None:
                self.lent.corrected(bucket, change)


def _told(unit: Unit, usage: Usage) -> str:
    """How large a call is, where that is a number of tokens."""
    sizes: dict[Unit, int] = {
        "tokens": usage.input + usage.output, "input": usage.input, "output": usage.output,
    }  # fmt: skip
    return f": about {sizes[unit]} {_UNITS[unit]}" if unit in sizes else ""


@dataclass(slots=True, eq=False)
class Reservation:
    """What one attempt holds of a deployment's quotas: (meter, bucket, amount). Settled or refunded at most once."""

    limits: "Limits"
    usage: Usage
    parts: list[tuple[Meter, int, int]] = field(default_factory=list[tuple[Meter, int, int]])

    def settle(self, usage: Usage) -> None:
        """Corrects it to what was really used."""
        if self.usage != NOTHING_USED:
            for meter, bucket, amount in self.parts:
                meter.correct(bucket, amount_of(meter.quota.unit, usage, self.limits.prices) - amount)

    def refund(self) -> None:
        """Gives all of it back: nothing was sent."""
        for meter, bucket, amount in self.parts:
            meter.correct(bucket, -amount)


class Limits:
    """All quotas of one deployment, and what its provider last said is left of its own."""

    __slots__ = ("budget", "meters", "prices", "upstream")

    def __init__(self, meters: Sequence[Meter], prices: Prices, budget: Meter | None = None) -> None:
        self.meters = tuple(meters) if budget is None else (*meters, budget)
        self.prices = prices
        self.budget = budget
        """The provider's, which is of other deployments too."""
        self.upstream: dict[Unit, Remaining] = {}

    def room_at(self, usage: Usage, now: float) -> float:
        """When a call of this size fits all quotas; `now` if it does already, inf if it is larger than one of them.

        With several that are full it is a lower bound: they may not have room at the same moment.
        """
        at = now
        for meter in self.meters:
            amount = amount_of(meter.quota.unit, usage, self.prices)
            if amount > meter.quota.limit and self._outgrown(meter, usage):
                return inf
            at = max(at, meter.room_at(amount, now))
        for unit, left in self.upstream.items():
            if left.until > at and amount_of(unit, usage, self.prices) > left.amount:
                at = left.until
        return at

    def ready_at(self, now: float) -> float:
        """When the smallest call there could be may come; `now` if it may already."""
        at = now
        for meter in self.meters:
            at = max(at, meter.ready_at(now))
        for left in self.upstream.values():
            if left.until > at and left.amount < 1:
                at = left.until
        return at

    def reserve(self, usage: Usage, now: float) -> Reservation:
        """Takes a call's share of every quota. The caller has seen that there is room."""
        held = Reservation(self, usage)
        for meter in self.meters:
            amount = amount_of(meter.quota.unit, usage, self.prices)
            held.parts.append((meter, meter.take(amount, now), amount))
        for unit, left in self.upstream.items():
            left.amount -= amount_of(unit, usage, self.prices)
        return held

    def _outgrown(self, meter: Meter, usage: Usage) -> bool:
        """True for a quota that the call surely exceeds as a whole; one that only a guess exceeds it may try."""
        return amount_of(meter.quota.unit, usage.least, self.prices) > meter.quota.limit

    @property
    def alone(self) -> bool:
        """True if no other deployment and no other process uses the quotas."""
        return all(meter.lent is None and len(meter.users) <= 1 for meter in self.meters)

    def ask(self, usage: Usage, now: float) -> None:
        """Asks the fleet for what a call lacks, unless it lacks more than there ever is."""
        for meter in self.meters:
            if meter.lent is not None and not self._outgrown(meter, usage):
                meter.lent.ask(amount_of(meter.quota.unit, usage, self.prices), now)

    def sharers_of_full(self, now: float) -> Sequence[str]:
        """The deployments that share a quota with this one which is full."""
        if self.budget is None or self.budget.ready_at(now) <= now:
            return ()
        return tuple(self.budget.users)

    def used(self, now: float) -> dict[str, tuple[float, float]]:
        """By quota: what was used of it, and its limit; money in dollars."""
        found: dict[str, tuple[float, float]] = {}
        for meter in self.meters:
            meter.window.expire(meter.window.index(now))
            scale = NANO if meter.quota.unit == "money" else 1
            found[meter.quota.name] = meter.window.used / scale, meter.quota.limit / scale
        return found

    def why(self, usage: Usage | None, now: float) -> str:
        """One phrase for an error message: which quota is full."""
        for meter in self.meters:
            amount = 1 if usage is None else amount_of(meter.quota.unit, usage, self.prices)
            if usage is not None and self._outgrown(meter, usage):
                return f"the call is larger than its {meter.quota} as a whole{_told(meter.quota.unit, usage.least)}"
            if meter.window.room_at(amount, now) > now:
                return f"{meter.quota} reached"
            if meter.room_at(amount, now) > now:
                return f"{meter.quota} reached by all processes together"
        for unit, left in self.upstream.items():
            if left.until > now:
                return f"the provider has {max(left.amount, 0)} {_UNITS[unit]} left for {left.until - now:.1f} s"
        return "its limits are reached"
