"""What must hold at every step of every world (reliability.md, section 4), checked while it runs.

The facts come from outside: what the network sees, what was planned, when the clock says so. The Router's own state is
what is checked against them.
"""

import json
from collections import Counter
from collections.abc import Mapping
from math import inf
from typing import Any

from tests.simulation import models
from tests.simulation.facts import Choice, Facts
from tests.simulation.models import Budgets, Ledger, Waiting
from tests.simulation.plans import Place, World
from tests.simulation.watching import CALL, End, Exchange, Log, Observer, Violation
from turnout.context import AttemptFinished, Call, CallFinished
from turnout.deployment import Deployment
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Destination, Lease, Ticket, Tries
from turnout.policies import BudgetPolicy, CooldownPolicy, FallbackPolicy
from turnout_adapters.adapter import HTTPRequest
from turnout_adapters.kinds import Kind

LATE = 0.01
"""Virtual seconds by which a call may end after its deadline."""
_PATIENT = 1.0
_MOST_ANNOUNCED = 8
_HEALTH_OF_CLOSED = {"failures": 0, "success": 1.0, "samples": 0, "open_until": None, "auth_failures": 0}


class Invariants(Observer):
    """One run's checks. `fleet` is the Router's; `places` what is configured now, by deployment id."""

    def __init__(self, world: World, fleet: Fleet, now: Any, log: Log, hedges: float) -> None:
        self.world = world
        self.fleet = fleet
        self.now = now
        self.log = log
        self.hedge_share = hedges
        self.places: dict[str, Place] = {}
        self.accounts: dict[str, str] = {}
        self.facts: dict[int, Facts] = {}
        self.under_way: Counter[Deployment] = Counter()
        self.leased: Counter[Deployment] = Counter()
        self.probes: Counter[Deployment] = Counter()
        self.budgets = Budgets(BudgetPolicy())
        self.ledger = Ledger()
        self.waiting: dict[Ticket, Waiting] = {}
        self.joined_ever = 0
        self.panics: dict[tuple[str, str | None], float] = {}
        self.all_out: dict[Any, float] = {}
        self.opened: dict[Deployment, float] = {}
        """When its breaker opened last."""
        self.failed: dict[Deployment, float] = {}
        """When the latest of the attempts that failed there was sent."""
        self.probed: dict[Deployment, float] = {}
        """When its last probe began."""
        self.broken: Violation | None = None
        self.hedges: set[Lease] = set()
        self.overloaded = any(fault.kind == "overloaded" for fault in world.faults)
        self.tagged = bool(world.settings.get("enable_tag_filtering"))
        self.cooldown: CooldownPolicy = fleet.cooldown

    def fail(self, text: str) -> None:
        """Notes the first violation; it is raised after the step, so that the product does not catch it."""
        if self.broken is None:
            self.broken = Violation(text)

    def must(self, holds: object, text: str) -> None:
        if not holds:
            self.fail(text)

    # --- requests

    def sent(self, region: str, request: HTTPRequest, body: Mapping[str, Any]) -> Exchange:
        now, facts = self.now(), self.facts[CALL.get()]
        number = facts.number
        lease = next((one for one, sent in facts.leases.items() if sent is None and one.deployment.id == region), None)
        deployment = self.fleet.deployments.get(region)
        if lease is None or deployment is None:
            self.fail(f"call {number}: a request to {region}, which was not taken for it or is not there any more")
            raise ConnectionRefusedError(region)
        exchange = Exchange(number, lease.deployment, now, body, lease.probe)
        self.log.add(now, f"call {number} -> {region} {'probe' if lease.probe else ''}{_named(request, body)}")
        facts.leases[lease] = exchange
        facts.exchanges.append(exchange)
        self.under_way[lease.deployment] += 1
        self.probes[lease.deployment] += lease.probe
        try:
            self._check_sent(facts, exchange, region, body, now)
        except Violation as violation:
            self.broken = self.broken or violation
        return exchange

    def _check_sent(self, facts: Facts, exchange: Exchange, region: str, body: Mapping[str, Any], now: float) -> None:
        number, one = facts.number, exchange.deployment
        if now >= facts.deadline:
            raise Violation(f"call {number} was sent to {region} after its deadline {facts.deadline:.3f}")
        if facts.ends:
            raise Violation(f"call {number} was sent to {region} after its end")
        if not models.fits(self.places[region], facts.planned, facts.regions, tags=self.tagged):
            raise Violation(f"call {number} was sent to {region}, outside of where it may go: {facts.regions}")
        if one.in_flight < self.under_way[one]:
            raise Violation(f"{region} has {self.under_way[one]} requests under way, and counts {one.in_flight}")
        parallel = one.spec.max_parallel_requests
        if parallel is not None and self.under_way[one] > parallel:
            raise Violation(f"{region} has {self.under_way[one]} requests under way, it may have {parallel}")
        if exchange.probe and self.probes[one] > 1:
            raise Violation(f"{region} is probed by {self.probes[one]} calls at once")
        self._check_state(facts, region, body)

    def _check_state(self, facts: Facts, region: str, body: Mapping[str, Any]) -> None:
        """A call that belongs to an account goes there, or elsewhere with its whole history and without an id."""
        number, account = facts.number, self.accounts[region]
        if facts.account is None:
            return
        named = facts.planned.operation != "create" or "previous_response_id" in body
        if named and account != facts.account:
            raise Violation(f"call {number} belongs to {facts.account}, and was sent with its id to {account}")
        if named:
            return
        facts.moved = True
        steps = self.world.settings.get("on_pin_unavailable")
        there = any(self.accounts[one] == facts.account for one in self.fleet.deployments)
        barred = facts.there and there and steps is not None and "replay" not in steps
        if not self.world.settings.get("transcripts") or barred:
            raise Violation(f"call {number} lost its previous_response_id on the way to {region}")
        said, at = json.dumps(body.get("input")), 0
        for one in (*facts.history, marker(number)):
            at = said.find(one, at)
            if at < 0:
                raise Violation(f"call {number} was continued at {region} without {one!r} of its history")

    def ended(self, exchange: Exchange, end: End) -> None:
        now = self.now()
        exchange.end, exchange.ended_at = end, now
        self.under_way[exchange.deployment] -= 1
        self.probes[exchange.deployment] -= exchange.probe
        self.log.add(now, f"call {exchange.call} <- {exchange.deployment.id} {end} {exchange.status or ''}")

    # --- choices

    def before_choice(
        self, destination: Destination, call: Call, tries: Tries, now: float, ticket: Ticket | None
    ) -> Choice:
        facts = self.facts[CALL.get()]
        facts.call = call
        hedge = not tries.made and bool(tries.again_at)
        may = self._candidates(facts, destination, call)
        if tries.made or hedge:
            may = [one for one in may if models.open_to(one, tries, now)]
        room = [one for one in may if models.has_room(one, call, tries, now)]
        able = [one for one in room if one.health.open_until is None]
        half = [one for one in room if self._is_half_open(one, now)]
        resting = [one for one in room if one.health.open_until is not None and not one.health.probing]
        head = self._head(destination, call)
        free = {one.id for one in may if models.is_free(one, now)}
        turn = head is None or head is ticket
        last_panic = destination.group.last_panic.get(call.pin)
        return Choice(facts, destination, call, tries, able, half, resting, free, turn, hedge, last_panic)

    def _is_half_open(self, one: Deployment, now: float) -> bool:
        """Its rest is over and nobody probes it, or its probe of this rest has lasted so long that it is good news."""
        health = one.health
        if health.open_until is None:
            return False
        if not health.probing:
            return health.open_until <= now
        return health.proven_at <= now and self.opened.get(one, -1.0) <= self.probed.get(one, -1.0)

    def after_choice(self, before: Choice, found: Any, now: float, *, panic: bool) -> None:
        try:
            if isinstance(found, Lease):
                self._check_taken(before, found, now, panic=panic)
        except Violation as violation:
            self.broken = self.broken or violation

    def _check_taken(self, before: Choice, lease: Lease, now: float, *, panic: bool) -> None:
        facts, one = before.facts, lease.deployment
        number, group = facts.number, before.destination.group.name
        why = models.why_not(one, before.call, before.tries, now)
        if any(other.deployment is one for other in facts.leases):
            raise Violation(f"call {number} is sent to {one.id} twice at once")
        facts.leases[lease] = None
        self.leased[one] += 1
        self.log.add(now, f"call {number} takes {one.id}")
        last_resort = one not in before.able and one not in before.half
        if last_resort and not (panic and one in before.resting):
            raise Violation(f"call {number} took {one.id}, which may not or cannot take it: {why}")
        if not before.tries.made and not before.turn and not lease.probe:
            raise Violation(f"call {number} went past those who wait for {group}")
        if lease.probe:
            self.probed[one] = now
        if last_resort and before.able and not before.tries.made and before.turn:
            raise Violation(f"call {number} probes {one.id} while {before.able[0].id} is well")
        slot = before.destination.group.last_panic.get(before.call.pin) != before.last_panic
        if slot or last_resort:
            last = self.panics.get((group, before.call.pin), -inf)
            if now < last + self.cooldown.panic_interval - 1e-6:
                raise Violation(f"{one.id} is probed {now - last:.3f} s after the last probe in {group}: {why}")
            self.panics[group, before.call.pin] = now
        bound = before.call.pin is not None or before.call.home is not None or before.destination.only is not None
        plain = (
            not before.tries.made and not before.hedge and not bound and before.turn and not self.fleet.providers.ill
        )
        if plain and before.able:
            lowest = min(other.spec.order for other in before.able)
            if one.spec.order > lowest:
                raise Violation(f"call {number} took {one.id} of order {one.spec.order}; there was one of {lowest}")
        self._account_for(before, lease, group, now, panic=slot)
        self.ledger.reserved(lease, now)

    def _account_for(self, before: Choice, lease: Lease, group: str, now: float, *, panic: bool) -> None:
        """Says why this attempt may be made: see `Budgets`."""
        facts = before.facts
        if before.hedge:
            kind = "hedge"
            self.hedges.add(lease)
            if len(self.hedges) > self.hedge_share * (len(self.facts) + 1):
                raise Violation(f"{len(self.hedges)} hedges for {len(self.facts)} calls")
        elif group not in facts.failed_groups:
            kind = "first"
        elif facts.free_pass or (before.call.replayed and not facts.moved):
            kind = "announced"
        elif lease.deployment.id in before.free:
            kind = "free"
        else:
            kind = "panic" if panic else "paid"
        self.budgets.attempt(kind, group, now, f"call {facts.number} at {lease.deployment.id}")
        in_hand, earned = before.destination.group.budget.tokens, self.budgets.of(group).tokens
        if in_hand > earned + 1e-6:
            raise Violation(f"{group} has {in_hand:.3f} retries in hand, and has earned {earned:.3f}")
        most_groups = 1 + self.world.settings.get("max_fallbacks", FallbackPolicy().limit)
        facts.groups.add(group)
        if len(facts.groups) > most_groups:
            raise Violation(f"call {facts.number} went to {len(facts.groups)} groups, not {most_groups}")
        if facts.account is None and facts.failures[group] > self._most_retries(facts):
            raise Violation(f"call {facts.number} is sent again after {facts.failures[group]} failures in {group}")

    def _most_retries(self, facts: Facts) -> int:
        settings = self.world.settings
        policies = [settings.get("retry_policy", {}).values()]
        most = max([settings["num_retries"], *(value for policy in policies for value in policy)])
        own = facts.planned.options.get("num_retries")
        retries = most if own is None else own
        again = 1 + retries if self.overloaded else 0  # a group whose provider was overloaded may be come back to
        return retries + int(self.hedge_share > 0) + again

    def _candidates(self, facts: Facts, destination: Destination, call: Call) -> list[Deployment]:
        """The deployments that the call may go to, read off the list of all."""
        group = destination.group.name
        found: list[Deployment] = []
        for one in self.fleet.deployments.values():
            if one.spec.model_group != group and not call.stateless:
                continue
            if call.pin is not None and one.domain != call.pin:
                continue
            if destination.only is not None and one not in destination.only:
                continue
            if models.fits(self.places[one.id], facts.planned, facts.regions, tags=self.tagged):
                found.append(one)
        return found

    # --- giving back

    def before_release(self, lease: Lease, now: float, record: Any) -> Any:
        return lease.open, models.shown(lease.deployment.health), record is not None

    def after_release(self, lease: Lease, before: Any, now: float) -> None:
        was_open, health, recorded = before
        if not was_open:
            return
        facts = next((one for one in self.facts.values() if lease in one.leases), None)
        if facts is None:
            self.fail(f"{lease.deployment.id} is given back by nobody")
            return
        exchange = facts.leases.pop(lease)
        self.leased[lease.deployment] -= 1
        if exchange is None and lease in self.hedges:
            self.hedges.remove(lease)
            self.budgets.refunded(lease.destination.group.name, now)
        self.log.add(now, f"call {facts.number} gives {lease.deployment.id} back{' with word' if recorded else ''}")
        try:
            self._check_health(facts, lease, exchange, health, recorded, now)
            self.ledger.settled(lease, exchange, now, stream=facts.planned.stream)
        except Violation as violation:
            self.broken = self.broken or violation

    def _check_health(
        self, facts: Facts, lease: Lease, exchange: Exchange | None, before: Any, recorded: bool, now: float
    ) -> None:
        """A mistake of the caller's, a throttle, or a caller who leaves, changes nothing of a deployment's health."""
        one, status = lease.deployment, None if exchange is None else exchange.status
        after = models.shown(one.health)
        number = facts.number
        if after["open_until"] is not None and after["open_until"] != before["open_until"]:
            self.opened[one] = now
        answered = exchange is not None and exchange.end == "answered"
        silent = status is None and (exchange is None or exchange.end == "given up")
        if recorded and not answered:
            facts.failed_groups.add(one.spec.model_group)
            retries = facts.planned.options.get("num_retries", self.world.settings["num_retries"])
            told = exchange is not None and status == 429 and exchange.announced
            facts.free_pass = told and facts.announced < _MOST_ANNOUNCED and retries > 0
            facts.announced += facts.free_pass
            facts.failures[one.spec.model_group] += not facts.free_pass
        allowed = dict(before)
        if recorded and status is not None and 400 <= status < 500 and status != 401 and lease.probe:
            allowed |= _HEALTH_OF_CLOSED
        if recorded and status == 429:
            allowed["throttled_until"] = after["throttled_until"]
            self._check_throttle(one, exchange, now)
        if not recorded or (status is not None and 400 <= status < 500 and status != 401):
            if after != allowed:
                what = "left" if not recorded else f"got a {status}"
                raise Violation(f"call {number} {what} and the health of {one.id} went from {before} to {after}")
        elif answered and ((one.health.failures and self._is_newer(exchange)) or one.health.last_success != now):
            raise Violation(f"call {number} was answered by {one.id}, which counts {one.health.failures} failures")
        elif silent and _is_impatient(facts):
            if after != before:
                raise Violation(f"call {number} gave {one.id} no time, and its health went from {before} to {after}")
        elif not answered and self._is_only_slow(lease, exchange, before):
            if after != before:
                raise Violation(f"{one.id} only kept call {number} waiting, and went from {before} to {after}")
        elif not answered and one.health.failures != before["failures"] + 1 and now < facts.deadline - LATE:
            raise Violation(f"call {number} failed at {one.id}, which went from {before} to {after}")
        if lease.probe and one.health.probing:
            raise Violation(f"the probe of {one.id} is over, and it is held to be probed")
        failed = one.health.failures > before["failures"]
        if failed and exchange is not None:
            self.failed[one] = max(exchange.at, self.failed.get(one, 0.0))
        self._check_breaker(one, now, failed=failed)

    def _is_only_slow(self, lease: Lease, exchange: Exchange | None, before: Any) -> bool:
        """It was given up, but had answered another call in the second half of that time."""
        last, policy = before["last_success"], self.cooldown
        counted = policy.allowed_fails_by_kind.get(Kind.TIMEOUT, policy.allowed_fails) is not None
        gave_up = exchange is not None and exchange.end == "given up" and not lease.probe
        lately = last is not None and last > (lease.started + self.now()) / 2
        return gave_up and not counted and self.fleet.learns and lately

    def _is_newer(self, exchange: Exchange | None) -> bool:
        """It was sent after all that failed, so that its answer is a sign of life."""
        return exchange is not None and exchange.at > self.failed.get(exchange.deployment, -1.0) + 1e-6

    def _check_throttle(self, one: Deployment, exchange: Exchange | None, now: float) -> None:
        told = None if exchange is None else exchange.retry_after
        if told is not None and self.cooldown.enabled and one.health.throttled_until < now + told - 1e-6:
            raise Violation(f"{one.id} asked for {told} s, and rests until {one.health.throttled_until:.3f}")

    def _check_breaker(self, one: Deployment, now: float, *, failed: bool) -> None:
        health, policy = one.health, self.cooldown
        if not policy.enabled:
            if health.open_until is not None or health.throttled_until > now:
                raise Violation(f"{one.id} rests although nothing may")
            return
        plain = policy.allowed_fails is None and not policy.allowed_fails_by_kind
        if plain and failed and health.failures >= policy.consecutive and health.open_until is None:
            raise Violation(f"{one.id} has failed {health.failures} times in a row, and its breaker is closed")
        low = health.samples >= policy.min_samples and health.success < policy.success_rate
        if plain and failed and low and health.open_until is None:
            raise Violation(f"{one.id} answers {health.success:.0%} of its calls, and its breaker is closed")
        longest = max(policy.cap, policy.auth_pause, one.spec.cooldown_time or 0.0)
        if health.open_until is not None and health.open_until > now + longest + 1e-6:
            raise Violation(f"{one.id} rests until {health.open_until:.3f}, longer than {longest} s")

    # --- lines

    def joined(self, ticket: Ticket, destination: Destination, call: Call) -> None:
        now, number = self.now(), CALL.get()
        may = self._candidates(self.facts[number], destination, call)
        room = [one for one in may if models.has_room(one, call, Tries(), now) and one.health.open_until is None]
        if room and self._head(destination, call) in (None, ticket):
            self.fail(f"call {number} waits in line while {room[0].id} could take it")
        self.waiting[ticket] = Waiting(number, self.joined_ever, destination, call)
        self.joined_ever += 1
        self.log.add(now, f"call {number} waits in line")

    def _head(self, destination: Destination, call: Call) -> Ticket | None:
        """The first in line among those who wait for the same deployments."""
        wanted = (destination.group.name, call.pin, call.regions, call.tags)
        for queue in self.fleet._queues.waiting.values():
            first = self.waiting.get(queue[0])
            if first is None or models.ids(first.destination) != models.ids(destination):
                continue
            other = first.call
            if (first.destination.group.name, other.pin, other.regions, other.tags) == wanted:
                return queue[0]
        return None

    def told(self, event: AttemptFinished | CallFinished) -> None:
        """The Router's own telemetry."""
        self.facts[CALL.get()].told[type(event).__name__] += 1


def marker(number: int) -> str:
    return f"[{number}]"


def _named(request: HTTPRequest, body: Mapping[str, Any]) -> str:
    previous = body.get("previous_response_id")
    return f"{request.method}{' stream' if body.get('stream') else ''}{f' after {previous[:12]}' if previous else ''}"


def _is_impatient(facts: Facts) -> bool:
    """The caller itself gave less than a second, and that it ran out proves nothing."""
    own = [facts.planned.options.get(name) for name in ("timeout", "attempt_timeout")]
    return any(one is not None and one < _PATIENT for one in own)
