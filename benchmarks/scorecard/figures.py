"""What a scenario's calls come to: the figures that gates are about."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.scorecard.scenario import Scenario
from benchmarks.scorecard.scenarios import nominal
from turnout.sim.figures import NO_FAILURE, quantile, recovery, summarise
from turnout.sim.record import Outcome
from turnout.sim.traffic import Arrival

_BEFORE = 120.0
"""Seconds before a fault in which a region's usual share is measured."""
_GAP = 10.0
"""Seconds without a call that a recovery may have in it."""
NEVER = 150.0
"""Seconds of recovery that a region is counted with that has not recovered by the end of the run."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One run, or the mean of several. Percent, seconds, and parts of a thousand."""

    ok: float
    """Percent of the calls that arrived in the window, those of callers in the wrong left out."""
    p50: float
    p99: float
    slow_down: float
    """99th percentile of a call's time over what it takes nominally."""
    failed: float
    """Failed requests to deployments, per 1,000 calls."""
    requests: float
    """Requests to deployments within the window, per call."""
    recovery: float | None
    """Seconds after the fault's end until the region serves half of its share again, gaps without calls left out.

    None without such a region.
    """


def figures(scenario: Scenario, outcomes: Sequence[Outcome]) -> Figures:
    """The figures of one run."""
    start, end = scenario.window
    within = [one for one in outcomes if start <= one.at < end]
    summary = summarise(outcomes, window=scenario.window)
    slow = sorted(one.seconds / nominal(Arrival(0.0, one.prompt_tokens, one.output_tokens)) for one in within if one.ok)
    sent = sum(start <= attempt.at < end for one in outcomes for attempt in one.tries)
    failed = sum(attempt.outcome not in NO_FAILURE for one in within for attempt in one.tries)
    recovered = None
    if scenario.victim is not None:
        found = recovery(outcomes, scenario.victim, end, (start - _BEFORE, start))
        recovered = NEVER if found is None else min(found - _quiet(scenario, found), NEVER)
    return Figures(
        ok=100.0 * (summary.ok_share or 0.0),
        p50=summary.p50 or 0.0,
        p99=summary.p99 or 0.0,
        slow_down=quantile(slow, 0.99) or 0.0,
        failed=1000.0 * failed / max(len(within), 1),
        requests=sent / max(len(within), 1),
        recovery=recovered,
    )


def _quiet(scenario: Scenario, recovery: float) -> float:
    """Seconds of a recovery in which nobody called, so that nobody could find out: what gaps are longer than 10 s."""
    end = scenario.window[1]
    times = [end, *(one.at for one in scenario.arrivals if end < one.at < end + recovery), end + recovery]
    return sum(max(after - before - _GAP, 0.0) for before, after in pairwise(times))


def mean(runs: Sequence[Figures]) -> Figures:
    """The mean of several runs."""

    def of(name: str) -> float:
        return sum(getattr(one, name) for one in runs) / len(runs)

    recoveries = [one.recovery for one in runs if one.recovery is not None]
    return Figures(
        *(of(name) for name in ("ok", "p50", "p99", "slow_down", "failed", "requests")),
        recovery=sum(recoveries) / len(recoveries) if recoveries else None,
    )
