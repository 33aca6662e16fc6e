"""What is known of a call from outside, and what could have been chosen for it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.simulation.plans import PlannedCall
from tests.simulation.watching import Exchange
from turnout.context import Call
from turnout.deployment import Deployment
from turnout.engine.leases import Destination, Lease, Tries


@dataclass(eq=False)
class Facts:
    """What is known of one call from outside."""

    planned: PlannedCall
    started: float
    deadline: float
    open_ended: bool
    regions: Sequence[Sequence[str]]
    account: str | None = None
    """The account that made the response that it refers to."""
    there: bool = True
    """That account had a deployment when the call began."""
    history: tuple[str, ...] = ()
    """What was said before, oldest first: what a continuation elsewhere has to contain."""
    previous: str | None = None
    """The id of that response, as the caller knows it."""
    call: Call | None = None
    leases: dict[Lease, Exchange | None] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)
    groups: set[str] = field(default_factory=set)
    """Model groups that it was sent to."""
    failed_groups: set[str] = field(default_factory=set)
    free_pass: bool = False
    """Its last failure was an announced throttle."""
    announced: int = 0
    moved: bool = False
    failures: Counter[str] = field(default_factory=Counter)
    """By model group; without those announced."""
    leaving: bool = False
    """Its caller gave up, or let go of the stream."""
    first_output: bool = False
    ends: int = 0
    told: Counter[str] = field(default_factory=Counter)
    """Telemetry, by kind of event."""

    @property
    def number(self) -> int:
        return self.planned.number


class Choice(NamedTuple):
    """What could have been chosen, looked at before the fleet does."""

    facts: Facts
    destination: Destination
    call: Call
    tries: Tries
    able: list[Deployment]
    """Those that may and surely can take the call now: their breakers are closed."""
    half: list[Deployment]
    """Those that could, as the one probe of a breaker that is half-open, or after a probe that has lasted long."""
    resting: list[Deployment]
    """Those that may, and could be probed for want of any other."""
    free: set[str]
    turn: bool
    hedge: bool
    last_panic: float | None
    """When the group was probed last for want of any other."""
