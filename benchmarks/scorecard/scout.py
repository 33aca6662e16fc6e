"""A bound without hindsight: what finding out costs at least.

The oracle knows when a fault begins and when it ends. A router has to send somebody there to find out, and who is sent
pays for it. The scout finds out as cheaply as can be and makes no mistakes: it never takes bad luck for a fault, it
knows of one as soon as the first call that it keeps waiting is late, and from then on sends one call every so many
seconds, which it believes at once. A router that sends each call to one deployment at a time can neither notice sooner
nor find the end sooner with the same number of calls; it can only be luckier.

For regions that differ in nothing but the fault.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import inf
from random import Random

from benchmarks.scorecard.engine import AT_ONCE, GIVE_UP, Call, Ending, Engine, Next, Peer
from benchmarks.scorecard.oracle import failure_share, seconds_of
from benchmarks.scorecard.scenario import RETRIES
from turnout.sim.service import Service


@dataclass(slots=True)
class _Known:
    """What is known of one region."""

    service: Service
    late_at: dict[Call, float] = field(default_factory=dict[Call, float])
    """Its calls under way, and when each of them becomes late: never, if it was sent before the region fell ill."""
    sent: float = -inf
    """When the last call was sent there."""
    noticed: bool = False
    due: float = inf
    """When the next call is sent to find out."""

    @property
    def load(self) -> tuple[int, float]:
        """Its calls under way; of those with as many, who has waited longest for one comes first."""
        return len(self.late_at), self.sent

    def is_ill(self) -> bool:
        """True while something ails it."""
        return failure_share(self.service) > 0.0 or self.service.conditions.slowdown > 1.0

    def is_late(self, now: float) -> bool:
        """True from the moment on in which the first call is late that its fault keeps waiting."""
        return self.is_ill() and min(self.late_at.values(), default=inf) <= now


class Scout:
    """See above. `every` is the time between two calls that are sent to find out, in seconds."""

    patient = False

    def __init__(self, every: float, engine: Engine, rng: Random) -> None:
        self._every = every
        self._engine = engine
        self._rng = rng
        self._regions: dict[str, _Known] = {}

    def join(self, region: str) -> None:
        """See `Peer`."""
        self._regions[region] = _Known(self._engine.services[region])

    def pick(self, call: Call, now: float) -> str | Ending | None:
        """See `Peer`. A visit that finds the region well again is believed at once, before it is answered."""
        chosen: _Known | None = None
        for one in self._regions.values():
            if not one.noticed and one.is_late(now):
                self._notice(one, now)
            if one.noticed and now >= one.due and not call.tries:
                chosen, one.noticed = one, one.is_ill()
                one.due += self._every
                break
            if not one.noticed and (chosen is None or one.load < chosen.load):
                chosen = one
        assert chosen is not None, "one region is always well"
        chosen.sent = now
        usual = seconds_of(chosen.service, call.size) / chosen.service.conditions.slowdown
        chosen.late_at[call] = now + usual if chosen.is_ill() else inf
        return chosen.service.name

    def succeeded(self, call: Call, ending: Ending, now: float) -> None:  # noqa: ARG002 (protocol)
        """See `Peer`."""
        del self._regions[call.region].late_at[call]

    def failed(self, call: Call, ending: Ending, now: float) -> Next:  # noqa: ARG002 (protocol)
        """See `Peer`."""
        region = self._regions[call.region]
        del region.late_at[call]
        if region.is_ill() and not region.noticed:
            self._notice(region, now)
        return AT_ONCE if len(call.tries) <= RETRIES else GIVE_UP

    def cancelled(self, call: Call, now: float) -> None:  # noqa: ARG002 (protocol)
        """See `Peer`."""
        self._regions[call.region].late_at.pop(call, None)

    def changed(self, now: float) -> None:
        """See `Peer`. Nobody tells it."""

    def _notice(self, region: _Known, now: float) -> None:
        """By chance sooner or later than in the other runs, so that no length of a fault is in step."""
        region.noticed = True
        region.due = now + self._every * self._rng.random()


SCOUTED = (2, 5, 6)
"""Scenarios in which one region is ill and the others are alike."""
SCOUTS: Mapping[str, Callable[[Engine, Random], Peer]] = {
    f"one call in {every} s": partial(Scout, every) for every in (30, 45, 60, 75, 90, 120, 180)
}
"""By name: scouts that find out more or less often."""
