"""Plays a scenario for the peers that the scorecard compares with."""

from collections.abc import Callable, Mapping
from random import Random

from benchmarks.scorecard.engine import Engine, Peer
from benchmarks.scorecard.litellm_models import LatencyBased, LeastBusy, LiteLLM, SimpleShuffle, UsageBased
from benchmarks.scorecard.oracle import Oracle
from benchmarks.scorecard.peers import PeakEwmaP2C
from benchmarks.scorecard.scenario import Scenario
from benchmarks.scorecard.scout import SCOUTS
from turnout.sim.record import Outcome

ORACLE = "oracle"
Limits = tuple[Mapping[str, float], Mapping[str, float]]


def _configured(scenario: Scenario) -> Limits:
    """Requests and tokens per minute, as far as the router's configuration says them."""
    if not scenario.configured:
        return {}, {}
    return (
        {name: model.rpm for name, model in scenario.regions.items() if model.rpm is not None},
        {name: model.tpm for name, model in scenario.regions.items() if model.tpm is not None},
    )


def _shuffle(engine: Engine, rng: Random) -> Peer:
    return LiteLLM(SimpleShuffle(*_configured(engine.scenario), rng), rng)


def _least_busy(engine: Engine, rng: Random) -> Peer:  # noqa: ARG001 (it needs no configuration)
    return LiteLLM(LeastBusy(), rng)


def _latency(engine: Engine, rng: Random) -> Peer:
    return LiteLLM(LatencyBased(*_configured(engine.scenario), rng), rng)


def _usage(engine: Engine, rng: Random) -> Peer:
    return LiteLLM(UsageBased(*_configured(engine.scenario), rng), rng)


def _p2c(engine: Engine, rng: Random) -> Peer:  # noqa: ARG001
    return PeakEwmaP2C(rng)


def _oracle(engine: Engine, rng: Random) -> Peer:  # noqa: ARG001
    return Oracle(engine)


PEERS: Mapping[str, Callable[[Engine, Random], Peer]] = {
    "litellm simple-shuffle": _shuffle,
    "litellm least-busy": _least_busy,
    "litellm latency-based": _latency,
    "litellm usage-based-v2": _usage,
    "P2C peak-EWMA": _p2c,
    ORACLE: _oracle,
}
"""By name: makes the router of one process."""


def play(scenario: Scenario, peer_name: str, seed: int) -> list[Outcome]:
    """The calls of a run, in order of their arrival; the same for the same seed. The oracle is one for all workers."""
    engine = Engine(scenario, seed)
    workers = 1 if peer_name == ORACLE else scenario.workers
    make = PEERS.get(peer_name) or SCOUTS[peer_name]
    return engine.play([make(engine, Random(f"{peer_name}:{seed}:{worker}")) for worker in range(workers)])
