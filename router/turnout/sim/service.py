"""How a simulated region serves: how long it takes, how much it can do at once, what its limits are, what ails it.

Pure but for its own seeded chance: `plan` says what becomes of a request, and whoever carries the request - an event
loop in real or in virtual time, or a model of another router - acts it out.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import exp
from random import Random
from typing import NamedTuple

from turnout.errors import ConfigError
from turnout.sim import limit_headers
from turnout.sim.buckets import Bucket
from turnout.sim.limit_headers import Limited, LimitHeaders
from turnout.sim.slots import Slots
from turnout_adapters.registry import nearest

_REFUSAL = 0.05
"""Seconds that a region takes to refuse a request."""
_NEVER = 1e9
_BLOCKED = 5.0
"""Retry-After of a throttle that no limit explains."""
_LOOKUP = 0.05
"""Seconds that a region takes for what is no work for the model, such as retrieving a response."""
_SPILLED = (429, 500, 503)
"""Refusals of provisioned throughput that Azure sends on to the deployment it spills to."""


class Size(NamedTuple):
    """A request, as a region's limits see it."""

    prompt_tokens: int
    output_tokens: int
    """Of the answer that it will get."""
    reserved_tokens: int | None = None
    """Output that the limits are charged for at admission (`max_output_tokens`); None: what the answer has."""
    prefix: str | None = None
    """What the beginning of the prompt is known by, for the region's prompt cache."""


@dataclass(frozen=True, slots=True)
class ServiceModel:
    """What a region is like when all is well. Times in seconds.

    An answer takes `first_token + per_input_token * prompt + per_output_token * output`, times `factor`, times a
    lognormal variation of scale `jitter`. `concurrency` requests are worked on at once and others wait in line;
    `output_tokens_per_second` is the most that all together get, which slows each of them down. `tpm` and `rpm` are
    token buckets that hold `burst` seconds' worth; with `ptu` they stand for provisioned throughput, which says when
    to come back in milliseconds and nothing of what is left. `spill` names the region that takes what a full or
    failing one cannot. `cached_prefixes` is how many beginnings of prompts are remembered; those cost a tenth of the
    time.
    """

    first_token: float = 0.35
    per_input_token: float = 0.0001
    per_output_token: float = 0.0196
    jitter: float = 0.25
    factor: float = 1.0
    concurrency: int | None = None
    output_tokens_per_second: float | None = None
    tpm: float | None = None
    rpm: float | None = None
    burst: float = 60.0
    ptu: bool = False
    spill: str | None = None
    cached_prefixes: int = 0


@dataclass(slots=True)
class Conditions:
    """What ails a region now; changed by the schedule of faults."""

    refused: bool = False
    """Connections are refused."""
    unavailable: bool = False
    """503 at once."""
    silent: bool = False
    """Requests are taken and never answered."""
    overloaded: bool = False
    """529: the provider as a whole."""
    throttled: bool = False
    """429 to everything, with a Retry-After of 5 s."""
    expired: bool = False
    """401: the credentials are no longer valid."""
    errors: float = 0.0
    """Share of requests that end in a 500."""
    cut: float = 0.0
    """Share of answers whose connection breaks in the middle."""
    slowdown: float = 1.0
    capacity: float = 1.0
    """Part of its limits and concurrency that is left."""
    skew: float = 0.0
    """Seconds by which the region's clock is fast, in dates that it tells."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of one request. Seconds count from when it is worked on."""

    status: int = 200
    first: float = 0.0
    """Seconds until the first output, or until the refusal."""
    total: float = 0.0
    """Seconds in all."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    code: str = ""
    queued: bool = False
    """It needs one of the region's slots."""
    cut: float | None = None
    """Part of the time from first to last output after which the connection breaks."""
    retry_after: float | None = None
    """Seconds, of a throttle."""
    server: "Service | None" = None
    """Who works on it, where that is another region: the one that this one spills to."""


REFUSED = Plan(status=0)
"""No connection."""


class Service:
    """One region's live state."""

    def __init__(self, name: str, model: ServiceModel | None = None, *, seed: int = 0) -> None:
        self.name = name
        self.model = model = model or ServiceModel()
        self.conditions = Conditions()
        self.spill: Service | None = None
        """The region that takes what this one cannot."""
        self.slots = None if model.concurrency is None else Slots(model.concurrency)
        self.under_way = 0
        """Requests being worked on; kept by whoever carries them out."""
        self.rng = Random(f"{name}:{seed}")
        self.limit_headers: LimitHeaders = limit_headers.provisioned if model.ptu else limit_headers.openai
        """How it says what its limits are."""
        self._tokens = None if model.tpm is None else Bucket(model.tpm, model.burst)
        self._requests = None if model.rpm is None else Bucket(model.rpm, model.burst)
        self._prefixes: OrderedDict[str, None] = OrderedDict()

    def change(self, name: str, value: float | bool) -> None:
        """Sets one of the conditions; a capacity takes effect on slots at once."""
        setattr(self.conditions, name, value)
        if name == "capacity" and self.slots is not None and self.model.concurrency is not None:
            self.slots.size = max(1, round(self.model.concurrency * value))

    def plan(self, size: Size | None, now: float, unix: float | None = None) -> Plan:
        """What becomes of a request that arrives now; None as its size: it is no work for the model.

        `unix` is the time since 1970, for dates that the answer tells.
        """
        clock = now if unix is None else unix
        plan = self._own_plan(size, now, clock)
        if self.spill is not None and plan.status in _SPILLED:
            spilled = self.spill.plan(size, now, clock)
            return replace(spilled, server=spilled.server or self.spill)
        return plan

    def _own_plan(self, size: Size | None, now: float, clock: float) -> Plan:
        ill = self.conditions
        if ill.refused:
            return REFUSED
        if ill.silent:
            return Plan(first=_NEVER, total=_NEVER)
        refusal = self._refusal(clock)
        if refusal is not None:
            return refusal
        if size is None:
            return Plan(200, _LOOKUP, _LOOKUP)
        charged = size.prompt_tokens + (size.output_tokens if size.reserved_tokens is None else size.reserved_tokens)
        lacking = self._lacking(charged, now)
        if lacking > 0:
            return self._throttle(lacking, clock)
        if ill.errors and self.rng.random() < ill.errors:
            return Plan(500, _REFUSAL * 4, _REFUSAL * 4, code="server_error")
        first, total = self.seconds(size)
        cut = self.rng.random() if ill.cut and self.rng.random() < ill.cut else None
        return Plan(200, first, total, self._told(clock), queued=self.slots is not None, cut=cut)

    def seconds(self, size: Size) -> tuple[float, float]:
        """Seconds until the first output, and in all, with this region's luck."""
        model = self.model
        each = exp(self.rng.gauss(0.0, model.jitter)) * model.factor * self.conditions.slowdown * self._crowding()
        reading = model.per_input_token * size.prompt_tokens * (0.1 if self._remembers(size.prefix) else 1.0)
        first = (model.first_token + reading) * each
        return first, first + model.per_output_token * size.output_tokens * each

    def _crowding(self) -> float:
        """How much slower each request gets because they share the region's throughput."""
        most = self.model.output_tokens_per_second
        if most is None:
            return 1.0
        wanted = (self.under_way + 1) / self.model.per_output_token
        return max(1.0, wanted / (most * self.conditions.capacity))

    def _remembers(self, prefix: str | None) -> bool:
        if prefix is None or not self.model.cached_prefixes:
            return False
        known = prefix in self._prefixes
        self._prefixes[prefix] = None
        self._prefixes.move_to_end(prefix)
        if len(self._prefixes) > self.model.cached_prefixes:
            self._prefixes.popitem(last=False)
        return known

    def _refusal(self, clock: float) -> Plan | None:
        ill = self.conditions
        if ill.unavailable:
            return Plan(503, _REFUSAL, _REFUSAL, code="service_unavailable")
        if ill.expired:
            return Plan(401, _REFUSAL, _REFUSAL, code="invalid_api_key")
        if ill.overloaded:
            return Plan(529, _REFUSAL, _REFUSAL, code="overloaded_error")
        return self._throttle(_BLOCKED, clock) if ill.throttled else None

    def _lacking(self, tokens: int, now: float) -> float:
        """Seconds until the limits allow the request; what it needs is taken if they do."""
        buckets = [
            (bucket, amount / self.conditions.capacity)
            for bucket, amount in ((self._tokens, tokens), (self._requests, 1))
            if bucket is not None
        ]
        for bucket, _ in buckets:
            bucket.refill(now)
        lacking = max((bucket.lacks(amount) for bucket, amount in buckets), default=0.0)
        if lacking <= 0:
            for bucket, amount in buckets:
                bucket.take(amount)
        return lacking

    def _throttle(self, seconds: float, clock: float) -> Plan:
        headers = self._told(clock, seconds)
        return Plan(429, _REFUSAL, _REFUSAL, headers, code="rate_limit_exceeded", retry_after=seconds)

    def _told(self, clock: float, retry_after: float | None = None) -> Mapping[str, str]:
        """What the region's answers say of its limits."""
        part, skew = self.conditions.capacity, self.conditions.skew
        limits = [
            bucket.left(name, part)
            for name, bucket in (("requests", self._requests), ("tokens", self._tokens))
            if bucket is not None
        ]
        if not limits and retry_after is None:
            return {}
        return self.limit_headers(Limited(limits, retry_after, clock + skew, skew))


def link_spills(services: Mapping[str, Service]) -> None:
    """Gives every region the one that its model says it spills to. Raises ConfigError for one that is not there."""
    for name, service in services.items():
        target = service.model.spill
        if target is None:
            continue
        if target not in services or target == name:
            others = [one for one in services if one != name]
            raise ConfigError(f"regions.{name}.spill: there is no other region {target!r}; {nearest(target, others)}")
        service.spill = services[target]
