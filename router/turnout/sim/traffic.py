"""Traffic with the statistics of public traces: when calls come, how long they are, which belong together.

The figures are quantiles and counts of published traces; no row of them is copied here.

- `conv`, `code`: AzureLLMInferenceTrace_conv and _code (2023) of the Azure Public Dataset, CC-BY-4.0; Patel et al.,
  "Splitwise", ISCA 2024. 19,366 calls in 58 minutes, and 8,819 in 57.
- `mooncake_conversation`, `mooncake_synthetic`: the FAST25 release of Mooncake, whose repository is under Apache-2.0;
  Qin et al., "Mooncake", FAST 2025. 12,031 calls in 59 minutes, and 3,993 in 17.

Samples are drawn by inverting the piecewise linear distribution that the quantiles describe. Prompt and answer are
drawn together, through a Gaussian copula with the trace's rank correlation.
"""

import heapq
import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, inf, log1p, pi, sin, sqrt
from statistics import NormalDist
from types import MappingProxyType

LEVELS = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
"""Of the quantiles of sizes and pauses."""
_GAP_LEVELS = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.993, 0.996, 0.998, 0.999, 1.0)
_SPELL = 120.0
"""Seconds for which the rate stays as it is, where it swings."""
_MEMORY = 0.98
"""Correlation, from one call to the next, of what the gaps of a burst have in common."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Arrival:
    """One call: seconds since the start, and its size in tokens."""

    at: float
    prompt_tokens: int
    output_tokens: int
    conversation: int | None = None
    """Calls with the same number share the beginning of their prompts; None if that is not known."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How long prompts and answers are: tokens at `LEVELS`, and the rank correlation of the two (Spearman's)."""

    prompt_tokens: tuple[int, ...]
    output_tokens: tuple[int, ...]
    correlation: float = 0.0


@dataclass(frozen=True, slots=True)
class Sharing:
    """How calls go on with conversations that were begun before.

    `returns` is the share of conversations that have a second call, `stays` the chance of one more after each further
    call; both are such that a piece of traffic as long as the trace, which cuts conversations off at its ends, shows
    what the trace shows. `pauses` are the seconds between the calls of one conversation, at `LEVELS`; `resemblance` is
    the correlation of their prompts' lengths, in terms of the copula.
    """

    returns: float
    stays: float
    pauses: tuple[float, ...]
    resemblance: float
    follow_up: Sizes


@dataclass(frozen=True, slots=True)
class Bursts:
    """Traffic that comes in bursts, with pauses between them that no gamma distribution has.

    `gaps` are quantiles of the time between calls, of which only the proportions count: the mean follows from the
    rate. `likeness` is the correlation (in terms of the copula) of a gap with those before and after it.
    """

    gaps: tuple[float, ...]
    likeness: float


@dataclass(frozen=True, slots=True)
class Profile:
    """The statistics of one kind of traffic.

    `rate` is calls per second. The gaps between calls are gamma distributed with the coefficient of variation
    `variation` (1: Poisson), or as `bursts` says. `swing` is the coefficient of variation of the rate itself, which
    changes every two minutes. `tick` is the step in seconds of a clock that calls are noted by, and at which they
    therefore come all at once.
    """

    rate: float
    first: Sizes
    """Of all calls that begin a conversation, as far as is known."""
    variation: float = 1.0
    bursts: Bursts | None = None
    swing: float = 0.0
    tick: float = 0.0
    sharing: Sharing | None = None


PROFILES = MappingProxyType(
    {
        "conv": Profile(
            rate=5.53,
            variation=1.03,
            swing=0.24,
            first=Sizes(
                prompt_tokens=(2, 181, 207, 396, 1020, 1189, 2735, 4083, 4142, 6212, 14050),
                output_tokens=(7, 41, 54, 85, 129, 395, 424, 451, 601, 954, 1000),
                correlation=0.073,
            ),
        ),
        "code": Profile(
            rate=2.57,
            bursts=Bursts(
                gaps=(0.0, 0.002, 0.064, 0.104, 0.273, 0.401, 0.799, 2.205, 3.701, 17.58, 43.32, 82.75, 217.2),
                likeness=0.157,
            ),
            first=Sizes(
                prompt_tokens=(3, 75, 147, 578, 1469, 2745, 5194, 7315, 7436, 7437, 7437),
                output_tokens=(6, 6, 7, 9, 13, 24, 55, 90, 252, 831, 1899),
                correlation=-0.021,
            ),
        ),
        "mooncake_conversation": Profile(
            rate=3.40,
            swing=0.09,
            tick=3.0,
            first=Sizes(
                prompt_tokens=(891, 897, 905, 1336, 5264, 13056, 25561, 38538, 89869, 121471, 126195),
                output_tokens=(1, 9, 22, 155, 351, 467, 585, 674, 1019, 2000, 2000),
                correlation=0.076,
            ),
            sharing=Sharing(
                returns=0.33,
                stays=0.55,
                pauses=(0.0, 30.0, 42.0, 66.0, 123.0, 264.0, 480.0, 615.0, 1482.0, 2667.0, 3030.0),
                resemblance=0.94,
                follow_up=Sizes(
                    prompt_tokens=(892, 1627, 2101, 4530, 9874, 17656, 28963, 40994, 79183, 121301, 123194),
                    output_tokens=(1, 13, 29, 159, 349, 479, 618, 739, 1338, 2000, 2000),
                    correlation=0.066,
                ),
            ),
        ),
        "mooncake_synthetic": Profile(
            rate=3.91,
            first=Sizes(
                prompt_tokens=(13, 19, 23, 41, 565, 16412, 26857, 37064, 55766, 127085, 191374),
                output_tokens=(1, 4, 8, 57, 214, 331, 479, 621, 778, 825, 842),
                correlation=-0.235,
            ),
            sharing=Sharing(
                returns=0.23,
                stays=0.84,
                pauses=(0.003, 2.167, 4.569, 15.9, 54.67, 145.2, 275.4, 382.9, 574.6, 735.3, 792.8),
                resemblance=0.999,
                follow_up=Sizes(
                    prompt_tokens=(1345, 2829, 3685, 7782, 18148, 35572, 45930, 55182, 76322, 191378, 191378),
                    output_tokens=(2, 2, 2, 6, 16, 54, 102, 149, 502, 664, 893),
                    correlation=-0.328,
                ),
            ),
        ),
    }
)
"""By name; the module says which trace is which."""


def arrivals(rng: random.Random, rate: float | None = None, profile: Profile = PROFILES["conv"]) -> Iterator[Arrival]:
    """Calls for ever, in order of time, with a profile's statistics; `rate` replaces its calls per second."""
    talks = None if profile.sharing is None else _Talks(profile.first, profile.sharing, rng)
    for at in _times(rng, profile.rate if rate is None else rate, profile):
        if talks is None:
            yield Arrival(at, *_draw_sizes(profile.first, rng.gauss(0.0, 1.0), rng))
        else:
            yield talks.next_call(at)


def _times(rng: random.Random, rate: float, profile: Profile) -> Iterator[float]:
    """When calls come: gaps in units of their mean, stretched by the rate of the moment."""
    sigma = sqrt(log1p(profile.swing**2))
    at, level, until = 0.0, 1.0, 0.0 if profile.swing else inf
    for gap in _gamma(profile.variation, rng) if profile.bursts is None else _bursty(profile.bursts, rng):
        while at >= until:
            level = exp(rng.gauss(0.0, sigma) - sigma**2 / 2)
            until += _SPELL
        at += gap / (rate * level)
        yield at - at % profile.tick if profile.tick else at


def _gamma(variation: float, rng: random.Random) -> Iterator[float]:
    """Gaps of mean 1."""
    shape = 1.0 / variation**2
    while True:
        yield rng.gammavariate(shape, 1.0 / shape)


def _bursty(bursts: Bursts, rng: random.Random) -> Iterator[float]:
    """Gaps of mean 1. What neighbours have in common changes slowly: for half of it after some 35 calls."""
    mean = _mean(bursts.gaps, _GAP_LEVELS)
    common = rng.gauss(0.0, 1.0)
    while True:
        common = _MEMORY * common + sqrt(1.0 - _MEMORY**2) * rng.gauss(0.0, 1.0)
        mixed = sqrt(bursts.likeness) * common + sqrt(1.0 - bursts.likeness) * rng.gauss(0.0, 1.0)
        yield _quantile(bursts.gaps, _GAP_LEVELS, _NORMAL.cdf(mixed)) / mean


class _Talks:
    """Conversations that are open, and the next call: of one whose pause is over, or else of a new one."""

    def __init__(self, first: Sizes, sharing: Sharing, rng: random.Random) -> None:
        self._first = first
        self._sharing = sharing
        self._rng = rng
        self._begun = 0
        self._due: list[tuple[float, int, float]] = []
        """When, which conversation, and how long its prompts are for their kind (a standard normal variable)."""

    def next_call(self, at: float) -> Arrival:
        """The call that comes at this time."""
        rng, sharing = self._rng, self._sharing
        if self._due and self._due[0][0] <= at:
            _, number, before = heapq.heappop(self._due)
            kept = sharing.resemblance
            length = kept * before + sqrt(1.0 - kept**2) * rng.gauss(0.0, 1.0)
            sizes, chance = sharing.follow_up, sharing.stays
        else:
            number, length = self._begun, rng.gauss(0.0, 1.0)
            self._begun += 1
            sizes, chance = self._first, sharing.returns
        if rng.random() < chance:
            pause = _quantile(sharing.pauses, LEVELS, rng.random())
            heapq.heappush(self._due, (at + pause, number, length))
        return Arrival(at, *_draw_sizes(sizes, length, rng), number)


def _draw_sizes(sizes: Sizes, length: float, rng: random.Random) -> tuple[int, int]:
    """Tokens of prompt and answer; `length` is the prompt's, as a standard normal variable.

    A normal copula of linear correlation r has the rank correlation 6/pi asin(r/2) (Pearson, 1907).
    """
    linear = 2.0 * sin(pi * sizes.correlation / 6.0)
    answer = linear * length + sqrt(1.0 - linear**2) * rng.gauss(0.0, 1.0)
    return _draw(sizes.prompt_tokens, length), _draw(sizes.output_tokens, answer)


def _draw(quantiles: Sequence[int], normal: float) -> int:
    return max(1, round(_quantile(quantiles, LEVELS, _NORMAL.cdf(normal))))


def _quantile(values: Sequence[float], levels: Sequence[float], level: float) -> float:
    """The value at a level, between the given ones on a straight line."""
    upper = min(bisect_right(levels, level), len(levels) - 1)
    low, high = levels[upper - 1], levels[upper]
    return values[upper - 1] + (level - low) / (high - low) * (values[upper] - values[upper - 1])


def _mean(values: Sequence[float], levels: Sequence[float]) -> float:
    """The mean of the distribution that the quantiles describe."""
    steps = zip(levels, levels[1:], values, values[1:], strict=False)
    return sum((high - low) * (first + last) / 2 for low, high, first, last in steps)
