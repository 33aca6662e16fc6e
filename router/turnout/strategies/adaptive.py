"""adaptive: the default. Expected time relative to what the call should take, load, errors and weight in one score."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, log

from turnout.context import Call, Observation, Pick
from turnout.deployment import Deployment
from turnout.strategies.choose import SCAN, least
from turnout.strategies.prediction import Fit

_TAU = 10.0
"""Seconds in which an observation of speed or errors loses most of its weight (Finagle's peak EWMA uses the same)."""
_LEAST_LEFT = 0.9
"""What an observation keeps of its weight, at least, when the next one comes: a quiet deployment is not forgotten."""
_BELIEF = 1.0
"""Typical calls that count as evidence for an average deployment."""
_ERROR_ALLOWANCE = 0.02
_ERROR_WEIGHT = 10.0
_LEAST_EXPONENT, _MOST_EXPONENT = 0.15, 1.0
_EXPONENT_MARGIN = 0.15
_RETRY_STALE = 10.0
"""Seconds after which a deployment that looked bad is tried again with one call, times how bad it looked."""
_MOST_PATIENCE = 3.0
_SLOW_START = 20.0
_PROVEN = 20
"""Answers in a group after which a deployment that joins starts slowly."""


@dataclass(slots=True)
class Standing:
    """What is known of one deployment. Sums decay with time; seconds."""

    since: float
    """When it was first seen; -inf for the first of a group."""
    observed: float = 0.0
    """Time that its answers took."""
    predicted: float = 0.0
    """Time that they should have taken."""
    starts: float = 0.0
    """Sum of the starting times of the attempts under way."""
    attempts: float = 0.0
    failures: float = 0.0
    updated: float = 0.0
    tried: float = 0.0
    """When the last attempt ended."""
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
        now = pick.now
        group = self._group(candidates[0])
        if len(candidates) > SCAN:
            return least(candidates, lambda one: self._score(one, group, now), pick.rng)
        best, lowest, stale = candidates[0], float("inf"), None
        for one in candidates:
            score = self._score(one, group, now)
            if one.in_flight == 0 and score > 0 and self._is_due(one, group, now):
                stale = one
            if score < lowest or (score == lowest and pick.rng.random() < 0.5):
                best, lowest = one, score
        return best if stale is None else stale

    def _score(self, one: Deployment, group: Group, now: float) -> float:
        known = one.learned
        if known is None:
            known = one.learned = self._new(group, now)
        share = one.share * self._pace(one, known, now) or 1e-9
        load = ((one.in_flight + 1) / share) ** group.exponent
        return self._badness(one, known, group, now) * load

    def _badness(self, one: Deployment, known: Standing, group: Group, now: float) -> float:
        """Slowness times the penalty for errors; 1 for an average deployment."""
        return slowness(known, one.in_flight, group.typical, now) * penalty(known)

    def _is_due(self, one: Deployment, group: Group, now: float) -> bool:
        """True if what is known of a bad deployment is old: one call finds out whether it is still true."""
        known = one.learned
        bad = self._badness(one, known, group, now)
        return bad > 1.5 and now - known.tried > _RETRY_STALE * min(bad, _MOST_PATIENCE)

    def _pace(self, one: Deployment, known: Standing, now: float) -> float:
        pace = one.pace(now, _SLOW_START) if one.health.recovered_at is not None else 1.0
        age = (now - known.since) / _SLOW_START
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
        known.loads[now] = deployment.in_flight

    def finished(self, deployment: Deployment, seen: Observation) -> None:
        """See Learns."""
        known: Standing = deployment.learned
        known.starts -= seen.started
        load = known.loads.pop(seen.started, deployment.in_flight + 1)
        if deployment.in_flight == 0:
            known.starts = 0.0
            known.loads.clear()
        if seen.outcome in (None, "caller", "throttle"):
            return
        _fade(known, seen.now)
        known.tried = seen.now
        known.attempts += 1
        if seen.outcome != "ok":
            known.failures += 1
            if seen.now - seen.started > 1.0:
                known.observed += seen.now - seen.started
            return
        group = self._group(deployment)
        seconds = max(seen.now - seen.started, 1e-6)
        tokens_in, tokens_out = seen.tokens_in or 0, seen.tokens_out or 0
        expected = group.fit.seconds(tokens_in, tokens_out)
        usual = slowness(known, 0, group.typical, seen.now)
        known.observed += seconds
        known.predicted += expected
        group.typical += (expected - group.typical) * 0.05
        group.fit.learn(tokens_in, tokens_out, seconds / min(max(usual, 0.5), 2.0))
        _relate(group, known, load, seconds / expected)


def slowness(known: Standing, in_flight: int, typical: float, now: float) -> float:
    """Observed time over predicted time, the time that attempts under way have taken so far included.

    Censored observations count as in a maximum-likelihood estimate of a rate: a deployment that has gone silent looks
    slower with every second, before any of its calls has ended.
    """
    waiting = in_flight * now - known.starts
    left = max(exp(-(now - known.updated) / _TAU), 0.3) if in_flight else 1.0
    return (known.observed * left + waiting + _BELIEF * typical) / (known.predicted * left + _BELIEF * typical)


def penalty(known: Standing) -> float:
    """1 up to an error rate of 2 %, 11 for a deployment that does nothing but fail."""
    rate = known.failures / (known.attempts + 5.0)
    return 1.0 + _ERROR_WEIGHT * max(rate - _ERROR_ALLOWANCE, 0.0)


def _fade(known: Standing, now: float) -> None:
    left = max(exp(-(now - known.updated) / _TAU), _LEAST_LEFT)
    known.observed *= left
    known.predicted *= left
    known.attempts *= left
    known.failures *= left
    known.updated = now


def _relate(group: Group, known: Standing, load: int, ratio: float) -> None:
    """How much slower answers get with the deployment's own load: the slope of one logarithm on the other."""
    x, y = log(load), log(max(ratio, 1e-3))
    dx, dy = x - known.log_load, y - known.log_ratio
    known.log_load += dx * 0.05
    known.log_ratio += dy * 0.05
    group.covariance += (dx * dy - group.covariance) * 0.01
    group.variance += (dx * dx - group.variance) * 0.01
    slope = group.covariance / max(group.variance, 0.05)
    group.exponent = min(max(slope + _EXPONENT_MARGIN, _LEAST_EXPONENT), _MOST_EXPONENT)

