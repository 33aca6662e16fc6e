"""Traffic with the statistics of a public trace: when calls come, how long they are.

The figures are quantiles of the conversation trace of the Azure Public Dataset (AzureLLMInferenceTrace_conv, 2023;
CC-BY-4.0; Patel et al., "Splitwise", ISCA 2024): 19,366 calls in 58 minutes. Samples are drawn by inverting the
piecewise linear distribution that the quantiles describe.
"""

import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

RATE = 5.5
"""Calls per second, the trace's mean."""
VARIATION = 1.09
"""Coefficient of variation of the time between calls."""
_LEVELS = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
PROMPT_TOKENS = (2, 181, 207, 396, 1020, 1189, 2735, 4083, 4142, 14050)
OUTPUT_TOKENS = (7, 41, 54, 85, 129, 395, 424, 451, 601, 1000)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One call: seconds since the start, and its size in tokens."""

    at: float
    prompt_tokens: int
    output_tokens: int
    conversation: int | None = None
    """Calls with the same number share the beginning of their prompts; None if that is not known."""


def draw(quantiles: tuple[int, ...], rng: random.Random) -> int:
    """A sample of the distribution that the quantiles (at `_LEVELS`) describe."""
    level = rng.random()
    upper = min(bisect_right(_LEVELS, level), len(_LEVELS) - 1)
    low, high = _LEVELS[upper - 1], _LEVELS[upper]
    share = (level - low) / (high - low)
    return max(1, round(quantiles[upper - 1] + share * (quantiles[upper] - quantiles[upper - 1])))


def arrivals(rng: random.Random, rate: float = RATE, variation: float = VARIATION) -> Iterator[Arrival]:
    """Calls for ever. The gaps are gamma distributed, with the given mean rate and coefficient of variation."""
    shape = 1.0 / variation**2
    at = 0.0
    while True:
        at += rng.gammavariate(shape, 1.0 / (rate * shape))
        yield Arrival(at, draw(PROMPT_TOKENS, rng), draw(OUTPUT_TOKENS, rng))
