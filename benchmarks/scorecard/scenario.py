"""One scenario of the scorecard: traffic, regions and what happens to them; the same for every router."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from turnout.sim.schedule import Change, ScheduledFault, changes
from turnout.sim.service import Service, ServiceModel
from turnout.sim.traffic import Arrival

ATTEMPT_TIMEOUT = 30.0
"""Seconds; more where the traffic's longest calls need more."""
DEADLINE_OF_ATTEMPTS = 2
"""A caller waits as long as this many attempts may take."""
RETRIES = 2
"""Further attempts after the first."""
MISTAKE = "mistake"


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is played. Seconds count from the start of the run."""

    number: int
    title: str
    arrivals: Sequence[Arrival]
    regions: Mapping[str, ServiceModel]
    window: tuple[float, float]
    """Calls that arrive in here are judged."""
    faults: tuple[ScheduledFault, ...] = ()
    joins: Mapping[str, float] = field(default_factory=dict[str, float])
    """When a region is added to the router's configuration, for those that are not there from the start."""
    configured: bool = False
    """The router's configuration says the regions' `tpm` and `rpm`."""
    mistakes: float = 0.0
    """Share of calls whose caller is in the wrong; they get a 404."""
    workers: int = 1
    """Processes with a router each, which share nothing; calls go to them in turn."""
    victim: str | None = None
    """The region whose recovery is judged."""
    attempt_timeout: float = ATTEMPT_TIMEOUT
    """Seconds."""

    @property
    def deadline(self) -> float:
        """Seconds that a caller waits."""
        return self.attempt_timeout * DEADLINE_OF_ATTEMPTS

    def services(self, seed: int) -> dict[str, Service]:
        """Fresh regions, with this seed's luck."""
        return {name: Service(name, model, seed=seed) for name, model in self.regions.items()}

    def changes(self) -> list[Change]:
        """What changes when."""
        return changes(self.faults, list(self.regions))

    def mistaken(self, seed: int) -> list[bool]:
        """Which of the calls are mistakes."""
        rng = random.Random(f"mistakes:{seed}")
        return [rng.random() < self.mistakes for _ in self.arrivals]
