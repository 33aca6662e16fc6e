"""Axes: round numbers around the values, in units a person would use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.sim.chart_axes import round_step, time_axis, value_axis


@pytest.mark.parametrize(
    ("size", "step"), [(1, 1), (1.1, 2), (3, 5), (5, 5), (6, 10), (0.003, 0.005), (0.1, 0.1), (700, 1000)]
)
def test_steps_are_round(size: float, step: float) -> None:
    assert round_step(size) == pytest.approx(step)


@pytest.mark.parametrize(
    ("lowest", "highest", "labels"),
    [
        (0, 23, ["0", "5", "10", "15", "20", "25"]),
        (0, 0.04, ["0.00", "0.01", "0.02", "0.03", "0.04"]),
        (0, 4200, ["0", "1,000", "2,000", "3,000", "4,000", "5,000"]),
        (90, 100, ["90", "92", "94", "96", "98", "100"]),
        (0, 0, ["0.0", "0.2"]),
    ],
)
def test_values_are_ticked_at_round_numbers(lowest: float, highest: float, labels: list[str]) -> None:
    assert [label for _, label in value_axis(lowest, highest, "seconds").ticks] == labels


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_an_axis_holds_its_values(one: float, other: float) -> None:
    axis = value_axis(min(one, other), max(one, other), "")
    slack = 1e-6 * (axis.high - axis.low)
    assert axis.low - slack <= min(one, other) <= max(one, other) <= axis.high + slack
    assert 2 <= len(axis.ticks) <= 8
    assert 0 <= axis.part(one) <= 1


@pytest.mark.parametrize(
    ("end", "unit", "labels"),
    [
        (60, "seconds", ["0", "10", "20", "30", "40", "50", "60"]),
        (240, "minutes", ["0", "0.5", "1", "1.5", "2", "2.5", "3", "3.5", "4"]),
        (1830, "minutes", ["0", "5", "10", "15", "20", "25", "30"]),
        (6 * 3600, "hours", ["0", "1", "2", "3", "4", "5", "6"]),
        (4 * 86400, "days", ["0", "0.5", "1", "1.5", "2", "2.5", "3", "3.5", "4"]),
        (0, "seconds", ["0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1"]),
    ],
)
def test_time_is_ticked_in_a_fitting_unit(end: float, unit: str, labels: list[str]) -> None:
    axis = time_axis(end)
    assert (axis.unit, [label for _, label in axis.ticks]) == (unit, labels)
