"""The provider's own limits: token buckets for requests and tokens per minute, and what can be told of them. Pure."""

from dataclasses import dataclass
from typing import NamedTuple

_MINUTE = 60.0


@dataclass(slots=True)
class Bucket:
    """Holds up to `burst` seconds' worth of a limit per minute, and is refilled evenly."""

    per_minute: float
    burst: float = _MINUTE
    level: float = -1.0
    """What is left; the bucket begins full."""
    updated: float = 0.0

    def refill(self, now: float) -> None:
        """Brings the level up to date."""
        size = self.per_minute / _MINUTE * self.burst
        if self.level < 0:
            self.level = size
        else:
            self.level = min(size, self.level + (now - self.updated) * self.per_minute / _MINUTE)
        self.updated = now

    def lacks(self, amount: float) -> float:
        """Seconds until so much is there; 0 if it is. Of more than the bucket holds: until it is full."""
        wanted = min(amount, self.per_minute / _MINUTE * self.burst)
        return 0.0 if self.level >= wanted else (wanted - self.level) * _MINUTE / self.per_minute

    def take(self, amount: float) -> None:
        """Takes it."""
        self.level = max(self.level - amount, 0.0)

    @property
    def until_full(self) -> float:
        """Seconds until nothing is missing."""
        return max(self.per_minute / _MINUTE * self.burst - self.level, 0.0) * _MINUTE / self.per_minute

    def left(self, name: str, part: float = 1.0) -> "Left":
        """What can be told of it, where only a part of the limit is granted."""
        return Left(name, int(self.per_minute * part), int(self.level * part), self.until_full)


class Left(NamedTuple):
    """What a provider tells of one of its limits."""

    name: str
    """`requests` or `tokens`."""
    limit: int
    """Per minute."""
    remaining: int
    seconds: float
    """Until nothing is missing."""
