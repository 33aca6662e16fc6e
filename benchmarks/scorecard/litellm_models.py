"""LiteLLM's Router as its source has it: version 1.109.1, with its defaults.

Each rule names where it was read, relative to the `litellm` package; `benchmarks.scorecard.litellm_check` holds these
models against the installed package. Deployments are taken for Azure's (`azure/...`), whose connection errors become
an APIConnectionError and so never cool a deployment; those of `openai/...` become an InternalServerError and count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from benchmarks.scorecard.engine import GIVE_UP, NO_CONNECTION, TIMED_OUT, Call, Ending, Next
from benchmarks.scorecard.scenario import RETRIES

COOLDOWN = 5.0
"""Seconds; constants.py:159."""
_MINUTE = 60.0
_FAILURE_SHARE, _ENOUGH_CALLS = 0.5, 5
"""Of the last minute's calls, and how many they must be: constants.py:150 and 222."""
_ENOUGH_FOR_A_SINGLE_ONE = 1000
"""constants.py:219."""
_FIRST_DELAY, _LONGEST_DELAY, _JITTER = 0.5, 8.0, 0.75
"""Seconds; constants.py:591 to 593."""
_LONGEST_RETRY_AFTER = 60
_SAMPLES = 10
_TIMEOUT_PENALTY = 1000.0
"""Seconds per token."""
_LATENCY_TTL = 3600.0
_COUNT_TTL = 3600.0


def should_retry(status: int) -> bool:
    """Whether a status is worth another attempt: utils.py:8246."""
    return status in (408, 409, 429) or status >= 500


def may_cool(status: int) -> bool:
    """Whether a failure can cool its deployment at all: `_is_cooldown_required`, cooldown_handlers.py:257.

    A connection that was refused or broke cannot, by the words of its exception.
    """
    if status == NO_CONNECTION:
        return False
    return not 400 <= status < 500 or status in (401, 402, 404, 408, 429)


def should_cool(status: int, failures: int, successes: int, *, single: bool) -> bool:
    """`_should_cooldown_deployment`, cooldown_handlers.py:460; counts are those of the last minute, this one included.

    A timeout (408) is retried and so does not cool at once; it has to be one of many, like a 500.
    """
    calls = failures + successes
    share = failures / calls if calls else 0.0
    if status == 429 and not single:
        return True
    if share == 1.0 and calls >= _ENOUGH_FOR_A_SINGLE_ONE:
        return True
    if share > _FAILURE_SHARE and calls >= _ENOUGH_CALLS and not single:
        return True
    return not should_retry(status)


def delay(failures: int, retry_after: int | None, chance: float) -> float:
    """Seconds to wait after so many failures of a call: utils.py:8312; `chance` is from 0 to 1."""
    jitter = _JITTER * chance
    if retry_after is not None and 0 < retry_after <= _LONGEST_RETRY_AFTER:
        return retry_after + jitter
    return min(_FIRST_DELAY * 2.0 ** (failures - 1), _LONGEST_DELAY) + jitter


@dataclass(slots=True)
class Count:
    """A number in LiteLLM's cache: forgotten `ttl` seconds after it was first written, however often it is since.

    caching/in_memory_cache.py:165.
    """

    ttl: float
    value: int = 0
    expires: float = -1.0

    def add(self, amount: int, now: float) -> None:
        """Changes it."""
        if now > self.expires:
            self.value = 0
            self.expires = now + self.ttl
        self.value += amount

    def get(self, now: float) -> int:
        """What it is."""
        return 0 if now > self.expires else self.value


@dataclass(slots=True)
class Cooldown:
    """When a deployment is used again: router_utils/cooldown_cache.py.

    A failure that arrives while it cools moves the end it says, but not the one at which its entry is forgotten; the
    earlier of the two counts.
    """

    until: float = -1.0
    forgotten: float = -1.0

    def begin(self, seconds: float, now: float) -> None:
        """It failed."""
        if now > self.forgotten:
            self.forgotten = now + seconds
        self.until = now + seconds

    def active(self, now: float) -> bool:
        """True while it is left out. An entry that is over is deleted by looking at it."""
        if now > self.forgotten:
            return False
        if now >= self.until:
            self.forgotten = -1.0
            return False
        return True


class Strategy(Protocol):
    """What differs between LiteLLM's routing strategies."""

    def choose(self, healthy: Sequence[str], call: Call, now: float) -> str | Ending | None:
        """One of the deployments that do not cool; None or an ending if all are over their limits."""
        ...

    def sent(self, region: str, now: float) -> None:
        """A request is sent."""
        ...

    def ended(self, call: Call, ending: Ending, now: float) -> None:
        """Its answer, or its error, is there."""
        ...


class LiteLLM:
    """The parts that all strategies share: retries and cooldowns (router_python_core.py:9498 to 9912)."""

    patient = False

    def __init__(self, strategy: Strategy, rng: Random) -> None:
        self.strategy = strategy
        self.regions: list[str] = []
        self._rng = rng
        self._cooldowns: dict[str, Cooldown] = {}
        self._failures: dict[str, Count] = {}
        self._successes: dict[str, Count] = {}

    def join(self, region: str) -> None:
        """See `Peer`."""
        self.regions.append(region)
        self._cooldowns[region] = Cooldown()
        self._failures[region] = Count(_MINUTE)
        self._successes[region] = Count(_MINUTE)

    def healthy(self, now: float) -> list[str]:
        """Deployments that do not cool."""
        return [region for region in self.regions if not self._cooldowns[region].active(now)]

    def pick(self, call: Call, now: float) -> str | Ending | None:
        """See `Peer`. A retry may go to the deployment that just failed, unless that said 401."""
        healthy = self.healthy(now)
        if call.shunned:
            healthy = [region for region in healthy if region not in call.shunned] or healthy
        chosen = self.strategy.choose(healthy, call, now) if healthy else None
        if chosen is None:
            return Ending(None, 429, error="RouterRateLimitError")
        if isinstance(chosen, str):
            self.strategy.sent(chosen, now)
        return chosen

    def succeeded(self, call: Call, ending: Ending, now: float) -> None:
        """See `Peer`."""
        self._successes[call.region].add(1, now)
        self.strategy.ended(call, ending, now)

    def failed(self, call: Call, ending: Ending, now: float) -> Next:
        """See `Peer`."""
        if ending.region is not None:
            self.strategy.ended(call, ending, now)
            self._judge(ending.region, ending, now)
            if not should_retry(ending.status) and ending.status != NO_CONNECTION:
                call.shunned.append(ending.region)
        if not self._retried(ending.status) or not self.healthy(now):
            return GIVE_UP
        pause = 0.0
        if len(self.regions) == 1:  # the last failure is waited after as well: router_python_core.py:9693
            pause = delay(call.attempts, ending.retry_after, self._rng.random())
        return Next(call.attempts <= RETRIES, pause)

    def cancelled(self, call: Call, now: float) -> None:
        """See `Peer`. Nothing is logged of a call that is cancelled, so least-busy counts it for an hour."""

    def changed(self, now: float) -> None:
        """See `Peer`."""

    def _judge(self, region: str, ending: Ending, now: float) -> None:
        """Counts a failure, and cools its deployment: router_python_core.py:10141."""
        failures = self._failures[region]
        failures.add(1, now)
        if not may_cool(ending.status):
            return
        successes = self._successes[region].get(now)
        if should_cool(ending.status, failures.get(now), successes, single=len(self.regions) == 1):
            told = ending.retry_after
            self._cooldowns[region].begin(COOLDOWN if told is None else told, now)

    def _retried(self, status: int) -> bool:
        """`should_retry_this_error`, router_python_core.py:9772; a connection error has the status 500 there."""
        if status in (401, 403):
            return len(self.regions) > 1
        return status == NO_CONNECTION or should_retry(status)


class SimpleShuffle:
    """By chance, in proportion to the configured rpm, or else tpm: router_strategy/simple_shuffle.py."""

    def __init__(self, rpm: Mapping[str, float], tpm: Mapping[str, float], rng: Random) -> None:
        self._weights = (rpm, tpm)
        self._rng = rng

    def choose(self, healthy: Sequence[str], call: Call, now: float) -> str | Ending | None:  # noqa: ARG002 (protocol)
        """See `Strategy`."""
        for metric in self._weights:
            weights = [metric.get(region, 0.0) for region in healthy]
            if max(weights) > 0:
                return self._rng.choices(healthy, weights)[0]
        return self._rng.choice(healthy)

    def sent(self, region: str, now: float) -> None:
        """See `Strategy`."""

    def ended(self, call: Call, ending: Ending, now: float) -> None:
        """See `Strategy`."""


class LeastBusy:
    """The first of those with the fewest requests under way: router_strategy/least_busy.py.

    A request whose caller gave up stays counted until its deployment's count is an hour old.
    """

    def __init__(self) -> None:
        self.counts: dict[str, Count] = {}

    def choose(self, healthy: Sequence[str], call: Call, now: float) -> str | Ending | None:  # noqa: ARG002 (protocol)
        """See `Strategy`."""
        counts = self.counts
        return min(healthy, key=lambda region: counts[region].get(now) if region in counts else 0)

    def sent(self, region: str, now: float) -> None:
        """See `Strategy`."""
        self.counts.setdefault(region, Count(_COUNT_TTL)).add(1, now)

    def ended(self, call: Call, ending: Ending, now: float) -> None:  # noqa: ARG002 (protocol)
        """See `Strategy`."""
        count = self.counts[call.region]
        count.add(-1, now)
        count.value = max(count.value, 0)


class LatencyBased:
    """The least mean of the last ten samples of seconds per token: router_strategy/lowest_latency.py.

    A deployment without samples is entered with one of 0, which stays in the mean until ten more push it out, and so
    gets all traffic until its first answer. Until anything was answered, nothing is entered and chance decides. All
    samples are forgotten an hour after the first.
    """

    def __init__(self, rpm: Mapping[str, float], tpm: Mapping[str, float], rng: Random) -> None:
        self._rpm = rpm
        self._tpm = tpm
        self._rng = rng
        self.samples: dict[str, list[float]] = {}
        self._expires = -1.0
        self._used: dict[str, tuple[int, int, int]] = {}
        """Tokens and answers of a clock minute, which comes first."""

    def choose(self, healthy: Sequence[str], call: Call, now: float) -> str | Ending | None:
        """See `Strategy`."""
        if now > self._expires:
            self.samples = {}
        within = [region for region in healthy if self._within(region, call.size.prompt_tokens, now)]
        if self.samples:
            for region in healthy:
                self.samples.setdefault(region, [0.0])
        if not within:
            return None
        means = [_mean(self.samples.get(region, ())) for region in within]
        least = min(means)
        return self._rng.choice([region for region, mean in zip(within, means, strict=True) if mean <= least])

    def sent(self, region: str, now: float) -> None:
        """See `Strategy`."""

    def ended(self, call: Call, ending: Ending, now: float) -> None:
        """See `Strategy`."""
        if ending.status == 200:
            self._note(call.region, ending.seconds / max(ending.output_tokens, 1), now)
            tokens, answers = self._usage(call.region, now)
            used = call.size.prompt_tokens + call.size.output_tokens
            self._used[call.region] = (_minute(now), tokens + used, answers + 1)
        elif ending.status == TIMED_OUT:
            self._note(call.region, _TIMEOUT_PENALTY, now)

    def _note(self, region: str, sample: float, now: float) -> None:
        if now > self._expires:
            self.samples = {}
            self._expires = now + _LATENCY_TTL
        known = self.samples.setdefault(region, [])
        if len(known) >= _SAMPLES:
            known.pop(0)
        known.append(sample)

    def _usage(self, region: str, now: float) -> tuple[int, int]:
        minute, tokens, answers = self._used.get(region, (-1, 0, 0))
        return (tokens, answers) if minute == _minute(now) else (0, 0)

    def _within(self, region: str, prompt_tokens: int, now: float) -> bool:
        tokens, answers = self._usage(region, now)
        return tokens + prompt_tokens <= self._tpm.get(region, _NO_LIMIT) and answers + 1 <= self._rpm.get(
            region, _NO_LIMIT
        )


class UsageBased:
    """The fewest tokens answered in this minute of the clock: router_strategy/lowest_tpm_rpm_v2.py."""

    def __init__(self, rpm: Mapping[str, float], tpm: Mapping[str, float], rng: Random) -> None:
        self._rpm = rpm
        self._tpm = tpm
        self._rng = rng
        self._minute = -1
        self.tokens: dict[str, int] = {}
        self._requests: dict[str, int] = {}

    def choose(self, healthy: Sequence[str], call: Call, now: float) -> str | Ending | None:
        """See `Strategy`."""
        self._turn(now)
        within = [region for region in healthy if self._within(region, call.size.prompt_tokens)]
        if not within:
            return Ending(None, 429, retry_after=60, error="RateLimitError")
        least = min(self.tokens.get(region, 0) for region in within)
        return self._rng.choice([region for region in within if self.tokens.get(region, 0) == least])

    def sent(self, region: str, now: float) -> None:
        """See `Strategy`."""
        self._turn(now)
        self._requests[region] = self._requests.get(region, 0) + 1

    def ended(self, call: Call, ending: Ending, now: float) -> None:
        """See `Strategy`."""
        self._turn(now)
        if ending.status == 200:
            used = call.size.prompt_tokens + call.size.output_tokens
            self.tokens[call.region] = self.tokens.get(call.region, 0) + used

    def _turn(self, now: float) -> None:
        """Counts begin anew with the minute."""
        if _minute(now) != self._minute:
            self._minute = _minute(now)
            self.tokens = {}
            self._requests = {}

    def _within(self, region: str, prompt_tokens: int) -> bool:
        tokens = self.tokens.get(region, 0) + prompt_tokens
        limit = self._rpm.get(region)
        # one request less than the limit, as in the source, once the minute's first was counted
        requests = self._requests.get(region)
        open_to_more = limit is None or requests is None or requests + 1 < limit
        return tokens <= self._tpm.get(region, _NO_LIMIT) and open_to_more


_NO_LIMIT = float("inf")


def _minute(now: float) -> int:
    return int(now // _MINUTE)


def _mean(samples: Sequence[float]) -> float:
    return sum(samples) / len(samples) if samples else 0.0
