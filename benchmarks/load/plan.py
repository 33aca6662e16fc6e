"""What a load test is to do, as the command line says it; and what is refused."""

import dataclasses
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from math import inf
from pathlib import Path

from turnout.errors import ConfigError
from turnout.sim.schedule import ScheduledFault
from turnout.sim.traces import read_trace
from turnout.sim.traffic import PROFILES, Arrival, arrivals


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a run ends, whichever comes first. Seconds, calls, dollars."""

    seconds: float = inf
    calls: float = inf
    cost: float = inf

    def __str__(self) -> str:
        told = (
            (f"{self.seconds:g} s", self.seconds),
            (f"{self.calls:,.0f} calls", self.calls),
            (f"${self.cost:g}", self.cost),
        )
        return ", ".join(text for text, bound in told if bound != inf) or "the end of the trace"


@dataclass(frozen=True, slots=True)
class Plan:
    """One load test. Exactly one of `rps` (open loop, Poisson), `trace` (open loop) and `users` (closed loop) is set.

    Sizes are the trace's, or have the statistics of `profile`, unless `prompt_tokens` or `output_tokens` fix them.
    `speed` makes a trace's calls come so many times as fast. `drain` is how many seconds calls have that are still
    under way at the end.
    """

    bounds: Bounds
    rps: float | None = None
    users: int | None = None
    trace: Path | None = None
    speed: float = 1.0
    profile: str = "conv"
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    stream: bool = False
    drain: float = 30.0
    faults: tuple[ScheduledFault, ...] = ()
    """Of the fake cloud."""
    seed: int = 1

    def __post_init__(self) -> None:
        given = [name for name in ("rps", "users", "trace") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigError("give one of --rps, --users and --trace" + (f", not {given}" if given else ""))
        if self.trace is None and self.bounds == Bounds():
            raise ConfigError("give at least one bound: --seconds, --max-calls or --max-cost")
        if self.profile not in PROFILES:
            raise ConfigError(f"--profile: there is no {self.profile!r}; there are {', '.join(PROFILES)}")

    @property
    def traffic(self) -> str:
        """What comes when, in words."""
        if self.trace is not None:
            told = f"{self.trace}" + ("" if self.speed == 1 else f" at {self.speed:g} times its speed")
        elif self.rps is not None:
            told = f"{self.rps:g} calls a second (Poisson), sizes as in {self.profile}"
        else:
            told = f"{self.users} users, each with one call after another, sizes as in {self.profile}"
        fixed = ((self.prompt_tokens, "prompt"), (self.output_tokens, "output"))
        texts = [f"{tokens:,} {what} tokens" for tokens, what in fixed if tokens is not None]
        return ", ".join([told, *texts, *(["streamed"] if self.stream else [])])

    def calls(self) -> Iterator[Arrival]:
        """The calls to be made, within the bounds of time and number. Raises ConfigError for a bad trace."""
        found = self._sized(self._arrivals())
        return islice(found, None if self.bounds.calls == inf else int(self.bounds.calls))

    def _arrivals(self) -> Iterator[Arrival]:
        if self.trace is not None:
            return iter(read_trace(self.trace, limit=self.bounds.seconds * self.speed, scale=self.speed))
        steady = dataclasses.replace(PROFILES[self.profile], variation=1.0, bursts=None, swing=0.0, tick=0.0)
        endless = arrivals(random.Random(f"calls:{self.seed}"), self.rps, steady)
        return endless if self.rps is None else takewhile(lambda one: one.at < self.bounds.seconds, endless)

    def _sized(self, found: Iterator[Arrival]) -> Iterator[Arrival]:
        for one in found:
            prompt = one.prompt_tokens if self.prompt_tokens is None else self.prompt_tokens
            output = one.output_tokens if self.output_tokens is None else self.output_tokens
            yield Arrival(one.at, prompt, output, one.conversation)
