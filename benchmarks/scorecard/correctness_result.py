"""What a scenario of correctness found: counts, and whether its gate, most often a zero, was held."""

from collections.abc import Mapping
from dataclasses import dataclass

Figures = Mapping[str, float | int]


@dataclass(frozen=True, slots=True)
class CorrectnessResult:
    """One scenario, judged."""

    number: int
    title: str
    measured: Figures
    gate: str
    """In words."""
    passed: bool
    note: str = ""
    """Why it could not be run."""


def share(part: int, whole: int) -> float:
    """Per cent, 0 of nothing: a scenario in which nothing happened shows nothing."""
    return 100.0 * part / whole if whole else 0.0
