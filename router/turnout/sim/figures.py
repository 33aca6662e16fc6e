"""What the outcomes of a run amount to: figures of all calls, of each deployment, and of a recovery.

Quantiles interpolate linearly between the two values next to them. A failed attempt is one that ended as throttle,
deployment or provider: throttles are among them, requests that were wrong themselves are not.
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

from turnout.sim.record import Outcome

NO_FAILURE = frozenset({"ok", "caller", "cancelled"})
"""Outcomes of an attempt that say nothing against its deployment."""
_RECOVERY_SECONDS = 10.0
_RECOVERY_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Summary:
    """A run, or the part of it that a window selects, in a few figures. Times in seconds, cost in dollars."""

    calls: int
    good: int
    """Calls that were answered."""
    caller_errors: int
    """Calls that failed because the request was wrong: they are in `calls` and in no share."""
    ok_share: float | None
    """`good` of the calls that could be answered; None if there were none."""
    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None
    """p50 to max: from arrival to the end, of answered calls; None if there were none."""
    first_p50: float | None
    first_p99: float | None
    """Until the first output, of answered streams; None if there were none."""
    attempts_per_call: float
    failed_per_1000: float
    """Failed attempts per 1000 calls."""
    throttles_per_1000: float
    """Attempts that were throttled per 1000 calls."""
    mean_waited: float
    """Spent waiting for a limit, a throttle or a recovery, averaged over all calls."""
    waited_share: float
    """Of all calls, those that waited at all."""
    input_tokens: int
    output_tokens: int
    """Tokens of answered calls."""
    cost: float
    errors: Mapping[str, int]
    """Calls by the class of the error that the caller got, the most frequent first."""

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON has it: the fields under their names."""
        return {**asdict(self), "errors": dict(self.errors)}


@dataclass(frozen=True, slots=True)
class DeploymentFigures:
    """What one deployment did in a run. Times in seconds, cost in dollars."""

    attempts: int
    ok: int
    throttled: int
    """Attempts that ended as throttle; they are among the failed ones."""
    failed: int
    """Failed attempts. What is neither ok nor failed was the caller's mistake."""
    share: float
    """Of the calls that any deployment answered, those that this one did; 0 if there were none."""
    p50: float | None
    p99: float | None
    """Length of its answered attempts; None if there were none."""
    input_tokens: int
    output_tokens: int
    """Tokens of the calls it answered."""
    cost: float
    """Of the calls whose last attempt it had."""

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON has it: the fields under their names."""
        return asdict(self)


def quantile(ordered: Sequence[float], level: float) -> float | None:
    """The value below which the share `level` (0 to 1) of the ordered values lies; None if there are no values."""
    if not ordered:
        return None
    position = level * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def ok_share(calls: int, good: int, caller_errors: int) -> float | None:
    """The answered share of the calls that could be answered; None if there were none."""
    return good / (calls - caller_errors) if calls > caller_errors else None


def is_caller_error(outcome: Outcome) -> bool:
    """Whether the call failed because the request was wrong: no router could have done better."""
    return not outcome.ok and outcome.blame == "caller"


def summarise(outcomes: Sequence[Outcome], *, window: tuple[float, float] | None = None) -> Summary:
    """The figures of a run; with a window, of the calls that arrived from its start until just before its end."""
    if window is not None:
        outcomes = [one for one in outcomes if window[0] <= one.at < window[1]]
    good = [one for one in outcomes if one.ok]
    caller_errors = sum(map(is_caller_error, outcomes))
    seconds = sorted(one.seconds for one in good)
    first = sorted(one.first for one in good if one.first is not None)
    attempts = Counter(attempt.outcome for one in outcomes for attempt in one.tries)
    failed = sum(count for outcome, count in attempts.items() if outcome not in NO_FAILURE)
    errors = Counter(one.error or "unknown" for one in outcomes if not one.ok)
    calls = max(len(outcomes), 1)
    return Summary(
        calls=len(outcomes),
        good=len(good),
        caller_errors=caller_errors,
        ok_share=ok_share(len(outcomes), len(good), caller_errors),
        p50=quantile(seconds, 0.5),
        p90=quantile(seconds, 0.9),
        p99=quantile(seconds, 0.99),
        max=seconds[-1] if seconds else None,
        first_p50=quantile(first, 0.5),
        first_p99=quantile(first, 0.99),
        attempts_per_call=attempts.total() / calls,
        failed_per_1000=1000 * failed / calls,
        throttles_per_1000=1000 * attempts["throttle"] / calls,
        mean_waited=math.fsum(one.waited for one in outcomes) / calls,
        waited_share=sum(one.waited > 0 for one in outcomes) / calls,
        input_tokens=sum(one.prompt_tokens for one in good),
        output_tokens=sum(one.output_tokens for one in good),
        cost=math.fsum(one.cost for one in outcomes),
        errors=dict(errors.most_common()),
    )


class _Tally:
    """What is counted of one deployment on the way through the outcomes."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.answered = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost = 0.0

    def figures(self, answered: int) -> DeploymentFigures:
        seconds = sorted(self.seconds)
        return DeploymentFigures(
            attempts=self.outcomes.total(),
            ok=self.outcomes["ok"],
            throttled=self.outcomes["throttle"],
            failed=sum(count for outcome, count in self.outcomes.items() if outcome not in NO_FAILURE),
            share=self.answered / answered if answered else 0.0,
            p50=quantile(seconds, 0.5),
            p99=quantile(seconds, 0.99),
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cost=self.cost,
        )


def by_deployment(outcomes: Sequence[Outcome]) -> dict[str, DeploymentFigures]:
    """The figures of each deployment that was tried, in the order of their names."""
    tallies: dict[str, _Tally] = {}
    for one in outcomes:
        for attempt in one.tries:
            tally = tallies.get(attempt.deployment)
            if tally is None:
                tally = tallies[attempt.deployment] = _Tally()
            tally.outcomes[attempt.outcome] += 1
            if attempt.outcome == "ok":
                tally.seconds.append(attempt.seconds)
        if not one.tries:
            continue
        last = tallies[one.tries[-1].deployment]
        last.cost += one.cost
        if one.ok:
            last.answered += 1
            last.input_tokens += one.prompt_tokens
            last.output_tokens += one.output_tokens
    answered = sum(tally.answered for tally in tallies.values())
    return {name: tallies[name].figures(answered) for name in sorted(tallies)}


def recovery(
    outcomes: Sequence[Outcome], deployment: str, fault_end: float, before: tuple[float, float]
) -> float | None:
    """Seconds from the end of a fault until the deployment serves at least half of what it served before it.

    What is compared is its share of the answered attempts, each counted when it was sent: over the window `before`,
    and over a trailing window of 10 s or the last 20 attempts, whichever is longer. That window reaches back into the
    fault, but not behind the end of `before`, so some seconds pass even if every call goes to the deployment at once.
    0.0 if its share had not fallen that far, or if it served nothing before; None if it did not recover within the run.
    """
    answered = sorted(
        (attempt.at, attempt.deployment == deployment)
        for one in outcomes
        for attempt in one.tries
        if attempt.outcome == "ok"
    )
    times = [at for at, _ in answered]
    served = [0, *accumulate(mine for _, mine in answered)]

    def share(start: int, end: int) -> float:
        return (served[end] - served[start]) / (end - start) if end > start else 0.0

    first = bisect_left(times, before[1])
    wanted = share(bisect_left(times, before[0]), first) / 2
    already = bisect_right(times, fault_end)
    for end in range(already, len(times) + 1):
        now = fault_end if end == already else times[end - 1]
        start = max(min(bisect_right(times, now - _RECOVERY_SECONDS), end - _RECOVERY_ATTEMPTS), first)
        if share(start, end) >= wanted:
            return now - fault_end
    return None


@dataclass(frozen=True, slots=True)
class Series:
    """A run cut into buckets of equal length from its start on; a value of each field for each bucket.

    Calls, their ends and their cost count where the call arrived; attempts where they were sent. The last bucket may
    be only partly filled.
    """

    bucket: float
    """Seconds."""
    calls: tuple[int, ...]
    good: tuple[int, ...]
    caller_errors: tuple[int, ...]
    p50: tuple[float | None, ...]
    p99: tuple[float | None, ...]
    """Seconds of answered calls; None where there were none."""
    throttles: tuple[int, ...]
    """Throttled attempts; they are among the failed ones."""
    failed: tuple[int, ...]
    """Failed attempts."""
    cost: tuple[float, ...]
    """Dollars."""
    attempts: Mapping[str, tuple[int, ...]]
    """By deployment, in the order of their names."""
    under_way: Mapping[str, tuple[float, ...]]
    """By deployment: how many attempts were under way, averaged over the bucket."""

    @property
    def starts(self) -> tuple[float, ...]:
        """When each bucket begins, in seconds since the start of the run."""
        return tuple(index * self.bucket for index in range(len(self.calls)))

    @property
    def ok_share(self) -> tuple[float | None, ...]:
        """The answered share of the calls that could be answered; None where there were none."""
        return tuple(map(ok_share, self.calls, self.good, self.caller_errors))

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON has it: the fields and both properties under their names."""
        return {"starts": self.starts, "ok_share": self.ok_share, **asdict(self)}


class _Load:
    """Attempts of one deployment by bucket, and the seconds that they were under way in each."""

    def __init__(self, buckets: int, bucket: float) -> None:
        self.bucket = bucket
        self.sent = [0] * buckets
        self._seconds = [0.0] * buckets
        self._whole = [0] * (buckets + 1)
        """By how many attempts the number of those that fill a bucket from end to end changes at its start."""

    def add(self, at: float, seconds: float) -> None:
        first, last = int(at / self.bucket), int((at + seconds) / self.bucket)
        self.sent[first] += 1
        if first == last:
            self._seconds[first] += seconds
            return
        self._seconds[first] += (first + 1) * self.bucket - at
        self._seconds[last] += at + seconds - last * self.bucket
        self._whole[first + 1] += 1
        self._whole[last] -= 1

    def under_way(self) -> tuple[float, ...]:
        whole = accumulate(self._whole)
        return tuple(full + part / self.bucket for full, part in zip(whole, self._seconds, strict=False))


def over_time(outcomes: Sequence[Outcome], bucket: float) -> Series:
    """The run in buckets of so many seconds, until the last arrival and the end of the last attempt.

    ValueError if the bucket is not above zero.
    """
    if not bucket > 0:
        raise ValueError(f"a bucket of {bucket} s: it must be longer than 0")
    end = max(
        (max(one.at, *(attempt.at + attempt.seconds for attempt in one.tries), 0.0) for one in outcomes), default=0
    )
    buckets = int(end / bucket) + 1 if outcomes else 0
    calls, caller_errors, throttles, failed = ([0] * buckets for _ in range(4))
    seconds: list[list[float]] = [[] for _ in range(buckets)]
    cost = [0.0] * buckets
    loads: dict[str, _Load] = {}
    for one in outcomes:
        index = int(one.at / bucket)
        calls[index] += 1
        cost[index] += one.cost
        if one.ok:
            seconds[index].append(one.seconds)
        caller_errors[index] += is_caller_error(one)
        for deployment, at, length, outcome in one.tries:
            load = loads.get(deployment)
            if load is None:
                load = loads[deployment] = _Load(buckets, bucket)
            load.add(at, length)
            throttles[int(at / bucket)] += outcome == "throttle"
            failed[int(at / bucket)] += outcome not in NO_FAILURE
    for values in seconds:
        values.sort()
    return Series(
        bucket=bucket,
        calls=tuple(calls),
        good=tuple(map(len, seconds)),
        caller_errors=tuple(caller_errors),
        p50=tuple(quantile(values, 0.5) for values in seconds),
        p99=tuple(quantile(values, 0.99) for values in seconds),
        throttles=tuple(throttles),
        failed=tuple(failed),
        cost=tuple(cost),
        attempts={name: tuple(loads[name].sent) for name in sorted(loads)},
        under_way={name: loads[name].under_way() for name in sorted(loads)},
    )
