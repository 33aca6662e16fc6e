"""Power of two choices over peak-EWMA, as Finagle's client does it, with its failure accrual and its retry budget.

Read in github.com/twitter/finagle, finagle-core: loadbalancer/PeakEwma.scala, p2c/P2CPick.scala, Balancer.scala,
liveness/FailureAccrualFactory.scala and FailureAccrualPolicy.scala, service/RetryBudget.scala, Backoff.scala.

Finagle knows no deadline-aware client of LLMs, so some rules are ours, and kind: what is throttled is retried, and a
retry leaves out the regions that failed this call already as long as there are others.
"""

from collections import deque
from dataclasses import dataclass, field
from math import exp
from random import Random

from benchmarks.scorecard.engine import AT_ONCE, GIVE_UP, Call, Ending, Next
from benchmarks.scorecard.scenario import RETRIES

_DECAY = 10.0
"""Seconds; `decayTime`, the mean lifetime of a cost."""
_PENALTY = float(0x7FFFFFFFFFFFFFFF >> 16)
"""Load of a node that has requests but no history."""
_EFFORT = 5
"""How often two nodes are drawn in search of one that is open."""
_CONSECUTIVE = 5
_SUCCESS_SHARE, _SUCCESS_WINDOW, _ENOUGH_REQUESTS = 0.8, 30.0, 5
_FIRST_BACKOFF, _LONGEST_BACKOFF = 5.0, 300.0
_RETRY_SHARE, _RETRIES_PER_SECOND, _BUDGET_WINDOW = 0.2, 10.0, 10.0


@dataclass(slots=True)
class PeakEwma:
    """A region's cost in seconds: jumps to what is above it, and decays with time towards what is below."""

    cost: float = 0.0
    pending: int = 0
    _seen: float = 0.0

    def observe(self, seconds: float, now: float) -> None:
        """A round trip; 0 brings the decay up to date."""
        if seconds > self.cost:
            self.cost = seconds
        else:
            kept = exp(-(now - self._seen) / _DECAY)
            self.cost = self.cost * kept + seconds * (1.0 - kept)
        self._seen = now

    def load(self, now: float) -> float:
        """What a further request would meet."""
        self.observe(0.0, now)
        if self.cost == 0.0 and self.pending:
            return _PENALTY + self.pending
        return self.cost * (self.pending + 1)


@dataclass(slots=True)
class Backoff:
    """Finagle's `equalJittered`: 5 s, then half of a doubling time for sure and up to as much again by chance."""

    rng: Random
    _step: int = 0

    def next(self) -> float:
        """Seconds."""
        self._step += 1
        if self._step == 1:
            return _FIRST_BACKOFF
        sure = _FIRST_BACKOFF * 2.0 ** (self._step - 2)
        return min(sure + self.rng.random() * sure, _LONGEST_BACKOFF)


@dataclass(slots=True)
class Accrual:
    """Whether a region is used, by its failures: alive, dead for a while, and then open for one probe.

    Dead after five failures in a row; also if less than 80 % of its requests of late succeed, once it has been watched
    for 30 s and had five requests in them.
    """

    rng: Random
    state: str = "alive"
    """alive, dead, probe (one may go) or probing (one is on its way)."""
    _revives: float = 0.0
    _born: float = 0.0
    _in_a_row: int = 0
    _share: float | None = None
    _updated: float = 0.0
    _requests: deque[float] = field(default_factory=deque[float])
    _backoffs: tuple[Backoff, Backoff] | None = None

    def is_open(self, now: float) -> bool:
        """Whether the balancer may use it."""
        if self.state == "dead" and now >= self._revives:
            self.state = "probe"
        return self.state in ("alive", "probe")

    def sent(self) -> None:
        """A request is sent: if it waited for a probe, this is it."""
        if self.state == "probe":
            self.state = "probing"

    def succeeded(self, now: float) -> None:
        """A success. That of a probe makes all forgotten."""
        if self.state == "probing":
            self.state = "alive"
            self._share = None
            self._born = now
            self._backoffs = None
        self._in_a_row = 0
        self._update(1.0, now)

    def failed(self, now: float) -> None:
        """A failure; those of a region that is out already do not count."""
        if self.state not in ("alive", "probing"):
            return
        self._in_a_row += 1
        share = self._update(0.0, now)
        watched = now - self._born >= _SUCCESS_WINDOW and len(self._requests) >= _ENOUGH_REQUESTS
        by_share, by_row = watched and share < _SUCCESS_SHARE, self._in_a_row >= _CONSECUTIVE
        if self._backoffs is None:
            self._backoffs = (Backoff(self.rng), Backoff(self.rng))
        pauses = [backoff.next() for backoff, due in zip(self._backoffs, (by_share, by_row), strict=True) if due]
        if pauses:
            self.state = "dead"
            self._revives = now + max(pauses)
        elif self.state == "probing":
            self.state = "probe"

    def ignored(self) -> None:
        """A request ended without an answer, good or bad."""
        if self.state == "probing":
            self.state = "probe"

    def _update(self, success: float, now: float) -> float:
        """The moving average of successes, which forgets with the window as its mean lifetime."""
        requests = self._requests
        requests.append(now)
        while requests[0] < now - _SUCCESS_WINDOW:
            requests.popleft()
        if self._share is None:
            self._share = success
        else:
            kept = exp(-(now - self._updated) / _SUCCESS_WINDOW)
            self._share = self._share * kept + success * (1.0 - kept)
        self._updated = now
        return self._share


class RetryBudget:
    """Retries of ten seconds: a fifth of the requests of that time, and ten for each of its seconds."""

    def __init__(self) -> None:
        self._requests: deque[float] = deque()
        self._retries: deque[float] = deque()

    def deposit(self, now: float) -> None:
        """A request."""
        self._requests.append(now)

    def withdraw(self, now: float) -> bool:
        """True if a retry is allowed; it is then taken."""
        for times in (self._requests, self._retries):
            while times and times[0] < now - _BUDGET_WINDOW:
                times.popleft()
        most = _RETRY_SHARE * len(self._requests) + _RETRIES_PER_SECOND * _BUDGET_WINDOW
        if len(self._retries) + 1 > most:
            return False
        self._retries.append(now)
        return True


class PeakEwmaP2C:
    """The balancer."""

    patient = False

    def __init__(self, rng: Random) -> None:
        self.regions: list[str] = []
        self.metrics: dict[str, PeakEwma] = {}
        self.accruals: dict[str, Accrual] = {}
        self._budget = RetryBudget()
        self._rng = rng

    def join(self, region: str) -> None:
        """See `Peer`."""
        self.regions.append(region)
        self.metrics[region] = PeakEwma()
        self.accruals[region] = Accrual(self._rng)

    def pick(self, call: Call, now: float) -> str | Ending | None:
        """See `Peer`. If none is open, one is used nevertheless (`WhenNoNodesOpen.PickOne`, the default)."""
        if call.attempts == 1:
            self._budget.deposit(now)
        candidates = self.regions
        if call.shunned:
            candidates = [region for region in candidates if region not in call.shunned] or candidates
        chosen = candidates[0]
        for _ in range(_EFFORT + 1):
            chosen = self._better_of_two(candidates, now)
            if self.accruals[chosen].is_open(now):
                break
        self.accruals[chosen].sent()
        self.metrics[chosen].pending += 1
        return chosen

    def succeeded(self, call: Call, ending: Ending, now: float) -> None:  # noqa: ARG002 (protocol)
        """See `Peer`."""
        self._observe(call, now)
        self.accruals[call.region].succeeded(now)

    def failed(self, call: Call, ending: Ending, now: float) -> Next:
        """See `Peer`. A caller's mistake is no failure of the region."""
        self._observe(call, now)
        if ending.status == 404:
            self.accruals[call.region].succeeded(now)
            return GIVE_UP
        self.accruals[call.region].failed(now)
        call.shunned.append(call.region)
        return AT_ONCE if call.attempts <= RETRIES and self._budget.withdraw(now) else GIVE_UP

    def cancelled(self, call: Call, now: float) -> None:
        """See `Peer`."""
        self._observe(call, now)
        self.accruals[call.region].ignored()

    def changed(self, now: float) -> None:
        """See `Peer`."""

    def _better_of_two(self, candidates: list[str], now: float) -> str:
        """Two distinct ones by chance: the one that is open, or else the one with less load."""
        if len(candidates) == 1:
            return candidates[0]
        first = self._rng.randrange(len(candidates))
        second = self._rng.randrange(len(candidates) - 1)
        one, other = candidates[first], candidates[second + (second >= first)]
        one_open, other_open = self.accruals[one].is_open(now), self.accruals[other].is_open(now)
        if one_open != other_open:
            return one if one_open else other
        return one if self.metrics[one].load(now) < self.metrics[other].load(now) else other

    def _observe(self, call: Call, now: float) -> None:
        """Failures are round trips as well."""
        metric = self.metrics[call.region]
        metric.pending -= 1
        metric.observe(now - call.sent, now)
