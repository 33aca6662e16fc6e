"""Generated traffic has the figures of the traces: those it states, and those of the files where they are."""

import dataclasses
import random
import statistics
from collections import Counter
from collections.abc import Sequence
from itertools import islice, pairwise, takewhile
from typing import NamedTuple

import pytest

from tests.recorded import need_data
from turnout.sim.traces import read_trace
from turnout.sim.traffic import LEVELS, PROFILES, Arrival, Profile, arrivals

FILES = {"conv": "azure2023_conv", "code": "azure2023_code"}
SEEDS = (1, 2, 3, 4, 5)


class Figures(NamedTuple):
    """What traffic is like. `returning` is the share of calls that go on with a conversation, `pause` their median."""

    rate: float
    variation: float
    peak: int
    peak_tokens_per_minute: int
    prompt: tuple[float, ...]
    output: tuple[float, ...]
    correlation: float
    returning: float
    long: float
    """Share of calls in conversations of five and more."""
    pause: float


def ranks(values: Sequence[float]) -> list[float]:
    counts, places, below = Counter(values), {}, 0
    for value in sorted(counts):
        places[value] = below + counts[value] / 2
        below += counts[value]
    return [places[value] for value in values]


def figures(calls: Sequence[Arrival]) -> Figures:
    gaps = [after.at - before.at for before, after in pairwise(calls)]
    prompts, outputs = [one.prompt_tokens for one in calls], [one.output_tokens for one in calls]
    tokens: Counter[int] = Counter()
    last: dict[int, float] = {}
    pauses: list[float] = []
    for one in calls:
        tokens[int(one.at / 60)] += one.prompt_tokens + one.output_tokens
        if one.conversation is not None:
            if one.conversation in last:
                pauses.append(one.at - last[one.conversation])
            last[one.conversation] = one.at
    lengths = Counter(one.conversation for one in calls if one.conversation is not None).values()
    return Figures(
        rate=len(calls) / calls[-1].at,
        variation=statistics.pstdev(gaps) / statistics.mean(gaps),
        peak=max(Counter(int(one.at) for one in calls).values()),
        peak_tokens_per_minute=max(tokens.values()),
        prompt=quartiles(prompts),
        output=quartiles(outputs),
        correlation=statistics.correlation(ranks(prompts), ranks(outputs)),
        returning=len(pauses) / len(calls),
        long=sum(length for length in lengths if length >= 5) / len(calls),
        pause=statistics.median(pauses) if pauses else 0.0,
    )


def quartiles(values: Sequence[int]) -> tuple[float, float, float, float]:
    cuts = statistics.quantiles(values, n=20)
    return cuts[4], cuts[9], cuts[14], cuts[18]


def generated(name: str, seconds: float) -> Figures:
    """The median of each figure over some seeds: an hour of bursts says little about the rate of another hour."""
    profile = PROFILES[name]
    runs = [
        figures(list(takewhile(lambda one: one.at <= seconds, arrivals(random.Random(seed), profile=profile))))
        for seed in SEEDS
    ]
    return Figures(*(middle(values) for values in zip(*runs, strict=True)))


def middle(values: Sequence[object]) -> object:
    if isinstance(values[0], tuple):
        return tuple(statistics.median(each) for each in zip(*values, strict=True))
    return statistics.median(values)


STATED = {
    "conv": (3502, 5.53, 1.09, 16, 0.07, 0.0),
    "code": (3436, 2.57, 13.15, 67, -0.02, 0.0),
    "mooncake_conversation": (3537, 3.40, 3.03, 28, 0.07, 0.387),
    "mooncake_synthetic": (1022, 3.91, 1.01, 13, -0.52, 0.438),
}
"""Of the traces: seconds, calls a second, variation of the gaps, most calls in a second, rank correlation of prompt
and answer, and the share of calls that go on with a conversation."""


@pytest.mark.parametrize("name", PROFILES)
def test_traffic_has_the_figures_of_its_trace(name: str) -> None:
    seconds, rate, variation, peak, correlation, returning = STATED[name]
    made = generated(name, seconds)
    bursty = PROFILES[name].bursts is not None
    assert made.rate == pytest.approx(rate, rel=0.3 if bursty else 0.05)
    assert made.variation == pytest.approx(variation, rel=0.15 if bursty else 0.05)
    assert made.peak == pytest.approx(peak, rel=0.35)
    assert made.correlation == pytest.approx(correlation, abs=0.08)
    assert made.returning == pytest.approx(returning, abs=0.04)
    if PROFILES[name].sharing is None:
        stated = PROFILES[name].first
        for mine, quantiles in ((made.prompt, stated.prompt_tokens), (made.output, stated.output_tokens)):
            assert mine[1] == pytest.approx(quantiles[LEVELS.index(0.5)], rel=0.05)
            assert mine[3] == pytest.approx(quantiles[LEVELS.index(0.95)], rel=0.1)


@pytest.mark.parametrize("name", PROFILES)
def test_traffic_is_like_the_trace_file(name: str) -> None:
    calls = read_trace(need_data() / "traces" / f"{FILES.get(name, name)}.csv.gz")
    recorded, made = figures(calls), generated(name, calls[-1].at)
    assert made.rate == pytest.approx(recorded.rate, rel=0.3 if PROFILES[name].bursts else 0.05)
    assert made.variation == pytest.approx(recorded.variation, rel=0.15)
    assert made.peak == pytest.approx(recorded.peak, rel=0.35)
    assert made.peak_tokens_per_minute == pytest.approx(recorded.peak_tokens_per_minute, rel=0.3)
    assert made.output[1:] == pytest.approx(recorded.output[1:], rel=0.15)
    assert made.prompt[1:] == pytest.approx(recorded.prompt[1:], rel=0.2)
    assert made.correlation == pytest.approx(recorded.correlation, abs=0.08)
    assert made.returning == pytest.approx(recorded.returning, abs=0.04)
    assert made.long == pytest.approx(recorded.long, abs=0.08)
    assert made.pause == pytest.approx(recorded.pause, rel=0.2)


def test_conversations_go_on_with_longer_prompts() -> None:
    profile = PROFILES["mooncake_conversation"]
    last: dict[int | None, Arrival] = {}
    grown: list[bool] = []
    for one in islice(arrivals(random.Random(2), profile=profile), 5_000):
        if one.conversation in last:
            grown.append(one.prompt_tokens >= last[one.conversation].prompt_tokens)
        last[one.conversation] = one
    assert statistics.mean(grown) > 0.6


def test_calls_noted_by_a_coarse_clock_come_at_its_ticks() -> None:
    times = [one.at for one in islice(arrivals(random.Random(2), profile=PROFILES["mooncake_conversation"]), 500)]
    assert times == sorted(times)
    assert {at % 3.0 for at in times} == {0.0}


def test_the_same_seed_makes_the_same_traffic_at_any_rate() -> None:
    for profile in PROFILES.values():
        once = list(islice(arrivals(random.Random(3), profile=profile), 50))
        assert list(islice(arrivals(random.Random(3), profile=profile), 50)) == once
    steady = Profile(rate=1.0, first=PROFILES["conv"].first)
    for rate in (0.5, 50.0):
        made = list(islice(arrivals(random.Random(3), rate, steady), 10_000))
        assert len(made) / made[-1].at == pytest.approx(rate, rel=0.03)
        assert figures(made).variation == pytest.approx(1.0, rel=0.03)
    assert next(arrivals(random.Random(3))) == next(arrivals(random.Random(3), profile=PROFILES["conv"]))


def test_a_strong_correlation_comes_out() -> None:
    sizes = dataclasses.replace(PROFILES["conv"].first, correlation=-0.8)
    made = list(islice(arrivals(random.Random(1), profile=Profile(rate=1.0, first=sizes)), 10_000))
    assert figures(made).correlation == pytest.approx(-0.8, abs=0.02)
