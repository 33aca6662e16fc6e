"""Replicas that lease blocks, in any order of events: within the bound, and nothing leaks."""

from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from turnout.limits.allowance import Exchange, LeasePolicy, SharedKey, StoreState
from turnout.limits.ledger import Ledger, Request, Wish
from turnout.limits.meter import Limits, Meter, Reservation
from turnout.limits.quota import Prices, Quota, Usage

QUOTAS = (Quota("tpm", 1000, 60.0, "tokens"), Quota("rpm", 100, 60.0, "requests"))
POLICY = LeasePolicy(pacing="closed")
"""Without a store nothing goes: what is let through was lent, or is the first block of a new replica."""
START = 1_800_000_000_000


@dataclass
class Used:
    when: float
    usage: Usage
    estimate: Usage


@dataclass
class Replica:
    """One process: its clock, its part, its exchange under way, what it was ever lent at most."""

    name: str
    born: float
    offset: float
    key: SharedKey = field(default_factory=lambda: SharedKey("k", StoreState(POLICY)))
    exchange: Exchange | None = None
    most: list[int] = field(default_factory=lambda: [0, 0])
    died: float = inf

    def __post_init__(self) -> None:
        self.meters = [Meter(quota) for quota in QUOTAS]
        self.key.configure(self.meters)
        self.limits = Limits(self.meters, Prices())


class Leases(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.rng = Random(1)
        self.ledger = Ledger()
        self.everyone: list[Replica] = []
        self.replicas = [self.begin_process() for _ in range(3)]
        self.used: list[Used] = []
        self.open: list[tuple[Replica, Reservation, Used]] = []

    def begin_process(self) -> Replica:
        new = Replica(f"r{len(self.everyone)}", self.now, self.rng.uniform(0, 1e6))
        self.everyone.append(new)
        return new

    def server(self) -> int:
        return START + int(self.now * 1000)

    @rule(who=st.integers(0, 2), size=st.integers(1, 250))
    def call(self, who: int, size: int) -> None:
        one, usage = self.replicas[who], Usage(size, 0)
        now = self.now + one.offset
        if one.limits.room_at(usage, now) <= now:
            record = Used(self.now, usage, usage)
            self.used.append(record)
            self.open.append((one, one.limits.reserve(usage, now), record))
        else:
            one.limits.ask(usage, now)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), actual=st.integers(0, 270))
    def settle(self, data: Any, actual: int) -> None:
        one, held, record = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        if one.died == inf:
            held.settle(Usage(actual, 0))
            record.usage = Usage(actual, 0)

    @rule(who=st.integers(0, 2))
    def begin(self, who: int) -> None:
        one = self.replicas[who]
        if one.exchange is None and one.key.is_due(self.now + one.offset):
            one.exchange = one.key.prepare(one.name, self.now + one.offset)

    @rule(who=st.integers(0, 2), fate=st.sampled_from(["answered", "answered", "answered", "answer lost", "lost"]))
    def end(self, who: int, fate: str) -> None:
        one = self.replicas[who]
        if one.exchange is None:
            return
        begun, one.exchange = one.exchange, None
        if self.now + one.offset - begun.sent_at > 2.5:
            fate = "lost"  # a socket has a timeout
        answer = None if fate == "lost" else self.ledger.exchange(begun.request, self.server())
        if answer is not None and fate == "answered":
            one.key.apply(begun, answer, self.now + one.offset)
            one.most = [max(pair) for pair in zip(one.most, answer.granted, strict=True)]
        else:
            one.key.fail(begun)

    @rule(who=st.integers(0, 2))
    def crash(self, who: int) -> None:
        self.replicas[who].died = self.now
        self.replicas[who] = self.begin_process()

    @rule(seconds=st.sampled_from([0.01, 0.05, 0.3, 1.0, 2.5, 6.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    def teardown(self) -> None:
        for one in self.used:
            self.within_the_bound(one.when)
        self.what_is_told_is_what_was_used()
        self.nothing_leaks()

    def within_the_bound(self, end: float) -> None:
        recent = [one for one in self.used if end - 60 < one.when <= end]
        processes = [one for one in self.everyone if one.born <= end and one.died > end - 60]
        for index, (total, over) in enumerate(
            (
                (
                    sum(one.usage.input for one in recent),
                    sum(max(one.usage.input - one.estimate.input, 0) for one in recent),
                ),
                (len(recent), 0),
            )
        ):
            block = int(POLICY.block * QUOTAS[index].limit)
            assert total <= QUOTAS[index].limit + sum(block + one.most[index] for one in processes) + over

    def what_is_told_is_what_was_used(self) -> None:
        """Reports that were repeated, or whose answer was lost, count once."""
        for one in self.replicas:
            if one.exchange is not None:
                one.key.fail(one.exchange)
            for _ in range(3):
                begun = one.key.prepare(one.name, self.now + one.offset)
                one.key.apply(begun, self.ledger.exchange(begun.request, self.server()), self.now + one.offset)
        own = sum(meter.window.used for one in self.replicas for meter in one.meters)
        lent_on = sum(window.used for window in self.ledger.windows.values())
        dead = any(one.died < inf for one in self.everyone)
        assert own <= lent_on
        for one in self.replicas:
            for meter, part in zip(one.meters, one.key.parts, strict=True):
                assert sum(placed.amount for placed in part.placed.values()) == meter.window.used
        if not dead and self.now < 1060:  # nothing has left a window yet: it leaves the store's up to a bucket later
            assert own == lent_on

    def nothing_leaks(self) -> None:
        """A minute after the last call, and seconds after the last lease, everything can be lent again."""
        self.now += 70
        wishes = [Wish(f"{quota.unit}:60000", 1000, quota.limit, 0, quota.limit, quota.limit) for quota in QUOTAS]
        answer = self.ledger.exchange(Request("new", "", 1, 5000, 4000, wishes), self.server())
        assert list(answer.granted) == [quota.limit for quota in QUOTAS]


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=200, stateful_step_count=80)
