"""Strategies by name: one file each, and a table."""

from collections.abc import Callable

from turnout.protocols import Strategy
from turnout.strategies.adaptive import Adaptive
from turnout.strategies.cost_based import CostBased
from turnout.strategies.latency_based import LatencyBased
from turnout.strategies.least_busy import LeastBusy
from turnout.strategies.simple_shuffle import SimpleShuffle

STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "adaptive": Adaptive,
    "simple-shuffle": SimpleShuffle,
    "least-busy": LeastBusy,
    "latency-based-routing": LatencyBased,
    "cost-based-routing": CostBased,
}

__all__ = ["STRATEGIES", "Adaptive", "CostBased", "LatencyBased", "LeastBusy", "SimpleShuffle"]
