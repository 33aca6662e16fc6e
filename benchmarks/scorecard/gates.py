"""What is asked of each scenario. On other traffic times are taken relative to the oracle's on the same traffic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.scorecard.figures import Figures

Name = Literal["ok", "p99", "slow_down", "failed", "requests", "recovery"]

REFERENCE_P99 = 15.8
"""The oracle's p99 in seconds on the traffic that the limits in seconds are for."""
REFERENCE_SLOW_DOWN = 1.8
REFERENCE_RECOVERY = 5.5
"""The oracle's recovery there: it takes a few calls until a share can be told."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One limit: at least, or at most."""

    name: Name
    limit: float
    least: bool = False

    def holds(self, found: Figures, oracle: Figures, *, reference: bool) -> bool:
        """True if the figure is within the limit.

        Shares are compared to a tenth of a per cent. Where the traffic is another than the reference, a share may miss
        what the oracle misses too, and times may be as much more than the oracle's as they may be on the reference,
        where that is more than the limit.
        """
        value = getattr(found, self.name)
        if value is None:
            return True
        if self.name in _OF_ANSWERS and not found.ok:
            return False  # nobody was answered late, for nobody was answered
        limit = self.limit
        if self.least:
            missed = 0.0 if reference else 100.0 - getattr(oracle, self.name)
            return round(value, 1) >= limit - missed
        if self.name == "p99" and not reference:
            limit = max(limit / REFERENCE_P99 * oracle.p99, limit)
        if self.name == "slow_down" and not reference:
            limit = max(limit / REFERENCE_SLOW_DOWN * oracle.slow_down, limit)
        if self.name == "recovery" and not reference:
            limit += max((oracle.recovery or 0.0) - REFERENCE_RECOVERY, 0.0)
        return value <= limit

    def __str__(self) -> str:
        return f"{_TOLD[self.name]} {'>=' if self.least else '<='} {self.limit:g}"


_OF_ANSWERS = ("p99", "slow_down")
_TOLD: Mapping[Name, str] = {
    "ok": "ok %",
    "p99": "p99 s",
    "slow_down": "slow-down",
    "failed": "failed/1000",
    "requests": "calls/request",
    "recovery": "recovery s",
}

GATES: Mapping[int, Sequence[Gate]] = {
    1: (Gate("p99", 17.5),),
    2: (Gate("ok", 99.7, least=True), Gate("slow_down", 2.0), Gate("recovery", 45.0)),
    3: (Gate("failed", 3.0), Gate("ok", 98.5, least=True), Gate("p99", 20.0)),
    4: (Gate("failed", 16.0),),
    5: (Gate("failed", 6.0), Gate("recovery", 40.0)),
    6: (Gate("p99", 19.0), Gate("failed", 6.0)),
    7: (Gate("ok", 80.0, least=True),),
    8: (Gate("requests", 0.5), Gate("ok", 75.0, least=True)),
    9: (Gate("ok", 100.0, least=True),),
    10: (Gate("ok", 100.0, least=True),),
    11: (Gate("ok", 99.5, least=True),),
    12: (Gate("ok", 100.0, least=True),),
}
