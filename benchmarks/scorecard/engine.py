"""Plays a scenario for the model of a router: one heap of events, no event loop, some ten microseconds an event.

The regions are the same `Service` objects that the real Router meets in its simulation. What they plan is acted out
here as `turnout.sim.serving` does it there: a refusal comes after its seconds, an answer first needs its place in the
region's line, and a call that is given up leaves it.
"""

import heapq
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

from benchmarks.scorecard.scenario import Scenario
from turnout.sim.record import Outcome, Try
from turnout.sim.service import REFUSED, Plan, Size
from turnout.sim.slots import Place
from turnout.sim.traffic import Arrival

NO_CONNECTION = 0
"""Status of an attempt whose connection was refused, or broke."""
TIMED_OUT = 408
"""Status of an attempt that its router gave up."""
_MISTAKEN = Plan(404, 0.05, 0.05, code="not_found")
_ERRORS = {
    NO_CONNECTION: "APIConnectionError",
    401: "AuthenticationError",
    404: "NotFoundError",
    TIMED_OUT: "Timeout",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "ServiceUnavailableError",
    529: "OverloadedError",
}
_OUTCOMES = {200: "ok", 404: "caller", 429: "throttle", 529: "provider"}
"""Of an attempt, by status; the deployment is to blame for all others."""


class Ending(NamedTuple):
    """How an attempt ended, as its router sees it."""

    region: str | None
    """None if nobody was asked."""
    status: int
    seconds: float = 0.0
    output_tokens: int = 0
    retry_after: int | None = None
    """Whole seconds, from the header of that name."""
    error: str | None = None
    """What the caller gets; None for the usual class of the status."""


class Next(NamedTuple):
    """What a router does after a failure."""

    again: bool
    pause: float = 0.0
    """Seconds until then."""


AT_ONCE = Next(again=True)
GIVE_UP = Next(again=False)


class Call:
    """One call while it is played."""

    __slots__ = (
        "at", "attempts", "begun", "deadline", "due", "give_up", "mistaken", "peer", "place", "plan", "region", "sent",
        "shunned", "size", "stopped", "tries", "waited",
    )  # fmt: skip

    def __init__(self, at: float, deadline: float, size: Size, mistaken: bool, peer: "Peer") -> None:
        self.at = at
        self.size = size
        self.mistaken = mistaken
        self.peer = peer
        self.deadline = deadline
        self.due = -1
        """Number of the event that it waits for; earlier ones are void."""
        self.attempts = 0
        """How often its router was asked where to send it."""
        self.tries: list[Try] = []
        self.shunned: list[str] = []
        """For the router's notes: regions that it should not go to again."""
        self.region = ""
        self.sent = 0.0
        self.give_up = 0.0
        self.plan = REFUSED
        self.place: Place | None = None
        self.begun = False
        self.stopped = 0.0
        self.waited = 0.0


class Peer(Protocol):
    """A router's rules. One object is one process, which knows nothing of the others."""

    patient: bool
    """True if it knows no timeout of attempts."""

    def join(self, region: str) -> None:
        """A region is added to the configuration."""
        ...

    def pick(self, call: Call, now: float) -> str | Ending | None:
        """Where to send the call now; how it ended if nowhere; None if the router will `resume` it."""
        ...

    def succeeded(self, call: Call, ending: Ending, now: float) -> None:
        """The call was answered."""
        ...

    def failed(self, call: Call, ending: Ending, now: float) -> Next:
        """An attempt failed, or nobody could be asked."""
        ...

    def cancelled(self, call: Call, now: float) -> None:
        """The caller's patience ended while an attempt was under way, or while the call was parked."""
        ...

    def changed(self, now: float) -> None:
        """Something happened to a region. Only an oracle can know."""
        ...


class Engine:
    """Virtual time, the regions, and the calls under way."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.services = scenario.services(seed)
        self.now = 0.0
        self.outcomes: list[Outcome] = []
        self._seed = seed
        self._events: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._number = 0
        self._peers: list[Peer] = []

    def play(self, peers: list[Peer]) -> list[Outcome]:
        """All calls, in order of their arrival. They go to the peers in turn."""
        self._peers = peers
        self._plan_changes()
        calls = self._calls()
        events = self._events
        for call in calls:
            while events and events[0][0] <= call.at:
                self._step()
            self.now = call.at
            self._send(call)
        while len(self.outcomes) < len(calls):
            self._step()
        return sorted(self.outcomes, key=lambda one: one.at)

    def at(self, time: float, action: Callable[[float], None]) -> None:
        """Calls `action` with the time, then."""
        heapq.heappush(self._events, (time, self._numbered(), action, None))

    def resume(self, call: Call) -> None:
        """A router asked for a parked call: it is sent where `pick` says this time."""
        call.waited += self.now - call.stopped
        self._send(call)

    def _plan_changes(self) -> None:
        for name in self.scenario.regions:
            joins = self.scenario.joins.get(name, 0.0)
            if joins > 0:
                self.at(joins, partial(self._join, name))
            else:
                self._join(name, 0.0)
        for change in self.scenario.changes():
            self.at(change.at, partial(self._change, change.region, change.condition, change.value))

    def _calls(self) -> list[Call]:
        mistaken = self.scenario.mistaken(self._seed)
        peers, patience = self._peers, self.scenario.deadline
        return [
            Call(one.at, one.at + patience, _size(one), wrong, peers[at % len(peers)])
            for at, (one, wrong) in enumerate(zip(self.scenario.arrivals, mistaken, strict=True))
        ]

    def _join(self, region: str, now: float) -> None:
        for peer in self._peers:
            peer.join(region)
            peer.changed(now)

    def _change(self, region: str, condition: str, value: float | bool, now: float) -> None:
        self.services[region].change(condition, value)
        for peer in self._peers:
            peer.changed(now)

    def _step(self) -> None:
        self.now, number, action, call = heapq.heappop(self._events)
        if call is None:
            action(self.now)
        elif call.due == number:
            action(call)

    def _numbered(self) -> int:
        self._number += 1
        return self._number

    def _schedule(self, time: float, action: Callable[[Call], None], call: Call) -> None:
        """The one event that the call waits for from now on."""
        call.due = number = self._numbered()
        heapq.heappush(self._events, (time, number, action, call))

    def _send(self, call: Call) -> None:
        call.due = -1
        call.attempts += 1
        chosen = call.peer.pick(call, self.now)
        if isinstance(chosen, str):
            self._attempt(call, chosen)
        elif chosen is None:
            call.attempts -= 1
            call.stopped = self.now
            self._schedule(call.deadline, self._lose_patience, call)
        else:
            self._after(call, chosen)

    def _attempt(self, call: Call, region: str) -> None:
        service = self.services[region]
        call.region = region
        call.sent = now = self.now
        call.give_up = call.deadline if call.peer.patient else min(now + self.scenario.attempt_timeout, call.deadline)
        call.plan = plan = _MISTAKEN if call.mistaken else service.plan(call.size, now)
        if plan.queued and service.slots is not None:
            call.place = service.slots.enter(partial(self._begin, call))
            if not call.begun:
                self._schedule(call.give_up, self._give_up, call)
        else:
            self._begin(call)

    def _begin(self, call: Call) -> None:
        """It is worked on from now on."""
        plan = call.plan
        call.begun = True
        self.services[call.region].under_way += 1
        if plan.status != 200 or plan.cut is None:
            seconds = plan.first if plan.status != 200 else plan.total
        else:
            seconds = plan.first + plan.cut * (plan.total - plan.first)
        end = self.now + seconds
        if end < call.give_up:
            self._schedule(end, self._end, call)
        else:
            self._schedule(call.give_up, self._give_up, call)

    def _end(self, call: Call) -> None:
        plan = call.plan
        self._release(call)
        if plan.status != 200:
            self._after(call, self._tried(call, plan.status))
        elif plan.cut is not None:
            self._after(call, self._tried(call, NO_CONNECTION))
        else:
            ending = self._tried(call, 200)
            call.peer.succeeded(call, ending, self.now)
            self._finish(call, None)

    def _give_up(self, call: Call) -> None:
        self._release(call)
        ending = self._tried(call, TIMED_OUT)
        if self.now < call.deadline:
            self._after(call, ending)
        else:
            call.peer.cancelled(call, self.now)
            self._finish(call, "DeadlineExceededError")

    def _release(self, call: Call) -> None:
        service = self.services[call.region]
        if call.begun:
            call.begun = False
            service.under_way -= 1
        if call.place is not None and service.slots is not None:
            place, call.place = call.place, None
            service.slots.leave(place)

    def _tried(self, call: Call, status: int) -> Ending:
        seconds = self.now - call.sent
        call.tries.append(Try(call.region, call.sent, seconds, _OUTCOMES.get(status, "deployment")))
        told = call.plan.headers.get("retry-after", "") if status == 429 else ""
        return Ending(call.region, status, seconds, call.size.output_tokens, int(told) if told.isdigit() else None)

    def _after(self, call: Call, ending: Ending) -> None:
        """What its router makes of a failure."""
        following = call.peer.failed(call, ending, self.now)
        then = self.now + following.pause
        if then >= call.deadline and following.pause:
            call.waited += call.deadline - self.now
            self._schedule(call.deadline, self._out_of_time, call)
        elif following.again:
            call.waited += following.pause
            self._schedule(then, self._send, call)
        elif following.pause:
            call.waited += following.pause
            self._schedule(then, partial(self._finish, error=_error(ending)), call)
        else:
            self._finish(call, _error(ending))

    def _lose_patience(self, call: Call) -> None:
        call.waited += self.now - call.stopped
        call.peer.cancelled(call, self.now)
        self._out_of_time(call)

    def _out_of_time(self, call: Call) -> None:
        self._finish(call, "DeadlineExceededError")

    def _finish(self, call: Call, error: str | None) -> None:
        call.due = -1
        self.outcomes.append(
            Outcome(
                call.at,
                self.now - call.at,
                error is None,
                call.size.prompt_tokens,
                call.size.output_tokens,
                tuple(call.tries),
                error,
                waited=call.waited,
                blame="caller" if call.mistaken else "provider",
            )
        )


def _size(one: Arrival) -> Size:
    prefix = None if one.conversation is None else str(one.conversation)
    return Size(one.prompt_tokens, one.output_tokens, prefix=prefix)


def _error(ending: Ending) -> str:
    return ending.error or _ERRORS[ending.status]
