"""What `adaptive` knows of a deployment and of a model group, and what that says of the next call. Pure.

Times of answers are taken relative to what the call should have taken (`prediction.py`): answers differ a hundredfold
in length, which says nothing of the deployment.
"""

from collections import deque
from dataclasses import dataclass, field
from math import exp, inf, log, sqrt

from turnout.policies import AdaptivePolicy
from turnout.strategies.prediction import Fit

_LEAST_LEFT = 0.95
"""What an answer keeps of its weight, at least, when the next one comes: twenty answers are always remembered."""
_BELIEF = 2.0
"""Answers that count as evidence for a deployment like the group's others."""
_ATTEMPTS = 5.0
"""Attempts without a failure that count as evidence for every deployment."""
_MOST_DOUBT = 20.0
_RECENT = 0.01
"""Part of the time of forgetting that counts as none."""
_SURPRISE = 3.0
"""Standard deviations of the age of attempts under way that are no surprise."""
_MANY = 50.0
"""Typical times; nothing is gained by counting what is overdue further than this."""
_SHORT = 0.2
"""The part of the answers that takes no longer than `Times.short`."""
_RATE = 0.02
_LOAD_RATE = 0.004
_SUDDEN = 1.0
"""Change of the logarithm of a deployment's slowness that load alone does not explain."""
_LEAST_VARIANCE = 0.1
"""Of the logarithm of the load: below this the slope says little, and is taken for less."""


@dataclass(slots=True)
class Times:
    """How long calls of one kind, complete or streamed, take in a model group at average slowness. Seconds."""

    fit: Fit = field(default_factory=Fit)
    typical: float = 5.0
    """Moving average of the predicted times."""
    short: float = 1.0
    """What a fifth of the answers take less than."""
    age: float = 5.0
    """How long ago an attempt under way began, on average: mean square over twice the mean (renewal theory)."""

    def learn(self, expected: float, seconds: float, slow: float) -> None:
        """Takes over an answer of a deployment that is so slow."""
        rate = rate_after(self.fit.samples)
        self.typical += (expected - self.typical) * rate
        self.age += (expected * expected / (2.0 * self.typical) - self.age) * rate
        self.short += rate * self.typical * (_SHORT - (seconds < self.short * slow))


@dataclass(slots=True, weakref_slot=True, eq=False)
class Group:
    """What is known of one model group."""

    unary: Times = field(default_factory=Times)
    streamed: Times = field(default_factory=Times)
    """Until the first output."""
    slow: float = 1.0
    """Moving average of how slow the deployments were that answered, which tells the fit what an average one does."""
    exponent: float = 0.0
    """How much slower a deployment gets with its own load: the slope of one logarithm on the other."""
    spread: float = 0.25
    """Standard deviation of observed over predicted times, where a deployment does as usual."""
    calls: int = 0
    """Attempts that were begun."""
    covariance: float = 0.0
    variance: float = 1.0

    @property
    def answers(self) -> int:
        """How many there were."""
        return self.unary.fit.samples + self.streamed.fit.samples


@dataclass(slots=True)
class Pending:
    """Attempts of one kind that have not been answered yet."""

    count: int = 0
    starts: float = 0.0
    """Sum of the times they began at."""
    fresh: deque[float] = field(default_factory=deque[float])
    """When those began that began after every attempt that was answered."""

    def begin(self, now: float) -> None:
        """One more."""
        self.count += 1
        self.starts += now
        self.fresh.append(now)

    def end(self, started: float, *, answered: bool) -> None:
        """One less; those that began before one that was answered are no longer fresh."""
        self.count -= 1
        self.starts = self.starts - started if self.count else 0.0
        fresh = self.fresh
        if not answered:
            if started in fresh:
                fresh.remove(started)
            return
        while fresh and fresh[0] <= started:
            fresh.popleft()

    def overdue(self, times: Times, slow: float, now: float) -> float:
        """How many answers should have come by now from the fresh ones.

        That none came has a probability of about exp(-this), if times are exponential once the shortest have passed.
        """
        latest = now - times.short * slow
        late = 0.0
        for started in self.fresh:
            if started >= latest or late > _MANY * times.typical:
                break
            late += latest - started
        return late / (max(times.typical - times.short, 0.1 * times.typical) * slow)

    def excess(self, times: Times, slow: float, now: float) -> float:
        """Seconds that they have been under way in all, beyond what would be no surprise."""
        usual = times.age * slow * (self.count + _SURPRISE * sqrt(self.count))
        return self.count * now - self.starts - usual


@dataclass(slots=True)
class Standing:
    """What is known of one deployment. Sums lose weight with time."""

    since: float
    """When its slow start began; -inf if it has none."""
    updated: float
    """When an attempt last said something of it."""
    tried: float
    """When the last attempt began."""
    group: Group
    """Its model group's, which is known for as long as one of its deployments is."""
    tried_calls: int = 0
    """How many attempts the group had begun then."""
    passed: int = 0
    """Calls since then that were too big to find out with, when it was time."""
    eagerness: float = 1.0
    """By chance above or below 1: how much sooner than usual it is looked at again."""
    good_since: float = -inf
    """When the attempt began that showed it to be no longer bad; what began earlier says nothing of it any more."""
    ratios: float = 0.0
    """Sum of the observed over the predicted times of its answers."""
    answers: float = 0.0
    attempts: float = 0.0
    failures: float = 0.0
    unary: Pending = field(default_factory=Pending)
    streamed: Pending = field(default_factory=Pending)
    log_load: float = 0.0
    log_ratio: float = 0.0

    def fade(self, tau: float, now: float) -> None:
        """Brings the sums up to date."""
        left = max(exp((self.updated - now) / tau), _LEAST_LEFT)
        self.ratios *= left
        self.answers *= left
        self.attempts *= left
        self.failures *= left
        self.updated = now

    def forgive(self, since: float) -> None:
        """Begins anew: it was bad, and has shown that it no longer is. Attempts under way are those of its bad time."""
        self.unary, self.streamed = Pending(), Pending()
        self.ratios = self.answers = self.failures = 0.0
        self.since = since

    @property
    def hanging(self) -> int:
        """Attempts under way that began after every one that was answered."""
        return len(self.unary.fresh) + len(self.streamed.fresh)

    def usual(self, group: Group, doubt: float) -> float:
        """Observed over predicted time of the answers of late; the group's, as far as there are none."""
        belief = _BELIEF * doubt
        return (self.ratios + belief * group.slow) / (self.answers + belief)

    def standard_error(self, group: Group) -> float:
        """What `usual` may be off by chance, as a part of it."""
        return group.spread / sqrt(self.answers + _BELIEF)

    def slowness(self, group: Group, policy: AdaptivePolicy, doubt: float, now: float) -> float:
        """The same, raised by attempts under way that take too long.

        A deployment that has gone silent looks slower with every second, before any of its calls has failed.
        """
        slow = self.usual(group, doubt)
        raised = 0.0
        if self.unary.count:
            raised = self._raised(self.unary, group.unary, slow, policy, now)
        if self.streamed.count:
            raised = max(raised, self._raised(self.streamed, group.streamed, slow, policy, now))
        return slow * (1.0 + raised)

    def _raised(self, pending: Pending, times: Times, slow: float, policy: AdaptivePolicy, now: float) -> float:
        """By how much attempts under way make it look slower."""
        late = pending.overdue(times, slow, now) / policy.silence
        long = pending.excess(times, slow, now) / ((self.answers + _BELIEF) * times.typical)
        return max(late**3, long, 0.0)

    def error_rate(self, doubt: float) -> float:
        """Share of the attempts of late that failed."""
        return self.failures / (self.attempts + _ATTEMPTS * doubt)

    def doubt(self, policy: AdaptivePolicy, now: float) -> float:
        """How much more the group is believed in than this deployment, as what is known of it gets old; 1 at first."""
        age = (now - self.updated) / policy.forgotten
        return 1.0 if age < _RECENT else exp(min(age, _MOST_DOUBT))


def rate_after(samples: int) -> float:
    """How far a moving average follows the next sample: to the mean of all while they are few."""
    return max(_RATE, 1.0 / (samples + 1))


def relate(group: Group, known: Standing, load: int, ratio: float) -> None:
    """Learns how much slower answers get with the deployment's own load.

    Compared are each deployment's answers with its own others, since a slow one carries less load for that reason. What
    became several times as slow carries more for it, not the other way round: such answers are left out.
    """
    dx = log(load) - known.log_load
    dy = log(max(ratio, 1e-3)) - known.log_ratio
    known.log_load += dx * 0.05
    known.log_ratio += dy * 0.05
    if abs(dy) > _SUDDEN:
        return
    group.covariance += (dx * dy - group.covariance) * _LOAD_RATE
    group.variance += (dx * dx - group.variance) * _LOAD_RATE
    group.exponent = group.covariance / max(group.variance, _LEAST_VARIANCE)
