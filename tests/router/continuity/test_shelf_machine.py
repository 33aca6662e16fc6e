"""Any order of writing, continuing, deleting, reading and outages: what no reader of a shelf may ever see."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.router.continuity.test_shelf import LOAN, TTL, Clock, Process
from turnout import PinnedUnavailable
from turnout.cache.memory_turns import MemoryTurns

WHO = st.integers(0, 1)


class ShelfMachine(RuleBasedStateMachine):
    """Two processes, each of which may be cut off, and what no reader may ever see."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.shared = MemoryTurns(timer=self.clock)
        self.processes = [Process(self.shared, self.clock, threads=False) for _ in range(2)]
        self.away = [False, False]
        self.outages = 0
        self.kept: dict[str, float] = {}
        """When a key was last written, or touched within its time to live: a touch brings nothing back."""
        self.latest: dict[str, float] = {}
        """When a key was last written, or touched while somebody may have had it: a touch renews also what is late."""
        self.deleted: set[str] = set()
        """Keys whose deletion was confirmed. Nobody writes them again: keys are not used twice."""
        self.doubted: set[str] = set()
        """Keys whose deletion could not be confirmed."""
        self.numbers = 0

    def teardown(self) -> None:
        for one in self.processes:
            one.close()

    @property
    def longest(self) -> float:
        """How long somebody may have a key: a loan may be made at the last moment, and what is owed be paid then."""
        return TTL + LOAN + (TTL if self.outages else 0.0)

    def name(self, number: int) -> str:
        return f"{number:040x}"

    @rule(who=WHO)
    def write(self, who: int) -> None:
        self.numbers += 1
        key = self.name(self.numbers)
        self.processes[who].write(key, b"{%d}" % self.numbers)
        self.kept[key] = self.latest[key] = self.clock.time

    @rule(who=WHO, back=st.integers(0, 5))
    def continue_(self, who: int, back: int) -> None:
        """A turn after another, which lives on."""
        if not self.numbers:
            return
        before = self.name(max(self.numbers - back, 1))
        self.numbers += 1
        key = self.name(self.numbers)
        self.processes[who].write(key, b"{%d}" % self.numbers, touched=[before])
        self.kept[key] = self.latest[key] = self.clock.time
        if self.clock.time < self.kept[before] + TTL:
            self.kept[before] = self.clock.time
        if self.clock.time < self.latest[before] + self.longest:
            self.latest[before] = self.clock.time

    @rule(who=WHO, back=st.integers(0, 5))
    def erase(self, who: int, back: int) -> None:
        if not self.numbers:
            return
        key = self.name(max(self.numbers - back, 1))
        try:
            self.processes[who].erase(key)
        except PinnedUnavailable:
            assert self.away[who]
            self.doubted.add(key)
        else:
            self.deleted.add(key)

    @rule(who=WHO)
    def leave_or_come(self, who: int) -> None:
        process = self.processes[who]
        if self.away[who]:
            process.join()
        else:
            process.cut()
            self.outages += 1
        self.away[who] = not self.away[who]

    @rule(share=st.sampled_from([0.05, 0.3, 0.7]))
    def wait(self, share: float) -> None:
        self.clock.time += share * TTL

    @rule(who=WHO)
    def read(self, who: int) -> None:
        for number in range(1, self.numbers + 1):
            key = self.name(number)
            try:
                found = self.processes[who].read(key)[0]
            except PinnedUnavailable:
                assert self.away[who]
                continue
            assert found in (None, b"{%d}" % number)
            if found is not None:
                assert self.away[who] or key not in self.deleted, "deleted, and it came back"
            if not any(self.away) and key not in self.deleted | self.doubted:
                assert found is None or self.clock.time < self.latest[key] + self.longest
                assert found is not None or self.clock.time >= self.kept[key] + TTL or self.outages


TestShelf = ShelfMachine.TestCase
TestShelf.settings = settings(max_examples=150, stateful_step_count=30)
