"""Axes of charts: where their round numbers lie, and how those are written."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_TIME_UNITS = ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
_TIME_STEPS = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200),
    *(86400.0 * days for days in (1, 2, 5, 7, 14, 30, 60, 180, 365)),
)
_MOST_TIME_TICKS = 10
_VALUE_TICKS = 5
_LEAST, _LEAST_SPAN = 1e-9, 1e-6
"""Ends that are closer together, absolutely or as a part of their value, count as one."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values, and where it is ticked. What is drawn is linear between its ends."""

    low: float
    high: float
    unit: str
    ticks: Sequence[tuple[float, str]]
    """Values and how they are written."""

    def part(self, value: float) -> float:
        """How far along the axis the value lies, from 0 to 1; what is outside lies at the end."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


def round_step(size: float) -> float:
    """The least of 1, 2 and 5 times a power of ten that is not below the size."""
    power = 10.0 ** math.floor(math.log10(size))
    return next((times * power for times in (1, 2, 5) if times * power >= size * (1 - 1e-9)), 10 * power)


def value_axis(lowest: float, highest: float, unit: str) -> Axis:
    """An axis from a round number to a round number around these values."""
    span = highest - lowest
    if span <= max(abs(highest) * _LEAST_SPAN, _LEAST):
        span = max(abs(highest), 1.0)
    step = round_step(span / _VALUE_TICKS)
    first, last = math.floor(lowest / step + 1e-9), math.ceil(highest / step - 1e-9)
    last = max(last, first + 1)
    decimals = max(-math.floor(math.log10(step) + 1e-9), 0)
    ticks = [(index * step, f"{index * step:,.{decimals}f}") for index in range(first, last + 1)]
    return Axis(first * step, last * step, unit, ticks)


def time_axis(end: float) -> Axis:
    """An axis from 0 to `end` seconds, ticked in the unit that a person would use."""
    end = end if end > _LEAST else 1.0
    size, unit = time_unit(end)
    step = next((one for one in _TIME_STEPS if end / one <= _MOST_TIME_TICKS), round_step(end / _MOST_TIME_TICKS))
    ticks = [(index * step, f"{index * step / size:g}") for index in range(int(end / step + 1e-9) + 1)]
    return Axis(0.0, end, unit, ticks)


def time_unit(end: float) -> tuple[float, str]:
    """The unit for a span of so many seconds: its length in seconds and its name; at least three of it fit in."""
    return next((one for one in _TIME_UNITS if end >= 3 * one[0]), _TIME_UNITS[-1])
