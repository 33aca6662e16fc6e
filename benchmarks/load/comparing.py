"""How sure it is that two configurations differ: bootstrap confidence intervals."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from turnout.sim.figures import is_caller_error, quantile
from turnout.sim.record import Outcome

_RESAMPLES = 2000
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of both configurations, and the second's minus the first's with its confidence interval (95 %)."""

    figure: str
    unit: str
    first: float
    second: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Zero is outside the interval."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        verdict = "" if self.clear else "; no clear difference"
        return (
            f"{self.first:.3f} {self.unit} and {self.second:.3f} {self.unit}: {self.second - self.first:+.3f} "
            f"({self.low:+.3f} to {self.high:+.3f}){verdict}"
        )


def differences(first: Sequence[Outcome], second: Sequence[Outcome], *, seed: int = 0) -> list[Difference]:
    """Of the answered share, p50 and p99. A figure that one of them does not have is left out.

    The percentile bootstrap (Efron, 1979) of calls, as if each were independent of the others: where an outage hits
    many calls at once, the intervals are too narrow.
    """
    rng = random.Random(f"bootstrap:{seed}")
    found: list[Difference] = []
    calls = [[one for one in outcomes if not is_caller_error(one)] for outcomes in (first, second)]
    if all(calls):
        counts = [(sum(one.ok for one in outcomes), len(outcomes)) for outcomes in calls]
        shares = [100 * good / total for good, total in counts]
        found.append(_difference("answered", "%", shares, lambda side: _resampled_share(*counts[side], rng)))
    seconds = [sorted(one.seconds for one in outcomes if one.ok) for outcomes in calls]
    if all(seconds):
        for figure, level in (("p50", 0.5), ("p99", 0.99)):
            values = [quantile(one, level) or 0.0 for one in seconds]
            found.append(
                _difference(figure, "s", values, lambda side, at=level: _resampled_quantile(seconds[side], at, rng))
            )
    return found


def _difference(figure: str, unit: str, values: Sequence[float], resampled: Callable[[int], float]) -> Difference:
    drawn = sorted(resampled(1) - resampled(0) for _ in range(_RESAMPLES))
    tail = (1 - _CONFIDENCE) / 2
    low, high = quantile(drawn, tail) or 0.0, quantile(drawn, 1 - tail) or 0.0
    return Difference(figure, unit, values[0], values[1], low, high)


def _resampled_quantile(ordered: Sequence[float], level: float, rng: random.Random) -> float:
    """A quantile of a sample drawn anew, with no need to draw it.

    The k-th smallest of n uniform numbers has the distribution Beta(k, n + 1 - k), and tells which of the ordered
    values is the k-th smallest of those drawn.
    """
    count = len(ordered)
    rank = min(int(level * count) + 1, count)
    return ordered[min(int(rng.betavariate(rank, count + 1 - rank) * count), count - 1)]


def _resampled_share(good: int, total: int, rng: random.Random) -> float:
    """A share of a sample drawn anew, in per cent."""
    return 100 * binomial(total, good / total, rng) / total


def binomial(trials: int, chance: float, rng: random.Random) -> int:
    """How many of so many trials succeed. Halves them by the median's Beta distribution (Devroye, 1986, X.4.2)."""
    found = 0
    while trials > 10:
        middle = 1 + trials // 2
        at = rng.betavariate(middle, trials + 1 - middle)
        if at >= chance:
            trials, chance = middle - 1, chance / at
        else:
            found += middle
            trials, chance = trials - middle, (chance - at) / (1 - at)
    return found + sum(rng.random() < chance for _ in range(trials))
