"""A replica's side of shared windows: what it may use without asking, and what it has to tell. Pure.

Everything here runs under the fleet's lock and never waits. A call takes from the balance of the lease; when that runs
low, an exchange with the store is asked for in the background (`cache/fleet_limits.py` makes it).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal, NamedTuple

from turnout.limits.ledger import CURRENT, Answer, Report, Request, Wish
from turnout.limits.meter import Meter
from turnout.limits.window import milliseconds

Standalone = Literal["share", "closed"]

_SHORTEST_PAUSE, _LONGEST_PAUSE = 5, 1000
"""Milliseconds before a window is asked again that had no room."""


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """How blocks are lent. Times in seconds.

    A block is `block` of the limit, or less with so many replicas that their blocks would hold more than `lent` of it.
    """

    block: float = 0.02
    lent: float = 0.2
    life: float = 5.0
    """How long the store keeps a lease; a replica uses it for `margin` less."""
    margin: float = 1.0
    renew: float = 2.0
    idle: float = 60.0
    """After so long without a call, a replica gives its lease back."""
    check: float = 30.0
    """How often an idle replica whose use still counts looks whether the store has lost its memory."""
    grace: float = 4.0
    """After the store has lost its memory, it lends nothing for so long; longer than `renew`, so that all report."""
    patience: float = 0.1
    """An exchange that takes longer counts as no answer."""
    pacing: Standalone = "share"
    """Requests and tokens without a store: the limit divided by the replicas last known, or nothing."""
    money: Standalone = "closed"
    """Money without a store."""


@dataclass(slots=True)
class StoreState:
    """What all keys of one store share."""

    policy: LeasePolicy
    wake: Callable[[], None] | None = None
    """Called, under the fleet's lock, when an exchange is wanted soon; it must not wait."""


@dataclass(slots=True)
class _Placed:
    """Where a bucket of ours was reported to, and how much."""

    bucket: int
    amount: int


class Allowance:
    """What this process may use of one window: the `Lent` of its meter."""

    __slots__ = ("balance", "base", "changed", "escrow", "key", "meter", "need", "placed")

    def __init__(self, meter: Meter, key: "SharedKey") -> None:
        self.meter = meter
        self.key = key
        self.balance = 0
        self.base = 0
        """The balance when the exchange under way began."""
        self.escrow = 0
        """Set aside while it is under way."""
        self.need = 0
        """The largest amount a call is waiting for."""
        self.changed: set[int] = set(meter.window.buckets)
        """Our buckets that have something to report."""
        self.placed: dict[int, _Placed] = {}

    def room_at(self, amount: int, now: float) -> float:
        """When an amount may be used. Never more than the limit by this process alone, whoever says so."""
        at = self.meter.window.room_at(amount, now)
        if at > now or self._has(amount, now):
            return at
        key = self.key
        if key.is_cut_off(now):
            at = self._alone(amount, now)
            return min(at, key.grace_until) if key.grace_until > now else at
        if key.can_ask(now):
            return now + key.store.policy.patience
        return key.look_at if key.asked_at is None else key.asked_at + key.store.policy.patience

    def ready_at(self, now: float) -> float:
        """When a call may come and see: also when there is nothing left of the lease and more can be asked for."""
        at = self.meter.window.room_at(1, now)
        if at > now or (self.key.can_ask(now) and not self.key.is_cut_off(now)):
            return at
        return self.room_at(1, now)

    def taken(self, bucket: int, amount: int, now: float) -> None:
        """Counts a use, against the lease if there is one."""
        key = self.key
        if not key.is_lent(now) and key.may_overdraw(now):
            key.overdraw(now)
        key.used_at = now
        self.changed.add(bucket)
        self.balance -= amount
        if self.balance < self.block / 2:
            key.ask(now)

    def corrected(self, bucket: int, change: int) -> None:
        """What was too much goes back through the store, which may have lent it on since; what lacked is owed at once.

        A reservation leaves the window with its own bucket; the lease it would swell ends later than that.
        """
        self.changed.add(bucket)
        self.balance -= max(change, 0)

    def ask(self, amount: int, now: float) -> None:
        """A call wants so much."""
        if not self._has(amount, now):
            self.need = max(self.need, min(amount, self.meter.quota.limit))
            self.key.ask(now)

    @property
    def block(self) -> int:
        """How much is borrowed at a time."""
        policy = self.key.store.policy
        return max(1, int(self.meter.quota.limit * min(policy.block, policy.lent / self.key.replicas)))

    def _has(self, amount: int, now: float) -> bool:
        if self.key.is_lent(now):
            return self.balance >= min(amount, self.meter.quota.limit)
        return amount <= self.block and self.key.may_overdraw(now)

    def _alone(self, amount: int, now: float) -> float:
        """Without a store: our share of the limit, counted by ourselves."""
        policy, quota = self.key.store.policy, self.meter.quota
        if (policy.money if quota.unit == "money" else policy.pacing) == "closed":
            return now + policy.renew
        return self.meter.window.room_at(amount, now, max(1, quota.limit // self.key.replicas))

    # --- an exchange

    def report(self, offset: int | None, now: float) -> "_Told":
        """What was used since the last report, by bucket."""
        window = self.meter.window
        window.expire(window.index(now))
        self.placed = {ours: placed for ours, placed in self.placed.items() if ours in window.buckets}
        changes: dict[int, int] = {}
        reports: list[Report] = []
        for ours in sorted(self.changed & window.buckets.keys()):
            placed = self.placed.setdefault(ours, _Placed(self._server_bucket(ours, offset), 0))
            changes[ours] = window.buckets[ours] - placed.amount
            reports.append(Report(placed.bucket, changes[ours]))
        self.changed.clear()
        return _Told(self, changes, reports)

    def wish(self, reports: Sequence[Report], now: float, *, idle: bool) -> Wish:
        """What to say and ask. What a waiting call cannot use, or is not needed, is offered back."""
        if not self.key.is_lent(now):
            self.balance = 0
        before = max(self.balance, 0)
        held = 0 if self.need or idle else min(before, self.block)
        self.escrow = before - held
        self.balance -= self.escrow
        self.base = self.balance
        least, self.need = self.need, 0
        name = f"{self.meter.quota.unit}:{milliseconds(self.meter.quota.period)}"
        window = self.meter.window
        most = 0 if idle else max(self.block, least)
        return Wish(name, window.width, window.limit, held, least, most, reports)

    def acknowledged(self, changes: Mapping[int, int], now: int) -> None:
        """The store has counted a report at its time `now`."""
        for ours, change in changes.items():
            placed = self.placed.get(ours)
            if placed is not None:
                placed.amount += change
                if placed.bucket == CURRENT:
                    placed.bucket = now // self.meter.window.width

    def forgotten(self) -> None:
        """The store has lost its memory: everything that still counts is reported again."""
        self.placed.clear()
        self.changed = set(self.meter.window.buckets)

    def granted(self, amount: int) -> None:
        """A new lease of this size; what was taken during the exchange came out of it."""
        self.balance = amount - (self.base - self.balance)
        self.escrow = 0

    def refused(self) -> None:
        """No answer came: what was set aside is ours again."""
        self.balance += self.escrow
        self.escrow = 0

    def _server_bucket(self, ours: int, offset: int | None) -> int:
        """By its last millisecond: what counts a little later in the store counts a little longer there."""
        width = self.meter.window.width
        return CURRENT if offset is None else (ours * width + width - 1 + offset) // width


class _Told(NamedTuple):
    """A report of one window: by our bucket, and as the store is told it."""

    part: Allowance
    changes: Mapping[int, int]
    reports: Sequence[Report]


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """An exchange under way."""

    request: Request
    told: Sequence[_Told]
    sent_at: float
    idle: bool


class SharedKey:
    """All windows of a deployment, or a provider's budget, as one replica sees them."""

    __slots__ = (
        "asked_at", "closing", "epoch", "exchanged_at", "failing", "grace_until", "look_at", "name", "offset",
        "overdrawn_at", "parts", "pending", "replicas", "serial", "store", "until", "used_at",
    )  # fmt: skip

    def __init__(self, name: str, store: StoreState) -> None:
        self.name = name
        self.store = store
        self.parts: list[Allowance] = []
        self.until = -inf
        """The lease may be used until then."""
        self.asked_at: float | None = None
        """Since when an exchange is wanted or under way."""
        self.look_at = -inf
        """There is nothing to be had before."""
        self.used_at = -inf
        self.exchanged_at = -inf
        self.overdrawn_at = -inf
        self.grace_until = -inf
        self.failing = False
        """The last exchange got no answer."""
        self.replicas = 1
        self.epoch = ""
        self.serial = 0
        self.offset: int | None = None
        """Milliseconds by which the store's clock is ahead of ours."""
        self.pending: list[_Told] | None = None
        """A report that no answer came to; it is repeated as it was."""
        self.closing = False

    def configure(self, meters: Sequence[Meter]) -> None:
        """The meters of this key; those it has already keep what they are."""
        known = {part.meter: part for part in self.parts}
        self.parts = [known.get(meter) or Allowance(meter, self) for meter in meters]
        for part in self.parts:
            part.meter.lent = part
        for told in self.pending or ():
            told.part.changed |= told.changes.keys()
        self.pending = None

    def is_lent(self, now: float) -> bool:
        """True while there is a lease."""
        return now < self.until

    def is_cut_off(self, now: float) -> bool:
        """True if no answer can be had now."""
        late = self.asked_at is not None and now >= self.asked_at + self.store.policy.patience
        return self.failing or late or now < self.grace_until

    def may_overdraw(self, now: float) -> bool:
        """True if the next call need not wait for a lease: once in the longest of the periods, one block."""
        return now - self.overdrawn_at > max(part.meter.quota.period for part in self.parts)

    def overdraw(self, now: float) -> None:
        """Lends ourselves a block, which is reported as soon as can be."""
        self.overdrawn_at = now
        self.until = now + self.store.policy.life - self.store.policy.margin
        for part in self.parts:
            part.balance = part.block
        self.ask(now)

    def can_ask(self, now: float) -> bool:
        """True if no exchange is under way, and one may bring something."""
        return self.asked_at is None and now >= self.look_at

    def ask(self, now: float) -> None:
        """Wants an exchange soon."""
        if self.can_ask(now):
            self.asked_at = now
            if self.store.wake is not None:
                self.store.wake()

    def rest(self, now: float) -> None:
        """As after a long time without a call."""
        if self.used_at > -inf:
            self.used_at = -inf
            self.asked_at = now

    def is_due(self, now: float) -> bool:
        """True if an exchange is to be made: asked for, or to renew the lease, give it back or see to the memory."""
        policy, since = self.store.policy, now - self.exchanged_at
        if self.asked_at is not None or self.closing:
            return True
        if not self._is_idle(now) or self.is_lent(now):
            return self.used_at > -inf and since >= policy.renew
        return since >= policy.check and any(part.meter.window.used for part in self.parts)

    def prepare(self, replica: str, now: float) -> Exchange:
        """Begins an exchange."""
        policy = self.store.policy
        if self.asked_at is None:
            self.asked_at = now
        idle = self.closing or (self._is_idle(now) and not any(part.need for part in self.parts))
        if self.pending is None:
            self.serial += 1
            self.pending = [part.report(self.offset, now) for part in self.parts]
        wishes = [told.part.wish(told.reports, now, idle=idle) for told in self.pending]
        life, grace = milliseconds(policy.life), milliseconds(policy.grace)
        request = Request(replica, self.epoch, self.serial, life, grace, wishes)
        return Exchange(request, self.pending, now, idle)

    def apply(self, exchange: Exchange, answer: Answer, now: float) -> None:
        """Ends an exchange."""
        policy = self.store.policy
        self.asked_at, self.pending, self.failing = None, None, False
        self.exchanged_at = now
        lost = self.epoch not in ("", answer.epoch)
        self.epoch = answer.epoch
        self.replicas = max(answer.replicas, self.replicas if answer.grace else 1)  # not all may have reported yet
        self.offset = answer.now - milliseconds(exchange.sent_at)
        self.grace_until = now + answer.grace / 1000 if answer.grace else -inf
        if not exchange.idle:
            self.until = exchange.sent_at + policy.life - policy.margin
        elif self.used_at < exchange.sent_at:
            self.until = -inf
        for told, amount in zip(exchange.told, answer.granted, strict=True):
            if lost:
                told.part.forgotten()
            else:
                told.part.acknowledged(told.changes, answer.now)
            told.part.granted(amount)
        self.look_at = -inf if lost or exchange.idle else self._next_look(exchange, answer, now)
        if lost or any(part.need > part.balance for part in self.parts):
            self.ask(now)

    def fail(self, exchange: Exchange) -> None:
        """No answer came to an exchange. The lease, if there is one, is still ours."""
        self.failing = True
        for told in exchange.told:
            told.part.refused()

    def _is_idle(self, now: float) -> bool:
        return now - self.used_at >= self.store.policy.idle

    def _next_look(self, exchange: Exchange, answer: Answer, now: float) -> float:
        """A window that could not give enough may have room when its next bucket begins, or something comes back."""
        if answer.grace:
            return self.grace_until
        short = [
            wish.width - answer.now % wish.width
            for told, wish in zip(exchange.told, exchange.request.wishes, strict=True)
            if told.part.balance < max(wish.least, told.part.block / 2)
        ]
        return now + min(max(min(short), _SHORTEST_PAUSE), _LONGEST_PAUSE) / 1000 if short else -inf
