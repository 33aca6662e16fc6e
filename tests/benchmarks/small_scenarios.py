"""Scenarios small enough to see a single rule of a router in them."""

from collections import Counter

from benchmarks.scorecard.play import PEERS
from benchmarks.scorecard.scenario import Scenario
from turnout.sim.record import Outcome
from turnout.sim.schedule import parse_fault
from turnout.sim.service import ServiceModel
from turnout.sim.traffic import Arrival

SHUFFLE, LEAST_BUSY, LATENCY, USAGE = [name for name in PEERS if name.startswith("litellm")]
P2C = "P2C peak-EWMA"
STEADY = ServiceModel(jitter=0.0)
"""Takes 2.36 s for a call of 100 and 100 tokens."""
SECONDS = 0.35 + 100 * 0.0001 + 100 * 0.0196
Models = ServiceModel | dict[str, ServiceModel]


class WithMistakes(Scenario):
    """The callers of the first calls are in the wrong, the others are not."""

    def mistaken(self, seed: int) -> list[bool]:
        return [at < self.mistakes for at in range(len(self.arrivals))]


def scenario(*faults: str, calls=20, every=1.0, regions=3, model: Models = STEADY, kind=Scenario, **more) -> Scenario:
    models = model if isinstance(model, dict) else {f"r{at}": model for at in range(1, regions + 1)}
    arrivals = [Arrival(at * every, 100, 100) for at in range(calls)]
    return kind(0, "test", arrivals, models, (0.0, 1e9), tuple(parse_fault(one) for one in faults), **more)


def asked(outcomes: list[Outcome]) -> list[list[str]]:
    return [[one.deployment for one in outcome.tries] for outcome in outcomes]


def shares(outcomes: list[Outcome]) -> Counter[str]:
    return Counter(outcome.deployment for outcome in outcomes if outcome.deployment)
