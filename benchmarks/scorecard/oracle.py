"""A bound with hindsight: what a router could do that knew of each region what only the region knows.

It knows what ails every region now, how full its limits and its places are, and how fast it is, but not the luck of a
single answer. It sends to nobody who fails, and lets calls wait, first come first served, while nobody has room. It
needs no timeout of attempts.
"""

from collections import deque
from math import inf

from benchmarks.scorecard.engine import AT_ONCE, GIVE_UP, Call, Ending, Engine, Next
from turnout.sim.service import Service, Size

_OVERDUE = 0.25
"""Seconds until a place is expected to be free whose call should be done by now."""


class Oracle:
    """One for all workers."""

    patient = True

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._services: list[Service] = []
        self._queue: deque[Call] = deque()
        self._chosen: str | None = None
        """Where the call that is being resumed goes."""
        self._ends: dict[str, dict[Call, float]] = {}
        """By region: when its calls will probably be done."""
        self._alarm = inf

    def join(self, region: str) -> None:
        """See `Peer`."""
        self._services.append(self._engine.services[region])
        self._ends[region] = {}

    def pick(self, call: Call, now: float) -> str | Ending | None:
        """See `Peer`."""
        if self._chosen is not None:
            chosen, self._chosen = self._chosen, None
            return chosen
        if not self._queue:
            ready, chosen = self._best(call, now)
            if chosen is not None and ready <= now:
                return self._take(call, chosen, now)
            self._wake(ready)
        if call.tries:
            self._queue.appendleft(call)
        else:
            self._queue.append(call)
        return None

    def succeeded(self, call: Call, ending: Ending, now: float) -> None:  # noqa: ARG002 (protocol)
        """See `Peer`."""
        self._freed(call)

    def failed(self, call: Call, ending: Ending, now: float) -> Next:  # noqa: ARG002 (protocol)
        """See `Peer`. It has no retry budget, since it never sends to who cannot answer."""
        self._freed(call)
        return GIVE_UP if ending.status == 404 else AT_ONCE

    def cancelled(self, call: Call, now: float) -> None:  # noqa: ARG002 (protocol)
        """See `Peer`."""
        if call in self._queue:
            self._queue.remove(call)
        else:
            self._freed(call)

    def changed(self, now: float) -> None:
        """See `Peer`."""
        self._advance(now)

    def _freed(self, call: Call) -> None:
        """A place is free, which others may have waited for; whoever ends now is to be done with first."""
        self._ends[call.region].pop(call, None)
        if self._queue:
            self._wake(self._engine.now)

    def _wake(self, time: float) -> None:
        """Looks again then, unless it will earlier."""
        if time < self._alarm:
            self._alarm = time
            self._engine.at(time, self._ring)

    def _ring(self, now: float) -> None:
        if now >= self._alarm:
            self._alarm = inf
            self._advance(now)

    def _advance(self, now: float) -> None:
        """Sends those who waited, in their order, as far as there is room."""
        while self._queue:
            call = self._queue[0]
            ready, chosen = self._best(call, now)
            if chosen is None or ready > now:
                self._wake(ready)
                return
            self._queue.popleft()
            self._chosen = self._take(call, chosen, now)
            self._engine.resume(call)

    def _take(self, call: Call, chosen: str, now: float) -> str:
        self._ends[chosen][call] = now + seconds_of(self._engine.services[chosen], call.size)
        return chosen

    def _best(self, call: Call, now: float) -> tuple[float, str | None]:
        """When, and by whom, the call is best taken: in time, by one that does not fail, with the earliest end."""
        best = (True, inf, inf)
        ready_at, chosen = inf, None
        for service in self._services:
            failing = failure_share(service)
            if failing >= 1.0:
                continue
            ready = self._ready(service, call.size, now)
            end = ready + seconds_of(service, call.size)
            judged = (end > call.deadline, failing, end)
            if judged < best or chosen is None:
                best, ready_at, chosen = judged, ready, service.name
        return ready_at, chosen

    def _ready(self, service: Service, size: Size, now: float) -> float:
        """When the region will have room."""
        ready = now + lacking(service, size, now)
        if service.slots is not None and service.slots.working >= service.slots.size:
            expected = min(self._ends[service.name].values(), default=now)
            ready = max(ready, expected, now + _OVERDUE)
        return ready


def failure_share(service: Service) -> float:
    """The share of requests that fail now."""
    ill = service.conditions
    if ill.refused or ill.unavailable or ill.silent or ill.overloaded or ill.throttled or ill.expired:
        return 1.0
    return 1.0 - (1.0 - ill.errors) * (1.0 - ill.cut)


def lacking(service: Service, size: Size, now: float) -> float:
    """Seconds until its limits allow the request."""
    seconds = 0.0
    amounts = ((service._tokens, size.prompt_tokens + size.output_tokens), (service._requests, 1))
    for bucket, amount in amounts:
        if bucket is not None:
            bucket.refill(now)
            seconds = max(seconds, bucket.lacks(amount / service.conditions.capacity))
    return seconds


def seconds_of(service: Service, size: Size) -> float:
    """Seconds that it takes, but for luck."""
    model = service.model
    each = model.factor * service.conditions.slowdown * service._crowding()
    work = model.first_token + model.per_input_token * size.prompt_tokens + model.per_output_token * size.output_tokens
    return work * each
