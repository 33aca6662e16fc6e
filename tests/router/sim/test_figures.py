"""Figures of runs: small examples worked out by hand, and what must hold of every run."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.router.sim.runs import NAMES, answered, failed, outcomes
from turnout.sim.figures import by_deployment, over_time, quantile, recovery, summarise
from turnout.sim.record import Outcome, Try

RUN = [
    answered(0, 1.0, first=0.25, cost=0.5),
    answered(10, 3.0, by="west", waited=2.0, cost=0.25),
    Outcome(
        20,
        2.5,
        ok=True,
        prompt_tokens=300,
        output_tokens=40,
        tries=(Try("east", 20, 0.5, "throttle"), Try("west", 20.5, 2.0, "ok")),
        first=0.75,
        cost=0.125,
    ),
    failed(30, "deployment", "provider", error="ServiceUnavailableError", waited=1.0),
    failed(40, "caller", error="BadRequestError", blame="caller"),
]


def test_a_run_in_figures() -> None:
    figures = summarise(RUN)
    assert (figures.calls, figures.good, figures.caller_errors) == (5, 3, 1)
    assert figures.ok_share == 3 / 4
    assert (figures.p50, figures.max) == (2.5, 3.0)
    assert figures.p90 == pytest.approx(2.9)
    assert figures.p99 == pytest.approx(2.99)
    assert (figures.first_p50, figures.first_p99) == (0.5, pytest.approx(0.745))
    assert figures.attempts_per_call == 7 / 5
    assert (figures.failed_per_1000, figures.throttles_per_1000) == (600, 200)
    assert (figures.mean_waited, figures.waited_share) == (pytest.approx(0.6), 0.4)
    assert (figures.input_tokens, figures.output_tokens, figures.cost) == (500, 80, 0.875)
    assert figures.errors == {"ServiceUnavailableError": 1, "BadRequestError": 1}


def test_a_window_takes_the_calls_that_arrived_in_it() -> None:
    figures = summarise(RUN, window=(10, 40))
    assert (figures.calls, figures.good, figures.caller_errors) == (3, 2, 0)
    assert figures.p50 == 2.75


def test_of_no_calls_there_are_no_times_and_no_share() -> None:
    figures = summarise([])
    assert (figures.calls, figures.attempts_per_call, figures.mean_waited, figures.cost) == (0, 0, 0, 0)
    assert {figures.ok_share, figures.p50, figures.p99, figures.max, figures.first_p50} == {None}
    assert summarise([failed(0, "caller", blame="caller")]).ok_share is None


def test_figures_become_json() -> None:
    written = json.loads(json.dumps(summarise(RUN).as_dict(), allow_nan=False))
    assert written["p50"] == 2.5
    assert written["errors"]["BadRequestError"] == 1


def test_quantiles_interpolate() -> None:
    assert quantile([], 0.5) is None
    assert quantile([7.0], 0.99) == 7.0
    assert quantile([1.0, 2.0, 4.0], 0.75) == 3.0
    assert quantile([1.0, 2.0, 4.0], 1.0) == 4.0


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_quantiles_lie_within_the_values_in_order(values: list[float], one: float, other: float) -> None:
    ordered = sorted(values)
    low, high = quantile(ordered, min(one, other)), quantile(ordered, max(one, other))
    assert ordered[0] <= low <= high * (1 + 1e-12)
    assert high <= ordered[-1] * (1 + 1e-12)


def test_each_deployment_in_figures() -> None:
    figures = by_deployment(RUN)
    assert list(figures) == ["east", "west"]
    east, west = figures["east"], figures["west"]
    assert (east.attempts, east.ok, east.throttled, east.failed) == (5, 1, 1, 3)
    assert (west.attempts, west.ok, west.throttled, west.failed) == (2, 2, 0, 0)
    assert (east.share, west.share) == (1 / 3, 2 / 3)
    assert (east.p50, west.p50, west.p99) == (1.0, 2.5, pytest.approx(2.99))
    assert (west.input_tokens, west.output_tokens, west.cost) == (400, 60, 0.375)


@given(st.lists(outcomes(), max_size=30))
def test_deployments_add_up_to_the_run(run: list[Outcome]) -> None:
    figures, whole = by_deployment(run), summarise(run)
    assert sum(one.share for one in figures.values()) == pytest.approx(1 if whole.good else 0)
    assert sum(one.attempts for one in figures.values()) == sum(len(one.tries) for one in run)
    assert sum(one.failed for one in figures.values()) == pytest.approx(whole.failed_per_1000 * whole.calls / 1000)
    assert sum(one.input_tokens for one in figures.values()) == whole.input_tokens


@given(st.lists(outcomes(), max_size=30), st.floats(0, 100))
def test_windows_divide_a_run(run: list[Outcome], cut: float) -> None:
    whole = summarise(run)
    parts = [summarise(run, window=window) for window in ((-math.inf, cut), (cut, math.inf))]
    assert sum(one.calls for one in parts) == whole.calls
    assert sum(one.good for one in parts) == whole.good
    assert sum(one.cost for one in parts) == pytest.approx(whole.cost)
    assert sum(one.failed_per_1000 * one.calls for one in parts) == pytest.approx(whole.failed_per_1000 * whole.calls)


def test_a_run_over_time() -> None:
    series = over_time(RUN, 20)
    assert series.starts == (0, 20, 40)
    assert (series.calls, series.good, series.caller_errors) == ((2, 2, 1), (2, 1, 0), (0, 0, 1))
    assert series.ok_share == (1.0, 0.5, None)
    assert (series.p50, series.p99[1]) == ((2.0, 2.5, None), 2.5)
    assert (series.throttles, series.failed) == ((0, 1, 0), (0, 3, 0))
    assert series.cost == (0.75, 0.125, 0)
    assert series.attempts == {"east": (1, 3, 1), "west": (1, 1, 0)}


def test_attempts_count_where_they_are_sent_and_load_where_they_are_under_way() -> None:
    tries = (Try("east", 9, 2, "throttle"), Try("west", 15, 21, "ok"))
    late = Outcome(9, 27, ok=True, prompt_tokens=1, output_tokens=1, tries=tries)
    series = over_time([late], 10)
    assert (series.calls, series.throttles) == ((1, 0, 0, 0), (1, 0, 0, 0))
    assert series.attempts == {"east": (1, 0, 0, 0), "west": (0, 1, 0, 0)}
    assert series.under_way["east"] == pytest.approx((0.1, 0.1, 0, 0))
    assert series.under_way["west"] == pytest.approx((0, 0.5, 1, 0.6))


@given(st.lists(outcomes(), max_size=30), st.sampled_from([0.3, 1.0, 7.0, 500.0]))
def test_buckets_add_up_to_the_run(run: list[Outcome], bucket: float) -> None:
    series, whole, each = over_time(run, bucket), summarise(run), by_deployment(run)
    assert (sum(series.calls), sum(series.good), sum(series.caller_errors)) == (
        whole.calls,
        whole.good,
        whole.caller_errors,
    )
    assert sum(series.cost) == pytest.approx(whole.cost)
    assert {name: sum(sent) for name, sent in series.attempts.items()} == {
        name: one.attempts for name, one in each.items()
    }
    for name in each:
        seconds = sum(attempt.seconds for one in run for attempt in one.tries if attempt.deployment == name)
        assert sum(series.under_way[name]) * bucket == pytest.approx(seconds, abs=1e-6)


def test_a_run_without_calls_has_no_buckets() -> None:
    assert over_time([], 10).calls == ()
    with pytest.raises(ValueError, match="longer than 0"):
        over_time(RUN, 0)


def regular(start: int, end: int, *names: str) -> list[Outcome]:
    """A call each second, answered by these deployments in turn."""
    return [answered(at, 0.5, by=names[at % len(names)]) for at in range(start, end)]


def test_recovery_counts_until_half_of_the_former_share() -> None:
    # before: a half. After 150: every third; of the last 20 attempts, a quarter (5) is reached with the fifth, at 162
    run = [*regular(0, 100, "east", "west"), *regular(100, 150, "west"), *regular(150, 300, "east", "west", "north")]
    assert recovery(run, "east", 150, (0, 100)) == 12


def test_recovery_looks_at_ten_seconds_if_that_is_more_than_twenty_attempts() -> None:
    # ten calls a second, every second one by east again: a quarter of the last 100 attempts after 50
    calls = [answered(at / 10, 0.1, by="east" if at % 2 and not 1000 <= at < 1500 else "west") for at in range(3000)]
    assert recovery(calls, "east", 150, (0, 100)) == pytest.approx(4.9, abs=0.11)


def test_recovery_is_instant_for_what_never_left() -> None:
    assert recovery(regular(0, 300, "east", "west"), "east", 150, (0, 100)) == 0
    assert recovery(regular(0, 300, "west"), "east", 150, (0, 100)) == 0


def test_recovery_is_none_for_what_stays_away() -> None:
    run = [*regular(0, 100, *NAMES), *regular(100, 300, "west", "north")]
    assert recovery(run, "east", 150, (0, 100)) is None
    assert recovery(regular(0, 100, "east"), "east", 150, (0, 100)) is None


def test_answers_from_before_a_total_outage_are_no_recovery() -> None:
    down = [failed(at, "deployment") for at in range(100, 150)]
    run = [*regular(0, 100, "east"), *down, *regular(157, 200, "east")]
    assert recovery(run, "east", 150, (0, 100)) == 7
