"""What a report is made of: runs with their figures, and the faults they went through."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from turnout.sim.figures import DeploymentFigures, Series, Summary, by_deployment, over_time, summarise
from turnout.sim.record import Outcome

BUCKETS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200)
"""Lengths of a bucket to choose from, in seconds; above the last one, whole days."""
_DAY = 86400.0
_WANTED = 120


@dataclass(frozen=True, slots=True)
class Mark:
    """A time span that charts shade, such as a fault. Seconds since the start of the run."""

    start: float
    end: float
    """`inf` if it lasts to the end of the run."""
    label: str


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run: of a strategy, a configuration, a router."""

    name: str
    summary: Summary
    deployments: Mapping[str, DeploymentFigures]
    series: Series
    marks: Sequence[Mark] = ()

    @classmethod
    def of(
        cls, name: str, outcomes: Sequence[Outcome], *, bucket: float | None = None, marks: Sequence[Mark] = ()
    ) -> "RunReport":
        """The report of these outcomes, over time in buckets of so many seconds; by default about a hundred."""
        series = over_time(outcomes, bucket or fitting_bucket(max((one.at for one in outcomes), default=0.0)))
        return cls(name, summarise(outcomes), by_deployment(outcomes), series, tuple(marks))


@dataclass(frozen=True, slots=True)
class Report:
    """Runs to be shown, and to be compared if there are several."""

    title: str
    subtitle: str
    runs: Sequence[RunReport]
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    """What a reader must know of the runs, by name: the trace, the seed, the faults."""


def fitting_bucket(seconds: float) -> float:
    """A round length that cuts so many seconds into some hundred buckets, 120 at most."""
    for length in BUCKETS:
        if length * _WANTED >= seconds:
            return length
    return _DAY * math.ceil(seconds / (_DAY * _WANTED))
