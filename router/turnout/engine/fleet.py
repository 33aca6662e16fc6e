"""Which deployments there are, which can take a call now, and who is waiting for one.

One lock guards all state of deployments; it is held for pure code only, so any number of threads and event loops may
share a Router. Nothing here waits, reads a clock or draws a number by itself. What is given back may come from a
finalizer in the middle of all this: then it is left in a queue, which the next call empties.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import inf
from random import Random
from typing import TYPE_CHECKING

from turnout.context import Call, Observation, Pick, size_of
from turnout.deployment import Deployment, ModelGroup
from turnout.engine import budget, cooldown, probing
from turnout.engine.blocked import in_line, why_blocked
from turnout.engine.leases import Blocked, Destination, Lease, Ticket, Tries
from turnout.engine.port import Waiter
from turnout.engine.preference import preferred
from turnout.engine.providers import Providers
from turnout.engine.queues import Queues, queue_key
from turnout.engine.ready import bring_back, reindex
from turnout.engine.roster import Roster
from turnout.engine.tiers import tiers
from turnout.errors import TurnoutError
from turnout.limits.book import LimitBook
from turnout.limits.quota import Usage
from turnout.policies import BudgetPolicy, CooldownPolicy, WaitPolicy
from turnout.protocols import Applies, Compares, Learns, PreCallCheck, Strategy
from turnout_adapters.forks import Guard, in_forked_children

if TYPE_CHECKING:  # data of the configuration layer, needed for annotations only
    from turnout.config import DeploymentSpec


_CHECKED = 64
"""Up to this many candidates a strategy's choice is looked for among them."""


class Fleet:
    """All model groups and deployments of one Router."""

    def __init__(
        self,
        strategy: Strategy,
        checks: Sequence[PreCallCheck],
        cooldown_policy: CooldownPolicy,
        budget_policy: BudgetPolicy,
        wait_policy: WaitPolicy,
        limits: LimitBook | None = None,
    ) -> None:
        self.limits = LimitBook() if limits is None else limits
        self._roster = Roster(self.limits, budget_policy, self._wake)
        self.groups = self._roster.groups
        self.deployments = self._roster.deployments
        self.domains = self._roster.domains
        self.strategy = strategy
        self._learner = strategy if isinstance(strategy, Learns) else None
        self.learns = self._learner is not None
        """The strategy judges by itself who is slow."""
        self._compares = strategy if isinstance(strategy, Compares) else None
        self.checks = tuple(checks)
        self._checks = [(one, one if isinstance(one, Applies) else None) for one in checks]
        self.cooldown = cooldown_policy
        self.budget = budget_policy
        self.providers = Providers(enabled=cooldown_policy.enabled)
        self.on_rest: Callable[[Deployment, float], None] | None = None
        """Told, under the lock, of a deployment that begins or ends a rest, and the time; it must not wait."""
        self._max_queue = wait_policy.max_queue
        self._queues = Queues(self._max_queue)
        self._lock = Guard()
        self._open: set[Lease] = set()
        self._late: deque[Callable[[], None]] = deque()
        """What finalizers gave back, not done yet."""
        self._last = 0.0
        """The latest time that was told."""
        in_forked_children(self._begin_anew)

    def _begin_anew(self) -> None:
        """In a forked child: the calls under way, and those that wait, are the parent's."""
        self._late.clear()
        self._queues = Queues(self._max_queue)
        for lease in list(self._open):
            self._release(lease, self._last, None, None, None)

    # --- membership

    def add(self, spec: "DeploymentSpec", now: float) -> Deployment:
        """Adds a deployment, or changes the one of this id in place: calls under way go on.

        Raises ConfigError if money is limited and the deployment's prices are not known; nothing has changed then.
        """
        with self._lock():
            return self._roster.put(spec, now)

    def remove(self, deployment_id: str, now: float) -> bool:
        """Takes a deployment out for new calls; those under way finish. False if there is none of this id."""
        with self._lock():
            return self._roster.take_out(deployment_id, now)

    # --- choosing

    def choose(
        self,
        destination: Destination,
        call: Call,
        tries: Tries,
        now: float,
        rng: Random,
        *,
        ticket: Ticket | None = None,
        panic: bool = False,
    ) -> Lease | Blocked:
        """Takes a deployment for one attempt, or says why there is none.

        With `panic`, and every deployment resting, one of them is probed all the same, every few seconds.
        """
        with self._lock():
            self._catch_up()
            self._last = now
            group = destination.group
            bring_back(group, now)
            timely = probing.has_time(call, now)
            if tries.made == 0 and not self._is_turn(destination, call, ticket):
                probe = self._panic(destination, call, tries, now) if panic and timely else None
                return probe or in_line(group.name, self._members(destination, call), self.checks, call, tries, now)
            pick = Pick(call, now, rng, group.is_uniform(now))
            over_budget = False
            bound = self._members(destination, call) if destination.only is not None or call.pin is not None else None
            shunned = self.providers.shunned(now) if self.providers.ill else ()
            for candidates in tiers(group, bound, self.domains, call, tries, now, shunned):
                fit = self._fit(candidates if timely else probing.without_probes(candidates), call, group)
                while fit:
                    chosen, by_key = self._pick(fit, pick, group)
                    if tries.must_pay(group.name) and not budget.may_retry(group.budget, self.budget, chosen, now):
                        over_budget = True
                        fit = [one for one in fit if budget.is_free(one, now)]
                    elif (lease := self._take(destination, chosen, call, tries, now)) is not None:
                        lease.by_key = by_key
                        if self.providers.ill:
                            self.providers.begin(chosen.spec.provider, now)
                        return lease
                    fit = [one for one in fit if one is not chosen and cooldown.has_room(one, tries.size, now)]
            if panic and timely and (probe := self._panic(destination, call, tries, now)) is not None:
                return probe
            members = self._members(destination, call)
            # what others lend may come sooner than was foreseen, with nothing happening here that would show it
            self._look_again((one.id for one in members if one.limits is not None and one.position < 0), now)
            probed_at = max(now + 0.01, group.last_panic.get(call.pin, -inf) + self.cooldown.panic_interval)
            next_panic = probed_at if panic else inf
            return why_blocked(members, self.checks, call, tries, now, over_budget=over_budget, next_panic=next_panic)

    def _members(self, destination: Destination, call: Call) -> Sequence[Deployment]:
        if destination.only is not None:
            members: Sequence[Deployment] = destination.only
        elif call.pin is not None:
            members = self.domains.get(call.pin, ())
        else:
            return destination.group.members
        pinned = [one for one in members if (call.pin is None or one.domain == call.pin) and not one.removed]
        if call.stateless:
            return pinned
        return [one for one in pinned if one.spec.model_group == destination.group.name]

    def _fit(self, candidates: Sequence[Deployment], call: Call, group: ModelGroup) -> Sequence[Deployment]:
        for check, applies in self._checks:
            if applies is not None and not applies.applies(call, group):
                continue
            candidates = [one for one in candidates if check.reject(one, call) is None]
        return candidates

    def _pick(self, fit: Sequence[Deployment], pick: Pick, group: ModelGroup) -> tuple[Deployment, bool]:
        """The deployment to take, and whether the call's affinity key chose it."""
        key = pick.call.affinity
        if len(fit) == 1:
            return fit[0], key is not None
        if key is not None:
            near = self._compares.comparable(fit, pick.now) if self._compares is not None and key.bounded else fit
            if (first := preferred(near, key, group)) is not None:
                return first, True
        chosen = self.strategy.pick(fit, pick)
        looked_for = len(fit) <= _CHECKED or pick.call.regions
        if self.deployments.get(chosen.id) is not chosen or (looked_for and chosen not in fit):
            raise TurnoutError(
                f"strategy {type(self.strategy).__name__} returned {chosen!r}, not one of the candidates"
            )
        return chosen, False

    def _take(
        self,
        destination: Destination,
        deployment: Deployment,
        call: Call,
        tries: Tries,
        now: float,
        *,
        probe: bool = False,
    ) -> Lease | None:
        lease = Lease(deployment, destination, now)
        limits = deployment.limits
        if limits is not None:
            if tries.size is None:
                tries.size = size_of(call)
            if limits.room_at(tries.size, now) > now:
                limits.ask(tries.size, now)
                self._look_again((deployment.id,), now)
                return None
            lease.reservation = limits.reserve(tries.size, now)
        deployment.in_flight += 1
        self._open.add(lease)
        if self._learner is not None:
            lease.token = self._learner.started(deployment, call, now)
        lease.probe = cooldown.begin(deployment, probe=probe, now=now)
        if limits is not None:
            self._look_again((deployment.id, *limits.sharers_of_full(now)), now)
        elif lease.probe or deployment.spec.max_parallel_requests is not None:
            self._look_again((deployment.id,), now)
        if destination.group.name not in tries.groups:
            budget.deposit(destination.group.budget, self.budget, now)
        return lease

    def _panic(self, destination: Destination, call: Call, tries: Tries, now: float) -> Lease | None:
        """A probe where nothing else can take the call: of what is half-open at once, else every few seconds.

        A retry that its budget does not cover is no reason for more than that.
        """
        group = destination.group
        fit = self._fit(self._members(destination, call), call, group)
        while (chosen := probing.first_due(fit, tries, now)) is not None:
            early = tries.must_pay(group.name) or not probing.is_half_open(chosen, now)
            if early and now < group.last_panic.get(call.pin, -inf) + self.cooldown.panic_interval:
                return None
            lease = self._take(destination, chosen, call, tries, now, probe=True)
            if lease is not None:
                if early:
                    group.last_panic[call.pin] = now
                return lease
            fit = [one for one in fit if one is not chosen]
        return None

    # --- giving back

    def release(
        self,
        lease: Lease,
        now: float,
        record: Callable[[Deployment], None] | None,
        used: Usage | None,
        seen: Observation | None = None,
    ) -> None:
        """Gives a deployment back. `record` notes the outcome under the lock; None for a cancelled attempt.

        `used` settles the reservation: what was really used, None to keep the estimate. If nothing was sent, all of it
        is refunded.
        """
        if self._lock.held:
            self._late.append(partial(self._release, lease, now, record, used, seen))
            return
        with self._lock():
            self._catch_up()
            self._release(lease, now, record, used, seen)

    def abandon(self, lease: Lease, now: float) -> None:
        """As `release` of a cancelled attempt, from a finalizer: with the next call, or the next look at the fleet."""
        self._late.append(partial(self._release, lease, now, None, None, None))

    def catch_up(self) -> None:
        """Gives back what finalizers left."""
        if self._late and not self._lock.held:
            with self._lock():
                self._catch_up()

    def _catch_up(self) -> None:
        while self._late:
            self._late.popleft()()

    def _release(
        self,
        lease: Lease,
        now: float,
        record: Callable[[Deployment], None] | None,
        used: Usage | None,
        seen: Observation | None,
    ) -> None:
        if not lease.open:
            return
        lease.open = False
        self._open.discard(lease)
        deployment = lease.deployment
        deployment.in_flight -= 1
        if self._learner is not None:
            self._learner.finished(deployment, seen or lease.given_up(now))
        waiting = lease.settle(used, now)
        if lease.upstream:
            lease.hear()
        if lease.probe:
            deployment.health.probing = False
        if record is not None:
            before = deployment.health.throttled_until, deployment.health.open_until
            record(deployment)
            if self.on_rest is not None and before != (deployment.health.throttled_until, deployment.health.open_until):
                self.on_rest(deployment, now)
        group = self.groups.get(deployment.spec.model_group, lease.destination.group)
        if deployment.health.recovered_at == now:
            group.recovering_until = now + self.cooldown.slow_start
        if not deployment.removed:
            reindex(group, deployment, now)
        self._wake(deployment.spec.model_group)
        if waiting:
            self._look_again(waiting, now, wake=True)

    def answering(self, lease: Lease, now: float) -> None:
        """Notes that a stream has begun, and what the provider said of its own limits."""
        if not lease.upstream and self._learner is None:
            return
        with self._lock():
            if self._learner is not None:
                self._learner.answering(lease.deployment, lease.token, now)
            if lease.upstream:
                lease.hear()
                self._look_again((lease.deployment.id,), now, wake=True)

    def update(self, change: Callable[[], Iterable[str]], now: float) -> None:
        """Makes a change under the lock, and looks at the deployments again whose ids it returns. It must not wait."""
        with self._lock():
            self._look_again(change(), now, wake=True)

    def _look_again(self, ids: Iterable[str], now: float, *, wake: bool = False) -> None:
        found = [self.deployments[one] for one in ids if one in self.deployments]
        for deployment in found:
            reindex(self.groups[deployment.spec.model_group], deployment, now)
        for name in dict.fromkeys(one.spec.model_group for one in found) if wake else ():
            self._wake(name)

    def hint(self, deployment_id: str, now: float, throttled: float, rest: float | None) -> None:
        """Another process says that a deployment is throttled, or its breaker open, for so many more seconds.

        A rest of None says nothing of the breaker, 0 that it is closed: one that is open here, with no probe on its
        way, is probed next. What happens then is judged here: a hint opens a breaker and never counts as a failure.
        """
        with self._lock():
            deployment = self.deployments.get(deployment_id)
            if deployment is None:
                return
            cooldown.take_hint(deployment, now, throttled, rest, self.cooldown)
            group = self.groups[deployment.spec.model_group]
            reindex(group, deployment, now)
            self._wake(group.name)

    # --- queues

    def join(self, destination: Destination, call: Call, waiter: Waiter) -> Ticket:
        """Takes a place in the queue of the calls that could use the same deployments.

        Raises NoDeploymentAvailable if too many are waiting already.
        """
        with self._lock():
            return self._queues.join(queue_key(destination, call), waiter)

    def leave(self, ticket: Ticket) -> None:
        """Gives the place up, served or not; the next in line looks again."""
        self._late.append(partial(self._queues.leave, ticket))
        self.catch_up()

    def is_head(self, ticket: Ticket) -> bool:
        """True if it is this call's turn."""
        with self._lock():
            return self._queues.head(ticket.key) is ticket

    def watch(self, group: str, waiter: Waiter) -> None:
        """Wakes the waiter at the next outcome in the group."""
        with self._lock():
            self._queues.watch(group, waiter)

    def unwatch(self, group: str, waiter: Waiter) -> None:
        """Ends `watch`."""
        self._late.append(partial(self._queues.unwatch, group, waiter))
        self.catch_up()

    def _is_turn(self, destination: Destination, call: Call, ticket: Ticket | None) -> bool:
        if not self._queues.waiting:
            return True
        return self._queues.head(queue_key(destination, call)) in (None, ticket)

    def _wake(self, group: str) -> None:
        self._queues.wake(group)
