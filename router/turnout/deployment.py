"""A deployment's identity and live state, and the model group it belongs to.

State is changed only by pure code under the Router's lock (`engine/fleet.py`).
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from turnout.limits.meter import Limits

if TYPE_CHECKING:  # the specification is data of the configuration; importing it here would be a cycle
    from turnout.config import DeploymentSpec


@dataclass(slots=True)
class Health:
    """What the circuit breaker knows. Changed by `engine/cooldown.py` only."""

    failures: int = 0
    """Consecutive failures."""
    failing_since: float = 0.0
    """When the first of them was."""
    paced_at: float = 0.0
    """When calls of the model group were last counted for the length of a pause: that of a pause, or of a failure."""
    paced_calls: int = 0
    """How many calls it had had then."""
    failed_start: float = -inf
    """When the latest attempt began that failed."""
    success: float = 1.0
    """Moving success rate."""
    samples: int = 0
    trips: int = 0
    """Trips since the last clean recovery; each doubles the pause."""
    open_until: float | None = None
    """None: closed. Once this time has passed: half-open."""
    probing: bool = False
    """A half-open probe is on its way."""
    proven_at: float = inf
    """When the probe will have lasted so much longer than the failures before that it counts as good news."""
    failed_in: float = 0.0
    """Seconds that failures took of late."""
    throttled_until: float = 0.0
    recovered_at: float | None = None
    last_success: float | None = None
    auth_failures: int = 0
    minute: "deque[float]" = field(default_factory=deque[float])
    """Times of recent failures, for LiteLLM's allowed_fails."""


@dataclass(slots=True)
class Latency:
    """Moving averages of what strategies look at; None before the first measurement. Seconds."""

    unary: float | None = None
    """Seconds per answer, divided by its size (see `engine/cooldown.py`)."""
    first_event: float | None = None
    updated: float = 0.0


class Deployment:
    """One provider endpoint with an upstream model and credentials, and how it is doing."""

    __slots__ = (
        "due", "health", "id", "in_flight", "latency", "learned", "level", "limits", "position", "removed", "share",
        "spec",
    )  # fmt: skip

    def __init__(self, spec: "DeploymentSpec") -> None:
        self.id = spec.id
        self.health = Health()
        self.latency = Latency()
        self.learned: Any = None
        """What a strategy that learns knows of it (`protocols.Learns`)."""
        self.in_flight = 0
        self.removed = False
        self.level = spec.order
        self.due = inf
        """When the group's heap brings it back; inf if it is not in there."""
        self.position = -1
        """Place in its group's list of ready deployments; -1 while it is not ready."""
        self.limits: Limits | None = None
        """None if there are none, which spares a call the look. Made by the fleet's book of limits."""
        self.spec = spec
        self.share = 1.0
        """Its part of the group's calls, relative to the others' (`engine/shares.py`)."""

    def configure(self, spec: "DeploymentSpec") -> None:
        """Takes a new specification and keeps the live state."""
        self.spec = spec

    @property
    def domain(self) -> str:
        """The state domain: the account within which response ids are valid."""
        return self.spec.domain

    def pace(self, now: float, slow_start: float) -> float:
        """1.0, or less while the deployment recovers: up from a tenth over `slow_start` seconds, as in Envoy."""
        since = self.health.recovered_at
        if since is None:
            return 1.0
        age = (now - since) / slow_start if slow_start > 0 else 1.0
        if age >= 1.0:
            self.health.recovered_at = None
            return 1.0
        return max(0.1, age)

    def __repr__(self) -> str:
        return f"Deployment({self.id!r}, group={self.spec.model_group!r}, in_flight={self.in_flight})"


@dataclass(slots=True)
class Budget:
    """Retries a group has in hand. Changed by `engine/budget.py` only."""

    tokens: float
    updated: float
    calls: int = 0
    """How many the group has had."""


@dataclass(slots=True, eq=False)
class ModelGroup:
    """Deployments that share a model name, with the index of those that are ready now.

    `ready` holds, by order level, the deployments that can take a call; it is maintained on every change of state and
    never rebuilt per call. `due` is a heap of (time, tie-breaker, deployment) of those that come back by themselves.
    """

    name: str
    budget: Budget
    members: list[Deployment] = field(default_factory=list[Deployment])
    ready: dict[int, list[Deployment]] = field(default_factory=dict[int, list[Deployment]])
    due: list[tuple[float, int, Deployment]] = field(default_factory=list[tuple[float, int, Deployment]])
    levels: Sequence[int] = ()
    last_panic: dict[str | None, float] = field(default_factory=dict[str | None, float])
    """When a resting deployment was last probed for want of any other, by state domain (None: free calls)."""
    tie: int = 0
    shares: "Counter[tuple[float | None, int | None, int | None]]" = field(
        default_factory=Counter[tuple[float | None, int | None, int | None]]
    )
    """How many members have which weight, rpm and tpm; kept so that no strategy has to look at all of them."""
    unit: tuple[str | None, float] = (None, 1.0)
    """Which of the three the members' shares are measured in, and what stands in for it where a row does not say."""
    favourites: OrderedDict[bytes, Sequence[Deployment]] = field(
        default_factory=OrderedDict[bytes, "Sequence[Deployment]"]
    )
    """The first choices of affinity keys (`engine/preference.py`); forgotten when a member or a weight changes."""
    recovering_until: float = 0.0
    """Until then a member may be in its slow start."""
    hedges: dict[bool, Any] = field(default_factory=dict[bool, Any])
    """What hedging knows of its streams, and of its other calls (`engine/hedging.py`)."""

    def is_uniform(self, now: float) -> bool:
        """True if all members have equal shares."""
        return len(self.shares) <= 1 and now >= self.recovering_until
