"""adaptive: the default. How slow and how faulty a deployment is of late, and how much it carries, in one score."""

from collections.abc import Sequence
from math import inf, sqrt
from typing import NamedTuple
from weakref import WeakValueDictionary

from turnout.context import Call, Observation, Pick, estimate_tokens
from turnout.deployment import Deployment
from turnout.policies import AdaptivePolicy
from turnout.strategies.choose import SCAN
from turnout.strategies.standing import Group, Pending, Standing, rate_after, relate

_LEAST_PACE = 0.1
_DEVIATION = 1.25
"""Standard deviations to a mean deviation, of a normal distribution."""
_SPREAD = 0.25
"""Part of the time between two looks that is up to chance, so that processes do not look together."""
_PROVEN = 20
"""Answers in a group after which a deployment that joins starts slowly."""
_CROWDED = 0.2
"""Exponent from which on load counts as what slows deployments down."""
_LITTLE = 0.1
"""Seconds that a prompt cache is always worth."""
_AS_ALONE = 2
"""Bad deployments in a group that are looked at as often as a single one; more of them share these looks."""
_LATE = 1.15
"""After so many times the time between two looks any call will do for one, small or not."""
_PASSED = 20
"""So it is after so many calls that were not small."""
_ENOUGH = 5
"""Attempts that hang at a silent deployment; one more finds out no more."""
_SAYS_NOTHING = (None, "caller", "throttle", "cancelled")


class _Begun(NamedTuple):
    """An attempt, as it is known between its start and its end."""

    started: float
    load: int
    """Calls the deployment carried with it."""
    stream: bool
    pending: Pending
    """What it is counted in until it is answered."""


class Adaptive:
    """The deployment with the lowest score; equals share at random.

        score = badness x ((in flight + 1) / (weight x pace)) ^ exponent
        badness = slowness x (1 + 10 x (error rate - 2 %)) x failures in a row

    `slowness` is observed over predicted time of the answers of late (Finagle's peak EWMA, made relative to a call's
    size), raised by answers that are overdue; differences that chance explains count as none. The exponent is learned
    per model group: near 0 where load does not slow deployments down, up to 1 where it does. `pace` is the slow start
    of Envoy. What looks bad gets one of some two hundred calls, a small one, and is forgiven by one good answer.
    Throttles, limits and open breakers are the engine's: what is picked from is ready. docs/routing.md tells what each
    rule is worth.
    """

    def __init__(self, policy: AdaptivePolicy | None = None) -> None:
        self.policy = AdaptivePolicy() if policy is None else policy
        self._groups: WeakValueDictionary[str, Group] = WeakValueDictionary()

    # --- choosing

    def pick(self, candidates: Sequence[Deployment], pick: Pick) -> Deployment:
        """See Strategy. Above `SCAN` candidates the better of two at random."""
        now, rng, policy = pick.now, pick.rng, self.policy
        if len(candidates) > SCAN:
            candidates = [candidates[int(rng.random() * len(candidates))] for _ in range(2)]
        group = self._group(candidates[0])
        best = inf
        judged: list[tuple[Deployment, float]] = []
        shunned: list[Deployment] = []
        for one in self._with_share(candidates):
            bad = self.badness(one, group, now)
            judged.append((one, bad))
            best = min(best, bad)
            if bad > policy.bad:
                shunned.append(one)
        for one in shunned:
            if self._finds_out(pick, one, group, max(len(shunned) / _AS_ALONE, 1.0)):
                one.learned.eagerness = 1.0 + _SPREAD * (2.0 * rng.random() - 1.0)
                return one
        exponent = min(max(group.exponent + policy.least_exponent, policy.least_exponent), policy.most_exponent)
        chosen, lowest, ties = judged[0][0], inf, 0
        for one, bad in judged:
            share = (one.share or 1.0) * self._pace(one, now)
            noise = policy.noise * one.learned.standard_error(group)
            score = max(bad / (1.0 + noise), best) * ((one.in_flight + 1) / share) ** exponent
            if score < lowest:
                chosen, lowest, ties = one, score, 1
            elif score == lowest:
                ties += 1
                if rng.random() * ties < 1.0:
                    chosen = one
        return chosen

    def _finds_out(self, pick: Pick, one: Deployment, group: Group, share: float) -> bool:
        """True if it is time to find out whether a bad deployment still is, and this is the call that does.

        A small call loses little where the deployment still is, and is the first to know where it is not.
        `share`: how much longer than usual the time between two looks is.
        """
        known, until = one.learned, one.health.open_until
        if not self._is_due(one, group, pick.now, share):
            return False
        if known.passed >= _PASSED or self._is_small(pick.call, group):
            return True
        known.passed += 1
        if until is not None:
            return pick.now - known.tried >= _LATE * (until - known.tried)
        return self._is_due(one, group, pick.now, _LATE * share)

    def _is_small(self, call: Call, group: Group) -> bool:
        """True if by its size it takes much less than calls of the model group usually do."""
        size, times = estimate_tokens(call), group.streamed if call.stream else group.unary
        fixed = times.fit.seconds(0, 0)
        expected = times.fit.seconds(size.input, 0 if call.stream else size.output)
        return expected - fixed <= self.policy.small * (times.typical - fixed)

    def _is_due(self, one: Deployment, group: Group, now: float, share: float) -> bool:
        """True if `share` times the usual time between two looks is over; a breaker knows by itself when it is."""
        if one.health.open_until is not None:
            return not one.health.probing
        known, policy = one.learned, self.policy
        eager = known.eagerness / (2.0 * share if known.hanging >= _ENOUGH else share)
        age = (now - known.tried) * eager
        if (group.calls - known.tried_calls) * eager < policy.look_calls:
            return age > policy.patience
        return age > policy.least_patience

    def comparable(self, candidates: Sequence[Deployment], now: float) -> Sequence[Deployment]:
        """See Compares: those that are less than one and a half times as bad as the best, or cost little time."""
        if len(candidates) > SCAN:
            return candidates
        group = self._group(candidates[0])
        bad = [self.badness(one, group, now) for one in candidates]
        best = min(bad)
        limit = max(best * self.policy.bad, best + _LITTLE / group.unary.typical)
        return [one for one, value in zip(candidates, bad, strict=True) if value <= limit]

    def badness(self, one: Deployment, group: Group, now: float) -> float:
        """How slow and faulty it is; 1 for one like the others."""
        known = self._known(one, group, now)
        doubt = known.doubt(self.policy, now)
        bad = known.slowness(group, self.policy, doubt, now)
        if not _is_vouched_for(one):
            bad *= self._faults(one, known, doubt)
        return bad if group.exponent < _CROWDED else min(bad, self.policy.worst)

    def _faults(self, one: Deployment, known: Standing, doubt: float) -> float:
        """What its failures multiply its slowness by."""
        policy, health = self.policy, one.health
        if not policy.error_weight or _is_forgiven(one, known):
            return 1.0
        over = max(known.error_rate(doubt) - policy.error_allowance, 0.0)
        return (1.0 + policy.error_weight * over) * max(health.failures, 1)

    def _with_share(self, candidates: Sequence[Deployment]) -> Sequence[Deployment]:
        """Those with any weight; where none has any, all of them."""
        if candidates[0].share and all(one.share for one in candidates):
            return candidates
        return [one for one in candidates if one.share] or candidates

    def _pace(self, one: Deployment, now: float) -> float:
        """1, or less in the first seconds of a deployment that joined or has recovered."""
        slow_start = self.policy.slow_start
        pace = one.pace(now, slow_start) if one.health.recovered_at is not None else 1.0
        age = now - one.learned.since
        return pace if age >= slow_start else pace * max(age / slow_start, _LEAST_PACE)

    def _known(self, one: Deployment, group: Group, now: float) -> Standing:
        known = one.learned
        if known is None:
            since = now if group.answers >= _PROVEN else -inf
            known = one.learned = Standing(since=since, updated=now, tried=now, group=group)
        return known

    def _group(self, one: Deployment) -> Group:
        if one.learned is not None:
            return one.learned.group
        name = one.spec.model_group
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = Group()
        return group

    # --- learning

    def started(self, deployment: Deployment, call: Call, now: float) -> object:
        """See Learns."""
        group = self._group(deployment)
        known = self._known(deployment, group, now)
        pending = known.streamed if call.stream else known.unary
        pending.begin(now)
        group.calls += 1
        known.tried, known.tried_calls, known.passed = now, group.calls, 0
        return _Begun(now, deployment.in_flight, call.stream, pending)

    def answering(self, deployment: Deployment, token: object, now: float) -> None:  # noqa: ARG002 (see finished)
        """See Learns."""
        if isinstance(token, _Begun):
            token.pending.end(token.started, answered=True)

    def finished(self, deployment: Deployment, seen: Observation) -> None:
        """See Learns. A stream's time is that until its first output: the rest is the caller's to read."""
        begun, known = seen.token, deployment.learned
        if not isinstance(begun, _Begun) or known is None:
            return
        if seen.first_event is None:
            begun.pending.end(begun.started, answered=seen.outcome not in (None, "cancelled"))
        if seen.outcome in _SAYS_NOTHING or seen.started < known.good_since:
            return
        group = self._group(deployment)
        slow = known.usual(group, 1.0)
        was_bad = slow > self.policy.bad or self._fails(deployment, known, group, seen.now)
        was_bad = was_bad and seen.started > deployment.health.failed_start
        if _is_forgiven(deployment, known):
            known.forgive(known.since)
        known.fade(self.policy.tau, seen.now)
        known.attempts += 1
        if seen.outcome == "ok":
            # nearer to the usual time than to its own of late, as logarithms
            good = sqrt(slow) if slow > self.policy.bad else self.policy.bad
            self._answered(known, group, begun, seen, good=good if was_bad else 0.0)
        else:
            self._failed(known, group, begun, seen)

    def _fails(self, one: Deployment, known: Standing, group: Group, now: float) -> bool:
        """True if a row of failures made it bad. After a single one an answer is no news: brown-outs answer mostly."""
        if one.health.failures < 2:
            return False
        doubt = known.doubt(self.policy, now)
        return known.usual(group, doubt) * self._faults(one, known, doubt) > self.policy.bad

    def _failed(self, known: Standing, group: Group, begun: _Begun, seen: Observation) -> None:
        """A failure that took long says that answers do, too; a quick one says nothing of time."""
        known.failures += 1
        typical = (group.streamed if begun.stream else group.unary).typical
        if seen.first_event is None and seen.now - seen.started > typical:
            known.ratios += (seen.now - seen.started) / typical
            known.answers += 1

    def _answered(self, known: Standing, group: Group, begun: _Begun, seen: Observation, *, good: float) -> None:
        tokens_in, tokens_out = seen.tokens_in or 0, seen.tokens_out or 0
        seconds, times = seen.now - seen.started, group.unary
        if seen.first_event is not None:
            seconds, times, tokens_out = seen.first_event, group.streamed, 0
        seconds = max(seconds, 1e-6)
        expected = times.fit.seconds(tokens_in, tokens_out)
        if seconds < good * expected:
            known.forgive(-inf if seen.probe else seen.now)
            known.good_since = seen.started
        ratio = seconds / expected
        known.ratios += ratio
        known.answers += 1
        strange = min(abs(ratio / known.usual(group, 1.0) - 1.0), 1.0)
        group.spread += (_DEVIATION * strange - group.spread) * rate_after(group.answers)
        group.slow += (ratio - group.slow) * rate_after(group.answers)
        slow = known.usual(group, 1.0)
        times.learn(expected, seconds, slow)
        times.fit.learn(tokens_in, tokens_out, seconds * min(max(group.slow / slow, 0.5), 2.0))
        relate(group, known, begun.load, ratio)


def _is_forgiven(one: Deployment, known: Standing) -> bool:
    """True if its breaker has closed again, and nothing has been heard of it since: its slow start is the penalty."""
    recovered = one.health.recovered_at
    return recovered is not None and known.updated <= recovered


def _is_vouched_for(one: Deployment) -> bool:
    """True if its breaker lets more calls through, since its probe has outlived the failures before it."""
    return one.health.open_until is not None and one.health.probing
