"""Where one call stands: what it has tried, what it may still try, and how that is told."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from turnout.context import Call, Sink
from turnout.engine.decide import Verdict
from turnout.engine.leases import Blocked, Destination, Lease, Tries
from turnout.engine.port import IO
from turnout.errors import (
    APIError,
    DeadlineExceededError,
    NoCapacityError,
    NoDeploymentAvailable,
    NotFoundError,
    PinnedUnavailable,
    TurnoutError,
    UnknownModelError,
)
from turnout.policies import PIN_STEPS, FallbackPolicy, PinStep, RetryPolicy, WaitPolicy
from turnout_adapters.kinds import Kind
from turnout_adapters.types.route import Affinity, Attempt, Outcome, Route

if TYPE_CHECKING:  # it needs the journey itself
    from turnout.engine.hedging import Hedging

Replay = Callable[[Call, IO], Awaitable[Call | None]]
"""The call as another account can take it, its history in its input; None if there is no transcript. Raises
PinnedUnavailable if something in it cannot leave its account."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The policies of one Router, as the loop needs them."""

    retry: RetryPolicy
    group_retry: dict[str, RetryPolicy]
    fallbacks: FallbackPolicy
    wait: WaitPolicy
    resolve: Callable[[str], Destination]
    """Finds a fallback group by name; raises UnknownModelError."""
    sinks: tuple[Sink, ...] = ()
    min_retry_delay: float = 0.0
    pin_steps: tuple[PinStep, ...] = PIN_STEPS
    """What is done, in this order, for a call whose account is not available."""
    replay: Replay | None = None
    """None where no transcripts are kept."""
    hedging: "Hedging | None" = None
    """None where no call is hedged."""


@dataclass(slots=True)
class Journey:
    """Where one call stands."""

    call: Call
    origin: Destination
    """The model group asked for."""
    chain: list[Destination]
    """The group now in use, and the fallbacks still to come."""
    tries: Tries = field(default_factory=Tries)
    in_group: int = 0
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    last_error: APIError | None = None
    last_verdict: Verdict | None = None
    announced: int = 0
    """Throttles that said when to come back; they use up no retry."""
    waited: float = 0.0
    visited: set[str] = field(default_factory=set[str])
    asked: bool = False
    """The transcript was looked for."""
    moved: Call | None = None
    """The call as another account can take it."""
    immovable: PinnedUnavailable | None = None
    """Why no other account can take it."""
    hedged: bool = False
    """A second attempt was begun before the first had answered."""
    notes: tuple[str, ...] = ()

    def retry_policy(self, rules: Rules) -> RetryPolicy:
        """The caller's, the group's or the Router's."""
        own = self.call.retries
        return rules.group_retry.get(self.chain[0].group.name, rules.retry) if own is None else RetryPolicy(own)

    def fallbacks(self, rules: Rules, kind: Kind | None) -> list[Destination]:
        """Groups that have not been tried yet, for a failure of this kind."""
        call = self.call
        if len(self.visited) > rules.fallbacks.limit or call.stateless:
            return []
        listed = call.fallbacks
        if listed is None:
            listed = rules.fallbacks.chain((call.model, self.origin.group.name), kind)
        found: list[Destination] = []
        for name in listed:
            with suppress(UnknownModelError):  # its deployments were taken out
                found.append(rules.resolve(name))
        return [one for one in found if one.group.name not in self.visited]

    def spares(self, rules: Rules, kind: Kind | None) -> list[Destination]:
        """The fallbacks to come: those found for an earlier failure, those for one of this kind, those put off."""
        put_off = [one for one in self.chain[1:] if one.group.name in self.visited]
        fresh = [one for one in self.chain[1:] if one.group.name not in self.visited]
        names = {one.group.name for one in fresh}
        fresh += [one for one in self.fallbacks(rules, kind) if one.group.name not in names]
        return fresh[: max(rules.fallbacks.limit + 1 - len(self.visited), 0)] + put_off

    # --- to another account

    def may_move(self, rules: Rules) -> bool:
        """True if the call is bound to an account, and its transcript may be there."""
        call, draft = self.call, self.call.draft
        if rules.replay is None or "replay" not in rules.pin_steps or call.pin is None or draft is None:
            return False
        if call.stateless:
            return draft.own is not None
        return draft.parent is not None and self.chain[0].only is None

    async def can_move(self, rules: Rules, io: IO) -> bool:
        """True if the call can be continued from its transcript, which is read once, when it is first needed."""
        if not self.may_move(rules) or rules.replay is None:
            return False
        if not self.asked:
            self.asked = True
            try:
                self.moved = await rules.replay(self.call, io)
            except PinnedUnavailable as error:
                self.immovable = error
            except NotFoundError:
                self.moved = None
        return self.moved is not None

    def move(self) -> None:
        """From here on the call is free, with its history in its input; its next attempt costs no retry budget."""
        if self.moved is None or self.moved.pin is not None:
            return
        self.call = self.moved
        self.chain = [self.origin]
        self.in_group = 0
        self.tries.announced = True

    # --- telling

    def unavailable(self, blocked: Blocked, now: float) -> TurnoutError:
        """The error of a call that got no (further) deployment."""
        call = self.call
        if self._is_bound_to_one_that_is_down():
            return self.pinned_unavailable(blocked, now)
        if blocked.scarce and now < call.deadline:
            return self._no_capacity(blocked, now)
        if self.last_error is not None:
            return self.last_error
        if now >= call.deadline:
            return self.too_late()
        told, retry_after = _told(blocked), _seconds_until(blocked, now)
        text = f"no deployment of model group {self.chain[0].group.name!r} can take this call: {told or 'it has none'}"
        return NoDeploymentAvailable(text, reasons=blocked.reasons, retry_after=retry_after)

    def _no_capacity(self, blocked: Blocked, now: float) -> NoCapacityError:
        """The error of a call for which nothing is free in time, because of throttles and limits alone."""
        group, last = self.chain[0].group.name, self.last_error
        text = f"no deployment of model group {group!r} is free in time for this call: {_told(blocked)}"
        error = NoCapacityError(text, reasons=blocked.reasons, retry_after=_seconds_until(blocked, now))
        error.model_group, error.attempts, error.__cause__ = group, tuple(self.attempts), last
        return error

    def _is_bound_to_one_that_is_down(self) -> bool:
        last = self.last_verdict
        return self.call.pin is not None and (last is None or (last.retry and last.outcome != "caller"))

    def pinned_unavailable(self, blocked: Blocked | None, now: float = 0.0) -> PinnedUnavailable:
        """The error of a call whose account cannot answer, and that could not be continued elsewhere."""
        last, group = self.last_error, self.chain[0].group.name
        error = self.immovable
        if error is None:
            told = "" if blocked is None else _told(blocked)
            because = last.message if last is not None else told or "it is not configured"
            text = f"the account that holds this conversation is not available in {group!r}: {because}"
            retry_after = None if blocked is None else _seconds_until(blocked, now)
            error = PinnedUnavailable(text, reasons=None if blocked is None else blocked.reasons)
            error.retry_after = retry_after
        if last is not None:
            error.retry_after = error.retry_after or last.retry_after
            error.provider, error.deployment, error.request_id = last.provider, last.deployment, last.request_id
        error.model_group, error.attempts, error.__cause__ = group, tuple(self.attempts), last
        return error

    def too_late(self) -> TurnoutError:
        """The error of a call whose deadline is over."""
        call, last = self.call, self.last_error
        if last is not None and self._is_bound_to_one_that_is_down():
            return self.pinned_unavailable(None)
        tried = f"{len(self.attempts)} attempts" if self.attempts else "no attempt could be made"
        because = f", the last: {last.message}" if last is not None else ""
        error = DeadlineExceededError(f"no answer within {call.deadline - call.started:.1f} s ({tried}{because})")
        error.attempts = tuple(self.attempts)
        error.__cause__ = last
        return error

    def _came_from_elsewhere(self, domain: str) -> bool:
        """True if the turn before was made on another account, and the transcript brought the history along."""
        draft = self.call.draft
        return draft is not None and draft.expand and draft.parent is not None and self.call.home != domain

    def route(self, lease: Lease, now: float) -> Route:
        """The record of a call that was served."""
        call, deployment = self.call, lease.deployment
        affinity: Affinity = "none"
        if call.replayed or self._came_from_elsewhere(deployment.domain):
            affinity = "replayed"
        elif (call.pin or call.home) == deployment.domain:
            affinity = "pinned" if call.prefer in (None, deployment.id) else "peer"
        elif lease.by_key and call.affinity is not None:
            affinity = call.affinity.kind
        group = deployment.spec.model_group
        return Route(
            deployment=deployment.id,
            model_group=group,
            attempts=(*self.attempts, attempt_of(lease, "ok", now)),
            fallback=None if call.stateless or group == self.origin.group.name else group,
            affinity=affinity,
            waited=self.waited,
            notes=(*call.notes, *self.notes, *lease.notes),
            hedged=self.hedged,
        )


def attempt_of(lease: Lease, outcome: Outcome, now: float, error: APIError | None = None) -> Attempt:
    """The record of one attempt."""
    return Attempt(
        deployment=lease.deployment.id,
        model_group=lease.deployment.spec.model_group,
        outcome=outcome,
        seconds=now - lease.started,
        status=_status_of(outcome, error),
        error=None if error is None else type(error).__name__,
        request_id=None if error is None else error.request_id,
        at=lease.started,
    )


def _status_of(outcome: Outcome, error: APIError | None) -> int | None:
    """None if nothing arrived."""
    if error is None:
        return 200 if outcome == "ok" else None
    return None if error.kind in (Kind.CONNECTION, Kind.UNSUPPORTED) else error.status


def _told(blocked: Blocked) -> str:
    """Why each deployment cannot be used, the first five of them."""
    more = f"; and {len(blocked.reasons) - 5} more" if len(blocked.reasons) > 5 else ""
    return "; ".join(f"{name}: {why}" for name, why in list(blocked.reasons.items())[:5]) + more


def _seconds_until(blocked: Blocked, now: float) -> float | None:
    """Until a deployment can take the call, as far as is known."""
    at = blocked.never_before if blocked.never_before > now else blocked.until
    return max(at - now, 0.0) if at != inf else None
