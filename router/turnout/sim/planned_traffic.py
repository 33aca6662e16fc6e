"""The traffic of a simulation: a trace or a profile, how much of it, and what its calls are like."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import inf

from turnout.errors import ConfigError
from turnout.sim.traces import read_trace
from turnout.sim.traffic import PROFILES, Arrival, arrivals

_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class PlannedTraffic:
    """What arrives. Shares are of 1."""

    profile: str | None = None
    """Name of a built-in one; `conv` unless there is a trace."""
    trace: str | None = None
    """Path of a file."""
    rate: float | None = None
    """Calls per second; None: the profile's own. A trace has its own."""
    scale: float = 1.0
    """Calls come so many times as fast."""
    seconds: float | None = None
    """Length; by default an hour, or all of the trace."""
    stream: float = 0.0
    """Share of the calls that stream."""
    follow_ups: float = 0.0
    """Share that continue an earlier answer by `previous_response_id`."""
    mistakes: float = 0.0
    """Share whose caller is in the wrong: they get a 404."""

    def check(self) -> None:
        """Raises ConfigError if fields contradict each other."""
        if self.trace is not None and (self.profile is not None or self.rate is not None):
            raise ConfigError("traffic.trace: has its own profile and rate; leave these out, and give a scale")

    def length(self) -> float:
        """Seconds from the first call until the last, or a little more. Raises ConfigError."""
        if self.trace is None:
            return _HOUR if self.seconds is None else self.seconds
        return self.arrivals(0)[-1].at

    def arrivals(self, seed: int) -> Sequence[Arrival]:
        """The calls. Another seed gives other ones, if it is no trace. Raises ConfigError."""
        self.check()
        if self.trace is not None:
            return read_trace(
                self.trace, limit=inf if self.seconds is None else self.seconds * self.scale, scale=self.scale
            )
        profile = PROFILES[self.profile or "conv"]
        rate = (profile.rate if self.rate is None else self.rate) * self.scale
        end = self.length()
        return list(takewhile(lambda one: one.at < end, arrivals(random.Random(seed), rate, profile)))

    def mistaken(self, seed: int, calls: int) -> Sequence[bool]:
        """Which of the calls are mistakes."""
        rng = random.Random(f"mistakes:{seed}")
        return [rng.random() < self.mistakes for _ in range(calls)]

    def __str__(self) -> str:
        told = [self.trace or f"profile {self.profile or 'conv'}"]
        if self.trace is None:
            told.append(f"{(self.rate or PROFILES[self.profile or 'conv'].rate) * self.scale:.3g} calls/s")
        elif self.scale != 1:
            told.append(f"{self.scale:g} times as fast")
        if self.trace is None or self.seconds is not None:
            told.append(f"{(self.seconds or _HOUR) / 60:g} minutes")
        shares = ((self.stream, "streams"), (self.follow_ups, "follow-ups"), (self.mistakes, "mistakes"))
        return ", ".join([*told, *(f"{share:.0%} {what}" for share, what in shares if share)])
