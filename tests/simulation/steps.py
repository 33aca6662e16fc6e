"""What is looked at after every step of the event loop, at the end of each call, and at the end of a world."""

import re
from typing import Any, Literal

from tests.simulation import models
from tests.simulation.facts import Facts
from tests.simulation.invariants import LATE, Invariants
from tests.simulation.watching import Violation, WatchedNetwork
from turnout.errors import APIError, NoDeploymentAvailable, PinnedUnavailable, TurnoutError

_RAW = re.compile(r"resp_[0-9a-f]{48}")
_SLICE = 2.0
"""Seconds after which the first in line looks by itself: nobody tells it what becomes free of a provider's budget."""

Ending = Literal["answer", "error", "left"]


class Steps:
    """The checks of one run that need nothing but a look."""

    def __init__(self, invariants: Invariants, network: WatchedNetwork) -> None:
        self._all = invariants
        self._network = network
        self._idle: dict[int, float] = {}
        """Since when something stands idle that the first in a line could use."""
        shared = "provider_budget_config" in invariants.world.settings
        self._patience = _SLICE + LATE if shared else 0.0

    # --- after every step

    def step(self, idle: bool) -> None:
        """`idle`: nothing more happens before time moves on."""
        seen = self._all
        seen.fleet.catch_up()
        if seen.broken is not None:
            raise seen.broken
        for one, count in seen.leased.items():
            if one.in_flight != count:
                raise Violation(f"{one.id} has {count} attempts under way, and counts {one.in_flight}")
            if idle and seen.under_way[one] != count:
                raise Violation(f"{one.id} counts {count} attempts, and {seen.under_way[one]} requests are under way")
        if idle:
            for one in seen.fleet.deployments.values():
                if one.health.probing and not seen.probes[one]:
                    raise Violation(f"{one.id} is held to be probed by a call that is not there")
            if seen.fleet._queues.waiting:
                self._check_lines()

    def _check_lines(self) -> None:
        """Nobody waits for what is there, and where all are resting one is probed every few seconds."""
        seen, now = self._all, self._all.now()
        steps = seen.world.settings.get("on_pin_unavailable")
        for key, queue in seen.fleet._queues.waiting.items():
            first = seen.waiting[queue[0]]
            facts = seen.facts[first.number]
            tries = models.Tries()
            may = seen._candidates(facts, first.destination, first.call)
            room = [one for one in may if models.has_room(one, first.call, tries, now)]
            ready = [one.id for one in room if one.health.open_until is None]
            if not ready:
                self._idle.pop(first.number, None)
            elif now > self._idle.setdefault(first.number, now) + self._patience:
                raise Violation(f"call {first.number} is first in line, and {ready[0]} stands idle")
            out = [one for one in room if one.health.open_until is not None and not one.health.probing]
            probed = key[1] is None or steps is None or "probe" in steps
            if not out or len(out) < len(may) or not models.has_time(first.call, now) or not probed:
                seen.all_out.pop(key, None)
                continue
            since = max(seen.all_out.setdefault(key, now), seen.panics.get((key[0], key[1]), 0.0))
            if now > since + seen.cooldown.panic_interval + LATE:
                raise Violation(f"all that call {first.number} may use rest since {since:.3f}, and none is probed")

    # --- at the end of a call

    def called(self, facts: Facts, ending: Ending, what: Any, now: float) -> None:
        """It has ended: with an answer (`what`), a TurnoutError, or because its caller left."""
        number = facts.number
        facts.ends += 1
        if facts.ends > 1:
            raise Violation(f"call {number} has ended {facts.ends} times")
        timely = facts.open_ended and facts.first_output
        if ending != "left" and not timely and now > facts.deadline + LATE and facts.planned.reading != "slow":
            raise Violation(f"call {number} ended {now - facts.deadline:.3f} s after its deadline")
        if facts.told["CallFinished"] > 1:
            raise Violation(f"call {number} was reported {facts.told['CallFinished']} times")
        if ending == "answer":
            self._check_answer(facts, what)
        elif ending == "error":
            self._check_error(facts, what, now)

    def _check_answer(self, facts: Facts, response: Any) -> None:
        planned, number = facts.planned, facts.number
        if facts.told["CallFinished"] != 1:
            raise Violation(f"call {number} was answered, and reported {facts.told['CallFinished']} times")
        route = response.about.route
        if planned.operation != "create" and not any(one.end == "answered" for one in facts.exchanges):
            return  # told from the transcript, as its account could not be asked
        if facts.told["AttemptFinished"] != len(facts.exchanges):
            raise Violation(f"call {number}: {len(facts.exchanges)} requests, {facts.told['AttemptFinished']} reported")
        if len(route.attempts) != len(facts.exchanges):
            raise Violation(f"call {number}: {len(facts.exchanges)} requests, its route shows {len(route.attempts)}")
        winners = {one.deployment.id for one in facts.exchanges if one.end == "answered"}
        if getattr(response, "status", None) == "completed" and route.deployment not in winners:
            raise Violation(f"call {number} was answered by {route.deployment}, but {winners} answered")
        if planned.operation != "create":
            return
        if (response.metadata or {}).get("call") != str(number):
            raise Violation(f"call {number} got the answer to another: {response.metadata}")
        if facts.previous is not None and response.previous_response_id != facts.previous:
            raise Violation(f"call {number} continues {facts.previous}, its answer {response.previous_response_id}")
        if (route.affinity == "replayed") != facts.moved:
            raise Violation(f"call {number} has the affinity {route.affinity}, replayed: {facts.moved}")

    def _check_error(self, facts: Facts, error: BaseException, now: float) -> None:
        if not isinstance(error, TurnoutError):
            raise Violation(f"call {facts.number} ended with {error!r}, which is no TurnoutError") from error
        if _RAW.search(str(error)):
            raise Violation(f"call {facts.number} was told an id that only its account knows: {error}")
        if facts.told["CallFinished"] != 1 and facts.exchanges:
            raise Violation(f"call {facts.number} failed, and was reported {facts.told['CallFinished']} times")
        if isinstance(error, APIError) and facts.exchanges and len(error.attempts) > len(facts.exchanges):
            raise Violation(f"call {facts.number}: {len(error.attempts)} attempts told of {len(facts.exchanges)}")
        self._check_refusal(facts, error, now)

    def _check_refusal(self, facts: Facts, error: TurnoutError, now: float) -> None:
        """Nobody is told that there is no deployment while there is one, and time to use it."""
        seen, call = self._all, facts.call
        if not isinstance(error, NoDeploymentAvailable | PinnedUnavailable) or call is None or facts.exchanges:
            return
        in_time = now < min(facts.deadline, facts.started + seen.world.settings.get("max_wait", 60.0)) - LATE
        if not in_time or "max_queue" in error.message or facts.planned.operation != "create":
            return
        group = seen.fleet.groups.get(facts.planned.model)
        if group is None:
            return
        may = seen._candidates(facts, models.Destination(group), call)
        room = [one for one in may if models.has_room(one, call, models.Tries(), now)]
        ready = [one.id for one in room if one.health.open_until is None]
        if ready:
            raise Violation(f"call {facts.number} was told {error.message!r}, and {ready[0]} stands idle")

    # --- at the end

    def done(self, now: float) -> None:
        """Everything is given back."""
        seen, fleet = self._all, self._all.fleet
        unended = [facts.number for facts in seen.facts.values() if facts.ends != 1]
        if unended:
            raise Violation(f"calls without an end: {unended}")
        for one in {**seen.leased, **dict.fromkeys(fleet.deployments.values())}:
            if one.in_flight or one.health.probing:
                raise Violation(f"{one.id} still counts {one.in_flight} calls, probing: {one.health.probing}")
        left = [facts.number for facts in seen.facts.values() if facts.leases]
        if left:
            raise Violation(f"calls {left} have kept a deployment")
        if fleet._queues.waiting or fleet._queues._watchers:
            raise Violation("somebody is still in line")
        for region in self._network.regions.values():
            service = region.service
            if region.in_flight or service is None or service.under_way or (service.slots and service.slots.working):
                raise Violation(f"{region.name} still works on {region.in_flight} requests")
            foreign = getattr(region, "foreign", [])
            if foreign:
                raise Violation(f"{region.name} was asked for {foreign[0]}, which is another account's")
        seen.ledger.check_all(now)
        self._check_index()

    def _check_index(self) -> None:
        """The index of ready deployments is what it stands for."""
        for group in self._all.fleet.groups.values():
            for level, ready in group.ready.items():
                for position, one in enumerate(ready):
                    if one.position != position or one.level != level or one.removed or one not in group.members:
                        raise Violation(f"{one.id} is at the wrong place among those of {group.name} that are ready")
