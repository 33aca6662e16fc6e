"""What the shared store keeps of one key, and how it lends blocks.

The model of `cache/fleet_limits.lua`, which is tested against it. A key holds all windows of one deployment (or of a
provider's budget). Every exchange is one atomic step over all of them: what a replica used is counted, its lease is
replaced by a new one, and nothing is lent that does not fit: used + lent to others + the new lease <= limit, in every
window or in none. Times are milliseconds of the server's clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from turnout.limits.window import BUCKETS, Window

CURRENT = -1
"""The bucket of a report by a replica that does not know the server's time yet."""
CLAIM = 2000
"""Milliseconds for which the first to be refused comes first; it asks again, and so renews it, every second."""
MEMORY = 60_000
"""Milliseconds for which an expired lease is remembered, so that a repeated report is known to be one."""


class Report(NamedTuple):
    """Used in a bucket since the last report; negative if it was less than was reported."""

    bucket: int
    change: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What a replica says and asks of one window."""

    name: str
    width: int
    limit: int
    held: int
    """Of its lease it still has so much, and keeps it in any case."""
    least: int
    """A call is waiting for so much; 0 if none is."""
    most: int
    """What it would like to hold."""
    reports: Sequence[Report] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One exchange of a replica."""

    replica: str
    epoch: str
    """That of the replica's last exchange, "" before the first."""
    serial: int
    """Grows with every new report; a report that is repeated because no answer came has the serial it had."""
    life: int
    """Milliseconds a lease lasts."""
    grace: int
    """Milliseconds in which a store that has lost its memory lends nothing, so that all replicas can report."""
    wishes: Sequence[Wish]


class Answer(NamedTuple):
    """What the store says."""

    now: int
    epoch: str
    grace: int
    """Milliseconds left of the grace, 0 if there is none."""
    replicas: int
    """How many hold leases, of whatever size, this one included."""
    granted: Sequence[int]
    """The size of the new lease, by window."""


@dataclass(slots=True)
class Lease:
    """A replica's part of the windows."""

    expires: int
    serial: int
    amounts: Mapping[str, int]


@dataclass(slots=True)
class Claim:
    """The first replica that was refused: what becomes free is kept for it."""

    replica: str
    expires: int
    amounts: Mapping[str, int]


@dataclass(slots=True)
class Ledger:
    """One key. Empty is the state of a store that has lost its memory."""

    epoch: str = ""
    grace_until: int = 0
    windows: dict[str, Window] = field(default_factory=dict[str, Window])
    leases: dict[str, Lease] = field(default_factory=dict[str, Lease])
    claim: Claim | None = None

    def exchange(self, request: Request, now: int) -> Answer:
        """One replica's exchange."""
        if not self.epoch:
            self.epoch = f"{request.replica}-{now}"
        known = request.epoch in ("", self.epoch)
        if not known and not self.grace_until:
            self.grace_until = now + request.grace
        self._forget(now)
        mine = self.leases.get(request.replica)
        fresh = known and (mine is None or mine.serial != request.serial)
        rooms = [self._count(wish, request.replica, now, fresh=fresh) for wish in request.wishes]
        lends = known and now >= self.grace_until
        enough = lends and all(room >= wish.least for room, wish in zip(rooms, request.wishes, strict=True))
        granted = [
            max(wish.held, min(wish.most, room)) if enough else wish.held
            for room, wish in zip(rooms, request.wishes, strict=True)
        ]
        if lends:
            self._queue(request, now, enough=enough)
        amounts = {wish.name: amount for wish, amount in zip(request.wishes, granted, strict=True)}
        self.leases[request.replica] = Lease(now + request.life, request.serial, amounts)
        live = sum(one.expires > now for one in self.leases.values())
        return Answer(now, self.epoch, max(self.grace_until - now, 0), live, granted)

    def _forget(self, now: int) -> None:
        self.leases = {name: one for name, one in self.leases.items() if one.expires + MEMORY > now}
        if self.claim is not None and self.claim.expires <= now:
            self.claim = None

    def _count(self, wish: Wish, replica: str, now: int, *, fresh: bool) -> int:
        """Counts what was used in one window, and says how much of it the replica may hold."""
        window = self.windows.setdefault(wish.name, Window(wish.limit, wish.width))
        current = now // wish.width
        window.expire(current)
        for report in wish.reports if fresh else ():
            bucket = current if report.bucket == CURRENT else report.bucket
            if abs(current - bucket) <= BUCKETS:
                window.add(bucket, report.change)
        lent = sum(
            one.amounts.get(wish.name, 0) for name, one in self.leases.items() if name != replica and one.expires > now
        )
        claimed = 0
        if self.claim is not None and self.claim.replica != replica:
            claimed = self.claim.amounts.get(wish.name, 0)
        return wish.limit - window.used - lent - claimed

    def _queue(self, request: Request, now: int, *, enough: bool) -> None:
        """The first replica to be refused has the next claim on what becomes free, so that large calls get through."""
        if self.claim is not None and self.claim.replica != request.replica:
            return
        self.claim = None
        if not enough and any(wish.least > 0 for wish in request.wishes):
            amounts = {wish.name: wish.least for wish in request.wishes}
            self.claim = Claim(request.replica, now + CLAIM, amounts)
