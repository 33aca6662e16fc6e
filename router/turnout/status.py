"""A look at the Router from outside: what each deployment is doing, and why a call would go where."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from turnout.context import AffinityKey, Call
from turnout.deployment import Deployment
from turnout.engine import cooldown
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Destination
from turnout.engine.preference import in_order
from turnout.policies import AffinityKind
from turnout.protocols import Applies

State = Literal["ready", "probing", "cooling down", "throttled", "full", "removed"]


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """How one deployment is doing. Times in seconds."""

    id: str
    model_group: str
    provider: str
    model: str
    base_url: str
    state: State
    in_flight: int
    available_in: float
    """Seconds until it takes calls again; 0 if it does, inf if that depends on a call under way."""
    success_rate: float
    consecutive_failures: int
    first_event: float | None
    seconds_per_token: float | None
    used: Mapping[str, tuple[float, float]]
    """By limit: what was used of it in its period as far as this process knows, and the limit. Money in dollars."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a call would go: the deployments fit for it, and why the others are not."""

    model_group: str
    candidates: tuple[str, ...]
    rejected: Mapping[str, str]
    pinned_to: tuple[str, ...] | None
    """Deployments of the account that holds the call's state; None if it may go anywhere."""
    affinity: AffinityKind | None = None
    """What the call's affinity key was made of; with one, the candidates are in the order it prefers them."""


def status_of(deployment: Deployment, now: float) -> DeploymentStatus:
    """The state of one deployment."""
    at = cooldown.available_at(deployment, now)
    return DeploymentStatus(
        id=deployment.id,
        model_group=deployment.spec.model_group,
        provider=deployment.spec.provider,
        model=deployment.spec.model,
        base_url=deployment.spec.target.base_url,
        state=_state(deployment, now),
        in_flight=deployment.in_flight,
        available_in=max(at - now, 0.0),
        success_rate=deployment.health.success,
        consecutive_failures=deployment.health.failures,
        first_event=deployment.latency.first_event,
        seconds_per_token=deployment.latency.unary,
        used={} if deployment.limits is None else deployment.limits.used(now),
    )


def _state(deployment: Deployment, now: float) -> State:
    health = deployment.health
    if deployment.removed:
        return "removed"
    if cooldown.is_throttled(deployment, now):
        return "throttled"
    if health.open_until is not None:
        return "probing" if health.probing else "cooling down"
    return "ready" if cooldown.available_at(deployment, now) <= now else "full"


def explain(fleet: Fleet, call: Call, destination: Destination, now: float) -> Explanation:
    """The decision about a call as data; changes nothing."""
    group = destination.group
    members = destination.only if destination.only is not None else group.members
    pinned = None if call.pin is None else tuple(one.id for one in fleet.domains.get(call.pin, ()))
    candidates, rejected = list[Deployment](), dict[str, str]()
    checks = [one for one in fleet.checks if not isinstance(one, Applies) or one.applies(call, group)]
    for deployment in members:
        reason = next((why for one in checks if (why := one.reject(deployment, call)) is not None), None)
        if call.pin is not None and deployment.domain != call.pin:
            reason = "another account holds this conversation"
        if reason is None and cooldown.available_at(deployment, now) > now:
            reason = cooldown.why_unavailable(deployment, now)
        if reason is None:
            candidates.append(deployment)
        else:
            rejected[deployment.id] = reason
    key = call.affinity
    if key is not None:
        candidates = _preferred_first(candidates, call.home, key)
    ids = tuple(one.id for one in candidates)
    return Explanation(group.name, ids, rejected, pinned, None if key is None else key.kind)


def _preferred_first(candidates: list[Deployment], home: str | None, key: AffinityKey) -> list[Deployment]:
    """The home of encrypted reasoning, then one `order` level after the other, each in the key's order."""
    levels = sorted({one.level for one in candidates})
    by_level = [one for level in levels for one in in_order([it for it in candidates if it.level == level], key)]
    return sorted(by_level, key=lambda one: home is not None and one.domain != home)
