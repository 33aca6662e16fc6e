"""A sliding window never lets more through than its limit, in whatever stretch of its period one looks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.limits.window import BUCKETS, Window, width_of

periods = st.sampled_from([0.5, 10.0, 60.0, 100.0, 86_400.0])


@given(
    period=periods,
    steps=st.lists(st.tuples(st.floats(0, 0.4), st.integers(1, 60), st.integers(0, 60)), max_size=80),
)
def test_no_stretch_of_a_period_holds_more_than_the_limit(period: float, steps: list[tuple[float, int, int]]) -> None:
    window, now, taken = Window(100, width_of(period)), 1000.0, list[list[float]]()
    for share, amount, actual in steps:
        now += share * period
        if window.room_at(amount, now) <= now:
            bucket = window.take(amount, now)
            taken.append([now, amount])
            if actual < amount:
                window.correct(bucket, actual - amount)
                taken[-1][1] = actual
        assert window.used == sum(window.buckets.values()) <= 100
        assert len(window.buckets) <= BUCKETS + 1
    for end, _ in taken:
        assert sum(amount for when, amount in taken if end - period < when <= end) <= 100


@given(period=periods, amounts=st.lists(st.integers(1, 40), min_size=1, max_size=20), wanted=st.integers(1, 150))
def test_room_comes_when_it_was_said_to_come(period: float, amounts: list[int], wanted: int) -> None:
    window, now = Window(100, width_of(period)), 1000.0
    for amount in amounts:
        now = max(now + period / 97, window.room_at(amount, now))
        window.take(amount, now)
    at = window.room_at(wanted, now)
    assert at <= now + (BUCKETS + 1) * window.width / 1000 + 1e-6
    if at > now:
        before = Window(100, window.width)
        before.buckets, before.used = dict(window.buckets), window.used
        assert before.room_at(wanted, at - window.width / 2000) > at - window.width / 2000
    assert window.room_at(wanted, at) == at


def test_an_amount_above_the_limit_fits_an_empty_window_only() -> None:
    window = Window(100, width_of(60.0))
    assert window.room_at(1000, 0.0) == 0.0
    window.take(1000, 0.0)
    assert window.room_at(1, 0.0) == window.room_at(1000, 0.0) == 61.0


def test_a_correction_after_the_window_has_passed_changes_nothing() -> None:
    window = Window(100, width_of(60.0))
    first = window.take(60, 0.0)
    second = window.take(40, 10.0)
    window.correct(first, -40)
    assert window.room_at(40, 10.0) == 10.0
    assert window.room_at(41, 10.0) == 61.0
    assert window.room_at(61, 10.0) == 71.0
    window.expire(window.index(61.0))
    window.correct(first, -5)
    window.correct(second, 2)
    assert window.used == 42


def test_a_late_report_finds_its_place() -> None:
    window = Window(100, 1000)
    window.add(70, 5)
    window.add(60, 7)
    window.expire(121)
    assert list(window.buckets.items()) == [(70, 5)]
    assert window.used == 5


@pytest.mark.parametrize("period", [0.001, 1.0, 60.0, 100.0, 2_592_000.0])
def test_buckets_cover_the_period(period: float) -> None:
    assert period * 1000 <= BUCKETS * width_of(period) < period * 1000 + BUCKETS
