"""Hedging: a call that shows no answer is sent to a second deployment, and whichever answers first serves it.

Sources: Dean and Barroso, "The Tail at Scale" (2013), for the second copy after a high quantile of the usual time;
Finagle's BackupRequestFilter, for a budget that bounds the extra load. The race itself is the port's.
"""

from collections import deque
from collections.abc import Coroutine, Iterable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from turnout.context import AttemptFinished, Call, acts
from turnout.deployment import ModelGroup
from turnout.engine import budget
from turnout.engine.attempt import Send, attempt_timeout, note_failure
from turnout.engine.fleet import Fleet
from turnout.engine.journey import Journey, Rules, attempt_of
from turnout.engine.leases import Lease, Tries
from turnout.engine.port import IO
from turnout.engine.send import Begun
from turnout.errors import APIError
from turnout.policies import HedgePolicy

if TYPE_CHECKING:  # data of the configuration layer, needed for annotations only
    from turnout.config import DeploymentSpec

A = TypeVar("A")

_RECENT = 200
"""Times that a quantile is taken of."""
_ENOUGH = 20
"""Times without which no quantile is known, and new ones after which it is taken again."""
_BURST = 10.0
"""Hedges that may be saved up."""
NOT_HEDGED = "not hedged: that needs the async methods"


class Hedges:
    """What is known of one model group's unary calls, or of its streams: how long they take, and the hedges in hand."""

    __slots__ = ("_calls", "_counted", "_fresh", "_known", "_times", "_tokens", "policy")

    def __init__(self, policy: HedgePolicy) -> None:
        self.policy = policy
        self._times: deque[float] = deque(maxlen=_RECENT)
        self._fresh = 0
        self._known: float | None = None
        self._calls = 0
        self._counted = 0
        self._tokens = 0.0

    def begin(self) -> float | None:
        """A call begins. Seconds after which it may be hedged; None while the usual time is not known."""
        self._calls += 1
        if self.policy.seconds is not None:
            return self.policy.seconds
        if self._fresh >= _ENOUGH:
            self._fresh = 0
            times = sorted(self._times)
            self._known = times[min(int(len(times) * self.policy.quantile), len(times) - 1)]
        return self._known

    def observe(self, seconds: float) -> None:
        """How long a first attempt took, or had taken when the hedge won, which is past the quantile in any case."""
        self._times.append(seconds)
        self._fresh += 1

    def pay(self, group: ModelGroup, fleet: Fleet, now: float) -> bool:
        """Takes one hedge, and one retry of the model group's budget; False if either is used up."""
        paid = False

        def change() -> Iterable[str]:
            nonlocal paid
            earned = (self._calls - self._counted) * self.policy.budget
            self._counted = self._calls
            self._tokens = min(self._tokens + earned, _BURST)
            paid = self._tokens >= 1.0 and budget.withdraw(group.budget, fleet.budget, now)
            if paid:
                self._tokens -= 1.0
            return ()

        fleet.update(change, now)
        return paid

    def refund(self, group: ModelGroup, fleet: Fleet, now: float) -> None:
        """Gives back what was taken for a hedge that was not sent."""

        def change() -> Iterable[str]:
            self._tokens += 1.0
            group.budget.tokens += 1.0
            return ()

        fleet.update(change, now)


class Hedging:
    """The hedges of one Router."""

    def __init__(self, policy: HedgePolicy | None, by_group: Mapping[str, HedgePolicy | None]) -> None:
        self._policy = policy
        self._by_group = by_group

    def of(self, group: ModelGroup, *, stream: bool) -> Hedges | None:
        """Those of a model group's streams, or of its other calls; None where nothing is hedged."""
        found = group.hedges.get(stream)
        if found is None:
            policy = self._by_group.get(group.name, self._policy)
            if policy is not None:
                found = group.hedges.setdefault(stream, Hedges(policy))
        return found


def hedges_for(journey: Journey, lease: Lease, hedging: Hedging, io: IO) -> Hedges | None:
    """What the attempt that begins now may be hedged with; None if it may not be. Only a call's first attempt is."""
    call = journey.call
    if journey.attempts or not may_be_repeated(call, lease.deployment.spec):
        return None
    found = hedging.of(lease.destination.group, stream=call.stream)
    if found is not None and not io.races:
        journey.notes = (NOT_HEDGED,)
        return None
    return found


def may_be_repeated(call: Call, spec: "DeploymentSpec") -> bool:
    """False if a second copy of the call would leave something behind, or do something twice.

    That is: everything but the creation of a response; background responses; what is added to a provider's
    conversation; responses that the account was asked in so many words to store; tools that the provider calls at
    others' servers.
    """
    if call.operation != "create" or not call.hedge:
        return False
    fields = {**spec.defaults, **spec.extra_body, **call.body, **call.extra_body}
    stored = fields.get("store") is True and (call.wire or spec.adapter.wire) == "openai-responses"
    return not stored and not acts(fields)


class Race(Generic[A]):
    """Up to two attempts of one call at once. The first answer wins; the other attempt is cancelled.

    The failure of one is noted when it happens, and the other goes on, unless the caller is to blame, which no other
    deployment will see differently.
    """

    def __init__(self, journey: Journey, hedges: Hedges, fleet: Fleet, rules: Rules, io: IO, send: Send[A]) -> None:
        self._journey = journey
        self._hedges = hedges
        self._fleet = fleet
        self._rules = rules
        self._io = io
        self._send = send
        self._under_way: list[Lease] = []
        self._won: tuple[A, Lease] | None = None

    async def run(self, lease: Lease, timeout: float) -> tuple[A, Lease]:
        """The first answer, and the lease of who gave it. Raises the last error, after noting it, if there is none."""
        after, first = self._hedges.begin(), self._attempt(lease, timeout)
        self._under_way.append(lease)
        try:
            if after is None:
                await first
            else:
                await self._io.race(first, after, lambda: self._second(lease))
        except BaseException:
            self._give_back()
            raise
        self._end(lease)
        if self._won is not None:
            return self._won
        error = self._journey.last_error
        assert error is not None  # noqa: S101 (an attempt that does not answer fails)
        error.attempts = tuple(self._journey.attempts)
        raise error

    async def _attempt(self, lease: Lease, timeout: float) -> bool:
        """True if there is nothing left to wait for."""
        journey = self._journey
        try:
            answer = await self._send(journey.call, lease, self._io, timeout)
        except APIError as error:
            self._under_way.remove(lease)
            note_failure(journey, lease, error, self._fleet, self._rules, self._io)
            what = journey.last_verdict
            return what is not None and what.outcome == "caller" and not what.retry
        if self._won is None:
            self._won = answer, lease
        else:
            _abandon(answer)
        return True

    def _second(self, first: Lease) -> Coroutine[Any, Any, bool] | None:
        """The attempt at another deployment, if one is ready and the budgets allow it."""
        journey, fleet, now = self._journey, self._fleet, self._io.now()
        group = first.destination.group
        if not self._hedges.pay(group, fleet, now):
            return None
        tries = Tries({first.deployment.id: inf}, groups={group.name}, announced=True, size=journey.tries.size)
        lease = fleet.choose(first.destination, journey.call, tries, now, self._io.rng)
        if isinstance(lease, Lease):
            timeout = attempt_timeout(journey, lease, self._rules, now)
            if timeout > 0 and not lease.probe and may_be_repeated(journey.call, lease.deployment.spec):
                journey.hedged = True
                self._under_way.append(lease)
                return self._attempt(lease, timeout)
            fleet.release(lease, now, None, None)
        self._hedges.refund(group, fleet, now)
        return None

    def _end(self, first: Lease) -> None:
        """Notes who did not win; the port has cancelled them."""
        now, journey = self._io.now(), self._journey
        winner = None if self._won is None else self._won[1]
        if first in self._under_way:
            self._hedges.observe(now - first.started)
        for lease in self._under_way:
            if lease is winner:
                continue
            self._fleet.release(lease, now, None, None)
            attempt = attempt_of(lease, "cancelled", now)
            journey.attempts.append(attempt)
            for sink in self._rules.sinks:
                sink(AttemptFinished(attempt, journey.call.operation, journey.call.stream))

    def _give_back(self) -> None:
        """The call itself was cancelled."""
        for lease in self._under_way:
            self._fleet.release(lease, self._io.now(), None, None)
        if self._won is not None:
            _abandon(self._won[0])


def _abandon(answer: object) -> None:
    """A stream that nobody will read."""
    if isinstance(answer, Begun):
        answer.body.abandon()
