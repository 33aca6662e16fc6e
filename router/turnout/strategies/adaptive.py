"""adaptive: the default. Expected time relative to what the call should take, load, errors and weight in one score."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, inf, log, sqrt

from turnout.context import Call, Observation, Pick
from turnout.deployment import Deployment
from turnout.strategies.choose import SCAN
from turnout.strategies.prediction import Fit

_TAU = 20.0
"""Seconds in which an observation of speed or errors loses most of its weight (Finagle's peak EWMA uses the same)."""
_LEAST_LEFT = 0.95
"""What an observation keeps of its weight, at least, when the next one comes: a quiet deployment is not forgotten."""
_FORGOTTEN = 30.0
"""Seconds without an answer after which what is known of a deployment counts a third as much."""
_MOST_DOUBT = 20.0
_BELIEF = 1.0
"""Typical calls that count as evidence for an average deployment."""
_ATTEMPTS = 5.0
"""Attempts without a failure that count as evidence for every deployment."""
_ERROR_ALLOWANCE = 0.02
_ERROR_WEIGHT = 10.0
_LEAST_EXPONENT, _MOST_EXPONENT = 0.04, 1.0
_EXPONENT_MARGIN = 0.04
_ALIKE = 1.1
"""Deployments that are no worse than the best by this much share the load evenly: what is less is mostly chance."""
_BAD = 1.5
"""From here on a deployment gets no calls but those that find out whether it is still bad."""
_PATIENCE = 40.0
"""Seconds between two such calls."""
_SILENCE = 4.0
"""Answers that are overdue at which a deployment looks twice as slow."""
_MANY = 50
_SHORT = 0.2
_SLOW_START = 20.0
_PROVEN = 20
"""Answers in a group after which a deployment that joins starts slowly."""
_SURPRISE = 3.0
"""Standard deviations of the age of attempts under way that are no surprise."""


@dataclass(slots=True)
class Standing:
    """What is known of one deployment. Sums decay with time; seconds."""

    since: float
    """When it was first seen; -inf for the first of a group."""
    ratios: float = 0.0
    """Sum of the observed over the predicted times of its answers."""
    answers: float = 0.0
    """How many these are."""
    starts: float = 0.0
    """Sum of the starting times of the attempts under way."""
    attempts: float = 0.0
    failures: float = 0.0
    updated: float = 0.0
    tried: float = 0.0
    """When the last attempt began."""
    fresh: deque[float] = field(default_factory=deque[float])
    """When those under way began that began after every attempt that was answered."""
    log_load: float = 0.0
    log_ratio: float = 0.0
    loads: dict[float, int] = field(default_factory=dict[float, int])
    """Calls under way when each of those under way began, by their start."""


@dataclass(slots=True)
class Group:
    """What is known of one model group."""

    fit: Fit = field(default_factory=Fit)
    typical: float = 5.0
    """Moving average of the predicted time of its calls."""
    short: float = 1.0
    """What a fifth of the answers take less than, at average slowness."""
    age: float = 5.0
    """How long ago an attempt under way began, on average (mean square over twice the mean of the times)."""
    slow: float = 1.0
    """Moving average of how slow the deployments were that answered, which tells the fit what an average one does."""
    covariance: float = 0.0
    variance: float = 1.0
    exponent: float = _LEAST_EXPONENT


class Adaptive:
    """The deployment with the lowest score.

    score = slowness x (1 + 10 x (error rate - 2 %)) x ((in flight + 1) / (weight x pace)) ^ exponent
    """

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}

    # --- choosing

    def pick(self, candidates: Sequence[Deployment], pick: Pick) -> Deployment:
        """See Strategy."""
        now, rng = pick.now, pick.rng
        if len(candidates) > SCAN:
            candidates = [candidates[int(rng.random() * len(candidates))] for _ in range(2)]
        group = self._group(candidates[0])
        best = inf
        looks: list[tuple[Deployment, float]] = []
        for one in candidates:
            known = one.learned
            if known is None:
                known = one.learned = self._new(group, now)
            bad = slowness(known, one.in_flight, group, now) * penalty(one, now)
            if bad > _BAD and now - known.tried > _PATIENCE:
                return one
            looks.append((one, bad))
            best = min(best, bad)
        chosen, lowest, exponent, near = candidates[0], inf, group.exponent, best * _ALIKE
        for one, bad in looks:
            share = one.share * self._pace(one, now) or 1e-9
            score = max(bad, near) * ((one.in_flight + 1) / share) ** exponent
            if score < lowest or (score == lowest and rng.random() < 0.5):
                chosen, lowest = one, score
        return chosen

    def _pace(self, one: Deployment, now: float) -> float:
        pace = one.pace(now, _SLOW_START) if one.health.recovered_at is not None else 1.0
        age = (now - one.learned.since) / _SLOW_START
        return pace if age >= 1.0 else pace * max(age, 0.1)

    def _new(self, group: Group, now: float) -> Standing:
        return Standing(since=now if group.fit.samples >= _PROVEN else float("-inf"), updated=now, tried=now)

    def _group(self, one: Deployment) -> Group:
        name = one.spec.model_group
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = Group()
        return group

    # --- learning

    def started(self, deployment: Deployment, call: Call, now: float) -> None:  # noqa: ARG002 (the protocol's signature)
        """See Learns."""
        known = deployment.learned
        if known is None:
            known = deployment.learned = self._new(self._group(deployment), now)
        known.starts += now
        known.fresh.append(now)
        known.tried = now
        known.loads[now] = deployment.in_flight

    def finished(self, deployment: Deployment, seen: Observation) -> None:
        """See Learns."""
        known: Standing = deployment.learned
        known.starts -= seen.started
        load = known.loads.pop(seen.started, deployment.in_flight + 1)
        _answered(known, seen)
        if deployment.in_flight == 0:
            known.starts = 0.0
            known.loads.clear()
        if seen.outcome in (None, "caller", "throttle", "cancelled"):
            return
        group = self._group(deployment)
        was_bad = usual(known, group, seen.now) * penalty(deployment, seen.now) > _BAD
        _fade(known, seen.now)
        known.attempts += 1
        seconds = max(seen.now - seen.started, 1e-6)
        if seen.outcome != "ok":
            known.failures += 1
            if seconds > group.typical:
                known.ratios += seconds / group.typical
                known.answers += 1
            return
        tokens_in, tokens_out = seen.tokens_in or 0, seen.tokens_out or 0
        expected = group.fit.seconds(tokens_in, tokens_out)
        if was_bad and seconds < _BAD * expected:
            known.ratios = known.answers = known.failures = 0.0
            known.since = -inf if seen.probe else seen.now
        known.ratios += seconds / expected
        known.answers += 1
        group.typical += (expected - group.typical) * 0.02
        group.age += (expected * expected / (2.0 * group.typical) - group.age) * 0.02
        slow = usual(known, group, seen.now)
        group.short += 0.02 * group.typical * (_SHORT - (seconds < group.short * slow))
        group.slow += (slow - group.slow) * 0.02
        group.fit.learn(tokens_in, tokens_out, seconds * min(max(group.slow / slow, 0.5), 2.0))
        _relate(group, known, load, seconds / expected)


def slowness(known: Standing, in_flight: int, group: Group, now: float) -> float:
    """Observed time over predicted time, raised by attempts under way that take too long."""
    slow = usual(known, group, now)
    if not in_flight:
        return slow
    overdue = _overdue(known.fresh, group, slow, now) / _SILENCE
    age = group.age * slow
    excess = in_flight * now - known.starts - age * (in_flight + _SURPRISE * sqrt(in_flight))
    return slow * max(1.0 + overdue**3, 1.0 + excess / ((known.answers + _BELIEF) * group.typical))


def _overdue(fresh: Sequence[float], group: Group, slow: float, now: float) -> float:
    """How many answers should have come by now from attempts that began after every one that was answered.

    That none came has a probability of about exp(-this), if times are exponential once the shortest have passed.
    """
    latest = now - group.short * slow
    late = 0.0
    for started in fresh:
        if started >= latest or late > _MANY * group.typical:
            break
        late += latest - started
    return late / (max(group.typical - group.short, 0.1 * group.typical) * slow)


def _answered(known: Standing, seen: Observation) -> None:
    """Those that began before one that was answered are no longer fresh; one that was given up is under way no more."""
    fresh = known.fresh
    if seen.outcome in (None, "cancelled"):
        if seen.started in fresh:
            fresh.remove(seen.started)
        return
    while fresh and fresh[0] <= seen.started:
        fresh.popleft()


def usual(known: Standing, group: Group, now: float) -> float:
    """Observed time over predicted time of the answers of late; where there are none, the group's."""
    belief = _BELIEF * _doubt(known, now)
    return (known.ratios + belief * group.slow) / (known.answers + belief)


def penalty(one: Deployment, now: float) -> float:
    """1 up to an error rate of 2 %, 11 for a deployment that does nothing but fail; more after failures in a row.

    What was before the breaker closed again is forgiven: its slow start is the penalty.
    """
    known: Standing = one.learned
    recovered = one.health.recovered_at
    if recovered is not None and known.updated <= recovered:
        return 1.0
    rate = known.failures / (known.attempts + _ATTEMPTS * _doubt(known, now))
    return (1.0 + _ERROR_WEIGHT * max(rate - _ERROR_ALLOWANCE, 0.0)) * max(one.health.failures, 1)


def _doubt(known: Standing, now: float) -> float:
    """How much more an average deployment is believed in than in this one, as what is known of it gets old."""
    return exp(min((now - known.updated) / _FORGOTTEN, _MOST_DOUBT))


def _fade(known: Standing, now: float) -> None:
    left = max(exp(-(now - known.updated) / _TAU), _LEAST_LEFT)
    known.ratios *= left
    known.answers *= left
    known.attempts *= left
    known.failures *= left
    known.updated = now


def _relate(group: Group, known: Standing, load: int, ratio: float) -> None:
    """How much slower answers get with the deployment's own load: the slope of one logarithm on the other."""
    x, y = log(load), log(max(ratio, 1e-3))
    dx, dy = x - known.log_load, y - known.log_ratio
    known.log_load += dx * 0.05
    known.log_ratio += dy * 0.05
    group.covariance += (dx * dy - group.covariance) * 0.004
    group.variance += (dx * dx - group.variance) * 0.004
    slope = group.covariance / max(group.variance, 0.1)
    group.exponent = min(max(slope + _EXPONENT_MARGIN, _LEAST_EXPONENT), _MOST_EXPONENT)
