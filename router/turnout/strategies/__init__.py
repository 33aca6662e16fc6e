"""Strategies by name: one file each, and a table."""

from collections.abc import Callable

from turnout.protocols import Strategy
from turnout.strategies.cost_based import CostBased
from turnout.strategies.latency_based import LatencyBased
from turnout.strategies.least_busy import LeastBusy
from turnout.strategies.simple_shuffle import SimpleShuffle

STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "simple-shuffle": SimpleShuffle,
    "least-busy": LeastBusy,
    "latency-based-routing": LatencyBased,
    "cost-based-routing": CostBased,
}

__all__ = ["STRATEGIES", "CostBased", "LatencyBased", "LeastBusy", "SimpleShuffle"]
