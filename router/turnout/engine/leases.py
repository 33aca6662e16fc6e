"""The values that the fleet and the route exchange: where a call may go, what it was given, why it must wait."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from turnout.context import Observation
from turnout.deployment import Deployment, ModelGroup
from turnout.engine.port import Waiter
from turnout.limits.meter import Limits, Reservation
from turnout.limits.quota import Prices, Unit, Usage
from turnout.limits.upstream import Remaining

QueueKey = tuple[str, str | None, tuple[str, ...] | None, tuple[tuple[str, ...], ...], tuple[str, ...]]
"""Calls with the same key could use the same deployments: group, account, deployments addressed, regions, tags."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A model name, resolved."""

    group: ModelGroup
    only: Sequence[Deployment] | None = None
    """The deployments to choose from; None for all of the group."""
    wildcard: str | None = None
    """What the `*` of a wildcard name stood for."""


@dataclass(slots=True, eq=False)
class Lease:
    """One deployment, taken for one attempt. Given back exactly once."""

    deployment: Deployment
    destination: Destination
    started: float
    probe: bool = False
    by_key: bool = False
    """The call's affinity key chose the deployment."""
    reservation: Reservation | None = None
    """What the attempt holds of the deployment's limits."""
    sent: bool = False
    """Something was sent: the request counts, whatever comes of it."""
    upstream: Mapping[Unit, Remaining] = field(default_factory=dict[Unit, Remaining])
    """What the provider's answer says is left of its own limits."""
    first_event: float | None = None
    """Seconds until the first event, for streams."""
    token: object = None
    """What a strategy that learns knows the attempt by."""
    open: bool = True
    notes: tuple[str, ...] = ()
    """What of the conversation could not come along on this attempt."""
    warnings: tuple[str, ...] = ()
    """Parameters that were left out of this attempt."""

    def settle(self, used: Usage | None, now: float) -> Sequence[str]:
        """Corrects what is held of the limits: all of it goes back if nothing was sent, None keeps the estimate.

        Returns the deployments that share a limit which was full.
        """
        held = self.reservation
        if held is None:
            return ()
        waiting = held.limits.sharers_of_full(now)
        if not self.sent:
            held.refund()
        elif used is not None:
            held.settle(used)
        return waiting

    def given_up(self, now: float) -> Observation:
        """What a strategy is told of an attempt that its caller gave up."""
        return Observation(self.started, now, None, first_event=self.first_event, token=self.token)

    def hear(self) -> None:
        """Takes over what the provider said of its own limits; it tightens what is configured, and never loosens it."""
        deployment = self.deployment
        if deployment.limits is None:
            deployment.limits = Limits((), deployment.spec.prices or Prices())
        deployment.limits.upstream.update(self.upstream)
        self.upstream = {}

    @property
    def upstream_model(self) -> str:
        """The model name to send, a wildcard filled in."""
        model, wildcard = self.deployment.spec.model, self.destination.wildcard
        return model.replace("*", wildcard, 1) if wildcard is not None else model


@dataclass(frozen=True, slots=True)
class Blocked:
    """No deployment can be used now."""

    until: float = inf
    """When to look again, unless woken before."""
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    waitable: bool = False
    """Waiting may help this call."""
    resting: bool = False
    """Nothing says when a deployment will be able: they rest until a probe, or the retry budget is used up."""
    private: bool = False
    """The call waits for its own pause to end, not for room that others compete for."""
    never_before: float = 0.0
    """No deployment can take the call before then, whatever others do; inf if none ever can."""
    scarce: bool = False
    """Throttles and limits alone keep the deployments out that are fit for the call."""


@dataclass(slots=True, eq=False)
class Ticket:
    """A call's place in a queue."""

    key: QueueKey
    waiter: Waiter


@dataclass(slots=True)
class Tries:
    """What one call has tried so far; `again_at` is when it may use a deployment again that failed it."""

    again_at: dict[str, float] = field(default_factory=dict[str, float])
    failures: dict[str, int] = field(default_factory=dict[str, int])
    barred: set[str] = field(default_factory=set[str])
    """Deployments another attempt cannot help with."""
    providers: set[str] = field(default_factory=set[str])
    """Providers that are overloaded as a whole: last choice."""
    made: int = 0
    groups: set[str] = field(default_factory=set[str])
    """Model groups in which an attempt failed."""
    announced: bool = False
    """The last failure was a throttle with a Retry-After, which bounds the load by itself: the next try is free."""
    size: Usage | None = None
    """Estimated tokens, computed when first needed."""
    last_resort: bool = False
    """Nothing else can take the call: providers that are overloaded as a whole may."""

    def must_pay(self, group: str) -> bool:
        """True if the next attempt in a model group is a retry there, for which its budget is asked.

        The first one is a call like any other: a fallback must not fail a call because it has seen few of them.
        """
        return group in self.groups and not self.announced
