"""What each rule is worth: the scenarios again, each time without one of the rules."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from typing import Any

from turnout.policies import AdaptivePolicy
from turnout.sim.simulated_router import SimulatedRouter
from turnout.strategies import Adaptive

Patch = Callable[[SimulatedRouter], None]
_POLICY = AdaptivePolicy()


def _weighed(**changes: float) -> Patch:
    def patch(router: SimulatedRouter) -> None:
        router._fleet.strategy.policy = replace(_POLICY, **changes)  # type: ignore[attr-defined]

    return patch


def _cooled(**changes: Any) -> Patch:
    def patch(router: SimulatedRouter) -> None:
        fleet = router._fleet
        fleet.cooldown = replace(fleet.cooldown, **changes)

    return patch


class Absolute(Adaptive):
    """Takes every call to be of the same size."""

    def finished(self, deployment: Any, seen: Any) -> None:
        super().finished(deployment, seen._replace(tokens_in=0, tokens_out=0))


ABLATIONS: Mapping[str, tuple[Patch | None, type[Adaptive]]] = {
    "all rules": (None, Adaptive),
    "time not relative to a call's size": (None, Absolute),
    "noise not known: any difference counts": (_weighed(noise=0.0), Adaptive),
    "load not learned: exponent 1": (_weighed(least_exponent=1.0), Adaptive),
    "load not learned: exponent 0.03": (_weighed(most_exponent=0.03), Adaptive),
    "errors left to the breaker": (_weighed(error_weight=0.0), Adaptive),
    "overdue answers not counted": (_weighed(silence=inf), Adaptive),
    "no limit to badness under load": (_weighed(worst=inf), Adaptive),
    "bad deployments never tried": (_weighed(patience=inf, look_calls=10**9, forgotten=1e9), Adaptive),
    "any call finds out, small or not": (_weighed(small=inf), Adaptive),
    "no slow start": (_weighed(slow_start=1e-9), Adaptive),
    "no circuit breaker": (_cooled(enabled=False), Adaptive),
    "no panic probe": (_cooled(panic_interval=inf), Adaptive),
}
"""By what is left out: how the Router is changed, and its strategy."""
